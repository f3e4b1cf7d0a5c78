// SPDX-License-Identifier: Apache-2.0
#include "attest/nitro.h"

#include "attest/be.h"
#include "attest/x509.h"
#include "wire/record.h"

#include <string.h>

#define PCR_BYTES  48u /* SHA-384, the one digest there is */
#define CABUNDLE   (SM_CHAIN_MAX - 1u)
#define MODULE_MAX 64u

/* -- CBOR, as lax as it must be ---------------------------------------------------------- */

enum major { UINT = 0, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, TAG = 6 };

#define CBOR_NULL  0xf6u
#define CBOR_BREAK 0xffu
#define CBOR_OPEN  0xbfu /* a map without a length */
#define OPEN_END   UINT64_MAX

static uint8_t peek(const struct sm_rd *r)
{
    return !r->failed && r->left.n > 0 ? r->left.p[0] : 0;
}

/* The number in the head of an item of this kind, in its shortest form. */
static uint64_t head(struct sm_rd *r, enum major major)
{
    static const uint64_t least[] = {24, UINT64_C(1) << 8, UINT64_C(1) << 16,
                                     UINT64_C(1) << 32};
    uint8_t first = sm_rd_u8(r), low = first & 0x1f;
    uint64_t v = low;
    if (first >> 5 != (uint8_t)major || low > 27) {
        sm_rd_fail(r);
        return 0;
    }
    if (low < 24) {
        return v;
    }
    v = low == 24   ? sm_rd_u8(r)
        : low == 25 ? sm_rd_be16(r)
        : low == 26 ? sm_rd_be32(r)
                    : sm_rd_be64(r);
    if (v < least[low - 24]) {
        sm_rd_fail(r);
        return 0;
    }
    return v;
}

static struct sm_view string(struct sm_rd *r, enum major major, size_t max)
{
    uint64_t n = head(r, major);
    if (n > max) {
        sm_rd_fail(r);
        return (struct sm_view){0};
    }
    return sm_rd_view(r, (size_t)n);
}

/* How many pairs, or OPEN_END. */
static uint64_t map_open(struct sm_rd *r)
{
    if (peek(r) == CBOR_OPEN) {
        (void)sm_rd_u8(r);
        return OPEN_END;
    }
    return head(r, MAP);
}

static bool map_next(struct sm_rd *r, uint64_t *left)
{
    if (r->failed || *left == 0) {
        return false;
    }
    if (*left != OPEN_END) {
        (*left)--;
        return true;
    }
    if (peek(r) == CBOR_BREAK) {
        (void)sm_rd_u8(r);
        return false;
    }
    return true;
}

/* -- grammar ----------------------------------------------------------------------------- */

struct document {
    struct sm_view protected, payload, sig;
};

struct payload {
    struct sm_view module_id;
    uint64_t timestamp_ms;
    uint32_t pcr_mask;
    struct sm_view pcr[SM_REGS];
    struct sm_view certificate;
    size_t n_cabundle;
    struct sm_view cabundle[CABUNDLE]; /* root first */
    bool has_public_key, has_user_data, has_nonce;
    struct sm_view public_key, user_data, nonce;
};

/* {1: -35}, the algorithm ES384, and nothing else. */
static const uint8_t es384[] = {0xa1, 0x01, 0x38, 0x22};

static enum sm_err document_read(struct sm_view bytes, struct document *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct document d;
    if (peek(&r) >> 5 == TAG && head(&r, TAG) != 18) {
        sm_rd_fail(&r);
    }
    if (head(&r, ARRAY) != 4) {
        sm_rd_fail(&r);
    }
    d.protected = string(&r, BYTES, sizeof es384);
    if (head(&r, MAP) != 0) { /* unprotected headers */
        sm_rd_fail(&r);
    }
    d.payload = string(&r, BYTES, SM_NITRO_MAX);
    d.sig = string(&r, BYTES, 96);
    SM_TRY(sm_rd_done(&r));
    if (d.sig.n != 96) {
        return SM_E_MALFORMED;
    }
    if (!sm_view_eq(d.protected, sm_view_of(es384, sizeof es384))) {
        return SM_E_UNSUPPORTED;
    }
    *out = d;
    return SM_OK;
}

