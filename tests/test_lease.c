// SPDX-License-Identifier: Apache-2.0
/* Leases: proofs that end, are renewed in place, and what a peer may try instead. */
#include "t.h"

#ifdef SM_DEV_ROOT
#include "tunnel_rig.h"

#define T0 RIG_T0

struct pair {
    struct rig_mesh m;
    struct rig_node na, nb;
    struct rig_end a, b;
};

static struct pair *pair_make(const struct sm_suite *suite, struct sm_dur lease)
{
    struct pair *p = calloc(1, sizeof *p);
    T_TRUE(p != NULL);
    rig_mesh_make(&p->m, suite, t_seed());
    rig_node_make(&p->m, &p->na);
    rig_node_make(&p->m, &p->nb);
    struct sm_tunnel_cfg ca = rig_cfg(&p->m, &p->na, true), cb = rig_cfg(&p->m, &p->nb, false);
    ca.lease = cb.lease = lease;
    rig_end_open(&p->a, &p->na, &ca, T0);
    rig_end_open(&p->b, &p->nb, &cb, T0);
    return p;
}

static struct pair *pair_up(struct sm_dur lease)
{
    struct pair *p = pair_make(sm_suite_sim(), lease);
    rig_run(&p->a, &p->b, T0);
    T_TRUE(p->a.is_up && p->b.is_up);
    return p;
}

static void pair_free(struct pair *p)
{
    rig_end_free(&p->a);
    rig_end_free(&p->b);
    free(p);
}

/* Let both ends live until `end`, or until one is down. */
static void live(struct pair *p, struct sm_mono *now, struct sm_mono end)
{
    while (now->ns < end.ns && !p->a.is_down && !p->b.is_down) {
        struct sm_mono next =
            sm_earlier(sm_tunnel_deadline(p->a.t), sm_tunnel_deadline(p->b.t));
        T_TRUE(next.ns > now->ns || now->ns == T0.ns); /* no deadline stays in the past */
        *now = sm_earlier(next, end);
        sm_tunnel_tick(p->a.t, *now);
        sm_tunnel_tick(p->b.t, *now);
        rig_run(&p->a, &p->b, *now);
    }
}

/* A node's next record, good for an hour from now. */
static void renew(struct rig_node *n, struct sm_mono now)
{
    n->rec.head.seq++;
    n->rec.head.not_before = rig_wall(now);
    n->rec.head.expires.s = n->rec.head.not_before.s + 3600;
    rig_node_publish(n);
}

static bool has(const struct rig_end *e, const char *words)
{
    return strstr(e->reason, words) != NULL;
}

/* -- two honest nodes -------------------------------------------------------------------- */

static void leases_are_renewed_in_place_by_both_ends(void)
{
    struct pair *p = pair_up(SM_S(3600));
    struct sm_mono now = T0;
    for (unsigned i = 0; i < 12; i++) { /* four hours */
        live(p, &now, sm_after(now, SM_S(1200)));
        T_TRUE(!p->a.is_down && !p->b.is_down);
        renew(&p->na, now);
        renew(&p->nb, now);
        sm_tunnel_record(p->a.t, p->na.record);
        sm_tunnel_record(p->b.t, p->nb.record);
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct rig_end *e = i == 0 ? &p->a : &p->b;
        struct sm_tunnel_lease l = sm_tunnel_lease(e->t);
        T_TRUE(l.seq >= 6 && l.seq <= 12);
        T_TRUE(e->signs >= 6 && e->signs <= 12);
        T_TRUE(sm_between(now, l.end).ns > SM_S(600).ns);
    }
    pair_free(p);
}

static void a_record_that_is_not_renewed_ends_the_tunnel(void)
{
    struct pair *p = pair_up(SM_S(7200));
    struct sm_mono now = T0;
    live(p, &now, sm_after(T0, SM_S(3600)));
    T_TRUE(!p->a.is_down && !p->b.is_down);
    live(p, &now, sm_after(T0, SM_S(7200)));
    T_TRUE(p->a.is_down && p->b.is_down);
    T_EQ(now.ns, sm_after(T0, SM_S(3600 + SM_RECORD_SKEW_S)).ns);
    T_ERR(p->a.err, SM_E_EXPIRED);
    T_TRUE(has(&p->a, "NODE record has expired"));
    pair_free(p);
}

