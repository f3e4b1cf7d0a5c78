// SPDX-License-Identifier: Apache-2.0
#include "core/route.h"

#include "core/route_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* How long a LINKSTATE lives, and when it is renewed; others' may not live longer than
 * LINKS_LIFE_MAX_S, so that what a lost node said does not stay. */
#define LINKS_LIFE_S       3600u
#define LINKS_RENEW        SM_S(LINKS_LIFE_S / 2)
#define LINKS_JITTER_S     300u /* of the renewal: nodes started together drift apart */
#define LINKS_LIFE_MAX_S   7200u
#define ORIGINATE_GAP      SM_MS(200) /* between two of our own LINKSTATEs, whatever happens */
#define ORIGINATE_THROTTLE SM_S(5)    /* ... when a link only got somewhat better or worse */
#define WORSE_CLASSES      2          /* so much worse is told at once */
#define SIGN_PATIENCE      SM_S(5)
#define SIGN_AGAIN         SM_S(1)

/* Records of one kind from one origin: a burst, then two a second.  Our own stay at half of
 * it, so that honest news is never refused. */
#define RECORD_EVERY SM_MS(500)
#define RECORD_BURST 16u
#define OWN_BURST    8u
/* Records of one neighbour that need a signature check: the whole area twice, then 100/s,
 * about 1.5 % of a core at the worst. */
#define LINK_RECORD_EVERY SM_MS(10)
#define LINK_RECORD_BURST (4u * SM_ROUTE_NODES_MAX)

#define HALF_LIFE_NS   4000000000u  /* of measured round trips */
#define FIRST_GUESS_NS 10000000u    /* a round trip before the first measurement */
#define SAMPLE_NS_MAX  60000000000u /* a minute; longer is as bad */

/* -- slots and their order --------------------------------------------------------------- */

/* Where hop is, or belongs, in order[]. */
static uint32_t order_find(const struct sm_route *r, struct sm_hop hop)
{
    uint32_t low = 0, high = r->order_n;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (r->order_hop[mid] < hop.v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

uint32_t sm_route_place_of(const struct sm_route *r, struct sm_hop hop)
{
    uint32_t i = order_find(r, hop);
    return i < r->order_n && r->order_hop[i] == hop.v ? i : SM_ROUTE_NONE;
}

uint32_t sm_route_slot_of(const struct sm_route *r, struct sm_hop hop)
{
    uint32_t i = sm_route_place_of(r, hop);
    return i != SM_ROUTE_NONE ? r->order[i] : SM_ROUTE_NONE;
}

static void event_set(struct sm_route *r, struct route_slot *s, enum route_event event)
{
    r->events -= s->event != EVENT_NONE ? 1 : 0;
    r->events += event != EVENT_NONE ? 1 : 0;
    s->event = event;
}

/* A slot for a new node; LIMIT when the area is full: ids cannot be made up, so the first
 * come stay.  A slot that still has to say GONE is not free. */
static enum sm_err slot_add(struct sm_route *r, const struct sm_node_id *id, uint32_t *out)
{
    uint32_t slot = 0;
    while (slot < r->cfg.nodes_max &&
           (r->slots[slot].is_used || r->slots[slot].event != EVENT_NONE)) {
        slot++;
    }
    if (slot == r->cfg.nodes_max) {
        return SM_E_LIMIT;
    }
    uint32_t at = order_find(r, sm_hop_of(id));
    uint32_t after = r->order_n - at;
    memmove(r->order + at + 1, r->order + at, after * sizeof *r->order);
    memmove(r->order_hop + at + 1, r->order_hop + at, after * sizeof *r->order_hop);
    r->order[at] = slot;
    r->order_hop[at] = sm_hop_of(id).v;
    r->order_n++;
    r->slots[slot] = (struct route_slot){.is_used = true, .id = *id};
    r->is_retold = true;
    *out = slot;
    return SM_OK;
}

static void pending_clear(struct route_link *l, uint32_t slot, enum flooded kind);

static void slot_remove(struct sm_route *r, struct sm_mono now, uint32_t slot)
{
    struct route_slot *s = &r->slots[slot];
    uint32_t at = order_find(r, sm_hop_of(&s->id));
    r->order_n--;
    uint32_t after = r->order_n - at;
    memmove(r->order + at, r->order + at + 1, after * sizeof *r->order);
    memmove(r->order_hop + at, r->order_hop + at + 1, after * sizeof *r->order_hop);
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        pending_clear(&r->links[i], slot, FLOODED_NODE);
        pending_clear(&r->links[i], slot, FLOODED_LINKS);
    }
    event_set(r, s, s->is_told ? EVENT_GONE : EVENT_NONE);
    s->is_used = false;
    s->paths_of = 0;
    r->is_retold = true;
    sm_route_graph_dirty(r, now);
    r->is_urgent = true;
}

/* -- flooding ---------------------------------------------------------------------------- */

static void pending_set(struct route_link *l, uint32_t slot, enum flooded kind)
{
    uint64_t *word = &l->pending[kind][slot / 64], bit = (uint64_t)1 << slot % 64;
    l->pending_n += (*word & bit) == 0 ? 1 : 0;
    *word |= bit;
}

static void pending_clear(struct route_link *l, uint32_t slot, enum flooded kind)
{
    uint64_t *word = &l->pending[kind][slot / 64], bit = (uint64_t)1 << slot % 64;
    l->pending_n -= (*word & bit) != 0 ? 1 : 0;
    *word &= ~bit;
}

static void pending_clear_all(const struct sm_route *r, struct route_link *l)
{
    for (unsigned kind = 0; kind < FLOODED_KINDS; kind++) {
        memset(l->pending[kind], 0, (r->cfg.nodes_max + 63) / 64 * sizeof(uint64_t));
    }
    l->pending_n = 0;
}

static void flood(struct sm_route *r, uint32_t slot, enum flooded kind,
                  const struct route_link *except)
{
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        if (r->links[i].is_up && &r->links[i] != except) {
            pending_set(&r->links[i], slot, kind);
        }
    }
}