static void read_pcrs(struct sm_rd *r, struct payload *out)
{
    uint64_t left = map_open(r);
    while (map_next(r, &left)) {
        uint64_t i = head(r, UINT);
        struct sm_view v = string(r, BYTES, PCR_BYTES);
        if (i >= SM_REGS || v.n != PCR_BYTES || (out->pcr_mask >> i & 1) != 0) {
            sm_rd_fail(r);
            return;
        }
        out->pcr[i] = v;
        out->pcr_mask |= 1u << i;
    }
}

static void read_cabundle(struct sm_rd *r, struct payload *out)
{
    uint64_t n = head(r, ARRAY);
    if (n == 0 || n > CABUNDLE) {
        sm_rd_fail(r);
        return;
    }
    for (out->n_cabundle = 0; out->n_cabundle < n; out->n_cabundle++) {
        out->cabundle[out->n_cabundle] = string(r, BYTES, SM_CERT_MAX);
    }
}

static struct sm_view read_optional(struct sm_rd *r, bool *has)
{
    *has = peek(r) != CBOR_NULL;
    if (!*has) {
        (void)sm_rd_u8(r);
        return (struct sm_view){0};
    }
    return string(r, BYTES, SM_NITRO_DATA_MAX);
}

enum key {
    MODULE_ID,
    DIGEST,
    TIMESTAMP,
    PCRS,
    CERTIFICATE,
    CABUNDLE_KEY,
    PUBLIC_KEY,
    USER_DATA,
    NONCE,
    KEYS
};
#define NEEDED ((1u << PUBLIC_KEY) - 1)

static enum key read_key(struct sm_rd *r)
{
    static const char *const names[KEYS] = {"module_id",  "digest",      "timestamp",
                                            "pcrs",       "certificate", "cabundle",
                                            "public_key", "user_data",   "nonce"};
    struct sm_view key = string(r, TEXT, 16);
    for (unsigned i = 0; i < KEYS; i++) {
        if (sm_view_eq(key, sm_view_str(names[i]))) {
            return (enum key)i;
        }
    }
    return KEYS;
}

static void read_member(struct sm_rd *r, enum key key, struct payload *out)
{
    switch (key) {
    case MODULE_ID:
        out->module_id = string(r, TEXT, MODULE_MAX);
        break;
    case DIGEST:
        if (!sm_view_eq(string(r, TEXT, 16), sm_view_str("SHA384"))) {
            sm_rd_fail(r);
        }
        break;
    case TIMESTAMP:
        out->timestamp_ms = head(r, UINT);
        break;
    case PCRS:
        read_pcrs(r, out);
        break;
    case CERTIFICATE:
        out->certificate = string(r, BYTES, SM_CERT_MAX);
        break;
    case CABUNDLE_KEY:
        read_cabundle(r, out);
        break;
    case PUBLIC_KEY:
        out->public_key = read_optional(r, &out->has_public_key);
        break;
    case USER_DATA:
        out->user_data = read_optional(r, &out->has_user_data);
        break;
    case NONCE:
        out->nonce = read_optional(r, &out->has_nonce);
        break;
    case KEYS:
        sm_rd_fail(r);
        break;
    }
}

static enum sm_err payload_read(struct sm_view bytes, struct payload *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct payload p = {0};
    unsigned seen = 0;
    uint64_t left = map_open(&r);
    while (map_next(&r, &left)) {
        enum key key = read_key(&r);
        if ((seen >> key & 1) != 0) {
            sm_rd_fail(&r);
            break;
        }
        seen |= 1u << key;
        read_member(&r, key, &p);
    }
    SM_TRY(sm_rd_done(&r));
    if ((seen & NEEDED) != NEEDED || (p.pcr_mask & 7) != 7 || p.module_id.n == 0) {
        return SM_E_MALFORMED;
    }
    *out = p;
    return SM_OK;
}

