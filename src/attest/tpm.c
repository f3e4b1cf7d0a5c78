// SPDX-License-Identifier: Apache-2.0
#include "attest/tpm.h"

#include "attest/be.h"
#include "attest/x509.h"
#include "wire/record.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define TPM_MAGIC      0xff544347u /* TPM_GENERATED_VALUE */
#define TPM_ST_QUOTE   0x8018u
#define TPM_ALG_NULL   0x0010u
#define TPM_CURVE_P256 0x0003u
#define TPM_CURVE_P384 0x0004u
#define RSA_BITS_MIN   2048u
#define EXTRA_MAX      66u /* sizeof(TPMT_HA) with SHA-512 */

/* -- algorithms -------------------------------------------------------------------------- */

/* NULL for SHA-1 and what we do not know. */
static const EVP_MD *hash_of(uint16_t alg)
{
    switch (alg) {
    case SM_TPM_SHA256:
        return EVP_sha256();
    case SM_TPM_SHA384:
        return EVP_sha384();
    case SM_TPM_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

static size_t hash_len(uint16_t alg)
{
    const EVP_MD *md = hash_of(alg);
    return md == NULL ? 0 : (size_t)EVP_MD_get_size(md);
}

static enum sm_err reason(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                          const char *got, const char *want, enum sm_err e)
{
    sm_reasons_add(why, code, field, got, want);
    return e;
}

static enum sm_err bad_hash(struct sm_reasons *why, const char *field, uint16_t alg)
{
    char got[16];
    (void)snprintf(got, sizeof got, "0x%04x", alg);
    return reason(why, SM_REASON_UNSUPPORTED, field, got, "SHA-256, SHA-384, SHA-512",
                  SM_E_UNSUPPORTED);
}

/* -- keys -------------------------------------------------------------------------------- */

static struct sm_view strip(struct sm_view v)
{
    while (v.n > 0 && v.p[0] == 0) {
        v = sm_view_sub(v, 1, v.n - 1);
    }
    return v;
}

enum sm_err sm_tpm_key_rsa(struct sm_view modulus, struct sm_view exponent,
                           struct sm_tpm_key *out)
{
    struct sm_tpm_key key = {.alg = SM_TPM_RSA};
    modulus = strip(modulus);
    exponent = strip(exponent);
    if (modulus.n > SM_TPM_RSA_MAX || modulus.n < RSA_BITS_MIN / 8 || exponent.n > 4 ||
        exponent.n == 0) {
        return SM_E_UNSUPPORTED;
    }
    for (size_t i = 0; i < exponent.n; i++) {
        key.e = key.e << 8 | exponent.p[i];
    }
    if (key.e < 65537 || key.e % 2 == 0 || (modulus.p[0] & 0x80) == 0) {
        return SM_E_UNSUPPORTED;
    }
    key.n = (uint16_t)modulus.n;
    memcpy(key.b, modulus.p, modulus.n);
    *out = key;
    return SM_OK;
}

static enum sm_err key_ecc(uint16_t curve, struct sm_view x, struct sm_view y,
                           struct sm_tpm_key *out)
{
    struct sm_tpm_key key = {.alg = SM_TPM_ECC};
    if (curve != TPM_CURVE_P256 && curve != TPM_CURVE_P384) {
        return SM_E_UNSUPPORTED;
    }
    key.n = curve == TPM_CURVE_P256 ? 32 : 48;
    x = strip(x);
    y = strip(y);
    if (x.n > key.n || y.n > key.n || x.n == 0 || y.n == 0) {
        return SM_E_MALFORMED;
    }
    memcpy(key.b + key.n - x.n, x.p, x.n);
    memcpy(key.b + 2u * key.n - y.n, y.p, y.n);
    *out = key;
    return SM_OK;
}

static enum sm_err spki_rsa(EVP_PKEY *pkey, struct sm_tpm_key *out)
{
    uint8_t n[SM_TPM_RSA_MAX], e[8];
    BIGNUM *bn = NULL, *be = NULL;
    enum sm_err err = SM_E_UNSUPPORTED;
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &bn) == 1 &&
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &be) == 1) {
        int n_n = BN_bn2binpad(bn, n, sizeof n);
        int e_n = BN_bn2binpad(be, e, sizeof e);
        if (n_n > 0 && e_n > 0) {
            err = sm_tpm_key_rsa(sm_view_of(n, sizeof n), sm_view_of(e, sizeof e), out);
        }
    }
    BN_free(bn);
    BN_free(be);
    return err;
}

