// SPDX-License-Identifier: Apache-2.0
/* Tunnels between machines with hardware, made by us under roots of our own: two honest ones,
 * and whatever somebody who owns a genuine machine, or evidence of one, may try. */
#include "t.h"

#ifdef SM_DEV_ROOT
#define SNP_KIT_NOW 1700000000u
#include "attest/cache.h"
#include "attest/collateral.h"
#include "attest/endorse.h"
#include "attest/enrol.h"
#include "attest/envelope.h"
#include "attest/rules.h"
#include "proc/epoch_keeper.h"
#include "snp_kit.h"
#include "tunnel_rig.h"

#define T0 RIG_T0

/* A node on a chip.  What it shows may be bent in every way. */
struct machine {
    struct rig_node node;
    struct chip chip;
    const struct chip *shows; /* another one's report and certificates; NULL: its own */
    const uint8_t *says;      /* other report data; NULL: what is asked for */
    uint32_t without;         /* mask of parts left out */
    struct sm_buf replay;     /* an old envelope to show again */
    unsigned asked;
};

static void sign_over(struct chip *c, const uint8_t *rd)
{
    memcpy(c->report + 0x50, rd, SM_REPORT_DATA);
    chip_sign(c);
}

static void show(void *hw, const uint8_t report_data[static SM_REPORT_DATA], struct sm_wr *w)
{
    struct machine *m = hw;
    struct chip c = m->shows != NULL ? *m->shows : m->chip;
    m->asked++;
    if (m->replay.n > 0) {
        sm_wr_view(w, sm_buf_view(&m->replay));
        return;
    }
    sign_over(&c, m->says != NULL ? m->says : report_data);
    struct sm_envelope e = {
        .part = {[SM_PART_SNP_REPORT] = sm_view_of(c.report, sizeof c.report),
                 [SM_PART_SNP_VEK] = der_view(&c.d_vek),
                 [SM_PART_SNP_CHAIN] = der_view(&c.d_ask),
                 [SM_PART_SNP_CRL] = der_view(&c.d_crl)}};
    for (unsigned i = 0; i < SM_PARTS; i++) {
        e.part[i].n = (m->without >> i & 1u) != 0 ? 0 : e.part[i].n;
    }
    T_OK(sm_envelope_write(&e, w));
}

/* -- a mesh of two ------------------------------------------------------------------------ */

struct pair {
    struct rig_mesh m;
    struct sm_makers trust;
    struct machine a, b, c; /* c is endorsed too, and not connected */
    struct rig_end ea, eb;
};

static void chip_make(struct machine *m, uint8_t id)
{
    static const struct flaws none = {0};
    chip_plan(&m->chip, SM_SNP_MILAN, false);
    memset(m->chip.hw_id, id, sizeof m->chip.hw_id);
    chip_build(&m->chip);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &none, &m->chip.d_crl);
}

static void endorse(struct pair *p, struct machine *m, const struct chip *chip)
{
    struct rig_node *n = &m->node;
    struct sm_endorsement e = {.platform = SM_PLATFORM_SNP,
                               .indexes = 1,
                               .not_before = RIG_WALL,
                               .expires = {RIG_WALL.s + 30 * 86400}};
    T_OK(sm_platform_id_hash(SM_PLATFORM_SNP, sm_view_of(chip->hw_id, 64), e.platform_id));
    memcpy(e.shown_id, e.platform_id, 32);
    memcpy(e.sign_key, n->sign.pub.b, 32);
    struct sm_wr w = sm_wr_init(n->rec.endorsement, sizeof n->rec.endorsement);
    T_OK(sm_endorse(p->m.suite, &p->m.root, &p->m.anchor, &e, &w));
    n->rec.endorsement_n = (uint16_t)w.n;
    sm_node_id_make(e.platform_id, 0, p->m.anchor.network, &n->rec.node_id);
    rig_node_publish(n);
}

static void machine_make(struct pair *p, struct machine *m, uint8_t id)
{
    *m = (struct machine){.replay = SM_BUF(SM_EVIDENCE_MAX)};
    rig_node_make(&p->m, &m->node);
    chip_make(m, id);
    m->node.collect = show;
    m->node.hw = m;
    m->node.rec.platform = SM_PLATFORM_SNP;
    memset(m->node.rec.measurement, 0x77, sizeof m->node.rec.measurement); /* as chip_report */
    endorse(p, m, &m->chip);
}

static struct pair *pair_make(void)
{
    struct pair *p = calloc(1, sizeof *p);
    T_TRUE(p != NULL);
    rig_mesh_make(&p->m, sm_suite_real(), t_seed());
    const uint8_t(*roots)[32] = (const uint8_t(*)[32])p->m.root.pub.b;
    T_OK(sm_anchor_make(SM_ENV_PROD, "rig", roots, 1, &p->m.anchor));
    machine_make(p, &p->a, 0xa1);
    machine_make(p, &p->b, 0xb2);
    machine_make(p, &p->c, 0xc3);
    p->trust = p->a.chip.trust; /* the one root is the same for all */
    p->m.anchor.trust = &p->trust;
    return p;
}

static void pair_open(struct pair *p)
{
    struct sm_tunnel_cfg ca = rig_cfg(&p->m, &p->a.node, true),
                         cb = rig_cfg(&p->m, &p->b.node, false);
    rig_end_open(&p->ea, &p->a.node, &ca, T0);
    rig_end_open(&p->eb, &p->b.node, &cb, T0);
}

static void pair_free(struct pair *p)
{
    rig_end_free(&p->ea);
    rig_end_free(&p->eb);
    sm_buf_done(&p->a.replay);
    sm_buf_done(&p->b.replay);
    sm_buf_done(&p->c.replay);
    free(p);
}

/* Until `end`, or until one is down. */
static void live(struct pair *p, struct sm_mono *now, struct sm_mono end)
{
    while (now->ns < end.ns && !p->ea.is_down && !p->eb.is_down) {
        struct sm_mono next =
            sm_earlier(sm_tunnel_deadline(p->ea.t), sm_tunnel_deadline(p->eb.t));
        *now = sm_earlier(next, end);
        sm_tunnel_tick(p->ea.t, *now);
        sm_tunnel_tick(p->eb.t, *now);
        rig_run(&p->ea, &p->eb, *now);
    }
}

