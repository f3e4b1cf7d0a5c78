// SPDX-License-Identifier: Apache-2.0
#include "core/outq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/channel.h"

#define FIRST_BYTES 1024u /* a few pings: what an idle tunnel needs */

void sm_outq_init(struct sm_outq *q, size_t max)
{
    *q = (struct sm_outq){.max = max};
}

void sm_outq_done(struct sm_outq *q)
{
    free(q->p);
    *q = (struct sm_outq){0};
}

void sm_outq_clear(struct sm_outq *q)
{
    q->head = 0;
    q->n = 0;
}

/* Room for n bytes behind the end: by moving to the front, else by growing. */
static enum sm_err make_room(struct sm_outq *q, size_t n)
{
    size_t waiting = sm_outq_bytes(q);
    if (waiting + n > q->max) {
        return SM_E_BUSY;
    }
    if (waiting + n <= q->cap && (waiting == 0 || q->head >= q->cap / 2)) {
        memmove(q->p, q->p + q->head, waiting);
        q->head = 0;
        q->n = waiting;
    }
    if (q->n + n <= q->cap) {
        return SM_OK;
    }
    size_t cap = q->cap == 0 ? FIRST_BYTES : q->cap;
    while (cap < q->n + n) {
        cap *= 2;
    }
    uint8_t *p = realloc(q->p, cap);
    if (p == NULL) {
        return SM_E_NOMEM;
    }
    q->p = p;
    q->cap = cap;
    return SM_OK;
}

enum sm_err sm_outq_reserve(struct sm_outq *q, size_t n, uint8_t **out)
{
    SM_TRY(make_room(q, n));
    *out = q->p + q->n;
    q->n += n;
    return SM_OK;
}

enum sm_err sm_outq_push2(struct sm_outq *q, uint8_t type, struct sm_view a, struct sm_view b)
{
    uint8_t *p;
    SM_TRY(sm_outq_reserve(q, sm_tframe_bytes(a.n + b.n), &p));
    sm_channel_compose2(p, type, a, b);
    return SM_OK;
}

uint8_t *sm_outq_front(const struct sm_outq *q)
{
    return q->head == q->n ? NULL : q->p + q->head;
}

void sm_outq_take(struct sm_outq *q, size_t n)
{
    assert(n <= sm_outq_bytes(q));
    q->head += n;
}
