// SPDX-License-Identifier: Apache-2.0
#include "attest/x509.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_BYTES_MAX (2u * SM_CHAIN_MAX * SM_CERT_MAX) /* as PEM, with headers */
#define SPKI_MAX        2048u                             /* as PEM; RSA-4096 has 800 */
#define EC_FIELD_MAX    48u
#define AUTH_LEVEL      2 /* OpenSSL's: 112 bits; no SHA-1, no RSA below 2048 */
#define PSS_SALT        48
#define RSA_BITS_MIN    2048
#define RSA_BITS_MAX    4096

struct sm_cert {
    X509 *x;
};
struct sm_crl {
    X509_CRL *l;
};
struct sm_pub {
    EVP_PKEY *k;
};

#define CRLS_MAX 4u /* of one chain, to be remembered */

/* -- PEM --------------------------------------------------------------------------------- */

static bool is_pem(struct sm_view v)
{
    return v.n > 0 && v.p[0] != 0x30; /* SEQUENCE: every DER form here begins with it */
}

/* The next block of this name, without asking anybody for a password.  NOTFOUND at the end. */
static enum sm_err pem_next(BIO *bio, const char *name, uint8_t **der, size_t *n)
{
    char *got = NULL, *header = NULL;
    uint8_t *data = NULL;
    long data_n = 0;
    if (PEM_read_bio(bio, &got, &header, &data, &data_n) != 1) {
        unsigned long e = ERR_peek_last_error();
        ERR_clear_error();
        return ERR_GET_REASON(e) == PEM_R_NO_START_LINE ? SM_E_NOTFOUND : SM_E_MALFORMED;
    }
    bool is_good = strcmp(got, name) == 0 && header[0] == '\0' && data_n > 0;
    OPENSSL_free(got);
    OPENSSL_free(header);
    if (!is_good) {
        OPENSSL_free(data);
        return SM_E_MALFORMED;
    }
    *der = data;
    *n = (size_t)data_n;
    return SM_OK;
}

/* Bytes that are DER, or the first PEM block in them: *owned is freed by the caller. */
static enum sm_err der_of(struct sm_view in, const char *name, uint8_t **owned,
                          struct sm_view *out)
{
    if (!is_pem(in)) {
        *out = in;
        return in.n == 0 ? SM_E_TRUNCATED : SM_OK;
    }
    BIO *bio = BIO_new_mem_buf(in.p, (int)in.n);
    if (bio == NULL) {
        return SM_E_NOMEM;
    }
    size_t n = 0;
    enum sm_err e = pem_next(bio, name, owned, &n);
    BIO_free(bio);
    *out = sm_view_of(*owned, n);
    return e == SM_E_NOTFOUND ? SM_E_MALFORMED : e;
}

/* -- certificates ------------------------------------------------------------------------ */

/* Whether our encoding of what was read is what was read: BER forms are refused, so that one
 * certificate has one run of bytes. */
static bool is_der(const X509 *x, struct sm_view read)
{
    uint8_t *again = NULL;
    int n = i2d_X509(x, &again);
    bool is_same = n >= 0 && sm_view_eq(sm_view_of(again, (size_t)n), read);
    OPENSSL_free(again);
    return is_same;
}

/* The certificate at the front of `der`; takes its bytes away. */
static enum sm_err cert_next(struct sm_view *der, struct sm_cert **out)
{
    const uint8_t *p = der->p;
    struct sm_view head = sm_view_sub(*der, 0, SM_CERT_MAX);
    X509 *x = head.n == 0 ? NULL : d2i_X509(NULL, &p, (long)head.n);
    if (x == NULL) {
        ERR_clear_error();
        return SM_E_MALFORMED;
    }
    size_t used = (size_t)(p - der->p);
    if (!is_der(x, sm_view_sub(*der, 0, used))) {
        X509_free(x);
        return SM_E_MALFORMED;
    }
    struct sm_cert *c = malloc(sizeof *c);
    if (c == NULL) {
        X509_free(x);
        return SM_E_NOMEM;
    }
    c->x = x;
    *der = sm_view_sub(*der, used, der->n - used);
    *out = c;
    return SM_OK;
}

