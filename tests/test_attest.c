// SPDX-License-Identifier: Apache-2.0
#include "t.h"
#include "attest/dev.h"
#include "attest/envelope.h"
#include "attest/evidence.h"
#include "crypto/known.h"
#include "crypto/suite_sim.h"
#include "wire/frame.h"

#define NOW ((struct sm_wall){1700000000u})

#ifdef SM_DEV_ROOT

/* A developer's mesh of one node, with everything a peer would hold of it. */
struct world {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_sign_pair root, node;
    struct sm_anchor dev, prod;
    struct sm_dev_platform platform;
    struct sm_node_record rec;
    uint8_t buf[SM_NODE_RECORD_MAX];
    struct sm_view record;
    struct sm_binding binding;
    struct sm_attester who;
    uint8_t rd[SM_REPORT_DATA];
    uint8_t evidence_buf[1024];
    struct sm_view evidence;
};

static struct sm_view sign_record(const struct world *w, const struct sm_sign_pair *key,
                                  struct sm_wr *out)
{
    uint8_t buf[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr m = sm_wr_init(buf, sizeof buf);
    struct sm_view msg, whole;
    struct sm_sig sig;
    sm_record_to_sign(sm_view_of(out->p, out->n), &m);
    T_OK(sm_wr_done(&m, &msg));
    w->suite->sign(key, msg, &sig);
    sm_wr_bytes(out, sig.b, sizeof sig.b);
    T_OK(sm_wr_done(out, &whole));
    return whole;
}

static void endorse(struct world *w, const struct sm_sign_pair *root,
                    const struct sm_anchor *mesh)
{
    struct sm_dev_endorsement e = {.not_before = {NOW.s - 10}, .expires = {NOW.s + 86400}};
    memset(e.platform_id, 0x55, sizeof e.platform_id);
    memcpy(e.sign_key, w->node.pub.b, sizeof e.sign_key);
    struct sm_wr o = sm_wr_init(w->rec.endorsement, sizeof w->rec.endorsement);
    T_OK(sm_dev_endorse(w->suite, root, mesh, &e, &o));
    w->rec.endorsement_n = (uint16_t)o.n;
}

static void publish(struct world *w)
{
    struct sm_wr o = sm_wr_init(w->buf, sizeof w->buf);
    sm_node_record_write(&w->rec, &o);
    w->record = sign_record(w, &w->node, &o);
}

static void collect(struct world *w, const struct sm_sign_pair *key)
{
    struct sm_wr o = sm_wr_init(w->evidence_buf, sizeof w->evidence_buf);
    T_OK(sm_attest_collect_dev(w->suite, key, &w->platform, NOW, &w->binding, &o));
    T_OK(sm_wr_done(&o, &w->evidence));
}

static void world_make(struct world *w, const struct sm_suite *suite)
{
    uint8_t seed[32] = {0};
    *w = (struct world){.suite = suite};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&w->rng, seed, "test");
    sm_sign_pair_make(suite, &w->rng, &w->root);
    sm_sign_pair_make(suite, &w->rng, &w->node);
    const uint8_t(*roots)[32] = (const uint8_t(*)[32])w->root.pub.b;
    T_OK(sm_anchor_make(SM_ENV_DEV, "clinic", roots, 1, &w->dev));
    T_OK(sm_anchor_make(SM_ENV_PROD, "clinic", roots, 1, &w->prod));
    memset(w->platform.measurement, 0x11, sizeof w->platform.measurement);
    memset(w->platform.boot_id, 0x22, sizeof w->platform.boot_id);

    w->rec.head = (struct sm_record_head){
        .network = w->dev.network, .seq = 1, .not_before = NOW, .expires = {NOW.s + 3600}};
    uint8_t platform_id[32];
    memset(platform_id, 0x55, sizeof platform_id);
    w->rec.index = 1;
    sm_node_id_make(platform_id, 1, w->dev.network, &w->rec.node_id);
    memcpy(w->rec.sign_key, w->node.pub.b, 32);
    memset(w->rec.dh_key, 0x33, 32);
    memcpy(w->rec.measurement, w->platform.measurement, 48);
    endorse(w, &w->root, &w->dev);
    publish(w);

    w->binding = (struct sm_binding){.role = SM_ROLE_INITIATOR, .lease_seq = 1};
    sm_rng_bytes(&w->rng, w->binding.h, 32);
    sm_rng_bytes(&w->rng, w->binding.pk_self, 32);
    sm_rng_bytes(&w->rng, w->binding.pk_peer, 32);
    sm_binding_report_data(&w->binding, w->rd);
    w->who = sm_attester_of(&w->rec);
    collect(w, &w->node);
}

