// SPDX-License-Identifier: Apache-2.0
#pragma once
/* engine: the supervisor's side of compiling and running modules.
 *
 * Three objects, each driven the same way: start it, poll the descriptors it names, and step
 * it when one is ready or its deadline has passed.  A step never blocks; it returns BUSY until
 * there is a result.
 *
 *     struct sm_compile  a seemesh-compile process: module bytes -> key of a cache entry
 *     struct sm_zygote   a seemesh-worker process that holds one compiled module
 *     struct sm_run      one instance: input and arguments -> output and how it ended
 *
 * A run's input is copied to a sealed memfd at the start, so the caller may free its own.
 * Output is collected here up to the limit; one byte more and the instance is killed.
 *
 * What comes from a worker is believed no further than the run it is about.
 *
 * Memory:  a run holds its output until sm_run_done().  Objects must not move once started.
 * Threads: the caller's one thread; children die with the thread that started them.
 * Errors:  IO when the system refuses processes, memory or descriptors.
 */
#include <poll.h>
#include <sys/types.h>

#include "base/time.h"
#include "see/compile.h"
#include "see/outcome.h"
#include "see/worker.h"

struct sm_engine {
    const char *compile_path, *worker_path; /* the two programs */
    const char *runtime_dir;                /* where glue.c is */
    unsigned optimize;                      /* gcc's level, 1 or 2 */
    uint32_t compile_cpu_s;                 /* of each tool */
    uint32_t compile_wall_ms;
    uint64_t cache_bytes; /* kept on disk */
    const char *cache_path;
    struct sm_see_cache cache;
};

/* Strings are borrowed for the engine's life. */
enum sm_err sm_engine_init(struct sm_engine *e, const char *program_dir,
                           const char *runtime_dir, const char *cache_path,
                           const uint8_t mac_key[static 32]) SM_MUST;
void sm_engine_done(struct sm_engine *e);

/* -- compiling --------------------------------------------------------------------------- */

struct sm_compile {
    pid_t pid;
    int fd; /* poll for POLLIN */
    struct sm_mono deadline;
};

enum sm_err sm_compile_start(const struct sm_engine *e, struct sm_view module,
                             struct sm_mono now, struct sm_compile *out) SM_MUST;
/* BUSY, or the program is over: OK with a key in *out, or MODULE, COMPILE, LIMIT (time), ...
 * with a fault.  *out is written unless BUSY. */
enum sm_err sm_compile_step(struct sm_compile *c, struct sm_mono now,
                            struct sm_compile_result *out) SM_MUST;
/* Kill it if it runs. */
void sm_compile_done(struct sm_compile *c);

/* -- zygotes ----------------------------------------------------------------------------- */

struct sm_run;

struct sm_zygote {
    pid_t pid;
    int fd; /* poll for POLLIN, then sm_zygote_step() */
    bool is_ready, is_lost;
    uint64_t next_id;
    struct sm_run *runs; /* those that have not ended */
};

/* Start a worker for a compiled module.  NOTFOUND when the entry is gone: compile again. */
enum sm_err sm_zygote_start(const struct sm_engine *e, const struct sm_see_key *key,
                            struct sm_wall now, struct sm_zygote *out) SM_MUST;
/* Take what the worker says and hand it to the runs.  UNREACHABLE once it is gone; its runs
 * have then ended as LOST. */
enum sm_err sm_zygote_step(struct sm_zygote *z) SM_MUST;
/* Kill the worker and all its instances; runs end as LOST. */
void sm_zygote_done(struct sm_zygote *z);

/* -- runs -------------------------------------------------------------------------------- */

struct sm_run {
    struct sm_run *next;
    struct sm_zygote *zygote;
    uint64_t id;
    struct sm_see_limits limits;
    struct sm_mono began, deadline;
    int out_fd, err_fd; /* -1 once closed; poll for POLLIN, then sm_run_step() */
    struct sm_buf out, err;
    bool is_over; /* the instance has ended; its output may still be in the pipes */
    bool is_stopped, is_kill_sent;
    enum sm_see_how why; /* for what it was stopped */
    struct sm_see_outcome outcome;
};

struct sm_run_spec {
    const char *const *args; /* argv, the module's name first; NULL ends it */
    struct sm_view input;
    struct sm_see_limits limits;
};

/* BUSY when the worker has SM_WORKER_INSTANCES_MAX instances; LIMIT when the arguments take
 * more than SM_WORKER_ARGS_MAX. */
enum sm_err sm_run_start(struct sm_zygote *z, const struct sm_run_spec *spec,
                         struct sm_mono now, struct sm_run *run) SM_MUST;
/* BUSY, or OK once the instance has ended and run->out, run->err and run->outcome are final. */
enum sm_err sm_run_step(struct sm_run *run, struct sm_mono now) SM_MUST;
/* End it early; step it until it is over.  The first reason stays. */
void sm_run_stop(struct sm_run *run, enum sm_see_how why);
/* Free the output; an instance that still runs is stopped and its end no longer awaited. */
void sm_run_done(struct sm_run *run);

/* -- blocking, for tests, benches and tools ---------------------------------------------- */

enum sm_err sm_engine_compile(const struct sm_engine *e, struct sm_view module,
                              struct sm_compile_result *out) SM_MUST;
/* Start a run and wait for its end; the caller calls sm_run_done(). */
enum sm_err sm_engine_run(struct sm_zygote *z, const struct sm_run_spec *spec,
                          struct sm_run *run) SM_MUST;
