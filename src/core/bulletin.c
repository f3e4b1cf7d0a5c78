// SPDX-License-Identifier: Apache-2.0
#include "core/bulletin.h"

#include "crypto/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Time a piece may take: twice the retransmission of a lossy carrier, and it is 16 KiB. */
#define PIECE_TIME SM_S(3)
#define FETCH_TIME SM_S(15) /* the whole document: a slow drip ends here */
#define HEDGE      SM_MS(500)
#define PAUSE_MIN  SM_S(1)
#define PAUSE_MAX  SM_S(600)
#define DIGEST_GAP SM_MS(250) /* between two of ours to one neighbour */

/* Budgets of one neighbour, each a burst and a rate; honest ones stay below all of them. */
#define DIGEST_EVERY SM_MS(200)
#define DIGEST_BURST 32u
#define WANT_EVERY   SM_MS(20) /* all documents in pieces, twice; then 50 a second */
#define WANT_BURST   (2u * SM_BULLETIN_DOCS * (SM_BULLETIN_BYTES / SM_BULLETIN_PIECE))
#define SERVE_PIECE  SM_MS(50)  /* a piece served costs this much: 320 KiB/s, */
#define SERVE_BURST  WANT_BURST /* after 16 MiB */
#define STRAY_EVERY  SM_MS(200) /* pieces nobody waits for: late ones are ordinary */
#define STRAY_BURST  64u
#define FETCH_EVERY  SM_S(1) /* documents verified: 1/s after everything twice */
#define FETCH_BURST  (2u * SM_BULLETIN_DOCS)
#define BLAME_EVERY  SM_S(10) /* a flood is one failing every so often, not one a message */

enum { REFUSED_KEPT = 64 };
#define REFUSED_FOR SM_S(600) /* then once more: clocks get set, roots get pinned */

struct fetch {
    bool is_on;
    struct sm_bulletin_doc doc;
    struct sm_buf bytes; /* so far */
    struct sm_mono since, piece_by;
    bool is_to_ask;
};

struct neighbour {
    bool is_up;
    struct sm_hop hop;
    uint64_t to_tell; /* bit i: docs[i] is news for it */
    struct sm_mono tell_at;

    struct sm_bulletin_doc *claims; /* it has, and we lack; NULL: none */
    unsigned n_claims;
    struct fetch fetch;
    struct sm_mono fetch_at; /* not before */
    struct sm_dur pause;     /* the next one */

    bool has_answer; /* to its WANT */
    uint8_t answer_hash[32];
    uint32_t answer_offset;

    struct sm_mono digests, wants, served, strays, fetches; /* see may_take() */
    struct sm_mono blamed_at;
    bool was_blamed, is_to_blame;
    enum sm_trust_kind blame;
};

struct refusal {
    bool is_used;
    uint8_t hash[32];
    struct sm_mono until;
};

struct sm_bulletin {
    struct sm_bulletin_ops ops;
    void *ctx;
    struct sm_bulletin_doc docs[SM_BULLETIN_DOCS]; /* what there is; bytes 0: a free place */
    struct neighbour links[SM_BULLETIN_LINKS];
    struct refusal refused[REFUSED_KEPT];
    unsigned refused_at;
    struct sm_mono now, look_at;
    bool is_quiet;      /* nothing to say until something happens, or `due` */
    struct sm_mono due; /* when it is quiet */
    struct sm_bulletin_stats stats;
    uint8_t out[SM_BULLETIN_DIGEST_MAX > SM_BULLETIN_PIECE_MAX ? SM_BULLETIN_DIGEST_MAX
                                                               : SM_BULLETIN_PIECE_MAX];
};

/* Something happens. */
static void enter(struct sm_bulletin *b, struct sm_mono now)
{
    b->now = now;
    b->is_quiet = false;
}

/* -- small things ------------------------------------------------------------------------ */

/* One more within a burst and a rate?  *rate is when the burst is whole again. */
static bool may_take(struct sm_mono *rate, struct sm_mono now, struct sm_dur every,
                     uint64_t burst)
{
    struct sm_mono from = rate->ns > now.ns ? *rate : now;
    if (sm_between(now, from).ns >= every.ns * burst) {
        return false;
    }
    *rate = sm_after(from, every);
    return true;
}

