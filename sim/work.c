// SPDX-License-Identifier: Apache-2.0
/* What the mesh is used for: nodes announce and look up, clients put and get. */
#include "wire/provider.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

enum {
    ITEMS_PER_MACHINE = 2,
    FINAL_TRIES = 3,
};
#define ITEM_SETTLES SM_S(15) /* an announcement is expected to be found after this */

static void again(struct sim_world *w, sim_event_fn *fn, uint32_t every_ms)
{
    sim_push(w, sim_about(&w->work, every_ms), &(struct sim_event){.fn = fn, .kind = SIM_WORK});
}

/* -- announcements ----------------------------------------------------------------------- */

static void on_announce(struct sim_world *w, struct sim_event *ev)
{
    struct sim_machine *m = &w->machines[ev->who];
    if (m->node == NULL || m->boot != ev->boot) {
        return;
    }
    if (m->paused_until.ns > w->now.ns) {
        sim_push(w, sm_between(w->now, m->paused_until), ev);
        return;
    }
    struct sim_item *item = &w->items[ev->other];
    item->since = w->now;
    sim_step(w, m,
             &(struct sm_event){
                 .kind = SM_EV_PUBLISH,
                 .item = {.key = item->key, .kind = SM_PROVIDER_DATASET, .bytes = 1000}});
}

void sim_republish(struct sim_world *w, struct sim_machine *m)
{
    for (uint32_t i = 0; i < w->n_items; i++) {
        if (w->items[i].machine != m->i) {
            continue;
        }
        w->items[i].since = SM_NEVER;
        sim_push(
            w, SM_MS(500 + sm_rng_below(&w->work, 1000)),
            &(struct sim_event){
                .fn = on_announce, .kind = SIM_WORK, .who = m->i, .boot = m->boot, .other = i});
    }
}

/* -- lookups ----------------------------------------------------------------------------- */

static bool is_findable(const struct sim_world *w, const struct sim_item *item)
{
    return w->machines[item->machine].is_up && !sim_is_revoked(&w->machines[item->machine]) &&
           item->since.ns != UINT64_MAX && sm_between(item->since, w->now).ns > ITEM_SETTLES.ns;
}

static bool look_up(struct sim_world *w, struct sim_machine *m, bool is_last, unsigned tries)
{
    if (m->node == NULL || sim_is_revoked(m) || m->paused_until.ns > w->now.ns ||
        sm_node_self_record(m->node).n == 0) {
        return false;
    }
    uint32_t item = (uint32_t)sm_rng_below(&w->work, w->n_items);
    if (!is_findable(w, &w->items[item])) {
        return false;
    }
    struct sim_find f = {.client = -1, .item = item, .is_last = is_last, .tries = tries};
    return sim_find_start(w, m, &w->items[item].key, 0, &f);
}

static void on_look_up(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    (void)look_up(w, &w->machines[sm_rng_below(&w->work, w->opts.nodes)], false, 0);
    again(w, ev->fn, w->opts.find_every_ms);
}

static void on_last_look_up(struct sim_world *w, struct sim_event *ev)
{
    if (ev->other == 0) {
        w->stats.final_finds++;
    }
    if (!look_up(w, &w->machines[ev->who], true, ev->other)) {
        sim_push(w, SM_MS(250), ev); /* that item was not settled; another one */
    }
}

void sim_find_done(struct sim_world *w, struct sim_find *f, enum sm_err err,
                   struct sm_view records, unsigned n)
{
    if (f->client >= 0) {
        struct sim_client *c = &w->clients[f->client];
        if (c->life == f->item) {
            sim_client_found(w, c, err, records, n);
        }
        return;
    }
    const struct sim_item *item = &w->items[f->item];
    bool has = false;
    sim_check_records(w, &item->key, records, n, item->machine, &has);
    if (f->is_last) {
        if (!has && f->tries + 1 < FINAL_TRIES) {
            sim_say(w, "node %u: last lookup, try %u: %s", f->machine, f->tries + 1,
                    sm_err_name(err));
            sim_push(w, SM_S(1),
                     &(struct sim_event){.fn = on_last_look_up,
                                         .kind = SIM_WORK,
                                         .who = f->machine,
                                         .other = f->tries + 1});
        }
        w->stats.final_finds_ok += has;
        return;
    }
    const struct sim_machine *asker = &w->machines[f->machine];
    if (asker->boot != f->boot || !asker->is_up || !is_findable(w, item) ||
        sim_is_blocked(w, asker->i, item->machine)) {
        w->stats.finds_unfair++; /* one end was away, or cut off */
        return;
    }
    w->stats.finds++;
    w->stats.finds_ok += has;
    if (has) {
        sim_samples_add(&w->find_time, sm_between(f->at, w->now));
    } else {
        sim_say(w, "node %u: lookup of item %u failed: %s, %u records", f->machine, f->item,
                sm_err_name(err), n);
    }
}

