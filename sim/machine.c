// SPDX-License-Identifier: Apache-2.0
/* One simulated computer: what main, keys and store do for the node core, in one place. */
#include "attest/dev.h"
#include "wire/provider.h"
#include "wire/sign.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

enum {
    SPINS_MAX = 1000, /* timers of one node without the time moving */
    SIGNS_MAX = 512,  /* asked of the keys process at a time */
    SERVES_MAX = 4096,
    NODE_BYTES = 8 << 20, /* bodies of sessions of one node: some large requests */
};
#define WALL_START 1700000000u

struct sm_wall sim_wall(const struct sim_world *w, const struct sim_machine *m)
{
    return (struct sm_wall){WALL_START + w->now.ns / 1000000000u + m->skew_s};
}

struct sim_machine *sim_machine_of(struct sim_world *w, struct sm_hop hop)
{
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        if (w->machines[i].hop.v == hop.v) {
            return &w->machines[i];
        }
    }
    return NULL;
}

/* -- identity ---------------------------------------------------------------------------- */

static struct sm_net_addr addr_of(uint32_t i)
{
    return (struct sm_net_addr){
        .family = 4, .ip = {10, 0, (uint8_t)(i >> 8), (uint8_t)i}, .port = 7000};
}

void sim_machine_make(struct sim_world *w, uint32_t i)
{
    struct sim_machine *m = &w->machines[i];
    struct sm_rng rng;
    sim_rng_for(w, "machine", i, &rng);
    m->i = i;
    m->timer_at = SM_NEVER;
    m->skew_s = w->opts.skew_s > 0 ? (uint32_t)sm_rng_below(&rng, w->opts.skew_s + 1) : 0;
    sm_sign_pair_make(w->suite, &rng, &m->sign);
    struct sm_dev_endorsement e = {.not_before = {WALL_START - 86400},
                                   .expires = {WALL_START + 86400u * 365}};
    sm_rng_bytes(&rng, e.platform_id, sizeof e.platform_id);
    memcpy(m->platform_id, e.platform_id, sizeof m->platform_id);
    memcpy(e.sign_key, m->sign.pub.b, sizeof e.sign_key);
    struct sm_node_record *rec = &m->self;
    *rec = (struct sm_node_record){.platform = SM_PLATFORM_SOFTWARE,
                                   .flags = SM_NODE_STORE,
                                   .n_addrs = 1,
                                   .addrs = {addr_of(i)}};
    struct sm_wr ew = sm_wr_init(rec->endorsement, sizeof rec->endorsement);
    struct sm_view endorsement;
    if (sm_dev_endorse(w->suite, &w->root, &w->anchor, &e, &ew) != SM_OK ||
        sm_wr_done(&ew, &endorsement) != SM_OK) {
        abort();
    }
    rec->endorsement_n = (uint16_t)endorsement.n;
    sm_node_id_make(e.platform_id, 0, w->anchor.network, &rec->node_id);
    memcpy(rec->sign_key, m->sign.pub.b, sizeof rec->sign_key);
    memcpy(rec->measurement, "simulated", 9);
    rec->owner[0] = 'n';
    for (unsigned at = 0; at < 4; at++) {
        static const unsigned tens[] = {1000, 100, 10, 1};
        rec->owner[1 + at] = (char)('0' + i / tens[at] % 10);
    }
    m->hop = sm_hop_of(&rec->node_id);
}

void sim_machine_done(struct sim_machine *m)
{
    sm_node_free(m->node);
    m->node = NULL;
    sim_store_done(&m->store);
}

/* -- the keys process -------------------------------------------------------------------- */

