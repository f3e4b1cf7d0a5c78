// SPDX-License-Identifier: Apache-2.0
#include "client/job_io.h"

#include "core/trust.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "wire/see_rpc.h"
#include "wire/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    uint8_t module_hash[32], client_dh[32];
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
    size_t output_bytes;
    unsigned waiting; /* calls whose context is ours */
    char words[WORDS];
    enum sm_err fault;
    uint8_t *scratch;
    bool is_over, is_freed;
};

static void drive(struct sm_job_io *j);
static void release(struct sm_job_io *j);

static void note(struct sm_job_io *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void note(struct sm_job_io *j, const char *fmt, ...)
{
    char text[WORDS];
    va_list ap;
    if (j->cfg.note == NULL || j->is_over) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    j->cfg.note(j->cfg.ctx, text);
}

static void finish(struct sm_job_io *j, enum sm_err err, const char *reason)
{
    if (!j->is_over) {
        j->is_over = true;
        sm_timer_at(j->timer, SM_NEVER);
        j->cfg.done(j->cfg.ctx, err, reason);
    }
}

static const char *owner_of(const struct worker *w)
{
    return w->job->nodes[w->node].record.owner;
}

/* -- calls ------------------------------------------------------------------------------- */

/* Every callback begins with this: false when the job is over and nothing is to be done. */
static bool back(struct sm_job_io *j)
{
    j->waiting--;
    if (j->is_freed) {
        release(j);
        return false;
    }
    return !j->is_over;
}

static enum sm_err ask_see(struct worker *w, struct sm_view body, struct sm_dur deadline,
                           sm_mesh_done_fn *done)
{
    SM_TRY(sm_mesh_request(w->job->cfg.mesh, w->addr, w->dh_key, SM_SERVICE_UNIT, body,
                           deadline, done, w));
    w->job->waiting++;
    return SM_OK;
}

static uint32_t number(const struct worker *w)
{
    return (uint32_t)(w - w->job->workers);
}

static void observe(struct worker *w, enum sm_trust_kind kind)
{
    sm_mesh_observe(w->job->cfg.mesh, w->job->nodes[w->node].hop, (uint8_t)kind);
}

static unsigned usable(const struct sm_job_io *j)
{
    unsigned n = 0;
    for (unsigned i = 0; i < j->n_workers; i++) {
        n += j->workers[i].state == WORKER_READY || j->workers[i].state == WORKER_LOADING ||
             j->workers[i].state == WORKER_STARTING;
    }
    return n;
}

static void start_more(struct sm_job_io *j);

/* The instance is of no use any more.  Others go on; when none is left, the job ends. */
static void lose(struct worker *w, enum sm_err err, const char *what)
{
    struct sm_job_io *j = w->job;
    if (w->state == WORKER_GONE || j->is_over) {
        return;
    }
    bool was_ready = w->state == WORKER_READY;
    w->state = WORKER_GONE;
    j->incoming[number(w)].is_used = false;
    free(j->incoming[number(w)].r.output);
    j->incoming[number(w)].r = (struct result){0};
    bool is_full = err == SM_E_BUSY || err == SM_E_UNSUPPORTED || err == SM_E_LIMIT;
    bool is_news = !j->is_full[w->node];
    if (is_full || err == SM_E_UNREACHABLE || err == SM_E_TIMEOUT) {
        j->is_full[w->node] = true;
    }
    if (!is_full && is_news) {
        note(j, "%s: %s (%s)", owner_of(w), what, sm_err_words(err));
        if (err == SM_E_TIMEOUT) {
            observe(w, SM_TRUST_TIMEOUT);
        }
    }
    if (was_ready) {
        sm_job_worker_down(j->driver, sm_clock_mono(), number(w));
    }
    start_more(j);
    if (usable(j) == 0) {
        if (j->words[0] == '\0') {
            snprintf(j->words, sizeof j->words,
                     "no SEE instance could be used; the last: %s: %s", what,
                     sm_err_words(err));
        }
        finish(j, j->fault != SM_OK ? j->fault : SM_E_PEERS, j->words);
        return;
    }
    drive(j);
}

/* -- starting SEE instances --------------------------------------------------------------- */

static void load_module(struct worker *w);

static void on_loaded(void *ctx, enum sm_err err, struct sm_view body)
{
    struct worker *w = ctx;
    struct sm_job_io *j = w->job;
    struct sm_unit_ready ready;
    if (!back(j) || w->state != WORKER_LOADING) {
        return;
    }
    if (err == SM_E_MODULE || err == SM_E_COMPILE) {
        /* The module's own fault: every node would say the same. */
        int n = body.n < WORDS - 1 ? (int)body.n : WORDS - 1;
        snprintf(j->words, sizeof j->words, "%.*s", n, (const char *)body.p);
        finish(j, err, j->words[0] != '\0' ? j->words : sm_err_words(err));
        return;
    }
    enum sm_err e = err != SM_OK ? err : sm_unit_ready_read(body, &ready);
    if (e != SM_OK) {
        lose(w, e, "could not take the module");
        return;
    }
    if (!ready.is_ready) {
        load_module(w);
        return;
    }
    w->state = WORKER_READY;
    w->compile_ms = ready.compile_ms;
    w->was_cached = ready.was_cached;
    sm_job_worker_up(j->driver, sm_clock_mono(), number(w));
    drive(j);
}

static void load_module(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct sm_view piece = sm_view_sub(j->cfg.module, w->loaded, SM_UNIT_CHUNK);
    struct sm_wr wr = sm_wr_init(j->scratch, REQUEST_MAX);
    sm_unit_piece_write(
        &wr, SM_UNIT_MODULE,
        &(struct sm_unit_piece){.offset = w->loaded, .total = j->cfg.module.n, .bytes = piece});
    w->loaded += piece.n;
    bool is_last = w->loaded == j->cfg.module.n;
    enum sm_err e = ask_see(w, sm_view_of(j->scratch, wr.n),
                            is_last ? COMPILE_DEADLINE : PIECE_DEADLINE, on_loaded);
    if (e != SM_OK) {
        lose(w, e, "could not be given the module");
    }
}

/* Believe the SEE only when its passport says it lives on the node we asked. */
static enum sm_err take_passport(struct worker *w, struct sm_view body)
{
    struct sm_see_started m;
    struct sm_passport p;
    SM_TRY(sm_see_started_read(body, &m));
    if (m.passport.n > sizeof w->passport) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_passport_verify(sm_suite_real(), sm_mesh_anchor(w->job->cfg.mesh),
                              sm_clock_wall(), m.passport, &p));
    if (p.kind != SM_ENDPOINT_SEE || p.addr.ep != m.ep ||
        p.addr.node.v != w->job->nodes[w->node].hop.v) {
        return SM_E_AUTH;
    }
    memcpy(w->passport, m.passport.p, m.passport.n);
    w->passport_n = m.passport.n;
    w->addr = p.addr;
    memcpy(w->dh_key, p.dh_key, sizeof w->dh_key);
    memcpy(w->sign_key, p.sign_key, sizeof w->sign_key);
    return SM_OK;
}