static void sync(struct sm_route *r, struct route_link *l)
{
    for (uint32_t i = 0; i < r->order_n; i++) {
        for (unsigned kind = 0; kind < FLOODED_KINDS; kind++) {
            if (r->slots[r->order[i]].record[kind].n > 0) {
                pending_set(l, r->order[i], (enum flooded)kind);
            }
        }
    }
}

/* -- records ----------------------------------------------------------------------------- */

/* One more within a burst and a rate?  *rate is when the burst would be used up entirely had
 * it none left (a leaky bucket as one point in time). */
static bool may_take(struct sm_mono *rate, struct sm_mono now, struct sm_dur every,
                     uint64_t burst)
{
    struct sm_mono from = rate->ns > now.ns ? *rate : now;
    if (sm_between(now, from).ns > every.ns * burst) {
        return false;
    }
    *rate = sm_after(from, every);
    return true;
}

static void expire_by(struct sm_route *r, struct sm_mono at)
{
    r->expire_at = sm_earlier(r->expire_at, at);
}

static void record_store(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                         struct route_record *to, const struct sm_record_head *head,
                         struct sm_view record)
{
    assert(record.n < sizeof to->message);
    uint64_t left_s = head->expires.s > wall.s ? head->expires.s - wall.s : 0;
    left_s = left_s < UINT32_MAX ? left_s + SM_RECORD_SKEW_S : UINT32_MAX;
    to->seq = head->seq;
    to->expires = sm_after(now, SM_S(left_s));
    to->message[0] = SM_ROUTE_CONTROL_RECORD;
    memcpy(to->message + 1, record.p, record.n);
    to->n = (uint16_t)(record.n + 1);
    expire_by(r, to->expires);
}

static struct sm_view record_bytes(const struct route_record *rec)
{
    return rec->n > 0 ? sm_view_of(rec->message + 1, rec->n - 1u) : (struct sm_view){0};
}

/* Is this record news?  EXISTS or STALE when not.  Of our own records everything is news that
 * differs and is not older: it is from before a restart, and we must go above it. */
static enum sm_err record_compare(const struct sm_route *r, struct route_link *from,
                                  uint32_t slot, enum flooded kind, uint64_t seq,
                                  struct sm_view bytes)
{
    const struct route_record *have = &r->slots[slot].record[kind];
    if (have->n == 0 || seq > have->seq) {
        return SM_OK;
    }
    if (seq < have->seq) {
        pending_set(from, slot, kind); /* the neighbour is behind: tell it */
        return SM_E_STALE;
    }
    pending_clear(from, slot, kind);
    return slot == r->self && !sm_view_eq(record_bytes(have), bytes) ? SM_OK : SM_E_EXISTS;
}

