// SPDX-License-Identifier: Apache-2.0
/* A client on one of the machines: an endpoint with sessions of its own, which puts objects,
 * reads them back and compares, and can send small requests in a row to one node. */
#include "attest/anchor.h"
#include "core/object.h"
#include "wire/provider.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

enum { CLIENT_BYTES = 16 << 20 };
#define LOCAL_DELAY      SM_US(30) /* over the Unix socket */
#define REQUEST_DEADLINE SM_S(20)
#define PROBE_DEADLINE   SM_S(15)
#define PROBE_EVERY      SM_MS(50)

static void pump(struct sim_world *w, struct sim_client *c);

/* -- life -------------------------------------------------------------------------------- */

void sim_client_make(struct sim_world *w, uint32_t i, uint32_t machine)
{
    struct sim_client *c = &w->clients[i];
    struct sm_rng rng;
    sim_rng_for(w, "client", i, &rng);
    c->i = i;
    c->machine = machine;
    c->timer_at = SM_NEVER;
    sm_sign_pair_make(w->suite, &rng, &c->sign);
    sm_dh_pair_make(w->suite, &rng, &c->dh);
}

static void end_op(struct sim_client *c)
{
    sm_put_free(c->put);
    sm_get_free(c->get);
    free(c->plain);
    c->put = NULL;
    c->get = NULL;
    c->plain = NULL;
    c->op = SIM_IDLE;
    for (unsigned i = 0; i < SIM_CALLS; i++) {
        c->calls[i].is_used = false;
    }
}

void sim_client_done(struct sim_client *c)
{
    end_op(c);
    sm_host_free(c->host);
    c->host = NULL;
}

void sim_client_detach(struct sim_world *w, struct sim_client *c)
{
    if (c->op == SIM_GET || c->op == SIM_FINDING) {
        w->stats.gets_lost++;
    }
    sim_client_done(c);
    c->boot = 0;
    c->is_waiting = false;
}

/* The passport follows the node's record, which is renewed. */
static bool renew_passport(struct sim_world *w, struct sim_client *c)
{
    struct sim_machine *m = &w->machines[c->machine];
    struct sm_record_head head;
    struct sm_view node = sm_node_self_record(m->node), view;
    if (node.n == 0 || sm_record_peek(node, &head) != SM_OK) {
        return false;
    }
    if (head.seq == c->passport_seq) {
        return true;
    }
    uint64_t now = sim_wall(w, m).s;
    struct sm_endpoint_record rec = {.head = {.network = w->anchor.network,
                                              .seq = ++c->seq,
                                              .not_before = {now},
                                              .expires = {now + 3600}},
                                     .node_id = m->self.node_id,
                                     .ep = c->ep,
                                     .kind = SM_ENDPOINT_CLIENT};
    memcpy(rec.sign_key, c->sign.pub.b, sizeof rec.sign_key);
    memcpy(rec.dh_key, c->dh.pub.b, sizeof rec.dh_key);
    uint8_t room[SM_ENDPOINT_RECORD_BYTES], passport[SM_PASSPORT_MAX];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    sm_endpoint_record_write(&rec, &wr);
    sim_certify(w, m, &wr);
    struct sm_wr pw = sm_wr_init(passport, sizeof passport);
    sm_passport_write(node, sm_view_of(room, wr.n), &pw);
    if (sm_wr_done(&pw, &view) != SM_OK || sm_host_passport(c->host, view) != SM_OK) {
        sim_trouble(w, SIM_SAFETY, "client %u gets no passport", c->i);
        return false;
    }
    c->passport_seq = head.seq;
    return true;
}

