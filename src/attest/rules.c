// SPDX-License-Identifier: Apache-2.0
#include "attest/rules.h"

#include "attest/collateral.h"
#include "crypto/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_EVER ((struct sm_wall){UINT64_MAX})

/* A document as it is held. */
struct held {
    uint8_t kind;
    uint8_t name[SM_DOC_NAME];
    uint64_t version;
    uint64_t number; /* of a CRL */
    uint8_t hash[32];
    struct sm_wall ends; /* then it is not given to others */
    uint8_t *bytes;
    size_t n;
};

struct sm_rules {
    const struct sm_suite *suite;
    struct sm_anchor pinned, anchor; /* anchor: what is left of it */

    bool has_manifest, has_revocations;
    bool is_manifest_lost; /* the one we had was of a root that is believed no more */
    struct sm_mesh_manifest manifest;
    struct sm_revocations revocations;
    uint8_t manifest_root[32];           /* who signed it */
    uint64_t floor[SM_ANCHOR_ROOTS_MAX]; /* highest manifest each pinned root has signed */

    size_t n_docs;
    struct held *docs;
};

const char *sm_doc_kind_name(uint8_t kind)
{
    static const char *const names[SM_DOC_KINDS] = {
        [SM_DOC_MANIFEST] = "manifest", [SM_DOC_REVOCATION] = "revocation",
        [SM_DOC_TCB_INFO] = "tcb-info", [SM_DOC_QE_IDENTITY] = "qe-identity",
        [SM_DOC_CRL] = "crl",
    };
    return kind < SM_DOC_KINDS ? names[kind] : NULL;
}

const char *sm_verdict_name(enum sm_verdict_kind k)
{
    static const char *const names[] = {
        [SM_VERDICT_REFUSED] = "refused",
        [SM_VERDICT_OK] = "ok",
        [SM_VERDICT_GRACE] = "grace",
        [SM_VERDICT_OBSERVED] = "would-refuse",
    };
    return k < SM_COUNT(names) ? names[k] : "unknown";
}

enum sm_err sm_rules_new(const struct sm_suite *suite, const struct sm_anchor *pinned,
                         struct sm_rules **out)
{
    struct sm_rules *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SM_E_NOMEM;
    }
    r->suite = suite;
    r->pinned = *pinned;
    r->pinned.rules = r;
    r->anchor = r->pinned;
    *out = r;
    return SM_OK;
}

void sm_rules_free(struct sm_rules *r)
{
    if (r == NULL) {
        return;
    }
    sm_mesh_manifest_done(&r->manifest);
    sm_revocations_done(&r->revocations);
    for (size_t i = 0; i < r->n_docs; i++) {
        free(r->docs[i].bytes);
    }
    free(r->docs);
    free(r);
}

/* -- what is believed -------------------------------------------------------------------- */

const struct sm_anchor *sm_rules_anchor(const struct sm_rules *r)
{
    return &r->anchor;
}

const struct sm_mesh_manifest *sm_rules_manifest(const struct sm_rules *r)
{
    return r->has_manifest ? &r->manifest : NULL;
}

const struct sm_revocations *sm_rules_revocations(const struct sm_rules *r)
{
    return r->has_revocations ? &r->revocations : NULL;
}

uint32_t sm_rules_lease_max_s(const struct sm_rules *r)
{
    return r->has_manifest ? r->manifest.lease_max_s : SM_RULES_LEASE_S;
}

enum sm_manifest_binding sm_rules_binding(const struct sm_rules *r)
{
    return r->has_manifest ? (enum sm_manifest_binding)r->manifest.binding : SM_BINDING_SESSION;
}

uint32_t sm_rules_epoch_max_s(const struct sm_rules *r)
{
    return r->has_manifest ? r->manifest.epoch_max_s : SM_EPOCH_MAX_S;
}

bool sm_rules_is_observing(const struct sm_rules *r)
{
    return r->has_manifest && r->manifest.mode == SM_MODE_OBSERVE;
}

static const struct sm_revoked *revoked(const struct sm_rules *r, uint8_t kind,
                                        struct sm_view id)
{
    return r->has_revocations ? sm_revocations_find(&r->revocations, kind, id) : NULL;
}

static bool told_revoked(const struct sm_revoked *e, const char *field, struct sm_reasons *why)
{
    char hex[2 * 16 + 1], want[SM_REASON_TEXT];
    if (e == NULL) {
        return false;
    }
    if (why != NULL) {
        sm_hex(e->id.b, e->id.n < 16 ? e->id.n : 16, hex);
        (void)snprintf(want, sizeof want, "not revoked%s%s", *e->reason == '\0' ? "" : ": ",
                       e->reason);
        sm_reasons_add(why, SM_REASON_REVOKED, field, hex, want);
    }
    return true;
}

