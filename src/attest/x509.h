// SPDX-License-Identifier: Apache-2.0
#pragma once
/* x509: what the verifiers need of certificates, revocation lists and public keys.
 *
 * One way to trust: a chain, leaf first and in order, up to a root that the caller pins.  What
 * a chain carries is never trusted for being carried; a root inside it must be the pinned one.
 * Nothing is fetched, no store of the machine is read, and the time is an argument.
 *
 * Memory:  OpenSSL allocates; the caller frees with x_free() or x_done(), which take NULL and
 *          half-built objects.  Views into a certificate live as long as it does.
 * Errors:  LIMIT (too long, too many), MALFORMED (not DER or PEM of one encoding), CRYPTO
 *          (signature, chain), EXPIRED, REFUSED (revoked), NOTFOUND, UNSUPPORTED, NOMEM.
 * Threads: objects are read-only once made.
 * Source:  RFC 5280; doc/attestation.md.
 */
#include "attest/cache.h"
#include "attest/evidence.h"

#define SM_CERT_MAX  16384u /* bytes; of hardware makers 1,700; with a quote inside 10,000 */
#define SM_CHAIN_MAX 8u     /* certificates; the longest known chain has 5 (Nitro, GPU) */
#define SM_CRL_MAX   (1u << 20) /* bytes; Intel's largest had 70 KB */

struct sm_cert;
struct sm_crl;
struct sm_pub;

enum sm_digest { SM_DIGEST_SHA256, SM_DIGEST_SHA384, SM_DIGEST_SHA512 };

/* -- certificates ------------------------------------------------------------------------ */

/* One DER certificate and nothing behind it. */
enum sm_err sm_cert_read(struct sm_view der, struct sm_cert **out) SM_MUST;
void sm_cert_free(struct sm_cert *c);

/* Leaf first. */
struct sm_chain {
    size_t n;
    struct sm_cert *c[SM_CHAIN_MAX];
};

/* Append certificates: PEM blocks, or DER ones end to end.  On error the chain keeps what it
 * had.  PEM may have text around the blocks, as Intel's has a final NUL; it is ignored. */
enum sm_err sm_chain_add(struct sm_chain *chain, struct sm_view bytes) SM_MUST;
void sm_chain_done(struct sm_chain *chain);

/* The value of the extension with this OID in dotted form.  NOTFOUND; MALFORMED when it is
 * there twice. */
enum sm_err sm_cert_ext(const struct sm_cert *c, const char *oid, struct sm_view *out) SM_MUST;

/* Common name of subject or issuer, printable ASCII, NUL-terminated.  NOTFOUND unless there is
 * exactly one that fits. */
#define SM_CN_MAX 64u
enum sm_err sm_cert_subject_cn(const struct sm_cert *c, char out[static SM_CN_MAX]) SM_MUST;
enum sm_err sm_cert_issuer_cn(const struct sm_cert *c, char out[static SM_CN_MAX]) SM_MUST;

void sm_cert_sha256(const struct sm_cert *c, uint8_t out[static 32]); /* of the whole DER */
bool sm_cert_eq(const struct sm_cert *a, const struct sm_cert *b);
/* Same subject name in both, byte for byte in canonical form. */
bool sm_cert_same_subject(const struct sm_cert *a, const struct sm_cert *b);
enum sm_err sm_cert_times(const struct sm_cert *c, struct sm_wall *not_before,
                          struct sm_wall *not_after) SM_MUST;

/* Hash of the whole SubjectPublicKeyInfo. */
enum sm_err sm_cert_spki_digest(const struct sm_cert *c, enum sm_digest d,
                                uint8_t *out) SM_MUST;

/* -- revocation lists -------------------------------------------------------------------- */

enum sm_err sm_crl_read(struct sm_view der_or_pem, struct sm_crl **out) SM_MUST;
void sm_crl_free(struct sm_crl *l);
/* thisUpdate and nextUpdate, as it says, which proves nothing. */
enum sm_err sm_crl_times(const struct sm_crl *l, struct sm_wall *from,
                         struct sm_wall *to) SM_MUST;

