// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_tunnel.h"

#include "bench/flow.h"
#include "crypto/suite.h"
#include "os/clock.h"

#include <stdlib.h>

#define FLOWS_MAX    3u
#define CIPHER_BYTES (64u << 20) /* of one run */

/* -- bulk --------------------------------------------------------------------------------- */

/* Flows that are measured in turn, a round after the other. */
struct race {
    unsigned n;
    struct flow_cfg cfg[FLOWS_MAX];
    struct flow *flow[FLOWS_MAX];
    uint64_t ns[FLOWS_MAX][BENCH_RUNS], cpu_ns[FLOWS_MAX][BENCH_RUNS];
    double gbit_s[FLOWS_MAX], ns_kib[FLOWS_MAX]; /* medians; of the processors */
};

static enum sm_err race_rounds(struct race *r)
{
    uint64_t warm;
    for (unsigned i = 0; i < r->n; i++) {
        SM_TRY(flow_open(&r->cfg[i], &r->flow[i]));
        SM_TRY(flow_run(r->flow[i], &warm));
    }
    for (unsigned round = 0; round < BENCH_RUNS; round++) {
        for (unsigned i = 0; i < r->n; i++) {
            uint64_t before = flow_cpu_ns(r->flow[i]);
            SM_TRY(flow_run(r->flow[i], &r->ns[i][round]));
            r->cpu_ns[i][round] = flow_cpu_ns(r->flow[i]) - before;
        }
    }
    return SM_OK;
}

static enum sm_err race_run(struct race *r)
{
    enum sm_err e = race_rounds(r);
    for (unsigned i = 0; i < r->n; i++) {
        flow_close(r->flow[i]);
        r->gbit_s[i] =
            8.0 * (double)r->cfg[i].bytes / (double)bench_median(r->ns[i], BENCH_RUNS);
        r->ns_kib[i] =
            1024.0 * (double)bench_median(r->cpu_ns[i], BENCH_RUNS) / (double)r->cfg[i].bytes;
    }
    return e;
}

static void tell(const struct bench_sink *to, const char *bench, const char *name,
                 const char *unit, const char *reference, double value, double reference_value)
{
    to->line(to->ctx, &(struct bench_line){.bench = bench,
                                           .name = name,
                                           .unit = unit,
                                           .reference = reference,
                                           .value = value,
                                           .reference_value = reference_value});
}

/* -- the bare cipher ---------------------------------------------------------------------- */

static uint64_t clock_ns(void)
{
    return sm_clock_mono().ns;
}

/* Seal and open one frame's text again and again, in place, on one core. */
static enum sm_err cipher_run(size_t size, double *gbit_s)
{
    static uint8_t text[65536 + SM_TAG_BYTES];
    const uint64_t count = CIPHER_BYTES / size;
    uint64_t ns[BENCH_RUNS];
    struct sm_secret32 key = {{1}};
    SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
    SM_TRY(sm_aead_init(&a, sm_suite_real(), sm_aead_fastest(clock_ns), &key));
    for (unsigned round = 0; round < BENCH_RUNS; round++) {
        uint64_t from = clock_ns();
        for (uint64_t i = 0; i < count; i++) {
            struct sm_view none = {0};
            SM_TRY(sm_aead_seal(&a, i, none, sm_view_of(text, size), text));
            SM_TRY(sm_aead_open(&a, i, none, sm_view_of(text, size + SM_TAG_BYTES), text));
        }
        ns[round] = clock_ns() - from;
    }
    *gbit_s = 8.0 * (double)(count * size) / (double)bench_median(ns, BENCH_RUNS);
    return SM_OK;
}

/* -- tunnels ------------------------------------------------------------------------------ */

struct bulk {
    size_t size;
    unsigned messages, cores;
    const char *name, *name_cpu;
    const char *bare, *tls; /* tls: NULL over UDP */
};

static enum sm_err bulk(const struct bench_sink *to, const struct bulk *b)
{
    double cipher;
    const uint64_t bytes = b->size * b->messages;
    struct race r = {.n = 3};
    const enum flow_kind kinds[] = {FLOW_TCP, FLOW_TLS, FLOW_TUNNEL};
    for (unsigned i = 0; i < r.n; i++) {
        r.cfg[i] = (struct flow_cfg){
            .kind = kinds[i], .size = b->size, .bytes = bytes, .cores = b->cores};
    }
    SM_TRY(race_run(&r));
    SM_TRY(cipher_run(b->size, &cipher));
    tell(to, "tunnel", b->name, "Gbit/s", b->bare, r.gbit_s[2], r.gbit_s[0]);
    tell(to, "tunnel", b->name, "Gbit/s", b->tls, r.gbit_s[2], r.gbit_s[1]);
    tell(to, "tunnel", b->name, "Gbit/s", "bare cipher, seal and open on one core", r.gbit_s[2],
         cipher);
    tell(to, "tunnel", b->name_cpu, "ns/KiB", b->bare, r.ns_kib[2], r.ns_kib[0]);
    tell(to, "tunnel", b->name_cpu, "ns/KiB", b->tls, r.ns_kib[2], r.ns_kib[1]);
    return SM_OK;
}

