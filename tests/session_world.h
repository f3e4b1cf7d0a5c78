// SPDX-License-Identifier: Apache-2.0
#pragma once
/* session_world: a few session hosts over a network that loses, doubles, delays and reorders
 * packets on four slots, in virtual time, from one seed. */
#include "core/session.h"
#include "passport_kit.h"

enum { WORLD_HOSTS = 3, WORLD_PACKETS = 8192, WORLD_RESPONSES = 512, SERVICE_ECHO = 1 };
enum { SERVICE_LENGTH = 2, SERVICE_SILENT = 3, SERVICE_BEAT = 4 };

struct world_packet {
    struct sm_mono at;
    uint64_t order;
    uint32_t to;
    struct sm_addr from;
    uint8_t slot;
    uint32_t n;
    uint8_t *p;
};

struct world_response {
    uint64_t id;
    enum sm_err err;
    uint8_t hash[8];
    uint32_t n;
    struct sm_mono at;
};

struct world {
    struct kit kit;
    struct kit_id id[WORLD_HOSTS];
    struct sm_host *host[WORLD_HOSTS];
    struct sm_rng rng;
    struct sm_mono now;
    struct world_packet packet[WORLD_PACKETS];
    uint32_t packet_n;
    uint64_t order, packets, requests, reports_ok, reports_lost;
    uint64_t reported_lost[SM_HOST_SLOTS];
    struct world_response response[WORLD_RESPONSES];
    uint32_t response_n;
    uint64_t trace; /* of every packet: when, where, what */

    uint32_t loss_pm, double_pm; /* in a thousand */
    struct sm_dur delay[SM_HOST_SLOTS], jitter;
    bool slot_dead[SM_HOST_SLOTS];   /* swallows */
    bool slot_absent[SM_HOST_SLOTS]; /* the sender is told */
    bool is_changing;                /* one bit of every packet that carries data */
    uint64_t silent_handle;
    uint64_t datagrams; /* taken, of service SERVICE_BEAT */
    uint8_t datagram[64];
    void (*watch)(struct world *w, uint32_t from, const struct sm_host_out *out);
};

static inline uint64_t world_fnv(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ b[i]) * 0x100000001b3u;
    }
    return h;
}

static inline struct sm_host_cfg world_cfg(const struct world *w, uint32_t i)
{
    struct sm_host_cfg c = {
        .suite = w->kit.suite,
        .anchor = &w->kit.anchor,
        .self = w->id[i].addr,
        .dh = w->id[i].dh,
        .cipher = i == 1 ? SM_CHACHAPOLY : SM_AESGCM,
        .passport = sm_view_of(w->id[i].passport, w->id[i].passport_n),
        .sessions = 16,
        .messages = 256,
        .requests = 128,
        .pool_bytes = 24u << 20,
    };
    c.seed[0] = (uint8_t)(i + 1);
    return c;
}

static inline void world_make(struct world *w, const struct sm_suite *suite, uint64_t seed)
{
    uint8_t bytes[32] = {0};
    sm_put_le64(bytes, seed);
    memset(w, 0, sizeof *w);
    kit_make(&w->kit, suite, seed);
    sm_rng_init(&w->rng, bytes, "session world");
    w->now = (struct sm_mono){SM_S(5).ns};
    w->trace = 0xcbf29ce484222325u;
    w->jitter = SM_MS(2);
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        w->delay[i] = SM_MS(5 + 5 * i);
    }
    for (uint32_t i = 0; i < WORLD_HOSTS; i++) {
        kit_identity(&w->kit, (uint8_t)(i + 1), i == 2 ? 7 : SM_EP_NODE, &w->id[i]);
    }
    for (uint32_t i = 0; i < WORLD_HOSTS; i++) {
        struct sm_host_cfg c = world_cfg(w, i);
        w->host[i] = sm_host_new(&c);
        if (w->host[i] == NULL) {
            abort();
        }
    }
}

static inline void world_done(struct world *w)
{
    for (uint32_t i = 0; i < WORLD_HOSTS; i++) {
        sm_host_free(w->host[i]);
    }
    for (uint32_t i = 0; i < w->packet_n; i++) {
        free(w->packet[i].p);
    }
}

static inline uint32_t world_host_of(const struct world *w, struct sm_addr a)
{
    for (uint32_t i = 0; i < WORLD_HOSTS; i++) {
        if (sm_addr_eq(w->id[i].addr, a)) {
            return i;
        }
    }
    return WORLD_HOSTS;
}

static inline void world_put(struct world *w, uint32_t to, struct sm_addr from, uint8_t slot,
                             struct sm_view bytes, struct sm_mono at)
{
    if (w->packet_n == WORLD_PACKETS) {
        return; /* a full queue drops */
    }
    struct world_packet *k = &w->packet[w->packet_n++];
    *k = (struct world_packet){at, w->order++, to, from, slot, (uint32_t)bytes.n, NULL};
    k->p = malloc(bytes.n);
    if (k->p == NULL) {
        abort();
    }
    memcpy(k->p, bytes.p, bytes.n);
}

static inline bool world_chance(struct world *w, uint32_t pm)
{
    return pm > 0 && sm_rng_below(&w->rng, 1000) < pm;
}

