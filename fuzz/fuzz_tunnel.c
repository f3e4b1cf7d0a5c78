// SPDX-License-Identifier: Apache-2.0
/* A stranger's bytes into one end of a tunnel, over the stand-in suite.  The first byte says
 * what they are: the stream itself, into a responder, a dialer, or the door before a responder;
 * or frames that a peer who finished the handshake seals well (type, u16 length, payload),
 * before or after its proof, or when it was just asked to renew it.  Only a peer that proved
 * itself may ever make the tunnel come up, and nothing here renews a proof. */
#include "core/door.h"
#include "tunnel_rig.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum mode {
    STREAM_TO_RESPONDER,
    STREAM_TO_DIALER,
    FRAMES_UNPROVEN,
    FRAMES_PROVEN,
    FRAMES_ASKED,
    STREAM_TO_DOOR,
    MODES
};

/* Whether the door is busy, then what a stranger says in pieces. */
static void give_door(struct sm_view in)
{
    struct sm_door_cfg cfg = {.rate_per_s = 10};
    struct sm_door door;
    uint8_t bytes[SM_KNOCK_MAX];
    struct sm_knock k = {.in = bytes};
    uint8_t answer[64];
    enum sm_door_verdict v = SM_DOOR_WAIT;
    sm_door_init(&door, &cfg, RIG_T0);
    door.bits = in.n > 0 && in.p[0] % 2 != 0 ? 1 : 0;
    for (in = sm_view_sub(in, 1, in.n); in.n > 0 && v <= SM_DOOR_ASK;) {
        struct sm_wr w = sm_wr_init(answer, sizeof answer);
        size_t n = 1 + in.p[0] % 64u;
        v = sm_door_hear(&door, RIG_T0, 0, sm_view_str("x"), sm_view_sub(in, 0, n), &k, &w);
        assert(!w.full && k.n <= sizeof bytes && (v != SM_DOOR_ASK || w.n > 0));
        assert(v != SM_DOOR_OPEN || k.n - k.hello_at >= SM_HAND_HEAD);
        in = sm_view_sub(in, n, in.n);
    }
}

/* Let time pass until the end asks for a new proof. */
static void until_asked(struct rig_end *e)
{
    struct sm_mono at = RIG_T0;
    while (sm_is_due(at, sm_after(RIG_T0, SM_MS(700)))) {
        sm_tunnel_tick(e->t, at);
        rig_drain(e, at);
        at = sm_tunnel_deadline(e->t);
    }
    assert(!e->is_down);
}

static void give_stream(struct rig_end *e, struct sm_view in)
{
    rig_drain(e, RIG_T0);
    while (in.n > 0 && !e->is_down) {
        size_t n = 1 + in.p[0] % 64u;
        rig_give(e, RIG_T0, in.p, n < in.n ? n : in.n);
        in = sm_view_sub(in, n, in.n);
    }
}

static void give_frames(struct rogue *r, struct rig_end *e, struct sm_view in)
{
    struct sm_rd rd = sm_rd_init(in);
    while (!e->is_down && rd.left.n > 0 && !rd.failed) {
        uint8_t type = sm_rd_u8(&rd);
        uint16_t n = sm_rd_u16(&rd);
        struct sm_view payload = sm_rd_view(&rd, n < rd.left.n ? n : rd.left.n);
        rogue_send(r, e, type, payload);
        if (type == SM_TFRAME_REKEY && payload.n == 0 && !e->is_down) {
            enum sm_err err = sm_channel_rekey(&r->out);
            assert(err == SM_OK);
        }
    }
}

/* What an attached node would do whatever happens: send, close, let time pass. */
static void use(struct rig_end *e)
{
    if (!e->is_down) {
        enum sm_err err = sm_tunnel_send(e->t, SM_TUNNEL_PACKET, sm_view_str("packet"));
        assert((err == SM_OK) == e->is_up);
        rig_drain(e, RIG_T0);
    }
    for (int i = 0; i < 5000 && !e->is_down; i++) { /* a puzzle takes many steps */
        struct sm_mono at = sm_tunnel_deadline(e->t);
        assert(at.ns != SM_NEVER.ns);
        sm_tunnel_tick(e->t, at);
        rig_drain(e, at);
    }
    assert(e->is_down);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) {
        return 0;
    }
    static struct rig_mesh m;
    static struct rig_node self, peer;
    static struct rogue r;
    struct rig_end e;
    enum mode mode = (enum mode)(data[0] % MODES);
    struct sm_view in = sm_view_of(data + 1, n - 1);
    if (mode == STREAM_TO_DOOR) {
        give_door(in);
        return 0;
    }
    rig_mesh_make(&m, sm_suite_sim(), 1);
    rig_node_make(&m, &self);
    rig_node_make(&m, &peer);
    struct sm_tunnel_cfg cfg = rig_cfg(&m, &self, mode == STREAM_TO_DIALER);
    cfg.lease = mode == FRAMES_ASKED ? SM_S(1) : SM_S(3600);
    rig_end_open(&e, &self, &cfg, RIG_T0);
    if (mode == STREAM_TO_RESPONDER || mode == STREAM_TO_DIALER) {
        give_stream(&e, in);
        assert(!e.is_up);
    } else {
        rogue_shake(&r, &m, &peer, &e, true);
        if (mode >= FRAMES_PROVEN) {
            const uint8_t one = 1;
            rogue_show(&r, &e, &r.own, peer.record);
            rogue_send(&r, &e, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
            assert(e.is_up);
        }
        if (mode == FRAMES_ASKED) {
            until_asked(&e);
        }
        give_frames(&r, &e, in);
        assert(mode >= FRAMES_PROVEN || !e.is_up);
        assert(sm_tunnel_lease(e.t).seq <= SM_LEASE_FIRST);
        rogue_done(&r);
    }
    use(&e);
    rig_end_free(&e);
    return 0;
}
