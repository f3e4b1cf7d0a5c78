// SPDX-License-Identifier: Apache-2.0
#include "t.h"

#include "core/pool.h"
#include "core/window.h"
#include "crypto/suite_sim.h"
#include "wire/fragment.h"

#ifdef SM_DEV_ROOT
#include "attest/rules.h"
#include "session_world.h"

static struct world w; /* large, and one at a time */
static uint8_t body[SM_HOST_BODY_MAX];

static void begin(const struct sm_suite *suite)
{
    world_make(&w, suite, t_seed());
    sm_rng_bytes(&w.rng, body, sizeof body);
}

static void echo_one(uint32_t n, struct sm_dur limit)
{
    uint64_t id = 0;
    uint32_t before = w.response_n;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, n), limit, &id));
    T_TRUE(world_until(&w, before + 1, limit));
    const struct world_response *r = &w.response[before];
    uint8_t hash[8];
    sm_put_le64(hash, world_fnv(1, body, n));
    T_EQ(r->id, id);
    T_EQ(r->err, SM_OK);
    T_EQ(r->n, n);
    T_MEM(r->hash, 8, hash, 8);
}

static void sizes_and_losses(const struct sm_suite *suite)
{
    static const uint32_t sizes[] = {0, 1, 16384, 16385, 512 << 10, 1 << 20, SM_HOST_BODY_MAX};
    static const uint32_t losses[] = {0, 10, 50, 200};
    for (size_t l = 0; l < SM_COUNT(losses); l++) {
        begin(suite);
        w.loss_pm = losses[l];
        w.double_pm = losses[l];
        for (size_t s = 0; s < SM_COUNT(sizes); s++) {
            echo_one(sizes[s], SM_S(20));
        }
        T_EQ(w.requests, SM_COUNT(sizes));
        world_run(&w, SM_S(30));
        struct sm_host_stats st;
        sm_host_stats(w.host[0], &st);
        T_EQ(st.requests_out, 0);
        sm_host_stats(w.host[1], &st);
        T_EQ(st.requests_in, 0);
        T_EQ(st.refused_sealed, 0);
        world_done(&w);
    }
}

static void every_size_arrives_whole_through_loss_and_reordering(void)
{
    sizes_and_losses(sm_suite_sim());
}

static void and_so_with_the_real_ciphers(void)
{
    sizes_and_losses(sm_suite_real());
}

/* Called for every output: lets a case act in the middle of a message. */
static uint64_t watch_packets, watch_at;
static uint8_t kept[SM_FRAG_PACKET_MAX], kept_init[SM_FRAG_PACKET_MAX];
static size_t kept_n, kept_init_n;

static void keep_first_packets(struct world *world, uint32_t from,
                               const struct sm_host_out *out)
{
    (void)world;
    if (from != 0 || out->kind != SM_HOST_PACKET) {
        return;
    }
    struct sm_view b = out->packet.bytes;
    if (b.p[0] == SM_FRAG_INIT && kept_init_n == 0) {
        memcpy(kept_init, b.p, b.n);
        kept_init_n = b.n;
    }
    if (b.p[0] == SM_FRAG_DATA_SEALED && b.n > 100 && kept_n == 0) {
        memcpy(kept, b.p, b.n);
        kept_n = b.n;
    }
}

static void inject(uint32_t to, struct sm_addr from, const uint8_t *p, size_t n)
{
    world_put(&w, to, from, 0, sm_view_of(p, n), w.now);
    world_run(&w, SM_MS(100));
}

static void kill_a_slot(struct world *world, uint32_t from, const struct sm_host_out *out)
{
    if (from == 0 && out->kind == SM_HOST_PACKET && ++watch_packets == watch_at) {
        world->slot_dead[out->packet.slot] = true;
    }
}

static void a_slot_that_dies_in_a_message_costs_less_than_a_second_and_a_half(void)
{
    static const uint64_t when[] = {1, 3, 8, 30, 60};
    for (size_t i = 0; i < SM_COUNT(when); i++) {
        begin(sm_suite_sim());
        watch_packets = 0;
        watch_at = when[i];
        w.watch = kill_a_slot;
        echo_one(1 << 20, SM_MS(1500));
        T_TRUE(i == 0 || w.reports_lost > 0);
        world_done(&w);
    }
}

