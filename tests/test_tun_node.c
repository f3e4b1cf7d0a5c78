// SPDX-License-Identifier: Apache-2.0
/* The TUN interface of nodes in memory: a and m are neighbours of b, and m lies. */
#include "core/node.h"
#include "crypto/suite_sim.h"
#include "passport_kit.h"
#include "t.h"
#include "wire/sign.h"

enum { A, B, M, MACHINES, EVENTS = 4096, WIRES = 16, VNET = SM_TUN_VNET };

struct end {
    unsigned machine;
    uint32_t conn;
};

static struct {
    struct kit kit;
    struct sm_mono now;
    struct sm_node *node[MACHINES];
    struct kit_id id[MACHINES];
    unsigned tuns[MACHINES]; /* packets the kernel of each got, and the last */
    uint8_t last[MACHINES][2048];
    size_t last_n[MACHINES];
    struct {
        struct end at[2];
        bool is_used;
    } wire[WIRES];
    struct {
        unsigned machine;
        struct sm_event ev;
        uint8_t *bytes;
    } queue[EVENTS];
    unsigned from, to;
    uint32_t accepted;
} w;

/* -- the world ------------------------------------------------------------------------------
 */

static void push(unsigned machine, struct sm_event ev, struct sm_view bytes)
{
    unsigned i = w.to++ % EVENTS;
    T_TRUE(w.to - w.from < EVENTS);
    w.queue[i].machine = machine;
    w.queue[i].ev = ev;
    w.queue[i].bytes = malloc(bytes.n + 1);
    memcpy(w.queue[i].bytes, bytes.p != NULL ? bytes.p : (const uint8_t *)"", bytes.n);
    w.queue[i].ev.input_n = bytes.n;
}

/* The wire and the end of it that is this machine's; false when there is none. */
static bool find(unsigned machine, uint32_t conn, unsigned *out_wire, unsigned *out_end)
{
    for (unsigned i = 0; i < WIRES * 2; i++) {
        const struct end *e = &w.wire[i / 2].at[i % 2];
        if (w.wire[i / 2].is_used && e->machine == machine && e->conn == conn) {
            *out_wire = i / 2;
            *out_end = i % 2;
            return true;
        }
    }
    return false;
}

static void dial(unsigned machine, const struct sm_action *a)
{
    unsigned i = 0;
    while (w.wire[i].is_used) {
        T_TRUE(++i < WIRES);
    }
    struct end to = {a->addr.ip[3], SM_CONN_ACCEPTED | w.accepted++};
    w.wire[i].is_used = true;
    w.wire[i].at[0] = (struct end){machine, a->conn};
    w.wire[i].at[1] = to;
    push(to.machine, (struct sm_event){.kind = SM_EV_ACCEPTED, .conn = to.conn},
         (struct sm_view){0});
    push(machine, (struct sm_event){.kind = SM_EV_DIALLED, .conn = a->conn},
         (struct sm_view){0});
}

static void sign(unsigned machine, const struct sm_action *a)
{
    struct sm_sign_request req;
    uint8_t room[4096];
    struct sm_wr out = sm_wr_init(room, sizeof room);
    T_OK(sm_sign_request_read(a->bytes, &req));
    if (req.kind == SM_SIGN_RECORD) {
        uint8_t whole[SM_RECORD_TO_SIGN_MAX];
        struct sm_wr msg = sm_wr_init(whole, sizeof whole);
        struct sm_sig sig;
        sm_record_to_sign(req.record, &msg);
        w.kit.suite->sign(&w.id[machine].sign, sm_view_of(whole, msg.n), &sig);
        sm_wr_bytes(&out, sig.b, sizeof sig.b);
    } else {
        struct sm_dev_platform platform = {.boot_id = {(uint8_t)(machine + 1)}};
        T_OK(sm_attest_collect_dev(w.kit.suite, &w.id[machine].sign, &platform, KIT_NOW,
                                   &req.binding, &out));
    }
    push(machine, (struct sm_event){.kind = SM_EV_SIGNED, .token = a->token},
         sm_view_of(room, out.n));
}

