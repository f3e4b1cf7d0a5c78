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

static void want_listed(enum sm_reason_code code, const char *field, struct sm_view got,
                        const struct sm_values *list, struct sm_reasons *why)
{
    if (is_listed(got, list)) {
        return;
    }
    if (list->n == 1) {
        const struct sm_value *only = &list->v[0];
        sm_reasons_add_hex(why, code, field, got, sm_view_of(only->b, only->n));
        return;
    }
    char hex[SM_REASON_TEXT] = "none";
    char want[32];
    if (got.n > 0) {
        sm_hex(got.p, got.n < 48 ? got.n : 48, hex);
    }
    (void)snprintf(want, sizeof want, "one of %zu", list->n);
    sm_reasons_add(why, code, field, hex, want);
}

static void want_bool(enum sm_reason_code code, const char *field, bool got, bool want,
                      struct sm_reasons *why)
{
    if (got != want) {
        sm_reasons_add(why, code, field, got ? "true" : "false", want ? "true" : "false");
    }
}

static void want_bits_clear(enum sm_reason_code code, const char *field, uint64_t got,
                            uint64_t not_these, struct sm_reasons *why)
{
    if ((got & not_these) != 0) {
        char g[24], w[40];
        (void)snprintf(g, sizeof g, "0x%" PRIx64, got);
        (void)snprintf(w, sizeof w, "without 0x%" PRIx64, got & not_these);
        sm_reasons_add(why, code, field, g, w);
    }
}

/* -- every platform ---------------------------------------------------------------------- */

static void appraise_code(const struct sm_hw_policy *p, const struct sm_claims *c,
                          struct sm_reasons *why)
{
    struct sm_view signer = sm_view_of(c->signer, c->signer_n);
    if (c->signer_n > 0 && is_listed(signer, &p->signers) && c->svn >= p->min_svn) {
        return;
    }
    want_listed(SM_REASON_MEASUREMENT, "measurement",
                sm_view_of(c->measurement, c->measurement_n), &p->measurements, why);
}

static void appraise_regs(const struct sm_hw_policy *p, const struct sm_claims *c,
                          struct sm_reasons *why)
{
    uint32_t wanted = 0, right = 0;
    for (size_t i = 0; i < p->n_regs; i++) {
        const struct sm_reg_value *r = &p->regs[i];
        if (r->index >= SM_REGS) {
            sm_reasons_add_u64(why, SM_REASON_REGISTERS, "register", r->index, "below",
                               SM_REGS);
            continue;
        }
        bool is_there = (c->regs_mask >> r->index & 1u) != 0;
        wanted |= 1u << r->index;
        if (is_there && is_value(sm_view_of(c->regs[r->index], c->reg_n), &r->value)) {
            right |= 1u << r->index;
        }
    }
    for (uint8_t i = 0; i < SM_REGS; i++) {
        char field[32];
        (void)snprintf(field, sizeof field, "register %u", i);
        if (((wanted & ~right) >> i & 1u) != 0) {
            bool is_there = (c->regs_mask >> i & 1u) != 0;
            char hex[SM_REASON_TEXT] = "none";
            if (is_there) {
                sm_hex(c->regs[i], c->reg_n < 48 ? c->reg_n : 48, hex);
            }
            sm_reasons_add(why, SM_REASON_REGISTERS, field, hex, "a value of the policy");
        }
        if (((p->regs_replayed & ~c->regs_replayed) >> i & 1u) != 0) {
            sm_reasons_add(why, SM_REASON_LOG, field, "no event log", "one that replays");
        }
    }
}

static void appraise_time(const struct sm_hw_policy *p, const struct sm_claims *c,
                          struct sm_wall now, struct sm_reasons *why)
{
    uint64_t at = c->issued_at.s;
    if (c->has_issued_at && at > now.s && at - now.s > SM_RECORD_SKEW_S) {
        sm_reasons_add_u64(why, SM_REASON_TIME, "issued_at", at, "not after", now.s);
    }
    if (c->has_issued_at && at < now.s && now.s - at > p->max_age_s) {
        sm_reasons_add_u64(why, SM_REASON_TIME, "age", now.s - at, "at most", p->max_age_s);
    }
    if (c->not_after.s != 0 && now.s > c->not_after.s) {
        sm_reasons_add_u64(why, SM_REASON_EXPIRED, "not_after", c->not_after.s, "not before",
                           now.s);
    }
}