static void attach(struct sim_world *w, struct sim_client *c)
{
    struct sim_machine *m = &w->machines[c->machine];
    struct sm_rng rng;
    c->life++;
    sim_rng_for(w, "client host", (uint64_t)c->i << 32 | c->life, &rng);
    c->boot = m->boot;
    c->ep = m->next_ep++;
    c->passport_seq = 0;
    c->timer_at = SM_NEVER;
    struct sm_host_cfg cfg = {.suite = w->suite,
                              .anchor = &w->anchor,
                              .self = {.node = m->hop, .ep = c->ep},
                              .dh = c->dh,
                              .cipher = SM_AESGCM,
                              .pool_bytes = CLIENT_BYTES};
    sm_rng_bytes(&rng, cfg.seed, sizeof cfg.seed);
    c->host = sm_host_new(&cfg);
    if (c->host == NULL) {
        sim_trouble(w, SIM_SAFETY, "client %u cannot be made", c->i);
    }
}

bool sim_client_ready(struct sim_world *w, struct sim_client *c)
{
    struct sim_machine *m = &w->machines[c->machine];
    if (m->node == NULL || m->paused_until.ns > w->now.ns ||
        sm_node_self_record(m->node).n == 0) {
        return false;
    }
    if (c->boot != m->boot) {
        attach(w, c);
    }
    return c->host != NULL && renew_passport(w, c);
}

/* -- requests ---------------------------------------------------------------------------- */

static struct sim_call *call_new(struct sim_world *w, struct sim_client *c, uint64_t inner)
{
    for (unsigned i = 0; i < SIM_CALLS; i++) {
        if (!c->calls[i].is_used) {
            c->calls[i] = (struct sim_call){.is_used = true, .inner = inner, .at = w->now};
            return &c->calls[i];
        }
    }
    return NULL;
}

static enum sm_err ask(struct sim_world *w, struct sim_client *c, struct sm_hop to,
                       uint64_t inner, struct sm_view body, struct sm_dur deadline)
{
    struct sim_machine *m = &w->machines[c->machine];
    const struct sm_node_record *rec =
        to.v == m->hop.v ? sm_node_self(m->node) : sm_route_node(sm_node_route(m->node), to);
    struct sim_call *call = rec != NULL ? call_new(w, c, inner) : NULL;
    if (call == NULL) {
        return rec == NULL ? SM_E_UNREACHABLE : SM_E_BUSY;
    }
    enum sm_err e =
        sm_host_request(c->host, w->now, (struct sm_addr){to, SM_EP_NODE}, rec->dh_key,
                        SM_SERVICE_STORE, body, deadline, &call->host_id);
    call->is_used = e == SM_OK;
    return e;
}

static void probe_answered(struct sim_world *w, struct sim_client *c, struct sm_mono sent,
                           enum sm_err err)
{
    *(err == SM_OK ? &c->probes_ok : &c->probes_failed) += 1;
    sim_samples_add(&w->client_rtt, sm_between(sent, w->now));
    struct sm_mono from = sent.ns > c->probe_from.ns ? sent : c->probe_from;
    struct sm_dur waited = sm_between(from, w->now);
    if (waited.ns > c->probe_longest.ns) {
        c->probe_longest = waited;
    }
}

static void response(struct sim_world *w, struct sim_client *c, uint64_t id, enum sm_err err,
                     struct sm_view body)
{
    for (unsigned i = 0; i < SIM_CALLS; i++) {
        struct sim_call *call = &c->calls[i];
        if (!call->is_used || call->host_id != id) {
            continue;
        }
        call->is_used = false;
        if (c->op == SIM_PUT) {
            sm_put_response(c->put, w->now, call->inner, err, body);
        } else if (c->op == SIM_GET) {
            sm_get_response(c->get, w->now, call->inner, err, body);
        } else if (c->op == SIM_PROBE) {
            probe_answered(w, c, call->at, err);
        }
        return;
    }
}

/* -- driving ----------------------------------------------------------------------------- */

static void on_client(struct sim_world *w, struct sim_event *ev)
{
    struct sim_client *c = &w->clients[ev->who];
    if (c->life != ev->boot || c->boot == 0 || c->timer_at.ns != w->now.ns) {
        return;
    }
    c->timer_at = SM_NEVER;
    pump(w, c);
}

