// SPDX-License-Identifier: Apache-2.0
#pragma once
/* run_int: the parts of seemesh-run, the supervisor of one SEE instance.
 *
 *     run.c          the program: keys, certificate, walls, who may ask, when it ends
 *     run_module.c   the module: its pieces, the compiler, the worker that holds it
 *     run_unit.c     one unit at a time: fences, input, the instance, result and receipt
 *     run_input.c    the bytes of an object that belong to a unit
 *
 * There is one struct see in a process and it never moves.  Everything runs from the loop.
 */
#include "base/map.h"
#include "client/objects.h"
#include "core/split.h"
#include "proc/child_common.h"
#include "see/engine.h"
#include "wire/see_rpc.h"

/* Of a unit; the copy that its instance reads is as large. */
#define RUN_INPUT_MAX (64u << 20)
/* The first record of a CSV file. */
#define RUN_HEADER_MAX (1u << 20)
/* Units of all jobs in a SEE's life: one job of the largest size. */
#define RUN_FENCES_MAX 65536u
#define RUN_WORDS      SM_UNIT_WORDS_MAX

struct see;

/* -- descriptors of the engine ----------------------------------------------------------- */

/* The engine closes its descriptors when it likes, the loop wants to be told before: so the
 * loop watches a copy. */
struct watch {
    struct sm_poll *poll;
    int fd;
};
enum sm_err watch_start(struct see *s, int fd, void (*fn)(void *ctx, int events),
                        struct watch *out) SM_MUST;
void watch_stop(struct watch *w); /* also one that never started */

/* -- input ------------------------------------------------------------------------------- */

/* Reads a range of an object through the split's rule: its records go to `into`, or, without
 * `into`, only its quotes are counted.  done() comes once, from the loop. */
struct input {
    struct sm_get_io *io; /* NULL: nothing is being read */
    struct sm_split split;
    struct sm_buf *into;
    uint64_t quotes, to, step;
    struct see *see;
    void (*done)(struct see *s, enum sm_err err, const char *reason);
};
enum sm_err input_start(struct see *s, struct input *in,
                        const struct sm_unit_range *range) SM_MUST;
void input_stop(struct input *in); /* no done() after it */

/* -- module ------------------------------------------------------------------------------ */

enum module_phase { MODULE_NONE, MODULE_COMPILING, MODULE_LOADING, MODULE_READY };

struct module {
    enum module_phase phase;
    struct sm_buf bytes; /* the pieces so far */
    uint64_t handle;     /* who waits for COMPILING and LOADING */
    struct sm_compile compile;
    struct sm_compile_result made;
    struct sm_zygote zygote;
    bool has_zygote;
    struct watch watch; /* of the compiler, then of the worker */
    struct sm_timer *timer;
};

enum sm_err module_init(struct see *s) SM_MUST;
void module_piece(struct see *s, uint64_t handle, const struct sm_unit_piece *p);
/* A worker for the next unit; a lost one is started again. */
enum sm_err module_worker(struct see *s, struct sm_zygote **out) SM_MUST;
void module_done(struct see *s); /* kills compiler and worker */

/* -- units ------------------------------------------------------------------------------- */

enum unit_phase { UNIT_NONE, UNIT_HEADER, UNIT_READING, UNIT_RUNNING };

struct unit {
    enum unit_phase phase;
    uint64_t handle; /* of the RUN request */
    uint8_t job[16];
    uint32_t number;
    uint64_t fence;
    struct sm_mono began;
    struct sm_wall began_wall;
    char *argv[SM_UNIT_ARGS_MAX + 2]; /* into args */
    char args[SM_WORKER_ARGS_MAX];
    uint8_t args_hash[32], input_hash[32];
    struct sm_unit_range range; /* its key is wiped when the reading has begun */
    struct sm_buf input;
    uint64_t input_n;
    struct input reader;
    struct sm_run run;
    struct watch out, err;
    struct sm_timer *timer;
};

/* Bytes of one attempt: the input that was sent for it, or what is left of its output. */
struct staged {
    bool is_set;
    uint32_t unit;
    uint64_t fence, total;
    struct sm_buf bytes;
};

struct attempt {
    uint32_t unit;
    uint64_t fence; /* 0: none */
};

struct header { /* of the CSV object that was read last */
    bool is_known;
    struct sm_data_id id;
    struct sm_buf bytes;
};

struct units {
    struct unit now;
    struct staged input, output;
    struct attempt cancelled; /* the last one that was before its RUN was here */
    struct header header;
    struct sm_map fence_of; /* job and unit -> place in fences */
    uint64_t *fences;
    struct input scan;
    uint64_t scan_handle;
    uint64_t receipts;
    uint8_t *reply; /* room for the largest one */
};

enum sm_err units_init(struct see *s, struct sm_rng *rng) SM_MUST;
void unit_input(struct see *s, uint64_t handle, const struct sm_unit_piece *p);
void unit_run(struct see *s, uint64_t handle, const struct sm_unit_run *r);
void unit_output(struct see *s, uint64_t handle, const struct sm_unit_piece *p);
void unit_cancel(struct see *s, uint64_t handle, const struct sm_unit_piece *p);
void unit_scan(struct see *s, uint64_t handle, const struct sm_unit_range *range);
void unit_step(struct see *s); /* the worker spoke, or time passed */
bool units_busy(const struct see *s);
void units_done(struct see *s);

/* -- the program ------------------------------------------------------------------------- */

struct see_keys { /* secret memory */
    struct sm_sign_pair sign;
    struct sm_dh_pair dh;
};

struct see {
    struct sm_self *self;
    struct sm_loop *loop;
    const struct sm_suite *suite;
    struct sm_anchor anchor;
    struct see_keys *keys;
    struct sm_engine engine;
    char runtime_dir[SM_PATH], cache_dir[SM_PATH];
    bool has_engine;

    bool has_launch;
    uint32_t ep;
    struct sm_see_start start;
    struct sm_see_limits limits;
    struct sm_mesh *mesh;
    uint8_t platform;
    struct sm_timer *idle, *renew;

    struct module module;
    struct units units;
};

/* Answer with words for people as the body. */
void see_refuse(struct see *s, uint64_t handle, enum sm_err err, const char *words);

/* Add a piece that continues what b holds; offset 0 begins anew.  LIMIT, STATE, MALFORMED. */
enum sm_err stage_piece(struct sm_buf *b, const struct sm_unit_piece *p) SM_MUST;
