// SPDX-License-Identifier: Apache-2.0
/* The rules change while tunnels are up: who is refused now leaves now, and hears why. */
#include "t.h"

#ifdef SM_DEV_ROOT
#include "tunnel_rig.h"

#define DAY 86400u

/* Two nodes with a tunnel, each with rules of its own; what follows is offered to a's. */
struct pair {
    struct rig_mesh m;
    struct rig_node na, nb;
    struct rig_end a, b;
    struct sm_rules *rules, *rules_b;
    struct sm_mono now;
};

static struct sm_wall wall(const struct pair *p)
{
    return rig_wall(p->now);
}

static void offer(struct pair *p, uint8_t kind, struct sm_view doc)
{
    struct sm_rules_change change;
    struct sm_reasons why;
    T_OK(sm_rules_offer(p->rules, wall(p), kind, doc, &change, &why));
    T_TRUE(change.may_refuse || change.was == 0);
}

struct law {
    uint64_t version;
    enum sm_refval_state state;
    uint32_t until_s, grace_s; /* from the start */
    enum sm_manifest_mode mode;
};

/* What both nodes run is the one program that the manifest names. */
static void decree(struct pair *p, struct law law)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    struct sm_mesh_manifest m;
    struct sm_refval v = {.label = "program",
                          .platform = SM_PLATFORM_SOFTWARE,
                          .kind = SM_REFVAL_MEASUREMENT,
                          .state = (uint8_t)law.state,
                          .value.n = 48};
    v.until.s = law.state == SM_REFVAL_DEPRECATED ? RIG_WALL.s + law.until_s : 0;
    memcpy(v.value.b, p->nb.rec.measurement, 48);
    sm_mesh_manifest_default(&m);
    memcpy(m.mesh_id, p->m.anchor.mesh_id, sizeof m.mesh_id);
    m.env = (uint8_t)p->m.anchor.env;
    m.version = law.version;
    m.issued = wall(p);
    m.not_after.s = RIG_WALL.s + 100 * DAY;
    m.mode = (uint8_t)(law.mode != 0 ? law.mode : SM_MODE_ENFORCE);
    m.grace_s = law.grace_s;
    m.grade[SM_PLATFORM_SOFTWARE] = 1000;
    m.hw.may_debug = true;
    T_OK(sm_mesh_manifest_add(&m, &v));
    T_OK(sm_mesh_manifest_sign(p->m.suite, &p->m.root, &m, &doc));
    sm_mesh_manifest_done(&m);
    offer(p, SM_DOC_MANIFEST, sm_buf_view(&doc));
}

static void revoke(struct pair *p, uint64_t version, uint8_t kind, const void *id, uint8_t n)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    struct sm_revocations l = {.version = version, .issued = wall(p)};
    struct sm_revoked e = {.kind = kind, .id.n = n, .since = wall(p), .reason = "stolen"};
    memcpy(l.mesh_id, p->m.anchor.mesh_id, sizeof l.mesh_id);
    l.env = (uint8_t)p->m.anchor.env;
    memcpy(e.id.b, id, n);
    T_OK(sm_revocations_add(&l, &e));
    T_OK(sm_revocations_sign(p->m.suite, &p->m.root, &l, &doc));
    sm_revocations_done(&l);
    offer(p, SM_DOC_REVOCATION, sm_buf_view(&doc));
}

static struct pair *pair_make(void)
{
    struct pair *p = calloc(1, sizeof *p);
    T_TRUE(p != NULL);
    p->now = RIG_T0;
    rig_mesh_make(&p->m, sm_suite_sim(), t_seed());
    rig_node_make(&p->m, &p->na);
    rig_node_make(&p->m, &p->nb);
    memset(p->nb.rec.measurement, 0x42, 48);
    memset(p->nb.platform.measurement, 0x42, 48);
    rig_node_publish(&p->nb);
    T_OK(sm_rules_new(p->m.suite, &p->m.anchor, &p->rules));
    T_OK(sm_rules_new(p->m.suite, &p->m.anchor, &p->rules_b));
    return p;
}

