// SPDX-License-Identifier: Apache-2.0
#include "proc/tpm_enrol.h"

#include "attest/hardware.h"
#include "base/cbor.h"
#include "crypto/hash.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/identity.h"
#include "proc/provider_tpm.h"
#include "proc/sealed.h"
#include "proc/tpm_credential.h"
#include "wire/frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_LABEL "seemesh/tpm-request/1"
#define REPLY_LABEL   "seemesh/tpm-reply/1"
enum { REQUEST_FIELDS = 5, REPLY_FIELDS = 5 };

__attribute__((format(printf, 3, 4))) static enum sm_err
because(enum sm_err e, char why[static SM_TPM_ENROL_WHY], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SM_TPM_ENROL_WHY, fmt, ap);
    va_end(ap);
    return e;
}

static enum sm_err because_of(enum sm_err e, char why[static SM_TPM_ENROL_WHY],
                              const char *what, const struct sm_reasons *reasons)
{
    char text[SM_TPM_ENROL_WHY - 64];
    sm_reasons_text(reasons, text, sizeof text);
    return because(e, why, "%s: %s", what, text);
}

/* -- the node: keys ---------------------------------------------------------------------- */

static enum sm_err open_tpm(const struct sm_tpm_node *n, struct sm_tpmdev **out,
                            char why[static SM_TPM_ENROL_WHY])
{
    char tpm_why[SM_TPMDEV_WHY];
    enum sm_err e = sm_tpmdev_open(sm_tpm_tcti(n->device), out, tpm_why);
    return e == SM_OK ? e : because(e, why, "%s", tpm_why);
}

static enum sm_err make_ak(struct sm_tpmdev *t, const char *path,
                           char why[static SM_TPM_ENROL_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf blob = SM_BUF(SM_TPMDEV_BLOB);
    enum sm_err e = sm_tpmdev_ak_make(t, &blob);
    if (e != SM_OK) {
        return because(e, why, "%s", sm_tpmdev_why(t));
    }
    e = sm_file_create(path, 0600, sm_buf_view(&blob));
    return e == SM_OK ? e : because(e, why, "%s: %s", path, sm_err_words(e));
}

static enum sm_err make_sealed(struct sm_tpmdev *t, uint32_t mask, const char *path,
                               char why[static SM_TPM_ENROL_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf file = SM_BUF(SM_SEALED_MAX);
    char tpm_why[SM_TPMDEV_WHY];
    struct sm_secret32 *seed = sm_secret_new(sizeof *seed);
    if (seed == NULL) {
        return because(SM_E_NOMEM, why, "%s", sm_err_words(SM_E_NOMEM));
    }
    enum sm_err e = sm_random_bytes(seed->b, sizeof seed->b);
    (void)snprintf(tpm_why, sizeof tpm_why, "%s", sm_err_words(e));
    e = e == SM_OK ? sm_sealed_make(t, mask, seed, &file, tpm_why) : e;
    sm_secret_free(seed);
    if (e != SM_OK) {
        return because(e, why, "%s", tpm_why);
    }
    e = sm_file_write_atomic(path, 0600, sm_buf_view(&file));
    return e == SM_OK ? e : because(e, why, "%s: %s", path, sm_err_words(e));
}

enum sm_err sm_tpm_keys_make(const struct sm_tpm_node *n, uint32_t pcr_mask, bool is_renewal,
                             char why[static SM_TPM_ENROL_WHY])
{
    struct sm_tpmdev *t = NULL;
    char ak[SM_PATH], sealed[SM_PATH];
    SM_TRY(sm_path_join(n->dir, SM_TPM_AK_FILE, ak));
    SM_TRY(sm_path_join(n->dir, SM_SEALED_FILE, sealed));
    SM_TRY(open_tpm(n, &t, why));
    enum sm_err e = sm_file_exists(ak) ? SM_OK : make_ak(t, ak, why);
    if (e == SM_OK && (is_renewal || !sm_file_exists(sealed))) {
        e = make_sealed(t, pcr_mask, sealed, why);
    }
    sm_tpmdev_close(t);
    return e;
}

/* -- the request ------------------------------------------------------------------------- */

struct request {
    struct sm_view mesh_id, sign_key, ek_public, ek_cert, evidence;
};

static void put_bytes(struct sm_wr *w, uint64_t key, struct sm_view v)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_bytes(w, v);
}

static struct sm_view get_bytes(struct sm_cbor *c, uint64_t key)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
    return sm_cbor_bytes(c);
}

