// SPDX-License-Identifier: Apache-2.0
#include "attest/policy.h"

#include "crypto/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GUEST_POLICY_KNOWN  0x3ffffffull /* bits 25:0 */
#define PLATFORM_INFO_KNOWN 0xffull      /* bit 6 is set by Turin, whatever it means */
#define TDX_DEBUG           1ull
#define FOR_EVER            ((struct sm_wall){UINT64_MAX})

void sm_hw_policy_default(struct sm_hw_policy *out)
{
    *out = (struct sm_hw_policy){
        .platforms = ((1u << SM_PLATFORMS) - 1) & ~(1u << SM_PLATFORM_SOFTWARE),
        .host_data.is_any = true,
        .platform_ids.is_any = true,
        .max_age_s = SM_EVIDENCE_AGE_S,
        .status_until = {[SM_TCB_UP_TO_DATE] = FOR_EVER, [SM_TCB_SW_HARDENING] = FOR_EVER},
        .tdx_attributes = 1ull << 28 | 1ull << 30 | 1ull << 63, /* SEPT_VE, PKS, PERFMON */
        .snp_floor = {[SM_SNP_MILAN] = {[SM_SNP_SNP] = 0x18},   /* AMD-SB-3019 */
                      [SM_SNP_GENOA] = {[SM_SNP_SNP] = 0x17}},
    };
}

/* -- what judging writes to -------------------------------------------------------------- */

struct judge {
    const struct sm_hw_policy *p;
    const struct sm_claims *c;
    struct sm_wall now;
    struct sm_reasons *why;
    struct sm_checks *all; /* NULL: nobody asks what passed */
};

/* Texts are made of what failed, and of all when somebody asks. */
static bool is_told(const struct judge *j, bool is_ok)
{
    return !is_ok || j->all != NULL;
}

void sm_checks_add(struct sm_checks *all, bool is_ok, const struct sm_reason *r)
{
    if (all != NULL && all->n < SM_COUNT(all->c)) {
        all->c[all->n++] = (struct sm_check){.is_ok = is_ok, .r = *r};
    }
}

static void judged(struct judge *j, bool is_ok, const struct sm_reasons *one)
{
    sm_checks_add(j->all, is_ok, &one->r[0]);
    if (!is_ok) {
        sm_reasons_append(j->why, one);
    }
}

static void want_text(struct judge *j, bool is_ok, enum sm_reason_code code, const char *field,
                      const char *got, const char *want)
{
    if (is_told(j, is_ok)) {
        struct sm_reasons one = {0};
        sm_reasons_add(&one, code, field, got, want);
        judged(j, is_ok, &one);
    }
}

static void want_u64(struct judge *j, bool is_ok, enum sm_reason_code code, const char *field,
                     uint64_t got, const char *relation, uint64_t want)
{
    if (is_told(j, is_ok)) {
        struct sm_reasons one = {0};
        sm_reasons_add_u64(&one, code, field, got, relation, want);
        judged(j, is_ok, &one);
    }
}

static void want_bool(struct judge *j, enum sm_reason_code code, const char *field, bool got,
                      bool want)
{
    want_text(j, got == want, code, field, got ? "true" : "false", want ? "true" : "false");
}

static void want_bits_clear(struct judge *j, enum sm_reason_code code, const char *field,
                            uint64_t got, uint64_t not_these)
{
    bool is_ok = (got & not_these) == 0;
    if (not_these != 0 && is_told(j, is_ok)) {
        char g[24], w[40];
        (void)snprintf(g, sizeof g, "0x%" PRIx64, got);
        (void)snprintf(w, sizeof w, "without 0x%" PRIx64, is_ok ? not_these : got & not_these);
        want_text(j, is_ok, code, field, g, w);
    }
}

/* -- lists ------------------------------------------------------------------------------- */

static bool is_value(struct sm_view got, const struct sm_value *v)
{
    return got.n > 0 && got.n == v->n && sm_secret_eq(got.p, v->b, got.n);
}

static bool is_listed(struct sm_view got, const struct sm_values *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (is_value(got, &list->v[i])) {
            return true;
        }
    }
    return list->is_any;
}

static void hex_or_none(struct sm_view v, char out[static SM_REASON_TEXT])
{
    (void)snprintf(out, SM_REASON_TEXT, "none");
    if (v.n > 0) {
        sm_hex(v.p, v.n < 48 ? v.n : 48, out);
    }
}

