// SPDX-License-Identifier: Apache-2.0
#include "client/job_int.h"
#include "crypto/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void release(struct sm_job_io *j);

void job_note(struct sm_job_io *j, const char *fmt, ...)
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

void job_finish(struct sm_job_io *j, enum sm_err err, const char *reason)
{
    if (!j->is_over) {
        j->is_over = true;
        sm_timer_at(j->timer, SM_NEVER);
        j->cfg.done(j->cfg.ctx, err, reason);
    }
}

const char *job_owner(const struct worker *w)
{
    return w->job->nodes[w->node].record.owner;
}

/* -- calls ------------------------------------------------------------------------------- */

bool job_back(struct sm_job_io *j)
{
    j->waiting--;
    if (j->is_freed) {
        release(j);
        return false;
    }
    return !j->is_over;
}

/* One question to a SEE. */
struct question {
    struct worker *worker;
    enum worker_state state;
    uint64_t fence;
    job_answer_fn *done;
};

static void on_see_answer(void *ctx, enum sm_err err, struct sm_view body)
{
    struct question q = *(struct question *)ctx;
    struct worker *w = q.worker;
    free(ctx);
    if (job_back(w->job) && w->state == q.state && w->fence == q.fence) {
        q.done(w, err, body);
    }
}

enum sm_err job_ask_see(struct worker *w, struct sm_view body, struct sm_dur deadline,
                        job_answer_fn *done)
{
    struct question *q = malloc(sizeof *q);
    if (q == NULL) {
        return SM_E_NOMEM;
    }
    *q = (struct question){w, w->state, w->fence, done};
    enum sm_err e = sm_mesh_request(w->job->cfg.mesh, w->addr, w->dh_key, SM_SERVICE_UNIT, body,
                                    deadline, on_see_answer, q);
    if (e != SM_OK) {
        free(q);
        return e;
    }
    w->job->waiting++;
    return SM_OK;
}

void job_stop_see(struct sm_job_io *j, unsigned node, uint32_t ep)
{
    uint8_t body[8];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    sm_see_stop_write(&wr, ep);
    enum sm_err e =
        sm_mesh_request(j->cfg.mesh, (struct sm_addr){j->nodes[node].hop, SM_EP_NODE},
                        j->nodes[node].record.dh_key, SM_SERVICE_SEE, sm_view_of(body, wr.n),
                        PIECE_DEADLINE, NULL, NULL);
    (void)e; /* an idle instance ends by itself */
}

void job_drop_incoming(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct incoming *in = &j->incoming[job_number(w)];
    if (in->is_used) {
        j->output_bytes -= in->r.output_n;
        free(in->r.output);
    }
    *in = (struct incoming){0};
}

uint32_t job_number(const struct worker *w)
{
    return (uint32_t)(w - w->job->workers);
}

void job_observe(struct worker *w, enum sm_trust_kind kind)
{
    sm_mesh_observe(w->job->cfg.mesh, w->job->nodes[w->node].hop, (uint8_t)kind);
}

unsigned job_usable(const struct sm_job_io *j)
{
    unsigned n = 0;
    for (unsigned i = 0; i < j->n_workers; i++) {
        n += j->workers[i].state == WORKER_READY || j->workers[i].state == WORKER_LOADING ||
             j->workers[i].state == WORKER_STARTING;
    }
    return n;
}

/* The instance is of no use any more.  Others go on; when none is left, the job ends. */
void job_lose(struct worker *w, enum sm_err err, const char *what)
{
    struct sm_job_io *j = w->job;
    if (w->state == WORKER_GONE || j->is_over) {
        return;
    }
    bool was_ready = w->state == WORKER_READY;
    if (was_ready || w->state == WORKER_LOADING) {
        job_stop_see(j, w->node, w->addr.ep); /* its slot is of use to others */
    }
    w->state = WORKER_GONE;
    w->is_busy = false;
    job_drop_incoming(w);
    bool is_full = err == SM_E_BUSY || err == SM_E_UNSUPPORTED || err == SM_E_LIMIT;
    bool is_news = !j->is_full[w->node];
    if (is_full || err == SM_E_UNREACHABLE || err == SM_E_TIMEOUT) {
        j->is_full[w->node] = true;
    }
    if (!is_full && (is_news || was_ready)) {
        job_note(j, "%s: %s (%s)", job_owner(w), what, sm_err_words(err));
        if (err == SM_E_TIMEOUT) {
            job_observe(w, SM_TRUST_TIMEOUT);
        }
    }
    if (was_ready) {
        sm_job_worker_down(j->driver, sm_clock_mono(), job_number(w));
    }
    job_start_more(j);
    if (job_usable(j) == 0) {
        if (j->words[0] == '\0') {
            snprintf(j->words, sizeof j->words,
                     "no SEE instance could be used; the last: %s: %s", what,
                     sm_err_words(err));
        }
        job_finish(j, j->fault != SM_OK ? j->fault : SM_E_PEERS, j->words);
        return;
    }
    job_drive(j);
}

