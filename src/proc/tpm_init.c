// SPDX-License-Identifier: Apache-2.0
#include "proc/tpm_init.h"

#include "os/clock.h"
#include "os/secretmem.h"
#include "proc/identity.h"
#include "proc/root.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ENDORSED_S (365u * 86400u)
#define INDEXES    1u /* one node to a TPM: index 0 */

__attribute__((format(printf, 3, 4))) static enum sm_err
because(enum sm_err e, char why[static SM_TPM_ENROL_WHY], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SM_TPM_ENROL_WHY, fmt, ap);
    va_end(ap);
    return e;
}

static enum sm_err load_root(const char *root_dir, struct sm_sign_pair **out,
                             char why[static SM_TPM_ENROL_WHY])
{
    enum sm_err e = sm_root_key(root_dir, out);
    return e == SM_OK ? e : because(e, why, "the root in %s: %s", root_dir, sm_err_words(e));
}

/* -- endorsing --------------------------------------------------------------------------- */

static enum sm_err endorse(const struct sm_sign_pair *root, const char *makers,
                           const struct sm_anchor *a, struct sm_view request,
                           struct sm_buf *out_reply, struct sm_tpm_endorsed *out,
                           char why[static SM_TPM_ENROL_WHY])
{
    struct sm_tpm_makers m;
    struct sm_wall now = sm_clock_wall();
    enum sm_err e = sm_tpm_makers_load(makers, &m);
    if (e != SM_OK) {
        return because(e, why, "certificates of TPM makers in %s: %s", makers, sm_err_words(e));
    }
    const struct sm_tpm_endorser by = {.suite = sm_suite_real(),
                                       .root = root,
                                       .anchor = a,
                                       .makers = &m.trust,
                                       .now = now,
                                       .expires = {now.s + ENDORSED_S},
                                       .indexes = INDEXES};
    e = sm_tpm_request_endorse(&by, request, out_reply, out, why);
    sm_tpm_makers_done(&m);
    return e;
}

static bool is_pinned(const struct sm_anchor *a, const struct sm_sign_pair *root)
{
    for (size_t i = 0; i < a->n_roots; i++) {
        if (memcmp(a->roots[i], root->pub.b, sizeof a->roots[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum sm_err sm_tpm_endorse_with(const char *root_dir, const char *makers,
                                const struct sm_anchor *a, struct sm_view request,
                                struct sm_buf *out_reply, struct sm_tpm_endorsed *out,
                                char why[static SM_TPM_ENROL_WHY])
{
    struct sm_sign_pair *root = NULL;
    SM_TRY(load_root(root_dir, &root, why));
    enum sm_err e = is_pinned(a, root)
                        ? endorse(root, makers, a, request, out_reply, out, why)
                        : because(SM_E_REFUSED, why,
                                  "the root in %s is none of those that the configuration "
                                  "pins: no node would believe what it signs",
                                  root_dir);
    sm_secret_free(root);
    return e;
}

static enum sm_err endorse_here(const struct sm_tpm_node *n, const struct sm_sign_pair *root,
                                const char *makers, const struct sm_anchor *a,
                                char why[static SM_TPM_ENROL_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf request = SM_BUF(SM_TPM_REQUEST_MAX);
    SM_CLEANUP(sm_buf_done) struct sm_buf reply = SM_BUF(SM_TPM_REPLY_MAX);
    struct sm_tpm_endorsed endorsed;
    SM_TRY(sm_tpm_request_make(n, a, &request, why));
    SM_TRY(endorse(root, makers, a, sm_buf_view(&request), &reply, &endorsed, why));
    return sm_tpm_reply_take(n, sm_buf_view(&reply), why);
}

/* -- the home ---------------------------------------------------------------------------- */

static enum sm_err make_dirs(const struct sm_config *c, const char *keys,
                             char why[static SM_TPM_ENROL_WHY])
{
    enum sm_err e = sm_dir_make(c->node.home, 0700);
    e = e == SM_OK ? sm_dir_make(c->store.dir, 0700) : e;
    e = e == SM_OK ? sm_dir_make(keys, 0700) : e;
    return e == SM_OK ? e : because(e, why, "%s: %s", c->node.home, sm_err_words(e));
}

static enum sm_err node_id_of(const struct sm_config *c, const struct sm_anchor *a,
                              struct sm_node_id *out, char why[static SM_TPM_ENROL_WHY])
{
    const struct sm_identity_at at = {c->node.home, SM_PLATFORM_TPM, c->platform.device};
    struct sm_identity id;
    SM_TRY(sm_identity_load(sm_suite_real(), a, sm_clock_wall(), &at, &id, why));
    *out = id.node_id;
    sm_identity_done(&id);
    return SM_OK;
}

static enum sm_err make_home(const struct sm_config *c, const struct sm_tpm_init *how,
                             const struct sm_sign_pair *root, struct sm_node_id *out,
                             char why[static SM_TPM_ENROL_WHY])
{
    char keys[SM_PATH], conf[SM_PATH];
    const struct sm_tpm_node n = {.dir = keys, .device = c->platform.device};
    struct sm_anchor anchor;
    struct sm_node_id id = {0};
    enum sm_err e = sm_config_anchor(c, &anchor);
    if (e != SM_OK) {
        return because(e, why, "the configuration pins no root: give one");
    }
    SM_TRY(sm_path_join(c->node.home, "keys", keys));
    SM_TRY(sm_path_join(c->node.home, "seemesh.conf", conf));
    SM_TRY(make_dirs(c, keys, why));
    SM_TRY(sm_tpm_keys_make(&n, how->pcr_mask, false, why));
    if (root != NULL) {
        SM_TRY(endorse_here(&n, root, how->makers, &anchor, why));
        SM_TRY(node_id_of(c, &anchor, &id, why));
    }
    e = sm_config_create(c, conf);
    if (e != SM_OK) {
        return because(e, why, "%s: %s", conf, sm_err_words(e));
    }
    *out = id;
    return SM_OK;
}

enum sm_err sm_tpm_node_init(const struct sm_config *c, const struct sm_tpm_init *how,
                             struct sm_node_id *out, char why[static SM_TPM_ENROL_WHY])
{
    struct sm_config config = *c;
    struct sm_sign_pair *root = NULL;
    char conf[SM_PATH];
    SM_TRY(sm_path_join(c->node.home, "seemesh.conf", conf));
    if (sm_file_exists(conf)) {
        return because(SM_E_EXISTS, why, "%s is a node's home already; nothing was changed",
                       c->node.home);
    }
    config.platform.kind = SM_PLATFORM_TPM;
    if (how->root_dir != NULL) {
        SM_TRY(load_root(how->root_dir, &root, why));
    }
    if (root != NULL && config.n_roots == 0) {
        config.n_roots = 1;
        memcpy(config.roots[0].name, "dev", sizeof "dev");
        memcpy(config.roots[0].key, root->pub.b, 32);
    }
    enum sm_err e = make_home(&config, how, root, out, why);
    sm_secret_free(root);
    return e;
}
