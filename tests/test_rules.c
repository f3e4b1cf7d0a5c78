// SPDX-License-Identifier: Apache-2.0
#include "attest/rules.h"
#include "crypto/suite.h"
#include "t.h"

#define NOW ((struct sm_wall){1700000000u})
#define DAY 86400u

struct world {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_sign_pair root[2], stranger;
    struct sm_anchor anchor;
    struct sm_rules *rules;
    struct sm_rules_change change;
    struct sm_reasons why;

    /* A peer, and what its platform proved. */
    struct sm_node_id node_id;
    uint8_t platform_id[32], sign_key[32], measurement[48], rd[SM_REPORT_DATA];
    struct sm_subject who;
    struct sm_claims claims;
    struct sm_standing standing;
    struct sm_verdict v;
};

static void world_make(struct world *w, enum sm_env env)
{
    uint8_t seed[32] = {0}, keys[2][32];
    *w = (struct world){.suite = sm_suite_real()};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&w->rng, seed, "rules");
    for (unsigned i = 0; i < 2; i++) {
        sm_sign_pair_make(w->suite, &w->rng, &w->root[i]);
        memcpy(keys[i], w->root[i].pub.b, 32);
    }
    sm_sign_pair_make(w->suite, &w->rng, &w->stranger);
    T_OK(sm_anchor_make(env, "clinic", (const uint8_t(*)[32])keys, 2, &w->anchor));
    T_OK(sm_rules_new(w->suite, &w->anchor, &w->rules));

    memset(w->node_id.b, 0x11, sizeof w->node_id.b);
    memset(w->platform_id, 0x22, sizeof w->platform_id);
    memset(w->sign_key, 0x33, sizeof w->sign_key);
    memset(w->measurement, 0x44, sizeof w->measurement);
    memset(w->rd, 0x55, sizeof w->rd);
    bool is_dev = env == SM_ENV_DEV;
    w->who = (struct sm_subject){&w->node_id,
                                 w->platform_id,
                                 {is_dev ? SM_PLATFORM_SOFTWARE : SM_PLATFORM_SNP, w->sign_key,
                                  w->measurement, w->platform_id}};
    w->claims = (struct sm_claims){.platform = w->who.attester.platform,
                                   .measurement_n = 48,
                                   .report_data_n = SM_REPORT_DATA,
                                   .is_debug = is_dev,
                                   .is_hw_rooted = !is_dev,
                                   .has_issued_at = is_dev,
                                   .issued_at = NOW};
    memcpy(w->claims.measurement, w->measurement, 48);
    memcpy(w->claims.report_data, w->rd, sizeof w->rd);
    w->claims.platform_id_n = is_dev ? 0 : 64;
    memset(w->claims.platform_id, 0x66, 64);
    w->claims.snp.policy = 1u << 17;
    w->claims.tcb_parts[SM_SNP_SNP] = w->claims.snp.launch_tcb[SM_SNP_SNP] = 0x18;
}

static void world_done(struct world *w)
{
    sm_rules_free(w->rules);
}

/* A manifest that takes the peer. */
static struct sm_mesh_manifest manifest(const struct world *w, uint64_t version)
{
    struct sm_mesh_manifest m;
    struct sm_refval v = {.label = "peer",
                          .platform = w->who.attester.platform,
                          .kind = SM_REFVAL_MEASUREMENT,
                          .state = SM_REFVAL_ACTIVE,
                          .value = {.n = 48}};
    memcpy(v.value.b, w->measurement, 48);
    sm_mesh_manifest_default(&m);
    memcpy(m.mesh_id, w->anchor.mesh_id, sizeof m.mesh_id);
    m.env = (uint8_t)w->anchor.env;
    m.version = version;
    m.issued = (struct sm_wall){NOW.s - 10};
    m.not_after = (struct sm_wall){NOW.s + 100 * DAY};
    m.grade[w->who.attester.platform] = 900;
    T_OK(sm_mesh_manifest_add(&m, &v));
    return m;
}

/* Sign with root i, offer, and free the manifest. */
static enum sm_err offer_by(struct world *w, const struct sm_sign_pair *root,
                            struct sm_mesh_manifest *m, struct sm_wall now)
{
    struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    T_OK(sm_mesh_manifest_sign(w->suite, root, m, &doc));
    enum sm_err e =
        sm_rules_offer(w->rules, now, SM_DOC_MANIFEST, sm_buf_view(&doc), &w->change, &w->why);
    sm_buf_done(&doc);
    sm_mesh_manifest_done(m);
    return e;
}

