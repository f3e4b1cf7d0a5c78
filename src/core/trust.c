// SPDX-License-Identifier: Apache-2.0
#include "core/trust.h"

#include "base/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The parameters of notes on trust, section 2.3; every number below is tested there and in
 * tests/test_trust.c. */
#define FAST_KEEP_Q32 3865470566u /* 0.9 */
#define SLOW_KEEP_Q32 4290672328u /* 0.999 */
#define FAST_PRIOR    ((struct beta){5 * SM_Q16_ONE, SM_Q16_ONE / 2})
#define SLOW_PRIOR    ((struct beta){20 * SM_Q16_ONE, SM_Q16_ONE})
#define FAST_BAR_Q16  22937u /* 0.35 */
#define SLOW_BAR_Q16  52428u /* 0.80 */

enum { STRIKES_MAX = 12 }; /* the twelfth quarantine lasts 2^11 hours */
#define HOUR_S        3600u
#define FRESH_FOR     SM_S(HOUR_S)       /* an appraisal counts fully so long */
#define GRADE_HALF_S  (12u * HOUR_S)     /* and then halves in this time */
#define EVIDENCE_LIFE SM_S(24u * HOUR_S) /* and ends */
#define FORGIVE_AFTER SM_S(30u * 24u * HOUR_S)
#define OUTAGE_AGAIN  SM_S(60) /* one that goes on counts again after this */

enum { SAVE_VERSION = 1 };
#define SAVE_MAGIC 0x74736d73u /* "smst" */

/* Good and bad evidence, each at most 10 / (1 - 0.999) = 10,000 in Q16. */
struct beta {
    uint32_t good, bad;
};

struct platform {
    uint8_t id[32];
    bool is_used, is_forged;
    uint8_t strikes;
    struct beta fast, slow;
    struct sm_mono quarantine_end, forgive_at, last_seen;
    struct sm_mono silent_at; /* the last TIMEOUT that counted */
    bool is_silent;           /* nothing else was seen since */
    uint64_t seen[SM_TRUST_KINDS];
};

struct node {
    struct sm_node_id id;
    bool is_used, is_revoked;
    uint8_t kind; /* platform number */
    uint32_t platform;
    struct sm_mono appraised, last_seen;
    struct sm_dur age; /* of the appraisal when it was told */
};

struct sm_trust {
    struct sm_trust_cfg cfg;
    struct platform *platforms;
    struct node *nodes;
    struct sm_map platform_of, node_of;
};

/* -- one platform ------------------------------------------------------------------------ */

static void beta_add(struct beta *b, uint32_t keep_q32, uint32_t good, uint32_t bad)
{
    b->good = (uint32_t)((uint64_t)b->good * keep_q32 >> 32) + good * SM_Q16_ONE;
    b->bad = (uint32_t)((uint64_t)b->bad * keep_q32 >> 32) + bad * SM_Q16_ONE;
}

static uint32_t beta_q16(struct beta b)
{
    return (uint32_t)(((uint64_t)b.good << 16) / ((uint64_t)b.good + b.bad));
}

static void behaviour_restart(struct platform *p)
{
    p->fast = FAST_PRIOR;
    p->slow = SLOW_PRIOR;
}

static bool is_quarantined(const struct platform *p, struct sm_mono now)
{
    return p->strikes > 0 && !sm_is_due(p->quarantine_end, now);
}

/* Strikes are at most STRIKES_MAX, so this loop is short. */
static void forgive(struct platform *p, struct sm_mono now)
{
    while (p->strikes > 0 && sm_is_due(p->forgive_at, now)) {
        p->strikes--;
        p->forgive_at = sm_after(p->forgive_at, FORGIVE_AFTER);
    }
}

static void quarantine(struct platform *p, struct sm_mono now)
{
    uint64_t hours = (uint64_t)1 << (p->strikes < STRIKES_MAX ? p->strikes : STRIKES_MAX - 1);
    p->quarantine_end = sm_after(now, SM_S(hours * HOUR_S));
    p->forgive_at = sm_after(p->quarantine_end, FORGIVE_AFTER);
    if (p->strikes < STRIKES_MAX) {
        p->strikes++;
    }
    behaviour_restart(p);
}

unsigned sm_trust_weight(enum sm_trust_kind kind)
{
    switch (kind) {
    case SM_TRUST_TIMEOUT:
        return 1;
    case SM_TRUST_WRONG:
        return 3;
    case SM_TRUST_BAD_HASH:
        return 10;
    case SM_TRUST_OK:
    case SM_TRUST_FORGED:
    case SM_TRUST_KINDS:
        break;
    }
    return 0;
}