static void act(unsigned machine, const struct sm_action *a)
{
    unsigned i, e;
    switch ((int)a->kind) {
    case SM_ACT_DIAL:
        dial(machine, a);
        break;
    case SM_ACT_SEND:
        if (find(machine, a->conn, &i, &e)) {
            struct end to = w.wire[i].at[1 - e];
            push(to.machine, (struct sm_event){.kind = SM_EV_BYTES, .conn = to.conn}, a->bytes);
            push(machine,
                 (struct sm_event){
                     .kind = SM_EV_WRITTEN, .conn = a->conn, .written = a->bytes.n},
                 (struct sm_view){0});
        }
        break;
    case SM_ACT_CLOSE:
        if (find(machine, a->conn, &i, &e)) {
            struct end to = w.wire[i].at[1 - e];
            w.wire[i].is_used = false;
            push(to.machine, (struct sm_event){.kind = SM_EV_CLOSED, .conn = to.conn},
                 (struct sm_view){0});
        }
        break;
    case SM_ACT_SIGN:
        sign(machine, a);
        break;
    case SM_ACT_TUN:
        w.tuns[machine]++;
        w.last_n[machine] = a->bytes.n;
        memcpy(w.last[machine], a->bytes.p,
               a->bytes.n < sizeof w.last[0] ? a->bytes.n : sizeof w.last[0]);
        break;
    default: /* nothing else of a node matters here */
        break;
    }
}

static enum sm_err step(unsigned machine, struct sm_event ev)
{
    struct sm_action a;
    ev.now = w.now;
    ev.wall = (struct sm_wall){KIT_NOW.s + w.now.ns / SM_S(1).ns};
    enum sm_err err = sm_node_step(w.node[machine], &ev);
    while (sm_node_next(w.node[machine], &a)) {
        act(machine, &a);
    }
    return err;
}

/* Let everything that is on its way arrive, then time pass until something is due. */
static void turn(void)
{
    while (w.from < w.to) {
        unsigned i = w.from++ % EVENTS;
        uint8_t *bytes = w.queue[i].bytes;
        struct sm_event ev = w.queue[i].ev;
        unsigned wire, e;
        ev.input = bytes;
        ev.bytes = sm_view_of(bytes, ev.input_n);
        bool is_of_wire = ev.kind == SM_EV_BYTES || ev.kind == SM_EV_WRITTEN;
        if (!is_of_wire || find(w.queue[i].machine, ev.conn, &wire, &e)) {
            T_OK(step(w.queue[i].machine, ev));
        }
        free(bytes);
    }
    struct sm_mono due = sm_after(w.now, SM_MS(100));
    for (unsigned i = 0; i < MACHINES; i++) {
        due = sm_earlier(due, sm_node_deadline(w.node[i]));
    }
    w.now = due.ns > w.now.ns ? due : w.now;
    for (unsigned i = 0; i < MACHINES; i++) {
        T_OK(step(i, (struct sm_event){.kind = SM_EV_TIMER}));
    }
}

static void machine_make(unsigned i)
{
    struct sm_view record, none;
    kit_identity(&w.kit, (uint8_t)(i + 1), SM_EP_NODE, &w.id[i]);
    struct sm_node_cfg cfg = {.suite = w.kit.suite,
                              .anchor = w.kit.anchor,
                              .now = w.now,
                              .wall = KIT_NOW,
                              .n_peers = i == B ? 0 : 1,
                              .peers = {{.family = 4, .ip = {10, 0, 0, B}, .port = 7411}},
                              .cipher = SM_AESGCM,
                              .nodes_max = 16,
                              .tunnels_max = 8};
    T_OK(sm_passport_read(sm_view_of(w.id[i].passport, w.id[i].passport_n), &record, &none));
    T_OK(sm_node_record_read(record, &cfg.self));
    sm_put_le64(cfg.seed, t_seed() + i);
    w.node[i] = sm_node_new(&cfg);
    T_TRUE(w.node[i] != NULL);
}

static bool are_whole(void)
{
    for (unsigned i = 0; i < MACHINES; i++) {
        for (unsigned k = 0; k < MACHINES; k++) {
            struct sm_route_path paths[SM_ROUTE_PATHS];
            struct sm_hop to = sm_node_hop(w.node[k]);
            if (i != k && sm_route_paths(sm_node_route(w.node[i]), w.now, to, SM_ROUTE_PATHS,
                                         paths) == 0) {
                return false;
            }
        }
    }
    return true;
}

static void begin(void)
{
    memset(&w, 0, sizeof w);
    w.now = (struct sm_mono){SM_S(5).ns};
    kit_make(&w.kit, sm_suite_sim(), t_seed());
    for (unsigned i = 0; i < MACHINES; i++) {
        machine_make(i);
    }
    for (unsigned i = 0; i < 2000 && !are_whole(); i++) {
        turn();
    }
    T_TRUE(are_whole());
    for (unsigned i = 0; i < MACHINES; i++) {
        T_OK(step(i, (struct sm_event){.kind = SM_EV_TUN_ON}));
    }
}