static void pair_open(struct pair *p)
{
    struct sm_tunnel_cfg ca = rig_cfg(&p->m, &p->na, true), cb = rig_cfg(&p->m, &p->nb, false);
    ca.anchor = sm_rules_anchor(p->rules);
    cb.anchor = sm_rules_anchor(p->rules_b);
    rig_end_open(&p->a, &p->na, &ca, p->now);
    rig_end_open(&p->b, &p->nb, &cb, p->now);
    rig_run(&p->a, &p->b, p->now);
}

static struct pair *pair_up(void)
{
    struct pair *p = pair_make();
    pair_open(p);
    T_TRUE(p->a.is_up && p->b.is_up);
    return p;
}

static void pair_free(struct pair *p)
{
    rig_end_free(&p->a);
    rig_end_free(&p->b);
    sm_rules_free(p->rules);
    sm_rules_free(p->rules_b);
    free(p);
}

static void judge(struct pair *p)
{
    sm_tunnel_judge(p->a.t, p->now, wall(p));
    rig_run(&p->a, &p->b, p->now);
}

/* Let both live until then, or until one is down. */
static void live(struct pair *p, struct sm_mono end)
{
    while (p->now.ns < end.ns && !p->a.is_down && !p->b.is_down) {
        struct sm_mono next =
            sm_earlier(sm_tunnel_deadline(p->a.t), sm_tunnel_deadline(p->b.t));
        T_TRUE(next.ns > p->now.ns || p->now.ns == RIG_T0.ns);
        p->now = sm_earlier(next, end);
        sm_tunnel_tick(p->a.t, p->now);
        sm_tunnel_tick(p->b.t, p->now);
        rig_run(&p->a, &p->b, p->now);
    }
}

static bool says(const struct rig_end *e, const char *words)
{
    return strstr(e->reason, words) != NULL;
}

static void both_are_down_and_know_why(const struct pair *p, const char *words)
{
    T_TRUE(p->a.is_down && p->b.is_down);
    T_EQ(p->a.err, SM_E_REFUSED);
    T_TRUE(says(&p->a, words));
    T_EQ(p->b.err, SM_E_CLOSED);
    T_TRUE(says(&p->b, "closed by the peer"));
    T_TRUE(says(&p->b, words));
}

static void what_is_revoked_goes_at_once_and_both_ends_know_why(void)
{
    for (uint8_t kind = SM_REVOKED_NODE; kind <= SM_REVOKED_MEASUREMENT; kind++) {
        struct pair *p = pair_up();
        struct sm_node_record rec;
        T_OK(sm_node_record_verify(p->m.suite, &p->m.anchor, wall(p), p->nb.record, &rec));
        judge(p); /* nothing has changed: nothing happens */
        T_TRUE(!p->a.is_down);
        if (kind == SM_REVOKED_NODE) {
            revoke(p, 1, kind, rec.node_id.b, 32);
        } else if (kind == SM_REVOKED_PLATFORM) {
            revoke(p, 1, kind, rec.platform_id, 32);
        } else {
            revoke(p, 1, kind, rec.measurement, 48);
        }
        T_TRUE(!p->a.is_down);
        judge(p);
        both_are_down_and_know_why(p, "stolen");
        pair_free(p);
    }
}

static void what_is_revoked_does_not_come_back_by_dialling_again(void)
{
    struct pair *p = pair_up();
    revoke(p, 1, SM_REVOKED_NODE, p->nb.rec.node_id.b, 32);
    judge(p);
    T_TRUE(p->a.is_down);
    rig_end_free(&p->a);
    rig_end_free(&p->b);
    pair_open(p);
    T_TRUE(!p->a.is_up && p->a.is_down);
    T_EQ(p->a.err, SM_E_REFUSED);
    /* ... until a newer list has it no more */
    revoke(p, 2, SM_REVOKED_NODE, p->na.rec.node_id.b, 32);
    rig_end_free(&p->a);
    rig_end_free(&p->b);
    pair_open(p);
    T_TRUE(p->a.is_up && !p->a.is_down);
    pair_free(p);
}

