// SPDX-License-Identifier: Apache-2.0
#include "crypto/hash.h"
#include "os/clock.h"
#include "proc/run_int.h"
#include "wire/receipt.h"

#include <stdlib.h>
#include <string.h>

#define WORKER_GRACE SM_S(6) /* the engine kills a worker that ignores a kill for 5 s */
#define RECEIPT_S    (365u * 24 * 3600) /* how long a receipt says it may be relied on */
#define REPLY_BYTES  (SM_UNIT_CHUNK + (64u << 10))

static void unit_next(struct see *s);

/* -- fences ------------------------------------------------------------------------------ */

/* A unit's attempts have rising fences; what is not above the highest seen is an attempt that
 * was given up.  The place of the unit's fence in *out. */
static enum sm_err find_fence(struct units *us, const struct sm_unit_run *r, uint64_t **out)
{
    uint8_t key[20];
    uint32_t at;
    memcpy(key, r->job_id, 16);
    sm_put_le32(key + 16, r->unit);
    if (!sm_map_get(&us->fence_of, key, &at)) {
        at = (uint32_t)sm_map_count(&us->fence_of);
        SM_TRY(sm_map_put(&us->fence_of, key, at));
        us->fences[at] = 0;
    }
    *out = &us->fences[at];
    return SM_OK;
}

/* -- staged bytes ------------------------------------------------------------------------ */

static bool is_for(const struct staged *st, uint32_t unit, uint64_t fence)
{
    return st->is_set && st->unit == unit && st->fence == fence;
}

static void forget(struct staged *st)
{
    st->is_set = false;
    sm_buf_done(&st->bytes);
}

void unit_input(struct see *s, uint64_t handle, const struct sm_unit_piece *p)
{
    struct staged *in = &s->units.input;
    if (p->offset == 0) {
        forget(in);
        in->is_set = true;
        in->unit = p->unit;
        in->fence = p->fence;
        in->total = p->total;
    }
    enum sm_err e = !is_for(in, p->unit, p->fence) || p->total != in->total
                        ? SM_E_STATE
                        : stage_piece(&in->bytes, p);
    if (e != SM_OK) {
        see_refuse(s, handle, e,
                   e == SM_E_LIMIT ? "the unit's input is larger than a SEE takes"
                                   : "this is not the next piece of the unit's input");
        return;
    }
    sm_mesh_reply(s->mesh, handle, SM_OK, (struct sm_view){0});
}

void unit_output(struct see *s, uint64_t handle, const struct sm_unit_piece *p)
{
    const struct staged *out = &s->units.output;
    if (!is_for(out, p->unit, p->fence) || p->offset > out->bytes.n) {
        see_refuse(s, handle, SM_E_NOTFOUND, "no such output is kept");
        return;
    }
    sm_mesh_reply(s->mesh, handle, SM_OK,
                  sm_view_sub(sm_buf_view(&out->bytes), (size_t)p->offset, SM_UNIT_CHUNK));
}

/* -- the end of an attempt --------------------------------------------------------------- */

/* Free what the attempt holds; its request has been answered. */
static void clear(struct see *s)
{
    struct unit *u = &s->units.now;
    input_stop(&u->reader);
    watch_stop(&u->out);
    watch_stop(&u->err);
    if (u->phase == UNIT_RUNNING) {
        sm_run_done(&u->run);
    }
    sm_timer_at(u->timer, SM_NEVER);
    sm_wipe(u->range.key, sizeof u->range.key);
    sm_buf_done(&u->input);
    u->phase = UNIT_NONE;
}

static void fail(struct see *s, enum sm_err err, const char *words)
{
    see_refuse(s, s->units.now.handle, err, words);
    clear(s);
}

