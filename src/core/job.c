// SPDX-License-Identifier: Apache-2.0
#include "core/job.h"

#include <assert.h>
#include <stdlib.h>

enum {
    LIVE_MAX = 2,     /* attempts of one unit at one time: the first and one hedge */
    HEDGE_FACTOR = 2, /* a unit is slow after this many medians */
    OUT_MAX = 64,
};
#define HEDGE_FLOOR SM_MS(500)
#define PAUSE_MIN   SM_MS(100)
#define PAUSE_MAX   SM_S(4)
#define NOBODY      UINT32_MAX

struct attempt {
    uint32_t worker; /* NOBODY: free */
    uint64_t fence;
    struct sm_mono since;
};

struct unit {
    struct attempt live[LIVE_MAX];
    bool is_done;
    uint32_t attempts, faults, worker;
    uint64_t fence;
    struct sm_dur took;
    struct sm_mono not_before;
    uint32_t failed_on; /* the worker that saw the last failure: try another first */
};

struct worker {
    bool is_up;
    uint32_t unit; /* NOBODY: idle */
};

struct sm_job {
    struct sm_job_cfg cfg;
    struct unit *units;
    struct worker *workers;
    uint64_t fence;
    uint32_t done, next_wait;
    struct sm_dur *took; /* of finished units, for the median */
    struct sm_mono deadline;
    struct sm_job_out out[OUT_MAX];
    size_t out_from, out_n;
    bool is_over;
};

struct sm_job *sm_job_new(const struct sm_job_cfg *cfg)
{
    if (cfg->units > SM_JOB_UNITS_MAX || cfg->workers_max > SM_JOB_WORKERS_MAX ||
        cfg->workers_max == 0) {
        return NULL;
    }
    struct sm_job *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return NULL;
    }
    j->cfg = *cfg;
    j->fence = cfg->fence_base;
    j->deadline = (struct sm_mono){0};
    j->units = calloc((size_t)cfg->units + 1, sizeof *j->units);
    j->took = calloc((size_t)cfg->units + 1, sizeof *j->took);
    j->workers = calloc(cfg->workers_max, sizeof *j->workers);
    if (j->units == NULL || j->workers == NULL || j->took == NULL) {
        sm_job_free(j);
        return NULL;
    }
    for (uint32_t u = 0; u < cfg->units; u++) {
        for (unsigned i = 0; i < LIVE_MAX; i++) {
            j->units[u].live[i].worker = NOBODY;
        }
        j->units[u].worker = NOBODY;
        j->units[u].failed_on = NOBODY;
    }
    for (uint32_t w = 0; w < cfg->workers_max; w++) {
        j->workers[w].unit = NOBODY;
    }
    return j;
}

void sm_job_free(struct sm_job *j)
{
    if (j != NULL) {
        free(j->units);
        free(j->workers);
        free(j->took);
        free(j);
    }
}

static void emit(struct sm_job *j, struct sm_job_out o)
{
    assert(j->out_n < OUT_MAX);
    j->out[(j->out_from + j->out_n) % OUT_MAX] = o;
    j->out_n++;
}

static bool has_room(const struct sm_job *j)
{
    return j->out_n + LIVE_MAX + 1 < OUT_MAX;
}

bool sm_job_next(struct sm_job *j, struct sm_job_out *out)
{
    if (j->out_n == 0) {
        return false;
    }
    *out = j->out[j->out_from];
    j->out_from = (j->out_from + 1) % OUT_MAX;
    j->out_n--;
    return true;
}

static void end_job(struct sm_job *j, enum sm_job_do what, uint32_t unit, enum sm_err err)
{
    if (!j->is_over) {
        j->is_over = true;
        emit(j, (struct sm_job_out){.what = what, .unit = unit, .err = err});
    }
}

static unsigned live_count(const struct unit *u)
{
    unsigned n = 0;
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        n += u->live[i].worker != NOBODY;
    }
    return n;
}

static int compare_dur(const void *a, const void *b)
{
    const struct sm_dur *x = a, *y = b;
    return (x->ns > y->ns) - (x->ns < y->ns);
}

