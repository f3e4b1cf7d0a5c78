// SPDX-License-Identifier: Apache-2.0
/* The stand-in suite: PROTECTS NOTHING, see suite_sim.h. */
#include "crypto/suite_sim.h"

#include <string.h>

#include "base/map.h"

/* -- Diffie-Hellman in the field of 2^61 - 1 --------------------------------------------- */

#define P ((UINT64_C(1) << 61) - 1)
#define G 37 /* generates the whole group */

static uint64_t mul(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)(product % P);
}

static uint64_t power(uint64_t base, uint64_t n)
{
    uint64_t v = 1;
    for (; n > 0; n >>= 1) {
        v = n & 1 ? mul(v, base) : v;
        base = mul(base, base);
    }
    return v;
}

static uint64_t exponent(const struct sm_secret32 *priv)
{
    return sm_siphash(priv->b, sizeof priv->b, 1, 2) % (P - 2) + 1;
}

/* A number in 32 bytes; the rest must be zeros, or two keys would be one. */
static void put(uint8_t b[static 32], uint64_t v)
{
    memset(b, 0, 32);
    sm_put_le64(b, v);
}

static bool get(const uint8_t b[static 32], uint64_t *out)
{
    uint8_t again[32];
    put(again, sm_le64(b));
    *out = sm_le64(b);
    return memcmp(again, b, sizeof again) == 0;
}

static void sim_dh_pub(const struct sm_secret32 *priv, struct sm_dh_pub *out)
{
    put(out->b, power(G, exponent(priv)));
}

static enum sm_err sim_dh(const struct sm_secret32 *priv, const struct sm_dh_pub *peer,
                          struct sm_secret32 *out)
{
    uint64_t v;
    if (!get(peer->b, &v) || v <= 1 || v >= P - 1) { /* small order, or not in the field */
        return SM_E_CRYPTO;
    }
    put(out->b, power(v, exponent(priv)));
    return SM_OK;
}

/* -- signatures: a hash under the public key --------------------------------------------- */

static void sim_sign_pub(const struct sm_secret32 *seed, struct sm_sign_pub *out)
{
    for (uint64_t i = 0; i < 4; i++) {
        sm_put_le64(out->b + 8 * i, sm_siphash(seed->b, sizeof seed->b, 3, i));
    }
}

static void signature(const struct sm_sign_pub *key, struct sm_view msg, struct sm_sig *out)
{
    uint64_t k0 = sm_siphash(key->b, sizeof key->b, 4, 5);
    for (uint64_t i = 0; i < 8; i++) {
        sm_put_le64(out->b + 8 * i,
                    i == 0 ? sm_siphash(msg.p, msg.n, k0, 6) : sm_siphash(out->b, 8, k0, i));
    }
}

static void sim_sign(const struct sm_sign_pair *key, struct sm_view msg, struct sm_sig *out)
{
    struct sm_sign_pub pub; /* from the seed: who has only the public half cannot call this */
    sim_sign_pub(&key->seed, &pub);
    signature(&pub, msg, out);
}

static enum sm_err sim_verify(const struct sm_sign_pub *key, struct sm_view msg,
                              const struct sm_sig *sig)
{
    struct sm_sig want;
    signature(key, msg, &want);
    return memcmp(&want, sig, sizeof want) == 0 ? SM_OK : SM_E_CRYPTO;
}

/* -- "encryption": a copy and a tag over key, nonce, associated data and text ------------ */

static enum sm_err sim_aead_init(struct sm_aead *a, const struct sm_secret32 *key)
{
    a->key.toy[0] = sm_siphash(key->b, sizeof key->b, 7, (uint64_t)a->kind);
    a->key.toy[1] = sm_siphash(key->b, sizeof key->b, 8, (uint64_t)a->kind);
    return SM_OK;
}

static void sim_aead_done(struct sm_aead *a)
{
    (void)a;
}

static void tag_of(const struct sm_aead *a, const uint8_t *nonce, struct sm_view ad,
                   struct sm_view text, uint8_t out[static SM_TAG_BYTES])
{
    uint64_t k0 = a->key.toy[0], k1 = a->key.toy[1];
    uint64_t t = sm_siphash(nonce, SM_NONCE_BYTES, k0, k1);
    t = sm_siphash(ad.p, ad.n, k0 ^ t, k1);
    t = sm_siphash(text.p, text.n, k0, k1 ^ t);
    sm_put_le64(out, t);
    sm_put_le64(out + 8, sm_siphash(out, 8, k0, k1));
}

