// SPDX-License-Identifier: Apache-2.0
#include "crypto/suite.h"

#include <string.h>

void sm_dh_pair_make(const struct sm_suite *s, struct sm_rng *rng, struct sm_dh_pair *out)
{
    sm_rng_bytes(rng, out->priv.b, sizeof out->priv.b);
    s->dh_pub(&out->priv, &out->pub);
}

void sm_sign_pair_from(const struct sm_suite *s, const struct sm_secret32 *seed,
                       struct sm_sign_pair *out)
{
    out->seed = *seed;
    s->sign_pub(&out->seed, &out->pub);
}

void sm_sign_pair_make(const struct sm_suite *s, struct sm_rng *rng, struct sm_sign_pair *out)
{
    sm_rng_bytes(rng, out->seed.b, sizeof out->seed.b);
    s->sign_pub(&out->seed, &out->pub);
}

bool sm_suite_has_kem(const struct sm_suite *s)
{
    return s->has_kem != NULL && s->has_kem();
}

enum sm_err sm_aead_init(struct sm_aead *a, const struct sm_suite *s, enum sm_aead_kind kind,
                         const struct sm_secret32 *key)
{
    if (a->suite != s || a->kind != kind) {
        sm_aead_done(a);
        a->suite = s;
        a->kind = kind;
    }
    return s->aead_init(a, key);
}

void sm_aead_done(struct sm_aead *a)
{
    if (a->suite != NULL) {
        a->suite->aead_done(a);
    }
    sm_wipe(a, sizeof *a);
}

/* Noise, section 12: 32 bits of zeros and the number, big-endian for AESGCM and little-endian
 * for ChaChaPoly.  The last number is reserved. */
static enum sm_err nonce_of(enum sm_aead_kind kind, uint64_t n, uint8_t out[SM_NONCE_BYTES])
{
    if (n == UINT64_MAX) {
        return SM_E_LIMIT;
    }
    memset(out, 0, 4);
    sm_put_le64(out + 4, kind == SM_AESGCM ? __builtin_bswap64(n) : n);
    return SM_OK;
}

enum sm_err sm_aead_seal(struct sm_aead *a, uint64_t n, struct sm_view ad, struct sm_view plain,
                         uint8_t *out)
{
    uint8_t nonce[SM_NONCE_BYTES];
    SM_TRY(nonce_of(a->kind, n, nonce));
    return sm_aead_seal_nonce(a, nonce, ad, plain, out);
}

enum sm_err sm_aead_seal_parts(struct sm_aead *a, uint64_t n, struct sm_view ad,
                               const struct sm_view *parts, size_t n_parts, uint8_t *out)
{
    uint8_t nonce[SM_NONCE_BYTES];
    size_t total = 0;
    SM_TRY(nonce_of(a->kind, n, nonce));
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].n > SM_AEAD_MAX - total) {
            return SM_E_LIMIT;
        }
        total += parts[i].n;
    }
    if (ad.n > SM_AEAD_MAX) {
        return SM_E_LIMIT;
    }
    return a->suite->aead_seal(a, nonce, ad, parts, n_parts, out);
}

enum sm_err sm_aead_open(struct sm_aead *a, uint64_t n, struct sm_view ad,
                         struct sm_view sealed, uint8_t *out)
{
    uint8_t nonce[SM_NONCE_BYTES];
    SM_TRY(nonce_of(a->kind, n, nonce));
    return sm_aead_open_nonce(a, nonce, ad, sealed, out);
}

enum sm_err sm_aead_seal_nonce(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                               struct sm_view ad, struct sm_view plain, uint8_t *out)
{
    if (plain.n > SM_AEAD_MAX || ad.n > SM_AEAD_MAX) {
        return SM_E_LIMIT;
    }
    return a->suite->aead_seal(a, nonce, ad, &plain, 1, out);
}

enum sm_err sm_aead_open_nonce(struct sm_aead *a, const uint8_t nonce[static SM_NONCE_BYTES],
                               struct sm_view ad, struct sm_view sealed, uint8_t *out)
{
    if (sealed.n < SM_TAG_BYTES || sealed.n > SM_AEAD_MAX || ad.n > SM_AEAD_MAX) {
        return SM_E_CRYPTO;
    }
    enum sm_err e = a->suite->aead_open(a, nonce, ad, sealed, out);
    if (e != SM_OK) {
        memset(out, 0, sealed.n - SM_TAG_BYTES); /* nothing unproven is left lying about */
    }
    return e;
}