/* Take a NODE record that nobody has checked yet. */
static enum sm_err node_believe(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                                const struct sm_anchor *anchor, struct sm_view bytes,
                                const struct route_link *from, uint32_t *out_slot)
{
    struct sm_node_record *rec = &r->parsed;
    SM_TRY(sm_node_record_verify(r->cfg.suite, anchor, wall, bytes, rec));
    if (rec->area != r->cfg.area) {
        return SM_E_REFUSED;
    }
    uint32_t slot = sm_route_slot_of(r, sm_hop_of(&rec->node_id));
    if (slot == SM_ROUTE_NONE) {
        SM_TRY(slot_add(r, &rec->node_id, &slot));
        sm_route_graph_dirty(r, now);
    }
    struct route_slot *s = &r->slots[slot];
    if (!sm_node_id_eq(&s->id, &rec->node_id)) {
        return SM_E_REFUSED; /* two ids with the same first eight bytes: the first stays */
    }
    *out_slot = slot;
    if (s->record[FLOODED_NODE].n > 0 && rec->head.seq <= s->record[FLOODED_NODE].seq) {
        return SM_E_EXISTS;
    }
    memcpy(s->sign_key, rec->sign_key, sizeof s->sign_key);
    memcpy(s->platform_id, rec->platform_id, sizeof s->platform_id);
    record_store(r, now, wall, &s->record[FLOODED_NODE], &rec->head, bytes);
    flood(r, slot, FLOODED_NODE, from);
    if (s->is_told) {
        event_set(r, s, EVENT_LEARNED);
    }
    uint64_t age_s = wall.s > rec->head.not_before.s ? wall.s - rec->head.not_before.s : 0;
    age_s = age_s < UINT32_MAX ? age_s : UINT32_MAX;
    /* A trust table full of offenders leaves the newcomer without trust: score 0. */
    if (sm_trust_appraise(r->cfg.trust, now, &s->id, rec->platform_id, rec->platform,
                          SM_S(age_s)) != SM_OK ||
        sm_route_trust_follow(r, now, s)) {
        sm_route_graph_dirty(r, now);
    }
    return SM_OK;
}

/* A record that fails its checks says something about the neighbour that passed it on. */
static void blame(struct sm_route *r, struct sm_mono now, const struct route_link *from,
                  enum sm_err err)
{
    uint32_t slot = sm_route_slot_of(r, from->hop);
    if (slot == SM_ROUTE_NONE || (err != SM_E_CRYPTO && err != SM_E_AUTH)) {
        return;
    }
    struct route_slot *s = &r->slots[slot];
    if (sm_trust_observe(r->cfg.trust, now, &s->id, SM_TRUST_WRONG) &&
        sm_route_trust_follow(r, now, s)) {
        r->is_urgent = true;
    }
}

static enum sm_err take_node(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                             struct route_link *from, const struct sm_record_head *head,
                             const struct sm_node_id *id, struct sm_view bytes)
{
    uint32_t slot = sm_route_slot_of(r, sm_hop_of(id));
    if (slot != SM_ROUTE_NONE) {
        struct route_record *have = &r->slots[slot].record[FLOODED_NODE];
        SM_TRY(record_compare(r, from, slot, FLOODED_NODE, head->seq, bytes));
        if (!may_take(&have->rate, now, RECORD_EVERY, RECORD_BURST)) {
            return SM_E_BUSY;
        }
    }
    if (!may_take(&from->rate, now, LINK_RECORD_EVERY, LINK_RECORD_BURST)) {
        return SM_E_BUSY;
    }
    if (slot != SM_ROUTE_NONE && slot == r->self) {
        SM_TRY(sm_node_record_verify(r->cfg.suite, r->cfg.pinned, wall, bytes, &r->parsed));
        r->stale_seq = head->seq > r->stale_seq ? head->seq : r->stale_seq;
        return SM_E_EXISTS;
    }
    enum sm_err err = node_believe(r, now, wall, r->cfg.anchor, bytes, from, &slot);
    blame(r, now, from, err);
    return err;
}

/* Everything of a LINKSTATE after its sequence number and times, before the signature. */
static struct sm_view links_content(struct sm_view record)
{
    if (record.n < SM_RECORD_HEAD + SM_RECORD_SIG) {
        return (struct sm_view){0};
    }
    return sm_view_sub(record, SM_RECORD_HEAD, record.n - SM_RECORD_HEAD - SM_RECORD_SIG);
}

static enum sm_err links_check(const struct sm_route *r, struct sm_wall wall,
                               const struct route_slot *s, struct sm_view bytes)
{
    struct sm_linkstate ls;
    SM_TRY(sm_linkstate_read(bytes, &ls));
    if (!sm_node_id_eq(&ls.node_id, &s->id) || ls.area != r->cfg.area ||
        ls.head.expires.s - ls.head.not_before.s > LINKS_LIFE_MAX_S) {
        return SM_E_REFUSED;
    }
    return sm_record_verify(r->cfg.suite, r->cfg.anchor, wall, bytes, SM_RECORD_LINKSTATE,
                            s->sign_key);
}

static void originate_soon(struct sm_route *r, struct sm_mono now);