const char *sm_trust_kind_words(enum sm_trust_kind kind)
{
    switch (kind) {
    case SM_TRUST_OK:
        return "ended well";
    case SM_TRUST_TIMEOUT:
        return "no answer in time";
    case SM_TRUST_WRONG:
        return "wrong or stale answer";
    case SM_TRUST_BAD_HASH:
        return "data that failed its hash";
    case SM_TRUST_FORGED:
        return "forged record";
    case SM_TRUST_KINDS:
        break;
    }
    return "unknown kind";
}

/* -- the tables -------------------------------------------------------------------------- */

struct sm_trust *sm_trust_new(const struct sm_trust_cfg *cfg)
{
    if (cfg->nodes_max < 1 || cfg->nodes_max > SM_TRUST_NODES_MAX) {
        return NULL;
    }
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        if (cfg->grade[i] > 1000) {
            return NULL;
        }
    }
    struct sm_trust *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->cfg = *cfg;
    t->platforms = calloc(cfg->nodes_max, sizeof *t->platforms);
    t->nodes = calloc(cfg->nodes_max, sizeof *t->nodes);
    const uint64_t *k = cfg->map_key;
    if (t->platforms == NULL || t->nodes == NULL ||
        sm_map_init(&t->platform_of, 32, cfg->nodes_max, k[0], k[1]) != SM_OK ||
        sm_map_init(&t->node_of, 32, cfg->nodes_max, k[0], k[1]) != SM_OK) {
        sm_trust_free(t);
        return NULL;
    }
    return t;
}

void sm_trust_free(struct sm_trust *t)
{
    if (t == NULL) {
        return;
    }
    sm_map_done(&t->platform_of);
    sm_map_done(&t->node_of);
    free(t->platforms);
    free(t->nodes);
    free(t);
}

static void node_forget(struct sm_trust *t, struct node *n)
{
    bool was_there = sm_map_del(&t->node_of, n->id.b);
    assert(was_there);
    *n = (struct node){0};
}

static void platform_forget(struct sm_trust *t, uint32_t slot)
{
    for (size_t i = 0; i < t->cfg.nodes_max; i++) {
        if (t->nodes[i].is_used && t->nodes[i].platform == slot) {
            node_forget(t, &t->nodes[i]);
        }
    }
    bool was_there = sm_map_del(&t->platform_of, t->platforms[slot].id);
    assert(was_there);
    t->platforms[slot] = (struct platform){0};
}

/* A free slot, or that of the longest unseen platform without a strike. */
static enum sm_err platform_room(struct sm_trust *t, uint32_t *out)
{
    size_t oldest = t->cfg.nodes_max;
    for (size_t i = 0; i < t->cfg.nodes_max; i++) {
        const struct platform *p = &t->platforms[i];
        if (!p->is_used) {
            *out = (uint32_t)i;
            return SM_OK;
        }
        if (!p->is_forged && p->strikes == 0 &&
            (oldest == t->cfg.nodes_max ||
             p->last_seen.ns < t->platforms[oldest].last_seen.ns)) {
            oldest = i;
        }
    }
    if (oldest == t->cfg.nodes_max) {
        return SM_E_LIMIT;
    }
    platform_forget(t, (uint32_t)oldest);
    *out = (uint32_t)oldest;
    return SM_OK;
}

static enum sm_err platform_find_or_add(struct sm_trust *t, const uint8_t id[static 32],
                                        uint32_t *out)
{
    if (sm_map_get(&t->platform_of, id, out)) {
        return SM_OK;
    }
    uint32_t slot;
    SM_TRY(platform_room(t, &slot));
    SM_TRY(sm_map_put(&t->platform_of, id, slot));
    struct platform *p = &t->platforms[slot];
    *p = (struct platform){.is_used = true};
    memcpy(p->id, id, sizeof p->id);
    behaviour_restart(p);
    *out = slot;
    return SM_OK;
}

/* A free slot, or that of the longest unseen node: its platform keeps what it did. */
static uint32_t node_room(struct sm_trust *t)
{
    size_t oldest = 0;
    for (size_t i = 0; i < t->cfg.nodes_max; i++) {
        if (!t->nodes[i].is_used) {
            return (uint32_t)i;
        }
        if (t->nodes[i].last_seen.ns < t->nodes[oldest].last_seen.ns) {
            oldest = i;
        }
    }
    node_forget(t, &t->nodes[oldest]);
    return (uint32_t)oldest;
}

