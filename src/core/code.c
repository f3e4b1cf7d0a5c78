// SPDX-License-Identifier: Apache-2.0
#include "core/code.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/erasure_code.h>

/* So many bytes of every shard are worked on at a time: with 16 shards that is 512 KiB, which
 * stays in the second-level cache between reading the data and writing the last parity. */
#define BLOCK_BYTES 32768u

struct sm_coder {
    struct sm_code code;
    uint64_t have, want; /* what the tables below are for */
    uint8_t generator[SM_CODE_N_MAX * SM_CODE_N_MAX];
    uint8_t chosen[SM_CODE_N_MAX * SM_CODE_N_MAX]; /* rows of the shards that are here */
    uint8_t inverse[SM_CODE_N_MAX * SM_CODE_N_MAX];
    uint8_t rows[SM_CODE_N_MAX * SM_CODE_N_MAX]; /* rows that make the wanted ones */
    uint8_t tables[32 * SM_CODE_N_MAX * SM_CODE_N_MAX];
};

bool sm_code_is_valid(struct sm_code c)
{
    return c.k >= 1 && c.k <= c.n && c.n <= SM_CODE_N_MAX;
}

struct sm_code sm_code_for_mesh(unsigned nodes)
{
    assert(nodes >= 1);
    unsigned n = nodes < 16 ? nodes : 16;
    unsigned m = n == 1 ? 0 : (3 * n + 7) / 8;
    return (struct sm_code){.k = (uint8_t)(n - m), .n = (uint8_t)n};
}

unsigned sm_code_commit_min(struct sm_code c)
{
    return c.k + (unsigned)(c.n - c.k + 1) / 2;
}

size_t sm_code_shard_bytes(struct sm_code c, size_t bytes)
{
    size_t part = bytes / c.k + (bytes % c.k != 0);
    return (part + 15) & ~(size_t)15;
}

uint64_t sm_code_all(struct sm_code c)
{
    return c.n == 64 ? UINT64_MAX : (UINT64_C(1) << c.n) - 1;
}

enum sm_err sm_coder_new(struct sm_code c, struct sm_coder **out)
{
    if (!sm_code_is_valid(c)) {
        return SM_E_INVALID;
    }
    struct sm_coder *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SM_E_NOMEM;
    }
    r->code = c;
    gf_gen_cauchy1_matrix(r->generator, c.n, c.k);
    *out = r;
    return SM_OK;
}

void sm_coder_free(struct sm_coder *r)
{
    free(r);
}

static bool has(uint64_t map, unsigned i)
{
    return (map >> i & 1) != 0;
}

/* Keep only the first k shards of a map that has at least k. */
static uint64_t first_k(uint64_t map, unsigned k)
{
    uint64_t kept = 0;
    for (; k > 0; k--) {
        uint64_t lowest = map & (~map + 1);
        kept |= lowest;
        map ^= lowest;
    }
    return kept;
}

/* Row `index` of the generator times the inverse: how to make that shard from those here. */
static void row_for(const struct sm_coder *r, unsigned index, uint8_t *row)
{
    unsigned k = r->code.k;
    const uint8_t *g = r->generator + (size_t)index * k;
    for (unsigned col = 0; col < k; col++) {
        uint8_t sum = 0;
        for (unsigned i = 0; i < k; i++) {
            sum ^= gf_mul(g[i], r->inverse[i * k + col]);
        }
        row[col] = sum;
    }
}

/* The tables that turn the k shards of `have` into those of `want`. */
static void prepare(struct sm_coder *r, uint64_t have, uint64_t want)
{
    if (r->have == have && r->want == want) {
        return;
    }
    unsigned k = r->code.k, rows = 0, at = 0;
    for (unsigned i = 0; i < r->code.n; i++) {
        if (has(have, i)) {
            memcpy(r->chosen + (size_t)at++ * k, r->generator + (size_t)i * k, k);
        }
    }
    int singular = gf_invert_matrix(r->chosen, r->inverse, (int)k);
    assert(singular == 0); /* any k rows of a Cauchy generator are independent */
    for (unsigned i = 0; i < r->code.n; i++) {
        if (has(want, i)) {
            row_for(r, i, r->rows + (size_t)rows++ * k);
        }
    }
    ec_init_tables((int)k, (int)rows, r->rows, r->tables);
    r->have = have;
    r->want = want;
}

enum sm_err sm_coder_make(struct sm_coder *r, size_t shard_bytes, uint8_t *const shards[],
                          uint64_t have, uint64_t want)
{
    uint64_t all = sm_code_all(r->code);
    assert((have & ~all) == 0 && (want & ~all) == 0 && (have & want) == 0);
    if ((unsigned)__builtin_popcountll(have) < r->code.k) {
        return SM_E_PEERS;
    }
    if (want == 0 || shard_bytes == 0) {
        return SM_OK;
    }
    have = first_k(have, r->code.k);
    prepare(r, have, want);
    uint8_t *from[SM_CODE_N_MAX], *to[SM_CODE_N_MAX];
    unsigned n_from = 0, n_to = 0;
    for (unsigned i = 0; i < r->code.n; i++) {
        if (has(have, i)) {
            from[n_from++] = shards[i];
        } else if (has(want, i)) {
            to[n_to++] = shards[i];
        }
    }
    for (size_t at = 0; at < shard_bytes; at += BLOCK_BYTES) {
        size_t n = shard_bytes - at < BLOCK_BYTES ? shard_bytes - at : BLOCK_BYTES;
        ec_encode_data((int)n, (int)n_from, (int)n_to, r->tables, from, to);
        for (unsigned i = 0; i < n_from; i++) {
            from[i] += n;
        }
        for (unsigned i = 0; i < n_to; i++) {
            to[i] += n;
        }
    }
    return SM_OK;
}
