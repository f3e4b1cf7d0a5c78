// SPDX-License-Identifier: Apache-2.0
#include "core/put.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS         3u /* one being filled, two on their way */
#define BUSY_TRIES    8u /* 50 ms, 100 ms .. 6.4 s: about 13 s in all */
#define BUSY_FIRST    SM_MS(50)
#define IN_FLIGHT_MAX 256u

enum part_state { PART_TODO, PART_SENT, PART_OK };
enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_SENDING };
enum phase { PHASE_DATA, PHASE_COMMIT, PHASE_CLEANUP, PHASE_OVER };
enum holder_state { HOLDER_UNUSED, HOLDER_LIVE, HOLDER_FAILED };
enum cleanup { CLEANUP_NONE, CLEANUP_REMOVE, CLEANUP_ABORT };

/* A segment in memory and where each of its shards stands. */
struct slot {
    enum slot_state state;
    uint32_t segment;
    size_t plain_bytes, shard_bytes;
    enum part_state part[SM_CODE_N_MAX];
    uint8_t *shards;
};

/* A shard index and the holder that is to keep it. */
struct column {
    unsigned holder;
    bool is_live;
    bool has_finished_segment; /* so a spare could no longer get all of them */
    unsigned busy_tries;
    struct sm_mono not_before;
    enum part_state commit;
};

struct holder {
    enum holder_state state;
    enum sm_err err;
    uint8_t index;
    uint64_t bytes;
    bool is_committed;
    unsigned in_flight;
    enum cleanup cleanup; /* what is still to be taken back there */
};

struct pending {
    uint64_t id; /* 0: free */
    enum sm_store_op op;
    unsigned holder;
    uint32_t segment;
};

struct sm_put {
    struct sm_code code;
    enum sm_aead_kind cipher;
    uint32_t segment_bytes;
    unsigned in_flight_max, in_flight;
    struct sm_upload_id upload;
    struct sm_remove_token token;
    struct sm_aead aead;
    struct sm_coder *coder;

    enum phase phase;
    bool has_ended;
    enum sm_err err;
    uint64_t size, bytes_stored, next_id;
    uint32_t segments;
    struct slot slot[SLOTS];
    struct column column[SM_CODE_N_MAX];
    struct holder holder[SM_PUT_HOLDERS_MAX];
    unsigned n_holders, next_spare;
    uint16_t order[SM_PUT_HOLDERS_MAX]; /* holders in the order they were first used */
    unsigned n_order;
    struct pending pending[IN_FLIGHT_MAX];

    uint8_t *ids; /* 32 bytes a shard, as the manifest has them */
    size_t ids_max;
    uint8_t *manifest; /* SM_MANIFEST_MAX */
    size_t manifest_n;
    struct sm_data_id object;
    uint8_t *body; /* the request being handed out */
};

#define BODY_MAX (SM_MANIFEST_MAX + SM_STORE_HEAD_MAX)

/* -- life -------------------------------------------------------------------------------- */

static bool cfg_is_valid(const struct sm_put_cfg *cfg)
{
    return sm_code_is_valid(cfg->code) && cfg->n_holders >= cfg->code.n &&
           cfg->n_holders <= SM_PUT_HOLDERS_MAX && cfg->in_flight_max <= IN_FLIGHT_MAX &&
           cfg->segment_bytes <= sm_segment_bytes_max(cfg->code);
}

static void use_holder(struct sm_put *p, unsigned index, unsigned holder)
{
    p->column[index] = (struct column){.holder = holder, .is_live = true};
    p->holder[holder] = (struct holder){.state = HOLDER_LIVE, .index = (uint8_t)index};
    p->order[p->n_order++] = (uint16_t)holder;
}

static enum sm_err make_room(struct sm_put *p)
{
    size_t shard = sm_segment_shard_bytes(p->code, p->segment_bytes);
    for (unsigned i = 0; i < SLOTS; i++) {
        p->slot[i].shards = malloc(p->code.n * shard);
        if (p->slot[i].shards == NULL) {
            return SM_E_NOMEM;
        }
    }
    p->ids_max = SM_MANIFEST_MAX;
    p->ids = malloc(p->ids_max);
    p->manifest = malloc(SM_MANIFEST_MAX);
    p->body = malloc(BODY_MAX);
    return p->ids == NULL || p->manifest == NULL || p->body == NULL ? SM_E_NOMEM : SM_OK;
}

