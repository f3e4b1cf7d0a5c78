// SPDX-License-Identifier: Apache-2.0
#include "t.h"

#ifdef SM_DEV_ROOT
#include "tunnel_rig.h"

#define T0 RIG_T0

/* Two nodes and a tunnel between them; a dials. */
struct pair {
    struct rig_mesh m;
    struct rig_node na, nb;
    struct sm_tunnel_cfg ca, cb;
    struct rig_end a, b;
};

static struct pair *pair_make(const struct sm_suite *suite)
{
    struct pair *p = calloc(1, sizeof *p);
    T_TRUE(p != NULL);
    rig_mesh_make(&p->m, suite, t_seed());
    rig_node_make(&p->m, &p->na);
    rig_node_make(&p->m, &p->nb);
    p->ca = rig_cfg(&p->m, &p->na, true);
    p->cb = rig_cfg(&p->m, &p->nb, false);
    return p;
}

static void pair_open(struct pair *p)
{
    rig_end_open(&p->a, &p->na, &p->ca, T0);
    rig_end_open(&p->b, &p->nb, &p->cb, T0);
}

static void pair_close(struct pair *p)
{
    rig_end_free(&p->a);
    rig_end_free(&p->b);
}

static void pair_free(struct pair *p)
{
    pair_close(p);
    free(p);
}

static struct pair *pair_up(const struct sm_suite *suite)
{
    struct pair *p = pair_make(suite);
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(p->a.is_up && p->b.is_up);
    return p;
}

static void expect_up(struct pair *p)
{
    T_TRUE(!p->a.is_down && !p->b.is_down);
    T_TRUE(p->a.is_up && p->b.is_up);
    T_TRUE(sm_node_id_eq(&p->a.peer, &p->nb.rec.node_id));
    T_TRUE(sm_node_id_eq(&p->b.peer, &p->na.rec.node_id));
    T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("from a")));
    T_OK(sm_tunnel_send(p->b.t, SM_TUNNEL_CONTROL, sm_view_str("from b, a little longer")));
    rig_run(&p->a, &p->b, T0);
    T_MEM(p->b.last.p, p->b.last.n, "from a", 6);
    T_MEM(p->a.last.p, p->a.last.n, "from b, a little longer", 23);
}

static const struct sm_suite *suite_at(int i)
{
    return i == 0 ? sm_suite_real() : sm_suite_sim();
}

/* -- coming up ------------------------------------------------------------------------------
 */

static void strangers_meet_by_xx_and_friends_by_ik(void)
{
    for (int i = 0; i < 4; i++) {
        struct pair *p = pair_make(suite_at(i / 2));
        p->ca.peer = i % 2 == 0 ? NULL : &p->nb.dh.pub;
        pair_open(p);
        rig_run(&p->a, &p->b, T0);
        expect_up(p);
        pair_free(p);
    }
}

static void the_cipher_is_aes_only_when_it_is_faster_for_both(void)
{
    for (int i = 0; i < 8; i++) {
        struct pair *p = pair_make(suite_at(i % 2));
        p->ca.faster = (i & 2) != 0 ? SM_AESGCM : SM_CHACHAPOLY;
        p->cb.faster = (i & 4) != 0 ? SM_AESGCM : SM_CHACHAPOLY;
        pair_open(p);
        rig_run(&p->a, &p->b, T0);
        expect_up(p);
        enum sm_aead_kind want = (i & 6) == 6 ? SM_AESGCM : SM_CHACHAPOLY;
        T_EQ(sm_tunnel_cipher(p->a.t), want);
        T_EQ(sm_tunnel_cipher(p->b.t), want);
        pair_free(p);
    }
}

static void a_dialer_with_an_old_key_falls_back_to_xx(void)
{
    for (int i = 0; i < 4; i++) {
        struct pair *p = pair_make(suite_at(i % 2));
        struct sm_dh_pair old;
        sm_dh_pair_make(p->m.suite, &p->m.rng, &old);
        p->ca.peer = &old.pub;
        p->cb.faster = i < 2 ? SM_AESGCM : SM_CHACHAPOLY; /* then two retries are needed */
        pair_open(p);
        rig_run(&p->a, &p->b, T0);
        expect_up(p);
        pair_free(p);
    }
}

static void streams_may_be_cut_anywhere(void)
{
    struct pair *p = pair_make(sm_suite_real());
    pair_open(p);
    uint8_t big[20000];
    sm_rng_bytes(&p->m.rng, big, sizeof big);
    rig_drain(&p->a, T0);
    for (int round = 0; round < 40; round++) {
        struct rig_end *from = round % 2 == 0 ? &p->a : &p->b;
        struct rig_end *to = round % 2 == 0 ? &p->b : &p->a;
        if (round == 10) {
            T_TRUE(p->a.is_up && p->b.is_up);
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(big, sizeof big)));
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(big, 1)));
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(big, sizeof big)));
            rig_drain(&p->a, T0);
        }
        struct sm_buf wire = from->wire;
        from->wire = SM_BUF(wire.max);
        for (size_t at = 0; at < wire.n;) {
            size_t n = 1 + sm_rng_below(&p->m.rng, round < 10 ? 2 : 5000);
            n = n < wire.n - at ? n : wire.n - at;
            rig_give(to, T0, wire.p + at, n);
            at += n;
        }
        sm_buf_done(&wire);
    }
    T_EQ(p->b.messages[SM_TUNNEL_PACKET], 3);
    T_MEM(p->b.last.p, p->b.last.n, big, sizeof big);
    pair_free(p);
}