/* -- chain and signature ----------------------------------------------------------------- */

static enum sm_err chain_add(struct sm_chain *chain, struct sm_view der)
{
    SM_TRY(sm_cert_read(der, &chain->c[chain->n]));
    chain->n++;
    return SM_OK;
}

/* Leaf, then the bundle backwards: it has the root first. */
static enum sm_err chain_read(const struct payload *p, struct sm_chain *out)
{
    SM_TRY(chain_add(out, p->certificate));
    for (size_t i = p->n_cabundle; i > 0; i--) {
        SM_TRY(chain_add(out, p->cabundle[i - 1]));
    }
    return SM_OK;
}

static enum sm_err chain_check(const struct payload *p, const struct sm_chain *chain,
                               const struct sm_makers *trust, struct sm_wall now,
                               struct sm_wall *not_after, struct sm_reasons *why)
{
    struct sm_view root = trust->root[SM_ROOT_AWS_NITRO];
    struct sm_chain_rules rules = {.skew_s = SM_NITRO_SKEW_S};
    if (root.n == 0 || !sm_view_eq(p->cabundle[0], root)) {
        sm_reasons_add(why, SM_REASON_CHAIN, "cabundle", "another root", "the pinned one");
        return SM_E_CRYPTO;
    }
    return sm_chain_verify(chain, root, NULL, 0, &rules, now, not_after, why);
}

/* Sig_structure of RFC 9052, 4.4: ["Signature1", protected, h'', payload]. */
static enum sm_err signed_bytes(const struct document *d, struct sm_wr *w, struct sm_view *out)
{
    static const uint8_t start[] = {0x84, 0x6a, 'S', 'i', 'g', 'n', 'a',
                                    't',  'u',  'r', 'e', '1', 0x44};
    sm_wr_bytes(w, start, sizeof start);
    sm_wr_view(w, d->protected);
    sm_wr_u8(w, 0x40); /* no external data */
    sm_wr_u8(w, 0x59); /* the payload, of at least 256 bytes: it holds certificates */
    sm_wr_u8(w, (uint8_t)(d->payload.n >> 8));
    sm_wr_u8(w, (uint8_t)d->payload.n);
    sm_wr_view(w, d->payload);
    return sm_wr_done(w, out);
}

static enum sm_err signature_check(const struct document *d, const struct sm_cert *leaf,
                                   struct sm_reasons *why)
{
    uint8_t room[SM_NITRO_MAX + 64];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_pub *key = NULL;
    struct sm_view bytes;
    enum sm_err e = signed_bytes(d, &w, &bytes);
    if (e == SM_OK) {
        e = sm_pub_of_cert(leaf, &key);
    }
    if (e == SM_OK && !sm_pub_is_curve(key, SM_P384)) {
        e = SM_E_CRYPTO;
    }
    if (e == SM_OK) {
        e = sm_pub_verify(key, SM_DIGEST_SHA384, bytes, d->sig);
    }
    sm_pub_free(key);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_SIGNATURE, "signature", "wrong", "by the certificate");
    }
    return e;
}

static bool is_zero(struct sm_view v)
{
    uint8_t any = 0;
    for (size_t i = 0; i < v.n; i++) {
        any |= v.p[i];
    }
    return any == 0;
}

static enum sm_err debug_check(const struct payload *p, struct sm_reasons *why)
{
    for (unsigned i = 0; i < 3; i++) {
        if (is_zero(p->pcr[i])) {
            sm_reasons_add(why, SM_REASON_DEBUG, "pcr 0 to 2", "zero: a debug enclave",
                           "measured");
            return SM_E_REFUSED;
        }
    }
    return SM_OK;
}

