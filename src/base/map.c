// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rotl(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t sm_siphash(const void *p, size_t n, uint64_t k0, uint64_t k1)
{
    const uint8_t *b = p;
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
                     k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t m = sm_le64(b + i);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (unsigned shift = 0; i < n; i++, shift += 8) {
        last |= (uint64_t)b[i] << shift;
    }
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (unsigned r = 0; r < 4; r++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

enum sm_err sm_map_init(struct sm_map *m, size_t key_bytes, size_t max, uint64_t k0,
                        uint64_t k1)
{
    size_t slots = 8;
    while (slots < max * 2) {
        slots *= 2;
    }
    struct sm_map n = {.key_n = key_bytes, .slots = slots, .max = max, .k0 = k0, .k1 = k1};
    n.keys = calloc(slots, key_bytes);
    n.vals = calloc(slots, sizeof *n.vals);
    n.state = calloc(slots, 1);
    if (n.keys == NULL || n.vals == NULL || n.state == NULL) {
        sm_map_done(&n);
        return SM_E_NOMEM;
    }
    *m = n;
    return SM_OK;
}

void sm_map_done(struct sm_map *m)
{
    free(m->keys);
    free(m->vals);
    free(m->state);
    *m = (struct sm_map){0};
}

void sm_map_clear(struct sm_map *m)
{
    if (m->slots > 0) {
        memset(m->state, 0, m->slots);
    }
    m->used = 0;
    m->left = 0;
}

/* Find the key's slot; when absent, *free_slot is where it would go. */
static bool find(const struct sm_map *m, const void *key, size_t *slot, size_t *free_slot)
{
    if (m->slots == 0) {
        return false;
    }
    size_t i = (size_t)sm_siphash(key, m->key_n, m->k0, m->k1) & (m->slots - 1);
    bool have_free = false;
    for (size_t step = 0; step < m->slots; step++, i = (i + 1) & (m->slots - 1)) {
        if (m->state[i] == 1 && memcmp(m->keys + i * m->key_n, key, m->key_n) == 0) {
            *slot = i;
            return true;
        }
        if (m->state[i] != 1 && !have_free) {
            have_free = true;
            *free_slot = i;
        }
        if (m->state[i] == 0) {
            break;
        }
    }
    return false;
}

bool sm_map_get(const struct sm_map *m, const void *key, uint32_t *out)
{
    size_t slot = 0, spare = 0;
    if (!find(m, key, &slot, &spare)) {
        return false;
    }
    *out = m->vals[slot];
    return true;
}

/* Removals leave marks that make searches long; put everything in its place again. */
static void tidy(struct sm_map *m)
{
    for (size_t i = 0; i < m->slots; i++) {
        if (m->state[i] == 2) {
            m->state[i] = 0;
        }
    }
    m->left = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (size_t i = 0; i < m->slots; i++) {
            if (m->state[i] != 1) {
                continue;
            }
            uint8_t *key = m->keys + i * m->key_n;
            size_t slot = 0, spare = 0;
            m->state[i] = 0;
            bool there = find(m, key, &slot, &spare);
            assert(!there);
            m->state[i] = 1;
            if (spare == i) {
                continue;
            }
            memmove(m->keys + spare * m->key_n, key, m->key_n);
            m->vals[spare] = m->vals[i];
            m->state[spare] = 1;
            m->state[i] = 0;
            moved = true;
        }
    }
}

enum sm_err sm_map_put(struct sm_map *m, const void *key, uint32_t val)
{
    size_t slot = 0, spare = 0;
    if (find(m, key, &slot, &spare)) {
        m->vals[slot] = val;
        return SM_OK;
    }
    if (m->used >= m->max) {
        return SM_E_LIMIT;
    }
    if (m->used + m->left >= m->slots - m->slots / 4) {
        tidy(m);
        (void)find(m, key, &slot, &spare);
    }
    if (m->state[spare] == 2) {
        m->left--;
    }
    memcpy(m->keys + spare * m->key_n, key, m->key_n);
    m->vals[spare] = val;
    m->state[spare] = 1;
    m->used++;
    return SM_OK;
}

bool sm_map_del(struct sm_map *m, const void *key)
{
    size_t slot = 0, spare = 0;
    if (!find(m, key, &slot, &spare)) {
        return false;
    }
    m->state[slot] = 2;
    m->used--;
    m->left++;
    return true;
}