static void messages_of_every_length_arrive_whole(void)
{
    struct pair *p = pair_up(sm_suite_sim());
    static uint8_t big[SM_TFRAME_PAYLOAD_MAX + 1];
    sm_rng_bytes(&p->m.rng, big, sizeof big);
    for (size_t n = 0; n <= 70; n++) {
        T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(big, n)));
        rig_run(&p->a, &p->b, T0);
        T_MEM(p->b.last.p, p->b.last.n, big, n);
    }
    T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(big, SM_TFRAME_PAYLOAD_MAX)));
    rig_run(&p->a, &p->b, T0);
    T_MEM(p->b.last.p, p->b.last.n, big, SM_TFRAME_PAYLOAD_MAX);
    T_ERR(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(big, sizeof big)), SM_E_LIMIT);
    T_EQ(p->b.messages[SM_TUNNEL_PACKET], 72);
    pair_free(p);
}

/* Sealed from where they lie, or composed behind what waits: the peer sees no difference. */
static void messages_in_two_parts_of_every_length_arrive_whole(void)
{
    struct pair *p = pair_up(sm_suite_real());
    uint8_t text[48];
    sm_rng_bytes(&p->m.rng, text, sizeof text);
    for (size_t n = 0; n <= sizeof text; n++) {
        for (size_t cut = 0; cut <= n; cut++) {
            struct sm_view a = {text, cut}, b = {text + cut, n - cut};
            bool is_first = sm_tunnel_room(p->a.t) > 0;
            T_TRUE(is_first);
            T_OK(sm_tunnel_send2(p->a.t, SM_TUNNEL_PACKET, a, b));
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_CONTROL, sm_view_str("between")));
            T_EQ(sm_tunnel_room(p->a.t), 0);
            T_OK(sm_tunnel_send2(p->a.t, SM_TUNNEL_PACKET, a, b));
            rig_run(&p->a, &p->b, T0);
            T_MEM(p->b.last.p, p->b.last.n, text, n);
            const uint8_t *order = p->b.order.p + p->b.order.n - 3;
            T_EQ(order[0], SM_TUNNEL_PACKET);
            T_EQ(order[1], SM_TUNNEL_CONTROL);
            T_EQ(order[2], SM_TUNNEL_PACKET);
        }
    }
    pair_free(p);
}

static void what_was_sealed_goes_before_the_last_words(void)
{
    struct pair *p = pair_up(sm_suite_real());
    T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("sealed")));
    T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_CONTROL, sm_view_str("composed")));
    sm_tunnel_close(p->a.t, SM_E_CANCELLED, "going home");
    rig_run(&p->a, &p->b, T0);
    T_EQ(p->b.messages[SM_TUNNEL_PACKET], 1);
    T_EQ(p->b.messages[SM_TUNNEL_CONTROL], 0);
    T_ERR(p->b.err, SM_E_CLOSED);
    T_TRUE(strstr(p->b.reason, "going home") != NULL);
    pair_free(p);
}

static void a_closed_tunnel_says_why(void)
{
    struct pair *p = pair_up(sm_suite_real());
    sm_tunnel_close(p->a.t, SM_E_CANCELLED, "going home");
    rig_run(&p->a, &p->b, T0);
    T_TRUE(p->a.is_down && p->b.is_down);
    T_EQ(p->a.err, SM_E_CANCELLED);
    T_EQ(p->b.err, SM_E_CLOSED);
    T_TRUE(strstr(p->b.reason, "going home") != NULL);
    T_ERR(sm_tunnel_send(p->b.t, SM_TUNNEL_PACKET, sm_view_str("late")), SM_E_STATE);
    T_EQ(sm_tunnel_deadline(p->a.t).ns, SM_NEVER.ns);
    pair_free(p);
}

/* -- who may not come up --------------------------------------------------------------------
 */

static void expect_refused(struct pair *p, enum sm_err at_a, enum sm_err at_b, const char *why)
{
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(!p->a.is_up && !p->b.is_up);
    if (p->a.is_down) {
        T_ERR(p->a.err, at_a);
    }
    T_TRUE(p->b.is_down);
    T_ERR(p->b.err, at_b);
    T_TRUE(strstr(p->a.reason, why) != NULL || strstr(p->b.reason, why) != NULL);
    pair_free(p);
}

