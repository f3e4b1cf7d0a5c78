// SPDX-License-Identifier: Apache-2.0
#include "queue.h"

#include <stdlib.h>

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at.ns != b->at.ns ? a->at.ns < b->at.ns : a->seq < b->seq;
}

void sim_queue_done(struct sim_queue *q)
{
    for (size_t i = 0; i < q->n; i++) {
        free(q->heap[i].bytes);
    }
    free(q->heap);
    *q = (struct sim_queue){0};
}

enum sm_err sim_queue_push(struct sim_queue *q, const struct sim_event *ev)
{
    if (q->n == q->cap) {
        size_t cap = q->cap > 0 ? q->cap * 2 : 1024;
        struct sim_event *heap = realloc(q->heap, cap * sizeof *heap);
        if (heap == NULL) {
            return SM_E_NOMEM;
        }
        q->heap = heap;
        q->cap = cap;
    }
    struct sim_event in = *ev;
    in.seq = q->next_seq++;
    size_t at = q->n++;
    q->peak = q->n > q->peak ? q->n : q->peak;
    while (at > 0 && is_before(&in, &q->heap[(at - 1) / 2])) {
        q->heap[at] = q->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    q->heap[at] = in;
    return SM_OK;
}

bool sim_queue_pop(struct sim_queue *q, struct sim_event *out)
{
    if (q->n == 0) {
        return false;
    }
    *out = q->heap[0];
    struct sim_event last = q->heap[--q->n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= q->n) {
            break;
        }
        if (child + 1 < q->n && is_before(&q->heap[child + 1], &q->heap[child])) {
            child++;
        }
        if (!is_before(&q->heap[child], &last)) {
            break;
        }
        q->heap[at] = q->heap[child];
        at = child;
    }
    if (q->n > 0) {
        q->heap[at] = last;
    }
    return true;
}
