// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cache: what was verified once, so that the same bytes need not be verified again.
 *
 *     chains   a chain of certificates with its lists was good up to a root
 *     claims   the parts of an envelope were good, and said this
 *
 * Both are answers of pure functions, kept under the SHA-256 of everything that went in but the
 * time, and used only between the moment of verifying and the end of what was verified; a clock
 * that went back finds nothing.  Only good answers are kept.
 *
 * It is never an authorisation.  What a cached claim is worth is asked each time, by the rules
 * of now, and whether the evidence was made for this session is no part of it: of two sessions
 * with one epoch, the hardware's parts are verified once, the sessions' signatures each.
 *
 * Memory:  one object of about 130 KiB; the least recently used goes first.
 * Threads: one caller.
 * Source:  doc/attestation.md.
 */
#include "attest/evidence.h"

#define SM_CACHE_CHAINS 128u /* two or three of each neighbour */
#define SM_CACHE_CLAIMS 32u
#define SM_CACHE_S      3600u /* claims without an end of their own */

struct sm_attest_cache;
struct sm_attest_cache *sm_attest_cache_new(void); /* NULL when out of memory */
void sm_attest_cache_free(struct sm_attest_cache *c);

/* With c NULL nothing is found or kept. */
bool sm_cache_chain(struct sm_attest_cache *c, const uint8_t key[static 32], struct sm_wall now,
                    struct sm_wall *not_after);
void sm_cache_chain_add(struct sm_attest_cache *c, const uint8_t key[static 32],
                        struct sm_wall now, struct sm_wall not_after);
bool sm_cache_claims(struct sm_attest_cache *c, const uint8_t key[static 32],
                     struct sm_wall now, struct sm_claims *out);
void sm_cache_claims_add(struct sm_attest_cache *c, const uint8_t key[static 32],
                         struct sm_wall now, const struct sm_claims *claims);

struct sm_cache_stats {
    uint64_t chain_hits, chain_misses, claim_hits, claim_misses;
};
struct sm_cache_stats sm_attest_cache_stats(const struct sm_attest_cache *c);
