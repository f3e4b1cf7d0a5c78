// SPDX-License-Identifier: Apache-2.0
/* Datagrams into a carrier, over the stand-in suite.  The first byte says whose: a stranger's,
 * before or after there are keys, or a peer's that seals whatever it likes.  A stranger changes
 * nothing but a count; a peer can end the carrier, and else whatever comes out is bounded. */
#include "core/dgram.h"
#include "crypto/suite_sim.h"
#include "wire/datagram.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum mode { STRANGER_TO_DIALER, STRANGER_TO_ANSWERER, STRANGER_TO_KEYS, PEER, MODES };

struct rig {
    struct sm_dgram *d;
    struct sm_aead peer;
    struct sm_mono now;
    uint64_t counter, sent;
    bool has_failed;
    bool is_up; /* keys are there: what a stranger says is never given out */
};

static const struct sm_path home = {.addr = {.family = 4, .ip = {1}, .port = 1}};

static void drain(struct rig *r, bool is_stranger)
{
    struct sm_dgram_in in;
    struct sm_dgram_batch out;
    while (sm_dgram_next(r->d, &in)) {
        assert(!(is_stranger && r->is_up));
        assert(in.kind == SM_DGRAM_IN_FAILED || (in.n > 0 && in.n <= SM_DGRAM_PACKET_MAX));
        r->has_failed = r->has_failed || in.kind == SM_DGRAM_IN_FAILED;
        if (in.kind != SM_DGRAM_IN_FAILED) {
            memset(in.p, 0, in.n); /* ours to change */
        }
    }
    for (unsigned i = 0; sm_dgram_send(r->d, r->now, &out); i++) {
        assert(i < 10000 && out.bytes.n > 0 && out.bytes.n <= 64900 && out.segment > 0);
        r->sent += out.bytes.n;
    }
}

static void give(struct rig *r, struct sm_view bytes, uint8_t where, bool is_stranger)
{
    static uint8_t copy[65536];
    struct sm_path from = home;
    from.addr.port = where;
    memcpy(copy, bytes.p, bytes.n);
    if (bytes.n > 0) {
        sm_dgram_input(r->d, r->now, &from, copy, bytes.n, is_stranger ? 1 + where : 0);
        drain(r, is_stranger);
    }
}

/* where, advance, length, frame: sealed as a peer would. */
static void give_sealed(struct rig *r, struct sm_rd *rd)
{
    uint8_t b[2048] = {0}, where = sm_rd_u8(rd), ahead = sm_rd_u8(rd);
    uint16_t n = sm_rd_u16(rd);
    struct sm_view frame = sm_rd_view(rd, n < rd->left.n ? n : rd->left.n);
    size_t len = frame.n < 1600 ? frame.n : 1600, padded = (len + 15) / 16 * 16;
    r->counter += ahead % 8;
    struct sm_dgram_head h = {
        .to = 7, .padding = (uint8_t)(padded - len), .counter = r->counter++};
    sm_dgram_head_write(&h, b);
    if (len > 0) {
        memcpy(b + SM_DGRAM_HEAD, frame.p, len);
    }
    enum sm_err e = sm_aead_seal(&r->peer, h.counter, sm_view_of(b, SM_DGRAM_HEAD),
                                 sm_view_of(b + SM_DGRAM_HEAD, padded), b + SM_DGRAM_HEAD);
    assert(e == SM_OK);
    give(r, sm_view_of(b, SM_DGRAM_HEAD + padded + SM_DGRAM_TAG), where % 3, false);
}

static void pass_time(struct rig *r, uint8_t ms)
{
    r->now = sm_after(r->now, SM_MS(ms));
    if (sm_is_due(sm_dgram_deadline(r->d), r->now)) {
        sm_dgram_tick(r->d, r->now);
    }
    drain(r, true);
}

static void use(struct rig *r, uint16_t n)
{
    static const uint8_t bytes[65536];
    enum sm_err e = sm_dgram_packet(r->d, sm_view_of(bytes, 1 + (size_t)n));
    assert(e == SM_OK || e == SM_E_BUSY);
    if (sm_dgram_room(r->d) >= 3000) {
        e = sm_dgram_stream(r->d, sm_view_of(bytes, 3000));
        assert(e == SM_OK);
    }
    assert(sm_dgram_queued(r->d) <= 256u << 10);
    drain(r, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) {
        return 0;
    }
    enum mode mode = (enum mode)(data[0] % MODES);
    struct sm_dgram_cfg cfg = {.suite = sm_suite_sim(),
                               .is_dialer = mode == STRANGER_TO_DIALER,
                               .own_id = 7,
                               .peer_id = mode == STRANGER_TO_DIALER ? 0 : 8,
                               .rekey_frames = 64,
                               .path = home};
    const struct sm_secret32 forth = {{1}}, back = {{2}};
    struct rig r = {.d = sm_dgram_new(&cfg), .now = {1000000000u}};
    struct sm_rd rd = sm_rd_init(sm_view_of(data + 1, n - 1));
    if (r.d == NULL || sm_aead_init(&r.peer, cfg.suite, SM_AESGCM, &back) != SM_OK) {
        return 0;
    }
    if (mode == STRANGER_TO_DIALER) {
        sm_dgram_hand(r.d, sm_view_str("hello"));
    }
    if (mode >= STRANGER_TO_KEYS) {
        enum sm_err e = sm_dgram_keys(r.d, r.now, SM_AESGCM, &forth, &back);
        assert(e == SM_OK);
        r.is_up = true;
    }
    while (rd.left.n > 0 && !rd.failed && !r.has_failed) {
        uint8_t op = sm_rd_u8(&rd);
        if (op < 16) {
            pass_time(&r, sm_rd_u8(&rd));
        } else if (op < 32) {
            use(&r, sm_rd_u16(&rd));
        } else if (mode == PEER) {
            give_sealed(&r, &rd);
        } else {
            uint16_t len = sm_rd_u16(&rd);
            give(&r, sm_rd_view(&rd, len < rd.left.n ? len : rd.left.n), op, true);
        }
    }
    assert(mode == PEER || !r.has_failed);
    sm_aead_done(&r.peer);
    sm_dgram_free(r.d);
    return 0;
}
