// SPDX-License-Identifier: Apache-2.0
/* The door: who is let in before a tunnel exists, and what a stranger may try. */
#include "core/door.h"
#include "t.h"

#ifdef SM_DEV_ROOT
#include "tunnel_rig.h"

#define T0 RIG_T0

static const struct sm_view HERE = {(const uint8_t *)"here", 4};

/* Two nodes of which b has a door. */
struct scene {
    struct rig_mesh m;
    struct rig_node na, nb;
    struct rig_end a;
    struct sm_door door;
    struct sm_knock knock;
    uint8_t in[SM_KNOCK_MAX];
    uint8_t answer[64];
    size_t answer_n;
    struct sm_mono now;
};

static void scene_door(struct scene *s, uint32_t rate_per_s)
{
    struct sm_door_cfg cfg = {.rate_per_s = rate_per_s};
    sm_rng_bytes(&s->m.rng, cfg.seed, sizeof cfg.seed);
    sm_door_init(&s->door, &cfg, T0);
}

static struct scene *scene_make(const struct sm_suite *suite, bool is_ik)
{
    struct scene *s = calloc(1, sizeof *s);
    T_TRUE(s != NULL);
    s->now = T0;
    s->knock.in = s->in;
    rig_mesh_make(&s->m, suite, t_seed());
    rig_node_make(&s->m, &s->na);
    rig_node_make(&s->m, &s->nb);
    scene_door(s, 10); /* one a window */
    struct sm_tunnel_cfg cfg = rig_cfg(&s->m, &s->na, true);
    cfg.peer = is_ik ? &s->nb.dh.pub : NULL;
    rig_end_open(&s->a, &s->na, &cfg, T0);
    rig_drain(&s->a, T0);
    return s;
}

static void scene_free(struct scene *s)
{
    rig_end_free(&s->a);
    free(s);
}

static enum sm_door_verdict hear(struct scene *s, const void *p, size_t n)
{
    struct sm_wr w = sm_wr_init(s->answer, sizeof s->answer);
    enum sm_door_verdict v =
        sm_door_hear(&s->door, s->now, 0, HERE, sm_view_of(p, n), &s->knock, &w);
    s->answer_n = w.n;
    return v;
}

/* What the dialer has sent goes to the door. */
static enum sm_door_verdict carry(struct scene *s)
{
    struct sm_buf wire = s->a.wire;
    s->a.wire = SM_BUF(wire.max);
    enum sm_door_verdict v = hear(s, wire.p, wire.n);
    sm_buf_done(&wire);
    return v;
}

/* Some other stranger uses the window's place up. */
static void crowd(struct scene *s)
{
    uint8_t head[SM_HAND_HEAD + 32] = {0};
    uint8_t none[64];
    struct sm_wr w = sm_wr_init(none, sizeof none);
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_HELLO,
                                    .pattern = SM_HAND_XX,
                                    .cipher = SM_AESGCM,
                                    .faster = SM_AESGCM,
                                    .n = 32},
                  head);
    uint8_t in[SM_KNOCK_MAX];
    struct sm_knock k = {.in = in};
    T_EQ(sm_door_hear(&s->door, s->now, 0, HERE, sm_view_of(head, sizeof head), &k, &w),
         SM_DOOR_OPEN);
}

/* Give the door's answer to the dialer and let it work until it says something. */
static unsigned dialer_works(struct scene *s)
{
    unsigned steps = 0;
    rig_give(&s->a, s->now, s->answer, s->answer_n);
    while (s->a.wire.n == 0 && !s->a.is_down) {
        T_TRUE(sm_is_due(sm_tunnel_deadline(s->a.t), s->now));
        sm_tunnel_tick(s->a.t, s->now);
        rig_drain(&s->a, s->now);
        steps++;
    }
    return steps;
}

/* As far as the dialer having an answer to its COOKIE. */
static struct scene *scene_asked(bool is_ik)
{
    struct scene *s = scene_make(sm_suite_real(), is_ik);
    crowd(s);
    T_EQ(carry(s), SM_DOOR_ASK);
    T_EQ(s->answer_n, SM_HAND_HEAD + SM_COOKIE_BYTES);
    (void)dialer_works(s);
    T_TRUE(!s->a.is_down && s->a.wire.n > 0);
    return s;
}