static void a_node_of_another_root_is_refused(void)
{
    struct pair *p = pair_make(sm_suite_real());
    struct rig_mesh other;
    rig_mesh_make(&other, p->m.suite, t_seed() + 1);
    struct sm_anchor ours = p->m.anchor;
    other.anchor = ours; /* the same mesh by name, but endorsed by a key nobody pinned */
    rig_node_make(&other, &p->na);
    p->ca = rig_cfg(&p->m, &p->na, true);
    expect_refused(p, SM_E_REFUSED, SM_E_CRYPTO, "NODE record was refused");
}

static void an_expired_record_is_refused(void)
{
    struct pair *p = pair_make(sm_suite_real());
    p->nb.rec.head.not_before.s = RIG_WALL.s - 7200;
    p->nb.rec.head.expires.s = RIG_WALL.s - 3600;
    rig_node_publish(&p->nb);
    p->cb = rig_cfg(&p->m, &p->nb, false);
    expect_refused(p, SM_E_EXPIRED, SM_E_REFUSED, "expired");
}

static void production_and_development_do_not_finish_a_handshake(void)
{
    struct pair *p = pair_make(sm_suite_real());
    struct sm_anchor prod;
    T_OK(sm_anchor_make(SM_ENV_PROD, "rig", (const uint8_t(*)[32])p->m.root.pub.b, 1, &prod));
    p->cb.anchor = &prod;
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(p->a.is_down && !p->a.is_up && !p->b.is_up);
    T_ERR(p->a.err, SM_E_CRYPTO);
    pair_free(p);
}

static void production_refuses_a_development_peer_even_inside_its_channel(void)
{
    struct pair *p = pair_make(sm_suite_real());
    struct sm_anchor prod = p->m.anchor; /* mesh, network and root agree; the policy does not */
    T_OK(sm_anchor_make(SM_ENV_PROD, "rig", (const uint8_t(*)[32])p->m.root.pub.b, 1, &prod));
    memcpy(prod.mesh_id, p->m.anchor.mesh_id, 32);
    prod.network = p->m.anchor.network;
    struct sm_anchor lax = p->m.anchor; /* a dialer that lies about its environment */
    lax.env = SM_ENV_PROD;
    p->ca.anchor = &lax;
    p->cb.anchor = &prod;
    expect_refused(p, SM_E_REFUSED, SM_E_REFUSED, "refused by policy");
}

static void the_dialer_insists_on_the_node_it_wanted(void)
{
    struct pair *p = pair_make(sm_suite_real());
    p->ca.want = &p->na.rec.node_id;
    expect_refused(p, SM_E_AUTH, SM_E_REFUSED, "another node than the one dialled");
}

static void a_node_does_not_talk_to_itself(void)
{
    struct pair *p = pair_make(sm_suite_real());
    p->cb = rig_cfg(&p->m, &p->na, false);
    p->nb = p->na;
    expect_refused(p, SM_E_AUTH, SM_E_AUTH, "ourselves");
}

static void evidence_of_a_changed_program_is_refused(void)
{
    struct pair *p = pair_make(sm_suite_real());
    p->na.platform.measurement[0] ^= 1;
    expect_refused(p, SM_E_REFUSED, SM_E_REFUSED, "measurement");
}

/* Whoever is at either end is told field, got, wanted, and so what would mend it. */
static void both_ends_know_why_one_was_refused(void)
{
    for (int dialer = 0; dialer < 2; dialer++) {
        struct pair *p = pair_make(sm_suite_real());
        struct rig_node *changed = dialer != 0 ? &p->na : &p->nb;
        struct rig_end *refused = dialer != 0 ? &p->a : &p->b;
        struct rig_end *refuser = dialer != 0 ? &p->b : &p->a;
        changed->platform.measurement[0] ^= 1;
        pair_open(p);
        rig_run(&p->a, &p->b, T0);
        T_TRUE(p->a.is_down && p->b.is_down);
        T_TRUE(refuser->is_refused && !refuser->is_refused_by_peer);
        T_TRUE(refused->is_refused && refused->is_refused_by_peer);
        T_EQ(refuser->refused.n, refused->refused.n);
        T_EQ(refused->refused.r[0].code, SM_REASON_MEASUREMENT);
        T_TRUE(memcmp(refuser->refused.r, refused->refused.r,
                      refused->refused.n * sizeof refused->refused.r[0]) == 0);
        pair_free(p);
    }
}

static void a_record_that_is_refused_has_a_reason_too(void)
{
    struct pair *p = pair_make(sm_suite_real());
    p->na.rec.head.not_before.s = RIG_WALL.s - 7200;
    p->na.rec.head.expires.s = RIG_WALL.s - 3600;
    rig_node_publish(&p->na);
    p->ca.record = p->na.record;
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(p->a.is_refused_by_peer && p->b.is_refused && !p->b.is_refused_by_peer);
    T_EQ(p->a.refused.r[0].code, SM_REASON_EXPIRED);
    T_STR(p->a.refused.r[0].field, "NODE record");
    pair_free(p);
}

