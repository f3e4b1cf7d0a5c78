// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_handshake.h"

#include "bench/tls_kit.h"
#include "crypto/noise.h"

#include <string.h>
#include <time.h>

#define SPAN_NS 60000000u /* of one run */
#define TURNS   16        /* messages of a handshake; more means that it is stuck */

struct rig {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_dh_pair a, b;
    struct tls_kit tls;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -- one handshake ------------------------------------------------------------------------ */

static enum sm_err tls_once(struct rig *r)
{
    SSL *s = SSL_new(r->tls.server), *c = SSL_new(r->tls.client);
    BIO *at_s = NULL, *at_c = NULL;
    bool is_done = false;
    if (s != NULL && c != NULL && BIO_new_bio_pair(&at_s, 32768, &at_c, 32768) == 1) {
        SSL_set_bio(s, at_s, at_s);
        SSL_set_bio(c, at_c, at_c);
        SSL_set_accept_state(s);
        SSL_set_connect_state(c);
        for (int i = 0; i < TURNS && !is_done; i++) {
            int at_client = SSL_do_handshake(c), at_server = SSL_do_handshake(s);
            is_done = at_client == 1 && at_server == 1;
        }
    }
    SSL_free(s);
    SSL_free(c);
    return is_done ? SM_OK : SM_E_CRYPTO;
}

/* All messages and the keys, and forget them. */
static enum sm_err noise_run(struct rig *r, struct sm_noise *a, struct sm_noise *b)
{
    uint8_t msg[256], payload[256];
    size_t n, none;
    struct sm_secret32 k[4];
    while (!sm_noise_is_done(a)) {
        struct sm_noise *from = sm_noise_may_write(a) ? a : b, *to = from == a ? b : a;
        SM_TRY(sm_noise_write(from, &r->rng, (struct sm_view){0}, msg, sizeof msg, &n));
        SM_TRY(sm_noise_read(to, sm_view_of(msg, n), payload, sizeof payload, &none));
    }
    SM_TRY(sm_noise_split(a, &k[0], &k[1]));
    SM_TRY(sm_noise_split(b, &k[2], &k[3]));
    bool is_same = sm_secret_eq(k[0].b, k[3].b, sizeof k[0].b);
    sm_wipe(k, sizeof k);
    return is_same ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err noise_once(struct rig *r, const char *protocol)
{
    struct sm_noise a, b;
    struct sm_view prologue = sm_view_str("bench");
    SM_TRY(sm_noise_init(&a, r->suite, protocol, true, prologue,
                         &(struct sm_noise_keys){.s = &r->a, .rs = &r->b.pub}));
    SM_TRY(sm_noise_init(&b, r->suite, protocol, false, prologue,
                         &(struct sm_noise_keys){.s = &r->b}));
    enum sm_err e = noise_run(r, &a, &b);
    sm_noise_wipe(&a);
    sm_noise_wipe(&b);
    return e;
}

static enum sm_err ik_once(struct rig *r)
{
    return noise_once(r, "Noise_IK_25519_AESGCM_SHA256");
}

static enum sm_err xx_once(struct rig *r)
{
    return noise_once(r, "Noise_XX_25519_AESGCM_SHA256");
}

/* -- the run ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum sm_err (*once)(struct rig *r);
} kinds[] = {
    {NULL, tls_once}, {"Noise IK handshakes", ik_once}, {"Noise XX handshakes", xx_once}};

static enum sm_err run_one(struct rig *r, size_t kind, uint64_t *per_s)
{
    uint64_t from = cpu_ns(), took = 0, n = 0;
    while (took < SPAN_NS) {
        SM_TRY(kinds[kind].once(r));
        n++;
        took = cpu_ns() - from;
    }
    *per_s = n * 1000000000u / took;
    return SM_OK;
}

static enum sm_err rig_make(struct rig *r)
{
    static const uint8_t seed[32] = {1};
    r->suite = sm_suite_real();
    sm_rng_init(&r->rng, seed, "handshakes");
    sm_dh_pair_make(r->suite, &r->rng, &r->a);
    sm_dh_pair_make(r->suite, &r->rng, &r->b);
    return tls_kit_make(&r->tls);
}

static enum sm_err run_all(struct rig *r, uint64_t per_s[SM_COUNT(kinds)][BENCH_RUNS])
{
    SM_TRY(rig_make(r));
    for (unsigned round = 0; round < BENCH_RUNS; round++) {
        for (size_t i = 0; i < SM_COUNT(kinds); i++) {
            SM_TRY(run_one(r, i, &per_s[i][round]));
        }
    }
    return SM_OK;
}

enum sm_err bench_handshake(const struct bench_sink *to)
{
    uint64_t per_s[SM_COUNT(kinds)][BENCH_RUNS];
    struct rig r = {0};
    enum sm_err e = run_all(&r, per_s);
    tls_kit_done(&r.tls);
    SM_TRY(e);
    double tls = (double)bench_median(per_s[0], BENCH_RUNS);
    for (size_t i = 1; i < SM_COUNT(kinds); i++) {
        to->line(to->ctx,
                 &(struct bench_line){.bench = "tunnel",
                                      .name = kinds[i].name,
                                      .unit = "1/CPUs",
                                      .reference = "TLS 1.3 handshakes, P-256, one way",
                                      .value = (double)bench_median(per_s[i], BENCH_RUNS),
                                      .reference_value = tls});
    }
    return SM_OK;
}
