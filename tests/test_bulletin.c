// SPDX-License-Identifier: Apache-2.0
#include "core/bulletin.h"

#include "crypto/hash.h"
#include "t.h"

/* A document here: kind, version, "good" or not, and filling.  Its name is zeros. */
enum { HEAD = 1 + 8 + 1, KINDS = 8 };

struct board { /* what one node has */
    struct sm_bulletin_doc doc[KINDS];
    uint8_t bytes[KINDS][SM_BULLETIN_BYTES];
    unsigned offers;
};

#define HOP(n) ((struct sm_hop){(n)})
static const struct sm_wall wall = {1};
static struct sm_mono now = {1000000000u};

static size_t make(uint8_t kind, uint64_t version, bool is_good, size_t n, uint8_t *out)
{
    struct sm_wr w = sm_wr_init(out, n);
    sm_wr_u8(&w, kind);
    sm_wr_u64(&w, version);
    sm_wr_u8(&w, is_good);
    T_TRUE(!w.full);
    memset(out + HEAD, (int)version, n - HEAD);
    return n;
}

static void describe(struct sm_view bytes, struct sm_bulletin_doc *out)
{
    *out = (struct sm_bulletin_doc){
        .kind = bytes.p[0], .version = sm_le64(bytes.p + 1), .bytes = (uint32_t)bytes.n};
    sm_sha256(bytes, out->hash);
}

static bool board_list(void *ctx, unsigned i, struct sm_bulletin_doc *out)
{
    struct board *b = ctx;
    for (unsigned k = 0; k < KINDS; k++) {
        if (b->doc[k].bytes > 0 && i-- == 0) {
            *out = b->doc[k];
            return true;
        }
    }
    return false;
}

static struct sm_view board_get(void *ctx, const struct sm_bulletin_doc *d)
{
    struct board *b = ctx;
    return sm_view_of(b->bytes[d->kind], b->doc[d->kind].bytes);
}

static enum sm_err board_offer(void *ctx, struct sm_mono at, struct sm_wall w, uint8_t kind,
                               struct sm_view bytes)
{
    struct board *b = ctx;
    struct sm_bulletin_doc d;
    (void)at;
    (void)w;
    b->offers++;
    if (bytes.n < HEAD || bytes.p[0] != kind || kind >= KINDS) {
        return SM_E_MALFORMED;
    }
    describe(bytes, &d);
    if (bytes.p[9] != 1) {
        return bytes.p[9] == 2 ? SM_E_EXPIRED : SM_E_CRYPTO;
    }
    if (b->doc[kind].bytes > 0 && d.version <= b->doc[kind].version) {
        return d.version == b->doc[kind].version ? SM_E_EXISTS : SM_E_STALE;
    }
    b->doc[kind] = d;
    memcpy(b->bytes[kind], bytes.p, bytes.n);
    return SM_OK;
}

static const struct sm_bulletin_ops ops = {board_list, board_get, board_offer};

/* -- a net of nodes, messages delivered at once ------------------------------------------- */

enum { NODES = 8, HOSTILE = 100 };
struct net {
    unsigned n;
    struct board board[NODES];
    struct sm_bulletin *b[NODES];
    bool linked[NODES][NODES];
    uint64_t messages, bytes;
    unsigned blamed[NODES]; /* by anybody */
    unsigned blames_of_hostile;
    /* What was sent to the hostile neighbour of node 0 last. */
    uint8_t caught[SM_BULLETIN_PIECE_MAX + SM_BULLETIN_DIGEST_MAX];
    size_t caught_n;
    unsigned wants_caught, pieces_caught;
};

static struct net *net_new(unsigned n)
{
    struct net *w = calloc(1, sizeof *w);
    T_TRUE(w != NULL);
    w->n = n;
    for (unsigned i = 0; i < n; i++) {
        w->b[i] = sm_bulletin_new(&ops, &w->board[i]);
        T_TRUE(w->b[i] != NULL);
    }
    return w;
}