/* The dialer a shows what it shows; b refuses with that word, and nothing was up. */
static void b_refuses(struct pair *p, enum sm_err err, const char *word)
{
    pair_open(p);
    rig_run(&p->ea, &p->eb, T0);
    T_TRUE(p->ea.is_down && p->eb.is_down);
    T_TRUE(!p->ea.is_up && !p->eb.is_up);
    T_TRUE(p->b.asked == 0); /* b's platform was not even asked */
    T_ERR(p->eb.err, err);
    T_TRUE(strstr(p->eb.reason, word) != NULL);
    pair_free(p);
}

/* A manifest of the pair's mesh that takes the machines, bound to that. */
static struct sm_rules *rules_make(struct pair *p)
{
    struct sm_rules *r = NULL;
    T_OK(sm_rules_new(p->m.suite, &p->m.anchor, &r));
    return r;
}

static void rules_set(struct pair *p, struct sm_rules *r, uint64_t version, uint8_t binding)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    struct sm_mesh_manifest m;
    struct sm_refval v = {.label = "guest",
                          .platform = SM_PLATFORM_SNP,
                          .kind = SM_REFVAL_MEASUREMENT,
                          .state = SM_REFVAL_ACTIVE,
                          .value = {.n = 48}};
    struct sm_rules_change change;
    struct sm_reasons why;
    memset(v.value.b, 0x77, 48);
    sm_mesh_manifest_default(&m);
    memcpy(m.mesh_id, p->m.anchor.mesh_id, sizeof m.mesh_id);
    m.env = (uint8_t)p->m.anchor.env;
    m.version = version;
    m.issued = RIG_WALL;
    m.not_after = (struct sm_wall){RIG_WALL.s + 100 * 86400};
    m.grade[SM_PLATFORM_SNP] = 1000;
    m.binding = binding;
    m.epoch_max_s = SM_EPOCH_S_MAX;
    T_OK(sm_mesh_manifest_add(&m, &v));
    T_OK(sm_mesh_manifest_sign(p->m.suite, &p->m.root, &m, &doc));
    T_OK(sm_rules_offer(r, RIG_WALL, SM_DOC_MANIFEST, sm_buf_view(&doc), &change, &why));
    sm_mesh_manifest_done(&m);
}

/* -- honest -------------------------------------------------------------------------------- */

static void two_honest_machines_meet(void)
{
    struct pair *p = pair_make();
    pair_open(p);
    rig_run(&p->ea, &p->eb, T0);
    T_TRUE(p->ea.is_up && p->eb.is_up && !p->ea.is_down && !p->eb.is_down);
    T_TRUE(sm_node_id_eq(&p->ea.peer, &p->b.node.rec.node_id));
    T_OK(sm_tunnel_send(p->ea.t, SM_TUNNEL_PACKET, sm_view_str("hello")));
    rig_run(&p->ea, &p->eb, T0);
    T_MEM(p->eb.last.p, p->eb.last.n, "hello", 5);
    pair_free(p);
}

static void leases_are_renewed_with_fresh_reports(void)
{
    struct pair *p = pair_make();
    struct sm_mono now = T0;
    pair_open(p);
    rig_run(&p->ea, &p->eb, T0);
    live(p, &now, sm_after(T0, SM_S(3500)));
    T_TRUE(!p->ea.is_down && !p->eb.is_down);
    T_TRUE(p->a.asked >= 2 && p->b.asked >= 2);
    T_TRUE(sm_tunnel_lease(p->ea.t).seq >= 2 && sm_tunnel_lease(p->eb.t).seq >= 2);
    pair_free(p);
}

/* -- evidence that is genuine and of something else ------------------------------------------
 */

/* Relay: a genuine machine signs, for a session that another one has. */
static void evidence_made_for_another_session_is_refused(void)
{
    uint8_t other[SM_REPORT_DATA];
    struct pair *p = pair_make();
    memset(other, 0x33, sizeof other);
    p->a.says = other;
    b_refuses(p, SM_E_REFUSED, "report_data");
}