static enum sm_err offer(struct world *w, struct sm_mesh_manifest *m)
{
    return offer_by(w, &w->root[0], m, NOW);
}

static enum sm_err offer_list(struct world *w, const struct sm_sign_pair *root,
                              struct sm_revocations *l)
{
    struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    memcpy(l->mesh_id, w->anchor.mesh_id, sizeof l->mesh_id);
    l->env = (uint8_t)w->anchor.env;
    l->issued = NOW;
    T_OK(sm_revocations_sign(w->suite, root, l, &doc));
    enum sm_err e = sm_rules_offer(w->rules, NOW, SM_DOC_REVOCATION, sm_buf_view(&doc),
                                   &w->change, &w->why);
    sm_buf_done(&doc);
    sm_revocations_done(l);
    return e;
}

static enum sm_err revoke(struct world *w, uint64_t version, uint8_t kind, const void *id,
                          uint8_t n)
{
    struct sm_revocations l = {.version = version};
    struct sm_revoked e = {.kind = kind, .id = {.n = n}, .since = NOW, .reason = "stolen"};
    memcpy(e.id.b, id, n);
    T_OK(sm_revocations_add(&l, &e));
    return offer_list(w, &w->root[0], &l);
}

static enum sm_verdict_kind judge(struct world *w, struct sm_wall now)
{
    sm_rules_appraise(w->rules, now, &w->who, &w->claims, NULL, &w->standing, &w->v);
    return w->v.kind;
}

static enum sm_verdict_kind judge_new(struct world *w)
{
    w->standing = (struct sm_standing){0};
    sm_rules_appraise(w->rules, NOW, &w->who, &w->claims, w->rd, &w->standing, &w->v);
    return w->v.kind;
}

static bool has_reason(const struct sm_reasons *why, enum sm_reason_code code)
{
    for (size_t i = 0; i < why->n; i++) {
        if (why->r[i].code == code) {
            return true;
        }
    }
    return false;
}

/* -- documents --------------------------------------------------------------------------- */

/* Every field away from its default, so that none is forgotten on the way. */
static struct sm_mesh_manifest full_manifest(const struct world *w)
{
    struct sm_mesh_manifest m = manifest(w, 7);
    struct sm_refval v = {.label = "old",
                          .platform = SM_PLATFORM_TPM,
                          .kind = SM_REFVAL_REGISTER,
                          .reg = 7,
                          .state = SM_REFVAL_DEPRECATED,
                          .until = {NOW.s + DAY},
                          .value = {.n = 32, .b = {1, 2, 3}}};
    struct sm_refval signer = {.label = "vendor",
                               .platform = SM_PLATFORM_SGX,
                               .kind = SM_REFVAL_SIGNER,
                               .state = SM_REFVAL_REVOKED,
                               .min_svn = 9,
                               .value = {.n = 32, .b = {4}}};
    struct sm_allowed a = {.label = "box-1", .id = {.n = 64, .b = {9}}};
    T_OK(sm_mesh_manifest_add(&m, &v));
    T_OK(sm_mesh_manifest_add(&m, &signer));
    T_OK(sm_mesh_manifest_allow(&m, &a));
    m.mode = SM_MODE_OBSERVE;
    m.binding = SM_BINDING_EPOCH;
    m.lease_max_s = 600;
    m.grace_s = 1200;
    m.epoch_max_s = 120;
    m.grade[SM_PLATFORM_TPM] = 800;
    m.hw.snp_floor[SM_SNP_TURIN][SM_SNP_FMC] = 3;
    m.hw.snp_min_abi = 1 << 8 | 55;
    m.hw.snp_vmpl = 1;
    m.hw.snp_info_must = SM_SNP_INFO_ALIAS_CHECK;
    m.hw.snp_info_must_not = SM_SNP_INFO_SMT;
    m.hw.snp_policy_must_not = 1u << 16;
    m.hw.may_vlek = m.hw.needs_crl = m.hw.may_migrate = m.hw.may_unknown_bits = true;
    m.hw.may_sept_ve = m.hw.may_service_td = true;
    m.hw.status_until[SM_TCB_CONFIG].s = NOW.s + 5 * DAY;
    m.hw.min_tcb_date.s = 1600000000;
    m.hw.min_tcb_eval = 17;
    m.hw.max_age_s = 60;
    m.hw.regs_replayed = 0x90;
    m.n_advisories = 1;
    memcpy(m.advisories[0], "INTEL-SA-00837", 15);
    m.committee = (struct sm_committee_rule){3, 5, 2, 1, 2};
    return m;
}