/* -- AMD --------------------------------------------------------------------------------- */

static void appraise_floor(const char *which, const uint8_t *got, const uint8_t *floor,
                           struct sm_reasons *why)
{
    static const char *const names[SM_SNP_PARTS] = {"fmc", "bootloader", "tee", "snp",
                                                    "microcode"};
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        if (got[i] < floor[i]) {
            char field[32];
            (void)snprintf(field, sizeof field, "%s tcb %s", which, names[i]);
            sm_reasons_add_u64(why, SM_REASON_TCB, field, got[i], "at least", floor[i]);
        }
    }
}

static void appraise_snp_bits(const struct sm_hw_policy *p, const struct sm_snp_claims *c,
                              struct sm_reasons *why)
{
    if (!p->may_unknown_bits) {
        want_bits_clear(SM_REASON_RESERVED, "guest policy", c->policy, ~GUEST_POLICY_KNOWN,
                        why);
        want_bits_clear(SM_REASON_RESERVED, "platform_info", c->platform_info,
                        ~PLATFORM_INFO_KNOWN, why);
    }
    want_bits_clear(SM_REASON_FLAGS, "guest policy", c->policy, p->snp_policy_must_not, why);
    want_bits_clear(SM_REASON_FLAGS, "platform_info", c->platform_info, p->snp_info_must_not,
                    why);
    want_bits_clear(SM_REASON_FLAGS, "platform_info, inverted", ~c->platform_info,
                    p->snp_info_must, why);
}

static void appraise_snp(const struct sm_hw_policy *p, const struct sm_claims *c,
                         struct sm_reasons *why)
{
    const struct sm_snp_claims *s = &c->snp;
    uint16_t abi = (uint16_t)(s->abi_major << 8 | s->abi_minor);
    if (s->product >= SM_SNP_PRODUCTS) {
        sm_reasons_add(why, SM_REASON_IDENTITY, "product", "unknown", "milan, genoa or turin");
        return;
    }
    if (s->vmpl != p->snp_vmpl) {
        sm_reasons_add_u64(why, SM_REASON_VMPL, "vmpl", s->vmpl, "", p->snp_vmpl);
    }
    if (abi < p->snp_min_abi) {
        sm_reasons_add_u64(why, SM_REASON_TCB, "firmware abi", abi, "at least", p->snp_min_abi);
    }
    if (s->is_vlek && !p->may_vlek) {
        sm_reasons_add(why, SM_REASON_SIGNER, "signer", "vlek", "vcek");
    }
    appraise_floor("reported", c->tcb_parts, p->snp_floor[s->product], why);
    appraise_floor("launch", s->launch_tcb, p->snp_floor[s->product], why);
    appraise_snp_bits(p, s, why);
}

/* -- Intel ------------------------------------------------------------------------------- */

static bool is_same_advisory(const char *a, const char *b)
{
    return strncmp(a, b, sizeof((struct sm_claims *)0)->advisories[0]) == 0;
}

static void appraise_advisories(const struct sm_hw_policy *p, const struct sm_claims *c,
                                struct sm_reasons *why)
{
    for (size_t i = 0; i < c->n_advisories && i < SM_ADVISORIES; i++) {
        for (size_t j = 0; j < p->n_advisories; j++) {
            if (is_same_advisory(c->advisories[i], p->advisories[j])) {
                sm_reasons_add(why, SM_REASON_ADVISORY, "advisory", p->advisories[j],
                               "not to apply");
            }
        }
    }
}