static void end(void)
{
    for (; w.from < w.to; w.from++) {
        free(w.queue[w.from % EVENTS].bytes);
    }
    for (unsigned i = 0; i < MACHINES; i++) {
        sm_node_free(w.node[i]);
    }
}

/* -- packets --------------------------------------------------------------------------------
 */

/* A UDP packet with a mark in its data; its length. */
static size_t packet(uint8_t *p, const struct sm_tun_ip *src, const struct sm_tun_ip *dst,
                     uint8_t mark)
{
    enum { DATA = 40 };
    memset(p, 0, VNET + SM_TUN_IP_HEAD + DATA);
    uint8_t *ip = p + VNET;
    ip[0] = 0x60;
    ip[5] = DATA;
    ip[6] = 17;
    ip[7] = 64;
    memcpy(ip + 8, src->b, 16);
    memcpy(ip + 24, dst->b, 16);
    ip[SM_TUN_IP_HEAD + DATA - 1] = mark;
    return VNET + SM_TUN_IP_HEAD + DATA;
}

static struct sm_tun_ip ip_of(unsigned machine)
{
    return sm_node_tun_ip(w.node[machine]);
}

/* The kernel of `from` sends a packet. */
static void kernel_sends(unsigned from, struct sm_tun_ip src, struct sm_tun_ip dst,
                         uint8_t mark)
{
    uint8_t *room = sm_node_tun_room(w.node[from]);
    T_TRUE(room != NULL);
    T_OK(step(from, (struct sm_event){.kind = SM_EV_TUN_PACKET,
                                      .input_n = packet(room, &src, &dst, mark)}));
}

static void turns(unsigned n)
{
    while (n-- > 0) {
        turn();
    }
}

static void a_packet_reaches_the_kernel_of_the_node_it_names(void)
{
    begin();
    for (uint8_t i = 1; i <= 20; i++) {
        kernel_sends(A, ip_of(A), ip_of(M), i); /* over b */
    }
    turns(20);
    T_EQ(w.tuns[M], 20);
    T_EQ(w.tuns[B], 0);
    uint8_t want[256];
    struct sm_tun_ip a = ip_of(A), m = ip_of(M);
    size_t n = packet(want, &a, &m, 20);
    T_MEM(w.last[M], w.last_n[M], want, n);
    T_EQ(sm_node_tun_stats(w.node[A]).sent, 20);
    T_EQ(sm_node_tun_stats(w.node[M]).received, 20);
    end();
}

static void an_address_nobody_has_is_answered_within_the_same_step(void)
{
    begin();
    struct sm_tun_ip nobody = ip_of(B), other = ip_of(B);
    nobody.b[15] ^= 1;
    other.b[1] ^= 1; /* of another mesh */
    kernel_sends(A, ip_of(A), nobody, 1);
    T_EQ(w.tuns[A], 1);
    T_EQ(w.last[A][VNET + 40], 1);
    T_EQ(w.last[A][VNET + 41], SM_TUN_ADDRESS);
    kernel_sends(A, ip_of(A), other, 1);
    T_EQ(w.tuns[A], 2);
    T_EQ(w.last[A][VNET + 41], SM_TUN_NO_ROUTE);
    struct sm_tun_ip area = ip_of(B);
    area.b[7] ^= 1; /* the node, but in an area where it is not */
    kernel_sends(A, ip_of(A), area, 1);
    T_EQ(w.last[A][VNET + 41], SM_TUN_ADDRESS);
    T_EQ(sm_node_tun_stats(w.node[A]).unreachable, 3);
    end();
}

static void a_source_of_somebody_else_does_not_leave(void)
{
    begin();
    kernel_sends(A, ip_of(M), ip_of(B), 1);
    kernel_sends(A, (struct sm_tun_ip){{0xfe, 0x80}}, ip_of(B), 1);
    turns(20);
    T_EQ(w.tuns[A] + w.tuns[B], 0);
    T_EQ(sm_node_tun_stats(w.node[A]).refused_out, 2);
    end();
}

/* m, whose own node does not look, seals these bytes for b; twice if wanted. */
static void m_says(uint8_t service, const uint8_t *p, size_t n, unsigned times)
{
    static uint8_t room[SM_HOST_DATAGRAM_FRONT + 512 + SM_HOST_DATAGRAM_BACK];
    struct sm_addr b = {sm_node_hop(w.node[B]), SM_EP_NODE};
    const uint8_t *key = sm_node_self(w.node[B])->dh_key;
    struct sm_view sealed;
    enum sm_err err = SM_E_STATE;
    for (unsigned i = 0; i < 100 && err == SM_E_STATE; i++) {
        memcpy(room + SM_HOST_DATAGRAM_FRONT, p, n);
        err = sm_host_datagram(sm_node_host(w.node[M]), w.now, b, key, 0, service,
                               room + SM_HOST_DATAGRAM_FRONT, n, &sealed);
        if (err == SM_E_STATE) {
            turn();
        }
    }
    T_OK(err);
    while (times-- > 0) {
        T_OK(step(M,
                  (struct sm_event){
                      .kind = SM_EV_EP_PACKET, .ep = SM_EP_NODE, .peer = b, .bytes = sealed}));
    }
    turns(5);
}