static void two_dead_slots_of_four_are_survived_and_reported(void)
{
    begin(sm_suite_sim());
    echo_one(1 << 20, SM_S(2));
    w.slot_dead[0] = w.slot_dead[1] = true;
    echo_one(1 << 20, SM_MS(1500));
    T_TRUE(w.reported_lost[0] > 0);
    T_EQ(w.reported_lost[2] + w.reported_lost[3], 0);
    w.slot_dead[0] = w.slot_dead[1] = false;
    world_run(&w, SM_S(1));
    for (unsigned i = 0; i < 12; i++) { /* probed while there is work */
        echo_one(1 << 20, SM_S(2));
        world_run(&w, SM_S(1));
    }
    uint64_t lost = w.reports_lost;
    w.slot_dead[2] = w.slot_dead[3] = true;
    echo_one(1 << 20, SM_S(3));
    T_TRUE(w.reports_lost > lost);
    world_done(&w);
}

/* An acknowledgement comes back over the slot of what it answers. */
static void a_slow_slot_makes_no_other_seem_lost(void)
{
    static const uint32_t sizes[] = {1 << 20, 40 << 10, 200 << 10, 17 << 10};
    begin(sm_suite_sim());
    w.delay[3] = SM_MS(60);
    for (unsigned i = 0; i < 40; i++) {
        echo_one(sizes[i % SM_COUNT(sizes)], SM_S(2));
    }
    T_EQ(w.reports_lost, 0);
    world_done(&w);
}

static void slots_the_sender_does_not_have_cost_nothing(void)
{
    begin(sm_suite_sim());
    w.slot_absent[0] = w.slot_absent[1] = w.slot_absent[3] = true;
    echo_one(512 << 10, SM_MS(500));
    w.slot_absent[2] = true;
    uint64_t id = 0;
    uint32_t n = w.response_n;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 10), SM_S(30), &id));
    T_TRUE(world_until(&w, n + 1, SM_S(3)));
    T_EQ(w.response[n].err, SM_E_UNREACHABLE);
    w.slot_absent[1] = false;
    sm_host_paths(w.host[0], w.now, w.id[1].addr.node, 2);
    sm_host_paths(w.host[1], w.now, w.id[0].addr.node, 2);
    echo_one(10, SM_S(2));
    world_done(&w);
}

/* Everybody in this world hears that the platform of identity 2, host 1, is revoked. */
static void revoke_host_1(struct sm_rules *rules)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    struct sm_revocations l = {.env = SM_ENV_DEV, .version = 1, .issued = KIT_NOW};
    struct sm_revoked e = {.kind = SM_REVOKED_PLATFORM, .id.n = 32, .since = KIT_NOW};
    struct sm_rules_change change;
    struct sm_reasons why;
    memcpy(l.mesh_id, w.kit.anchor.mesh_id, sizeof l.mesh_id);
    memset(e.id.b, 2, 32);
    T_OK(sm_revocations_add(&l, &e));
    T_OK(sm_revocations_sign(w.kit.suite, &w.kit.root, &l, &doc));
    T_OK(sm_rules_offer(rules, KIT_NOW, SM_DOC_REVOCATION, sm_buf_view(&doc), &change, &why));
    sm_revocations_done(&l);
}

static void sessions_with_the_revoked_end_and_do_not_come_back(void)
{
    struct sm_rules *rules;
    struct sm_host_stats s;
    uint64_t id = 0;
    begin(sm_suite_sim());
    T_OK(sm_rules_new(w.kit.suite, &w.kit.anchor, &rules));
    w.kit.anchor.rules = rules;
    echo_one(10, SM_S(2));
    uint32_t n = w.response_n;
    T_OK(world_ask(&w, 0, 1, SERVICE_SILENT, sm_view_of(body, 10), SM_S(30), &id));
    world_run(&w, SM_MS(500));
    T_EQ(w.response_n, n);
    revoke_host_1(rules);
    sm_host_rules_changed(w.host[0], w.now);
    world_drain(&w, 0);
    T_EQ(w.response_n, n + 1); /* at once */
    T_EQ(w.response[n].err, SM_E_REFUSED);
    world_run(&w, SM_S(1));
    sm_host_stats(w.host[0], &s);
    T_EQ(s.sessions, 0);
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 10), SM_S(5), &id));
    T_TRUE(world_until(&w, n + 2, SM_S(10)));
    T_TRUE(w.response[n + 1].err != SM_OK);
    /* ... nor from its side */
    T_OK(world_ask(&w, 1, 0, SERVICE_ECHO, sm_view_of(body, 10), SM_S(5), &id));
    T_TRUE(world_until(&w, n + 3, SM_S(10)));
    T_TRUE(w.response[n + 2].err != SM_OK);
    world_done(&w);
    sm_rules_free(rules);
}

static void a_packet_seen_before_is_refused(void)
{
    begin(sm_suite_real());
    kept_n = kept_init_n = 0;
    w.watch = keep_first_packets;
    echo_one(1000, SM_S(5));
    T_TRUE(kept_n > 0);
    inject(1, w.id[0].addr, kept, kept_n);
    struct sm_host_stats st;
    sm_host_stats(w.host[1], &st);
    T_EQ(st.refused_replays, 1);
    T_EQ(w.requests, 1);
    world_done(&w);
}

