// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench: what every benchmark tells: a figure, and the same figure of a bare primitive that
 * was measured in turn with it, so that the two mean something together on a machine with
 * neighbours.  Both are medians of at least BENCH_RUNS runs.
 */
#include <stdint.h>

#define BENCH_RUNS 7u

struct bench_line {
    const char *bench, *name; /* of the benchmark and its case */
    const char *unit;
    const char *reference; /* what the second figure is of */
    double value, reference_value;
};

/* Where lines go; the strings live during the call. */
struct bench_sink {
    void (*line)(void *ctx, const struct bench_line *l);
    void *ctx;
};

/* Sorts. */
uint64_t bench_median(uint64_t *v, unsigned n);
