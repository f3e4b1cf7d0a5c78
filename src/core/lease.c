// SPDX-License-Identifier: Apache-2.0
#include "core/lease.h"

#include "attest/follow.h"
#include "base/date.h"
#include "base/ids.h"
#include "wire/record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JITTER_MAX 60u /* thousandths: asked between 0.607 and 0.667 of the lease */

__attribute__((format(printf, 3, 4))) static enum sm_err
because(enum sm_err e, char why[static SM_LEASE_WHY], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SM_LEASE_WHY, fmt, ap);
    va_end(ap);
    return e;
}

/* -- life -------------------------------------------------------------------------------- */

void sm_lease_init(struct sm_lease *l, const struct sm_suite *suite,
                   const struct sm_anchor *anchor, bool is_dialer, struct sm_dur max,
                   const struct sm_dh_pub *pk_self, struct sm_view own_record,
                   const struct sm_node_id *want)
{
    struct sm_node_record own;
    enum sm_err e = sm_node_record_read(own_record, &own);
    assert(e == SM_OK);
    (void)e;
    *l = (struct sm_lease){
        .suite = suite,
        .anchor = anchor,
        .max = max,
        .is_dialer = is_dialer,
        .pk_self = *pk_self,
        .self = own.node_id,
        .has_want = want != NULL,
        .own_seq = SM_LEASE_FIRST,
        .sign_at = SM_NEVER,
        .proof_end = SM_NEVER,
        .record_end = SM_NEVER,
        .ask_at = SM_NEVER,
        .judge_at = SM_NEVER,
    };
    if (want != NULL) {
        l->want = *want;
    }
    sm_lease_own_record(l, own_record);
}

void sm_lease_bind(struct sm_lease *l, const uint8_t h[static 32],
                   const struct sm_dh_pub *pk_peer)
{
    memcpy(l->h, h, sizeof l->h);
    l->pk_peer = *pk_peer;
}

void sm_lease_own_record(struct sm_lease *l, struct sm_view record)
{
    assert(record.n <= sizeof l->record);
    memcpy(l->record, record.p, record.n);
    l->record_n = record.n;
}

/* -- what we owe the peer ---------------------------------------------------------------- */

static struct sm_binding binding_of(const struct sm_lease *l, bool of_self)
{
    struct sm_binding b = {.role =
                               of_self == l->is_dialer ? SM_ROLE_INITIATOR : SM_ROLE_RESPONDER};
    memcpy(b.h, l->h, sizeof b.h);
    memcpy(b.pk_self, of_self ? l->pk_self.b : l->pk_peer.b, sizeof b.pk_self);
    memcpy(b.pk_peer, of_self ? l->pk_peer.b : l->pk_self.b, sizeof b.pk_peer);
    return b;
}

struct sm_binding sm_lease_own_binding(const struct sm_lease *l)
{
    struct sm_binding b = binding_of(l, true);
    b.lease_seq = l->own_seq;
    if (l->own_seq > SM_LEASE_FIRST) {
        b.challenge = sm_view_of(l->own_challenge, sizeof l->own_challenge);
    }
    return b;
}

enum sm_err sm_lease_answer(struct sm_lease *l, struct sm_mono now, struct sm_view evidence,
                            struct sm_wr *w)
{
    l->sign_at = SM_NEVER;
    l->next_at = sm_after(now, SM_LEASE_GAP);
    sm_evidence_frame_write(
        &(struct sm_evidence_frame){l->own_seq, sm_view_of(l->record, l->record_n), evidence},
        w);
    return w->full ? SM_E_LIMIT : SM_OK;
}

enum sm_err sm_lease_challenged(struct sm_lease *l, struct sm_mono now, struct sm_view payload,
                                char why[static SM_LEASE_WHY])
{
    struct sm_challenge_frame f;
    if (sm_challenge_frame_read(payload, &f) != SM_OK) {
        return because(SM_E_MALFORMED, why, "the peer's CHALLENGE is malformed");
    }
    if (l->sign_at.ns != SM_NEVER.ns) {
        return because(SM_E_LIMIT, why, "the peer challenged us again before we answered");
    }
    if (f.lease_seq != l->own_seq + 1) {
        return because(SM_E_REPLAY, why, "the peer challenges lease %" PRIu64 " after %" PRIu64,
                       f.lease_seq, l->own_seq);
    }
    l->own_seq = f.lease_seq;
    memcpy(l->own_challenge, f.challenge, sizeof l->own_challenge);
    l->sign_at = l->next_at.ns > now.ns ? l->next_at : now;
    return SM_OK;
}