static void net_free(struct net *w)
{
    for (unsigned i = 0; i < w->n; i++) {
        sm_bulletin_free(w->b[i]);
    }
    free(w);
}

static void note_caught(struct net *w, const struct sm_bulletin_out *o)
{
    struct sm_bulletin_message m;
    T_OK(sm_bulletin_message_read(o->bytes, &m));
    w->wants_caught += m.op == SM_BULLETIN_WANT;
    w->pieces_caught += m.op == SM_BULLETIN_PIECE_OF;
    memcpy(w->caught, o->bytes.p, o->bytes.n);
    w->caught_n = o->bytes.n;
}

static bool drain_one(struct net *w, unsigned i)
{
    struct sm_bulletin_out o;
    bool any = false;
    while (sm_bulletin_next(w->b[i], &o)) {
        any = true;
        if (o.kind == SM_BULLETIN_OBSERVE) {
            if (o.who.v >= HOSTILE) {
                w->blames_of_hostile++;
            } else {
                w->blamed[o.who.v]++;
            }
            continue;
        }
        w->messages++;
        w->bytes += o.bytes.n;
        if (o.who.v >= HOSTILE) {
            note_caught(w, &o);
        } else if (w->linked[i][o.who.v]) {
            sm_bulletin_message(w->b[o.who.v], now, wall, HOP(i), o.bytes);
        }
    }
    return any;
}

static void settle(struct net *w)
{
    for (bool any = true; any;) {
        any = false;
        for (unsigned i = 0; i < w->n; i++) {
            any |= drain_one(w, i);
        }
    }
}

/* Let the time pass, with every deadline on its way. */
static void pass(struct net *w, struct sm_dur d)
{
    struct sm_mono end = sm_after(now, d);
    settle(w);
    for (;;) {
        struct sm_mono next = SM_NEVER;
        for (unsigned i = 0; i < w->n; i++) {
            next = sm_earlier(next, sm_bulletin_deadline(w->b[i]));
        }
        if (next.ns > end.ns) {
            break;
        }
        now.ns = next.ns > now.ns ? next.ns : now.ns + 1;
        for (unsigned i = 0; i < w->n; i++) {
            sm_bulletin_tick(w->b[i], now);
        }
        settle(w);
    }
    now = end;
    for (unsigned i = 0; i < w->n; i++) {
        sm_bulletin_tick(w->b[i], now);
    }
    settle(w);
}

static void join(struct net *w, unsigned a, unsigned b)
{
    w->linked[a][b] = w->linked[b][a] = true;
    T_OK(sm_bulletin_link_up(w->b[a], now, HOP(b)));
    T_OK(sm_bulletin_link_up(w->b[b], now, HOP(a)));
}

static void put(struct net *w, unsigned node, uint8_t kind, uint64_t version, size_t n)
{
    static uint8_t bytes[SM_BULLETIN_BYTES];
    make(kind, version, true, n, bytes);
    T_OK(board_offer(&w->board[node], now, wall, kind, sm_view_of(bytes, n)));
    w->board[node].offers--;
    sm_bulletin_changed(w->b[node], now);
}

static uint64_t version_at(const struct net *w, unsigned node, uint8_t kind)
{
    return w->board[node].doc[kind].version;
}

static unsigned blames(const struct net *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        n += w->blamed[i];
    }
    return n;
}

/* The hostile neighbour of node 0 says something. */
static void say(struct net *w, const struct sm_bulletin_message *m)
{
    static uint8_t bytes[SM_BULLETIN_DIGEST_MAX + SM_BULLETIN_PIECE_MAX];
    struct sm_wr wr = sm_wr_init(bytes, sizeof bytes);
    sm_bulletin_message_write(m, &wr);
    T_TRUE(!wr.full);
    sm_bulletin_message(w->b[0], now, wall, HOP(HOSTILE), sm_view_of(bytes, wr.n));
}

