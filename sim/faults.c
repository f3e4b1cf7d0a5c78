// SPDX-License-Identifier: Apache-2.0
/* What goes wrong: machines that crash, hang or vanish, disks that are lost, connections that
 * die, and a net that splits in two. */
#include "world.h"

#include <stdlib.h>
#include <string.h>

bool sim_is_blocked(const struct sim_world *w, uint32_t a, uint32_t b)
{
    return w->side[a] != w->side[b];
}

static unsigned count_down(const struct sim_world *w)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        n += !w->machines[i].is_up;
    }
    return n;
}

static void again(struct sim_world *w, const struct sim_event *ev, uint32_t every_ms)
{
    sim_push(w, sim_about(&w->faults, every_ms),
             &(struct sim_event){.fn = ev->fn, .kind = SIM_FAULT});
}

/* -- crashes ----------------------------------------------------------------------------- */

/* How many different shards of an object are on disks, without those of one machine. */
static unsigned shards_left(struct sim_world *w, const struct sm_data_id *id, uint32_t without)
{
    uint64_t held = 0;
    unsigned n = 0;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        const struct sim_kept *k =
            i != without ? sim_store_find(&w->machines[i].store, id) : NULL;
        held |= k != NULL ? k->held : 0;
    }
    for (; held != 0; held &= held - 1) {
        n++;
    }
    return n;
}

/* Damage stays where stored objects can bear it: what is lost beyond that must be lost. */
static bool may_wipe(struct sim_world *w, uint32_t machine)
{
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        if (w->clients[i].op == SIM_PUT) {
            return false;
        }
    }
    for (unsigned i = 0; i < w->n_objects; i++) {
        const struct sim_object *o = &w->objects[i];
        if (o->is_acked && shards_left(w, &o->id, machine) < o->code.k) {
            return false;
        }
    }
    return true;
}

static void on_restart(struct sim_world *w, struct sim_event *ev)
{
    struct sim_machine *m = &w->machines[ev->who];
    if (!m->is_up && m->boot == ev->boot) {
        sim_machine_start(w, m);
        sim_healed(w);
    }
}

static void on_crash(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    uint32_t i = (uint32_t)sm_rng_below(&w->faults, w->opts.nodes);
    bool is_silent = sim_chance(&w->faults, w->opts.silent_ppm);
    bool is_wiped = sim_chance(&w->faults, w->opts.wipe_ppm);
    struct sm_dur after = sim_about(&w->faults, w->opts.crash_for_ms);
    struct sim_machine *m = &w->machines[i];
    if (m->is_up && count_down(w) < w->opts.nodes / 4) {
        sim_machine_stop(w, m, is_silent);
        w->stats.crashes++;
        if (is_wiped && may_wipe(w, i)) {
            sim_store_done(&m->store);
            w->stats.wipes++;
        }
        sim_push(w, after,
                 &(struct sim_event){
                     .fn = on_restart, .kind = SIM_FAULT, .who = i, .boot = m->boot});
    }
    again(w, ev, w->opts.crash_every_ms);
}

static void on_pause(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    struct sim_machine *m = &w->machines[sm_rng_below(&w->faults, w->opts.nodes)];
    struct sm_dur d = sim_about(&w->faults, w->opts.pause_for_ms);
    if (m->is_up && m->paused_until.ns <= w->now.ns) {
        sim_say(w, "node %u hangs", m->i);
        m->paused_until = sm_after(w->now, d);
        w->stats.pauses++;
    }
    again(w, ev, w->opts.pause_every_ms);
}

static void on_kill(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    uint32_t i = w->n_conns > 0 ? (uint32_t)sm_rng_below(&w->faults, w->n_conns) : 0;
    if (i < w->n_conns && w->conns[i].is_used && !w->conns[i].is_dialling) {
        unsigned how = (unsigned)sm_rng_below(&w->faults, 4);
        if (how < 2) {
            sim_forget(w, i, how);
        } else {
            sim_reset(w, i);
        }
        w->stats.kills++;
    }
    again(w, ev, w->opts.kill_every_ms);
}

/* -- splits ------------------------------------------------------------------------------ */

static void heal(struct sim_world *w)
{
    sim_say(w, "the net is whole again");
    memset(w->side, 0, w->opts.nodes);
    w->split_healed_at = w->now;
    sim_healed(w);
}

static void on_heal(struct sim_world *w, struct sim_event *ev)
{
    (void)ev;
    if (!w->is_quiet) {
        heal(w);
    }
}

static bool touches_side(const struct sim_world *w, uint32_t i)
{
    const struct sim_machine *m = &w->machines[i];
    for (unsigned k = 0; k < m->n_peers; k++) {
        if (w->side[m->peers[k]] != 0) {
            return true;
        }
    }
    for (uint32_t other = 0; other < w->opts.nodes; other++) {
        const struct sim_machine *o = &w->machines[other];
        for (unsigned k = 0; w->side[other] != 0 && k < o->n_peers; k++) {
            if (o->peers[k] == i) {
                return true;
            }
        }
    }
    return false;
}

/* A half that hangs together: from one machine outwards, as a cut between sites makes it. */
static void grow_side(struct sim_world *w)
{
    uint32_t n = 1;
    w->side[sm_rng_below(&w->faults, w->opts.nodes)] = 1;
    while (n < w->opts.nodes / 2) {
        uint32_t i = (uint32_t)sm_rng_below(&w->faults, w->opts.nodes);
        if (w->side[i] == 0 && touches_side(w, i)) {
            w->side[i] = 1;
            n++;
        }
    }
}

