// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tunnel_rig: two nodes of a development mesh and what lies between them, in memory.
 *
 * A struct rig_node is an identity: keys, endorsement, record.  A struct rig_end is a tunnel of
 * such a node with everything it told.  rig_run() carries bytes both ways until nothing moves.
 * A test may look at, change or withhold what waits in an end's wire before it is carried.
 */
#include "attest/dev.h"
#include "core/channel.h"
#include "core/handshake.h"
#include "core/lease.h"
#include "core/tunnel.h"
#include "crypto/suite_sim.h"
#include "t.h"

#define RIG_T0   ((struct sm_mono){1000000000u})
#define RIG_WALL ((struct sm_wall){1700000000u})

/* The wall clock goes with the other one. */
static inline struct sm_wall rig_wall(struct sm_mono now)
{
    return (struct sm_wall){RIG_WALL.s + sm_between(RIG_T0, now).ns / 1000000000u};
}

struct rig_node {
    /* Its platform; NULL: the development one.  hw is whose envelope it is to be. */
    void (*collect)(void *hw, const uint8_t report_data[static SM_REPORT_DATA],
                    struct sm_wr *w);
    /* The same for who wants the whole binding, as the keys process has it. */
    void (*collect_bound)(void *hw, const struct sm_binding *b, struct sm_wr *w);
    void *hw;
    const struct sm_suite *suite;
    struct sm_sign_pair sign;
    struct sm_dh_pair dh;
    struct sm_dev_platform platform;
    struct sm_node_record rec;
    uint8_t buf[SM_NODE_RECORD_MAX];
    struct sm_view record;
    enum sm_err sign_err; /* what its keys process answers */
};

struct rig_mesh {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_sign_pair root;
    struct sm_anchor anchor;
};

struct rig_end {
    struct rig_node *node;
    struct sm_tunnel *t;
    struct sm_buf wire; /* what it sent and was not carried yet */
    bool is_up, is_down, holds_written;
    bool withholds; /* its keys process never answers */
    unsigned signs;
    struct sm_node_id peer;
    enum sm_err err;
    char reason[256];
    bool is_refused, is_refused_by_peer; /* with reasons */
    struct sm_reasons refused;
    unsigned messages[2], rtts, sends;
    struct sm_buf last;  /* the last message */
    struct sm_buf order; /* kinds of messages, in order */
    struct sm_dur rtt;
    size_t unwritten;
};

static inline void rig_mesh_make(struct rig_mesh *m, const struct sm_suite *suite,
                                 uint64_t seed)
{
    uint8_t s[32] = {0};
    sm_put_le64(s, seed);
    *m = (struct rig_mesh){.suite = suite};
    sm_rng_init(&m->rng, s, "rig");
    sm_sign_pair_make(suite, &m->rng, &m->root);
    const uint8_t(*roots)[32] = (const uint8_t(*)[32])m->root.pub.b;
    T_OK(sm_anchor_make(SM_ENV_DEV, "rig", roots, 1, &m->anchor));
}