static bool is_listed(const struct sm_rules *r, const struct sm_node_id *node_id,
                      struct sm_view platform_id, struct sm_view measurement,
                      struct sm_reasons *why)
{
    struct sm_view node = {0};
    if (node_id != NULL) {
        node = sm_view_of(node_id->b, sizeof node_id->b);
    }
    bool is_node = told_revoked(revoked(r, SM_REVOKED_NODE, node), "node id", why);
    bool is_platform =
        told_revoked(revoked(r, SM_REVOKED_PLATFORM, platform_id), "platform id", why);
    bool is_measurement =
        told_revoked(revoked(r, SM_REVOKED_MEASUREMENT, measurement), "measurement", why);
    return is_node || is_platform || is_measurement;
}

/* A reference value of the manifest that is revoked; NODE records have zeros behind a short
 * one. */
static const struct sm_refval *revoked_value(const struct sm_rules *r,
                                             struct sm_view measurement)
{
    for (size_t i = 0; r->has_manifest && i < r->manifest.n_refs; i++) {
        const struct sm_refval *v = &r->manifest.refs[i];
        size_t n = v->value.n;
        while (n < measurement.n && measurement.p[n] == 0) {
            n++;
        }
        if (v->kind == SM_REFVAL_MEASUREMENT && v->state == SM_REFVAL_REVOKED &&
            n == measurement.n && memcmp(v->value.b, measurement.p, v->value.n) == 0) {
            return v;
        }
    }
    return NULL;
}

bool sm_rules_is_revoked(const struct sm_rules *r, const struct sm_node_id *node_id,
                         struct sm_view platform_id, struct sm_view measurement,
                         struct sm_reasons *why)
{
    if (is_listed(r, node_id, platform_id, measurement, why)) {
        return true;
    }
    const struct sm_refval *v = revoked_value(r, measurement);
    if (v != NULL && why != NULL) {
        sm_reasons_add(why, SM_REASON_REVOKED, "measurement", v->label, "not revoked");
    }
    return v != NULL;
}

/* -- the anchor that is left ------------------------------------------------------------- */

static bool is_root_revoked(const struct sm_rules *r, const uint8_t key[static 32])
{
    return revoked(r, SM_REVOKED_ROOT, sm_view_of(key, 32)) != NULL;
}

/* While it is only watched, a manifest takes no platform away. */
static uint16_t grade_of(const struct sm_rules *r, unsigned platform)
{
    uint16_t own = r->pinned.grade[platform];
    if (!r->has_manifest) {
        return own;
    }
    uint16_t grade = r->manifest.grade[platform];
    return grade == 0 && sm_rules_is_observing(r) ? own : grade;
}

/* True when anything changed. */
static bool anchor_renew(struct sm_rules *r)
{
    struct sm_anchor a = r->pinned;
    a.n_roots = 0;
    memset(a.roots, 0, sizeof a.roots);
    for (unsigned i = 0; i < r->pinned.n_roots; i++) {
        if (!is_root_revoked(r, r->pinned.roots[i])) {
            memcpy(a.roots[a.n_roots++], r->pinned.roots[i], 32);
        }
    }
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        a.grade[i] = grade_of(r, i);
    }
    bool is_new = a.n_roots != r->anchor.n_roots ||
                  memcmp(a.roots, r->anchor.roots, sizeof a.roots) != 0 ||
                  memcmp(a.grade, r->anchor.grade, sizeof a.grade) != 0;
    r->anchor = a;
    return is_new;
}

/* -- the store of documents -------------------------------------------------------------- */

static struct held *held_find(const struct sm_rules *r, uint8_t kind,
                              const uint8_t name[static SM_DOC_NAME])
{
    for (size_t i = 0; i < r->n_docs; i++) {
        if (r->docs[i].kind == kind && memcmp(r->docs[i].name, name, SM_DOC_NAME) == 0) {
            return &r->docs[i];
        }
    }
    return NULL;
}

static struct sm_doc doc_of(const struct held *h)
{
    struct sm_doc d = {
        .kind = h->kind, .version = h->version, .bytes = sm_view_of(h->bytes, h->n)};
    memcpy(d.name, h->name, sizeof d.name);
    memcpy(d.hash, h->hash, sizeof d.hash);
    return d;
}

/* Put a copy in place of the one of that kind and name, or behind the others. */
static enum sm_err held_put(struct sm_rules *r, const struct held *like, struct sm_view doc)
{
    struct held *h = held_find(r, like->kind, like->name);
    size_t bytes = doc.n;
    for (size_t i = 0; i < r->n_docs; i++) {
        bytes += &r->docs[i] == h ? 0 : r->docs[i].n;
    }
    if (bytes > SM_DOCS_BYTES || (h == NULL && r->n_docs == SM_DOCS_MAX)) {
        return SM_E_LIMIT;
    }
    uint8_t *copy = malloc(doc.n);
    if (copy == NULL) {
        return SM_E_NOMEM;
    }
    if (h == NULL) {
        struct held *more = realloc(r->docs, (r->n_docs + 1) * sizeof *more);
        if (more == NULL) {
            free(copy);
            return SM_E_NOMEM;
        }
        r->docs = more;
        h = &r->docs[r->n_docs++];
        h->bytes = NULL;
    }
    free(h->bytes);
    memcpy(copy, doc.p, doc.n);
    *h = *like;
    h->bytes = copy;
    h->n = doc.n;
    sm_sha256(doc, h->hash);
    return SM_OK;
}

