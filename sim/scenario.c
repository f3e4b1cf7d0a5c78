// SPDX-License-Identifier: Apache-2.0
#include "scenario.h"

#include <string.h>

/* -- scenarios --------------------------------------------------------------------------- */

static void set_steady(struct sim_opts *o, struct sm_rng *rng)
{
    (void)o;
    (void)rng;
}

static void set_churn(struct sim_opts *o, struct sm_rng *rng)
{
    (void)rng;
    o->crash_every_ms = 600000 / o->nodes; /* each machine once in ten minutes */
    o->crash_for_ms = 20000;
    o->silent_ppm = 300000;
    o->wipe_ppm = 200000;
}

static void set_partition(struct sim_opts *o, struct sm_rng *rng)
{
    (void)rng;
    o->split_every_ms = 30000;
    o->split_for_ms = 45000;
}

static void set_relay_kill(struct sim_opts *o, struct sm_rng *rng)
{
    (void)rng;
    o->is_relay_kill = true;
    o->put_every_ms = o->get_every_ms = 0;
}

static void set_lossy(struct sim_opts *o, struct sm_rng *rng)
{
    (void)rng;
    o->stall_ppm = 10000;
    o->reset_ppm = 20;
    o->jitter_us = 20000;
    o->latency_max_us = 100000;
    o->rate_kbps = 20000;
    o->kill_every_ms = 5000;
}

static void set_liars(struct sim_opts *o, struct sm_rng *rng)
{
    (void)rng;
    o->liars_ppm = 200000;
}

/* A minute with a few lookups and nothing stored, so that a thousand nodes can be borne. */
static void set_revoke(struct sim_opts *o, struct sm_rng *rng)
{
    (void)rng;
    o->is_revoke = true;
    o->put_every_ms = o->get_every_ms = 0;
    o->find_every_ms = 250;
    o->items = 64;
    o->last_finds = 64;
    o->boot = SM_S(15);
    o->length = SM_S(60);
    o->quiet = SM_S(24);
}

static uint32_t between(struct sm_rng *rng, uint32_t low, uint32_t high)
{
    return low + (uint32_t)sm_rng_below(rng, (uint64_t)high - low + 1);
}

static bool half(struct sm_rng *rng)
{
    return sm_rng_below(rng, 2) == 0;
}

static void set_swarm(struct sim_opts *o, struct sm_rng *rng)
{
    o->degree = between(rng, 3, 8);
    o->latency_min_us = between(rng, 50, 5000);
    o->latency_max_us = o->latency_min_us + between(rng, 1000, 150000);
    o->jitter_us = between(rng, 0, 20000);
    o->rate_kbps = between(rng, 20000, 1000000);
    o->stall_ppm = half(rng) ? between(rng, 0, 20000) : 0;
    o->reset_ppm = half(rng) ? between(rng, 0, 100) : 0;
    o->skew_s = between(rng, 0, 40);
    o->object_bytes = between(rng, 1, 400000);
    if (half(rng)) {
        o->crash_every_ms = between(rng, 2000, 20000);
        o->crash_for_ms = between(rng, 100, 20000);
        o->silent_ppm = between(rng, 0, 1000000);
        o->wipe_ppm = between(rng, 0, 500000);
    }
    if (half(rng)) {
        o->pause_every_ms = between(rng, 2000, 20000);
        o->pause_for_ms = between(rng, 100, 20000);
    }
    if (half(rng)) {
        o->kill_every_ms = between(rng, 500, 10000);
    }
    if (half(rng)) {
        o->split_every_ms = between(rng, 5000, 30000);
        o->split_for_ms = between(rng, 500, 30000);
    }
}

const struct sim_scenario sim_scenarios[] = {
    {"steady", "no faults: all nodes find each other, lookups, puts and gets", set_steady, 64,
     4},
    {"churn", "machines crash, vanish, lose disks, and come back", set_churn, 64, 6},
    {"partition", "the net splits in two halves and heals", set_partition, 64, 6},
    {"relay-kill", "a relay dies silently under a session with traffic", set_relay_kill, 64, 6},
    {"lossy", "long delays, stalls, connections that reset", set_lossy, 64, 4},
    {"liars", "a fifth of the nodes lies to lookups", set_liars, 64, 4},
    {"revoke", "a measurement, a chip and a node are revoked; some replay old lists",
     set_revoke, 1000, 2},
    {"swarm", "all options drawn from the seed", set_swarm, 32, 4},
};
const size_t sim_scenarios_n = SM_COUNT(sim_scenarios);