bool sm_lease_wants_sign(const struct sm_lease *l, struct sm_mono now)
{
    return sm_is_due(l->sign_at, now);
}

void sm_lease_signing(struct sm_lease *l, struct sm_mono now)
{
    l->sign_at = sm_after(now, SM_LEASE_RETRY);
}

void sm_lease_not_signed(struct sm_lease *l, struct sm_mono now)
{
    l->sign_at = sm_after(now, SM_LEASE_GAP);
}

/* -- how long it holds ------------------------------------------------------------------- */

struct sm_mono sm_lease_end(const struct sm_lease *l)
{
    return sm_earlier(l->proof_end, l->record_end);
}

/* Whoever verified a record allowed the clocks to differ; so does the end. */
static struct sm_mono end_of_record(const struct sm_node_record *rec, struct sm_mono now,
                                    struct sm_wall wall)
{
    uint64_t end = rec->head.expires.s + SM_RECORD_SKEW_S;
    uint64_t left = end > wall.s ? end - wall.s : 0;
    return sm_after(now,
                    left < UINT64_MAX / 1000000000u ? SM_S(left) : (struct sm_dur){UINT64_MAX});
}

/* At two thirds of what there is now, less the chance this lease drew. */
static void plan_ask(struct sm_lease *l)
{
    if (!l->is_asked) {
        uint64_t whole = sm_between(l->proven_at, sm_lease_end(l)).ns;
        uint64_t part = whole / 3 * 2 - whole / 1000 * l->jitter;
        l->ask_at = sm_after(l->proven_at, (struct sm_dur){part});
    }
}

/* The newer of the records known stays. */
static void take_record(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                        const struct sm_node_record *rec)
{
    if (l->seq == 0 || rec->head.seq > l->peer.head.seq) {
        l->peer = *rec;
        l->record_end = end_of_record(rec, now, wall);
    }
}

/* The mesh's limit and our own. */
static struct sm_dur max_of(const struct sm_lease *l)
{
    const struct sm_rules *rules = l->anchor->rules;
    struct sm_dur d = rules != NULL ? SM_S(sm_rules_lease_max_s(rules)) : l->max;
    return d.ns < l->max.ns ? d : l->max;
}

static void start_anew(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                       struct sm_wall not_after, struct sm_rng *rng)
{
    struct sm_dur d = max_of(l);
    if (not_after.s != 0) {
        uint64_t left = not_after.s > wall.s ? not_after.s - wall.s : 0;
        d = left < d.ns / 1000000000u ? SM_S(left) : d;
    }
    l->proven_at = now;
    l->proof_end = sm_after(now, d);
    l->is_asked = false;
    l->jitter = (uint32_t)sm_rng_below(rng, JITTER_MAX + 1);
    sm_wipe(l->challenge, sizeof l->challenge);
    plan_ask(l);
}

/* -- what the peer owes us --------------------------------------------------------------- */

bool sm_lease_wants_ask(const struct sm_lease *l, struct sm_mono now)
{
    return sm_is_due(l->ask_at, now);
}

void sm_lease_ask(struct sm_lease *l, struct sm_rng *rng, struct sm_wr *w)
{
    struct sm_challenge_frame f = {.lease_seq = l->seq + 1};
    assert(l->seq > 0 && !l->is_asked);
    sm_rng_bytes(rng, l->challenge, sizeof l->challenge);
    memcpy(f.challenge, l->challenge, sizeof f.challenge);
    l->is_asked = true;
    l->ask_at = SM_NEVER;
    l->floor = l->peer.head.seq;
    sm_challenge_frame_write(&f, w);
}

