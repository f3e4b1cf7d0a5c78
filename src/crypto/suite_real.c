// SPDX-License-Identifier: Apache-2.0
/* The real suite.  libsodium for the curves, where it is twice as fast as OpenSSL 3.0 (X25519
 * 30 against 62 us, Ed25519 signing 13 against 64, verifying 35 against 83), but for new X25519
 * keys, which come by way of the Edwards curve (19 against 33); OpenSSL for the
 * ciphers, whose key schedule stays in an EVP context so that a message costs only its IV.
 * A second table has AES-256-GCM by intel-ipsec-mb and the rest of the first. */
#include "crypto/kem.h"
#include "crypto/suite.h"

#include "crypto/montgomery.h"

#include <assert.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#ifdef SM_IPSEC_MB
#include "crypto/aes_imb.h"
#endif

static_assert(sizeof(struct sm_aead) == 32, "two to a cache line in tables of tunnels");

static void real_dh_pub(const struct sm_secret32 *priv, struct sm_dh_pub *out)
{
    uint8_t y[crypto_scalarmult_ed25519_BYTES];
    if (crypto_scalarmult_ed25519_base(y, priv->b) == 0) {
        sm_montgomery_u(y, out->b);
        return;
    }
    int rc = crypto_scalarmult_base(out->b, priv->b); /* the other refuses 32 zeros */
    assert(rc == 0);
}

static enum sm_err real_dh(const struct sm_secret32 *priv, const struct sm_dh_pub *peer,
                           struct sm_secret32 *out)
{
    struct sm_secret32 shared;
    if (crypto_scalarmult(shared.b, priv->b, peer->b) != 0) { /* all zeros */
        return SM_E_CRYPTO;
    }
    *out = shared;
    sm_wipe(&shared, sizeof shared);
    return SM_OK;
}

/* libsodium's secret key is the seed and the public key, as a pair is. */
static_assert(sizeof(struct sm_sign_pair) == crypto_sign_SECRETKEYBYTES, "no padding");

static void real_sign_pub(const struct sm_secret32 *seed, struct sm_sign_pub *out)
{
    uint8_t sk[crypto_sign_SECRETKEYBYTES];
    crypto_sign_seed_keypair(out->b, sk, seed->b);
    sm_wipe(sk, sizeof sk);
}

static void real_sign(const struct sm_sign_pair *key, struct sm_view msg, struct sm_sig *out)
{
    crypto_sign_detached(out->b, NULL, msg.p, msg.n, (const uint8_t *)key);
}

static enum sm_err real_verify(const struct sm_sign_pub *key, struct sm_view msg,
                               const struct sm_sig *sig)
{
    return crypto_sign_verify_detached(sig->b, msg.p, msg.n, key->b) == 0 ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err evp_init(struct sm_aead *a, const struct sm_secret32 *key)
{
    EVP_CIPHER_CTX *ctx = a->key.evp;
    if (ctx != NULL) { /* the same cipher with another key: no allocation */
        return EVP_CipherInit_ex(ctx, NULL, NULL, key->b, NULL, 1) == 1 ? SM_OK : SM_E_NOMEM;
    }
    ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL) {
        return SM_E_NOMEM;
    }
    const EVP_CIPHER *c = a->kind == SM_AESGCM ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
    if (EVP_CipherInit_ex(ctx, c, NULL, key->b, NULL, 1) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return SM_E_NOMEM;
    }
    a->key.evp = ctx;
    return SM_OK;
}

static void evp_done(struct sm_aead *a)
{
    EVP_CIPHER_CTX_free(a->key.evp); /* wipes the key schedule */
}

/* What both directions begin with: nonce, then associated data. */
static bool crypt_begin(EVP_CIPHER_CTX *ctx, int is_sealing, const uint8_t *nonce,
                        struct sm_view ad)
{
    int n;
    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, is_sealing) == 1 &&
           (ad.n == 0 || EVP_CipherUpdate(ctx, NULL, &n, ad.p, (int)ad.n) == 1);
}

static bool crypt(EVP_CIPHER_CTX *ctx, struct sm_view in, uint8_t *out)
{
    int n;
    return in.n == 0 || EVP_CipherUpdate(ctx, out, &n, in.p, (int)in.n) == 1;
}

static enum sm_err evp_seal(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                            struct sm_view ad, const struct sm_view *parts, size_t n_parts,
                            uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = a->key.evp;
    uint8_t none[SM_TAG_BYTES];
    int n;
    bool ok = crypt_begin(ctx, 1, nonce, ad);
    for (size_t i = 0; i < n_parts; i++) {
        ok = ok && crypt(ctx, parts[i], out);
        out += parts[i].n;
    }
    ok = ok && EVP_CipherFinal_ex(ctx, none, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SM_TAG_BYTES, out) == 1;
    return ok ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err evp_open(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                            struct sm_view ad, struct sm_view sealed, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = a->key.evp;
    struct sm_view text = {sealed.p, sealed.n - SM_TAG_BYTES};
    uint8_t tag[SM_TAG_BYTES], none[SM_TAG_BYTES];
    memcpy(tag, sealed.p + text.n, sizeof tag);
    int n;
    bool ok = crypt_begin(ctx, 0, nonce, ad) && crypt(ctx, text, out) &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SM_TAG_BYTES, tag) == 1 &&
              EVP_CipherFinal_ex(ctx, none, &n) == 1;
    return ok ? SM_OK : SM_E_CRYPTO;
}