static void held_drop(struct sm_rules *r, uint8_t kind, const uint8_t name[static SM_DOC_NAME])
{
    struct held *h = held_find(r, kind, name);
    if (h == NULL) {
        return;
    }
    free(h->bytes);
    r->n_docs--;
    memmove(h, h + 1, (size_t)(&r->docs[r->n_docs] - h) * sizeof *h);
}

bool sm_rules_doc(const struct sm_rules *r, struct sm_wall now, size_t i, struct sm_doc *out)
{
    for (size_t at = 0; at < r->n_docs; at++) {
        if (now.s > r->docs[at].ends.s) {
            continue;
        }
        if (i-- == 0) {
            *out = doc_of(&r->docs[at]);
            return true;
        }
    }
    return false;
}

bool sm_rules_find(const struct sm_rules *r, struct sm_wall now, uint8_t kind,
                   const uint8_t name[static SM_DOC_NAME], struct sm_doc *out)
{
    const struct held *h = held_find(r, kind, name);
    if (h == NULL || now.s > h->ends.s) {
        return false;
    }
    *out = doc_of(h);
    return true;
}

/* -- offers ------------------------------------------------------------------------------ */

static const uint8_t no_name[SM_DOC_NAME];

static enum sm_err told(enum sm_err e, const char *field, struct sm_reasons *why)
{
    switch ((int)e) {
    case SM_OK:
        break;
    case SM_E_CRYPTO:
        sm_reasons_add(why, SM_REASON_SIGNATURE, field, "not by a root that is believed",
                       "signed by a pinned root");
        break;
    case SM_E_AUTH:
        sm_reasons_add(why, SM_REASON_MANIFEST, field, "another mesh or environment",
                       "this one's");
        break;
    default:
        sm_reasons_add(why, SM_REASON_GRAMMAR, field, sm_err_words(e), "well formed");
    }
    return e;
}

/* Nobody signs for tomorrow; who does has another clock than we. */
static enum sm_err issued_check(struct sm_wall issued, struct sm_wall now, const char *field,
                                struct sm_reasons *why)
{
    if (issued.s > now.s && issued.s - now.s > SM_RECORD_SKEW_S) {
        sm_reasons_add_u64(why, SM_REASON_TIME, field, issued.s, "issued not after", now.s);
        return SM_E_EXPIRED;
    }
    return SM_OK;
}

static enum sm_err version_check(uint64_t version, uint64_t held, const char *field,
                                 struct sm_reasons *why)
{
    if (version > held) {
        return SM_OK;
    }
    sm_reasons_add_u64(why, SM_REASON_VERSION, field, version, "above", held);
    return version < held ? SM_E_STALE : SM_E_EXISTS;
}

/* The highest version that a root we still believe has signed. */
static uint64_t manifest_floor(const struct sm_rules *r)
{
    uint64_t floor = 0;
    for (unsigned i = 0; i < r->pinned.n_roots; i++) {
        if (r->floor[i] > floor && !is_root_revoked(r, r->pinned.roots[i])) {
            floor = r->floor[i];
        }
    }
    return floor;
}

static void floor_raise(struct sm_rules *r, const uint8_t root[static 32], uint64_t version)
{
    for (unsigned i = 0; i < r->pinned.n_roots; i++) {
        if (memcmp(r->pinned.roots[i], root, 32) == 0) {
            r->floor[i] = version;
        }
    }
}

static enum sm_err manifest_accept(struct sm_rules *r, struct sm_wall now, struct sm_view doc,
                                   const struct sm_mesh_manifest *m, struct sm_reasons *why)
{
    struct held like = {.kind = SM_DOC_MANIFEST, .version = m->version, .ends = FOR_EVER};
    SM_TRY(issued_check(m->issued, now, "manifest", why));
    SM_TRY(version_check(m->version, manifest_floor(r), "manifest version", why));
    return held_put(r, &like, doc);
}

static enum sm_err manifest_offer(struct sm_rules *r, struct sm_wall now, struct sm_view doc,
                                  struct sm_rules_change *change, struct sm_reasons *why)
{
    struct sm_mesh_manifest m;
    unsigned root;
    SM_TRY(
        told(sm_mesh_manifest_verify(r->suite, &r->anchor, doc, &m, &root), "manifest", why));
    enum sm_err e = manifest_accept(r, now, doc, &m, why);
    if (e != SM_OK) {
        sm_mesh_manifest_done(&m);
        return e;
    }
    change->was = r->has_manifest ? r->manifest.version : 0;
    change->may_refuse = true;
    memcpy(r->manifest_root, r->anchor.roots[root], sizeof r->manifest_root);
    floor_raise(r, r->manifest_root, m.version);
    sm_mesh_manifest_done(&r->manifest);
    r->manifest = m;
    r->has_manifest = true;
    r->is_manifest_lost = false;
    change->is_anchor_new = anchor_renew(r);
    return SM_OK;
}