static void request_write(const struct request *r, struct sm_wr *w)
{
    sm_cbor_put_map(w, REQUEST_FIELDS);
    put_bytes(w, 1, r->mesh_id);
    put_bytes(w, 2, r->sign_key);
    put_bytes(w, 3, r->ek_public);
    put_bytes(w, 4, r->ek_cert);
    put_bytes(w, 5, r->evidence);
}

static enum sm_err request_read(struct sm_view bytes, struct request *out)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    struct request r;
    if (bytes.n > SM_TPM_REQUEST_MAX) {
        return SM_E_LIMIT;
    }
    if (sm_cbor_map(&c) != REQUEST_FIELDS) {
        sm_cbor_fail(&c);
    }
    r.mesh_id = get_bytes(&c, 1);
    r.sign_key = get_bytes(&c, 2);
    r.ek_public = get_bytes(&c, 3);
    r.ek_cert = get_bytes(&c, 4);
    r.evidence = get_bytes(&c, 5);
    if (r.mesh_id.n != 32 || r.sign_key.n != 32) {
        sm_cbor_fail(&c);
    }
    SM_TRY(sm_cbor_done(&c));
    *out = r;
    return SM_OK;
}

bool sm_tpm_is_request(struct sm_view bytes)
{
    struct request r;
    return request_read(bytes, &r) == SM_OK;
}

/* What the attestation key quotes over. */
static void request_data(struct sm_view mesh_id, struct sm_view sign_key,
                         uint8_t out[static SM_REPORT_DATA])
{
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA512);
    sm_hash_add(&h, sm_view_of(REQUEST_LABEL, sizeof REQUEST_LABEL));
    sm_hash_add(&h, mesh_id);
    sm_hash_add(&h, sign_key);
    sm_hash_end(&h, out);
}

/* The P-256 one when it has a certificate: it is made in a moment; RSA takes a chip seconds. */
static enum sm_err read_ek(const struct sm_tpm_node *n, struct sm_buf *out_public,
                           struct sm_buf *out_cert, char why[static SM_TPM_ENROL_WHY])
{
    struct sm_tpmdev *t = NULL;
    SM_TRY(open_tpm(n, &t, why));
    enum sm_err e = sm_tpmdev_ek(t, SM_TPMDEV_EK_ECC, out_public, out_cert);
    if (e != SM_OK) {
        e = sm_tpmdev_ek(t, SM_TPMDEV_EK_RSA, out_public, out_cert);
    }
    if (e != SM_OK) {
        (void)because(e, why, "%s%s", sm_tpmdev_why(t),
                      e == SM_E_NOTFOUND ? " (this TPM has no certificate of its maker in NV)"
                                         : "");
    }
    sm_tpmdev_close(t);
    return e;
}

static enum sm_err quote_request(const struct sm_tpm_node *n, const struct request *r,
                                 struct sm_wr *w, char why[static SM_TPM_ENROL_WHY])
{
    const struct sm_provider_env env = {.dir = n->dir, .device = n->device};
    struct sm_evidence_provider p;
    uint8_t rd[SM_REPORT_DATA];
    char p_why[SM_PROVIDER_WHY];
    request_data(r->mesh_id, r->sign_key, rd);
    enum sm_err e = sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &p, p_why);
    if (e == SM_OK) {
        e = sm_evidence_provider_collect(&p, rd, w, p_why);
        sm_evidence_provider_stop(&p);
    }
    return e == SM_OK ? e : because(e, why, "%s", p_why);
}

static enum sm_err own_key(const struct sm_tpm_node *n, uint8_t out[static 32],
                           char why[static SM_TPM_ENROL_WHY])
{
    struct sm_sign_pair *key = NULL;
    SM_TRY(sm_identity_sealed_key(sm_suite_real(), n->dir, n->device, &key, why));
    memcpy(out, key->pub.b, 32);
    sm_secret_free(key);
    return SM_OK;
}

