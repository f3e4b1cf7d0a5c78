// SPDX-License-Identifier: Apache-2.0
#include "core/get.h"

#include "crypto/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS          2u   /* the segment being handed out and the next */
#define PENDING_MAX    256u /* two segments of the widest code, and late answers */
#define TRIES_MAX      2u   /* of one holder for one shard */
#define BUSY_MAX       32u /* answers "busy" of one holder, 100 ms apart, before it is failing */
#define BUSY_WAIT      SM_MS(100)
#define MANIFEST_WIDTH 2u /* holders asked for the manifest at once */
#define HEDGE_FIRST    SM_MS(500)
#define HEDGE_MIN      SM_MS(100)
#define HEDGE_MAX      SM_S(2)

enum phase { PHASE_MANIFEST, PHASE_SEGMENTS, PHASE_FAILED, PHASE_OVER };
enum slot_state { SLOT_FREE, SLOT_FETCHING, SLOT_READY };

struct holder {
    uint64_t held;
    bool is_liar;
    bool has_answered;
    bool was_praised;
    uint8_t observed; /* bit per enum sm_get_saw that is still to be told */
    uint8_t strikes;  /* failures since its last good answer */
    uint8_t busy;
    unsigned in_flight;
    uint64_t srtt_ns; /* 0: unknown */
    struct sm_mono not_before;
};

/* One thing wanted from several holders: the manifest (one index) or a segment's shards. */
struct want {
    unsigned target; /* how many to have or to be waiting for */
    uint64_t have, asked;
    struct sm_mono hedge_at, wake_at;
    uint8_t tries[SM_CODE_N_MAX][SM_GET_HOLDERS_MAX];
};

struct slot {
    enum slot_state state;
    uint32_t segment;
    size_t plain_bytes, shard_bytes;
    struct want want;
    uint8_t *shards;
};

struct pending {
    uint64_t id; /* 0: free */
    unsigned holder, index;
    bool is_manifest;
    uint32_t segment;
    struct sm_mono sent;
};

struct sm_get {
    const struct sm_suite *suite;
    struct sm_data_id object;
    struct sm_secret32 seal_key;
    uint64_t at, to;
    unsigned extra;

    enum phase phase;
    enum sm_err err;
    bool is_paused, has_info;
    uint32_t failed_segment;
    unsigned failed_have;
    unsigned n_holders;
    struct holder holder[SM_GET_HOLDERS_MAX];
    struct pending pending[PENDING_MAX];
    uint64_t next_id, srtt_ns;
    uint8_t body[SM_STORE_HEAD_MAX];

    struct want manifest_want;
    uint8_t *manifest_bytes;
    struct sm_manifest manifest;
    struct sm_aead aead;
    struct sm_coder *coder;
    uint32_t next_segment;
    struct slot slot[SLOTS];
};

/* -- life -------------------------------------------------------------------------------- */

enum sm_err sm_get_new(const struct sm_get_cfg *cfg, struct sm_get **out)
{
    if (cfg->n_holders < 1 || cfg->n_holders > SM_GET_HOLDERS_MAX || cfg->extra > 3 ||
        cfg->from > cfg->to) {
        return SM_E_INVALID;
    }
    struct sm_get *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return SM_E_NOMEM;
    }
    g->suite = cfg->suite;
    g->object = cfg->object;
    sm_object_seal_key(&cfg->key, &g->seal_key);
    g->at = cfg->from;
    g->to = cfg->to;
    g->extra = cfg->extra;
    g->n_holders = cfg->n_holders;
    for (unsigned i = 0; i < cfg->n_holders; i++) {
        g->holder[i].held = cfg->held[i];
    }
    g->manifest_want =
        (struct want){.target = MANIFEST_WIDTH, .hedge_at = SM_NEVER, .wake_at = SM_NEVER};
    *out = g;
    return SM_OK;
}

void sm_get_free(struct sm_get *g)
{
    if (g == NULL) {
        return;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (g->slot[i].state == SLOT_READY) {
            sm_wipe(g->slot[i].shards, g->slot[i].plain_bytes);
        }
        free(g->slot[i].shards);
    }
    sm_aead_done(&g->aead);
    sm_coder_free(g->coder);
    free(g->manifest_bytes);
    sm_wipe(g, sizeof *g);
    free(g);
}