enum sm_err sm_cert_read(struct sm_view der, struct sm_cert **out)
{
    struct sm_cert *c;
    if (der.n > SM_CERT_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(cert_next(&der, &c));
    if (der.n > 0) {
        sm_cert_free(c);
        return SM_E_MALFORMED;
    }
    *out = c;
    return SM_OK;
}

void sm_cert_free(struct sm_cert *c)
{
    if (c != NULL) {
        X509_free(c->x);
        free(c);
    }
}

static enum sm_err chain_add_der(struct sm_chain *chain, struct sm_view der)
{
    while (der.n > 0) {
        if (chain->n == SM_CHAIN_MAX) {
            return SM_E_LIMIT;
        }
        SM_TRY(cert_next(&der, &chain->c[chain->n]));
        chain->n++;
    }
    return SM_OK;
}

static enum sm_err chain_add_pem(struct sm_chain *chain, struct sm_view pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    if (bio == NULL) {
        return SM_E_NOMEM;
    }
    uint8_t *der = NULL;
    size_t n = 0;
    enum sm_err e = pem_next(bio, "CERTIFICATE", &der, &n);
    size_t blocks = 0;
    for (; e == SM_OK; blocks++) {
        e = chain_add_der(chain, sm_view_of(der, n));
        OPENSSL_free(der);
        e = e == SM_OK ? pem_next(bio, "CERTIFICATE", &der, &n) : e;
    }
    BIO_free(bio);
    return e == SM_E_NOTFOUND && blocks > 0 ? SM_OK : e == SM_E_NOTFOUND ? SM_E_MALFORMED : e;
}

enum sm_err sm_chain_add(struct sm_chain *chain, struct sm_view bytes)
{
    size_t before = chain->n;
    if (bytes.n == 0) {
        return SM_E_TRUNCATED;
    }
    if (bytes.n > CHAIN_BYTES_MAX) {
        return SM_E_LIMIT;
    }
    enum sm_err e = is_pem(bytes) ? chain_add_pem(chain, bytes) : chain_add_der(chain, bytes);
    while (e != SM_OK && chain->n > before) {
        sm_cert_free(chain->c[--chain->n]);
    }
    return e;
}

void sm_chain_done(struct sm_chain *chain)
{
    while (chain->n > 0) {
        sm_cert_free(chain->c[--chain->n]);
    }
}

enum sm_err sm_cert_ext(const struct sm_cert *c, const char *oid, struct sm_view *out)
{
    ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
    if (obj == NULL) {
        return SM_E_INVALID;
    }
    int at = X509_get_ext_by_OBJ(c->x, obj, -1);
    bool is_twice = at >= 0 && X509_get_ext_by_OBJ(c->x, obj, at) >= 0;
    ASN1_OBJECT_free(obj);
    if (at < 0) {
        return SM_E_NOTFOUND;
    }
    if (is_twice) {
        return SM_E_MALFORMED;
    }
    const ASN1_OCTET_STRING *v = X509_EXTENSION_get_data(X509_get_ext(c->x, at));
    *out = sm_view_of(ASN1_STRING_get0_data(v), (size_t)ASN1_STRING_length(v));
    return SM_OK;
}

static enum sm_err common_name(const X509_NAME *name, char out[static SM_CN_MAX])
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) {
        return SM_E_NOTFOUND;
    }
    const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    struct sm_view v = sm_view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    if (v.n == 0 || v.n >= SM_CN_MAX) {
        return SM_E_NOTFOUND;
    }
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < 0x20 || v.p[i] > 0x7e) {
            return SM_E_NOTFOUND;
        }
    }
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return SM_OK;
}

enum sm_err sm_cert_subject_cn(const struct sm_cert *c, char out[static SM_CN_MAX])
{
    return common_name(X509_get_subject_name(c->x), out);
}

enum sm_err sm_cert_issuer_cn(const struct sm_cert *c, char out[static SM_CN_MAX])
{
    return common_name(X509_get_issuer_name(c->x), out);
}

static void crl_sha256(const struct sm_crl *l, uint8_t out[static 32])
{
    unsigned n = 32;
    int is_done = X509_CRL_digest(l->l, EVP_sha256(), out, &n);
    assert(is_done == 1 && n == 32);
}

void sm_cert_sha256(const struct sm_cert *c, uint8_t out[static 32])
{
    unsigned n = 32;
    int is_done = X509_digest(c->x, EVP_sha256(), out, &n);
    assert(is_done == 1 && n == 32);
}

enum sm_err sm_cert_spki_digest(const struct sm_cert *c, enum sm_digest d, uint8_t *out)
{
    uint8_t *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c->x), &der);
    if (n <= 0) {
        return SM_E_NOMEM;
    }
    sm_digest(d, sm_view_of(der, (size_t)n), out);
    OPENSSL_free(der);
    return SM_OK;
}

bool sm_cert_eq(const struct sm_cert *a, const struct sm_cert *b)
{
    uint8_t ha[32], hb[32];
    sm_cert_sha256(a, ha);
    sm_cert_sha256(b, hb);
    return memcmp(ha, hb, sizeof ha) == 0;
}

bool sm_cert_same_subject(const struct sm_cert *a, const struct sm_cert *b)
{
    return X509_NAME_cmp(X509_get_subject_name(a->x), X509_get_subject_name(b->x)) == 0;
}

/* Times before 1970 become 1970: no certificate of ours is that old. */
static enum sm_err wall_of(const ASN1_TIME *t, struct sm_wall *out)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days, seconds;
    int is_known = epoch != NULL && t != NULL && ASN1_TIME_diff(&days, &seconds, epoch, t);
    ASN1_TIME_free(epoch);
    if (!is_known) {
        return SM_E_MALFORMED;
    }
    int64_t s = (int64_t)days * 86400 + seconds;
    out->s = s < 0 ? 0 : (uint64_t)s;
    return SM_OK;
}