static void on_started(void *ctx, enum sm_err err, struct sm_view body)
{
    struct worker *w = ctx;
    if (!back(w->job)) {
        return;
    }
    enum sm_err e = err != SM_OK ? err : take_passport(w, body);
    if (e != SM_OK) {
        lose(w, e, "could not start a SEE instance");
        return;
    }
    w->state = WORKER_LOADING;
    load_module(w);
}

static enum sm_err start_worker(struct sm_job_io *j, unsigned node)
{
    struct worker *w = &j->workers[j->n_workers];
    struct sm_see_start m = {
        .mem_pages = j->cfg.mem_pages, .cpu_ms = j->cfg.cpu_ms, .wall_ms = j->cfg.wall_ms};
    memcpy(m.client_dh, j->client_dh, sizeof m.client_dh);
    memcpy(m.module_hash, j->module_hash, sizeof m.module_hash);
    uint8_t body[128];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    sm_see_start_write(&wr, &m);
    *w = (struct worker){.job = j, .state = WORKER_STARTING, .node = node};
    SM_TRY(sm_mesh_request(j->cfg.mesh, (struct sm_addr){j->nodes[node].hop, SM_EP_NODE},
                           j->nodes[node].record.dh_key, SM_SERVICE_SEE, sm_view_of(body, wr.n),
                           START_DEADLINE, on_started, w));
    j->waiting++;
    j->n_workers++;
    j->on_node[node]++;
    return SM_OK;
}