static void fail(struct sm_get *g, enum sm_err err)
{
    g->phase = PHASE_FAILED;
    g->err = err;
}

/* -- whom to ask ------------------------------------------------------------------------- */

static unsigned count(uint64_t map)
{
    return (unsigned)__builtin_popcountll(map);
}

static struct sm_dur hedge_time(const struct sm_get *g)
{
    if (g->srtt_ns == 0) {
        return HEDGE_FIRST;
    }
    struct sm_dur d = {g->srtt_ns > HEDGE_MAX.ns / 3 ? HEDGE_MAX.ns : g->srtt_ns * 3};
    return d.ns < HEDGE_MIN.ns ? HEDGE_MIN : d;
}

struct choice {
    bool is_any;   /* some holder could be asked, now or later */
    bool is_found; /* now: this one */
    unsigned holder, index;
    uint64_t cost;
};

/* Rank: never tried, then without failures, then by the time its answer should take; parity
 * shards a quarter later, because they must be decoded. */
static uint64_t cost_of(const struct sm_get *g, const struct holder *h, unsigned tries,
                        bool is_parity)
{
    uint64_t one_us = (h->srtt_ns != 0 ? h->srtt_ns : g->srtt_ns) / 1000 + 4;
    uint64_t wait_us = one_us * (h->in_flight + 1) + (is_parity ? one_us / 4 : 0);
    uint64_t most = (UINT64_C(1) << 48) - 1;
    return (uint64_t)tries << 56 | (uint64_t)h->strikes << 48 |
           (wait_us < most ? wait_us : most);
}

static void consider(const struct sm_get *g, struct sm_mono now, struct want *w, unsigned index,
                     bool is_parity, struct choice *best)
{
    for (unsigned i = 0; i < g->n_holders; i++) {
        const struct holder *h = &g->holder[i];
        if (h->is_liar || (h->held >> index & 1) == 0 || w->tries[index][i] >= TRIES_MAX) {
            continue;
        }
        best->is_any = true;
        if (!sm_is_due(h->not_before, now)) {
            w->wake_at = sm_earlier(w->wake_at, h->not_before);
            continue;
        }
        uint64_t cost = cost_of(g, h, w->tries[index][i], is_parity);
        if (!best->is_found || cost < best->cost) {
            *best = (struct choice){
                .is_any = true, .is_found = true, .holder = i, .index = index, .cost = cost};
        }
    }
}

static struct pending *pending_add(struct sm_get *g)
{
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        if (g->pending[i].id == 0) {
            g->pending[i] = (struct pending){.id = ++g->next_id};
            return &g->pending[i];
        }
    }
    return NULL;
}

static void hand_out(struct sm_get *g, const struct pending *q, const struct sm_store_req *req,
                     struct sm_get_out *out)
{
    struct sm_wr w = sm_wr_init(g->body, sizeof g->body);
    struct sm_view body = {0};
    enum sm_err e = sm_store_req_write(&w, req);
    assert(e == SM_OK);
    e = sm_wr_done(&w, &body);
    assert(e == SM_OK);
    *out = (struct sm_get_out){
        .kind = SM_GET_REQUEST, .id = q->id, .holder = q->holder, .body = body};
}

/* Whether the target leaves room for one more, after a look at the clock. */
static bool wants_more(const struct sm_get *g, struct sm_mono now, struct want *w,
                       unsigned most)
{
    if (sm_is_due(w->hedge_at, now)) {
        w->hedge_at = SM_NEVER;
        if (w->target < most) {
            w->target++;
            w->hedge_at = sm_after(now, hedge_time(g));
        }
    }
    return count(w->have | w->asked) < w->target;
}

static bool ask(struct sm_get *g, struct sm_mono now, struct want *w, const struct choice *c,
                struct pending **out)
{
    struct pending *q = pending_add(g);
    if (q == NULL) {
        return false; /* an answer will make room */
    }
    q->holder = c->holder;
    q->index = c->index;
    q->sent = now;
    w->asked |= UINT64_C(1) << c->index;
    w->tries[c->index][c->holder]++;
    w->hedge_at = sm_after(now, hedge_time(g));
    g->holder[c->holder].in_flight++;
    *out = q;
    return true;
}