/* -- the driver's wishes ------------------------------------------------------------------ */

static enum sm_err new_driver(struct sm_job_io *j, enum phase phase)
{
    struct sm_job_cfg cfg = {
        .units = j->cfg.units,
        .workers_max = SM_JOB_WORKERS_MAX,
        .fence_base = j->fence_top, /* no fence of the scan is one of the run's */
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
        job_finish(j, e, sm_err_words(e));
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
    if (o->err == SM_E_TIMEOUT) {
        job_lose(w, o->err, "took too long over a unit");
        return;
    }
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
    j->fence_top = o->fence > j->fence_top ? o->fence : j->fence_top;
    w->is_busy = true;
    w->has_input = false;
    w->sent = 0;
    if (sm_job_unit(j->driver, o->unit).attempts > 1 && j->phase == PHASE_RUN) {
        job_note(j, "unit %u runs again, on %s", o->unit, job_owner(w));
    }
    if (j->phase == PHASE_SCAN) {
        job_send_scan(w);
    } else if (j->cfg.inputs != NULL) {
        job_send_input(w);
    } else {
        job_send_run(w);
    }
}

static void failed(struct sm_job_io *j, const struct sm_job_out *o)
{
    if (j->words[0] == '\0') {
        snprintf(j->words, sizeof j->words, "unit %u failed on every SEE that tried it: %s",
                 o->unit, sm_err_words(o->err));
    }
    job_finish(j, j->fault != SM_OK ? j->fault : o->err, j->words);
}

void job_drive(struct sm_job_io *j)
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
                job_finish(j, SM_OK, NULL);
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
            j->cfg.progress(j->cfg.ctx, sm_job_done_count(j->driver), j->cfg.units,
                            job_usable(j));
        }
    }
}

static void on_timer(void *ctx)
{
    struct sm_job_io *j = ctx;
    if (!j->is_over) {
        sm_job_tick(j->driver, sm_clock_mono());
        job_drive(j);
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
    if (!job_back(j)) {
        return;
    }
    if (err != SM_OK) {
        job_finish(j, err, "the node could not list the mesh");
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
    job_start_more(j);
    if (job_usable(j) == 0) {
        job_finish(j, SM_E_PEERS, "no node that runs SEEs can be reached");
    }
}

/* As the SEE does for its receipts. */
static void hash_args(const struct sm_job_io_cfg *cfg, uint8_t out[static 32])
{
    struct sm_hash hash;
    sm_hash_init(&hash, SM_SHA256);
    for (unsigned i = 0; i < cfg->n_args; i++) {
        struct sm_view arg = sm_view_str(cfg->args[i]);
        uint8_t n[4];
        sm_put_le32(n, (uint32_t)arg.n);
        sm_hash_add(&hash, sm_view_of(n, sizeof n));
        sm_hash_add(&hash, arg);
    }
    sm_hash_end(&hash, out);
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
    j->fence_top = cfg->fence_base;
    if (cfg->holders != NULL) {
        j->holders = *cfg->holders;
    }
    sm_sha256(cfg->module, j->module_hash);
    hash_args(cfg, j->args_hash);
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
        const struct worker *w = &j->workers[i];
        if (w->state == WORKER_READY || w->state == WORKER_LOADING) {
            job_stop_see(j, w->node, w->addr.ep);
        }
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
        memcpy(out->owner, job_owner(w), sizeof out->owner);
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

/* When a passport's ENDPOINT record began. */
static enum sm_err birth_of(struct sm_view passport, struct sm_endpoint_record *out)
{
    struct sm_view node, endpoint;
    SM_TRY(sm_passport_read(passport, &node, &endpoint));
    return sm_endpoint_record_read(endpoint, out);
}

enum sm_err sm_receipt_check(const struct sm_anchor *anchor, struct sm_view receipt,
                             struct sm_view passport, struct sm_receipt *out,
                             struct sm_passport *see)
{
    struct sm_receipt r;
    struct sm_passport p;
    struct sm_endpoint_record ep;
    SM_TRY(sm_receipt_read(receipt, &r));
    SM_TRY(birth_of(passport, &ep));
    SM_TRY(sm_passport_verify(sm_suite_real(), anchor, ep.head.not_before, passport, &p));
    SM_TRY(sm_record_times(&ep.head, r.head.not_before));
    SM_TRY(sm_record_verify(sm_suite_real(), anchor, r.head.not_before, receipt,
                            SM_RECORD_RECEIPT, p.sign_key));
    if (p.kind != SM_ENDPOINT_SEE || !sm_addr_eq(p.addr, r.see)) {
        return SM_E_AUTH;
    }
    *out = r;
    *see = p;
    return SM_OK;
}
