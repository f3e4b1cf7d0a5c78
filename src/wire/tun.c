// SPDX-License-Identifier: Apache-2.0
#include "wire/tun.h"

#include <string.h>

enum {
    NEEDS_CSUM = 1, /* flags */
    DATA_VALID = 2,
    GSO_NONE = 0, /* types */
    GSO_TCPV6 = 4,
    GSO_UDP_L4 = 5,
    GSO_ECN = 0x80,

    HOP_BY_HOP = 0, /* headers */
    TCP = 6,
    UDP = 17,
    ROUTING = 43,
    FRAGMENT = 44,
    ESP = 50,
    AUTH = 51,
    ICMPV6 = 58,
    DEST_OPTS = 60,

    HEADERS_MAX = 8, /* before the last; more are somebody's experiment */
    ROUTER_SOLICITATION = 133,
    REDIRECT = 137,
    TCP_HEAD = 20,
    UDP_HEAD = 8,
    TCP_CSUM = 16,
    UDP_CSUM = 6,
    ICMP_UNREACHABLE = 1,
    ICMP_HEAD = 8,
    ICMP_FIRST_QUESTION = 128, /* below are error messages */
    HOP_LIMIT = 64,
};

struct vnet {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

/* An IPv6 packet, without what stands before it. */
struct ip {
    const uint8_t *p;
    size_t n;
    uint8_t proto;
    size_t at; /* of that header; n when there is nothing of it */
    bool is_fragment;
};

/* -- addresses ----------------------------------------------------------------------------- */

struct sm_tun_ip sm_tun_ip_of(const uint8_t mesh[static SM_TUN_MESH], uint32_t area,
                              struct sm_hop hop)
{
    struct sm_tun_ip ip = {{0xfd}};
    memcpy(ip.b + 1, mesh, SM_TUN_MESH);
    ip.b[6] = (uint8_t)(area >> 8);
    ip.b[7] = (uint8_t)area;
    sm_put_le64(ip.b + 8, hop.v);
    return ip;
}

bool sm_tun_ip_is_of(const struct sm_tun_ip *ip, const uint8_t mesh[static SM_TUN_MESH])
{
    return ip->b[0] == 0xfd && memcmp(ip->b + 1, mesh, SM_TUN_MESH) == 0;
}

struct sm_hop sm_tun_ip_hop(const struct sm_tun_ip *ip)
{
    return (struct sm_hop){sm_le64(ip->b + 8)};
}

/* -- headers ------------------------------------------------------------------------------- */

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* Bytes of the extension header at `at`, or 0 when it is cut off or none we step over. */
static size_t extension_bytes(const struct ip *ip, uint8_t kind, size_t at)
{
    size_t n = 0;
    if (ip->n - at < 8) {
        return 0;
    }
    if (kind == DEST_OPTS) {
        n = ((size_t)ip->p[at + 1] + 1) * 8;
    } else if (kind == AUTH) {
        n = ((size_t)ip->p[at + 1] + 2) * 4;
    } else if (kind == FRAGMENT) {
        n = 8;
    }
    return n <= ip->n - at ? n : 0;
}

/* Find the header the ports are in. */
static enum sm_err walk(struct ip *ip)
{
    ip->proto = ip->p[6];
    ip->at = SM_TUN_IP_HEAD;
    for (unsigned i = 0; i <= HEADERS_MAX; i++) {
        switch (ip->proto) {
        case HOP_BY_HOP: /* for relays, and there are none */
        case ROUTING:    /* would let a peer choose where it goes from here */
            return SM_E_REFUSED;
        case DEST_OPTS:
        case AUTH:
        case FRAGMENT: {
            size_t n = extension_bytes(ip, ip->proto, ip->at);
            if (n == 0) {
                return SM_E_TRUNCATED;
            }
            bool is_cut = ip->proto == FRAGMENT && (be16(ip->p + ip->at + 2) & ~6u) != 0;
            ip->proto = ip->p[ip->at];
            ip->at += n;
            if (is_cut) {
                ip->is_fragment = true;
                return SM_OK;
            }
            break;
        }
        default:
            return SM_OK;
        }
    }
    return SM_E_MALFORMED;
}

static enum sm_err ip_read(const uint8_t *p, size_t n, struct ip *out)
{
    struct ip ip = {.p = p, .n = n};
    if (n < SM_TUN_IP_HEAD) {
        return SM_E_TRUNCATED;
    }
    if (p[0] >> 4 != 6 || SM_TUN_IP_HEAD + (size_t)be16(p + 4) != n || p[7] == 0) {
        return SM_E_MALFORMED;
    }
    if (p[8] == 0xff || p[24] == 0xff) {
        return SM_E_REFUSED; /* multicast */
    }
    SM_TRY(walk(&ip));
    bool is_discovery = ip.proto == ICMPV6 && !ip.is_fragment && ip.at < n &&
                        p[ip.at] >= ROUTER_SOLICITATION && p[ip.at] <= REDIRECT;
    if (is_discovery) {
        return SM_E_REFUSED; /* it would change whom this host asks for its way */
    }
    *out = ip;
    return SM_OK;
}

/* -- what the kernel is told ----------------------------------------------------------------
 */

/* Bytes up to the data of the segment, and where its checksum is; MALFORMED when it is none
 * that a kernel may be asked to finish. */
static enum sm_err segment_head(const struct ip *ip, size_t *head, uint16_t *csum)
{
    size_t left = ip->n - ip->at;
    size_t n = 0;
    if (ip->is_fragment) {
        return SM_E_MALFORMED;
    }
    if (ip->proto == UDP && left >= UDP_HEAD) {
        n = UDP_HEAD;
        *csum = UDP_CSUM;
    } else if (ip->proto == TCP && left >= TCP_HEAD) {
        n = (size_t)(ip->p[ip->at + 12] >> 4) * 4;
        *csum = TCP_CSUM;
    }
    if (n < UDP_HEAD || (ip->proto == TCP && n < TCP_HEAD) || n > left) {
        return SM_E_MALFORMED;
    }
    *head = ip->at + n;
    return SM_OK;
}

static enum sm_err gso_check(const struct ip *ip, const struct vnet *v, size_t head)
{
    size_t data = ip->n - head;
    if ((v->flags & NEEDS_CSUM) == 0) {
        return SM_E_MALFORMED; /* each segment's checksum is still to be made */
    }
    switch (v->gso_type & ~GSO_ECN) {
    case GSO_TCPV6:
        return ip->proto == TCP && v->gso_size >= SM_TUN_GSO_MIN ? SM_OK : SM_E_MALFORMED;
    case GSO_UDP_L4:
        return ip->proto == UDP && v->gso_type == GSO_UDP_L4 && v->gso_size > 0 &&
                       data <= (size_t)v->gso_size * SM_TUN_UDP_SEGMENTS_MAX
                   ? SM_OK
                   : SM_E_MALFORMED;
    default: /* a peer's number */
        return SM_E_MALFORMED;
    }
}

/* What the kernel may be told about this packet, of what `said` says. */
static enum sm_err vnet_check(const struct ip *ip, const struct vnet *said, struct vnet *out)
{
    struct vnet v = {.flags = said->flags & NEEDS_CSUM};
    if ((said->flags & ~(NEEDS_CSUM | DATA_VALID)) != 0) {
        return SM_E_MALFORMED;
    }
    if (v.flags == 0 && said->gso_type == GSO_NONE) {
        *out = v;
        return SM_OK;
    }
    size_t head = 0;
    uint16_t csum = 0;
    SM_TRY(segment_head(ip, &head, &csum));
    if (said->csum_start != ip->at || said->csum_offset != csum) {
        return SM_E_MALFORMED;
    }
    v.hdr_len = (uint16_t)head;
    v.csum_start = (uint16_t)ip->at;
    v.csum_offset = csum;
    if (said->gso_type != GSO_NONE) {
        SM_TRY(gso_check(ip, said, head));
        v.gso_type = said->gso_type;
        v.gso_size = said->gso_size;
    }
    *out = v;
    return SM_OK;
}

static void vnet_write(const struct vnet *v, uint8_t p[static SM_TUN_VNET])
{
    struct sm_wr w = sm_wr_init(p, SM_TUN_VNET);
    sm_wr_u8(&w, v->flags);
    sm_wr_u8(&w, v->gso_type);
    sm_wr_u16(&w, v->hdr_len);
    sm_wr_u16(&w, v->gso_size);
    sm_wr_u16(&w, v->csum_start);
    sm_wr_u16(&w, v->csum_offset);
}

enum sm_err sm_tun_read(uint8_t *p, size_t n, struct sm_tun_packet *out)
{
    struct sm_rd r = sm_rd_init(sm_view_of(p, n));
    struct vnet said, v;
    struct ip ip;
    said.flags = sm_rd_u8(&r);
    said.gso_type = sm_rd_u8(&r);
    said.hdr_len = sm_rd_u16(&r);
    said.gso_size = sm_rd_u16(&r);
    said.csum_start = sm_rd_u16(&r);
    said.csum_offset = sm_rd_u16(&r);
    struct sm_view packet = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    SM_TRY(ip_read(packet.p, packet.n, &ip));
    SM_TRY(vnet_check(&ip, &said, &v));
    struct sm_tun_packet t = {.proto = ip.proto};
    memcpy(t.src.b, ip.p + 8, sizeof t.src.b);
    memcpy(t.dst.b, ip.p + 24, sizeof t.dst.b);
    bool has_ports = ip.proto == TCP || ip.proto == UDP || ip.proto == ESP;
    if (has_ports && !ip.is_fragment && ip.n - ip.at >= sizeof t.ports) {
        memcpy(t.ports, ip.p + ip.at, sizeof t.ports);
    }
    vnet_write(&v, p);
    *out = t;
    return SM_OK;
}

/* -- answers ------------------------------------------------------------------------------- */

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        sum += be16(p + i);
    }
    return n % 2 != 0 ? sum + ((uint32_t)p[n - 1] << 8) : sum;
}

