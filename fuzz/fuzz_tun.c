// SPDX-License-Identifier: Apache-2.0
/* A packet of a peer for the kernel: what is taken leaves ten bytes that agree with the packet,
 * reads the same again, and can be answered. */
#include "wire/tun.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t u16(const uint8_t *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t p[SM_TUN_PACKET_MAX], again[SM_TUN_PACKET_MAX];
    uint8_t out[SM_TUN_ANSWER_MAX];
    struct sm_tun_packet t, u;
    if (n > sizeof p) {
        return 0;
    }
    memcpy(p, data, n);
    if (sm_tun_read(p, n, &t) != SM_OK) {
        return 0;
    }
    size_t ip = n - SM_TUN_VNET;
    assert(memcmp(p + SM_TUN_VNET, data + SM_TUN_VNET, ip) == 0);
    assert(p[0] <= 1 && (p[0] == 1 || (p[1] == 0 && u16(p + 6) == 0)));
    if (p[0] == 1) {
        assert(u16(p + 6) >= SM_TUN_IP_HEAD && u16(p + 6) + u16(p + 8) + 2 <= u16(p + 2));
        assert(u16(p + 2) <= ip);
    }
    assert(p[1] == 0 || (p[0] == 1 && u16(p + 4) > 0));
    memcpy(again, p, n);
    enum sm_err err = sm_tun_read(again, n, &u);
    assert(err == SM_OK && memcmp(again, p, n) == 0 && memcmp(&t, &u, sizeof t) == 0);
    size_t answer = sm_tun_answer(p, n, SM_TUN_ADDRESS, &t.dst, out);
    assert(answer <= sizeof out);
    return 0;
}