static enum sm_err take_links(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                              struct route_link *from, const struct sm_record_head *head,
                              const struct sm_node_id *id, struct sm_view bytes)
{
    uint32_t slot = sm_route_slot_of(r, sm_hop_of(id));
    if (slot == SM_ROUTE_NONE) {
        return SM_E_NOTFOUND; /* its NODE record comes first, from any neighbour */
    }
    struct route_slot *s = &r->slots[slot];
    struct route_record *have = &s->record[FLOODED_LINKS];
    SM_TRY(record_compare(r, from, slot, FLOODED_LINKS, head->seq, bytes));
    if (!may_take(&have->rate, now, RECORD_EVERY, RECORD_BURST) ||
        !may_take(&from->rate, now, LINK_RECORD_EVERY, LINK_RECORD_BURST)) {
        return SM_E_BUSY;
    }
    enum sm_err err = links_check(r, wall, s, bytes);
    blame(r, now, from, err);
    SM_TRY(err);
    if (slot == r->self) { /* from before a restart: go above it */
        r->links_seq = head->seq > r->links_seq ? head->seq : r->links_seq;
        originate_soon(r, now);
        return SM_E_EXISTS;
    }
    bool is_same = sm_view_eq(links_content(record_bytes(have)), links_content(bytes));
    record_store(r, now, wall, have, head, bytes);
    flood(r, slot, FLOODED_LINKS, from);
    if (!is_same) {
        r->is_retold = true;
        sm_route_graph_dirty(r, now);
    }
    return SM_OK;
}

static enum sm_err take(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                        struct route_link *from, struct sm_view bytes)
{
    struct sm_record_head head;
    struct sm_node_id id;
    SM_TRY(sm_record_peek(bytes, &head));
    struct sm_rd rd = sm_rd_init(sm_view_sub(bytes, SM_RECORD_HEAD, sizeof id.b));
    sm_rd_bytes(&rd, id.b, sizeof id.b); /* both kinds begin with it */
    SM_TRY(sm_rd_done(&rd));
    if (head.network != r->cfg.anchor->network) {
        return SM_E_AUTH;
    }
    if (head.type == SM_RECORD_NODE) {
        return take_node(r, now, wall, from, &head, &id, bytes);
    }
    if (head.type == SM_RECORD_LINKSTATE) {
        return take_links(r, now, wall, from, &head, &id, bytes);
    }
    return SM_E_UNSUPPORTED;
}

static void count(struct sm_route_stats *st, enum sm_err err)
{
    uint64_t *counter = err == SM_OK         ? &st->taken
                        : err == SM_E_EXISTS ? &st->same
                        : err == SM_E_STALE  ? &st->stale
                        : err == SM_E_BUSY   ? &st->limited
                                             : &st->refused;
    (*counter)++;
}

enum sm_err sm_route_control(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                             struct sm_hop from, struct sm_view message)
{
    struct route_link *l = sm_route_link_of(r, from);
    enum sm_err err = SM_E_MALFORMED;
    if (l == NULL) {
        err = SM_E_STATE;
    } else if (message.n > 1 && message.p[0] == SM_ROUTE_CONTROL_RECORD) {
        err = take(r, now, wall, l, sm_view_sub(message, 1, message.n - 1));
    }
    count(&r->stats, err);
    return err;
}

/* -- our own records --------------------------------------------------------------------- */

enum sm_err sm_route_self(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                          struct sm_view node_record)
{
    struct sm_node_record rec;
    SM_TRY(sm_node_record_verify(r->cfg.suite, r->cfg.pinned, wall, node_record, &rec));
    bool is_first = r->self == SM_ROUTE_NONE;
    if (rec.area != r->cfg.area ||
        (!is_first && !sm_node_id_eq(&rec.node_id, &r->slots[r->self].id))) {
        return SM_E_INVALID;
    }
    uint32_t slot;
    enum sm_err err = node_believe(r, now, wall, r->cfg.pinned, node_record, NULL, &slot);
    if (err == SM_E_EXISTS) {
        return SM_E_STALE;
    }
    SM_TRY(err);
    r->self = slot;
    event_set(r, &r->slots[slot], EVENT_NONE);
    if (is_first) {
        r->announced = (struct sm_linkstate){.node_id = rec.node_id, .area = rec.area};
    }
    return SM_OK;
}

static void originate_by(struct sm_route *r, struct sm_mono now, struct sm_dur gap)
{
    struct sm_mono at = sm_after(r->originated_at, gap);
    at = r->links_seq == 0 || sm_is_due(at, now) ? now : at;
    r->originate_at = sm_earlier(r->originate_at, at);
}

static void originate_soon(struct sm_route *r, struct sm_mono now)
{
    originate_by(r, now, ORIGINATE_GAP);
}