void sim_scenario_opts(const struct sim_scenario *s, uint64_t seed, unsigned nodes,
                       unsigned minutes, struct sim_opts *out)
{
    uint8_t bytes[32] = {0};
    struct sm_rng rng;
    sm_put_le64(bytes, seed);
    sm_rng_init(&rng, bytes, "options");
    *out = (struct sim_opts){.nodes = nodes > 0 ? nodes : s->nodes,
                             .clients = 8,
                             .degree = 4,
                             .boot = SM_S(25),
                             .latency_min_us = 500,
                             .latency_max_us = 60000,
                             .jitter_us = 1000,
                             .rate_kbps = 100000,
                             .skew_s = 20,
                             .put_every_ms = 5000,
                             .get_every_ms = 2500,
                             .find_every_ms = 500,
                             .object_bytes = 100000};
    out->length = SM_S(60u * (minutes > 0 ? minutes : s->minutes));
    out->quiet = out->length.ns > SM_S(150).ns ? SM_S(80) : SM_S(60);
    s->set(out, &rng);
}

/* -- measurements ------------------------------------------------------------------------ */

struct table {
    struct sim_metric *row;
    unsigned n;
};

static void add(struct table *t, const char *name, int64_t value, const char *unit,
                enum sim_bar kind, int64_t bar)
{
    if (t->n < SIM_METRICS_MAX) {
        bool is_ok = kind == SIM_NO_BAR || (kind == SIM_AT_LEAST ? value >= bar : value <= bar);
        t->row[t->n++] = (struct sim_metric){name, unit, value, bar, kind, is_ok};
    }
}

static void count(struct table *t, const char *name, uint64_t value)
{
    add(t, name, (int64_t)value * 1000, "count", SIM_NO_BAR, 0);
}

/* Hundredths of a percent and more: in thousandths of one. */
static int64_t percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (int64_t)(part * 100000 / whole) : 0;
}

static void times(struct table *t, struct sim_samples *s, const char *p50, int64_t bar50,
                  const char *p99, int64_t bar99)
{
    if (s->n == 0) {
        return;
    }
    add(t, p50, sim_samples_quantile(s, 500), "ms", bar50 > 0 ? SIM_AT_MOST : SIM_NO_BAR,
        bar50 * 1000);
    add(t, p99, sim_samples_quantile(s, 990), "ms", bar99 > 0 ? SIM_AT_MOST : SIM_NO_BAR,
        bar99 * 1000);
}

static bool is(const struct sim_world *w, const char *name)
{
    return strcmp(w->name, name) == 0;
}

static void measure_work(struct sim_world *w, struct table *t)
{
    struct sim_stats *s = &w->stats;
    bool is_calm = is(w, "steady") || is(w, "relay-kill") || is(w, "partition");
    if (s->finds > 0) {
        add(t, "lookup_success", percent(s->finds_ok, s->finds), "percent", SIM_AT_LEAST,
            is_calm          ? 99900
            : is(w, "liars") ? 99500
                             : 99000);
        times(t, &w->find_time, "lookup_p50", is_calm ? 300 : 0, "lookup_p99",
              is_calm ? 1500 : 0);
    }
    count(t, "lookups", s->finds);
    if (s->puts > 0) {
        add(t, "put_success", percent(s->puts_ok, s->puts), "percent",
            is(w, "steady") ? SIM_AT_LEAST : SIM_NO_BAR, 100000);
        times(t, &w->put_time, "put_p50", 0, "put_p99", 0);
    }
    if (s->gets > s->gets_lost) {
        add(t, "get_success", percent(s->gets_ok, s->gets - s->gets_lost), "percent",
            is(w, "steady") ? SIM_AT_LEAST : SIM_NO_BAR, 100000);
        times(t, &w->get_time, "get_p50", 0, "get_p99", 0);
    }
    count(t, "puts", s->puts);
    count(t, "gets", s->gets);
    add(t, "last_lookups", percent(s->final_finds_ok, s->final_finds_wanted), "percent",
        SIM_AT_LEAST, 100000);
    if (s->final_gets > 0) {
        add(t, "last_gets", percent(s->final_gets_ok, s->final_gets), "percent", SIM_AT_LEAST,
            100000);
    }
}