enum sm_err sm_trust_appraise(struct sm_trust *t, struct sm_mono now,
                              const struct sm_node_id *id, const uint8_t platform_id[static 32],
                              uint8_t platform, struct sm_dur age)
{
    uint32_t at, slot;
    SM_TRY(platform_find_or_add(t, platform_id, &at));
    if (!sm_map_get(&t->node_of, id->b, &slot)) {
        slot = node_room(t);
        SM_TRY(sm_map_put(&t->node_of, id->b, slot));
    }
    t->nodes[slot] = (struct node){.id = *id,
                                   .is_used = true,
                                   .kind = platform,
                                   .platform = at,
                                   .appraised = now,
                                   .last_seen = now,
                                   .age = age};
    t->platforms[at].last_seen = now;
    return SM_OK;
}

void sm_trust_revoke(struct sm_trust *t, const struct sm_node_id *id)
{
    uint32_t slot;
    if (sm_map_get(&t->node_of, id->b, &slot)) {
        t->nodes[slot].is_revoked = true;
    }
}

void sm_trust_grades(struct sm_trust *t, const uint16_t grade[static SM_PLATFORMS])
{
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        t->cfg.grade[i] = grade[i] < 1000 ? grade[i] : 1000;
    }
}

/* One outage is one failure, however often it is noticed. */
static bool is_counted(struct platform *p, struct sm_mono now, enum sm_trust_kind kind)
{
    bool was_silent = p->is_silent;
    p->is_silent = kind == SM_TRUST_TIMEOUT;
    if (p->is_silent && was_silent && sm_between(p->silent_at, now).ns < OUTAGE_AGAIN.ns) {
        return false;
    }
    p->silent_at = now;
    return true;
}

bool sm_trust_observe(struct sm_trust *t, struct sm_mono now, const struct sm_node_id *id,
                      enum sm_trust_kind kind)
{
    assert(kind < SM_TRUST_KINDS);
    uint32_t slot;
    if (!sm_map_get(&t->node_of, id->b, &slot)) {
        return false;
    }
    t->nodes[slot].last_seen = now;
    struct platform *p = &t->platforms[t->nodes[slot].platform];
    p->last_seen = now;
    p->seen[kind]++;
    forgive(p, now);
    if (p->is_forged || is_quarantined(p, now)) {
        return false;
    }
    if (kind == SM_TRUST_FORGED) {
        p->is_forged = true;
        return true;
    }
    if (!is_counted(p, now, kind)) {
        return false;
    }
    uint32_t good = kind == SM_TRUST_OK ? 1 : 0;
    beta_add(&p->fast, FAST_KEEP_Q32, good, sm_trust_weight(kind));
    beta_add(&p->slow, SLOW_KEEP_Q32, good, sm_trust_weight(kind));
    if (kind == SM_TRUST_OK || kind == SM_TRUST_TIMEOUT) {
        return false; /* silence lowers the score, but is no proof: a net may be cut */
    }
    if (beta_q16(p->fast) >= FAST_BAR_Q16 && beta_q16(p->slow) >= SLOW_BAR_Q16) {
        return false;
    }
    quarantine(p, now);
    return true;
}

/* -- the score --------------------------------------------------------------------------- */

struct factors {
    uint32_t gate, grade, fast, slow;
    struct sm_dur age;
};

static struct sm_dur dur_sum(struct sm_dur a, struct sm_dur b)
{
    return (struct sm_dur){a.ns > UINT64_MAX - b.ns ? UINT64_MAX : a.ns + b.ns};
}

/* grade * 2^(-(age - 1 h) / 12 h) */
static uint32_t faded(uint32_t grade_q16, struct sm_dur age)
{
    if (age.ns <= FRESH_FOR.ns) {
        return grade_q16;
    }
    uint64_t over_ms = (age.ns - FRESH_FOR.ns) / 1000000u;
    uint64_t halvings_q16 = (over_ms << 16) / (GRADE_HALF_S * 1000u);
    return (uint32_t)((uint64_t)grade_q16 * sm_exp2_neg_q16(halvings_q16) >> 16);
}

static struct factors factors_of(const struct sm_trust *t, const struct node *n,
                                 struct sm_mono now)
{
    const struct platform *p = &t->platforms[n->platform];
    uint32_t grade = n->kind < SM_PLATFORMS ? t->cfg.grade[n->kind] * SM_Q16_ONE / 1000u : 0;
    struct sm_dur age = dur_sum(n->age, sm_between(n->appraised, now));
    bool is_open = !n->is_revoked && !p->is_forged && !is_quarantined(p, now) &&
                   age.ns <= EVIDENCE_LIFE.ns;
    return (struct factors){.gate = is_open ? SM_Q16_ONE : 0,
                            .grade = is_open ? faded(grade, age) : grade,
                            .fast = beta_q16(p->fast),
                            .slow = beta_q16(p->slow),
                            .age = age};
}

