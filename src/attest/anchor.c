// SPDX-License-Identifier: Apache-2.0
#include "attest/anchor.h"

#include "attest/dev.h"
#include "attest/endorse.h"
#include "attest/rules.h"
#include "crypto/hash.h"
#include "crypto/known.h"
#include "crypto/suite.h"

#include <string.h>

const char *sm_env_name(enum sm_env env)
{
    return env == SM_ENV_PROD ? "prod" : "dev";
}

static void set_grades(struct sm_anchor *a)
{
    if (a->env == SM_ENV_DEV) {
        a->grade[SM_PLATFORM_SOFTWARE] = 1000;
    }
    a->grade[SM_PLATFORM_SNP] = 1000;
    a->grade[SM_PLATFORM_TDX] = 1000;
    a->grade[SM_PLATFORM_TPM] = 800; /* measures the boot, does not shield the memory */
}

enum sm_err sm_anchor_make(enum sm_env env, const char *mesh_name, const uint8_t (*roots)[32],
                           size_t n_roots, struct sm_anchor *out)
{
    size_t name_n = strlen(mesh_name);
    if (n_roots == 0 || n_roots > SM_ANCHOR_ROOTS_MAX || name_n == 0 ||
        name_n > SM_MESH_NAME_MAX) {
        return SM_E_INVALID;
    }
    const char *env_text = sm_env_name(env);
    struct sm_anchor a = {.env = env, .n_roots = (uint8_t)n_roots};
    memcpy(a.roots, roots, n_roots * sizeof a.roots[0]);

    struct sm_hash h;
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_str("seemesh-mesh-1"));
    sm_hash_add(&h, sm_view_of(env_text, strlen(env_text) + 1));
    sm_hash_add(&h, sm_view_of(mesh_name, name_n + 1));
    sm_hash_add(&h, sm_view_of(a.roots[0], sizeof a.roots[0]));
    sm_hash_end(&h, a.mesh_id);
    a.network = sm_le32(a.mesh_id);
    set_grades(&a);
    *out = a;
    return SM_OK;
}

void sm_anchor_prologue(const struct sm_anchor *a, struct sm_wr *w)
{
    sm_wr_view(w, sm_view_str("seemesh/1/"));
    sm_wr_view(w, sm_view_str(sm_env_name(a->env)));
    sm_wr_bytes(w, a->mesh_id, sizeof a->mesh_id);
}

void sm_node_id_make(const uint8_t platform_id[static 32], uint8_t index, uint32_t network,
                     struct sm_node_id *out)
{
    uint8_t net[4];
    struct sm_hash h;
    sm_put_le32(net, network);
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_str("seemesh-id-1"));
    sm_hash_add(&h, sm_view_of(platform_id, 32));
    sm_hash_add(&h, sm_view_of(&index, 1));
    sm_hash_add(&h, sm_view_of(net, sizeof net));
    sm_hash_end(&h, out->b);
}

/* -- records ------------------------------------------------------------------------------ */

static enum sm_err verify(const struct sm_suite *suite, const struct sm_anchor *a,
                          struct sm_known_sigs *known, struct sm_wall now,
                          struct sm_view record, uint8_t type,
                          const uint8_t sign_key[static 32])
{
    uint8_t buf[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    struct sm_record_head head;
    struct sm_view body, sig_bytes, msg;
    struct sm_sign_pub key;
    struct sm_sig sig;

    SM_TRY(sm_record_peek(record, &head));
    SM_TRY(sm_record_split(record, &body, &sig_bytes));
    if (head.type != type) {
        return SM_E_MALFORMED;
    }
    if (head.network != a->network) {
        return SM_E_AUTH;
    }
    SM_TRY(sm_record_times(&head, now));
    sm_record_to_sign(body, &w);
    SM_TRY(sm_wr_done(&w, &msg));
    memcpy(key.b, sign_key, sizeof key.b);
    memcpy(sig.b, sig_bytes.p, sizeof sig.b);
    return sm_known_verify(known, suite, &key, msg, &sig);
}

enum sm_err sm_record_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                             struct sm_wall now, struct sm_view record, uint8_t type,
                             const uint8_t sign_key[static 32])
{
    return verify(suite, a, NULL, now, record, type, sign_key);
}

#ifdef SM_DEV_ROOT
static enum sm_err software_endorsed(const struct sm_suite *suite, const struct sm_anchor *a,
                                     struct sm_wall now, struct sm_node_record *rec)
{
    struct sm_dev_endorsement e;
    struct sm_view bytes = sm_view_of(rec->endorsement, rec->endorsement_n);
    SM_TRY(sm_dev_endorsement_verify(suite, a, now, bytes, &e));
    if (memcmp(e.sign_key, rec->sign_key, sizeof e.sign_key) != 0) {
        return SM_E_AUTH;
    }
    memcpy(rec->platform_id, e.platform_id, sizeof e.platform_id);
    return SM_OK;
}
#endif