/* Replay: what a itself showed in an earlier tunnel with the same peer. */
static void evidence_shown_before_is_refused(void)
{
    struct pair *p = pair_make();
    uint8_t rd[SM_REPORT_DATA] = {0}, room[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    show(&p->a, rd, &w);
    T_OK(sm_buf_add(&p->a.replay, room, w.n));
    b_refuses(p, SM_E_REFUSED, "report_data");
}

/* Evidence of a machine that is in the mesh, by who holds another node's keys. */
static void evidence_of_another_endorsed_node_is_refused(void)
{
    struct pair *p = pair_make();
    p->a.shows = &p->c.chip;
    b_refuses(p, SM_E_REFUSED, "platform id");
}

static void a_chip_that_nobody_endorsed_is_refused(void)
{
    struct pair *p = pair_make();
    struct machine *stranger = calloc(1, sizeof *stranger);
    T_TRUE(stranger != NULL);
    chip_make(stranger, 0xdd);
    p->a.shows = &stranger->chip;
    b_refuses(p, SM_E_REFUSED, "platform id");
    free(stranger);
}

/* The endorsement of c's chip and key in a record of a's. */
static void an_endorsement_of_another_key_is_refused(void)
{
    struct pair *p = pair_make();
    memcpy(p->a.node.rec.endorsement, p->c.node.rec.endorsement,
           sizeof p->a.node.rec.endorsement);
    p->a.node.rec.endorsement_n = p->c.node.rec.endorsement_n;
    p->a.node.rec.node_id = p->c.node.rec.node_id;
    rig_node_publish(&p->a.node);
    b_refuses(p, SM_E_AUTH, "NODE record");
}

/* Two nodes on one chip: neither may take the other's index, and so its id. */
static void an_index_that_was_not_endorsed_is_refused(void)
{
    struct pair *p = pair_make();
    uint8_t id[32];
    T_OK(sm_platform_id_hash(SM_PLATFORM_SNP, sm_view_of(p->a.chip.hw_id, 64), id));
    p->a.node.rec.index = 1;
    sm_node_id_make(id, 1, p->m.anchor.network, &p->a.node.rec.node_id);
    rig_node_publish(&p->a.node);
    b_refuses(p, SM_E_AUTH, "NODE record");
}

static void a_platform_other_than_the_endorsed_one_is_refused(void)
{
    struct pair *p = pair_make();
    p->a.node.rec.platform = SM_PLATFORM_TDX;
    rig_node_publish(&p->a.node);
    b_refuses(p, SM_E_AUTH, "NODE record");
}

/* Software's evidence under a hardware record, and the other way round. */
static void development_evidence_is_no_hardware_evidence(void)
{
    struct pair *p = pair_make();
    p->a.node.collect = NULL;
    b_refuses(p, SM_E_MALFORMED, "dev got one want none");
}

static void another_program_is_refused(void)
{
    struct pair *p = pair_make();
    p->a.chip.report[0x90] ^= 1;
    b_refuses(p, SM_E_REFUSED, "measurement");
}

/* -- the middle ------------------------------------------------------------------------------
 */

static struct pair *rogue_dials(struct rogue *r)
{
    struct pair *p = pair_make();
    pair_open(p);
    rogue_shake(r, &p->m, &p->a.node, &p->eb, true);
    return p;
}

static void end_rogue(struct rogue *r, struct pair *p, const struct rig_end *victim,
                      const char *word)
{
    T_TRUE(victim->is_down && !victim->is_up);
    T_TRUE(strstr(victim->reason, word) != NULL);
    rogue_done(r);
    pair_free(p);
}

/* A genuine machine between two others passes on what one of them showed it. */
static void diverted_evidence_is_refused(void)
{
    struct rogue r;
    struct pair *p = rogue_dials(&r);
    rogue_show(&r, &p->eb, &r.own, p->c.node.record);
    end_rogue(&r, p, &p->eb, "names another key");
}

static void evidence_of_another_role_lease_or_peer_is_refused(void)
{
    for (int i = 0; i < 4; i++) {
        struct rogue r;
        struct pair *p = rogue_dials(&r);
        struct sm_binding b = r.own;
        b.h[0] ^= i == 0;
        b.role = i == 1 ? SM_ROLE_RESPONDER : b.role;
        b.lease_seq = i == 2 ? 2 : b.lease_seq;
        b.pk_peer[3] ^= i == 3;
        rogue_show(&r, &p->eb, &b, p->a.node.record);
        end_rogue(&r, p, &p->eb, "report_data");
    }
}

/* A dialer's own evidence, sent back to it. */
static void reflected_evidence_is_refused(void)
{
    static uint8_t copy[SM_TFRAME_EVIDENCE_MAX];
    struct rogue r;
    struct sm_view payload;
    const uint8_t one = 1;
    struct pair *p = pair_make();
    pair_open(p);
    rogue_shake(&r, &p->m, &p->b.node, &p->ea, false);
    T_EQ(rogue_read(&r, &p->ea, &payload), SM_TFRAME_EVIDENCE);
    memcpy(copy, payload.p, payload.n);
    rogue_send(&r, &p->ea, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
    rogue_send(&r, &p->ea, SM_TFRAME_EVIDENCE, sm_view_of(copy, payload.n));
    end_rogue(&r, p, &p->ea, "names another key");

    /* Only the platform's part of it, beside its own record. */
    struct sm_evidence_frame f;
    p = pair_make();
    pair_open(p);
    rogue_shake(&r, &p->m, &p->b.node, &p->ea, false);
    T_EQ(rogue_read(&r, &p->ea, &payload), SM_TFRAME_EVIDENCE);
    T_OK(sm_evidence_frame_read(payload, &f));
    f.record = p->b.node.record;
    struct sm_wr w = sm_wr_init(copy, sizeof copy);
    sm_evidence_frame_write(&f, &w);
    rogue_send(&r, &p->ea, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
    rogue_send(&r, &p->ea, SM_TFRAME_EVIDENCE, sm_view_of(copy, w.n));
    end_rogue(&r, p, &p->ea, "platform id");
}

/* -- what is stapled -------------------------------------------------------------------------
 */

static void missing_collateral_fails_closed(void)
{
    static const struct {
        enum sm_part part;
        enum sm_err err;
        const char *word;
    } parts[] = {{SM_PART_SNP_REPORT, SM_E_MALFORMED, "snp-report"},
                 {SM_PART_SNP_VEK, SM_E_MALFORMED, "snp-vek"},
                 {SM_PART_SNP_CHAIN, SM_E_MALFORMED, "snp-chain"},
                 {SM_PART_SNP_CRL, SM_E_REFUSED, "revocation list"}};
    for (size_t i = 0; i < SM_COUNT(parts); i++) {
        struct pair *p = pair_make();
        p->a.without = 1u << parts[i].part;
        b_refuses(p, parts[i].err, parts[i].word);
    }
}

/* The maker's list names the key that signed this chip's key. */
static void a_key_revoked_by_its_maker_is_refused(void)
{
    static const struct flaws none = {0};
    struct pair *p = pair_make();
    chip_crl(chip_keys.ark, "ARK-Milan", 7, &none, &p->a.chip.d_crl);
    b_refuses(p, SM_E_REFUSED, "revoked");
}

static void stale_or_forged_lists_are_no_lists(void)
{
    static const struct flaws stale = {.ends_s = -1}, none = {0};
    struct pair *p = pair_make();
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &stale, &p->a.chip.d_crl);
    b_refuses(p, SM_E_CRYPTO, "revocation list");
    p = pair_make();
    chip_crl(chip_keys.other, "ARK-Milan", 99, &none, &p->a.chip.d_crl);
    b_refuses(p, SM_E_CRYPTO, "revocation list");
}

/* A chain that is whole, and ends in a root of the attacker's, which it staples. */
static void a_root_that_the_peer_brings_is_not_believed(void)
{
    struct pair *p = pair_make();
    EVP_PKEY *ark = chip_keys.ark;
    chip_keys.ark = chip_keys.other;
    chip_certs(&p->a.chip);
    memcpy(p->a.chip.d_ask.b + p->a.chip.d_ask.n, p->a.chip.d_root.b, p->a.chip.d_root.n);
    p->a.chip.d_ask.n += p->a.chip.d_root.n;
    chip_keys.ark = ark;
    b_refuses(p, SM_E_CRYPTO, "chain");
}

static void an_expired_chip_key_is_refused(void)
{
    struct pair *p = pair_make();
    p->a.chip.vek.ends_s = -1;
    chip_certs(&p->a.chip);
    b_refuses(p, SM_E_EXPIRED, "SEV-VCEK");
}

/* The mesh knows a newer list than the one that the peer staples, which is still in its time.
 */
static void an_old_list_does_not_hide_a_revocation_that_the_mesh_knows(void)
{
    static const struct flaws old = {.starts_s = -86400}, new = {.starts_s = -60};
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_DOC_MAX);
    struct pair *p = pair_make();
    struct sm_rules *r = rules_make(p);
    struct sm_rules_change change;
    struct sm_reasons why;
    struct der list;
    rules_set(p, r, 1, SM_BINDING_SESSION);
    p->m.anchor.rules = r;
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &old, &p->a.chip.d_crl);
    chip_crl(chip_keys.ark, "ARK-Milan", 7, &new, &list);
    T_OK(sm_collateral_write(der_view(&list), (struct sm_view){0}, &doc));
    T_OK(sm_rules_offer(r, RIG_WALL, SM_DOC_CRL, sm_buf_view(&doc), &change, &why));
    b_refuses(p, SM_E_REFUSED, "revoked");
    sm_rules_free(r);
}