static void a_manifest_reads_to_what_was_written(void)
{
    static uint8_t a[SM_MESH_MANIFEST_MAX], b[SM_MESH_MANIFEST_MAX];
    struct world w;
    struct sm_mesh_manifest m, again;
    world_make(&w, SM_ENV_PROD);
    m = full_manifest(&w);
    struct sm_wr wa = sm_wr_init(a, sizeof a), wb = sm_wr_init(b, sizeof b);
    sm_mesh_manifest_write(&m, &wa);
    T_OK(sm_mesh_manifest_read(sm_view_of(a, wa.n), &again));
    T_MEM(again.refs, again.n_refs * sizeof *m.refs, m.refs, m.n_refs * sizeof *m.refs);
    T_MEM(again.allowed, sizeof *m.allowed, m.allowed, sizeof *m.allowed);
    T_MEM(&again.hw, sizeof m.hw, &m.hw, sizeof m.hw);
    T_MEM(&again.committee, sizeof m.committee, &m.committee, sizeof m.committee);
    sm_mesh_manifest_write(&again, &wb);
    T_MEM(b, wb.n, a, wa.n);
    for (size_t n = 0; n < wa.n; n++) {
        struct sm_mesh_manifest cut;
        T_TRUE(sm_mesh_manifest_read(sm_view_of(a, n), &cut) != SM_OK);
    }
    sm_mesh_manifest_done(&m);
    sm_mesh_manifest_done(&again);
    world_done(&w);
}

static void no_changed_byte_of_a_manifest_is_accepted(void)
{
    struct world w;
    struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    world_make(&w, SM_ENV_PROD);
    struct sm_mesh_manifest m = full_manifest(&w);
    T_OK(sm_mesh_manifest_sign(w.suite, &w.root[1], &m, &doc));
    for (size_t i = 0; i < doc.n; i++) {
        uint8_t was = doc.p[i];
        doc.p[i] ^= (uint8_t)(1u << (i % 8));
        T_TRUE(sm_rules_offer(w.rules, NOW, SM_DOC_MANIFEST, sm_buf_view(&doc), &w.change,
                              &w.why) != SM_OK);
        T_TRUE(w.why.n > 0);
        doc.p[i] = was;
    }
    T_TRUE(sm_rules_manifest(w.rules) == NULL);
    T_OK(sm_rules_offer(w.rules, NOW, SM_DOC_MANIFEST, sm_buf_view(&doc), &w.change, &w.why));
    sm_buf_done(&doc);
    sm_mesh_manifest_done(&m);
    world_done(&w);
}

static void only_a_pinned_root_of_this_mesh_makes_a_manifest(void)
{
    struct world w, other;
    world_make(&w, SM_ENV_PROD);
    world_make(&other, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    T_ERR(offer_by(&w, &w.stranger, &m, NOW), SM_E_CRYPTO);
    T_TRUE(has_reason(&w.why, SM_REASON_SIGNATURE));
    m = manifest(&other, 1); /* the same roots, another environment */
    T_ERR(offer(&w, &m), SM_E_AUTH);
    m = manifest(&w, 1);
    m.env = SM_ENV_DEV;
    T_ERR(offer(&w, &m), SM_E_AUTH);
    m = manifest(&w, 1);
    m.issued.s = NOW.s + 3600;
    T_ERR(offer(&w, &m), SM_E_EXPIRED);
    m = manifest(&w, 1);
    T_OK(offer_by(&w, &w.root[1], &m, NOW));
    world_done(&w);
    world_done(&other);
}

static void no_older_manifest_ever_replaces_a_newer(void)
{
    struct world w;
    uint64_t held = 0;
    world_make(&w, SM_ENV_PROD);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t version = 1 + sm_rng_u64(&w.rng) % 40;
        struct sm_mesh_manifest m = manifest(&w, version);
        m.grace_s = (uint32_t)(sm_rng_u64(&w.rng) % 1000);
        enum sm_err e = offer_by(&w, &w.root[i % 2], &m, NOW);
        T_EQ(e == SM_OK, version > held);
        T_EQ(e == SM_E_STALE, version < held);
        T_EQ(e == SM_E_EXISTS, version == held);
        held = e == SM_OK ? version : held;
        T_EQ(sm_rules_manifest(w.rules)->version, held);
    }
    world_done(&w);
}