/* A manifest of a root that is believed no more is none. */
static void manifest_of_revoked_root_drop(struct sm_rules *r)
{
    if (!r->has_manifest || !is_root_revoked(r, r->manifest_root)) {
        return;
    }
    sm_mesh_manifest_done(&r->manifest);
    r->has_manifest = false;
    r->is_manifest_lost = true;
    held_drop(r, SM_DOC_MANIFEST, no_name);
}

static enum sm_err revocations_accept(struct sm_rules *r, struct sm_wall now,
                                      struct sm_view doc, const struct sm_revocations *l,
                                      struct sm_reasons *why)
{
    struct held like = {.kind = SM_DOC_REVOCATION, .version = l->version, .ends = FOR_EVER};
    uint64_t held = r->has_revocations ? r->revocations.version : 0;
    SM_TRY(issued_check(l->issued, now, "revocation list", why));
    SM_TRY(version_check(l->version, held, "revocation list version", why));
    return held_put(r, &like, doc);
}

static enum sm_err revocations_offer(struct sm_rules *r, struct sm_wall now, struct sm_view doc,
                                     struct sm_rules_change *change, struct sm_reasons *why)
{
    struct sm_revocations l;
    SM_TRY(told(sm_revocations_verify(r->suite, &r->anchor, doc, &l, NULL), "revocation list",
                why));
    enum sm_err e = revocations_accept(r, now, doc, &l, why);
    if (e != SM_OK) {
        sm_revocations_done(&l);
        return e;
    }
    change->was = r->has_revocations ? r->revocations.version : 0;
    change->may_refuse = true;
    sm_revocations_done(&r->revocations);
    r->revocations = l;
    r->has_revocations = true;
    manifest_of_revoked_root_drop(r);
    change->is_anchor_new = anchor_renew(r);
    return SM_OK;
}

static enum sm_err collateral_offer(struct sm_rules *r, struct sm_wall now, uint8_t kind,
                                    struct sm_view doc, struct sm_rules_change *change,
                                    struct sm_reasons *why)
{
    struct sm_makers pinned;
    struct sm_collateral c;
    sm_makers_pinned(&pinned);
    SM_TRY(sm_collateral_verify(r->pinned.trust != NULL ? r->pinned.trust : &pinned, now, kind,
                                doc, &c, why));
    const struct held *h = held_find(r, kind, c.name);
    struct held like = {.kind = kind, .version = c.version, .number = c.number, .ends = c.ends};
    memcpy(like.name, c.name, sizeof like.name);
    change->was = h != NULL ? h->version : 0;
    SM_TRY(version_check(c.version, change->was, sm_doc_kind_name(kind), why));
    SM_TRY(version_check(c.number + 1, h != NULL ? h->number : 0, "crl number", why));
    return held_put(r, &like, doc);
}

static const struct held *held_of_hash(const struct sm_rules *r, uint8_t kind,
                                       struct sm_view doc)
{
    uint8_t hash[32];
    sm_sha256(doc, hash);
    for (size_t i = 0; i < r->n_docs; i++) {
        if (r->docs[i].kind == kind && memcmp(r->docs[i].hash, hash, sizeof hash) == 0) {
            return &r->docs[i];
        }
    }
    return NULL;
}

enum sm_err sm_rules_offer(struct sm_rules *r, struct sm_wall now, uint8_t kind,
                           struct sm_view doc, struct sm_rules_change *out,
                           struct sm_reasons *why)
{
    struct sm_rules_change change = {0};
    enum sm_err e = SM_E_UNSUPPORTED;
    *why = (struct sm_reasons){0};
    if (doc.n > SM_DOC_MAX) {
        return told(SM_E_LIMIT, "document", why);
    }
    if (held_of_hash(r, kind, doc) != NULL) {
        return SM_E_EXISTS;
    }
    switch (kind) {
    case SM_DOC_MANIFEST:
        e = manifest_offer(r, now, doc, &change, why);
        break;
    case SM_DOC_REVOCATION:
        e = revocations_offer(r, now, doc, &change, why);
        break;
    case SM_DOC_TCB_INFO:
    case SM_DOC_QE_IDENTITY:
    case SM_DOC_CRL:
        e = collateral_offer(r, now, kind, doc, &change, why);
        break;
    default:
        sm_reasons_add_u64(why, SM_REASON_UNSUPPORTED, "document", kind, "a kind up to",
                           SM_DOC_KINDS - 1);
    }
    SM_TRY(e);
    const struct held *held = held_of_hash(r, kind, doc);
    assert(held != NULL);
    change.doc = doc_of(held);
    *out = change;
    return SM_OK;
}

/* -- reference values -------------------------------------------------------------------- */

/* What the values of one kind say of one thing that was claimed. */
struct match {
    size_t n_named;               /* values that count or did, for this platform and kind */
    size_t n_live;                /* of them today */
    const struct sm_refval *only; /* one of them */
    const struct sm_refval *best; /* one that fits: active, or the one that ends last */
    const struct sm_refval *ended;
    const struct sm_refval *revoked;
};

