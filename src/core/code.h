// SPDX-License-Identifier: Apache-2.0
#pragma once
/* code: Reed-Solomon over ISA-L.  k data shards, n - k parity shards, any k rebuild all.
 *
 * The generator is the identity above a Cauchy matrix, so every k rows of it can be inverted.
 * Encoding and repair are one operation: "these shards are here, make those".  A segment is
 * cut into k shards of equal length; the last one is padded with zeros by the caller.
 *
 * Memory:  one allocation in sm_coder_new; none later.
 * Errors:  PEERS when fewer than k shards are here.
 * Threads: a coder belongs to one caller: it keeps the tables of the last repair.
 * Source:  DESIGN 10; Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme" (1995).
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A holder's map of shard indexes is one u64. */
#define SM_CODE_N_MAX 64u

struct sm_code {
    uint8_t k; /* shards that suffice */
    uint8_t n; /* shards there are */
};

bool sm_code_is_valid(struct sm_code c);

/* The code a mesh of so many holders gets: n = min(nodes, 16), three eighths of it parity.
 * 16 -> 10+6, 7 -> 4+3, 2 -> 1+1, 1 -> 1+0.  At least one node. */
struct sm_code sm_code_for_mesh(unsigned nodes);

/* How many holders must have committed before a put may be called done: k + ceil(m / 2). */
unsigned sm_code_commit_min(struct sm_code c);

/* Length of each shard of `bytes` bytes: a k-th, rounded up to 16; 0 for 0. */
size_t sm_code_shard_bytes(struct sm_code c, size_t bytes);

/* The set {0 .. n - 1}, as a map of indexes. */
uint64_t sm_code_all(struct sm_code c);

struct sm_coder;
enum sm_err sm_coder_new(struct sm_code c, struct sm_coder **out) SM_MUST; /* INVALID, NOMEM */
void sm_coder_free(struct sm_coder *r);

/* Make the shards of `want` from those of `have`; bit i of a map stands for shards[i], each
 * of shard_bytes bytes.  Shards in `have` are only read, those in neither are not touched and
 * may be NULL.  PEERS when `have` names fewer than k; nothing is written then.
 *
 *     encode:      have = the k data shards, want = the parity shards
 *     read:        have = any k,             want = the missing data shards
 *     repair one:  have = any k,             want = that one
 */
enum sm_err sm_coder_make(struct sm_coder *r, size_t shard_bytes, uint8_t *const shards[],
                          uint64_t have, uint64_t want) SM_MUST;