void sim_certify(struct sim_world *w, struct sim_machine *m, struct sm_wr *record)
{
    uint8_t room[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr msg = sm_wr_init(room, sizeof room);
    struct sm_sig sig;
    sm_record_to_sign(sm_view_of(record->p, record->n), &msg);
    w->suite->sign(&m->sign, sm_view_of(msg.p, msg.n), &sig);
    sm_wr_bytes(record, sig.b, sizeof sig.b);
}

static enum sm_err keys_answer(struct sim_world *w, struct sim_machine *m,
                               struct sm_view request, struct sm_wr *out)
{
    struct sm_sign_request req;
    SM_TRY(sm_sign_request_read(request, &req));
    if (req.kind == SM_SIGN_RECORD) {
        uint8_t room[SM_RECORD_TO_SIGN_MAX];
        struct sm_wr msg = sm_wr_init(room, sizeof room);
        struct sm_sig sig;
        sm_record_to_sign(req.record, &msg);
        struct sm_view bytes;
        SM_TRY(sm_wr_done(&msg, &bytes));
        w->suite->sign(&m->sign, bytes, &sig);
        sm_wr_bytes(out, sig.b, sizeof sig.b);
        return SM_OK;
    }
    struct sm_dev_platform platform = {.boot_id = {(uint8_t)m->boot}};
    memcpy(platform.measurement, m->self.measurement, sizeof platform.measurement);
    return sm_attest_collect_dev(w->suite, &m->sign, &platform, sim_wall(w, m), &req.binding,
                                 out);
}

/* May the event be given to the machine now?  A stopped one gets it when it goes on. */
static bool is_awake(struct sim_world *w, struct sim_machine *m, struct sim_event *ev)
{
    if (m->boot != ev->boot || m->node == NULL) {
        return false;
    }
    if (m->paused_until.ns > w->now.ns) {
        sim_push(w, sm_between(w->now, m->paused_until), ev);
        ev->bytes = NULL; /* the later one's */
        return false;
    }
    return true;
}

static void on_signed(struct sim_world *w, struct sim_event *ev)
{
    struct sim_machine *m = &w->machines[ev->who];
    if (!is_awake(w, m, ev)) {
        return;
    }
    m->signs--;
    sim_step(w, m,
             &(struct sm_event){.kind = SM_EV_SIGNED,
                                .token = ev->token,
                                .err = ev->err,
                                .bytes = sm_view_of(ev->bytes->p, ev->bytes->n)});
}

static void sign(struct sim_world *w, struct sim_machine *m, const struct sm_action *a)
{
    uint8_t room[2048];
    struct sm_wr out = sm_wr_init(room, sizeof room);
    struct sim_event ev = {
        .fn = on_signed, .kind = SIM_SIGNED, .who = m->i, .boot = m->boot, .token = a->token};
    ev.err = keys_answer(w, m, a->bytes, &out);
    if (ev.err != SM_OK) {
        sim_trouble(w, SIM_SAFETY, "node %u asked for a signature that is refused: %s", m->i,
                    sm_err_name(ev.err));
    }
    if (++m->signs > SIGNS_MAX) {
        sim_trouble(w, SIM_SAFETY, "node %u has %u signatures under way", m->i, m->signs);
    }
    ev.bytes = sim_bytes_of(sm_view_of(out.p, out.n));
    sim_push(w, SM_US(80 + sm_rng_below(&w->net, 60)), &ev);
}

/* -- the store --------------------------------------------------------------------------- */

static void on_served(struct sim_world *w, struct sim_event *ev)
{
    struct sim_machine *m = &w->machines[ev->who];
    if (!is_awake(w, m, ev)) {
        return;
    }
    m->serves--;
    sim_step(w, m,
             &(struct sm_event){.kind = SM_EV_SERVED,
                                .token = ev->token,
                                .err = ev->err,
                                .bytes = sm_view_of(ev->bytes->p, ev->bytes->n)});
}

static void on_publish(struct sim_world *w, struct sim_event *ev)
{
    struct sim_machine *m = &w->machines[ev->who];
    struct sm_event out = {.kind = SM_EV_UNPUBLISH};
    if (!is_awake(w, m, ev)) {
        return;
    }
    memcpy(out.item.key.b, ev->bytes->p, sizeof out.item.key.b);
    const struct sim_kept *k = sim_store_find(&m->store, &out.item.key);
    if (k != NULL) {
        out.kind = SM_EV_PUBLISH;
        out.item.kind = SM_PROVIDER_SHARDS;
        out.item.frag_map = k->held;
        out.item.bytes = 1;
        for (unsigned i = 0; i < k->n_shards; i++) {
            out.item.bytes += k->shards[i].bytes->n;
        }
    }
    sim_step(w, m, &out);
}

static void publish_later(struct sim_world *w, struct sim_machine *m,
                          const struct sm_data_id *id, struct sm_dur after)
{
    sim_push(w, after,
             &(struct sim_event){.fn = on_publish,
                                 .kind = SIM_SERVED,
                                 .who = m->i,
                                 .boot = m->boot,
                                 .bytes = sim_bytes_of(sm_view_of(id->b, sizeof id->b))});
}

static void serve(struct sim_world *w, struct sim_machine *m, const struct sm_action *a)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf reply = SM_BUF(2u << 20);
    struct sim_event ev = {.fn = on_served,
                           .kind = SIM_SERVED,
                           .who = m->i,
                           .boot = m->boot,
                           .token = a->token,
                           .err = SM_E_UNSUPPORTED};
    struct sm_data_id changed;
    bool has_changed = false;
    if (a->service == SM_SERVICE_STORE) {
        ev.err = sim_store_serve(&m->store, &a->peer->node.node_id, a->bytes, &reply, &changed,
                                 &has_changed);
    }
    ev.bytes = sim_bytes_of(sm_buf_view(&reply));
    if (++m->serves > SERVES_MAX) {
        sim_trouble(w, SIM_SAFETY, "node %u has %u requests at its store", m->i, m->serves);
    }
    sim_push(w, SM_US(200 + sm_rng_below(&w->net, 1800)), &ev); /* with its fsync */
    if (has_changed) {
        publish_later(w, m, &changed, SM_MS(3));
    }
}