static struct neighbour *neighbour_of(struct sm_bulletin *b, struct sm_hop hop)
{
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        if (b->links[i].is_up && b->links[i].hop.v == hop.v) {
            return &b->links[i];
        }
    }
    return NULL;
}

static bool is_same_hash(const struct sm_bulletin_doc *d, const uint8_t hash[static 32])
{
    return memcmp(d->hash, hash, sizeof d->hash) == 0;
}

/* Our document of this kind and name; NULL when there is none. */
static struct sm_bulletin_doc *ours(struct sm_bulletin *b, const struct sm_bulletin_doc *like)
{
    for (unsigned i = 0; i < SM_BULLETIN_DOCS; i++) {
        if (b->docs[i].bytes > 0 && sm_bulletin_doc_cmp(&b->docs[i], like) == 0) {
            return &b->docs[i];
        }
    }
    return NULL;
}

static const struct sm_bulletin_doc *ours_by_hash(const struct sm_bulletin *b,
                                                  const uint8_t hash[static 32])
{
    for (unsigned i = 0; i < SM_BULLETIN_DOCS; i++) {
        if (b->docs[i].bytes > 0 && is_same_hash(&b->docs[i], hash)) {
            return &b->docs[i];
        }
    }
    return NULL;
}

static bool was_refused(const struct sm_bulletin *b, const uint8_t hash[static 32])
{
    for (unsigned i = 0; i < REFUSED_KEPT; i++) {
        const struct refusal *r = &b->refused[i];
        if (r->is_used && !sm_is_due(r->until, b->now) && memcmp(r->hash, hash, 32) == 0) {
            return true;
        }
    }
    return false;
}

static void remember_refused(struct sm_bulletin *b, const uint8_t hash[static 32])
{
    struct refusal *r = &b->refused[b->refused_at++ % REFUSED_KEPT];
    *r = (struct refusal){.is_used = true, .until = sm_after(b->now, REFUSED_FOR)};
    memcpy(r->hash, hash, sizeof r->hash);
}

static bool is_news(struct sm_bulletin *b, const struct sm_bulletin_doc *d)
{
    const struct sm_bulletin_doc *have = ours(b, d);
    return (have == NULL || have->version < d->version) && !was_refused(b, d->hash);
}

static void blame(struct sm_bulletin *b, struct neighbour *n, enum sm_trust_kind kind)
{
    if (n->was_blamed && !sm_is_due(sm_after(n->blamed_at, BLAME_EVERY), b->now)) {
        return;
    }
    n->was_blamed = true;
    n->blamed_at = b->now;
    n->is_to_blame = true;
    n->blame = kind;
}

/* It sends more than any honest node would. */
static void over_budget(struct sm_bulletin *b, struct neighbour *n)
{
    b->stats.dropped++;
    blame(b, n, SM_TRUST_WRONG);
}

/* -- what there is ----------------------------------------------------------------------- */

static void tell_all(struct sm_bulletin *b, unsigned slot)
{
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        b->links[i].to_tell |= b->links[i].is_up ? (uint64_t)1 << slot : 0;
    }
}

static void doc_keep(struct sm_bulletin *b, const struct sm_bulletin_doc *d)
{
    struct sm_bulletin_doc *have = ours(b, d);
    for (unsigned i = 0; have == NULL && i < SM_BULLETIN_DOCS; i++) {
        have = b->docs[i].bytes == 0 ? &b->docs[i] : NULL;
    }
    if (have == NULL || (have->bytes > 0 && is_same_hash(have, d->hash))) {
        return; /* full: the owner's own cap is lower */
    }
    *have = *d;
    tell_all(b, (unsigned)(have - b->docs));
}

void sm_bulletin_changed(struct sm_bulletin *b, struct sm_mono now)
{
    struct sm_bulletin_doc d;
    bool is_there[SM_BULLETIN_DOCS] = {false};
    enter(b, now);
    for (unsigned i = 0; b->ops.list(b->ctx, i, &d); i++) {
        assert(d.bytes > 0 && d.bytes <= SM_BULLETIN_BYTES);
        doc_keep(b, &d);
        const struct sm_bulletin_doc *at = ours(b, &d);
        if (at != NULL) {
            is_there[at - b->docs] = true;
        }
    }
    for (unsigned i = 0; i < SM_BULLETIN_DOCS; i++) {
        if (!is_there[i]) {
            b->docs[i] = (struct sm_bulletin_doc){0};
        }
    }
    b->look_at = now;
}