static void a_calm_door_lets_in_at_once(void)
{
    for (size_t cut = 1; cut <= 44; cut++) {
        struct scene *s = scene_make(sm_suite_sim(), false);
        T_EQ(s->a.wire.n, 44);
        for (size_t at = 0; at < 44; at += cut) {
            bool is_last = at + cut >= 44;
            T_EQ(hear(s, s->a.wire.p + at, is_last ? 44 - at : cut),
                 is_last ? SM_DOOR_OPEN : SM_DOOR_WAIT);
        }
        T_EQ(s->knock.n, 44);
        T_MEM(s->knock.in + s->knock.hello_at, 44, s->a.wire.p, 44);
        T_TRUE(!sm_door_is_busy(&s->door));
        scene_free(s);
    }
}

static void under_load_a_dialer_works_and_gets_in(void)
{
    for (int i = 0; i < 2; i++) {
        struct scene *s = scene_asked(i == 1);
        T_TRUE(s->answer_n <= SM_HAND_HEAD + 32); /* never longer than the question */
        T_EQ(carry(s), SM_DOOR_OPEN);
        struct rig_end b;
        struct sm_tunnel_cfg cfg = rig_cfg(&s->m, &s->nb, false);
        rig_end_open(&b, &s->nb, &cfg, T0);
        rig_give(&b, T0, s->knock.in + s->knock.hello_at, s->knock.n - s->knock.hello_at);
        rig_run(&s->a, &b, T0);
        T_TRUE(s->a.is_up && b.is_up);
        rig_end_free(&b);
        scene_free(s);
    }
}

static void handshakes_under_way_count_too(void)
{
    struct scene *s = scene_make(sm_suite_sim(), false);
    struct sm_wr w = sm_wr_init(s->answer, sizeof s->answer);
    T_EQ(sm_door_hear(&s->door, s->now, 32, HERE, sm_view_of(s->a.wire.p, s->a.wire.n),
                      &s->knock, &w),
         SM_DOOR_ASK);
    scene_free(s);
}

static void every_byte_of_an_answer_counts(void)
{
    struct scene *s = scene_asked(false);
    struct sm_knock knock = s->knock;
    size_t n = s->a.wire.n;
    for (size_t at = 0; at < n; at++) {
        s->knock = knock;
        s->a.wire.p[at] ^= 1;
        enum sm_door_verdict v = hear(s, s->a.wire.p, n);
        T_TRUE(v == SM_DOOR_SHUT || v == SM_DOOR_WAIT); /* a longer HELLO has not come yet */
        s->a.wire.p[at] ^= 1;
    }
    s->knock = knock;
    T_EQ(hear(s, s->a.wire.p, n), SM_DOOR_OPEN);
    scene_free(s);
}

static void an_answer_is_for_one_connection_and_a_short_time(void)
{
    struct scene *s = scene_asked(false);
    struct sm_knock knock = s->knock;
    struct sm_wr w = sm_wr_init(s->answer, sizeof s->answer);
    struct sm_view bytes = sm_view_of(s->a.wire.p, s->a.wire.n);
    T_EQ(sm_door_hear(&s->door, T0, 0, sm_view_str("elsewhere"), bytes, &knock, &w),
         SM_DOOR_SHUT);
    knock = s->knock;
    T_EQ(sm_door_hear(&s->door, sm_after(T0, SM_S(11)), 0, HERE, bytes, &knock, &w),
         SM_DOOR_SHUT);
    struct scene *other = scene_make(sm_suite_real(), false); /* another door's secret */
    knock = s->knock;
    sm_rng_bytes(&s->m.rng, other->door.secret, sizeof other->door.secret);
    other->door.stamp_base = s->door.stamp_base;
    T_EQ(sm_door_hear(&other->door, T0, 0, HERE, bytes, &knock, &w), SM_DOOR_SHUT);
    scene_free(other);
    knock = s->knock;
    T_EQ(sm_door_hear(&s->door, sm_after(T0, SM_S(10)), 0, HERE, bytes, &knock, &w),
         SM_DOOR_OPEN);
    scene_free(s);
}

