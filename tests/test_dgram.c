// SPDX-License-Identifier: Apache-2.0
#include "t.h"

#include "core/arq.h"
#include "core/pieces.h"
#include "core/recovery.h"
#include "crypto/rng.h"
#include "wire/datagram.h"

#ifdef SM_DEV_ROOT
#include "dgram_rig.h"

static const struct sm_dgram_cfg plain;

static struct net *net_up(void)
{
    struct net *n = net_new(sm_suite_sim(), t_seed());
    net_dial(n, &plain, NULL);
    net_run(n, SM_S(1));
    T_TRUE(net_is_up(n));
    return n;
}

/* One after the other, each when there is room for it; then let them arrive. */
static void send_packets(struct net *n, unsigned from, unsigned count, size_t size)
{
    static uint8_t packet[SM_DGRAM_PACKET_MAX];
    for (unsigned i = 0; i < count;) {
        memset(packet, (int)i, size);
        enum sm_err e =
            sm_tunnel_send(n->end[from].t, SM_TUNNEL_PACKET, sm_view_of(packet, size));
        if (e != SM_OK) {
            T_EQ(e, SM_E_BUSY);
        }
        i += e == SM_OK;
        net_drain(n, from);
        net_run(n, SM_MS(1));
    }
    while (sm_tunnel_queued(n->end[from].t) > 0) {
        net_run(n, SM_MS(1));
    }
    net_run(n, SM_MS(100));
}

static struct sm_dgram_info info(const struct net *n, unsigned i)
{
    return sm_dgram_info(sm_tunnel_dgram(n->end[i].t));
}

static bool is_at(const struct net *n, unsigned i, const struct sm_path *where)
{
    struct sm_path path = info(n, i).path;
    return sm_path_eq(&path, where);
}

/* -- coming up ---------------------------------------------------------------------------- */

static void a_tunnel_comes_up_by_xx_and_by_ik(void)
{
    for (int i = 0; i < 4; i++) {
        struct net *n = net_new(i < 2 ? sm_suite_real() : sm_suite_sim(), t_seed());
        net_dial(n, &plain, i % 2 == 0 ? NULL : &n->node[1].dh.pub);
        net_run(n, SM_S(1));
        T_TRUE(net_is_up(n));
        T_TRUE(sm_node_id_eq(&n->end[0].peer, &n->node[1].rec.node_id));
        T_TRUE(sm_node_id_eq(&n->end[1].peer, &n->node[0].rec.node_id));
        send_packets(n, 0, 1, 1000);
        T_EQ(n->end[1].messages[SM_TUNNEL_PACKET], 1);
        net_free(n);
    }
}

static void it_comes_up_whatever_the_network_loses_doubles_and_reorders(void)
{
    for (unsigned i = 0; i < 40; i++) {
        struct net *n = net_new(sm_suite_sim(), t_seed() + i);
        n->loss = 100;
        n->doubled = 200;
        n->jitter = SM_MS(30);
        net_dial(n, &plain, i % 2 == 0 ? NULL : &n->node[1].dh.pub);
        net_run(n, SM_S(9));
        T_TRUE(net_is_up(n));
        net_free(n);
    }
}

static void an_answer_is_never_longer_than_what_asked_for_it(void)
{
    for (int i = 0; i < 2; i++) {
        struct net *n = net_new(sm_suite_sim(), t_seed());
        n->is_cut[1] = true; /* the dialer never hears; or it is not who it seems to be */
        net_dial(n, &plain, i == 0 ? NULL : &n->node[1].dh.pub);
        net_run(n, SM_S(11));
        T_TRUE(n->carried[1] > 0);
        T_TRUE(n->bytes[1] <= n->bytes[0]);
        net_free(n);
    }
}

/* -- stream and packets ------------------------------------------------------------------- */

static void control_arrives_whole_and_in_order_through_loss(void)
{
    struct net *n = net_up();
    uint8_t message[3000];
    n->loss = 100;
    n->doubled = 50;
    n->jitter = SM_MS(10);
    for (unsigned i = 0; i < 200; i++) {
        memset(message, (int)i, sizeof message);
        T_OK(sm_tunnel_send(n->end[0].t, SM_TUNNEL_CONTROL, sm_view_of(message, 1 + i * 14)));
    }
    net_drain(n, 0);
    net_run(n, SM_S(30));
    T_TRUE(net_is_up(n));
    T_EQ(n->end[1].messages[SM_TUNNEL_CONTROL], 200);
    T_EQ(n->end[1].last.n, 1 + 199 * 14);
    T_EQ(n->end[1].last.p[0], 199);
    net_free(n);
}

