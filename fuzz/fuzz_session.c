// SPDX-License-Identifier: Apache-2.0
/* A stranger between two session hosts, over the stand-in suite.  The input is a script: each
 * step takes an honest packet that is on its way and delivers it, drops it, doubles it, changes
 * it, delivers bytes of the script instead, seals the script's bytes as a frame of an honest
 * but wicked end, or lets time pass.  Whatever happens, no host may crash, every request ends
 * in one response, a good body is never another one, and all that was lent comes back. */
#include "core/session_int.h"
#include "crypto/suite_sim.h"
#include "passport_kit.h"
#include "wire/fragment.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { QUEUE = 64 };

struct flying {
    uint8_t to, slot;
    size_t n;
    uint8_t p[SM_FRAG_PACKET_MAX];
};

static struct kit kit;
static struct kit_id id[2];
static struct sm_host *host[2];
static struct flying queue[QUEUE];
static size_t queue_n;
static struct sm_mono now;
static uint32_t asked_n, ended_n;
static bool is_wicked; /* an end lies: its bodies prove nothing */
static uint8_t body[40000], strange[256];

static void host_make(unsigned i)
{
    struct sm_host_cfg c = {
        .suite = kit.suite,
        .anchor = &kit.anchor,
        .self = id[i].addr,
        .dh = id[i].dh,
        .passport = sm_view_of(id[i].passport, id[i].passport_n),
        .seed = {(uint8_t)(i + 1)},
        .sessions = 4,
        .messages = 16,
        .requests = 8,
        .peer_requests = 8,
        .pool_bytes = 512 << 10,
        .peer_bytes = 128 << 10,
    };
    host[i] = sm_host_new(&c);
    assert(host[i] != NULL);
}

static void take(unsigned i, const struct sm_host_out *out)
{
    switch (out->kind) {
    case SM_HOST_PACKET:
        assert(out->packet.bytes.n <= SM_FRAG_PACKET_MAX && out->packet.slot < SM_HOST_SLOTS);
        if (queue_n < QUEUE) {
            struct flying *f = &queue[queue_n++];
            f->to = (uint8_t)(1 - i);
            f->slot = out->packet.slot;
            f->n = out->packet.bytes.n;
            memcpy(f->p, out->packet.bytes.p, f->n);
        }
        break;
    case SM_HOST_REQUEST: {
        enum sm_err err =
            sm_host_reply(host[i], now, out->request.handle, SM_OK, out->request.body);
        assert(err == SM_OK || err == SM_E_BUSY);
        break;
    }
    case SM_HOST_RESPONSE:
        ended_n++;
        if (out->response.err == SM_OK && !is_wicked) {
            assert(out->response.body.n <= sizeof body);
            assert(memcmp(out->response.body.p, body, out->response.body.n) == 0);
        }
        break;
    case SM_HOST_PATH_REPORT:
        break;
    }
}

static void drain(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct sm_host_out out;
        while (sm_host_next(host[i], &out)) {
            take(i, &out);
        }
    }
}

/* Send a datagram, or find that there is no session yet. */
static void beat(uint8_t arg)
{
    unsigned from = arg & 1;
    struct flying f = {.to = (uint8_t)(1 - from), .slot = arg / 2 % SM_HOST_SLOTS};
    struct sm_view packet;
    if (sm_host_datagram(host[from], now, id[1 - from].addr, id[1 - from].dh.pub.b, f.slot, 7,
                         f.p + SM_HOST_DATAGRAM_FRONT, arg, &packet) == SM_OK &&
        queue_n < QUEUE) {
        assert(packet.p == f.p);
        f.n = packet.n;
        queue[queue_n++] = f;
    }
}

static void deliver(struct flying *f)
{
    struct sm_wall wall = {KIT_NOW.s + now.ns / SM_S(1).ns};
    static const uint8_t zeros[256];
    struct sm_host_datagram d;
    struct flying copy = *f; /* a datagram is opened where it lies */
    sm_host_packet(host[f->to], now, wall, id[1 - f->to].addr, f->slot,
                   sm_view_of(copy.p, copy.n));
    if (sm_host_datagram_take(host[f->to], &d) && !is_wicked) {
        assert(d.service == 7 && d.n < sizeof zeros && memcmp(d.p, zeros, d.n) == 0);
    }
}

static void wait(struct sm_dur span)
{
    struct sm_mono end = sm_after(now, span);
    for (unsigned guard = 0; guard < 2000; guard++) {
        struct sm_mono due = sm_earlier(sm_host_deadline(host[0]), sm_host_deadline(host[1]));
        if (due.ns > end.ns) {
            break;
        }
        now = due.ns > now.ns ? due : now;
        sm_host_tick(host[0], now);
        sm_host_tick(host[1], now);
        drain();
    }
    now = end;
}