static void a_replayed_first_message_disturbs_nothing(void)
{
    begin(sm_suite_real());
    kept_n = kept_init_n = 0;
    w.watch = keep_first_packets;
    echo_one(1000, SM_S(5));
    inject(1, w.id[0].addr, kept_init, kept_init_n);
    struct sm_host_stats st;
    sm_host_stats(w.host[1], &st);
    T_EQ(st.sessions, 1);
    echo_one(1000, SM_S(5));

    world_run(&w, SM_S(300)); /* both sides have forgotten */
    sm_host_stats(w.host[1], &st);
    T_EQ(st.sessions, 0);
    T_EQ(st.peers, 0);
    echo_one(1000, SM_S(5));
    inject(1, w.id[0].addr, kept_init, kept_init_n); /* a half-open session nobody can use */
    sm_host_stats(w.host[1], &st);
    T_EQ(st.sessions, 2);
    uint64_t id = 0; /* and its answers go over the good one */
    uint32_t n = w.response_n;
    T_OK(world_ask(&w, 1, 0, SERVICE_ECHO, sm_view_of(body, 10), SM_S(5), &id));
    T_TRUE(world_until(&w, n + 1, SM_S(1)));
    T_EQ(w.response[n].err, SM_OK);
    echo_one(1000, SM_S(5));
    world_run(&w, SM_S(10));
    sm_host_stats(w.host[1], &st);
    T_EQ(st.sessions, 1);
    world_done(&w);
}

static void changed_packets_are_refused_and_nothing_of_them_is_used(void)
{
    begin(sm_suite_real());
    echo_one(10, SM_S(5));
    w.is_changing = true;
    uint64_t id = 0;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 40000), SM_S(20), &id));
    world_run(&w, SM_S(1));
    T_EQ(w.requests, 1);
    struct sm_host_stats st;
    sm_host_stats(w.host[1], &st);
    T_TRUE(st.refused_sealed > 0);
    w.is_changing = false;
    T_TRUE(world_until(&w, 2, SM_S(10)));
    T_EQ(w.response[1].err, SM_OK);
    T_EQ(w.response[1].n, 40000);
    world_done(&w);
}

/* Ask from host 0 and expect that nobody answers. */
static void expect_unreachable(void)
{
    uint64_t id = 0;
    uint32_t n = w.response_n;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 10), SM_S(30), &id));
    T_TRUE(world_until(&w, n + 1, SM_S(10)));
    T_EQ(w.response[n].err, SM_E_UNREACHABLE);
    T_EQ(w.requests, 0);
    struct sm_host_stats st;
    sm_host_stats(w.host[1], &st);
    T_TRUE(st.refused_handshakes > 0);
    T_EQ(st.sessions, 0);
}

static void replace_host_0(const struct sm_host_cfg *c)
{
    sm_host_free(w.host[0]);
    w.host[0] = sm_host_new(c);
    T_TRUE(w.host[0] != NULL);
}

static void a_passport_of_somebody_else_is_refused(void)
{
    begin(sm_suite_real());
    struct sm_host_cfg c = world_cfg(&w, 0);
    c.passport = sm_view_of(w.id[2].passport, w.id[2].passport_n);
    replace_host_0(&c);
    expect_unreachable();

    c = world_cfg(&w, 0); /* the right passport, but not the key it names */
    c.dh = w.id[2].dh;
    replace_host_0(&c);
    expect_unreachable();

    c = world_cfg(&w, 0); /* a signature with one bit changed */
    w.id[0].passport[100] ^= 1;
    replace_host_0(&c);
    expect_unreachable();
    world_done(&w);
}

static void a_source_address_that_is_not_the_passports_is_refused(void)
{
    begin(sm_suite_real());
    struct sm_addr other = w.id[2].addr;
    kept_n = kept_init_n = 0;
    w.watch = keep_first_packets;
    uint64_t id = 0;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 10), SM_S(30), &id));
    T_TRUE(kept_init_n > 0);
    inject(1, other, kept_init, kept_init_n);
    struct sm_host_stats st;
    sm_host_stats(w.host[1], &st);
    T_EQ(st.refused_handshakes, 1);
    world_done(&w);
}

static bool only_host_2(void *ctx, const uint8_t dh_key[static 32])
{
    (void)ctx;
    return memcmp(dh_key, w.id[2].dh.pub.b, 32) == 0;
}