/* Ask for instances until there are enough: one on every node before a second on any. */
static void start_more(struct sm_job_io *j)
{
    unsigned want = j->cfg.sees_max < j->cfg.units ? j->cfg.sees_max : j->cfg.units;
    for (unsigned round = 0; round < PER_NODE; round++) {
        for (unsigned i = 0; i < j->n_nodes; i++) {
            if (usable(j) >= want || j->n_workers == SM_JOB_WORKERS_MAX) {
                return;
            }
            if (j->on_node[i] <= round && !j->is_full[i] && start_worker(j, i) != SM_OK) {
                return; /* at a cap: more when something ends */
            }
        }
    }
}

/* -- units -------------------------------------------------------------------------------- */

static void unit_ranges(const struct sm_job_io *j, uint32_t unit, uint64_t *from, uint64_t *to)
{
    uint64_t size = j->cfg.size, n = j->cfg.units;
    *from = size / n * unit + (size % n) * unit / n;
    *to = size / n * (unit + 1) + (size % n) * (unit + 1) / n;
}

static void fill_range(const struct sm_job_io *j, struct sm_unit_range *r)
{
    r->data = j->cfg.ref.object;
    memcpy(r->key, j->cfg.ref.key.b, sizeof r->key);
    r->split = j->cfg.split;
    for (unsigned i = 0; i < j->holders.n && i < SM_UNIT_HOLDERS_MAX; i++) {
        struct sm_unit_holder *h = &r->holders[r->n_holders++];
        h->node = j->holders.list[i].node;
        memcpy(h->dh_key, j->holders.list[i].dh_key, sizeof h->dh_key);
        h->frag_map = j->holders.list[i].held;
    }
}

static void announce(struct worker *w, enum sm_task_state state)
{
    struct sm_job_io *j = w->job;
    struct sm_ctl_task t = {
        .holder = w->addr, .fence = w->fence, .lease_ms = 120000, .state = (uint8_t)state};
    struct sm_hash h;
    uint8_t unit[4], body[128];
    sm_put_le32(unit, w->unit);
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_str("seemesh/task/1"));
    sm_hash_add(&h, sm_view_of(j->cfg.job_id, sizeof j->cfg.job_id));
    sm_hash_add(&h, sm_view_of(unit, sizeof unit));
    sm_hash_end(&h, t.task_id);
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    sm_ctl_task_write(&wr, &t);
    enum sm_err e = sm_mesh_ask(j->cfg.mesh, SM_CTL_TASK, sm_view_of(body, wr.n), NULL, NULL);
    (void)e; /* who works on what is told for others' sake; our fence holds without it */
}

/* The attempt on this worker ended without a result. */
static void attempt_lost(struct worker *w, enum sm_err err, enum sm_job_end how)
{
    struct sm_job_io *j = w->job;
    w->is_busy = false;
    enum sm_err e = sm_job_ended(j->driver, sm_clock_mono(), w->unit, w->fence, how, err);
    (void)e; /* STALE: another attempt has won already */
    drive(j);
}

static bool is_gone(enum sm_err err)
{
    return err == SM_E_UNREACHABLE || err == SM_E_TIMEOUT || err == SM_E_CLOSED ||
           err == SM_E_AUTH || err == SM_E_NOTFOUND;
}

static enum sm_err check_receipt(struct worker *w, const struct incoming *in)
{
    struct sm_receipt r;
    struct sm_view receipt = sm_view_of(in->r.receipt, in->r.receipt_n);
    uint8_t hash[32];
    SM_TRY(sm_receipt_read(receipt, &r));
    SM_TRY(sm_record_verify(sm_suite_real(), sm_mesh_anchor(w->job->cfg.mesh), sm_clock_wall(),
                            receipt, SM_RECORD_RECEIPT, w->sign_key));
    sm_sha256(sm_view_of(in->r.output, in->r.output_n), hash);
    if (memcmp(r.job, w->job->cfg.job_id, sizeof r.job) != 0 || r.unit != in->unit ||
        r.fence != in->fence || !sm_addr_eq(r.see, w->addr) ||
        memcmp(r.module, w->job->module_hash, 32) != 0) {
        return SM_E_AUTH;
    }
    return memcmp(r.output, hash, 32) == 0 ? SM_OK : SM_E_HASH;
}

static void ask_output(struct worker *w);