enum sm_err sm_cert_times(const struct sm_cert *c, struct sm_wall *not_before,
                          struct sm_wall *not_after)
{
    struct sm_wall from, to;
    SM_TRY(wall_of(X509_get0_notBefore(c->x), &from));
    SM_TRY(wall_of(X509_get0_notAfter(c->x), &to));
    *not_before = from;
    *not_after = to;
    return SM_OK;
}

/* -- revocation lists -------------------------------------------------------------------- */

enum sm_err sm_crl_read(struct sm_view der_or_pem, struct sm_crl **out)
{
    uint8_t *owned = NULL;
    struct sm_view der;
    if (der_or_pem.n > SM_CRL_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(der_of(der_or_pem, "X509 CRL", &owned, &der));
    const uint8_t *p = der.p;
    X509_CRL *l = d2i_X509_CRL(NULL, &p, (long)der.n);
    bool is_whole = l != NULL && p == der.p + der.n;
    OPENSSL_free(owned);
    struct sm_crl *c = is_whole ? malloc(sizeof *c) : NULL;
    if (c == NULL) {
        X509_CRL_free(l);
        ERR_clear_error();
        return is_whole ? SM_E_NOMEM : SM_E_MALFORMED;
    }
    c->l = l;
    *out = c;
    return SM_OK;
}

void sm_crl_free(struct sm_crl *l)
{
    if (l != NULL) {
        X509_CRL_free(l->l);
        free(l);
    }
}

/* -- chains ------------------------------------------------------------------------------ */

/* The certificates from the leaf to the root; the last is the pinned one. */
struct path {
    size_t n;
    X509 *x[SM_CHAIN_MAX + 1];
};

static void refuse(struct sm_reasons *why, enum sm_reason_code code, X509 *x, const char *got,
                   const char *want)
{
    char name[SM_CN_MAX];
    if (common_name(X509_get_subject_name(x), name) != SM_OK) {
        (void)snprintf(name, sizeof name, "certificate");
    }
    sm_reasons_add(why, code, name, got, want);
}

/* AMD's parameters and no others. */
static bool is_amd_pss(const X509_ALGOR *alg)
{
    const ASN1_OBJECT *obj, *hash, *mgf, *mgf_hash;
    int type;
    const void *param;
    X509_ALGOR_get0(&obj, &type, &param, alg);
    if (OBJ_obj2nid(obj) != NID_rsassaPss || type != V_ASN1_SEQUENCE) {
        return false;
    }
    RSA_PSS_PARAMS *pss =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), alg->parameter);
    bool is_good = pss != NULL && pss->hashAlgorithm != NULL && pss->maskGenAlgorithm != NULL &&
                   pss->saltLength != NULL && ASN1_INTEGER_get(pss->saltLength) == PSS_SALT &&
                   (pss->trailerField == NULL || ASN1_INTEGER_get(pss->trailerField) == 1);
    if (is_good) {
        X509_ALGOR_get0(&hash, NULL, NULL, pss->hashAlgorithm);
        X509_ALGOR_get0(&mgf, &type, NULL, pss->maskGenAlgorithm);
        is_good = OBJ_obj2nid(hash) == NID_sha384 && OBJ_obj2nid(mgf) == NID_mgf1 &&
                  type == V_ASN1_SEQUENCE;
    }
    X509_ALGOR *inner = is_good ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR),
                                                            pss->maskGenAlgorithm->parameter)
                                : NULL;
    if (inner != NULL) {
        X509_ALGOR_get0(&mgf_hash, NULL, NULL, inner);
    }
    is_good = inner != NULL && OBJ_obj2nid(mgf_hash) == NID_sha384;
    X509_ALGOR_free(inner);
    RSA_PSS_PARAMS_free(pss);
    ERR_clear_error();
    return is_good;
}

/* What OpenSSL leaves to a purpose, and we want always. */
static void check_roles(const struct path *path, struct sm_reasons *why)
{
    for (size_t i = 0; i < path->n; i++) {
        uint32_t flags = X509_get_extension_flags(path->x[i]);
        bool is_ca = (flags & EXFLAG_CA) != 0;
        bool may_sign = (X509_get_key_usage(path->x[i]) & KU_KEY_CERT_SIGN) != 0;
        if ((flags & EXFLAG_INVALID) != 0) {
            refuse(why, SM_REASON_CHAIN, path->x[i], "broken extensions", "valid ones");
        } else if (i == 0 && is_ca) {
            refuse(why, SM_REASON_CHAIN, path->x[i], "an issuer", "a leaf");
        } else if (i > 0 && !(is_ca && may_sign)) {
            refuse(why, SM_REASON_CHAIN, path->x[i], "not an issuer", "an issuer");
        }
    }
}

