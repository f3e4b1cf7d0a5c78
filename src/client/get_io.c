// SPDX-License-Identifier: Apache-2.0
#include "client/objects.h"
#include "core/trust.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_DEADLINE SM_S(10)

/* An object stored a moment ago is announced by some of its holders only, and a lookup may miss
 * some: before a get fails for want of shards it looks for holders again. */
#define LOOKS     5u
#define LOOK_WAIT SM_MS(500) /* so much longer each time */

struct request {
    struct sm_get_io *io;
    uint64_t id;
    unsigned look; /* of the machine that asked */
};

struct sm_get_io {
    struct sm_get_io_cfg cfg;
    struct sm_get *get;
    struct sm_timer *timer;
    struct sm_holders holders;
    uint64_t at;      /* of the next plaintext byte */
    unsigned look;    /* how often holders were looked for */
    unsigned waiting; /* requests and a lookup under way: their contexts point here */
    bool is_over, is_enough, is_pumping, is_looking, is_informed;
    char reason[512]; /* why the last look was not enough */
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
    bool is_late = r->look != g->look || g->is_looking;
    free(r);
    g->waiting--;
    if (g->is_over) {
        release(g);
        return;
    }
    if (!is_late) {
        sm_get_response(g->get, sm_mesh_now(g->cfg.mesh), id, err, body);
        pump(g);
    }
}

static void send_request(struct sm_get_io *g, const struct sm_get_out *o)
{
    const struct sm_holder *h = &g->holders.list[o->holder];
    struct request *r = malloc(sizeof *r);
    enum sm_err e = SM_E_NOMEM;
    if (r != NULL) {
        *r = (struct request){g, o->id, g->look};
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

/* Begin, or begin again with other holders where the last machine came to its end. */
static enum sm_err machine_new(struct sm_get_io *g)
{
    uint64_t held[SM_GET_HOLDERS_MAX];
    for (unsigned i = 0; i < g->holders.n; i++) {
        held[i] = g->holders.list[i].held;
    }
    struct sm_get_cfg core = {.suite = sm_suite_real(),
                              .object = g->cfg.ref.object,
                              .key = g->cfg.ref.key,
                              .held = held,
                              .n_holders = g->holders.n,
                              .from = g->at,
                              .to = g->cfg.to,
                              .extra = 1};
    sm_get_free(g->get);
    g->get = NULL;
    enum sm_err e = sm_get_new(&core, &g->get);
    sm_wipe(&core.key, sizeof core.key);
    return e;
}

static void on_found(void *ctx, enum sm_err err, const struct sm_holders *h)
{
    struct sm_get_io *g = ctx;
    g->waiting--;
    if (g->is_over) {
        release(g);
        return;
    }
    if (err == SM_OK) {
        g->holders = *h;
        err = machine_new(g);
        g->is_looking = false;
    }
    if (err == SM_OK) {
        pump(g);
        return;
    }
    finish(g, SM_E_PEERS, g->reason); /* nobody now: what was missing then says more */
    release(g);
}

static void look_again(struct sm_get_io *g)
{
    g->look++;
    g->waiting++;
    sm_timer_at(g->timer, SM_NEVER);
    if (sm_find_holders(g->cfg.mesh, &g->cfg.ref.object, on_found, g) != SM_OK) {
        g->waiting--;
        finish(g, SM_E_PEERS, g->reason);
    }
}

static void take_done(struct sm_get_io *g, enum sm_err err)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(sizeof g->reason - 1);
    (void)snprintf(g->reason, sizeof g->reason, "%s", sm_err_words(err));
    if (err != SM_OK && sm_get_reason(g->get, &words) == SM_OK) {
        (void)snprintf(g->reason, sizeof g->reason, "%.*s", (int)words.n,
                       (const char *)words.p);
    }
    if (err != SM_E_PEERS || g->look == LOOKS) {
        finish(g, err, g->reason);
        return;
    }
    if (g->cfg.again != NULL) {
        g->cfg.again(g->cfg.ctx, g->reason);
    }
    g->is_looking = true;
    struct sm_dur wait = {LOOK_WAIT.ns * g->look};
    sm_timer_at(g->timer, sm_after(sm_mesh_now(g->cfg.mesh), wait));
}

/* One wish of the machine. */
static void take(struct sm_get_io *g, const struct sm_get_out *o)
{
    switch (o->kind) {
    case SM_GET_REQUEST:
        send_request(g, o);
        break;
    case SM_GET_INFO:
        if (g->cfg.info != NULL && !g->is_informed) {
            g->cfg.info(g->cfg.ctx, o->size, o->code);
        }
        g->is_informed = true;
        break;
    case SM_GET_BYTES: {
        g->at = o->offset + o->bytes.n;
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
    while (!g->is_over && !g->is_looking && sm_get_next(g->get, sm_mesh_now(g->cfg.mesh), &o)) {
        take(g, &o);
    }
    g->is_pumping = false;
    if (g->is_over) {
        release(g);
        return;
    }
    if (!g->is_looking) {
        sm_timer_at(g->timer, sm_get_deadline(g->get));
    }
}

static void on_timer(void *ctx)
{
    struct sm_get_io *g = ctx;
    if (g->is_over) {
        return;
    }
    if (!g->is_looking) {
        pump(g);
        return;
    }
    look_again(g);
    if (g->is_over) {
        release(g);
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
    g->at = cfg->from;
    g->look = 1;
    enum sm_err e = sm_timer_new(sm_mesh_loop(cfg->mesh), on_timer, g, &g->timer);
    if (e == SM_OK) {
        e = machine_new(g);
    }
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
    g->cfg.to = to;
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