/* -- fetching ---------------------------------------------------------------------------- */

static void fetch_end(struct sm_bulletin *b, struct neighbour *n)
{
    sm_buf_done(&n->fetch.bytes);
    n->fetch = (struct fetch){0};
    b->look_at = b->now;
}

/* It did not do what it promised: later, and later each time. */
static void fetch_failed(struct sm_bulletin *b, struct neighbour *n, enum sm_trust_kind kind)
{
    fetch_end(b, n);
    blame(b, n, kind);
    n->fetch_at = sm_after(b->now, n->pause);
    n->pause.ns = n->pause.ns * 2 < PAUSE_MAX.ns ? n->pause.ns * 2 : PAUSE_MAX.ns;
}

static void claims_free(struct neighbour *n)
{
    free(n->claims);
    n->claims = NULL;
    n->n_claims = 0;
}

static void claim_drop(struct neighbour *n, unsigned i)
{
    n->n_claims--;
    memmove(n->claims + i, n->claims + i + 1, (n->n_claims - i) * sizeof *n->claims);
    if (n->n_claims == 0) {
        claims_free(n);
    }
}

static void claims_sift(struct sm_bulletin *b, struct neighbour *n)
{
    for (unsigned i = 0; i < n->n_claims;) {
        if (is_news(b, &n->claims[i])) {
            i++;
        } else {
            claim_drop(n, i);
        }
    }
}

static void claim_add(struct neighbour *n, const struct sm_bulletin_doc *d)
{
    unsigned i = 0;
    while (i < n->n_claims && sm_bulletin_doc_cmp(&n->claims[i], d) != 0) {
        i++;
    }
    if (i == SM_BULLETIN_DOCS) {
        return;
    }
    if (n->claims == NULL) {
        n->claims = calloc(SM_BULLETIN_DOCS, sizeof *n->claims);
        if (n->claims == NULL) {
            return; /* it will tell again when its tunnel comes up again */
        }
    }
    n->claims[i] = *d;
    n->n_claims += i == n->n_claims;
}

/* When a fetch of this document may begin, seeing those under way: each that lasts lets one
 * more begin every HEDGE. */
static struct sm_mono may_fetch_at(const struct sm_bulletin *b, const uint8_t hash[static 32])
{
    struct sm_mono first = SM_NEVER;
    unsigned n = 0;
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        const struct fetch *f = &b->links[i].fetch;
        if (b->links[i].is_up && f->is_on && is_same_hash(&f->doc, hash)) {
            first = sm_earlier(first, f->since);
            n++;
        }
    }
    return n == 0 ? b->now : sm_after(first, (struct sm_dur){HEDGE.ns * n});
}

static void fetch_start(struct sm_bulletin *b, struct neighbour *n,
                        const struct sm_bulletin_doc *d)
{
    n->fetch = (struct fetch){.is_on = true,
                              .doc = *d,
                              .bytes = SM_BUF(d->bytes),
                              .since = b->now,
                              .piece_by = sm_after(b->now, PIECE_TIME),
                              .is_to_ask = true};
}

/* Begin with what this neighbour claims, if anything may be begun; else when to look again. */
static struct sm_mono look_at_claims(struct sm_bulletin *b, struct neighbour *n)
{
    struct sm_mono again = SM_NEVER;
    claims_sift(b, n);
    if (n->n_claims == 0 || n->fetch.is_on) {
        return SM_NEVER;
    }
    if (!sm_is_due(n->fetch_at, b->now)) {
        return n->fetch_at;
    }
    for (unsigned i = 0; i < n->n_claims; i++) {
        struct sm_mono at = may_fetch_at(b, n->claims[i].hash);
        if (!sm_is_due(at, b->now)) {
            again = sm_earlier(again, at);
        } else if (!may_take(&n->fetches, b->now, FETCH_EVERY, FETCH_BURST)) {
            return sm_after(b->now, FETCH_EVERY);
        } else {
            fetch_start(b, n, &n->claims[i]);
            return SM_NEVER;
        }
    }
    return again;
}