/* Is this record of the peer one to believe, and does it speak of who we talk to? */
static enum sm_err check_identity(const struct sm_lease *l, const struct sm_node_record *rec,
                                  char why[static SM_LEASE_WHY])
{
    static const char intro[] = "the peer's NODE record was refused:";
    if (memcmp(rec->dh_key, l->pk_peer.b, sizeof rec->dh_key) != 0) {
        return because(SM_E_AUTH, why, "%s it names another key than this tunnel's", intro);
    }
    if (sm_node_id_eq(&rec->node_id, &l->self)) {
        return because(SM_E_AUTH, why, "%s it is our own", intro);
    }
    if (l->has_want && !sm_node_id_eq(&rec->node_id, &l->want)) {
        return because(SM_E_AUTH, why, "%s it is of another node than the one %s", intro,
                       l->seq == 0 ? "dialled" : "proven before");
    }
    if (l->seq > 0 && rec->head.seq < l->floor) {
        return because(SM_E_REPLAY, why, "%s it is older than one shown before", intro);
    }
    return SM_OK;
}

void sm_lease_done(struct sm_lease *l)
{
    free(l->refused);
    l->refused = NULL;
}

/* Keep the reasons for who asks later.  Not often: a refusal is the end of the tunnel. */
static void keep_reasons(struct sm_lease *l, const struct sm_reasons *reasons)
{
    if (l->refused == NULL) {
        l->refused = malloc(sizeof *l->refused);
    }
    if (l->refused != NULL) {
        *l->refused = *reasons;
    }
}

/* A NODE record that is not believed, as a reason. */
static enum sm_err refuse_record(struct sm_lease *l, enum sm_err e,
                                 char why[static SM_LEASE_WHY])
{
    enum sm_reason_code code = e == SM_E_EXPIRED   ? SM_REASON_EXPIRED
                               : e == SM_E_CRYPTO  ? SM_REASON_SIGNATURE
                               : e == SM_E_AUTH    ? SM_REASON_IDENTITY
                               : e == SM_E_REFUSED ? SM_REASON_PLATFORM
                                                   : SM_REASON_GRAMMAR;
    struct sm_reasons one = {0};
    sm_reasons_add(&one, code, "NODE record", sm_err_words(e),
                   "a record of this mesh, in time");
    keep_reasons(l, &one);
    l->refused_platform = SM_PLATFORMS;
    return because(e, why, "the peer's NODE record was refused: %s", sm_err_words(e));
}

static enum sm_err refuse(struct sm_lease *l, enum sm_err e, uint8_t platform,
                          const struct sm_reasons *reasons, char why[static SM_LEASE_WHY])
{
    char text[SM_CLOSE_TEXT_MAX];
    keep_reasons(l, reasons);
    l->refused_platform = platform;
    sm_reasons_text(reasons, text, sizeof text);
    return because(e, why, "the peer's evidence was refused: %s", text);
}

/* As sm_node_record_verify, but who is revoked hears why. */
static enum sm_err check_record(struct sm_lease *l, struct sm_wall wall, struct sm_view bytes,
                                struct sm_node_record *out, char why[static SM_LEASE_WHY])
{
    struct sm_anchor bare = *l->anchor;
    struct sm_reasons reasons = {0};
    bare.rules = NULL;
    enum sm_err e = sm_node_record_verify(l->suite, &bare, wall, bytes, out);
    if (e != SM_OK) {
        return refuse_record(l, e, why);
    }
    return sm_node_is_revoked(l->anchor, out, &reasons)
               ? refuse(l, SM_E_REFUSED, out->platform, &reasons, why)
               : SM_OK;
}

/* An ok has words too, when it will not last: its owner should update the node in time. */
static void verdict_words(const struct sm_verdict *v, char out[static SM_LEASE_WHY])
{
    char date[SM_DATE_LEN + 1];
    if (v->kind != SM_VERDICT_OK || !v->is_deprecated) {
        sm_reasons_text(&v->why, out, SM_LEASE_WHY);
        return;
    }
    sm_date_print(v->until, date);
    (void)snprintf(out, SM_LEASE_WHY, "taken as %s, which is deprecated: until %s at most",
                   v->label, date);
}