/* Nor need it staple one. */
static void a_list_that_the_mesh_has_need_not_be_stapled(void)
{
    static const struct flaws new = {.starts_s = -60};
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_DOC_MAX);
    struct pair *p = pair_make();
    struct sm_rules *r = rules_make(p);
    struct sm_rules_change change;
    struct sm_reasons why;
    struct der list;
    rules_set(p, r, 1, SM_BINDING_SESSION);
    p->m.anchor.rules = r;
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &new, &list);
    T_OK(sm_collateral_write(der_view(&list), (struct sm_view){0}, &doc));
    T_OK(sm_rules_offer(r, RIG_WALL, SM_DOC_CRL, sm_buf_view(&doc), &change, &why));
    p->a.without = 1u << SM_PART_SNP_CRL;
    pair_open(p);
    rig_run(&p->ea, &p->eb, T0);
    T_TRUE(p->ea.is_up && p->eb.is_up);
    pair_free(p);
    sm_rules_free(r);
}

/* -- what the platform says ------------------------------------------------------------------
 */

static void debug_migration_vmpl_and_old_firmware_are_refused(void)
{
    static const struct {
        size_t at;
        uint8_t to;
        const char *word;
    } bad[] = {{0x0a, 0x0b, "debug"}, {0x0a, 0x07, "migrat"}, {0x30, 1, "vmpl"}};
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        struct pair *p = pair_make();
        p->a.chip.report[bad[i].at] = bad[i].to;
        b_refuses(p, SM_E_REFUSED, bad[i].word);
    }
    struct pair *p = pair_make();
    p->a.chip.spl[SM_SNP_SNP] = 0x17; /* below AMD-SB-3019 */
    chip_build(&p->a.chip);
    b_refuses(p, SM_E_REFUSED, "tcb snp");

    /* Its report claims newer firmware than its key is of. */
    p = pair_make();
    p->a.chip.report[0x180 + 6] = 0x30;
    p->a.chip.report[0x38 + 6] = 0x30;
    b_refuses(p, SM_E_CRYPTO, "as the certificate, 24");
}

/* -- how a machine gets in -------------------------------------------------------------------
 */

struct enrolment {
    struct pair *p;
    struct sm_enrol_request r;
    struct sm_enrol_by by;
    uint8_t envelope[SM_EVIDENCE_MAX], request[SM_EVIDENCE_MAX + 256];
    uint8_t endorsement[SM_NODE_ENDORSEMENT_MAX];
    size_t request_n, endorsement_n;
    struct sm_endorsement made;
    struct sm_claims claims;
    struct sm_reasons why;
};

/* What the node does: its platform signs for its key, this mesh and the nonce. */
static void request(struct enrolment *x)
{
    uint8_t rd[SM_REPORT_DATA];
    struct sm_wr w = sm_wr_init(x->envelope, sizeof x->envelope);
    struct sm_wr o = sm_wr_init(x->request, sizeof x->request);
    sm_enrol_report_data(&x->r, rd);
    show(&x->p->a, rd, &w);
    x->r.envelope = sm_view_of(w.p, w.n);
    sm_enrol_request_write(&x->r, &o);
    T_TRUE(!o.full);
    x->request_n = o.n;
}

static enum sm_err answer(struct enrolment *x)
{
    struct sm_wr w = sm_wr_init(x->endorsement, sizeof x->endorsement);
    enum sm_err e = sm_enrol_endorse(&x->by, sm_view_of(x->request, x->request_n), &w, &x->made,
                                     &x->claims, &x->why);
    x->endorsement_n = w.n;
    T_TRUE((e == SM_OK) == (x->why.n == 0));
    return e;
}

static struct enrolment *enrolment(void)
{
    struct enrolment *x = calloc(1, sizeof *x);
    T_TRUE(x != NULL);
    struct pair *p = x->p = pair_make();
    x->r = (struct sm_enrol_request){.mesh_id = sm_view_of(p->m.anchor.mesh_id, 32),
                                     .sign_key = sm_view_of(p->a.node.sign.pub.b, 32),
                                     .platform = SM_PLATFORM_SNP,
                                     .nonce = sm_view_str("nonce of the root")};
    x->by = (struct sm_enrol_by){.suite = p->m.suite,
                                 .root = &p->m.root,
                                 .anchor = &p->m.anchor,
                                 .now = RIG_WALL,
                                 .expires = {RIG_WALL.s + 86400},
                                 .indexes = 1,
                                 .nonce = x->r.nonce};
    request(x);
    return x;
}

static void enrolment_free(struct enrolment *x)
{
    pair_free(x->p);
    free(x);
}

