// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_tunnel.h"

#include "bench/flow.h"

#include <stdlib.h>

#define FLOWS_MAX 4u
#define TRIPS     3000u

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

static enum sm_err bulk_large(const struct bench_sink *to)
{
    const size_t size = 65536;
    const uint64_t bytes = size * 3000;
    struct race r = {.n = 3,
                     .cfg = {{.kind = FLOW_TCP, .size = size, .bytes = bytes},
                             {.kind = FLOW_TLS, .size = size, .bytes = bytes},
                             {.kind = FLOW_TUNNEL, .size = size, .bytes = bytes}}};
    SM_TRY(race_run(&r));
    tell(to, "tunnel", "64 KiB frames", "Gbit/s", "bare TCP, 64 KiB writes", r.gbit_s[2],
         r.gbit_s[0]);
    tell(to, "tunnel", "64 KiB frames", "Gbit/s", "TLS 1.3 (OpenSSL, AES-256-GCM)", r.gbit_s[2],
         r.gbit_s[1]);
    tell(to, "tunnel", "64 KiB frames, CPU of both ends", "ns/KiB", "bare TCP, 64 KiB writes",
         r.ns_kib[2], r.ns_kib[0]);
    tell(to, "tunnel", "64 KiB frames, CPU of both ends", "ns/KiB",
         "TLS 1.3 (OpenSSL, AES-256-GCM)", r.ns_kib[2], r.ns_kib[1]);
    return SM_OK;
}

static enum sm_err bulk_small(const struct bench_sink *to)
{
    const size_t size = 1400;
    const uint64_t bytes = size * 60000;
    struct race r = {.n = 4,
                     .cfg = {{.kind = FLOW_TCP, .size = size, .bytes = bytes},
                             {.kind = FLOW_TLS, .size = size, .bytes = bytes},
                             {.kind = FLOW_TUNNEL, .size = size, .bytes = bytes},
                             {.kind = FLOW_TCP, .size = 65536, .bytes = 65536 * 1300}}};
    SM_TRY(race_run(&r));
    tell(to, "tunnel", "1400 B frames", "Gbit/s", "bare TCP, 1400 B writes", r.gbit_s[2],
         r.gbit_s[0]);
    tell(to, "tunnel", "1400 B frames", "Gbit/s", "bare TCP, 64 KiB writes", r.gbit_s[2],
         r.gbit_s[3]);
    tell(to, "tunnel", "1400 B frames", "Gbit/s", "TLS 1.3 (OpenSSL), 1400 B writes",
         r.gbit_s[2], r.gbit_s[1]);
    return SM_OK;
}

/* -- round trips -------------------------------------------------------------------------- */

static enum sm_err trips(struct flow *f[static 2], uint64_t ns[static 2][TRIPS])
{
    uint64_t warm;
    SM_TRY(flow_run(f[0], &warm));
    SM_TRY(flow_run(f[1], &warm));
    for (unsigned i = 0; i < TRIPS; i++) {
        SM_TRY(flow_run(f[0], &ns[0][i]));
        SM_TRY(flow_run(f[1], &ns[1][i]));
    }
    return SM_OK;
}

static enum sm_err round_trip(const struct bench_sink *to, bool is_one_core)
{
    static uint64_t ns[2][TRIPS];
    struct flow_cfg cfg = {
        .size = FLOW_ANSWER, .bytes = FLOW_ANSWER, .cores = is_one_core ? 1 : 2};
    struct flow *f[2] = {NULL, NULL};
    cfg.kind = FLOW_TCP;
    enum sm_err e = flow_open(&cfg, &f[0]);
    cfg.kind = FLOW_TUNNEL;
    e = e == SM_OK ? flow_open(&cfg, &f[1]) : e;
    e = e == SM_OK ? trips(f, ns) : e;
    flow_close(f[0]);
    flow_close(f[1]);
    SM_TRY(e);
    to->line(to->ctx,
             &(struct bench_line){
                 .bench = "tunnel",
                 .name = is_one_core ? "round trip of 64 B, one core" : "round trip of 64 B",
                 .unit = "us",
                 .reference = "bare TCP",
                 .value = (double)bench_median(ns[1], TRIPS) / 1000.0,
                 .reference_value = (double)bench_median(ns[0], TRIPS) / 1000.0});
    return SM_OK;
}

enum sm_err bench_tunnel(const struct bench_sink *to)
{
    SM_TRY(bulk_large(to));
    SM_TRY(bulk_small(to));
    SM_TRY(round_trip(to, true));
    return round_trip(to, false);
}

/* -- relay -------------------------------------------------------------------------------- */

static enum sm_err relay(const struct bench_sink *to, size_t size, uint64_t messages,
                         const char *name, const char *reference)
{
    uint64_t bytes = size * messages;
    struct race r = {.n = 2,
                     .cfg = {{.kind = FLOW_TUNNEL, .size = size, .bytes = bytes},
                             {.kind = FLOW_RELAY, .size = size, .bytes = bytes}}};
    SM_TRY(race_run(&r));
    tell(to, "relay", name, "Gbit/s", reference, r.gbit_s[1], r.gbit_s[0]);
    return SM_OK;
}

enum sm_err bench_relay(const struct bench_sink *to)
{
    SM_TRY(relay(to, 20 * 1024, 6000, "A-B-C, packets of 20 KiB", "one tunnel, 20 KiB frames"));
    return relay(to, 1400, 50000, "A-B-C, packets of 1400 B", "one tunnel, 1400 B frames");
}