static void a_keys_process_that_fails_ends_the_tunnel(void)
{
    struct pair *p = pair_make(sm_suite_sim());
    p->na.sign_err = SM_E_IO;
    expect_refused(p, SM_E_IO, SM_E_REFUSED, "no evidence of our own");
}

/* -- a peer that follows the protocol as far as it likes -------------------------------------
 */

static struct pair *rogue_dialer(struct rogue *r)
{
    struct pair *p = pair_make(sm_suite_real());
    pair_open(p);
    rogue_shake(r, &p->m, &p->na, &p->b, true);
    return p;
}

static void end_rogue(struct rogue *r, struct pair *p, const struct rig_end *victim,
                      const char *why)
{
    T_TRUE(victim->is_down && !victim->is_up);
    T_TRUE(strstr(victim->reason, why) != NULL);
    rogue_done(r);
    pair_free(p);
}

static void the_rogue_can_be_honest(void)
{
    struct rogue r;
    struct sm_view payload;
    const uint8_t one = 1;
    struct pair *p = rogue_dialer(&r);
    rogue_show(&r, &p->b, &r.own, p->na.record);
    T_EQ(rogue_read(&r, &p->b, &payload), SM_TFRAME_ACCEPT);
    T_EQ(rogue_read(&r, &p->b, &payload), SM_TFRAME_EVIDENCE);
    T_TRUE(!p->b.is_up);
    rogue_send(&r, &p->b, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
    T_TRUE(p->b.is_up);
    rogue_send(&r, &p->b, SM_TFRAME_PACKET, sm_view_str("hello"));
    T_EQ(p->b.messages[SM_TUNNEL_PACKET], 1);
    rogue_done(&r);
    pair_free(p);
}

static void a_scanner_sees_no_evidence(void)
{
    struct rogue r;
    struct pair *p = rogue_dialer(&r);
    T_EQ(p->b.wire.n, 0);
    rogue_done(&r);
    pair_free(p);
}

static void reflected_evidence_is_refused(void)
{
    struct rogue r;
    struct sm_view payload;
    const uint8_t one = 1;
    struct pair *p = pair_make(sm_suite_real());
    pair_open(p);
    rogue_shake(&r, &p->m, &p->nb, &p->a, false);
    T_EQ(rogue_read(&r, &p->a, &payload), SM_TFRAME_EVIDENCE);
    static uint8_t copy[SM_TFRAME_EVIDENCE_MAX];
    memcpy(copy, payload.p, payload.n);
    rogue_send(&r, &p->a, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
    rogue_send(&r, &p->a, SM_TFRAME_EVIDENCE, sm_view_of(copy, payload.n));
    end_rogue(&r, p, &p->a, "names another key");
}

/* A peer in the middle shows what an honest node gave it in another session. */
static void diverted_evidence_is_refused(void)
{
    struct rogue r;
    struct pair *p = rogue_dialer(&r);
    struct rig_node honest;
    rig_node_make(&p->m, &honest);
    rogue_show(&r, &p->b, &r.own, honest.record);
    end_rogue(&r, p, &p->b, "names another key");
}

static void evidence_of_another_session_role_or_lease_is_refused(void)
{
    for (int i = 0; i < 4; i++) {
        struct rogue r;
        struct pair *p = rogue_dialer(&r);
        struct sm_binding b = r.own;
        b.h[0] ^= i == 0;
        b.role = i == 1 ? SM_ROLE_RESPONDER : b.role;
        b.lease_seq = i == 2 ? 2 : b.lease_seq;
        b.pk_peer[3] ^= i == 3;
        rogue_show(&r, &p->b, &b, p->na.record);
        end_rogue(&r, p, &p->b, "report_data");
    }
}

static void nothing_is_taken_before_both_accepts(void)
{
    for (uint8_t type = SM_TFRAME_ACCEPT; type <= SM_TFRAME_CHALLENGE + 1; type++) {
        struct rogue r;
        struct pair *p = rogue_dialer(&r);
        T_ERR(sm_tunnel_send(p->b.t, SM_TUNNEL_PACKET, sm_view_str("x")), SM_E_STATE);
        rogue_send(&r, &p->b, type, sm_view_of("\x01", type == SM_TFRAME_CLOSE ? 2 : 1));
        end_rogue(&r, p, &p->b, type == SM_TFRAME_CLOSE ? "refused us" : "out of turn");

        p = rogue_dialer(&r);
        rogue_show(&r, &p->b, &r.own, p->na.record);
        if (type != SM_TFRAME_ACCEPT) {
            rogue_send(&r, &p->b, type, sm_view_of("\x01", type == SM_TFRAME_CLOSE ? 2 : 1));
            end_rogue(&r, p, &p->b, type == SM_TFRAME_CLOSE ? "refused us" : "out of turn");
        } else {
            rogue_done(&r);
            pair_free(p);
        }
    }
}

static void a_large_frame_before_the_proof_is_refused_by_its_head(void)
{
    struct rogue r;
    struct pair *p = rogue_dialer(&r);
    uint8_t head[SM_TFRAME_HEAD];
    sm_tframe_write(&(struct sm_tframe){.n = SM_TFRAME_EVIDENCE_MAX + 16 + 16, .type = 1},
                    head);
    rig_give(&p->b, T0, head, sizeof head);
    end_rogue(&r, p, &p->b, "limit");
}

static void padding_that_is_not_zeros_is_refused(void)
{
    struct rogue r;
    uint8_t buf[64];
    const uint8_t one[16] = {1, [15] = 9};
    struct pair *p = rogue_dialer(&r);
    rogue_show(&r, &p->b, &r.own, p->na.record);
    sm_channel_compose(buf, SM_TFRAME_ACCEPT, sm_view_of(one, sizeof one));
    buf[5] = 15;
    T_OK(sm_channel_seal(&r.out, buf));
    rig_give(&p->b, T0, buf, 48);
    end_rogue(&r, p, &p->b, "grammar");
}

static void a_key_used_for_too_long_is_refused(void)
{
    struct rogue r;
    const uint8_t one = 1;
    struct pair *p = pair_make(sm_suite_real());
    p->cb.rekey_frames = 10;
    pair_open(p);
    rogue_shake(&r, &p->m, &p->na, &p->b, true);
    rogue_show(&r, &p->b, &r.own, p->na.record);
    rogue_send(&r, &p->b, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
    for (int i = 0; i < 18; i++) {
        rogue_send(&r, &p->b, SM_TFRAME_PACKET, sm_view_str("x"));
        T_TRUE(!p->b.is_down);
    }
    rogue_send(&r, &p->b, SM_TFRAME_PACKET, sm_view_str("x"));
    T_TRUE(p->b.is_down);
    T_ERR(p->b.err, SM_E_LIMIT);
    rogue_done(&r);
    pair_free(p);
}

/* -- an adversary on the wire -----------------------------------------------------------------
 */

/* Everything a sends until it is up, for cutting and changing. */
static void truncation_at_every_byte_never_comes_up(void)
{
    for (size_t cut = 0;; cut++) {
        struct pair *p = pair_make(sm_suite_sim());
        size_t left = cut;
        pair_open(p);
        rig_drain(&p->a, T0);
        while (p->a.wire.n > 0 && left > 0) {
            size_t n = p->a.wire.n < left ? p->a.wire.n : left;
            rig_give(&p->b, T0, p->a.wire.p, n);
            sm_buf_drop(&p->a.wire, n);
            left -= n;
            rig_carry(&p->b, &p->a, T0);
        }
        bool is_whole = p->b.is_up;
        T_TRUE(!p->b.is_down);
        T_TRUE(!is_whole || p->a.wire.n == 0);
        if (!is_whole) {
            struct sm_mono by = sm_tunnel_deadline(p->b.t);
            T_EQ(by.ns, sm_after(T0, SM_S(10)).ns);
            sm_tunnel_tick(p->b.t, by);
            rig_drain(&p->b, by);
            T_TRUE(p->b.is_down && !p->b.is_up);
            T_ERR(p->b.err, SM_E_TIMEOUT);
        }
        pair_free(p);
        if (is_whole) {
            T_TRUE(cut > 400);
            return;
        }
    }
}

/* Run to the end, flipping one bit of what `dir` sends at byte `at`.  False when the stream is
 * shorter than that. */
static bool run_flipped(struct pair *p, int dir, size_t at, unsigned bit)
{
    size_t done[2] = {0};
    bool is_flipped = false;
    pair_open(p);
    rig_drain(&p->a, T0);
    while (p->a.wire.n + p->b.wire.n > 0) {
        for (int i = 0; i < 2; i++) {
            struct rig_end *from = i == 0 ? &p->a : &p->b, *to = i == 0 ? &p->b : &p->a;
            if (i == dir && at >= done[i] && at < done[i] + from->wire.n) {
                from->wire.p[at - done[i]] ^= (uint8_t)(1u << bit);
                is_flipped = true;
            }
            done[i] += from->wire.n;
            rig_carry(from, to, T0);
        }
    }
    return is_flipped;
}

static void no_flipped_bit_of_the_handshake_survives(void)
{
    struct sm_rng rng;
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "flips");
    for (int mode = 0; mode < 4; mode++) {
        int dir = mode % 2;
        for (size_t at = 0;; at++) {
            struct pair *p = pair_make(sm_suite_sim());
            p->ca.peer = mode < 2 ? NULL : &p->nb.dh.pub;
            bool is_flipped = run_flipped(p, dir, at, (unsigned)sm_rng_below(&rng, 8));
            struct rig_end *hearer = dir == 0 ? &p->b : &p->a;
            /* An IK message that does not open leads to XX, which nobody has touched. */
            bool is_retried =
                mode == 2 && at >= SM_HAND_HEAD && at < SM_HAND_HEAD + 96 && hearer->is_up;
            T_TRUE(!is_flipped || !hearer->is_up || is_retried);
            pair_free(p);
            if (!is_flipped) {
                T_TRUE(at > 400);
                break;
            }
        }
    }
}

static void no_flipped_bit_of_a_frame_survives(void)
{
    static const char text[] = "a packet of some bytes";
    for (int i = 0; i < 2; i++) {
        size_t n = sm_tframe_bytes(sizeof text);
        for (size_t bit = 0; bit < n * 8; bit += i == 0 ? 5 : 1) {
            struct pair *p = pair_up(suite_at(i));
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(text, sizeof text)));
            sm_buf_clear(&p->a.wire);
            rig_drain(&p->a, T0);
            T_TRUE(p->a.wire.n >= n);
            size_t last = p->a.wire.n - n; /* before it: the first ping */
            p->a.wire.p[last + bit / 8] ^= (uint8_t)(1u << bit % 8);
            rig_carry(&p->a, &p->b, T0);
            T_EQ(p->b.messages[SM_TUNNEL_PACKET], 0);
            /* A longer length waits for bytes that never come; everything else is seen. */
            T_TRUE(p->b.is_down || bit < 32);
            pair_free(p);
        }
    }
}