static void look(struct sm_bulletin *b)
{
    b->look_at = SM_NEVER;
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        struct neighbour *n = &b->links[i];
        if (n->is_up) {
            b->look_at = sm_earlier(b->look_at, look_at_claims(b, n));
        }
    }
}

/* Whose fault is it that a document was not taken? */
static bool is_garbage(enum sm_err e)
{
    return e == SM_E_CRYPTO || e == SM_E_AUTH || e == SM_E_MALFORMED || e == SM_E_TRUNCATED ||
           e == SM_E_LIMIT;
}

static void take_document(struct sm_bulletin *b, struct neighbour *n, struct sm_wall wall)
{
    struct sm_bulletin_doc claimed = n->fetch.doc;
    uint8_t hash[32];
    sm_sha256(sm_buf_view(&n->fetch.bytes), hash);
    if (!is_same_hash(&claimed, hash)) {
        b->stats.garbled++;
        fetch_failed(b, n, SM_TRUST_WRONG);
        return;
    }
    enum sm_err e =
        b->ops.offer(b->ctx, b->now, wall, claimed.kind, sm_buf_view(&n->fetch.bytes));
    if (e == SM_OK) {
        b->stats.taken++;
        sm_bulletin_changed(b, b->now);
    } else if (e == SM_E_EXISTS || e == SM_E_STALE) {
        b->stats.same++;
    } else {
        b->stats.refused++;
    }
    if (!is_news(b, &claimed)) {
        fetch_end(b, n);
        n->pause = PAUSE_MIN;
        return;
    }
    /* It is not what was promised, or nothing that we take. */
    remember_refused(b, hash);
    if (e == SM_OK || e == SM_E_EXISTS || e == SM_E_STALE) {
        b->stats.lied++;
        fetch_failed(b, n, SM_TRUST_WRONG);
    } else if (is_garbage(e)) {
        fetch_failed(b, n, SM_TRUST_WRONG);
    } else {
        fetch_end(b, n);
    }
}

static void on_piece(struct sm_bulletin *b, struct neighbour *n, struct sm_wall wall,
                     const struct sm_bulletin_message *m)
{
    struct fetch *f = &n->fetch;
    if (!f->is_on || !is_same_hash(&f->doc, m->hash)) {
        if (!may_take(&n->strays, b->now, STRAY_EVERY, STRAY_BURST)) {
            over_budget(b, n);
        }
        return;
    }
    if (m->total == 0) { /* replaced meanwhile: it will tell of the newer one */
        for (unsigned i = 0; i < n->n_claims; i++) {
            if (is_same_hash(&n->claims[i], m->hash)) {
                claim_drop(n, i);
                break;
            }
        }
        fetch_end(b, n);
        return;
    }
    if (m->total != f->doc.bytes || m->offset != f->bytes.n ||
        sm_buf_add(&f->bytes, m->bytes.p, m->bytes.n) != SM_OK) {
        b->stats.garbled++;
        fetch_failed(b, n, SM_TRUST_WRONG);
        return;
    }
    if (f->bytes.n == f->doc.bytes) {
        take_document(b, n, wall);
        return;
    }
    f->piece_by = sm_after(b->now, PIECE_TIME);
    f->is_to_ask = true;
}

/* -- telling and serving ------------------------------------------------------------------ */

static void on_digest(struct sm_bulletin *b, struct neighbour *n,
                      const struct sm_bulletin_message *m)
{
    if (!may_take(&n->digests, b->now, DIGEST_EVERY, DIGEST_BURST)) {
        over_budget(b, n);
        return;
    }
    for (unsigned i = 0; i < m->n_docs; i++) {
        const struct sm_bulletin_doc *d = &m->docs[i], *have = ours(b, d);
        if (have != NULL) {
            uint64_t bit = (uint64_t)1 << (have - b->docs);
            bool is_behind = d->version < have->version;
            n->to_tell = is_behind ? n->to_tell | bit : n->to_tell & ~bit;
            b->stats.conflicts +=
                d->version == have->version && !is_same_hash(have, d->hash) ? 1 : 0;
        }
        if (is_news(b, d)) {
            claim_add(n, d);
        }
    }
    b->look_at = b->now;
}

