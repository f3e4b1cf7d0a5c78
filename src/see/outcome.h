// SPDX-License-Identifier: Apache-2.0
#pragma once
/* outcome: what one run of a module may use, and how it ended. */
#include "base/bytes.h"

struct sm_see_limits {
    uint32_t memory_pages; /* of 64 KiB, linear memory */
    uint32_t cpu_s;        /* kernel granularity: whole seconds */
    uint32_t wall_ms;
    uint64_t stdout_bytes;
    uint32_t stderr_bytes; /* kept; what comes after is read and dropped */
};

static inline struct sm_see_limits sm_see_limits_default(void)
{
    return (struct sm_see_limits){.memory_pages = 1024,
                                  .cpu_s = 30,
                                  .wall_ms = 60000,
                                  .stdout_bytes = 64u << 20,
                                  .stderr_bytes = 64u << 10};
}

/* What a job may ask for: no limit above a node's own; zero means the node's. */
struct sm_see_limits sm_see_limits_lower(struct sm_see_limits node, struct sm_see_limits asked);

enum sm_see_how {
    SM_SEE_EXIT,        /* by itself; code is the module's exit status */
    SM_SEE_UNREACHABLE, /* traps, as the WebAssembly specification names them */
    SM_SEE_OOB,
    SM_SEE_EXHAUSTION,
    SM_SEE_DIV_BY_ZERO,
    SM_SEE_INT_OVERFLOW,
    SM_SEE_CONVERSION,
    SM_SEE_INDIRECT,
    SM_SEE_LIMIT_MEMORY, /* asks for more at the start than the limit */
    SM_SEE_LIMIT_CPU,
    SM_SEE_LIMIT_WALL,
    SM_SEE_LIMIT_OUTPUT,
    SM_SEE_KILLED,       /* by request */
    SM_SEE_FORBIDDEN,    /* a system call outside the wall: an engine bug used or hit */
    SM_SEE_ENGINE_FAULT, /* a fault outside the module's memory and stack; code is the signal */
    SM_SEE_LOST,         /* its process could not start, or its worker is gone */
};

struct sm_see_outcome {
    enum sm_see_how how;
    uint32_t code; /* exit status or signal */
    uint64_t cpu_us, wall_us;
    uint32_t peak_kib; /* resident */
};

/* One line for people: "module stopped: 2 s of CPU used". */
void sm_see_outcome_words(const struct sm_see_outcome *o, const struct sm_see_limits *limits,
                          char *out, size_t out_n);

/* OK for exit status 0, FAILED for another, TRAP for traps, LIMIT, CANCELLED, UNREACHABLE. */
enum sm_err sm_see_outcome_err(const struct sm_see_outcome *o);