/* Two roots, lists and manifests of any version, a root revoked and taken back: what is in
 * force only ever rises, as long as who signed it is believed. */
static void no_sequence_of_documents_leads_back(void)
{
    struct world w;
    uint64_t list = 0, floor[2] = {0};
    bool is_gone = false; /* root 1 */
    world_make(&w, SM_ENV_PROD);
    for (unsigned i = 0; i < 400; i++) {
        uint64_t version = 1 + sm_rng_below(&w.rng, 60);
        unsigned by = (unsigned)sm_rng_below(&w.rng, 2);
        if (sm_rng_below(&w.rng, 2) == 0) {
            struct sm_mesh_manifest m = manifest(&w, version);
            m.lease_max_s = 60 + (uint32_t)i;
            bool is_new = version > floor[0] && (is_gone || version > floor[1]);
            bool may = !(by == 1 && is_gone);
            T_EQ(offer_by(&w, &w.root[by], &m, NOW) == SM_OK, may && is_new);
            floor[by] = may && is_new ? version : floor[by];
        } else {
            struct sm_revocations l = {.version = version};
            struct sm_revoked e = {.kind = SM_REVOKED_ROOT, .id = {.n = 32}};
            bool revokes = sm_rng_below(&w.rng, 4) == 0;
            memcpy(e.id.b, w.root[1].pub.b, 32);
            if (revokes) {
                T_OK(sm_revocations_add(&l, &e));
            }
            bool is_new = version > list;
            T_EQ(offer_list(&w, &w.root[0], &l) == SM_OK, is_new);
            list = is_new ? version : list;
            is_gone = is_new ? revokes : is_gone;
        }
        const struct sm_mesh_manifest *m = sm_rules_manifest(w.rules);
        const struct sm_revocations *l = sm_rules_revocations(w.rules);
        T_EQ(l == NULL ? 0 : l->version, list);
        if (m != NULL) {
            T_TRUE(m->version == floor[0] || (!is_gone && m->version == floor[1]));
        }
        T_EQ(sm_rules_anchor(w.rules)->n_roots, is_gone ? 1 : 2);
    }
    world_done(&w);
}

static void a_revocation_list_is_sorted_and_reads_back(void)
{
    static uint8_t bytes[SM_REVOCATION_MAX];
    struct world w;
    struct sm_revocations l = {.env = SM_ENV_DEV, .version = 3, .issued = NOW}, again;
    world_make(&w, SM_ENV_DEV);
    for (unsigned i = 0; i < 200; i++) {
        struct sm_revoked e = {.kind = (uint8_t)(1 + i % 4), .id = {.n = 32}, .since = NOW};
        sm_rng_bytes(&w.rng, e.id.b, 32);
        T_OK(sm_revocations_add(&l, &e));
        T_ERR(sm_revocations_add(&l, &e), SM_E_EXISTS);
    }
    struct sm_wr o = sm_wr_init(bytes, sizeof bytes);
    sm_revocations_write(&l, &o);
    T_OK(sm_revocations_read(sm_view_of(bytes, o.n), &again));
    T_MEM(again.e, again.n * sizeof *l.e, l.e, l.n * sizeof *l.e);
    for (size_t i = 0; i < l.n; i++) {
        struct sm_view id = sm_view_of(l.e[i].id.b, 32);
        T_TRUE(sm_revocations_find(&again, l.e[i].kind, id) == &again.e[i]);
        T_TRUE(sm_revocations_find(&again, (uint8_t)(l.e[i].kind % 4 + 1), id) == NULL);
    }
    /* Twice the same, or out of order, is not a list. */
    l.e[7] = l.e[8];
    o = sm_wr_init(bytes, sizeof bytes);
    sm_revocations_write(&l, &o);
    sm_revocations_done(&again);
    T_ERR(sm_revocations_read(sm_view_of(bytes, o.n), &again), SM_E_MALFORMED);
    sm_revocations_done(&l);
    world_done(&w);
}