/* -- manifest ---------------------------------------------------------------------------- */

/* Every holder is an index of its own here: all have the same thing. */
static bool next_manifest(struct sm_get *g, struct sm_mono now, struct sm_get_out *out)
{
    struct want *w = &g->manifest_want;
    struct choice best = {0};
    w->wake_at = SM_NEVER;
    unsigned waiting = 0;
    for (unsigned i = 0; i < g->n_holders; i++) {
        waiting += g->holder[i].in_flight;
    }
    if (sm_is_due(w->hedge_at, now)) {
        w->target++;
        w->hedge_at = SM_NEVER;
    }
    for (unsigned i = 0; i < g->n_holders && waiting < w->target; i++) {
        const struct holder *h = &g->holder[i];
        if (h->is_liar || h->in_flight > 0 || w->tries[0][i] >= TRIES_MAX) {
            continue;
        }
        best.is_any = true;
        if (!sm_is_due(h->not_before, now)) {
            w->wake_at = sm_earlier(w->wake_at, h->not_before);
        } else if (!best.is_found || w->tries[0][i] < best.cost) {
            best.is_found = true;
            best.holder = i;
            best.cost = w->tries[0][i];
        }
    }
    struct pending *q = NULL;
    if (best.is_found && ask(g, now, w, &best, &q)) {
        q->is_manifest = true;
        struct sm_store_req req = {.op = SM_STORE_MANIFEST_GET, .object = g->object};
        hand_out(g, q, &req, out);
        return true;
    }
    if (waiting == 0 && !best.is_any) {
        fail(g, g->err != SM_OK ? g->err : SM_E_PEERS);
    }
    return false;
}

static enum sm_err start_segments(struct sm_get *g, struct sm_view bytes)
{
    const struct sm_manifest *m = &g->manifest;
    g->manifest_bytes = malloc(bytes.n);
    if (g->manifest_bytes == NULL) {
        return SM_E_NOMEM;
    }
    memcpy(g->manifest_bytes, bytes.p, bytes.n);
    SM_TRY(sm_manifest_read(sm_view_of(g->manifest_bytes, bytes.n), &g->manifest));
    SM_TRY(sm_coder_new(m->code, &g->coder));
    SM_TRY(sm_aead_init(&g->aead, g->suite, m->cipher, &g->seal_key));
    size_t room = m->size > 0 ? m->code.n * sm_manifest_shard_bytes(m, 0) : 0;
    for (unsigned i = 0; i < SLOTS && room > 0; i++) {
        g->slot[i].shards = malloc(room);
        if (g->slot[i].shards == NULL) {
            return SM_E_NOMEM;
        }
    }
    g->at = g->at < m->size ? g->at : m->size;
    g->to = g->to < m->size ? g->to : m->size;
    g->next_segment = (uint32_t)(g->at / m->segment_bytes);
    g->phase = PHASE_SEGMENTS;
    return SM_OK;
}

static enum sm_get_saw take_manifest(struct sm_get *g, const struct pending *q,
                                     struct sm_view body)
{
    struct sm_store_manifest_reply reply;
    struct sm_data_id id;
    if (sm_store_manifest_reply_read(body, &reply) != SM_OK) {
        return SM_GET_SAW_LIE;
    }
    sm_manifest_id(reply.manifest, &id);
    if (!sm_data_id_eq(&id, &g->object)) {
        return SM_GET_SAW_LIE;
    }
    g->holder[q->holder].held = reply.held;
    enum sm_err e = g->phase == PHASE_MANIFEST ? start_segments(g, reply.manifest) : SM_OK;
    if (e != SM_OK) {
        fail(g, e);
    }
    return SM_GET_SAW_GOOD;
}

/* -- segments ---------------------------------------------------------------------------- */

static uint64_t segment_start(const struct sm_get *g, uint32_t segment)
{
    return (uint64_t)segment * g->manifest.segment_bytes;
}

static struct slot *slot_of(struct sm_get *g, uint32_t segment)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (g->slot[i].state != SLOT_FREE && g->slot[i].segment == segment) {
            return &g->slot[i];
        }
    }
    return NULL;
}