static uint32_t product(const struct factors *f)
{
    uint64_t b = f->fast < f->slow ? f->fast : f->slow;
    return f->gate == 0 ? 0 : (uint32_t)(f->grade * b >> 16);
}

uint32_t sm_trust_score(const struct sm_trust *t, struct sm_mono now,
                        const struct sm_node_id *id)
{
    uint32_t slot;
    if (!sm_map_get(&t->node_of, id->b, &slot)) {
        return 0;
    }
    struct factors f = factors_of(t, &t->nodes[slot], now);
    return product(&f);
}

static const char *gate_raise(const struct node *n, const struct platform *p,
                              const struct factors *f, struct sm_mono now)
{
    if (n->is_revoked) {
        return "a newer revocation list or manifest: it is revoked";
    }
    if (p->is_forged) {
        return "nothing: it signed a forgery";
    }
    if (is_quarantined(p, now)) {
        return "the end of its quarantine";
    }
    return f->gate == 0 ? "fresh evidence: the last is over 24 hours old" : "";
}

static struct sm_trust_row row(const char *what, uint32_t value, const struct factors *without,
                               const char *raise)
{
    return (struct sm_trust_row){what, value, product(without),
                                 value == SM_Q16_ONE ? "" : raise};
}

enum sm_err sm_trust_explain(const struct sm_trust *t, struct sm_mono now,
                             const struct sm_node_id *id, struct sm_trust_explain *out)
{
    uint32_t slot;
    if (!sm_map_get(&t->node_of, id->b, &slot)) {
        return SM_E_NOTFOUND;
    }
    const struct node *n = &t->nodes[slot];
    struct platform p = t->platforms[n->platform];
    forgive(&p, now);
    struct factors f = factors_of(t, n, now);
    struct factors gate = f, grade = f, fast = f, slow = f;
    gate.gate = SM_Q16_ONE;
    grade.grade = SM_Q16_ONE;
    fast.fast = SM_Q16_ONE;
    slow.slow = SM_Q16_ONE;

    struct sm_trust_explain e = {
        .t_q16 = product(&f),
        .platform = n->kind,
        .strikes = p.strikes,
        .is_forged = p.is_forged,
        .is_revoked = n->is_revoked,
        .age = f.age,
        .quarantine_left = sm_between(now, p.quarantine_end),
        .forgive_in = p.strikes > 0 ? sm_between(now, p.forgive_at) : (struct sm_dur){0},
    };
    memcpy(e.seen, p.seen, sizeof e.seen);
    e.rows[SM_TRUST_ROW_GATE] = row("gate", f.gate, &gate, gate_raise(n, &p, &f, now));
    e.rows[SM_TRUST_ROW_GRADE] =
        row("grade of the platform", f.grade, &grade,
            f.age.ns > FRESH_FOR.ns ? "a fresh appraisal"
                                    : "a platform whose hardware proves more");
    e.rows[SM_TRUST_ROW_FAST] =
        row("the last ten interactions", f.fast, &fast, "about ten interactions that end well");
    e.rows[SM_TRUST_ROW_SLOW] = row("the last thousand interactions", f.slow, &slow,
                                    "hundreds of interactions that end well");
    *out = e;
    return SM_OK;
}

/* -- kept bytes -------------------------------------------------------------------------- */

/* A platform is 32 + 1 + 1 + 4 x 4 + 2 x 8 + 5 x 8 bytes; times are seconds of Unix time. */
enum { SAVED_BYTES = 106, SAVE_HEAD = 12 };

static uint64_t to_wall(struct sm_mono at, struct sm_mono now, struct sm_wall wall)
{
    return wall.s + sm_between(now, at).ns / 1000000000u;
}

static struct sm_mono to_mono(uint64_t at_s, struct sm_mono now, struct sm_wall wall)
{
    uint64_t left_s = at_s > wall.s ? at_s - wall.s : 0;
    uint64_t most_s = UINT64_MAX / 1000000000u;
    return sm_after(now, SM_S(left_s < most_s ? left_s : most_s));
}