/* Sign the record again after a change. */
static inline void rig_node_publish(struct rig_node *n)
{
    uint8_t buf[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr w = sm_wr_init(n->buf, sizeof n->buf), s = sm_wr_init(buf, sizeof buf);
    struct sm_sig sig;
    sm_node_record_write(&n->rec, &w);
    sm_record_to_sign(sm_view_of(w.p, w.n), &s);
    n->suite->sign(&n->sign, sm_view_of(s.p, s.n), &sig);
    sm_wr_bytes(&w, sig.b, sizeof sig.b);
    T_OK(sm_wr_done(&w, &n->record));
}

static inline void rig_node_make(struct rig_mesh *m, struct rig_node *n)
{
    struct sm_dev_endorsement e = {.not_before = RIG_WALL, .expires = {RIG_WALL.s + 86400}};
    *n = (struct rig_node){.suite = m->suite};
    sm_sign_pair_make(m->suite, &m->rng, &n->sign);
    sm_dh_pair_make(m->suite, &m->rng, &n->dh);
    sm_rng_bytes(&m->rng, n->platform.boot_id, sizeof n->platform.boot_id);
    sm_rng_bytes(&m->rng, e.platform_id, sizeof e.platform_id);
    memcpy(e.sign_key, n->sign.pub.b, 32);
    struct sm_wr w = sm_wr_init(n->rec.endorsement, sizeof n->rec.endorsement);
    T_OK(sm_dev_endorse(m->suite, &m->root, &m->anchor, &e, &w));
    n->rec.endorsement_n = (uint16_t)w.n;
    n->rec.head = (struct sm_record_head){.type = SM_RECORD_NODE,
                                          .network = m->anchor.network,
                                          .seq = 1,
                                          .not_before = RIG_WALL,
                                          .expires = {RIG_WALL.s + 3600}};
    sm_node_id_make(e.platform_id, 0, m->anchor.network, &n->rec.node_id);
    memcpy(n->rec.sign_key, n->sign.pub.b, 32);
    memcpy(n->rec.dh_key, n->dh.pub.b, 32);
    rig_node_publish(n);
}

static inline struct sm_tunnel_cfg rig_cfg(struct rig_mesh *m, struct rig_node *n,
                                           bool is_dialer)
{
    struct sm_tunnel_cfg cfg = {.suite = m->suite,
                                .anchor = &m->anchor,
                                .is_dialer = is_dialer,
                                .faster = SM_AESGCM,
                                .dh = &n->dh,
                                .record = n->record};
    sm_rng_bytes(&m->rng, cfg.seed, sizeof cfg.seed);
    return cfg;
}

static inline void rig_end_open(struct rig_end *e, struct rig_node *n,
                                const struct sm_tunnel_cfg *cfg, struct sm_mono now)
{
    *e = (struct rig_end){.node = n,
                          .wire = SM_BUF(16u << 20),
                          .last = SM_BUF(1u << 20),
                          .order = SM_BUF(1u << 20)};
    e->t = sm_tunnel_new(cfg);
    T_TRUE(e->t != NULL);
    sm_tunnel_open(e->t, now);
}

static inline void rig_end_free(struct rig_end *e)
{
    sm_tunnel_free(e->t);
    sm_buf_done(&e->wire);
    sm_buf_done(&e->last);
    sm_buf_done(&e->order);
    *e = (struct rig_end){0};
}

static inline void rig_evidence(const struct rig_node *n, struct sm_wall wall,
                                const struct sm_binding *b, struct sm_wr *w)
{
    uint8_t rd[SM_REPORT_DATA];
    if (n->collect_bound != NULL) {
        n->collect_bound(n->hw, b, w);
        return;
    }
    if (n->collect == NULL) {
        T_OK(sm_attest_collect_dev(n->suite, &n->sign, &n->platform, wall, b, w));
        return;
    }
    sm_binding_report_data(b, rd);
    n->collect(n->hw, rd, w);
}

/* What the keys process does with a request. */
static inline void rig_collect(const struct rig_node *n, struct sm_wall wall,
                               struct sm_view request, struct sm_wr *w)
{
    struct sm_sign_request req;
    T_OK(sm_sign_request_read(request, &req));
    T_EQ(req.kind, SM_SIGN_EVIDENCE);
    rig_evidence(n, wall, &req.binding, w);
}

static inline void rig_out(struct rig_end *e, const struct sm_tunnel_out *o, struct sm_mono now)
{
    uint8_t buf[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    uint8_t kind = (uint8_t)o->message;
    T_TRUE(!e->is_down);
    switch (o->kind) {
    case SM_TUNNEL_SEND:
        T_TRUE(o->bytes.n > 0);
        T_OK(sm_buf_add(&e->wire, o->bytes.p, o->bytes.n));
        e->sends++;
        e->unwritten += o->bytes.n;
        if (!e->holds_written) {
            sm_tunnel_written(e->t, e->unwritten);
            e->unwritten = 0;
        }
        break;
    case SM_TUNNEL_SIGN:
        rig_collect(e->node, rig_wall(now), o->bytes, &w);
        e->signs++;
        if (e->withholds) {
            break;
        }
        sm_tunnel_signed(e->t, now, o->token + 1, SM_OK, sm_view_str("not asked for"));
        sm_tunnel_signed(e->t, now, o->token, e->node->sign_err, sm_view_of(w.p, w.n));
        break;
    case SM_TUNNEL_UP:
        T_TRUE(!e->is_up);
        e->is_up = true;
        e->peer = o->peer->node_id;
        break;
    case SM_TUNNEL_MESSAGE:
        T_TRUE(e->is_up);
        e->messages[o->message]++;
        sm_buf_clear(&e->last);
        T_OK(sm_buf_add(&e->last, o->bytes.p, o->bytes.n));
        T_OK(sm_buf_add(&e->order, &kind, 1));
        break;
    case SM_TUNNEL_RTT:
    case SM_TUNNEL_VERDICT:
        e->rtts++;
        e->rtt = o->rtt;
        break;
    case SM_TUNNEL_DOWN:
        e->is_down = true;
        e->err = o->err;
        e->is_refused = o->refused != NULL;
        e->is_refused_by_peer = o->is_by_peer;
        if (o->refused != NULL) {
            e->refused = *o->refused;
        }
        (void)snprintf(e->reason, sizeof e->reason, "%s", o->reason);
        break;
    }
}

static inline void rig_drain(struct rig_end *e, struct sm_mono now)
{
    struct sm_tunnel_out o;
    while (sm_tunnel_next(e->t, now, &o)) {
        rig_out(e, &o, now);
    }
}

static inline void rig_give(struct rig_end *e, struct sm_mono now, const void *p, size_t n)
{
    uint8_t *copy = malloc(n + 1); /* its own block, so that a checker sees every slip */
    T_TRUE(copy != NULL);
    if (n > 0) {
        memcpy(copy, p, n);
    }
    sm_tunnel_input(e->t, now, rig_wall(now), copy, n);
    rig_drain(e, now);
    free(copy);
}

/* Carry what waits from one end to the other. */
static inline void rig_carry(struct rig_end *from, struct rig_end *to, struct sm_mono now)
{
    struct sm_buf wire = from->wire;
    from->wire = SM_BUF(wire.max);
    if (!to->is_down) {
        rig_give(to, now, wire.p, wire.n);
    }
    sm_buf_done(&wire);
}

static inline void rig_run(struct rig_end *a, struct rig_end *b, struct sm_mono now)
{
    rig_drain(a, now);
    rig_drain(b, now);
    while (a->wire.n + b->wire.n > 0) {
        rig_carry(a, b, now);
        rig_carry(b, a, now);
    }
}

/* -- a peer that follows the protocol as far as it likes ----------------------------------- */

/* Speaks to one end by hand. */
struct rogue {
    struct sm_handshake hand;
    struct sm_channel out, in;
    struct sm_binding own; /* of its own evidence */
    struct rig_node *node;
    struct sm_mono now;
    uint8_t stolen[SM_TFRAME_MAX]; /* the victim's EVIDENCE payload */
    size_t stolen_n;
};

static inline void rogue_shake(struct rogue *r, struct rig_mesh *m, struct rig_node *node,
                               struct rig_end *victim, bool is_dialer)
{
    *r = (struct rogue){.node = node, .now = RIG_T0};
    sm_handshake_init(&r->hand, m->suite, &m->anchor, is_dialer, SM_AESGCM, &node->dh, NULL,
                      NULL);
    uint8_t buf[SM_HANDSHAKE_OUT];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    if (is_dialer) {
        T_OK(sm_handshake_start(&r->hand, &m->rng, &w));
        rig_give(victim, RIG_T0, buf, w.n);
    } else {
        rig_drain(victim, RIG_T0);
    }
    while (!sm_handshake_is_done(&r->hand)) {
        size_t n = SM_HAND_HEAD + (size_t)victim->wire.p[8] + 256u * victim->wire.p[9];
        w = sm_wr_init(buf, sizeof buf);
        T_OK(sm_handshake_read(&r->hand, &m->rng, victim->wire.p,
                               sm_view_of(victim->wire.p + SM_HAND_HEAD, n - SM_HAND_HEAD),
                               &w));
        sm_buf_drop(&victim->wire, n);
        if (w.n > 0) {
            rig_give(victim, RIG_T0, buf, w.n);
        }
    }
    struct sm_dh_pub remote;
    struct sm_secret32 k_out, k_in;
    T_OK(sm_noise_remote(&r->hand.noise, &remote));
    r->own = (struct sm_binding){.role = is_dialer ? SM_ROLE_INITIATOR : SM_ROLE_RESPONDER,
                                 .lease_seq = 1};
    memcpy(r->own.h, sm_noise_hash(&r->hand.noise).p, 32);
    memcpy(r->own.pk_self, node->dh.pub.b, 32);
    memcpy(r->own.pk_peer, remote.b, 32);
    T_OK(sm_noise_split(&r->hand.noise, &k_out, &k_in));
    T_OK(sm_channel_init(&r->out, m->suite, SM_AESGCM, &k_out));
    T_OK(sm_channel_init(&r->in, m->suite, SM_AESGCM, &k_in));
}

static inline void rogue_done(struct rogue *r)
{
    sm_channel_done(&r->out);
    sm_channel_done(&r->in);
}

static inline void rogue_send(struct rogue *r, struct rig_end *victim, uint8_t type,
                              struct sm_view payload)
{
    static uint8_t buf[SM_TFRAME_MAX];
    sm_channel_compose(buf, type, payload);
    T_OK(sm_channel_seal(&r->out, buf));
    rig_give(victim, r->now, buf, sm_tframe_bytes(payload.n));
}

/* Open the next frame the victim sent. */
static inline uint8_t rogue_read(struct rogue *r, struct rig_end *victim,
                                 struct sm_view *payload)
{
    struct sm_tframe f;
    T_TRUE(victim->wire.n >= SM_TFRAME_HEAD);
    T_OK(sm_tframe_read(victim->wire.p, SM_TFRAME_PAYLOAD_MAX, &f));
    memcpy(r->stolen, victim->wire.p, SM_TFRAME_HEAD + f.n);
    sm_buf_drop(&victim->wire, SM_TFRAME_HEAD + f.n);
    T_OK(sm_channel_open(&r->in, &f, r->stolen, payload));
    return f.type;
}

/* Evidence over b in a frame that says seq. */
static inline void rogue_prove(struct rogue *r, struct rig_end *victim,
                               const struct sm_binding *b, uint64_t seq, struct sm_view record)
{
    uint8_t ev[SM_EVIDENCE_MAX], buf[SM_TFRAME_EVIDENCE_MAX];
    struct sm_wr e = sm_wr_init(ev, sizeof ev), w = sm_wr_init(buf, sizeof buf);
    rig_evidence(r->node, rig_wall(r->now), b, &e);
    sm_evidence_frame_write(&(struct sm_evidence_frame){seq, record, sm_view_of(ev, e.n)}, &w);
    rogue_send(r, victim, SM_TFRAME_EVIDENCE, sm_view_of(buf, w.n));
}

static inline void rogue_show(struct rogue *r, struct rig_end *victim,
                              const struct sm_binding *b, struct sm_view record)
{
    rogue_prove(r, victim, b, SM_LEASE_FIRST, record);
}