static void secrets_change_and_the_last_one_still_counts(void)
{
    struct scene *s = scene_make(sm_suite_real(), false);
    s->door.rotate_at = sm_after(T0, SM_S(1));
    crowd(s);
    T_EQ(carry(s), SM_DOOR_ASK);
    (void)dialer_works(s);
    struct sm_secret32 before = s->door.secret[0];
    s->now = sm_after(T0, SM_S(2));
    T_EQ(carry(s), SM_DOOR_OPEN);
    T_MEM(s->door.secret[1].b, 32, before.b, 32);
    T_TRUE(memcmp(s->door.secret[0].b, before.b, 32) != 0);
    s->now = sm_after(T0, SM_S(123));
    crowd(s);
    T_TRUE(memcmp(s->door.secret[1].b, before.b, 32) != 0);
    scene_free(s);
}

static void what_is_no_knock_is_shut_out(void)
{
    struct scene *s = scene_make(sm_suite_sim(), false);
    uint8_t hello[44 + 1] = {0};
    memcpy(hello, s->a.wire.p, 44);
    T_EQ(hear(s, hello, 45), SM_DOOR_SHUT); /* more than was to be said */
    s->knock = (struct sm_knock){.in = s->in};
    hello[2] = 9;
    T_EQ(hear(s, hello, 44), SM_DOOR_SHUT);
    T_EQ(s->answer_n, SM_HAND_HEAD); /* it is told that the version is wrong */
    T_EQ(s->answer[3], SM_HAND_REFUSE);
    hello[2] = SM_HAND_VERSION;
    s->knock = (struct sm_knock){.in = s->in};
    hello[8] = SM_HAND_PLAIN_MAX + 1;
    T_EQ(hear(s, hello, 44), SM_DOOR_SHUT);
    uint8_t big[1000] = {0};
    s->knock = (struct sm_knock){.in = s->in};
    T_EQ(hear(s, big, sizeof big), SM_DOOR_SHUT);
    uint8_t admit[SM_HAND_HEAD + SM_ADMIT_BYTES] = {0};
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_ADMIT, .n = SM_ADMIT_BYTES}, admit);
    s->knock = (struct sm_knock){.in = s->in};
    T_EQ(hear(s, admit, sizeof admit), SM_DOOR_SHUT); /* nobody asked */
    scene_free(s);
}

static void who_is_asked_must_answer(void)
{
    struct scene *s = scene_make(sm_suite_sim(), false);
    uint8_t hello[44];
    memcpy(hello, s->a.wire.p, 44);
    crowd(s);
    T_EQ(hear(s, hello, 44), SM_DOOR_ASK);
    T_EQ(hear(s, hello, 44), SM_DOOR_SHUT);
    scene_free(s);
}

/* Let a window pass in which `knocks` came and `solved` of them, beyond those that were let in
 * unasked, were let in. */
static void window(struct scene *s, unsigned knocks, unsigned solved)
{
    s->door.knocks += knocks;
    s->door.let_in += solved;
    s->now = sm_after(s->now, SM_MS(100));
    (void)hear(s, "", 0);
}

static void puzzles_are_as_hard_as_it_takes(void)
{
    struct scene *s = scene_make(sm_suite_sim(), false);
    scene_door(s, 200);
    window(s, 19, 19);
    T_EQ(s->door.bits, 0);
    for (unsigned bits = 12; bits <= SM_PUZZLE_BITS_MAX; bits++) {
        window(s, 500, 20); /* they solve them */
        T_EQ(s->door.bits, bits);
    }
    window(s, 500, 20);
    T_EQ(s->door.bits, SM_PUZZLE_BITS_MAX); /* no honest dialer solves harder ones */
    window(s, 500, 15);
    T_EQ(s->door.bits, SM_PUZZLE_BITS_MAX);
    for (unsigned bits = SM_PUZZLE_BITS_MAX; bits > 12; bits--) {
        window(s, 500, 10); /* they gave up */
        T_EQ(s->door.bits, bits - 1);
    }
    window(s, 500, 9);
    T_EQ(s->door.bits, 12); /* many still knock */
    window(s, 9, 9);
    T_EQ(s->door.bits, 0);
    window(s, 500, 20);
    s->now = sm_after(s->now, SM_S(3600));
    (void)hear(s, "", 0);
    T_EQ(s->door.bits, 0); /* long ago */
    scene_free(s);
}