/* Give back what was read, take up what comes next. */
static void turn_slots(struct sm_get *g)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &g->slot[i];
        if (s->state == SLOT_READY && segment_start(g, s->segment) + s->plain_bytes <= g->at) {
            s->state = SLOT_FREE;
        }
        if (s->state != SLOT_FREE || segment_start(g, g->next_segment) >= g->to) {
            continue;
        }
        s->state = SLOT_FETCHING;
        s->segment = g->next_segment++;
        s->plain_bytes = sm_manifest_plain_bytes(&g->manifest, s->segment);
        s->shard_bytes = sm_manifest_shard_bytes(&g->manifest, s->segment);
        s->want = (struct want){.hedge_at = SM_NEVER, .wake_at = SM_NEVER};
        unsigned most = g->manifest.code.n;
        s->want.target = g->manifest.code.k + g->extra;
        s->want.target = s->want.target < most ? s->want.target : most;
    }
}

static bool next_shard(struct sm_get *g, struct sm_mono now, struct slot *s,
                       struct sm_get_out *out)
{
    struct want *w = &s->want;
    struct choice best = {0};
    struct pending *q = NULL;
    w->wake_at = SM_NEVER;
    if (!wants_more(g, now, w, g->manifest.code.n)) {
        return false;
    }
    for (unsigned i = 0; i < g->manifest.code.n; i++) {
        if (((w->have | w->asked) >> i & 1) == 0) {
            consider(g, now, w, i, i >= g->manifest.code.k, &best);
        }
    }
    if (best.is_found && ask(g, now, w, &best, &q)) {
        q->segment = s->segment;
        struct sm_store_req req = {.op = SM_STORE_SHARD_GET,
                                   .index = (uint8_t)best.index,
                                   .segment = s->segment,
                                   .object = g->object};
        hand_out(g, q, &req, out);
        return true;
    }
    if (!best.is_any && w->asked == 0) { /* nobody is left; fewer than k came */
        g->failed_segment = s->segment;
        g->failed_have = count(w->have);
        fail(g, SM_E_PEERS);
    }
    return false;
}

static bool next_request(struct sm_get *g, struct sm_mono now, struct sm_get_out *out)
{
    for (uint32_t segment = (uint32_t)(g->at / g->manifest.segment_bytes);
         segment < g->next_segment && g->phase == PHASE_SEGMENTS; segment++) {
        struct slot *s = slot_of(g, segment);
        if (s != NULL && s->state == SLOT_FETCHING && next_shard(g, now, s, out)) {
            return true;
        }
    }
    return false;
}

static enum sm_get_saw take_shard(struct sm_get *g, const struct pending *q,
                                  struct sm_view body)
{
    struct sm_shard_id want, got;
    sm_manifest_shard_id(&g->manifest, q->segment, q->index, &want);
    sm_sha256(body, got.b);
    if (memcmp(want.b, got.b, sizeof want.b) != 0) {
        return SM_GET_SAW_LIE;
    }
    struct slot *s = slot_of(g, q->segment);
    if (s == NULL || s->state != SLOT_FETCHING || (s->want.have >> q->index & 1) != 0) {
        return SM_GET_SAW_GOOD; /* good, but too late */
    }
    if (body.n != s->shard_bytes) {
        fail(g, SM_E_MALFORMED); /* whoever made the object made it so: no holder can help */
        return SM_GET_SAW_GOOD;
    }
    memcpy(s->shards + q->index * s->shard_bytes, body.p, body.n);
    s->want.have |= UINT64_C(1) << q->index;
    if (count(s->want.have) < g->manifest.code.k) {
        return SM_GET_SAW_GOOD;
    }
    enum sm_err e = sm_segment_open(&g->aead, g->coder, g->manifest.code, s->segment,
                                    s->plain_bytes, s->shards, s->want.have);
    if (e != SM_OK) {
        g->failed_segment = s->segment;
        fail(g, e);
        return SM_GET_SAW_GOOD;
    }
    s->state = SLOT_READY;
    return SM_GET_SAW_GOOD;
}

/* -- answers in -------------------------------------------------------------------------- */

static bool pending_take(struct sm_get *g, uint64_t id, struct pending *out)
{
    for (unsigned i = 0; id != 0 && i < PENDING_MAX; i++) {
        if (g->pending[i].id == id) {
            *out = g->pending[i];
            g->pending[i].id = 0;
            return true;
        }
    }
    return false;
}