static enum sm_err spki_ecc(EVP_PKEY *pkey, struct sm_tpm_key *out)
{
    char group[32];
    uint8_t point[1 + 2 * 48];
    size_t n = 0;
    if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       NULL) != 1 ||
        EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                        &n) != 1) {
        return SM_E_UNSUPPORTED;
    }
    uint16_t curve = strcmp(group, "prime256v1") == 0  ? TPM_CURVE_P256
                     : strcmp(group, "secp384r1") == 0 ? TPM_CURVE_P384
                                                       : 0;
    if (n < 3 || point[0] != 4) {
        return SM_E_UNSUPPORTED;
    }
    size_t half = (n - 1) / 2;
    return key_ecc(curve, sm_view_of(point + 1, half), sm_view_of(point + 1 + half, half), out);
}

/* NULL when it is neither, or more than one. */
static EVP_PKEY *spki_read(struct sm_view v)
{
    const uint8_t *p = v.p;
    if (v.n > 0 && v.p[0] == '-') {
        BIO *bio = BIO_new_mem_buf(v.p, (int)v.n);
        EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        BIO_free(bio);
        return pkey;
    }
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, (long)v.n);
    if (pkey != NULL && p != v.p + v.n) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

enum sm_err sm_tpm_key_spki(struct sm_view der_or_pem, struct sm_tpm_key *out)
{
    if (der_or_pem.n > 4 * SM_TPM_RSA_MAX) {
        return SM_E_LIMIT;
    }
    EVP_PKEY *pkey = spki_read(der_or_pem);
    enum sm_err e = pkey == NULL                 ? SM_E_MALFORMED
                    : EVP_PKEY_is_a(pkey, "RSA") ? spki_rsa(pkey, out)
                    : EVP_PKEY_is_a(pkey, "EC")  ? spki_ecc(pkey, out)
                                                 : SM_E_UNSUPPORTED;
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return e;
}

enum sm_err sm_tpm_key_pub(const struct sm_tpm_key *key, struct sm_pub **out)
{
    const uint8_t e[] = {(uint8_t)(key->e >> 24), (uint8_t)(key->e >> 16),
                         (uint8_t)(key->e >> 8), (uint8_t)key->e};
    if (key->alg == SM_TPM_RSA) {
        return sm_pub_of_rsa(sm_view_of(key->b, key->n), sm_view_of(e, sizeof e), out);
    }
    return sm_pub_of_point(key->n == 32 ? SM_P256 : SM_P384, sm_view_of(key->b, 2u * key->n),
                           out);
}

/* -- public areas ------------------------------------------------------------------------ */

/* TPMT_*_SCHEME: what a restricted key signs with, and its hash. */
static void read_scheme(struct sm_rd *r, uint16_t type)
{
    uint16_t alg = sm_rd_be16(r);
    uint16_t hash = sm_rd_be16(r);
    if (alg != (type == SM_TPM_RSA ? SM_TPM_RSASSA : SM_TPM_ECDSA) || hash_of(hash) == NULL) {
        sm_rd_fail(r);
    }
}

static enum sm_err public_rsa(struct sm_rd *r, struct sm_tpm_key *key)
{
    uint16_t bits = sm_rd_be16(r);
    uint32_t e = sm_rd_be32(r);
    struct sm_view modulus = sm_rd_be_blob(r, SM_TPM_RSA_MAX);
    e = e == 0 ? 65537 : e;
    uint8_t exponent[4] = {(uint8_t)(e >> 24), (uint8_t)(e >> 16), (uint8_t)(e >> 8),
                           (uint8_t)e};
    SM_TRY(sm_rd_done(r));
    if (modulus.n * 8 != bits) {
        return SM_E_MALFORMED;
    }
    return sm_tpm_key_rsa(modulus, sm_view_of(exponent, sizeof exponent), key);
}