static void on_split(struct sim_world *w, struct sim_event *ev)
{
    if (w->is_quiet) {
        return;
    }
    sim_say(w, "the net splits");
    w->split_healed_at = (struct sm_mono){0};
    w->stats.splits++;
    grow_side(w);
    struct sm_dur d = sim_about(&w->faults, w->opts.split_for_ms);
    sim_push(w, d, &(struct sim_event){.fn = on_heal, .kind = SIM_FAULT});
    struct sim_event next = *ev;
    again(w, &next, w->opts.split_every_ms + w->opts.split_for_ms * 3 / 2);
}

/* -- a relay that dies under traffic ------------------------------------------------------- */

#define TRIAL_WARM  SM_S(5)
#define TRIAL_WATCH SM_S(12)
#define TRIAL_REST  SM_S(8)

static void trial_begin(struct sim_world *w, struct sim_event *ev);

static void trial_again(struct sim_world *w, struct sm_dur after, sim_event_fn *fn)
{
    sim_push(w, after, &(struct sim_event){.fn = fn, .kind = SIM_FAULT});
}

static void trial_end(struct sim_world *w, struct sim_event *ev)
{
    struct sim_client *c = &w->clients[w->phase % w->opts.clients];
    (void)ev;
    if (c->op == SIM_PROBE) {
        sim_client_probe_end(w, c);
        sim_samples_add(&w->reroute, c->probe_longest);
        sim_say(w, "trial %u: longest wait %llu us, %llu answers, %llu failed", w->phase,
                (unsigned long long)(c->probe_longest.ns / 1000),
                (unsigned long long)c->probes_ok, (unsigned long long)c->probes_failed);
    }
    sim_machine_start(w, &w->machines[w->victim]);
    sim_healed(w);
    w->phase++;
    trial_again(w, TRIAL_REST, trial_begin);
}

static void trial_kill(struct sim_world *w, struct sim_event *ev)
{
    struct sim_client *c = &w->clients[w->phase % w->opts.clients];
    struct sim_machine *m = &w->machines[c->machine];
    struct sm_route_path paths[SM_ROUTE_PATHS];
    (void)ev;
    unsigned n = sm_route_paths(sm_node_route(m->node), w->now, w->machines[c->probe_to].hop,
                                SM_ROUTE_PATHS, paths);
    if (n < 2 || paths[0].n < 2) {
        sim_client_probe_end(w, c);
        trial_again(w, SM_S(1), trial_begin);
        return;
    }
    struct sm_hop relay = paths[0].hops[sm_rng_below(&w->faults, paths[0].n - 1u)];
    const struct sim_machine *victim = sim_machine_of(w, relay);
    w->victim = victim->i;
    c->probe_from = w->now;
    c->probe_longest = (struct sm_dur){0};
    w->stats.crashes++;
    sim_machine_stop(w, &w->machines[w->victim], true);
    trial_again(w, TRIAL_WATCH, trial_end);
}

static void trial_begin(struct sim_world *w, struct sim_event *ev)
{
    (void)ev;
    if (w->is_quiet ||
        w->now.ns + 30 * SM_S(1).ns > SM_S(1).ns + w->opts.length.ns - w->opts.quiet.ns) {
        return;
    }
    struct sim_client *c = &w->clients[w->phase % w->opts.clients];
    uint32_t to = (uint32_t)sm_rng_below(&w->faults, w->opts.nodes);
    struct sm_route_path paths[SM_ROUTE_PATHS];
    if (!sim_client_ready(w, c) || c->op != SIM_IDLE || to == c->machine ||
        sm_route_paths(sm_node_route(w->machines[c->machine].node), w->now, w->machines[to].hop,
                       SM_ROUTE_PATHS, paths) < 2 ||
        paths[0].n < 2) {
        w->phase++; /* this client may have one neighbour only */
        trial_again(w, SM_MS(500), trial_begin);
        return;
    }
    sim_client_probe(w, c, to);
    trial_again(w, TRIAL_WARM, trial_kill);
}

/* -- all --------------------------------------------------------------------------------- */

static void start(struct sim_world *w, sim_event_fn *fn, uint32_t every_ms)
{
    if (every_ms > 0) {
        struct sm_dur after = sim_about(&w->faults, every_ms);
        after.ns += w->opts.boot.ns;
        sim_push(w, after, &(struct sim_event){.fn = fn, .kind = SIM_FAULT});
    }
}

void sim_faults_start(struct sim_world *w)
{
    start(w, on_crash, w->opts.crash_every_ms);
    start(w, on_pause, w->opts.pause_every_ms);
    start(w, on_kill, w->opts.kill_every_ms);
    start(w, on_split, w->opts.split_every_ms);
    if (w->opts.is_relay_kill && w->opts.clients > 0) {
        trial_again(w, w->opts.boot, trial_begin);
    }
}

void sim_faults_end(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        struct sim_machine *m = &w->machines[i];
        if (m->is_up) {
            continue;
        }
        sim_machine_start(w, m);
    }
    bool was_split = false;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        was_split = was_split || w->side[i] != 0;
    }
    if (was_split) {
        heal(w);
    } else {
        sim_healed(w);
    }
}
