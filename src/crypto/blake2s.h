// SPDX-License-Identifier: Apache-2.0
#pragma once
/* blake2s: BLAKE2s-256 without a key (RFC 7693), behind sm_hash.
 *
 * libsodium has only BLAKE2b, and OpenSSL's BLAKE2s allocates for each hash, which could then
 * fail; a hash that cannot fail keeps every caller simple, and it is one page.
 */
#include <stddef.h>
#include <stdint.h>

struct sm_blake2s {
    uint32_t h[8];
    uint64_t bytes; /* compressed or in block */
    size_t fill;
    uint8_t block[64];
};

void sm_blake2s_init(struct sm_blake2s *s);
void sm_blake2s_add(struct sm_blake2s *s, const uint8_t *p, size_t n);
void sm_blake2s_end(struct sm_blake2s *s, uint8_t out[static 32]);
