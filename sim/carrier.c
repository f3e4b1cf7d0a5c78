// SPDX-License-Identifier: Apache-2.0
/* Byte streams between machines, as TCP shows them to a program: bytes arrive once and in
 * order or not at all; loss is seen as delay; a peer whose process ended resets; a peer whose
 * machine is gone, or that is cut off, is silent, and the kernel tries again at growing
 * intervals. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 1 << 20,        /* what the kernels of both ends hold together */
    WRITTEN_STEP = 16 << 10, /* bytes taken are reported in steps of this */
    CHUNK_MIN = 1024,
    SYNS_MAX = 6, /* tries at 0, 1, 3, 7, 15, 31 s, as Linux does */
};
#define RTO_MIN SM_MS(200)
#define RTO_MAX SM_S(120)

static void carry(struct sim_world *w, struct sim_event *ev);
static void put_end(struct sim_world *w, struct sim_conn *c, unsigned from);

/* -- table ------------------------------------------------------------------------------- */

static struct sim_conn *conn_of(struct sim_world *w, const struct sim_machine *m, uint32_t id,
                                unsigned *out_end)
{
    for (unsigned i = 0; i < m->n_conns; i++) {
        struct sim_conn *c = &w->conns[m->conns[i]];
        for (unsigned end = 0; end < 2; end++) {
            if (c->end[end].machine == m->i && c->end[end].id == id && c->end[end].is_open &&
                c->end[end].boot == m->boot) {
                *out_end = end;
                return c;
            }
        }
    }
    return NULL;
}

static uint32_t index_of(const struct sim_world *w, const struct sim_conn *c)
{
    return (uint32_t)(c - w->conns);
}

static struct sim_conn *conn_new(struct sim_world *w)
{
    for (unsigned i = 0; i < w->n_conns; i++) {
        if (!w->conns[i].is_used) {
            uint32_t life = w->conns[i].life + 1;
            w->conns[i] = (struct sim_conn){.is_used = true, .life = life};
            return &w->conns[i];
        }
    }
    unsigned more = w->n_conns > 0 ? w->n_conns : 64;
    struct sim_conn *conns = sim_alloc((w->n_conns + more) * sizeof *conns);
    if (w->n_conns > 0) {
        memcpy(conns, w->conns, w->n_conns * sizeof *conns);
    }
    free(w->conns);
    w->conns = conns;
    struct sim_conn *c = &w->conns[w->n_conns];
    w->n_conns += more;
    *c = (struct sim_conn){.is_used = true, .life = 1};
    return c;
}

static bool attach(struct sim_machine *m, uint32_t conn)
{
    if (m->n_conns == SIM_LINKS_MAX) {
        return false;
    }
    m->conns[m->n_conns++] = conn;
    return true;
}

static void detach(struct sim_machine *m, uint32_t conn)
{
    for (unsigned i = 0; i < m->n_conns; i++) {
        if (m->conns[i] == conn) {
            m->conns[i] = m->conns[--m->n_conns];
            return;
        }
    }
}

static void drop_chunks(struct sim_way *y)
{
    while (y->head != NULL) {
        struct sim_chunk *c = y->head;
        y->head = c->next;
        free(c->p);
        free(c);
    }
    y->tail = NULL;
    y->waiting = 0;
}

static void conn_free(struct sim_world *w, struct sim_conn *c)
{
    for (unsigned end = 0; end < 2; end++) {
        drop_chunks(&c->way[end]);
        detach(&w->machines[c->end[end].machine], index_of(w, c));
    }
    uint32_t life = c->life;
    *c = (struct sim_conn){.life = life};
}

void sim_conns_done(struct sim_world *w)
{
    for (unsigned i = 0; i < w->n_conns; i++) {
        if (w->conns[i].is_used) {
            drop_chunks(&w->conns[i].way[0]);
            drop_chunks(&w->conns[i].way[1]);
        }
    }
    free(w->conns);
}