static const struct sm_suite by_openssl = {
    .dh_pub = real_dh_pub,
    .dh = real_dh,
    .sign_pub = real_sign_pub,
    .sign = real_sign,
    .verify = real_verify,
    .aead_init = evp_init,
    .aead_done = evp_done,
    .aead_seal = evp_seal,
    .aead_open = evp_open,
    .has_kem = sm_kem_openssl_is_there,
    .kem_pub = sm_kem_openssl_pub,
    .kem_wrap = sm_kem_openssl_wrap,
    .kem_open = sm_kem_openssl_open,
};

/* -- AES by intel-ipsec-mb ---------------------------------------------------------------- */

#ifdef SM_IPSEC_MB
static enum sm_err imb_init(struct sm_aead *a, const struct sm_secret32 *key)
{
    return a->kind == SM_AESGCM ? sm_aes_imb_init(&a->key.imb, key) : evp_init(a, key);
}

static void imb_done(struct sm_aead *a)
{
    if (a->kind == SM_AESGCM) {
        sm_aes_imb_done(a->key.imb);
    } else {
        evp_done(a);
    }
}

static enum sm_err imb_seal(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                            struct sm_view ad, const struct sm_view *parts, size_t n_parts,
                            uint8_t *out)
{
    if (a->kind != SM_AESGCM) {
        return evp_seal(a, nonce, ad, parts, n_parts, out);
    }
    sm_aes_imb_seal(a->key.imb, nonce, ad, parts, n_parts, out);
    return SM_OK;
}

static enum sm_err imb_open(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                            struct sm_view ad, struct sm_view sealed, uint8_t *out)
{
    return a->kind == SM_AESGCM ? sm_aes_imb_open(a->key.imb, nonce, ad, sealed, out)
                                : evp_open(a, nonce, ad, sealed, out);
}

static const struct sm_suite by_ipsec_mb = {
    .dh_pub = real_dh_pub,
    .dh = real_dh,
    .sign_pub = real_sign_pub,
    .sign = real_sign,
    .verify = real_verify,
    .aead_init = imb_init,
    .aead_done = imb_done,
    .aead_seal = imb_seal,
    .aead_open = imb_open,
    .has_kem = sm_kem_openssl_is_there,
    .kem_pub = sm_kem_openssl_pub,
    .kem_wrap = sm_kem_openssl_wrap,
    .kem_open = sm_kem_openssl_open,
};

static const struct sm_suite *ipsec_mb(void)
{
    return sm_aes_imb_start() ? &by_ipsec_mb : NULL;
}
#else
static const struct sm_suite *ipsec_mb(void)
{
    return NULL;
}
#endif

/* -- the choice --------------------------------------------------------------------------- */

const struct sm_suite *sm_suite_real_with(enum sm_aes aes)
{
    int rc = sodium_init(); /* picks the processor's fastest code; again is harmless */
    assert(rc >= 0);
    switch (aes) {
    case SM_AES_OPENSSL:
        return &by_openssl;
    case SM_AES_IPSEC_MB:
        return ipsec_mb();
    }
    return NULL;
}

const struct sm_suite *sm_suite_real(void)
{
    const struct sm_suite *fast = sm_suite_real_with(SM_AES_IPSEC_MB);
    return fast != NULL ? fast : sm_suite_real_with(SM_AES_OPENSSL);
}

/* -- the faster cipher ------------------------------------------------------------------- */

/* How many blocks of 16 KiB are sealed in a millisecond; bounded, should the clock stand. */
static unsigned blocks_per_ms(enum sm_aead_kind kind, uint64_t (*now_ns)(void))
{
    static const struct sm_secret32 key;
    uint8_t block[16384 + SM_TAG_BYTES] = {0};
    SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
    if (sm_aead_init(&a, sm_suite_real(), kind, &key) != SM_OK) {
        return 0;
    }
    unsigned count = 0;
    uint64_t end = now_ns() + 1000000;
    while (count < 10000 && now_ns() < end) {
        struct sm_view plain = {block, 16384};
        if (sm_aead_seal(&a, count, (struct sm_view){0}, plain, block) != SM_OK) {
            return 0;
        }
        count++;
    }
    return count;
}

enum sm_aead_kind sm_aead_fastest(uint64_t (*now_ns)(void))
{
    unsigned aes = blocks_per_ms(SM_AESGCM, now_ns);
    return aes >= blocks_per_ms(SM_CHACHAPOLY, now_ns) ? SM_AESGCM : SM_CHACHAPOLY;
}
