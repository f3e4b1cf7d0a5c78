// SPDX-License-Identifier: Apache-2.0
#include "wire/tun.h"

#include "t.h"

#define HOP(n) ((struct sm_hop){(n)})
static const uint8_t mesh[SM_TUN_MESH] = {1, 2, 3, 4, 5};

enum { TCP = 6, UDP = 17, ICMPV6 = 58, VNET = SM_TUN_VNET, IP = SM_TUN_IP_HEAD };

/* A packet whose last header is `proto`, with n bytes behind the IPv6 header; returns its whole
 * length. */
static size_t packet(uint8_t *p, uint8_t proto, size_t n)
{
    struct sm_tun_ip a = sm_tun_ip_of(mesh, 1, HOP(7)), b = sm_tun_ip_of(mesh, 1, HOP(9));
    memset(p, 0, VNET + IP + n);
    uint8_t *ip = p + VNET;
    ip[0] = 0x60;
    ip[4] = (uint8_t)(n >> 8);
    ip[5] = (uint8_t)n;
    ip[6] = proto;
    ip[7] = 64;
    memcpy(ip + 8, a.b, 16);
    memcpy(ip + 24, b.b, 16);
    if (proto == TCP && n >= 20) {
        ip[IP + 12] = 5 << 4;
    }
    ip[IP] = 0x12; /* ports 0x1234 -> 0x0016 */
    ip[IP + 1] = 0x34;
    ip[IP + 3] = 22;
    return VNET + IP + n;
}

static void vnet(uint8_t *p, uint8_t flags, uint8_t gso, uint16_t size, uint16_t start,
                 uint16_t offset)
{
    struct sm_wr w = sm_wr_init(p, VNET);
    sm_wr_u8(&w, flags);
    sm_wr_u8(&w, gso);
    sm_wr_u16(&w, 0xffff); /* hdr_len: what a peer says of it is not believed */
    sm_wr_u16(&w, size);
    sm_wr_u16(&w, start);
    sm_wr_u16(&w, offset);
}

static void addresses_name_a_mesh_an_area_and_a_node(void)
{
    struct sm_tun_ip ip = sm_tun_ip_of(mesh, 0x1234, HOP(0x0102030405060708));
    static const uint8_t want[16] = {0xfd, 1, 2, 3, 4, 5, 0x12, 0x34, 8, 7, 6, 5, 4, 3, 2, 1};
    static const uint8_t other[SM_TUN_MESH] = {1, 2, 3, 4, 6};
    T_MEM(ip.b, 16, want, 16);
    T_EQ(sm_tun_ip_hop(&ip).v, 0x0102030405060708);
    T_TRUE(sm_tun_ip_is_of(&ip, mesh));
    T_TRUE(!sm_tun_ip_is_of(&ip, other));
    ip.b[0] = 0xfe;
    T_TRUE(!sm_tun_ip_is_of(&ip, mesh));
}

static uint8_t p[SM_TUN_PACKET_MAX + 1];
static struct sm_tun_packet t;

static void a_plain_packet_is_read_and_its_ports_are_seen(void)
{
    struct sm_tun_ip a = sm_tun_ip_of(mesh, 1, HOP(7)), b = sm_tun_ip_of(mesh, 1, HOP(9));
    size_t n = packet(p, UDP, 30);
    T_OK(sm_tun_read(p, n, &t));
    T_TRUE(sm_tun_ip_eq(&t.src, &a) && sm_tun_ip_eq(&t.dst, &b));
    T_EQ(t.proto, UDP);
    static const uint8_t ports[] = {0x12, 0x34, 0, 22};
    T_MEM(t.ports, 4, ports, 4);
    T_OK(sm_tun_read(p, packet(p, 59, 0), &t)); /* no next header, and nothing */
    T_OK(sm_tun_read(p, packet(p, TCP, 65535), &t));
}

static void a_packet_is_as_long_as_it_says(void)
{
    size_t n = packet(p, UDP, 30);
    T_ERR(sm_tun_read(p, n - 1, &t), SM_E_MALFORMED);
    T_ERR(sm_tun_read(p, n + 1, &t), SM_E_MALFORMED);
    T_ERR(sm_tun_read(p, VNET + IP - 1, &t), SM_E_TRUNCATED);
    T_ERR(sm_tun_read(p, VNET - 1, &t), SM_E_TRUNCATED);
    packet(p, UDP, 30);
    p[VNET] = 0x45;
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
    packet(p, UDP, 30);
    p[VNET + 7] = 0; /* hop limit */
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
}

