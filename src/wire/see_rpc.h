// SPDX-License-Identifier: Apache-2.0
#pragma once
/* see_rpc: requests to start SEE instances (service SEE, answered by a node) and to run units
 * in them (service UNIT, answered by the SEE's supervisor at the end of a session).
 *
 * Everything secret, the object key above all, is only in UNIT requests: the session that
 * carries them ends in the supervisor.
 *
 * Memory:  readers borrow from the message.
 * Source:  doc/wire.md, section 6.
 */
#include "base/bytes.h"
#include "base/ids.h"

/* -- service SEE ------------------------------------------------------------------------- */

enum sm_see_op { SM_SEE_START = 1, SM_SEE_STOP = 2 };

struct sm_see_start {
    uint8_t client_dh[32];    /* the only initiator the SEE will answer */
    uint8_t module_hash[32];  /* SHA-256 of the module it will run */
    uint32_t mem_pages;       /* of 64 KiB; 0 = the node's default */
    uint32_t cpu_ms, wall_ms; /* of one unit; 0 = the node's default */
};
void sm_see_start_write(struct sm_wr *w, const struct sm_see_start *m);
void sm_see_stop_write(struct sm_wr *w, uint32_t ep);

struct sm_see_request {
    enum sm_see_op op;
    struct sm_see_start start;
    uint32_t stop_ep;
};
enum sm_err sm_see_request_read(struct sm_view in, struct sm_see_request *out) SM_MUST;

/* Reply to START. */
struct sm_see_started {
    uint32_t ep;
    struct sm_view passport;
};
enum sm_err sm_see_started_read(struct sm_view in, struct sm_see_started *out) SM_MUST;
void sm_see_started_write(struct sm_wr *w, const struct sm_see_started *m);

/* -- service UNIT ------------------------------------------------------------------------ */

#define SM_UNIT_ARGS_MAX    16u
#define SM_UNIT_HOLDERS_MAX 16u
#define SM_UNIT_CHUNK       (512u << 10) /* of modules, inline input and output */

enum sm_unit_op {
    SM_UNIT_MODULE = 1, /* a piece of the module; the last one is answered when it is ready */
    SM_UNIT_RUN = 2,
    SM_UNIT_INPUT = 3,  /* a piece of a unit's inline input */
    SM_UNIT_OUTPUT = 4, /* ask for a piece of a unit's output */
    SM_UNIT_SCAN = 5,   /* count the quotes of a range, for CSV */
    SM_UNIT_CANCEL = 6,
};

struct sm_unit_holder {
    struct sm_hop node;
    uint8_t dh_key[32];
    uint64_t frag_map;
};

/* How a job cuts its input; core/split.h has the rule. */
enum sm_split_kind {
    SM_SPLIT_BYTES = 0, /* exactly [from, to) */
    SM_SPLIT_LINES = 1, /* records end with a newline */
    SM_SPLIT_CSV = 2,   /* records end with a newline outside quotes */
};

/* A range of an object and what is needed to read it. */
struct sm_unit_range {
    struct sm_data_id data;
    uint8_t key[32];
    uint64_t from, to;
    enum sm_split_kind split;
    bool in_quotes;
    uint8_t n_holders;
    struct sm_unit_holder holders[SM_UNIT_HOLDERS_MAX];
};

struct sm_unit_piece { /* MODULE, INPUT */
    uint32_t unit;
    uint64_t fence, offset, total;
    struct sm_view bytes;
};

struct sm_unit_run {
    uint8_t job_id[16];
    uint32_t unit;
    uint64_t fence;
    uint8_t n_args;
    struct sm_view args[SM_UNIT_ARGS_MAX];
    bool is_inline; /* input came by INPUT pieces; else from range */
    struct sm_unit_range range;
};

struct sm_unit_request {
    enum sm_unit_op op;
    struct sm_unit_piece piece; /* MODULE, INPUT; OUTPUT and CANCEL use unit, fence, offset */
    struct sm_unit_run run;     /* RUN; SCAN uses run.range */
};
enum sm_err sm_unit_request_read(struct sm_view in, struct sm_unit_request *out) SM_MUST;
void sm_unit_piece_write(struct sm_wr *w, enum sm_unit_op op, const struct sm_unit_piece *m);
void sm_unit_run_write(struct sm_wr *w, const struct sm_unit_run *m);
void sm_unit_scan_write(struct sm_wr *w, const struct sm_unit_range *m);

/* Reply to the last piece of a module. */
struct sm_unit_ready {
    bool is_ready, was_cached;
    uint32_t compile_ms;
};
enum sm_err sm_unit_ready_read(struct sm_view in, struct sm_unit_ready *out) SM_MUST;
void sm_unit_ready_write(struct sm_wr *w, const struct sm_unit_ready *m);

/* Reply to RUN. */
struct sm_unit_result {
    bool is_exit;      /* the module ended by itself; else it trapped or was stopped */
    int32_t exit_code; /* of the module; when it was stopped, why: enum sm_err, TRAP or LIMIT */
    uint64_t input_n, output_n;
    uint32_t run_ms, total_ms;
    struct sm_view words;   /* for people: how it ended */
    struct sm_view errors;  /* the tail of its stderr, <= 4 KiB */
    struct sm_view receipt; /* RECEIPT record signed by the SEE; empty unless exit 0 */
    struct sm_view output;  /* its first piece */
};
#define SM_UNIT_WORDS_MAX  256u
#define SM_UNIT_ERRORS_MAX 4096u
enum sm_err sm_unit_result_read(struct sm_view in, struct sm_unit_result *out) SM_MUST;
void sm_unit_result_write(struct sm_wr *w, const struct sm_unit_result *m);
