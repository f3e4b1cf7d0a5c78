// SPDX-License-Identifier: Apache-2.0
/* Certificates, keys and signatures: what is refused before any verifier sees it. */
#include "attest/roots.h"
#include "attest/x509.h"
#include "t.h"

#include "crypto/hash.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

static const struct sm_wall now = {1800000000};

struct der {
    size_t n;
    uint8_t b[2048];
};

static struct sm_view view(const struct der *d)
{
    return sm_view_of(d->b, d->n);
}

/* -- roots ------------------------------------------------------------------------------- */

static void pinned_roots_have_the_published_hashes(void)
{
    for (int i = 0; i < SM_ROOTS; i++) {
        const struct sm_root_pin *pin = sm_root_pin((enum sm_root)i);
        uint8_t hash[32], *spki = NULL;
        const uint8_t *p = pin->der.p;
        sm_sha256(pin->der, hash);
        T_MEM(hash, 32, pin->cert_sha256, 32);
        X509 *x = d2i_X509(NULL, &p, (long)pin->der.n);
        T_TRUE(x != NULL && p == pin->der.p + pin->der.n);
        int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
        T_TRUE(n > 0);
        sm_sha256(sm_view_of(spki, (size_t)n), hash);
        T_MEM(hash, 32, pin->spki_sha256, 32);
        OPENSSL_free(spki);
        X509_free(x);
    }
}

/* -- certificates made here -------------------------------------------------------------- */

static void make(EVP_PKEY *key, EVP_PKEY *by, const char *cn, const char *issuer, bool is_ca,
                 const EVP_MD *md, struct der *out)
{
    X509 *x = X509_new();
    uint8_t *p = out->b;
    T_EQ(X509_set_version(x, 2), 1);
    T_EQ(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const uint8_t *)cn, -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_ASC,
                               (const uint8_t *)issuer, -1, -1, 0);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)now.s - 100);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)now.s + 100);
    T_EQ(X509_set_pubkey(x, key), 1);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
                                            is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    T_EQ(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    T_TRUE(X509_sign(x, by, md) > 0);
    out->n = (size_t)i2d_X509(x, &p);
    T_TRUE(out->n <= sizeof out->b);
    X509_free(x);
}

static struct {
    EVP_PKEY *root_key, *mid_key, *leaf_key;
    struct der root, mid, leaf;
} w;

static void world(void)
{
    if (w.root_key == NULL) {
        w.root_key = EVP_EC_gen("P-256");
        w.mid_key = EVP_EC_gen("P-256");
        w.leaf_key = EVP_EC_gen("P-384");
    }
    make(w.root_key, w.root_key, "root", "root", true, EVP_sha256(), &w.root);
    make(w.mid_key, w.root_key, "mid", "root", true, EVP_sha256(), &w.mid);
    make(w.leaf_key, w.mid_key, "leaf", "mid", false, EVP_sha256(), &w.leaf);
}

static enum sm_err verify(const struct der *const *certs, size_t n, const struct der *root,
                          const struct sm_chain_rules *rules, struct sm_wall *end)
{
    SM_CLEANUP(sm_chain_done) struct sm_chain chain = {0};
    struct sm_reasons why = {0};
    for (size_t i = 0; i < n; i++) {
        T_OK(sm_chain_add(&chain, view(certs[i])));
    }
    enum sm_err e = sm_chain_verify(&chain, view(root), NULL, 0, rules, now, end, &why);
    T_EQ(e == SM_OK, why.n == 0);
    return e;
}