static void platform_write(const struct platform *p, struct sm_mono now, struct sm_wall wall,
                           struct sm_wr *w)
{
    sm_wr_bytes(w, p->id, sizeof p->id);
    sm_wr_u8(w, p->is_forged ? 1 : 0);
    sm_wr_u8(w, p->strikes);
    sm_wr_u32(w, p->fast.good);
    sm_wr_u32(w, p->fast.bad);
    sm_wr_u32(w, p->slow.good);
    sm_wr_u32(w, p->slow.bad);
    sm_wr_u64(w, to_wall(p->quarantine_end, now, wall));
    sm_wr_u64(w, to_wall(p->forgive_at, now, wall));
    for (unsigned i = 0; i < SM_TRUST_KINDS; i++) {
        sm_wr_u64(w, p->seen[i]);
    }
}

enum sm_err sm_trust_save(const struct sm_trust *t, struct sm_mono now, struct sm_wall wall,
                          struct sm_buf *out)
{
    size_t count = sm_map_count(&t->platform_of), n = SAVE_HEAD + SAVED_BYTES * count;
    uint8_t *room;
    SM_TRY(sm_buf_room(out, n, &room));
    struct sm_wr w = sm_wr_init(room, n);
    sm_wr_u32(&w, SAVE_MAGIC);
    sm_wr_u32(&w, SAVE_VERSION);
    sm_wr_u32(&w, (uint32_t)count);
    for (size_t i = 0; i < t->cfg.nodes_max; i++) {
        if (t->platforms[i].is_used) {
            platform_write(&t->platforms[i], now, wall, &w);
        }
    }
    struct sm_view saved;
    SM_TRY(sm_wr_done(&w, &saved));
    assert(saved.n == n);
    out->n += n;
    return SM_OK;
}

static bool beta_is_sound(struct beta b)
{
    const uint32_t most = 10100u * SM_Q16_ONE;
    return (b.good > 0 || b.bad > 0) && b.good < most && b.bad < most;
}

static void platform_read(struct sm_rd *r, struct sm_mono now, struct sm_wall wall,
                          struct platform *out)
{
    struct platform p = {.is_used = true, .last_seen = now};
    sm_rd_bytes(r, p.id, sizeof p.id);
    uint8_t forged = sm_rd_u8(r);
    p.strikes = sm_rd_u8(r);
    p.fast.good = sm_rd_u32(r);
    p.fast.bad = sm_rd_u32(r);
    p.slow.good = sm_rd_u32(r);
    p.slow.bad = sm_rd_u32(r);
    p.quarantine_end = to_mono(sm_rd_u64(r), now, wall);
    p.forgive_at = to_mono(sm_rd_u64(r), now, wall);
    for (unsigned i = 0; i < SM_TRUST_KINDS; i++) {
        p.seen[i] = sm_rd_u64(r);
    }
    p.is_forged = forged == 1;
    if (forged > 1 || p.strikes > STRIKES_MAX || !beta_is_sound(p.fast) ||
        !beta_is_sound(p.slow)) {
        sm_rd_fail(r);
    }
    *out = p;
}

static enum sm_err load(struct sm_trust *t, struct sm_mono now, struct sm_wall wall,
                        struct sm_view bytes)
{
    struct sm_rd r = sm_rd_init(bytes);
    uint32_t magic = sm_rd_u32(&r);
    uint32_t version = sm_rd_u32(&r);
    uint32_t count = sm_rd_u32(&r);
    if (!r.failed && magic != SAVE_MAGIC) {
        return SM_E_MALFORMED;
    }
    if (!r.failed && version != SAVE_VERSION) {
        return SM_E_VERSION;
    }
    if (!r.failed && count > t->cfg.nodes_max) {
        return SM_E_LIMIT;
    }
    for (uint32_t i = 0; i < count && !r.failed; i++) {
        uint32_t other;
        platform_read(&r, now, wall, &t->platforms[i]);
        if (sm_map_get(&t->platform_of, t->platforms[i].id, &other)) {
            sm_rd_fail(&r);
            break;
        }
        SM_TRY(sm_map_put(&t->platform_of, t->platforms[i].id, i));
    }
    return sm_rd_done(&r);
}

enum sm_err sm_trust_load(struct sm_trust *t, struct sm_mono now, struct sm_wall wall,
                          struct sm_view bytes)
{
    if (sm_map_count(&t->platform_of) > 0) {
        return SM_E_STATE;
    }
    enum sm_err err = load(t, now, wall, bytes);
    if (err != SM_OK) {
        memset(t->platforms, 0, t->cfg.nodes_max * sizeof *t->platforms);
        sm_map_clear(&t->platform_of);
    }
    return err;
}