static void take_result(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct incoming *in = &j->incoming[number(w)];
    enum sm_err e = check_receipt(w, in);
    if (e != SM_OK) {
        observe(w, SM_TRUST_BAD_HASH);
        w->is_busy = false;
        lose(w, e, "its receipt does not fit its result");
        return;
    }
    w->is_busy = false;
    e = sm_job_ended(j->driver, sm_clock_mono(), w->unit, w->fence, SM_JOB_END_OK, SM_OK);
    if (e == SM_OK) {
        j->results[w->unit] = in->r;
        j->results[w->unit].is_done = true;
        j->results[w->unit].worker = number(w);
        in->r = (struct result){0};
        observe(w, SM_TRUST_OK);
        announce(w, SM_TASK_DONE);
    } else {
        j->output_bytes -= in->r.output_n;
        free(in->r.output);
    }
    in->r = (struct result){0};
    in->is_used = false;
    drive(j);
}

static void on_output(void *ctx, enum sm_err err, struct sm_view body)
{
    struct worker *w = ctx;
    struct sm_job_io *j = w->job;
    struct incoming *in = &j->incoming[number(w)];
    if (!back(j) || w->state != WORKER_READY || !in->is_used || in->fence != w->fence) {
        return;
    }
    if (err != SM_OK || body.n == 0 || body.n > in->r.output_n - in->r.have) {
        w->is_busy = false;
        lose(w, err != SM_OK ? err : SM_E_MALFORMED, "its result could not be fetched");
        return;
    }
    memcpy(in->r.output + in->r.have, body.p, body.n);
    in->r.have += body.n;
    if (in->r.have < in->r.output_n) {
        ask_output(w);
    } else {
        take_result(w);
    }
}

static void ask_output(struct worker *w)
{
    struct incoming *in = &w->job->incoming[number(w)];
    uint8_t body[64];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    sm_unit_piece_write(
        &wr, SM_UNIT_OUTPUT,
        &(struct sm_unit_piece){.unit = in->unit, .fence = in->fence, .offset = in->r.have});
    enum sm_err e = ask_see(w, sm_view_of(body, wr.n), PIECE_DEADLINE, on_output);
    if (e != SM_OK) {
        w->is_busy = false;
        lose(w, e, "its result could not be asked for");
    }
}

/* The module itself failed: keep its words, they are what the user wants to know. */
static void module_fault(struct worker *w, const struct sm_unit_result *r)
{
    struct sm_job_io *j = w->job;
    int tail = r->errors.n < 300 ? (int)r->errors.n : 300;
    if (r->is_exit) {
        snprintf(j->words, sizeof j->words, "unit %u: the module ended with exit code %d%s%.*s",
                 w->unit, r->exit_code, tail > 0 ? ": " : "", tail,
                 (const char *)r->errors.p + (r->errors.n - (size_t)tail));
    } else {
        snprintf(j->words, sizeof j->words, "unit %u: %.*s", w->unit, (int)r->words.n,
                 (const char *)r->words.p);
    }
    j->fault = r->is_exit ? SM_E_FAILED : SM_E_TRAP;
    attempt_lost(w, j->fault, SM_JOB_END_FAULT);
}

static void on_ran(void *ctx, enum sm_err err, struct sm_view body)
{
    struct worker *w = ctx;
    struct sm_job_io *j = w->job;
    struct sm_unit_result r;
    struct incoming *in = &j->incoming[number(w)];
    if (!back(j) || w->state != WORKER_READY) {
        return;
    }
    if (is_gone(err)) {
        w->is_busy = false;
        lose(w, err, "is gone");
        return;
    }
    enum sm_err e = err != SM_OK ? err : sm_unit_result_read(body, &r);
    if (e != SM_OK) {
        if (e != SM_E_CANCELLED) {
            int n = body.n < 200 ? (int)body.n : 200;
            snprintf(j->words, sizeof j->words, "unit %u on %s: %.*s", w->unit, owner_of(w),
                     n > 0 ? n : (int)strlen(sm_err_words(e)),
                     n > 0 ? (const char *)body.p : sm_err_words(e));
            note(j, "%s", j->words);
        }
        attempt_lost(w, e, SM_JOB_END_LOST);
        return;
    }
    if (!r.is_exit || r.exit_code != 0) {
        module_fault(w, &r);
        return;
    }
    if (r.output_n > j->cfg.output_bytes_max - j->output_bytes ||
        r.receipt.n > sizeof in->r.receipt) {
        snprintf(j->words, sizeof j->words, "the results take more than %zu bytes",
                 j->cfg.output_bytes_max);
        finish(j, SM_E_LIMIT, j->words);
        return;
    }
    free(in->r.output);
    *in = (struct incoming){.is_used = true, .unit = w->unit, .fence = w->fence};
    in->r = (struct result){.output = malloc((size_t)r.output_n + 1),
                            .output_n = (size_t)r.output_n,
                            .have = r.output.n,
                            .input_n = r.input_n,
                            .run_ms = r.run_ms,
                            .receipt_n = r.receipt.n};
    if (in->r.output == NULL) {
        finish(j, SM_E_NOMEM, sm_err_words(SM_E_NOMEM));
        return;
    }
    j->output_bytes += in->r.output_n;
    if (r.output.n > 0) {
        memcpy(in->r.output, r.output.p, r.output.n);
    }
    memcpy(in->r.receipt, r.receipt.p, r.receipt.n);
    if (in->r.have < in->r.output_n) {
        ask_output(w);
    } else {
        take_result(w);
    }
}