/* RFC 4443, 2.3: over a pseudo header and the message. */
static uint16_t icmp_checksum(const uint8_t *ip, size_t message_n)
{
    uint32_t sum = sum16((uint32_t)message_n + ICMPV6, ip + 8, 32 + message_n);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

static bool is_error_message(const uint8_t *p, size_t n)
{
    struct ip ip;
    return ip_read(p, n, &ip) != SM_OK || ip.is_fragment ||
           (ip.proto == ICMPV6 && (ip.at == n || p[ip.at] < ICMP_FIRST_QUESTION));
}

size_t sm_tun_answer(const uint8_t *p, size_t n, enum sm_tun_unreachable code,
                     const struct sm_tun_ip *from, uint8_t out[static SM_TUN_ANSWER_MAX])
{
    enum { QUOTE_AT = SM_TUN_VNET + SM_TUN_IP_HEAD + ICMP_HEAD };
    p += SM_TUN_VNET;
    n -= SM_TUN_VNET;
    if (is_error_message(p, n)) {
        return 0;
    }
    size_t quote = n < SM_TUN_ANSWER_MAX - QUOTE_AT ? n : SM_TUN_ANSWER_MAX - QUOTE_AT;
    uint8_t *ip = out + SM_TUN_VNET, *icmp = ip + SM_TUN_IP_HEAD;
    memset(out, 0, QUOTE_AT);
    ip[0] = 6 << 4;
    put_be16(ip + 4, (uint16_t)(ICMP_HEAD + quote));
    ip[6] = ICMPV6;
    ip[7] = HOP_LIMIT;
    memcpy(ip + 8, from->b, sizeof from->b);
    memcpy(ip + 24, p + 8, sizeof from->b);
    icmp[0] = ICMP_UNREACHABLE;
    icmp[1] = (uint8_t)code;
    memcpy(icmp + ICMP_HEAD, p, quote);
    put_be16(icmp + 2, icmp_checksum(ip, ICMP_HEAD + quote));
    return QUOTE_AT + quote;
}