static void a_host_may_take_sessions_of_chosen_keys_only(void)
{
    begin(sm_suite_sim());
    struct sm_host_cfg c = world_cfg(&w, 1);
    c.may_open = only_host_2;
    sm_host_free(w.host[1]);
    w.host[1] = sm_host_new(&c);
    expect_unreachable();
    uint64_t id = 0;
    T_OK(world_ask(&w, 2, 1, SERVICE_ECHO, sm_view_of(body, 10), SM_S(30), &id));
    T_TRUE(world_until(&w, w.response_n + 1, SM_S(2)));
    T_EQ(w.response[w.response_n - 1].err, SM_OK);
    uint32_t n = w.response_n; /* it may ask host 0, which may not ask back */
    uint64_t requests = w.requests;
    T_OK(world_ask(&w, 1, 0, SERVICE_ECHO, sm_view_of(body, 10), SM_S(30), &id));
    T_TRUE(world_until(&w, n + 1, SM_S(2)));
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 40000), SM_S(30), &id));
    T_TRUE(world_until(&w, n + 2, SM_S(2)));
    T_EQ(w.response[n + 1].err, SM_E_REFUSED);
    T_EQ(w.requests, requests + 1);
    world_done(&w);
}

static void caps_hold_and_everything_is_given_back(void)
{
    begin(sm_suite_sim());
    struct sm_host_stats st;
    sm_host_stats(w.host[0], &st);
    uint64_t pool = st.pool_free_bytes, id = 0;
    unsigned accepted = 0;
    for (unsigned i = 0; i < 200; i++) {
        enum sm_err err =
            world_ask(&w, 0, 1, SERVICE_LENGTH, sm_view_of(body, 200000), SM_S(30), &id);
        accepted += err == SM_OK;
        T_TRUE(err == SM_OK || err == SM_E_BUSY);
    }
    T_EQ(accepted, (4 << 20) / 200000); /* peer_bytes */
    T_TRUE(world_until(&w, accepted, SM_S(20)));
    for (unsigned i = 0; i < accepted; i++) {
        T_EQ(w.response[i].err, SM_OK);
    }
    unsigned small = 0;
    for (unsigned i = 0; i < 300; i++) {
        small +=
            world_ask(&w, 0, 1, SERVICE_SILENT, sm_view_of(body, 10), SM_S(3), &id) == SM_OK;
    }
    T_EQ(small, 128); /* peer_requests, messages */
    T_TRUE(world_until(&w, accepted + small, SM_S(10)));
    T_EQ(w.response[accepted].err, SM_E_TIMEOUT);
    world_run(&w, SM_S(1));
    T_ERR(sm_host_reply(w.host[1], w.now, w.silent_handle, SM_OK, sm_view_of(body, 1)),
          SM_E_NOTFOUND);
    world_run(&w, SM_S(400));
    for (uint32_t i = 0; i < 2; i++) {
        sm_host_stats(w.host[i], &st);
        T_EQ(st.pool_free_bytes, pool);
        T_EQ(st.sessions, 0);
        T_EQ(st.peers, 0);
        T_EQ(st.requests_in, 0);
        T_EQ(st.requests_out, 0);
        T_EQ(sm_host_deadline(w.host[i]).ns, SM_NEVER.ns);
    }
    world_done(&w);
}

static void at_the_cap_the_longest_idle_peer_makes_room(void)
{
    begin(sm_suite_sim());
    static struct kit_id other;
    for (uint8_t i = 0; i < 40; i++) { /* 16 sessions: nobody answers these */
        uint64_t id = 0;
        kit_identity(&w.kit, (uint8_t)(50 + i), 0, &other);
        enum sm_err err = sm_host_request(w.host[0], w.now, other.addr, other.dh.pub.b, 1,
                                          sm_view_of(body, 10), SM_MS(500), &id);
        world_drain(&w, 0);
        T_TRUE(err == (i < 16 ? SM_OK : SM_E_BUSY)); /* all have work */
    }
    world_run(&w, SM_S(1));
    T_EQ(w.response_n, 16);
    echo_one(100, SM_S(20));
    struct sm_host_stats st;
    sm_host_stats(w.host[0], &st);
    T_TRUE(st.peers <= 16 && st.sessions <= 16);
    world_done(&w);
}

static void restart(uint32_t i)
{
    struct sm_host_cfg c = world_cfg(&w, i);
    c.seed[1] = 99;
    sm_host_free(w.host[i]);
    w.host[i] = sm_host_new(&c);
    T_TRUE(w.host[i] != NULL);
}