static void a_flood_that_solves_nothing_gets_nothing(void)
{
    struct scene *s = scene_make(sm_suite_sim(), false);
    scene_door(s, 200);
    unsigned opened = 0;
    uint8_t hello[44];
    memcpy(hello, s->a.wire.p, 44);
    for (unsigned i = 0; i < 20000; i++) { /* 2 s of 10,000 a second */
        s->knock = (struct sm_knock){.in = s->in};
        s->now = sm_after(s->now, SM_US(100));
        opened += hear(s, hello, 44) == SM_DOOR_OPEN;
    }
    T_EQ(opened, 20); /* those of the first window, before it was a flood */
    T_EQ(s->door.n_asked, 20000 - 20);
    T_EQ(s->door.bits, 12);
    scene_free(s);
}

/* -- what a responder, or somebody on the path, may do to a dialer ------------------------- */

static void expect_dialer_down(struct scene *s)
{
    T_TRUE(s->a.is_down && !s->a.is_up);
    T_ERR(s->a.err, SM_E_MALFORMED);
    scene_free(s);
}

static void a_dialer_works_once_and_never_hard(void)
{
    struct scene *s = scene_asked(false);
    rig_give(&s->a, s->now, s->answer, s->answer_n); /* once more */
    expect_dialer_down(s);

    s = scene_make(sm_suite_real(), false);
    crowd(s);
    T_EQ(carry(s), SM_DOOR_ASK);
    uint8_t cookie[SM_HAND_HEAD + SM_COOKIE_BYTES];
    memcpy(cookie, s->answer, sizeof cookie);
    s->answer[SM_HAND_HEAD + 4] = SM_PUZZLE_BITS_MAX + 1;
    (void)dialer_works(s);
    expect_dialer_down(s);

    s = scene_make(sm_suite_real(), false); /* anything while it works */
    rig_give(&s->a, s->now, cookie, sizeof cookie);
    rig_give(&s->a, s->now, cookie, sizeof cookie);
    expect_dialer_down(s);

    s = scene_make(sm_suite_real(), false);
    cookie[SM_HAND_HEAD + 4] = SM_PUZZLE_BITS_MAX;
    memcpy(s->answer, cookie, sizeof cookie);
    s->answer_n = sizeof cookie;
    sm_buf_clear(&s->a.wire);
    unsigned steps = dialer_works(s);
    T_TRUE(steps >= 1 && s->a.wire.n > 0); /* in steps, and it ends */
    scene_free(s);
}

static void a_tunnel_that_answers_knows_no_cookies(void)
{
    struct scene *s = scene_asked(false);
    for (int i = 0; i < 2; i++) {
        struct rig_end b;
        struct sm_tunnel_cfg cfg = rig_cfg(&s->m, &s->nb, false);
        rig_end_open(&b, &s->nb, &cfg, T0);
        if (i == 0) {
            rig_give(&b, T0, s->answer, s->answer_n);
        } else {
            rig_give(&b, T0, s->a.wire.p, s->a.wire.n);
        }
        T_TRUE(b.is_down && !b.is_up);
        rig_end_free(&b);
    }
    scene_free(s);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_calm_door_lets_in_at_once),
        T_CASE(under_load_a_dialer_works_and_gets_in),
        T_CASE(handshakes_under_way_count_too),
        T_CASE(every_byte_of_an_answer_counts),
        T_CASE(an_answer_is_for_one_connection_and_a_short_time),
        T_CASE(secrets_change_and_the_last_one_still_counts),
        T_CASE(what_is_no_knock_is_shut_out),
        T_CASE(who_is_asked_must_answer),
        T_CASE(puzzles_are_as_hard_as_it_takes),
        T_CASE(a_flood_that_solves_nothing_gets_nothing),
        T_CASE(a_dialer_works_once_and_never_hard),
        T_CASE(a_tunnel_that_answers_knows_no_cookies),
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
