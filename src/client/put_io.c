// SPDX-License-Identifier: Apache-2.0
#include "client/objects.h"
#include "core/trust.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_BYTES = 256 << 10 };
#define REQUEST_DEADLINE SM_S(20) /* a shard and its fsync on a slow disk */
#define ANNOUNCE_AGAIN   SM_MS(40)
#define ANNOUNCE_LIMIT   SM_S(10) /* then the object is durable, and found a little later */

struct request {
    struct sm_put_io *io;
    uint64_t id;
    unsigned holder;
};

struct sm_put_io {
    struct sm_put_io_cfg cfg;
    struct sm_put *put;
    struct sm_timer *timer;
    struct sm_mesh_node *nodes, *holders;
    size_t n_holders;
    uint8_t *feed;
    size_t feed_at, feed_n;
    bool is_eof, is_pumping;
    enum sm_err read_err;
    struct sm_put_result result;
    uint8_t key[32];
    char said[512];   /* the words of the first holder that refused, and its name */
    unsigned waiting; /* requests under way: their contexts point here */
    bool is_over, is_stored;
    struct sm_mono announce_by;
};

static void pump(struct sm_put_io *p);

static void release(struct sm_put_io *p)
{
    if (p->waiting > 0) {
        return; /* the last answer frees it */
    }
    sm_put_free(p->put);
    sm_timer_free(p->timer);
    free(p->nodes);
    free(p->holders);
    if (p->feed != NULL) {
        sm_wipe(p->feed, FEED_BYTES);
    }
    free(p->feed);
    sm_wipe(p, sizeof *p);
    free(p);
}

static void finish(struct sm_put_io *p, enum sm_err err, const char *reason)
{
    p->is_over = true;
    p->result.err = err;
    p->result.reason = reason;
    if (p->cfg.done != NULL) {
        p->cfg.done(p->cfg.ctx, &p->result);
    }
    release(p);
}

/* -- holders ----------------------------------------------------------------------------- */

static bool owner_is_taken(const struct sm_put_io *p, size_t n, const char *owner)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(p->holders[i].record.owner, owner) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_nodes(const void *a, const void *b)
{
    const struct sm_mesh_node *x = a, *y = b;
    if (x->path_cost_16 != y->path_cost_16) {
        return x->path_cost_16 < y->path_cost_16 ? -1 : 1;
    }
    return memcmp(x->record.node_id.b, y->record.node_id.b, sizeof x->record.node_id.b);
}

/* Order the nodes that can hold shards: cheap paths first, and one node of every owner before
 * a second of any. */
static void choose_holders(struct sm_put_io *p, size_t n_nodes)
{
    qsort(p->nodes, n_nodes, sizeof *p->nodes, compare_nodes);
    for (unsigned second = 0; second < 2; second++) {
        for (size_t i = 0; i < n_nodes; i++) {
            struct sm_mesh_node *node = &p->nodes[i];
            bool may =
                (node->record.head.type != 0) && (node->record.flags & SM_NODE_STORE) != 0 &&
                (node->is_self || (node->n_slots > 0 && node->trust_q16 >= SM_TRUST_MIN));
            if (!may || (second == 0 && owner_is_taken(p, p->n_holders, node->record.owner)) ||
                p->n_holders == SM_PUT_HOLDERS_MAX) {
                continue;
            }
            p->holders[p->n_holders++] = *node;
            node->record.head.type = 0; /* taken */
        }
    }
}

/* -- the machine's wishes ---------------------------------------------------------------- */

/* A holder's own words, for people: nothing that could move a terminal's cursor. */
static void keep_words(struct sm_put_io *p, const char *owner, struct sm_view words)
{
    if (p->said[0] != '\0' || words.n == 0 || words.n > SM_STORE_WORDS_MAX) {
        return;
    }
    int n = snprintf(p->said, sizeof p->said, "; %s says: %.*s", owner, (int)words.n,
                     (const char *)words.p);
    for (int i = 0; i < n && p->said[i] != '\0'; i++) {
        p->said[i] = p->said[i] >= ' ' && p->said[i] <= '~' ? p->said[i] : '?';
    }
}

static void on_answer(void *ctx, enum sm_err err, struct sm_view body)
{
    struct request *r = ctx;
    struct sm_put_io *p = r->io;
    uint64_t id = r->id;
    if (err != SM_OK) {
        keep_words(p, p->holders[r->holder].record.owner, body);
    }
    free(r);
    p->waiting--;
    if (p->is_over) {
        release(p);
        return;
    }
    sm_put_response(p->put, sm_mesh_now(p->cfg.mesh), id, err, body);
    pump(p);
}