static void a_peer_that_lost_its_sessions_is_asked_again(void)
{
    begin(sm_suite_real());
    echo_one(100, SM_S(5));
    restart(1);
    echo_one(100000, SM_S(2));
    uint64_t id = 0;
    uint32_t n = w.response_n; /* it forgets in the middle, after all was acknowledged */
    T_OK(world_ask(&w, 0, 1, SERVICE_SILENT, sm_view_of(body, 10), SM_S(60), &id));
    world_run(&w, SM_S(1));
    uint64_t asked = w.requests;
    restart(1);
    world_run(&w, SM_S(30));
    T_EQ(w.requests, asked + 1); /* once more, not twice */
    T_OK(sm_host_reply(w.host[1], w.now, w.silent_handle, SM_OK, sm_view_of(body, 5)));
    world_drain(&w, 1);
    T_TRUE(world_until(&w, n + 1, SM_S(1)));
    T_EQ(w.response[n].err, SM_OK);
    T_EQ(w.response[n].n, 5);
    world_done(&w);
}

static void a_peer_that_dies_while_it_works_is_noticed(void)
{
    begin(sm_suite_sim());
    uint64_t id = 0;
    T_OK(world_ask(&w, 0, 1, SERVICE_SILENT, sm_view_of(body, 10), SM_S(3000), &id));
    world_run(&w, SM_S(100)); /* alive and slow: kept alive */
    T_EQ(w.response_n, 0);
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        w.slot_dead[i] = true;
    }
    T_TRUE(world_until(&w, 1, SM_S(30)));
    T_EQ(w.response[0].err, SM_E_UNREACHABLE);
    world_done(&w);
}

static void an_answer_after_twenty_minutes_still_arrives(void)
{
    begin(sm_suite_sim());
    w.loss_pm = 20;
    uint64_t id = 0;
    T_OK(world_ask(&w, 0, 1, SERVICE_SILENT, sm_view_of(body, 10), SM_S(3000), &id));
    world_run(&w, SM_S(1200)); /* keys have been changed on the way */
    T_EQ(w.response_n, 0);
    T_EQ(w.requests, 1);
    T_OK(sm_host_reply(w.host[1], w.now, w.silent_handle, SM_E_TRAP, sm_view_of(body, 70000)));
    world_drain(&w, 1);
    T_TRUE(world_until(&w, 1, SM_S(2)));
    T_EQ(w.response[0].err, SM_E_TRAP);
    T_EQ(w.response[0].n, 70000);
    world_done(&w);
}

static void a_forged_reset_kills_nothing(void)
{
    begin(sm_suite_real());
    kept_n = kept_init_n = 0;
    w.watch = keep_first_packets;
    echo_one(1000, SM_S(5));
    uint8_t reset[SM_FRAG_HEAD];
    struct sm_frag_head head;
    struct sm_view rest;
    T_OK(sm_frag_head_read(sm_view_of(kept, kept_n), &head, &rest));
    head.type = SM_FRAG_RESET; /* the forger has seen the number and the session */
    head.flags = 0;
    sm_frag_head_write(&head, reset);
    uint64_t id = 0;
    uint32_t n = w.response_n;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 300000), SM_S(5), &id));
    inject(0, w.id[1].addr, reset, sizeof reset);
    T_TRUE(world_until(&w, n + 1, SM_S(2)));
    T_EQ(w.response[n].err, SM_OK);
    T_EQ(w.requests, 2);
    head.session ^= 0x100;
    sm_frag_head_write(&head, reset);
    inject(0, w.id[1].addr, reset, sizeof reset);
    echo_one(1000, SM_S(5));
    world_done(&w);
}

static void both_may_open_at_once_and_ask_both_ways(void)
{
    begin(sm_suite_real());
    uint64_t id = 0;
    for (unsigned i = 0; i < 60; i++) {
        T_OK(world_ask(&w, i % 2, 1 - i % 2, SERVICE_ECHO, sm_view_of(body, 1000 * i), SM_S(5),
                       &id));
    }
    T_OK(world_ask(&w, 2, 0, SERVICE_ECHO, sm_view_of(body, 9), SM_S(5), &id));
    T_OK(world_ask(&w, 1, 2, SERVICE_ECHO, sm_view_of(body, 9), SM_S(5), &id));
    T_TRUE(world_until(&w, 62, SM_S(3)));
    for (unsigned i = 0; i < 62; i++) {
        T_EQ(w.response[i].err, SM_OK);
    }
    T_EQ(w.requests, 62);
    world_done(&w);
}

static void keys_change_while_requests_go_on(void)
{
    begin(sm_suite_real());
    w.loss_pm = 20;
    for (unsigned i = 0; i < 300; i++) {
        echo_one(20000, SM_S(5));
        world_run(&w, SM_S(2));
    }
    struct sm_host_stats st;
    sm_host_stats(w.host[0], &st);
    T_TRUE(st.handshakes >= 5);
    T_TRUE(st.sessions <= 3);
    T_EQ(w.requests, 300);
    world_done(&w);
}