static void a_chain_is_leaf_first_and_complete(void)
{
    const struct der *good[] = {&w.leaf, &w.mid}, *full[] = {&w.leaf, &w.mid, &w.root},
                     *swapped[] = {&w.mid, &w.leaf}, *doubled[] = {&w.leaf, &w.mid, &w.mid},
                     *gap[] = {&w.leaf}, *self[] = {&w.root};
    struct sm_chain_rules rules = {0};
    struct sm_wall end;
    world();
    T_OK(verify(good, 2, &w.root, &rules, &end));
    T_EQ(end.s, now.s + 100);
    T_OK(verify(full, 3, &w.root, &rules, &end));
    T_ERR(verify(swapped, 2, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(doubled, 3, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(gap, 1, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(self, 1, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(good, 0, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(good, 2, &w.mid, &rules, &end), SM_E_CRYPTO);
    rules.needs_crl = 1;
    T_ERR(verify(good, 2, &w.root, &rules, &end), SM_E_CRYPTO);
}

static void a_root_by_the_same_name_is_another_root(void)
{
    struct der fake, mid, leaf;
    struct sm_chain_rules rules = {0};
    struct sm_wall end;
    world();
    make(w.leaf_key, w.leaf_key, "root", "root", true, EVP_sha384(), &fake);
    make(w.mid_key, w.leaf_key, "mid", "root", true, EVP_sha384(), &mid);
    make(w.leaf_key, w.mid_key, "leaf", "mid", false, EVP_sha256(), &leaf);
    const struct der *carried[] = {&leaf, &mid, &fake}, *bare[] = {&leaf, &mid};
    T_ERR(verify(carried, 3, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(bare, 2, &w.root, &rules, &end), SM_E_CRYPTO);
    T_OK(verify(bare, 2, &fake, &rules, &end)); /* only where it is pinned */
}

static void sha1_and_false_issuers_are_refused(void)
{
    struct der weak, plain, leaf;
    struct sm_chain_rules rules = {0};
    struct sm_wall end;
    world();
    make(w.mid_key, w.root_key, "mid", "root", true, EVP_sha1(), &weak);
    make(w.mid_key, w.root_key, "mid", "root", false, EVP_sha256(), &plain);
    make(w.leaf_key, w.mid_key, "leaf", "mid", true, EVP_sha256(), &leaf);
    const struct der *by_sha1[] = {&w.leaf, &weak}, *by_leaf[] = {&w.leaf, &plain},
                     *of_ca[] = {&leaf, &w.mid};
    T_ERR(verify(by_sha1, 2, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(by_leaf, 2, &w.root, &rules, &end), SM_E_CRYPTO);
    T_ERR(verify(of_ca, 2, &w.root, &rules, &end), SM_E_CRYPTO);
}

static void a_failed_reading_leaves_the_chain_as_it_was(void)
{
    SM_CLEANUP(sm_chain_done) struct sm_chain chain = {0};
    static uint8_t many[9 * sizeof w.leaf.b];
    struct sm_cert *c = NULL;
    size_t n = 0;
    world();
    for (size_t i = 0; i < SM_CHAIN_MAX; i++, n += w.leaf.n) {
        memcpy(many + n, w.leaf.b, w.leaf.n);
    }
    T_OK(sm_chain_add(&chain, view(&w.mid)));
    T_ERR(sm_chain_add(&chain, sm_view_of(many, n)), SM_E_LIMIT);
    T_EQ(chain.n, 1);
    T_ERR(sm_chain_add(&chain, sm_view_of(many, w.leaf.n + 1)), SM_E_MALFORMED);
    T_ERR(sm_chain_add(&chain, sm_view_str("-----BEGIN CERTIFICATE-----\nAAAA\n")),
          SM_E_MALFORMED);
    T_ERR(sm_chain_add(&chain, sm_view_str("no certificate")), SM_E_MALFORMED);
    T_ERR(sm_chain_add(&chain, sm_view_str("")), SM_E_TRUNCATED);
    T_EQ(chain.n, 1);
    T_ERR(sm_cert_read(sm_view_of(many, 2 * w.leaf.n), &c), SM_E_MALFORMED);
    T_TRUE(c == NULL);
}

/* -- keys and signatures ----------------------------------------------------------------- */

static void only_points_of_the_curve_are_keys(void)
{
    uint8_t xy[96] = {0};
    struct sm_pub *k = NULL;
    T_ERR(sm_pub_of_point(SM_P256, sm_view_of(xy, 64), &k), SM_E_CRYPTO);
    T_ERR(sm_pub_of_point(SM_P256, sm_view_of(xy, 63), &k), SM_E_MALFORMED);
    T_ERR(sm_pub_of_point(SM_P256, sm_view_of(xy, 96), &k), SM_E_MALFORMED);
    memset(xy, 0xff, sizeof xy);
    T_ERR(sm_pub_of_point(SM_P384, sm_view_of(xy, 96), &k), SM_E_CRYPTO);
    T_TRUE(k == NULL);
}

static void rsa_keys_of_no_strength_are_refused(void)
{
    static const uint8_t one[] = {1}, even[] = {1, 0, 0}, huge[] = {1, 0, 0, 0, 1};
    static uint8_t n[513];
    struct sm_pub *k = NULL;
    struct sm_view e = sm_view_of("\1\0\1", 3);
    memset(n, 0xff, sizeof n);
    T_OK(sm_pub_of_rsa(sm_view_of(n, 256), e, &k));
    sm_pub_free(k);
    k = NULL;
    T_ERR(sm_pub_of_rsa(sm_view_of(n, 255), e, &k), SM_E_UNSUPPORTED);
    T_ERR(sm_pub_of_rsa(sm_view_of(n, 513), e, &k), SM_E_UNSUPPORTED);
    T_ERR(sm_pub_of_rsa(sm_view_of(n, 256), sm_view_of(one, 1), &k), SM_E_UNSUPPORTED);
    T_ERR(sm_pub_of_rsa(sm_view_of(n, 256), sm_view_of(even, 3), &k), SM_E_UNSUPPORTED);
    T_ERR(sm_pub_of_rsa(sm_view_of(n, 256), sm_view_of(huge, 5), &k), SM_E_UNSUPPORTED);
    n[255] = 0xfe;
    T_ERR(sm_pub_of_rsa(sm_view_of(n, 256), e, &k), SM_E_UNSUPPORTED);
    T_TRUE(k == NULL);
}

/* The raw form of a signature that OpenSSL makes as DER. */
static void sign(EVP_PKEY *key, struct sm_view msg, uint8_t rs[static 96])
{
    uint8_t der[128];
    const uint8_t *p = der;
    size_t n = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    T_EQ(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key), 1);
    T_EQ(EVP_DigestSign(ctx, der, &n, msg.p, msg.n), 1);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    T_EQ(BN_bn2binpad(ECDSA_SIG_get0_r(sig), rs, 48), 48);
    T_EQ(BN_bn2binpad(ECDSA_SIG_get0_s(sig), rs + 48, 48), 48);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

static void a_signature_has_one_length_and_one_message(void)
{
    uint8_t rs[97] = {0};
    struct sm_view msg = sm_view_str("report"), sig = sm_view_of(rs, 96);
    struct sm_cert *c = NULL;
    struct sm_pub *k = NULL;
    world();
    T_OK(sm_cert_read(view(&w.leaf), &c));
    T_OK(sm_pub_of_cert(c, &k));
    T_TRUE(sm_pub_is_curve(k, SM_P384) && !sm_pub_is_curve(k, SM_P256));
    T_ERR(sm_pub_verify(k, SM_DIGEST_SHA384, msg, sig), SM_E_CRYPTO); /* zeros */
    sign(w.leaf_key, msg, rs);
    T_OK(sm_pub_verify(k, SM_DIGEST_SHA384, msg, sig));
    T_ERR(sm_pub_verify(k, SM_DIGEST_SHA256, msg, sig), SM_E_CRYPTO);
    T_ERR(sm_pub_verify(k, SM_DIGEST_SHA384, sm_view_str("repost"), sig), SM_E_CRYPTO);
    T_ERR(sm_pub_verify(k, SM_DIGEST_SHA384, msg, sm_view_of(rs, 97)), SM_E_CRYPTO);
    T_ERR(sm_pub_verify(k, SM_DIGEST_SHA384, msg, sm_view_of(rs, 94)), SM_E_CRYPTO);
    T_ERR(sm_pub_verify(k, SM_DIGEST_SHA384, msg, sm_view_of(rs, 0)), SM_E_CRYPTO);
    sm_pub_free(k);
    sm_cert_free(c);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(pinned_roots_have_the_published_hashes),
        T_CASE(a_chain_is_leaf_first_and_complete),
        T_CASE(a_root_by_the_same_name_is_another_root),
        T_CASE(sha1_and_false_issuers_are_refused),
        T_CASE(a_failed_reading_leaves_the_chain_as_it_was),
        T_CASE(only_points_of_the_curve_are_keys),
        T_CASE(rsa_keys_of_no_strength_are_refused),
        T_CASE(a_signature_has_one_length_and_one_message),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