static enum sm_err verify_node(const struct world *w, const struct sm_anchor *a,
                               struct sm_wall now)
{
    struct sm_node_record out;
    return sm_node_record_verify(w->suite, a, now, w->record, &out);
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

static void a_node_endorsed_by_the_pinned_root_is_believed(void)
{
    struct world w;
    struct sm_node_record out;
    world_make(&w, sm_suite_real());
    T_OK(sm_node_record_verify(w.suite, &w.dev, NOW, w.record, &out));
    T_EQ(out.platform_id[31], 0x55);
    w.rec.head.type = SM_RECORD_NODE;
    memcpy(w.rec.platform_id, out.platform_id, 32);
    T_MEM(&out, sizeof out, &w.rec, sizeof w.rec);
}

static void another_root_mesh_or_platform_id_is_refused(void)
{
    struct world w;
    struct sm_sign_pair other;
    struct sm_anchor mesh;
    world_make(&w, sm_suite_real());
    sm_sign_pair_make(w.suite, &w.rng, &other);
    endorse(&w, &other, &w.dev);
    publish(&w);
    T_ERR(verify_node(&w, &w.dev, NOW), SM_E_CRYPTO);

    T_OK(sm_anchor_make(SM_ENV_DEV, "other clinic", (const uint8_t(*)[32])w.root.pub.b, 1,
                        &mesh));
    endorse(&w, &w.root, &mesh);
    publish(&w);
    T_ERR(verify_node(&w, &w.dev, NOW), SM_E_CRYPTO);
    T_ERR(verify_node(&w, &mesh, NOW), SM_E_AUTH);

    endorse(&w, &w.root, &w.dev);
    w.rec.index = 2;
    publish(&w);
    T_ERR(verify_node(&w, &w.dev, NOW), SM_E_AUTH);
}

/* However well a machine signs for itself: its ids are four, and follow from what it is. */
static void a_platform_has_four_ids_and_no_fifth(void)
{
    struct world w;
    uint8_t platform_id[32];
    struct sm_node_id seen[SM_NODE_INDEXES];
    world_make(&w, sm_suite_real());
    memset(platform_id, 0x55, sizeof platform_id);
    for (unsigned i = 0; i < 256; i++) {
        w.rec.index = (uint8_t)i;
        sm_node_id_make(platform_id, (uint8_t)i, w.dev.network, &w.rec.node_id);
        publish(&w);
        if (i >= SM_NODE_INDEXES) {
            T_ERR(verify_node(&w, &w.dev, NOW), SM_E_MALFORMED);
            continue;
        }
        T_OK(verify_node(&w, &w.dev, NOW));
        seen[i] = w.rec.node_id;
        for (unsigned k = 0; k < i; k++) {
            T_TRUE(!sm_node_id_eq(&seen[i], &seen[k]));
        }
    }
    T_EQ(SM_NODE_INDEXES, 4);
    w.rec.index = 0;
    memset(w.rec.node_id.b, 7, sizeof w.rec.node_id.b); /* of its choice */
    publish(&w);
    T_ERR(verify_node(&w, &w.dev, NOW), SM_E_AUTH);
}

static void an_endorsement_of_another_key_is_refused(void)
{
    struct world w;
    struct sm_sign_pair thief;
    world_make(&w, sm_suite_real());
    sm_sign_pair_make(w.suite, &w.rng, &thief);
    memcpy(w.rec.sign_key, thief.pub.b, 32);
    struct sm_wr o = sm_wr_init(w.buf, sizeof w.buf);
    sm_node_record_write(&w.rec, &o);
    w.record = sign_record(&w, &thief, &o);
    T_ERR(verify_node(&w, &w.dev, NOW), SM_E_AUTH);
}

static void a_second_pinned_root_may_endorse_too(void)
{
    struct world w;
    struct sm_sign_pair second;
    world_make(&w, sm_suite_real());
    sm_sign_pair_make(w.suite, &w.rng, &second);
    endorse(&w, &second, &w.dev);
    publish(&w);
    T_ERR(verify_node(&w, &w.dev, NOW), SM_E_CRYPTO);
    memcpy(w.dev.roots[w.dev.n_roots++], second.pub.b, 32);
    T_OK(verify_node(&w, &w.dev, NOW));
}

/* Nothing but the arithmetic of a signature is remembered. */
static void a_known_record_is_judged_as_if_it_were_new(void)
{
    static struct sm_known_sigs known;
    struct world w;
    world_make(&w, sm_suite_real());
    memset(&known, 0, sizeof known);
    w.dev.known = &known;
    T_OK(verify_node(&w, &w.dev, NOW));
    T_EQ(known.hits, 0);
    T_OK(verify_node(&w, &w.dev, NOW));
    T_EQ(known.hits, 2);
    T_ERR(verify_node(&w, &w.dev, (struct sm_wall){NOW.s + 3660}), SM_E_EXPIRED);
    T_ERR(verify_node(&w, &w.dev, (struct sm_wall){NOW.s - 100}), SM_E_EXPIRED);
    for (size_t bit = 0; bit < 8 * w.record.n; bit++) {
        w.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_TRUE(verify_node(&w, &w.dev, NOW) != SM_OK);
        w.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    struct sm_anchor without = w.dev;
    without.roots[0][0] ^= 1;
    T_ERR(verify_node(&w, &without, NOW), SM_E_CRYPTO);
    without = w.dev;
    without.grade[SM_PLATFORM_SOFTWARE] = 0;
    T_ERR(verify_node(&w, &without, NOW), SM_E_REFUSED);
    T_OK(verify_node(&w, &w.dev, NOW));
}

static void expired_records_and_endorsements_are_refused(void)
{
    struct world w;
    world_make(&w, sm_suite_real());
    T_ERR(verify_node(&w, &w.dev, (struct sm_wall){NOW.s + 3660}), SM_E_EXPIRED);
    T_ERR(verify_node(&w, &w.dev, (struct sm_wall){NOW.s - 100}), SM_E_EXPIRED);
    w.rec.head.expires.s = NOW.s + 10 * 86400;
    publish(&w);
    T_OK(verify_node(&w, &w.dev, (struct sm_wall){NOW.s + 86400 - 1}));
    T_ERR(verify_node(&w, &w.dev, (struct sm_wall){NOW.s + 86460}), SM_E_EXPIRED);
}

static void no_flipped_bit_of_a_record_is_believed(void)
{
    struct world w;
    world_make(&w, sm_suite_sim());
    T_OK(verify_node(&w, &w.dev, NOW));
    for (size_t bit = 0; bit < w.record.n * 8; bit++) {
        w.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_TRUE(verify_node(&w, &w.dev, NOW) != SM_OK);
        w.buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void evidence_for_this_session_is_accepted_in_development(void)
{
    struct world w;
    struct sm_claims c;
    struct sm_reasons why;
    world_make(&w, sm_suite_real());
    T_OK(sm_evidence_check(w.suite, &w.dev, NOW, &w.rec, &w.binding, w.evidence, &c, &why));
    T_TRUE(c.is_debug && !c.is_hw_rooted && c.platform == SM_PLATFORM_SOFTWARE);
    T_MEM(c.boot_id, 16, w.platform.boot_id, 16);
    T_EQ(c.issued_at.s, NOW.s);
}

static void production_refuses_development_evidence_on_three_counts(void)
{
    struct world w;
    struct sm_claims c;
    struct sm_reasons why;
    char text[300];
    world_make(&w, sm_suite_real());
    T_OK(sm_evidence_verify(w.suite, &w.dev, NOW, &w.who, w.evidence, &c, &why));
    T_ERR(sm_appraise(&w.prod, NOW, &w.who, &c, w.rd, &why), SM_E_REFUSED);
    T_EQ(why.n, 3);
    T_TRUE(has_reason(&why, SM_REASON_PLATFORM));
    T_TRUE(has_reason(&why, SM_REASON_DEBUG));
    T_TRUE(has_reason(&why, SM_REASON_NOT_HARDWARE));
    sm_reasons_text(&why, text, sizeof text);
    T_STR(text, "platform got software want snp, tdx or tpm; hw_rooted got false want true; "
                "debug got true want false");
    /* Even a record made for the production mesh, endorsed by its own pinned root. */
    w.rec.head.network = w.prod.network;
    endorse(&w, &w.root, &w.prod);
    publish(&w);
    T_ERR(verify_node(&w, &w.prod, NOW), SM_E_REFUSED);
}

/* Change one part of the binding: what a peer expects then no longer matches. */
static void refused_for(struct world *w, const struct sm_binding *expected)
{
    struct sm_claims c;
    struct sm_reasons why;
    T_ERR(sm_evidence_check(w->suite, &w->dev, NOW, &w->rec, expected, w->evidence, &c, &why),
          SM_E_REFUSED);
    T_EQ(why.n, 1);
    T_EQ(why.r[0].code, SM_REASON_REPORT_DATA);
}

static void evidence_of_another_session_role_peer_or_lease_is_refused(void)
{
    struct world w;
    struct sm_binding b;
    world_make(&w, sm_suite_real());
    b = w.binding;
    b.h[31] ^= 1;
    refused_for(&w, &b);
    b = w.binding;
    b.role = SM_ROLE_RESPONDER;
    refused_for(&w, &b);
    b = w.binding;
    b.pk_self[0] ^= 1;
    refused_for(&w, &b);
    b = w.binding;
    b.pk_peer[0] ^= 1;
    refused_for(&w, &b);
    b = w.binding;
    memcpy(b.pk_self, w.binding.pk_peer, 32);
    memcpy(b.pk_peer, w.binding.pk_self, 32);
    refused_for(&w, &b);
    b = w.binding;
    b.lease_seq = 2;
    refused_for(&w, &b);
    b = w.binding;
    b.challenge = sm_view_str("fresh");
    refused_for(&w, &b);
}

static void evidence_that_is_old_or_of_another_program_is_refused(void)
{
    struct world w;
    struct sm_claims c;
    struct sm_reasons why;
    world_make(&w, sm_suite_real());
    struct sm_wall late = {NOW.s + SM_EVIDENCE_AGE_S + 1};
    T_ERR(sm_evidence_check(w.suite, &w.dev, late, &w.rec, &w.binding, w.evidence, &c, &why),
          SM_E_REFUSED);
    T_TRUE(why.n == 1 && why.r[0].code == SM_REASON_TIME);
    w.rec.measurement[7] ^= 1;
    T_ERR(sm_evidence_check(w.suite, &w.dev, NOW, &w.rec, &w.binding, w.evidence, &c, &why),
          SM_E_REFUSED);
    T_TRUE(why.n == 1 && why.r[0].code == SM_REASON_MEASUREMENT);
}

static void evidence_by_another_key_or_with_a_flipped_bit_is_refused(void)
{
    struct world w;
    struct sm_claims c;
    struct sm_reasons why;
    struct sm_sign_pair thief;
    world_make(&w, sm_suite_sim());
    for (size_t bit = 0; bit < w.evidence.n * 8; bit++) {
        w.evidence_buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        T_TRUE(sm_evidence_verify(w.suite, &w.dev, NOW, &w.who, w.evidence, &c, &why) != SM_OK);
        T_EQ(why.n, 1);
        w.evidence_buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < w.evidence.n; n++) {
        T_TRUE(sm_evidence_verify(w.suite, &w.dev, NOW, &w.who, sm_view_sub(w.evidence, 0, n),
                                  &c, &why) != SM_OK);
    }
    sm_sign_pair_make(w.suite, &w.rng, &thief);
    collect(&w, &thief);
    T_ERR(sm_evidence_verify(w.suite, &w.dev, NOW, &w.who, w.evidence, &c, &why), SM_E_CRYPTO);
    T_EQ(why.r[0].code, SM_REASON_SIGNATURE);
}

static void hardware_platforms_have_no_fallback(void)
{
    struct world w;
    struct sm_claims c;
    struct sm_reasons why;
    world_make(&w, sm_suite_real());
    for (uint8_t p = SM_PLATFORM_SNP; p < SM_PLATFORMS; p++) {
        w.who.platform = p;
        T_TRUE(sm_evidence_verify(w.suite, &w.dev, NOW, &w.who, w.evidence, &c, &why) != SM_OK);
        T_TRUE(why.n > 0);
        w.rec.platform = p;
        publish(&w);
        T_TRUE(verify_node(&w, &w.dev, NOW) != SM_OK);
    }
}

static void passports_join_an_endpoint_to_its_node_only(void)
{
    struct world w;
    struct sm_passport p;
    uint8_t eb[SM_ENDPOINT_RECORD_BYTES], pb[SM_PASSPORT_MAX];
    struct sm_view passport;
    world_make(&w, sm_suite_real());
    struct sm_endpoint_record ep = {
        .head = w.rec.head, .node_id = w.rec.node_id, .ep = 77, .kind = SM_ENDPOINT_SEE};
    ep.head.expires.s = NOW.s + 600;
    memset(ep.dh_key, 0x99, 32);
    for (int round = 0; round < 3; round++) {
        struct sm_wr o = sm_wr_init(eb, sizeof eb), pw = sm_wr_init(pb, sizeof pb);
        ep.node_id.b[0] ^= round == 1;
        sm_endpoint_record_write(&ep, &o);
        sm_passport_write(w.record, sign_record(&w, round == 2 ? &w.root : &w.node, &o), &pw);
        ep.node_id = w.rec.node_id;
        T_OK(sm_wr_done(&pw, &passport));
        enum sm_err want = round == 0 ? SM_OK : round == 1 ? SM_E_AUTH : SM_E_CRYPTO;
        T_ERR(sm_passport_verify(w.suite, &w.dev, NOW, passport, &p), want);
    }
    T_EQ(p.addr.ep, 77);
    T_EQ(p.addr.node.v, sm_hop_of(&w.rec.node_id).v);
    T_EQ(p.dh_key[5], 0x99);
    T_EQ(p.expires.s, NOW.s + 600);

    struct sm_wr pw = sm_wr_init(pb, sizeof pb);
    sm_passport_write(w.record, (struct sm_view){0}, &pw);
    T_OK(sm_wr_done(&pw, &passport));
    T_OK(sm_passport_verify(w.suite, &w.dev, NOW, passport, &p));
    T_EQ(p.addr.ep, SM_EP_NODE);
    T_EQ(p.dh_key[5], 0x33);
}

/* Whoever may ask for evidence must not get any that a tunnel takes, whatever is asked for. */
static void the_evidence_of_people_opens_no_tunnel(void)
{
    struct world w;
    struct sm_claims c;
    struct sm_reasons why;
    uint8_t rd[SM_REPORT_DATA], half[SM_USER_DATA_MAX], evidence[SM_EVIDENCE_MAX];
    world_make(&w, sm_suite_real());
    half[0] = w.binding.role; /* what the binding begins with, as far as it may be asked for */
    memcpy(half + 1, w.binding.h, 32);
    memcpy(half + 33, w.binding.pk_self, 31);
    const struct sm_view asked[] = {sm_view_of(w.rd, sizeof w.rd),
                                    sm_view_of(half, sizeof half), sm_view_of(w.binding.h, 32),
                                    sm_view_str("x")};
    for (size_t i = 0; i < SM_COUNT(asked); i++) {
        struct sm_wr o = sm_wr_init(evidence, sizeof evidence);
        sm_user_report_data(asked[i], rd);
        T_OK(sm_dev_collect(w.suite, &w.node, &w.platform, NOW, rd, &o));
        T_OK(sm_evidence_verify(w.suite, &w.dev, NOW, &w.who, sm_view_of(evidence, o.n), &c,
                                &why));
        T_ERR(sm_appraise(&w.dev, NOW, &w.who, &c, w.rd, &why), SM_E_REFUSED);
        T_TRUE(has_reason(&why, SM_REASON_REPORT_DATA));
    }
}

static void sign_requests_read_back_and_nothing_else_is_signed(void)
{
    struct world w;
    struct sm_sign_request req;
    uint8_t buf[SM_SIGN_EVIDENCE_MAX];
    world_make(&w, sm_suite_sim());
    w.binding.challenge = sm_view_str("again");
    struct sm_wr o = sm_wr_init(buf, sizeof buf);
    sm_sign_evidence_write(&w.binding, &o);
    struct sm_view v = sm_view_of(buf, o.n);
    T_OK(sm_sign_request_read(v, &req));
    T_EQ(req.kind, SM_SIGN_EVIDENCE);
    T_MEM(req.binding.h, 32, w.binding.h, 32);
    T_MEM(req.binding.challenge.p, req.binding.challenge.n, "again", 5);
    for (size_t n = 0; n < v.n; n++) {
        T_ERR(sm_sign_request_read(sm_view_sub(v, 0, n), &req), SM_E_TRUNCATED);
    }
    buf[1] = 3;
    T_ERR(sm_sign_request_read(v, &req), SM_E_MALFORMED);
    buf[0] = 4;
    T_ERR(sm_sign_request_read(v, &req), SM_E_MALFORMED);
    for (size_t n = 0; n <= SM_USER_DATA_MAX + 1; n++) {
        uint8_t user[1 + SM_USER_DATA_MAX + 1] = {SM_SIGN_USER};
        bool is_right = n > 0 && n <= SM_USER_DATA_MAX;
        T_EQ(sm_sign_request_read(sm_view_of(user, 1 + n), &req) == SM_OK, is_right);
        T_TRUE(!is_right || req.user.n == n);
    }
    uint8_t rec[SM_NODE_RECORD_MAX + 1];
    o = sm_wr_init(rec, sizeof rec);
    sm_sign_record_write(sm_view_sub(w.record, 0, w.record.n - SM_RECORD_SIG), &o);
    T_OK(sm_sign_request_read(sm_view_of(rec, o.n), &req));
    T_EQ(req.record.n, w.record.n - SM_RECORD_SIG);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_node_endorsed_by_the_pinned_root_is_believed),
        T_CASE(another_root_mesh_or_platform_id_is_refused),
        T_CASE(a_platform_has_four_ids_and_no_fifth),
        T_CASE(an_endorsement_of_another_key_is_refused),
        T_CASE(a_second_pinned_root_may_endorse_too),
        T_CASE(a_known_record_is_judged_as_if_it_were_new),
        T_CASE(expired_records_and_endorsements_are_refused),
        T_CASE(no_flipped_bit_of_a_record_is_believed),
        T_CASE(evidence_for_this_session_is_accepted_in_development),
        T_CASE(production_refuses_development_evidence_on_three_counts),
        T_CASE(evidence_of_another_session_role_peer_or_lease_is_refused),
        T_CASE(evidence_that_is_old_or_of_another_program_is_refused),
        T_CASE(evidence_by_another_key_or_with_a_flipped_bit_is_refused),
        T_CASE(hardware_platforms_have_no_fallback),
        T_CASE(passports_join_an_endpoint_to_its_node_only),
        T_CASE(the_evidence_of_people_opens_no_tunnel),
        T_CASE(sign_requests_read_back_and_nothing_else_is_signed),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#else

/* Without the development root, software is refused whatever it shows. */
static void evidence_of_software_is_always_refused(void)
{
    uint8_t key[32] = {0}, measurement[48] = {0};
    struct sm_attester who = {SM_PLATFORM_SOFTWARE, key, measurement, key};
    struct sm_anchor dev;
    struct sm_envelope e = {.part[SM_PART_DEV] = sm_view_str("whatever")};
    uint8_t room[128];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_claims c;
    struct sm_reasons why;
    T_OK(sm_anchor_make(SM_ENV_DEV, "clinic", (const uint8_t(*)[32])key, 1, &dev));
    T_OK(sm_envelope_write(&e, &w));
    T_ERR(sm_evidence_verify(sm_suite_real(), &dev, NOW, &who, sm_view_of(w.p, w.n), &c, &why),
          SM_E_REFUSED);
    T_EQ(why.n, 1);
    T_EQ(why.r[0].code, SM_REASON_PLATFORM);
}

static void a_well_signed_software_node_is_refused_in_development_too(void)
{
    const struct sm_suite *suite = sm_suite_real();
    struct sm_sign_pair node;
    struct sm_anchor dev;
    struct sm_secret32 seed = {{1}};
    uint8_t rec_buf[SM_NODE_RECORD_MAX], sign_buf[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr w = sm_wr_init(rec_buf, sizeof rec_buf);
    struct sm_wr m = sm_wr_init(sign_buf, sizeof sign_buf);
    struct sm_sig sig;
    struct sm_node_record out, rec = {.head = {.not_before = NOW, .expires = {NOW.s + 60}}};
    sm_sign_pair_from(suite, &seed, &node);
    T_OK(sm_anchor_make(SM_ENV_DEV, "clinic", (const uint8_t(*)[32])node.pub.b, 1, &dev));
    rec.head.network = dev.network;
    memcpy(rec.sign_key, node.pub.b, 32);
    sm_node_record_write(&rec, &w);
    sm_record_to_sign(sm_view_of(w.p, w.n), &m);
    suite->sign(&node, sm_view_of(m.p, m.n), &sig);
    sm_wr_bytes(&w, sig.b, sizeof sig.b);
    T_ERR(sm_node_record_verify(suite, &dev, NOW, sm_view_of(w.p, w.n), &out), SM_E_REFUSED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(evidence_of_software_is_always_refused),
        T_CASE(a_well_signed_software_node_is_refused_in_development_too),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#endif
