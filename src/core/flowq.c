// SPDX-License-Identifier: Apache-2.0
#include "core/flowq.h"

#include <assert.h>
#include <stdlib.h>

enum {
    FLOWS = 256,        /* rows; two flows in one row share its turn, as in RFC 8290 */
    PACKETS = 1024,     /* waiting: a page each at least */
    QUANTUM = 16 << 10, /* bytes of a turn */
    NONE = 0xffff,
    ROOM = SM_FLOWQ_FRONT + SM_FLOWQ_SHIFT + SM_FLOWQ_PACKET + SM_FLOWQ_BACK,
    LEAST = 128 << 10, /* a flow that holds less is not late: it is what a slow link needs */
};
#define TARGET   SM_MS(2)
#define INTERVAL SM_MS(100)

struct packet {
    struct sm_run run;
    uint32_t n, flow;
    struct sm_hop dst;
    struct sm_mono since;
    uint16_t next;
};

struct row {
    uint16_t head, tail;
    uint32_t bytes;
    int32_t deficit;
    bool is_in; /* one of the lists */
    bool is_skipped;
    uint16_t next;
    /* CoDel */
    bool is_dropping;
    uint32_t count;
    struct sm_mono first_above, drop_next; /* first_above 0: it is not */
};

struct list {
    uint16_t head, tail;
};

struct sm_flowq {
    struct sm_pool pool;
    struct sm_run room; /* lent to the source */
    struct packet packets[PACKETS];
    uint16_t free;
    struct row rows[FLOWS];
    struct list fresh, old, skipped; /* rows: had nothing of late; others; until again() */
    uint16_t at;                     /* row of the last next(); NONE */
    struct sm_flowq_stats stats;
};

/* -- lists --------------------------------------------------------------------------------- */

static void push(struct sm_flowq *q, struct list *l, uint16_t i)
{
    q->rows[i].next = NONE;
    if (l->tail != NONE) {
        q->rows[l->tail].next = i;
    } else {
        l->head = i;
    }
    l->tail = i;
}

static uint16_t pop(struct sm_flowq *q, struct list *l)
{
    uint16_t i = l->head;
    l->head = q->rows[i].next;
    l->tail = l->head == NONE ? NONE : l->tail;
    return i;
}

/* -- packets ------------------------------------------------------------------------------- */

static uint8_t *bytes_of(const struct sm_flowq *q, struct sm_run run)
{
    return sm_pool_at(&q->pool, run) + SM_FLOWQ_FRONT + SM_FLOWQ_SHIFT;
}

/* Forget the first packet of the row. */
static void drop_head(struct sm_flowq *q, struct row *r)
{
    uint16_t i = r->head;
    struct packet *k = &q->packets[i];
    r->head = k->next;
    r->tail = r->head == NONE ? NONE : r->tail;
    r->bytes -= k->n;
    q->stats.bytes -= k->n;
    q->stats.packets--;
    sm_pool_give(&q->pool, &k->run);
    k->next = q->free;
    q->free = i;
}

static struct row *fattest(struct sm_flowq *q)
{
    struct row *fat = &q->rows[0];
    for (unsigned i = 1; i < FLOWS; i++) {
        fat = q->rows[i].bytes > fat->bytes ? &q->rows[i] : fat;
    }
    return fat;
}

uint8_t *sm_flowq_room(struct sm_flowq *q)
{
    for (;;) {
        if (q->room.page_count == 0) {
            q->room = sm_pool_take(&q->pool, ROOM, 0);
        }
        if (q->room.page_count > 0 && q->free != NONE) {
            return bytes_of(q, q->room);
        }
        assert(q->stats.packets > 0);
        q->stats.dropped_full++;
        drop_head(q, fattest(q));
    }
}

/* Give back the pages behind the packet. */
static struct sm_run shrink(struct sm_flowq *q, struct sm_run run, size_t n)
{
    uint32_t pages =
        (uint32_t)((SM_FLOWQ_FRONT + SM_FLOWQ_SHIFT + n + SM_FLOWQ_BACK + SM_POOL_PAGE - 1) /
                   SM_POOL_PAGE);
    struct sm_run rest = {run.page + pages, run.page_count - pages};
    if (rest.page_count > 0) {
        sm_pool_give(&q->pool, &rest);
    }
    return (struct sm_run){run.page, pages};
}

void sm_flowq_add(struct sm_flowq *q, struct sm_mono now, uint32_t flow, struct sm_hop dst,
                  size_t n)
{
    assert(q->room.page_count > 0 && n > 0 && n <= SM_FLOWQ_PACKET && q->free != NONE);
    uint16_t at = (uint16_t)(flow % FLOWS), i = q->free;
    struct row *r = &q->rows[at];
    struct packet *k = &q->packets[i];
    q->free = k->next;
    *k = (struct packet){shrink(q, q->room, n), (uint32_t)n, flow, dst, now, NONE};
    q->room = (struct sm_run){0};
    if (r->tail != NONE) {
        q->packets[r->tail].next = i;
    } else {
        r->head = i;
    }
    r->tail = i;
    r->bytes += (uint32_t)n;
    q->stats.bytes += n;
    q->stats.packets++;
    if (!r->is_in) {
        r->is_in = true;
        r->deficit = QUANTUM;
        q->stats.flows++;
        push(q, &q->fresh, at);
    }
}