static enum sm_err sim_aead_seal(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                                 struct sm_view ad, const struct sm_view *parts, size_t n_parts,
                                 uint8_t *out)
{
    uint8_t tag[SM_TAG_BYTES];
    size_t n = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n > 0) {
            memmove(out + n, parts[i].p, parts[i].n);
        }
        n += parts[i].n;
    }
    tag_of(a, nonce, ad, sm_view_of(out, n), tag);
    memcpy(out + n, tag, sizeof tag);
    return SM_OK;
}

static enum sm_err sim_aead_open(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                                 struct sm_view ad, struct sm_view sealed, uint8_t *out)
{
    struct sm_view text = {sealed.p, sealed.n - SM_TAG_BYTES};
    uint8_t tag[SM_TAG_BYTES];
    tag_of(a, nonce, ad, text, tag);
    if (memcmp(tag, sealed.p + text.n, sizeof tag) != 0) {
        return SM_E_CRYPTO;
    }
    if (text.n > 0) {
        memmove(out, text.p, text.n);
    }
    return SM_OK;
}

/* -- a key encapsulation that hides nothing ----------------------------------------------- */

/* Bytes that follow from the first 32, so that changing any of them shows. */
static void fill(uint8_t *p, size_t n, uint64_t label)
{
    for (size_t at = 32; at < n; at += 8) {
        sm_put_le64(p + at, sm_siphash(p, 32, label, at));
    }
}

static enum sm_err sim_kem_pub(const struct sm_kem_seed *seed, struct sm_kem_pub *out)
{
    for (uint64_t i = 0; i < 4; i++) {
        sm_put_le64(out->b + 8 * i, sm_siphash(seed->b, sizeof seed->b, 9, i));
    }
    fill(out->b, sizeof out->b, 10);
    return SM_OK;
}

static void kem_secret(const void *p, size_t n, uint64_t label, struct sm_secret32 *out)
{
    for (uint64_t i = 0; i < 4; i++) {
        sm_put_le64(out->b + 8 * i, sm_siphash(p, n, label, i));
    }
}

static void kem_agreed(const struct sm_kem_pub *pub, const uint8_t m[static 32],
                       struct sm_secret32 *out)
{
    uint8_t both[64];
    memcpy(both, pub->b, 32);
    memcpy(both + 32, m, 32);
    kem_secret(both, sizeof both, 11, out);
}

static enum sm_err sim_kem_wrap(const struct sm_kem_pub *to, const struct sm_secret32 *m,
                                struct sm_kem_ct *out_ct, struct sm_secret32 *out)
{
    struct sm_kem_pub again = *to;
    fill(again.b, sizeof again.b, 10);
    if (memcmp(&again, to, sizeof again) != 0) {
        return SM_E_CRYPTO;
    }
    memcpy(out_ct->b, m->b, 32);
    fill(out_ct->b, sizeof out_ct->b, 12);
    kem_agreed(to, m->b, out);
    return SM_OK;
}

/* As ML-KEM: a ciphertext that nobody made gives a secret that nobody has. */
static enum sm_err sim_kem_open(const struct sm_kem_seed *seed, const struct sm_kem_ct *ct,
                                struct sm_secret32 *out)
{
    struct sm_kem_ct again = *ct;
    struct sm_kem_pub pub;
    (void)sim_kem_pub(seed, &pub);
    fill(again.b, sizeof again.b, 12);
    if (memcmp(&again, ct, sizeof again) == 0) {
        kem_agreed(&pub, ct->b, out);
    } else {
        kem_secret(ct->b, sizeof ct->b, sm_le64(seed->b), out);
    }
    return SM_OK;
}

static bool sim_has_kem(void)
{
    return true;
}

const struct sm_suite *sm_suite_sim(void)
{
    static const struct sm_suite sim = {
        .dh_pub = sim_dh_pub,
        .dh = sim_dh,
        .sign_pub = sim_sign_pub,
        .sign = sim_sign,
        .verify = sim_verify,
        .aead_init = sim_aead_init,
        .aead_done = sim_aead_done,
        .aead_seal = sim_aead_seal,
        .aead_open = sim_aead_open,
        .has_kem = sim_has_kem,
        .kem_pub = sim_kem_pub,
        .kem_wrap = sim_kem_wrap,
        .kem_open = sim_kem_open,
    };
    return &sim;
}