/* Our links in the order of their hop ids, as they are now. */
static void links_collect(const struct sm_route *r, struct sm_linkstate *ls)
{
    ls->n = 0;
    for (uint32_t i = 0; i < r->order_n; i++) {
        const struct route_slot *s = &r->slots[r->order[i]];
        for (unsigned k = 0; k < SM_LINKS_MAX; k++) {
            const struct route_link *l = &r->links[k];
            if (l->is_up && l->hop.v == sm_hop_of(&s->id).v) {
                ls->links[ls->n++] = (struct sm_link){l->hop, l->class, s->trust_class};
            }
        }
    }
}

static void originate(struct sm_route *r, struct sm_mono now, struct sm_wall wall)
{
    r->sign.is_asked = false;
    r->sign.is_to_send = false;
    r->refresh_at = SM_NEVER;
    if (!may_take(&r->own_rate, now, RECORD_EVERY, OWN_BURST)) {
        r->originate_at = sm_after(now, RECORD_EVERY);
        return;
    }
    struct sm_linkstate *ls = &r->announced;
    uint64_t by_clock = wall.s << 16; /* above what we said before a restart */
    r->links_seq = r->links_seq + 1 > by_clock ? r->links_seq + 1 : by_clock;
    ls->head = (struct sm_record_head){.network = r->cfg.anchor->network,
                                       .seq = r->links_seq,
                                       .not_before = wall,
                                       .expires = {wall.s + LINKS_LIFE_S}};
    links_collect(r, ls);
    struct sm_wr w = sm_wr_init(r->sign.request, sizeof r->sign.request);
    sm_wr_u8(&w, 1); /* sign request of kind RECORD */
    sm_linkstate_write(ls, &w);
    assert(!w.full);
    r->sign.n = w.n;
    r->sign.token++;
    r->sign.is_asked = true;
    r->sign.is_to_send = true;
    r->sign.give_up = sm_after(now, SIGN_PATIENCE);
    r->originated_at = now;
    r->originate_at = SM_NEVER;
    struct sm_dur early = SM_S(sm_rng_below(&r->rng, LINKS_JITTER_S));
    r->refresh_at = sm_after(now, (struct sm_dur){LINKS_RENEW.ns - early.ns});
}

void sm_route_signed(struct sm_route *r, struct sm_mono now, uint64_t token, enum sm_err err,
                     struct sm_view sig)
{
    if (!r->sign.is_asked || token != r->sign.token) {
        return; /* an answer that came too late */
    }
    r->sign.is_asked = false;
    r->sign.is_to_send = false;
    if (err != SM_OK || sig.n != SM_RECORD_SIG) {
        r->originate_at = sm_after(now, SIGN_AGAIN);
        return;
    }
    uint8_t record[SM_LINKSTATE_RECORD_MAX];
    struct sm_wr w = sm_wr_init(record, sizeof record);
    sm_wr_bytes(&w, r->sign.request + 1, r->sign.n - 1);
    sm_wr_view(&w, sig);
    assert(!w.full);
    const struct sm_record_head *head = &r->announced.head;
    record_store(r, now, head->not_before, &r->slots[r->self].record[FLOODED_LINKS], head,
                 sm_view_of(record, w.n));
    flood(r, r->self, FLOODED_LINKS, NULL);
    r->is_retold = true;
    r->stats.originated++;
}

/* -- links ------------------------------------------------------------------------------- */

struct route_link *sm_route_link_of(struct sm_route *r, struct sm_hop hop)
{
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        if (r->links[i].is_up && r->links[i].hop.v == hop.v) {
            return &r->links[i];
        }
    }
    return NULL;
}

bool sm_route_is_neighbour(const struct sm_route *r, struct sm_hop hop)
{
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        if (r->links[i].is_up && r->links[i].hop.v == hop.v) {
            return true;
        }
    }
    return false;
}

uint32_t sm_route_link_units(const struct route_link *l)
{
    return (uint32_t)((l->rtt_ns / 2 + l->queue_ns) / SM_ROUTE_UNIT_NS);
}

static struct route_link *link_free(struct sm_route *r)
{
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        if (!r->links[i].is_up) {
            return &r->links[i];
        }
    }
    return NULL;
}

enum sm_err sm_route_link_up(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                             struct sm_view peer_record)
{
    if (r->self == SM_ROUTE_NONE) {
        return SM_E_STATE;
    }
    uint32_t slot;
    enum sm_err err = node_believe(r, now, wall, r->cfg.anchor, peer_record, NULL, &slot);
    if (err != SM_OK && err != SM_E_EXISTS) {
        return err;
    }
    if (slot == r->self) {
        return SM_E_INVALID;
    }
    struct sm_hop hop = sm_hop_of(&r->slots[slot].id);
    struct route_link *l = sm_route_link_of(r, hop);
    l = l != NULL ? l : link_free(r);
    if (l == NULL) {
        return SM_E_LIMIT;
    }
    pending_clear_all(r, l);
    l->is_up = true;
    l->is_measured = false;
    l->is_paused = false;
    l->hop = hop;
    l->rtt_ns = FIRST_GUESS_NS;
    l->queue_ns = 0;
    l->class = sm_class_of(sm_route_link_units(l));
    l->rate = now;
    sync(r, l);
    originate_soon(r, now);
    sm_route_graph_dirty(r, now);
    r->is_urgent = true;
    return SM_OK;
}