static void check_pss(const struct path *path, struct sm_reasons *why)
{
    for (size_t i = 0; i + 1 < path->n; i++) {
        const X509_ALGOR *alg;
        X509_get0_signature(NULL, &alg, path->x[i]);
        if (!is_amd_pss(alg)) {
            refuse(why, SM_REASON_CHAIN, path->x[i], "another signature algorithm",
                   "RSA-PSS, SHA-384, salt 48");
        }
    }
}

static void check_window(const char *field, enum sm_reason_code code, struct sm_wall from,
                         struct sm_wall to, struct sm_wall now, unsigned skew_s,
                         struct sm_reasons *why)
{
    if (from.s > now.s && from.s - now.s > skew_s) {
        sm_reasons_add_u64(why, code, field, from.s, "a start before", now.s);
    }
    if (to.s < now.s) {
        sm_reasons_add_u64(why, code, field, to.s, "an end not before", now.s);
    }
}

static void check_times(const struct path *path, const struct sm_chain_rules *rules,
                        struct sm_wall now, struct sm_wall *end, struct sm_reasons *why)
{
    for (size_t i = 0; i < path->n; i++) {
        struct sm_cert c = {path->x[i]};
        struct sm_wall from, to;
        char name[SM_CN_MAX] = "certificate";
        if (sm_cert_times(&c, &from, &to) != SM_OK) {
            refuse(why, SM_REASON_CHAIN, path->x[i], "broken times", "valid ones");
            continue;
        }
        (void)(sm_cert_subject_cn(&c, name) == SM_OK);
        check_window(name, SM_REASON_EXPIRED, from, to, now, rules->skew_s, why);
        end->s = to.s < end->s ? to.s : end->s;
    }
}

/* The path OpenSSL found must be ours, certificate by certificate. */
static bool is_same_path(X509_STORE_CTX *ctx, const struct path *path)
{
    STACK_OF(X509) *found = X509_STORE_CTX_get0_chain(ctx);
    if (sk_X509_num(found) != (int)path->n) {
        return false;
    }
    for (size_t i = 0; i < path->n; i++) {
        if (X509_cmp(sk_X509_value(found, (int)i), path->x[i]) != 0) {
            return false;
        }
    }
    return true;
}

enum sm_err sm_crl_times(const struct sm_crl *l, struct sm_wall *from, struct sm_wall *to)
{
    struct sm_wall a, b;
    SM_TRY(wall_of(X509_CRL_get0_lastUpdate(l->l), &a));
    SM_TRY(wall_of(X509_CRL_get0_nextUpdate(l->l), &b));
    *from = a;
    *to = b;
    return SM_OK;
}

static void openssl_params(X509_STORE_CTX *ctx, const struct path *path, bool is_strict)
{
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_NO_CHECK_TIME |
                                       (is_strict ? X509_V_FLAG_X509_STRICT : 0));
    X509_VERIFY_PARAM_set_depth(p, (int)path->n - 2); /* counts what is between the ends */
    X509_VERIFY_PARAM_set_auth_level(p, AUTH_LEVEL);
}

/* Times are ours (check_times), because OpenSSL knows no skew; all else is OpenSSL's. */
static enum sm_err openssl_verify(const struct path *path, bool is_strict,
                                  struct sm_reasons *why)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *between = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool is_made = store != NULL && between != NULL && ctx != NULL &&
                   X509_STORE_add_cert(store, path->x[path->n - 1]) == 1;
    for (size_t i = 1; is_made && i + 1 < path->n; i++) {
        is_made = sk_X509_push(between, path->x[i]) > 0;
    }
    is_made = is_made && X509_STORE_CTX_init(ctx, store, path->x[0], between) == 1;
    if (is_made) {
        openssl_params(ctx, path, is_strict);
        if (X509_verify_cert(ctx) != 1) {
            int at = X509_STORE_CTX_get_error_depth(ctx);
            size_t i = at >= 0 && (size_t)at < path->n ? (size_t)at : 0;
            refuse(why, SM_REASON_CHAIN, path->x[i],
                   X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)),
                   "a path to the pinned root");
        } else if (!is_same_path(ctx, path)) {
            refuse(why, SM_REASON_CHAIN, path->x[0], "certificates out of order or to spare",
                   "leaf first, each by the next");
        }
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_free(between);
    X509_STORE_free(store);
    ERR_clear_error();
    return is_made ? SM_OK : SM_E_NOMEM;
}

/* Nothing of ours understands any extension that changes what a list means. */
static bool has_critical(const X509_CRL *l)
{
    for (int i = 0; i < X509_CRL_get_ext_count(l); i++) {
        if (X509_EXTENSION_get_critical(X509_CRL_get_ext(l, i)) != 0) {
            return true;
        }
    }
    return false;
}

