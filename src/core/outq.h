// SPDX-License-Identifier: Apache-2.0
#pragma once
/* outq: frames waiting to be sealed or sent, one behind the other in one run of memory, so that
 * what is taken together goes to the carrier in one piece.
 *
 * Memory:  grows on demand up to its maximum and keeps what it has.  Bytes taken from the front
 *          stay where they are until the next push.
 * Errors:  push: BUSY when full, NOMEM.
 */
#include "base/bytes.h"

struct sm_outq {
    uint8_t *p; /* waiting: [head, n) */
    size_t head, n, cap, max;
};

void sm_outq_init(struct sm_outq *q, size_t max);
void sm_outq_done(struct sm_outq *q);
void sm_outq_clear(struct sm_outq *q);
/* n bytes at the end, for the caller to fill. */
enum sm_err sm_outq_reserve(struct sm_outq *q, size_t n, uint8_t **out) SM_MUST;
/* One frame of two parts. */
enum sm_err sm_outq_push2(struct sm_outq *q, uint8_t type, struct sm_view a,
                          struct sm_view b) SM_MUST;
static inline enum sm_err sm_outq_push(struct sm_outq *q, uint8_t type, struct sm_view payload)
{
    return sm_outq_push2(q, type, payload, (struct sm_view){0});
}
uint8_t *sm_outq_front(const struct sm_outq *q); /* NULL when empty */
void sm_outq_take(struct sm_outq *q, size_t n);
static inline size_t sm_outq_bytes(const struct sm_outq *q)
{
    return q->n - q->head;
}