static uint64_t trace_of(uint64_t seed)
{
    world_make(&w, sm_suite_sim(), seed);
    w.loss_pm = 50;
    w.double_pm = 50;
    uint64_t id = 0;
    for (unsigned i = 0; i < 20; i++) {
        T_OK(world_ask(&w, i % 3, (i + 1) % 3, SERVICE_ECHO, sm_view_of(body, 30000 * i),
                       SM_S(20), &id));
    }
    T_TRUE(world_until(&w, 20, SM_S(20)));
    uint64_t trace = w.trace;
    world_done(&w);
    return trace;
}

static void the_same_seed_gives_the_same_packets(void)
{
    uint64_t seed = t_seed();
    uint64_t first = trace_of(seed);
    T_TRUE(first == trace_of(seed));
    T_TRUE(first != trace_of(seed + 1));
}

static void garbage_is_counted_and_dropped(void)
{
    begin(sm_suite_sim());
    echo_one(10, SM_S(5));
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t junk[64];
        sm_rng_bytes(&w.rng, junk, sizeof junk);
        junk[0] = (uint8_t)(junk[0] % 6);
        sm_host_packet(w.host[1], w.now, KIT_NOW, w.id[i % 3].addr, (uint8_t)(i % 5),
                       sm_view_of(junk, sm_rng_below(&w.rng, sizeof junk)));
        world_drain(&w, 1);
    }
    echo_one(10, SM_S(5));
    world_done(&w);
}

#endif

static void the_window_knows_what_it_saw(void)
{
    static struct sm_window win;
    struct sm_rng rng;
    uint8_t seed[32] = {0}, seen[40000] = {0};
    uint64_t top = 0;
    memset(&win, 0, sizeof win);
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "window");
    for (unsigned i = 0; i < 30000; i++) {
        uint64_t jump = sm_rng_below(&rng, 1000) == 0 ? 3000 : 12;
        uint64_t n = sm_rng_below(&rng, 3) == 0 ? top + sm_rng_below(&rng, jump)
                                                : top - sm_rng_below(&rng, top / 2 + 1);
        if (n >= sizeof seen) {
            break;
        }
        bool is_old = n + SM_WINDOW_BITS - 64 < top;
        if (!is_old) {
            T_EQ(sm_window_is_new(&win, n), !seen[n]);
        }
        if (sm_window_is_new(&win, n)) {
            T_TRUE(!seen[n]);
            sm_window_mark(&win, n);
            seen[n] = 1;
            top = n + 1 > top ? n + 1 : top;
        }
        uint64_t low = 0, high = 0, from = sm_rng_below(&rng, top + 1);
        if (i % 50 == 0 && from + 4000 > top && sm_window_run(&win, from, &low, &high)) {
            T_TRUE(high <= from && low <= high && seen[high]);
            for (uint64_t k = high + 1; k <= from && k < top; k++) {
                T_TRUE(!seen[k]);
            }
            for (uint64_t k = low; k <= high; k++) {
                T_TRUE(seen[k]);
            }
            T_TRUE(low == 0 || !seen[low - 1] || low + SM_WINDOW_BITS <= top + 64);
        }
    }
    T_TRUE(!sm_window_is_new(&win, UINT64_MAX));
}