static bool is_crl_signed(X509_CRL *l, X509 *issuer, bool is_pss)
{
    const X509_ALGOR *alg;
    int hash = NID_undef;
    X509_CRL_get0_signature(l, NULL, &alg);
    if (is_pss ? !is_amd_pss(alg)
               : OBJ_find_sigid_algs(X509_CRL_get_signature_nid(l), &hash, NULL) != 1 ||
                     (hash != NID_sha256 && hash != NID_sha384 && hash != NID_sha512)) {
        return false;
    }
    return (X509_get_key_usage(issuer) & KU_CRL_SIGN) != 0 &&
           X509_CRL_verify(l, X509_get0_pubkey(issuer)) == 1;
}

static void check_crl_times(const X509_CRL *l, const struct sm_chain_rules *rules,
                            struct sm_wall now, struct sm_wall *end, struct sm_reasons *why)
{
    struct sm_wall from, to;
    if (wall_of(X509_CRL_get0_lastUpdate(l), &from) != SM_OK ||
        wall_of(X509_CRL_get0_nextUpdate(l), &to) != SM_OK) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, "revocation list", "no times",
                       "both, in order");
        return;
    }
    check_window("revocation list", SM_REASON_COLLATERAL, from, to, now, rules->skew_s, why);
    end->s = to.s < end->s ? to.s : end->s;
}

/* Bit i: path->x[i] is issued by the list's issuer, which is found by name. */
static unsigned covered_by(const X509_CRL *l, const struct path *path, X509 **issuer)
{
    unsigned mask = 0;
    for (size_t i = 0; i < path->n; i++) {
        size_t by = i + 1 < path->n ? i + 1 : i;
        if (X509_NAME_cmp(X509_CRL_get_issuer(l), X509_get_subject_name(path->x[by])) == 0) {
            *issuer = path->x[by];
            mask |= 1u << i;
        }
    }
    return mask;
}

/* Returns which certificates the list speaks for. */
static unsigned check_crl(X509_CRL *l, const struct path *path,
                          const struct sm_chain_rules *rules, struct sm_wall now,
                          struct sm_wall *end, struct sm_reasons *why)
{
    X509 *issuer = NULL;
    unsigned mask = covered_by(l, path, &issuer);
    if (mask == 0 || has_critical(l) || !is_crl_signed(l, issuer, rules->is_pss)) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, "revocation list",
                       mask == 0         ? "by somebody else"
                       : has_critical(l) ? "a partial or indirect one"
                                         : "badly signed",
                       "a whole one, signed by an issuer in the chain");
        return 0;
    }
    check_crl_times(l, rules, now, end, why);
    for (size_t i = 0; i < path->n; i++) {
        X509_REVOKED *entry;
        if ((mask >> i & 1u) != 0 && X509_CRL_get0_by_cert(l, &entry, path->x[i]) != 0) {
            refuse(why, SM_REASON_REVOKED, path->x[i], "revoked", "not revoked");
        }
    }
    return mask;
}

static void check_crls(const struct sm_crl *const *crls, size_t n_crls, const struct path *path,
                       const struct sm_chain_rules *rules, struct sm_wall now,
                       struct sm_wall *end, struct sm_reasons *why)
{
    unsigned covered = 0;
    for (size_t i = 0; i < n_crls; i++) {
        covered |= check_crl(crls[i]->l, path, rules, now, end, why);
    }
    for (size_t i = 0; i < path->n; i++) {
        if ((rules->needs_crl & ~covered) >> i & 1u) {
            refuse(why, SM_REASON_COLLATERAL, path->x[i], "no revocation list",
                   "one of its issuer");
        }
    }
    ERR_clear_error();
}

/* Most telling first. */
static enum sm_err error_of(const struct sm_reasons *why)
{
    static const struct {
        enum sm_reason_code code;
        enum sm_err e;
    } order[] = {{SM_REASON_REVOKED, SM_E_REFUSED},
                 {SM_REASON_CHAIN, SM_E_CRYPTO},
                 {SM_REASON_COLLATERAL, SM_E_CRYPTO},
                 {SM_REASON_EXPIRED, SM_E_EXPIRED}};
    for (size_t o = 0; o < SM_COUNT(order); o++) {
        for (size_t i = 0; i < why->n; i++) {
            if (why->r[i].code == order[o].code) {
                return order[o].e;
            }
        }
    }
    return SM_E_CRYPTO;
}

static void path_make(const struct sm_chain *chain, const struct sm_cert *root,
                      struct path *out)
{
    for (size_t i = 0; i < chain->n; i++) {
        out->x[out->n++] = chain->c[i]->x;
    }
    if (chain->n > 1 && sm_cert_eq(chain->c[chain->n - 1], root)) {
        out->n--;
    }
    out->x[out->n++] = root->x;
}