static void send_run(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct sm_unit_run m = {
        .unit = w->unit, .fence = w->fence, .is_inline = j->cfg.inputs != NULL};
    memcpy(m.job_id, j->cfg.job_id, sizeof m.job_id);
    for (unsigned i = 0; i < j->cfg.n_args; i++) {
        m.args[m.n_args++] = sm_view_str(j->cfg.args[i]);
    }
    if (!m.is_inline) {
        fill_range(j, &m.range);
        unit_ranges(j, w->unit, &m.range.from, &m.range.to);
        m.range.in_quotes = j->quotes != NULL && j->quotes[w->unit] % 2 == 1;
    }
    struct sm_wr wr = sm_wr_init(j->scratch, REQUEST_MAX);
    sm_unit_run_write(&wr, &m);
    struct sm_dur limit = {RUN_GRACE.ns + SM_MS(j->cfg.wall_ms).ns};
    enum sm_err e = ask_see(w, sm_view_of(j->scratch, wr.n), limit, on_ran);
    sm_wipe(j->scratch, wr.n);
    sm_wipe(&m, sizeof m);
    if (e != SM_OK) {
        w->is_busy = false;
        lose(w, e, "could not be given a unit");
        return;
    }
    announce(w, SM_TASK_RUNNING);
}

static void send_input(struct worker *w);

static void on_input(void *ctx, enum sm_err err, struct sm_view body)
{
    struct worker *w = ctx;
    (void)body;
    if (!back(w->job) || w->state != WORKER_READY || !w->is_busy) {
        return;
    }
    if (err != SM_OK) {
        w->is_busy = false;
        lose(w, err, "could not take a unit's input");
        return;
    }
    send_input(w);
}

static void send_input(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct sm_view all = j->cfg.inputs[w->unit];
    if (w->sent == all.n && w->has_input) {
        send_run(w);
        return;
    }
    w->has_input = true; /* an empty input is one empty piece */
    struct sm_view piece = sm_view_sub(all, (size_t)w->sent, SM_UNIT_CHUNK);
    struct sm_wr wr = sm_wr_init(j->scratch, REQUEST_MAX);
    sm_unit_piece_write(&wr, SM_UNIT_INPUT,
                        &(struct sm_unit_piece){.unit = w->unit,
                                                .fence = w->fence,
                                                .offset = w->sent,
                                                .total = all.n,
                                                .bytes = piece});
    w->sent += piece.n;
    enum sm_err e = ask_see(w, sm_view_of(j->scratch, wr.n), PIECE_DEADLINE, on_input);
    if (e != SM_OK) {
        w->is_busy = false;
        lose(w, e, "could not be given a unit's input");
    }
}

/* -- CSV: the quotes before each unit ------------------------------------------------------ */

static void on_scanned(void *ctx, enum sm_err err, struct sm_view body)
{
    struct worker *w = ctx;
    struct sm_job_io *j = w->job;
    if (!back(j) || w->state != WORKER_READY) {
        return;
    }
    if (is_gone(err) || (err == SM_OK && body.n != 8)) {
        w->is_busy = false;
        lose(w, err != SM_OK ? err : SM_E_MALFORMED, "is gone");
        return;
    }
    if (err != SM_OK) {
        attempt_lost(w, err, SM_JOB_END_LOST);
        return;
    }
    w->is_busy = false;
    if (sm_job_ended(j->driver, sm_clock_mono(), w->unit, w->fence, SM_JOB_END_OK, SM_OK) ==
        SM_OK) {
        j->quotes[w->unit] = sm_le64(body.p);
    }
    drive(j);
}