static void wake_at(struct sim_world *w, struct sim_client *c, struct sm_mono at)
{
    if (at.ns == UINT64_MAX) {
        return;
    }
    at.ns = at.ns > w->now.ns ? (at.ns + 999) / 1000 * 1000 : w->now.ns + 1000;
    if (at.ns < c->timer_at.ns) {
        c->timer_at = at;
        sim_push(w, sm_between(w->now, at),
                 &(struct sim_event){
                     .fn = on_client, .kind = SIM_CLIENT, .who = c->i, .boot = c->life});
    }
}

void sim_client_node_drained(struct sim_world *w, struct sim_machine *m)
{
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        struct sim_client *c = &w->clients[i];
        if (c->machine == m->i && c->is_waiting && c->boot == m->boot &&
            !sm_node_is_congested(m->node)) {
            c->is_waiting = false;
            wake_at(w, c, sm_after(w->now, LOCAL_DELAY));
        }
    }
}

static void finish_put(struct sim_world *w, struct sim_client *c, const struct sm_put_out *o)
{
    struct sim_object *obj = &w->objects[c->object];
    if (o->err == SM_OK) {
        obj->is_acked = true;
        obj->id = o->object;
        w->stats.puts_ok++;
        sim_samples_add(&w->put_time, sm_between(c->op_at, w->now));
    } else {
        SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(512);
        bool is_told = sm_put_reason(c->put, NULL, &words) == SM_OK;
        sim_say(w, "client %u: put of %u: %s: %.*s", c->i, c->object, sm_err_name(o->err),
                is_told ? (int)words.n : 0, is_told ? (const char *)words.p : "");
    }
    end_op(c);
}

static void put_step(struct sim_world *w, struct sim_client *c)
{
    struct sm_put_out o;
    while (c->op == SIM_PUT) {
        size_t took = sm_put_feed(c->put, w->now,
                                  sm_view_of(c->plain + c->plain_at, c->plain_n - c->plain_at));
        c->plain_at += took;
        if (c->plain_at == c->plain_n) {
            sm_put_end(c->put, w->now);
        }
        if (!sm_put_next(c->put, w->now, &o)) {
            if (took == 0 || c->plain_at == c->plain_n) {
                return;
            }
            continue;
        }
        if (o.kind == SM_PUT_DONE) {
            finish_put(w, c, &o);
            return;
        }
        enum sm_err e = ask(w, c, c->holders[o.holder], o.id, o.body, REQUEST_DEADLINE);
        if (e != SM_OK) {
            sm_put_response(c->put, w->now, o.id, e, (struct sm_view){0});
        }
    }
}

static void finish_get(struct sim_world *w, struct sim_client *c, enum sm_err err)
{
    struct sim_object *obj = &w->objects[c->object];
    if (err == SM_OK && c->got != obj->size) {
        sim_trouble(w, SIM_SAFETY, "S1: object %u came with %zu of %u bytes", c->object, c->got,
                    obj->size);
    }
    if (err == SM_OK) {
        w->stats.gets_ok++;
        obj->is_read = true;
        sim_samples_add(&w->get_time, sm_between(c->op_at, w->now));
    } else {
        SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(512);
        bool is_told = c->get != NULL && sm_get_reason(c->get, &words) == SM_OK;
        sim_say(w, "client %u: get of %u: %s: %.*s", c->i, c->object, sm_err_name(err),
                is_told ? (int)words.n : 0, is_told ? (const char *)words.p : "");
    }
    end_op(c);
}

static void get_step(struct sim_world *w, struct sim_client *c)
{
    struct sm_get_out o;
    while (c->op == SIM_GET && sm_get_next(c->get, w->now, &o)) {
        switch (o.kind) {
        case SM_GET_REQUEST: {
            enum sm_err e = ask(w, c, c->holders[o.holder], o.id, o.body, REQUEST_DEADLINE);
            if (e != SM_OK) {
                sm_get_response(c->get, w->now, o.id, e, (struct sm_view){0});
            }
            break;
        }
        case SM_GET_BYTES:
            if (o.offset != c->got || o.offset + o.bytes.n > c->plain_n ||
                memcmp(c->plain + o.offset, o.bytes.p, o.bytes.n) != 0) {
                sim_trouble(w, SIM_SAFETY, "S1: object %u was read with wrong bytes",
                            c->object);
            }
            c->got += o.bytes.n;
            break;
        case SM_GET_DONE:
            finish_get(w, c, o.err);
            break;
        case SM_GET_INFO:
        case SM_GET_OBSERVE:
            break;
        }
    }
}

