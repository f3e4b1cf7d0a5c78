// SPDX-License-Identifier: Apache-2.0
#include "attest/tpm_ek.h"

#include "attest/be.h"
#include "attest/x509.h"

#include <string.h>

#define OID_EKU "2.5.29.37"

/* Type, name algorithm, attributes, policy, AES-128-CFB, no scheme, then size and exponent, or
 * curve and no derivation: all that comes before the key itself. */
#define POLICY                                                                                 \
    0x00, 0x20, 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46,  \
        0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda,    \
        0x1b, 0x33, 0x14, 0x69, 0xaa
#define CIPHER 0x00, 0x06, 0x00, 0x80, 0x00, 0x43, 0x00, 0x10
static const uint8_t head_rsa[] = {0x00,   0x01,   0x00, 0x0b, 0x00, 0x03, 0x00, 0xb2,
                                   POLICY, CIPHER, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00};
static const uint8_t head_ecc[] = {0x00, 0x23,   0x00,   0x0b, 0x00, 0x03, 0x00,
                                   0xb2, POLICY, CIPHER, 0x00, 0x03, 0x00, 0x10};

/* -- the public area --------------------------------------------------------------------- */

static bool starts(struct sm_view v, const uint8_t *head, size_t n)
{
    return v.n >= n && memcmp(v.p, head, n) == 0;
}

static enum sm_err read_rsa(struct sm_rd *r, struct sm_tpm_key *out)
{
    static const uint8_t exponent[] = {0x01, 0x00, 0x01};
    struct sm_view modulus = sm_rd_be_blob(r, 256);
    SM_TRY(sm_rd_done(r));
    return modulus.n != 256
               ? SM_E_MALFORMED
               : sm_tpm_key_rsa(modulus, sm_view_of(exponent, sizeof exponent), out);
}

static enum sm_err read_ecc(struct sm_rd *r, struct sm_tpm_key *out)
{
    struct sm_tpm_key key = {.alg = SM_TPM_ECC, .n = 32};
    struct sm_view x = sm_rd_be_blob(r, 32);
    struct sm_view y = sm_rd_be_blob(r, 32);
    SM_TRY(sm_rd_done(r));
    if (x.n == 0 || y.n == 0) {
        return SM_E_MALFORMED;
    }
    memcpy(key.b + 32 - x.n, x.p, x.n);
    memcpy(key.b + 64 - y.n, y.p, y.n);
    *out = key;
    return SM_OK;
}

enum sm_err sm_tpm_ek_read(struct sm_view tpmt, struct sm_tpm_ek *out)
{
    struct sm_tpm_ek ek = {.name = {0x00, 0x0b}};
    bool is_rsa = starts(tpmt, head_rsa, sizeof head_rsa);
    if (!is_rsa && !starts(tpmt, head_ecc, sizeof head_ecc)) {
        return tpmt.n < sizeof head_ecc ? SM_E_TRUNCATED : SM_E_UNSUPPORTED;
    }
    size_t head = is_rsa ? sizeof head_rsa : sizeof head_ecc;
    struct sm_rd r = sm_rd_init(sm_view_sub(tpmt, head, tpmt.n - head));
    SM_TRY(is_rsa ? read_rsa(&r, &ek.key) : read_ecc(&r, &ek.key));
    sm_digest(SM_DIGEST_SHA256, tpmt, ek.name + 2);
    *out = ek;
    return SM_OK;
}

/* -- the certificate --------------------------------------------------------------------- */

/* If it says what it is for, then that must be "endorsement key" (2.23.133.8.1). */
static enum sm_err purpose_check(const struct sm_cert *leaf, struct sm_reasons *why)
{
    static const uint8_t ek_oid[] = {0x06, 0x05, 0x67, 0x81, 0x05, 0x08, 0x01};
    struct sm_view eku;
    enum sm_err e = sm_cert_ext(leaf, OID_EKU, &eku);
    if (e == SM_E_NOTFOUND) {
        return SM_OK;
    }
    for (size_t i = 0; e == SM_OK && i + sizeof ek_oid <= eku.n; i++) {
        if (memcmp(eku.p + i, ek_oid, sizeof ek_oid) == 0) {
            return SM_OK;
        }
    }
    sm_reasons_add(why, SM_REASON_IDENTITY, "ek certificate", "for another use",
                   "of an endorsement key");
    return SM_E_CRYPTO;
}

/* A set of certificates, each by itself. */
struct pool {
    size_t n;
    struct sm_chain one[SM_MAKERS_TPM_MAX];
};

static void pool_done(struct pool *p)
{
    for (size_t i = 0; i < p->n; i++) {
        sm_chain_done(&p->one[i]);
    }
}