/* -- chains ------------------------------------------------------------------------------ */

struct sm_chain_rules {
    bool is_strict;     /* RFC 5280 to the letter: right for Intel, wrong for AMD and AWS */
    bool is_pss;        /* every signature is RSA-PSS, SHA-384, MGF1 with SHA-384, salt 48 */
    unsigned skew_s;    /* by how much notBefore and lastUpdate may lie ahead */
    unsigned needs_crl; /* bit i: chain->c[i] must be covered by a list */
    struct sm_attest_cache *cache; /* of chains that were good (attest/cache.h); NULL: none */
};

/* Check that chain->c[0] leads to the root in exactly the order given: signatures, names,
 * basic constraints, key usage, unknown critical extensions, times of all, and every list in
 * crls against what it covers.  A list that is stale, badly signed, or of none of the issuers
 * in the chain fails: nobody staples those by accident.  The chain may end in the root or
 * below it.  `root` is one certificate, DER or PEM.  not_after gets the earliest end of all
 * certificates and lists. Reasons are added for every failure found: CHAIN, EXPIRED,
 * COLLATERAL, REVOKED. */
enum sm_err sm_chain_verify(const struct sm_chain *chain, struct sm_view root,
                            const struct sm_crl *const *crls, size_t n_crls,
                            const struct sm_chain_rules *rules, struct sm_wall now,
                            struct sm_wall *not_after, struct sm_reasons *why) SM_MUST;

/* What a list says of itself; number is 0 when it has none or one beyond 63 bits. */
struct sm_crl_info {
    struct sm_wall this_update, next_update;
    uint64_t number;
    uint8_t issuer_key[32]; /* SHA-256 of the issuer's SubjectPublicKeyInfo */
};

/* Check a list by itself: signed by the first certificate of `issuers`, which leads to the
 * pinned root in the order given, or by the root when `issuers` is empty.  Signatures, names,
 * roles, times, criticals as sm_chain_verify asks them. */
enum sm_err sm_crl_verify(const struct sm_crl *l, const struct sm_chain *issuers,
                          struct sm_view root, const struct sm_chain_rules *rules,
                          struct sm_wall now, struct sm_crl_info *out,
                          struct sm_reasons *why) SM_MUST;

/* -- public keys and signatures ---------------------------------------------------------- */

size_t sm_digest_len(enum sm_digest d);
void sm_digest(enum sm_digest d, struct sm_view msg, uint8_t *out);

enum sm_curve { SM_P256, SM_P384 };

enum sm_err sm_pub_of_cert(const struct sm_cert *c, struct sm_pub **out) SM_MUST;
/* x || y, big-endian; CRYPTO when not a point of the curve. */
enum sm_err sm_pub_of_point(enum sm_curve curve, struct sm_view xy,
                            struct sm_pub **out) SM_MUST;
/* Big-endian; 2048 to 4096 bits, odd exponent of 3 to 32 bits; UNSUPPORTED else. */
enum sm_err sm_pub_of_rsa(struct sm_view modulus, struct sm_view exponent,
                          struct sm_pub **out) SM_MUST;
/* SubjectPublicKeyInfo as DER or PEM, of RSA (as above), P-256 or P-384. */
enum sm_err sm_pub_of_spki(struct sm_view der_or_pem, struct sm_pub **out) SM_MUST;
void sm_pub_free(struct sm_pub *k);
bool sm_pub_eq(const struct sm_pub *a, const struct sm_pub *b);
bool sm_pub_is_curve(const struct sm_pub *k, enum sm_curve curve);

/* EC keys: r || s, big-endian, each as long as the field; RSA keys: PKCS #1 v1.5.  CRYPTO
 * when the signature is not by this key, whatever the cause. */
enum sm_err sm_pub_verify(const struct sm_pub *k, enum sm_digest d, struct sm_view msg,
                          struct sm_view sig) SM_MUST;
