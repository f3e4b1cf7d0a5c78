// SPDX-License-Identifier: Apache-2.0
#include "crypto/rng.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/secret.h"

void sm_rng_init(struct sm_rng *r, const uint8_t seed[static 32], const char *label)
{
    memset(r, 0, sizeof *r);
    int rc = crypto_generichash(r->key, sizeof r->key, (const uint8_t *)label, strlen(label),
                                seed, 32);
    assert(rc == 0); /* fails only for lengths out of range */
}

static void refill(struct sm_rng *r)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES]; /* a key is used once */
    uint8_t fresh[sizeof r->key + sizeof r->block];
    crypto_stream_chacha20(fresh, sizeof fresh, nonce, r->key);
    memcpy(r->key, fresh, sizeof r->key);
    memcpy(r->block, fresh + sizeof r->key, sizeof r->block);
    r->left = sizeof r->block;
    sm_wipe(fresh, sizeof fresh);
}

void sm_rng_bytes(struct sm_rng *r, void *out, size_t n)
{
    uint8_t *to = out;
    while (n > 0) {
        if (r->left == 0) {
            refill(r);
        }
        size_t take = n < r->left ? n : r->left;
        uint8_t *from = r->block + sizeof r->block - r->left;
        memcpy(to, from, take);
        sm_wipe(from, take);
        r->left -= take;
        to += take;
        n -= take;
    }
}

uint64_t sm_rng_u64(struct sm_rng *r)
{
    uint8_t b[8];
    sm_rng_bytes(r, b, sizeof b);
    return sm_le64(b);
}

uint64_t sm_rng_below(struct sm_rng *r, uint64_t n)
{
    assert(n > 0);
    uint64_t uneven = -n % n; /* 2^64 mod n: as many values are refused, the rest divide */
    uint64_t v;
    do {
        v = sm_rng_u64(r);
    } while (v < uneven);
    return v % n;
}

void sm_rng_wipe(struct sm_rng *r)
{
    sm_wipe(r, sizeof *r);
}
