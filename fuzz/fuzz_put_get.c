// SPDX-License-Identifier: Apache-2.0
/* Holders answer a put and a get as the input says: rightly, wrongly, never, in any order.
 * Whatever they do, the machines come to an end, what a get hands out is what was put, and
 * nothing is handed out twice. */
#include "core/get.h"
#include "core/put.h"
#include "crypto/hash.h"
#include "crypto/suite_sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define N        4u
#define HOLDERS  6u
#define SEGMENT  100u
#define SIZE     350u
#define SEGMENTS 4u
#define SHARD    64u
#define QUEUE    64u

static const struct sm_code code = {.k = 2, .n = N};
static const struct sm_secret32 key = {{7}};
static uint8_t plain[SIZE];

/* What honest holders keep. */
static struct {
    uint8_t shard[SEGMENTS][N][SHARD];
    uint8_t manifest[1024];
    size_t manifest_n;
    struct sm_data_id object;
} kept;

struct letter {
    uint64_t id;
    struct sm_store_req req; /* its bytes are gone; their hash is here */
    uint8_t hash[32];
};

struct post {
    struct sm_rd input;
    struct letter letter[QUEUE];
    unsigned n;
};

static void post_add(struct post *p, uint64_t id, struct sm_view body)
{
    struct letter l = {.id = id};
    enum sm_err e = sm_store_req_read(body, &l.req);
    assert(e == SM_OK && p->n < QUEUE);
    if (l.req.op == SM_STORE_SHARD_PUT) {
        sm_sha256(l.req.bytes, l.hash);
        assert(l.req.bytes.n <= SHARD && l.req.segment < SEGMENTS && l.req.index < N);
        memcpy(kept.shard[l.req.segment][l.req.index], l.req.bytes.p, l.req.bytes.n);
    } else if (l.req.op == SM_STORE_COMMIT) {
        sm_manifest_id(l.req.bytes, &kept.object);
        memcpy(l.hash, kept.object.b, 32);
        assert(l.req.bytes.n <= sizeof kept.manifest);
        memcpy(kept.manifest, l.req.bytes.p, l.req.bytes.n);
        kept.manifest_n = l.req.bytes.n;
    }
    l.req.bytes = (struct sm_view){0};
    p->letter[p->n++] = l;
}

static struct letter post_take(struct post *p)
{
    unsigned at = sm_rd_u8(&p->input) % p->n;
    struct letter l = p->letter[at];
    p->letter[at] = p->letter[--p->n];
    return l;
}

/* Zeros, which mean honest, when the input is used up: so every run ends. */
static enum sm_err mood(struct post *p)
{
    static const enum sm_err moods[] = {SM_OK,         SM_OK,     SM_OK,        SM_E_TIMEOUT,
                                        SM_E_NOTFOUND, SM_E_BUSY, SM_E_NOSPACE, SM_E_HASH};
    return moods[sm_rd_u8(&p->input) % 8];
}

static void run_put(struct post *post)
{
    struct sm_put_cfg cfg = {.suite = sm_suite_sim(),
                             .cipher = SM_AESGCM,
                             .code = code,
                             .key = key,
                             .n_holders = HOLDERS,
                             .segment_bytes = SEGMENT};
    struct sm_put *p = NULL;
    struct sm_mono now = {1};
    if (sm_put_new(&cfg, &p) != SM_OK) {
        return;
    }
    size_t at = 0;
    for (unsigned step = 0;; step++) {
        struct sm_put_out o = {0};
        bool is_done = false;
        assert(step < 10000);
        at += sm_put_feed(p, now, sm_view_of(plain + at, SIZE - at));
        if (at == SIZE) {
            sm_put_end(p, now);
        }
        while (!is_done && sm_put_next(p, now, &o)) {
            is_done = o.kind == SM_PUT_DONE;
            if (!is_done) {
                post_add(post, o.id, o.body);
            }
        }
        if (is_done) {
            break;
        }
        if (post->n == 0) {
            struct sm_mono next = sm_put_deadline(p);
            assert(next.ns != SM_NEVER.ns && next.ns > now.ns);
            now = next;
            continue;
        }
        struct letter l = post_take(post);
        enum sm_err e = mood(post);
        l.hash[0] ^= e == SM_E_HASH;
        sm_put_response(p, now, l.id, e == SM_E_HASH ? SM_OK : e, sm_view_of(l.hash, 32));
    }
    sm_put_free(p);
    post->n = 0;
}

