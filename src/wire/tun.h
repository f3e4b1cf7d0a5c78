// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tun: IPv6 packets between TUN interfaces, as the kernel hands them over and as datagrams of
 * service SM_SERVICE_TUN carry them.
 *
 *     flags u8, gso_type u8, hdr_len u16, gso_size u16, csum_start u16, csum_offset u16
 *     (little endian: struct virtio_net_hdr of linux/virtio_net.h), then the packet
 *
 * A packet may be a segment of up to 64 KiB that the receiving kernel cuts by gso_size, with a
 * checksum that is not filled in yet: it never was on a wire.  So what a peer says in those ten
 * bytes steers the kernel, and none of it gets there unchecked: sm_tun_read() finds the headers
 * in the packet itself, believes only "the checksum is missing", the kind of segment and its
 * size, within limits, and writes the ten bytes anew.
 *
 * Addresses: fd, 5 bytes of the mesh id, 2 of the area (big endian), then the first 8 bytes of
 * the node id: its hop.  All routing in the mesh goes by hops already, so two nodes with one
 * address would be two nodes with one hop.  Ids are hashes of platform identities and cannot be
 * chosen; among 10^5 nodes some two share 64 bits with a chance of 3 x 10^-10.
 *
 * Memory:  never allocates; views point into the caller's bytes.
 * Errors:  TRUNCATED, MALFORMED; REFUSED for what no mesh carries: multicast, hop-by-hop and
 *          routing headers, neighbour discovery.
 * Source:  doc/wire.md, section 13; RFC 4193, 4443, 8200.
 */
#include "base/bytes.h"
#include "base/ids.h"

enum {
    SM_TUN_VNET = 10,
    SM_TUN_IP_HEAD = 40,
    SM_TUN_PACKET_MAX = SM_TUN_VNET + SM_TUN_IP_HEAD + 65535,
    SM_TUN_PREFIX = 48,            /* bits that all addresses of a mesh begin with */
    SM_TUN_MESH = 5,               /* bytes of the mesh id in an address */
    SM_TUN_GSO_MIN = 48,           /* of TCP: Linux's own least segment (tcp_min_snd_mss) */
    SM_TUN_UDP_SEGMENTS_MAX = 128, /* Linux's own limit (UDP_MAX_SEGMENTS) */
    SM_TUN_ANSWER_MAX = SM_TUN_VNET + 1280,
};

struct sm_tun_ip {
    uint8_t b[16];
};
static inline bool sm_tun_ip_eq(const struct sm_tun_ip *a, const struct sm_tun_ip *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}
struct sm_tun_ip sm_tun_ip_of(const uint8_t mesh[static SM_TUN_MESH], uint32_t area,
                              struct sm_hop hop);
/* Does it begin as the addresses of this mesh do? */
bool sm_tun_ip_is_of(const struct sm_tun_ip *ip, const uint8_t mesh[static SM_TUN_MESH]);
struct sm_hop sm_tun_ip_hop(const struct sm_tun_ip *ip);

struct sm_tun_packet {
    struct sm_tun_ip src, dst;
    uint8_t proto;    /* of the last header looked at */
    uint8_t ports[4]; /* what tells flows apart beyond addresses: ports, SPI, or zeros */
};

/* Read the n bytes at p and write the first SM_TUN_VNET of them anew. */
enum sm_err sm_tun_read(uint8_t *p, size_t n, struct sm_tun_packet *out) SM_MUST;

enum sm_tun_unreachable {
    SM_TUN_NO_ROUTE = 0,
    SM_TUN_PROHIBITED = 1,
    SM_TUN_ADDRESS = 3,
};
/* Write the answer "destination unreachable" (RFC 4443, 3.1) of `from` to the packet at p that
 * sm_tun_read() took, with the ten bytes in front.  Returns its length; 0 when the packet is an
 * error message itself, which is never answered. */
size_t sm_tun_answer(const uint8_t *p, size_t n, enum sm_tun_unreachable code,
                     const struct sm_tun_ip *from, uint8_t out[static SM_TUN_ANSWER_MAX]);