static void take_verdict(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                         const struct sm_verdict *v)
{
    char said[SM_LEASE_WHY];
    verdict_words(v, said);
    bool is_told = v->kind != SM_VERDICT_OK || strcmp(said, l->said) == 0;
    l->has_news = l->has_news || v->kind != l->verdict || !is_told;
    l->verdict = v->kind;
    (void)snprintf(l->said, sizeof l->said, "%s", said);
    uint64_t left = v->until.s > wall.s ? v->until.s - wall.s : 1;
    l->judge_at = v->until.s != UINT64_MAX ? sm_after(now, SM_S(left)) : SM_NEVER;
}

/* Judge claims; report_data as in sm_rules_appraise.  The lease changes when it is no error. */
static enum sm_err judge(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                         const struct sm_node_record *rec, const struct sm_claims *claims,
                         const uint8_t *report_data, char why[static SM_LEASE_WHY])
{
    const struct sm_subject who = sm_subject_of(rec);
    struct sm_standing standing = l->standing;
    struct sm_verdict v;
    sm_rules_appraise(l->anchor->rules, wall, &who, claims, report_data, &standing, &v);
    if (v.kind == SM_VERDICT_REFUSED) {
        return refuse(l, SM_E_REFUSED, rec->platform, &v.why, why);
    }
    l->standing = standing;
    take_verdict(l, now, wall, &v);
    return SM_OK;
}

/* Only the manifest may allow that the hardware signs a key and not the session. */
static bool may_bind_epoch(const struct sm_lease *l, const struct sm_claims *c)
{
    const struct sm_rules *rules = l->anchor->rules;
    return rules != NULL && sm_rules_binding(rules) == SM_BINDING_EPOCH &&
           c->epoch_until.s - c->epoch_from.s <= sm_rules_epoch_max_s(rules);
}

/* The first proof goes by the clock; each later one was signed by the hardware after something
 * that we made: this challenge, or the one before. */
static enum sm_err check_epoch(struct sm_lease *l, const struct sm_claims *c,
                               struct sm_view evidence, const uint8_t beacon[static SM_BEACON],
                               char why[static SM_LEASE_WHY])
{
    struct sm_reasons reasons = {0};
    if (c->is_epoch_bound && !may_bind_epoch(l, c)) {
        sm_reasons_add(&reasons, SM_REASON_BINDING, "bound", "epoch",
                       "session, by the manifest");
        return refuse(l, SM_E_REFUSED, c->platform, &reasons, why);
    }
    if (c->is_epoch_bound && l->seq > 0 && !sm_epoch_has_beacon(evidence, beacon) &&
        !sm_epoch_has_beacon(evidence, l->beacon)) {
        sm_reasons_add(&reasons, SM_REASON_BINDING, "beacon", "none of ours",
                       "one that we made since the last proof");
        return refuse(l, SM_E_REPLAY, c->platform, &reasons, why);
    }
    return SM_OK;
}

/* By the rules, which have their own word on what the claims' end means; or, where there are
 * none, by the anchor. */
static enum sm_err check_evidence(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                                  const struct sm_node_record *rec, struct sm_view evidence,
                                  struct sm_claims *claims, struct sm_wall *not_after,
                                  char why[static SM_LEASE_WHY])
{
    struct sm_binding b = binding_of(l, false);
    struct sm_reasons reasons;
    struct sm_attester who = sm_attester_of(rec);
    uint8_t rd[SM_REPORT_DATA], beacon[SM_BEACON];
    b.lease_seq = l->seq + 1;
    if (l->is_asked) {
        b.challenge = sm_view_of(l->challenge, sizeof l->challenge);
    }
    enum sm_err e =
        sm_evidence_verify(l->suite, l->anchor, wall, &who, evidence, claims, &reasons);
    if (e != SM_OK) {
        return refuse(l, e, rec->platform, &reasons, why);
    }
    if (l->seq > 0 && sm_claims_follow(&l->claims, claims, &reasons) != SM_OK) {
        return refuse(l, SM_E_REFUSED, rec->platform, &reasons, why);
    }
    sm_binding_report_data(&b, rd);
    sm_beacon_make(&b, beacon);
    SM_TRY(check_epoch(l, claims, evidence, beacon, why));
    *not_after = claims->epoch_until; /* 0 where there is none */
    if (l->anchor->rules != NULL) {
        SM_TRY(judge(l, now, wall, rec, claims, rd, why));
    } else {
        e = sm_appraise(l->anchor, wall, &who, claims, rd, &reasons);
        if (e != SM_OK) {
            return refuse(l, e, rec->platform, &reasons, why);
        }
        *not_after = claims->not_after;
    }
    memcpy(l->beacon, beacon, sizeof l->beacon);
    return SM_OK;
}

