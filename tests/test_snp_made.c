// SPDX-License-Identifier: Apache-2.0
/* SNP evidence made by us under a root of our own: products and keys of which there is no
 * public evidence to test with, and flaws that AMD's certificates do not have. */
#include "attest/policy.h"
#include "attest/snp.h"
#include "t.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define NOW  1800000000u
#define YEAR 31536000

static const struct sm_wall now = {NOW};

/* -- certificates ------------------------------------------------------------------------ */

struct der {
    size_t n;
    uint8_t b[4096];
};

static struct sm_view view(const struct der *d)
{
    return sm_view_of(d->b, d->n);
}

/* How a certificate or list is made wrong; zeros make it right. */
struct flaws {
    int salt; /* 0: 48 */
    bool is_sha256, is_ca, is_no_ca;
    long starts_s, ends_s; /* from NOW; 0: a year before, a year after */
};

static struct keys {
    EVP_PKEY *ark, *ask, *vek, *other;
} keys;

static void keys_make(void)
{
    if (keys.ark == NULL) {
        keys.ark = EVP_RSA_gen(2048);
        keys.ask = EVP_RSA_gen(2048);
        keys.vek = EVP_EC_gen("P-384");
        keys.other = EVP_RSA_gen(2048);
        T_TRUE(keys.ark != NULL && keys.ask != NULL && keys.vek != NULL && keys.other != NULL);
    }
}

static EVP_MD_CTX *pss(EVP_PKEY *by, const struct flaws *f)
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

static void name_set(X509_NAME *n, const char *cn)
{
    T_EQ(X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0), 1);
}

static void ext_add(X509 *x, const char *oid, const uint8_t *value, size_t n)
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