bool sim_is_connected(const struct sim_world *w, uint32_t a, uint32_t b)
{
    const struct sim_machine *m = &w->machines[a];
    for (unsigned i = 0; i < m->n_conns; i++) {
        const struct sim_conn *c = &w->conns[m->conns[i]];
        if ((c->end[0].machine == a && c->end[1].machine == b) ||
            (c->end[0].machine == b && c->end[1].machine == a)) {
            return true;
        }
    }
    return false;
}

/* -- dialling ---------------------------------------------------------------------------- */

/* The same for both directions and for ever, as distances are. */
static struct sm_dur latency_of(const struct sim_world *w, uint32_t a, uint32_t b)
{
    uint64_t low = a < b ? a : b, high = a < b ? b : a, spread;
    struct sm_rng rng;
    sim_rng_for(w, "distance", low << 32 | high, &rng);
    spread = w->opts.latency_max_us - w->opts.latency_min_us + 1;
    uint64_t one = sm_rng_below(&rng, spread), two = sm_rng_below(&rng, spread);
    return SM_US(w->opts.latency_min_us + (one < two ? one : two)); /* near ones are common */
}

static void tell_dialled(struct sim_world *w, struct sim_conn *c, enum sm_err err,
                         struct sm_dur after);

static void on_dialled(struct sim_world *w, struct sim_event *ev)
{
    struct sim_conn *c = &w->conns[ev->who];
    if (!c->is_used || c->life != ev->boot || !c->end[0].is_open) {
        return;
    }
    struct sim_machine *m = &w->machines[c->end[0].machine];
    if (m->node == NULL || m->boot != c->end[0].boot) {
        return;
    }
    if (m->paused_until.ns > w->now.ns) {
        sim_push(w, sm_between(w->now, m->paused_until), ev);
        return;
    }
    struct sm_event out = {.kind = SM_EV_DIALLED, .conn = c->end[0].id, .err = ev->err};
    c->is_dialling = false;
    if (ev->err != SM_OK) {
        conn_free(w, c);
    }
    sim_step(w, m, &out);
}

static void tell_dialled(struct sim_world *w, struct sim_conn *c, enum sm_err err,
                         struct sm_dur after)
{
    sim_push(w, after,
             &(struct sim_event){.fn = on_dialled,
                                 .kind = SIM_DIALLED,
                                 .who = index_of(w, c),
                                 .boot = c->life,
                                 .err = err});
}

static void on_syn(struct sim_world *w, struct sim_event *ev)
{
    struct sim_conn *c = &w->conns[ev->who];
    if (!c->is_used || c->life != ev->boot) {
        return;
    }
    struct sim_machine *to = &w->machines[c->end[1].machine];
    if (to->is_silent || sim_is_blocked(w, c->end[0].machine, to->i)) {
        if (++c->syns == SYNS_MAX) {
            tell_dialled(w, c, SM_E_TIMEOUT, SM_S(32));
        } else {
            sim_push(w, SM_S(1u << (c->syns - 1)), ev);
        }
        return;
    }
    if (!to->is_up || !attach(to, ev->who)) {
        tell_dialled(w, c, SM_E_CLOSED, c->latency);
        return;
    }
    c->end[1].boot = to->boot;
    c->end[1].is_open = true;
    c->end[1].id = SM_CONN_ACCEPTED | to->next_accepted++;
    tell_dialled(w, c, SM_OK, c->latency);
    if (to->paused_until.ns > w->now.ns) { /* its kernel accepts, the program later */
        sim_reset(w, ev->who);
        return;
    }
    sim_step(w, to, &(struct sm_event){.kind = SM_EV_ACCEPTED, .conn = c->end[1].id});
}

void sim_dial(struct sim_world *w, struct sim_machine *m, uint32_t id,
              const struct sm_net_addr *addr)
{
    uint32_t to = (uint32_t)addr->ip[2] << 8 | addr->ip[3];
    struct sim_conn *c = conn_new(w);
    c->is_dialling = true;
    c->end[0] = (struct sim_end){.machine = m->i, .boot = m->boot, .id = id, .is_open = true};
    c->end[1] = (struct sim_end){.machine = to};
    c->latency = latency_of(w, m->i, to);
    if (!attach(m, index_of(w, c))) {
        tell_dialled(w, c, SM_E_LIMIT, SM_US(10));
        return;
    }
    sim_push(w, c->latency,
             &(struct sim_event){
                 .fn = on_syn, .kind = SIM_SYN, .who = index_of(w, c), .boot = c->life});
}

