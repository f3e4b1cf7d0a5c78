// SPDX-License-Identifier: Apache-2.0
/* One attempt at one unit in a SEE: its input, its run, its result, its receipt. */
#include "client/job_int.h"
#include "crypto/hash.h"
#include "wire/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void unit_ranges(const struct sm_job_io *j, uint32_t unit, uint64_t *from, uint64_t *to)
{
    uint64_t size = j->cfg.size, n = j->cfg.units;
    if (j->cfg.unit_bytes > 0) {
        *from = j->cfg.unit_bytes * unit;
        *to = size - *from < j->cfg.unit_bytes ? size : *from + j->cfg.unit_bytes;
        return;
    }
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
    job_drive(j);
}

static bool is_gone(enum sm_err err)
{
    return err == SM_E_UNREACHABLE || err == SM_E_TIMEOUT || err == SM_E_CLOSED ||
           err == SM_E_AUTH || err == SM_E_NOTFOUND;
}

/* Is it about what we asked for, and what came? */
static enum sm_err check_receipt(const struct worker *w, const struct incoming *in)
{
    const struct sm_job_io *j = w->job;
    struct sm_receipt r;
    struct sm_view receipt = sm_view_of(in->r.receipt, in->r.receipt_n);
    uint8_t hash[32];
    SM_TRY(sm_receipt_read(receipt, &r));
    SM_TRY(sm_record_verify(sm_suite_real(), sm_mesh_anchor(j->cfg.mesh), sm_clock_wall(),
                            receipt, SM_RECORD_RECEIPT, w->sign_key));
    if (memcmp(r.job, j->cfg.job_id, sizeof r.job) != 0 || r.unit != in->unit ||
        r.fence != in->fence || !sm_addr_eq(r.see, w->addr) ||
        memcmp(r.module, j->module_hash, 32) != 0 || memcmp(r.args, j->args_hash, 32) != 0) {
        return SM_E_AUTH;
    }
    if (j->cfg.inputs != NULL) {
        sm_sha256(j->cfg.inputs[in->unit], hash);
        if (memcmp(r.input, hash, 32) != 0) {
            return SM_E_HASH;
        }
    }
    sm_sha256(sm_view_of(in->r.output, in->r.output_n), hash);
    return memcmp(r.output, hash, 32) == 0 ? SM_OK : SM_E_HASH;
}

static void ask_output(struct worker *w);

static void take_result(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct incoming *in = &j->incoming[job_number(w)];
    enum sm_err e = check_receipt(w, in);
    if (e != SM_OK) {
        job_observe(w, SM_TRUST_BAD_HASH);
        job_lose(w, e, "its receipt does not fit its result");
        return;
    }
    w->is_busy = false;
    e = sm_job_ended(j->driver, sm_clock_mono(), w->unit, w->fence, SM_JOB_END_OK, SM_OK);
    if (e == SM_OK) {
        j->results[w->unit] = in->r;
        j->results[w->unit].is_done = true;
        j->results[w->unit].worker = job_number(w);
        *in = (struct incoming){0}; /* its bytes are the unit's now */
        job_observe(w, SM_TRUST_OK);
        announce(w, SM_TASK_DONE);
    } else {
        job_drop_incoming(w);
    }
    job_drive(j);
}