static void the_pool_gives_each_page_once(void)
{
    struct sm_pool pool;
    struct sm_run run[64] = {0};
    T_OK(sm_pool_init(&pool, 1 << 20));
    T_EQ(sm_pool_free(&pool), 1 << 20);
    for (unsigned i = 0; i < 64; i++) {
        run[i] = sm_pool_take(&pool, 1 + 4000 * (i % 8), 0);
        if (run[i].page_count > 0) {
            memset(sm_pool_at(&pool, run[i]), (int)i, (size_t)run[i].page_count * SM_POOL_PAGE);
        }
    }
    T_EQ(sm_pool_take(&pool, (1 << 20) + 1, 0).page_count, 0);
    for (unsigned i = 0; i < 64; i++) {
        for (size_t k = 0; k < (size_t)run[i].page_count * SM_POOL_PAGE; k++) {
            T_EQ(sm_pool_at(&pool, run[i])[k], i);
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        if (run[i].page_count > 0) {
            sm_pool_give(&pool, &run[i]);
        }
    }
    T_EQ(sm_pool_free(&pool), 1 << 20);
    T_EQ(sm_pool_take(&pool, 1 << 20, 4096).page_count, 0); /* some is to be spared */
    T_EQ(sm_pool_take(&pool, 1 << 20, 0).page_count, 256);
    sm_pool_done(&pool);
}

static void frames_have_one_encoding(void)
{
    struct sm_frame_ack ack = {.delay_us = 7, .n = 3};
    ack.range[0] = (struct sm_frame_range){90, 100};
    ack.range[1] = (struct sm_frame_range){80, 88};
    ack.range[2] = (struct sm_frame_range){0, 0};
    uint8_t room[64];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    T_OK(sm_frame_ack_write(&ack, &wr));
    T_EQ(wr.n, 16 + 24);
    struct sm_frame f;
    T_OK(sm_frame_read(sm_view_of(room, wr.n), &f));
    T_EQ(f.ack.n, 3);
    T_EQ(f.ack.range[1].low, 80);
    T_EQ(f.ack.range[2].high, 0);
    T_ERR(sm_frame_read(sm_view_of(room, wr.n - 1), &f), SM_E_TRUNCATED);
    room[16 + 8] = 0; /* ranges that touch */
    T_ERR(sm_frame_read(sm_view_of(room, wr.n), &f), SM_E_MALFORMED);

    static uint8_t plain[SM_FRAG_PLAIN_MAX];
    struct sm_frame_message m = {.kind = SM_FRAME_REQUEST, .total = 20000, .offset = 16384};
    sm_frame_message_head(&m, plain);
    T_OK(sm_frame_read(sm_view_of(plain, 32 + 3616), &f));
    T_ERR(sm_frame_read(sm_view_of(plain, 32 + 3615), &f), SM_E_MALFORMED);
    T_ERR(sm_frame_read(sm_view_of(plain, 32 + 3617), &f), SM_E_MALFORMED);
    m.offset = 16383;
    sm_frame_message_head(&m, plain);
    T_ERR(sm_frame_read(sm_view_of(plain, 32 + 3617), &f), SM_E_MALFORMED);
    m = (struct sm_frame_message){.kind = SM_FRAME_REQUEST, .total = 16384, .offset = 16384};
    sm_frame_message_head(&m, plain);
    T_ERR(sm_frame_read(sm_view_of(plain, 32), &f), SM_E_MALFORMED);
    m = (struct sm_frame_message){.kind = SM_FRAME_REQUEST, .total = SM_FRAG_MESSAGE_MAX + 1};
    sm_frame_message_head(&m, plain);
    T_ERR(sm_frame_read(sm_view_of(plain, 32 + 16384), &f), SM_E_MALFORMED);
}

#ifdef SM_DEV_ROOT
static uint8_t room[SM_HOST_DATAGRAM_FRONT + SM_HOST_DATAGRAM_MAX + 1 + SM_HOST_DATAGRAM_BACK];

static uint32_t beat_at; /* the place of the last one's packet */

static enum sm_err beat(uint32_t from, uint32_t to, uint8_t slot, size_t n)
{
    struct sm_view packet;
    SM_TRY(sm_host_datagram(w.host[from], w.now, w.id[to].addr, w.id[to].dh.pub.b, slot,
                            SERVICE_BEAT, room + SM_HOST_DATAGRAM_FRONT, n, &packet));
    struct sm_host_out out = {.kind = SM_HOST_PACKET};
    out.packet.dst = w.id[to].addr;
    out.packet.slot = slot;
    out.packet.bytes = packet;
    beat_at = w.packet_n;
    world_send(&w, from, &out);
    world_drain(&w, from);
    return SM_OK;
}

static void beats_begin(const struct sm_suite *suite)
{
    begin(suite);
    T_ERR(beat(0, 1, 0, 40), SM_E_STATE);
    world_drain(&w, 0);
    world_run(&w, SM_S(1));
}

static void datagrams_of_every_length_open_as_they_were(void)
{
    static const size_t sizes[] = {0, 1, 10, 1400, 65535, SM_HOST_DATAGRAM_MAX};
    beats_begin(sm_suite_real());
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        memset(room, 0, sizeof room);
        memcpy(room + SM_HOST_DATAGRAM_FRONT, body, sizes[i] < 64 ? sizes[i] : 64);
        T_OK(beat(0, 1, (uint8_t)(i % SM_HOST_SLOTS), sizes[i]));
        world_run(&w, SM_MS(100));
        T_EQ(w.datagrams, i + 1);
        size_t n = sizes[i] < 64 ? sizes[i] : 64;
        T_MEM(w.datagram, n, body, n);
    }
    T_OK(beat(1, 0, 0, 5)); /* the other side uses the same session */
    world_run(&w, SM_MS(100));
    T_EQ(w.datagrams, SM_COUNT(sizes) + 1);
    T_ERR(beat(0, 1, 0, SM_HOST_DATAGRAM_MAX + 1), SM_E_LIMIT);
    T_ERR(beat(0, 1, SM_HOST_SLOTS, 1), SM_E_INVALID);
    T_ERR(beat(0, 0, 0, 1), SM_E_INVALID);
    world_done(&w);
}