static uint32_t ms_of(uint64_t ns)
{
    uint64_t ms = ns / 1000000u;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* What ran on what, signed by this SEE. */
static enum sm_err make_receipt(struct see *s, uint32_t run_ms, struct sm_wr *w)
{
    const struct unit *u = &s->units.now;
    uint8_t room[SM_RECEIPT_BYTES + sizeof SM_RECORD_PREFIX];
    struct sm_wr to_sign = sm_wr_init(room, sizeof room);
    struct sm_view bytes;
    struct sm_sig sig;
    struct sm_receipt r = {.head = {.network = s->anchor.network,
                                    .seq = ++s->units.receipts,
                                    .not_before = u->began_wall,
                                    .expires = {u->began_wall.s + RECEIPT_S}},
                           .unit = u->number,
                           .fence = u->fence,
                           .see = sm_mesh_self(s->mesh),
                           .platform = s->platform,
                           .run_ms = run_ms};
    memcpy(r.job, u->job, sizeof r.job);
    memcpy(r.module, s->start.module_hash, sizeof r.module);
    memcpy(r.args, u->args_hash, sizeof r.args);
    memcpy(r.input, u->input_hash, sizeof r.input);
    sm_sha256(sm_buf_view(&u->run.out), r.output);
    sm_receipt_write(&r, w);
    SM_TRY(sm_wr_done(w, &bytes));
    sm_record_to_sign(bytes, &to_sign);
    SM_TRY(sm_wr_done(&to_sign, &bytes));
    s->suite->sign(&s->keys->sign, bytes, &sig);
    sm_wr_bytes(w, sig.b, sizeof sig.b);
    return SM_OK;
}

static void reply_result(struct see *s, const char *words)
{
    struct unit *u = &s->units.now;
    const struct sm_see_outcome *o = &u->run.outcome;
    struct sm_view out = sm_buf_view(&u->run.out), err = sm_buf_view(&u->run.err), body;
    uint8_t receipt[SM_RECEIPT_BYTES];
    struct sm_wr rw = sm_wr_init(receipt, sizeof receipt);
    struct sm_wr w = sm_wr_init(s->units.reply, REPLY_BYTES);
    size_t tail = err.n < SM_UNIT_ERRORS_MAX ? err.n : SM_UNIT_ERRORS_MAX;
    struct sm_unit_result m = {
        .is_exit = o->how == SM_SEE_EXIT,
        .exit_code = o->how == SM_SEE_EXIT ? (int32_t)o->code : (int32_t)sm_see_outcome_err(o),
        .input_n = u->input_n,
        .output_n = out.n,
        .run_ms = ms_of(o->wall_us * 1000),
        .total_ms = ms_of(sm_between(u->began, sm_clock_mono()).ns),
        .words = sm_view_str(words),
        .errors = sm_view_sub(err, err.n - tail, tail),
        .output = sm_view_sub(out, 0, SM_UNIT_CHUNK)};
    enum sm_err e = SM_OK;
    if (m.is_exit && o->code == 0) {
        e = make_receipt(s, m.run_ms, &rw);
        m.receipt = sm_view_of(receipt, rw.n);
    }
    sm_unit_result_write(&w, &m);
    e = e != SM_OK ? e : sm_wr_done(&w, &body);
    if (e != SM_OK) {
        see_refuse(s, u->handle, e, "the result could not be written");
        return;
    }
    sm_mesh_reply(s->mesh, u->handle, SM_OK, body);
}

/* Output longer than the first piece waits for OUTPUT requests. */
static void keep_output(struct see *s)
{
    struct unit *u = &s->units.now;
    struct staged *kept = &s->units.output;
    forget(kept);
    kept->is_set = true;
    kept->unit = u->number;
    kept->fence = u->fence;
    kept->bytes = u->run.out;
    u->run.out = SM_BUF(0);
}

static void ended(struct see *s)
{
    struct unit *u = &s->units.now;
    char words[RUN_WORDS];
    sm_see_outcome_words(&u->run.outcome, &u->run.limits, words, sizeof words);
    if (u->run.outcome.how == SM_SEE_LOST) {
        fail(s, SM_E_UNREACHABLE, words); /* our trouble, not the module's */
        return;
    }
    reply_result(s, words);
    keep_output(s);
    clear(s);
}

/* -- the instance ------------------------------------------------------------------------ */

void unit_step(struct see *s)
{
    struct unit *u = &s->units.now;
    if (u->phase != UNIT_RUNNING) {
        return;
    }
    struct sm_mono now = sm_clock_mono();
    if (sm_run_step(&u->run, now) == SM_OK) {
        ended(s);
        return;
    }
    if (u->run.out_fd < 0) {
        watch_stop(&u->out);
    }
    if (u->run.err_fd < 0) {
        watch_stop(&u->err);
    }
    sm_timer_at(u->timer, sm_is_due(u->run.deadline, now) ? sm_after(now, WORKER_GRACE)
                                                          : u->run.deadline);
}

static void on_pipe(void *ctx, int events)
{
    (void)events;
    unit_step(ctx);
}

static void on_timer(void *ctx)
{
    unit_step(ctx);
}

static enum sm_err start_instance(struct see *s)
{
    struct unit *u = &s->units.now;
    struct sm_zygote *worker = NULL;
    struct sm_run_spec spec = {.args = (const char *const *)u->argv,
                               .input = sm_buf_view(&u->input),
                               .limits = s->limits};
    SM_TRY(module_worker(s, &worker));
    sm_sha256(spec.input, u->input_hash);
    u->input_n = spec.input.n;
    SM_TRY(sm_run_start(worker, &spec, sm_clock_mono(), &u->run));
    u->phase = UNIT_RUNNING;
    sm_buf_done(&u->input);
    SM_TRY(watch_start(s, u->run.out_fd, on_pipe, &u->out));
    SM_TRY(watch_start(s, u->run.err_fd, on_pipe, &u->err));
    sm_timer_at(u->timer, u->run.deadline);
    return SM_OK;
}

/* -- reading the input ------------------------------------------------------------------- */

static void input_done(struct see *s, enum sm_err err, const char *reason)
{
    struct unit *u = &s->units.now;
    if (err != SM_OK) {
        fail(s, err,
             err == SM_E_LIMIT ? "the unit's input is larger than a SEE takes" : reason);
        return;
    }
    if (u->phase == UNIT_HEADER) {
        s->units.header.is_known = true;
    } else {
        u->range.to = u->range.from; /* all read */
    }
    unit_next(s);
}

static bool wants_header(const struct unit *u)
{
    return u->range.split == SM_SPLIT_CSV && u->range.from > 0;
}

/* The first record of the file, once for all its units. */
static enum sm_err read_header(struct see *s)
{
    struct unit *u = &s->units.now;
    struct header *h = &s->units.header;
    struct sm_unit_range first = u->range;
    first.from = 0;
    first.to = 1;
    first.in_quotes = false;
    h->is_known = false;
    h->id = u->range.data;
    sm_buf_clear(&h->bytes);
    u->phase = UNIT_HEADER;
    u->reader.into = &h->bytes;
    enum sm_err e = input_start(s, &u->reader, &first);
    sm_wipe(first.key, sizeof first.key);
    return e;
}

static enum sm_err read_records(struct see *s)
{
    struct unit *u = &s->units.now;
    const struct header *h = &s->units.header;
    if (wants_header(u)) {
        SM_TRY(sm_buf_add(&u->input, h->bytes.p, h->bytes.n));
    }
    u->phase = UNIT_READING;
    u->reader.into = &u->input;
    enum sm_err e = input_start(s, &u->reader, &u->range);
    sm_wipe(u->range.key, sizeof u->range.key);
    return e;
}

/* What the attempt needs next: the header, its records, or to run. */
static void unit_next(struct see *s)
{
    struct unit *u = &s->units.now;
    const struct header *h = &s->units.header;
    bool has_range = u->range.from < u->range.to, is_known;
    is_known = h->is_known && sm_data_id_eq(&h->id, &u->range.data);
    enum sm_err e = has_range && wants_header(u) && !is_known ? read_header(s)
                    : has_range                               ? read_records(s)
                                                              : start_instance(s);
    if (e != SM_OK) {
        fail(s, e, "the unit could not be started");
    }
}

/* -- requests ---------------------------------------------------------------------------- */

/* argv: "module", then the request's; they are text of C. */
static enum sm_err take_args(struct unit *u, const struct sm_unit_run *r)
{
    static char name[] = "module";
    struct sm_hash hash;
    size_t at = 0;
    u->argv[0] = name;
    sm_hash_init(&hash, SM_SHA256);
    for (unsigned i = 0; i < r->n_args; i++) {
        struct sm_view a = r->args[i];
        uint8_t n[4];
        if (a.n >= sizeof u->args - at) {
            return SM_E_LIMIT;
        }
        if (a.n > 0 && memchr(a.p, 0, a.n) != NULL) {
            return SM_E_INVALID;
        }
        sm_put_le32(n, (uint32_t)a.n);
        sm_hash_add(&hash, sm_view_of(n, sizeof n));
        sm_hash_add(&hash, a);
        u->argv[1 + i] = u->args + at;
        if (a.n > 0) {
            memcpy(u->args + at, a.p, a.n);
        }
        u->args[at + a.n] = '\0';
        at += a.n + 1;
    }
    u->argv[1 + r->n_args] = NULL;
    sm_hash_end(&hash, u->args_hash);
    return SM_OK;
}

static enum sm_err take_input(struct see *s, const struct sm_unit_run *r)
{
    struct unit *u = &s->units.now;
    struct staged *in = &s->units.input;
    u->input = SM_BUF(RUN_INPUT_MAX);
    u->range = r->range;
    if (!r->is_inline) {
        return r->range.n_holders > 0 ? SM_OK : SM_E_INVALID;
    }
    if (!is_for(in, r->unit, r->fence) || in->bytes.n != in->total) {
        return SM_E_STATE;
    }
    u->input = in->bytes;
    in->bytes = SM_BUF(RUN_INPUT_MAX);
    in->is_set = false;
    return SM_OK;
}

static enum sm_err take_run(struct see *s, uint64_t handle, const struct sm_unit_run *r)
{
    struct unit *u = &s->units.now;
    SM_TRY(take_args(u, r));
    SM_TRY(take_input(s, r));
    memcpy(u->job, r->job_id, sizeof u->job);
    u->number = r->unit;
    u->fence = r->fence;
    u->handle = handle;
    u->began = sm_clock_mono();
    u->began_wall = sm_clock_wall();
    return SM_OK;
}

void unit_run(struct see *s, uint64_t handle, const struct sm_unit_run *r)
{
    struct units *us = &s->units;
    uint64_t *fence = NULL;
    if (s->module.phase != MODULE_READY) {
        see_refuse(s, handle, SM_E_STATE, "there is no module yet");
        return;
    }
    if (find_fence(us, r, &fence) != SM_OK) {
        see_refuse(s, handle, SM_E_LIMIT,
                   "this SEE has seen as many units as it can; start another");
        return;
    }
    if (r->fence <= *fence) {
        see_refuse(s, handle, SM_E_STALE, "a newer attempt of this unit was seen");
        return;
    }
    if (us->now.phase != UNIT_NONE && r->fence <= us->now.fence) {
        see_refuse(s, handle, SM_E_BUSY, "another unit is running");
        return;
    }
    *fence = r->fence;
    if (us->cancelled.unit == r->unit && us->cancelled.fence == r->fence) {
        see_refuse(s, handle, SM_E_CANCELLED, "cancelled");
        return;
    }
    if (us->now.phase != UNIT_NONE) {
        fail(s, SM_E_CANCELLED, "a newer attempt came");
    }
    forget(&us->output);
    enum sm_err e = take_run(s, handle, r);
    if (e != SM_OK) {
        see_refuse(s, handle, e,
                   e == SM_E_STATE ? "the unit's input is not here"
                                   : "the arguments or the input cannot be taken");
        clear(s);
        return;
    }
    unit_next(s);
}

void unit_cancel(struct see *s, uint64_t handle, const struct sm_unit_piece *p)
{
    struct units *us = &s->units;
    if (us->now.phase != UNIT_NONE && us->now.number == p->unit && us->now.fence == p->fence) {
        fail(s, SM_E_CANCELLED, "cancelled");
    } else {
        /* Sessions do not keep the order of requests: its RUN may still come. */
        us->cancelled = (struct attempt){p->unit, p->fence};
    }
    if (is_for(&us->input, p->unit, p->fence)) {
        forget(&us->input);
    }
    if (is_for(&us->output, p->unit, p->fence)) {
        forget(&us->output);
    }
    sm_mesh_reply(s->mesh, handle, SM_OK, (struct sm_view){0});
}

/* -- scan -------------------------------------------------------------------------------- */

static void scan_done(struct see *s, enum sm_err err, const char *reason)
{
    uint8_t n[8];
    if (err != SM_OK) {
        see_refuse(s, s->units.scan_handle, err, reason);
        return;
    }
    sm_put_le64(n, s->units.scan.quotes);
    sm_mesh_reply(s->mesh, s->units.scan_handle, SM_OK, sm_view_of(n, sizeof n));
}

void unit_scan(struct see *s, uint64_t handle, const struct sm_unit_range *range)
{
    struct units *us = &s->units;
    struct sm_unit_range bytes = *range;
    if (us->scan.io != NULL) {
        see_refuse(s, handle, SM_E_BUSY, "another scan is running");
        return;
    }
    bytes.split = SM_SPLIT_BYTES;
    enum sm_err e = range->from < range->to ? input_start(s, &us->scan, &bytes) : SM_E_INVALID;
    sm_wipe(bytes.key, sizeof bytes.key);
    if (e != SM_OK) {
        see_refuse(s, handle, e, "the range cannot be read");
        return;
    }
    us->scan_handle = handle;
}

/* -- life -------------------------------------------------------------------------------- */

bool units_busy(const struct see *s)
{
    return s->units.now.phase != UNIT_NONE || s->units.scan.io != NULL;
}

enum sm_err units_init(struct see *s, struct sm_rng *rng)
{
    struct units *us = &s->units;
    *us = (struct units){
        .now = {.input = SM_BUF(RUN_INPUT_MAX), .reader.done = input_done},
        .input.bytes = SM_BUF(RUN_INPUT_MAX),
        .header.bytes = SM_BUF(RUN_HEADER_MAX),
        .scan.done = scan_done,
    };
    SM_TRY(sm_map_init(&us->fence_of, 20, RUN_FENCES_MAX, sm_rng_u64(rng), sm_rng_u64(rng)));
    us->fences = calloc(RUN_FENCES_MAX, sizeof *us->fences);
    us->reply = malloc(REPLY_BYTES);
    if (us->fences == NULL || us->reply == NULL) {
        return SM_E_NOMEM;
    }
    return sm_timer_new(s->loop, on_timer, s, &us->now.timer);
}

void units_done(struct see *s)
{
    struct units *us = &s->units;
    if (us->now.timer != NULL) {
        clear(s);
    }
    input_stop(&us->scan);
    forget(&us->input);
    forget(&us->output);
    sm_buf_done(&us->header.bytes);
    sm_map_done(&us->fence_of);
    free(us->fences);
    free(us->reply);
    sm_timer_free(us->now.timer);
}
