// SPDX-License-Identifier: Apache-2.0
#pragma once
/* log: lines for people: "time process event key=value ...", to standard error.
 *
 *     2026-11-22T13:00:00.123Z net peer-up node=k3f... rtt=0.4ms
 *
 * Control characters never reach the terminal, whoever sent the text.  Each (process, event)
 * may write a burst of lines and then a few a second; what was left out is counted on the
 * event's next line as suppressed=N.
 *
 * Memory:  a fixed table; the least recently used event makes room.
 */
#include "base/bytes.h"
#include "base/time.h"
#include "proc/config.h"

#define SM_LOG_EVENTS                                                                          \
    128 /* events x processes we have, with room; strangers cannot add any                     \
         */
#define SM_LOG_BURST     20u
#define SM_LOG_RATE_S    5u
#define SM_LOG_LINE      4096u
#define SM_LOG_QUOTED(n) ((n)*4 + 3)

struct sm_log_event {
    char name[64];
    uint32_t credit_ms; /* 1000 / SM_LOG_RATE_S a line */
    struct sm_mono last;
    uint64_t suppressed;
};
struct sm_log {
    enum sm_log_level level;
    struct sm_log_event events[SM_LOG_EVENTS];
    size_t n_events;
};

/* Format one line with its newline into out; 0 when it is below the level or suppressed. */
size_t sm_log_line(struct sm_log *l, struct sm_mono now, uint64_t wall_ms, const char *process,
                   enum sm_log_level level, struct sm_view event, struct sm_view text,
                   char out[static SM_LOG_LINE]);

/* A stranger's bytes as one "quoted" word; out has SM_LOG_QUOTED(v.n) bytes. */
void sm_log_quote(struct sm_view v, char *out);