static void claim(struct net *w, uint8_t kind, uint64_t version, uint32_t n,
                  const uint8_t hash[static 32])
{
    struct sm_bulletin_message m = {.op = SM_BULLETIN_DIGEST, .n_docs = 1};
    m.docs[0] = (struct sm_bulletin_doc){.kind = kind, .version = version, .bytes = n};
    memcpy(m.docs[0].hash, hash, 32);
    say(w, &m);
}

/* Answer the WANT that was caught with bytes of a document. */
static void deliver(struct net *w, const uint8_t *bytes, uint32_t total)
{
    struct sm_bulletin_message want, m = {.op = SM_BULLETIN_PIECE_OF, .total = total};
    T_OK(sm_bulletin_message_read(sm_view_of(w->caught, w->caught_n), &want));
    T_EQ(want.op, SM_BULLETIN_WANT);
    memcpy(m.hash, want.hash, sizeof m.hash);
    m.offset = want.offset;
    m.bytes = sm_view_of(bytes + m.offset, sm_bulletin_piece_n(total, m.offset));
    say(w, &m);
}

static struct net *with_hostile(unsigned n)
{
    struct net *w = net_new(n);
    T_OK(sm_bulletin_link_up(w->b[0], now, HOP(HOSTILE)));
    return w;
}

/* -- honest neighbours --------------------------------------------------------------------- */

static void a_change_reaches_everybody_once(void)
{
    struct net *w = net_new(NODES);
    for (unsigned i = 0; i < NODES; i++) { /* a ring with two chords */
        join(w, i, (i + 1) % NODES);
    }
    join(w, 0, 4);
    join(w, 2, 6);
    put(w, 3, 1, 7, 40000);
    pass(w, SM_S(2));
    for (unsigned i = 0; i < NODES; i++) {
        T_EQ(version_at(w, i, 1), 7);
        T_EQ(w->board[i].offers, i == 3 ? 0 : 1); /* nobody fetched or checked it twice */
    }
    T_EQ(blames(w), 0);
    T_TRUE(w->bytes < 8 * 41000 + 40 * 200);
    uint64_t before = w->messages;
    pass(w, SM_S(3600));
    T_EQ(w->messages, before); /* and then there is silence */
    net_free(w);
}

static void a_newcomer_gets_what_it_lacks_and_tells_what_it_has(void)
{
    struct net *w = net_new(2);
    put(w, 0, 1, 5, 100);
    put(w, 0, 2, 9, 50000);
    put(w, 1, 1, 4, 100);
    put(w, 1, 3, 1, SM_BULLETIN_BYTES);
    join(w, 0, 1);
    pass(w, SM_S(1));
    for (unsigned i = 0; i < 2; i++) {
        T_EQ(version_at(w, i, 1), 5);
        T_EQ(version_at(w, i, 2), 9);
        T_EQ(version_at(w, i, 3), 1);
        T_MEM(w->board[i].bytes[3], SM_BULLETIN_BYTES, w->board[1].bytes[3], SM_BULLETIN_BYTES);
    }
    T_EQ(blames(w), 0);
    net_free(w);
}

static void an_older_one_never_replaces_a_newer(void)
{
    struct net *w = net_new(3);
    put(w, 0, 1, 5, 100);
    join(w, 0, 1);
    pass(w, SM_S(1));
    put(w, 2, 1, 4, 100);
    join(w, 1, 2);
    pass(w, SM_S(1));
    for (unsigned i = 0; i < 3; i++) {
        T_EQ(version_at(w, i, 1), 5);
    }
    T_EQ(w->board[1].offers, 1); /* the older one was not even fetched */
    net_free(w);
}

static void a_replacement_while_it_is_fetched_is_found(void)
{
    struct net *w = net_new(2);
    struct sm_bulletin_out o;
    put(w, 0, 1, 1, SM_BULLETIN_BYTES);
    join(w, 0, 1);
    while (sm_bulletin_next(w->b[0], &o)) {
        sm_bulletin_message(w->b[1], now, wall, HOP(0), o.bytes);
    }
    put(w, 0, 1, 2, 20000);
    pass(w, SM_S(2));
    T_EQ(version_at(w, 1, 1), 2);
    T_EQ(blames(w), 0);
    net_free(w);
}