/* -- CoDel --------------------------------------------------------------------------------- */

/* floor(sqrt(n)) */
static uint32_t root(uint32_t n)
{
    uint32_t x = 0;
    for (uint32_t bit = 1u << 15; bit > 0; bit >>= 1) {
        x |= (uint64_t)(x | bit) * (x | bit) <= n ? bit : 0;
    }
    return x;
}

static struct sm_mono control_law(struct sm_mono t, uint32_t count)
{
    return sm_after(t, (struct sm_dur){INTERVAL.ns / root(count)});
}

/* Has the row's first packet, and all since an interval ago, waited too long? */
static bool is_late(struct row *r, struct sm_mono now, struct sm_mono since)
{
    if (sm_between(since, now).ns < TARGET.ns || r->bytes <= LEAST) {
        r->first_above.ns = 0;
        return false;
    }
    if (r->first_above.ns == 0) {
        r->first_above = sm_after(now, INTERVAL);
    }
    return sm_is_due(r->first_above, now);
}

/* RFC 8289, 5: drop what must go, so that the head may. */
static void judge(struct sm_flowq *q, struct row *r, struct sm_mono now)
{
    while (r->head != NONE) {
        bool late = is_late(r, now, q->packets[r->head].since);
        if (!late) {
            r->is_dropping = false;
            return;
        }
        if (r->is_dropping && !sm_is_due(r->drop_next, now)) {
            return;
        }
        if (r->is_dropping) {
            r->count++;
            r->drop_next = control_law(r->drop_next, r->count);
        } else {
            bool is_recent = sm_between(r->drop_next, now).ns < 8 * INTERVAL.ns;
            r->is_dropping = true;
            r->count = is_recent && r->count > 2 ? r->count - 2 : 1;
            r->drop_next = control_law(now, r->count);
        }
        q->stats.dropped_late++;
        drop_head(q, r);
    }
}

/* -- turns --------------------------------------------------------------------------------- */

/* The row whose turn it is, at the head of its list; NONE when there is none. */
static struct list *turn(struct sm_flowq *q, struct sm_mono now)
{
    for (;;) {
        struct list *l = q->fresh.head != NONE ? &q->fresh : &q->old;
        if (l->head == NONE) {
            return NULL;
        }
        uint16_t i = l->head;
        struct row *r = &q->rows[i];
        if (r->deficit <= 0) {
            r->deficit += QUANTUM;
            push(q, &q->old, pop(q, l));
            continue;
        }
        judge(q, r, now);
        if (r->head != NONE) {
            return l;
        }
        i = pop(q, l);
        if (l == &q->fresh && q->old.head != NONE) {
            push(q, &q->old,
                 i); /* it keeps its place for one round, so nobody gains by pausing */
        } else {
            r->is_in = false;
            q->stats.flows--;
        }
    }
}

bool sm_flowq_next(struct sm_flowq *q, struct sm_mono now, struct sm_flowq_packet *out)
{
    struct list *l = turn(q, now);
    q->at = l != NULL ? l->head : NONE;
    if (l == NULL) {
        return false;
    }
    const struct packet *k = &q->packets[q->rows[q->at].head];
    *out = (struct sm_flowq_packet){bytes_of(q, k->run), k->n, k->flow, k->dst, k->since};
    return true;
}

void sm_flowq_take(struct sm_flowq *q)
{
    struct row *r = &q->rows[q->at];
    assert(q->at != NONE && r->head != NONE);
    r->deficit -= (int32_t)q->packets[r->head].n;
    drop_head(q, r);
    q->at = NONE;
}

void sm_flowq_skip(struct sm_flowq *q)
{
    assert(q->at != NONE);
    struct list *l = q->fresh.head == q->at ? &q->fresh : &q->old;
    push(q, &q->skipped, pop(q, l));
    q->at = NONE;
}

void sm_flowq_again(struct sm_flowq *q)
{
    while (q->skipped.head != NONE) {
        uint16_t i = pop(q, &q->skipped);
        push(q, &q->old, i);
    }
}

/* -- life ---------------------------------------------------------------------------------- */

struct sm_flowq *sm_flowq_new(size_t bytes)
{
    struct sm_flowq *q = calloc(1, sizeof *q);
    if (q == NULL || sm_pool_init(&q->pool, bytes) != SM_OK) {
        free(q);
        return NULL;
    }
    q->fresh = q->old = q->skipped = (struct list){NONE, NONE};
    q->at = NONE;
    for (unsigned i = 0; i < FLOWS; i++) {
        q->rows[i].head = q->rows[i].tail = NONE;
    }
    for (unsigned i = 0; i < PACKETS; i++) {
        q->packets[i].next = (uint16_t)(i + 1 < PACKETS ? i + 1 : NONE);
    }
    return q;
}

void sm_flowq_free(struct sm_flowq *q)
{
    if (q != NULL) {
        sm_pool_done(&q->pool);
        free(q);
    }
}

struct sm_flowq_stats sm_flowq_stats(const struct sm_flowq *q)
{
    return q->stats;
}