/* Seal the bytes as host `from` would, under a number it will not use, as a frame or a
 * datagram. */
static void wicked(unsigned from, bool is_datagram, struct sm_view plain)
{
    static uint64_t number;
    for (uint32_t i = 0; i < 4; i++) {
        struct session *s = &host[from]->sessions[i];
        if (s->state != SESSION_UP) {
            continue;
        }
        is_wicked = true;
        struct flying f = {.to = (uint8_t)(1 - from)};
        struct sm_frag_head head = {
            .type = is_datagram ? SM_FRAG_DATAGRAM : SM_FRAG_DATA_SEALED,
            .session = s->remote_id,
            .number = (is_datagram ? SM_FRAG_DATAGRAM_BIT : 0) | (1000000 + number++)};
        sm_frag_head_write(&head, f.p);
        enum sm_err err = sm_aead_seal(&s->tx, head.number, sm_view_of(f.p, SM_FRAG_HEAD),
                                       plain, f.p + SM_FRAG_HEAD);
        assert(err == SM_OK);
        f.n = SM_FRAG_HEAD + plain.n + SM_FRAG_TAG;
        deliver(&f);
        return;
    }
}

static void ask(uint8_t arg)
{
    unsigned from = arg & 1;
    uint64_t handle;
    size_t len = (size_t)arg * 150;
    if (sm_host_request(host[from], now, id[1 - from].addr, id[1 - from].dh.pub.b, 1,
                        sm_view_of(body, len), SM_S(20), &handle) == SM_OK) {
        asked_n++;
    }
}

static void step(struct sm_rd *r)
{
    uint8_t op = sm_rd_u8(r), arg = sm_rd_u8(r);
    struct flying *f = queue_n > 0 ? &queue[arg % queue_n] : NULL;
    struct sm_view script = {0};
    switch (op % 11) {
    case 10:
        beat(arg);
        break;
    case 0:
        ask(arg);
        break;
    case 1: /* deliver and remove */
    case 2: /* deliver twice */
        if (f != NULL) {
            deliver(f);
            if (op % 11 == 1) {
                *f = queue[--queue_n];
            }
        }
        break;
    case 3: /* drop */
        if (f != NULL) {
            *f = queue[--queue_n];
        }
        break;
    case 4: /* change */
        if (f != NULL) {
            f->p[(size_t)op * 257u % f->n] ^= (uint8_t)(1u << (arg % 8));
        }
        break;
    case 5: /* bytes out of nowhere */
        script = sm_rd_view(r, r->left.n < arg ? r->left.n : arg);
        memcpy(strange, script.p, script.n);
        sm_host_packet(host[arg & 1], now, KIT_NOW, id[1 - (arg & 1)].addr, arg % 4,
                       sm_view_of(strange, script.n));
        break;
    case 6:
        script = sm_rd_view(r, r->left.n < arg ? r->left.n : arg);
        wicked(arg & 1, op >= 128, script);
        break;
    case 7:
        sm_host_paths(host[arg & 1], now, id[1 - (arg & 1)].addr.node, arg / 2 % 5);
        break;
    case 8:
        sm_host_unreachable(host[arg & 1], now, id[1 - (arg & 1)].addr, arg / 2 % 5);
        break;
    default:
        wait(SM_MS(arg * 4));
        break;
    }
    drain();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    kit_make(&kit, sm_suite_sim(), 1);
    for (unsigned i = 0; i < 2; i++) {
        kit_identity(&kit, (uint8_t)(i + 1), 0, &id[i]);
        host_make(i);
    }
    now = (struct sm_mono){SM_S(1).ns};
    queue_n = asked_n = ended_n = 0;
    is_wicked = false;
    struct sm_host_stats before, after;
    sm_host_stats(host[0], &before);
    struct sm_rd r = sm_rd_init(sm_view_of(data, n));
    while (r.left.n > 1) {
        step(&r);
    }
    queue_n = 0;
    for (unsigned i = 0; i < 30; i++) { /* silence: everything ends */
        wait(SM_S(30));
        queue_n = 0;
    }
    assert(ended_n == asked_n);
    for (unsigned i = 0; i < 2; i++) {
        sm_host_stats(host[i], &after);
        assert(after.pool_free_bytes == before.pool_free_bytes);
        assert(after.sessions == 0 && after.peers == 0);
        assert(after.requests_in == 0 && after.requests_out == 0);
        sm_host_free(host[i]);
    }
    return 0;
}
