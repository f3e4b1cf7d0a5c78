// SPDX-License-Identifier: Apache-2.0
/* What the mesh's owners sign while it runs: a manifest, then lists that revoke a measurement
 * which a share of the nodes has, one chip, and one node; and neighbours who answer with an old
 * list under a number that is higher than any.
 *
 * Those are real nodes in everything else: what their bulletin shows is replaced, by the
 * linker's --wrap, so that the core needs no hook for it. */
#include "attest/rules.h"
#include "crypto/hash.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define BAD_SHARE_PPM    100000u
#define REPLAY_SHARE_PPM 50000u
#define STEP_EVERY       SM_S(5)
#define LOOK_EVERY       SM_MS(20)
#define SIM_ISSUED       1700000000u /* as the machines' clocks: not ahead of any */

enum { DOC_MAX = 64 << 10, REPLAYED_VERSION = 1u << 30 };

enum step { STEP_MANIFEST, STEP_MEASUREMENT, STEP_PLATFORM, STEP_NODE, STEPS };

struct sim_revoke {
    enum step step;
    struct sm_mono at; /* when it was signed */
    struct sm_revocations list;
    struct sm_buf old; /* the first list */
    uint8_t old_hash[32];
    bool is_replaying;
    uint8_t *waits; /* a machine: 1 while something revoked is still there */
    uint64_t *seen; /* a machine: the newest list it has had */
};

static const char bad_measurement[] = "revoked";

/* -- who ---------------------------------------------------------------------------------- */

static void choose(struct sim_world *w, struct sm_rng *rng, enum sim_fate fate, uint32_t wanted)
{
    for (uint32_t tries = 0; wanted > 0 && tries < 4 * w->opts.nodes; tries++) {
        struct sim_machine *m = &w->machines[sm_rng_below(rng, w->opts.nodes)];
        if (m->fate != SIM_HONEST) {
            continue;
        }
        m->fate = fate;
        m->fate = sim_is_bearable(w) ? fate : SIM_HONEST;
        wanted -= m->fate == fate;
    }
}

void sim_revoke_choose(struct sim_world *w)
{
    struct sm_rng rng;
    if (!w->opts.is_revoke) {
        return;
    }
    sim_rng_for(w, "revoke", 0, &rng);
    choose(w, &rng, SIM_OF_PLATFORM, 1);
    choose(w, &rng, SIM_OF_NODE, 1);
    choose(w, &rng, SIM_OF_MEASUREMENT,
           (uint32_t)((uint64_t)w->opts.nodes * BAD_SHARE_PPM / 1000000) + 1);
    choose(w, &rng, SIM_REPLAYS,
           (uint32_t)((uint64_t)w->opts.nodes * REPLAY_SHARE_PPM / 1000000) + 1);
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        struct sim_machine *m = &w->machines[i];
        if (m->fate == SIM_OF_MEASUREMENT) {
            memcpy(m->self.measurement, bad_measurement, sizeof bad_measurement);
            memset(m->self.measurement + sizeof bad_measurement, 0,
                   sizeof m->self.measurement - sizeof bad_measurement);
        }
    }
}

static bool is_revoked_at(const struct sim_machine *m, enum step step)
{
    return (m->fate == SIM_OF_MEASUREMENT && step >= STEP_MEASUREMENT) ||
           (m->fate == SIM_OF_PLATFORM && step >= STEP_PLATFORM) ||
           (m->fate == SIM_OF_NODE && step >= STEP_NODE);
}

bool sim_is_revoked(const struct sim_machine *m)
{
    return is_revoked_at(m, STEPS);
}

/* -- what is signed ----------------------------------------------------------------------- */

static struct sm_wall issued(const struct sim_world *w)
{
    return (struct sm_wall){SIM_ISSUED + w->now.ns / 1000000000u};
}

static void must(enum sm_err e)
{
    if (e != SM_OK) {
        abort(); /* the world makes these documents itself */
    }
}