static enum sm_err public_ecc(struct sm_rd *r, struct sm_tpm_key *key)
{
    uint16_t curve = sm_rd_be16(r);
    if (sm_rd_be16(r) != TPM_ALG_NULL) { /* key derivation: none for keys that sign */
        sm_rd_fail(r);
    }
    struct sm_view x = sm_rd_be_blob(r, 48);
    struct sm_view y = sm_rd_be_blob(r, 48);
    SM_TRY(sm_rd_done(r));
    return key_ecc(curve, x, y, key);
}

static enum sm_err name_of(struct sm_view tpmt, uint16_t alg, struct sm_tpm_public *pub)
{
    unsigned n = 0;
    pub->name[0] = (uint8_t)(alg >> 8);
    pub->name[1] = (uint8_t)alg;
    if (EVP_Digest(tpmt.p, tpmt.n, pub->name + 2, &n, hash_of(alg), NULL) != 1) {
        return SM_E_NOMEM;
    }
    pub->name_n = 2u + n;
    return SM_OK;
}

enum sm_err sm_tpm_public_read(struct sm_view tpmt, struct sm_tpm_public *out)
{
    struct sm_rd r = sm_rd_init(tpmt);
    struct sm_tpm_public pub = {0};
    uint16_t type = sm_rd_be16(&r);
    uint16_t name_alg = sm_rd_be16(&r);
    pub.attributes = sm_rd_be32(&r);
    (void)sm_rd_be_blob(&r, SM_TPM_HASH_MAX); /* authPolicy: who may use it */
    if (sm_rd_be16(&r) != TPM_ALG_NULL) {     /* symmetric: only keys that decrypt have it */
        sm_rd_fail(&r);
    }
    read_scheme(&r, type);
    if (hash_of(name_alg) == NULL || (type != SM_TPM_RSA && type != SM_TPM_ECC)) {
        return r.failed ? SM_E_TRUNCATED : SM_E_UNSUPPORTED;
    }
    SM_TRY(type == SM_TPM_RSA ? public_rsa(&r, &pub.key) : public_ecc(&r, &pub.key));
    SM_TRY(name_of(tpmt, name_alg, &pub));
    *out = pub;
    return SM_OK;
}

enum sm_err sm_tpm_ak_check(const struct sm_tpm_public *ak, struct sm_reasons *why)
{
    /* fixedTPM, fixedParent, sensitiveDataOrigin, restricted, sign; decrypt clear */
    const uint32_t set = 1u << 1 | 1u << 4 | 1u << 5 | 1u << 16 | 1u << 18;
    const uint32_t free = 1u << 2 | 1u << 6 | 1u << 7 | 1u << 10; /* who may use it, and when */
    const uint32_t clear = ~(set | free);
    if ((ak->attributes & (set | clear)) == set) {
        return SM_OK;
    }
    char got[16], want[36];
    (void)snprintf(got, sizeof got, "0x%08x", ak->attributes);
    (void)snprintf(want, sizeof want, "0x%08x set, 0x%08x clear", set, clear);
    return reason(why, SM_REASON_FLAGS, "ak attributes", got, want, SM_E_REFUSED);
}

/* -- signatures -------------------------------------------------------------------------- */

struct signature {
    uint16_t hash;
    struct sm_view rsa;  /* RSASSA, or */
    struct sm_view r, s; /* ECDSA */
};

static enum sm_err signature_read(struct sm_view sig, enum sm_tpm_sig_form form,
                                  uint16_t key_alg, struct signature *out)
{
    struct sm_rd r = sm_rd_init(sig);
    struct signature s = {.hash = SM_TPM_SHA256, .rsa = sig};
    uint16_t want = key_alg == SM_TPM_RSA ? SM_TPM_RSASSA : SM_TPM_ECDSA;
    if (form == SM_TPM_SIG_RSA_SHA256) {
        *out = s;
        return key_alg == SM_TPM_RSA ? SM_OK : SM_E_UNSUPPORTED;
    }
    uint16_t alg = sm_rd_be16(&r);
    s.hash = sm_rd_be16(&r);
    if (!r.failed && alg != want) {
        return SM_E_UNSUPPORTED;
    }
    if (want == SM_TPM_RSASSA) {
        s.rsa = sm_rd_be_blob(&r, SM_TPM_RSA_MAX);
    } else {
        s.r = sm_rd_be_blob(&r, 48);
        s.s = sm_rd_be_blob(&r, 48);
    }
    SM_TRY(sm_rd_done(&r));
    *out = s;
    return SM_OK;
}