static bool is_value(struct sm_view got, const struct sm_value *v)
{
    return got.n > 0 && got.n == v->n && memcmp(got.p, v->b, got.n) == 0;
}

static bool is_live(const struct sm_refval *v, struct sm_wall now)
{
    return v->state == SM_REFVAL_ACTIVE ||
           (v->state == SM_REFVAL_DEPRECATED && now.s < v->until.s);
}

static struct sm_wall end_of(const struct sm_refval *v)
{
    return v->state == SM_REFVAL_DEPRECATED ? v->until : FOR_EVER;
}

static struct match match_find(const struct sm_mesh_manifest *m, struct sm_wall now,
                               uint8_t platform, uint8_t kind, uint8_t reg, struct sm_view got)
{
    struct match out = {0};
    for (size_t i = 0; i < m->n_refs; i++) {
        const struct sm_refval *v = &m->refs[i];
        if (v->platform != platform || v->kind != kind || v->reg != reg) {
            continue;
        }
        bool is_it = is_value(got, &v->value);
        out.n_named += v->state == SM_REFVAL_REVOKED ? 0 : 1;
        if (is_live(v, now)) {
            out.n_live++;
            out.only = v;
            out.best =
                is_it && (out.best == NULL || end_of(v).s > end_of(out.best).s) ? v : out.best;
        } else if (is_it && v->state == SM_REFVAL_REVOKED) {
            out.revoked = v;
        } else if (is_it) {
            out.ended = v;
        }
    }
    return out;
}

/* What an appraisal gathers. */
struct judging {
    const struct sm_rules *r;
    const struct sm_mesh_manifest *m;
    struct sm_wall now;
    const struct sm_claims *c;
    struct sm_checks *all;    /* NULL: nobody asks what passed */
    struct sm_reasons hard;   /* refuse, whatever the mode */
    struct sm_reasons policy; /* the manifest's */
    struct sm_wall until;
    bool is_deprecated;
    const char *label;
};

/* For who wants to know what passed: a part of judging, from begin to end, is listed with what
 * it found, or as passed when it found nothing. */
struct part {
    size_t hard, policy;
};

static struct part part_begin(const struct judging *j)
{
    return (struct part){j->hard.n, j->policy.n};
}

static void part_end(struct judging *j, struct part p, enum sm_reason_code code,
                     const char *field, const char *want)
{
    if (j->all == NULL) {
        return;
    }
    bool is_ok = p.hard == j->hard.n && p.policy == j->policy.n;
    for (; p.hard < j->hard.n; p.hard++) {
        sm_checks_add(j->all, false, &j->hard.r[p.hard]);
    }
    for (; p.policy < j->policy.n; p.policy++) {
        sm_checks_add(j->all, false, &j->policy.r[p.policy]);
    }
    if (is_ok) {
        struct sm_reasons one = {0};
        sm_reasons_add(&one, code, field, "as wanted", want);
        sm_checks_add(j->all, true, &one.r[0]);
    }
}

static void ends_at(struct judging *j, struct sm_wall t)
{
    j->until.s = t.s < j->until.s ? t.s : j->until.s;
}

static void matched(struct judging *j, const struct sm_refval *v)
{
    ends_at(j, end_of(v));
    j->is_deprecated = j->is_deprecated || v->state == SM_REFVAL_DEPRECATED;
    j->label = j->label == NULL ? v->label : j->label;
}

static void not_matched(struct judging *j, enum sm_reason_code code, const char *field,
                        struct sm_view got, const struct match *m)
{
    char hex[SM_REASON_TEXT] = "none", want[SM_REASON_TEXT];
    size_t most = (sizeof hex - 1) / 2;
    if (got.n > 0) {
        sm_hex(got.p, got.n < most ? got.n : most, hex);
    }
    if (m->ended != NULL) {
        (void)snprintf(want, sizeof want, "an active value; %s ended at %" PRIu64,
                       m->ended->label, m->ended->until.s);
        sm_reasons_add(&j->policy, SM_REASON_DEPRECATED, field, hex, want);
        return;
    }
    if (m->n_live == 1) {
        size_t n = m->only->value.n < most ? m->only->value.n : most;
        sm_hex(m->only->value.b, n, want);
    } else {
        (void)snprintf(want, sizeof want, "one of %zu in the manifest", m->n_live);
    }
    sm_reasons_add(&j->policy, code, field, hex, want);
}

/* True when it is: then nothing else matters about it. */
static bool refuse_revoked(struct judging *j, const char *field, const struct match *m)
{
    if (m->revoked == NULL) {
        return false;
    }
    sm_reasons_add(&j->hard, SM_REASON_REVOKED, field, m->revoked->label,
                   "not revoked in the manifest");
    return true;
}

static bool is_any_measurement(const struct judging *j)
{
    return (j->m->any_measurement >> j->c->platform & 1u) != 0;
}