static void measure_routes(struct sim_world *w, struct table *t)
{
    struct sm_route_stats sum = {0};
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        if (w->machines[i].node == NULL) {
            continue;
        }
        struct sm_route_stats s = sm_route_stats(sm_node_route(w->machines[i].node));
        sum.spf_runs += s.spf_runs;
        sum.path_runs += s.path_runs;
        sum.taken += s.taken;
    }
    count(t, "spf_runs", sum.spf_runs);
    count(t, "path_runs", sum.path_runs);
    count(t, "records_taken", sum.taken);
}

static void measure_revoked(struct sim_world *w, struct table *t)
{
    uint64_t refused = 0;
    times(t, &w->spread, "manifest_p50", 1000, "manifest_p99", 3000);
    times(t, &w->revoked, "revoked_p50", 1000, "revoked_p99", 3000);
    if (w->revoked.n == 0) {
        return;
    }
    add(t, "revoked_max", sim_samples_quantile(&w->revoked, 1000), "ms", SIM_AT_MOST, 5000000);
    count(t, "revoked_samples", w->revoked.seen);
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        const struct sim_machine *m = &w->machines[i];
        refused += m->node != NULL ? sm_node_bulletin_stats(m->node).lied : 0;
    }
    add(t, "old_lists_refused", (int64_t)refused * 1000, "count", SIM_AT_LEAST, 1000);
}

static void measure_nodes(struct sim_world *w, struct table *t)
{
    struct sm_node_stats sum = w->stats.nodes;
    uint64_t tunnels = 0;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        if (w->machines[i].node == NULL) {
            continue;
        }
        struct sm_node_stats s = sm_node_stats(w->machines[i].node);
        sum.packets_forwarded += s.packets_forwarded;
        sum.packets_delivered += s.packets_delivered;
        sum.packets_sent += s.packets_sent;
        sum.dropped_queue += s.dropped_queue;
        sum.dropped_no_route += s.dropped_no_route;
        tunnels += s.tunnels_up;
    }
    count(t, "tunnels_up", tunnels / 2);
    count(t, "packets_sent", sum.packets_sent);
    count(t, "packets_forwarded", sum.packets_forwarded);
    count(t, "packets_delivered", sum.packets_delivered);
    count(t, "dropped_queue", sum.dropped_queue);
    count(t, "dropped_no_route", sum.dropped_no_route);
    uint64_t seconds = w->opts.length.ns / 1000000000u;
    add(t, "bytes_per_node_s", (int64_t)(w->stats.bytes * 1000 / seconds / w->opts.nodes),
        "bytes/s", SIM_NO_BAR, 0);
}

unsigned sim_measure(struct sim_world *w, struct sim_metric out[static SIM_METRICS_MAX])
{
    struct table t = {.row = out};
    if (w->booted_at.ns > 0) {
        add(&t, "converge", (int64_t)(w->booted_at.ns / 1000000u - 1000), "s", SIM_AT_MOST,
            30000);
    }
    if (w->converged_at.ns > 0) {
        add(&t, "settle", (int64_t)(sm_between(w->quiet_at, w->converged_at).ns / 1000000u),
            "s", SIM_AT_MOST, 30000);
    }
    times(&t, &w->heal, "heal_p50", 30000, "heal_p99", 30000);
    times(&t, &w->reroute, "reroute_p50", 1000, "reroute_p99", 0);
    measure_revoked(w, &t);
    if (w->reroute.n > 0) {
        count(&t, "reroute_trials", w->reroute.seen);
    }
    measure_work(w, &t);
    measure_nodes(w, &t);
    measure_routes(w, &t);
    count(&t, "crashes", w->stats.crashes);
    count(&t, "disks_lost", w->stats.wipes);
    count(&t, "pauses", w->stats.pauses);
    count(&t, "connections_killed", w->stats.kills);
    count(&t, "splits", w->stats.splits);
    count(&t, "lies", w->stats.lies);
    count(&t, "records_checked", w->stats.records_checked);
    count(&t, "paths_checked", w->stats.paths_checked);
    count(&t, "events", w->stats.events);
    return t.n;
}