/* -- sending ----------------------------------------------------------------------------- */

static void schedule(struct sim_world *w, struct sim_conn *c, unsigned end, struct sm_mono at)
{
    c->way[end].is_scheduled = true;
    sim_push(w, sm_between(w->now, at),
             &(struct sim_event){.fn = carry,
                                 .kind = SIM_CARRY,
                                 .who = index_of(w, c),
                                 .boot = c->life,
                                 .other = end});
}

static struct sim_chunk *chunk_new(struct sim_world *w, struct sim_conn *c, unsigned end,
                                   size_t room)
{
    struct sim_way *y = &c->way[end];
    struct sim_chunk *k = sim_alloc(sizeof *k);
    k->cap = room > CHUNK_MIN ? room : CHUNK_MIN;
    k->p = malloc(k->cap);
    k->sent = w->now;
    uint64_t delay = c->latency.ns + sm_rng_below(&w->net, w->opts.jitter_us + 1) * 1000;
    if (!w->is_quiet && sim_chance(&w->net, w->opts.stall_ppm)) {
        uint64_t rto = 2 * c->latency.ns > RTO_MIN.ns ? 2 * c->latency.ns : RTO_MIN.ns;
        delay += rto << sm_rng_below(&w->net, 3);
    }
    if (y->busy_until.ns < w->now.ns) {
        y->busy_until = w->now;
    }
    k->due.ns = y->busy_until.ns + delay;
    if (k->due.ns < y->last_due.ns) {
        k->due = y->last_due; /* what is behind waits for what is ahead */
    }
    *(y->tail != NULL ? &y->tail->next : &y->head) = k;
    y->tail = k;
    return k;
}

void sim_send(struct sim_world *w, struct sim_machine *m, uint32_t id, struct sm_view bytes)
{
    unsigned end;
    struct sim_conn *c = conn_of(w, m, id, &end);
    if (c == NULL) {
        return; /* already reset; the node will be told */
    }
    struct sim_way *y = &c->way[end];
    struct sim_chunk *k = y->tail;
    y->handed += bytes.n;
    w->stats.bytes += bytes.n;
    if (k == NULL || k->sent.ns != w->now.ns || k->is_end) {
        k = chunk_new(w, c, end, bytes.n);
        if (!w->is_quiet && sim_chance(&w->net, w->opts.reset_ppm)) {
            sim_reset(w, index_of(w, c));
            w->stats.kills++;
            return;
        }
    }
    if (k->n + bytes.n > k->cap) {
        k->cap = (k->n + bytes.n) * 2;
        k->p = realloc(k->p, k->cap);
    }
    memcpy(k->p + k->n, bytes.p, bytes.n);
    k->n += bytes.n;
    y->waiting += bytes.n;
    uint64_t takes = bytes.n * 8 * 1000000u / w->opts.rate_kbps;
    y->busy_until.ns += takes;
    k->due.ns += takes;
    y->last_due = k->due;
    if (!y->is_scheduled && !y->is_stalled) {
        schedule(w, c, end, k->due);
    }
}

/* Tell the node how much of what it handed out is on its way. */
static void report_written(struct sim_world *w, struct sim_conn *c, unsigned end)
{
    struct sim_way *y = &c->way[end];
    struct sim_machine *m = &w->machines[c->end[end].machine];
    uint64_t held_back = y->waiting > WINDOW ? y->waiting - WINDOW : 0;
    uint64_t taken = y->handed - held_back;
    if (taken < y->told + WRITTEN_STEP || !c->end[end].is_open || m->node == NULL ||
        m->boot != c->end[end].boot) {
        return;
    }
    size_t n = (size_t)(taken - y->told);
    y->told = taken;
    sim_step(w, m,
             &(struct sm_event){.kind = SM_EV_WRITTEN, .conn = c->end[end].id, .written = n});
}

