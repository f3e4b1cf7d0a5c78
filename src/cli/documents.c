// SPDX-License-Identifier: Apache-2.0
#include "cli/documents.h"

#include "base/date.h"
#include "crypto/cose.h"
#include "crypto/hash.h"
#include "os/file.h"
#include "os/secretmem.h"
#include "proc/identity.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- files ------------------------------------------------------------------------------- */

static enum sm_err read_stdin(struct sm_buf *out)
{
    uint8_t piece[4096];
    ssize_t n;
    while ((n = read(STDIN_FILENO, piece, sizeof piece)) > 0) {
        SM_TRY(sm_buf_add(out, piece, (size_t)n));
    }
    return n < 0 ? SM_E_IO : SM_OK;
}

enum sm_err cli_file_load(struct cli *c, const char *path, struct sm_buf *out)
{
    enum sm_err e = strcmp(path, "-") == 0 ? read_stdin(out) : sm_file_read(path, out);
    return e == SM_OK ? SM_OK : cli_fail(c, e, "cannot read %s: %s", path, sm_err_words(e));
}

enum sm_err cli_mesh_of_home(struct cli *c, struct sm_anchor *out, bool *has)
{
    char home[SM_PATH], path[SM_PATH];
    struct sm_config config;
    *has = false;
    SM_TRY(cli_home(c, home, sizeof home));
    if (sm_path_join(home, "seemesh.conf", path) != SM_OK || !sm_file_exists(path)) {
        return SM_OK;
    }
    SM_TRY(cli_load_config(c, &config));
    enum sm_err e = sm_config_anchor(&config, out);
    *has = e == SM_OK;
    return e == SM_OK ? SM_OK : cli_fail(c, e, "%s: %s", path, sm_err_words(e));
}

enum sm_err cli_root_load(struct cli *c, const char *dir, struct sm_sign_pair **out)
{
    char path[SM_PATH];
    bool is_locked;
    if (dir == NULL) {
        return cli_fail(c, SM_E_USAGE,
                        "--root-dir DIR names the folder of the root that signs");
    }
    enum sm_err e = sm_secretmem_init(&is_locked);
    if (e == SM_OK) {
        e = sm_path_join(dir, "root.key", path);
    }
    if (e == SM_OK) {
        e = sm_key_file(sm_suite_real(), path, false, out);
    }
    return e == SM_OK ? SM_OK
                      : cli_fail(c, e, "cannot read the root in %s: %s", dir, sm_err_words(e));
}

enum sm_err cli_date(struct cli *c, const char *option, const char *text, struct sm_wall *out)
{
    char whole[SM_DATE_LEN + 1];
    size_t n = strlen(text);
    uint64_t s;
    if (sm_ini_number(sm_view_str(text), &s) == SM_OK) {
        *out = (struct sm_wall){s};
        return SM_OK;
    }
    (void)snprintf(whole, sizeof whole, "%s%s", text, n == 10 ? "T00:00:00Z" : "");
    if ((n != 10 && n != SM_DATE_LEN) || sm_date_parse(sm_view_str(whole), out) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "%s wants a date, as in 2027-01-31, not '%s'", option,
                        text);
    }
    return SM_OK;
}

/* -- manifests --------------------------------------------------------------------------- */

static enum sm_err not_ours(struct cli *c, const char *name, enum sm_err e)
{
    if (e == SM_E_AUTH) {
        return cli_fail(c, e, "%s is signed for another mesh or environment", name);
    }
    if (e == SM_E_CRYPTO) {
        return cli_fail(c, e, "%s is not signed by a root that this mesh pins", name);
    }
    return cli_fail(c, e, "%s cannot be read: %s", name, sm_err_words(e));
}

enum sm_err cli_manifest_of_doc(struct cli *c, const char *name, struct sm_view doc,
                                const struct sm_anchor *anchor, struct cli_manifest *out)
{
    struct cli_manifest r = {.is_signed = true, .is_checked = anchor != NULL};
    unsigned root = 0;
    enum sm_err e = anchor != NULL
                        ? sm_mesh_manifest_verify(sm_suite_real(), anchor, doc, &r.m, &root)
                        : sm_mesh_manifest_open(doc, &r.m);
    if (e != SM_OK) {
        return not_ours(c, name, e);
    }
    if (anchor != NULL) {
        memcpy(r.root, anchor->roots[root], sizeof r.root);
    }
    sm_sha256(doc, r.hash);
    *out = r;
    return SM_OK;
}

static enum sm_err of_text(struct cli *c, const char *name, struct sm_view text,
                           struct cli_manifest *out)
{
    struct cli_manifest r = {0};
    struct sm_text_problem why;
    enum sm_err e = sm_mesh_manifest_parse(text, &r.m, &why);
    if (e == SM_E_CONFIG && why.line > 0) {
        return cli_fail(c, e, "%s:%u:%u: %s", name, why.line, why.column, why.text);
    }
    if (e != SM_OK) {
        return cli_fail(c, e, "%s: %s", name, e == SM_E_CONFIG ? why.text : sm_err_words(e));
    }
    *out = r;
    return SM_OK;
}

enum sm_err cli_manifest_load(struct cli *c, const char *path, const struct sm_anchor *anchor,
                              struct cli_manifest *out)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf bytes = SM_BUF(SM_MANIFEST_TEXT_MAX);
    SM_TRY(cli_file_load(c, path, &bytes));
    struct sm_view v = sm_buf_view(&bytes);
    return v.n > 0 && v.p[0] == CLI_SIGNED_FIRST ? cli_manifest_of_doc(c, path, v, anchor, out)
                                                 : of_text(c, path, v, out);
}