static void manifest_sign(struct sim_world *w, struct sm_buf *out)
{
    struct sm_mesh_manifest m;
    struct sm_refval good = {.label = "good",
                             .platform = SM_PLATFORM_SOFTWARE,
                             .kind = SM_REFVAL_MEASUREMENT,
                             .state = SM_REFVAL_ACTIVE,
                             .value.n = 48};
    struct sm_refval bad = good;
    memcpy(good.value.b, "simulated", 9);
    memcpy(bad.label, "bad", 4);
    memcpy(bad.value.b, bad_measurement, sizeof bad_measurement);
    sm_mesh_manifest_default(&m);
    memcpy(m.mesh_id, w->anchor.mesh_id, sizeof m.mesh_id);
    m.env = (uint8_t)w->anchor.env;
    m.version = 1;
    m.issued = issued(w);
    m.not_after.s = m.issued.s + 86400;
    m.mode = SM_MODE_ENFORCE;
    m.grade[SM_PLATFORM_SOFTWARE] = 1000;
    m.hw.platforms = 1u << SM_PLATFORM_SOFTWARE;
    m.hw.may_debug = true; /* as software says of itself */
    must(sm_mesh_manifest_add(&m, &good));
    must(sm_mesh_manifest_add(&m, &bad));
    must(sm_mesh_manifest_sign(w->suite, &w->root, &m, out));
    sm_mesh_manifest_done(&m);
}

static void entry_add(struct sim_world *w, uint8_t kind, const void *id, uint8_t n)
{
    struct sm_revoked e = {.kind = kind, .id.n = n, .since = issued(w), .reason = "simulated"};
    memcpy(e.id.b, id, n);
    must(sm_revocations_add(&w->revoke->list, &e));
}

static void list_sign(struct sim_world *w, enum step step, struct sm_buf *out)
{
    struct sm_revocations *l = &w->revoke->list;
    memcpy(l->mesh_id, w->anchor.mesh_id, sizeof l->mesh_id);
    l->env = (uint8_t)w->anchor.env;
    l->version++;
    l->issued = issued(w);
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        const struct sim_machine *m = &w->machines[i];
        if (step == STEP_PLATFORM && m->fate == SIM_OF_PLATFORM) {
            entry_add(w, SM_REVOKED_PLATFORM, m->platform_id, sizeof m->platform_id);
        } else if (step == STEP_NODE && m->fate == SIM_OF_NODE) {
            entry_add(w, SM_REVOKED_NODE, m->self.node_id.b, sizeof m->self.node_id.b);
        }
    }
    if (step == STEP_MEASUREMENT) {
        uint8_t bad[48] = {0};
        memcpy(bad, bad_measurement, sizeof bad_measurement);
        entry_add(w, SM_REVOKED_MEASUREMENT, bad, sizeof bad);
    }
    must(sm_revocations_sign(w->suite, &w->root, l, out));
}

static void offer(struct sim_world *w, struct sim_machine *m, uint8_t kind, struct sm_view doc)
{
    struct sm_reasons why;
    enum sm_err e = sm_node_offer(m->node, w->now, sim_wall(w, m), kind, doc, false, &why);
    if (e != SM_OK && e != SM_E_EXISTS) {
        sim_trouble(w, SIM_SAFETY, "node %u does not take a document: %s %s", m->i,
                    sm_err_name(e), why.n > 0 ? why.r[0].field : "");
        return;
    }
    sim_step(w, m, &(struct sm_event){.kind = SM_EV_TIMER});
}

/* -- until nothing is left ----------------------------------------------------------------- */

static uint64_t version_at(const struct sim_machine *m)
{
    const struct sm_revocations *l = sm_rules_revocations(sm_node_rules(m->node));
    return l != NULL ? l->version : 0;
}

/* Has this node a tunnel, a place on the map, or a DHT contact of a revoked one, or less of
 * the list than was signed? */