static void a_datagram_is_taken_once_and_a_changed_one_never(void)
{
    beats_begin(sm_suite_real());
    w.double_pm = 1000;
    for (unsigned i = 0; i < 100; i++) {
        T_OK(beat(0, 1, (uint8_t)(i % SM_HOST_SLOTS), 100));
    }
    world_run(&w, SM_S(1));
    T_EQ(w.datagrams, 100);
    struct sm_host_stats st;
    sm_host_stats(w.host[1], &st);
    T_EQ(st.datagrams_received, 100);
    T_TRUE(st.refused_replays >= 100);
    w.double_pm = 0;
    for (unsigned i = 0; i < 200; i++) {
        T_OK(beat(0, 1, 0, 30));
        struct world_packet *k = &w.packet[beat_at];
        k->p[sm_rng_below(&w.rng, k->n)] ^= (uint8_t)(1u << sm_rng_below(&w.rng, 8));
        world_run(&w, SM_MS(100));
    }
    T_EQ(w.datagrams, 100);
    world_done(&w);
}

static void datagrams_and_requests_do_not_disturb_each_other(void)
{
    beats_begin(sm_suite_sim());
    w.loss_pm = 50;
    uint64_t id = 0;
    T_OK(world_ask(&w, 0, 1, SERVICE_ECHO, sm_view_of(body, 1 << 20), SM_S(20), &id));
    for (unsigned i = 0; i < 3000; i++) {
        T_OK(beat(0, 1, 0, 100));
        world_run(&w, SM_US(100));
    }
    T_TRUE(world_until(&w, 1, SM_S(20)));
    T_EQ(w.response[0].err, SM_OK);
    T_TRUE(w.datagrams > 2500 && w.datagrams < 3000);
    world_done(&w);
}

static void a_slot_that_swallows_datagrams_is_reported(void)
{
    beats_begin(sm_suite_sim());
    w.slot_dead[1] = true;
    for (unsigned i = 0; i < 20; i++) {
        T_OK(beat(0, 1, 1, 100));
        world_run(&w, SM_MS(50));
    }
    T_TRUE(w.reported_lost[1] > 0);
    T_EQ(w.reported_lost[0], 0);
    world_done(&w);
}

static void keys_change_while_datagrams_flow(void)
{
    beats_begin(sm_suite_sim());
    struct sm_host_stats before, after;
    sm_host_stats(w.host[0], &before);
    for (unsigned i = 0; i < 400; i++) {
        T_OK(beat(0, 1, 0, 100));
        world_run(&w, SM_S(1));
    }
    sm_host_stats(w.host[0], &after);
    T_TRUE(after.handshakes >= before.handshakes + 3);
    T_EQ(w.datagrams, 400);
    world_done(&w);
}
#endif

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(frames_have_one_encoding),
        T_CASE(the_window_knows_what_it_saw),
        T_CASE(the_pool_gives_each_page_once),
#ifdef SM_DEV_ROOT
        T_CASE(every_size_arrives_whole_through_loss_and_reordering),
        T_CASE(and_so_with_the_real_ciphers),
        T_CASE(a_slot_that_dies_in_a_message_costs_less_than_a_second_and_a_half),
        T_CASE(two_dead_slots_of_four_are_survived_and_reported),
        T_CASE(a_slow_slot_makes_no_other_seem_lost),
        T_CASE(slots_the_sender_does_not_have_cost_nothing),
        T_CASE(a_packet_seen_before_is_refused),
        T_CASE(a_replayed_first_message_disturbs_nothing),
        T_CASE(changed_packets_are_refused_and_nothing_of_them_is_used),
        T_CASE(a_passport_of_somebody_else_is_refused),
        T_CASE(a_source_address_that_is_not_the_passports_is_refused),
        T_CASE(a_host_may_take_sessions_of_chosen_keys_only),
        T_CASE(caps_hold_and_everything_is_given_back),
        T_CASE(at_the_cap_the_longest_idle_peer_makes_room),
        T_CASE(a_peer_that_lost_its_sessions_is_asked_again),
        T_CASE(a_peer_that_dies_while_it_works_is_noticed),
        T_CASE(an_answer_after_twenty_minutes_still_arrives),
        T_CASE(a_forged_reset_kills_nothing),
        T_CASE(both_may_open_at_once_and_ask_both_ways),
        T_CASE(keys_change_while_requests_go_on),
        T_CASE(datagrams_of_every_length_open_as_they_were),
        T_CASE(a_datagram_is_taken_once_and_a_changed_one_never),
        T_CASE(datagrams_and_requests_do_not_disturb_each_other),
        T_CASE(a_slot_that_swallows_datagrams_is_reported),
        T_CASE(keys_change_while_datagrams_flow),
        T_CASE(the_same_seed_gives_the_same_packets),
        T_CASE(garbage_is_counted_and_dropped),
        T_CASE(sessions_with_the_revoked_end_and_do_not_come_back),
#endif
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