static void on_output(struct worker *w, enum sm_err err, struct sm_view body)
{
    struct incoming *in = &w->job->incoming[job_number(w)];
    if (!in->is_used) {
        return;
    }
    if (err != SM_OK || body.n == 0 || body.n > in->r.output_n - in->r.have) {
        job_lose(w, err != SM_OK ? err : SM_E_MALFORMED, "its result could not be fetched");
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
    struct incoming *in = &w->job->incoming[job_number(w)];
    uint8_t body[64];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    sm_unit_piece_write(
        &wr, SM_UNIT_OUTPUT,
        &(struct sm_unit_piece){.unit = in->unit, .fence = in->fence, .offset = in->r.have});
    enum sm_err e = job_ask_see(w, sm_view_of(body, wr.n), PIECE_DEADLINE, on_output);
    if (e != SM_OK) {
        job_lose(w, e, "its result could not be asked for");
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
    bool was_limit = !r->is_exit && r->exit_code == SM_E_LIMIT;
    j->fault = r->is_exit ? SM_E_FAILED : was_limit ? SM_E_LIMIT : SM_E_TRAP;
    attempt_lost(w, j->fault, SM_JOB_END_FAULT);
}

/* Room for a result, with what came of it at once. */
static enum sm_err begin_result(struct worker *w, const struct sm_unit_result *r)
{
    struct sm_job_io *j = w->job;
    struct incoming *in = &j->incoming[job_number(w)];
    job_drop_incoming(w);
    if (r->output_n > j->cfg.output_bytes_max - j->output_bytes) {
        snprintf(j->words, sizeof j->words, "the results take more than %zu bytes",
                 j->cfg.output_bytes_max);
        return SM_E_LIMIT;
    }
    uint8_t *output = malloc((size_t)r->output_n + 1);
    if (output == NULL) {
        snprintf(j->words, sizeof j->words, "%s", sm_err_words(SM_E_NOMEM));
        return SM_E_NOMEM;
    }
    *in = (struct incoming){.is_used = true,
                            .unit = w->unit,
                            .fence = w->fence,
                            .r = {.output = output,
                                  .output_n = (size_t)r->output_n,
                                  .have = r->output.n,
                                  .input_n = r->input_n,
                                  .run_ms = r->run_ms,
                                  .receipt_n = r->receipt.n}};
    j->output_bytes += in->r.output_n;
    if (r->output.n > 0) {
        memcpy(output, r->output.p, r->output.n);
    }
    memcpy(in->r.receipt, r->receipt.p, r->receipt.n);
    return SM_OK;
}

static void on_ran(struct worker *w, enum sm_err err, struct sm_view body)
{
    struct sm_job_io *j = w->job;
    struct sm_unit_result r;
    if (is_gone(err)) {
        job_lose(w, err, "is gone");
        return;
    }
    enum sm_err e = err != SM_OK ? err : sm_unit_result_read(body, &r);
    if (e != SM_OK) {
        if (e != SM_E_CANCELLED) {
            int n = body.n < 200 ? (int)body.n : 200;
            snprintf(j->words, sizeof j->words, "unit %u on %s: %.*s", w->unit, job_owner(w),
                     n > 0 ? n : (int)strlen(sm_err_words(e)),
                     n > 0 ? (const char *)body.p : sm_err_words(e));
            job_note(j, "%s", j->words);
        }
        attempt_lost(w, e, SM_JOB_END_LOST);
        return;
    }
    if (!r.is_exit || r.exit_code != 0) {
        module_fault(w, &r);
        return;
    }
    if (r.receipt.n == 0 || r.receipt.n > SM_RECEIPT_BYTES) {
        job_lose(w, SM_E_MALFORMED, "sent a result without a receipt");
        return;
    }
    e = begin_result(w, &r);
    if (e != SM_OK) {
        job_finish(j, e, j->words);
    } else if (r.output.n < r.output_n) {
        ask_output(w);
    } else {
        take_result(w);
    }
}

void job_send_run(struct worker *w)
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
    enum sm_err e = job_ask_see(w, sm_view_of(j->scratch, wr.n), limit, on_ran);
    sm_wipe(j->scratch, wr.n);
    sm_wipe(&m, sizeof m);
    if (e != SM_OK) {
        job_lose(w, e, "could not be given a unit");
        return;
    }
    announce(w, SM_TASK_RUNNING);
}

static void on_input(struct worker *w, enum sm_err err, struct sm_view body)
{
    (void)body;
    if (!w->is_busy) {
        return;
    }
    if (err != SM_OK) {
        job_lose(w, err, "could not take a unit's input");
        return;
    }
    job_send_input(w);
}

void job_send_input(struct worker *w)
{
    struct sm_job_io *j = w->job;
    struct sm_view all = j->cfg.inputs[w->unit];
    if (w->sent == all.n && w->has_input) {
        job_send_run(w);
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
    enum sm_err e = job_ask_see(w, sm_view_of(j->scratch, wr.n), PIECE_DEADLINE, on_input);
    if (e != SM_OK) {
        job_lose(w, e, "could not be given a unit's input");
    }
}

/* -- CSV: the quotes before each unit ------------------------------------------------------ */

static void on_scanned(struct worker *w, enum sm_err err, struct sm_view body)
{
    struct sm_job_io *j = w->job;
    if (is_gone(err) || (err == SM_OK && body.n != 8)) {
        job_lose(w, err != SM_OK ? err : SM_E_MALFORMED, "is gone");
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
    job_drive(j);
}

void job_send_scan(struct worker *w)
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
    enum sm_err e = job_ask_see(w, sm_view_of(j->scratch, wr.n), SCAN_DEADLINE, on_scanned);
    sm_wipe(j->scratch, wr.n);
    sm_wipe(&r, sizeof r);
    if (e != SM_OK) {
        job_lose(w, e, "could not be asked to scan");
    }
}