static void want_listed(struct judge *j, enum sm_reason_code code, const char *field,
                        struct sm_view got, const struct sm_values *list)
{
    bool is_ok = is_listed(got, list);
    char hex[SM_REASON_TEXT], want[SM_REASON_TEXT];
    if (!is_told(j, is_ok) || list->is_any) { /* what is not compared has not passed */
        return;
    }
    hex_or_none(got, hex);
    if (list->n == 1) {
        hex_or_none(sm_view_of(list->v[0].b, list->v[0].n), want);
    } else {
        (void)snprintf(want, sizeof want, "one of %zu", list->n);
    }
    want_text(j, is_ok, code, field, hex, want);
}

/* -- every platform ---------------------------------------------------------------------- */

static void appraise_code(struct judge *j)
{
    const struct sm_hw_policy *p = j->p;
    const struct sm_claims *c = j->c;
    struct sm_view signer = sm_view_of(c->signer, c->signer_n);
    if (c->signer_n > 0 && is_listed(signer, &p->signers) && c->svn >= p->min_svn) {
        if (is_told(j, true)) {
            want_listed(j, SM_REASON_SIGNER, "signer", signer, &p->signers);
        }
        return;
    }
    want_listed(j, SM_REASON_MEASUREMENT, "measurement",
                sm_view_of(c->measurement, c->measurement_n), &p->measurements);
}

/* Which registers the policy names, and which of them have one of its values. */
static void compare_regs(struct judge *j, uint32_t *wanted, uint32_t *right)
{
    const struct sm_claims *c = j->c;
    for (size_t i = 0; i < j->p->n_regs; i++) {
        const struct sm_reg_value *r = &j->p->regs[i];
        if (r->index >= SM_REGS) {
            want_u64(j, false, SM_REASON_REGISTERS, "register", r->index, "below", SM_REGS);
            continue;
        }
        bool is_there = (c->regs_mask >> r->index & 1u) != 0;
        *wanted |= 1u << r->index;
        if (is_there && is_value(sm_view_of(c->regs[r->index], c->reg_n), &r->value)) {
            *right |= 1u << r->index;
        }
    }
}

static void appraise_regs(struct judge *j)
{
    const struct sm_claims *c = j->c;
    uint32_t wanted = 0, right = 0;
    compare_regs(j, &wanted, &right);
    for (uint8_t i = 0; i < SM_REGS; i++) {
        char field[32], hex[SM_REASON_TEXT];
        bool is_there = (c->regs_mask >> i & 1u) != 0;
        (void)snprintf(field, sizeof field, "register %u", i);
        if ((wanted >> i & 1u) != 0) {
            hex_or_none(sm_view_of(c->regs[i], is_there ? c->reg_n : 0), hex);
            want_text(j, (right >> i & 1u) != 0, SM_REASON_REGISTERS, field, hex,
                      "a value of the policy");
        }
        if ((j->p->regs_replayed >> i & 1u) != 0) {
            bool is_ok = (c->regs_replayed >> i & 1u) != 0;
            want_text(j, is_ok, SM_REASON_LOG, field, is_ok ? "replayed" : "no event log",
                      "one that replays");
        }
    }
}

static void appraise_time(struct judge *j)
{
    uint64_t at = j->c->issued_at.s, now = j->now.s, age = at < now ? now - at : 0;
    if (j->c->has_issued_at) {
        want_u64(j, at <= now || at - now <= SM_RECORD_SKEW_S, SM_REASON_TIME, "issued_at", at,
                 "not after", now);
        want_u64(j, age <= j->p->max_age_s, SM_REASON_TIME, "age", age, "at most",
                 j->p->max_age_s);
    }
    if (j->c->not_after.s != 0) {
        want_u64(j, now <= j->c->not_after.s, SM_REASON_EXPIRED, "not_after", j->c->not_after.s,
                 "not before", now);
    }
}

/* -- AMD --------------------------------------------------------------------------------- */

static void appraise_floor(struct judge *j, const char *which, const uint8_t *got,
                           const uint8_t *floor)
{
    static const char *const names[SM_SNP_PARTS] = {"fmc", "bootloader", "tee", "snp",
                                                    "microcode"};
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        char field[32], g[8], w[24];
        if (floor[i] != 0 && is_told(j, got[i] >= floor[i])) {
            (void)snprintf(field, sizeof field, "%s tcb %s", which, names[i]);
            (void)snprintf(g, sizeof g, "0x%02x", got[i]);
            (void)snprintf(w, sizeof w, "at least 0x%02x", floor[i]);
            want_text(j, got[i] >= floor[i], SM_REASON_TCB, field, g, w);
        }
    }
}