void sm_route_link_down(struct sm_route *r, struct sm_mono now, struct sm_hop peer)
{
    struct route_link *l = sm_route_link_of(r, peer);
    if (l == NULL) {
        return;
    }
    l->is_up = false;
    pending_clear_all(r, l);
    originate_soon(r, now);
    sm_route_graph_dirty(r, now);
    r->is_urgent = true;
}

void sm_route_link_again(struct sm_route *r, struct sm_hop peer)
{
    struct route_link *l = sm_route_link_of(r, peer);
    if (l != NULL && l->is_up) {
        sync(r, l);
    }
}

void sm_route_link_pause(struct sm_route *r, struct sm_hop peer, bool is_paused)
{
    struct route_link *l = sm_route_link_of(r, peer);
    if (l != NULL) {
        l->is_paused = is_paused;
    }
}

static uint64_t smoothed(uint64_t was, uint64_t sample, uint32_t keep_q16)
{
    uint64_t s = sample < SAMPLE_NS_MAX ? sample : SAMPLE_NS_MAX;
    return (was * keep_q16 + s * (SM_Q16_ONE - keep_q16)) >> 16;
}

void sm_route_link_sample(struct sm_route *r, struct sm_mono now, struct sm_hop peer,
                          struct sm_dur rtt, struct sm_dur queue)
{
    struct route_link *l = sm_route_link_of(r, peer);
    if (l == NULL) {
        return;
    }
    uint64_t age_ms = sm_between(l->sampled_at, now).ns / 1000000u;
    if (l->is_measured && age_ms == 0) {
        return; /* more than one a millisecond adds nothing */
    }
    uint32_t keep =
        l->is_measured ? sm_exp2_neg_q16((age_ms << 16) / (HALF_LIFE_NS / 1000000u)) : 0;
    l->rtt_ns = smoothed(l->rtt_ns, rtt.ns, keep);
    l->queue_ns = smoothed(l->queue_ns, queue.ns, keep);
    l->sampled_at = now;
    uint8_t was = l->class;
    l->class = l->is_measured ? sm_class_follow(was, sm_route_link_units(l))
                              : sm_class_of(sm_route_link_units(l));
    l->is_measured = true;
    if (l->class == was) {
        return;
    }
    sm_route_graph_dirty(r, now);
    const struct sm_link *told = sm_linkstate_find(&r->announced, peer);
    bool is_worse = told != NULL && l->class >= told->cost_class + WORSE_CLASSES;
    originate_by(r, now, is_worse ? ORIGINATE_GAP : ORIGINATE_THROTTLE);
}

/* -- time -------------------------------------------------------------------------------- */

static void links_expire(struct sm_route *r, struct sm_mono now, uint32_t slot)
{
    r->slots[slot].record[FLOODED_LINKS].n = 0;
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        pending_clear(&r->links[i], slot, FLOODED_LINKS);
    }
    r->is_retold = true;
    sm_route_graph_dirty(r, now);
}

/* Remove what has expired.  Our own NODE record stays: whoever renews it is late, and others
 * drop it by themselves. */
static void expire(struct sm_route *r, struct sm_mono now)
{
    r->expire_at = SM_NEVER;
    for (uint32_t slot = 0; slot < r->cfg.nodes_max; slot++) {
        struct route_slot *s = &r->slots[slot];
        if (!s->is_used) {
            continue;
        }
        if (s->record[FLOODED_LINKS].n > 0 &&
            sm_is_due(s->record[FLOODED_LINKS].expires, now)) {
            links_expire(r, now, slot);
        }
        if (slot != r->self && sm_is_due(s->record[FLOODED_NODE].expires, now)) {
            slot_remove(r, now, slot);
            continue;
        }
        if (slot != r->self) {
            expire_by(r, s->record[FLOODED_NODE].expires);
        }
        if (s->record[FLOODED_LINKS].n > 0) {
            expire_by(r, s->record[FLOODED_LINKS].expires);
        }
    }
}

/* The record of a slot, with its platform id, as long as r->parsed is left alone. */
static const struct sm_node_record *read_slot(struct sm_route *r, const struct route_slot *s)
{
    enum sm_err e = sm_node_record_read(record_bytes(&s->record[FLOODED_NODE]), &r->parsed);
    assert(e == SM_OK); /* it was verified when it came */
    memcpy(r->parsed.platform_id, s->platform_id, sizeof r->parsed.platform_id);
    return &r->parsed;
}

