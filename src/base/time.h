// SPDX-License-Identifier: Apache-2.0
#pragma once
/* time: points and lengths of time as types, so that a slip between two does not compile.
 *
 * struct sm_mono is the node's monotonic clock; struct sm_wall is seconds of Unix time, used
 * only in signed records and certificates.  Arithmetic saturates; it never wraps.
 */
#include <stdbool.h>
#include <stdint.h>

struct sm_mono {
    uint64_t ns;
};
struct sm_dur {
    uint64_t ns;
};
struct sm_wall {
    uint64_t s;
};

#define SM_NEVER ((struct sm_mono){UINT64_MAX})
#define SM_US(n) ((struct sm_dur){(uint64_t)(n)*1000u})
#define SM_MS(n) ((struct sm_dur){(uint64_t)(n)*1000000u})
#define SM_S(n)  ((struct sm_dur){(uint64_t)(n)*1000000000u})

static inline struct sm_mono sm_after(struct sm_mono t, struct sm_dur d)
{
    return (struct sm_mono){t.ns > UINT64_MAX - d.ns ? UINT64_MAX : t.ns + d.ns};
}

/* How long from a to b; zero when b is not later. */
static inline struct sm_dur sm_between(struct sm_mono a, struct sm_mono b)
{
    return (struct sm_dur){b.ns > a.ns ? b.ns - a.ns : 0};
}

static inline bool sm_is_due(struct sm_mono deadline, struct sm_mono now)
{
    return deadline.ns <= now.ns;
}

static inline struct sm_mono sm_earlier(struct sm_mono a, struct sm_mono b)
{
    return a.ns < b.ns ? a : b;
}