static void a_record_renewed_by_flooding_counts(void)
{
    struct pair *p = pair_up(SM_S(7200));
    struct sm_mono now = T0;
    live(p, &now, sm_after(T0, SM_S(1800)));
    renew(&p->na, now);
    renew(&p->nb, now);
    sm_tunnel_record(p->a.t, p->na.record);
    sm_tunnel_record(p->b.t, p->nb.record);
    struct sm_mono before = sm_tunnel_lease(p->a.t).end;
    sm_tunnel_peer_record(p->a.t, now, rig_wall(now), &p->nb.rec);
    sm_tunnel_peer_record(p->b.t, now, rig_wall(now), &p->na.rec);
    T_EQ(sm_tunnel_lease(p->a.t).end.ns, sm_after(before, SM_S(1800)).ns);
    T_EQ(sm_tunnel_lease(p->a.t).seq, 1); /* a record is no proof */
    p->nb.rec.head.seq -= 1;
    p->nb.rec.head.expires.s += 86400;
    sm_tunnel_peer_record(p->a.t, now, rig_wall(now), &p->nb.rec); /* older: no news */
    T_EQ(sm_tunnel_lease(p->a.t).end.ns, sm_after(before, SM_S(1800)).ns);
    live(p, &now, sm_after(T0, SM_S(4000)));
    T_TRUE(!p->a.is_down && !p->b.is_down);
    pair_free(p);
}

static void a_peer_with_a_new_key_or_program_is_dropped(void)
{
    for (int i = 0; i < 3; i++) {
        struct pair *p = pair_up(SM_S(3600));
        struct sm_node_record rec = p->nb.rec;
        rec.head.seq++;
        uint8_t *field = i == 0 ? rec.dh_key : i == 1 ? rec.sign_key : rec.measurement;
        field[5] ^= 1;
        sm_tunnel_peer_record(p->a.t, T0, RIG_WALL, &rec);
        rig_run(&p->a, &p->b, T0);
        T_TRUE(p->a.is_down && p->b.is_down);
        T_ERR(p->a.err, SM_E_AUTH);
        T_TRUE(has(&p->a, i == 0 ? "new key" : "not what it has proven"));
        pair_free(p);
    }
}

static void a_peer_that_does_not_answer_loses_the_tunnel(void)
{
    struct pair *p = pair_up(SM_S(1800));
    struct sm_mono now = T0;
    p->a.withholds = true;
    live(p, &now, sm_after(T0, SM_S(3600)));
    T_TRUE(p->a.is_down && p->b.is_down);
    T_EQ(now.ns, sm_after(T0, SM_S(1800)).ns);
    T_ERR(p->b.err, SM_E_EXPIRED);
    T_TRUE(has(&p->b, "did not renew its proof: lease 1"));
    T_TRUE(p->a.signs > 20); /* its keys are asked again and again */
    T_EQ(p->b.signs, 2);     /* the other direction was renewed */
    pair_free(p);
}

static void keys_that_fail_for_a_while_are_asked_again(void)
{
    struct pair *p = pair_up(SM_S(1800));
    struct sm_mono now = T0;
    p->a.node->sign_err = SM_E_BUSY;
    live(p, &now, sm_after(T0, SM_S(1700)));
    T_TRUE(!p->a.is_down && !p->b.is_down);
    T_EQ(sm_tunnel_lease(p->b.t).seq, 1);
    p->a.node->sign_err = SM_OK;
    live(p, &now, sm_after(T0, SM_S(1900)));
    T_TRUE(!p->a.is_down && !p->b.is_down);
    T_EQ(sm_tunnel_lease(p->b.t).seq, 2);
    pair_free(p);
}