static void a_machine_is_endorsed_over_a_nonce_and_is_then_believed(void)
{
    struct enrolment *x = enrolment();
    struct sm_endorsement e;
    struct sm_node_record *rec = &x->p->a.node.rec;
    T_OK(answer(x));
    T_EQ(x->claims.measurement[0], 0x77);
    T_OK(sm_endorsement_verify(x->p->m.suite, &x->p->m.anchor, RIG_WALL,
                               sm_view_of(x->endorsement, x->endorsement_n), &e));
    memcpy(rec->endorsement, x->endorsement, x->endorsement_n);
    rec->endorsement_n = (uint16_t)x->endorsement_n;
    rig_node_publish(&x->p->a.node);
    pair_open(x->p);
    rig_run(&x->p->ea, &x->p->eb, T0);
    T_TRUE(x->p->ea.is_up && x->p->eb.is_up);
    enrolment_free(x);
}

static void a_request_of_another_mesh_nonce_key_or_program_is_not_endorsed(void)
{
    uint8_t other[32] = {9};
    struct enrolment *x = enrolment();
    x->by.nonce = sm_view_str("another nonce");
    T_ERR(answer(x), SM_E_REFUSED);
    x->by.nonce = (struct sm_view){0};
    T_ERR(answer(x), SM_E_REFUSED);
    x->by.nonce = x->r.nonce;

    uint8_t wanted[48];
    memset(wanted, 0x77, sizeof wanted);
    x->by.measurement = sm_view_of(wanted, sizeof wanted);
    T_OK(answer(x));
    wanted[0] = 0x78;
    T_ERR(answer(x), SM_E_REFUSED);
    x->by.measurement = (struct sm_view){0};

    /* Evidence for one key, and a request that names another. */
    struct sm_wr o = sm_wr_init(x->request, sizeof x->request);
    x->r.sign_key = sm_view_of(other, sizeof other);
    sm_enrol_request_write(&x->r, &o);
    x->request_n = o.n;
    T_ERR(answer(x), SM_E_REFUSED);
    T_EQ(x->why.r[0].code, SM_REASON_REPORT_DATA);

    x->r.mesh_id = sm_view_of(other, sizeof other);
    request(x);
    T_ERR(answer(x), SM_E_AUTH);
    enrolment_free(x);
}

static void no_changed_byte_of_a_request_is_endorsed(void)
{
    struct enrolment *x = enrolment();
    for (size_t i = 0; i < x->request_n; i += 37) {
        x->request[i] ^= 0x10;
        if (answer(x) == SM_OK) { /* in a part of the ASK that nobody signs? there is none */
            t_fail(__FILE__, __LINE__, "byte %zu was not looked at", i);
        }
        x->request[i] ^= 0x10;
    }
    for (size_t n = 0; n < x->request_n; n += 61) {
        size_t whole = x->request_n;
        x->request_n = n;
        T_TRUE(answer(x) != SM_OK);
        x->request_n = whole;
    }
    enrolment_free(x);
}

/* Evidence of a tunnel, in a request; and of a request, in a tunnel. */
static void evidence_for_enrolment_and_for_tunnels_are_apart(void)
{
    struct enrolment *x = enrolment();
    struct sm_wr w = sm_wr_init(x->envelope, sizeof x->envelope);
    struct sm_wr o = sm_wr_init(x->request, sizeof x->request);
    struct sm_binding b = {.role = SM_ROLE_INITIATOR, .lease_seq = 1};
    uint8_t rd[SM_REPORT_DATA];
    sm_binding_report_data(&b, rd);
    show(&x->p->a, rd, &w);
    x->r.envelope = sm_view_of(w.p, w.n);
    sm_enrol_request_write(&x->r, &o);
    x->request_n = o.n;
    T_ERR(answer(x), SM_E_REFUSED);
    T_EQ(x->why.r[0].code, SM_REASON_REPORT_DATA);
    enrolment_free(x);

    x = enrolment();
    sm_enrol_report_data(&x->r, rd);
    x->p->a.says = rd;
    b_refuses(x->p, SM_E_REFUSED, "report_data");
    free(x);
}

/* -- caches ----------------------------------------------------------------------------------
 */

static enum sm_err verify_at(const struct pair *p, struct sm_wall now, struct sm_view evidence,
                             struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_node_record rec;
    T_OK(sm_node_record_verify(p->m.suite, &p->m.anchor, RIG_WALL, p->a.node.record, &rec));
    struct sm_attester who = sm_attester_of(&rec);
    return sm_evidence_verify(p->m.suite, &p->m.anchor, now, &who, evidence, out, why);
}

static struct sm_view shown(struct machine *m, uint8_t fill, uint8_t *room)
{
    uint8_t rd[SM_REPORT_DATA];
    struct sm_wr w = sm_wr_init(room, SM_EVIDENCE_MAX);
    memset(rd, fill, sizeof rd);
    show(m, rd, &w);
    return sm_view_of(room, w.n);
}

/* What was verified is remembered until it ends, under its very bytes; and not the session. */
static void a_cache_answers_as_the_verifier_would(void)
{
    static uint8_t one[SM_EVIDENCE_MAX], two[SM_EVIDENCE_MAX];
    static const struct flaws soon = {.ends_s = 600};
    struct pair *p = pair_make();
    struct sm_claims a, b;
    struct sm_reasons why;
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &soon, &p->a.chip.d_crl);
    p->m.anchor.cache = sm_attest_cache_new();
    T_TRUE(p->m.anchor.cache != NULL);
    struct sm_view first = shown(&p->a, 1, one), second = shown(&p->a, 2, two);
    T_OK(verify_at(p, RIG_WALL, first, &a, &why));
    T_OK(verify_at(p, RIG_WALL, first, &b, &why));
    T_MEM(&a, sizeof a, &b, sizeof b);
    struct sm_cache_stats s = sm_attest_cache_stats(p->m.anchor.cache);
    T_EQ(s.claim_hits, 1);
    T_OK(verify_at(p, RIG_WALL, second, &b, &why));
    s = sm_attest_cache_stats(p->m.anchor.cache);
    T_EQ(s.claim_hits, 1);
    T_EQ(s.chain_hits, 1); /* another report by the same chip */
    T_EQ(b.report_data[0], 2);

    /* Past its end, and before it was verified. */
    struct sm_wall late = {RIG_WALL.s + 601}, early = {RIG_WALL.s - 3 * 31536000u};
    T_TRUE(verify_at(p, late, first, &b, &why) != SM_OK);
    T_TRUE(verify_at(p, early, first, &b, &why) != SM_OK);
    /* Every changed byte of what was remembered is other bytes. */
    for (size_t i = 0; i < first.n; i += 41) {
        one[i] ^= 1;
        T_TRUE(verify_at(p, RIG_WALL, first, &b, &why) != SM_OK);
        one[i] ^= 1;
    }
    /* Other roots, other answers. */
    p->trust.root[SM_ROOT_AMD_MILAN] = der_view(&p->a.chip.d_ask);
    T_TRUE(verify_at(p, RIG_WALL, first, &b, &why) != SM_OK);
    sm_attest_cache_free(p->m.anchor.cache);
    pair_free(p);
}

