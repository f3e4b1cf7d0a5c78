// SPDX-License-Identifier: Apache-2.0
#pragma once
/* pool: message bodies out of one piece of memory, in runs of 4 KiB pages.
 *
 * The piece is as large as the budget, so what is promised to peers is there, and nothing is
 * allocated while packets flow.  The lowest run that is long enough is taken: memory that was
 * used just now is warm, and memory that was never needed is never touched.
 *
 * Memory:  two allocations in sm_pool_init.
 * Errors:  NOMEM at init.  A run of no pages (page_count 0) means there was no room.
 */
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { SM_POOL_PAGE = 4096 };

struct sm_run {
    uint32_t page, page_count;
};

struct sm_pool {
    uint8_t *memory;
    uint64_t *taken; /* a bit a page */
    uint32_t page_count, page_free;
};

enum sm_err sm_pool_init(struct sm_pool *p, size_t bytes) SM_MUST;
void sm_pool_done(struct sm_pool *p);

/* Take room for at least max(bytes, 1) bytes, but leave `spare` bytes of the pool free. */
struct sm_run sm_pool_take(struct sm_pool *p, size_t bytes, size_t spare);
void sm_pool_give(struct sm_pool *p, struct sm_run *run); /* becomes the empty run */
uint8_t *sm_pool_at(const struct sm_pool *p, struct sm_run run);
static inline size_t sm_pool_free(const struct sm_pool *p)
{
    return (size_t)p->page_free * SM_POOL_PAGE;
}