static void documents_are_listed_as_they_came(void)
{
    struct world w;
    struct sm_doc d;
    static const uint8_t no_name[SM_DOC_NAME];
    world_make(&w, SM_ENV_DEV);
    T_TRUE(!sm_rules_doc(w.rules, NOW, 0, &d));
    struct sm_mesh_manifest m = manifest(&w, 5);
    T_OK(offer(&w, &m));
    T_EQ(w.change.was, 0);
    T_TRUE(w.change.may_refuse && w.change.is_anchor_new);
    T_OK(revoke(&w, 2, SM_REVOKED_MEASUREMENT, w.measurement, 48));
    T_TRUE(sm_rules_doc(w.rules, NOW, 0, &d) && d.kind == SM_DOC_MANIFEST && d.version == 5);
    T_TRUE(sm_rules_doc(w.rules, NOW, 1, &d) && d.kind == SM_DOC_REVOCATION && d.version == 2);
    T_TRUE(!sm_rules_doc(w.rules, NOW, 2, &d));
    T_TRUE(sm_rules_find(w.rules, NOW, SM_DOC_MANIFEST, no_name, &d));
    T_ERR(sm_rules_offer(w.rules, NOW, SM_DOC_MANIFEST, d.bytes, &w.change, &w.why),
          SM_E_EXISTS);
    T_EQ(w.why.n, 0);
    world_done(&w);
}

/* -- judging ----------------------------------------------------------------------------- */

static void without_a_manifest_development_goes_by_its_anchor_and_production_takes_nobody(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    T_EQ(judge_new(&w), SM_VERDICT_OK);
    T_EQ(w.v.grade, 1000);
    world_done(&w);
    world_make(&w, SM_ENV_PROD);
    T_EQ(judge_new(&w), SM_VERDICT_REFUSED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_MANIFEST));
    world_done(&w);
}

static void a_listed_measurement_is_taken_and_another_is_not(void)
{
    enum sm_env envs[] = {SM_ENV_DEV, SM_ENV_PROD};
    for (size_t i = 0; i < SM_COUNT(envs); i++) {
        struct world w;
        world_make(&w, envs[i]);
        struct sm_mesh_manifest m = manifest(&w, 1);
        T_OK(offer(&w, &m));
        T_EQ(judge_new(&w), SM_VERDICT_OK);
        T_STR(w.v.label, "peer");
        T_EQ(w.v.grade, 900);
        T_EQ(w.v.until.s, NOW.s + 100 * DAY);
        w.claims.measurement[3] ^= 1;
        w.measurement[3] ^= 1;
        T_EQ(judge_new(&w), SM_VERDICT_REFUSED);
        T_EQ(w.v.why.n, 1);
        T_EQ(w.v.why.r[0].code, SM_REASON_MEASUREMENT);
        world_done(&w);
    }
}

static void evidence_for_another_session_is_refused_also_when_observing(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    m.mode = SM_MODE_OBSERVE;
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_OK);
    w.rd[0] ^= 1;
    T_EQ(judge_new(&w), SM_VERDICT_REFUSED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_REPORT_DATA));
    world_done(&w);
}

static void observing_takes_what_enforcing_would_refuse_and_says_so(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    m.mode = SM_MODE_OBSERVE;
    m.refs[0].value.b[0] ^= 1;
    m.grade[SM_PLATFORM_SOFTWARE] = 0;
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_OBSERVED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_MEASUREMENT));
    T_TRUE(has_reason(&w.v.why, SM_REASON_PLATFORM));
    T_EQ(w.v.grade, 1000);
    m = manifest(&w, 2);
    m.refs[0].value.b[0] ^= 1;
    T_OK(offer(&w, &m));
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
    world_done(&w);
}

static void a_deprecated_value_counts_until_its_time(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    m.refs[0].state = SM_REFVAL_DEPRECATED;
    m.refs[0].until.s = NOW.s + DAY;
    m.grace_s = 600;
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_OK);
    T_TRUE(w.v.is_deprecated);
    T_EQ(w.v.until.s, NOW.s + DAY);
    struct sm_wall end = {NOW.s + DAY};
    T_EQ(judge(&w, (struct sm_wall){end.s - 1}), SM_VERDICT_OK);
    T_EQ(judge(&w, end), SM_VERDICT_GRACE);
    T_EQ(w.v.until.s, end.s + 600);
    T_EQ(judge(&w, (struct sm_wall){end.s + 599}), SM_VERDICT_GRACE);
    T_EQ(w.v.until.s, end.s + 600);
    T_EQ(judge(&w, (struct sm_wall){end.s + 600}), SM_VERDICT_REFUSED);
    /* Somebody new has no grace. */
    w.standing = (struct sm_standing){0};
    T_EQ(judge(&w, end), SM_VERDICT_REFUSED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_DEPRECATED));
    world_done(&w);
}