static void probe_step(struct sim_world *w, struct sim_client *c)
{
    uint8_t body[SM_STORE_HEAD_MAX];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    struct sm_mono due = sm_after(c->op_at, (struct sm_dur){PROBE_EVERY.ns * c->probes_sent});
    if (!sm_is_due(due, w->now)) {
        return;
    }
    c->probes_sent++;
    if (sm_store_req_write(&wr, &(struct sm_store_req){.op = SM_STORE_STAT}) != SM_OK ||
        ask(w, c, w->machines[c->probe_to].hop, 0, sm_view_of(body, wr.n), PROBE_DEADLINE) !=
            SM_OK) {
        c->probes_failed++;
    }
}

static void refuse(struct sim_world *w, struct sim_client *c, uint64_t handle)
{
    enum sm_err e = sm_host_reply(c->host, w->now, handle, SM_E_REFUSED, (struct sm_view){0});
    (void)e; /* the asker may be gone */
}

static void host_step(struct sim_world *w, struct sim_client *c)
{
    struct sim_machine *m = &w->machines[c->machine];
    struct sm_host_out o;
    while (!(c->is_waiting = sm_node_is_congested(m->node)) && sm_host_next(c->host, &o)) {
        switch (o.kind) {
        case SM_HOST_PACKET:
            sim_step(w, m,
                     &(struct sm_event){.kind = SM_EV_EP_PACKET,
                                        .ep = c->ep,
                                        .peer = o.packet.dst,
                                        .slot = o.packet.slot,
                                        .bytes = o.packet.bytes});
            break;
        case SM_HOST_REQUEST:
            refuse(w, c, o.request.handle);
            break;
        case SM_HOST_RESPONSE:
            response(w, c, o.response.id, o.response.err, o.response.body);
            break;
        case SM_HOST_PATH_REPORT:
            sim_step(w, m,
                     &(struct sm_event){.kind = SM_EV_EP_REPORT,
                                        .ep = c->ep,
                                        .peer = {.node = o.path_report.dst},
                                        .slot = o.path_report.slot,
                                        .is_ok = o.path_report.is_ok,
                                        .rtt = o.path_report.rtt});
            break;
        }
    }
}

static void pump(struct sim_world *w, struct sim_client *c)
{
    if (!sim_client_ready(w, c)) {
        wake_at(w, c, sm_after(w->now, SM_MS(500)));
        return;
    }
    if (sm_is_due(sm_host_deadline(c->host), w->now)) {
        sm_host_tick(c->host, w->now);
    }
    for (unsigned round = 0; round < 2; round++) { /* answers make new requests */
        put_step(w, c);
        get_step(w, c);
        if (c->op == SIM_PROBE) {
            probe_step(w, c);
        }
        host_step(w, c);
    }
    struct sm_mono at = c->is_waiting ? sm_after(w->now, SM_MS(20)) : sm_host_deadline(c->host);
    if (c->op == SIM_PUT) {
        at = sm_earlier(at, sm_put_deadline(c->put));
    } else if (c->op == SIM_GET) {
        at = sm_earlier(at, sm_get_deadline(c->get));
    } else if (c->op == SIM_PROBE) {
        at = sm_earlier(at,
                        sm_after(c->op_at, (struct sm_dur){PROBE_EVERY.ns * c->probes_sent}));
    }
    wake_at(w, c, at);
}

/* -- from the node ----------------------------------------------------------------------- */