static void frames_twice_or_out_of_order_are_refused(void)
{
    for (int i = 0; i < 2; i++) {
        struct pair *p = pair_up(sm_suite_real());
        size_t n = sm_tframe_bytes(3);
        T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("one")));
        T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("two")));
        rig_drain(&p->a, T0);
        T_EQ(p->a.wire.n, 2 * n);
        uint8_t both[128];
        memcpy(both, p->a.wire.p, 2 * n);
        if (i == 0) {
            rig_give(&p->b, T0, both, n);
            rig_give(&p->b, T0, both, n);
        } else {
            rig_give(&p->b, T0, both + n, n);
        }
        T_TRUE(p->b.is_down);
        T_ERR(p->b.err, SM_E_REPLAY);
        T_EQ(p->b.messages[SM_TUNNEL_PACKET], i == 0 ? 1 : 0);
        pair_free(p);
    }
}

static void a_replayed_dialer_gets_nowhere(void)
{
    struct pair *p = pair_make(sm_suite_real());
    struct sm_buf all = SM_BUF(1u << 20);
    p->ca.peer = &p->nb.dh.pub;
    pair_open(p);
    rig_drain(&p->a, T0);
    while (p->a.wire.n > 0) {
        T_OK(sm_buf_add(&all, p->a.wire.p, p->a.wire.n));
        rig_carry(&p->a, &p->b, T0);
        rig_carry(&p->b, &p->a, T0);
    }
    T_TRUE(p->b.is_up);
    rig_end_free(&p->b);
    sm_rng_bytes(&p->m.rng, p->cb.seed, sizeof p->cb.seed);
    rig_end_open(&p->b, &p->nb, &p->cb, T0);
    rig_give(&p->b, T0, all.p, all.n);
    T_TRUE(p->b.is_down && !p->b.is_up);
    sm_buf_done(&all);
    pair_free(p);
}

