// SPDX-License-Identifier: Apache-2.0
#include "attest/cache.h"

#include <stdlib.h>
#include <string.h>

/* The head of each entry. */
struct entry {
    uint8_t key[32];
    struct sm_wall from, to; /* good in between */
    uint64_t used;           /* 0: free */
};

struct sm_attest_cache {
    uint64_t clock; /* of uses */
    struct sm_cache_stats stats;
    struct entry chain[SM_CACHE_CHAINS], claim[SM_CACHE_CLAIMS];
    struct sm_claims claims[SM_CACHE_CLAIMS];
};

struct sm_attest_cache *sm_attest_cache_new(void)
{
    return calloc(1, sizeof(struct sm_attest_cache));
}

void sm_attest_cache_free(struct sm_attest_cache *c)
{
    free(c);
}

struct sm_cache_stats sm_attest_cache_stats(const struct sm_attest_cache *c)
{
    return c->stats;
}

#define NONE SIZE_MAX

/* Where it is, or NONE.  One past its end is forgotten. */
static size_t find(struct sm_attest_cache *c, struct entry *all, size_t n, const uint8_t *key,
                   struct sm_wall now)
{
    for (size_t i = 0; i < n; i++) {
        struct entry *e = &all[i];
        if (e->used == 0 || memcmp(e->key, key, sizeof e->key) != 0) {
            continue;
        }
        if (now.s > e->to.s) {
            e->used = 0;
        }
        if (now.s < e->from.s || now.s > e->to.s) {
            return NONE;
        }
        e->used = ++c->clock;
        return i;
    }
    return NONE;
}

/* The place of this key, or a free one, or that of the least recently used. */
static size_t place(struct sm_attest_cache *c, struct entry *all, size_t n, const uint8_t *key,
                    struct sm_wall from, struct sm_wall to)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (all[i].used != 0 && memcmp(all[i].key, key, sizeof all[i].key) == 0) {
            at = i;
            break;
        }
        at = all[i].used < all[at].used ? i : at;
    }
    all[at] = (struct entry){.from = from, .to = to, .used = ++c->clock};
    memcpy(all[at].key, key, sizeof all[at].key);
    return at;
}

bool sm_cache_chain(struct sm_attest_cache *c, const uint8_t key[static 32], struct sm_wall now,
                    struct sm_wall *not_after)
{
    if (c == NULL) {
        return false;
    }
    size_t i = find(c, c->chain, SM_CACHE_CHAINS, key, now);
    if (i == NONE) {
        c->stats.chain_misses++;
        return false;
    }
    c->stats.chain_hits++;
    *not_after = c->chain[i].to;
    return true;
}

void sm_cache_chain_add(struct sm_attest_cache *c, const uint8_t key[static 32],
                        struct sm_wall now, struct sm_wall not_after)
{
    if (c != NULL) {
        (void)place(c, c->chain, SM_CACHE_CHAINS, key, now, not_after);
    }
}

bool sm_cache_claims(struct sm_attest_cache *c, const uint8_t key[static 32],
                     struct sm_wall now, struct sm_claims *out)
{
    if (c == NULL) {
        return false;
    }
    size_t i = find(c, c->claim, SM_CACHE_CLAIMS, key, now);
    if (i == NONE) {
        c->stats.claim_misses++;
        return false;
    }
    c->stats.claim_hits++;
    *out = c->claims[i];
    return true;
}

void sm_cache_claims_add(struct sm_attest_cache *c, const uint8_t key[static 32],
                         struct sm_wall now, const struct sm_claims *claims)
{
    if (c == NULL) {
        return;
    }
    struct sm_wall to = {now.s + SM_CACHE_S};
    if (claims->not_after.s != 0 && claims->not_after.s < to.s) {
        to = claims->not_after;
    }
    c->claims[place(c, c->claim, SM_CACHE_CLAIMS, key, now, to)] = *claims;
}
