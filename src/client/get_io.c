// SPDX-License-Identifier: Apache-2.0
#include "client/objects.h"
#include "core/trust.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_DEADLINE SM_S(10)

struct request {
    struct sm_get_io *io;
    uint64_t id;
};

struct sm_get_io {
    struct sm_get_io_cfg cfg;
    struct sm_get *get;
    struct sm_timer *timer;
    struct sm_holders holders;
    unsigned waiting; /* requests under way: their contexts point here */
    bool is_over, is_enough, is_pumping;
};

static void pump(struct sm_get_io *g);

static void release(struct sm_get_io *g)
{
    if (g->waiting > 0 || g->is_pumping) {
        return; /* the last answer, or the pump, frees it */
    }
    sm_get_free(g->get);
    sm_timer_free(g->timer);
    sm_wipe(g, sizeof *g);
    free(g);
}

static void finish(struct sm_get_io *g, enum sm_err err, const char *reason)
{
    g->is_over = true;
    sm_timer_at(g->timer, SM_NEVER);
    if (g->cfg.done != NULL) {
        g->cfg.done(g->cfg.ctx, err, reason);
    }
}

static void on_answer(void *ctx, enum sm_err err, struct sm_view body)
{
    struct request *r = ctx;
    struct sm_get_io *g = r->io;
    uint64_t id = r->id;
    free(r);
    g->waiting--;
    if (g->is_over) {
        release(g);
        return;
    }
    sm_get_response(g->get, sm_mesh_now(g->cfg.mesh), id, err, body);
    pump(g);
}

static void send_request(struct sm_get_io *g, const struct sm_get_out *o)
{
    const struct sm_holder *h = &g->holders.list[o->holder];
    struct request *r = malloc(sizeof *r);
    enum sm_err e = SM_E_NOMEM;
    if (r != NULL) {
        *r = (struct request){g, o->id};
        e = sm_mesh_request(g->cfg.mesh, (struct sm_addr){h->node, SM_EP_NODE}, h->dh_key,
                            SM_SERVICE_STORE, o->body, REQUEST_DEADLINE, on_answer, r);
    }
    if (e == SM_OK) {
        g->waiting++;
        return;
    }
    free(r);
    sm_get_response(g->get, sm_mesh_now(g->cfg.mesh), o->id, e, (struct sm_view){0});
}

static void observe(struct sm_get_io *g, const struct sm_get_out *o)
{
    static const enum sm_trust_kind kind[] = {
        [SM_GET_SAW_GOOD] = SM_TRUST_OK,
        [SM_GET_SAW_SILENT] = SM_TRUST_TIMEOUT,
        [SM_GET_SAW_MISSING] = SM_TRUST_WRONG,
        [SM_GET_SAW_LIE] = SM_TRUST_BAD_HASH,
    };
    sm_mesh_observe(g->cfg.mesh, g->holders.list[o->holder].node, (uint8_t)kind[o->saw]);
}

static void take_done(struct sm_get_io *g, enum sm_err err)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(1024);
    const char *reason = sm_err_words(err);
    if (err != SM_OK && sm_get_reason(g->get, &words) == SM_OK &&
        sm_buf_add(&words, "", 1) == SM_OK) {
        reason = (const char *)words.p;
    }
    finish(g, err, reason);
}

/* One wish of the machine. */
static void take(struct sm_get_io *g, const struct sm_get_out *o)
{
    switch (o->kind) {
    case SM_GET_REQUEST:
        send_request(g, o);
        break;
    case SM_GET_INFO:
        if (g->cfg.info != NULL) {
            g->cfg.info(g->cfg.ctx, o->size, o->code);
        }
        break;
    case SM_GET_BYTES: {
        enum sm_err e = g->cfg.bytes(g->cfg.ctx, o->offset, o->bytes);
        if (e != SM_OK) {
            finish(g, e, sm_err_words(e));
        } else if (g->is_enough) {
            finish(g, SM_OK, NULL);
        }
        break;
    }
    case SM_GET_OBSERVE:
        observe(g, o);
        break;
    case SM_GET_DONE:
        take_done(g, o->err);
        break;
    }
}

static void pump(struct sm_get_io *g)
{
    struct sm_get_out o;
    g->is_pumping = true;
    while (!g->is_over && sm_get_next(g->get, sm_mesh_now(g->cfg.mesh), &o)) {
        take(g, &o);
    }
    g->is_pumping = false;
    if (g->is_over) {
        release(g);
        return;
    }
    sm_timer_at(g->timer, sm_get_deadline(g->get));
}

static void on_timer(void *ctx)
{
    struct sm_get_io *g = ctx;
    if (!g->is_over) {
        pump(g);
    }
}

enum sm_err sm_get_io_start(const struct sm_get_io_cfg *cfg, struct sm_get_io **out)
{
    struct sm_get_io *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return SM_E_NOMEM;
    }
    g->cfg = *cfg;
    g->holders = *cfg->holders;
    g->cfg.holders = NULL;
    uint64_t held[SM_GET_HOLDERS_MAX];
    for (unsigned i = 0; i < g->holders.n; i++) {
        held[i] = g->holders.list[i].held;
    }
    struct sm_get_cfg core = {.suite = sm_suite_real(),
                              .object = cfg->ref.object,
                              .key = cfg->ref.key,
                              .held = held,
                              .n_holders = g->holders.n,
                              .from = cfg->from,
                              .to = cfg->to,
                              .extra = 1};
    enum sm_err e = sm_timer_new(sm_mesh_loop(cfg->mesh), on_timer, g, &g->timer);
    if (e == SM_OK) {
        e = sm_get_new(&core, &g->get);
    }
    sm_wipe(&core.key, sizeof core.key);
    if (e != SM_OK) {
        release(g);
        return e;
    }
    sm_timer_at(g->timer, sm_mesh_now(cfg->mesh)); /* callbacks come from the loop only */
    *out = g;
    return SM_OK;
}

void sm_get_io_extend(struct sm_get_io *g, uint64_t to)
{
    enum sm_err e = sm_get_extend(g->get, to);
    assert(e == SM_OK); /* a bytes callback comes before DONE */
    (void)e;
}

void sm_get_io_enough(struct sm_get_io *g)
{
    g->is_enough = true;
}

void sm_get_io_cancel(struct sm_get_io *g)
{
    g->is_over = true;
    g->cfg.done = NULL;
    release(g);
}