enum sm_err sm_tpm_request_make(const struct sm_tpm_node *n, const struct sm_anchor *a,
                                struct sm_buf *out, char why[static SM_TPM_ENROL_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf ek = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf cert = SM_BUF(SM_TPMDEV_CERT);
    uint8_t sign_key[32], evidence[SM_EVIDENCE_MAX], bytes[SM_TPM_REQUEST_MAX];
    struct sm_wr ev = sm_wr_init(evidence, sizeof evidence);
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct request r = {.mesh_id = sm_view_of(a->mesh_id, sizeof a->mesh_id),
                        .sign_key = sm_view_of(sign_key, sizeof sign_key)};
    struct sm_view v;
    SM_TRY(own_key(n, sign_key, why));
    SM_TRY(read_ek(n, &ek, &cert, why));
    SM_TRY(quote_request(n, &r, &ev, why));
    r.ek_public = sm_buf_view(&ek);
    r.ek_cert = sm_buf_view(&cert);
    r.evidence = sm_view_of(ev.p, ev.n);
    request_write(&r, &w);
    enum sm_err e = sm_wr_done(&w, &v);
    sm_buf_clear(out);
    e = e == SM_OK ? sm_buf_add(out, v.p, v.n) : e;
    return e == SM_OK ? e : because(e, why, "request: %s", sm_err_words(e));
}

/* -- the answer -------------------------------------------------------------------------- */

struct reply {
    uint64_t ek_alg;
    struct sm_view ek_name, id_object, secret, box;
};

static enum sm_err reply_read(struct sm_view bytes, struct reply *out)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    struct reply r;
    if (bytes.n > SM_TPM_REPLY_MAX) {
        return SM_E_LIMIT;
    }
    if (sm_cbor_map(&c) != REPLY_FIELDS || sm_cbor_uint(&c) != 1) {
        sm_cbor_fail(&c);
    }
    r.ek_alg = sm_cbor_uint(&c);
    r.ek_name = get_bytes(&c, 2);
    r.id_object = get_bytes(&c, 3);
    r.secret = get_bytes(&c, 4);
    r.box = get_bytes(&c, 5);
    if (r.box.n < SM_TAG_BYTES || r.box.n > SM_NODE_ENDORSEMENT_MAX + SM_TAG_BYTES) {
        sm_cbor_fail(&c);
    }
    SM_TRY(sm_cbor_done(&c));
    *out = r;
    return SM_OK;
}

/* The secret is used for one message in its life, so the number is 0. */
static enum sm_err reply_aead(const struct sm_secret32 *secret, struct sm_aead *out)
{
    struct sm_secret32 key;
    SM_TRY(sm_hkdf(SM_SHA256, (struct sm_view){0}, sm_view_of(secret->b, sizeof secret->b),
                   sm_view_str(REPLY_LABEL), key.b, sizeof key.b));
    enum sm_err e = sm_aead_init(out, sm_suite_real(), SM_AESGCM, &key);
    sm_wipe(&key, sizeof key);
    return e;
}

static enum sm_err load_ak(struct sm_tpmdev *t, const char *dir)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf blob = SM_BUF(SM_TPMDEV_BLOB);
    char path[SM_PATH];
    SM_TRY(sm_path_join(dir, SM_TPM_AK_FILE, path));
    SM_TRY(sm_file_read(path, &blob));
    return sm_tpmdev_ak_load(t, sm_buf_view(&blob));
}

/* A credential for another EK is told from the name: swtpm 0.7 goes into failure mode over one
 * that it cannot open. */
