// SPDX-License-Identifier: Apache-2.0
#pragma once
/* snp_kit: SEV-SNP chips made by us under a root of our own.
 *
 *     chip_plan(&c, SM_SNP_MILAN, false);      change what is to be changed
 *     chip_build(&c);                          certificates and a report
 *     chip_crl(chip_keys.ark, "ARK-Milan", ...)     a revocation list
 *
 * c.trust then has that root and nothing else.  SNP_KIT_NOW is when all of it is good; a test
 * defines it first.
 */
#include "attest/snp.h"
#include "t.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define SNP_KIT_YEAR 31536000

/* -- certificates ------------------------------------------------------------------------ */

struct der {
    size_t n;
    uint8_t b[4096];
};

static inline struct sm_view der_view(const struct der *d)
{
    return sm_view_of(d->b, d->n);
}

/* How a certificate or list is made wrong; zeros make it right. */
struct flaws {
    int salt; /* 0: 48 */
    bool is_sha256, is_ca, is_no_ca;
    long starts_s, ends_s; /* from SNP_KIT_NOW; 0: a year before, a year after */
};

static struct chip_keys {
    EVP_PKEY *ark, *ask, *vek, *other;
} chip_keys;

static inline void chip_keys_make(void)
{
    if (chip_keys.ark == NULL) {
        chip_keys.ark = EVP_RSA_gen(2048);
        chip_keys.ask = EVP_RSA_gen(2048);
        chip_keys.vek = EVP_EC_gen("P-384");
        chip_keys.other = EVP_RSA_gen(2048);
        T_TRUE(chip_keys.ark != NULL && chip_keys.ask != NULL && chip_keys.vek != NULL &&
               chip_keys.other != NULL);
    }
}

static inline EVP_MD_CTX *chip_pss(EVP_PKEY *by, const struct flaws *f)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *k = NULL;
    const EVP_MD *md = f->is_sha256 ? EVP_sha256() : EVP_sha384();
    T_EQ(EVP_DigestSignInit(ctx, &k, md, NULL, by), 1);
    T_EQ(EVP_PKEY_CTX_set_rsa_padding(k, RSA_PKCS1_PSS_PADDING), 1);
    T_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(k, f->salt == 0 ? 48 : f->salt), 1);
    T_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md(k, md), 1);
    return ctx;
}

static inline void name_set(X509_NAME *n, const char *cn)
{
    T_EQ(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0), 1);
}

