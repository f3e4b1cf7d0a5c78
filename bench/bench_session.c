// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_session.h"

#include <stdlib.h>

#ifdef SM_DEV_ROOT
#include "core/session.h"
#include "tests/passport_kit.h"
#include "wire/fragment.h"

enum { SHARD = 512 << 10, AT_ONCE = 6, PINGS = 1000 };

struct pair {
    uint64_t (*now_ns)(void);
    struct kit kit;
    struct kit_id id[2];
    struct sm_host *host[2];
    uint64_t arrived, failed, ended;
    uint8_t body[SHARD];
};

static struct sm_mono now_of(const struct pair *p)
{
    return (struct sm_mono){p->now_ns()};
}

/* Hand everything over until both are quiet; packets go from one host into the other. */
static void settle(struct pair *p)
{
    bool is_moving = true;
    while (is_moving) {
        is_moving = false;
        for (unsigned i = 0; i < 2; i++) {
            struct sm_host_out out;
            sm_host_tick(p->host[i], now_of(p));
            while (sm_host_next(p->host[i], &out)) {
                is_moving = true;
                if (out.kind == SM_HOST_PACKET) {
                    sm_host_packet(p->host[1 - i], now_of(p), KIT_NOW, p->id[i].addr,
                                   out.packet.slot, out.packet.bytes);
                } else if (out.kind == SM_HOST_REQUEST) {
                    p->arrived += out.request.body.n;
                    p->failed += sm_host_reply(p->host[i], now_of(p), out.request.handle, SM_OK,
                                               (struct sm_view){0}) != SM_OK;
                } else if (out.kind == SM_HOST_RESPONSE) {
                    p->ended++;
                    p->failed += out.response.err != SM_OK;
                }
            }
        }
    }
}

static enum sm_err pair_make(struct pair *p, enum sm_aead_kind cipher)
{
    kit_make(&p->kit, sm_suite_real(), 1);
    sm_rng_bytes(&p->kit.rng, p->body, sizeof p->body);
    for (unsigned i = 0; i < 2; i++) {
        kit_identity(&p->kit, (uint8_t)(i + 1), 0, &p->id[i]);
        struct sm_host_cfg c = {
            .suite = p->kit.suite,
            .anchor = &p->kit.anchor,
            .self = p->id[i].addr,
            .dh = p->id[i].dh,
            .cipher = cipher,
            .passport = sm_view_of(p->id[i].passport, p->id[i].passport_n),
            .seed = {(uint8_t)(i + 1)},
            .sessions = 4,
        };
        p->host[i] = sm_host_new(&c);
        if (p->host[i] == NULL) {
            return SM_E_NOMEM;
        }
    }
    return SM_OK;
}

static enum sm_err ask(struct pair *p, size_t n)
{
    uint64_t id;
    return sm_host_request(p->host[0], now_of(p), p->id[1].addr, p->id[1].dh.pub.b,
                           SM_SERVICE_STORE, sm_view_of(p->body, n), SM_S(10), &id);
}

/* One request and its answer; in nanoseconds. */
static enum sm_err ask_one(struct pair *p, size_t n, uint64_t *out)
{
    uint64_t begin = p->now_ns(), ended = p->ended;
    SM_TRY(ask(p, n));
    while (p->ended == ended) {
        settle(p);
    }
    *out = p->now_ns() - begin;
    return p->failed == 0 ? SM_OK : SM_E_FAILED;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static enum sm_err pings(struct pair *p, struct bench_session *b)
{
    static uint64_t took[PINGS];
    for (unsigned i = 0; i < PINGS; i++) {
        SM_TRY(ask_one(p, 64, &took[i]));
    }
    qsort(took, PINGS, sizeof took[0], by_size);
    b->ping_ns = took[PINGS / 2];
    return SM_OK;
}

static enum sm_err bulk(struct pair *p, struct sm_dur span, struct bench_session *b)
{
    uint64_t begin = p->now_ns(), first = p->ended, asked = 0, took = 0;
    p->arrived = 0;
    while (took < span.ns || p->ended < first + asked) {
        if (took < span.ns && asked - (p->ended - first) < AT_ONCE) {
            SM_TRY(ask(p, SHARD));
            asked++;
        } else {
            settle(p);
        }
        took = p->now_ns() - begin;
    }
    b->bytes = p->arrived;
    b->session_mb_per_s = p->arrived * 1000u / took;
    return p->failed == 0 ? SM_OK : SM_E_FAILED;
}

static enum sm_err bare(struct pair *p, enum sm_aead_kind cipher, struct sm_dur span,
                        struct bench_session *b)
{
    SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
    static uint8_t sealed[SM_FRAG_DATA + SM_FRAG_TAG], opened[SM_FRAG_DATA];
    struct sm_secret32 key = {{1}};
    SM_TRY(sm_aead_init(&a, p->kit.suite, cipher, &key));
    uint64_t begin = p->now_ns(), bytes = 0, took = 0;
    for (uint64_t n = 0; took < span.ns; n++) {
        struct sm_view part = sm_view_of(p->body + n % 32 * SM_FRAG_DATA, SM_FRAG_DATA);
        SM_TRY(sm_aead_seal(&a, n, (struct sm_view){0}, part, sealed));
        SM_TRY(sm_aead_open(&a, n, (struct sm_view){0}, sm_view_of(sealed, sizeof sealed),
                            opened));
        bytes += SM_FRAG_DATA;
        took = p->now_ns() - begin;
    }
    b->bare_mb_per_s = bytes * 1000u / took;
    return SM_OK;
}

static enum sm_err measure(struct pair *p, enum sm_aead_kind cipher, struct sm_dur span,
                           struct bench_session *b)
{
    uint64_t took = 0;
    SM_TRY(pair_make(p, cipher));
    SM_TRY(ask_one(p, 64, &took));
    b->handshake_us = took / 1000u;
    SM_TRY(pings(p, b));
    SM_TRY(bulk(p, span, b));
    SM_TRY(bare(p, cipher, span, b));
    struct sm_host_stats st;
    sm_host_stats(p->host[0], &st);
    b->fragments = st.sent;
    b->resent = st.resent;
    b->ratio_permille = b->session_mb_per_s * 1000u / b->bare_mb_per_s;
    return SM_OK;
}

enum sm_err bench_session_run(uint64_t (*now_ns)(void), enum sm_aead_kind cipher,
                              struct sm_dur span, struct bench_session *out)
{
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SM_E_NOMEM;
    }
    p->now_ns = now_ns;
    struct bench_session b = {0};
    enum sm_err err = measure(p, cipher, span, &b);
    sm_host_free(p->host[0]);
    sm_host_free(p->host[1]);
    sm_wipe(p, sizeof *p);
    free(p);
    if (err == SM_OK) {
        *out = b;
    }
    return err;
}
#else
enum sm_err bench_session_run(uint64_t (*now_ns)(void), enum sm_aead_kind cipher,
                              struct sm_dur span, struct bench_session *out)
{
    (void)now_ns;
    (void)cipher;
    (void)span;
    (void)out;
    return SM_E_UNSUPPORTED;
}
#endif