static bool is_waiting(struct sim_world *w, struct sim_machine *m)
{
    struct sm_node_tunnel t;
    if (w->revoke->step == STEP_MANIFEST) {
        return sm_rules_manifest(sm_node_rules(m->node)) == NULL;
    }
    if (version_at(m) < w->revoke->list.version) {
        return true;
    }
    for (unsigned i = 0; sm_node_tunnel(m->node, i, &t); i++) {
        if (is_revoked_at(sim_machine_of(w, sm_hop_of(&t.node)), w->revoke->step)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        const struct sim_machine *bad = &w->machines[i];
        if (is_revoked_at(bad, w->revoke->step) &&
            (sm_route_node(sm_node_route(m->node), bad->hop) != NULL ||
             sm_dht_has_contact(sm_node_dht(m->node), &bad->self.node_id) ||
             sm_trust_score(sm_node_trust(m->node), w->now, &bad->self.node_id) != 0)) {
            return true;
        }
    }
    return false;
}

static bool is_judge(const struct sim_machine *m)
{
    return m->fate == SIM_HONEST && m->node != NULL;
}

/* D: nobody honest is ever put back to an older list. */
static void check_version(struct sim_world *w, struct sim_machine *m)
{
    uint64_t version = version_at(m);
    if (version < w->revoke->seen[m->i] || version > w->revoke->list.version) {
        sim_trouble(w, SIM_SAFETY, "node %u went from revocation list %llu to %llu", m->i,
                    (unsigned long long)w->revoke->seen[m->i], (unsigned long long)version);
    }
    w->revoke->seen[m->i] = version;
}

static void on_look(struct sim_world *w, struct sim_event *ev)
{
    unsigned left = 0;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        struct sim_machine *m = &w->machines[i];
        if (!is_judge(m)) {
            continue;
        }
        check_version(w, m);
        if (w->revoke->waits[i] && !is_waiting(w, m)) {
            w->revoke->waits[i] = 0;
            sim_samples_add(w->revoke->step == STEP_MANIFEST ? &w->spread : &w->revoked,
                            sm_between(w->revoke->at, w->now));
        }
        left += w->revoke->waits[i];
    }
    if (left > 0) {
        sim_push(w, LOOK_EVERY, ev);
    }
}

static void on_step(struct sim_world *w, struct sim_event *ev)
{
    struct sim_revoke *r = w->revoke;
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(DOC_MAX);
    uint8_t kind = ev->other == STEP_MANIFEST ? SM_DOC_MANIFEST : SM_DOC_REVOCATION;
    struct sim_machine *first = &w->machines[sm_rng_below(&w->work, w->opts.nodes)];
    if (!is_judge(first)) {
        sim_push(w, SM_MS(1), ev);
        return;
    }
    r->step = (enum step)ev->other;
    r->at = w->now;
    if (kind == SM_DOC_MANIFEST) {
        manifest_sign(w, &doc);
    } else {
        list_sign(w, r->step, &doc);
    }
    sim_say(w, "step %u: signed, and given to node %u", ev->other, first->i);
    if (r->step == STEP_MEASUREMENT) {
        must(sm_buf_add(&r->old, doc.p, doc.n));
        sm_sha256(sm_buf_view(&doc), r->old_hash);
    }
    memset(r->waits, 1, w->opts.nodes);
    offer(w, first, kind, sm_buf_view(&doc));
    r->is_replaying = r->step >= STEP_PLATFORM;
    for (uint32_t i = 0; i < w->opts.nodes && r->is_replaying; i++) {
        if (w->machines[i].fate == SIM_REPLAYS && w->machines[i].node != NULL) {
            offer(w, &w->machines[i], kind, sm_buf_view(&doc)); /* it knows, and lies */
        }
    }
    sim_push(w, LOOK_EVERY, &(struct sim_event){.fn = on_look, .kind = SIM_CHECK});
    if (r->step + 1 < STEPS) {
        sim_push(w, STEP_EVERY,
                 &(struct sim_event){
                     .fn = on_step, .kind = SIM_FAULT, .other = (uint32_t)r->step + 1});
    }
}