static void revoked_wins_over_grace_observing_and_any_measurement(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    m.mode = SM_MODE_OBSERVE;
    m.grace_s = 600;
    m.any_measurement = 1u << SM_PLATFORM_SOFTWARE;
    m.refs[0].state = SM_REFVAL_REVOKED;
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_REFUSED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_REVOKED));
    world_done(&w);

    const struct {
        uint8_t kind, n;
        size_t offset;
    } all[] = {
        {SM_REVOKED_NODE, 32, offsetof(struct world, node_id)},
        {SM_REVOKED_PLATFORM, 32, offsetof(struct world, platform_id)},
        {SM_REVOKED_PLATFORM, 64, offsetof(struct world, claims.platform_id)},
        {SM_REVOKED_MEASUREMENT, 48, offsetof(struct world, measurement)},
    };
    for (size_t i = 0; i < SM_COUNT(all); i++) {
        world_make(&w, SM_ENV_PROD);
        m = manifest(&w, 1);
        m.mode = SM_MODE_OBSERVE;
        T_OK(offer(&w, &m));
        T_EQ(judge_new(&w), SM_VERDICT_OK);
        T_OK(revoke(&w, 1, all[i].kind, (const uint8_t *)&w + all[i].offset, all[i].n));
        T_TRUE(w.change.may_refuse);
        T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
        T_EQ(w.v.why.n, 1);
        T_EQ(w.v.why.r[0].code, SM_REASON_REVOKED);
        world_done(&w);
    }
}

static void a_manifest_that_ended_takes_nobody_new_and_keeps_the_others_for_the_grace(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    m.grace_s = 300;
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_OK);
    struct sm_wall end = w.v.until;
    T_EQ(judge(&w, end), SM_VERDICT_GRACE);
    T_EQ(judge(&w, (struct sm_wall){end.s + 300}), SM_VERDICT_REFUSED);
    w.standing = (struct sm_standing){0};
    T_EQ(judge(&w, end), SM_VERDICT_REFUSED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_EXPIRED));
    /* Also one that had ended before it came: it is in force, not ignored. */
    m = manifest(&w, 2);
    m.issued.s = NOW.s - 2 * DAY;
    m.not_after.s = NOW.s - DAY;
    T_OK(offer(&w, &m));
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
    m = manifest(&w, 3);
    T_OK(offer(&w, &m));
    T_EQ(judge(&w, NOW), SM_VERDICT_OK);
    world_done(&w);
}

static void a_revoked_root_signs_endorses_and_rules_no_more(void)
{
    struct world w;
    world_make(&w, SM_ENV_PROD);
    struct sm_mesh_manifest m = manifest(&w, UINT64_MAX); /* a thief leaves no room above */
    T_OK(offer_by(&w, &w.root[1], &m, NOW));
    T_EQ(sm_rules_anchor(w.rules)->n_roots, 2);
    T_OK(revoke(&w, 1, SM_REVOKED_ROOT, w.root[1].pub.b, 32));
    T_EQ(sm_rules_anchor(w.rules)->n_roots, 1);
    T_MEM(sm_rules_anchor(w.rules)->mesh_id, 32, w.anchor.mesh_id, 32);
    T_TRUE(w.change.is_anchor_new);
    T_TRUE(sm_rules_manifest(w.rules) == NULL);
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
    m = manifest(&w, 9);
    T_ERR(offer_by(&w, &w.root[1], &m, NOW), SM_E_CRYPTO);
    m = manifest(&w, 2);
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_OK);
    world_done(&w);
}

static void a_list_does_not_revoke_who_signed_it(void)
{
    struct world w;
    struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    world_make(&w, SM_ENV_PROD);
    struct sm_revocations l = {.env = SM_ENV_PROD, .version = 1, .issued = NOW};
    struct sm_revoked e = {.kind = SM_REVOKED_ROOT, .id = {.n = 32}};
    memcpy(e.id.b, w.root[0].pub.b, 32);
    T_OK(sm_revocations_add(&l, &e));
    T_ERR(sm_revocations_sign(w.suite, &w.root[0], &l, &doc), SM_E_INVALID);
    sm_revocations_done(&l);
    sm_buf_done(&doc);
    world_done(&w);
}

