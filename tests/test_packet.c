// SPDX-License-Identifier: Apache-2.0
#include "wire/packet.h"

#include "t.h"
#include "wire/linkstate.h"

#define HOP(n) ((struct sm_hop){(n)})

static struct sm_packet packet_of(unsigned n_hops)
{
    struct sm_packet p = {.kind = SM_PACKET_SESSION,
                          .n_hops = (uint8_t)n_hops,
                          .path_slot = 2,
                          .src = HOP(100),
                          .src_ep = 7,
                          .dst_ep = 9};
    for (unsigned i = 0; i < n_hops && i < SM_PACKET_HOPS_MAX; i++) {
        p.hops[i] = HOP(101 + i);
    }
    return p;
}

/* Header and payload as a sender builds them; returns the length. */
static size_t build(const struct sm_packet *p, struct sm_view payload, uint8_t *buf, size_t cap)
{
    struct sm_wr w = sm_wr_init(buf, cap);
    struct sm_view all;
    T_OK(sm_packet_head_write(p, &w));
    T_EQ(w.n, sm_packet_header_len(p->n_hops));
    sm_wr_view(&w, payload);
    T_OK(sm_wr_done(&w, &all));
    return all.n;
}

static void what_is_written_is_read_for_every_length(void)
{
    for (unsigned n = 1; n <= SM_PACKET_HOPS_MAX; n++) {
        uint8_t buf[SM_PACKET_HEADER_MAX + 5];
        struct sm_packet p = packet_of(n), q;
        size_t len = build(&p, sm_view_str("hello"), buf, sizeof buf);
        T_EQ(sm_packet_header_len(n) % 16, 0);
        T_OK(sm_packet_read(sm_view_of(buf, len), &q));
        T_EQ(q.n_hops, n);
        T_EQ(q.hop_limit, n);
        T_EQ(q.at, 0);
        T_EQ(q.path_slot, 2);
        T_MEM(q.hops, n * sizeof q.hops[0], p.hops, n * sizeof p.hops[0]);
        T_MEM(q.payload.p, q.payload.n, "hello", 5);
        T_TRUE(sm_addr_eq(sm_packet_src(&q), (struct sm_addr){HOP(100), 7}));
        T_TRUE(sm_addr_eq(sm_packet_dst(&q), (struct sm_addr){HOP(100 + n), 9}));
    }
}

static void a_packet_passes_each_relay_once_and_is_delivered(void)
{
    uint8_t buf[SM_PACKET_HEADER_MAX + 5], before[SM_PACKET_HEADER_MAX + 5];
    struct sm_packet p = packet_of(16);
    size_t len = build(&p, sm_view_str("hello"), buf, sizeof buf);
    struct sm_hop from = p.src, self = p.hops[0];
    for (unsigned i = 0; i + 1 < 16; i++) {
        struct sm_hop next = HOP(0);
        T_EQ(sm_packet_forward(buf, len, self, from, &next), SM_PACKET_FORWARD);
        T_TRUE(next.v == p.hops[i + 1].v);
        memcpy(before, buf, len);
        T_EQ(sm_packet_forward(buf, len, self, from, &next), SM_PACKET_NOT_OURS);
        T_MEM(buf, len, before, len);
        from = self;
        self = next;
    }
    struct sm_hop next = HOP(0);
    T_EQ(sm_packet_forward(buf, len, self, from, &next), SM_PACKET_DELIVER);
    T_EQ(next.v, 0);
}

static void a_relay_refuses_what_did_not_come_by_the_path(void)
{
    uint8_t buf[SM_PACKET_HEADER_MAX];
    struct sm_packet p = packet_of(3);
    size_t len = build(&p, (struct sm_view){0}, buf, sizeof buf);
    struct sm_hop next;
    T_EQ(sm_packet_forward(buf, len, p.hops[0], HOP(55), &next), SM_PACKET_WRONG_FROM);
    T_EQ(sm_packet_forward(buf, len, p.hops[1], p.hops[0], &next), SM_PACKET_NOT_OURS);
    buf[20] = 1; /* hop limit */
    T_EQ(sm_packet_forward(buf, len, p.hops[0], p.src, &next), SM_PACKET_LIMIT);
    buf[20] = 2;
    T_EQ(sm_packet_forward(buf, len, p.hops[0], p.src, &next), SM_PACKET_FORWARD);
    T_EQ(sm_packet_forward(buf, len, p.hops[1], p.hops[0], &next), SM_PACKET_LIMIT);
}