static void send_request(struct sm_put_io *p, const struct sm_put_out *o)
{
    const struct sm_mesh_node *h = &p->holders[o->holder];
    struct request *r = malloc(sizeof *r);
    enum sm_err e = SM_E_NOMEM;
    if (r != NULL) {
        *r = (struct request){p, o->id, o->holder};
        e = sm_mesh_request(p->cfg.mesh, (struct sm_addr){h->hop, SM_EP_NODE}, h->record.dh_key,
                            SM_SERVICE_STORE, o->body, REQUEST_DEADLINE, on_answer, r);
    }
    if (e == SM_OK) {
        p->waiting++;
        return;
    }
    free(r);
    sm_put_response(p->put, sm_mesh_now(p->cfg.mesh), o->id, e, (struct sm_view){0});
}

/* -- until others can find it ------------------------------------------------------------- */

static unsigned committed(const struct sm_put_io *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->result.n_rows; i++) {
        n += p->result.rows[i].row.is_committed;
    }
    return n;
}

/* The holders announce what they committed; the put is over when a lookup finds them all. */
static void on_holders(void *ctx, enum sm_err err, const struct sm_holders *h)
{
    struct sm_put_io *p = ctx;
    uint64_t held = 0;
    p->waiting--;
    if (p->is_over) {
        release(p);
        return;
    }
    for (unsigned i = 0; err == SM_OK && i < h->n; i++) {
        held |= h->list[i].held;
    }
    struct sm_mono now = sm_mesh_now(p->cfg.mesh);
    if ((unsigned)__builtin_popcountll(held) >= committed(p) ||
        sm_is_due(p->announce_by, now)) {
        finish(p, SM_OK, NULL);
        return;
    }
    sm_timer_at(p->timer, sm_after(now, ANNOUNCE_AGAIN));
}

static void await_holders(struct sm_put_io *p)
{
    if (sm_find_holders(p->cfg.mesh, &p->result.ref.object, on_holders, p) != SM_OK) {
        finish(p, SM_OK, NULL); /* it is stored; only the wait for the announcement failed */
        return;
    }
    p->waiting++;
}

static void take_done(struct sm_put_io *p, const struct sm_put_out *o)
{
    p->result.ref.object = o->object;
    memcpy(p->result.ref.key.b, p->key, sizeof p->key);
    p->result.size = sm_put_progress(p->put).bytes_in;
    struct sm_put_row row;
    for (unsigned i = 0; i < SM_PUT_HOLDERS_MAX && sm_put_row(p->put, i, &row); i++) {
        p->result.rows[i].row = row;
        p->result.rows[i].node = p->holders[row.holder].record.node_id;
        memcpy(p->result.rows[i].owner, p->holders[row.holder].record.owner,
               sizeof p->result.rows[i].owner);
        p->result.n_rows = i + 1;
    }
    const char *names[SM_PUT_HOLDERS_MAX];
    for (size_t i = 0; i < p->n_holders; i++) {
        names[i] = p->holders[i].record.owner;
    }
    SM_CLEANUP(sm_buf_done) struct sm_buf words = SM_BUF(4096);
    const char *reason = NULL;
    enum sm_err err = o->err;
    if (p->read_err != SM_OK) {
        err = p->read_err;
        reason = "the file could not be read";
    } else if (err != SM_OK) {
        bool is_told = sm_put_reason(p->put, names, &words) == SM_OK &&
                       sm_buf_add(&words, p->said, strlen(p->said) + 1) == SM_OK;
        reason = is_told ? (const char *)words.p : sm_err_words(err);
    }
    if (err != SM_OK) {
        finish(p, err, reason);
        return;
    }
    p->is_stored = true;
    p->announce_by = sm_after(sm_mesh_now(p->cfg.mesh), ANNOUNCE_LIMIT);
    await_holders(p);
}

/* Give the machine plaintext while it takes any. */
static void feed(struct sm_put_io *p)
{
    struct sm_mono now = sm_mesh_now(p->cfg.mesh);
    while (!p->is_eof) {
        if (p->feed_at == p->feed_n) {
            p->feed_at = p->feed_n = 0;
            enum sm_err e = p->cfg.read(p->cfg.ctx, p->feed, FEED_BYTES, &p->feed_n);
            if (e != SM_OK) {
                p->read_err = e;
                p->is_eof = true;
                sm_put_cancel(p->put, now);
                return;
            }
            if (p->feed_n == 0) {
                p->is_eof = true;
                sm_put_end(p->put, now);
                return;
            }
        }
        size_t took =
            sm_put_feed(p->put, now, sm_view_of(p->feed + p->feed_at, p->feed_n - p->feed_at));
        if (took == 0) {
            return;
        }
        p->feed_at += took;
    }
}

