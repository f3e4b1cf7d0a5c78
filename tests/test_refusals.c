// SPDX-License-Identifier: Apache-2.0
/* The table of refusals, and reasons between peers. */
#include "core/refusals.h"
#include "t.h"

static struct sm_refusal refusal(uint8_t machine, enum sm_reason_code code, uint64_t at)
{
    struct sm_refusal r = {.last = {at}, .peer = {.family = 4, .ip = {10, 0, 0, machine}}};
    r.peer.port = (uint16_t)(1000 + at % 60000);
    sm_reasons_add(&r.why, code, "field", "got", "want");
    return r;
}

static void the_same_again_counts_and_keeps_its_place(void)
{
    struct sm_refusals t = {0};
    for (uint64_t i = 1; i <= 5; i++) {
        struct sm_refusal r = refusal(1, SM_REASON_TCB, i);
        const struct sm_refusal *k = sm_refusals_add(&t, &r);
        T_TRUE(k != NULL && k->count == i && k->first.s == 1 && k->last.s == i);
    }
    struct sm_refusal other = refusal(1, SM_REASON_DEBUG, 9),
                      by_peer = refusal(1, SM_REASON_TCB, 8);
    by_peer.is_by_peer = true;
    T_EQ(sm_refusals_add(&t, &other)->count, 1);
    T_EQ(sm_refusals_add(&t, &by_peer)->count, 1);
    T_EQ(sm_refusals_at(&t, 0)->why.r[0].code, SM_REASON_DEBUG);
    T_TRUE(sm_refusals_at(&t, 1)->is_by_peer);
    T_EQ(sm_refusals_at(&t, 2)->count, 5);
    T_TRUE(sm_refusals_at(&t, 3) == NULL);
    sm_refusals_done(&t);
}

static void a_crowd_pushes_out_the_oldest_and_no_more(void)
{
    struct sm_refusals t = {0};
    for (uint64_t i = 0; i < 3 * SM_REFUSALS_MAX; i++) {
        struct sm_refusal r = refusal((uint8_t)i, SM_REASON_TCB, 100 + i);
        T_TRUE(sm_refusals_add(&t, &r) != NULL);
    }
    for (unsigned i = 0; i < SM_REFUSALS_MAX; i++) {
        T_EQ(sm_refusals_at(&t, i)->last.s, 100 + 3 * SM_REFUSALS_MAX - 1 - i);
    }
    T_TRUE(sm_refusals_at(&t, SM_REFUSALS_MAX) == NULL);
    sm_refusals_done(&t);
}

static void reasons_arrive_as_they_were_told(void)
{
    struct sm_reasons why = {0}, got;
    uint8_t buf[SM_REASONS_BYTES];
    char longest[SM_REASON_TEXT + 10];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t n = 0; n <= SM_REASONS_MAX; n++) {
        struct sm_wr w = sm_wr_init(buf, sizeof buf);
        sm_reasons_write(&why, &w);
        T_TRUE(!w.full); /* however many and however long */
        T_OK(sm_reasons_read(sm_view_of(buf, w.n), &got));
        T_EQ(got.n, n < SM_REASONS_TOLD ? n : SM_REASONS_TOLD);
        T_TRUE(memcmp(got.r, why.r, got.n * sizeof got.r[0]) == 0);
        for (size_t cut = 0; cut < w.n; cut += 1 + cut / 7) {
            T_TRUE(sm_reasons_read(sm_view_of(buf, cut), &got) != SM_OK);
        }
        sm_reasons_add(&why, SM_REASON_TCB, longest, longest, longest);
    }
}

static void a_peers_reasons_end_in_no_terminal(void)
{
    struct sm_reasons got;
    const uint8_t bad[] = {1, 18, 0, 1, '\x1b', 0, 0}, good[] = {1, 18, 0, 1, 'f', 0, 0};
    T_ERR(sm_reasons_read(sm_view_of(bad, sizeof bad), &got), SM_E_MALFORMED);
    T_OK(sm_reasons_read(sm_view_of(good, sizeof good), &got));
    T_EQ(got.r[0].code, SM_REASON_TCB);
    struct sm_reasons odd = {0};
    uint8_t buf[SM_REASONS_BYTES];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    sm_reasons_add(&odd, SM_REASON_CHAIN, "issuer", "CN=\x1b[31mred\n", "x");
    sm_reasons_write(&odd, &w);
    T_OK(sm_reasons_read(sm_view_of(buf, w.n), &got));
    T_STR(got.r[0].got, "CN=?[31mred?");
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_same_again_counts_and_keeps_its_place),
        T_CASE(a_crowd_pushes_out_the_oldest_and_no_more),
        T_CASE(reasons_arrive_as_they_were_told),
        T_CASE(a_peers_reasons_end_in_no_terminal),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
