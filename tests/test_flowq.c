// SPDX-License-Identifier: Apache-2.0
#include "core/flowq.h"

#include "crypto/rng.h"

#include "t.h"

#define DST ((struct sm_hop){5})

static struct sm_flowq *q;
static struct sm_mono now;

static void begin(size_t bytes)
{
    sm_flowq_free(q);
    q = sm_flowq_new(bytes);
    T_TRUE(q != NULL);
    now = (struct sm_mono){SM_S(1).ns};
}

static void add(uint32_t flow, uint8_t mark, size_t n)
{
    uint8_t *p = sm_flowq_room(q);
    T_EQ((uintptr_t)p % 16, SM_FLOWQ_SHIFT);
    memset(p - SM_FLOWQ_FRONT, 0xee, SM_FLOWQ_FRONT); /* it is ours */
    memset(p, mark, n);
    sm_flowq_add(q, now, flow, DST, n);
}

/* The mark of the packet whose turn it is; -1: none. */
static int take(void)
{
    struct sm_flowq_packet k;
    if (!sm_flowq_next(q, now, &k)) {
        return -1;
    }
    int mark = k.p[0];
    T_EQ(k.p[k.n - 1], mark);
    T_EQ(k.dst.v, 5);
    memset(k.p + k.n, 0xee, SM_FLOWQ_BACK); /* it is ours */
    sm_flowq_take(q);
    return mark;
}

static void a_flow_keeps_its_order_and_its_bytes(void)
{
    static const size_t sizes[] = {1, 4096, 40, SM_FLOWQ_PACKET, 1400, 8 << 10};
    begin(1 << 20);
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        add(3, (uint8_t)i, sizes[i]);
    }
    T_EQ(sm_flowq_stats(q).packets, SM_COUNT(sizes));
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        T_EQ(take(), (int)i);
    }
    T_EQ(take(), -1);
    T_EQ(sm_flowq_stats(q).bytes, 0);
    T_EQ(sm_flowq_stats(q).flows, 0);
}

static void a_small_flow_goes_ahead_of_a_large_one(void)
{
    begin(2 << 20);
    for (unsigned i = 0; i < 10; i++) {
        add(1, 1, 60000);
    }
    T_EQ(take(), 1);
    for (unsigned i = 0; i < 5; i++) {
        add(2, 2, 100);
        T_EQ(take(), 2);
        T_EQ(take(), 1);
    }
}

static void two_large_flows_share_alike_whatever_their_packets(void)
{
    begin(2 << 20);
    unsigned bytes[2] = {0, 0};
    for (unsigned i = 0; i < 400; i++) {
        while (sm_flowq_stats(q).bytes < (500u << 10)) {
            add(1, 1, 60000);
            for (unsigned k = 0; k < 40; k++) {
                add(2, 2, 1500);
            }
        }
        int mark = take();
        T_TRUE(mark == 1 || mark == 2);
        bytes[mark - 1] += mark == 1 ? 60000 : 1500;
        now = sm_after(now, SM_US(10));
    }
    T_TRUE(bytes[0] < bytes[1] * 5 / 4 + 120000 && bytes[1] < bytes[0] * 5 / 4 + 120000);
}

static void when_full_the_flow_that_holds_the_most_loses_its_oldest(void)
{
    begin(1 << 20);
    add(7, 7, 1000);
    for (unsigned i = 0; i < 40; i++) {
        add(1, (uint8_t)(100 + i), 60000);
    }
    T_TRUE(sm_flowq_stats(q).dropped_full > 20);
    T_EQ(take(), 7); /* it stayed */
    int mark = take();
    T_TRUE(mark > 120);
    int last = mark;
    while ((mark = take()) >= 0) {
        T_EQ(mark, last + 1);
        last = mark;
    }
    T_EQ(last, 139);
    for (unsigned i = 0; i < 3000; i++) { /* more packets than there are places */
        add(i, 1, 1);
    }
    T_TRUE(sm_flowq_stats(q).packets <= 1024);
    while (take() >= 0) {
    }
    T_EQ(sm_flowq_stats(q).bytes, 0);
}

static void what_is_skipped_waits_until_again(void)
{
    struct sm_flowq_packet k;
    begin(1 << 20);
    add(1, 1, 100);
    add(2, 2, 100);
    T_TRUE(sm_flowq_next(q, now, &k));
    T_EQ(k.flow, 1);
    sm_flowq_skip(q);
    add(1, 3, 100); /* behind the first of its flow */
    T_EQ(take(), 2);
    T_EQ(take(), -1);
    sm_flowq_again(q);
    T_EQ(take(), 1);
    T_EQ(take(), 3);
    T_EQ(take(), -1);
}

static void a_queue_that_stands_is_cut_and_a_short_one_is_not(void)
{
    begin(2 << 20);
    for (unsigned i = 0; i < 2000; i++) { /* always 300 kB: 20 ms at this speed */
        while (sm_flowq_stats(q).bytes < 300000) {
            add(1, 1, 1500);
        }
        take();
        now = sm_after(now, SM_US(100));
    }
    uint64_t late = sm_flowq_stats(q).dropped_late;
    T_TRUE(late > 0 && late < 200);
    begin(2 << 20);
    for (unsigned i = 0; i < 2000; i++) { /* one segment on a slow link */
        add(1, 1, 60000);
        now = sm_after(now, SM_MS(50));
        T_EQ(take(), 1);
    }
    T_EQ(sm_flowq_stats(q).dropped_late, 0);
}

static void nothing_is_lost_track_of(void)
{
    uint8_t bytes[32] = {0};
    struct sm_rng rng;
    sm_put_le64(bytes, t_seed());
    sm_rng_init(&rng, bytes, "flowq");
    begin(1 << 20);
    uint64_t added = 0, taken = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct sm_flowq_packet k;
        now = sm_after(now, SM_US(sm_rng_below(&rng, 200)));
        switch (sm_rng_below(&rng, 4)) {
        case 0:
        case 1:
            add((uint32_t)sm_rng_below(&rng, 1000), 9,
                sm_rng_below(&rng, 4) == 0 ? 1 + sm_rng_below(&rng, SM_FLOWQ_PACKET)
                                           : 1 + sm_rng_below(&rng, 1500));
            added++;
            break;
        case 2:
            taken += take() >= 0;
            break;
        default:
            if (sm_flowq_next(q, now, &k)) {
                sm_flowq_skip(q);
            }
            if (sm_rng_below(&rng, 8) == 0) {
                sm_flowq_again(q);
            }
            break;
        }
    }
    sm_flowq_again(q);
    while (take() >= 0) {
        taken++;
    }
    struct sm_flowq_stats s = sm_flowq_stats(q);
    T_EQ(s.packets, 0);
    T_EQ(s.bytes, 0);
    T_EQ(s.flows, 0);
    T_EQ(added, taken + s.dropped_full + s.dropped_late);
    sm_flowq_free(q);
    q = NULL;
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_flow_keeps_its_order_and_its_bytes),
        T_CASE(a_small_flow_goes_ahead_of_a_large_one),
        T_CASE(two_large_flows_share_alike_whatever_their_packets),
        T_CASE(when_full_the_flow_that_holds_the_most_loses_its_oldest),
        T_CASE(what_is_skipped_waits_until_again),
        T_CASE(a_queue_that_stands_is_cut_and_a_short_one_is_not),
        T_CASE(nothing_is_lost_track_of),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