static enum sm_err make_keys(struct sm_put *p, const struct sm_put_cfg *cfg)
{
    struct sm_rng rng;
    sm_rng_init(&rng, cfg->seed, "put");
    sm_rng_bytes(&rng, p->upload.b, sizeof p->upload.b);
    sm_rng_wipe(&rng);
    sm_object_remove_token(&cfg->key, &p->token);
    struct sm_secret32 seal;
    sm_object_seal_key(&cfg->key, &seal);
    enum sm_err e = sm_aead_init(&p->aead, cfg->suite, cfg->cipher, &seal);
    sm_wipe(&seal, sizeof seal);
    return e;
}

static enum sm_err fill_in(struct sm_put *p, const struct sm_put_cfg *cfg)
{
    p->code = cfg->code;
    p->cipher = cfg->cipher;
    p->segment_bytes =
        cfg->segment_bytes != 0 ? cfg->segment_bytes : sm_segment_bytes_max(cfg->code);
    p->in_flight_max = cfg->in_flight_max != 0 ? cfg->in_flight_max : cfg->code.n;
    p->n_holders = cfg->n_holders;
    p->next_spare = cfg->code.n;
    for (unsigned i = 0; i < p->code.n; i++) {
        use_holder(p, i, i);
    }
    SM_TRY(sm_coder_new(cfg->code, &p->coder));
    SM_TRY(make_room(p));
    return make_keys(p, cfg);
}

enum sm_err sm_put_new(const struct sm_put_cfg *cfg, struct sm_put **out)
{
    if (!cfg_is_valid(cfg)) {
        return SM_E_INVALID;
    }
    struct sm_put *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = fill_in(p, cfg);
    if (e != SM_OK) {
        sm_put_free(p);
        return e;
    }
    *out = p;
    return SM_OK;
}

void sm_put_free(struct sm_put *p)
{
    if (p == NULL) {
        return;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &p->slot[i];
        if (s->state == SLOT_FILLING) {
            sm_wipe(s->shards, s->plain_bytes);
        }
        free(s->shards);
    }
    sm_aead_done(&p->aead);
    sm_coder_free(p->coder);
    free(p->ids);
    free(p->manifest);
    free(p->body);
    sm_wipe(p, sizeof *p);
    free(p);
}

/* -- failing ----------------------------------------------------------------------------- */

static unsigned count_live(const struct sm_put *p)
{
    unsigned live = 0;
    for (unsigned i = 0; i < p->code.n; i++) {
        live += p->column[i].is_live;
    }
    return live;
}

/* One reason for all, when all failed for the same; else "not enough peers". */
static enum sm_err common_error(const struct sm_put *p)
{
    enum sm_err all = SM_OK;
    for (unsigned i = 0; i < p->n_order; i++) {
        enum sm_err e = p->holder[p->order[i]].err;
        if (e == SM_OK) {
            continue;
        }
        if (all != SM_OK && all != e) {
            return SM_E_PEERS;
        }
        all = e;
    }
    return all == SM_OK || all == SM_E_TIMEOUT || all == SM_E_UNREACHABLE ? SM_E_PEERS : all;
}

static bool is_silent(enum sm_err e)
{
    return e == SM_E_TIMEOUT || e == SM_E_UNREACHABLE;
}

/* The end is known; take back what must not stay, on every holder that still answers: after
 * a failure everything, after a success only what holders that failed have staged. */
static void finish(struct sm_put *p, enum sm_err err)
{
    bool has_committed = p->phase == PHASE_COMMIT;
    p->phase = PHASE_CLEANUP;
    p->err = err;
    for (unsigned i = 0; i < p->n_order; i++) {
        struct holder *h = &p->holder[p->order[i]];
        bool is_column = p->column[h->index].holder == p->order[i];
        if (is_silent(h->err) || (err == SM_OK && h->state == HOLDER_LIVE)) {
            h->cleanup = CLEANUP_NONE;
        } else if (err != SM_OK && has_committed && is_column) {
            h->cleanup = CLEANUP_REMOVE;
        } else {
            h->cleanup = CLEANUP_ABORT;
        }
    }
}

static void give_up(struct sm_put *p, enum sm_err err)
{
    if (p->phase < PHASE_CLEANUP) {
        finish(p, err);
    }
}

static bool needs_more_than_live(const struct sm_put *p)
{
    return count_live(p) < sm_code_commit_min(p->code);
}

/* A spare takes over an index from its first segment on. */
static void replace_holder(struct sm_put *p, unsigned index)
{
    use_holder(p, index, p->next_spare++);
    for (unsigned i = 0; i < SLOTS; i++) {
        p->slot[i].part[index] = PART_TODO;
    }
}