static void ext_conf(X509 *x, int nid, const char *text)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, text);
    T_EQ(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509 *cert_begin(const char *cn, EVP_PKEY *key, const char *issuer, long serial,
                        bool is_ca, const struct flaws *f)
{
    X509 *x = X509_new();
    T_EQ(X509_set_version(x, 2), 1);
    T_EQ(ASN1_INTEGER_set(X509_get_serialNumber(x), serial), 1);
    name_set(X509_get_subject_name(x), cn);
    name_set(X509_get_issuer_name(x), issuer);
    ASN1_TIME_set(X509_getm_notBefore(x), NOW + (f->starts_s == 0 ? -YEAR : f->starts_s));
    ASN1_TIME_set(X509_getm_notAfter(x), NOW + (f->ends_s == 0 ? YEAR : f->ends_s));
    T_EQ(X509_set_pubkey(x, key), 1);
    if ((is_ca || f->is_ca) && !f->is_no_ca) {
        ext_conf(x, NID_basic_constraints, "critical,CA:TRUE");
        ext_conf(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    return x;
}

static void cert_end(X509 *x, EVP_PKEY *by, const struct flaws *f, struct der *out)
{
    EVP_MD_CTX *ctx = pss(by, f);
    uint8_t *p = out->b;
    T_TRUE(X509_sign_ctx(x, ctx) > 0);
    out->n = (size_t)i2d_X509(x, &p);
    T_TRUE(out->n <= sizeof out->b);
    EVP_MD_CTX_free(ctx);
    X509_free(x);
}

/* -- a machine --------------------------------------------------------------------------- */

struct made {
    enum sm_snp_product product;
    bool is_vlek;
    struct flaws root, ask, vek;
    EVP_PKEY *ask_by; /* NULL: the ARK */
    const char *asks_cn;
    struct der d_root, d_ask, d_vek, d_crl;
    uint8_t report[SM_SNP_REPORT];
    uint8_t spl[SM_SNP_PARTS], hw_id[64];
    struct sm_trust trust;
};

static const char *const names[SM_SNP_PRODUCTS] = {"Milan", "Genoa", "Turin"};

static void spl_add(X509 *x, const char *part, uint8_t v)
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

static void vek_exts(const struct made *m, X509 *x)
{
    static const char *const parts[SM_SNP_PARTS] = {"9", "1", "2", "3", "8"};
    uint8_t product[] = {0x16, 5, 0, 0, 0, 0, 0};
    memcpy(product + 2, names[m->product], 5);
    ext_add(x, "1.3.6.1.4.1.3704.1.2", product, sizeof product);
    for (size_t i = m->product == SM_SNP_TURIN ? 0 : 1; i < SM_SNP_PARTS; i++) {
        spl_add(x, parts[i], m->spl[i]);
    }
    if (!m->is_vlek) {
        ext_add(x, "1.3.6.1.4.1.3704.1.4", m->hw_id, m->product == SM_SNP_TURIN ? 8 : 64);
    }
}

static void certs_make(struct made *m)
{
    char ark[32], ask[32];
    (void)snprintf(ark, sizeof ark, "ARK-%s", names[m->product]);
    (void)snprintf(ask, sizeof ask, "SEV-%s%s", m->is_vlek ? "VLEK-" : "", names[m->product]);
    const char *issuer = m->asks_cn == NULL ? ask : m->asks_cn;
    X509 *root = cert_begin(ark, keys.ark, ark, 1, true, &m->root);
    cert_end(root, keys.ark, &m->root, &m->d_root);
    X509 *mid = cert_begin(issuer, keys.ask, ark, 7, true, &m->ask);
    cert_end(mid, m->ask_by == NULL ? keys.ark : m->ask_by, &m->ask, &m->d_ask);
    X509 *leaf =
        cert_begin(m->is_vlek ? "SEV-VLEK" : "SEV-VCEK", keys.vek, issuer, 0, false, &m->vek);
    vek_exts(m, leaf);
    cert_end(leaf, keys.ask, &m->vek, &m->d_vek);
    for (size_t i = 0; i < SM_ROOTS; i++) {
        m->trust.root[i] = view(&m->d_root);
    }
}

static void tcb_put(struct made *m, size_t at)
{
    static const size_t old[] = {0, 0, 1, 6, 7}, turin[] = {0, 1, 2, 3, 7};
    const size_t *where = m->product == SM_SNP_TURIN ? turin : old;
    for (size_t i = m->product == SM_SNP_TURIN ? 0 : 1; i < SM_SNP_PARTS; i++) {
        m->report[at + where[i]] = m->spl[i];
    }
}

static void sign_part(const BIGNUM *v, uint8_t *at)
{
    T_EQ(BN_bn2lebinpad(v, at, 72), 72);
}

static void report_sign(struct made *m)
{
    uint8_t der[128];
    const uint8_t *p = der;
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    T_EQ(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, keys.vek), 1);
    T_EQ(EVP_DigestSign(ctx, der, &n, m->report, 0x2a0), 1);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    sign_part(ECDSA_SIG_get0_r(sig), m->report + 0x2a0);
    sign_part(ECDSA_SIG_get0_s(sig), m->report + 0x2a0 + 72);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

static void report_make(struct made *m)
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
    report_sign(m);
}

static void plan(struct made *m, enum sm_snp_product product, bool is_vlek)
{
    static const uint8_t spl[SM_SNP_PARTS] = {1, 2, 3, 0x18, 0xdb};
    keys_make();
    *m = (struct made){.product = product, .is_vlek = is_vlek};
    memcpy(m->spl, spl, sizeof spl);
    m->spl[SM_SNP_FMC] = product == SM_SNP_TURIN ? 1 : 0;
    memset(m->hw_id, 0xc1, product == SM_SNP_TURIN ? 8 : 64);
}

static void build(struct made *m)
{
    certs_make(m);
    report_make(m);
}

static struct sm_claims claims;
static struct sm_reasons why;

static enum sm_err verify(const struct made *m)
{
    struct sm_snp_evidence ev = {.report = sm_view_of(m->report, sizeof m->report),
                                 .vek = view(&m->d_vek),
                                 .chain = view(&m->d_ask),
                                 .crl = view(&m->d_crl)};
    return sm_snp_verify(&ev, &m->trust, now, &claims, &why);
}

static bool has(enum sm_reason_code code)
{
    for (size_t i = 0; i < why.n; i++) {
        if (why.r[i].code == code) {
            return true;
        }
    }
    return false;
}

#define T_REFUSED(m, code)                                                                     \
    do {                                                                                       \
        T_TRUE(verify(m) != SM_OK);                                                            \
        T_TRUE(has(code));                                                                     \
    } while (0)

static struct made m;

/* -- products and keys ------------------------------------------------------------------- */

static void every_product_is_read_by_its_own_layout(void)
{
    for (int p = 0; p < SM_SNP_PRODUCTS; p++) {
        plan(&m, (enum sm_snp_product)p, false);
        build(&m);
        T_OK(verify(&m));
        T_EQ(claims.snp.product, p);
        T_MEM(claims.tcb_parts, SM_SNP_PARTS, m.spl, SM_SNP_PARTS);
        T_MEM(claims.snp.launch_tcb, SM_SNP_PARTS, m.spl, SM_SNP_PARTS);
        T_MEM(claims.platform_id, claims.platform_id_n, m.hw_id, 64);
        T_EQ(claims.not_after.s, NOW + YEAR);
        T_TRUE(!claims.has_crl && !claims.snp.is_vlek);
    }
}

static void a_report_of_another_product_is_refused(void)
{
    plan(&m, SM_SNP_GENOA, false);
    build(&m);
    m.report[0x188] = 0x1a;
    report_sign(&m);
    T_REFUSED(&m, SM_REASON_IDENTITY);
    plan(&m, SM_SNP_TURIN, false);
    build(&m);
    m.report[0x1a8] = 1; /* behind the eight bytes of a Turin's id */
    report_sign(&m);
    T_REFUSED(&m, SM_REASON_IDENTITY);
}

static void a_vlek_is_a_clouds_key_and_never_a_chips(void)
{
    plan(&m, SM_SNP_MILAN, true);
    build(&m);
    T_OK(verify(&m));
    T_TRUE(claims.snp.is_vlek && claims.snp.is_chip_masked && claims.platform_id_n == 0);
    sm_put_le32(m.report + 0x48, 0); /* says: by the chip */
    report_sign(&m);
    T_REFUSED(&m, SM_REASON_IDENTITY);
    plan(&m, SM_SNP_MILAN, true);
    m.asks_cn = "SEV-Milan"; /* the intermediate of chips */
    build(&m);
    T_REFUSED(&m, SM_REASON_CHAIN);
    plan(&m, SM_SNP_MILAN, false);
    m.asks_cn = "SEV-VLEK-Milan";
    build(&m);
    T_REFUSED(&m, SM_REASON_CHAIN);
}

static void a_masked_chip_is_known_by_its_certificate(void)
{
    plan(&m, SM_SNP_MILAN, false);
    build(&m);
    memset(m.report + 0x1a0, 0, 64);
    report_sign(&m);
    T_OK(verify(&m));
    T_TRUE(claims.snp.is_chip_masked);
    T_MEM(claims.platform_id, claims.platform_id_n, m.hw_id, 64);
}

/* -- signed, and still wrong ------------------------------------------------------------- */

static void signed_nonsense_is_refused(void)
{
    static const struct {
        size_t at;
        uint8_t to;
        enum sm_reason_code code;
    } wrong[] = {
        {0x00, 6, SM_REASON_UNSUPPORTED},
        {0x00, 1, SM_REASON_UNSUPPORTED},
        {0x0a, 1, SM_REASON_RESERVED}, /* policy bit 17 */
        {0x34, 2, SM_REASON_UNSUPPORTED},
        {0x48, 7 << 2, SM_REASON_UNSIGNED},
        {0x48, 2 << 2, SM_REASON_UNSUPPORTED},
        {0x48, 0x20, SM_REASON_RESERVED},
        {0x30, 4, SM_REASON_GRAMMAR},
        {0x4c, 1, SM_REASON_RESERVED},
        {0x18b, 1, SM_REASON_RESERVED},
        {0x1eb, 1, SM_REASON_RESERVED},
        {0x1ef, 1, SM_REASON_RESERVED},
        {0x1f8, 1, SM_REASON_RESERVED},
        {0x29f, 1, SM_REASON_RESERVED},
        {0x3a, 1, SM_REASON_RESERVED}, /* reserved in TCB */
        {0x38, 1, SM_REASON_TCB},      /* current below committed and reported */
        {0x180, 1, SM_REASON_TCB},     /* reported is not the certificate's */
        {0x1e0, 9, SM_REASON_TCB},     /* committed above current */
    };
    for (size_t i = 0; i < SM_COUNT(wrong); i++) {
        plan(&m, SM_SNP_MILAN, false);
        build(&m);
        m.report[wrong[i].at] = wrong[i].to;
        report_sign(&m);
        T_REFUSED(&m, wrong[i].code);
    }
}

/* -- chains ------------------------------------------------------------------------------ */

static void chains_with_a_flaw_are_refused(void)
{
    static const struct {
        struct flaws ask, vek;
        bool is_foreign;
        enum sm_reason_code code;
    } flawed[] = {
        {.ask = {.is_sha256 = true}, .code = SM_REASON_CHAIN},
        {.vek = {.is_sha256 = true}, .code = SM_REASON_CHAIN},
        {.vek = {.salt = 32}, .code = SM_REASON_CHAIN},
        {.ask = {.is_no_ca = true}, .code = SM_REASON_CHAIN},
        {.vek = {.is_ca = true}, .code = SM_REASON_CHAIN},
        {.is_foreign = true, .code = SM_REASON_CHAIN},
        {.ask = {.ends_s = -1}, .code = SM_REASON_EXPIRED},
        {.vek = {.ends_s = -1}, .code = SM_REASON_EXPIRED},
        {.vek = {.starts_s = 61}, .code = SM_REASON_EXPIRED},
    };
    for (size_t i = 0; i < SM_COUNT(flawed); i++) {
        plan(&m, SM_SNP_GENOA, false);
        m.ask = flawed[i].ask;
        m.vek = flawed[i].vek;
        m.ask_by = flawed[i].is_foreign ? keys.other : NULL;
        build(&m);
        T_REFUSED(&m, flawed[i].code);
        T_TRUE(why.r[0].code == flawed[i].code && !has(SM_REASON_SIGNATURE));
    }
}

/* -- revocation -------------------------------------------------------------------------- */

static void crl_make(EVP_PKEY *by, const char *issuer, long revoked, const struct flaws *f,
                     struct der *out)
{
    X509_CRL *l = X509_CRL_new();
    X509_NAME *name = X509_NAME_new();
    ASN1_TIME *t = ASN1_TIME_new();
    name_set(name, issuer);
    T_EQ(X509_CRL_set_version(l, 1), 1);
    T_EQ(X509_CRL_set_issuer_name(l, name), 1);
    ASN1_TIME_set(t, NOW + (f->starts_s == 0 ? -YEAR : f->starts_s));
    T_EQ(X509_CRL_set1_lastUpdate(l, t), 1);
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_INTEGER_set(serial, revoked);
    X509_REVOKED_set_serialNumber(r, serial);
    X509_REVOKED_set_revocationDate(r, t);
    T_EQ(X509_CRL_add0_revoked(l, r), 1);
    ASN1_TIME_set(t, NOW + (f->ends_s == 0 ? YEAR / 2 : f->ends_s));
    T_EQ(X509_CRL_set1_nextUpdate(l, t), 1);
    EVP_MD_CTX *ctx = pss(by, f);
    uint8_t *p = out->b;
    T_TRUE(X509_CRL_sign_ctx(l, ctx) > 0);
    out->n = (size_t)i2d_X509_CRL(l, &p);
    EVP_MD_CTX_free(ctx);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(t);
    X509_NAME_free(name);
    X509_CRL_free(l);
}

static void a_revocation_list_is_obeyed(void)
{
    plan(&m, SM_SNP_MILAN, false);
    build(&m);
    crl_make(keys.ark, "ARK-Milan", 99, &(struct flaws){0}, &m.d_crl);
    T_OK(verify(&m));
    T_TRUE(claims.has_crl);
    T_EQ(claims.not_after.s, NOW + YEAR / 2);
    crl_make(keys.ark, "ARK-Milan", 7, &(struct flaws){0}, &m.d_crl); /* the ASK */
    T_ERR(verify(&m), SM_E_REFUSED);
    T_TRUE(why.n == 1 && has(SM_REASON_REVOKED));
    crl_make(keys.ark, "ARK-Milan", 1, &(struct flaws){0}, &m.d_crl); /* the ARK itself */
    T_ERR(verify(&m), SM_E_REFUSED);
}

static void a_bad_revocation_list_is_no_list(void)
{
    static const struct flaws stale = {.ends_s = -1}, early = {.starts_s = 61},
                              weak = {.is_sha256 = true}, none = {0};
    plan(&m, SM_SNP_MILAN, false);
    build(&m);
    crl_make(keys.ark, "ARK-Milan", 99, &stale, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    crl_make(keys.ark, "ARK-Milan", 99, &early, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    crl_make(keys.ark, "ARK-Milan", 99, &weak, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    crl_make(keys.other, "ARK-Milan", 99, &none, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    crl_make(keys.ark, "ARK-Genoa", 99, &none, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    crl_make(keys.ark, "ARK-Milan", 99, &none, &m.d_crl);
    m.d_crl.b[m.d_crl.n++] = 0;
    T_REFUSED(&m, SM_REASON_COLLATERAL);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(every_product_is_read_by_its_own_layout),
        T_CASE(a_report_of_another_product_is_refused),
        T_CASE(a_vlek_is_a_clouds_key_and_never_a_chips),
        T_CASE(a_masked_chip_is_known_by_its_certificate),
        T_CASE(signed_nonsense_is_refused),
        T_CASE(chains_with_a_flaw_are_refused),
        T_CASE(a_revocation_list_is_obeyed),
        T_CASE(a_bad_revocation_list_is_no_list),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