static void pump(struct sm_put_io *p)
{
    struct sm_put_out o;
    bool has_more = true;
    while (has_more) {
        feed(p);
        has_more = false;
        while (sm_put_next(p->put, sm_mesh_now(p->cfg.mesh), &o)) {
            has_more = true;
            if (o.kind == SM_PUT_DONE) {
                sm_timer_at(p->timer, SM_NEVER);
                take_done(p, &o);
                return;
            }
            send_request(p, &o);
        }
    }
    if (p->cfg.progress != NULL) {
        struct sm_put_progress now = sm_put_progress(p->put);
        p->cfg.progress(p->cfg.ctx, &now);
    }
    sm_timer_at(p->timer, sm_put_deadline(p->put));
}

static void on_timer(void *ctx)
{
    struct sm_put_io *p = ctx;
    if (p->is_over) {
        return;
    }
    if (p->is_stored) {
        await_holders(p);
    } else {
        pump(p);
    }
}

/* -- beginning --------------------------------------------------------------------------- */

static enum sm_err begin(struct sm_put_io *p, struct sm_view nodes)
{
    size_t n = sm_mesh_read_nodes(p->cfg.mesh, nodes, p->nodes, SM_MESH_NODES_MAX);
    choose_holders(p, n);
    p->result.nodes = (unsigned)p->n_holders;
    if (p->n_holders == 0) {
        return SM_E_PEERS;
    }
    struct sm_rng rng;
    sm_rng_init(&rng, p->cfg.seed, "object");
    sm_rng_bytes(&rng, p->key, sizeof p->key);
    p->result.code = sm_code_for_mesh((unsigned)p->n_holders);
    struct sm_put_cfg cfg = {.suite = sm_suite_real(),
                             .cipher = p->cfg.cipher,
                             .code = p->result.code,
                             .n_holders = (unsigned)p->n_holders};
    memcpy(cfg.key.b, p->key, sizeof p->key);
    sm_rng_bytes(&rng, cfg.seed, sizeof cfg.seed);
    sm_rng_wipe(&rng);
    enum sm_err e = sm_put_new(&cfg, &p->put);
    sm_wipe(&cfg, sizeof cfg);
    return e;
}

static void on_nodes(void *ctx, enum sm_err err, struct sm_view body)
{
    struct sm_put_io *p = ctx;
    p->waiting--;
    if (p->is_over) {
        release(p);
        return;
    }
    enum sm_err e = err != SM_OK ? err : begin(p, body);
    if (e != SM_OK) {
        finish(p, e,
               e == SM_E_PEERS ? "no node that stores data can be reached" : sm_err_words(e));
        return;
    }
    pump(p);
}

enum sm_err sm_put_io_start(const struct sm_put_io_cfg *cfg, struct sm_put_io **out)
{
    struct sm_put_io *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SM_E_NOMEM;
    }
    p->cfg = *cfg;
    p->read_err = SM_OK;
    p->nodes = calloc(SM_MESH_NODES_MAX, sizeof *p->nodes);
    p->holders = calloc(SM_PUT_HOLDERS_MAX, sizeof *p->holders);
    p->feed = malloc(FEED_BYTES);
    enum sm_err e =
        p->nodes == NULL || p->holders == NULL || p->feed == NULL ? SM_E_NOMEM : SM_OK;
    if (e == SM_OK) {
        e = sm_timer_new(sm_mesh_loop(cfg->mesh), on_timer, p, &p->timer);
    }
    if (e == SM_OK) {
        e = sm_mesh_ask(cfg->mesh, SM_CTL_NODES, (struct sm_view){0}, on_nodes, p);
    }
    if (e != SM_OK) {
        release(p);
        return e;
    }
    p->waiting = 1;
    *out = p;
    return SM_OK;
}

void sm_put_io_cancel(struct sm_put_io *p)
{
    if (p->put == NULL) {
        finish(p, SM_E_CANCELLED, sm_err_words(SM_E_CANCELLED));
    } else if (p->is_stored) {
        finish(p, SM_OK, NULL); /* too late: only the wait for the announcement is left */
    } else {
        p->is_eof = true;
        sm_put_cancel(p->put, sm_mesh_now(p->cfg.mesh));
        pump(p);
    }
}