void sim_written(struct sim_world *w, struct sim_machine *m)
{
    for (unsigned i = 0; i < m->n_conns; i++) {
        struct sim_conn *c = &w->conns[m->conns[i]];
        report_written(w, c, c->end[0].machine == m->i ? 0 : 1);
    }
}

static void on_written(struct sim_world *w, struct sim_event *ev)
{
    struct sim_conn *c = &w->conns[ev->who];
    if (c->is_used && c->life == ev->boot) {
        report_written(w, c, ev->other);
    }
}

/* -- arriving ---------------------------------------------------------------------------- */

/* The kernel of `end` learns that the connection is over, and tells its program. */
static void end_closes(struct sim_world *w, struct sim_conn *c, unsigned end)
{
    struct sim_machine *m = &w->machines[c->end[end].machine];
    bool may_tell = c->end[end].is_open && m->node != NULL && m->boot == c->end[end].boot;
    uint32_t id = c->end[end].id;
    bool was_dialling = c->is_dialling && end == 0;
    c->end[end].is_open = false;
    drop_chunks(&c->way[1 - end]);
    if (!c->end[1 - end].is_open) {
        conn_free(w, c);
    }
    if (may_tell) {
        sim_step(w, m,
                 &(struct sm_event){.kind = was_dialling ? SM_EV_DIALLED : SM_EV_CLOSED,
                                    .conn = id,
                                    .err = SM_E_CLOSED});
    }
}

static bool has_end(const struct sim_way *y)
{
    return y->tail != NULL && y->tail->is_end;
}

/* Nobody reads there any more: the kernel resets who sent. */
static void refuse_bytes(struct sim_world *w, struct sim_conn *c, unsigned from)
{
    drop_chunks(&c->way[from]);
    if (!c->end[from].is_open) {
        conn_free(w, c);
    } else if (!has_end(&c->way[1 - from])) {
        put_end(w, c, 1 - from);
    }
}

static void deliver(struct sim_world *w, struct sim_conn *c, unsigned from)
{
    struct sim_way *y = &c->way[from];
    struct sim_machine *m = &w->machines[c->end[1 - from].machine];
    uint32_t life = c->life, at = index_of(w, c);
    while (y->head != NULL && y->head->due.ns <= w->now.ns) {
        struct sim_chunk *k = y->head;
        if (k->is_end) {
            end_closes(w, c, 1 - from);
            return;
        }
        y->head = k->next;
        y->tail = y->head == NULL ? NULL : y->tail;
        y->waiting -= k->n;
        w->stats.delivered += k->n;
        if (!c->end[1 - from].is_open || y->is_cut) {
            free(k->p);
            free(k);
            refuse_bytes(w, c, from);
            return;
        }
        sim_step(w, m,
                 &(struct sm_event){.kind = SM_EV_BYTES,
                                    .conn = c->end[1 - from].id,
                                    .input = k->p,
                                    .input_n = k->n});
        free(k->p);
        free(k);
        c = &w->conns[at]; /* the table may have grown */
        y = &c->way[from];
        if (!c->is_used || c->life != life) {
            return;
        }
    }
    if (y->handed > y->told + WRITTEN_STEP) {
        sim_push(
            w, c->latency,
            &(struct sim_event){
                .fn = on_written, .kind = SIM_WRITTEN, .who = at, .boot = life, .other = from});
    }
    if (y->head != NULL) {
        schedule(w, c, from, y->head->due);
    }
}