/* Believed when it came, and still so? */
static bool is_believed(struct sm_route *r, struct sm_wall wall, const struct route_slot *s,
                        bool is_anchor_new)
{
    struct sm_view bytes = record_bytes(&s->record[FLOODED_NODE]);
    if (is_anchor_new) {
        enum sm_err e =
            sm_node_record_verify(r->cfg.suite, r->cfg.anchor, wall, bytes, &r->parsed);
        return e == SM_OK || e == SM_E_EXPIRED; /* expire() has its own time */
    }
    return !sm_node_is_revoked(r->cfg.anchor, read_slot(r, s), NULL);
}

void sm_route_rules_changed(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                            bool is_anchor_new)
{
    for (uint32_t slot = 0; slot < r->cfg.nodes_max; slot++) {
        struct route_slot *s = &r->slots[slot];
        if (!s->is_used || slot == r->self || s->record[FLOODED_NODE].n == 0) {
            continue;
        }
        if (!is_believed(r, wall, s, is_anchor_new)) {
            sm_trust_revoke(r->cfg.trust, &s->id);
            sm_route_link_down(r, now, sm_hop_of(&s->id));
            slot_remove(r, now, slot);
            event_set(r, s, EVENT_REVOKED);
        } else if (sm_route_trust_follow(r, now, s)) {
            r->is_urgent = true;
        }
    }
}

static struct sm_mono originate_deadline(const struct sm_route *r)
{
    if (r->self == SM_ROUTE_NONE) {
        return SM_NEVER;
    }
    return r->sign.is_asked ? r->sign.give_up : sm_earlier(r->originate_at, r->refresh_at);
}

struct sm_mono sm_route_deadline(const struct sm_route *r)
{
    struct sm_mono at = sm_earlier(r->expire_at, originate_deadline(r));
    return sm_earlier(at, sm_route_graph_deadline(r));
}

void sm_route_tick(struct sm_route *r, struct sm_mono now, struct sm_wall wall)
{
    if (sm_is_due(r->expire_at, now)) {
        expire(r, now);
    }
    sm_route_graph_tick(r, now);
    if (sm_is_due(originate_deadline(r), now)) {
        originate(r, now, wall);
    }
}

/* -- outputs ----------------------------------------------------------------------------- */

static bool next_event(struct sm_route *r, enum route_event event, struct sm_route_out *out)
{
    for (uint32_t i = 0; r->events > 0 && i < r->cfg.nodes_max; i++) {
        struct route_slot *s = &r->slots[i];
        if (s->event != event) {
            continue;
        }
        event_set(r, s, EVENT_NONE);
        s->is_told = event == EVENT_LEARNED;
        *out = (struct sm_route_out){.kind = event == EVENT_REVOKED ? SM_ROUTE_NODE_REVOKED
                                                                    : SM_ROUTE_NODE_GONE,
                                     .id = s->id};
        if (event == EVENT_REVOKED) { /* nobody has taken its place yet */
            out->record = read_slot(r, s);
        }
        if (event == EVENT_LEARNED) {
            out->kind = SM_ROUTE_NODE_LEARNED;
            out->record = sm_route_node(r, sm_hop_of(&s->id));
        }
        return true;
    }
    return false;
}

/* The first record this neighbour waits for: NODE records go first, for the keys in them. */
static bool link_next(struct sm_route *r, struct route_link *l, struct sm_route_out *out)
{
    size_t words = (r->cfg.nodes_max + 63) / 64;
    for (unsigned kind = 0; l->pending_n > 0 && kind < FLOODED_KINDS; kind++) {
        for (size_t i = 0; i < words; i++) {
            if (l->pending[kind][i] == 0) {
                continue;
            }
            uint32_t slot = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(l->pending[kind][i]);
            pending_clear(l, slot, (enum flooded)kind);
            const struct route_record *rec = &r->slots[slot].record[kind];
            assert(rec->n > 0);
            *out = (struct sm_route_out){.kind = SM_ROUTE_FLOOD,
                                         .to = l->hop,
                                         .bytes = sm_view_of(rec->message, rec->n)};
            return true;
        }
    }
    return false;
}