static void a_cache_forgets_the_least_used_and_never_grows(void)
{
    struct sm_attest_cache *c = sm_attest_cache_new();
    struct sm_wall end, to = {RIG_WALL.s + 10};
    uint8_t key[32] = {0};
    T_TRUE(c != NULL);
    for (uint32_t i = 0; i < 4 * SM_CACHE_CHAINS; i++) {
        sm_put_le32(key, i);
        sm_cache_chain_add(c, key, RIG_WALL, to);
        memset(key, 0, sizeof key);
        T_TRUE(sm_cache_chain(c, key, RIG_WALL, &end)); /* in use all the time */
    }
    unsigned kept = 0;
    for (uint32_t i = 0; i < 4 * SM_CACHE_CHAINS; i++) {
        sm_put_le32(key, i);
        kept += sm_cache_chain(c, key, RIG_WALL, &end);
    }
    T_EQ(kept, SM_CACHE_CHAINS);
    sm_attest_cache_free(c);
    T_TRUE(!sm_cache_chain(NULL, key, RIG_WALL, &end));
}

/* -- over time -------------------------------------------------------------------------------
 */

/* Both are up; then something about a changes, and b finds out at the next lease. */
static void b_drops_a(struct pair *p, void (*change)(struct machine *a), const char *word)
{
    struct sm_mono now = T0;
    pair_open(p);
    rig_run(&p->ea, &p->eb, T0);
    T_TRUE(p->ea.is_up && p->eb.is_up);
    change(&p->a);
    live(p, &now, sm_after(T0, SM_S(3600)));
    T_TRUE(p->eb.is_down);
    T_TRUE(now.ns < sm_after(T0, SM_S(2500)).ns); /* by the answer, not by the lease's end */
    T_TRUE(strstr(p->eb.reason, word) != NULL);
    pair_free(p);
}

static void firmware_goes_back(struct machine *a)
{
    a->chip.spl[SM_SNP_SNP] = 0x17;
    chip_build(&a->chip);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &(struct flaws){0}, &a->chip.d_crl);
}

static void key_is_revoked(struct machine *a)
{
    chip_crl(chip_keys.ark, "ARK-Milan", 7, &(struct flaws){0}, &a->chip.d_crl);
}

static void guest_changes(struct machine *a)
{
    a->chip.report[0x90 + 47] ^= 1;
}

static void moved_to_another_chip(struct machine *a)
{
    chip_make(a, 0xee);
}

static void old_answer_again(struct machine *a)
{
    uint8_t rd[SM_REPORT_DATA] = {0}, room[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    show(a, rd, &w);
    T_OK(sm_buf_add(&a->replay, room, w.n));
}

static void a_peer_that_became_worse_loses_its_tunnel(void)
{
    b_drops_a(pair_make(), firmware_goes_back, "tcb snp");
    b_drops_a(pair_make(), key_is_revoked, "revoked");
    b_drops_a(pair_make(), guest_changes, "measurement");
    b_drops_a(pair_make(), moved_to_another_chip, "platform id");
    b_drops_a(pair_make(), old_answer_again, "report_data");
}

static void a_lease_ends_with_what_the_evidence_was_checked_against(void)
{
    struct pair *p = pair_make();
    struct flaws soon = {.ends_s = 600};
    struct sm_mono now = T0;
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &soon, &p->a.chip.d_crl);
    pair_open(p);
    rig_run(&p->ea, &p->eb, T0);
    T_TRUE(p->eb.is_up);
    T_EQ(sm_tunnel_lease(p->eb.t).end.ns, sm_after(T0, SM_S(600)).ns);
    live(p, &now, sm_after(T0, SM_S(700)));
    T_TRUE(p->eb.is_down);
    T_TRUE(now.ns <= sm_after(T0, SM_S(601)).ns);
    pair_free(p);
}

/* -- epochs ----------------------------------------------------------------------------------
 */

/* A node that has its platform sign an epoch; the rig asks it as it would ask keys. */
struct epochal {
    struct sm_epoch_keeper keeper;
    struct machine *m;
    struct sm_mono *now;
    const struct sm_binding *other; /* lie: sign for this one */
};

static enum sm_err keeper_collect(void *ctx, const uint8_t rd[static SM_REPORT_DATA],
                                  struct sm_wr *w)
{
    struct machine *m = ctx;
    show(m, rd, w);
    return SM_OK;
}

static struct epochal of_a, of_b;

static void show_bound(void *hw, const struct sm_binding *b, struct sm_wr *w)
{
    struct epochal *x = hw;
    T_OK(sm_epoch_keeper_sign(&x->keeper, *x->now, rig_wall(*x->now),
                              x->other != NULL ? x->other : b, w));
}

static void epochal_make(struct epochal *x, struct machine *m, struct sm_mono *now)
{
    *x = (struct epochal){.m = m, .now = now};
    x->keeper = (struct sm_epoch_keeper){
        .suite = sm_suite_real(), .node = &m->node.sign, .collect = keeper_collect, .ctx = m};
    sm_epoch_keeper_init(&x->keeper);
    m->node.collect_bound = show_bound;
    m->node.hw = x;
}