static void a_peer_speaks_for_no_other_address_than_its_own(void)
{
    uint8_t p[256];
    begin();
    struct sm_tun_ip a = ip_of(A), b = ip_of(B), m = ip_of(M), odd = ip_of(M);
    m_says(SM_SERVICE_TUN, p, packet(p, &m, &b, 7), 1);
    T_EQ(w.tuns[B], 1);
    m_says(SM_SERVICE_TUN, p, packet(p, &a, &b, 7), 1);
    T_EQ(sm_node_tun_stats(w.node[B]).refused_sources, 1);
    m_says(SM_SERVICE_TUN, p, packet(p, &b, &b, 7), 1); /* b's own */
    odd.b[7] ^= 1;                                      /* in another area */
    m_says(SM_SERVICE_TUN, p, packet(p, &odd, &b, 7), 1);
    odd = (struct sm_tun_ip){{0x20, 0x01, 0x0d, 0xb8}};
    m_says(SM_SERVICE_TUN, p, packet(p, &odd, &b, 7), 1);
    T_EQ(sm_node_tun_stats(w.node[B]).refused_sources, 4);
    m_says(SM_SERVICE_TUN, p, packet(p, &m, &a, 7), 1); /* through b to a: b is no router */
    T_EQ(sm_node_tun_stats(w.node[B]).refused_in, 1);
    T_EQ(w.tuns[B], 1);
    T_EQ(w.tuns[A], 0);
    end();
}

static void what_a_peer_makes_up_does_not_reach_the_kernel(void)
{
    uint8_t p[256];
    begin();
    struct sm_tun_ip b = ip_of(B), m = ip_of(M);
    size_t n = packet(p, &m, &b, 7);
    p[0] = 1; /* a checksum of nothing it could be of */
    p[6] = 200;
    m_says(SM_SERVICE_TUN, p, n, 1);
    packet(p, &m, &b, 7);
    p[1] = 4; /* a TCP segment */
    m_says(SM_SERVICE_TUN, p, n, 1);
    m_says(SM_SERVICE_TUN, p, n - 1, 1);
    m_says(SM_SERVICE_TUN, p, 0, 1);
    packet(p, &m, &b, 7);
    m_says(SM_SERVICE_TUN + 1, p, n, 1);
    T_EQ(w.tuns[B], 0);
    T_EQ(sm_node_tun_stats(w.node[B]).refused_in, 5);
    m_says(SM_SERVICE_TUN, p, n, 3); /* the same sealed bytes again and again */
    T_EQ(w.tuns[B], 1);
    T_OK(step(B, (struct sm_event){.kind = SM_EV_TUN_OFF}));
    m_says(SM_SERVICE_TUN, p, n, 1);
    T_EQ(w.tuns[B], 1);
    end();
}

static void an_interface_can_go_and_come_back_at_any_time(void)
{
    begin();
    T_ERR(step(A, (struct sm_event){.kind = SM_EV_TUN_ON}), SM_E_EXISTS);
    kernel_sends(A, ip_of(A), ip_of(B), 1); /* waits for a session */
    T_OK(step(A, (struct sm_event){.kind = SM_EV_TUN_OFF}));
    T_TRUE(sm_node_tun_room(w.node[A]) == NULL);
    T_OK(step(A, (struct sm_event){.kind = SM_EV_TUN_PACKET, .input_n = 100}));
    turns(20);
    T_EQ(w.tuns[B], 0);
    T_OK(step(A, (struct sm_event){.kind = SM_EV_TUN_ON}));
    kernel_sends(A, ip_of(A), ip_of(B), 2);
    turns(20);
    T_EQ(w.tuns[B], 1);
    end();
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_packet_reaches_the_kernel_of_the_node_it_names),
        T_CASE(an_address_nobody_has_is_answered_within_the_same_step),
        T_CASE(a_source_of_somebody_else_does_not_leave),
        T_CASE(a_peer_speaks_for_no_other_address_than_its_own),
        T_CASE(what_a_peer_makes_up_does_not_reach_the_kernel),
        T_CASE(an_interface_can_go_and_come_back_at_any_time),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