static void holder_failed(struct sm_put *p, unsigned holder, enum sm_err err)
{
    struct holder *h = &p->holder[holder];
    struct column *c = &p->column[h->index];
    h->state = HOLDER_FAILED;
    h->err = err;
    c->is_live = false;
    if (p->phase == PHASE_DATA && !c->has_finished_segment && p->next_spare < p->n_holders) {
        replace_holder(p, h->index);
    } else if (needs_more_than_live(p)) {
        give_up(p, common_error(p));
    }
}

/* -- plaintext in ------------------------------------------------------------------------ */

static struct slot *slot_to_fill(struct sm_put *p)
{
    struct slot *found = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (p->slot[i].state == SLOT_FILLING) {
            return &p->slot[i];
        }
        if (p->slot[i].state == SLOT_FREE && found == NULL) {
            found = &p->slot[i];
        }
    }
    return found;
}

static bool ids_are_full(const struct sm_put *p)
{
    return p->size >= sm_object_bytes_max(p->code, p->segment_bytes);
}

static void seal_slot(struct sm_put *p, struct slot *s)
{
    size_t row = (size_t)p->code.n * sizeof(struct sm_shard_id);
    struct sm_shard_id ids[SM_CODE_N_MAX];
    s->segment = p->segments;
    s->shard_bytes = sm_segment_shard_bytes(p->code, s->plain_bytes);
    enum sm_err e = sm_segment_seal(&p->aead, p->coder, p->code, s->segment, s->plain_bytes,
                                    s->shards, ids);
    if (e != SM_OK) {
        give_up(p, e);
        return;
    }
    assert((s->segment + 1) * row <= p->ids_max);
    memcpy(p->ids + s->segment * row, ids, row);
    memset(s->part, 0, sizeof s->part);
    s->state = SLOT_SENDING;
    p->segments++;
}

size_t sm_put_feed(struct sm_put *p, struct sm_mono now, struct sm_view plain)
{
    (void)now;
    size_t taken = 0;
    while (p->phase == PHASE_DATA && !p->has_ended && taken < plain.n) {
        struct slot *s = slot_to_fill(p);
        if (s == NULL) {
            break;
        }
        if (ids_are_full(p)) {
            give_up(p, SM_E_LIMIT);
            break;
        }
        if (s->state == SLOT_FREE) {
            s->state = SLOT_FILLING;
            s->plain_bytes = 0;
        }
        struct sm_view part = sm_view_sub(plain, taken, p->segment_bytes - s->plain_bytes);
        memcpy(s->shards + s->plain_bytes, part.p, part.n);
        s->plain_bytes += part.n;
        taken += part.n;
        p->size += part.n;
        if (s->plain_bytes == p->segment_bytes) {
            seal_slot(p, s);
        }
    }
    return taken;
}

/* -- from shards to the commit ----------------------------------------------------------- */

static void write_manifest(struct sm_put *p)
{
    struct sm_manifest m = {.size = p->size,
                            .segment_bytes = p->segment_bytes,
                            .code = p->code,
                            .cipher = p->cipher};
    sm_remove_token_hash(&p->token, m.remove_hash);
    m.shard_ids =
        sm_view_of(p->ids, (size_t)p->segments * p->code.n * sizeof(struct sm_shard_id));
    struct sm_wr w = sm_wr_init(p->manifest, SM_MANIFEST_MAX);
    enum sm_err e = sm_manifest_write(&w, &m);
    assert(e == SM_OK); /* ids_are_full() kept it small enough */
    p->manifest_n = w.n;
    sm_manifest_id(sm_view_of(p->manifest, p->manifest_n), &p->object);
}

/* All live columns of the slot have answered: forget the segment. */
static void settle_slot(struct sm_put *p, struct slot *s)
{
    for (unsigned i = 0; i < p->code.n; i++) {
        if (p->column[i].is_live && s->part[i] != PART_OK) {
            return;
        }
    }
    for (unsigned i = 0; i < p->code.n; i++) {
        p->column[i].has_finished_segment = true;
    }
    p->bytes_stored += s->plain_bytes;
    s->state = SLOT_FREE;
}

static void settle_commit(struct sm_put *p)
{
    unsigned committed = 0;
    for (unsigned i = 0; i < p->code.n; i++) {
        if (p->column[i].is_live && p->column[i].commit != PART_OK) {
            return;
        }
        committed += p->column[i].is_live;
    }
    assert(committed >= sm_code_commit_min(p->code)); /* else we gave up when it fell below */
    finish(p, SM_OK);
}