static enum sm_digest digest_of(uint16_t alg)
{
    return alg == SM_TPM_SHA256   ? SM_DIGEST_SHA256
           : alg == SM_TPM_SHA384 ? SM_DIGEST_SHA384
                                  : SM_DIGEST_SHA512;
}

/* Both numbers at the width of the field. */
static enum sm_err ecdsa_flat(const struct sm_tpm_key *ak, const struct signature *s,
                              uint8_t out[static 2 * 48])
{
    struct sm_view r = strip(s->r), v = strip(s->s);
    if (r.n > ak->n || v.n > ak->n || r.n == 0 || v.n == 0) {
        return SM_E_CRYPTO;
    }
    memset(out, 0, 2u * ak->n);
    memcpy(out + ak->n - r.n, r.p, r.n);
    memcpy(out + 2u * ak->n - v.n, v.p, v.n);
    return SM_OK;
}

static enum sm_err signature_check(const struct sm_tpm_key *ak, struct sm_view bytes,
                                   const struct signature *s)
{
    uint8_t flat[2 * 48];
    struct sm_view sig = s->rsa;
    struct sm_pub *pub = NULL;
    if (ak->alg == SM_TPM_ECC) {
        SM_TRY(ecdsa_flat(ak, s, flat));
        sig = sm_view_of(flat, 2u * ak->n);
    } else if (sig.n != ak->n) {
        return SM_E_CRYPTO;
    }
    enum sm_err e = sm_tpm_key_pub(ak, &pub);
    if (e == SM_OK) {
        e = sm_pub_verify(pub, digest_of(s->hash), bytes, sig);
    }
    sm_pub_free(pub);
    return e;
}

/* -- quotes ------------------------------------------------------------------------------ */

struct attest {
    uint32_t magic;
    uint16_t type;
    struct sm_view extra;
    struct sm_view digest;
    struct sm_tpm_quote quote;
};

/* TPML_PCR_SELECTION of one bank with one to three bytes of PCRs. */
static void selection_read(struct sm_rd *r, struct sm_tpm_quote *q)
{
    if (sm_rd_be32(r) != 1) {
        sm_rd_fail(r);
        return;
    }
    q->bank = sm_rd_be16(r);
    uint8_t n = sm_rd_u8(r);
    if (n > 3) {
        sm_rd_fail(r);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        q->mask |= (uint32_t)sm_rd_u8(r) << 8 * i;
    }
}

static enum sm_err attest_read(struct sm_view bytes, struct attest *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct attest a = {0};
    struct sm_tpm_quote *q = &a.quote;
    a.magic = sm_rd_be32(&r);
    a.type = sm_rd_be16(&r);
    struct sm_view signer = sm_rd_be_blob(&r, sizeof q->signer);
    a.extra = sm_rd_be_blob(&r, EXTRA_MAX);
    q->clock_ms = sm_rd_be64(&r);
    q->resets = sm_rd_be32(&r);
    q->restarts = sm_rd_be32(&r);
    uint8_t safe = sm_rd_u8(&r);
    q->firmware = sm_rd_be64(&r);
    if (!r.failed && (a.magic != TPM_MAGIC || a.type != TPM_ST_QUOTE || safe > 1)) {
        return SM_E_MALFORMED; /* what follows has another grammar */
    }
    selection_read(&r, q);
    a.digest = sm_rd_be_blob(&r, SM_TPM_HASH_MAX);
    SM_TRY(sm_rd_done(&r));
    q->is_clock_safe = safe == 1;
    q->signer_n = signer.n;
    if (signer.n > 0) {
        memcpy(q->signer, signer.p, signer.n);
    }
    *out = a;
    return SM_OK;
}

/* The digest of the values in index order, with the hash of the signature, not of the bank. */
static enum sm_err pcrs_digest(const struct sm_tpm_pcrs *pcrs, uint16_t hash,
                               uint8_t out[static SM_TPM_HASH_MAX])
{
    size_t each = hash_len(pcrs->bank);
    unsigned n = 0;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool is_good = md != NULL && EVP_DigestInit_ex(md, hash_of(hash), NULL) == 1;
    for (unsigned i = 0; is_good && i < SM_TPM_PCRS; i++) {
        if ((pcrs->mask >> i & 1) != 0) {
            is_good = EVP_DigestUpdate(md, pcrs->value[i], each) == 1;
        }
    }
    is_good = is_good && EVP_DigestFinal_ex(md, out, &n) == 1;
    EVP_MD_CTX_free(md);
    return is_good ? SM_OK : SM_E_NOMEM;
}

