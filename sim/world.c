// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include "base/map.h"
#include "crypto/suite_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- small things ------------------------------------------------------------------------ */

void *sim_alloc(size_t n)
{
    void *p = calloc(1, n > 0 ? n : 1);
    if (p == NULL) {
        fputs("seemesh-sim: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

struct sim_bytes *sim_bytes_of(struct sm_view v)
{
    struct sim_bytes *b = malloc(sizeof *b + v.n);
    if (b == NULL) {
        fputs("seemesh-sim: out of memory\n", stderr);
        exit(1);
    }
    b->n = v.n;
    if (v.n > 0) {
        memcpy(b->p, v.p, v.n);
    }
    return b;
}

void sim_rng_for(const struct sim_world *w, const char *what, uint64_t i, struct sm_rng *out)
{
    uint8_t seed[32] = {0};
    char label[64];
    sm_put_le64(seed, w->seed);
    (void)snprintf(label, sizeof label, "%s/%llu", what, (unsigned long long)i);
    sm_rng_init(out, seed, label);
}

bool sim_chance(struct sm_rng *r, uint32_t ppm)
{
    return ppm > 0 && sm_rng_below(r, 1000000) < ppm;
}

struct sm_dur sim_about(struct sm_rng *r, uint64_t mean_ms)
{
    uint64_t mean_us = mean_ms * 1000 + 1;
    return SM_US(mean_us / 2 + sm_rng_below(r, mean_us));
}

void sim_trouble(struct sim_world *w, enum sim_trouble t, const char *fmt, ...)
{
    va_list args;
    if (w->trouble != SIM_FINE) {
        return; /* the first one is the cause */
    }
    w->trouble = t;
    va_start(args, fmt);
    (void)vsnprintf(w->trouble_text, sizeof w->trouble_text, fmt, args);
    va_end(args);
}

void sim_say(struct sim_world *w, const char *fmt, ...)
{
    va_list args;
    if (!w->is_verbose) {
        return;
    }
    fprintf(stderr, "%4llu.%06llu ", (unsigned long long)(w->now.ns / 1000000000u),
            (unsigned long long)(w->now.ns % 1000000000u / 1000u));
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* -- samples ----------------------------------------------------------------------------- */

void sim_samples_add(struct sim_samples *s, struct sm_dur d)
{
    if (s->v == NULL) {
        s->v = sim_alloc(SIM_SAMPLES_MAX * sizeof *s->v);
    }
    uint64_t us = d.ns / 1000;
    s->seen++;
    if (s->n < SIM_SAMPLES_MAX) {
        s->v[s->n++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    }
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

uint32_t sim_samples_quantile(struct sim_samples *s, unsigned per_mille)
{
    if (s->n == 0) {
        return 0;
    }
    qsort(s->v, s->n, sizeof *s->v, compare);
    uint64_t at = ((uint64_t)s->n * per_mille + 999) / 1000;
    return s->v[at > 0 ? at - 1 : 0];
}

/* -- digest ------------------------------------------------------------------------------ */

void sim_digest(struct sim_world *w, uint64_t a, uint64_t b, uint64_t c, struct sm_view bytes)
{
    uint8_t row[48];
    sm_put_le64(row, w->now.ns);
    sm_put_le64(row + 8, a);
    sm_put_le64(row + 16, b);
    sm_put_le64(row + 24, c);
    sm_put_le64(row + 32, bytes.n);
    sm_put_le64(row + 40, bytes.n > 0 ? sm_siphash(bytes.p, bytes.n, 7, 11) : 0);
    uint64_t d = sm_siphash(row, sizeof row, w->digest[0], w->digest[1]);
    w->digest[1] ^= w->digest[0] * 0x9e3779b97f4a7c15u;
    w->digest[0] = d;
}

void sim_push(struct sim_world *w, struct sm_dur after, const struct sim_event *ev)
{
    struct sim_event in = *ev;
    in.at = sm_after(w->now, after);
    if (sim_queue_push(&w->queue, &in) != SM_OK) {
        fputs("seemesh-sim: out of memory\n", stderr);
        exit(1);
    }
}

/* -- topology ---------------------------------------------------------------------------- */

static bool are_peers(const struct sim_world *w, uint32_t a, uint32_t b)
{
    for (unsigned i = 0; i < w->machines[a].n_peers; i++) {
        if (w->machines[a].peers[i] == b) {
            return true;
        }
    }
    for (unsigned i = 0; i < w->machines[b].n_peers; i++) {
        if (w->machines[b].peers[i] == a) {
            return true;
        }
    }
    return false;
}

/* Connected at random with the wanted mean degree: a random tree, then more edges, none of
 * them to a machine that has twice its share. */
static void connect_all(struct sim_world *w, struct sm_rng *rng)
{
    uint32_t n = w->opts.nodes;
    unsigned *degree = sim_alloc(n * sizeof *degree);
    uint64_t edges = 0, wanted = (uint64_t)n * w->opts.degree / 2;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t to = (uint32_t)sm_rng_below(rng, i);
        for (unsigned tries = 0; tries < 8 && degree[to] >= w->opts.degree; tries++) {
            to = (uint32_t)sm_rng_below(rng, i);
        }
        struct sim_machine *m = &w->machines[i];
        m->peers[m->n_peers++] = to;
        degree[i]++;
        degree[to]++;
        edges++;
    }
    for (uint64_t tries = 0; edges < wanted && tries < wanted * 32; tries++) {
        uint32_t a = (uint32_t)sm_rng_below(rng, n), b = (uint32_t)sm_rng_below(rng, n);
        if (a == b || are_peers(w, a, b) || degree[a] >= 2 * w->opts.degree ||
            degree[b] >= 2 * w->opts.degree) {
            continue;
        }
        struct sim_machine *m = &w->machines[a];
        m->peers[m->n_peers++] = b;
        degree[a]++;
        degree[b]++;
        edges++;
    }
    free(degree);
}

/* -- life -------------------------------------------------------------------------------- */

static void on_boot(struct sim_world *w, struct sim_event *ev)
{
    sim_machine_start(w, &w->machines[ev->who]);
}

static void on_quiet(struct sim_world *w, struct sim_event *ev)
{
    (void)ev;
    sim_say(w, "faults off");
    sim_faults_end(w);
    w->is_quiet = true;
    w->quiet_at = w->now;
}

static void on_last(struct sim_world *w, struct sim_event *ev)
{
    (void)ev;
    sim_work_last(w);
}

struct sim_world *sim_world_new(const char *name, const struct sim_opts *o, uint64_t seed,
                                bool is_verbose)
{
    struct sim_world *w = sim_alloc(sizeof *w);
    w->opts = *o;
    w->seed = seed;
    w->name = name;
    w->is_verbose = is_verbose;
    w->suite = sm_suite_sim();
    w->now = (struct sm_mono){1000000000u};
    w->digest[0] = seed;
    w->digest[1] = o->nodes;
    sim_rng_for(w, "net", 0, &w->net);
    sim_rng_for(w, "faults", 0, &w->faults);
    sim_rng_for(w, "workload", 0, &w->work);
    struct sm_rng rng;
    sim_rng_for(w, "world", 0, &rng);
    sm_sign_pair_make(w->suite, &rng, &w->root);
    const uint8_t(*roots)[32] = (const uint8_t(*)[32])w->root.pub.b;
    if (sm_anchor_make(SM_ENV_DEV, "simulated", roots, 1, &w->anchor) != SM_OK) {
        abort();
    }
    w->machines = sim_alloc(o->nodes * sizeof *w->machines);
    w->side = sim_alloc(o->nodes);
    w->clients = sim_alloc((o->clients + 1) * sizeof *w->clients);
    w->objects = sim_alloc(SIM_OBJECTS_MAX * sizeof *w->objects);
    w->items = sim_alloc(SIM_ITEMS_MAX * sizeof *w->items);
    w->finds = sim_alloc(SIM_FINDS * sizeof *w->finds);
    connect_all(w, &rng);
    for (uint32_t i = 0; i < o->nodes; i++) {
        sim_machine_make(w, i);
        sim_push(w, SM_US(sm_rng_below(&rng, 2000000)),
                 &(struct sim_event){.fn = on_boot, .kind = SIM_BOOT, .who = i});
    }
    sim_liars_choose(w);
    sim_revoke_choose(w);
    for (uint32_t i = 0; i < o->clients; i++) {
        sim_client_make(w, i, (uint32_t)sm_rng_below(&rng, o->nodes));
    }
    sim_faults_start(w);
    sim_work_start(w);
    sim_check_start(w);
    sim_revoke_start(w);
    struct sm_dur until = {o->length.ns - o->quiet.ns};
    sim_push(w, until, &(struct sim_event){.fn = on_quiet, .kind = SIM_FAULT});
    until.ns += o->quiet.ns / 2;
    sim_push(w, until, &(struct sim_event){.fn = on_last, .kind = SIM_WORK});
    return w;
}

void sim_world_run(struct sim_world *w)
{
    struct sim_event ev;
    struct sm_mono end = sm_after(w->now, w->opts.length);
    sim_liars_in(w);
    sim_revoke_in(w);
    while (w->trouble == SIM_FINE && sim_queue_pop(&w->queue, &ev)) {
        if (ev.at.ns > end.ns) {
            free(ev.bytes);
            break;
        }
        w->now = ev.at;
        w->stats.events++;
        w->stats.kinds[ev.kind]++;
        sim_digest(w, ev.kind, (uint64_t)ev.who << 32 | ev.boot,
                   (uint64_t)ev.other << 32 | (uint32_t)ev.err,
                   ev.bytes != NULL ? sm_view_of(ev.bytes->p, ev.bytes->n)
                                    : (struct sm_view){0});
        ev.fn(w, &ev);
        free(ev.bytes);
    }
    w->now = end;
    if (w->trouble == SIM_FINE) {
        sim_check_end(w);
        sim_revoke_end(w);
    }
    sim_liars_in(NULL);
    sim_revoke_in(NULL);
}

void sim_world_free(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        sim_client_done(&w->clients[i]);
    }
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        sim_machine_done(&w->machines[i]);
    }
    sim_conns_done(w);
    sim_queue_done(&w->queue);
    struct sim_samples *all[] = {&w->find_time, &w->put_time,   &w->get_time, &w->reroute,
                                 &w->heal,      &w->client_rtt, &w->spread,   &w->revoked};
    for (size_t i = 0; i < SM_COUNT(all); i++) {
        free(all[i]->v);
    }
    sim_revoke_done(w);
    free(w->machines);
    free(w->side);
    free(w->clients);
    free(w->objects);
    free(w->items);
    free(w->finds);
    free(w);
}