/* -- lookups ----------------------------------------------------------------------------- */

bool sim_find_start(struct sim_world *w, struct sim_machine *m, const struct sm_data_id *key,
                    uint16_t want, const struct sim_find *f)
{
    for (uint32_t i = 0; i < SIM_FINDS; i++) {
        struct sim_find *slot = &w->finds[i];
        if (slot->is_used) {
            continue;
        }
        uint32_t generation = slot->generation + 1;
        *slot = *f;
        slot->is_used = true;
        slot->generation = generation;
        slot->machine = m->i;
        slot->boot = m->boot;
        slot->at = w->now;
        struct sm_event ev = {.kind = SM_EV_FIND,
                              .token = (uint64_t)generation << 16 | i,
                              .record_type = SM_RECORD_PROVIDER,
                              .want = want};
        memcpy(ev.key, key->b, sizeof ev.key);
        sim_step(w, m, &ev);
        return true;
    }
    return false;
}

static void on_found(struct sim_world *w, struct sim_event *ev)
{
    struct sim_find *f = &w->finds[ev->token & 0xffff];
    if (!f->is_used || f->generation != ev->token >> 16) {
        return;
    }
    struct sim_find done = *f;
    f->is_used = false;
    sim_find_done(w, &done, ev->err, sm_view_of(ev->bytes->p, ev->bytes->n), ev->other);
}

static void found(struct sim_world *w, struct sim_machine *m, const struct sm_action *a)
{
    struct sim_event ev = {.fn = on_found,
                           .kind = SIM_FOUND,
                           .who = m->i,
                           .boot = m->boot,
                           .token = a->token,
                           .err = a->err,
                           .other = a->found.n,
                           .bytes = sim_bytes_of(a->found.records)};
    sim_push(w, SM_US(20), &ev);
}

/* A machine that stops answers no lookups: those who asked it learn so. */
static void fail_finds(struct sim_world *w, const struct sim_machine *m)
{
    for (uint32_t i = 0; i < SIM_FINDS; i++) {
        const struct sim_find *f = &w->finds[i];
        if (f->is_used && f->machine == m->i) {
            sim_push(w, SM_US(20),
                     &(struct sim_event){.fn = on_found,
                                         .kind = SIM_FOUND,
                                         .who = m->i,
                                         .token = (uint64_t)f->generation << 16 | i,
                                         .err = SM_E_CLOSED,
                                         .bytes = sim_bytes_of((struct sm_view){0})});
        }
    }
}

/* -- driving the core -------------------------------------------------------------------- */

static void act(struct sim_world *w, struct sim_machine *m, const struct sm_action *a)
{
    sim_digest(w, 100 + a->kind, m->i, (uint64_t)a->conn << 32 | a->ep, a->bytes);
    w->stats.actions++;
    switch (a->kind) {
    case SM_ACT_DIAL:
        sim_dial(w, m, a->conn, &a->addr);
        break;
    case SM_ACT_SEND:
        sim_send(w, m, a->conn, a->bytes);
        break;
    case SM_ACT_CLOSE:
        sim_close(w, m, a->conn);
        break;
    case SM_ACT_SIGN:
        sign(w, m, a);
        break;
    case SM_ACT_SERVE:
        serve(w, m, a);
        break;
    case SM_ACT_EP_PACKET:
    case SM_ACT_EP_FAIL:
    case SM_ACT_EP_PATHS:
        sim_client_ep(w, a, m);
        break;
    case SM_ACT_FOUND:
        found(w, m, a);
        break;
    case SM_ACT_TUN: /* no machine has an interface */
        break;
    case SM_ACT_TRACE:
        sim_check_trace(w, m, &a->trace);
        break;
    case SM_ACT_KEEP:
        break;
    }
}

static void arm(struct sim_world *w, struct sim_machine *m);

static void on_timer(struct sim_world *w, struct sim_event *ev)
{
    struct sim_machine *m = &w->machines[ev->who];
    if (m->boot != ev->boot || m->node == NULL || m->timer_at.ns != w->now.ns) {
        return;
    }
    m->timer_at = SM_NEVER;
    if (m->paused_until.ns > w->now.ns) {
        m->timer_at = m->paused_until;
        sim_push(w, sm_between(w->now, m->paused_until), ev);
        return;
    }
    if (!sm_is_due(sm_node_deadline(m->node), w->now)) {
        arm(w, m);
        return;
    }
    if (m->spin_at.ns != w->now.ns) {
        m->spin_at = w->now;
        m->spins = 0;
    } else if (++m->spins > SPINS_MAX) {
        sim_trouble(w, SIM_SAFETY, "node %u wants its timer for ever", m->i);
    }
    sim_step(w, m, &(struct sm_event){.kind = SM_EV_TIMER});
}