static enum sm_err extra_check(struct sm_view got, struct sm_view want, struct sm_reasons *why)
{
    if (want.n > 0 && sm_view_eq(got, want)) {
        return SM_OK;
    }
    sm_reasons_add_hex(why, SM_REASON_REPORT_DATA, "extraData", got, want);
    return SM_E_REFUSED;
}

static enum sm_err pcrs_check(const struct attest *a, uint16_t hash,
                              const struct sm_tpm_pcrs *pcrs, struct sm_reasons *why)
{
    char got[36], want[36];
    uint8_t digest[SM_TPM_HASH_MAX];
    if (hash_of(pcrs->bank) == NULL) {
        return bad_hash(why, "bank", pcrs->bank);
    }
    if (a->quote.bank != pcrs->bank || a->quote.mask != pcrs->mask || pcrs->mask == 0 ||
        pcrs->mask >> SM_TPM_PCRS != 0) {
        (void)snprintf(got, sizeof got, "bank 0x%04x pcrs 0x%06x", a->quote.bank,
                       a->quote.mask);
        (void)snprintf(want, sizeof want, "bank 0x%04x pcrs 0x%06x", pcrs->bank, pcrs->mask);
        return reason(why, SM_REASON_REGISTERS, "pcrSelect", got, want, SM_E_REFUSED);
    }
    SM_TRY(pcrs_digest(pcrs, hash, digest));
    if (!sm_view_eq(a->digest, sm_view_of(digest, hash_len(hash)))) {
        return reason(why, SM_REASON_REGISTERS, "pcrDigest", "of other values", "of these PCRs",
                      SM_E_CRYPTO);
    }
    return SM_OK;
}

enum sm_err sm_tpm_quote_extra(struct sm_view quote, struct sm_view *out)
{
    struct attest a;
    SM_TRY(attest_read(quote, &a));
    *out = a.extra;
    return SM_OK;
}

enum sm_err sm_tpm_quote_verify(const struct sm_tpm_key *ak, struct sm_view quote,
                                struct sm_view sig, enum sm_tpm_sig_form form,
                                struct sm_view extra, const struct sm_tpm_pcrs *pcrs,
                                struct sm_tpm_quote *out, struct sm_reasons *why)
{
    struct attest a;
    struct signature s;
    enum sm_err e = attest_read(quote, &a);
    if (e != SM_OK) {
        return reason(why, SM_REASON_GRAMMAR, "quote", sm_err_words(e), "a TPM quote", e);
    }
    e = signature_read(sig, form, ak->alg, &s);
    if (e != SM_OK) {
        return reason(why, SM_REASON_GRAMMAR, "signature", sm_err_words(e),
                      "RSASSA or ECDSA as the key", e);
    }
    if (hash_of(s.hash) == NULL) {
        return bad_hash(why, "signature hash", s.hash);
    }
    if (signature_check(ak, quote, &s) != SM_OK) {
        return reason(why, SM_REASON_SIGNATURE, "signature", "wrong", "by the AK", SM_E_CRYPTO);
    }
    SM_TRY(extra_check(a.extra, extra, why));
    SM_TRY(pcrs_check(&a, s.hash, pcrs, why));
    *out = a.quote;
    return SM_OK;
}

/* -- event log --------------------------------------------------------------------------- */

#define EV_NO_ACTION   3u
#define LOG_ALGS_MAX   8u         /* banks of one TPM: a handful */
#define LOG_EVENTS_MAX 65536u     /* firmware writes about a hundred */
#define LOG_EVENT_MAX  (1u << 20) /* bytes of one event: variables, device paths */