/* A TPM's measurement is a hash over registers; to name the registers is as good. */
static bool is_by_registers(const struct judging *j)
{
    for (size_t i = 0; i < j->m->n_refs; i++) {
        const struct sm_refval *v = &j->m->refs[i];
        if (j->c->platform == SM_PLATFORM_TPM && v->platform == SM_PLATFORM_TPM &&
            v->kind == SM_REFVAL_REGISTER && v->state != SM_REFVAL_REVOKED) {
            return true;
        }
    }
    return false;
}

static void judge_signer(struct judging *j, const struct match *code,
                         const struct match *signer, struct sm_view got)
{
    if (signer->best == NULL) {
        not_matched(j, SM_REASON_MEASUREMENT, "measurement", got, code);
    } else if (j->c->svn < signer->best->min_svn) {
        sm_reasons_add_u64(&j->policy, SM_REASON_SIGNER, "svn", j->c->svn, "at least",
                           signer->best->min_svn);
    } else {
        matched(j, signer->best);
    }
}

static void judge_code(struct judging *j)
{
    const struct sm_claims *c = j->c;
    struct sm_view got = sm_view_of(c->measurement, c->measurement_n);
    struct sm_view got_signer = sm_view_of(c->signer, c->signer_n);
    struct match code = match_find(j->m, j->now, c->platform, SM_REFVAL_MEASUREMENT, 0, got);
    struct match signer =
        match_find(j->m, j->now, c->platform, SM_REFVAL_SIGNER, 0, got_signer);
    bool is_revoked = refuse_revoked(j, "measurement", &code);
    is_revoked = refuse_revoked(j, "signer", &signer) || is_revoked;
    if (is_revoked || is_any_measurement(j)) {
        return;
    }
    if (code.best != NULL) {
        matched(j, code.best);
    } else if (!is_by_registers(j)) {
        judge_signer(j, &code, &signer, got);
    }
}

static void judge_registers(struct judging *j)
{
    const struct sm_claims *c = j->c;
    for (uint8_t i = 0; i < SM_REGS; i++) {
        bool is_there = (c->regs_mask >> i & 1u) != 0;
        struct sm_view got = sm_view_of(c->regs[i], is_there ? c->reg_n : 0);
        struct match m = match_find(j->m, j->now, c->platform, SM_REFVAL_REGISTER, i, got);
        char field[32];
        (void)snprintf(field, sizeof field, "register %u", i);
        if (refuse_revoked(j, field, &m)) {
            continue;
        }
        if (m.best != NULL) {
            matched(j, m.best);
        } else if (m.n_named > 0) {
            not_matched(j, SM_REASON_REGISTERS, field, got, &m);
        }
    }
}

static void judge_host_data(struct judging *j)
{
    struct sm_view got = sm_view_of(j->c->host_data, j->c->host_data_n);
    struct match m = match_find(j->m, j->now, j->c->platform, SM_REFVAL_HOST_DATA, 0, got);
    if (refuse_revoked(j, "host_data", &m)) {
        return;
    }
    if (m.best != NULL) {
        matched(j, m.best);
    } else if (m.n_named > 0) {
        not_matched(j, SM_REASON_HOST_DATA, "host_data", got, &m);
    }
}

/* -- the manifest ------------------------------------------------------------------------ */

static void judge_allowed(struct judging *j, const struct sm_subject *who)
{
    struct sm_view own = sm_view_of(j->c->platform_id, j->c->platform_id_n);
    struct sm_view id = sm_view_of(who->platform_id, 32);
    char want[SM_REASON_TEXT];
    for (size_t i = 0; i < j->m->n_allowed; i++) {
        if (is_value(own, &j->m->allowed[i].id) || is_value(id, &j->m->allowed[i].id)) {
            return;
        }
    }
    if (j->m->n_allowed > 0) {
        char hex[2 * 32 + 1];
        sm_hex(who->platform_id, 32, hex);
        (void)snprintf(want, sizeof want, "one of %zu allowed", j->m->n_allowed);
        sm_reasons_add(&j->policy, SM_REASON_PLATFORM_ID, "platform_id", hex, want);
    }
}

/* Floors, flags and times; the lists are judged here, not there. */
static void judge_hardware(struct judging *j, bool is_stored)
{
    static const uint8_t none[SM_REPORT_DATA];
    struct sm_hw_policy p = j->m->hw;
    const char *advisories[SM_ADVISORIES];
    for (size_t i = 0; i < j->m->n_advisories; i++) {
        advisories[i] = j->m->advisories[i];
    }
    p.platforms = UINT32_MAX; /* the grade decides */
    p.measurements = (struct sm_values){.is_any = true};
    p.host_data = p.platform_ids = p.measurements;
    p.signers = (struct sm_values){0};
    p.advisories = advisories;
    p.n_advisories = j->m->n_advisories;
    p.is_report_data_any = true; /* it was judged before */
    p.max_age_s = is_stored ? UINT32_MAX : p.max_age_s;
    enum sm_err e = j->all != NULL ? sm_hw_explain(&p, j->c, none, j->now, &j->policy, j->all)
                                   : sm_hw_appraise(&p, j->c, none, j->now, &j->policy);
    (void)e; /* the reasons say it */
    if (j->c->not_after.s != 0) {
        ends_at(j, j->c->not_after);
    }
    if (j->c->tcb != SM_TCB_UNKNOWN && j->c->tcb < SM_TCB_STATUSES) {
        ends_at(j, p.status_until[j->c->tcb]);
    }
}

