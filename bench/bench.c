// SPDX-License-Identifier: Apache-2.0
#include "bench/bench.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

uint64_t bench_median(uint64_t *v, unsigned n)
{
    qsort(v, n, sizeof v[0], by_value);
    return v[n / 2];
}