#define TCP_64K "bare TCP, 64 KiB writes"
#define TLS_64K "TLS 1.3 (OpenSSL, AES-256-GCM), 64 KiB writes"

static const struct bulk bulks[] = {
    {65536, 2000, 0, "64 KiB frames", "64 KiB frames, CPU of both ends", TCP_64K, TLS_64K},
    {65536, 2000, 1, "64 KiB frames, one core", "64 KiB frames, one core, CPU", TCP_64K,
     TLS_64K},
    {65536, 2000, 2, "64 KiB frames, a core each", "64 KiB frames, a core each, CPU", TCP_64K,
     TLS_64K},
    {1400, 40000, 0, "1400 B frames", "1400 B frames, CPU of both ends",
     "bare TCP, 1400 B writes", "TLS 1.3 (OpenSSL), 1400 B writes"},
};

/* -- tunnels over UDP --------------------------------------------------------------------- */

static enum sm_err bulk_udp(const struct bench_sink *to, const struct bulk *b)
{
    struct flow_cfg cfg = {.kind = FLOW_UDP,
                           .size = b->size,
                           .bytes = (uint64_t)b->size * b->messages,
                           .cores = b->cores};
    double cipher;
    struct race r = {.n = 2, .cfg = {cfg, cfg}};
    r.cfg[1].kind = FLOW_UDP_TUNNEL;
    SM_TRY(race_run(&r));
    SM_TRY(cipher_run(flow_udp_segment(b->size), &cipher));
    tell(to, "tunnel", b->name, "Gbit/s", b->bare, r.gbit_s[1], r.gbit_s[0]);
    tell(to, "tunnel", b->name, "Gbit/s", "bare cipher, seal and open on one core", r.gbit_s[1],
         cipher);
    tell(to, "tunnel", b->name_cpu, "ns/KiB", b->bare, r.ns_kib[1], r.ns_kib[0]);
    return SM_OK;
}

#define UDP_1400 "bare UDP, GSO and GRO, 1400 B"
#define UDP_8192 "bare UDP, GSO and GRO, 8 KiB"

/* 24 KiB are three datagrams of 8 KiB and what the tunnel adds. */
static const struct bulk udp_bulks[] = {
    {1400, 100000, 0, "UDP, 1400 B", "UDP, 1400 B, CPU of both ends", UDP_1400, NULL},
    {1400, 100000, 1, "UDP, 1400 B, one core", "UDP, 1400 B, one core, CPU", UDP_1400, NULL},
    {1400, 100000, 2, "UDP, 1400 B, a core each", "UDP, 1400 B, a core each, CPU", UDP_1400,
     NULL},
    {24576, 8000, 0, "UDP, 24 KiB", "UDP, 24 KiB, CPU of both ends", UDP_8192, NULL},
    {24576, 8000, 1, "UDP, 24 KiB, one core", "UDP, 24 KiB, one core, CPU", UDP_8192, NULL},
};

/* Those that want more processors than there are, are left out. */
static enum sm_err each(const struct bench_sink *to, const struct bulk *b, size_t n,
                        enum sm_err (*run)(const struct bench_sink *, const struct bulk *))
{
    for (size_t i = 0; i < n; i++) {
        enum sm_err e = run(to, &b[i]);
        if (e != SM_OK && e != SM_E_LIMIT) {
            return e;
        }
    }
    return SM_OK;
}

enum sm_err bench_tunnel(const struct bench_sink *to)
{
    SM_TRY(each(to, bulks, SM_COUNT(bulks), bulk));
    return each(to, udp_bulks, SM_COUNT(udp_bulks), bulk_udp);
}

/* -- relay -------------------------------------------------------------------------------- */

static enum sm_err relay(const struct bench_sink *to, size_t size, uint64_t messages,
                         unsigned cores, const char *name, const char *name_cpu,
                         const char *reference)
{
    uint64_t bytes = size * messages;
    struct flow_cfg cfg = {.kind = FLOW_TUNNEL, .size = size, .bytes = bytes, .cores = cores};
    struct race r = {.n = 2, .cfg = {cfg, cfg}};
    r.cfg[1].kind = FLOW_RELAY;
    SM_TRY(race_run(&r));
    tell(to, "relay", name, "Gbit/s", reference, r.gbit_s[1], r.gbit_s[0]);
    tell(to, "relay", name_cpu, "ns/KiB", reference, r.ns_kib[1], r.ns_kib[0]);
    return SM_OK;
}

enum sm_err bench_relay(const struct bench_sink *to)
{
    SM_TRY(relay(to, 20 * 1024, 6000, 0, "A-B-C, 20 KiB", "A-B-C, 20 KiB, CPU of all three",
                 "one tunnel, 20 KiB frames"));
    SM_TRY(relay(to, 20 * 1024, 6000, 1, "A-B-C, 20 KiB, one core",
                 "A-B-C, 20 KiB, one core, CPU", "one tunnel, 20 KiB frames, one core"));
    return relay(to, 1400, 50000, 0, "A-B-C, 1400 B", "A-B-C, 1400 B, CPU of all three",
                 "one tunnel, 1400 B frames");
}