/* Move on as far as what is known allows. */
static void settle(struct sm_put *p)
{
    bool is_empty = true;
    for (unsigned i = 0; p->phase == PHASE_DATA && i < SLOTS; i++) {
        if (p->slot[i].state == SLOT_SENDING) {
            settle_slot(p, &p->slot[i]);
        }
        is_empty = is_empty && p->slot[i].state == SLOT_FREE;
    }
    if (p->phase == PHASE_DATA && p->has_ended && is_empty) {
        write_manifest(p);
        p->phase = PHASE_COMMIT;
    }
    if (p->phase == PHASE_COMMIT) {
        settle_commit(p);
    }
}

void sm_put_end(struct sm_put *p, struct sm_mono now)
{
    (void)now;
    if (p->phase != PHASE_DATA || p->has_ended) {
        return;
    }
    p->has_ended = true;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (p->slot[i].state == SLOT_FILLING) {
            seal_slot(p, &p->slot[i]);
        }
    }
    settle(p);
}

void sm_put_cancel(struct sm_put *p, struct sm_mono now)
{
    (void)now;
    give_up(p, SM_E_CANCELLED);
}

/* -- requests out ------------------------------------------------------------------------ */

static struct pending *pending_add(struct sm_put *p, enum sm_store_op op, unsigned holder,
                                   uint32_t segment)
{
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++) {
        struct pending *q = &p->pending[i];
        if (q->id == 0) {
            *q = (struct pending){
                .id = ++p->next_id, .op = op, .holder = holder, .segment = segment};
            p->in_flight++;
            p->holder[holder].in_flight++;
            return q;
        }
    }
    assert(false); /* in_flight_max is never more than the table */
    return NULL;
}

static void hand_out(struct sm_put *p, unsigned holder, const struct sm_store_req *req,
                     struct sm_put_out *out)
{
    struct sm_wr w = sm_wr_init(p->body, BODY_MAX);
    struct sm_view body = {0};
    enum sm_err e = sm_store_req_write(&w, req);
    assert(e == SM_OK);
    e = sm_wr_done(&w, &body);
    assert(e == SM_OK);
    const struct pending *q = pending_add(p, req->op, holder, req->segment);
    *out = (struct sm_put_out){
        .kind = SM_PUT_REQUEST, .id = q->id, .holder = holder, .body = body};
}

static bool may_send(const struct column *c, struct sm_mono now)
{
    return c->is_live && sm_is_due(c->not_before, now);
}

static bool next_shard(struct sm_put *p, struct sm_mono now, struct slot *s,
                       struct sm_put_out *out)
{
    for (unsigned i = 0; i < p->code.n; i++) {
        if (s->part[i] != PART_TODO || !may_send(&p->column[i], now)) {
            continue;
        }
        s->part[i] = PART_SENT;
        struct sm_store_req req = {
            .op = SM_STORE_SHARD_PUT,
            .index = (uint8_t)i,
            .segment = s->segment,
            .upload = p->upload,
            .bytes = sm_view_of(s->shards + i * s->shard_bytes, s->shard_bytes)};
        hand_out(p, p->column[i].holder, &req, out);
        return true;
    }
    return false;
}

/* The oldest segment in memory from `from` on; a slow one may be older than its neighbours
 * by any number. */
static struct slot *oldest_from(struct sm_put *p, uint32_t from)
{
    struct slot *oldest = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &p->slot[i];
        if (s->state == SLOT_SENDING && s->segment >= from &&
            (oldest == NULL || s->segment < oldest->segment)) {
            oldest = s;
        }
    }
    return oldest;
}

static bool next_data(struct sm_put *p, struct sm_mono now, struct sm_put_out *out)
{
    for (struct slot *s = oldest_from(p, 0); s != NULL; s = oldest_from(p, s->segment + 1)) {
        if (next_shard(p, now, s, out)) {
            return true;
        }
    }
    return false;
}

static bool next_commit(struct sm_put *p, struct sm_mono now, struct sm_put_out *out)
{
    for (unsigned i = 0; i < p->code.n; i++) {
        struct column *c = &p->column[i];
        if (c->commit != PART_TODO || !may_send(c, now)) {
            continue;
        }
        c->commit = PART_SENT;
        struct sm_store_req req = {.op = SM_STORE_COMMIT,
                                   .index = (uint8_t)i,
                                   .upload = p->upload,
                                   .bytes = sm_view_of(p->manifest, p->manifest_n)};
        hand_out(p, c->holder, &req, out);
        return true;
    }
    return false;
}

