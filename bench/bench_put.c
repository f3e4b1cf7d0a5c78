// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_put.h"

#include "core/get.h"
#include "core/put.h"
#include "crypto/hash.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <isa-l/erasure_code.h>

#define SEGMENTS 12u
#define RUNS     7u
#define SLOTS    3u            /* as many segments in turn as a put has */
#define BLOCK    (64u * 1024u) /* the shard length ISA-L is fastest with */

/* Everything one measurement works on. */
struct rig {
    struct sm_code code;
    size_t plain, shard; /* bytes of a segment, of a shard */
    enum sm_aead_kind cipher;
    struct sm_aead aead;
    struct sm_coder *coder;
    uint8_t *source;      /* SEGMENTS segments of plaintext */
    uint8_t *slot[SLOTS]; /* n shards each */
    uint8_t *stored;      /* all shards of the object, as holders would have them */
    struct sm_shard_id *ids;
    uint8_t *manifest;
    size_t manifest_n;
    struct sm_data_id object;
    uint8_t tables[32 * SM_CODE_N_MAX * SM_CODE_N_MAX];
};

static const struct sm_secret32 bench_key = {{1}};

/* Of this thread on its core: another process that takes the core away does not count. */
static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static enum sm_err rig_init(struct rig *r)
{
    struct sm_secret32 seal;
    uint8_t matrix[SM_CODE_N_MAX * SM_CODE_N_MAX];
    size_t coded = r->code.n * r->shard;
    sm_object_seal_key(&bench_key, &seal);
    SM_TRY(sm_aead_init(&r->aead, sm_suite_real(), r->cipher, &seal));
    SM_TRY(sm_coder_new(r->code, &r->coder));
    r->source = malloc(SEGMENTS * r->plain);
    r->stored = malloc(SEGMENTS * coded);
    r->ids = calloc(SEGMENTS * r->code.n, sizeof *r->ids);
    r->manifest = malloc(SM_MANIFEST_MAX);
    bool has_all =
        r->source != NULL && r->stored != NULL && r->ids != NULL && r->manifest != NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        r->slot[i] = malloc(coded);
        has_all = has_all && r->slot[i] != NULL;
    }
    if (!has_all) {
        return SM_E_NOMEM;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        memset(r->slot[i], 1, coded); /* so that no run pays for the first touch */
    }
    memset(r->stored, 1, SEGMENTS * coded);
    for (size_t i = 0; i < SEGMENTS * r->plain; i++) {
        r->source[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    gf_gen_cauchy1_matrix(matrix, r->code.n, r->code.k);
    ec_init_tables(r->code.k, r->code.n - r->code.k, matrix + r->code.k * r->code.k, r->tables);
    return SM_OK;
}

static void rig_done(struct rig *r)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        free(r->slot[i]);
    }
    free(r->source);
    free(r->stored);
    free(r->ids);
    free(r->manifest);
    sm_aead_done(&r->aead);
    sm_coder_free(r->coder);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t v[RUNS])
{
    qsort(v, RUNS, sizeof v[0], by_value);
    return v[RUNS / 2];
}

/* -- the primitives ---------------------------------------------------------------------- */

static enum sm_err time_seal(struct rig *r, uint64_t *out_ns)
{
    uint64_t from = now_ns();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        uint8_t *to = r->slot[i % SLOTS];
        SM_TRY(sm_aead_seal(&r->aead, i, (struct sm_view){0},
                            sm_view_of(r->source + i * r->plain, r->plain), to));
    }
    *out_ns = now_ns() - from;
    return SM_OK;
}

static uint64_t time_code(struct rig *r)
{
    uint64_t from = now_ns();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        for (size_t at = 0; at < r->shard; at += BLOCK) {
            uint8_t *shard[SM_CODE_N_MAX];
            for (unsigned s = 0; s < r->code.n; s++) {
                shard[s] = r->slot[i % SLOTS] + s * r->shard + at;
            }
            ec_encode_data(BLOCK, r->code.k, r->code.n - r->code.k, r->tables, shard,
                           shard + r->code.k);
        }
    }
    return now_ns() - from;
}

/* All shards of each segment, where sealing and coding leave them. */
static uint64_t time_hash(struct rig *r)
{
    uint8_t hash[32];
    uint64_t from = now_ns();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        for (unsigned s = 0; s < r->code.n; s++) {
            const uint8_t *at = r->slot[i % SLOTS] + s * r->shard;
            sm_sha256(sm_view_of(at, r->shard), hash);
        }
    }
    return now_ns() - from;
}

/* The last k shards of each segment, where they arrive. */
static uint64_t time_get_hash(struct rig *r)
{
    uint8_t hash[32];
    uint64_t from = now_ns();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        for (unsigned s = (unsigned)(r->code.n - r->code.k); s < r->code.n; s++) {
            const uint8_t *at = r->stored + ((size_t)i * r->code.n + s) * r->shard;
            sm_sha256(sm_view_of(at, r->shard), hash);
        }
    }
    return now_ns() - from;
}