void sim_revoke_start(struct sim_world *w)
{
    if (!w->opts.is_revoke) {
        return;
    }
    w->revoke = sim_alloc(sizeof *w->revoke);
    w->revoke->old = SM_BUF(DOC_MAX);
    w->revoke->waits = sim_alloc(w->opts.nodes);
    w->revoke->seen = sim_alloc(w->opts.nodes * sizeof *w->revoke->seen);
    sim_push(w, w->opts.boot, &(struct sim_event){.fn = on_step, .kind = SIM_FAULT});
}

void sim_revoke_end(struct sim_world *w)
{
    for (uint32_t i = 0; w->revoke != NULL && i < w->opts.nodes; i++) {
        if (is_judge(&w->machines[i]) && is_waiting(w, &w->machines[i])) {
            sim_trouble(w, SIM_LIVENESS, "node %u still knows somebody who was revoked", i);
        }
    }
}

void sim_revoke_done(struct sim_world *w)
{
    if (w->revoke != NULL) {
        sm_revocations_done(&w->revoke->list);
        sm_buf_done(&w->revoke->old);
        free(w->revoke->waits);
        free(w->revoke->seen);
        free(w->revoke);
    }
}

bool sim_revoke_has_begun(const struct sim_world *w)
{
    return w->revoke != NULL && w->revoke->step >= STEP_MEASUREMENT;
}

/* -- what those who replay show --------------------------------------------------------------
 */

bool __real_sm_rules_doc(const struct sm_rules *r, struct sm_wall now, size_t i,
                         struct sm_doc *out);
bool __wrap_sm_rules_doc(const struct sm_rules *r, struct sm_wall now, size_t i,
                         struct sm_doc *out);
bool __real_sm_rules_find(const struct sm_rules *r, struct sm_wall now, uint8_t kind,
                          const uint8_t name[static SM_DOC_NAME], struct sm_doc *out);
bool __wrap_sm_rules_find(const struct sm_rules *r, struct sm_wall now, uint8_t kind,
                          const uint8_t name[static SM_DOC_NAME], struct sm_doc *out);

static struct sim_world *world; /* the one that runs; the wrapped calls cannot carry it */

void sim_revoke_in(struct sim_world *w)
{
    world = w;
}

/* The old list as if it were the newest, when these are the rules of one who replays. */
static void replay(const struct sm_rules *rules, struct sm_doc *d)
{
    bool is_on = world != NULL && world->revoke != NULL && world->revoke->is_replaying;
    for (uint32_t i = 0; is_on && d->kind == SM_DOC_REVOCATION && i < world->opts.nodes; i++) {
        const struct sim_machine *m = &world->machines[i];
        if (m->fate == SIM_REPLAYS && m->node != NULL && sm_node_rules(m->node) == rules) {
            d->version = REPLAYED_VERSION;
            d->bytes = sm_buf_view(&world->revoke->old);
            memcpy(d->hash, world->revoke->old_hash, sizeof d->hash);
            world->stats.lies++;
            return;
        }
    }
}

bool __wrap_sm_rules_doc(const struct sm_rules *r, struct sm_wall now, size_t i,
                         struct sm_doc *out)
{
    bool is_there = __real_sm_rules_doc(r, now, i, out);
    if (is_there) {
        replay(r, out);
    }
    return is_there;
}

bool __wrap_sm_rules_find(const struct sm_rules *r, struct sm_wall now, uint8_t kind,
                          const uint8_t name[static SM_DOC_NAME], struct sm_doc *out)
{
    bool is_there = __real_sm_rules_find(r, now, kind, name, out);
    if (is_there) {
        replay(r, out);
    }
    return is_there;
}