static enum sm_err pool_read(const struct sm_makers *trust, struct pool *out,
                             struct sm_reasons *why)
{
    struct pool p = {0};
    enum sm_err e = SM_OK;
    for (size_t i = 0; i < trust->n_tpm && i < SM_MAKERS_TPM_MAX && e == SM_OK; i++) {
        e = sm_chain_add(&p.one[p.n++], trust->tpm[i]);
        e = e == SM_OK && p.one[i].n != 1 ? SM_E_MALFORMED : e;
    }
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_CHAIN, "roots for TPMs", sm_err_words(e),
                       "one certificate each");
        pool_done(&p);
        return e;
    }
    *out = p;
    return SM_OK;
}

/* Where among the pool the issuer of c is; pool->n: nowhere.  Names only lead the way: the
 * chain is verified when it is whole. */
static size_t issuer_of(const struct pool *p, const struct sm_cert *c)
{
    char issuer[SM_CN_MAX], subject[SM_CN_MAX];
    if (sm_cert_issuer_cn(c, issuer) != SM_OK) {
        return p->n;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (sm_cert_subject_cn(p->one[i].c[0], subject) == SM_OK &&
            strcmp(subject, issuer) == 0) {
            return i;
        }
    }
    return p->n;
}

static bool is_root(const struct sm_cert *c)
{
    char issuer[SM_CN_MAX], subject[SM_CN_MAX];
    return sm_cert_issuer_cn(c, issuer) == SM_OK && sm_cert_subject_cn(c, subject) == SM_OK &&
           strcmp(subject, issuer) == 0;
}

/* Extend the chain from the leaf by certificates of the trust, to one that is its own issuer.
 */
static enum sm_err chain_check(struct sm_chain *chain, const struct pool *pool,
                               const struct sm_makers *trust, struct sm_wall now,
                               struct sm_wall *not_after, struct sm_reasons *why)
{
    const struct sm_chain_rules rules = {.skew_s = 60};
    char issuer[SM_CN_MAX] = "unnamed";
    while (chain->n < SM_CHAIN_MAX) {
        const struct sm_cert *last = chain->c[chain->n - 1];
        size_t i = issuer_of(pool, last);
        if (i == pool->n) {
            (void)!sm_cert_issuer_cn(last, issuer);
            break;
        }
        if (is_root(pool->one[i].c[0])) {
            return sm_chain_verify(chain, trust->tpm[i], NULL, 0, &rules, now, not_after, why);
        }
        SM_TRY(sm_chain_add(chain, trust->tpm[i]));
    }
    sm_reasons_add(why, SM_REASON_CHAIN, "ek certificate issuer", issuer,
                   "one of the roots given for TPMs");
    return SM_E_CRYPTO;
}

static enum sm_err key_check(const struct sm_cert *leaf, const struct sm_tpm_key *key,
                             struct sm_reasons *why)
{
    struct sm_pub *certified = NULL, *here = NULL;
    enum sm_err e = sm_pub_of_cert(leaf, &certified);
    e = e == SM_OK ? sm_tpm_key_pub(key, &here) : e;
    if (e == SM_OK && !sm_pub_eq(certified, here)) {
        e = SM_E_CRYPTO;
    }
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_IDENTITY, "ek certificate", "of another key",
                       "of this TPM's EK");
    }
    sm_pub_free(certified);
    sm_pub_free(here);
    return e;
}

static enum sm_err cert_check(struct sm_chain *chain, const struct sm_makers *trust,
                              struct sm_wall now, struct sm_tpm_ek *ek, struct sm_reasons *why)
{
    char issuer[SM_CN_MAX] = "";
    struct pool pool;
    (void)!sm_cert_issuer_cn(chain->c[0], issuer);
    ek->is_software = strncmp(issuer, "swtpm-", 6) == 0;
    SM_TRY(purpose_check(chain->c[0], why));
    SM_TRY(key_check(chain->c[0], &ek->key, why));
    SM_TRY(pool_read(trust, &pool, why));
    enum sm_err e = chain_check(chain, &pool, trust, now, &ek->not_after, why);
    pool_done(&pool);
    return e;
}

enum sm_err sm_tpm_ek_verify(struct sm_view tpmt, struct sm_view cert,
                             const struct sm_makers *trust, struct sm_wall now,
                             struct sm_tpm_ek *out, struct sm_reasons *why)
{
    struct sm_tpm_ek ek;
    struct sm_chain chain = {0};
    enum sm_err e = sm_tpm_ek_read(tpmt, &ek);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "ek public area", sm_err_words(e),
                       "template L-1 or L-2");
        return e;
    }
    e = sm_chain_add(&chain, cert);
    if (e == SM_OK && chain.n == 1) {
        e = cert_check(&chain, trust, now, &ek, why);
    } else {
        e = e != SM_OK ? e : SM_E_MALFORMED;
        sm_reasons_add(why, SM_REASON_GRAMMAR, "ek certificate", sm_err_words(e), "one");
    }
    sm_chain_done(&chain);
    if (e == SM_OK) {
        *out = ek;
    }
    return e;
}
