// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_rpc.h"

#include "base/bytes.h"
#include "bench/flow.h"

#include <stdio.h>

#define TRIPS       2000u
#define PROBE_BYTES (65536u * 3000u) /* of bulk in one run */
#define PROBES_MAX  20000u

static const struct {
    enum flow_kind kind;
    const char *name;
} kinds[] = {{FLOW_TCP, "bare TCP"},
             {FLOW_TLS, "TLS 1.3 (OpenSSL)"},
             {FLOW_TUNNEL, "tunnel"},
             {FLOW_SESSION, "session"}};
#define BARE_KINDS 2u /* the first ones are what the others stand beside */

static enum sm_err trips(struct flow *f[static SM_COUNT(kinds)],
                         uint64_t ns[static SM_COUNT(kinds)][TRIPS])
{
    uint64_t warm;
    for (size_t k = 0; k < SM_COUNT(kinds); k++) {
        SM_TRY(flow_run(f[k], &warm));
    }
    for (unsigned i = 0; i < TRIPS; i++) {
        for (size_t k = 0; k < SM_COUNT(kinds); k++) {
            SM_TRY(flow_run(f[k], &ns[k][i]));
        }
    }
    return SM_OK;
}

static enum sm_err measure(size_t size, unsigned cores, double us[static SM_COUNT(kinds)])
{
    static uint64_t ns[SM_COUNT(kinds)][TRIPS];
    struct flow *f[SM_COUNT(kinds)] = {NULL};
    enum sm_err e = SM_OK;
    for (size_t k = 0; k < SM_COUNT(kinds) && e == SM_OK; k++) {
        e = flow_open(&(struct flow_cfg){.kind = kinds[k].kind,
                                         .size = size,
                                         .bytes = size,
                                         .answer = size,
                                         .cores = cores},
                      &f[k]);
    }
    e = e == SM_OK ? trips(f, ns) : e;
    for (size_t k = 0; k < SM_COUNT(kinds); k++) {
        flow_close(f[k]);
        us[k] = (double)bench_median(ns[k], TRIPS) / 1000.0;
    }
    return e;
}

static enum sm_err request_reply(const struct bench_sink *to, size_t size, const char *what,
                                 unsigned cores)
{
    double us[SM_COUNT(kinds)];
    char name[64];
    SM_TRY(measure(size, cores, us));
    for (size_t k = BARE_KINDS; k < SM_COUNT(kinds); k++) {
        (void)snprintf(name, sizeof name, "%s over a %s, %s", what, kinds[k].name,
                       cores == 1 ? "one core" : "two cores");
        for (size_t b = 0; b < BARE_KINDS; b++) {
            to->line(to->ctx, &(struct bench_line){.bench = "rpc",
                                                   .name = name,
                                                   .unit = "us",
                                                   .reference = kinds[b].name,
                                                   .value = us[k],
                                                   .reference_value = us[b]});
        }
    }
    return SM_OK;
}

/* -- control under bulk ------------------------------------------------------------------- */

static enum sm_err probe(unsigned cores, double *us)
{
    static uint64_t ns[PROBES_MAX];
    struct flow *f;
    unsigned n = 0;
    SM_TRY(flow_open(
        &(struct flow_cfg){
            .kind = FLOW_TUNNEL, .size = 65536, .bytes = PROBE_BYTES, .cores = cores},
        &f));
    enum sm_err e = flow_run_probed(f, ns, PROBES_MAX, &n);
    flow_close(f);
    SM_TRY(e);
    if (n == 0) {
        return SM_E_TIMEOUT;
    }
    *us = (double)bench_median(ns, n) / 1000.0;
    return SM_OK;
}

static enum sm_err under_bulk(const struct bench_sink *to, unsigned cores)
{
    double loaded, idle[SM_COUNT(kinds)];
    SM_TRY(probe(cores, &loaded));
    SM_TRY(measure(FLOW_ANSWER, cores, idle));
    to->line(to->ctx,
             &(struct bench_line){.bench = "rpc",
                                  .name = cores == 1 ? "64 B control under bulk, one core"
                                                     : "64 B control under bulk, two cores",
                                  .unit = "us",
                                  .reference = "64 B over an idle tunnel",
                                  .value = loaded,
                                  .reference_value = idle[BARE_KINDS]});
    return SM_OK;
}

/* -- the run ------------------------------------------------------------------------------ */

static enum sm_err run(const struct bench_sink *to, unsigned cores)
{
    SM_TRY(request_reply(to, 64, "64 B", cores));
    SM_TRY(request_reply(to, 16384, "16 KiB", cores));
    return under_bulk(to, cores);
}

enum sm_err bench_rpc(const struct bench_sink *to)
{
    SM_TRY(run(to, 1));
    enum sm_err e = run(to, 2);
    return e == SM_E_LIMIT ? SM_OK : e; /* there is but one processor */
}