static void on_want(struct sm_bulletin *b, struct neighbour *n,
                    const struct sm_bulletin_message *m)
{
    if (!may_take(&n->wants, b->now, WANT_EVERY, WANT_BURST)) {
        over_budget(b, n);
        return;
    }
    n->has_answer = true;
    memcpy(n->answer_hash, m->hash, sizeof n->answer_hash);
    n->answer_offset = m->offset;
}

void sm_bulletin_message(struct sm_bulletin *b, struct sm_mono now, struct sm_wall wall,
                         struct sm_hop from, struct sm_view message)
{
    struct neighbour *n = neighbour_of(b, from);
    struct sm_bulletin_message m;
    enter(b, now);
    if (n == NULL) {
        return;
    }
    if (sm_bulletin_message_read(message, &m) != SM_OK) {
        over_budget(b, n);
        return;
    }
    switch (m.op) {
    case SM_BULLETIN_DIGEST:
        on_digest(b, n, &m);
        return;
    case SM_BULLETIN_WANT:
        on_want(b, n, &m);
        return;
    case SM_BULLETIN_PIECE_OF:
        on_piece(b, n, wall, &m);
        return;
    }
}

/* -- neighbours and time ------------------------------------------------------------------ */

static void neighbour_clear(struct neighbour *n)
{
    claims_free(n);
    sm_buf_done(&n->fetch.bytes);
    *n = (struct neighbour){0};
}

enum sm_err sm_bulletin_link_up(struct sm_bulletin *b, struct sm_mono now, struct sm_hop hop)
{
    struct neighbour *n = neighbour_of(b, hop);
    enter(b, now);
    for (unsigned i = 0; n == NULL && i < SM_BULLETIN_LINKS; i++) {
        n = b->links[i].is_up ? NULL : &b->links[i];
    }
    if (n == NULL) {
        return SM_E_LIMIT;
    }
    neighbour_clear(n);
    *n = (struct neighbour){.is_up = true, .hop = hop, .pause = PAUSE_MIN};
    for (unsigned i = 0; i < SM_BULLETIN_DOCS; i++) {
        n->to_tell |= b->docs[i].bytes > 0 ? (uint64_t)1 << i : 0;
    }
    return SM_OK;
}

void sm_bulletin_link_down(struct sm_bulletin *b, struct sm_mono now, struct sm_hop hop)
{
    struct neighbour *n = neighbour_of(b, hop);
    enter(b, now);
    if (n != NULL) {
        neighbour_clear(n);
        b->look_at = now; /* others may be asked for what it was sending */
    }
}

static struct sm_mono fetch_deadline(const struct fetch *f)
{
    return f->is_on ? sm_earlier(f->piece_by, sm_after(f->since, FETCH_TIME)) : SM_NEVER;
}

void sm_bulletin_tick(struct sm_bulletin *b, struct sm_mono now)
{
    enter(b, now);
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        struct neighbour *n = &b->links[i];
        if (n->is_up && sm_is_due(fetch_deadline(&n->fetch), now)) {
            b->stats.late++;
            fetch_failed(b, n, SM_TRUST_TIMEOUT);
        }
    }
}

static struct sm_mono deadline(const struct sm_bulletin *b)
{
    struct sm_mono d = b->look_at;
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        const struct neighbour *n = &b->links[i];
        if (n->is_up) {
            d = sm_earlier(d, fetch_deadline(&n->fetch));
            d = n->to_tell != 0 ? sm_earlier(d, n->tell_at) : d;
        }
    }
    return d;
}

struct sm_mono sm_bulletin_deadline(const struct sm_bulletin *b)
{
    return b->is_quiet ? b->due : b->now;
}

/* -- outputs ----------------------------------------------------------------------------- */

static bool send(struct sm_bulletin *b, const struct neighbour *n,
                 const struct sm_bulletin_message *m, struct sm_bulletin_out *out)
{
    struct sm_wr w = sm_wr_init(b->out, sizeof b->out);
    sm_bulletin_message_write(m, &w);
    assert(!w.full);
    *out = (struct sm_bulletin_out){
        .kind = SM_BULLETIN_SEND, .who = n->hop, .bytes = sm_view_of(b->out, w.n)};
    return true;
}