static void packets_of_all_lengths_arrive(void)
{
    static const size_t lengths[] = {1, 15, 16, 17, 1151, 1152, 1153, 1424, 1425, 20480, 65536};
    struct net *n = net_up();
    static uint8_t packet[SM_DGRAM_PACKET_MAX];
    for (unsigned i = 0; i < SM_COUNT(lengths); i++) {
        sm_rng_bytes(&n->rng, packet, lengths[i]);
        T_OK(sm_tunnel_send(n->end[0].t, SM_TUNNEL_PACKET, sm_view_of(packet, lengths[i])));
        net_drain(n, 0);
        net_run(n, SM_MS(500));
        T_EQ(n->end[1].messages[SM_TUNNEL_PACKET], i + 1);
        T_MEM(n->end[1].last.p, n->end[1].last.n, packet, lengths[i]);
    }
    T_ERR(sm_tunnel_send(n->end[0].t, SM_TUNNEL_PACKET, (struct sm_view){0}), SM_E_LIMIT);
    net_free(n);
}

static void a_source_that_asks_for_room_is_not_refused(void)
{
    struct net *n = net_up();
    static uint8_t packet[20480];
    unsigned n_risky = 0;
    n->loss = 50; /* of a thousand: long packets go in the stream */
    for (unsigned i = 0; i < 200; i++) {
        n_risky += sm_dgram_is_risky(sm_tunnel_dgram(n->end[0].t), sizeof packet);
        while (sm_tunnel_room(n->end[0].t) > 0) {
            T_OK(sm_tunnel_send(n->end[0].t, SM_TUNNEL_PACKET,
                                sm_view_of(packet, sizeof packet)));
        }
        net_drain(n, 0);
        net_run(n, SM_MS(10));
    }
    T_TRUE(n_risky > 0);
    T_TRUE(n->end[1].messages[SM_TUNNEL_PACKET] > 0);
    net_free(n);
}

static void a_packet_comes_once_however_often_its_datagrams_do(void)
{
    struct net *n = net_up();
    n->doubled = 1000;
    n->jitter = SM_MS(3);
    send_packets(n, 0, 500, 4000);
    net_run(n, SM_S(1));
    unsigned got = n->end[1].messages[SM_TUNNEL_PACKET];
    T_TRUE(got <= 500 && got > 480); /* what comes very late may find its place taken */
    T_TRUE(info(n, 1).n_dropped >= 500);
    net_free(n);
}

static void lost_packets_stay_lost_and_are_counted(void)
{
    struct net *n = net_up();
    n->loss = 50;
    send_packets(n, 0, 2000, 1000);
    net_run(n, SM_S(1));
    unsigned got = n->end[1].messages[SM_TUNNEL_PACKET];
    T_TRUE(net_is_up(n));
    T_TRUE(got > 1500 && got < 2000);
    T_TRUE(info(n, 0).n_lost >= 2000 - got && info(n, 0).loss > 0);
    net_free(n);
}

static void a_queue_that_the_path_does_not_take_is_bounded(void)
{
    struct net *n = net_up();
    static const uint8_t packet[20000];
    n->is_cut[0] = true;
    unsigned taken = 0;
    for (unsigned i = 0; i < 1000; i++) {
        taken += sm_tunnel_send(n->end[0].t, SM_TUNNEL_PACKET,
                                sm_view_of(packet, sizeof packet)) == SM_OK;
        net_drain(n, 0);
    }
    T_TRUE(taken < 40);
    T_TRUE(sm_tunnel_queued(n->end[0].t) <= 256u << 10);
    net_free(n);
}

/* -- keys --------------------------------------------------------------------------------- */