static void nobody_in_between_can_choose_the_cipher(void)
{
    /* Make the dialer's words say that ChaCha20 is faster for it. */
    struct pair *p = pair_make(sm_suite_real());
    pair_open(p);
    rig_drain(&p->a, T0);
    p->a.wire.p[5] = SM_CHACHAPOLY;
    p->a.wire.p[6] = SM_CHACHAPOLY;
    rig_run(&p->a, &p->b, T0);
    T_TRUE(!p->a.is_up && !p->b.is_up && p->a.is_down);
    pair_close(p);
    /* Tell the dialer to try again, as a responder would. */
    pair_open(p);
    rig_drain(&p->a, T0);
    sm_buf_clear(&p->a.wire);
    uint8_t retry[SM_HAND_HEAD];
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_RETRY,
                                    .pattern = SM_HAND_XX,
                                    .cipher = SM_CHACHAPOLY,
                                    .faster = SM_CHACHAPOLY},
                  retry);
    rig_give(&p->a, T0, retry, sizeof retry);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(!p->a.is_up && !p->b.is_up);
    pair_free(p);
}

static void garbage_ends_within_the_limits(void)
{
    struct pair *p = pair_make(sm_suite_sim());
    for (int i = 0; i < 400; i++) {
        uint8_t junk[512];
        sm_rng_bytes(&p->m.rng, junk, sizeof junk);
        static const uint8_t magic[] = {'S', 'M', 1, SM_HAND_HELLO, SM_HAND_XX, 2, 2, 0};
        memcpy(junk, magic, (size_t)(i % 9)); /* let some of it get further */
        pair_open(p);
        rig_drain(&p->a, T0);
        struct rig_end *e = i % 2 == 0 ? &p->a : &p->b;
        for (int k = 0; k < 8 && !e->is_down; k++) {
            rig_give(e, T0, junk, sizeof junk);
        }
        T_TRUE(e->is_down && !e->is_up);
        pair_close(p);
    }
    pair_free(p);
}

