// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_put: how fast one core seals, codes and hashes an object, and reads it back, beside
 * the primitives it is made of, measured in turn in the same run.
 *
 * A put of S bytes cannot take less time than sealing S, coding S into S * n / k and hashing
 * all of that; `ratio` is that sum over what the whole took.  Speeds are 10^9 bytes of
 * plaintext a second, medians of `runs`.
 */
#include "base/err.h"
#include "core/code.h"
#include "crypto/suite.h"

struct bench_put {
    struct sm_code code;
    uint64_t bytes; /* of plaintext, each run */
    unsigned runs;
    double seal_gb_s, code_gb_s, hash_gb_s; /* each primitive alone */
    double sum_gb_s;                        /* the three one after the other */
    double pipeline_gb_s, pipeline_ratio;   /* segments through sm_segment_seal */
    double put_gb_s, put_ratio;             /* all of struct sm_put, with its requests */
    double get_sum_gb_s;                    /* hash k shards, decode, open */
    double get_gb_s, get_ratio;             /* all of struct sm_get, m data shards lost */
};

/* NOMEM, INVALID for a code that is none, or what the machines say. */
enum sm_err bench_put_run(struct sm_code code, enum sm_aead_kind cipher,
                          struct bench_put *out) SM_MUST;