static void judge_manifest(struct judging *j, const struct sm_subject *who, bool is_stored)
{
    const struct sm_mesh_manifest *m = j->m;
    struct part p = part_begin(j);
    if (j->now.s >= m->not_after.s) {
        sm_reasons_add_u64(&j->policy, SM_REASON_EXPIRED, "manifest", m->not_after.s,
                           "not_after later than", j->now.s);
    }
    ends_at(j, m->not_after);
    if (m->grade[j->c->platform] == 0 && sm_rules_is_observing(j->r)) {
        sm_reasons_add(&j->policy, SM_REASON_PLATFORM, "platform",
                       sm_platform_name(j->c->platform), "one of the manifest");
    }
    part_end(j, p, SM_REASON_MANIFEST, "manifest", "in force");
    p = part_begin(j);
    judge_code(j);
    part_end(j, p, SM_REASON_MEASUREMENT, "code", "a reference value of the manifest");
    p = part_begin(j);
    judge_registers(j);
    part_end(j, p, SM_REASON_REGISTERS, "registers", "those that the manifest names");
    p = part_begin(j);
    judge_host_data(j);
    part_end(j, p, SM_REASON_HOST_DATA, "host_data", "what the manifest names, if it does");
    p = part_begin(j);
    judge_allowed(j, who);
    part_end(j, p, SM_REASON_PLATFORM_ID, "platform_id", "on the list, if there is one");
    if (j->c->platform != SM_PLATFORM_SOFTWARE) {
        judge_hardware(j, is_stored);
    }
}

/* -- verdicts ---------------------------------------------------------------------------- */

/* MEASUREMENT has 48 bytes, MRENCLAVE 32: a record holds it with zeros behind. */
static void judge_as_recorded(struct judging *j, const struct sm_attester *who)
{
    const struct sm_claims *c = j->c;
    uint8_t padded[48] = {0};
    if (c->measurement_n <= sizeof padded) {
        memcpy(padded, c->measurement, c->measurement_n);
    }
    if (c->measurement_n == 0 || c->measurement_n > sizeof padded ||
        memcmp(padded, who->measurement, sizeof padded) != 0) {
        sm_reasons_add_hex(&j->hard, SM_REASON_MEASUREMENT, "measurement",
                           sm_view_of(c->measurement, c->measurement_n),
                           sm_view_of(who->measurement, sizeof padded));
    }
    if (c->platform != who->platform) {
        sm_reasons_add(&j->hard, SM_REASON_IDENTITY, "platform", sm_platform_name(c->platform),
                       sm_platform_name(who->platform));
    }
}

/* What no manifest can allow. */
static void judge_base(struct judging *j, const struct sm_attester *who)
{
    const struct sm_anchor *a = &j->r->anchor;
    const struct sm_claims *c = j->c;
    if (a->grade[c->platform] == 0) {
        sm_reasons_add(&j->hard, SM_REASON_PLATFORM, "platform", sm_platform_name(c->platform),
                       "one of the manifest");
    }
    if (a->env != SM_ENV_DEV && !c->is_hw_rooted) {
        sm_reasons_add(&j->hard, SM_REASON_NOT_HARDWARE, "hw_rooted", "false", "true");
    }
    if (a->env != SM_ENV_DEV && c->is_debug) {
        sm_reasons_add(&j->hard, SM_REASON_DEBUG, "debug", "true", "false");
    }
    judge_as_recorded(j, who);
}

static void judge_age(struct judging *j)
{
    uint64_t at = j->c->issued_at.s, now = j->now.s;
    if (!j->c->has_issued_at) {
        return;
    }
    if (at > now && at - now > SM_RECORD_SKEW_S) {
        sm_reasons_add_u64(&j->hard, SM_REASON_TIME, "issued_at", at, "not after", now);
    } else if (at < now && now - at > SM_EVIDENCE_AGE_S) {
        sm_reasons_add_u64(&j->hard, SM_REASON_TIME, "age", now - at, "at most",
                           SM_EVIDENCE_AGE_S);
    }
}

/* Before the manifest: with one, it alone says how new firmware has to be. */
static void judge_evidence(struct judging *j, const struct sm_attester *who,
                           const uint8_t *report_data)
{
    if (j->m == NULL && report_data != NULL) {
        enum sm_err e = sm_appraise(&j->r->anchor, j->now, who, j->c, report_data, &j->hard);
        (void)e; /* the reasons say it */
        return;
    }
    judge_base(j, who);
    if (report_data != NULL) {
        (void)sm_appraise_report_data(j->c, report_data, &j->hard);
        judge_age(j);
    }
}