/* A holder is told to forget only when it has answered all that came before, so that nothing
 * can overtake. */
static bool next_cleanup(struct sm_put *p, struct sm_put_out *out)
{
    for (unsigned i = 0; i < p->n_order; i++) {
        const struct holder *h = &p->holder[p->order[i]];
        if (h->cleanup == CLEANUP_NONE || h->in_flight > 0) {
            continue;
        }
        struct sm_store_req req = {.op = SM_STORE_ABORT, .upload = p->upload};
        if (h->cleanup == CLEANUP_REMOVE) {
            req = (struct sm_store_req){
                .op = SM_STORE_REMOVE, .object = p->object, .token = p->token};
        }
        hand_out(p, p->order[i], &req, out);
        return true;
    }
    return false;
}

static bool cleanup_is_over(const struct sm_put *p)
{
    for (unsigned i = 0; i < p->n_order; i++) {
        if (p->holder[p->order[i]].cleanup != CLEANUP_NONE) {
            return false;
        }
    }
    return true;
}

static void hand_out_end(struct sm_put *p, struct sm_put_out *out)
{
    p->phase = PHASE_OVER;
    *out = (struct sm_put_out){.kind = SM_PUT_DONE, .err = p->err};
    if (p->err == SM_OK) {
        out->object = p->object;
    }
}

bool sm_put_next(struct sm_put *p, struct sm_mono now, struct sm_put_out *out)
{
    bool has_room = p->in_flight < p->in_flight_max;
    switch (p->phase) {
    case PHASE_DATA:
        return has_room && next_data(p, now, out);
    case PHASE_COMMIT:
        return has_room && next_commit(p, now, out);
    case PHASE_CLEANUP:
        if (cleanup_is_over(p)) {
            hand_out_end(p, out);
            return true;
        }
        return has_room && next_cleanup(p, out);
    case PHASE_OVER:
        return false;
    }
    return false;
}

/* -- answers in -------------------------------------------------------------------------- */

static bool pending_take(struct sm_put *p, uint64_t id, struct pending *out)
{
    for (unsigned i = 0; id != 0 && i < IN_FLIGHT_MAX; i++) {
        if (p->pending[i].id == id) {
            *out = p->pending[i];
            p->pending[i].id = 0;
            p->in_flight--;
            p->holder[out->holder].in_flight--;
            return true;
        }
    }
    return false;
}

static struct slot *slot_of(struct sm_put *p, uint32_t segment)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (p->slot[i].state == SLOT_SENDING && p->slot[i].segment == segment) {
            return &p->slot[i];
        }
    }
    return NULL;
}

/* The part of the put that the request was about. */
static enum part_state *part_of(struct sm_put *p, const struct pending *q)
{
    unsigned index = p->holder[q->holder].index;
    if (q->op == SM_STORE_COMMIT) {
        return &p->column[index].commit;
    }
    struct slot *s = slot_of(p, q->segment);
    assert(s != NULL); /* a live column's segment stays until it answered */
    return &s->part[index];
}

/* A holder that acknowledges must have understood: it tells what it stored. */
static enum sm_err check_ack(const struct sm_put *p, const struct pending *q,
                             struct sm_view body)
{
    const uint8_t *want = p->object.b;
    if (q->op == SM_STORE_SHARD_PUT) {
        unsigned index = p->holder[q->holder].index;
        want = p->ids + ((size_t)q->segment * p->code.n + index) * sizeof(struct sm_shard_id);
    }
    return sm_view_eq(body, sm_view_of(want, 32)) ? SM_OK : SM_E_HASH;
}

static void acknowledged(struct sm_put *p, const struct pending *q)
{
    struct holder *h = &p->holder[q->holder];
    *part_of(p, q) = PART_OK;
    p->column[h->index].busy_tries = 0;
    p->column[h->index].not_before = (struct sm_mono){0};
    if (q->op == SM_STORE_COMMIT) {
        h->is_committed = true;
    } else {
        const struct slot *s = slot_of(p, q->segment);
        assert(s != NULL);
        h->bytes += s->shard_bytes;
    }
}

/* Several of a column's requests may be refused in one go; that is one time of being busy. */
static void ask_again_later(struct sm_put *p, struct sm_mono now, const struct pending *q)
{
    struct column *c = &p->column[p->holder[q->holder].index];
    *part_of(p, q) = PART_TODO;
    if (sm_is_due(c->not_before, now)) {
        c->not_before = sm_after(now, (struct sm_dur){BUSY_FIRST.ns << c->busy_tries});
        c->busy_tries++;
    }
}