/* When a running unit counts as slow; never, before a third of the units is done. */
static struct sm_dur slow_after(struct sm_job *j)
{
    if (j->done == 0 || j->done < j->cfg.units / 3) {
        return (struct sm_dur){UINT64_MAX};
    }
    uint32_t n = 0;
    for (uint32_t u = 0; u < j->cfg.units; u++) {
        if (j->units[u].is_done) {
            j->took[n++] = j->units[u].took;
        }
    }
    qsort(j->took, n, sizeof *j->took, compare_dur);
    uint64_t slow = j->took[n / 2].ns * HEDGE_FACTOR;
    return (struct sm_dur){slow > HEDGE_FLOOR.ns ? slow : HEDGE_FLOOR.ns};
}

static void start(struct sm_job *j, struct sm_mono now, uint32_t unit, uint32_t worker)
{
    struct unit *u = &j->units[unit];
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        if (u->live[i].worker != NOBODY) {
            continue;
        }
        u->live[i] = (struct attempt){worker, ++j->fence, now};
        u->attempts++;
        u->worker = worker;
        u->fence = j->fence;
        j->workers[worker].unit = unit;
        emit(j, (struct sm_job_out){
                    .what = SM_JOB_RUN, .unit = unit, .worker = worker, .fence = j->fence});
        return;
    }
    abort(); /* pick() gives only units with a free attempt */
}

static bool other_idle(const struct sm_job *j, uint32_t than)
{
    for (uint32_t w = 0; w < j->cfg.workers_max; w++) {
        if (w != than && j->workers[w].is_up && j->workers[w].unit == NOBODY) {
            return true;
        }
    }
    return false;
}

/* The unit this worker should take: one that waits, else one that is slow elsewhere. */
static uint32_t pick(struct sm_job *j, struct sm_mono now, uint32_t worker)
{
    while (j->next_wait < j->cfg.units &&
           (j->units[j->next_wait].is_done || live_count(&j->units[j->next_wait]) > 0)) {
        j->next_wait++;
    }
    for (uint32_t n = j->next_wait; n < j->cfg.units; n++) {
        struct unit *u = &j->units[n];
        if (u->is_done || live_count(u) > 0 || !sm_is_due(u->not_before, now)) {
            continue;
        }
        if (u->failed_on != worker || !other_idle(j, worker)) {
            return n;
        }
    }
    struct sm_dur slow = slow_after(j);
    uint32_t best = NOBODY;
    uint64_t longest = slow.ns;
    for (uint32_t n = 0; n < j->cfg.units; n++) {
        struct unit *u = &j->units[n];
        if (u->is_done || live_count(u) != 1 || u->attempts >= SM_JOB_ATTEMPTS_MAX) {
            continue;
        }
        const struct attempt *a = &u->live[u->live[0].worker == NOBODY ? 1 : 0];
        uint64_t age = sm_between(a->since, now).ns;
        if (age >= longest) {
            longest = age;
            best = n;
        }
    }
    return best;
}

static void assign(struct sm_job *j, struct sm_mono now)
{
    for (uint32_t w = 0; w < j->cfg.workers_max && !j->is_over && has_room(j); w++) {
        if (!j->workers[w].is_up || j->workers[w].unit != NOBODY) {
            continue;
        }
        uint32_t unit = pick(j, now, w);
        if (unit == NOBODY) {
            continue; /* another worker may still take what failed on this one */
        }
        start(j, now, unit, w);
    }
}

static void free_worker(struct sm_job *j, uint32_t worker)
{
    j->workers[worker].unit = NOBODY;
}

/* An attempt brought nothing; the unit waits again unless it failed too often. */
static void attempt_failed(struct sm_job *j, uint32_t unit, unsigned i, enum sm_err err)
{
    struct unit *u = &j->units[unit];
    u->failed_on = u->live[i].worker;
    u->live[i].worker = NOBODY;
    if (live_count(u) > 0) {
        return;
    }
    if (u->faults >= SM_JOB_FAULTS_MAX || u->attempts >= SM_JOB_ATTEMPTS_MAX) {
        end_job(j, SM_JOB_FAILED, unit, err);
        return;
    }
    if (unit < j->next_wait) {
        j->next_wait = unit;
    }
}

void sm_job_worker_up(struct sm_job *j, struct sm_mono now, uint32_t worker)
{
    assert(worker < j->cfg.workers_max);
    j->workers[worker].is_up = true;
    sm_job_tick(j, now);
}

