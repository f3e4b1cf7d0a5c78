// SPDX-License-Identifier: Apache-2.0
#include "proc/kept.h"

#include "attest/rules.h"
#include "os/file.h"
#include "seemesh/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOC_MAX = 64 << 10, FLOOR_TEXT = 24 };

static enum sm_err path_of(const char *home, const char *name, char out[static SM_PATH])
{
    char dir[SM_PATH];
    SM_TRY(sm_path_join(home, "rules", dir));
    return sm_path_join(dir, name, out);
}

static enum sm_err doc_path(const char *home, uint8_t kind, char out[static SM_PATH])
{
    if (kind != SM_DOC_MANIFEST && kind != SM_DOC_REVOCATION) {
        return SM_E_UNSUPPORTED;
    }
    return path_of(home, kind == SM_DOC_MANIFEST ? "manifest.cose" : "revocation.cose", out);
}

static enum sm_err write_file(const char *home, const char *path, struct sm_view bytes)
{
    char dir[SM_PATH];
    SM_TRY(sm_path_join(home, "rules", dir));
    SM_TRY(sm_dir_make(dir, 0700));
    return sm_file_write_atomic(path, 0600, bytes);
}

enum sm_err sm_kept_read(const char *home, uint8_t kind, struct sm_buf *out)
{
    char path[SM_PATH];
    SM_TRY(doc_path(home, kind, path));
    return sm_file_read(path, out);
}

enum sm_err sm_kept_write(const char *home, uint8_t kind, struct sm_view doc)
{
    char path[SM_PATH];
    SM_TRY(doc_path(home, kind, path));
    return doc.n <= DOC_MAX ? write_file(home, path, doc) : SM_E_LIMIT;
}

enum sm_err sm_kept_floor(const char *home, struct sm_wall *out)
{
    char path[SM_PATH], text[FLOOR_TEXT + 1] = "", *end = NULL;
    SM_CLEANUP(sm_buf_done) struct sm_buf bytes = SM_BUF(FLOOR_TEXT);
    struct sm_wall release = {SEEMESH_RELEASE_TIME};
    SM_TRY(path_of(home, "time-floor", path));
    enum sm_err e = sm_file_read(path, &bytes);
    if (e == SM_E_NOTFOUND) {
        *out = release;
        return SM_OK;
    }
    SM_TRY(e == SM_E_LIMIT ? SM_E_CORRUPT : e);
    for (size_t i = 0; i < bytes.n; i++) {
        text[i] = (char)bytes.p[i];
    }
    uint64_t s = strtoull(text, &end, 10);
    if (bytes.n == 0 || text[0] < '0' || text[0] > '9' || *end != '\n' ||
        end + 1 != text + bytes.n) {
        return SM_E_CORRUPT;
    }
    *out = s > release.s ? (struct sm_wall){s} : release;
    return SM_OK;
}

enum sm_err sm_kept_floor_raise(const char *home, struct sm_wall to)
{
    char path[SM_PATH], text[FLOOR_TEXT + 1];
    struct sm_wall floor;
    SM_TRY(sm_kept_floor(home, &floor));
    if (to.s <= floor.s) {
        return SM_OK;
    }
    SM_TRY(path_of(home, "time-floor", path));
    (void)snprintf(text, sizeof text, "%" PRIu64 "\n", to.s);
    return write_file(home, path, sm_view_str(text));
}