static void what_no_mesh_carries_is_refused(void)
{
    size_t n = packet(p, UDP, 30);
    p[VNET + 24] = 0xff;
    T_ERR(sm_tun_read(p, n, &t), SM_E_REFUSED);
    packet(p, UDP, 30);
    p[VNET + 8] = 0xff;
    T_ERR(sm_tun_read(p, n, &t), SM_E_REFUSED);
    T_ERR(sm_tun_read(p, packet(p, 0, 30), &t), SM_E_REFUSED);
    T_ERR(sm_tun_read(p, packet(p, 43, 30), &t), SM_E_REFUSED);
    for (unsigned type = 130; type < 140; type++) {
        n = packet(p, ICMPV6, 8);
        p[VNET + IP] = (uint8_t)type;
        bool is_discovery = type >= 133 && type <= 137;
        T_EQ(sm_tun_read(p, n, &t), is_discovery ? SM_E_REFUSED : SM_OK);
    }
    n = packet(p, 60, 16); /* the same, behind destination options */
    p[VNET + IP] = ICMPV6;
    p[VNET + IP + 1] = 0;
    p[VNET + IP + 8] = 134;
    T_ERR(sm_tun_read(p, n, &t), SM_E_REFUSED);
}

static void headers_that_run_out_of_the_packet_are_refused(void)
{
    static const uint8_t kinds[] = {44, 51, 60};
    for (size_t i = 0; i < SM_COUNT(kinds); i++) {
        T_ERR(sm_tun_read(p, packet(p, kinds[i], 7), &t), SM_E_TRUNCATED);
    }
    size_t n = packet(p, 60, 16);
    p[VNET + IP] = UDP;
    p[VNET + IP + 1] = 2; /* 24 bytes */
    T_ERR(sm_tun_read(p, n, &t), SM_E_TRUNCATED);
    n = packet(p, 60, 160);
    for (unsigned i = 0; i < 20; i++) {
        p[VNET + IP + 8 * i] = 60;
        p[VNET + IP + 8 * i + 1] = 0;
    }
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
}

static void only_a_checksum_of_tcp_or_udp_may_be_asked_for_where_it_is(void)
{
    size_t n = packet(p, TCP, 20 + 100);
    vnet(p, 1, 0, 77, IP, 16);
    T_OK(sm_tun_read(p, n, &t));
    static const uint8_t want[VNET] = {1, 0, IP + 20, 0, 0, 0, IP, 0, 16, 0};
    T_MEM(p, VNET, want, VNET);
    static const uint16_t wrong[][2] = {
        {IP, 6}, {IP + 1, 16}, {0, 16}, {65535, 16}, {IP, 65535}};
    for (size_t i = 0; i < SM_COUNT(wrong); i++) {
        vnet(p, 1, 0, 0, wrong[i][0], wrong[i][1]);
        T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
    }
    vnet(p, 4, 0, 0, IP, 16);
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
    vnet(p, 2, 0, 9, IP, 16); /* "it is right" is not passed on */
    T_OK(sm_tun_read(p, n, &t));
    static const uint8_t zeros[VNET];
    T_MEM(p, VNET, zeros, VNET);
    vnet(p, 1, 0, 0, IP, 16);
    p[VNET + IP + 12] = 4 << 4; /* TCP header of 16 bytes */
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
    p[VNET + IP + 12] = 15 << 4;
    T_OK(sm_tun_read(p, n, &t));
    n = packet(p, TCP, 59);
    vnet(p, 1, 0, 0, IP, 16);
    p[VNET + IP + 12] = 15 << 4; /* 60 bytes of 59 */
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
    n = packet(p, ICMPV6, 100);
    vnet(p, 1, 0, 0, IP, 2);
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
    n = packet(p, UDP, 8);
    vnet(p, 1, 0, 0, IP, 6);
    T_OK(sm_tun_read(p, n, &t));
}