static struct sm_view honest(const struct letter *l, uint8_t *room)
{
    if (l->req.op == SM_STORE_MANIFEST_GET) {
        struct sm_wr w = sm_wr_init(room, 2048);
        struct sm_store_manifest_reply m = {
            .held = 15, .manifest = sm_view_of(kept.manifest, kept.manifest_n)};
        enum sm_err e = sm_store_manifest_reply_write(&w, &m);
        assert(e == SM_OK);
        return sm_view_of(room, w.n);
    }
    struct sm_manifest m;
    enum sm_err e = sm_manifest_read(sm_view_of(kept.manifest, kept.manifest_n), &m);
    assert(e == SM_OK);
    size_t n = sm_manifest_shard_bytes(&m, l->req.segment);
    memcpy(room, kept.shard[l->req.segment][l->req.index], n);
    return sm_view_of(room, n);
}

static void run_get(struct post *post)
{
    uint64_t held[HOLDERS] = {1, 2, 4, 8, 15, 3};
    struct sm_get_cfg cfg = {.suite = sm_suite_sim(),
                             .object = kept.object,
                             .key = key,
                             .held = held,
                             .n_holders = HOLDERS,
                             .from = sm_rd_u8(&post->input),
                             .extra = 1};
    cfg.to = cfg.from + sm_rd_u16(&post->input) % SIZE;
    struct sm_get *g = NULL;
    struct sm_mono now = {1};
    if (sm_get_new(&cfg, &g) != SM_OK) {
        return;
    }
    uint64_t at = cfg.from;
    for (unsigned step = 0;; step++) {
        struct sm_get_out o = {0};
        bool is_done = false;
        assert(step < 10000);
        while (!is_done && sm_get_next(g, now, &o)) {
            is_done = o.kind == SM_GET_DONE;
            if (o.kind == SM_GET_REQUEST) {
                post_add(post, o.id, o.body);
            } else if (o.kind == SM_GET_BYTES) {
                assert(o.offset == at && memcmp(plain + at, o.bytes.p, o.bytes.n) == 0);
                at += o.bytes.n;
            }
        }
        if (is_done) {
            uint64_t end = cfg.to < SIZE ? cfg.to : SIZE;
            assert(o.err != SM_OK || at == end || cfg.from >= SIZE);
            break;
        }
        struct sm_mono next = sm_get_deadline(g);
        assert(post->n > 0 || next.ns != SM_NEVER.ns);
        if (post->n == 0 || (next.ns != SM_NEVER.ns && sm_rd_u8(&post->input) % 4 == 3)) {
            assert(next.ns > now.ns);
            now = next;
            continue;
        }
        struct letter l = post_take(post);
        enum sm_err e = mood(post);
        uint8_t room[2048] = {0};
        struct sm_view reply = honest(&l, room);
        room[reply.n / 2] ^= e == SM_E_HASH;
        sm_get_response(g, now, l.id, e == SM_E_HASH ? SM_OK : e, reply);
    }
    sm_get_free(g);
    post->n = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct post post = {.input = sm_rd_init((struct sm_view){data, n})};
    for (size_t i = 0; i < SIZE; i++) {
        plain[i] = (uint8_t)(i * 7);
    }
    struct post fair = {0};
    run_put(&fair); /* so that there is something to get */
    run_put(&post);
    run_get(&post);
    return 0;
}