static enum sm_err time_open(struct rig *r, uint64_t *out_ns)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        uint8_t *at = r->slot[i % SLOTS];
        memcpy(at, r->stored + i * r->code.n * r->shard, r->plain + SM_TAG_BYTES);
        uint64_t from = now_ns();
        SM_TRY(sm_aead_open(&r->aead, i, (struct sm_view){0},
                            sm_view_of(at, r->plain + SM_TAG_BYTES), at));
        sum += now_ns() - from;
    }
    *out_ns = sum;
    return SM_OK;
}

/* Make the first m data shards of the others: what the get below has to do. */
static uint64_t lost_map(const struct rig *r)
{
    unsigned m = (unsigned)(r->code.n - r->code.k), lost = m < r->code.k ? m : r->code.k;
    return (UINT64_C(1) << lost) - 1;
}

static enum sm_err time_decode(struct rig *r, uint64_t *out_ns)
{
    uint64_t lost = lost_map(r);
    uint64_t from = now_ns();
    for (unsigned i = 0; i < SEGMENTS; i++) {
        for (size_t at = 0; at < r->shard; at += BLOCK) {
            uint8_t *shard[SM_CODE_N_MAX];
            for (unsigned s = 0; s < r->code.n; s++) {
                shard[s] = r->slot[i % SLOTS] + s * r->shard + at;
            }
            SM_TRY(sm_coder_make(r->coder, BLOCK, shard, sm_code_all(r->code) & ~lost, lost));
        }
    }
    *out_ns = now_ns() - from;
    return SM_OK;
}

/* -- the whole --------------------------------------------------------------------------- */

static enum sm_err time_pipeline(struct rig *r, uint64_t *out_ns)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        uint8_t *at = r->slot[i % SLOTS];
        memcpy(at, r->source + i * r->plain, r->plain);
        uint64_t from = now_ns();
        SM_TRY(sm_segment_seal(&r->aead, r->coder, r->code, i, r->plain, at,
                               r->ids + i * r->code.n));
        sum += now_ns() - from;
    }
    *out_ns = sum;
    return SM_OK;
}

/* A holder that is told by the first run what to say in the next: it costs nothing. */
static void holder_takes(struct rig *r, const struct sm_put_out *o, bool is_first,
                         struct sm_view *reply)
{
    struct sm_store_req q;
    if (sm_store_req_read(o->body, &q) != SM_OK) {
        return; /* an empty reply fails the put */
    }
    if (q.op == SM_STORE_COMMIT) {
        if (is_first) {
            memcpy(r->manifest, q.bytes.p, q.bytes.n);
            r->manifest_n = q.bytes.n;
            sm_manifest_id(q.bytes, &r->object);
        }
        *reply = sm_view_of(r->object.b, sizeof r->object.b);
        return;
    }
    size_t at = (size_t)q.segment * r->code.n + q.index;
    if (is_first) {
        sm_sha256(q.bytes, r->ids[at].b);
        memcpy(r->stored + at * r->shard, q.bytes.p, q.bytes.n);
    }
    *reply = sm_view_of(r->ids[at].b, sizeof r->ids[at].b);
}

static enum sm_err put_once(struct rig *r, struct sm_put *p, bool is_first)
{
    struct sm_view data = sm_view_of(r->source, SEGMENTS * r->plain);
    struct sm_mono now = {1};
    size_t at = 0;
    for (;;) {
        struct sm_put_out o;
        at += sm_put_feed(p, now, sm_view_sub(data, at, 256 * 1024));
        if (at == data.n) {
            sm_put_end(p, now);
        }
        while (sm_put_next(p, now, &o)) {
            struct sm_view reply = {0};
            if (o.kind == SM_PUT_DONE) {
                return o.err;
            }
            holder_takes(r, &o, is_first, &reply);
            sm_put_response(p, now, o.id, SM_OK, reply);
        }
    }
}

static enum sm_err time_put(struct rig *r, bool is_first, uint64_t *out_ns)
{
    struct sm_put_cfg cfg = {.suite = sm_suite_real(),
                             .cipher = r->cipher,
                             .code = r->code,
                             .key = bench_key,
                             .n_holders = r->code.n};
    struct sm_put *p = NULL;
    SM_TRY(sm_put_new(&cfg, &p));
    uint64_t from = now_ns();
    enum sm_err e = put_once(r, p, is_first);
    *out_ns = now_ns() - from;
    sm_put_free(p);
    return e;
}

static void holder_gives(struct rig *r, const struct sm_get_out *o, struct sm_buf *room,
                         struct sm_view *reply)
{
    struct sm_store_req q;
    if (sm_store_req_read(o->body, &q) != SM_OK) {
        return;
    }
    if (q.op == SM_STORE_SHARD_GET) {
        size_t at = (size_t)q.segment * r->code.n + q.index;
        *reply = sm_view_of(r->stored + at * r->shard, r->shard);
        return;
    }
    struct sm_wr w = sm_wr_init(room->p, room->cap);
    struct sm_store_manifest_reply m = {.held = sm_code_all(r->code) & ~lost_map(r),
                                        .manifest = sm_view_of(r->manifest, r->manifest_n)};
    if (sm_store_manifest_reply_write(&w, &m) == SM_OK) {
        *reply = sm_view_of(room->p, w.n);
    }
}