static void on_ep(struct sim_world *w, struct sim_event *ev)
{
    struct sim_client *c = &w->clients[ev->who];
    if (c->life != ev->boot || c->boot == 0) {
        return;
    }
    struct sim_machine *m = &w->machines[c->machine];
    struct sm_addr peer = {{ev->token}, ev->other};
    if (ev->what == SM_ACT_EP_PACKET) {
        sm_host_packet(c->host, w->now, sim_wall(w, m), peer, ev->slot,
                       sm_view_of(ev->bytes->p, ev->bytes->n));
    } else if (ev->what == SM_ACT_EP_FAIL) {
        sm_host_unreachable(c->host, w->now, peer, ev->slot);
    } else {
        sm_host_paths(c->host, w->now, peer.node, ev->slot);
    }
    pump(w, c);
}

void sim_client_ep(struct sim_world *w, const struct sm_action *a, struct sim_machine *m)
{
    for (uint32_t i = 0; i < w->opts.clients; i++) {
        const struct sim_client *c = &w->clients[i];
        if (c->machine != m->i || c->ep != a->ep || c->boot != m->boot) {
            continue;
        }
        struct sim_event ev = {.fn = on_ep,
                               .kind = SIM_EP,
                               .what = (uint8_t)a->kind,
                               .who = i,
                               .boot = c->life,
                               .slot = a->kind == SM_ACT_EP_PATHS ? a->n_slots : a->slot,
                               .token = a->addr_from.node.v,
                               .other = a->addr_from.ep};
        ev.bytes = sim_bytes_of(a->bytes);
        sim_push(w, LOCAL_DELAY, &ev);
        return;
    }
}

/* -- operations -------------------------------------------------------------------------- */

void sim_object_bytes(const struct sim_world *w, uint32_t object, uint8_t *out)
{
    struct sm_rng rng;
    sim_rng_for(w, "object", object, &rng);
    sm_rng_bytes(&rng, out, w->objects[object].size);
}

static void load_plain(struct sim_world *w, struct sim_client *c, uint32_t object)
{
    c->object = object;
    c->op_at = w->now;
    c->plain_n = w->objects[object].size;
    c->plain_at = c->got = 0;
    c->plain = sim_alloc(c->plain_n);
    sim_object_bytes(w, object, c->plain);
}

static uint64_t cost_to(struct sim_world *w, struct sim_machine *m, struct sm_hop hop)
{
    struct sm_route_path paths[SM_ROUTE_PATHS];
    if (hop.v == m->hop.v) {
        return 0;
    }
    return sm_route_paths(sm_node_route(m->node), w->now, hop, SM_ROUTE_PATHS, paths) > 0
               ? paths[0].cost
               : UINT64_MAX;
}

static unsigned by_cost(struct sim_world *w, struct sim_machine *m, struct sm_hop *hops,
                        uint64_t *held, unsigned n)
{
    uint64_t cost[SM_PUT_HOLDERS_MAX];
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        struct sm_hop hop = hops[i];
        uint64_t c = cost_to(w, m, hop), h = held != NULL ? held[i] : 0;
        if (c == UINT64_MAX) {
            continue;
        }
        unsigned at = kept++;
        for (; at > 0 && cost[at - 1] > c; at--) {
            cost[at] = cost[at - 1];
            hops[at] = hops[at - 1];
            if (held != NULL) {
                held[at] = held[at - 1];
            }
        }
        cost[at] = c;
        hops[at] = hop;
        if (held != NULL) {
            held[at] = h;
        }
    }
    return kept;
}