bool sm_route_next(struct sm_route *r, struct sm_route_out *out)
{
    if (r->sign.is_to_send) {
        r->sign.is_to_send = false;
        *out = (struct sm_route_out){.kind = SM_ROUTE_SIGN,
                                     .token = r->sign.token,
                                     .bytes = sm_view_of(r->sign.request, r->sign.n)};
        return true;
    }
    if (r->stale_seq > r->told_stale_seq) {
        r->told_stale_seq = r->stale_seq;
        *out = (struct sm_route_out){.kind = SM_ROUTE_SELF_STALE, .seq = r->stale_seq};
        return true;
    }
    if (next_event(r, EVENT_REVOKED, out) || next_event(r, EVENT_GONE, out) ||
        next_event(r, EVENT_LEARNED, out)) {
        return true;
    }
    for (unsigned i = 0; i < SM_LINKS_MAX; i++) {
        struct route_link *l = &r->links[i];
        if (l->is_up && !l->is_paused && link_next(r, l, out)) {
            return true;
        }
    }
    if (r->is_changed) {
        r->is_changed = false;
        *out = (struct sm_route_out){.kind = SM_ROUTE_CHANGED};
        return true;
    }
    return false;
}

/* -- the object -------------------------------------------------------------------------- */

static enum sm_err tables_make(struct sm_route *r)
{
    uint32_t n = (uint32_t)r->cfg.nodes_max;
    size_t words = (n + 63) / 64;
    r->slots = calloc(n, sizeof *r->slots);
    r->order = calloc(n, sizeof *r->order);
    r->order_hop = calloc(n, sizeof *r->order_hop);
    r->node_slot = calloc(n, sizeof *r->node_slot);
    r->pending_words = calloc(words * FLOODED_KINDS * SM_LINKS_MAX, sizeof(uint64_t));
    r->spf = sm_spf_new(n);
    if (r->slots == NULL || r->order == NULL || r->order_hop == NULL || r->node_slot == NULL ||
        r->pending_words == NULL || r->spf == NULL) {
        return SM_E_NOMEM;
    }
    for (size_t i = 0; i < SM_LINKS_MAX; i++) {
        for (size_t kind = 0; kind < FLOODED_KINDS; kind++) {
            r->links[i].pending[kind] = r->pending_words + words * (i * FLOODED_KINDS + kind);
        }
    }
    SM_TRY(sm_graph_init(&r->announcements, n, n * SM_LINKS_MAX));
    return sm_graph_init(&r->graph, n, n * SM_LINKS_MAX);
}

struct sm_route *sm_route_new(const struct sm_route_cfg *cfg)
{
    if (cfg->nodes_max < 2 || cfg->nodes_max > SM_ROUTE_NODES_MAX) {
        return NULL;
    }
    struct sm_route *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->cfg = *cfg;
    r->self = SM_ROUTE_NONE;
    r->expire_at = r->originate_at = r->refresh_at = r->penalty_at = r->check_at = SM_NEVER;
    sm_rng_init(&r->rng, cfg->seed, "route");
    if (tables_make(r) != SM_OK) {
        sm_route_free(r);
        return NULL;
    }
    return r;
}

void sm_route_free(struct sm_route *r)
{
    if (r == NULL) {
        return;
    }
    sm_graph_done(&r->announcements);
    sm_graph_done(&r->graph);
    sm_spf_free(r->spf);
    free(r->slots);
    free(r->order);
    free(r->order_hop);
    free(r->node_slot);
    free(r->pending_words);
    free(r);
}

/* -- the map ----------------------------------------------------------------------------- */

const struct sm_node_record *sm_route_node(struct sm_route *r, struct sm_hop hop)
{
    struct sm_view bytes = sm_route_node_bytes(r, hop);
    if (bytes.n == 0) {
        return NULL;
    }
    enum sm_err err = sm_node_record_read(bytes, &r->parsed);
    assert(err == SM_OK); /* it was verified when it came */
    return &r->parsed;
}

struct sm_view sm_route_node_bytes(const struct sm_route *r, struct sm_hop hop)
{
    uint32_t slot = sm_route_slot_of(r, hop);
    return slot == SM_ROUTE_NONE ? (struct sm_view){0}
                                 : record_bytes(&r->slots[slot].record[FLOODED_NODE]);
}

const uint8_t *sm_route_sign_key(const struct sm_route *r, const struct sm_node_id *id)
{
    uint32_t slot = sm_route_slot_of(r, sm_hop_of(id));
    return slot != SM_ROUTE_NONE && sm_node_id_eq(&r->slots[slot].id, id)
               ? r->slots[slot].sign_key
               : NULL;
}

size_t sm_route_count(const struct sm_route *r)
{
    return r->order_n;
}

enum sm_err sm_route_links(const struct sm_route *r, struct sm_hop hop,
                           struct sm_linkstate *out)
{
    uint32_t slot = sm_route_slot_of(r, hop);
    if (slot == SM_ROUTE_NONE || r->slots[slot].record[FLOODED_LINKS].n == 0) {
        return SM_E_NOTFOUND;
    }
    return sm_linkstate_read(record_bytes(&r->slots[slot].record[FLOODED_LINKS]), out);
}

struct sm_route_stats sm_route_stats(const struct sm_route *r)
{
    return r->stats;
}