static struct want *want_of(struct sm_get *g, const struct pending *q)
{
    if (q->is_manifest) {
        return &g->manifest_want;
    }
    struct slot *s = slot_of(g, q->segment);
    return s != NULL ? &s->want : NULL;
}

static void smooth(uint64_t *srtt_ns, uint64_t sample_ns)
{
    sample_ns = sample_ns > 0 ? sample_ns : 1;
    *srtt_ns = *srtt_ns == 0 ? sample_ns : *srtt_ns - *srtt_ns / 8 + sample_ns / 8;
}

static void saw(struct holder *h, enum sm_get_saw what)
{
    if (what == SM_GET_SAW_GOOD) {
        h->strikes = 0;
        h->busy = 0;
        if (h->was_praised) {
            return;
        }
        h->was_praised = true;
    } else if (h->strikes < UINT8_MAX) {
        h->strikes++;
    }
    h->is_liar = h->is_liar || what == SM_GET_SAW_LIE;
    h->observed = (uint8_t)(h->observed | 1u << what);
}

/* Ask a busy holder again, but not at once and not for ever. */
static void was_busy(struct sm_mono now, struct holder *h, struct want *w,
                     const struct pending *q)
{
    h->not_before = sm_after(now, BUSY_WAIT);
    if (h->busy >= BUSY_MAX) {
        return;
    }
    h->busy++;
    if (w != NULL) {
        w->tries[q->index][q->holder]--;
    }
}

static void answered_badly(struct sm_get *g, struct sm_mono now, const struct pending *q,
                           enum sm_err err)
{
    struct holder *h = &g->holder[q->holder];
    struct want *w = want_of(g, q);
    if (err == SM_E_BUSY) {
        was_busy(now, h, w, q);
    } else if (err == SM_E_TIMEOUT || err == SM_E_UNREACHABLE || err == SM_E_CLOSED) {
        saw(h, SM_GET_SAW_SILENT);
    } else {
        h->has_answered = true;
        saw(h, SM_GET_SAW_MISSING);
        if (w != NULL) {
            w->tries[q->index][q->holder] = TRIES_MAX;
        }
    }
    if (g->phase == PHASE_MANIFEST) {
        /* The reason, should nobody have it: all say "not found", or it is a lack of peers. */
        g->err = err == SM_E_NOTFOUND && g->err != SM_E_PEERS ? SM_E_NOTFOUND : SM_E_PEERS;
    }
}

static void answered_well(struct sm_get *g, struct sm_mono now, const struct pending *q,
                          struct sm_view body)
{
    struct holder *h = &g->holder[q->holder];
    h->has_answered = true;
    smooth(&h->srtt_ns, sm_between(q->sent, now).ns);
    smooth(&g->srtt_ns, sm_between(q->sent, now).ns);
    enum sm_get_saw what = q->is_manifest ? take_manifest(g, q, body) : take_shard(g, q, body);
    if (what == SM_GET_SAW_LIE && g->phase == PHASE_MANIFEST) {
        g->err = SM_E_PEERS;
    }
    saw(h, what);
}

void sm_get_response(struct sm_get *g, struct sm_mono now, uint64_t id, enum sm_err err,
                     struct sm_view body)
{
    struct pending q;
    if (!pending_take(g, id, &q)) {
        return;
    }
    g->holder[q.holder].in_flight--;
    struct want *w = want_of(g, &q);
    if (w != NULL) {
        w->asked &= ~(UINT64_C(1) << q.index);
    }
    if (g->phase >= PHASE_FAILED) {
        return;
    }
    if (err == SM_OK) {
        answered_well(g, now, &q, body);
    } else {
        answered_badly(g, now, &q, err);
    }
}

/* -- effects out ------------------------------------------------------------------------- */

static bool next_observation(struct sm_get *g, struct sm_get_out *out)
{
    for (unsigned i = 0; i < g->n_holders; i++) {
        struct holder *h = &g->holder[i];
        if (h->observed != 0) {
            unsigned what = (unsigned)__builtin_ctz(h->observed);
            h->observed = (uint8_t)(h->observed & ~(1u << what));
            *out = (struct sm_get_out){
                .kind = SM_GET_OBSERVE, .holder = i, .saw = (enum sm_get_saw)what};
            return true;
        }
    }
    return false;
}