static void send_scan(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct sm_unit_range r = {0};
    uint64_t to;
    fill_range(j, &r);
    unit_ranges(j, w->unit, &r.from, &to);
    r.from = sm_split_read_from(j->cfg.split, r.from);
    r.to = w->unit + 1 < j->cfg.units ? sm_split_read_from(j->cfg.split, to) : to;
    struct sm_wr wr = sm_wr_init(j->scratch, REQUEST_MAX);
    sm_unit_scan_write(&wr, &r);
    enum sm_err e = ask_see(w, sm_view_of(j->scratch, wr.n), SCAN_DEADLINE, on_scanned);
    sm_wipe(j->scratch, wr.n);
    sm_wipe(&r, sizeof r);
    if (e != SM_OK) {
        w->is_busy = false;
        lose(w, e, "could not be asked to scan");
    }
}

/* -- the driver's wishes ------------------------------------------------------------------ */

static enum sm_err new_driver(struct sm_job_io *j, enum phase phase)
{
    struct sm_job_cfg cfg = {
        .units = j->cfg.units,
        .workers_max = SM_JOB_WORKERS_MAX,
        .fence_base = j->cfg.fence_base,
        .attempt_limit = {RUN_GRACE.ns + SM_MS(j->cfg.wall_ms).ns + SM_S(5).ns}};
    sm_job_free(j->driver);
    j->phase = phase;
    j->driver = sm_job_new(&cfg);
    if (j->driver == NULL) {
        return SM_E_NOMEM;
    }
    for (unsigned i = 0; i < j->n_workers; i++) {
        if (j->workers[i].state == WORKER_READY) {
            sm_job_worker_up(j->driver, sm_clock_mono(), i);
        }
    }
    return SM_OK;
}

/* Counts of each unit become counts before each unit; then the units run. */
static void scanned(struct sm_job_io *j)
{
    uint64_t before = 0;
    for (uint32_t u = 0; u < j->cfg.units; u++) {
        uint64_t own = j->quotes[u];
        j->quotes[u] = before;
        before += own;
    }
    enum sm_err e = new_driver(j, PHASE_RUN);
    if (e != SM_OK) {
        finish(j, e, sm_err_words(e));
    }
}

static void cancel_attempt(struct sm_job_io *j, const struct sm_job_out *o)
{
    struct worker *w = &j->workers[o->worker];
    uint8_t body[64];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    if (w->state != WORKER_READY || w->fence != o->fence) {
        return;
    }
    w->is_busy = false;
    sm_unit_piece_write(&wr, SM_UNIT_CANCEL,
                        &(struct sm_unit_piece){.unit = o->unit, .fence = o->fence});
    enum sm_err e = sm_mesh_request(j->cfg.mesh, w->addr, w->dh_key, SM_SERVICE_UNIT,
                                    sm_view_of(body, wr.n), PIECE_DEADLINE, NULL, NULL);
    (void)e; /* a higher fence ends the attempt as well */
}

static void run_attempt(struct sm_job_io *j, const struct sm_job_out *o)
{
    struct worker *w = &j->workers[o->worker];
    w->unit = o->unit;
    w->fence = o->fence;
    w->is_busy = true;
    w->has_input = false;
    w->sent = 0;
    if (sm_job_unit(j->driver, o->unit).attempts > 1 && j->phase == PHASE_RUN) {
        note(j, "unit %u runs again, on %s", o->unit, owner_of(w));
    }
    if (j->phase == PHASE_SCAN) {
        send_scan(w);
    } else if (j->cfg.inputs != NULL) {
        send_input(w);
    } else {
        send_run(w);
    }
}

static void failed(struct sm_job_io *j, const struct sm_job_out *o)
{
    if (j->words[0] == '\0') {
        snprintf(j->words, sizeof j->words, "unit %u failed on every SEE that tried it: %s",
                 o->unit, sm_err_words(o->err));
    }
    finish(j, j->fault != SM_OK ? j->fault : o->err, j->words);
}

static void drive(struct sm_job_io *j)
{
    struct sm_job_out o;
    while (!j->is_over && sm_job_next(j->driver, &o)) {
        switch (o.what) {
        case SM_JOB_RUN:
            run_attempt(j, &o);
            break;
        case SM_JOB_CANCEL:
            cancel_attempt(j, &o);
            break;
        case SM_JOB_DONE:
            if (j->phase == PHASE_SCAN) {
                scanned(j);
            } else {
                finish(j, SM_OK, NULL);
            }
            break;
        case SM_JOB_FAILED:
            failed(j, &o);
            break;
        }
    }
    if (!j->is_over) {
        sm_timer_at(j->timer, sm_job_deadline(j->driver));
        if (j->cfg.progress != NULL && j->phase == PHASE_RUN) {
            j->cfg.progress(j->cfg.ctx, sm_job_done_count(j->driver), j->cfg.units, usable(j));
        }
    }
}

