// SPDX-License-Identifier: Apache-2.0
/* Starting SEE instances for a job: one on every node before a second on any. */
#include "client/job_int.h"

#include <stdio.h>
#include <string.h>

static void load_module(struct worker *w);

static void on_loaded(struct worker *w, enum sm_err err, struct sm_view body)
{
    struct sm_job_io *j = w->job;
    struct sm_unit_ready ready;
    if (err == SM_E_MODULE || err == SM_E_COMPILE) {
        /* The module's own fault: every node would say the same. */
        int n = body.n < WORDS - 1 ? (int)body.n : WORDS - 1;
        snprintf(j->words, sizeof j->words, "%.*s", n, (const char *)body.p);
        job_finish(j, err, j->words[0] != '\0' ? j->words : sm_err_words(err));
        return;
    }
    enum sm_err e = err != SM_OK ? err : sm_unit_ready_read(body, &ready);
    if (e != SM_OK) {
        job_lose(w, e, "could not take the module");
        return;
    }
    if (!ready.is_ready) {
        load_module(w);
        return;
    }
    w->state = WORKER_READY;
    w->compile_ms = ready.compile_ms;
    w->was_cached = ready.was_cached;
    sm_job_worker_up(j->driver, sm_clock_mono(), job_number(w));
    job_drive(j);
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
    enum sm_err e = job_ask_see(w, sm_view_of(j->scratch, wr.n),
                                is_last ? COMPILE_DEADLINE : PIECE_DEADLINE, on_loaded);
    if (e != SM_OK) {
        job_lose(w, e, "could not be given the module");
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
    struct sm_see_started late;
    if (w->job->is_over && err == SM_OK && sm_see_started_read(body, &late) == SM_OK) {
        job_stop_see(w->job, w->node, late.ep); /* it came too late to be of use */
    }
    if (!job_back(w->job)) {
        return;
    }
    enum sm_err e = err != SM_OK ? err : take_passport(w, body);
    if (e != SM_OK) {
        job_lose(w, e, "could not start a SEE instance");
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
void job_start_more(struct sm_job_io *j)
{
    unsigned want = j->cfg.sees_max < j->cfg.units ? j->cfg.sees_max : j->cfg.units;
    for (unsigned round = 0; round < PER_NODE; round++) {
        for (unsigned i = 0; i < j->n_nodes; i++) {
            if (job_usable(j) >= want || j->n_workers == SM_JOB_WORKERS_MAX) {
                return;
            }
            if (j->on_node[i] <= round && !j->is_full[i] && start_worker(j, i) != SM_OK) {
                return; /* at a cap: more when something ends */
            }
        }
    }
}
