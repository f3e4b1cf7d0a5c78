// SPDX-License-Identifier: Apache-2.0
#include "proc/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LINE_MS  (1000u / SM_LOG_RATE_S)
#define BURST_MS (SM_LOG_BURST * LINE_MS)

/* The event's entry; a new one takes the place of the one silent for longest. */
static struct sm_log_event *find_event(struct sm_log *l, const char *name, struct sm_mono now)
{
    struct sm_log_event *oldest = &l->events[0];
    for (size_t i = 0; i < l->n_events; i++) {
        if (strcmp(l->events[i].name, name) == 0) {
            return &l->events[i];
        }
        if (l->events[i].last.ns < oldest->last.ns) {
            oldest = &l->events[i];
        }
    }
    struct sm_log_event *e = l->n_events < SM_LOG_EVENTS ? &l->events[l->n_events++] : oldest;
    *e = (struct sm_log_event){.credit_ms = BURST_MS, .last = now};
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    return e;
}

static bool may_write(struct sm_log_event *e, struct sm_mono now)
{
    uint64_t passed_ms = sm_between(e->last, now).ns / 1000000u;
    if (passed_ms > 0) {
        uint64_t credit = e->credit_ms + (passed_ms < BURST_MS ? passed_ms : BURST_MS);
        e->credit_ms = (uint32_t)(credit < BURST_MS ? credit : BURST_MS);
        e->last = now;
    }
    if (e->credit_ms < LINE_MS) {
        e->suppressed++;
        return false;
    }
    e->credit_ms -= LINE_MS;
    return true;
}

/* Append v with everything that is not printable ASCII as \xNN; stops at cap. */
static size_t add_clean(char *out, size_t n, size_t cap, struct sm_view v)
{
    for (size_t i = 0; i < v.n && n + 5 < cap; i++) {
        uint8_t c = v.p[i];
        if (c >= 0x20 && c <= 0x7e) {
            out[n++] = (char)c;
        } else {
            n += (size_t)snprintf(out + n, cap - n, "\\x%02x", c);
        }
    }
    return n;
}

static size_t add_time(char *out, size_t cap, uint64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    (void)gmtime_r(&s, &tm);
    size_t n = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(out + n, cap - n, ".%03uZ ", (unsigned)(wall_ms % 1000));
}

size_t sm_log_line(struct sm_log *l, struct sm_mono now, uint64_t wall_ms, const char *process,
                   enum sm_log_level level, struct sm_view event, struct sm_view text,
                   char out[static SM_LOG_LINE])
{
    char name[64];
    const size_t cap = SM_LOG_LINE - 40; /* room for the count and the newline */
    if (level > l->level) {
        return 0;
    }
    (void)snprintf(name, sizeof name, "%s/%.*s", process, (int)event.n, (const char *)event.p);
    struct sm_log_event *e = find_event(l, name, now);
    if (!may_write(e, now)) {
        return 0;
    }
    size_t n = add_time(out, cap, wall_ms);
    n = add_clean(out, n, cap, sm_view_str(process));
    out[n++] = ' ';
    n = add_clean(out, n, cap, event);
    if (level <= SM_LOG_WARN) {
        n += (size_t)snprintf(out + n, cap - n, " level=%s", sm_log_level_name(level));
    }
    if (text.n > 0) {
        out[n++] = ' ';
        n = add_clean(out, n, cap, text);
    }
    if (e->suppressed > 0) {
        n += (size_t)snprintf(out + n, SM_LOG_LINE - n, " suppressed=%" PRIu64, e->suppressed);
        e->suppressed = 0;
    }
    out[n++] = '\n';
    return n;
}

void sm_log_quote(struct sm_view v, char *out)
{
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '"' && c != '\\') {
            out[n++] = (char)c;
        } else {
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
        }
    }
    out[n++] = '"';
    out[n] = '\0';
}