static bool next_bytes(struct sm_get *g, struct sm_get_out *out)
{
    if (g->is_paused || g->at >= g->to) {
        return false;
    }
    const struct slot *s = slot_of(g, (uint32_t)(g->at / g->manifest.segment_bytes));
    if (s == NULL || s->state != SLOT_READY) {
        return false;
    }
    uint64_t start = segment_start(g, s->segment), end = start + s->plain_bytes;
    end = end < g->to ? end : g->to;
    *out = (struct sm_get_out){
        .kind = SM_GET_BYTES,
        .offset = g->at,
        .bytes = sm_view_of(s->shards + (g->at - start), (size_t)(end - g->at))};
    g->at = end;
    return true;
}

static bool next_in_segments(struct sm_get *g, struct sm_mono now, struct sm_get_out *out)
{
    if (!g->has_info) {
        g->has_info = true;
        *out = (struct sm_get_out){
            .kind = SM_GET_INFO, .size = g->manifest.size, .code = g->manifest.code};
        return true;
    }
    turn_slots(g);
    if (next_bytes(g, out) || next_request(g, now, out)) {
        return true;
    }
    if (g->phase == PHASE_SEGMENTS && g->at >= g->to) {
        g->phase = PHASE_OVER;
        *out = (struct sm_get_out){.kind = SM_GET_DONE, .err = SM_OK};
        return true;
    }
    return false;
}

bool sm_get_next(struct sm_get *g, struct sm_mono now, struct sm_get_out *out)
{
    if (g->phase != PHASE_OVER && next_observation(g, out)) {
        return true;
    }
    if (g->phase == PHASE_MANIFEST && next_manifest(g, now, out)) {
        return true;
    }
    if (g->phase == PHASE_SEGMENTS && next_in_segments(g, now, out)) {
        return true;
    }
    if (g->phase != PHASE_FAILED) {
        return false;
    }
    g->phase = PHASE_OVER;
    *out = (struct sm_get_out){.kind = SM_GET_DONE, .err = g->err};
    return true;
}

struct sm_mono sm_get_deadline(const struct sm_get *g)
{
    if (g->phase == PHASE_MANIFEST) {
        return sm_earlier(g->manifest_want.hedge_at, g->manifest_want.wake_at);
    }
    struct sm_mono first = SM_NEVER;
    for (unsigned i = 0; g->phase == PHASE_SEGMENTS && i < SLOTS; i++) {
        if (g->slot[i].state == SLOT_FETCHING) {
            first = sm_earlier(first, g->slot[i].want.hedge_at);
            first = sm_earlier(first, g->slot[i].want.wake_at);
        }
    }
    return first;
}

void sm_get_pause(struct sm_get *g, bool is_paused)
{
    g->is_paused = is_paused;
}

enum sm_err sm_get_extend(struct sm_get *g, uint64_t to)
{
    if (g->phase >= PHASE_FAILED) {
        return SM_E_STATE;
    }
    if (g->phase == PHASE_SEGMENTS && to > g->manifest.size) {
        to = g->manifest.size;
    }
    g->to = to > g->to ? to : g->to;
    return SM_OK;
}

enum sm_err sm_get_reason(const struct sm_get *g, struct sm_buf *out)
{
    unsigned answered = 0, liars = 0;
    for (unsigned i = 0; i < g->n_holders; i++) {
        answered += g->holder[i].has_answered;
        liars += g->holder[i].is_liar;
    }
    SM_TRY(sm_buf_printf(out, "%s: ", sm_err_words(g->err)));
    if (g->manifest_bytes == NULL) {
        SM_TRY(sm_buf_printf(out, "none of %u holders gave the manifest", g->n_holders));
    } else if (g->err == SM_E_PEERS) {
        SM_TRY(sm_buf_printf(out, "segment %u: %u of %u needed shards came", g->failed_segment,
                             g->failed_have, g->manifest.code.k));
    } else {
        SM_TRY(sm_buf_printf(out, "segment %u cannot be opened", g->failed_segment));
    }
    SM_TRY(sm_buf_printf(out, "; %u of %u holders answered", answered, g->n_holders));
    return liars == 0 ? SM_OK : sm_buf_printf(out, ", %u of them with wrong bytes", liars);
}