static inline void world_send(struct world *w, uint32_t from, const struct sm_host_out *out)
{
    uint8_t slot = out->packet.slot;
    uint32_t to = world_host_of(w, out->packet.dst);
    w->packets++;
    w->trace = world_fnv(w->trace, &w->now.ns, sizeof w->now.ns);
    w->trace = world_fnv(w->trace, &slot, 1);
    w->trace = world_fnv(w->trace, out->packet.bytes.p, out->packet.bytes.n);
    if (w->slot_absent[slot] || to == WORLD_HOSTS) {
        sm_host_unreachable(w->host[from], w->now, out->packet.dst, slot);
        return;
    }
    uint32_t copies = 1 + (uint32_t)world_chance(w, w->double_pm);
    for (uint32_t i = 0; i < copies; i++) {
        if (w->slot_dead[slot] || world_chance(w, w->loss_pm)) {
            continue;
        }
        struct sm_dur jitter = {w->jitter.ns > 0 ? sm_rng_below(&w->rng, w->jitter.ns) : 0};
        world_put(w, to, w->id[from].addr, slot, out->packet.bytes,
                  sm_after(sm_after(w->now, w->delay[slot]), jitter));
    }
}

static inline void world_serve(struct world *w, uint32_t at, const struct sm_host_out *out)
{
    uint8_t n[4];
    w->requests++;
    switch (out->request.service) {
    case SERVICE_ECHO:
        kit_ok(
            sm_host_reply(w->host[at], w->now, out->request.handle, SM_OK, out->request.body));
        break;
    case SERVICE_LENGTH:
        sm_put_le32(n, (uint32_t)out->request.body.n);
        kit_ok(
            sm_host_reply(w->host[at], w->now, out->request.handle, SM_OK, sm_view_of(n, 4)));
        break;
    default:
        w->silent_handle = out->request.handle;
        break;
    }
}

static inline void world_take(struct world *w, const struct sm_host_out *out)
{
    if (w->response_n == WORLD_RESPONSES) {
        abort();
    }
    struct world_response *r = &w->response[w->response_n++];
    r->id = out->response.id;
    r->err = out->response.err;
    r->n = (uint32_t)out->response.body.n;
    r->at = w->now;
    sm_put_le64(r->hash, world_fnv(1, out->response.body.p, out->response.body.n));
}

static inline void world_drain(struct world *w, uint32_t i)
{
    struct sm_host_out out;
    while (sm_host_next(w->host[i], &out)) {
        if (w->watch != NULL) {
            w->watch(w, i, &out);
        }
        switch (out.kind) {
        case SM_HOST_PACKET:
            world_send(w, i, &out);
            break;
        case SM_HOST_REQUEST:
            world_serve(w, i, &out);
            break;
        case SM_HOST_RESPONSE:
            world_take(w, &out);
            break;
        case SM_HOST_PATH_REPORT:
            w->reports_ok += out.path_report.is_ok;
            w->reports_lost += !out.path_report.is_ok;
            w->reported_lost[out.path_report.slot] += !out.path_report.is_ok;
            break;
        }
    }
}

static inline uint32_t world_earliest(const struct world *w)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < w->packet_n; i++) {
        const struct world_packet *a = &w->packet[i], *b = &w->packet[best];
        if (a->at.ns < b->at.ns || (a->at.ns == b->at.ns && a->order < b->order)) {
            best = i;
        }
    }
    return best;
}

/* Do the next thing that is due until `end`; false when nothing is. */
static inline bool world_step(struct world *w, struct sm_mono end)
{
    struct sm_mono next = SM_NEVER;
    uint32_t who = WORLD_HOSTS;
    for (uint32_t i = 0; i < WORLD_HOSTS; i++) {
        struct sm_mono t = sm_host_deadline(w->host[i]);
        if (t.ns < next.ns) {
            next = t;
            who = i;
        }
    }
    uint32_t k = world_earliest(w);
    bool is_packet = w->packet_n > 0 && w->packet[k].at.ns <= next.ns;
    next = is_packet ? w->packet[k].at : next;
    if (next.ns > end.ns) {
        w->now = end;
        return false;
    }
    w->now = next.ns > w->now.ns ? next : w->now;
    if (!is_packet) {
        sm_host_tick(w->host[who], w->now);
        world_drain(w, who);
        return true;
    }
    struct world_packet p = w->packet[k];
    w->packet[k] = w->packet[--w->packet_n];
    if (w->is_changing && p.p[0] == 3) {
        p.p[sm_rng_below(&w->rng, p.n)] ^= (uint8_t)(1u << sm_rng_below(&w->rng, 8));
    }
    struct sm_wall wall = {KIT_NOW.s + w->now.ns / SM_S(1).ns};
    sm_host_packet(w->host[p.to], w->now, wall, p.from, p.slot, sm_view_of(p.p, p.n));
    struct sm_host_datagram d;
    if (sm_host_datagram_take(w->host[p.to], &d)) {
        w->datagrams += d.service == SERVICE_BEAT;
        memcpy(w->datagram, d.p, d.n < sizeof w->datagram ? d.n : sizeof w->datagram);
    }
    free(p.p);
    world_drain(w, p.to);
    return true;
}

static inline void world_run(struct world *w, struct sm_dur span)
{
    struct sm_mono end = sm_after(w->now, span);
    while (world_step(w, end)) {
    }
}

/* Run until so many responses have come, at most for `span`. */
static inline bool world_until(struct world *w, uint32_t responses, struct sm_dur span)
{
    struct sm_mono end = sm_after(w->now, span);
    while (w->response_n < responses) {
        if (!world_step(w, end)) {
            return false;
        }
    }
    return true;
}

static inline enum sm_err world_ask(struct world *w, uint32_t from, uint32_t to,
                                    uint8_t service, struct sm_view body,
                                    struct sm_dur deadline, uint64_t *id)
{
    enum sm_err err = sm_host_request(w->host[from], w->now, w->id[to].addr, w->id[to].dh.pub.b,
                                      service, body, deadline, id);
    world_drain(w, from);
    return err;
}
