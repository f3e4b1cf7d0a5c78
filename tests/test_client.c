// SPDX-License-Identifier: Apache-2.0
/* What a client believes: receipts with the passports of their SEEs. */
#include "t.h"
#include "client/job_io.h"
#include "passport_kit.h"

enum { DAY_S = 86400, SEE_EP = 65536 };

struct world {
    struct kit kit;
    struct kit_id node;
    struct sm_sign_pair see_key;
    uint8_t passport[SM_PASSPORT_MAX];
    size_t passport_n;
};

/* A SEE whose key is good for two days, on a node whose record is good for one. */
static struct world world_with(uint8_t kind)
{
    struct world w;
    kit_make(&w.kit, sm_suite_real(), t_seed());
    kit_identity(&w.kit, 1, SM_EP_NODE, &w.node);
    sm_sign_pair_make(w.kit.suite, &w.kit.rng, &w.see_key);
    struct sm_view node, none;
    T_OK(sm_passport_read(sm_view_of(w.node.passport, w.node.passport_n), &node, &none));
    struct sm_node_record rec;
    T_OK(sm_node_record_read(node, &rec));
    struct sm_endpoint_record ep = {
        .head = kit_head(&w.kit), .node_id = rec.node_id, .ep = SEE_EP, .kind = kind};
    ep.head.expires.s = KIT_NOW.s + 2 * DAY_S;
    memcpy(ep.sign_key, w.see_key.pub.b, sizeof ep.sign_key);
    uint8_t room[SM_ENDPOINT_RECORD_BYTES];
    struct sm_wr ew = sm_wr_init(room, sizeof room);
    sm_endpoint_record_write(&ep, &ew);
    struct sm_wr pw = sm_wr_init(w.passport, sizeof w.passport);
    sm_passport_write(node, kit_sign(&w.kit, &w.node.sign, &ew), &pw);
    w.passport_n = pw.n;
    return w;
}

static enum sm_err check(struct world *w, uint64_t at_s, uint32_t ep)
{
    struct sm_receipt r = {.head = {.network = w->kit.anchor.network,
                                    .seq = 1,
                                    .not_before = {at_s},
                                    .expires = {at_s + 365 * DAY_S}},
                           .see = {w->node.addr.node, ep}};
    uint8_t room[SM_RECEIPT_BYTES];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    struct sm_passport see;
    sm_receipt_write(&r, &wr);
    struct sm_view receipt = kit_sign(&w->kit, &w->see_key, &wr);
    return sm_receipt_check(&w->kit.anchor, receipt, sm_view_of(w->passport, w->passport_n), &r,
                            &see);
}

static void a_receipt_outlives_the_record_of_its_node(void)
{
    struct world w = world_with(SM_ENDPOINT_SEE);
    T_OK(check(&w, KIT_NOW.s, SEE_EP));
    T_OK(check(&w, KIT_NOW.s + DAY_S + 3600, SEE_EP));
}

static void a_receipt_is_of_its_see_s_time(void)
{
    struct world w = world_with(SM_ENDPOINT_SEE);
    T_ERR(check(&w, KIT_NOW.s + 2 * DAY_S + 3600, SEE_EP), SM_E_EXPIRED);
    T_ERR(check(&w, KIT_NOW.s - 3600, SEE_EP), SM_E_EXPIRED);
}

static void a_receipt_is_of_its_see_and_of_no_client(void)
{
    struct world w = world_with(SM_ENDPOINT_SEE);
    T_ERR(check(&w, KIT_NOW.s, SEE_EP + 1), SM_E_AUTH);
    sm_sign_pair_make(w.kit.suite, &w.kit.rng, &w.see_key);
    T_ERR(check(&w, KIT_NOW.s, SEE_EP), SM_E_CRYPTO);
    w = world_with(SM_ENDPOINT_CLIENT);
    T_ERR(check(&w, KIT_NOW.s, SEE_EP), SM_E_AUTH);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_receipt_outlives_the_record_of_its_node),
        T_CASE(a_receipt_is_of_its_see_s_time),
        T_CASE(a_receipt_is_of_its_see_and_of_no_client),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
