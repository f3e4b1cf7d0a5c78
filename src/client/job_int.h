// SPDX-License-Identifier: Apache-2.0
#pragma once
/* job_int: what the files of a job share.  job_io.c has its life, the driver's wishes and the
 * results; job_see.c starts SEE instances; job_unit.c works on units in them. */
#include "client/job_io.h"
#include "core/trust.h"
#include "os/clock.h"
#include "wire/see_rpc.h"

enum {
    PER_NODE = 8, /* SEE instances asked of one node, at most; it refuses above its slots */
    REQUEST_MAX = SM_UNIT_CHUNK + 4096,
    WORDS = 512,
};
#define START_DEADLINE   SM_S(20)
#define COMPILE_DEADLINE SM_S(180)
#define PIECE_DEADLINE   SM_S(30)
#define SCAN_DEADLINE    SM_S(60)
#define RUN_GRACE        SM_S(30) /* to read the input, beside the module's own time */

enum worker_state { WORKER_UNUSED, WORKER_STARTING, WORKER_LOADING, WORKER_READY, WORKER_GONE };

/* One SEE instance. */
struct worker {
    struct sm_job_io *job;
    enum worker_state state;
    unsigned node; /* of job->nodes */
    struct sm_addr addr;
    uint8_t dh_key[32], sign_key[32];
    uint8_t passport[SM_PASSPORT_MAX];
    size_t passport_n;
    size_t loaded; /* bytes of the module it has */
    uint32_t compile_ms;
    bool was_cached;
    /* The attempt it works on. */
    uint32_t unit;
    uint64_t fence;
    uint64_t sent; /* of inline input */
    bool is_busy, has_input;
};

struct result {
    bool is_done;
    uint8_t *output;
    size_t output_n, have;
    uint64_t input_n;
    uint32_t run_ms;
    uint32_t worker;
    uint8_t receipt[SM_RECEIPT_BYTES];
    size_t receipt_n;
};

/* A result that is coming in for one attempt. */
struct incoming {
    struct result r;
    uint32_t unit;
    uint64_t fence;
    bool is_used;
};

enum phase { PHASE_SCAN, PHASE_RUN };

struct sm_job_io {
    struct sm_job_io_cfg cfg;
    struct sm_holders holders;
    uint8_t module_hash[32], args_hash[32], client_dh[32];
    struct sm_timer *timer;
    struct sm_job *driver;
    enum phase phase;
    struct sm_mesh_node *nodes;
    unsigned n_nodes;
    unsigned *on_node; /* SEEs asked of each node */
    bool *is_full;     /* it refused one more */
    struct worker *workers;
    struct incoming *incoming; /* one a worker */
    unsigned n_workers;
    uint64_t *quotes; /* before each unit's first byte, for CSV */
    struct result *results;
    size_t output_bytes; /* of results kept and coming in */
    uint64_t fence_top;  /* the highest that was used, in either phase */
    unsigned waiting;    /* calls whose context is ours */
    char words[WORDS];
    enum sm_err fault;
    uint8_t *scratch;
    bool is_over, is_freed;
};

/* job_io.c */
void job_drive(struct sm_job_io *j); /* do what the driver wants now */
void job_finish(struct sm_job_io *j, enum sm_err err, const char *reason); /* once counts */
void job_note(struct sm_job_io *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Callbacks of the job's own calls begin with this: false when there is nothing to do. */
bool job_back(struct sm_job_io *j);
/* Ask a SEE about the attempt it works on now.  done() comes only while the job goes on and the
 * worker is still in this state and at this attempt: what answers for an attempt that was given
 * up must not be taken for its successor's. */
typedef void job_answer_fn(struct worker *w, enum sm_err err, struct sm_view body);
enum sm_err job_ask_see(struct worker *w, struct sm_view body, struct sm_dur deadline,
                        job_answer_fn *done) SM_MUST;
/* End the instance, as far as it can be told. */
void job_stop_see(struct sm_job_io *j, unsigned node, uint32_t ep);
void job_drop_incoming(struct worker *w);
uint32_t job_number(const struct worker *w);
const char *job_owner(const struct worker *w);
void job_observe(struct worker *w, enum sm_trust_kind kind);
unsigned job_usable(const struct sm_job_io *j); /* SEEs that work or may yet */
/* The instance is of no use any more.  Others go on; when none is left, the job ends. */
void job_lose(struct worker *w, enum sm_err err, const char *what);

/* job_see.c: ask for instances until there are enough. */
void job_start_more(struct sm_job_io *j);

/* job_unit.c: the attempt of w->unit under w->fence. */
void job_send_run(struct worker *w);
void job_send_input(struct worker *w); /* the inline input, then run */
void job_send_scan(struct worker *w);  /* count the quotes of its range, for CSV */
