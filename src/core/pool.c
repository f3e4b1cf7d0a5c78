// SPDX-License-Identifier: Apache-2.0
#include "core/pool.h"

#include "crypto/secret.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

enum sm_err sm_pool_init(struct sm_pool *p, size_t bytes)
{
    uint32_t words = (uint32_t)((bytes / SM_POOL_PAGE + 63) / 64);
    struct sm_pool n = {.page_count = words * 64, .page_free = words * 64};
    n.memory = aligned_alloc(SM_POOL_PAGE, (size_t)n.page_count * SM_POOL_PAGE);
    n.taken = calloc(words, sizeof *n.taken);
    if (n.memory == NULL || n.taken == NULL) {
        sm_pool_done(&n);
        return SM_E_NOMEM;
    }
    *p = n;
    return SM_OK;
}

void sm_pool_done(struct sm_pool *p)
{
    free(p->memory);
    free(p->taken);
    *p = (struct sm_pool){0};
}

static void mark(struct sm_pool *p, struct sm_run run, bool is_taken)
{
    for (uint32_t i = run.page; i < run.page + run.page_count; i++) {
        uint64_t bit = (uint64_t)1 << (i % 64);
        assert(((p->taken[i / 64] & bit) != 0) != is_taken);
        p->taken[i / 64] ^= bit;
    }
}

/* The lowest run of `want` free pages, or page_count. */
static uint32_t find(const struct sm_pool *p, uint32_t want)
{
    uint32_t run = 0;
    for (uint32_t i = 0; i < p->page_count;) {
        uint64_t word = p->taken[i / 64];
        if (i % 64 == 0 && word == UINT64_MAX) {
            run = 0;
            i += 64;
            continue;
        }
        run = (word >> (i % 64) & 1) != 0 ? 0 : run + 1;
        i++;
        if (run == want) {
            return i - want;
        }
    }
    return p->page_count;
}

struct sm_run sm_pool_take(struct sm_pool *p, size_t bytes, size_t spare)
{
    if (bytes > (size_t)p->page_count * SM_POOL_PAGE) {
        return (struct sm_run){0};
    }
    size_t pages = bytes == 0 ? 1 : (bytes + SM_POOL_PAGE - 1) / SM_POOL_PAGE;
    if (pages + spare / SM_POOL_PAGE > p->page_free) {
        return (struct sm_run){0};
    }
    struct sm_run run = {find(p, (uint32_t)pages), (uint32_t)pages};
    if (run.page == p->page_count) {
        return (struct sm_run){0};
    }
    mark(p, run, true);
    p->page_free -= run.page_count;
    return run;
}

void sm_pool_give(struct sm_pool *p, struct sm_run *run)
{
    if (run->page_count == 1) {
        /* Messages that carry keys are small; those with data are sealed objects. */
        sm_wipe(sm_pool_at(p, *run), SM_POOL_PAGE);
    }
    mark(p, *run, false);
    p->page_free += run->page_count;
    *run = (struct sm_run){0};
}

uint8_t *sm_pool_at(const struct sm_pool *p, struct sm_run run)
{
    return p->memory + (size_t)run.page * SM_POOL_PAGE;
}