static void only_listed_machines_are_taken_once_there_is_a_list(void)
{
    for (unsigned by_chip = 0; by_chip < 2; by_chip++) {
        struct world w;
        struct sm_allowed a = {.label = "box", .id = {.n = by_chip ? 64 : 32}};
        world_make(&w, SM_ENV_PROD);
        memset(a.id.b, by_chip ? 0x66 : 0x22, a.id.n);
        struct sm_mesh_manifest m = manifest(&w, 1);
        T_OK(sm_mesh_manifest_allow(&m, &a));
        T_OK(offer(&w, &m));
        T_EQ(judge_new(&w), SM_VERDICT_OK);
        w.platform_id[0] ^= 1;
        w.claims.platform_id[0] ^= 1;
        T_EQ(judge_new(&w), SM_VERDICT_REFUSED);
        T_TRUE(has_reason(&w.v.why, SM_REASON_PLATFORM_ID));
        world_done(&w);
    }
}

static void registers_named_for_a_platform_must_have_a_value_that_counts(void)
{
    struct world w;
    world_make(&w, SM_ENV_PROD);
    struct sm_mesh_manifest m = manifest(&w, 1);
    struct sm_refval v = {.label = "pcr7",
                          .platform = SM_PLATFORM_TPM,
                          .kind = SM_REFVAL_REGISTER,
                          .reg = 7,
                          .state = SM_REFVAL_DEPRECATED,
                          .until = {NOW.s + DAY},
                          .value = {.n = 32, .b = {7}}};
    m.grade[SM_PLATFORM_TPM] = 800;
    w.who.attester.platform = w.claims.platform = SM_PLATFORM_TPM;
    w.claims.regs_mask = 1u << 7;
    w.claims.reg_n = 32;
    w.claims.regs[7][0] = 7;
    T_OK(offer(&w, &m));
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED); /* no register is named: nothing is proven */
    T_TRUE(has_reason(&w.v.why, SM_REASON_MEASUREMENT));
    m = manifest(&w, 2);
    m.grade[SM_PLATFORM_TPM] = 800;
    T_OK(sm_mesh_manifest_add(&m, &v));
    T_OK(offer(&w, &m));
    T_EQ(judge(&w, NOW), SM_VERDICT_OK);
    w.claims.regs[7][1] = 1;
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
    T_TRUE(has_reason(&w.v.why, SM_REASON_REGISTERS));
    w.standing = (struct sm_standing){0};
    T_EQ(judge(&w, (struct sm_wall){NOW.s + 2 * DAY}), SM_VERDICT_REFUSED);
    world_done(&w);
}

static void firmware_below_a_floor_is_carried_for_the_grace_when_it_was_good(void)
{
    struct world w;
    world_make(&w, SM_ENV_PROD);
    struct sm_mesh_manifest m = manifest(&w, 1);
    T_OK(offer(&w, &m));
    T_EQ(judge_new(&w), SM_VERDICT_OK);
    m = manifest(&w, 2);
    m.hw.snp_floor[SM_SNP_MILAN][SM_SNP_SNP] = 0x19;
    m.grace_s = 60;
    T_OK(offer(&w, &m));
    T_EQ(judge(&w, NOW), SM_VERDICT_GRACE);
    T_TRUE(has_reason(&w.v.why, SM_REASON_TCB));
    w.standing = (struct sm_standing){0};
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
    world_done(&w);
}

static void debugging_and_software_stay_out_of_production_whatever_is_signed(void)
{
    struct world w;
    const char *field = NULL;
    world_make(&w, SM_ENV_PROD);
    struct sm_mesh_manifest m = manifest(&w, 1);
    m.grade[SM_PLATFORM_SOFTWARE] = 1000;
    T_ERR(sm_mesh_manifest_check(&m, &field), SM_E_INVALID);
    T_STR(field, "platform");
    m.grade[SM_PLATFORM_SOFTWARE] = 0;
    m.hw.may_debug = true;
    T_ERR(sm_mesh_manifest_check(&m, &field), SM_E_INVALID);
    T_STR(field, "debug");
    m.hw.may_debug = false;
    T_OK(offer(&w, &m));
    w.claims.is_debug = true;
    T_EQ(judge_new(&w), SM_VERDICT_REFUSED);
    w.claims.is_debug = false;
    w.claims.is_hw_rooted = false;
    T_EQ(judge(&w, NOW), SM_VERDICT_REFUSED);
    world_done(&w);
}

