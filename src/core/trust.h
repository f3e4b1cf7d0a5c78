// SPDX-License-Identifier: Apache-2.0
#pragma once
/* trust: how far this observer trusts each node, from 0 to 1.
 *
 *     T = gate * A * min(fast, slow)
 *
 * gate is 0 for a node that is revoked, whose evidence is too old, that signed a forgery, or
 * that is in quarantine; else 1.  A is the grade of its platform, fading when the appraisal
 * gets old. fast and slow are two Beta estimates of behaviour, one that forgets within ten
 * interactions, one within a thousand, so that neither a long good record can be spent nor a
 * short good spell buys forgiveness.  When either falls below its bar the node is excluded:
 * gate 0 for an hour, doubled for each relapse; afterwards it begins again as a newcomer, and
 * only 30 clean days take one strike away.
 *
 * Silence is weaker evidence than a wrong answer, for whoever is cut off looks the same: an
 * outage counts once a minute however often it is noticed, and silence alone excludes nobody.
 *
 * Behaviour belongs to the platform, not to the node id, so a new id on an old machine
 * brings its past along.  Everything is local: nothing here is told to other nodes.
 * Scores are Q16 (core/fixed.h).
 *
 *     sm_trust_appraise(t, now, &id, platform_id, SM_PLATFORM_SOFTWARE, age);
 *     sm_trust_observe(t, now, &id, SM_TRUST_TIMEOUT);
 *     if (sm_trust_score(t, now, &id) < SM_TRUST_MIN) ...
 *
 * Memory:  allocated in sm_trust_new for cfg.nodes_max platforms and as many node ids.
 * At cap:  the longest unseen platform without a strike makes room; when all have strikes the
 *          newcomer is refused, so that filling the table does not wash a bad record away.
 * Threads: one caller.
 * Source:  doc/trust.md.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "core/fixed.h"
#include "wire/record.h"

enum sm_trust_kind {
    SM_TRUST_OK,       /* an interaction ended well */
    SM_TRUST_TIMEOUT,  /* weight 1 */
    SM_TRUST_WRONG,    /* weight 3: a wrong or stale answer */
    SM_TRUST_BAD_HASH, /* weight 10: data that fails its hash */
    SM_TRUST_FORGED,   /* a forged record: gate 0 for good */
    SM_TRUST_KINDS,
};

enum {
    SM_TRUST_NODES_MAX = 4096, /* an area and as many passers-by */
    SM_TRUST_MIN = 32768,      /* 0.5: below it a node carries nothing for us */
};

struct sm_trust_cfg {
    size_t nodes_max;             /* 1..SM_TRUST_NODES_MAX */
    uint16_t grade[SM_PLATFORMS]; /* in thousandths, as struct sm_anchor has it */
    uint64_t map_key[2];          /* random: keys the hash tables */
};

struct sm_trust;
struct sm_trust *sm_trust_new(const struct sm_trust_cfg *cfg); /* NULL: no memory or bad cfg */
void sm_trust_free(struct sm_trust *t);

/* The node `id` on the platform named by platform_id proved itself `age` ago.  LIMIT when the
 * table is full of platforms with strikes; the node then scores 0. */
enum sm_err sm_trust_appraise(struct sm_trust *t, struct sm_mono now,
                              const struct sm_node_id *id, const uint8_t platform_id[static 32],
                              uint8_t platform, struct sm_dur age) SM_MUST;

/* The mesh's owners revoked the node: its gate is 0 until it is appraised again.  What it did
 * stays with its platform. */
void sm_trust_revoke(struct sm_trust *t, const struct sm_node_id *id);

/* Grades of the platforms from now on, as in the configuration. */
void sm_trust_grades(struct sm_trust *t, const uint16_t grade[static SM_PLATFORMS]);

/* What an interaction with the node showed.  Nothing happens for nodes never appraised, nor
 * during quarantine.  True when this excluded the node. */
bool sm_trust_observe(struct sm_trust *t, struct sm_mono now, const struct sm_node_id *id,
                      enum sm_trust_kind kind);

/* T in Q16; 0 for a node never appraised. */
uint32_t sm_trust_score(const struct sm_trust *t, struct sm_mono now,
                        const struct sm_node_id *id);

/* One factor of T: its value, what T would be were it 1, and what raises it. */
struct sm_trust_row {
    const char *what;
    uint32_t value_q16, without_q16;
    const char *raise; /* "" when it is at its best */
};

enum {
    SM_TRUST_ROW_GATE,
    SM_TRUST_ROW_GRADE,
    SM_TRUST_ROW_FAST,
    SM_TRUST_ROW_SLOW,
    SM_TRUST_ROWS
};

struct sm_trust_explain {
    uint32_t t_q16;
    struct sm_trust_row rows[SM_TRUST_ROWS];
    uint8_t platform, strikes;
    bool is_forged, is_revoked;
    struct sm_dur age;             /* of the appraisal */
    struct sm_dur quarantine_left; /* 0 when not in quarantine */
    struct sm_dur forgive_in;      /* until one strike goes; 0 without strikes */
    uint64_t seen[SM_TRUST_KINDS]; /* interactions by kind */
};
/* The weight of a kind of failure in both estimates; 0 for OK and FORGED. */
unsigned sm_trust_weight(enum sm_trust_kind kind);
const char *sm_trust_kind_words(enum sm_trust_kind kind);
enum sm_err sm_trust_explain(const struct sm_trust *t, struct sm_mono now,
                             const struct sm_node_id *id,
                             struct sm_trust_explain *out) SM_MUST; /* NOTFOUND */

/* Behaviour as bytes, for the next start; appraisals are not kept, they must be fresh. */
enum sm_err sm_trust_save(const struct sm_trust *t, struct sm_mono now, struct sm_wall wall,
                          struct sm_buf *out) SM_MUST; /* LIMIT, NOMEM from out */
/* Into an empty table: STATE else.  TRUNCATED, MALFORMED, VERSION, LIMIT leave it empty. */
enum sm_err sm_trust_load(struct sm_trust *t, struct sm_mono now, struct sm_wall wall,
                          struct sm_view bytes) SM_MUST;