static void another_version_is_told_so(void)
{
    struct pair *p = pair_make(sm_suite_real());
    pair_open(p);
    rig_drain(&p->a, T0);
    p->a.wire.p[2] = 2;
    rig_run(&p->a, &p->b, T0);
    T_ERR(p->b.err, SM_E_VERSION);
    T_ERR(p->a.err, SM_E_REFUSED);
    T_TRUE(strstr(p->a.reason, "version") != NULL);
    pair_free(p);
}

/* -- time -------------------------------------------------------------------------------------
 */

/* Let both ends live until `end`, a message each way at every step. */
static void live(struct pair *p, struct sm_mono *now, struct sm_mono end, bool is_talking)
{
    while (now->ns < end.ns && !p->a.is_down && !p->b.is_down) {
        if (is_talking) {
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("tick")));
            T_OK(sm_tunnel_send(p->b.t, SM_TUNNEL_PACKET, sm_view_str("tock")));
        }
        struct sm_mono next =
            sm_earlier(sm_tunnel_deadline(p->a.t), sm_tunnel_deadline(p->b.t));
        T_TRUE(next.ns > now->ns || now->ns == T0.ns); /* no deadline stays in the past */
        *now = sm_earlier(next, end);
        sm_tunnel_tick(p->a.t, *now);
        sm_tunnel_tick(p->b.t, *now);
        rig_run(&p->a, &p->b, *now);
    }
}

static void an_idle_tunnel_lives_and_changes_its_keys(void)
{
    struct pair *p = pair_up(sm_suite_real());
    struct sm_mono now = T0;
    live(p, &now, sm_after(T0, SM_S(1000)), false);
    T_TRUE(!p->a.is_down && !p->b.is_down);
    T_TRUE(p->a.rtts >= 495 && p->a.rtts <= 505);
    expect_up(p);
    pair_free(p);
}

static void keys_change_by_count_in_the_middle_of_a_stream(void)
{
    for (int i = 0; i < 4; i++) {
        struct pair *p = pair_make(suite_at(i % 2));
        p->ca.rekey_frames = p->cb.rekey_frames = i < 2 ? 7 : 0;
        p->ca.rekey_bytes = p->cb.rekey_bytes = i < 2 ? 0 : 2000;
        pair_open(p);
        rig_run(&p->a, &p->b, T0);
        T_TRUE(p->a.is_up && p->b.is_up);
        uint8_t msg[300];
        for (unsigned n = 0; n < 100; n++) {
            memset(msg, (int)n, sizeof msg);
            T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(msg, sizeof msg)));
            T_OK(sm_tunnel_send(p->b.t, SM_TUNNEL_CONTROL, sm_view_of(msg, sizeof msg)));
            if (n % 10 == 9) {
                rig_run(&p->a, &p->b, T0);
                T_MEM(p->b.last.p, p->b.last.n, msg, sizeof msg);
                T_MEM(p->a.last.p, p->a.last.n, msg, sizeof msg);
            }
        }
        T_EQ(p->b.messages[SM_TUNNEL_PACKET], 100);
        T_EQ(p->a.messages[SM_TUNNEL_CONTROL], 100);
        pair_free(p);
    }
}

static void a_peer_that_never_rekeys_is_dropped(void)
{
    struct pair *p = pair_make(sm_suite_sim());
    struct sm_mono now = T0;
    p->ca.rekey = SM_S(100000);
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    live(p, &now, sm_after(T0, SM_S(1000)), true);
    T_TRUE(p->b.is_down);
    T_ERR(p->b.err, SM_E_EXPIRED);
    T_EQ(now.ns, sm_after(T0, SM_S(360)).ns);
    pair_free(p);
}

static void a_silent_peer_is_dead_after_three_pings(void)
{
    struct pair *p = pair_up(sm_suite_real());
    struct sm_mono now = T0;
    live(p, &now, sm_after(T0, SM_S(7)), true);
    struct sm_mono since = now;
    while (!p->a.is_down) {
        now = sm_tunnel_deadline(p->a.t);
        sm_tunnel_tick(p->a.t, now);
        rig_drain(&p->a, now);
    }
    T_ERR(p->a.err, SM_E_TIMEOUT);
    T_TRUE(sm_between(since, now).ns >= SM_S(3).ns && sm_between(since, now).ns <= SM_S(6).ns);
    pair_free(p);
}

static void the_round_trip_is_measured(void)
{
    struct pair *p = pair_up(sm_suite_real());
    struct sm_mono now = T0;
    sm_tunnel_tick(p->a.t, now);
    rig_drain(&p->a, now);
    now = sm_after(now, SM_MS(7));
    rig_carry(&p->a, &p->b, now);
    now = sm_after(now, SM_MS(5));
    rig_carry(&p->b, &p->a, now);
    T_EQ(p->a.rtts, 1);
    T_EQ(p->a.rtt.ns, SM_MS(12).ns);
    pair_free(p);
}

/* -- queues -----------------------------------------------------------------------------------
 */