static void many_changes_become_few_digests(void)
{
    struct net *w = net_new(2);
    join(w, 0, 1);
    for (unsigned i = 1; i <= 1000; i++) {
        put(w, 0, 1, i, 100);
        settle(w);
        now.ns += SM_MS(1).ns;
    }
    pass(w, SM_S(2));
    T_EQ(version_at(w, 1, 1), 1000);
    T_TRUE(w->messages < 40);
    T_EQ(blames(w), 0);
    net_free(w);
}

/* -- hostile ones -------------------------------------------------------------------------- */

static void a_claim_without_a_document_costs_little_and_is_noticed(void)
{
    struct net *w = with_hostile(2);
    uint8_t hash[32] = {7};
    claim(w, 1, UINT64_MAX, 1000, hash);
    join(w, 0, 1);
    put(w, 1, 1, 3, 1000);
    settle(w);
    T_EQ(version_at(w, 0, 1), 3); /* the honest one is not held up */
    pass(w, SM_S(3600));
    T_TRUE(w->wants_caught > 1 && w->wants_caught < 20); /* asked again, ever more seldom */
    T_TRUE(w->blames_of_hostile >= w->wants_caught / 2);
    T_EQ(blames(w), 0);
    net_free(w);
}

static void liars_with_the_right_hash_who_stall_delay_by_the_hedge_alone(void)
{
    struct net *w = net_new(2);
    uint8_t bytes[1000];
    struct sm_bulletin_doc d;
    make(1, 3, true, sizeof bytes, bytes);
    describe(sm_view_of(bytes, sizeof bytes), &d);
    struct sm_bulletin_message m = {.op = SM_BULLETIN_DIGEST, .n_docs = 1, .docs = {d}};
    uint8_t room[256];
    struct sm_wr wr = sm_wr_init(room, sizeof room);
    sm_bulletin_message_write(&m, &wr);
    for (unsigned i = 0; i < 4; i++) {
        T_OK(sm_bulletin_link_up(w->b[0], now, HOP(HOSTILE + i)));
        sm_bulletin_message(w->b[0], now, wall, HOP(HOSTILE + i), sm_view_of(room, wr.n));
    }
    settle(w);
    T_EQ(w->wants_caught, 1);
    put(w, 1, 1, 3, sizeof bytes);
    join(w, 0, 1);
    struct sm_mono from = now;
    while (version_at(w, 0, 1) != 3 && sm_between(from, now).ns < SM_S(10).ns) {
        pass(w, SM_MS(50));
    }
    T_TRUE(sm_between(from, now).ns <= SM_MS(2100).ns);
    net_free(w);
}

static void garbage_is_not_taken_nor_fetched_again(void)
{
    struct net *w = with_hostile(2);
    uint8_t bytes[20000];
    struct sm_bulletin_doc d;
    join(w, 0, 1);
    make(1, 9, false, sizeof bytes, bytes); /* whole, but not signed */
    describe(sm_view_of(bytes, sizeof bytes), &d);
    claim(w, 1, 9, sizeof bytes, d.hash);
    settle(w);
    deliver(w, bytes, sizeof bytes);
    settle(w);
    deliver(w, bytes, sizeof bytes);
    settle(w);
    T_EQ(w->board[0].offers, 1);
    T_EQ(w->blames_of_hostile, 1);
    for (unsigned i = 0; i < 20; i++) {
        claim(w, 1, 9, sizeof bytes, d.hash);
        pass(w, SM_S(20));
    }
    T_EQ(w->board[0].offers, 1);
    T_EQ(w->wants_caught, 2);
    T_EQ(version_at(w, 1, 1), 0); /* and never passed on */
    net_free(w);
}

