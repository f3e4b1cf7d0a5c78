// SPDX-License-Identifier: Apache-2.0
/* Pinned roots, and SNP evidence changed in every way: no change that matters is accepted. */
#include "attest/policy.h"
#include "attest/roots.h"
#include "attest/snp.h"
#include "evidence_kit.h"

static const struct sm_wall MILAN_DAY = {1735689600};
static const struct sm_wall GENOA_DAY = {1775001600};

struct sample {
    struct kit_file report, vek, chain;
    struct sm_makers trust;
    struct sm_wall now;
};

/* -- files ------------------------------------------------------------------------------- */

/* PEM to the DER inside, so that every byte has a meaning. */
static void strip(struct kit_file *f)
{
    static const char head[] = "-----BEGIN CERTIFICATE-----";
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (f->b[0] == 0x30) {
        return;
    }
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t n = 0;
    T_TRUE(memcmp(f->b, head, sizeof head - 1) == 0);
    for (size_t i = sizeof head - 1; f->b[i] != '-' && f->b[i] != '='; i++) {
        const char *d = f->b[i] == '\n' ? NULL : strchr(digits, f->b[i]);
        if (d == NULL) {
            continue;
        }
        acc = acc << 6 | (uint32_t)(d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            f->b[n++] = (uint8_t)(acc >> bits);
        }
    }
    f->n = n;
}

static void sample_make(const char *report, const char *vek, const char *chain,
                        struct sm_wall now, struct sample *s)
{
    kit_load(report, &s->report);
    kit_load(vek, &s->vek);
    kit_load(chain, &s->chain);
    strip(&s->vek);
    strip(&s->chain);
    sm_makers_pinned(&s->trust);
    s->now = now;
}

static void milan(struct sample *s)
{
    sample_make("snp/milan-v2/report.bin", "snp/milan-v2/vcek.der", "ca/amd_milan_ask.pem",
                MILAN_DAY, s);
}

static void genoa(struct sample *s)
{
    sample_make("snp/genoa-v3/report.bin", "snp/genoa-v3/vcek.pem", "ca/amd_genoa_ask.pem",
                GENOA_DAY, s);
}

static enum sm_err verify(const struct sample *s, struct sm_claims *c, struct sm_reasons *why)
{
    struct sm_snp_evidence ev = {.report = sm_view_of(s->report.b, s->report.n),
                                 .vek = sm_view_of(s->vek.b, s->vek.n),
                                 .chain = sm_view_of(s->chain.b, s->chain.n)};
    memset(c, 0, sizeof *c);
    return sm_snp_verify(&ev, &s->trust, s->now, c, why);
}

static bool has(const struct sm_reasons *why, enum sm_reason_code code)
{
    for (size_t i = 0; i < why->n; i++) {
        if (why->r[i].code == code) {
            return true;
        }
    }
    return false;
}

/* -- roots ------------------------------------------------------------------------------- */

static void an_unset_root_trusts_nothing(void)
{
    static struct sample s;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s);
    s.trust = (struct sm_makers){0};
    T_ERR(verify(&s, &c, &why), SM_E_CRYPTO);
    T_TRUE(has(&why, SM_REASON_CHAIN));
    sm_makers_pinned(&s.trust);
    s.trust.root[SM_ROOT_AMD_MILAN] = s.trust.root[SM_ROOT_AMD_GENOA];
    T_ERR(verify(&s, &c, &why), SM_E_CRYPTO);
    T_TRUE(has(&why, SM_REASON_CHAIN));
}

/* -- every byte -------------------------------------------------------------------------- */

static void flip(struct sample *s, struct kit_file *f, size_t bit, const struct sm_claims *want,
                 const char *name, size_t *ignored)
{
    struct sm_claims got;
    struct sm_reasons why;
    f->b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    enum sm_err e = verify(s, &got, &why);
    f->b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    T_TRUE(e == SM_OK || why.n > 0);
    if (e == SM_OK) {
        printf("# %s: bit %zu of byte %zu is ignored\n", name, bit % 8, bit / 8);
        T_MEM(&got, sizeof got, want, sizeof *want);
        (*ignored)++;
    }
}

/* Flip a bit of each byte of a file, which one the seed says, or with SM_EVERY_BIT every bit.
 * None may be accepted and say something else; `ignored` counts those accepted at all. */
static void flip_all(struct sample *s, struct kit_file *f, const char *name, size_t *ignored)
{
    struct sm_claims want;
    struct sm_reasons why;
    bool is_every = getenv("SM_EVERY_BIT") != NULL;
    uint64_t seed = t_seed();
    *ignored = 0;
    T_OK(verify(s, &want, &why));
    for (size_t i = 0; i < f->n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (size_t bit = 0; bit < 8; bit++) {
            if (is_every || bit == seed >> 61) {
                flip(s, f, 8 * i + bit, &want, name, ignored);
            }
        }
    }
}