/* SHA-256 over everything that the answer depends on, but the time. */
static void chain_key(const struct sm_chain *chain, struct sm_view root,
                      const struct sm_crl *const *crls, size_t n_crls,
                      const struct sm_chain_rules *rules, uint8_t out[static 32])
{
    uint8_t buf[24 + (SM_CHAIN_MAX + CRLS_MAX + 1) * 32], hash[32];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    sm_wr_u8(&w, rules->is_strict);
    sm_wr_u8(&w, rules->is_pss);
    sm_wr_u32(&w, rules->skew_s);
    sm_wr_u32(&w, rules->needs_crl);
    sm_wr_u32(&w, (uint32_t)chain->n);
    sm_wr_u32(&w, (uint32_t)n_crls);
    sm_digest(SM_DIGEST_SHA256, root, hash);
    sm_wr_bytes(&w, hash, sizeof hash);
    for (size_t i = 0; i < chain->n; i++) {
        sm_cert_sha256(chain->c[i], hash);
        sm_wr_bytes(&w, hash, sizeof hash);
    }
    for (size_t i = 0; i < n_crls; i++) {
        crl_sha256(crls[i], hash);
        sm_wr_bytes(&w, hash, sizeof hash);
    }
    assert(!w.full);
    sm_digest(SM_DIGEST_SHA256, sm_view_of(buf, w.n), out);
}

static enum sm_err chain_verify(const struct sm_chain *chain, struct sm_view root,
                                const struct sm_crl *const *crls, size_t n_crls,
                                const struct sm_chain_rules *rules, struct sm_wall now,
                                struct sm_wall *not_after, struct sm_reasons *why)
{
    /* A private list, so that a full one of the caller's cannot hide a failure. */
    struct sm_reasons own = {0};
    SM_CLEANUP(sm_chain_done) struct sm_chain pinned = {0};
    struct path path = {0};
    struct sm_wall end = {UINT64_MAX};
    if (chain->n == 0 || sm_chain_add(&pinned, root) != SM_OK || pinned.n != 1) {
        sm_reasons_add(why, SM_REASON_CHAIN, "chain", chain->n == 0 ? "empty" : "no root",
                       "a path to a pinned root");
        return SM_E_CRYPTO;
    }
    path_make(chain, pinned.c[0], &path);
    enum sm_err e = openssl_verify(&path, rules->is_strict, &own);
    check_roles(&path, &own);
    if (rules->is_pss) {
        check_pss(&path, &own);
    }
    check_times(&path, rules, now, &end, &own);
    check_crls(crls, n_crls, &path, rules, now, &end, &own);
    sm_reasons_append(why, &own);
    SM_TRY(e);
    if (own.n > 0) {
        return error_of(&own);
    }
    *not_after = end;
    return SM_OK;
}

enum sm_err sm_chain_verify(const struct sm_chain *chain, struct sm_view root,
                            const struct sm_crl *const *crls, size_t n_crls,
                            const struct sm_chain_rules *rules, struct sm_wall now,
                            struct sm_wall *not_after, struct sm_reasons *why)
{
    uint8_t key[32];
    if (rules->cache == NULL || n_crls > CRLS_MAX) {
        return chain_verify(chain, root, crls, n_crls, rules, now, not_after, why);
    }
    chain_key(chain, root, crls, n_crls, rules, key);
    if (sm_cache_chain(rules->cache, key, now, not_after)) {
        return SM_OK;
    }
    SM_TRY(chain_verify(chain, root, crls, n_crls, rules, now, not_after, why));
    sm_cache_chain_add(rules->cache, key, now, *not_after);
    return SM_OK;
}

/* -- a list by itself -------------------------------------------------------------------- */

static void check_issuers(const struct path *path, struct sm_reasons *why)
{
    for (size_t i = 0; i < path->n; i++) {
        uint32_t flags = X509_get_extension_flags(path->x[i]);
        bool may_sign = (X509_get_key_usage(path->x[i]) & KU_KEY_CERT_SIGN) != 0;
        if ((flags & EXFLAG_INVALID) != 0 || (flags & EXFLAG_CA) == 0 || !may_sign) {
            refuse(why, SM_REASON_CHAIN, path->x[i], "not an issuer", "an issuer");
        }
    }
}

static void check_list(X509_CRL *l, X509 *issuer, const struct sm_chain_rules *rules,
                       struct sm_wall now, struct sm_reasons *why)
{
    struct sm_wall end = {UINT64_MAX};
    bool is_named = X509_NAME_cmp(X509_CRL_get_issuer(l), X509_get_subject_name(issuer)) == 0;
    if (!is_named || has_critical(l) || !is_crl_signed(l, issuer, rules->is_pss)) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, "revocation list",
                       !is_named         ? "by somebody else"
                       : has_critical(l) ? "a partial or indirect one"
                                         : "badly signed",
                       "a whole one, signed by its issuer");
        return;
    }
    check_crl_times(l, rules, now, &end, why);
}

static uint64_t crl_number(const X509_CRL *l)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(l, NID_crl_number, NULL, NULL);
    uint64_t n = 0;
    if (number == NULL || ASN1_INTEGER_get_uint64(&n, number) != 1 || n > INT64_MAX) {
        n = 0;
    }
    ASN1_INTEGER_free(number);
    return n;
}

