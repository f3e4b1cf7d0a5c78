// SPDX-License-Identifier: Apache-2.0
#pragma once
/* suite: Diffie-Hellman, signatures and authenticated encryption behind one table, so that
 * the simulator can put a cheap stand-in beneath the very same protocol code.
 *
 * The real suite is X25519, Ed25519 (libsodium), AES-256-GCM (intel-ipsec-mb where the program
 * was built with it and the processor suits it, else OpenSSL) and ChaCha20-Poly1305 (OpenSSL).
 * Which of the two ciphers a tunnel uses is negotiated; every suite has both.  Who computes
 * them shows in nothing but the time.
 *
 * Where it is to be had there is ML-KEM-768 too, for a key agreement that holds against who
 * can break X25519 later; sm_suite_has_kem() tells.
 *
 * A struct sm_aead is one key.  It starts zeroed; sm_aead_init may be called again to put a
 * new key into it, which does not allocate.  A nonce must never be used twice with one key:
 * whoever owns the key owns its counter.
 *
 * Memory:  sm_aead_init allocates (once per object), nothing else does.
 * Errors:  CRYPTO for everything that does not verify; the reason is never told.
 * Threads: each sm_aead belongs to one caller.  The first call of sm_suite_real, _with or
 *          sm_aead_fastest comes before a process starts threads.
 */
#include "base/bytes.h"
#include "crypto/rng.h"
#include "crypto/secret.h"

#define SM_TAG_BYTES   16
#define SM_NONCE_BYTES 12
#define SM_AEAD_MAX    (1u << 30) /* bytes of one message: OpenSSL counts in int */

enum sm_aead_kind { SM_AESGCM = 1, SM_CHACHAPOLY = 2 }; /* these numbers go on the wire */

struct sm_dh_pub {
    uint8_t b[32];
};
struct sm_dh_pair {
    struct sm_secret32 priv;
    struct sm_dh_pub pub;
};
struct sm_sign_pub {
    uint8_t b[32];
};
struct sm_sign_pair {
    struct sm_secret32 seed;
    struct sm_sign_pub pub;
};
struct sm_sig {
    uint8_t b[64];
};

/* ML-KEM-768, FIPS 203.  A key pair follows from 64 secret bytes, d and z; an encapsulation
 * from the peer's key and 32 secret bytes, m. */
#define SM_KEM_SEED 64u
#define SM_KEM_PUB  1184u
#define SM_KEM_CT   1088u
struct sm_kem_seed {
    uint8_t b[SM_KEM_SEED];
};
struct sm_kem_pub {
    uint8_t b[SM_KEM_PUB];
};
struct sm_kem_ct {
    uint8_t b[SM_KEM_CT];
};

/* What a tunnel does about it: [tunnel] pq. */
enum sm_pq { SM_PQ_OFF, SM_PQ_AUTO, SM_PQ_REQUIRE };

struct sm_aead {
    const struct sm_suite *suite;
    enum sm_aead_kind kind;
    union {
        void *evp;                /* real, by OpenSSL: EVP_CIPHER_CTX */
        struct gcm_key_data *imb; /* real, by intel-ipsec-mb */
        uint64_t toy[2];          /* stand-in */
    } key;
};

