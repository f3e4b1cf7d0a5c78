// SPDX-License-Identifier: Apache-2.0
#pragma once
/* rng: a stream of random bytes from a seed and a label.
 *
 * The same seed and label give the same stream on every machine, so the simulator replays a
 * run from its seed; in the daemon the seed comes from the kernel.  Different labels give
 * independent streams.  ChaCha20 with fast key erasure: each refill replaces the key, and
 * bytes handed out are overwritten, so a stolen state does not tell what was drawn before.
 *
 * Memory:  inside the struct; wiped with sm_rng_wipe().
 * Threads: each stream belongs to one caller.
 */
#include <stddef.h>
#include <stdint.h>

struct sm_rng {
    uint8_t key[32];
    uint8_t block[224]; /* the last `left` bytes are fresh, the others are zeros */
    size_t left;
};

void sm_rng_init(struct sm_rng *r, const uint8_t seed[static 32], const char *label);
void sm_rng_bytes(struct sm_rng *r, void *out, size_t n);
uint64_t sm_rng_u64(struct sm_rng *r);
/* Uniform in [0, n), without bias; n > 0. */
uint64_t sm_rng_below(struct sm_rng *r, uint64_t n);
void sm_rng_wipe(struct sm_rng *r);