struct log {
    struct sm_rd rd; /* little-endian, unlike the TPM itself */
    uint32_t algs;
    struct {
        uint16_t alg, size;
    } alg[LOG_ALGS_MAX];
    uint16_t bank;
    uint32_t extended;
    uint8_t pcr[SM_TPM_PCRS][SM_TPM_HASH_MAX];
    void (*each)(void *ctx, const struct sm_tpm_event *ev); /* NULL: nobody asks */
    void *ctx;
};

/* The first event says which digests the others have. */
static void log_head(struct log *l)
{
    static const char spec[16] = "Spec ID Event03";
    char id[16];
    uint8_t zeros[20];
    static const uint8_t none[20];
    struct sm_rd *r = &l->rd;
    uint32_t index = sm_rd_u32(r);
    uint32_t type = sm_rd_u32(r);
    sm_rd_bytes(r, zeros, sizeof zeros);
    struct sm_rd ev = sm_rd_init(sm_rd_blob(r, LOG_EVENT_MAX));
    sm_rd_bytes(&ev, id, sizeof id);
    (void)sm_rd_u32(&ev); /* platform class */
    (void)sm_rd_u32(&ev); /* minor, major, errata, uintn size */
    l->algs = sm_rd_u32(&ev);
    if (l->algs > LOG_ALGS_MAX) {
        l->algs = 0;
        sm_rd_fail(&ev);
    }
    for (uint32_t i = 0; i < l->algs; i++) {
        l->alg[i].alg = sm_rd_u16(&ev);
        l->alg[i].size = sm_rd_u16(&ev);
        size_t want = hash_len(l->alg[i].alg);
        if (l->alg[i].size > SM_TPM_HASH_MAX || (want != 0 && want != l->alg[i].size)) {
            sm_rd_fail(&ev);
        }
    }
    (void)sm_rd_view(&ev, sm_rd_u8(&ev)); /* the vendor's */
    if (index != 0 || type != EV_NO_ACTION || memcmp(zeros, none, sizeof none) != 0 ||
        memcmp(id, spec, sizeof spec) != 0 || sm_rd_done(&ev) != SM_OK) {
        sm_rd_fail(r);
    }
}

static size_t log_digest_len(const struct log *l, uint16_t alg)
{
    for (uint32_t i = 0; i < l->algs; i++) {
        if (l->alg[i].alg == alg) {
            return l->alg[i].size;
        }
    }
    return 0;
}

/* Exactly one digest per announced algorithm; gives ours. */
static struct sm_view log_digests(struct log *l)
{
    struct sm_view ours = {0};
    uint32_t seen = sm_rd_u32(&l->rd);
    if (seen != l->algs) {
        sm_rd_fail(&l->rd);
        return ours;
    }
    for (uint32_t i = 0; i < seen; i++) {
        uint16_t alg = sm_rd_u16(&l->rd);
        size_t n = log_digest_len(l, alg);
        struct sm_view v = sm_rd_view(&l->rd, n);
        if (n == 0 || (alg == l->bank && ours.n != 0)) {
            sm_rd_fail(&l->rd);
        }
        ours = alg == l->bank ? v : ours;
    }
    if (ours.n == 0) {
        sm_rd_fail(&l->rd);
    }
    return ours;
}

/* A start from another locality than 0 leaves its number in PCR 0 before the first extend. */
static void log_no_action(struct log *l, uint32_t index, struct sm_view event)
{
    static const char id[16] = "StartupLocality";
    if (index != 0 || event.n != sizeof id + 1 || memcmp(event.p, id, sizeof id) != 0) {
        return;
    }
    if ((l->extended & 1) != 0) {
        sm_rd_fail(&l->rd);
        return;
    }
    l->pcr[0][hash_len(l->bank) - 1] = event.p[sizeof id];
}

static enum sm_err log_extend(struct log *l, uint32_t index, struct sm_view digest)
{
    uint8_t both[2 * SM_TPM_HASH_MAX];
    size_t n = hash_len(l->bank);
    assert(index < SM_TPM_PCRS && digest.n == n);
    memcpy(both, l->pcr[index], n);
    memcpy(both + n, digest.p, n);
    l->extended |= 1u << index;
    return EVP_Digest(both, 2 * n, l->pcr[index], NULL, hash_of(l->bank), NULL) == 1
               ? SM_OK
               : SM_E_NOMEM;
}