static void queues_are_bounded_and_control_goes_first(void)
{
    struct pair *p = pair_make(sm_suite_sim());
    static uint8_t block[16384];
    p->ca.data_bytes = 100000;
    p->ca.carrier_bytes = 40000;
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    p->a.holds_written = true;
    unsigned taken = 0;
    enum sm_err e = SM_OK;
    for (int i = 0; i < 50 && e == SM_OK; i++) {
        e = sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_of(block, sizeof block));
        taken += e == SM_OK;
        rig_drain(&p->a, T0);
    }
    T_ERR(e, SM_E_BUSY);
    T_EQ(taken, 3 + 6); /* what the carrier holds, and what waits */
    T_TRUE(sm_tunnel_queued(p->a.t) <= 100000 + 40000 + 16416);
    T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_CONTROL, sm_view_str("urgent")));
    rig_drain(&p->a, T0);
    p->a.holds_written = false;
    sm_tunnel_written(p->a.t, p->a.unwritten);
    p->a.unwritten = 0;
    rig_run(&p->a, &p->b, T0);
    T_EQ(p->b.messages[SM_TUNNEL_PACKET], taken);
    T_EQ(p->b.order.p[3], SM_TUNNEL_CONTROL);
    T_EQ(sm_tunnel_queued(p->a.t), 0);
    pair_free(p);
}

static void a_carrier_that_takes_nothing_keeps_no_deadline_in_the_past(void)
{
    struct pair *p = pair_make(sm_suite_sim());
    p->ca.carrier_bytes = 1;
    pair_open(p);
    rig_run(&p->a, &p->b, T0);
    p->a.holds_written = true;
    struct sm_mono now = T0;
    while (!p->a.is_down) {
        struct sm_mono next = sm_tunnel_deadline(p->a.t);
        T_TRUE(next.ns > now.ns || now.ns == T0.ns);
        now = next;
        sm_tunnel_tick(p->a.t, now);
        rig_drain(&p->a, now);
    }
    T_ERR(p->a.err, SM_E_TIMEOUT);
    pair_free(p);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(strangers_meet_by_xx_and_friends_by_ik),
        T_CASE(the_cipher_is_aes_only_when_it_is_faster_for_both),
        T_CASE(a_dialer_with_an_old_key_falls_back_to_xx),
        T_CASE(streams_may_be_cut_anywhere),
        T_CASE(messages_of_every_length_arrive_whole),
        T_CASE(messages_in_two_parts_of_every_length_arrive_whole),
        T_CASE(what_was_sealed_goes_before_the_last_words),
        T_CASE(a_closed_tunnel_says_why),
        T_CASE(a_node_of_another_root_is_refused),
        T_CASE(an_expired_record_is_refused),
        T_CASE(production_and_development_do_not_finish_a_handshake),
        T_CASE(production_refuses_a_development_peer_even_inside_its_channel),
        T_CASE(the_dialer_insists_on_the_node_it_wanted),
        T_CASE(a_node_does_not_talk_to_itself),
        T_CASE(evidence_of_a_changed_program_is_refused),
        T_CASE(both_ends_know_why_one_was_refused),
        T_CASE(a_record_that_is_refused_has_a_reason_too),
        T_CASE(a_keys_process_that_fails_ends_the_tunnel),
        T_CASE(the_rogue_can_be_honest),
        T_CASE(a_scanner_sees_no_evidence),
        T_CASE(reflected_evidence_is_refused),
        T_CASE(diverted_evidence_is_refused),
        T_CASE(evidence_of_another_session_role_or_lease_is_refused),
        T_CASE(nothing_is_taken_before_both_accepts),
        T_CASE(a_large_frame_before_the_proof_is_refused_by_its_head),
        T_CASE(padding_that_is_not_zeros_is_refused),
        T_CASE(a_key_used_for_too_long_is_refused),
        T_CASE(truncation_at_every_byte_never_comes_up),
        T_CASE(no_flipped_bit_of_the_handshake_survives),
        T_CASE(no_flipped_bit_of_a_frame_survives),
        T_CASE(frames_twice_or_out_of_order_are_refused),
        T_CASE(a_replayed_dialer_gets_nowhere),
        T_CASE(nobody_in_between_can_choose_the_cipher),
        T_CASE(garbage_ends_within_the_limits),
        T_CASE(another_version_is_told_so),
        T_CASE(an_idle_tunnel_lives_and_changes_its_keys),
        T_CASE(keys_change_by_count_in_the_middle_of_a_stream),
        T_CASE(a_peer_that_never_rekeys_is_dropped),
        T_CASE(a_silent_peer_is_dead_after_three_pings),
        T_CASE(the_round_trip_is_measured),
        T_CASE(queues_are_bounded_and_control_goes_first),
        T_CASE(a_carrier_that_takes_nothing_keeps_no_deadline_in_the_past),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#else

static void tunnels_need_a_platform_root(void)
{
    t_skip("built without -Ddev_root=true: no node can prove itself here");
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {T_CASE(tunnels_need_a_platform_root)};
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#endif