static void on_timer(void *ctx)
{
    struct sm_job_io *j = ctx;
    if (!j->is_over) {
        sm_job_tick(j->driver, sm_clock_mono());
        drive(j);
    }
}

/* -- beginning and end -------------------------------------------------------------------- */

static int by_cost(const void *a, const void *b)
{
    const struct sm_mesh_node *x = a, *y = b;
    if (x->path_cost_16 != y->path_cost_16) {
        return x->path_cost_16 < y->path_cost_16 ? -1 : 1;
    }
    return memcmp(x->record.node_id.b, y->record.node_id.b, sizeof x->record.node_id.b);
}

static void on_nodes(void *ctx, enum sm_err err, struct sm_view body)
{
    struct sm_job_io *j = ctx;
    if (!back(j)) {
        return;
    }
    if (err != SM_OK) {
        finish(j, err, "the node could not list the mesh");
        return;
    }
    size_t n = sm_mesh_read_nodes(j->cfg.mesh, body, j->nodes, SM_MESH_NODES_MAX);
    for (size_t i = 0; i < n; i++) {
        bool may = (j->nodes[i].record.flags & SM_NODE_SEE) != 0 && j->nodes[i].n_slots > 0;
        bool is_trusted = j->nodes[i].is_self || j->nodes[i].trust_q16 >= SM_TRUST_MIN;
        if (may && is_trusted) {
            j->nodes[j->n_nodes++] = j->nodes[i];
        }
    }
    qsort(j->nodes, j->n_nodes, sizeof *j->nodes, by_cost);
    start_more(j);
    if (usable(j) == 0) {
        finish(j, SM_E_PEERS, "no node that runs SEEs can be reached");
    }
}

static enum sm_err alloc(struct sm_job_io *j)
{
    j->nodes = calloc(SM_MESH_NODES_MAX, sizeof *j->nodes);
    j->on_node = calloc(SM_MESH_NODES_MAX, sizeof *j->on_node);
    j->is_full = calloc(SM_MESH_NODES_MAX, sizeof *j->is_full);
    j->workers = calloc(SM_JOB_WORKERS_MAX, sizeof *j->workers);
    j->incoming = calloc(SM_JOB_WORKERS_MAX, sizeof *j->incoming);
    j->results = calloc((size_t)j->cfg.units + 1, sizeof *j->results);
    j->scratch = malloc(REQUEST_MAX);
    bool needs_quotes =
        j->cfg.inputs == NULL && j->cfg.split == SM_SPLIT_CSV && j->cfg.units > 1;
    j->quotes = needs_quotes ? calloc(j->cfg.units, sizeof *j->quotes) : NULL;
    if (j->nodes == NULL || j->on_node == NULL || j->is_full == NULL || j->workers == NULL ||
        j->incoming == NULL || j->results == NULL || j->scratch == NULL ||
        (needs_quotes && j->quotes == NULL)) {
        return SM_E_NOMEM;
    }
    SM_TRY(sm_timer_new(sm_mesh_loop(j->cfg.mesh), on_timer, j, &j->timer));
    SM_TRY(new_driver(j, needs_quotes ? PHASE_SCAN : PHASE_RUN));
    return sm_mesh_ask(j->cfg.mesh, SM_CTL_NODES, (struct sm_view){0}, on_nodes, j);
}

enum sm_err sm_job_io_start(const struct sm_job_io_cfg *cfg, struct sm_job_io **out)
{
    if (cfg->units == 0 || cfg->units > SM_JOB_UNITS_MAX || cfg->sees_max == 0 ||
        cfg->n_args > SM_UNIT_ARGS_MAX - 1) {
        return SM_E_INVALID;
    }
    struct sm_job_io *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return SM_E_NOMEM;
    }
    j->cfg = *cfg;
    if (cfg->holders != NULL) {
        j->holders = *cfg->holders;
    }
    sm_sha256(cfg->module, j->module_hash);
    memcpy(j->client_dh, sm_mesh_dh_key(cfg->mesh), sizeof j->client_dh);
    enum sm_err e = alloc(j);
    if (e != SM_OK) {
        j->is_over = j->is_freed = true;
        release(j);
        return e;
    }
    j->waiting = 1;
    *out = j;
    return SM_OK;
}