static void caps_hold(void)
{
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    struct sm_refval v = m.refs[0];
    for (unsigned i = 1; i < SM_REFVALS_MAX; i++) {
        (void)snprintf(v.label, sizeof v.label, "value-%u", i);
        sm_put_le32(v.value.b, i);
        T_OK(sm_mesh_manifest_add(&m, &v));
    }
    (void)snprintf(v.label, sizeof v.label, "one-more");
    sm_put_le32(v.value.b, 0);
    T_ERR(sm_mesh_manifest_add(&m, &v), SM_E_LIMIT);
    T_OK(offer(&w, &m)); /* the fullest fits */
    T_EQ(judge_new(&w), SM_VERDICT_OK);

    struct sm_revocations l = {.version = 1};
    struct sm_revoked e = {.kind = SM_REVOKED_NODE, .id = {.n = 32}, .reason = "lost"};
    for (unsigned i = 0; i < SM_REVOKED_MAX; i++) {
        sm_put_le32(e.id.b, i);
        T_OK(sm_revocations_add(&l, &e));
    }
    sm_put_le32(e.id.b, SM_REVOKED_MAX);
    T_ERR(sm_revocations_add(&l, &e), SM_E_LIMIT);
    T_OK(offer_list(&w, &w.root[0], &l));
    static uint8_t big[SM_DOC_MAX + 1];
    T_ERR(sm_rules_offer(w.rules, NOW, SM_DOC_MANIFEST, sm_view_of(big, sizeof big), &w.change,
                         &w.why),
          SM_E_LIMIT);
    world_done(&w);
}

static void a_committee_cannot_be_two_or_be_owned(void)
{
    const struct {
        struct sm_committee_rule rule;
        bool is_good;
    } all[] = {{{0, 0, 0, 0, 0}, true},  {{3, 5, 2, 2, 2}, true},   {{2, 3, 1, 1, 1}, true},
               {{2, 5, 1, 1, 1}, false}, {{3, 5, 3, 2, 2}, false},  {{3, 5, 2, 3, 2}, false},
               {{3, 5, 2, 2, 0}, false}, {{6, 5, 2, 2, 2}, false},  {{1, 1, 1, 1, 1}, false},
               {{0, 0, 1, 0, 0}, false}, {{60, 65, 2, 2, 2}, false}};
    struct world w;
    world_make(&w, SM_ENV_DEV);
    struct sm_mesh_manifest m = manifest(&w, 1);
    for (size_t i = 0; i < SM_COUNT(all); i++) {
        m.committee = all[i].rule;
        T_EQ(sm_mesh_manifest_check(&m, NULL) == SM_OK, all[i].is_good);
    }
    sm_mesh_manifest_done(&m);
    world_done(&w);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_manifest_reads_to_what_was_written),
        T_CASE(no_changed_byte_of_a_manifest_is_accepted),
        T_CASE(only_a_pinned_root_of_this_mesh_makes_a_manifest),
        T_CASE(no_older_manifest_ever_replaces_a_newer),
        T_CASE(no_sequence_of_documents_leads_back),
        T_CASE(a_revocation_list_is_sorted_and_reads_back),
        T_CASE(documents_are_listed_as_they_came),
        T_CASE(without_a_manifest_development_goes_by_its_anchor_and_production_takes_nobody),
        T_CASE(a_listed_measurement_is_taken_and_another_is_not),
        T_CASE(evidence_for_another_session_is_refused_also_when_observing),
        T_CASE(observing_takes_what_enforcing_would_refuse_and_says_so),
        T_CASE(a_deprecated_value_counts_until_its_time),
        T_CASE(revoked_wins_over_grace_observing_and_any_measurement),
        T_CASE(a_manifest_that_ended_takes_nobody_new_and_keeps_the_others_for_the_grace),
        T_CASE(a_revoked_root_signs_endorses_and_rules_no_more),
        T_CASE(a_list_does_not_revoke_who_signed_it),
        T_CASE(only_listed_machines_are_taken_once_there_is_a_list),
        T_CASE(registers_named_for_a_platform_must_have_a_value_that_counts),
        T_CASE(firmware_below_a_floor_is_carried_for_the_grace_when_it_was_good),
        T_CASE(debugging_and_software_stay_out_of_production_whatever_is_signed),
        T_CASE(caps_hold),
        T_CASE(a_committee_cannot_be_two_or_be_owned),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