static void a_path_that_names_a_hop_twice_is_refused(void)
{
    struct sm_wr w;
    uint8_t buf[SM_PACKET_HEADER_MAX];
    struct sm_packet p = packet_of(4), out;
    size_t len = build(&p, (struct sm_view){0}, buf, sizeof buf);
    memcpy(buf + 24 + 3 * 8, buf + 24, 8); /* the last hop is the first */
    T_ERR(sm_packet_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    struct sm_hop next;
    T_EQ(sm_packet_forward(buf, len, p.hops[0], p.src, &next), SM_PACKET_BAD);
    memcpy(buf + 24 + 3 * 8, buf + 8, 8); /* the last hop is the source */
    T_ERR(sm_packet_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    p.hops[2] = p.hops[1];
    w = sm_wr_init(buf, sizeof buf);
    T_ERR(sm_packet_head_write(&p, &w), SM_E_INVALID);
    p = packet_of(1);
    p.hops[0] = p.src; /* from one endpoint of a node to another */
    len = build(&p, (struct sm_view){0}, buf, sizeof buf);
    T_EQ(sm_packet_forward(buf, len, p.src, p.src, &next), SM_PACKET_DELIVER);
}

static void every_byte_of_the_header_is_held_to_the_grammar(void)
{
    uint8_t buf[SM_PACKET_HEADER_MAX + 4], bad[SM_PACKET_HEADER_MAX + 4];
    struct sm_packet p = packet_of(4), out;
    size_t len = build(&p, sm_view_str("data"), buf, sizeof buf);
    static const struct {
        size_t at;
        uint8_t value;
        enum sm_err want;
    } cases[] = {{0, 2, SM_E_VERSION},     {1, 0, SM_E_MALFORMED},   {1, 2, SM_E_MALFORMED},
                 {2, 0, SM_E_MALFORMED},   {2, 17, SM_E_MALFORMED},  {2, 3, SM_E_MALFORMED},
                 {3, 4, SM_E_MALFORMED},   {20, 17, SM_E_MALFORMED}, {21, 4, SM_E_MALFORMED},
                 {22, 48, SM_E_MALFORMED}, {23, 1, SM_E_MALFORMED},  {63, 1, SM_E_MALFORMED}};
    for (size_t i = 0; i < SM_COUNT(cases); i++) {
        memcpy(bad, buf, len);
        T_TRUE(bad[cases[i].at] != cases[i].value);
        bad[cases[i].at] = cases[i].value;
        T_ERR(sm_packet_read(sm_view_of(bad, len), &out), cases[i].want);
    }
    for (size_t n = 0; n < sm_packet_header_len(4); n++) {
        T_ERR(sm_packet_read(sm_view_of(buf, n), &out), SM_E_TRUNCATED);
    }
    static uint8_t big[SM_PACKET_MAX + 1];
    memcpy(big, buf, len);
    T_OK(
        sm_packet_read(sm_view_of(big, sm_packet_header_len(4) + SM_PACKET_PAYLOAD_MAX), &out));
    T_ERR(sm_packet_read(sm_view_of(big, sm_packet_header_len(4) + SM_PACKET_PAYLOAD_MAX + 1),
                         &out),
          SM_E_MALFORMED);
    struct sm_wr w = sm_wr_init(bad, sizeof bad);
    p = packet_of(17);
    T_ERR(sm_packet_head_write(&p, &w), SM_E_INVALID);
    p = packet_of(0);
    T_ERR(sm_packet_head_write(&p, &w), SM_E_INVALID);
}

/* -- LINKSTATE --------------------------------------------------------------------------- */

static struct sm_linkstate links_of(unsigned n)
{
    struct sm_linkstate ls = {
        .head = {.network = 5, .seq = 9, .not_before = {1}, .expires = {2}},
        .area = 3,
        .n = (uint16_t)n};
    for (unsigned i = 0; i < n && i < SM_LINKS_MAX; i++) {
        ls.links[i] = (struct sm_link){HOP(1000 + i * 3), (uint8_t)(i % 81), 4};
    }
    return ls;
}

static size_t links_build(const struct sm_linkstate *ls, uint8_t *buf)
{
    struct sm_wr w = sm_wr_init(buf, SM_LINKSTATE_RECORD_MAX);
    uint8_t sig[SM_RECORD_SIG] = {0};
    struct sm_view all;
    sm_linkstate_write(ls, &w);
    sm_wr_bytes(&w, sig, sizeof sig);
    T_OK(sm_wr_done(&w, &all));
    return all.n;
}

static void linkstates_come_back_and_every_link_is_found(void)
{
    for (unsigned n = 0; n <= SM_LINKS_MAX; n++) {
        uint8_t buf[SM_LINKSTATE_RECORD_MAX];
        struct sm_linkstate ls = links_of(n), out;
        size_t len = links_build(&ls, buf);
        T_OK(sm_linkstate_read(sm_view_of(buf, len), &out));
        T_EQ(out.n, n);
        T_EQ(out.area, 3);
        T_EQ(out.head.type, SM_RECORD_LINKSTATE);
        for (unsigned i = 0; i < n; i++) {
            const struct sm_link *l = sm_linkstate_find(&out, HOP(1000 + i * 3));
            T_TRUE(l == &out.links[i]);
            T_EQ(l->cost_class, i % 81);
            T_TRUE(sm_linkstate_find(&out, HOP(1001 + i * 3)) == NULL);
        }
        for (size_t cut = 0; cut < len; cut++) {
            T_TRUE(sm_linkstate_read(sm_view_of(buf, cut), &out) != SM_OK);
        }
    }
}

static void linkstates_that_break_a_rule_are_refused(void)
{
    uint8_t buf[SM_LINKSTATE_RECORD_MAX + 16];
    struct sm_linkstate ls = links_of(3), out;
    size_t len = links_build(&ls, buf), first = 32 + 32 + 4 + 2;
    uint8_t good[sizeof buf];
    memcpy(good, buf, sizeof buf);
    memcpy(buf + first + 10, buf + first, 8); /* the same neighbour twice */
    T_ERR(sm_linkstate_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    memcpy(buf, good, sizeof buf);
    buf[first + 8] = SM_LINK_CLASS_MAX + 1;
    T_ERR(sm_linkstate_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    memcpy(buf, good, sizeof buf);
    memset(buf + first, 0, 8); /* itself: its id begins with zeros */
    T_ERR(sm_linkstate_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    memcpy(buf, good, sizeof buf);
    buf[first - 2] = SM_LINKS_MAX + 1;
    T_ERR(sm_linkstate_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    memcpy(buf, good, sizeof buf);
    buf[2] = SM_RECORD_NODE;
    T_ERR(sm_linkstate_read(sm_view_of(buf, len), &out), SM_E_MALFORMED);
    T_ERR(sm_linkstate_read(sm_view_of(good, len + 1), &out), SM_E_MALFORMED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(what_is_written_is_read_for_every_length),
        T_CASE(a_packet_passes_each_relay_once_and_is_delivered),
        T_CASE(a_relay_refuses_what_did_not_come_by_the_path),
        T_CASE(a_path_that_names_a_hop_twice_is_refused),
        T_CASE(every_byte_of_the_header_is_held_to_the_grammar),
        T_CASE(linkstates_come_back_and_every_link_is_found),
        T_CASE(linkstates_that_break_a_rule_are_refused),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