static void bytes_that_do_not_match_their_hash_are_not_offered(void)
{
    struct net *w = with_hostile(1);
    uint8_t bytes[1000], hash[32] = {1};
    make(1, 9, true, sizeof bytes, bytes);
    claim(w, 1, 9, sizeof bytes, hash);
    settle(w);
    deliver(w, bytes, sizeof bytes);
    settle(w);
    T_EQ(w->board[0].offers, 0);
    T_EQ(w->blames_of_hostile, 1);
    T_EQ(sm_bulletin_stats(w->b[0]).garbled, 1);
    net_free(w);
}

static void a_false_version_of_a_real_document_is_a_lie(void)
{
    struct net *w = with_hostile(1);
    uint8_t bytes[100];
    struct sm_bulletin_doc d;
    make(1, 2, true, sizeof bytes, bytes);
    describe(sm_view_of(bytes, sizeof bytes), &d);
    put(w, 0, 1, 3, sizeof bytes);
    claim(w, 1, 4, sizeof bytes, d.hash); /* version 2 dressed up */
    settle(w);
    deliver(w, bytes, sizeof bytes);
    settle(w);
    T_EQ(version_at(w, 0, 1), 3);
    T_EQ(sm_bulletin_stats(w->b[0]).lied, 1);
    T_EQ(w->blames_of_hostile, 1);
    claim(w, 1, 5, sizeof bytes, d.hash);
    pass(w, SM_S(100));
    T_EQ(w->wants_caught, 1);
    net_free(w);
}

static void what_cannot_be_taken_here_blames_nobody(void)
{
    struct net *w = with_hostile(1);
    uint8_t bytes[100];
    struct sm_bulletin_doc d;
    make(1, 2, true, sizeof bytes, bytes);
    bytes[9] = 2; /* EXPIRED, by our clock */
    describe(sm_view_of(bytes, sizeof bytes), &d);
    claim(w, 1, 2, sizeof bytes, d.hash);
    settle(w);
    deliver(w, bytes, sizeof bytes);
    settle(w);
    T_EQ(w->blames_of_hostile, 0);
    T_EQ(sm_bulletin_stats(w->b[0]).refused, 1);
    net_free(w);
}

static void a_slow_drip_ends_and_wrong_pieces_end_at_once(void)
{
    struct net *w = with_hostile(1);
    static uint8_t bytes[SM_BULLETIN_BYTES];
    struct sm_bulletin_doc d;
    make(1, 2, true, sizeof bytes, bytes);
    describe(sm_view_of(bytes, sizeof bytes), &d);
    claim(w, 1, 2, sizeof bytes, d.hash);
    settle(w);
    for (unsigned i = 0; i < 6; i++) { /* each just in time: 6 * 2.9 s of 8 pieces */
        if (sm_bulletin_stats(w->b[0]).late == 0) {
            deliver(w, bytes, sizeof bytes);
        }
        pass(w, SM_MS(2900));
    }
    T_EQ(sm_bulletin_stats(w->b[0]).late, 1);
    deliver(w, bytes, sizeof bytes - 1); /* another total than it promised */
    settle(w);
    T_EQ(sm_bulletin_stats(w->b[0]).garbled, 1);
    T_EQ(w->board[0].offers, 0);
    net_free(w);
}

static void floods_are_dropped_and_noticed(void)
{
    struct net *w = with_hostile(1);
    uint8_t hash[32] = {0};
    put(w, 0, 1, 1, SM_BULLETIN_BYTES);
    settle(w);
    struct sm_bulletin_message want = {.op = SM_BULLETIN_WANT};
    memcpy(want.hash, w->board[0].doc[1].hash, 32);
    for (unsigned i = 0; i < 20000; i++) { /* in ten seconds */
        sm_put_le64(hash, i + 1);
        claim(w, 2, i + 1, 100, hash);
        say(w, &want);
        settle(w);
        now.ns += SM_US(500).ns;
    }
    struct sm_bulletin_stats s = sm_bulletin_stats(w->b[0]);
    T_TRUE(s.dropped > 30000);
    T_TRUE(w->pieces_caught < 1024 + 10 * 50 + 2);
    T_TRUE(w->wants_caught < 10);
    T_TRUE(w->blames_of_hostile >= 1 && w->blames_of_hostile <= 3);
    T_EQ(w->board[0].offers, 0);
    net_free(w);
}