/* -- claims ------------------------------------------------------------------------------ */

static void claim(const struct payload *p, struct sm_wall not_after, struct sm_claims *out)
{
    struct sm_claims c = {.platform = SM_PLATFORM_NITRO, .profile = 1, .is_hw_rooted = true};
    memcpy(c.measurement, p->pcr[0].p, PCR_BYTES);
    c.measurement_n = PCR_BYTES;
    if ((p->pcr_mask >> 8 & 1) != 0 && !is_zero(p->pcr[8])) {
        memcpy(c.signer, p->pcr[8].p, PCR_BYTES);
        c.signer_n = PCR_BYTES;
    }
    if (p->has_user_data && p->user_data.n > 0 && p->user_data.n <= sizeof c.report_data) {
        memcpy(c.report_data, p->user_data.p, p->user_data.n);
        c.report_data_n = (uint8_t)p->user_data.n;
    }
    memcpy(c.platform_id, p->module_id.p, p->module_id.n);
    c.platform_id_n = (uint8_t)p->module_id.n;
    c.reg_n = PCR_BYTES;
    c.regs_mask = p->pcr_mask;
    for (unsigned i = 0; i < SM_REGS; i++) {
        if ((p->pcr_mask >> i & 1) != 0) {
            memcpy(c.regs[i], p->pcr[i].p, PCR_BYTES);
        }
    }
    c.has_issued_at = true;
    c.issued_at.s = p->timestamp_ms / 1000;
    c.not_after = not_after;
    *out = c;
}

static void copy_data(struct sm_view v, uint8_t *to, uint16_t *n)
{
    if (v.n > 0) {
        memcpy(to, v.p, v.n);
    }
    *n = (uint16_t)v.n;
}

static void claim_data(const struct payload *p, struct sm_nitro_data *out)
{
    struct sm_nitro_data d = {.has_public_key = p->has_public_key,
                              .has_user_data = p->has_user_data,
                              .has_nonce = p->has_nonce};
    copy_data(p->public_key, d.public_key, &d.public_key_n);
    copy_data(p->user_data, d.user_data, &d.user_data_n);
    copy_data(p->nonce, d.nonce, &d.nonce_n);
    *out = d;
}

/* -- the whole --------------------------------------------------------------------------- */

static enum sm_err read_all(struct sm_view bytes, struct document *d, struct payload *p)
{
    if (bytes.n > SM_NITRO_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(document_read(bytes, d));
    SM_TRY(payload_read(d->payload, p));
    return d->payload.n < 256 ? SM_E_MALFORMED : SM_OK;
}

static enum sm_err told(struct sm_reasons *why, enum sm_err e, const char *field)
{
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, field, sm_err_words(e), "well formed");
    }
    return e;
}

enum sm_err sm_nitro_verify(struct sm_view document, const struct sm_makers *trust,
                            struct sm_wall now, struct sm_claims *out,
                            struct sm_nitro_data *data, struct sm_reasons *why)
{
    struct document d;
    struct payload p;
    struct sm_chain chain = {0};
    struct sm_wall not_after = {0};
    SM_TRY(told(why, read_all(document, &d, &p), "document"));
    enum sm_err e = told(why, chain_read(&p, &chain), "certificates");
    if (e == SM_OK) {
        enum sm_err chain_e = chain_check(&p, &chain, trust, now, &not_after, why);
        enum sm_err sig_e = signature_check(&d, chain.c[0], why);
        enum sm_err debug_e = debug_check(&p, why);
        e = chain_e != SM_OK ? chain_e : sig_e != SM_OK ? sig_e : debug_e;
    }
    sm_chain_done(&chain);
    SM_TRY(e);
    claim(&p, not_after, out);
    if (data != NULL) {
        claim_data(&p, data);
    }
    return SM_OK;
}