struct epoch_pair {
    struct pair *p;
    struct sm_rules *rules;
    struct sm_mono now;
};

static struct epoch_pair *epochs(uint8_t binding)
{
    struct epoch_pair *x = calloc(1, sizeof *x);
    T_TRUE(x != NULL);
    x->p = pair_make();
    x->now = T0;
    x->rules = rules_make(x->p);
    rules_set(x->p, x->rules, 1, binding);
    x->p->m.anchor.rules = x->rules;
    epochal_make(&of_a, &x->p->a, &x->now);
    epochal_make(&of_b, &x->p->b, &x->now);
    return x;
}

static void epochs_free(struct epoch_pair *x)
{
    sm_epoch_keeper_done(&of_a.keeper);
    sm_epoch_keeper_done(&of_b.keeper);
    sm_rules_free(x->rules);
    pair_free(x->p);
    free(x);
}

static void epochs_meet(struct epoch_pair *x)
{
    pair_open(x->p);
    rig_run(&x->p->ea, &x->p->eb, T0);
}

static void a_platform_may_sign_an_epoch_where_the_manifest_says_so(void)
{
    struct epoch_pair *x = epochs(SM_BINDING_EPOCH);
    epochs_meet(x);
    T_TRUE(x->p->ea.is_up && x->p->eb.is_up);
    T_TRUE(sm_tunnel_lease(x->p->eb.t).end.ns <= sm_after(T0, SM_S(SM_EPOCH_S_MAX)).ns);
    live(x->p, &x->now, sm_after(T0, SM_S(3000)));
    T_TRUE(!x->p->ea.is_down && !x->p->eb.is_down);
    uint64_t leases = sm_tunnel_lease(x->p->eb.t).seq;
    T_TRUE(leases >= 5);                       /* of ten minutes at most */
    T_TRUE(of_a.keeper.epochs <= leases + 1u); /* and no more reports than that */
    T_EQ(x->p->a.asked, of_a.keeper.epochs);
    epochs_free(x);
}

static void an_epoch_is_refused_where_the_manifest_does_not_say_so(void)
{
    struct epoch_pair *x = epochs(SM_BINDING_SESSION);
    epochs_meet(x);
    T_TRUE(x->p->eb.is_down && !x->p->eb.is_up);
    T_TRUE(strstr(x->p->eb.reason, "bound got epoch want session") != NULL);
    epochs_free(x);

    x = epochs(SM_BINDING_EPOCH); /* and where there is no manifest */
    x->p->m.anchor.rules = NULL;
    epochs_meet(x);
    T_TRUE(x->p->eb.is_down && strstr(x->p->eb.reason, "bound got epoch") != NULL);
    epochs_free(x);
}

static void a_manifest_that_stops_to_allow_epochs_ends_tunnels_that_have_one(void)
{
    struct epoch_pair *x = epochs(SM_BINDING_EPOCH);
    epochs_meet(x);
    T_TRUE(x->p->eb.is_up);
    rules_set(x->p, x->rules, 2, SM_BINDING_SESSION);
    sm_tunnel_judge(x->p->eb.t, x->now, rig_wall(x->now));
    rig_run(&x->p->ea, &x->p->eb, x->now);
    T_TRUE(x->p->eb.is_down && strstr(x->p->eb.reason, "by the new manifest") != NULL);
    epochs_free(x);
}

/* The session is in what the epoch key signs. */
static void an_epoch_does_not_speak_for_another_session(void)
{
    struct epoch_pair *x = epochs(SM_BINDING_EPOCH);
    struct sm_binding other = {.role = SM_ROLE_INITIATOR, .lease_seq = 1};
    of_a.other = &other;
    epochs_meet(x);
    T_TRUE(x->p->eb.is_down && strstr(x->p->eb.reason, "report_data") != NULL);
    epochs_free(x);
}

/* a holds an epoch of c's: key, statement and report.  c is in the mesh, and so is its chip. */
static void an_epoch_of_another_node_is_refused(void)
{
    struct epoch_pair *x = epochs(SM_BINDING_EPOCH);
    of_a.keeper.ctx = &x->p->c;
    of_a.keeper.node = &x->p->c.node.sign;
    epochs_meet(x);
    T_TRUE(x->p->eb.is_down && strstr(x->p->eb.reason, "platform id") != NULL);
    epochs_free(x);

    x = epochs(SM_BINDING_EPOCH); /* on the same chip */
    of_a.keeper.node = &x->p->c.node.sign;
    epochs_meet(x);
    T_TRUE(x->p->eb.is_down && strstr(x->p->eb.reason, "report_data") != NULL);
    epochs_free(x);
}

/* Who stole an epoch key, with its statement, from a machine that is elsewhere by now. */
static void show_stolen(void *hw, const struct sm_binding *b, struct sm_wr *w)
{
    const struct sm_epoch_keeper *k = &((struct epochal *)hw)->keeper;
    uint8_t part[SM_EPOCH_MAX], rd[SM_REPORT_DATA];
    struct sm_wr p = sm_wr_init(part, sizeof part);
    struct sm_envelope e;
    sm_binding_report_data(b, rd);
    T_OK(sm_epoch_part_write(k->suite, k->pair, sm_view_of(k->statement, k->statement_n), rd,
                             &p));
    T_OK(sm_envelope_read(sm_buf_view(&k->platform), &e));
    e.part[SM_PART_EPOCH] = sm_view_of(part, p.n);
    T_OK(sm_envelope_write(&e, w));
}

/* It renews nothing: the epoch is too old by then, or names nothing that the peer made. */
static void an_epoch_that_was_stolen_is_good_for_one_lease(void)
{
    static uint8_t room[SM_EVIDENCE_MAX];
    struct epoch_pair *x = epochs(SM_BINDING_EPOCH);
    struct sm_binding other = {.role = SM_ROLE_INITIATOR, .lease_seq = 1};
    struct sm_wr w = sm_wr_init(room, sizeof room);
    T_OK(sm_epoch_keeper_sign(&of_a.keeper, T0, rig_wall(T0), &other, &w));
    x->p->a.node.collect_bound = show_stolen;
    epochs_meet(x);
    T_TRUE(x->p->eb.is_up);
    live(x->p, &x->now, sm_after(T0, SM_S(500)));
    T_TRUE(x->p->eb.is_down && strstr(x->p->eb.reason, "beacon got none of ours") != NULL);
    epochs_free(x);
}