static enum sm_err hardware_endorsed(const struct sm_suite *suite, const struct sm_anchor *a,
                                     struct sm_wall now, struct sm_node_record *rec)
{
    struct sm_endorsement e;
    struct sm_view bytes = sm_view_of(rec->endorsement, rec->endorsement_n);
    SM_TRY(sm_endorsement_verify(suite, a, now, bytes, &e));
    if (e.platform != rec->platform || ((unsigned)e.indexes >> rec->index & 1u) == 0 ||
        memcmp(e.sign_key, rec->sign_key, sizeof e.sign_key) != 0) {
        return SM_E_AUTH;
    }
    memcpy(rec->platform_id, e.platform_id, sizeof e.platform_id);
    memcpy(rec->shown_id, e.shown_id, sizeof e.shown_id);
    return SM_OK;
}

/* Sets the record's platform_id and shown_id. */
static enum sm_err endorsement_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                      struct sm_wall now, struct sm_node_record *rec)
{
    if (a->grade[rec->platform] == 0) {
        return SM_E_REFUSED;
    }
    if (rec->platform != SM_PLATFORM_SOFTWARE) {
        return hardware_endorsed(suite, a, now, rec);
    }
#ifdef SM_DEV_ROOT
    if (a->env == SM_ENV_DEV) {
        return software_endorsed(suite, a, now, rec);
    }
#endif
    return SM_E_REFUSED;
}

/* Some measurements have 32 bytes; a record has zeros behind them. */
static bool is_revoked(const struct sm_anchor *a, const struct sm_node_record *rec,
                       const uint8_t measurement[static 48], struct sm_reasons *why)
{
    static const uint8_t zeros[16];
    struct sm_view platform = sm_view_of(rec->platform_id, sizeof rec->platform_id);
    if (a->rules == NULL) {
        return false;
    }
    return sm_rules_is_revoked(a->rules, &rec->node_id, platform, sm_view_of(measurement, 48),
                               why) ||
           (memcmp(measurement + 32, zeros, sizeof zeros) == 0 &&
            sm_rules_is_revoked(a->rules, NULL, (struct sm_view){0},
                                sm_view_of(measurement, 32), why));
}

bool sm_node_is_revoked(const struct sm_anchor *a, const struct sm_node_record *rec,
                        struct sm_reasons *why)
{
    return is_revoked(a, rec, rec->measurement, why);
}

bool sm_passport_is_revoked(const struct sm_anchor *a, const struct sm_passport *p)
{
    return sm_node_is_revoked(a, &p->node, NULL) ||
           is_revoked(a, &p->node, p->measurement, NULL);
}

enum sm_err sm_node_record_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                  struct sm_wall now, struct sm_view record,
                                  struct sm_node_record *out)
{
    struct sm_node_record rec;
    struct sm_node_id id;
    SM_TRY(sm_node_record_read(record, &rec));
    /* The endorsement first: only endorsed keys' signatures are remembered. */
    SM_TRY(endorsement_verify(suite, a, now, &rec));
    SM_TRY(verify(suite, a, a->known, now, record, SM_RECORD_NODE, rec.sign_key));
    sm_node_id_make(rec.platform_id, rec.index, a->network, &id);
    if (!sm_node_id_eq(&id, &rec.node_id)) {
        return SM_E_AUTH;
    }
    if (sm_node_is_revoked(a, &rec, NULL)) {
        return SM_E_REFUSED;
    }
    *out = rec;
    return SM_OK;
}

static void passport_of_node(struct sm_passport *p)
{
    p->addr = (struct sm_addr){sm_hop_of(&p->node.node_id), SM_EP_NODE};
    p->kind = SM_ENDPOINT_NODE;
    memcpy(p->sign_key, p->node.sign_key, sizeof p->sign_key);
    memcpy(p->dh_key, p->node.dh_key, sizeof p->dh_key);
    memcpy(p->measurement, p->node.measurement, sizeof p->measurement);
    p->expires = p->node.head.expires;
}

enum sm_err sm_passport_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                               struct sm_wall now, struct sm_view passport,
                               struct sm_passport *out)
{
    struct sm_view node_bytes, endpoint_bytes;
    struct sm_endpoint_record ep;
    struct sm_passport p;
    SM_TRY(sm_passport_read(passport, &node_bytes, &endpoint_bytes));
    SM_TRY(sm_node_record_verify(suite, a, now, node_bytes, &p.node));
    passport_of_node(&p);
    if (endpoint_bytes.n > 0) {
        SM_TRY(sm_endpoint_record_read(endpoint_bytes, &ep));
        SM_TRY(verify(suite, a, a->known, now, endpoint_bytes, SM_RECORD_ENDPOINT,
                      p.node.sign_key));
        if (!sm_node_id_eq(&ep.node_id, &p.node.node_id)) {
            return SM_E_AUTH;
        }
        p.addr.ep = ep.ep;
        p.kind = ep.kind;
        memcpy(p.sign_key, ep.sign_key, sizeof p.sign_key);
        memcpy(p.dh_key, ep.dh_key, sizeof p.dh_key);
        memcpy(p.measurement, ep.measurement, sizeof p.measurement);
        p.expires.s = ep.head.expires.s < p.expires.s ? ep.head.expires.s : p.expires.s;
    }
    if (sm_passport_is_revoked(a, &p)) {
        return SM_E_REFUSED;
    }
    *out = p;
    return SM_OK;
}
