// SPDX-License-Identifier: Apache-2.0
/* The node as a whole, by events and actions; the simulator has the meshes. */
#include "core/node.h"
#include "passport_kit.h"
#include "t.h"
#include "wire/sign.h"

struct world {
    struct kit kit;
    struct kit_id id;
    struct sm_node *node;
    struct sm_mono now;
    unsigned dials, closes;
    uint32_t dialled, closed;
};

static void step(struct world *w, struct sm_event ev);

static void sign(struct world *w, const struct sm_action *a)
{
    struct sm_sign_request req;
    uint8_t room[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr to_sign = sm_wr_init(room, sizeof room);
    struct sm_sig sig;
    T_OK(sm_sign_request_read(a->bytes, &req));
    T_EQ(req.kind, SM_SIGN_RECORD);
    sm_record_to_sign(req.record, &to_sign);
    w->kit.suite->sign(&w->id.sign, sm_view_of(room, to_sign.n), &sig);
    step(w, (struct sm_event){.kind = SM_EV_SIGNED,
                              .token = a->token,
                              .bytes = sm_view_of(sig.b, sizeof sig.b)});
}

static void step(struct world *w, struct sm_event ev)
{
    struct sm_action a;
    ev.now = w->now;
    ev.wall = KIT_NOW;
    T_OK(sm_node_step(w->node, &ev));
    while (sm_node_next(w->node, &a)) {
        if (a.kind == SM_ACT_SIGN) {
            sign(w, &a);
        } else if (a.kind == SM_ACT_DIAL) {
            w->dials++;
            w->dialled = a.conn;
        } else if (a.kind == SM_ACT_CLOSE) {
            w->closes++;
            w->closed = a.conn;
        }
    }
}

/* Let time pass until the node has asked for this many connections. */
static void until_dials(struct world *w, unsigned dials)
{
    for (unsigned i = 0; i < 10000 && w->dials < dials; i++) {
        struct sm_mono due = sm_node_deadline(w->node);
        w->now = due.ns > w->now.ns ? due : w->now;
        step(w, (struct sm_event){.kind = SM_EV_TIMER});
    }
    T_EQ(w->dials, dials);
}

/* A node with one neighbour to dial. */
static void world_make(struct world *w)
{
    struct sm_view record, none;
    *w = (struct world){.now = {1000000000u}};
    kit_make(&w->kit, sm_suite_real(), t_seed());
    kit_identity(&w->kit, 1, SM_EP_NODE, &w->id);
    struct sm_node_cfg cfg = {.suite = w->kit.suite,
                              .anchor = w->kit.anchor,
                              .now = w->now,
                              .wall = KIT_NOW,
                              .n_peers = 1,
                              .peers = {{.family = 4, .ip = {192, 0, 2, 1}, .port = 7411}},
                              .nodes_max = 16,
                              .tunnels_max = 4};
    T_OK(sm_passport_read(sm_view_of(w->id.passport, w->id.passport_n), &record, &none));
    T_OK(sm_node_record_read(record, &cfg.self));
    sm_put_le64(cfg.seed, t_seed());
    w->node = sm_node_new(&cfg);
    T_TRUE(w->node != NULL);
}

static void a_dialling_that_never_ends_is_given_up_and_tried_again(void)
{
    static struct world w;
    world_make(&w);
    until_dials(&w, 1);
    struct sm_mono began = w.now;
    uint32_t first = w.dialled;
    until_dials(&w, 2);
    T_EQ(w.closes, 1);
    T_EQ(w.closed, first);
    T_TRUE(w.dialled != first);
    T_TRUE(sm_between(began, w.now).ns >= SM_S(10).ns);
    T_TRUE(sm_between(began, w.now).ns < SM_S(30).ns);
    /* What the carrier says of the first attempt later concerns nobody. */
    step(&w, (struct sm_event){.kind = SM_EV_DIALLED, .conn = first, .err = SM_E_TIMEOUT});
    T_EQ(w.closes, 1);
    sm_node_free(w.node);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_dialling_that_never_ends_is_given_up_and_tried_again),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