static void a_program_the_manifest_revokes_goes_at_once(void)
{
    struct pair *p = pair_make();
    decree(p, (struct law){.version = 1, .state = SM_REFVAL_ACTIVE});
    pair_open(p);
    T_TRUE(p->a.is_up);
    decree(p, (struct law){.version = 2, .state = SM_REFVAL_REVOKED, .grace_s = 3600});
    judge(p);
    both_are_down_and_know_why(p, "revoked"); /* no grace for that */
    pair_free(p);
}

static void time_alone_has_the_grace_of_the_manifest_and_no_more(void)
{
    struct pair *p = pair_make();
    decree(p, (struct law){
                  .version = 1, .state = SM_REFVAL_DEPRECATED, .until_s = 100, .grace_s = 200});
    pair_open(p);
    T_TRUE(p->a.is_up);
    T_EQ(sm_tunnel_lease(p->a.t).verdict, SM_VERDICT_OK);
    live(p, sm_after(RIG_T0, SM_S(110)));
    T_TRUE(!p->a.is_down);
    T_EQ(sm_tunnel_lease(p->a.t).verdict, SM_VERDICT_GRACE);
    T_TRUE(strlen(sm_tunnel_lease(p->a.t).said) > 0);
    live(p, sm_after(RIG_T0, SM_S(290)));
    T_TRUE(!p->a.is_down);
    live(p, sm_after(RIG_T0, SM_S(310)));
    T_TRUE(p->a.is_down && p->b.is_down);
    T_EQ(p->a.err, SM_E_REFUSED);
    rig_end_free(&p->a);
    rig_end_free(&p->b);
    pair_open(p); /* a newcomer has no grace */
    T_TRUE(!p->a.is_up);
    pair_free(p);
}

static void without_grace_time_ends_it_too(void)
{
    struct pair *p = pair_make();
    decree(p, (struct law){.version = 1, .state = SM_REFVAL_DEPRECATED, .until_s = 100});
    pair_open(p);
    live(p, sm_after(RIG_T0, SM_S(98)));
    T_TRUE(!p->a.is_down);
    live(p, sm_after(RIG_T0, SM_S(104)));
    T_TRUE(p->a.is_down);
    pair_free(p);
}

static void a_manifest_that_is_only_watched_lets_pass_and_says_so(void)
{
    struct pair *p = pair_up();
    decree(p, (struct law){.version = 1,
                           .state = SM_REFVAL_DEPRECATED,
                           .until_s = 0,
                           .mode = SM_MODE_OBSERVE});
    judge(p);
    T_TRUE(!p->a.is_down);
    T_EQ(sm_tunnel_lease(p->a.t).verdict, SM_VERDICT_OBSERVED);
    T_TRUE(strlen(sm_tunnel_lease(p->a.t).said) > 0);
    /* ... and one that is enforced does not */
    decree(p, (struct law){.version = 2, .state = SM_REFVAL_DEPRECATED, .until_s = 0});
    judge(p);
    T_TRUE(p->a.is_down);
    pair_free(p);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(what_is_revoked_goes_at_once_and_both_ends_know_why),
        T_CASE(what_is_revoked_does_not_come_back_by_dialling_again),
        T_CASE(a_program_the_manifest_revokes_goes_at_once),
        T_CASE(time_alone_has_the_grace_of_the_manifest_and_no_more),
        T_CASE(without_grace_time_ends_it_too),
        T_CASE(a_manifest_that_is_only_watched_lets_pass_and_says_so),
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