static void keys_change_by_count_and_by_time_and_nothing_is_lost(void)
{
    struct sm_dgram_cfg often = {.rekey_frames = 50, .rekey = SM_S(5)};
    struct net *n = net_new(sm_suite_real(), t_seed());
    n->jitter = SM_MS(4); /* late ones come under the key before */
    net_dial(n, &often, NULL);
    net_run(n, SM_S(1));
    uint64_t before = info(n, 1).n_dropped; /* what overtook the handshake's last message */
    send_packets(n, 0, 3000, 1400);
    net_run(n, SM_S(40)); /* pings only */
    T_TRUE(net_is_up(n));
    T_EQ(n->end[1].messages[SM_TUNNEL_PACKET], 3000);
    T_EQ(info(n, 1).n_dropped, before);
    net_free(n);
}

static void flip(struct net *n, unsigned from, struct net_datagram *d)
{
    if (from == 0 && sm_rng_below(&n->rng, 2) == 0) {
        d->p[sm_rng_below(&n->rng, d->n)] ^= 1; /* the sender's own memory, until it goes on */
    }
}

static void changed_datagrams_are_dropped_and_nothing_else_happens(void)
{
    struct net *n = net_up();
    n->tap = flip;
    send_packets(n, 0, 300, 1000);
    net_run(n, SM_S(3));
    T_TRUE(net_is_up(n));
    T_TRUE(n->end[1].messages[SM_TUNNEL_PACKET] > 50);
    T_TRUE(n->end[1].messages[SM_TUNNEL_PACKET] < 300);
    T_TRUE(info(n, 1).n_dropped > 50);
    net_free(n);
}

static void strangers_bytes_do_nothing(void)
{
    struct net *n = net_up();
    uint8_t junk[1500];
    struct sm_path from = net_addr(9, 9);
    for (unsigned i = 0; i < 5000; i++) {
        size_t len = 1 + sm_rng_below(&n->rng, sizeof junk);
        sm_rng_bytes(&n->rng, junk, len);
        junk[0] = i % 2 == 0 ? SM_DGRAM_SEALED : SM_DGRAM_CLEAR;
        if (len >= 8) {
            sm_put_le32(junk + 4, 0x1000);
        }
        net_give(n, 0, i % 3 == 0 ? &n->addr[1] : &from, junk, len, 1 + len / 2);
    }
    T_TRUE(net_is_up(n));
    T_TRUE(is_at(n, 0, &n->addr[1]));
    T_EQ(info(n, 0).moves, 0);
    net_free(n);
}

/* -- path --------------------------------------------------------------------------------- */

static void the_mtu_is_found_by_probes(void)
{
    static const size_t mtus[][2] = {
        {1200, 1200}, {1252, 1232}, {1452, 1440}, {1472, 1472}, {8972, 8944}};
    for (unsigned i = 0; i < SM_COUNT(mtus); i++) {
        struct net *n = net_new(sm_suite_sim(), t_seed());
        n->mtu = mtus[i][0];
        net_dial(n, &plain, NULL);
        net_run(n, SM_S(5));
        T_TRUE(net_is_up(n));
        T_EQ(info(n, 0).mtu, mtus[i][1]);
        T_EQ(info(n, 1).mtu, mtus[i][1]);
        T_EQ(info(n, 0).loss, 0); /* probes are no sign of load */
        net_free(n);
    }
}

static void a_path_that_narrows_without_a_word_is_noticed(void)
{
    struct net *n = net_up();
    net_run(n, SM_S(3));
    T_EQ(info(n, 0).mtu, 1472);
    n->mtu = 1252; /* nobody sends an ICMP message */
    send_packets(n, 0, 2000, 1400);
    T_EQ(info(n, 0).mtu, 1232);
    unsigned before = n->end[1].messages[SM_TUNNEL_PACKET];
    send_packets(n, 0, 100, 1400);
    net_run(n, SM_MS(100));
    T_TRUE(n->end[1].messages[SM_TUNNEL_PACKET] >= before + 100);
    net_free(n);
}