static void appraise_intel(const struct sm_hw_policy *p, const struct sm_claims *c,
                           struct sm_wall now, struct sm_reasons *why)
{
    if (c->tcb >= SM_TCB_STATUSES || c->tcb == SM_TCB_UNKNOWN ||
        now.s > p->status_until[c->tcb].s || p->status_until[c->tcb].s == 0) {
        sm_reasons_add(why, SM_REASON_TCB_STATUS, "tcb status", sm_tcb_status_name(c->tcb),
                       "a status the policy takes today");
    }
    if (c->tcb_date.s < p->min_tcb_date.s) {
        sm_reasons_add_u64(why, SM_REASON_TCB, "tcb date", c->tcb_date.s, "at least",
                           p->min_tcb_date.s);
    }
    if (c->tcb_eval < p->min_tcb_eval) {
        sm_reasons_add_u64(why, SM_REASON_COLLATERAL, "tcbEvaluationDataNumber", c->tcb_eval,
                           "at least", p->min_tcb_eval);
    }
    appraise_advisories(p, c, why);
}

static void appraise_tdx(const struct sm_hw_policy *p, const struct sm_claims *c,
                         struct sm_reasons *why)
{
    static const uint8_t none[48];
    const struct sm_tdx_claims *t = &c->tdx;
    /* Debugging has a reason of its own. */
    want_bits_clear(SM_REASON_FLAGS, "tdattributes", t->attributes,
                    ~(p->tdx_attributes | TDX_DEBUG), why);
    if (!p->may_sept_ve) {
        want_bool(SM_REASON_FLAGS, "sept_ve_disable", t->is_sept_ve_disabled, true, why);
    }
    if (!p->may_service_td && memcmp(t->mrservicetd, none, sizeof none) != 0) {
        sm_reasons_add_hex(why, SM_REASON_FLAGS, "mrservicetd",
                           sm_view_of(t->mrservicetd, sizeof t->mrservicetd),
                           sm_view_of(none, sizeof none));
    }
}

/* -- all --------------------------------------------------------------------------------- */

static void appraise_common(const struct sm_hw_policy *p, const struct sm_claims *c,
                            const uint8_t report_data[static SM_REPORT_DATA],
                            struct sm_wall now, struct sm_reasons *why)
{
    if (c->platform >= SM_PLATFORMS || (p->platforms >> c->platform & 1u) == 0) {
        sm_reasons_add_u64(why, SM_REASON_PLATFORM, "platform", c->platform, "bits of",
                           p->platforms);
    }
    want_bool(SM_REASON_NOT_HARDWARE, "hw_rooted", c->is_hw_rooted, true, why);
    if (!p->may_debug) {
        want_bool(SM_REASON_DEBUG, "debug", c->is_debug, false, why);
    }
    if (!p->may_migrate) {
        want_bool(SM_REASON_MIGRATION, "migratable", c->is_migratable, false, why);
    }
    if (!p->is_report_data_any) {
        (void)sm_appraise_report_data(c, report_data, why);
    }
    if (p->needs_crl) {
        want_bool(SM_REASON_COLLATERAL, "revocation list", c->has_crl, true, why);
    }
    appraise_code(p, c, why);
    appraise_time(p, c, now, why);
    want_listed(SM_REASON_HOST_DATA, "host_data", sm_view_of(c->host_data, c->host_data_n),
                &p->host_data, why);
    want_listed(SM_REASON_PLATFORM_ID, "platform_id",
                sm_view_of(c->platform_id, c->platform_id_n), &p->platform_ids, why);
    appraise_regs(p, c, why);
}

enum sm_err sm_hw_appraise(const struct sm_hw_policy *p, const struct sm_claims *c,
                           const uint8_t report_data[static SM_REPORT_DATA], struct sm_wall now,
                           struct sm_reasons *why)
{
    struct sm_reasons own = {0};
    appraise_common(p, c, report_data, now, &own);
    switch ((enum sm_platform)c->platform) {
    case SM_PLATFORM_SNP:
    case SM_PLATFORM_SNP_VTPM:
        appraise_snp(p, c, &own);
        break;
    case SM_PLATFORM_TDX:
        appraise_tdx(p, c, &own);
        appraise_intel(p, c, now, &own);
        break;
    case SM_PLATFORM_SGX:
    case SM_PLATFORM_TDX_VTPM:
        appraise_intel(p, c, now, &own);
        break;
    case SM_PLATFORM_SOFTWARE:
    case SM_PLATFORM_TPM:
    case SM_PLATFORM_NITRO:
    case SM_PLATFORMS:
        break;
    }
    sm_reasons_append(why, &own);
    return own.n == 0 ? SM_OK : SM_E_REFUSED;
}