static void no_bit_of_milan_evidence_is_ignored(void)
{
    static struct sample s;
    size_t n;
    milan(&s);
    flip_all(&s, &s.report, "report", &n);
    T_EQ(n, 0);
    flip_all(&s, &s.vek, "vcek", &n);
    T_EQ(n, 0);
    flip_all(&s, &s.chain, "ask", &n);
    T_EQ(n, 0);
}

static void no_bit_of_genoa_evidence_is_ignored(void)
{
    static struct sample s;
    size_t n;
    genoa(&s);
    flip_all(&s, &s.report, "report", &n);
    T_EQ(n, 0);
    flip_all(&s, &s.vek, "vcek", &n);
    T_EQ(n, 0);
}

static void evidence_cut_anywhere_is_refused(void)
{
    static struct sample s;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s);
    struct kit_file *files[] = {&s.report, &s.vek, &s.chain};
    for (size_t i = 0; i < SM_COUNT(files); i++) {
        size_t n = files[i]->n;
        for (files[i]->n = 0; files[i]->n < n; files[i]->n++) {
            T_TRUE(verify(&s, &c, &why) != SM_OK && why.n > 0);
        }
        files[i]->b[n] = 0;
        files[i]->n = n + 1;
        T_TRUE(verify(&s, &c, &why) != SM_OK);
        files[i]->n = n;
    }
    T_OK(verify(&s, &c, &why));
}

/* -- chains ------------------------------------------------------------------------------ */

static void certificates_are_taken_only_in_their_time(void)
{
    static struct sample s;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s);
    T_OK(verify(&s, &c, &why));
    uint64_t end = c.not_after.s;
    s.now.s = end;
    T_OK(verify(&s, &c, &why));
    s.now.s = end + 1;
    T_ERR(verify(&s, &c, &why), SM_E_EXPIRED);
    T_TRUE(why.n == 1 && has(&why, SM_REASON_EXPIRED));
    s.now.s = 1680549823 - SM_RECORD_SKEW_S; /* notBefore of the VCEK */
    T_OK(verify(&s, &c, &why));
    s.now.s--;
    T_ERR(verify(&s, &c, &why), SM_E_EXPIRED);
    s.now.s = 0;
    T_ERR(verify(&s, &c, &why), SM_E_EXPIRED);
    s.now.s = UINT64_MAX;
    T_ERR(verify(&s, &c, &why), SM_E_EXPIRED);
}

static void append(struct kit_file *f, struct sm_view v)
{
    T_TRUE(f->n + v.n <= sizeof f->b);
    memcpy(f->b + f->n, v.p, v.n);
    f->n += v.n;
}

static void a_chain_may_carry_the_pinned_root_and_nothing_else(void)
{
    static struct sample s;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s);
    append(&s.chain, sm_root_pin(SM_ROOT_AMD_MILAN)->der);
    T_OK(verify(&s, &c, &why));
    milan(&s);
    append(&s.chain, sm_root_pin(SM_ROOT_AMD_GENOA)->der);
    T_ERR(verify(&s, &c, &why), SM_E_CRYPTO);
    T_TRUE(has(&why, SM_REASON_CHAIN));
    milan(&s);
    append(&s.chain, sm_view_of(s.vek.b, s.vek.n));
    T_ERR(verify(&s, &c, &why), SM_E_CRYPTO);
    milan(&s);
    s.chain.n = 0;
    T_ERR(verify(&s, &c, &why), SM_E_CRYPTO);
}

/* The intermediate is genuine, but it is no chip. */
static void an_issuer_is_no_vek(void)
{
    static struct sample s;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s);
    s.vek = s.chain;
    s.chain.n = 0;
    append(&s.chain, sm_root_pin(SM_ROOT_AMD_MILAN)->der);
    T_TRUE(verify(&s, &c, &why) != SM_OK);
    T_TRUE(has(&why, SM_REASON_CHAIN));
}

static void another_chips_certificate_is_refused_with_every_reason(void)
{
    static struct sample s;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s);
    kit_load("snp/milan-v2-debug/vcek.der", &s.vek);
    T_ERR(verify(&s, &c, &why), SM_E_CRYPTO);
    T_TRUE(has(&why, SM_REASON_SIGNATURE));
    T_TRUE(has(&why, SM_REASON_IDENTITY));
    T_TRUE(has(&why, SM_REASON_TCB));
    T_TRUE(!has(&why, SM_REASON_CHAIN));
}

/* -- the kernel's table ------------------------------------------------------------------ */

static void table_entry(struct kit_file *f, size_t i, const char *guid, uint32_t at, uint32_t n)
{
    uint8_t *e = f->b + 24 * i;
    T_OK(sm_unhex(guid, 32, e, 16));
    sm_put_le32(e + 16, at);
    sm_put_le32(e + 20, n);
}