static void a_peer_that_moves_keeps_its_tunnel(void)
{
    struct net *n = net_up();
    n->addr[0] = net_addr(7, 7777);
    send_packets(n, 0, 10, 1000);
    net_run(n, SM_S(1));
    T_TRUE(is_at(n, 1, &n->addr[0]));
    T_EQ(info(n, 1).moves, 1);
    send_packets(n, 1, 10, 1000);
    net_run(n, SM_S(1));
    T_EQ(n->end[0].messages[SM_TUNNEL_PACKET], 10);
    T_EQ(n->end[1].messages[SM_TUNNEL_PACKET], 10);
    n->addr[1] = net_addr(8, 8888); /* and now the answerer; it speaks first */
    send_packets(n, 1, 1, 100);
    net_run(n, SM_S(20));
    T_TRUE(net_is_up(n));
    T_TRUE(is_at(n, 0, &n->addr[1]));
    net_free(n);
}

/* An attacker that sees datagrams sends copies of them from its own address, faster than they
 * come by themselves; it cannot answer for the peer. */
static struct sm_path thief;
static void copy_from_elsewhere(struct net *n, unsigned from, struct net_datagram *d)
{
    if (from == 0) {
        d->from = thief;
        (void)n;
    }
}

static void copies_from_another_address_do_not_move_the_tunnel(void)
{
    struct net *n = net_up();
    thief = net_addr(66, 6666);
    n->tap = copy_from_elsewhere;
    uint64_t before = n->bytes[1];
    send_packets(n, 0, 200, 1000);
    net_run(n, SM_S(1));
    T_EQ(info(n, 1).moves, 0);
    T_TRUE(is_at(n, 1, &n->addr[0]));
    T_TRUE(n->bytes[1] - before < 200 * 1000 / 4); /* acknowledgements, a few questions */
    n->tap = NULL;
    send_packets(n, 0, 10, 1000);
    net_run(n, SM_S(1));
    T_TRUE(net_is_up(n));
    net_free(n);
}

static void a_dead_path_ends_the_tunnel_by_silence(void)
{
    struct net *n = net_up();
    n->is_cut[0] = true;
    n->is_cut[1] = true;
    net_run(n, SM_S(20));
    T_TRUE(n->end[0].is_down && n->end[1].is_down);
    T_EQ(n->end[0].err, SM_E_TIMEOUT);
    net_free(n);
}

static void a_close_reaches_the_peer(void)
{
    struct net *n = net_up();
    sm_tunnel_close(n->end[0].t, SM_E_EXISTS, "another is up");
    net_drain(n, 0);
    net_run(n, SM_S(1));
    T_TRUE(n->end[0].is_down && n->end[1].is_down);
    T_EQ(n->end[1].err, SM_E_CLOSED);
    net_free(n);
}
#endif

/* -- parts -------------------------------------------------------------------------------- */

static void a_stream_survives_any_order_of_loss_and_arrival(void)
{
    struct sm_rng rng;
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "arq");
    struct sm_arq_tx tx;
    struct sm_arq_rx rx;
    sm_arq_tx_init(&tx, 4 * SM_ARQ_WINDOW);
    sm_arq_rx_init(&rx);
    struct {
        uint64_t offset;
        uint8_t bytes[200];
        size_t n;
        bool is_used;
    } wire[256] = {0};
    uint64_t pushed = 0, got = 0;
    while (got < 2000000) {
        uint8_t more[700];
        size_t n = 1 + sm_rng_below(&rng, sizeof more);
        for (size_t i = 0; i < n; i++) {
            more[i] = (uint8_t)((pushed + i) * 7 + (pushed + i) / 251);
        }
        if (sm_arq_push(&tx, sm_view_of(more, n)) == SM_OK) {
            pushed += n;
        }
        unsigned at = (unsigned)sm_rng_below(&rng, SM_COUNT(wire));
        struct sm_view piece;
        for (unsigned i = 0; i < 4; i++, at = (at + 97) % SM_COUNT(wire)) {
            if (wire[at].is_used) { /* it arrives, twice, or is lost */
                bool has_come = sm_rng_below(&rng, 3) > 0;
                struct sm_view v = sm_view_of(wire[at].bytes, wire[at].n);
                has_come = has_come && sm_arq_take(&rx, wire[at].offset, v) == SM_OK;
                if (has_come && sm_rng_below(&rng, 4) == 0) {
                    T_OK(sm_arq_take(&rx, wire[at].offset, v));
                }
                (has_come ? sm_arq_arrived : sm_arq_lost)(&tx, wire[at].offset, wire[at].n);
                wire[at].is_used = false;
            }
            if (sm_arq_next(&tx, 1 + sm_rng_below(&rng, 200), &wire[at].offset, &piece)) {
                memcpy(wire[at].bytes, piece.p, piece.n);
                wire[at].n = piece.n;
                wire[at].is_used = true;
            }
        }
        uint8_t *p;
        while (sm_arq_give(&rx, &p, &n)) {
            for (size_t i = 0; i < n; i++, got++) {
                T_EQ(p[i], (uint8_t)(got * 7 + got / 251));
            }
        }
    }
    T_TRUE(got <= pushed);
    sm_arq_tx_done(&tx);
    sm_arq_rx_done(&rx);
}