void sim_client_put(struct sim_world *w, struct sim_client *c, uint32_t object)
{
    struct sim_machine *m = &w->machines[c->machine];
    struct sm_route *route = sm_node_route(m->node);
    unsigned n = 0;
    size_t count = sm_route_count(route);
    size_t first = count > 0 ? object * 7 % count : 0; /* do not load the same ones always */
    for (size_t i = 0; i < count && n < SM_PUT_HOLDERS_MAX; i++) {
        struct sm_route_info info;
        sm_route_info(route, w->now, (first + i) % count, &info);
        if (info.is_self || info.is_reachable) {
            c->holders[n++] = sm_hop_of(&info.id);
        }
    }
    c->n_holders = by_cost(w, m, c->holders, NULL, n);
    w->stats.puts++;
    struct sim_object *obj = &w->objects[object];
    struct sm_rng rng;
    sim_rng_for(w, "object key", object, &rng);
    sm_rng_bytes(&rng, obj->key, sizeof obj->key);
    struct sm_put_cfg cfg = {.suite = w->suite,
                             .cipher = SM_AESGCM,
                             .code = sm_code_for_mesh(c->n_holders > 0 ? c->n_holders : 1),
                             .n_holders = c->n_holders};
    memcpy(cfg.key.b, obj->key, sizeof cfg.key.b);
    sm_rng_bytes(&rng, cfg.seed, sizeof cfg.seed);
    cfg.segment_bytes = obj->size > 0 ? obj->size / 2 + 1 : 0; /* two segments */
    uint32_t most = sm_segment_bytes_max(cfg.code);
    cfg.segment_bytes = cfg.segment_bytes > most ? most : cfg.segment_bytes;
    obj->code = cfg.code;
    enum sm_err e = c->n_holders > 0 ? sm_put_new(&cfg, &c->put) : SM_E_PEERS;
    if (e != SM_OK) {
        if (e != SM_E_PEERS) {
            sim_trouble(w, SIM_SAFETY, "a put cannot begin: %s", sm_err_name(e));
        }
        return;
    }
    load_plain(w, c, object);
    c->op = SIM_PUT;
    pump(w, c);
}

void sim_client_get(struct sim_world *w, struct sim_client *c, uint32_t object)
{
    struct sim_find f = {.client = (int)c->i, .item = c->life};
    w->stats.gets++;
    load_plain(w, c, object);
    c->op = SIM_FINDING;
    if (!sim_find_start(w, &w->machines[c->machine], &w->objects[object].id, 0, &f)) {
        finish_get(w, c, SM_E_BUSY);
    }
}

void sim_client_found(struct sim_world *w, struct sim_client *c, enum sm_err err,
                      struct sm_view records, unsigned n)
{
    struct sim_machine *m = &w->machines[c->machine];
    struct sim_object *obj = &w->objects[c->object];
    uint64_t held[SM_PUT_HOLDERS_MAX];
    unsigned n_holders = 0;
    if (c->op != SIM_FINDING || m->node == NULL) {
        return;
    }
    sim_check_records(w, &obj->id, records, n, UINT32_MAX, NULL);
    struct sm_rd r = sm_rd_init(records);
    for (unsigned i = 0; i < n && n_holders < SM_PUT_HOLDERS_MAX; i++) {
        struct sm_provider p;
        if (sm_provider_read(sm_rd_blob(&r, SM_RECORD_MAX), &p) == SM_OK && p.frag_map != 0) {
            c->holders[n_holders] = sm_hop_of(&p.node_id);
            held[n_holders++] = p.frag_map;
        }
    }
    n_holders = by_cost(w, m, c->holders, held, n_holders);
    struct sm_get_cfg cfg = {.suite = w->suite,
                             .object = obj->id,
                             .held = held,
                             .n_holders = n_holders,
                             .to = UINT64_MAX,
                             .extra = 1};
    memcpy(cfg.key.b, obj->key, sizeof cfg.key.b);
    enum sm_err e = n_holders > 0 ? sm_get_new(&cfg, &c->get) : SM_E_NOTFOUND;
    if (e != SM_OK) {
        finish_get(w, c, err != SM_OK ? err : e);
        return;
    }
    c->n_holders = n_holders;
    c->op = SIM_GET;
    pump(w, c);
}

void sim_client_probe(struct sim_world *w, struct sim_client *c, uint32_t machine)
{
    c->op = SIM_PROBE;
    c->op_at = w->now;
    c->probe_to = machine;
    c->probes_sent = c->probes_ok = c->probes_failed = 0;
    c->probe_from = w->now;
    c->probe_longest = (struct sm_dur){0};
    pump(w, c);
}

void sim_client_probe_end(struct sim_world *w, struct sim_client *c)
{
    for (unsigned i = 0; i < SIM_CALLS; i++) {
        if (c->calls[i].is_used) { /* still waiting */
            probe_answered(w, c, c->calls[i].at, SM_E_TIMEOUT);
        }
    }
    end_op(c);
}
