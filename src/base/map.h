// SPDX-License-Identifier: Apache-2.0
#pragma once
/* map: from fixed-length byte keys to a 32-bit value, usually a slot of the caller's table.
 *
 * Open addressing over a table sized once, so a stranger cannot make it grow.  The hash is
 * keyed, so a stranger cannot make it slow; iteration order depends on insertions only when
 * the caller walks its own table, which is what callers do.
 *
 * Memory:  one allocation in sm_map_init, for at most `max` entries.
 * Errors:  NOMEM at init; sm_map_put returns LIMIT when full.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sm_map {
    uint8_t *keys;
    uint32_t *vals;
    uint8_t *state; /* 0 free, 1 used, 2 left behind by a removal */
    size_t key_n, slots, used, left, max;
    uint64_t k0, k1;
};

enum sm_err sm_map_init(struct sm_map *m, size_t key_bytes, size_t max, uint64_t k0,
                        uint64_t k1) SM_MUST;
void sm_map_done(struct sm_map *m);
bool sm_map_get(const struct sm_map *m, const void *key, uint32_t *out);
enum sm_err sm_map_put(struct sm_map *m, const void *key, uint32_t val) SM_MUST; /* replaces */
bool sm_map_del(struct sm_map *m, const void *key);
void sm_map_clear(struct sm_map *m);
static inline size_t sm_map_count(const struct sm_map *m)
{
    return m->used;
}

/* SipHash-2-4 (Aumasson, Bernstein 2012): the keyed hash behind it. */
uint64_t sm_siphash(const void *p, size_t n, uint64_t k0, uint64_t k1);