static void what_lies_beyond_the_window_is_not_taken(void)
{
    struct sm_arq_rx rx;
    uint8_t b[10] = {0}, *p;
    size_t n;
    sm_arq_rx_init(&rx);
    T_ERR(sm_arq_take(&rx, SM_ARQ_WINDOW - 9, sm_view_of(b, 10)), SM_E_LIMIT);
    T_ERR(sm_arq_take(&rx, UINT64_MAX - 3, sm_view_of(b, 10)), SM_E_LIMIT);
    T_OK(sm_arq_take(&rx, SM_ARQ_WINDOW - 10, sm_view_of(b, 10)));
    for (unsigned i = 0; i < SM_ARQ_RUNS - 1; i++) {
        T_OK(sm_arq_take(&rx, 2 + 2 * i, sm_view_of(b, 1)));
    }
    T_ERR(sm_arq_take(&rx, 5000, sm_view_of(b, 1)), SM_E_LIMIT);
    T_TRUE(!sm_arq_give(&rx, &p, &n));
    T_OK(sm_arq_take(&rx, 0, sm_view_of(b, 10)));
    T_TRUE(sm_arq_give(&rx, &p, &n));
    T_EQ(n, 10 + 1);
    sm_arq_rx_done(&rx);
}

static void frames_have_one_encoding(void)
{
    uint8_t b[SM_DGRAM_FRAME_HEAD + 64] = {0};
    struct sm_dgram_frame f = {.type = SM_DGRAM_PIECE,
                               .n = 3,
                               .index = 2,
                               .number = 9,
                               .total = 150},
                          g;
    T_EQ(sm_dgram_piece(150, 3), 64);
    T_EQ(sm_dgram_piece(128, 3), 48);
    T_EQ(sm_dgram_piece(96, 7), 0);
    T_EQ(sm_dgram_piece(0, 1), 0);
    T_EQ(sm_dgram_piece(65536, 65), 0);
    sm_dgram_frame_head(&f, b);
    T_OK(sm_dgram_frame_read(sm_view_of(b, sizeof b), &g));
    T_EQ(g.bytes.n, 22);
    T_EQ(g.index, 2);
    b[sizeof b - 1] = 1; /* behind the end of the last piece */
    T_ERR(sm_dgram_frame_read(sm_view_of(b, sizeof b), &g), SM_E_MALFORMED);
    b[sizeof b - 1] = 0;
    b[1] = 3;
    T_ERR(sm_dgram_frame_read(sm_view_of(b, sizeof b), &g), SM_E_MALFORMED);
    for (unsigned type = 0; type < 256; type++) {
        memset(b, 0, sizeof b);
        b[0] = (uint8_t)type;
        bool is_some = type == SM_DGRAM_STREAM || type == SM_DGRAM_PROBE;
        T_EQ(sm_dgram_frame_read(sm_view_of(b, sizeof b), &g) == SM_OK, is_some);
    }
}

static void an_unfinished_packet_gives_way_to_a_newer_one(void)
{
    struct sm_pieces ps = {0};
    uint8_t b[64] = {0};
    struct sm_mono now = {1};
    struct sm_view whole;
    struct sm_dgram_frame f = {
        .type = SM_DGRAM_PIECE, .n = 2, .total = 128, .bytes = {b, sizeof b}};
    T_TRUE(!sm_pieces_add(&ps, now, &f, &whole));
    f.number = SM_PIECES_OPEN;
    T_TRUE(!sm_pieces_add(&ps, now, &f, &whole));
    f.number = 0;
    f.index = 1;
    T_TRUE(!sm_pieces_add(&ps, now, &f, &whole)); /* too late */
    f.number = SM_PIECES_OPEN;
    T_TRUE(sm_pieces_add(&ps, now, &f, &whole));
    T_EQ(whole.n, 128);
    sm_pieces_tick(&ps, sm_after(now, SM_S(2)));
    for (unsigned i = 0; i < SM_PIECES_OPEN; i++) {
        T_TRUE(ps.open[i].p == NULL);
    }
    sm_pieces_done(&ps);
}

