// SPDX-License-Identifier: Apache-2.0
#include "crypto/blake2s.h"

#include <string.h>

#include "base/bytes.h"

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* RFC 7693, section 2.7 */
static const uint8_t sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint32_t rotr(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

/* Section 3.1: mix two words into four of the state. */
static void mix(uint32_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint32_t x,
                uint32_t y)
{
    v[a] = v[a] + v[b] + x;
    v[d] = rotr(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotr(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotr(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotr(v[b] ^ v[c], 7);
}

/* Section 3.2. */
static void compress(struct sm_blake2s *s, bool is_last)
{
    uint32_t m[16], v[16];
    for (unsigned i = 0; i < 16; i++) {
        m[i] = sm_le32(s->block + 4 * i);
        v[i] = i < 8 ? s->h[i] : iv[i - 8];
    }
    v[12] ^= (uint32_t)s->bytes;
    v[13] ^= (uint32_t)(s->bytes >> 32);
    v[14] = is_last ? ~v[14] : v[14];
    for (unsigned r = 0; r < 10; r++) {
        const uint8_t *z = sigma[r];
        mix(v, 0, 4, 8, 12, m[z[0]], m[z[1]]);
        mix(v, 1, 5, 9, 13, m[z[2]], m[z[3]]);
        mix(v, 2, 6, 10, 14, m[z[4]], m[z[5]]);
        mix(v, 3, 7, 11, 15, m[z[6]], m[z[7]]);
        mix(v, 0, 5, 10, 15, m[z[8]], m[z[9]]);
        mix(v, 1, 6, 11, 12, m[z[10]], m[z[11]]);
        mix(v, 2, 7, 8, 13, m[z[12]], m[z[13]]);
        mix(v, 3, 4, 9, 14, m[z[14]], m[z[15]]);
    }
    for (unsigned i = 0; i < 8; i++) {
        s->h[i] ^= v[i] ^ v[i + 8];
    }
    s->fill = 0;
}

void sm_blake2s_init(struct sm_blake2s *s)
{
    memset(s, 0, sizeof *s);
    memcpy(s->h, iv, sizeof iv);
    s->h[0] ^= 0x01010020; /* section 2.5: fan-out 1, depth 1, no key, 32 bytes */
}

void sm_blake2s_add(struct sm_blake2s *s, const uint8_t *p, size_t n)
{
    while (n > 0) {
        if (s->fill == sizeof s->block) { /* the last block waits for the end */
            compress(s, false);
        }
        size_t room = sizeof s->block - s->fill;
        size_t take = n < room ? n : room;
        memcpy(s->block + s->fill, p, take);
        s->fill += take;
        s->bytes += take;
        p += take;
        n -= take;
    }
}

void sm_blake2s_end(struct sm_blake2s *s, uint8_t out[static 32])
{
    memset(s->block + s->fill, 0, sizeof s->block - s->fill);
    compress(s, true);
    for (unsigned i = 0; i < 8; i++) {
        sm_put_le32(out + 4 * i, s->h[i]);
    }
}
