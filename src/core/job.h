// SPDX-License-Identifier: Apache-2.0
#pragma once
/* job: give the units of a computation to SEE instances until each has one result.
 *
 * The driver knows units and workers (SEE instances) by number only.  A unit may be attempted
 * more than once: when its SEE is lost or refuses, and as a hedge when it is slow and a worker
 * stands idle.  Every attempt has a fencing number of its own, higher than the one before;
 * the first result of a current attempt wins, and a result under any other fence is stale.
 *
 * A unit that a worker could not run is tried again after a pause that doubles, so that a mesh
 * that has just lost nodes has time to see it.
 *
 * A unit whose module failed by itself (a trap, a non-zero exit) is tried once more on another
 * worker, then the job fails with that outcome: a wrong program must not run for ever.
 *
 * Memory:  tables sized by sm_job_new; nothing allocated later.
 * Errors:  sm_job_result returns STALE for a fence that is no longer current.
 */
#include "base/err.h"
#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_JOB_UNITS_MAX    65536u
#define SM_JOB_WORKERS_MAX  1024u
#define SM_JOB_ATTEMPTS_MAX 10u /* of one unit, lost workers included: with pauses, 20 s */
#define SM_JOB_FAULTS_MAX   2u  /* failures of the module itself on one unit */

struct sm_job_cfg {
    uint32_t units;
    uint32_t workers_max;
    uint64_t fence_base;         /* the first fence is above it */
    struct sm_dur attempt_limit; /* an attempt longer than this is lost */
};

enum sm_job_do {
    SM_JOB_RUN = 1, /* run `unit` on `worker` under `fence` */
    SM_JOB_CANCEL,  /* that attempt is not wanted any more; err TIMEOUT: it took too long, and
                       its worker gets nothing more */
    SM_JOB_DONE,    /* every unit has its result */
    SM_JOB_FAILED,  /* err and unit say why */
};
struct sm_job_out {
    enum sm_job_do what;
    uint32_t unit, worker;
    uint64_t fence;
    enum sm_err err;
};

/* How one attempt ended. */
enum sm_job_end {
    SM_JOB_END_OK,    /* a result is there */
    SM_JOB_END_LOST,  /* worker gone, refused or out of time: not the module's doing */
    SM_JOB_END_FAULT, /* the module trapped, exited non-zero or broke a limit */
};

struct sm_job_unit_info {
    bool is_done;
    uint32_t worker; /* of the result, or of the newest attempt */
    uint32_t attempts;
    uint64_t fence;
    struct sm_dur took;
};

struct sm_job *sm_job_new(const struct sm_job_cfg *cfg); /* NULL: out of memory or caps */
void sm_job_free(struct sm_job *j);

/* A worker is ready for units / is gone for good; its running attempts are lost. */
void sm_job_worker_up(struct sm_job *j, struct sm_mono now, uint32_t worker);
void sm_job_worker_down(struct sm_job *j, struct sm_mono now, uint32_t worker);

enum sm_err sm_job_ended(struct sm_job *j, struct sm_mono now, uint32_t unit, uint64_t fence,
                         enum sm_job_end how, enum sm_err err) SM_MUST;

void sm_job_tick(struct sm_job *j, struct sm_mono now);
struct sm_mono sm_job_deadline(const struct sm_job *j);
bool sm_job_next(struct sm_job *j, struct sm_job_out *out);

uint32_t sm_job_done_count(const struct sm_job *j);
struct sm_job_unit_info sm_job_unit(const struct sm_job *j, uint32_t unit);