static enum sm_err check_ek_name(struct sm_tpmdev *t, enum sm_tpmdev_ek kind,
                                 struct sm_view name, char why[static SM_TPM_ENROL_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf pub = SM_BUF(SM_TPMDEV_BLOB);
    struct sm_tpm_ek ek;
    enum sm_err e = sm_tpmdev_ek_public(t, kind, &pub);
    if (e != SM_OK) {
        return because(e, why, "%s", sm_tpmdev_why(t));
    }
    e = sm_tpm_ek_read(sm_buf_view(&pub), &ek);
    if (e != SM_OK || !sm_view_eq(name, sm_view_of(ek.name, sizeof ek.name))) {
        return because(SM_E_CRYPTO, why, "the answer is not for this TPM: another EK's");
    }
    return SM_OK;
}

static enum sm_err activate(const struct sm_tpm_node *n, const struct reply *r,
                            struct sm_secret32 *out, char why[static SM_TPM_ENROL_WHY])
{
    enum sm_tpmdev_ek kind = r->ek_alg == SM_TPM_ECC ? SM_TPMDEV_EK_ECC : SM_TPMDEV_EK_RSA;
    struct sm_tpmdev *t = NULL;
    SM_TRY(open_tpm(n, &t, why));
    enum sm_err e = check_ek_name(t, kind, r->ek_name, why);
    if (e == SM_OK) {
        e = load_ak(t, n->dir);
        e = e == SM_OK ? sm_tpmdev_activate(t, kind, r->id_object, r->secret, out->b) : e;
        if (e != SM_OK) {
            (void)because(e, why, "the answer is not for this TPM's key: %s", sm_tpmdev_why(t));
        }
    }
    sm_tpmdev_close(t);
    return e;
}

enum sm_err sm_tpm_reply_take(const struct sm_tpm_node *n, struct sm_view reply,
                              char why[static SM_TPM_ENROL_WHY])
{
    uint8_t endorsement[SM_NODE_ENDORSEMENT_MAX];
    char path[SM_PATH];
    struct sm_secret32 secret;
    struct sm_aead aead = {0};
    struct reply r;
    enum sm_err e = reply_read(reply, &r);
    if (e != SM_OK) {
        return because(e, why, "this is no answer to a request: %s", sm_err_words(e));
    }
    SM_TRY(activate(n, &r, &secret, why));
    e = reply_aead(&secret, &aead);
    sm_wipe(&secret, sizeof secret);
    if (e == SM_OK) {
        e = sm_aead_open(&aead, 0, sm_view_str(REPLY_LABEL), r.box, endorsement);
        sm_aead_done(&aead);
    }
    e = e == SM_OK ? sm_path_join(n->dir, "node.endorsement", path) : e;
    e = e == SM_OK
            ? sm_file_write_atomic(path, 0644, sm_view_of(endorsement, r.box.n - SM_TAG_BYTES))
            : e;
    return e == SM_OK ? e : because(e, why, "endorsement: %s", sm_err_words(e));
}

/* -- the root: makers -------------------------------------------------------------------- */

void sm_tpm_makers_done(struct sm_tpm_makers *m)
{
    sm_buf_done(&m->pem);
    m->trust = (struct sm_makers){0};
}

static const uint8_t *find(struct sm_view in, const char *text)
{
    return memmem(in.p, in.n, text, strlen(text));
}

/* One view for each block. */
static enum sm_err split_pem(struct sm_view pem, struct sm_makers *out)
{
    static const char end[] = "-----END CERTIFICATE-----";
    struct sm_makers t = {0};
    while (pem.n > 0) {
        const uint8_t *from = find(pem, "-----BEGIN CERTIFICATE-----");
        if (from == NULL) {
            break;
        }
        pem = sm_view_sub(pem, (size_t)(from - pem.p), pem.n);
        const uint8_t *to = find(pem, end);
        if (to == NULL) {
            return SM_E_TRUNCATED;
        }
        size_t n = (size_t)(to - pem.p) + sizeof end - 1;
        if (t.n_tpm == SM_MAKERS_TPM_MAX) {
            return SM_E_LIMIT;
        }
        t.tpm[t.n_tpm++] = sm_view_sub(pem, 0, n);
        pem = sm_view_sub(pem, n, pem.n);
    }
    *out = t;
    return t.n_tpm > 0 ? SM_OK : SM_E_MALFORMED;
}

enum sm_err sm_tpm_makers_load(const char *path, struct sm_tpm_makers *out)
{
    struct sm_tpm_makers m = {.pem = SM_BUF(SM_TPM_REQUEST_MAX)};
    enum sm_err e = sm_file_read(path, &m.pem);
    e = e == SM_OK ? split_pem(sm_buf_view(&m.pem), &m.trust) : e;
    if (e != SM_OK) {
        sm_tpm_makers_done(&m);
        return e;
    }
    *out = m;
    return SM_OK;
}

/* -- the root: endorsing ----------------------------------------------------------------- */

static enum sm_err check_ek(const struct sm_tpm_endorser *by, const struct request *r,
                            struct sm_tpm_ek *out, char why[static SM_TPM_ENROL_WHY])
{
    struct sm_reasons reasons = {0};
    struct sm_tpm_ek ek;
    enum sm_err e =
        sm_tpm_ek_verify(r->ek_public, r->ek_cert, by->makers, by->now, &ek, &reasons);
    if (e != SM_OK) {
        return because_of(e, why, "the TPM's endorsement key was refused", &reasons);
    }
    if (ek.is_software && by->anchor->env != SM_ENV_DEV) {
        return because(SM_E_REFUSED, why,
                       "this is a software TPM: only the development environment takes it");
    }
    *out = ek;
    return SM_OK;
}

static enum sm_err check_quote(const struct sm_tpm_endorser *by, const struct request *r,
                               struct sm_claims *out, char why[static SM_TPM_ENROL_WHY])
{
    struct sm_reasons reasons = {0};
    struct sm_envelope envelope;
    uint8_t rd[SM_REPORT_DATA];
    enum sm_err e = sm_envelope_read(r->evidence, &envelope);
    if (e != SM_OK) {
        return because(e, why, "the request's evidence: %s", sm_err_words(e));
    }
    e = sm_hw_evidence_verify(by->makers, by->now, SM_PLATFORM_TPM, &envelope, out, &reasons);
    request_data(r->mesh_id, r->sign_key, rd);
    if (e == SM_OK && !sm_appraise_report_data(out, rd, &reasons)) {
        e = SM_E_REFUSED;
    }
    return e == SM_OK ? e : because_of(e, why, "the request's quote was refused", &reasons);
}

static enum sm_err fill(const struct sm_tpm_endorser *by, const struct request *r,
                        const struct sm_tpm_ek *ek, struct sm_tpm_endorsed *out)
{
    struct sm_endorsement *e = &out->endorsement;
    struct sm_view ak_name = sm_view_of(out->claims.platform_id, out->claims.platform_id_n);
    *e = (struct sm_endorsement){.platform = SM_PLATFORM_TPM,
                                 .indexes = by->indexes,
                                 .not_before = by->now,
                                 .expires = by->expires};
    memcpy(e->sign_key, r->sign_key.p, sizeof e->sign_key);
    SM_TRY(sm_platform_id_hash(SM_PLATFORM_TPM, sm_view_of(ek->name, sizeof ek->name),
                               e->platform_id));
    return sm_platform_id_hash(SM_PLATFORM_TPM, ak_name, e->shown_id);
}

/* Encrypt the endorsement to who can activate the credential. */
static enum sm_err write_reply(const struct sm_tpm_ek *ek, struct sm_view ak_name,
                               struct sm_view endorsement, struct sm_buf *out)
{
    uint8_t box[SM_NODE_ENDORSEMENT_MAX + SM_TAG_BYTES], bytes[SM_TPM_REPLY_MAX];
    struct sm_tpm_challenge challenge;
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_secret32 secret;
    struct sm_aead aead = {0};
    struct sm_view v;
    SM_TRY(sm_random_bytes(secret.b, sizeof secret.b));
    enum sm_err e = sm_tpm_credential_make(ek, ak_name, secret.b, &challenge);
    e = e == SM_OK ? reply_aead(&secret, &aead) : e;
    sm_wipe(&secret, sizeof secret);
    SM_TRY(e);
    e = sm_aead_seal(&aead, 0, sm_view_str(REPLY_LABEL), endorsement, box);
    sm_aead_done(&aead);
    SM_TRY(e);
    sm_cbor_put_map(&w, REPLY_FIELDS);
    sm_cbor_put_uint(&w, 1);
    sm_cbor_put_uint(&w, ek->key.alg);
    put_bytes(&w, 2, sm_view_of(ek->name, sizeof ek->name));
    put_bytes(&w, 3, sm_view_of(challenge.id_object, challenge.id_object_n));
    put_bytes(&w, 4, sm_view_of(challenge.secret, challenge.secret_n));
    put_bytes(&w, 5, sm_view_of(box, endorsement.n + SM_TAG_BYTES));
    SM_TRY(sm_wr_done(&w, &v));
    sm_buf_clear(out);
    return sm_buf_add(out, v.p, v.n);
}

enum sm_err sm_tpm_request_endorse(const struct sm_tpm_endorser *by, struct sm_view request,
                                   struct sm_buf *out_reply, struct sm_tpm_endorsed *out,
                                   char why[static SM_TPM_ENROL_WHY])
{
    uint8_t bytes[SM_NODE_ENDORSEMENT_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_tpm_endorsed made = {0};
    struct sm_tpm_ek ek;
    struct request r;
    struct sm_view v;
    enum sm_err e = request_read(request, &r);
    if (e != SM_OK) {
        return because(e, why, "this is no request of a TPM: %s", sm_err_words(e));
    }
    if (!sm_view_eq(r.mesh_id, sm_view_of(by->anchor->mesh_id, sizeof by->anchor->mesh_id))) {
        return because(SM_E_AUTH, why, "the request is for another mesh or environment");
    }
    SM_TRY(check_ek(by, &r, &ek, why));
    SM_TRY(check_quote(by, &r, &made.claims, why));
    made.is_software = ek.is_software;
    e = fill(by, &r, &ek, &made);
    e = e == SM_OK ? sm_endorse(by->suite, by->root, by->anchor, &made.endorsement, &w) : e;
    e = e == SM_OK ? sm_wr_done(&w, &v) : e;
    struct sm_view ak_name = sm_view_of(made.claims.platform_id, made.claims.platform_id_n);
    e = e == SM_OK ? write_reply(&ek, ak_name, v, out_reply) : e;
    if (e != SM_OK) {
        return because(e, why, "endorsing: %s", sm_err_words(e));
    }
    *out = made;
    return SM_OK;
}