static void a_segment_has_a_kind_that_fits_and_a_sane_size(void)
{
    static const struct {
        uint8_t proto, flags, gso;
        uint16_t size, offset;
        enum sm_err want;
    } rows[] = {
        {TCP, 1, 4, 1348, 16, SM_OK},
        {TCP, 1, 0x84, 1348, 16, SM_OK}, /* with ECN */
        {TCP, 1, 4, 48, 16, SM_OK},
        {TCP, 1, 4, 47, 16, SM_E_MALFORMED},
        {TCP, 1, 4, 0, 16, SM_E_MALFORMED},
        {TCP, 1, 4, 65535, 16, SM_OK},
        {TCP, 0, 4, 1348, 16, SM_E_MALFORMED},
        {TCP, 2, 4, 1348, 16, SM_E_MALFORMED},
        {TCP, 1, 1, 1348, 16, SM_E_MALFORMED}, /* of IPv4 */
        {TCP, 1, 3, 1348, 16, SM_E_MALFORMED}, /* UDP fragments */
        {TCP, 1, 5, 1348, 16, SM_E_MALFORMED},
        {TCP, 1, 0x80, 1348, 16, SM_E_MALFORMED},
        {TCP, 1, 255, 1348, 16, SM_E_MALFORMED},
        {UDP, 1, 5, 1348, 6, SM_OK},
        {UDP, 1, 0x85, 1348, 6, SM_E_MALFORMED},
        {UDP, 1, 5, 0, 6, SM_E_MALFORMED},
        {UDP, 1, 5, 400, 6, SM_E_MALFORMED}, /* 151 segments */
        {UDP, 1, 4, 1348, 6, SM_E_MALFORMED},
    };
    for (size_t i = 0; i < SM_COUNT(rows); i++) {
        size_t n = packet(p, rows[i].proto, 60000);
        vnet(p, rows[i].flags, rows[i].gso, rows[i].size, IP, rows[i].offset);
        T_EQ(sm_tun_read(p, n, &t), rows[i].want);
        if (rows[i].want == SM_OK) {
            T_EQ(p[1], rows[i].gso);
            T_EQ(p[4] | p[5] << 8, rows[i].size);
            T_EQ(p[2] | p[3] << 8, IP + (rows[i].proto == TCP ? 20 : 8));
        }
    }
}

static void a_fragment_has_no_ports_and_cannot_be_a_segment(void)
{
    size_t n = packet(p, 44, 8 + 100);
    p[VNET + IP] = TCP;
    p[VNET + IP + 2] = 0;
    p[VNET + IP + 3] = 1; /* more follow */
    p[VNET + IP + 8 + 12] = 5 << 4;
    T_OK(sm_tun_read(p, n, &t));
    static const uint8_t zeros[4];
    T_MEM(t.ports, 4, zeros, 4);
    vnet(p, 1, 4, 100, IP + 8, 16);
    T_ERR(sm_tun_read(p, n, &t), SM_E_MALFORMED);
}

/* One's complement sum over the pseudo header and the message, which is 0xffff when right. */
static uint16_t sum_of(const uint8_t *ip)
{
    size_t n = (size_t)(ip[4] << 8 | ip[5]);
    uint64_t sum = n + ip[6];
    for (size_t i = 8; i < 40 + n; i++) {
        sum += (uint64_t)ip[i] << (i % 2 == 0 ? 8 : 0);
    }
    while (sum >> 16 != 0) {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    return (uint16_t)sum;
}

static void an_answer_quotes_the_packet_and_has_a_good_checksum(void)
{
    uint8_t out[SM_TUN_ANSWER_MAX];
    struct sm_tun_ip from = sm_tun_ip_of(mesh, 1, HOP(7));
    static const size_t sizes[] = {0, 1, 21, 30, 1192, 1193, 60000};
    for (size_t i = 0; i < SM_COUNT(sizes); i++) {
        size_t n = packet(p, sizes[i] == 0 ? 59 : UDP, sizes[i]);
        size_t got = sm_tun_answer(p, n, SM_TUN_ADDRESS, &from, out);
        size_t quoted = n - VNET < 1280 - 48 ? n - VNET : 1280 - 48;
        T_EQ(got, VNET + 48 + quoted);
        T_EQ(out[VNET + 40], 1);
        T_EQ(out[VNET + 41], SM_TUN_ADDRESS);
        T_MEM(out + VNET + 8, 16, from.b, 16);
        T_MEM(out + VNET + 24, 16, p + VNET + 8, 16);
        T_MEM(out + VNET + 48, quoted, p + VNET, quoted);
        T_EQ(sum_of(out + VNET), 0xffff);
        T_OK(sm_tun_read(out, got, &t));
    }
    size_t n = packet(p, ICMPV6, 20);
    p[VNET + IP] = 1;
    T_EQ(sm_tun_answer(p, n, SM_TUN_ADDRESS, &from, out), 0); /* errors are not answered */
    p[VNET + IP] = 128;
    T_TRUE(sm_tun_answer(p, n, SM_TUN_ADDRESS, &from, out) > 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(addresses_name_a_mesh_an_area_and_a_node),
        T_CASE(a_plain_packet_is_read_and_its_ports_are_seen),
        T_CASE(a_packet_is_as_long_as_it_says),
        T_CASE(what_no_mesh_carries_is_refused),
        T_CASE(headers_that_run_out_of_the_packet_are_refused),
        T_CASE(only_a_checksum_of_tcp_or_udp_may_be_asked_for_where_it_is),
        T_CASE(a_segment_has_a_kind_that_fits_and_a_sane_size),
        T_CASE(a_fragment_has_no_ports_and_cannot_be_a_segment),
        T_CASE(an_answer_quotes_the_packet_and_has_a_good_checksum),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