static inline void ext_add(X509 *x, const char *oid, const uint8_t *value, size_t n)
{
    ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *os = ASN1_OCTET_STRING_new();
    T_EQ(ASN1_OCTET_STRING_set(os, value, (int)n), 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, obj, 0, os);
    T_EQ(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(os);
    ASN1_OBJECT_free(obj);
}

static inline void ext_conf(X509 *x, int nid, const char *text)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, text);
    T_EQ(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static inline X509 *chip_cert_begin(const char *cn, EVP_PKEY *key, const char *issuer,
                                    long serial, bool is_ca, const struct flaws *f)
{
    X509 *x = X509_new();
    T_EQ(X509_set_version(x, 2), 1);
    T_EQ(ASN1_INTEGER_set(X509_get_serialNumber(x), serial), 1);
    name_set(X509_get_subject_name(x), cn);
    name_set(X509_get_issuer_name(x), issuer);
    ASN1_TIME_set(X509_getm_notBefore(x),
                  SNP_KIT_NOW + (f->starts_s == 0 ? -SNP_KIT_YEAR : f->starts_s));
    ASN1_TIME_set(X509_getm_notAfter(x),
                  SNP_KIT_NOW + (f->ends_s == 0 ? SNP_KIT_YEAR : f->ends_s));
    T_EQ(X509_set_pubkey(x, key), 1);
    if ((is_ca || f->is_ca) && !f->is_no_ca) {
        ext_conf(x, NID_basic_constraints, "critical,CA:TRUE");
        ext_conf(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    return x;
}

static inline void chip_cert_end(X509 *x, EVP_PKEY *by, const struct flaws *f, struct der *out)
{
    EVP_MD_CTX *ctx = chip_pss(by, f);
    uint8_t *p = out->b;
    T_TRUE(X509_sign_ctx(x, ctx) > 0);
    out->n = (size_t)i2d_X509(x, &p);
    T_TRUE(out->n <= sizeof out->b);
    EVP_MD_CTX_free(ctx);
    X509_free(x);
}

/* -- a machine --------------------------------------------------------------------------- */

struct chip {
    enum sm_snp_product product;
    bool is_vlek;
    struct flaws root, ask, vek;
    EVP_PKEY *ask_by; /* NULL: the ARK */
    const char *asks_cn;
    struct der d_root, d_ask, d_vek, d_crl;
    uint8_t report[SM_SNP_REPORT];
    uint8_t spl[SM_SNP_PARTS], hw_id[64];
    struct sm_makers trust;
};

static const char *const chip_names[SM_SNP_PRODUCTS] = {"Milan", "Genoa", "Turin"};

static inline void spl_add(X509 *x, const char *part, uint8_t v)
{
    char oid[40];
    uint8_t small[] = {2, 1, v}, large[] = {2, 2, 0, v};
    (void)snprintf(oid, sizeof oid, "1.3.6.1.4.1.3704.1.3.%s", part);
    if (v < 0x80) {
        ext_add(x, oid, small, sizeof small);
    } else {
        ext_add(x, oid, large, sizeof large);
    }
}

static inline void vek_exts(const struct chip *m, X509 *x)
{
    static const char *const parts[SM_SNP_PARTS] = {"9", "1", "2", "3", "8"};
    uint8_t product[] = {0x16, 5, 0, 0, 0, 0, 0};
    memcpy(product + 2, chip_names[m->product], 5);
    ext_add(x, "1.3.6.1.4.1.3704.1.2", product, sizeof product);
    for (size_t i = m->product == SM_SNP_TURIN ? 0 : 1; i < SM_SNP_PARTS; i++) {
        spl_add(x, parts[i], m->spl[i]);
    }
    if (!m->is_vlek) {
        ext_add(x, "1.3.6.1.4.1.3704.1.4", m->hw_id, m->product == SM_SNP_TURIN ? 8 : 64);
    }
}

static inline void chip_certs(struct chip *m)
{
    char ark[32], ask[32];
    (void)snprintf(ark, sizeof ark, "ARK-%s", chip_names[m->product]);
    (void)snprintf(ask, sizeof ask, "SEV-%s%s", m->is_vlek ? "VLEK-" : "",
                   chip_names[m->product]);
    const char *issuer = m->asks_cn == NULL ? ask : m->asks_cn;
    X509 *root = chip_cert_begin(ark, chip_keys.ark, ark, 1, true, &m->root);
    chip_cert_end(root, chip_keys.ark, &m->root, &m->d_root);
    X509 *mid = chip_cert_begin(issuer, chip_keys.ask, ark, 7, true, &m->ask);
    chip_cert_end(mid, m->ask_by == NULL ? chip_keys.ark : m->ask_by, &m->ask, &m->d_ask);
    X509 *leaf = chip_cert_begin(m->is_vlek ? "SEV-VLEK" : "SEV-VCEK", chip_keys.vek, issuer, 0,
                                 false, &m->vek);
    vek_exts(m, leaf);
    chip_cert_end(leaf, chip_keys.ask, &m->vek, &m->d_vek);
    for (size_t i = 0; i < SM_ROOTS; i++) {
        m->trust.root[i] = der_view(&m->d_root);
    }
}

static inline void tcb_put(struct chip *m, size_t at)
{
    static const size_t old[] = {0, 0, 1, 6, 7}, turin[] = {0, 1, 2, 3, 7};
    const size_t *where = m->product == SM_SNP_TURIN ? turin : old;
    for (size_t i = m->product == SM_SNP_TURIN ? 0 : 1; i < SM_SNP_PARTS; i++) {
        m->report[at + where[i]] = m->spl[i];
    }
}

static inline void sign_part(const BIGNUM *v, uint8_t *at)
{
    T_EQ(BN_bn2lebinpad(v, at, 72), 72);
}

static inline void chip_sign(struct chip *m)
{
    uint8_t der[128];
    const uint8_t *p = der;
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    T_EQ(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, chip_keys.vek), 1);
    T_EQ(EVP_DigestSign(ctx, der, &n, m->report, 0x2a0), 1);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    sign_part(ECDSA_SIG_get0_r(sig), m->report + 0x2a0);
    sign_part(ECDSA_SIG_get0_s(sig), m->report + 0x2a0 + 72);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

static inline void chip_report(struct chip *m)
{
    static const uint8_t cpus[SM_SNP_PRODUCTS][2] = {{0x19, 1}, {0x19, 0x11}, {0x1a, 2}};
    static const size_t tcbs[] = {0x38, 0x180, 0x1e0, 0x1f0};
    uint8_t *r = m->report;
    memset(r, 0, sizeof m->report);
    sm_put_le32(r, m->product == SM_SNP_TURIN ? 5 : 3);
    sm_put_le64(r + 8, 0x30000);
    sm_put_le32(r + 0x34, 1);
    sm_put_le32(r + 0x48, m->is_vlek ? 1u << 2 : 0);
    memset(r + 0x50, 0x5a, 64);
    memset(r + 0x90, 0x77, 48);
    for (size_t i = 0; i < SM_COUNT(tcbs); i++) {
        tcb_put(m, tcbs[i]);
    }
    memcpy(r + 0x188, cpus[m->product], 2);
    if (!m->is_vlek) {
        memcpy(r + 0x1a0, m->hw_id, m->product == SM_SNP_TURIN ? 8 : 64);
    }
    chip_sign(m);
}

static inline void chip_plan(struct chip *m, enum sm_snp_product product, bool is_vlek)
{
    static const uint8_t spl[SM_SNP_PARTS] = {1, 2, 3, 0x18, 0xdb};
    chip_keys_make();
    *m = (struct chip){.product = product, .is_vlek = is_vlek};
    memcpy(m->spl, spl, sizeof spl);
    m->spl[SM_SNP_FMC] = product == SM_SNP_TURIN ? 1 : 0;
    memset(m->hw_id, 0xc1, product == SM_SNP_TURIN ? 8 : 64);
}

static inline void chip_build(struct chip *m)
{
    chip_certs(m);
    chip_report(m);
}

static inline void chip_crl(EVP_PKEY *by, const char *issuer, long revoked,
                            const struct flaws *f, struct der *out)
{
    X509_CRL *l = X509_CRL_new();
    X509_NAME *name = X509_NAME_new();
    ASN1_TIME *t = ASN1_TIME_new();
    name_set(name, issuer);
    T_EQ(X509_CRL_set_version(l, 1), 1);
    T_EQ(X509_CRL_set_issuer_name(l, name), 1);
    ASN1_TIME_set(t, SNP_KIT_NOW + (f->starts_s == 0 ? -SNP_KIT_YEAR : f->starts_s));
    T_EQ(X509_CRL_set1_lastUpdate(l, t), 1);
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_INTEGER_set(serial, revoked);
    X509_REVOKED_set_serialNumber(r, serial);
    X509_REVOKED_set_revocationDate(r, t);
    T_EQ(X509_CRL_add0_revoked(l, r), 1);
    ASN1_TIME_set(t, SNP_KIT_NOW + (f->ends_s == 0 ? SNP_KIT_YEAR / 2 : f->ends_s));
    T_EQ(X509_CRL_set1_nextUpdate(l, t), 1);
    EVP_MD_CTX *ctx = chip_pss(by, f);
    uint8_t *p = out->b;
    T_TRUE(X509_CRL_sign_ctx(l, ctx) > 0);
    out->n = (size_t)i2d_X509_CRL(l, &p);
    EVP_MD_CTX_free(ctx);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(t);
    X509_NAME_free(name);
    X509_CRL_free(l);
}
