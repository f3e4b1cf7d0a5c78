// SPDX-License-Identifier: Apache-2.0
#include "proc/cc_enrol.h"

#include "attest/hardware.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/secretmem.h"
#include "proc/identity.h"
#include "wire/frame.h"

#include <string.h>

static enum sm_err file_problem(enum sm_err e, const char *path,
                                char why[static SM_PROVIDER_WHY])
{
    return sm_provider_because(e, why, "%.200s: %s", path, sm_err_words(e));
}

static enum sm_err write_config(const struct sm_config *c, const char *path)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(SM_CONFIG_BYTES);
    SM_TRY(sm_config_print(c, &text));
    return sm_file_create(path, 0600, sm_buf_view(&text));
}

static enum sm_err make_folders(const struct sm_config *c)
{
    char keys[SM_PATH], staples[SM_PATH];
    SM_TRY(sm_dir_make(c->node.home, 0700));
    SM_TRY(sm_dir_make(c->store.dir, 0700));
    SM_TRY(sm_path_join(c->node.home, "keys", keys));
    SM_TRY(sm_dir_make(keys, 0700));
    SM_TRY(sm_path_join(keys, SM_STAPLES, staples));
    return sm_dir_make(staples, 0700);
}

static enum sm_err node_key(const struct sm_config *c, bool may_make, struct sm_sign_pair **out)
{
    char keys[SM_PATH], path[SM_PATH];
    SM_TRY(sm_path_join(c->node.home, "keys", keys));
    SM_TRY(sm_path_join(keys, "node.key", path));
    return sm_key_file(sm_suite_real(), path, may_make, out);
}

/* The configuration comes last: it makes the folder a node's home. */
enum sm_err sm_cc_home_make(const struct sm_config *c, char why[static SM_PROVIDER_WHY])
{
    struct sm_sign_pair *key = NULL;
    char conf[SM_PATH];
    SM_TRY(sm_path_join(c->node.home, "seemesh.conf", conf));
    if (sm_file_exists(conf)) {
        return file_problem(SM_E_EXISTS, conf, why);
    }
    enum sm_err e = make_folders(c);
    e = e == SM_OK ? node_key(c, true, &key) : e;
    sm_secret_free(key);
    e = e == SM_OK ? write_config(c, conf) : e;
    return e == SM_OK ? e : file_problem(e, c->node.home, why);
}

/* -- the request -------------------------------------------------------------------------- */

static enum sm_err collect(const struct sm_config *c, const uint8_t *rd, struct sm_wr *w,
                           char why[static SM_PROVIDER_WHY])
{
    char keys[SM_PATH];
    SM_TRY(sm_path_join(c->node.home, "keys", keys));
    struct sm_provider_env env = {.dir = keys, .device = c->platform.device};
    struct sm_evidence_provider p;
    SM_TRY(sm_evidence_provider_start((uint8_t)c->platform.kind, &env, &p, why));
    enum sm_err e = sm_evidence_provider_collect(&p, rd, w, why);
    sm_evidence_provider_stop(&p);
    return e;
}

/* As the root will look at it: better refused here, where it can be mended. */
static enum sm_err look(const struct sm_config *c, struct sm_view bytes, struct sm_claims *out,
                        char why[static SM_PROVIDER_WHY])
{
    struct sm_envelope e;
    struct sm_makers trust;
    struct sm_reasons reasons = {0};
    char text[SM_PROVIDER_WHY - 48];
    sm_makers_pinned(&trust);
    enum sm_err err = sm_envelope_read(bytes, &e);
    if (err == SM_OK) {
        err = sm_hw_evidence_verify(&trust, sm_clock_wall(), (uint8_t)c->platform.kind, &e, out,
                                    &reasons);
    }
    if (err != SM_OK) {
        sm_reasons_text(&reasons, text, sizeof text);
        return sm_provider_because(err, why, "nobody would believe this machine: %s", text);
    }
    return SM_OK;
}

enum sm_err sm_cc_request(const struct sm_config *c, struct sm_view nonce, struct sm_buf *out,
                          struct sm_claims *claims, char why[static SM_PROVIDER_WHY])
{
    static uint8_t envelope[SM_EVIDENCE_MAX], bytes[SM_EVIDENCE_MAX + 1024];
    struct sm_wr w = sm_wr_init(envelope, sizeof envelope), o = sm_wr_init(bytes, sizeof bytes);
    struct sm_anchor anchor;
    struct sm_sign_pair *key = NULL;
    uint8_t rd[SM_REPORT_DATA], sign_key[32];
    if (nonce.n > SM_ENROL_NONCE_MAX) {
        return sm_provider_because(SM_E_LIMIT, why, "the nonce has more than %u bytes",
                                   SM_ENROL_NONCE_MAX);
    }
    SM_TRY(sm_config_anchor(c, &anchor));
    enum sm_err e = node_key(c, false, &key);
    if (e != SM_OK) {
        return sm_provider_because(e, why, "HOME/keys/node.key: %s", sm_err_words(e));
    }
    memcpy(sign_key, key->pub.b, sizeof sign_key);
    sm_secret_free(key);
    struct sm_enrol_request r = {.mesh_id = sm_view_of(anchor.mesh_id, 32),
                                 .sign_key = sm_view_of(sign_key, 32),
                                 .platform = (uint8_t)c->platform.kind,
                                 .nonce = nonce};
    sm_enrol_report_data(&r, rd);
    SM_TRY(collect(c, rd, &w, why));
    r.envelope = sm_view_of(w.p, w.n);
    SM_TRY(look(c, r.envelope, claims, why));
    sm_enrol_request_write(&r, &o);
    e = o.full ? SM_E_LIMIT : sm_buf_add(out, o.p, o.n);
    return e == SM_OK ? e : sm_provider_because(e, why, "the request: %s", sm_err_words(e));
}

/* -- the answer --------------------------------------------------------------------------- */

enum sm_err sm_cc_accept(const struct sm_config *c, struct sm_view endorsement,
                         struct sm_node_id *out, char why[static SM_PROVIDER_WHY])
{
    struct sm_anchor anchor;
    struct sm_endorsement e;
    struct sm_sign_pair *key = NULL;
    char keys[SM_PATH], path[SM_PATH];
    uint8_t index = 0;
    SM_TRY(sm_config_anchor(c, &anchor));
    enum sm_err err =
        sm_endorsement_verify(sm_suite_real(), &anchor, sm_clock_wall(), endorsement, &e);
    if (err != SM_OK) {
        return sm_provider_because(err, why,
                                   "this is no endorsement by a root of %s/seemesh.conf: %s",
                                   c->node.home, sm_err_words(err));
    }
    SM_TRY(node_key(c, false, &key));
    bool is_ours = memcmp(key->pub.b, e.sign_key, sizeof e.sign_key) == 0 &&
                   e.platform == c->platform.kind;
    sm_secret_free(key);
    if (!is_ours) {
        return sm_provider_because(SM_E_AUTH, why, "this endorsement is of another node");
    }
    SM_TRY(sm_path_join(c->node.home, "keys", keys));
    SM_TRY(sm_path_join(keys, "node.endorsement", path));
    err = sm_file_write_atomic(path, 0644, endorsement);
    if (err != SM_OK) {
        return file_problem(err, path, why);
    }
    while (((unsigned)e.indexes >> index & 1u) ==
           0) { /* there is one: the verifier saw to it */
        index++;
    }
    sm_node_id_make(e.platform_id, index, anchor.network, out);
    return SM_OK;
}
