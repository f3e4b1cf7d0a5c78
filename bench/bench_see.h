// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_see: what starting and ending an instance costs, beside a bare fork in the same run. */
#include "see/engine.h"

struct bench_see {
    uint64_t compile_us, cached_us; /* of the smallest module: the fixed costs */
    uint64_t zygote_us;             /* from the start of a worker to its first answer */
    uint64_t first_us_p50;    /* from sm_run_start() to what the module's first call wrote */
    uint64_t whole_us_p50;    /* to the end of the instance */
    uint64_t fork_us_p50;     /* the bare primitive: fork, _exit, wait */
    uint64_t instances_per_s; /* one after another */
    uint32_t peak_kib;        /* resident, of one instance */
};

/* Run n instances of a module that writes one byte, n at most 10000. */
enum sm_err bench_see(const struct sm_engine *e, unsigned n, struct bench_see *out) SM_MUST;
