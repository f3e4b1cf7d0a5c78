// SPDX-License-Identifier: Apache-2.0
#include "see/outcome.h"

#include <stdio.h>

static uint64_t lower(uint64_t node, uint64_t asked)
{
    return asked == 0 || asked > node ? node : asked;
}

struct sm_see_limits sm_see_limits_lower(struct sm_see_limits node, struct sm_see_limits asked)
{
    return (struct sm_see_limits){
        .memory_pages = (uint32_t)lower(node.memory_pages, asked.memory_pages),
        .cpu_s = (uint32_t)lower(node.cpu_s, asked.cpu_s),
        .wall_ms = (uint32_t)lower(node.wall_ms, asked.wall_ms),
        .stdout_bytes = lower(node.stdout_bytes, asked.stdout_bytes),
        .stderr_bytes = (uint32_t)lower(node.stderr_bytes, asked.stderr_bytes),
    };
}

static const char *trap_words(enum sm_see_how how)
{
    switch (how) {
    case SM_SEE_UNREACHABLE:
        return "unreachable instruction";
    case SM_SEE_OOB:
        return "memory or table access out of bounds";
    case SM_SEE_EXHAUSTION:
        return "call stack exhausted";
    case SM_SEE_DIV_BY_ZERO:
        return "integer division by zero";
    case SM_SEE_INT_OVERFLOW:
        return "integer overflow";
    case SM_SEE_CONVERSION:
        return "conversion of NaN to an integer";
    case SM_SEE_INDIRECT:
        return "indirect call of a null or wrongly typed function";
    case SM_SEE_EXIT:
    case SM_SEE_LIMIT_MEMORY:
    case SM_SEE_LIMIT_CPU:
    case SM_SEE_LIMIT_WALL:
    case SM_SEE_LIMIT_OUTPUT:
    case SM_SEE_KILLED:
    case SM_SEE_FORBIDDEN:
    case SM_SEE_ENGINE_FAULT:
    case SM_SEE_LOST:
        break;
    }
    return NULL;
}

/* A size in the largest unit that keeps it whole. */
static void size_words(uint64_t bytes, char *out, size_t out_n)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
    size_t u = 0;
    while (u + 1 < SM_COUNT(units) && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        u++;
    }
    (void)snprintf(out, out_n, "%llu %s", (unsigned long long)bytes, units[u]);
}

void sm_see_outcome_words(const struct sm_see_outcome *o, const struct sm_see_limits *limits,
                          char *out, size_t out_n)
{
    char size[40];
    switch (o->how) {
    case SM_SEE_EXIT:
        (void)snprintf(out, out_n, "module exited with status %u", o->code);
        return;
    case SM_SEE_UNREACHABLE:
    case SM_SEE_OOB:
    case SM_SEE_EXHAUSTION:
    case SM_SEE_DIV_BY_ZERO:
    case SM_SEE_INT_OVERFLOW:
    case SM_SEE_CONVERSION:
    case SM_SEE_INDIRECT:
        (void)snprintf(out, out_n, "module trapped: %s", trap_words(o->how));
        return;
    case SM_SEE_LIMIT_MEMORY:
        size_words((uint64_t)limits->memory_pages << 16, size, sizeof size);
        (void)snprintf(out, out_n, "module stopped: needs more than %s of memory to start",
                       size);
        return;
    case SM_SEE_LIMIT_CPU:
        (void)snprintf(out, out_n, "module stopped: %u s of CPU used", limits->cpu_s);
        return;
    case SM_SEE_LIMIT_WALL:
        (void)snprintf(out, out_n, "module stopped: not done after %u ms", limits->wall_ms);
        return;
    case SM_SEE_LIMIT_OUTPUT:
        size_words(limits->stdout_bytes, size, sizeof size);
        (void)snprintf(out, out_n, "module stopped: wrote more than %s", size);
        return;
    case SM_SEE_KILLED:
        (void)snprintf(out, out_n, "module stopped: cancelled");
        return;
    case SM_SEE_FORBIDDEN:
        (void)snprintf(out, out_n, "module stopped: forbidden system call");
        return;
    case SM_SEE_ENGINE_FAULT:
        (void)snprintf(out, out_n, "module stopped: engine fault, signal %u", o->code);
        return;
    case SM_SEE_LOST:
        (void)snprintf(out, out_n, "module lost: its process could not start or is gone");
        return;
    }
    (void)snprintf(out, out_n, "module stopped: unknown reason %d", (int)o->how);
}

enum sm_err sm_see_outcome_err(const struct sm_see_outcome *o)
{
    switch (o->how) {
    case SM_SEE_EXIT:
        return o->code == 0 ? SM_OK : SM_E_FAILED;
    case SM_SEE_UNREACHABLE:
    case SM_SEE_OOB:
    case SM_SEE_EXHAUSTION:
    case SM_SEE_DIV_BY_ZERO:
    case SM_SEE_INT_OVERFLOW:
    case SM_SEE_CONVERSION:
    case SM_SEE_INDIRECT:
    case SM_SEE_FORBIDDEN:
    case SM_SEE_ENGINE_FAULT:
        return SM_E_TRAP;
    case SM_SEE_LIMIT_MEMORY:
    case SM_SEE_LIMIT_CPU:
    case SM_SEE_LIMIT_WALL:
    case SM_SEE_LIMIT_OUTPUT:
        return SM_E_LIMIT;
    case SM_SEE_KILLED:
        return SM_E_CANCELLED;
    case SM_SEE_LOST:
        return SM_E_UNREACHABLE;
    }
    return SM_E_FAILED;
}