static enum sm_err get_once(struct rig *r, struct sm_get *g, struct sm_buf *room)
{
    struct sm_mono now = {1};
    for (;;) {
        struct sm_get_out o;
        struct sm_view reply = {0};
        if (!sm_get_next(g, now, &o)) {
            return SM_E_STATE; /* every request was answered: there must be something */
        }
        if (o.kind == SM_GET_DONE) {
            return o.err;
        }
        if (o.kind == SM_GET_REQUEST) {
            holder_gives(r, &o, room, &reply);
            sm_get_response(g, now, o.id, SM_OK, reply);
        }
    }
}

static enum sm_err time_get(struct rig *r, uint64_t *out_ns)
{
    uint64_t held[] = {sm_code_all(r->code) & ~lost_map(r)};
    struct sm_get_cfg cfg = {.suite = sm_suite_real(),
                             .object = r->object,
                             .key = bench_key,
                             .held = held,
                             .n_holders = 1,
                             .to = UINT64_MAX};
    SM_CLEANUP(sm_buf_done) struct sm_buf room = SM_BUF(SM_MANIFEST_MAX + 16);
    uint8_t *at;
    SM_TRY(sm_buf_room(&room, r->manifest_n + 16, &at));
    struct sm_get *g = NULL;
    SM_TRY(sm_get_new(&cfg, &g));
    uint64_t from = now_ns();
    enum sm_err e = get_once(r, g, &room);
    *out_ns = now_ns() - from;
    sm_get_free(g);
    return e;
}

/* -- together ---------------------------------------------------------------------------- */

struct times {
    uint64_t seal[RUNS], code[RUNS], hash[RUNS], pipeline[RUNS], put[RUNS];
    uint64_t get_hash[RUNS], decode[RUNS], open[RUNS], get[RUNS];
};

/* In turn, so that a noisy moment of the machine meets all of them alike. */
static enum sm_err measure(struct rig *r, struct times *t)
{
    uint64_t first;
    SM_TRY(time_put(r, true, &first));
    for (unsigned i = 0; i < RUNS; i++) {
        SM_TRY(time_seal(r, &t->seal[i]));
        t->code[i] = time_code(r);
        t->hash[i] = time_hash(r);
        SM_TRY(time_pipeline(r, &t->pipeline[i]));
        SM_TRY(time_put(r, false, &t->put[i]));
        t->get_hash[i] = time_get_hash(r);
        SM_TRY(time_decode(r, &t->decode[i]));
        SM_TRY(time_open(r, &t->open[i]));
        SM_TRY(time_get(r, &t->get[i]));
    }
    return SM_OK;
}

static double speed(uint64_t bytes, uint64_t ns)
{
    return (double)bytes / (double)(ns > 0 ? ns : 1);
}

static void report(const struct rig *r, struct times *t, struct bench_put *out)
{
    uint64_t bytes = SEGMENTS * r->plain;
    uint64_t seal = median(t->seal), code = median(t->code), hash = median(t->hash);
    uint64_t sum = seal + code + hash;
    uint64_t get_sum = median(t->get_hash) + median(t->decode) + median(t->open);
    uint64_t pipeline = median(t->pipeline), put = median(t->put), get = median(t->get);
    *out = (struct bench_put){.code = r->code,
                              .bytes = bytes,
                              .runs = RUNS,
                              .seal_gb_s = speed(bytes, seal),
                              .code_gb_s = speed(bytes, code),
                              .hash_gb_s = speed(bytes, hash),
                              .sum_gb_s = speed(bytes, sum),
                              .pipeline_gb_s = speed(bytes, pipeline),
                              .pipeline_ratio = speed(sum, pipeline),
                              .put_gb_s = speed(bytes, put),
                              .put_ratio = speed(sum, put),
                              .get_sum_gb_s = speed(bytes, get_sum),
                              .get_gb_s = speed(bytes, get),
                              .get_ratio = speed(get_sum, get)};
}

enum sm_err bench_put_run(struct sm_code code, enum sm_aead_kind cipher, struct bench_put *out)
{
    if (!sm_code_is_valid(code)) {
        return SM_E_INVALID;
    }
    struct rig *r = calloc(1, sizeof *r);
    struct times *t = calloc(1, sizeof *t);
    enum sm_err e = SM_E_NOMEM;
    if (r != NULL && t != NULL) {
        *r = (struct rig){.code = code, .cipher = cipher};
        r->plain = sm_segment_bytes_max(code);
        r->shard = SM_SHARD_MAX;
        e = rig_init(r);
        e = e == SM_OK ? measure(r, t) : e;
        if (e == SM_OK) {
            report(r, t, out);
        }
        rig_done(r);
    }
    free(r);
    free(t);
    return e;
}
