// SPDX-License-Identifier: Apache-2.0
#include "os/clock.h"

#include <time.h>

struct sm_mono sm_clock_mono(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct sm_mono){(uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec};
}

uint64_t sm_clock_wall_ms(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec > 0 ? (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u : 0;
}

struct sm_wall sm_clock_wall(void)
{
    return (struct sm_wall){sm_clock_wall_ms() / 1000u};
}