static void the_kernels_table_is_read_within_its_bounds(void)
{
    static struct kit_file f;
    static const char vcek[] = "63da758de6644564adc5f4b93be8accd";
    static const char ask[] = "4ab7b379bbac4fe4a02f05aef327c782";
    struct sm_snp_evidence ev = {0};
    f.n = 100;
    table_entry(&f, 0, vcek, 72, 8);
    table_entry(&f, 1, ask, 80, 20);
    T_OK(sm_snp_certs_read(sm_view_of(f.b, f.n), &ev));
    T_TRUE(ev.vek.p == f.b + 72 && ev.vek.n == 8 && ev.chain.p == f.b + 80 && ev.chain.n == 20);
    table_entry(&f, 1, ask, 80, 21);
    T_ERR(sm_snp_certs_read(sm_view_of(f.b, f.n), &ev), SM_E_MALFORMED);
    table_entry(&f, 1, ask, 0xfffffff0u, 0x20);
    T_ERR(sm_snp_certs_read(sm_view_of(f.b, f.n), &ev), SM_E_MALFORMED);
    table_entry(&f, 0, vcek, 0, 8);
    T_ERR(sm_snp_certs_read(sm_view_of(f.b, 47), &ev), SM_E_TRUNCATED);
    memset(f.b, 0, 24);
    T_ERR(sm_snp_certs_read(sm_view_of(f.b, f.n), &ev), SM_E_NOTFOUND);
    for (size_t i = 0; i < 20; i++) {
        table_entry(&f, i, vcek, 0, 1);
    }
    T_ERR(sm_snp_certs_read(sm_view_of(f.b, 600), &ev), SM_E_LIMIT);
}

/* -- policy ------------------------------------------------------------------------------ */

static void claims_of_a_good_machine(struct sm_claims *c)
{
    *c = (struct sm_claims){
        .platform = SM_PLATFORM_SNP,
        .is_hw_rooted = true,
        .measurement_n = 48,
        .report_data_n = SM_REPORT_DATA,
        .host_data_n = 32,
        .platform_id_n = 64,
        .tcb_parts = {0, 4, 0, 0x18, 0xdb},
        .snp = {.product = SM_SNP_MILAN,
                .launch_tcb = {0, 4, 0, 0x18, 0xdb},
                .policy = 0x30000},
    };
    c->measurement[0] = 1;
}

static struct sm_value measurement_1(void)
{
    return (struct sm_value){48, {1}};
}

static enum sm_err appraise(const struct sm_hw_policy *p, const struct sm_claims *c,
                            struct sm_reasons *why)
{
    static const uint8_t rd[SM_REPORT_DATA];
    *why = (struct sm_reasons){0};
    return sm_hw_appraise(p, c, rd, MILAN_DAY, why);
}

static void a_policy_of_zeros_takes_nothing(void)
{
    struct sm_hw_policy p = {0};
    struct sm_claims c;
    struct sm_reasons why;
    claims_of_a_good_machine(&c);
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    T_TRUE(has(&why, SM_REASON_PLATFORM) && has(&why, SM_REASON_MEASUREMENT));
    T_TRUE(has(&why, SM_REASON_HOST_DATA) && has(&why, SM_REASON_PLATFORM_ID));
    sm_hw_policy_default(&p);
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    T_TRUE(why.n == 1 && has(&why, SM_REASON_MEASUREMENT));
}

static void what_was_not_said_matches_nothing(void)
{
    struct sm_hw_policy p;
    struct sm_claims c;
    struct sm_reasons why;
    struct sm_value empty = {0, {0}}, zeros = {48, {0}};
    struct sm_value lists[2] = {empty, zeros};
    sm_hw_policy_default(&p);
    p.measurements = (struct sm_values){lists, 2, false};
    claims_of_a_good_machine(&c);
    memset(c.measurement, 0, sizeof c.measurement);
    T_OK(appraise(&p, &c, &why)); /* zeros that were said, and listed */
    c.measurement_n = 0;
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    T_TRUE(has(&why, SM_REASON_MEASUREMENT));
    c.measurement_n = 48;
    c.report_data_n = 0;
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    T_TRUE(has(&why, SM_REASON_REPORT_DATA));
}

