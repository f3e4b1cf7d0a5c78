// SPDX-License-Identifier: Apache-2.0
/* A neighbour's bulletin messages are written back byte for byte, and a run of them, with time
 * passing in between, breaks nothing: a document comes to `offer` only whole and with the hash
 * that was claimed, and what is sent parses. */
#include "core/bulletin.h"
#include "crypto/hash.h"
#include "same.h"
#include "wire/bulletin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t own_bytes[20000];

static bool list(void *ctx, unsigned i, struct sm_bulletin_doc *out)
{
    (void)ctx;
    *out = (struct sm_bulletin_doc){.kind = 1, .version = 5, .bytes = sizeof own_bytes};
    sm_sha256(sm_view_of(own_bytes, sizeof own_bytes), out->hash);
    return i == 0;
}

static struct sm_view get(void *ctx, const struct sm_bulletin_doc *d)
{
    (void)ctx;
    assert(d->bytes == sizeof own_bytes);
    return sm_view_of(own_bytes, sizeof own_bytes);
}

static enum sm_err offer(void *ctx, struct sm_mono now, struct sm_wall wall, uint8_t kind,
                         struct sm_view bytes)
{
    (void)ctx;
    (void)now;
    (void)wall;
    assert(bytes.n > 0 && bytes.n <= SM_BULLETIN_BYTES);
    return kind % 2 == 0 ? SM_E_CRYPTO : SM_E_STALE;
}

static void drain(struct sm_bulletin *b)
{
    struct sm_bulletin_out o;
    struct sm_bulletin_message m;
    for (unsigned i = 0; sm_bulletin_next(b, &o); i++) {
        assert(i < 1000);
        if (o.kind == SM_BULLETIN_SEND) {
            enum sm_err e = sm_bulletin_message_read(o.bytes, &m);
            assert(e == SM_OK);
        }
    }
}

/* FUZZ_SAME of same.h, for a writer that takes the message first. */
static void same(struct sm_view in)
{
    static uint8_t room[SM_BULLETIN_PIECE_MAX + SM_BULLETIN_DIGEST_MAX];
    struct sm_bulletin_message m;
    if (in.n > sizeof room || sm_bulletin_message_read(in, &m) != SM_OK) {
        return;
    }
    struct sm_wr w = sm_wr_init(room, in.n);
    sm_bulletin_message_write(&m, &w);
    fuzz_same(&w, in);
}

static void run(struct sm_view in)
{
    static const struct sm_bulletin_ops ops = {list, get, offer};
    const struct sm_wall wall = {1};
    struct sm_bulletin *b = sm_bulletin_new(&ops, NULL);
    struct sm_rd r = sm_rd_init(in);
    struct sm_mono now = {1};
    if (b == NULL) {
        return;
    }
    for (uint64_t i = 1; i <= 2; i++) {
        enum sm_err e = sm_bulletin_link_up(b, now, (struct sm_hop){i});
        assert(e == SM_OK);
    }
    while (r.left.n > 0 && !r.failed) { /* {who, pause, length} and so many bytes */
        struct sm_hop who = {sm_rd_u8(&r) % 2 + 1u};
        now = sm_after(now, SM_MS(sm_rd_u8(&r) * 20u));
        struct sm_view bytes = sm_rd_view(&r, sm_rd_u16(&r) % 512);
        sm_bulletin_message(b, now, wall, who, bytes);
        drain(b);
        sm_bulletin_tick(b, now);
        drain(b);
        assert(sm_bulletin_deadline(b).ns > now.ns);
    }
    sm_bulletin_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    same(sm_view_of(data, n));
    run(sm_view_of(data, n));
    return 0;
}