static enum sm_err log_event(struct log *l)
{
    uint32_t index = sm_rd_u32(&l->rd);
    uint32_t type = sm_rd_u32(&l->rd);
    struct sm_view digest = log_digests(l);
    struct sm_view event = sm_rd_blob(&l->rd, LOG_EVENT_MAX);
    if (l->rd.failed) {
        return SM_OK; /* told at the end */
    }
    if (type == EV_NO_ACTION) {
        log_no_action(l, index, event);
        return SM_OK;
    }
    if (index >= SM_TPM_PCRS) {
        sm_rd_fail(&l->rd);
        return SM_OK;
    }
    if (l->each != NULL) {
        l->each(l->ctx, &(struct sm_tpm_event){index, type, digest, event});
    }
    return log_extend(l, index, digest);
}

/* PCRs 17 to 22 start as ones, until a dynamic launch, which no log of ours describes. */
static void log_start(struct log *l)
{
    for (unsigned i = 17; i <= 22; i++) {
        memset(l->pcr[i], 0xff, SM_TPM_HASH_MAX);
    }
}

static enum sm_err log_walk(struct log *l)
{
    log_start(l);
    log_head(l);
    for (uint32_t i = 0; !l->rd.failed && l->rd.left.n > 0; i++) {
        if (i == LOG_EVENTS_MAX) {
            return SM_E_LIMIT;
        }
        SM_TRY(log_event(l));
    }
    return sm_rd_done(&l->rd);
}

enum sm_err sm_tpm_log_events(struct sm_view bytes, uint16_t bank,
                              void (*each)(void *ctx, const struct sm_tpm_event *ev), void *ctx)
{
    struct log l = {.rd = sm_rd_init(bytes), .bank = bank, .each = each, .ctx = ctx};
    return hash_len(bank) != 0 ? log_walk(&l) : SM_E_UNSUPPORTED;
}

enum sm_err sm_tpm_log_replay(struct sm_view bytes, const struct sm_tpm_pcrs *pcrs,
                              uint32_t *replayed, struct sm_reasons *why)
{
    struct log l = {.rd = sm_rd_init(bytes), .bank = pcrs->bank};
    size_t n = hash_len(pcrs->bank);
    if (n == 0) {
        return bad_hash(why, "bank", pcrs->bank);
    }
    enum sm_err e = log_walk(&l);
    if (e != SM_OK) {
        return reason(why, SM_REASON_GRAMMAR, "event log", sm_err_words(e),
                      "crypto-agile, with this bank", e);
    }
    uint32_t mask = l.extended & pcrs->mask;
    for (unsigned i = 0; i < SM_TPM_PCRS; i++) {
        if ((mask >> i & 1) != 0 && memcmp(l.pcr[i], pcrs->value[i], n) != 0) {
            char field[20];
            (void)snprintf(field, sizeof field, "pcr %u", i);
            sm_reasons_add_hex(why, SM_REASON_LOG, field, sm_view_of(l.pcr[i], n),
                               sm_view_of(pcrs->value[i], n));
            return SM_E_CRYPTO;
        }
    }
    *replayed = mask;
    return SM_OK;
}

/* -- the whole --------------------------------------------------------------------------- */

/* Up to the first configured root that it leads to; the reasons are those of the last. */
static enum sm_err chain_check(const struct sm_chain *chain, const struct sm_makers *trust,
                               struct sm_wall now, struct sm_wall *not_after,
                               struct sm_reasons *why)
{
    const struct sm_chain_rules rules = {.skew_s = 60};
    const size_t before = why->n;
    enum sm_err e = SM_E_CRYPTO;
    if (trust->n_tpm == 0) {
        sm_reasons_add(why, SM_REASON_CHAIN, "ak certificate", "no root for TPMs", "one");
    }
    for (size_t i = 0; i < trust->n_tpm && i < SM_MAKERS_TPM_MAX; i++) {
        why->n = before;
        e = sm_chain_verify(chain, trust->tpm[i], NULL, 0, &rules, now, not_after, why);
        if (e == SM_OK) {
            return SM_OK;
        }
    }
    return e;
}