static void judge_revoked(struct judging *j, const struct sm_subject *who)
{
    struct sm_view own = sm_view_of(j->c->platform_id, j->c->platform_id_n);
    struct sm_view id = sm_view_of(who->platform_id, 32);
    struct sm_view shown = sm_view_of(j->c->measurement, j->c->measurement_n);
    struct sm_view said = sm_view_of(who->attester.measurement, 48);
    (void)is_listed(j->r, who->node_id, id, shown, &j->hard);
    (void)is_listed(j->r, NULL, sm_view_eq(own, id) ? (struct sm_view){0} : own,
                    sm_view_eq(shown, said) ? (struct sm_view){0} : said, &j->hard);
}

/* Nobody did anything wrong: time went on. */
static bool is_by_time(const struct sm_reasons *why)
{
    for (size_t i = 0; i < why->n; i++) {
        switch (why->r[i].code) {
        case SM_REASON_TCB:
        case SM_REASON_TCB_STATUS:
        case SM_REASON_ADVISORY:
        case SM_REASON_COLLATERAL:
        case SM_REASON_EXPIRED:
        case SM_REASON_DEPRECATED:
            break;
        default:
            return false;
        }
    }
    return true;
}

static enum sm_verdict_kind verdict_of(struct judging *j, struct sm_standing *standing)
{
    if (j->hard.n > 0) {
        return SM_VERDICT_REFUSED;
    }
    if (j->policy.n == 0) {
        return SM_VERDICT_OK;
    }
    if (sm_rules_is_observing(j->r)) {
        return SM_VERDICT_OBSERVED;
    }
    if (j->m == NULL || !standing->was_ok || !is_by_time(&j->policy)) {
        return SM_VERDICT_REFUSED;
    }
    uint64_t since = standing->failing_since.s == 0 ? j->now.s : standing->failing_since.s;
    struct sm_wall end = {since + j->m->grace_s};
    if (j->now.s >= end.s) {
        return SM_VERDICT_REFUSED;
    }
    standing->failing_since.s = since;
    j->until = end;
    return SM_VERDICT_GRACE;
}

static void standing_set(struct sm_standing *s, enum sm_verdict_kind kind)
{
    s->was_ok = kind != SM_VERDICT_REFUSED;
    if (kind != SM_VERDICT_GRACE) {
        s->failing_since.s = 0;
    }
}

struct sm_subject sm_subject_of(const struct sm_node_record *believed)
{
    return (struct sm_subject){&believed->node_id, believed->platform_id,
                               sm_attester_of(believed)};
}

static void appraise(const struct sm_rules *r, struct sm_wall now, const struct sm_subject *who,
                     const struct sm_claims *claims, const uint8_t *report_data,
                     struct sm_standing *standing, struct sm_verdict *out,
                     struct sm_checks *all)
{
    struct judging j = {.r = r,
                        .all = all,
                        .m = r->has_manifest ? &r->manifest : NULL,
                        .now = now,
                        .c = claims,
                        .until = FOR_EVER};
    *out = (struct sm_verdict){0};
    if (claims->platform >= SM_PLATFORMS) {
        sm_reasons_add(&out->why, SM_REASON_PLATFORM, "platform", "unknown", "a known one");
        return;
    }
    struct part p = part_begin(&j);
    judge_revoked(&j, who);
    part_end(&j, p, SM_REASON_REVOKED, "node, platform, measurement", "not revoked");
    p = part_begin(&j);
    judge_evidence(&j, &who->attester, report_data);
    part_end(&j, p, SM_REASON_PLATFORM, "platform and evidence", "what the anchor demands");
    if (j.m != NULL) {
        judge_manifest(&j, who, report_data == NULL);
    } else if (r->pinned.env == SM_ENV_PROD || r->is_manifest_lost) {
        sm_reasons_add(&j.hard, SM_REASON_MANIFEST, "manifest", "none",
                       "one signed by a root that is believed");
    }
    out->kind = verdict_of(&j, standing);
    standing_set(standing, out->kind);
    out->until = j.until;
    out->grade = out->kind == SM_VERDICT_REFUSED ? 0 : r->anchor.grade[claims->platform];
    out->is_deprecated = j.is_deprecated;
    (void)snprintf(out->label, sizeof out->label, "%s", j.label == NULL ? "" : j.label);
    sm_reasons_append(&out->why, &j.hard);
    sm_reasons_append(&out->why, &j.policy);
}

void sm_rules_appraise(const struct sm_rules *r, struct sm_wall now,
                       const struct sm_subject *who, const struct sm_claims *claims,
                       const uint8_t *report_data, struct sm_standing *standing,
                       struct sm_verdict *out)
{
    appraise(r, now, who, claims, report_data, standing, out, NULL);
}

void sm_rules_explain(const struct sm_rules *r, struct sm_wall now,
                      const struct sm_subject *who, const struct sm_claims *claims,
                      const uint8_t *report_data, struct sm_standing *standing,
                      struct sm_verdict *out, struct sm_checks *checks)
{
    checks->n = 0;
    appraise(r, now, who, claims, report_data, standing, out, checks);
}