static void arm(struct sim_world *w, struct sim_machine *m)
{
    struct sm_mono at = sm_node_deadline(m->node);
    if (at.ns == UINT64_MAX) {
        return;
    }
    at.ns = at.ns > w->now.ns ? (at.ns + 999) / 1000 * 1000 : w->now.ns; /* as timers do */
    if (at.ns < m->timer_at.ns) {
        m->timer_at = at;
        sim_push(w, sm_between(w->now, at),
                 &(struct sim_event){
                     .fn = on_timer, .kind = SIM_TIMER, .who = m->i, .boot = m->boot});
    }
}

void sim_step(struct sim_world *w, struct sim_machine *m, struct sm_event *ev)
{
    struct sm_action a;
    ev->now = w->now;
    ev->wall = sim_wall(w, m);
    enum sm_err e = sm_node_step(m->node, ev);
    if (e != SM_OK && e != SM_E_BUSY && e != SM_E_LIMIT) {
        sim_trouble(w, SIM_SAFETY, "node %u refuses event %d: %s", m->i, (int)ev->kind,
                    sm_err_name(e));
    }
    while (sm_node_next(m->node, &a)) {
        act(w, m, &a);
    }
    arm(w, m);
    sim_client_node_drained(w, m);
    sim_written(w, m);
}

/* -- start and stop ---------------------------------------------------------------------- */

void sim_machine_start(struct sim_world *w, struct sim_machine *m)
{
    if (m->is_up) {
        return;
    }
    struct sm_node_cfg *cfg = sim_alloc(sizeof *cfg);
    struct sm_rng rng;
    m->boot++;
    sim_rng_for(w, "node", (uint64_t)m->i << 32 | m->boot, &rng);
    cfg->suite = w->suite;
    cfg->anchor = w->anchor;
    sm_rng_bytes(&rng, cfg->seed, sizeof cfg->seed);
    cfg->now = w->now;
    cfg->wall = sim_wall(w, m);
    cfg->self = m->self;
    cfg->cipher = m->i % 2 == 0 ? SM_AESGCM : SM_CHACHAPOLY;
    for (unsigned i = 0; i < m->n_peers; i++) {
        cfg->peers[cfg->n_peers++] = addr_of(m->peers[i]);
    }
    cfg->tunnels_max = SIM_LINKS_MAX;
    cfg->nodes_max =
        w->opts.nodes + 8 > SM_ROUTE_NODES_MAX ? SM_ROUTE_NODES_MAX : w->opts.nodes + 8;
    cfg->session_bytes = NODE_BYTES;
    cfg->records_max = 8192;
    cfg->published_max = 4096;
    m->node = sm_node_new(cfg);
    free(cfg);
    if (m->node == NULL) {
        sim_trouble(w, SIM_SAFETY, "node %u cannot be made", m->i);
        return;
    }
    m->is_up = true;
    m->is_silent = false;
    m->timer_at = SM_NEVER;
    m->paused_until = (struct sm_mono){0};
    m->next_ep = 1;
    m->next_accepted = 0;
    m->signs = m->serves = 0;
    sim_say(w, "node %u starts, life %u", m->i, m->boot);
    sim_step(w, m, &(struct sm_event){.kind = SM_EV_TIMER});
    for (unsigned i = 0; i < m->store.n; i++) { /* the store tells its node what it has */
        if (m->store.kept[i].is_committed) {
            publish_later(w, m, &m->store.kept[i].id, SM_MS(50));
        }
    }
    sim_republish(w, m);
}

void sim_machine_stop(struct sim_world *w, struct sim_machine *m, bool is_silent)
{
    if (!m->is_up) {
        return;
    }
    sim_say(w, "node %u stops%s", m->i, is_silent ? " silently" : "");
    struct sm_node_stats s = sm_node_stats(m->node), *sum = &w->stats.nodes;
    sum->packets_forwarded += s.packets_forwarded;
    sum->packets_delivered += s.packets_delivered;
    sum->packets_sent += s.packets_sent;
    sum->dropped_queue += s.dropped_queue;
    sum->dropped_no_route += s.dropped_no_route;
    sum->dropped_loop += s.dropped_loop;
    sum->dropped_malformed += s.dropped_malformed;
    m->is_up = false;
    m->is_silent = is_silent;
    sm_node_free(m->node);
    m->node = NULL;
    sim_cut_all(w, m, is_silent);
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        if (w->clients[i].machine == m->i) {
            sim_client_detach(w, &w->clients[i]);
        }
    }
    fail_finds(w, m);
}