/* -- objects ----------------------------------------------------------------------------- */

static struct sim_client *idle_client(struct sim_world *w)
{
    struct sim_client *c = &w->clients[sm_rng_below(&w->work, w->opts.clients)];
    return c->op == SIM_IDLE && sim_client_ready(w, c) ? c : NULL;
}

static void on_put(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    struct sim_client *c = idle_client(w);
    if (c != NULL && w->n_objects < SIM_OBJECTS_MAX) {
        uint32_t i = w->n_objects++;
        uint64_t spread = w->opts.object_bytes;
        w->objects[i] = (struct sim_object){
            .size = (uint32_t)(spread / 2 + sm_rng_below(&w->work, spread + 1))};
        sim_client_put(w, c, i);
    }
    again(w, ev->fn, w->opts.put_every_ms);
}

static void on_get(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    struct sim_client *c = idle_client(w);
    uint32_t i = w->n_objects > 0 ? (uint32_t)sm_rng_below(&w->work, w->n_objects) : 0;
    if (c != NULL && i < w->n_objects && w->objects[i].is_acked) {
        sim_client_get(w, c, i);
    }
    again(w, ev->fn, w->opts.get_every_ms);
}

static bool is_being_read(const struct sim_world *w, uint32_t object)
{
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        const struct sim_client *c = &w->clients[i];
        if ((c->op == SIM_GET || c->op == SIM_FINDING) && c->object == object) {
            return true;
        }
    }
    return false;
}

/* Give every idle client an acknowledged object that has not been read back. */
static void on_last_get(struct sim_world *w, struct sim_event *ev)
{
    unsigned left = 0;
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        struct sim_client *c = &w->clients[i];
        if (c->op != SIM_IDLE || !sim_client_ready(w, c)) {
            continue;
        }
        uint32_t best = UINT32_MAX;
        for (uint32_t o = 0; o < w->n_objects; o++) {
            const struct sim_object *obj = &w->objects[o];
            if (obj->is_acked && !obj->is_read && obj->tries < FINAL_TRIES &&
                !is_being_read(w, o) &&
                (best == UINT32_MAX || obj->tries < w->objects[best].tries)) {
                best = o;
            }
        }
        if (best != UINT32_MAX) {
            w->objects[best].tries++;
            sim_client_get(w, c, best);
        }
    }
    for (uint32_t o = 0; o < w->n_objects; o++) {
        left += w->objects[o].is_acked && !w->objects[o].is_read;
    }
    if (left > 0) {
        sim_push(w, SM_MS(20), ev);
    }
}

/* -- all --------------------------------------------------------------------------------- */

static void start(struct sim_world *w, sim_event_fn *fn, uint32_t every_ms)
{
    if (every_ms > 0) {
        struct sm_dur after = sim_about(&w->work, every_ms);
        after.ns += w->opts.boot.ns;
        sim_push(w, after, &(struct sim_event){.fn = fn, .kind = SIM_WORK});
    }
}

void sim_work_start(struct sim_world *w)
{
    uint32_t items = w->opts.items > 0 ? w->opts.items : w->opts.nodes * ITEMS_PER_MACHINE;
    for (uint32_t i = 0; i < items && i < SIM_ITEMS_MAX; i++) {
        struct sim_item *item = &w->items[w->n_items++];
        sm_rng_bytes(&w->work, item->key.b, sizeof item->key.b);
        item->machine = i % w->opts.nodes;
        item->since = SM_NEVER;
    }
    start(w, on_look_up, w->opts.find_every_ms);
    if (w->opts.clients > 0) {
        start(w, on_put, w->opts.put_every_ms);
        start(w, on_get, w->opts.get_every_ms);
    }
}

void sim_work_last(struct sim_world *w)
{
    uint32_t wanted = w->opts.last_finds > 0 ? w->opts.last_finds : w->opts.nodes;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        struct sm_dur after = SM_MS(sm_rng_below(&w->work, 5000));
        if (!sim_is_revoked(&w->machines[i]) && w->stats.final_finds_wanted < wanted) {
            w->stats.final_finds_wanted++;
            sim_push(w, after,
                     &(struct sim_event){.fn = on_last_look_up, .kind = SIM_WORK, .who = i});
        }
    }
    for (uint32_t o = 0; o < w->n_objects; o++) {
        w->stats.final_gets += w->objects[o].is_acked;
        w->objects[o].is_read = false;
    }
    sim_push(w, SM_MS(1), &(struct sim_event){.fn = on_last_get, .kind = SIM_WORK});
}