/* Each line breaks one thing and names the only reason there may be. */
static void each_rule_refuses_alone(void)
{
    static const struct {
        enum sm_reason_code code;
        size_t at; /* of the byte to change */
        uint8_t to;
    } breaks[] = {
#define AT(field) offsetof(struct sm_claims, field)
        {SM_REASON_DEBUG, AT(is_debug), 1},
        {SM_REASON_MIGRATION, AT(is_migratable), 1},
        {SM_REASON_NOT_HARDWARE, AT(is_hw_rooted), 0},
        {SM_REASON_MEASUREMENT, AT(measurement), 2},
        {SM_REASON_REPORT_DATA, AT(report_data), 1},
        {SM_REASON_TCB, AT(tcb_parts[SM_SNP_SNP]), 0x17},
        {SM_REASON_TCB, AT(snp.launch_tcb[SM_SNP_SNP]), 0x17},
        {SM_REASON_VMPL, AT(snp.vmpl), 1},
        {SM_REASON_SIGNER, AT(snp.is_vlek), 1},
        {SM_REASON_RESERVED, AT(snp.policy) + 5, 1},
        {SM_REASON_RESERVED, AT(snp.platform_info) + 5, 1},
        {SM_REASON_PLATFORM_ID, AT(platform_id), 9},
        {SM_REASON_HOST_DATA, AT(host_data), 9},
        {SM_REASON_EXPIRED, AT(not_after), 9},
#undef AT
    };
    struct sm_hw_policy p;
    struct sm_value m = measurement_1(), id = {64, {0}}, host = {32, {0}};
    struct sm_claims c;
    struct sm_reasons why;
    sm_hw_policy_default(&p);
    p.measurements = (struct sm_values){&m, 1, false};
    p.platform_ids = (struct sm_values){&id, 1, false};
    p.host_data = (struct sm_values){&host, 1, false};
    claims_of_a_good_machine(&c);
    T_OK(appraise(&p, &c, &why));
    for (size_t i = 0; i < SM_COUNT(breaks); i++) {
        claims_of_a_good_machine(&c);
        ((uint8_t *)&c)[breaks[i].at] = breaks[i].to;
        T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
        T_EQ(why.n, 1);
        T_EQ(why.r[0].code, breaks[i].code);
    }
}

static void a_status_of_intel_is_taken_until_its_end(void)
{
    struct sm_hw_policy p;
    struct sm_claims c;
    struct sm_reasons why;
    sm_hw_policy_default(&p);
    p.measurements.is_any = true;
    claims_of_a_good_machine(&c);
    c.platform = SM_PLATFORM_TDX;
    c.tdx.is_sept_ve_disabled = true;
    for (int s = 0; s < SM_TCB_STATUSES; s++) {
        c.tcb = (enum sm_tcb_status)s;
        bool is_taken = s == SM_TCB_UP_TO_DATE || s == SM_TCB_SW_HARDENING;
        T_EQ(appraise(&p, &c, &why) == SM_OK, is_taken);
        T_TRUE(is_taken || (why.n == 1 && has(&why, SM_REASON_TCB_STATUS)));
    }
    c.tcb = SM_TCB_OUT_OF_DATE;
    p.status_until[SM_TCB_OUT_OF_DATE] = MILAN_DAY;
    T_OK(appraise(&p, &c, &why));
    p.status_until[SM_TCB_OUT_OF_DATE].s--;
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    c.tcb = SM_TCB_UP_TO_DATE;
    c.tdx.attributes = 1ull << 1;
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    T_TRUE(has(&why, SM_REASON_FLAGS));
}

static void genuine_reports_below_the_floor_are_refused(void)
{
    static struct sample s;
    struct sm_hw_policy p;
    struct sm_claims c;
    struct sm_reasons why;
    milan(&s); /* SNP 8; AMD-SB-3019 asks for 24 */
    T_OK(verify(&s, &c, &why));
    sm_hw_policy_default(&p);
    p.measurements.is_any = true;
    p.is_report_data_any = true;
    T_ERR(appraise(&p, &c, &why), SM_E_REFUSED);
    T_TRUE(why.n == 2 && why.r[0].code == SM_REASON_TCB && why.r[1].code == SM_REASON_TCB);
    genoa(&s); /* SNP 23, which is enough */
    T_OK(verify(&s, &c, &why));
    T_OK(appraise(&p, &c, &why));
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(an_unset_root_trusts_nothing),
        T_CASE(no_bit_of_milan_evidence_is_ignored),
        T_CASE(no_bit_of_genoa_evidence_is_ignored),
        T_CASE(evidence_cut_anywhere_is_refused),
        T_CASE(certificates_are_taken_only_in_their_time),
        T_CASE(a_chain_may_carry_the_pinned_root_and_nothing_else),
        T_CASE(an_issuer_is_no_vek),
        T_CASE(another_chips_certificate_is_refused_with_every_reason),
        T_CASE(the_kernels_table_is_read_within_its_bounds),
        T_CASE(a_policy_of_zeros_takes_nothing),
        T_CASE(what_was_not_said_matches_nothing),
        T_CASE(each_rule_refuses_alone),
        T_CASE(a_status_of_intel_is_taken_until_its_end),
        T_CASE(genuine_reports_below_the_floor_are_refused),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