enum sm_err sm_crl_verify(const struct sm_crl *l, const struct sm_chain *issuers,
                          struct sm_view root, const struct sm_chain_rules *rules,
                          struct sm_wall now, struct sm_crl_info *out, struct sm_reasons *why)
{
    struct sm_reasons own = {0};
    SM_CLEANUP(sm_chain_done) struct sm_chain pinned = {0};
    struct path path = {0};
    struct sm_crl_info info = {.number = crl_number(l->l)};
    struct sm_wall end = {UINT64_MAX};
    if (sm_chain_add(&pinned, root) != SM_OK || pinned.n != 1) {
        sm_reasons_add(why, SM_REASON_CHAIN, "chain", "no root", "a path to a pinned root");
        return SM_E_CRYPTO;
    }
    for (size_t i = 0; i < issuers->n && !sm_cert_eq(issuers->c[i], pinned.c[0]); i++) {
        path.x[path.n++] = issuers->c[i]->x;
    }
    path.x[path.n++] = pinned.c[0]->x;
    if (path.n > 1) {
        SM_TRY(openssl_verify(&path, rules->is_strict, &own));
    }
    check_issuers(&path, &own);
    if (rules->is_pss) {
        check_pss(&path, &own);
    }
    check_times(&path, rules, now, &end, &own);
    check_list(l->l, path.x[0], rules, now, &own);
    ERR_clear_error();
    sm_reasons_append(why, &own);
    if (own.n > 0) {
        return error_of(&own);
    }
    struct sm_cert issuer = {path.x[0]};
    SM_TRY(sm_crl_times(l, &info.this_update, &info.next_update));
    SM_TRY(sm_cert_spki_digest(&issuer, SM_DIGEST_SHA256, info.issuer_key));
    *out = info;
    return SM_OK;
}

/* -- hashes ------------------------------------------------------------------------------ */

static const EVP_MD *md_of(enum sm_digest d)
{
    switch (d) {
    case SM_DIGEST_SHA256:
        return EVP_sha256();
    case SM_DIGEST_SHA384:
        return EVP_sha384();
    case SM_DIGEST_SHA512:
        return EVP_sha512();
    }
    assert(false);
    return NULL;
}

size_t sm_digest_len(enum sm_digest d)
{
    return (size_t)EVP_MD_get_size(md_of(d));
}

void sm_digest(enum sm_digest d, struct sm_view msg, uint8_t *out)
{
    int is_done =
        EVP_Digest(msg.n == 0 ? (const uint8_t *)"" : msg.p, msg.n, out, NULL, md_of(d), NULL);
    assert(is_done == 1);
}

/* -- public keys ------------------------------------------------------------------------- */

static const char *group_of(enum sm_curve curve)
{
    return curve == SM_P256 ? SN_X9_62_prime256v1 : SN_secp384r1;
}

static size_t field_of(enum sm_curve curve)
{
    return curve == SM_P256 ? 32 : 48;
}

static bool is_group(EVP_PKEY *k, enum sm_curve curve)
{
    char name[32];
    return EVP_PKEY_get_base_id(k) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(k, name, sizeof name, NULL) == 1 &&
           strcmp(name, group_of(curve)) == 0;
}

/* An odd exponent of 3 to 32 bits: 65537 in all evidence seen. */
static bool is_good_rsa(EVP_PKEY *k)
{
    int bits = EVP_PKEY_get_bits(k);
    BIGNUM *e = NULL;
    bool is_good = EVP_PKEY_get_base_id(k) == EVP_PKEY_RSA && bits >= RSA_BITS_MIN &&
                   bits <= RSA_BITS_MAX &&
                   EVP_PKEY_get_bn_param(k, OSSL_PKEY_PARAM_RSA_E, &e) && BN_is_odd(e) &&
                   BN_num_bits(e) >= 2 && BN_num_bits(e) <= 32;
    BN_free(e);
    return is_good;
}

/* Takes the key over; NULL is MALFORMED. */
static enum sm_err pub_take(EVP_PKEY *k, struct sm_pub **out)
{
    bool is_good =
        k != NULL && (is_group(k, SM_P256) || is_group(k, SM_P384) || is_good_rsa(k));
    struct sm_pub *pub = is_good ? malloc(sizeof *pub) : NULL;
    ERR_clear_error();
    if (pub == NULL) {
        EVP_PKEY_free(k);
        return k == NULL ? SM_E_MALFORMED : is_good ? SM_E_NOMEM : SM_E_UNSUPPORTED;
    }
    pub->k = k;
    *out = pub;
    return SM_OK;
}

enum sm_err sm_pub_of_cert(const struct sm_cert *c, struct sm_pub **out)
{
    return pub_take(X509_get_pubkey(c->x), out);
}