static unsigned n_arrived, n_lost;
static void count(void *ctx, const struct sm_sent *s, bool has_arrived)
{
    (void)ctx;
    (void)s;
    n_arrived += has_arrived;
    n_lost += !has_arrived;
}

static void each_datagram_is_told_of_once(void)
{
    struct sm_recovery r;
    struct sm_rng rng;
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&rng, seed, "recovery");
    sm_recovery_init(&r, 1u << 22);
    struct sm_mono now = {1000};
    unsigned sent = 0;
    n_arrived = n_lost = 0;
    for (unsigned i = 0; i < 20000; i++) {
        now = sm_after(now, SM_US(100));
        struct sm_sent s = {.at = now, .bytes = 1200, .kind = 1};
        if (sm_recovery_has_room(&r, 1200)) {
            T_OK(sm_recovery_sent(&r, &s, true, count, NULL));
            sent++;
        }
        if (sm_rng_below(&rng, 4) == 0 && r.next > 0) {
            uint64_t high = r.next - 1 - sm_rng_below(&rng, r.next < 20 ? r.next : 20);
            uint64_t low = high - sm_rng_below(&rng, high < 10 ? high + 1 : 10);
            struct sm_frame_ack a = {.n = 1, .range = {{low, high}}};
            T_OK(sm_recovery_acked(&r, now, &a, count, NULL));
        }
        if (sm_is_due(sm_recovery_deadline(&r), now)) {
            sm_recovery_tick(&r, now, count, NULL);
        }
        T_TRUE(r.in_flight <= r.next * 1200 && r.in_flight % 1200 == 0);
        T_EQ(n_arrived + n_lost + r.in_flight / 1200, sent);
    }
    T_TRUE(n_arrived > 0 && n_lost > 0);
    struct sm_frame_ack never = {.n = 1, .range = {{r.next, r.next}}};
    T_ERR(sm_recovery_acked(&r, now, &never, count, NULL), SM_E_MALFORMED);
    sm_recovery_done(&r);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(frames_have_one_encoding),
        T_CASE(a_stream_survives_any_order_of_loss_and_arrival),
        T_CASE(what_lies_beyond_the_window_is_not_taken),
        T_CASE(an_unfinished_packet_gives_way_to_a_newer_one),
        T_CASE(each_datagram_is_told_of_once),
#ifdef SM_DEV_ROOT
        T_CASE(a_tunnel_comes_up_by_xx_and_by_ik),
        T_CASE(it_comes_up_whatever_the_network_loses_doubles_and_reorders),
        T_CASE(an_answer_is_never_longer_than_what_asked_for_it),
        T_CASE(control_arrives_whole_and_in_order_through_loss),
        T_CASE(packets_of_all_lengths_arrive),
        T_CASE(a_source_that_asks_for_room_is_not_refused),
        T_CASE(a_packet_comes_once_however_often_its_datagrams_do),
        T_CASE(lost_packets_stay_lost_and_are_counted),
        T_CASE(a_queue_that_the_path_does_not_take_is_bounded),
        T_CASE(keys_change_by_count_and_by_time_and_nothing_is_lost),
        T_CASE(changed_datagrams_are_dropped_and_nothing_else_happens),
        T_CASE(strangers_bytes_do_nothing),
        T_CASE(the_mtu_is_found_by_probes),
        T_CASE(a_path_that_narrows_without_a_word_is_noticed),
        T_CASE(a_peer_that_moves_keeps_its_tunnel),
        T_CASE(copies_from_another_address_do_not_move_the_tunnel),
        T_CASE(a_dead_path_ends_the_tunnel_by_silence),
        T_CASE(a_close_reaches_the_peer),
#endif
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