/* The certificate is of this very key. */
static enum sm_err cert_key_check(const struct sm_cert *cert, const struct sm_tpm_key *ak,
                                  struct sm_reasons *why)
{
    struct sm_pub *certified = NULL, *quoting = NULL;
    enum sm_err e = sm_pub_of_cert(cert, &certified);
    if (e == SM_OK) {
        e = sm_tpm_key_pub(ak, &quoting);
    }
    if (e == SM_OK && !sm_pub_eq(certified, quoting)) {
        e = SM_E_CRYPTO;
    }
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_IDENTITY, "ak certificate", "of another key",
                       "of the AK");
    }
    sm_pub_free(certified);
    sm_pub_free(quoting);
    return e;
}

static enum sm_err ak_certified(const struct sm_tpm_evidence *ev, const struct sm_tpm_key *ak,
                                const struct sm_makers *trust, struct sm_wall now,
                                struct sm_wall *not_after, struct sm_reasons *why)
{
    struct sm_chain chain = {0};
    enum sm_err e = sm_chain_add(&chain, ev->ak_chain);
    if (e != SM_OK || chain.n == 0) {
        e = e != SM_OK ? e : SM_E_MALFORMED;
        sm_reasons_add(why, SM_REASON_GRAMMAR, "ak certificate", sm_err_words(e),
                       "certificates");
    } else {
        enum sm_err key_e = cert_key_check(chain.c[0], ak, why);
        e = chain_check(&chain, trust, now, not_after, why);
        e = e != SM_OK ? e : key_e;
    }
    sm_chain_done(&chain);
    return e;
}

static void key_id(const struct sm_tpm_key *key, uint8_t out[static 32])
{
    uint8_t room[16 + SM_TPM_RSA_MAX];
    struct sm_view bytes = {0};
    struct sm_wr w = sm_wr_init(room, sizeof room);
    sm_wr_u16(&w, key->alg);
    sm_wr_u32(&w, key->e);
    sm_wr_bytes(&w, key->b, key->alg == SM_TPM_RSA ? key->n : 2u * key->n);
    enum sm_err e = sm_wr_done(&w, &bytes);
    assert(e == SM_OK);
    (void)e;
    sm_digest(SM_DIGEST_SHA256, bytes, out);
}

static void claim(const struct sm_tpm_key *ak, const struct sm_tpm_pcrs *pcrs,
                  uint32_t replayed, struct sm_view extra, struct sm_wall not_after,
                  struct sm_claims *out)
{
    struct sm_claims c = {.platform = SM_PLATFORM_TPM, .profile = 2, .is_hw_rooted = true};
    size_t n = extra.n < sizeof c.report_data ? extra.n : sizeof c.report_data;
    memcpy(c.report_data, extra.p, n);
    c.report_data_n = (uint8_t)n;
    key_id(ak, c.platform_id);
    c.platform_id_n = 32;
    c.reg_n = (uint8_t)hash_len(pcrs->bank);
    c.regs_mask = pcrs->mask;
    c.regs_replayed = replayed;
    for (unsigned i = 0; i < SM_TPM_PCRS; i++) {
        if ((pcrs->mask >> i & 1) != 0) {
            memcpy(c.regs[i], pcrs->value[i], c.reg_n);
        }
    }
    c.not_after = not_after;
    *out = c;
}

enum sm_err sm_tpm_verify(const struct sm_tpm_evidence *ev, struct sm_view extra,
                          const struct sm_makers *trust, struct sm_wall now,
                          struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_tpm_public ak;
    struct sm_tpm_quote quote;
    struct sm_wall not_after = {0};
    uint32_t replayed = 0;
    enum sm_err e = sm_tpm_public_read(ev->ak_public, &ak);
    if (e != SM_OK) {
        return reason(why, SM_REASON_GRAMMAR, "ak public area", sm_err_words(e),
                      "of a key that signs", e);
    }
    SM_TRY(sm_tpm_ak_check(&ak, why));
    SM_TRY(ak_certified(ev, &ak.key, trust, now, &not_after, why));
    SM_TRY(sm_tpm_quote_verify(&ak.key, ev->quote, ev->sig, SM_TPM_SIG_TPMT, extra, ev->pcrs,
                               &quote, why));
    if (ev->log.n > 0) {
        SM_TRY(sm_tpm_log_replay(ev->log, ev->pcrs, &replayed, why));
    }
    claim(&ak.key, ev->pcrs, replayed, extra, not_after, out);
    return SM_OK;
}