static void release(struct sm_job_io *j)
{
    if (j->waiting > 0) {
        return; /* the last call that comes back frees it */
    }
    for (uint32_t u = 0; j->results != NULL && u < j->cfg.units; u++) {
        free(j->results[u].output);
    }
    for (unsigned i = 0; j->incoming != NULL && i < SM_JOB_WORKERS_MAX; i++) {
        free(j->incoming[i].r.output);
    }
    sm_timer_free(j->timer);
    sm_job_free(j->driver);
    free(j->nodes);
    free(j->on_node);
    free(j->is_full);
    free(j->workers);
    free(j->incoming);
    free(j->quotes);
    free(j->results);
    free(j->scratch);
    sm_wipe(j, sizeof *j);
    free(j);
}

void sm_job_io_free(struct sm_job_io *j)
{
    if (j == NULL) {
        return;
    }
    j->is_over = j->is_freed = true;
    for (unsigned i = 0; i < j->n_workers; i++) {
        struct worker *w = &j->workers[i];
        uint8_t body[8];
        struct sm_wr wr = sm_wr_init(body, sizeof body);
        if (w->state != WORKER_READY && w->state != WORKER_LOADING) {
            continue;
        }
        sm_see_stop_write(&wr, w->addr.ep);
        enum sm_err e = sm_mesh_request(j->cfg.mesh, (struct sm_addr){w->addr.node, SM_EP_NODE},
                                        j->nodes[w->node].record.dh_key, SM_SERVICE_SEE,
                                        sm_view_of(body, wr.n), PIECE_DEADLINE, NULL, NULL);
        (void)e; /* an idle instance ends by itself */
    }
    release(j);
}

/* -- what came out ------------------------------------------------------------------------ */

bool sm_job_io_row(const struct sm_job_io *j, uint32_t unit, struct sm_job_io_row *out)
{
    if (unit >= j->cfg.units) {
        return false;
    }
    const struct result *r = &j->results[unit];
    struct sm_job_unit_info info = sm_job_unit(j->driver, unit);
    *out = (struct sm_job_io_row){.is_done = r->is_done,
                                  .attempts = info.attempts,
                                  .fence = info.fence,
                                  .took = info.took,
                                  .input_n = r->input_n,
                                  .output_n = r->output_n,
                                  .run_ms = r->run_ms,
                                  .output = sm_view_of(r->output, r->output_n),
                                  .receipt = sm_view_of(r->receipt, r->receipt_n)};
    if (r->is_done) {
        const struct worker *w = &j->workers[r->worker];
        out->node = j->nodes[w->node].record.node_id;
        memcpy(out->owner, owner_of(w), sizeof out->owner);
        out->ep = w->addr.ep;
        out->passport = sm_view_of(w->passport, w->passport_n);
    }
    return true;
}

unsigned sm_job_io_sees(const struct sm_job_io *j, unsigned *out_compiled,
                        uint32_t *out_compile_ms)
{
    unsigned n = 0;
    *out_compiled = 0;
    *out_compile_ms = 0;
    for (unsigned i = 0; i < j->n_workers; i++) {
        const struct worker *w = &j->workers[i];
        if (w->passport_n == 0 || (w->state != WORKER_READY && w->compile_ms == 0)) {
            continue;
        }
        n++;
        *out_compiled += !w->was_cached;
        *out_compile_ms = w->compile_ms > *out_compile_ms ? w->compile_ms : *out_compile_ms;
    }
    return n;
}

enum sm_err sm_receipt_check(const struct sm_anchor *anchor, struct sm_view receipt,
                             struct sm_view passport, struct sm_receipt *out,
                             struct sm_passport *see)
{
    struct sm_receipt r;
    struct sm_passport p;
    SM_TRY(sm_receipt_read(receipt, &r));
    /* Checked as of when it was signed: keys that have expired since do not undo it. */
    SM_TRY(sm_passport_verify(sm_suite_real(), anchor, r.head.not_before, passport, &p));
    SM_TRY(sm_record_verify(sm_suite_real(), anchor, r.head.not_before, receipt,
                            SM_RECORD_RECEIPT, p.sign_key));
    if (p.kind != SM_ENDPOINT_SEE || !sm_addr_eq(p.addr, r.see)) {
        return SM_E_AUTH;
    }
    *out = r;
    *see = p;
    return SM_OK;
}