static bool next_digest(struct sm_bulletin *b, struct neighbour *n, struct sm_bulletin_out *out)
{
    struct sm_bulletin_message m = {.op = SM_BULLETIN_DIGEST};
    if (n->to_tell == 0 || !sm_is_due(n->tell_at, b->now)) {
        return false;
    }
    for (unsigned i = 0; i < SM_BULLETIN_DOCS; i++) {
        const struct sm_bulletin_doc *d = &b->docs[i];
        if ((n->to_tell >> i & 1) == 0 || d->bytes == 0) {
            continue;
        }
        unsigned at = m.n_docs++; /* in order, so that a digest has one form */
        while (at > 0 && sm_bulletin_doc_cmp(&m.docs[at - 1], d) > 0) {
            m.docs[at] = m.docs[at - 1];
            at--;
        }
        m.docs[at] = *d;
    }
    n->to_tell = 0;
    n->tell_at = sm_after(b->now, DIGEST_GAP);
    return m.n_docs > 0 && send(b, n, &m, out);
}

static bool next_want(struct sm_bulletin *b, struct neighbour *n, struct sm_bulletin_out *out)
{
    struct sm_bulletin_message m = {.op = SM_BULLETIN_WANT};
    if (!n->fetch.is_on || !n->fetch.is_to_ask) {
        return false;
    }
    n->fetch.is_to_ask = false;
    memcpy(m.hash, n->fetch.doc.hash, sizeof m.hash);
    m.offset = (uint32_t)n->fetch.bytes.n;
    return send(b, n, &m, out);
}

static bool next_piece(struct sm_bulletin *b, struct neighbour *n, struct sm_bulletin_out *out)
{
    struct sm_bulletin_message m = {.op = SM_BULLETIN_PIECE_OF};
    if (!n->has_answer) {
        return false;
    }
    n->has_answer = false;
    if (!may_take(&n->served, b->now, SERVE_PIECE, SERVE_BURST)) {
        return false; /* it asks again, later */
    }
    memcpy(m.hash, n->answer_hash, sizeof m.hash);
    const struct sm_bulletin_doc *d = ours_by_hash(b, n->answer_hash);
    struct sm_view all = d != NULL ? b->ops.get(b->ctx, d) : (struct sm_view){0};
    if (n->answer_offset < all.n) {
        assert(all.n == d->bytes);
        m.total = d->bytes;
        m.offset = n->answer_offset;
        m.bytes = sm_view_sub(all, m.offset, SM_BULLETIN_PIECE);
        b->stats.served_bytes += m.bytes.n;
    }
    return send(b, n, &m, out);
}

bool sm_bulletin_next(struct sm_bulletin *b, struct sm_bulletin_out *out)
{
    if (b->is_quiet) {
        return false;
    }
    if (sm_is_due(b->look_at, b->now)) {
        look(b);
    }
    for (unsigned i = 0; i < SM_BULLETIN_LINKS; i++) {
        struct neighbour *n = &b->links[i];
        if (!n->is_up) {
            continue;
        }
        if (n->is_to_blame) {
            n->is_to_blame = false;
            *out = (struct sm_bulletin_out){
                .kind = SM_BULLETIN_OBSERVE, .who = n->hop, .seen = n->blame};
            return true;
        }
        if (next_digest(b, n, out) || next_want(b, n, out) || next_piece(b, n, out)) {
            return true;
        }
    }
    b->is_quiet = true;
    b->due = deadline(b);
    return false;
}

/* -- the object -------------------------------------------------------------------------- */

struct sm_bulletin *sm_bulletin_new(const struct sm_bulletin_ops *ops, void *ctx)
{
    struct sm_bulletin *b = calloc(1, sizeof *b);
    if (b != NULL) {
        b->ops = *ops;
        b->ctx = ctx;
        sm_bulletin_changed(b, (struct sm_mono){0});
    }
    return b;
}

void sm_bulletin_free(struct sm_bulletin *b)
{
    for (unsigned i = 0; b != NULL && i < SM_BULLETIN_LINKS; i++) {
        neighbour_clear(&b->links[i]);
    }
    free(b);
}

struct sm_bulletin_stats sm_bulletin_stats(const struct sm_bulletin *b)
{
    return b->stats;
}