static void appraise_snp_bits(struct judge *j)
{
    const struct sm_hw_policy *p = j->p;
    const struct sm_snp_claims *c = &j->c->snp;
    if (!p->may_unknown_bits) {
        want_bits_clear(j, SM_REASON_RESERVED, "guest policy", c->policy, ~GUEST_POLICY_KNOWN);
        want_bits_clear(j, SM_REASON_RESERVED, "platform_info", c->platform_info,
                        ~PLATFORM_INFO_KNOWN);
    }
    want_bits_clear(j, SM_REASON_FLAGS, "guest policy", c->policy, p->snp_policy_must_not);
    want_bits_clear(j, SM_REASON_FLAGS, "platform_info", c->platform_info,
                    p->snp_info_must_not);
    want_bits_clear(j, SM_REASON_FLAGS, "platform_info, inverted", ~c->platform_info,
                    p->snp_info_must);
}

static void appraise_snp(struct judge *j)
{
    const struct sm_hw_policy *p = j->p;
    const struct sm_snp_claims *s = &j->c->snp;
    uint16_t abi = (uint16_t)(s->abi_major << 8 | s->abi_minor);
    if (s->product >= SM_SNP_PRODUCTS) {
        want_text(j, false, SM_REASON_IDENTITY, "product", "unknown", "milan, genoa or turin");
        return;
    }
    want_u64(j, s->vmpl == p->snp_vmpl, SM_REASON_VMPL, "vmpl", s->vmpl, "", p->snp_vmpl);
    if (p->snp_min_abi != 0) {
        want_u64(j, abi >= p->snp_min_abi, SM_REASON_TCB, "firmware abi", abi, "at least",
                 p->snp_min_abi);
    }
    want_text(j, !s->is_vlek || p->may_vlek, SM_REASON_SIGNER, "signer",
              s->is_vlek ? "vlek" : "vcek", p->may_vlek ? "vcek or vlek" : "vcek");
    appraise_floor(j, "reported", j->c->tcb_parts, p->snp_floor[s->product]);
    appraise_floor(j, "launch", s->launch_tcb, p->snp_floor[s->product]);
    appraise_snp_bits(j);
}

/* -- Intel ------------------------------------------------------------------------------- */

static bool is_same_advisory(const char *a, const char *b)
{
    return strncmp(a, b, sizeof((struct sm_claims *)0)->advisories[0]) == 0;
}

static void appraise_advisories(struct judge *j)
{
    const struct sm_claims *c = j->c;
    for (size_t k = 0; k < j->p->n_advisories; k++) {
        bool is_there = false;
        for (size_t i = 0; i < c->n_advisories && i < SM_ADVISORIES; i++) {
            is_there = is_there || is_same_advisory(c->advisories[i], j->p->advisories[k]);
        }
        want_text(j, !is_there, SM_REASON_ADVISORY, "advisory",
                  is_there ? j->p->advisories[k] : "does not apply", "not to apply");
    }
}

static void appraise_intel(struct judge *j)
{
    const struct sm_hw_policy *p = j->p;
    const struct sm_claims *c = j->c;
    bool is_taken = c->tcb < SM_TCB_STATUSES && c->tcb != SM_TCB_UNKNOWN &&
                    j->now.s <= p->status_until[c->tcb].s && p->status_until[c->tcb].s != 0;
    want_text(j, is_taken, SM_REASON_TCB_STATUS, "tcb status", sm_tcb_status_name(c->tcb),
              "a status the policy takes today");
    want_u64(j, c->tcb_date.s >= p->min_tcb_date.s, SM_REASON_TCB, "tcb date", c->tcb_date.s,
             "at least", p->min_tcb_date.s);
    want_u64(j, c->tcb_eval >= p->min_tcb_eval, SM_REASON_COLLATERAL, "tcbEvaluationDataNumber",
             c->tcb_eval, "at least", p->min_tcb_eval);
    appraise_advisories(j);
}