static void every_cut_and_every_broken_rule_is_refused(void)
{
    uint8_t bytes[SM_BULLETIN_DIGEST_MAX + 1], again[SM_BULLETIN_DIGEST_MAX];
    struct sm_bulletin_message m = {.op = SM_BULLETIN_DIGEST, .n_docs = 2}, got;
    m.docs[0] = (struct sm_bulletin_doc){.kind = 1, .version = 3, .bytes = 10};
    m.docs[1] = (struct sm_bulletin_doc){.kind = 1, .name = {1}, .bytes = SM_BULLETIN_BYTES};
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    sm_bulletin_message_write(&m, &w);
    for (size_t n = 0; n < w.n; n++) {
        T_TRUE(sm_bulletin_message_read(sm_view_of(bytes, n), &got) != SM_OK);
    }
    T_OK(sm_bulletin_message_read(sm_view_of(bytes, w.n), &got));
    struct sm_wr w2 = sm_wr_init(again, sizeof again);
    sm_bulletin_message_write(&got, &w2);
    T_MEM(again, w2.n, bytes, w.n);
    bytes[w.n] = 0; /* one more byte */
    T_ERR(sm_bulletin_message_read(sm_view_of(bytes, w.n + 1), &got), SM_E_MALFORMED);

    m.docs[1].name[0] = 0; /* the same twice */
    w.n = 0;
    sm_bulletin_message_write(&m, &w);
    T_ERR(sm_bulletin_message_read(sm_view_of(bytes, w.n), &got), SM_E_MALFORMED);
    m.n_docs = 1;
    m.docs[0].bytes = SM_BULLETIN_BYTES + 1;
    w.n = 0;
    sm_bulletin_message_write(&m, &w);
    T_ERR(sm_bulletin_message_read(sm_view_of(bytes, w.n), &got), SM_E_MALFORMED);

    m = (struct sm_bulletin_message){.op = SM_BULLETIN_WANT, .offset = 1};
    w.n = 0;
    sm_bulletin_message_write(&m, &w);
    T_ERR(sm_bulletin_message_read(sm_view_of(bytes, w.n), &got), SM_E_MALFORMED);
    m = (struct sm_bulletin_message){.op = SM_BULLETIN_PIECE_OF, .total = 9};
    m.bytes = sm_view_str("eight by");
    w.n = 0;
    sm_bulletin_message_write(&m, &w);
    T_ERR(sm_bulletin_message_read(sm_view_of(bytes, w.n), &got), SM_E_MALFORMED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_change_reaches_everybody_once),
        T_CASE(a_newcomer_gets_what_it_lacks_and_tells_what_it_has),
        T_CASE(an_older_one_never_replaces_a_newer),
        T_CASE(a_replacement_while_it_is_fetched_is_found),
        T_CASE(many_changes_become_few_digests),
        T_CASE(a_claim_without_a_document_costs_little_and_is_noticed),
        T_CASE(liars_with_the_right_hash_who_stall_delay_by_the_hedge_alone),
        T_CASE(garbage_is_not_taken_nor_fetched_again),
        T_CASE(bytes_that_do_not_match_their_hash_are_not_offered),
        T_CASE(a_false_version_of_a_real_document_is_a_lie),
        T_CASE(what_cannot_be_taken_here_blames_nobody),
        T_CASE(a_slow_drip_ends_and_wrong_pieces_end_at_once),
        T_CASE(floods_are_dropped_and_noticed),
        T_CASE(every_cut_and_every_broken_rule_is_refused),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