enum sm_err sm_lease_judge(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                           char why[static SM_LEASE_WHY])
{
    assert(l->seq > 0);
    l->judge_at = SM_NEVER;
    if (l->anchor->rules == NULL) {
        return SM_OK;
    }
    if (l->claims.is_epoch_bound && !may_bind_epoch(l, &l->claims)) {
        struct sm_reasons reasons = {0};
        sm_reasons_add(&reasons, SM_REASON_BINDING, "bound", "epoch",
                       "session, by the new manifest");
        return refuse(l, SM_E_REFUSED, l->claims.platform, &reasons, why);
    }
    SM_TRY(judge(l, now, wall, &l->peer, &l->claims, NULL, why));
    l->proof_end = sm_earlier(l->proof_end, sm_after(l->proven_at, max_of(l)));
    plan_ask(l);
    return SM_OK;
}

enum sm_err sm_lease_prove(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                           struct sm_rng *rng, struct sm_view payload,
                           struct sm_view *out_record, char why[static SM_LEASE_WHY])
{
    struct sm_evidence_frame f;
    struct sm_node_record rec;
    struct sm_claims claims;
    struct sm_wall not_after = {0};
    if (l->seq > 0 && !l->is_asked) {
        return because(SM_E_STATE, why, "the peer shows evidence that nobody asked for");
    }
    enum sm_err e = sm_evidence_frame_read(payload, &f);
    if (e != SM_OK || f.lease_seq != l->seq + 1) {
        return because(SM_E_MALFORMED, why, "the peer's evidence message is malformed");
    }
    SM_TRY(check_record(l, wall, f.record, &rec, why));
    SM_TRY(check_identity(l, &rec, why));
    SM_TRY(check_evidence(l, now, wall, &rec, f.evidence, &claims, &not_after, why));
    l->claims = claims;
    take_record(l, now, wall, &rec);
    l->seq = f.lease_seq;
    l->want = rec.node_id;
    l->has_want = true;
    start_anew(l, now, wall, not_after, rng);
    if (out_record != NULL) {
        *out_record = f.record;
    }
    return SM_OK;
}

enum sm_err sm_lease_peer_record(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                                 const struct sm_node_record *rec,
                                 char why[static SM_LEASE_WHY])
{
    assert(l->seq > 0 && sm_node_id_eq(&rec->node_id, &l->want));
    if (rec->head.seq <= l->peer.head.seq) {
        return SM_OK;
    }
    if (memcmp(rec->dh_key, l->pk_peer.b, sizeof rec->dh_key) != 0) {
        return because(SM_E_AUTH, why, "the peer has a new key: it was started again");
    }
    if (memcmp(rec->sign_key, l->peer.sign_key, sizeof rec->sign_key) != 0 ||
        memcmp(rec->measurement, l->peer.measurement, sizeof rec->measurement) != 0) {
        return because(SM_E_AUTH, why, "the peer's new NODE record is not what it has proven");
    }
    take_record(l, now, wall, rec);
    plan_ask(l);
    return SM_OK;
}

enum sm_err sm_lease_ended(const struct sm_lease *l, char why[static SM_LEASE_WHY])
{
    if (l->record_end.ns < l->proof_end.ns) {
        return because(SM_E_EXPIRED, why, "the peer's NODE record has expired");
    }
    return because(SM_E_EXPIRED, why,
                   "the peer did not renew its proof: lease %" PRIu64 " ended", l->seq);
}

struct sm_mono sm_lease_deadline(const struct sm_lease *l)
{
    return sm_earlier(sm_earlier(sm_lease_end(l), l->judge_at),
                      sm_earlier(l->ask_at, l->sign_at));
}
