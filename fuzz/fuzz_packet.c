// SPDX-License-Identifier: Apache-2.0
/* A packet of a stranger: what reads is written back byte for byte, and a relay changes only
 * the two bytes it may. */
#include "wire/packet.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t copy[SM_PACKET_MAX];
    uint8_t head[SM_PACKET_HEADER_MAX];
    struct sm_packet p;
    if (sm_packet_read(sm_view_of(data, n), &p) != SM_OK) {
        return 0;
    }
    assert(n <= sizeof copy);
    memcpy(copy, data, n);
    struct sm_wr w = sm_wr_init(head, sizeof head);
    enum sm_err err = sm_packet_head_write(&p, &w);
    assert(err == SM_OK && !w.full && w.n == n - p.payload.n);
    head[3] = data[3]; /* a fresh packet is at its first hop with its full limit */
    head[20] = data[20];
    assert(memcmp(head, data, w.n) == 0);

    struct sm_hop next = {0}, from = p.at == 0 ? p.src : p.hops[p.at - 1];
    enum sm_packet_fate fate = sm_packet_forward(copy, n, p.hops[p.at], from, &next);
    if (fate == SM_PACKET_FORWARD) {
        assert(copy[3] == data[3] + 1 && copy[20] == data[20] - 1);
        assert(next.v == p.hops[p.at + 1].v && next.v != p.hops[p.at].v);
        copy[3]--;
        copy[20]++;
    }
    assert(fate != SM_PACKET_BAD && memcmp(copy, data, n) == 0);
    return 0;
}