void sm_job_worker_down(struct sm_job *j, struct sm_mono now, uint32_t worker)
{
    assert(worker < j->cfg.workers_max);
    uint32_t unit = j->workers[worker].unit;
    j->workers[worker] = (struct worker){.unit = NOBODY};
    if (unit != NOBODY) {
        for (unsigned i = 0; i < LIVE_MAX; i++) {
            if (j->units[unit].live[i].worker == worker) {
                attempt_failed(j, unit, i, SM_E_CLOSED);
            }
        }
    }
    sm_job_tick(j, now);
}

static void finish(struct sm_job *j, struct sm_mono now, uint32_t unit, unsigned winner)
{
    struct unit *u = &j->units[unit];
    u->is_done = true;
    u->worker = u->live[winner].worker;
    u->fence = u->live[winner].fence;
    u->took = sm_between(u->live[winner].since, now);
    j->done++;
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        struct attempt a = u->live[i];
        u->live[i].worker = NOBODY;
        if (a.worker == NOBODY) {
            continue;
        }
        free_worker(j, a.worker);
        if (i != winner) {
            emit(j, (struct sm_job_out){.what = SM_JOB_CANCEL,
                                        .unit = unit,
                                        .worker = a.worker,
                                        .fence = a.fence});
        }
    }
}

static struct sm_mono after_pause(struct sm_mono now, uint32_t attempts)
{
    struct sm_dur pause = PAUSE_MIN;
    for (uint32_t i = 1; i < attempts && pause.ns < PAUSE_MAX.ns; i++) {
        pause.ns *= 2;
    }
    return sm_after(now, pause.ns < PAUSE_MAX.ns ? pause : PAUSE_MAX);
}

enum sm_err sm_job_ended(struct sm_job *j, struct sm_mono now, uint32_t unit, uint64_t fence,
                         enum sm_job_end how, enum sm_err err)
{
    if (unit >= j->cfg.units) {
        return SM_E_INVALID;
    }
    struct unit *u = &j->units[unit];
    for (unsigned i = 0; i < LIVE_MAX; i++) {
        if (u->live[i].worker == NOBODY || u->live[i].fence != fence) {
            continue;
        }
        if (how == SM_JOB_END_OK) {
            finish(j, now, unit, i);
        } else {
            u->faults += how == SM_JOB_END_FAULT;
            u->not_before = how == SM_JOB_END_LOST ? after_pause(now, u->attempts) : now;
            free_worker(j, u->live[i].worker);
            attempt_failed(j, unit, i, err);
        }
        sm_job_tick(j, now);
        return SM_OK;
    }
    return SM_E_STALE;
}

/* Attempts that ran out of time are lost and their workers are not asked again. */
static void expire(struct sm_job *j, struct sm_mono now)
{
    for (uint32_t n = 0; n < j->cfg.units && !j->is_over && has_room(j); n++) {
        for (unsigned i = 0; i < LIVE_MAX; i++) {
            struct attempt a = j->units[n].live[i];
            if (a.worker == NOBODY ||
                !sm_is_due(sm_after(a.since, j->cfg.attempt_limit), now)) {
                continue;
            }
            emit(j, (struct sm_job_out){.what = SM_JOB_CANCEL,
                                        .unit = n,
                                        .worker = a.worker,
                                        .fence = a.fence,
                                        .err = SM_E_TIMEOUT});
            j->workers[a.worker] = (struct worker){.unit = NOBODY};
            attempt_failed(j, n, i, SM_E_TIMEOUT);
        }
    }
}

void sm_job_tick(struct sm_job *j, struct sm_mono now)
{
    if (j->is_over) {
        return;
    }
    expire(j, now);
    if (j->done == j->cfg.units) {
        end_job(j, SM_JOB_DONE, 0, SM_OK);
        return;
    }
    assign(j, now);
    j->deadline = sm_after(now, SM_MS(100));
}

struct sm_mono sm_job_deadline(const struct sm_job *j)
{
    return j->is_over ? SM_NEVER : j->deadline;
}

uint32_t sm_job_done_count(const struct sm_job *j)
{
    return j->done;
}

struct sm_job_unit_info sm_job_unit(const struct sm_job *j, uint32_t unit)
{
    assert(unit < j->cfg.units);
    const struct unit *u = &j->units[unit];
    return (struct sm_job_unit_info){.is_done = u->is_done,
                                     .worker = u->worker,
                                     .attempts = u->attempts,
                                     .fence = u->fence,
                                     .took = u->took};
}