struct sm_suite {
    void (*dh_pub)(const struct sm_secret32 *priv, struct sm_dh_pub *out);
    /* CRYPTO when the peer's key is of small order: the shared secret would be known. */
    enum sm_err (*dh)(const struct sm_secret32 *priv, const struct sm_dh_pub *peer,
                      struct sm_secret32 *out);
    void (*sign_pub)(const struct sm_secret32 *seed, struct sm_sign_pub *out);
    void (*sign)(const struct sm_sign_pair *key, struct sm_view msg, struct sm_sig *out);
    enum sm_err (*verify)(const struct sm_sign_pub *key, struct sm_view msg,
                          const struct sm_sig *sig);
    enum sm_err (*aead_init)(struct sm_aead *a, const struct sm_secret32 *key);
    void (*aead_done)(struct sm_aead *a);
    /* The text is the parts one behind the other. */
    enum sm_err (*aead_seal)(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                             struct sm_view ad, const struct sm_view *parts, size_t n_parts,
                             uint8_t *out);
    enum sm_err (*aead_open)(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                             struct sm_view ad, struct sm_view sealed, uint8_t *out);
    /* NULL or false: the others say UNSUPPORTED. */
    bool (*has_kem)(void);
    enum sm_err (*kem_pub)(const struct sm_kem_seed *seed, struct sm_kem_pub *out);
    /* CRYPTO when it is no key.  A changed ciphertext opens to another secret. */
    enum sm_err (*kem_wrap)(const struct sm_kem_pub *to, const struct sm_secret32 *m,
                            struct sm_kem_ct *out_ct, struct sm_secret32 *out);
    enum sm_err (*kem_open)(const struct sm_kem_seed *seed, const struct sm_kem_ct *ct,
                            struct sm_secret32 *out);
};

bool sm_suite_has_kem(const struct sm_suite *s);

/* The suite that protects, with the faster AES that there is: a rule over what the processor
 * has (aes_imb.c), the same in every process of a machine.  The first call must come before a
 * process confines itself. */
const struct sm_suite *sm_suite_real(void);

/* The same with AES by one of them, for tests; NULL when that is not to be had here. */
enum sm_aes { SM_AES_OPENSSL, SM_AES_IPSEC_MB };
const struct sm_suite *sm_suite_real_with(enum sm_aes aes);

/* Seal with both ciphers for about a millisecond each and tell the faster. */
enum sm_aead_kind sm_aead_fastest(uint64_t (*now_ns)(void));

void sm_dh_pair_make(const struct sm_suite *s, struct sm_rng *rng, struct sm_dh_pair *out);
void sm_sign_pair_make(const struct sm_suite *s, struct sm_rng *rng, struct sm_sign_pair *out);
void sm_sign_pair_from(const struct sm_suite *s, const struct sm_secret32 *seed,
                       struct sm_sign_pair *out);

/* NOMEM; then a holds no key and is only good for sm_aead_init and sm_aead_done. */
enum sm_err sm_aead_init(struct sm_aead *a, const struct sm_suite *s, enum sm_aead_kind kind,
                         const struct sm_secret32 *key) SM_MUST;
void sm_aead_done(struct sm_aead *a); /* wipes; a may be initialised again */

/* Seal plain under message number n: out gets plain.n + SM_TAG_BYTES bytes and may be
 * plain.p itself, but not overlap it otherwise.  LIMIT when n is the last number, which
 * Noise reserves, or the message exceeds SM_AEAD_MAX. */
enum sm_err sm_aead_seal(struct sm_aead *a, uint64_t n, struct sm_view ad, struct sm_view plain,
                         uint8_t *out) SM_MUST;
/* The same for a text in parts, which lie elsewhere than out. */
enum sm_err sm_aead_seal_parts(struct sm_aead *a, uint64_t n, struct sm_view ad,
                               const struct sm_view *parts, size_t n_parts,
                               uint8_t *out) SM_MUST;
/* Open what sm_aead_seal made: out gets sealed.n - SM_TAG_BYTES bytes and may be sealed.p.
 * CRYPTO when any bit of number, ad or sealed differs; out then holds zeros. */
enum sm_err sm_aead_open(struct sm_aead *a, uint64_t n, struct sm_view ad,
                         struct sm_view sealed, uint8_t *out) SM_MUST;

/* The same with a nonce the caller made, for formats that define their own (COSE, HPKE). */
enum sm_err sm_aead_seal_nonce(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                               struct sm_view ad, struct sm_view plain, uint8_t *out) SM_MUST;
enum sm_err sm_aead_open_nonce(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                               struct sm_view ad, struct sm_view sealed, uint8_t *out) SM_MUST;