enum sm_err sm_pub_of_spki(struct sm_view der_or_pem, struct sm_pub **out)
{
    uint8_t *owned = NULL;
    struct sm_view der;
    if (der_or_pem.n > SPKI_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(der_of(der_or_pem, "PUBLIC KEY", &owned, &der));
    const uint8_t *p = der.p;
    EVP_PKEY *k = d2i_PUBKEY(NULL, &p, (long)der.n);
    bool is_whole = k != NULL && p == der.p + der.n;
    OPENSSL_free(owned);
    if (!is_whole) {
        EVP_PKEY_free(k);
        ERR_clear_error();
        return SM_E_MALFORMED;
    }
    return pub_take(k, out);
}

/* Takes the builder over. */
static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *k = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &k, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        k = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return k;
}

enum sm_err sm_pub_of_point(enum sm_curve curve, struct sm_view xy, struct sm_pub **out)
{
    uint8_t point[1 + 2 * EC_FIELD_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    if (xy.n != 2 * field_of(curve)) {
        return SM_E_MALFORMED;
    }
    memcpy(point + 1, xy.p, xy.n);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld == NULL) {
        return SM_E_NOMEM;
    }
    bool is_filled =
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group_of(curve), 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + xy.n);
    EVP_PKEY *k = key_from("EC", bld);
    if (k == NULL || !is_filled) {
        EVP_PKEY_free(k);
        ERR_clear_error();
        return SM_E_CRYPTO;
    }
    return pub_take(k, out);
}

enum sm_err sm_pub_of_rsa(struct sm_view modulus, struct sm_view exponent, struct sm_pub **out)
{
    if (modulus.n > RSA_BITS_MAX / 8 + 1 || exponent.n > 8) {
        return SM_E_UNSUPPORTED;
    }
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(modulus.p, (int)modulus.n, NULL);
    BIGNUM *e = BN_bin2bn(exponent.p, (int)exponent.n, NULL);
    if (bld == NULL || n == NULL || e == NULL) {
        OSSL_PARAM_BLD_free(bld);
        BN_free(n);
        BN_free(e);
        return SM_E_NOMEM;
    }
    bool is_filled = BN_is_odd(n) && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
                     OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
    EVP_PKEY *k = key_from("RSA", bld); /* before n and e go */
    BN_free(n);
    BN_free(e);
    if (k == NULL || !is_filled) {
        EVP_PKEY_free(k);
        ERR_clear_error();
        return SM_E_UNSUPPORTED;
    }
    return pub_take(k, out);
}

void sm_pub_free(struct sm_pub *k)
{
    if (k != NULL) {
        EVP_PKEY_free(k->k);
        free(k);
    }
}

bool sm_pub_eq(const struct sm_pub *a, const struct sm_pub *b)
{
    bool is_same = EVP_PKEY_eq(a->k, b->k) == 1;
    ERR_clear_error();
    return is_same;
}

bool sm_pub_is_curve(const struct sm_pub *k, enum sm_curve curve)
{
    return is_group(k->k, curve);
}

/* r || s as the DER that OpenSSL takes; *der is freed by the caller. */
static enum sm_err ecdsa_der(struct sm_view sig, uint8_t **der, size_t *n)
{
    int half = (int)(sig.n / 2);
    BIGNUM *r = BN_bin2bn(sig.p, half, NULL), *s = BN_bin2bn(sig.p + half, half, NULL);
    ECDSA_SIG *both = ECDSA_SIG_new();
    if (r == NULL || s == NULL || both == NULL || ECDSA_SIG_set0(both, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(both);
        return SM_E_NOMEM;
    }
    int len = i2d_ECDSA_SIG(both, der);
    ECDSA_SIG_free(both); /* and r and s */
    if (len <= 0) {
        return SM_E_NOMEM;
    }
    *n = (size_t)len;
    return SM_OK;
}

static enum sm_err digest_verify(EVP_PKEY *k, enum sm_digest d, struct sm_view msg,
                                 struct sm_view sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, md_of(d), NULL, k) == 1 &&
                   EVP_DigestVerify(ctx, sig.p, sig.n, msg.p, msg.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return is_good ? SM_OK : SM_E_CRYPTO;
}

enum sm_err sm_pub_verify(const struct sm_pub *k, enum sm_digest d, struct sm_view msg,
                          struct sm_view sig)
{
    if (EVP_PKEY_get_base_id(k->k) == EVP_PKEY_RSA) {
        return sig.n == (size_t)EVP_PKEY_get_size(k->k) ? digest_verify(k->k, d, msg, sig)
                                                        : SM_E_CRYPTO;
    }
    if (sig.n != 2 * field_of(is_group(k->k, SM_P256) ? SM_P256 : SM_P384)) {
        return SM_E_CRYPTO;
    }
    uint8_t *der = NULL;
    size_t n = 0;
    SM_TRY(ecdsa_der(sig, &der, &n));
    enum sm_err e = digest_verify(k->k, d, msg, sm_view_of(der, n));
    OPENSSL_free(der);
    return e;
}