static void nothing_is_taken_after_the_end_however_late_the_tick(void)
{
    struct pair *p = pair_up(SM_S(1));
    T_OK(sm_tunnel_send(p->a.t, SM_TUNNEL_PACKET, sm_view_str("late")));
    rig_run(&p->a, &p->b, sm_after(T0, SM_S(1)));
    T_EQ(p->b.messages[SM_TUNNEL_PACKET], 0);
    T_TRUE(p->b.is_down);
    T_ERR(p->b.err, SM_E_EXPIRED);
    pair_free(p);
}

/* -- a peer that proved itself once, and then does as it likes ----------------------------- */

#define ROGUE_LEASE SM_MS(900) /* it answers no pings, and is to outlive none */

struct visit {
    struct pair *p;
    struct rogue r;
    struct sm_challenge_frame asked; /* the victim's challenge */
};

static void visit_begin(struct visit *v, const struct sm_suite *suite)
{
    const uint8_t one = 1;
    *v = (struct visit){.p = pair_make(suite, ROGUE_LEASE)};
    rogue_shake(&v->r, &v->p->m, &v->p->na, &v->p->b, true);
    rogue_show(&v->r, &v->p->b, &v->r.own, v->p->na.record);
    rogue_send(&v->r, &v->p->b, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
    T_TRUE(v->p->b.is_up);
}

static void visit_end(struct visit *v, enum sm_err err, const char *why)
{
    T_TRUE(v->p->b.is_down);
    T_ERR(v->p->b.err, err);
    T_TRUE(has(&v->p->b, why));
    rogue_done(&v->r);
    pair_free(v->p);
}

/* Wait for the victim's challenge, and make the binding that answers it. */
static struct sm_binding visit_asked(struct visit *v)
{
    struct rig_end *b = &v->p->b;
    struct sm_view payload;
    uint8_t type;
    struct sm_mono end = sm_tunnel_lease(b->t).end;
    do {
        v->r.now = sm_tunnel_deadline(b->t);
        T_TRUE(v->r.now.ns < end.ns);
        sm_tunnel_tick(b->t, v->r.now);
        rig_drain(b, v->r.now);
        type = 0;
        while (b->wire.n > 0 && type != SM_TFRAME_CHALLENGE) {
            type = rogue_read(&v->r, b, &payload);
        }
    } while (type != SM_TFRAME_CHALLENGE);
    T_OK(sm_challenge_frame_read(payload, &v->asked));
    struct sm_binding answer = v->r.own;
    answer.lease_seq = v->asked.lease_seq;
    answer.challenge = sm_view_of(v->asked.challenge, sizeof v->asked.challenge);
    return answer;
}

static void the_rogue_can_renew(void)
{
    struct visit v;
    visit_begin(&v, sm_suite_real());
    for (uint64_t seq = 2; seq < 5; seq++) {
        struct sm_binding a = visit_asked(&v);
        T_EQ(a.lease_seq, seq);
        rogue_prove(&v.r, &v.p->b, &a, seq, v.p->na.record);
        T_TRUE(!v.p->b.is_down);
        T_EQ(sm_tunnel_lease(v.p->b.t).seq, seq);
        T_EQ(sm_tunnel_lease(v.p->b.t).since.ns, v.r.now.ns);
    }
    sm_tunnel_close(v.p->b.t, SM_E_CANCELLED, "enough");
    rig_drain(&v.p->b, v.r.now);
    visit_end(&v, SM_E_CANCELLED, "enough");
}

static void an_answer_to_anything_else_is_refused(void)
{
    for (int i = 0; i < 7; i++) {
        struct visit v;
        visit_begin(&v, sm_suite_real());
        struct sm_binding first = visit_asked(&v), a = first;
        uint8_t other[SM_CHALLENGE_BYTES];
        memcpy(other, v.asked.challenge, sizeof other);
        if (i == 6) { /* yesterday's answer to today's question */
            rogue_prove(&v.r, &v.p->b, &first, first.lease_seq, v.p->na.record);
            T_TRUE(!v.p->b.is_down);
            a = visit_asked(&v);
            a.challenge = sm_view_of(other, sizeof other);
        }
        other[31] ^= i == 0; /* another challenge */
        a.challenge = i == 0 ? sm_view_of(other, sizeof other) : a.challenge;
        a.challenge = i == 1 ? (struct sm_view){0} : a.challenge; /* that of the handshake */
        a.lease_seq += i == 2;
        a.role = i == 3 ? SM_ROLE_RESPONDER : a.role;
        a.h[7] ^= i == 4;
        a.pk_peer[0] ^= i == 5;
        rogue_prove(&v.r, &v.p->b, &a, v.asked.lease_seq, v.p->na.record);
        visit_end(&v, SM_E_REFUSED, "report_data");
    }
}

static void a_whole_answer_cannot_be_used_twice(void)
{
    for (int i = 0; i < 2; i++) {
        struct visit v;
        visit_begin(&v, sm_suite_sim());
        struct sm_binding a = visit_asked(&v);
        rogue_prove(&v.r, &v.p->b, &a, a.lease_seq, v.p->na.record);
        T_TRUE(!v.p->b.is_down);
        if (i == 0) {
            rogue_prove(&v.r, &v.p->b, &a, a.lease_seq, v.p->na.record);
            visit_end(&v, SM_E_STATE, "nobody asked for");
        } else {
            uint64_t seq = a.lease_seq;
            (void)visit_asked(&v);
            rogue_prove(&v.r, &v.p->b, &a, seq, v.p->na.record);
            visit_end(&v, SM_E_MALFORMED, "evidence message");
        }
    }
}

static void evidence_that_nobody_asked_for_is_refused(void)
{
    struct visit v;
    visit_begin(&v, sm_suite_sim());
    struct sm_binding a = v.r.own;
    a.lease_seq = 2;
    rogue_prove(&v.r, &v.p->b, &a, 2, v.p->na.record);
    visit_end(&v, SM_E_STATE, "nobody asked for");
}

/* A perfect answer, but made by the victim's own node in the victim's own role. */
static void reflected_answers_are_refused(void)
{
    struct visit v;
    visit_begin(&v, sm_suite_sim());
    struct sm_binding a = visit_asked(&v);
    a.role = SM_ROLE_RESPONDER;
    memcpy(a.pk_self, v.r.own.pk_peer, sizeof a.pk_self);
    memcpy(a.pk_peer, v.r.own.pk_self, sizeof a.pk_peer);
    v.r.node = &v.p->nb;
    rogue_prove(&v.r, &v.p->b, &a, a.lease_seq, v.p->nb.record);
    visit_end(&v, SM_E_AUTH, "NODE record was refused");
}

static void records_shown_later_must_be_of_the_same_node_and_not_older(void)
{
    for (int i = 0; i < 4; i++) {
        struct visit v;
        visit_begin(&v, sm_suite_real());
        struct rig_node *n = &v.p->na;
        struct rig_node other;
        struct sm_view record = n->record;
        if (i == 0) { /* the mesh has seen a newer one before we asked */
            struct sm_node_record newer = n->rec;
            newer.head.seq++;
            sm_tunnel_peer_record(v.p->b.t, T0, RIG_WALL, &newer);
        }
        struct sm_binding a = visit_asked(&v);
        if (i == 1) { /* another node of the mesh, with our key in its record */
            rig_node_make(&v.p->m, &other);
            memcpy(other.rec.dh_key, n->rec.dh_key, 32);
            rig_node_publish(&other);
            record = other.record;
            v.r.node = &other;
        } else if (i == 2) {
            n->rec.head.expires.s = RIG_WALL.s - SM_RECORD_SKEW_S - 1;
            n->rec.head.not_before.s = RIG_WALL.s - 3600;
        } else if (i == 3) {
            n->rec.dh_key[0] ^= 1;
        }
        if (i >= 2) {
            n->rec.head.seq++;
            rig_node_publish(n);
            record = n->record;
        }
        rogue_prove(&v.r, &v.p->b, &a, a.lease_seq, record);
        static const enum sm_err errs[] = {SM_E_REPLAY, SM_E_AUTH, SM_E_EXPIRED, SM_E_AUTH};
        visit_end(&v, errs[i], "NODE record was refused");
    }
}

static void challenge(struct visit *v, uint64_t seq)
{
    uint8_t buf[8 + SM_CHALLENGE_BYTES];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    sm_challenge_frame_write(&(struct sm_challenge_frame){.lease_seq = seq}, &w);
    rogue_send(&v->r, &v->p->b, SM_TFRAME_CHALLENGE, sm_view_of(buf, w.n));
}

static void a_flood_of_challenges_makes_one_signature_at_most(void)
{
    struct visit v;
    visit_begin(&v, sm_suite_sim());
    T_EQ(v.p->b.signs, 1);
    challenge(&v, 2);
    T_TRUE(!v.p->b.is_down);
    challenge(&v, 3);
    T_EQ(v.p->b.signs, 1);
    visit_end(&v, SM_E_LIMIT, "before we answered");
}

static void challenges_are_answered_a_second_apart(void)
{
    struct visit v;
    visit_begin(&v, sm_suite_sim());
    for (unsigned i = 0; i < 20; i++) {
        struct sm_mono asked_at = v.r.now;
        challenge(&v, 2 + i);
        while (v.p->b.signs < 2 + i) {
            struct sm_binding a = visit_asked(&v); /* keep the victim content meanwhile */
            rogue_prove(&v.r, &v.p->b, &a, a.lease_seq, v.p->na.record);
            rogue_send(&v.r, &v.p->b, SM_TFRAME_PACKET, sm_view_str("alive"));
            T_TRUE(!v.p->b.is_down);
        }
        T_TRUE(i == 0 || sm_between(asked_at, v.r.now).ns >= SM_MS(300).ns);
    }
    T_TRUE(sm_between(T0, v.r.now).ns >= SM_S(19).ns);
    sm_tunnel_close(v.p->b.t, SM_E_CANCELLED, "enough");
    rig_drain(&v.p->b, v.r.now);
    visit_end(&v, SM_E_CANCELLED, "enough");
}

static void challenges_are_numbered_without_gaps(void)
{
    static const uint64_t wrong[] = {0, 1, 3, UINT64_MAX};
    for (unsigned i = 0; i < SM_COUNT(wrong); i++) {
        struct visit v;
        visit_begin(&v, sm_suite_sim());
        challenge(&v, wrong[i]);
        visit_end(&v, SM_E_REPLAY, "challenges lease");
    }
    struct visit v;
    visit_begin(&v, sm_suite_sim());
    rogue_send(&v.r, &v.p->b, SM_TFRAME_CHALLENGE, sm_view_str("short"));
    visit_end(&v, SM_E_MALFORMED, "CHALLENGE");
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(leases_are_renewed_in_place_by_both_ends),
        T_CASE(a_record_that_is_not_renewed_ends_the_tunnel),
        T_CASE(a_record_renewed_by_flooding_counts),
        T_CASE(a_peer_with_a_new_key_or_program_is_dropped),
        T_CASE(a_peer_that_does_not_answer_loses_the_tunnel),
        T_CASE(keys_that_fail_for_a_while_are_asked_again),
        T_CASE(nothing_is_taken_after_the_end_however_late_the_tick),
        T_CASE(the_rogue_can_renew),
        T_CASE(an_answer_to_anything_else_is_refused),
        T_CASE(a_whole_answer_cannot_be_used_twice),
        T_CASE(evidence_that_nobody_asked_for_is_refused),
        T_CASE(reflected_answers_are_refused),
        T_CASE(records_shown_later_must_be_of_the_same_node_and_not_older),
        T_CASE(a_flood_of_challenges_makes_one_signature_at_most),
        T_CASE(challenges_are_answered_a_second_apart),
        T_CASE(challenges_are_numbered_without_gaps),
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