static void cleanup_answered(struct sm_put *p, const struct pending *q, enum sm_err err)
{
    struct holder *h = &p->holder[q->holder];
    if (is_silent(err)) {
        h->cleanup = CLEANUP_NONE;
    } else if (q->op == SM_STORE_REMOVE) {
        h->cleanup = err == SM_OK ? CLEANUP_NONE : CLEANUP_ABORT;
        h->is_committed = h->is_committed && err != SM_OK;
    } else if (q->op == SM_STORE_ABORT) {
        h->cleanup = CLEANUP_NONE;
    }
}

void sm_put_response(struct sm_put *p, struct sm_mono now, uint64_t id, enum sm_err err,
                     struct sm_view body)
{
    struct pending q;
    if (!pending_take(p, id, &q)) {
        return;
    }
    struct holder *h = &p->holder[q.holder];
    if (p->phase >= PHASE_CLEANUP) {
        cleanup_answered(p, &q, err);
        return;
    }
    if (h->state != HOLDER_LIVE) {
        return; /* replaced or given up meanwhile */
    }
    if (err == SM_OK) {
        err = check_ack(p, &q, body);
    }
    if (err == SM_OK) {
        acknowledged(p, &q);
    } else if (err == SM_E_BUSY && p->column[h->index].busy_tries < BUSY_TRIES) {
        ask_again_later(p, now, &q);
    } else {
        holder_failed(p, q.holder, err);
    }
    settle(p);
}

static bool column_waits(const struct sm_put *p, unsigned index)
{
    if (p->phase == PHASE_COMMIT) {
        return p->column[index].commit == PART_TODO;
    }
    for (unsigned i = 0; p->phase == PHASE_DATA && i < SLOTS; i++) {
        if (p->slot[i].state == SLOT_SENDING && p->slot[i].part[index] == PART_TODO) {
            return true;
        }
    }
    return false;
}

struct sm_mono sm_put_deadline(const struct sm_put *p)
{
    struct sm_mono first = SM_NEVER;
    if (p->in_flight >= p->in_flight_max) {
        return first; /* an answer comes before anything else can happen */
    }
    for (unsigned i = 0; i < p->code.n; i++) {
        const struct column *c = &p->column[i];
        if (c->is_live && column_waits(p, i)) {
            first = sm_earlier(first, c->not_before);
        }
    }
    return first;
}

/* -- what people ask --------------------------------------------------------------------- */

static unsigned count_committed(const struct sm_put *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->n_order; i++) {
        n += p->holder[p->order[i]].is_committed;
    }
    return n;
}

struct sm_put_progress sm_put_progress(const struct sm_put *p)
{
    return (struct sm_put_progress){.bytes_in = p->size,
                                    .bytes_stored = p->bytes_stored,
                                    .holders_live = count_live(p),
                                    .holders_committed = count_committed(p),
                                    .holders_needed = sm_code_commit_min(p->code)};
}

bool sm_put_row(const struct sm_put *p, unsigned i, struct sm_put_row *out)
{
    if (i >= p->n_order) {
        return false;
    }
    const struct holder *h = &p->holder[p->order[i]];
    *out = (struct sm_put_row){.holder = p->order[i],
                               .index = h->index,
                               .is_committed = h->is_committed,
                               .err = h->err,
                               .bytes = h->bytes};
    return true;
}

enum sm_err sm_put_reason(const struct sm_put *p, const char *const *names, struct sm_buf *out)
{
    struct sm_put_progress g = sm_put_progress(p);
    if (p->err == SM_OK) {
        return sm_buf_printf(out, "%u of %u holders committed, %u needed", g.holders_committed,
                             p->code.n, g.holders_needed);
    }
    SM_TRY(sm_buf_printf(out, "%s: %u of %u holders left, %u needed", sm_err_words(p->err),
                         g.holders_live, p->code.n, g.holders_needed));
    for (unsigned i = 0; i < p->n_order; i++) {
        const struct holder *h = &p->holder[p->order[i]];
        if (h->err == SM_OK) {
            continue;
        }
        SM_TRY(names != NULL ? sm_buf_printf(out, "; %s: ", names[p->order[i]])
                             : sm_buf_printf(out, "; holder %u: ", p->order[i]));
        SM_TRY(sm_buf_printf(out, "%s", sm_err_words(h->err)));
    }
    return SM_OK;
}