static void a_changed_epoch_is_refused(void)
{
    struct pair *p = pair_make();
    struct sm_mono now = T0;
    struct sm_binding b = {.role = SM_ROLE_INITIATOR, .lease_seq = 1};
    struct sm_claims claims;
    struct sm_reasons why;
    static uint8_t bytes[SM_EVIDENCE_MAX], again[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_envelope e;
    struct sm_node_record rec;
    epochal_make(&of_a, &p->a, &now);
    T_OK(sm_epoch_keeper_sign(&of_a.keeper, now, RIG_WALL, &b, &w));
    T_OK(sm_node_record_verify(p->m.suite, &p->m.anchor, RIG_WALL, p->a.node.record, &rec));
    struct sm_attester who = sm_attester_of(&rec);
    struct sm_view whole = sm_view_of(bytes, w.n);
    T_OK(sm_evidence_verify(p->m.suite, &p->m.anchor, RIG_WALL, &who, whole, &claims, &why));
    T_TRUE(claims.is_epoch_bound);
    T_OK(sm_envelope_read(whole, &e));
    struct sm_view part = e.part[SM_PART_EPOCH];
    uint8_t copy[SM_EPOCH_MAX];
    for (size_t i = 0; i < part.n; i++) {
        memcpy(copy, part.p, part.n);
        copy[i] ^= 1;
        struct sm_wr o = sm_wr_init(again, sizeof again);
        e.part[SM_PART_EPOCH] = sm_view_of(copy, part.n);
        T_OK(sm_envelope_write(&e, &o));
        T_TRUE(sm_evidence_verify(p->m.suite, &p->m.anchor, RIG_WALL, &who,
                                  sm_view_of(again, o.n), &claims, &why) != SM_OK);
        T_TRUE(why.n > 0);
    }
    struct sm_wall late = {RIG_WALL.s + SM_EPOCH_S_MAX};
    T_ERR(sm_evidence_verify(p->m.suite, &p->m.anchor, late, &who, whole, &claims, &why),
          SM_E_EXPIRED);
    sm_epoch_keeper_done(&of_a.keeper);
    pair_free(p);
}

static void a_peer_that_asks_all_the_time_makes_no_platform_work(void)
{
    struct pair *p = pair_make();
    struct sm_mono now = T0;
    struct sm_binding b = {.role = SM_ROLE_INITIATOR, .lease_seq = 1};
    static uint8_t bytes[SM_EVIDENCE_MAX];
    epochal_make(&of_a, &p->a, &now);
    for (unsigned i = 0; i < 600; i++) { /* ten minutes, every second */
        struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
        (void)!sm_epoch_keeper_sign(&of_a.keeper, now, rig_wall(now), &b, &w);
        b.lease_seq++;
        now = sm_after(now, SM_S(1));
    }
    T_TRUE(of_a.keeper.epochs >= 4 && of_a.keeper.epochs <= 61);
    sm_epoch_keeper_done(&of_a.keeper);
    pair_free(p);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_platform_may_sign_an_epoch_where_the_manifest_says_so),
        T_CASE(an_epoch_is_refused_where_the_manifest_does_not_say_so),
        T_CASE(a_manifest_that_stops_to_allow_epochs_ends_tunnels_that_have_one),
        T_CASE(an_epoch_does_not_speak_for_another_session),
        T_CASE(an_epoch_of_another_node_is_refused),
        T_CASE(an_epoch_that_was_stolen_is_good_for_one_lease),
        T_CASE(a_changed_epoch_is_refused),
        T_CASE(a_peer_that_asks_all_the_time_makes_no_platform_work),
        T_CASE(two_honest_machines_meet),
        T_CASE(leases_are_renewed_with_fresh_reports),
        T_CASE(evidence_made_for_another_session_is_refused),
        T_CASE(evidence_shown_before_is_refused),
        T_CASE(evidence_of_another_endorsed_node_is_refused),
        T_CASE(a_chip_that_nobody_endorsed_is_refused),
        T_CASE(an_endorsement_of_another_key_is_refused),
        T_CASE(an_index_that_was_not_endorsed_is_refused),
        T_CASE(a_platform_other_than_the_endorsed_one_is_refused),
        T_CASE(development_evidence_is_no_hardware_evidence),
        T_CASE(another_program_is_refused),
        T_CASE(diverted_evidence_is_refused),
        T_CASE(evidence_of_another_role_lease_or_peer_is_refused),
        T_CASE(reflected_evidence_is_refused),
        T_CASE(missing_collateral_fails_closed),
        T_CASE(a_key_revoked_by_its_maker_is_refused),
        T_CASE(stale_or_forged_lists_are_no_lists),
        T_CASE(an_old_list_does_not_hide_a_revocation_that_the_mesh_knows),
        T_CASE(a_list_that_the_mesh_has_need_not_be_stapled),
        T_CASE(a_root_that_the_peer_brings_is_not_believed),
        T_CASE(an_expired_chip_key_is_refused),
        T_CASE(debug_migration_vmpl_and_old_firmware_are_refused),
        T_CASE(a_machine_is_endorsed_over_a_nonce_and_is_then_believed),
        T_CASE(a_request_of_another_mesh_nonce_key_or_program_is_not_endorsed),
        T_CASE(no_changed_byte_of_a_request_is_endorsed),
        T_CASE(evidence_for_enrolment_and_for_tunnels_are_apart),
        T_CASE(a_cache_answers_as_the_verifier_would),
        T_CASE(a_cache_forgets_the_least_used_and_never_grows),
        T_CASE(a_peer_that_became_worse_loses_its_tunnel),
        T_CASE(a_lease_ends_with_what_the_evidence_was_checked_against),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#else

static void the_rig_needs_the_development_root(void)
{
    t_skip("built without -Ddev_root=true");
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {T_CASE(the_rig_needs_the_development_root)};
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#endif