static void carry(struct sim_world *w, struct sim_event *ev)
{
    struct sim_conn *c = &w->conns[ev->who];
    unsigned from = ev->other;
    if (!c->is_used || c->life != ev->boot) {
        return;
    }
    struct sim_way *y = &c->way[from];
    struct sim_machine *to = &w->machines[c->end[1 - from].machine];
    y->is_scheduled = false;
    if (y->head == NULL) {
        return;
    }
    if (y->head->due.ns > w->now.ns) {
        schedule(w, c, from, y->head->due);
        return;
    }
    if (to->is_silent || sim_is_blocked(w, c->end[0].machine, c->end[1].machine)) {
        y->is_stalled = true;
        y->stalled_at = w->now;
        return;
    }
    if (to->paused_until.ns > w->now.ns) {
        schedule(w, c, from, to->paused_until);
        return;
    }
    if (!to->is_up || (c->end[1 - from].boot != to->boot && !c->is_dialling)) {
        sim_reset(w, ev->who); /* the new kernel knows no such connection */
        return;
    }
    deliver(w, c, from);
}

/* -- ending ------------------------------------------------------------------------------ */

static void put_end(struct sim_world *w, struct sim_conn *c, unsigned from)
{
    struct sim_chunk *k = chunk_new(w, c, from, 0);
    k->is_end = true;
    c->way[from].last_due = k->due;
    if (!c->way[from].is_scheduled && !c->way[from].is_stalled) {
        schedule(w, c, from, c->way[from].head->due);
    }
}

void sim_close(struct sim_world *w, struct sim_machine *m, uint32_t id)
{
    unsigned end;
    struct sim_conn *c = conn_of(w, m, id, &end);
    if (c == NULL) {
        return;
    }
    c->end[end].is_open = false;
    drop_chunks(&c->way[1 - end]);
    if (c->end[1 - end].is_open) {
        put_end(w, c, end);
    } else {
        conn_free(w, c);
    }
}

/* A middlebox has forgotten the connection: one end is told, the other will learn when it
 * sends. */
void sim_forget(struct sim_world *w, uint32_t conn, unsigned told)
{
    struct sim_conn *c = &w->conns[conn];
    for (unsigned end = 0; end < 2; end++) {
        drop_chunks(&c->way[end]);
        c->way[end].is_cut = true;
    }
    if (c->end[told].is_open) {
        put_end(w, c, 1 - told);
    }
}

void sim_reset(struct sim_world *w, uint32_t conn)
{
    struct sim_conn *c = &w->conns[conn];
    for (unsigned end = 0; end < 2; end++) {
        drop_chunks(&c->way[end]);
        c->way[end].last_due = (struct sm_mono){0};
        c->way[end].is_stalled = false;
    }
    for (unsigned end = 0; end < 2; end++) {
        if (c->end[1 - end].is_open) {
            put_end(w, c, end);
        }
    }
    if (!c->end[0].is_open && !c->end[1].is_open) {
        conn_free(w, c);
    }
}

/* The machine's program has ended.  Unless the whole machine is gone, its kernel tells the
 * other ends. */
void sim_cut_all(struct sim_world *w, struct sim_machine *m, bool is_silent)
{
    for (unsigned i = m->n_conns; i-- > 0;) {
        struct sim_conn *c = &w->conns[m->conns[i]];
        unsigned end = c->end[0].machine == m->i ? 0 : 1;
        c->end[end].is_open = false;
        if (!c->end[1 - end].is_open) {
            conn_free(w, c);
        } else if (!is_silent) {
            drop_chunks(&c->way[end]);
            put_end(w, c, end);
        }
    }
}

/* When the kernel of a stalled way tries again: doubling intervals since it stalled. */
static struct sm_mono next_try(const struct sim_world *w, const struct sim_way *y)
{
    struct sm_dur rto = RTO_MIN;
    struct sm_mono at = sm_after(y->stalled_at, rto);
    while (at.ns < w->now.ns) {
        rto.ns = rto.ns * 2 < RTO_MAX.ns ? rto.ns * 2 : RTO_MAX.ns;
        at = sm_after(at, rto);
    }
    return at;
}

void sim_healed(struct sim_world *w)
{
    for (unsigned i = 0; i < w->n_conns; i++) {
        struct sim_conn *c = &w->conns[i];
        for (unsigned end = 0; c->is_used && end < 2; end++) {
            struct sim_way *y = &c->way[end];
            if (y->is_stalled && y->head != NULL) {
                y->is_stalled = false;
                schedule(w, c, end, next_try(w, y));
            }
        }
    }
}