static void appraise_tdx(struct judge *j)
{
    static const uint8_t none[48];
    const struct sm_tdx_claims *t = &j->c->tdx;
    /* Debugging has a reason of its own. */
    want_bits_clear(j, SM_REASON_FLAGS, "tdattributes", t->attributes,
                    ~(j->p->tdx_attributes | TDX_DEBUG));
    if (!j->p->may_sept_ve) {
        want_bool(j, SM_REASON_FLAGS, "sept_ve_disable", t->is_sept_ve_disabled, true);
    }
    if (!j->p->may_service_td) {
        char hex[SM_REASON_TEXT];
        hex_or_none(sm_view_of(t->mrservicetd, sizeof t->mrservicetd), hex);
        want_text(j, memcmp(t->mrservicetd, none, sizeof none) == 0, SM_REASON_FLAGS,
                  "mrservicetd", hex, "zeros: no service TD");
    }
}

/* -- all --------------------------------------------------------------------------------- */

static void appraise_binding(struct judge *j, const uint8_t report_data[static SM_REPORT_DATA])
{
    struct sm_reasons one = {0};
    if (j->p->is_report_data_any) {
        return;
    }
    if (sm_appraise_report_data(j->c, report_data, &one)) {
        want_text(j, true, SM_REASON_REPORT_DATA, "report_data", "as wanted", "this session's");
    } else {
        judged(j, false, &one);
    }
}

static void appraise_common(struct judge *j, const uint8_t report_data[static SM_REPORT_DATA])
{
    const struct sm_hw_policy *p = j->p;
    const struct sm_claims *c = j->c;
    bool is_platform = c->platform < SM_PLATFORMS && (p->platforms >> c->platform & 1u) != 0;
    want_text(j, is_platform, SM_REASON_PLATFORM, "platform", sm_platform_name(c->platform),
              "one the policy takes");
    want_bool(j, SM_REASON_NOT_HARDWARE, "hw_rooted", c->is_hw_rooted, true);
    if (!p->may_debug) {
        want_bool(j, SM_REASON_DEBUG, "debug", c->is_debug, false);
    }
    if (!p->may_migrate) {
        want_bool(j, SM_REASON_MIGRATION, "migratable", c->is_migratable, false);
    }
    appraise_binding(j, report_data);
    if (p->needs_crl) {
        want_bool(j, SM_REASON_COLLATERAL, "revocation list", c->has_crl, true);
    }
    appraise_code(j);
    appraise_time(j);
    want_listed(j, SM_REASON_HOST_DATA, "host_data", sm_view_of(c->host_data, c->host_data_n),
                &p->host_data);
    want_listed(j, SM_REASON_PLATFORM_ID, "platform_id",
                sm_view_of(c->platform_id, c->platform_id_n), &p->platform_ids);
    appraise_regs(j);
}

static void appraise_platform(struct judge *j)
{
    switch ((enum sm_platform)j->c->platform) {
    case SM_PLATFORM_SNP:
    case SM_PLATFORM_SNP_VTPM:
        appraise_snp(j);
        break;
    case SM_PLATFORM_TDX:
        appraise_tdx(j);
        appraise_intel(j);
        break;
    case SM_PLATFORM_SGX:
    case SM_PLATFORM_TDX_VTPM:
        appraise_intel(j);
        break;
    case SM_PLATFORM_SOFTWARE:
    case SM_PLATFORM_TPM:
    case SM_PLATFORM_NITRO:
    case SM_PLATFORMS:
        break;
    }
}

static enum sm_err judge(struct judge *j, const uint8_t report_data[static SM_REPORT_DATA])
{
    struct sm_reasons own = {0};
    struct sm_reasons *why = j->why;
    j->why = &own;
    appraise_common(j, report_data);
    appraise_platform(j);
    sm_reasons_append(why, &own);
    return own.n == 0 ? SM_OK : SM_E_REFUSED;
}

enum sm_err sm_hw_appraise(const struct sm_hw_policy *p, const struct sm_claims *c,
                           const uint8_t report_data[static SM_REPORT_DATA], struct sm_wall now,
                           struct sm_reasons *why)
{
    struct judge j = {.p = p, .c = c, .now = now, .why = why};
    return judge(&j, report_data);
}

enum sm_err sm_hw_explain(const struct sm_hw_policy *p, const struct sm_claims *c,
                          const uint8_t report_data[static SM_REPORT_DATA], struct sm_wall now,
                          struct sm_reasons *why, struct sm_checks *out)
{
    struct judge j = {.p = p, .c = c, .now = now, .why = why, .all = out};
    return judge(&j, report_data);
}
