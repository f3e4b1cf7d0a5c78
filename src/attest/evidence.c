// SPDX-License-Identifier: Apache-2.0
#include "attest/evidence.h"

#include "attest/dev.h"
#include "crypto/secret.h"

#include <inttypes.h>
#include <stdio.h>

const char *sm_reason_name(uint16_t code)
{
    switch ((enum sm_reason_code)code) {
    case SM_REASON_PLATFORM:
        return "platform";
    case SM_REASON_NOT_HARDWARE:
        return "not-hardware";
    case SM_REASON_DEBUG:
        return "debug";
    case SM_REASON_REPORT_DATA:
        return "report-data";
    case SM_REASON_MEASUREMENT:
        return "measurement";
    case SM_REASON_TIME:
        return "time";
    case SM_REASON_GRAMMAR:
        return "grammar";
    case SM_REASON_SIGNATURE:
        return "signature";
    }
    return "unknown";
}

void sm_reasons_add(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                    const char *got, const char *want)
{
    if (why->n == SM_COUNT(why->r)) {
        return;
    }
    struct sm_reason *r = &why->r[why->n++];
    r->code = (uint16_t)code;
    (void)snprintf(r->field, sizeof r->field, "%s", field);
    (void)snprintf(r->got, sizeof r->got, "%s", got);
    (void)snprintf(r->want, sizeof r->want, "%s", want);
}

void sm_reasons_text(const struct sm_reasons *why, char *out, size_t cap)
{
    size_t at = 0;
    if (cap > 0) {
        out[0] = '\0';
    }
    for (size_t i = 0; i < why->n && at < cap; i++) {
        const struct sm_reason *r = &why->r[i];
        int n = snprintf(out + at, cap - at, "%s%s got %s want %s", i == 0 ? "" : "; ",
                         r->field, r->got, r->want);
        at += n > 0 ? (size_t)n : 0;
    }
}

static const char *platform_name(uint8_t platform)
{
    static const char *const names[SM_PLATFORMS] = {"software", "snp", "tdx", "tpm"};
    return platform < SM_PLATFORMS ? names[platform] : "unknown";
}

/* The one place that knows which platforms this build can check.  There is no fallback. */
enum sm_err sm_evidence_verify(const struct sm_suite *suite, const struct sm_attester *who,
                               struct sm_view evidence, struct sm_claims *out,
                               struct sm_reasons *why)
{
    *why = (struct sm_reasons){0};
#ifdef SM_DEV_ROOT
    if (who->platform == SM_PLATFORM_SOFTWARE) {
        return sm_dev_evidence_verify(suite, who->sign_key, evidence, out, why);
    }
#else
    (void)suite, (void)evidence, (void)out;
#endif
    sm_reasons_add(why, SM_REASON_PLATFORM, "platform", platform_name(who->platform),
                   "one this build can verify");
    return SM_E_REFUSED;
}

static void hex_prefix(const uint8_t *p, char out[33])
{
    sm_hex(p, 16, out);
}

static void appraise_bytes(enum sm_reason_code code, const char *field, const uint8_t *got,
                           const uint8_t *want, size_t n, struct sm_reasons *why)
{
    if (sm_secret_eq(got, want, n)) {
        return;
    }
    char got_hex[33], want_hex[33];
    hex_prefix(got, got_hex);
    hex_prefix(want, want_hex);
    sm_reasons_add(why, code, field, got_hex, want_hex);
}

static void appraise_time(struct sm_wall issued, struct sm_wall now, struct sm_reasons *why)
{
    bool is_early = issued.s > now.s && issued.s - now.s > SM_RECORD_SKEW_S;
    bool is_late = now.s > issued.s && now.s - issued.s > SM_EVIDENCE_AGE_S;
    if (!is_early && !is_late) {
        return;
    }
    char got[24], want[32];
    (void)snprintf(got, sizeof got, "%" PRIu64, issued.s);
    (void)snprintf(want, sizeof want, "near %" PRIu64, now.s);
    sm_reasons_add(why, SM_REASON_TIME, "issued_at", got, want);
}

enum sm_err sm_appraise(const struct sm_anchor *a, struct sm_wall now,
                        const struct sm_attester *who, const struct sm_claims *claims,
                        const uint8_t report_data[static SM_REPORT_DATA],
                        struct sm_reasons *why)
{
    size_t before = why->n;
    if (claims->platform >= SM_PLATFORMS || a->grade[claims->platform] == 0) {
        sm_reasons_add(why, SM_REASON_PLATFORM, "platform", platform_name(claims->platform),
                       a->env == SM_ENV_PROD ? "snp, tdx or tpm" : "software");
    }
    if (a->env != SM_ENV_DEV && !claims->is_hw_rooted) {
        sm_reasons_add(why, SM_REASON_NOT_HARDWARE, "hw_rooted", "false", "true");
    }
    if (a->env != SM_ENV_DEV && claims->is_debug) {
        sm_reasons_add(why, SM_REASON_DEBUG, "debug", "true", "false");
    }
    appraise_bytes(SM_REASON_REPORT_DATA, "report_data", claims->report_data, report_data,
                   SM_REPORT_DATA, why);
    appraise_bytes(SM_REASON_MEASUREMENT, "measurement", claims->measurement, who->measurement,
                   sizeof claims->measurement, why);
    appraise_time(claims->issued_at, now, why);
    return why->n == before ? SM_OK : SM_E_REFUSED;
}

enum sm_err sm_evidence_check(const struct sm_suite *suite, const struct sm_anchor *a,
                              struct sm_wall now, const struct sm_node_record *peer,
                              const struct sm_binding *binding, struct sm_view evidence,
                              struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_attester who = {peer->platform, peer->sign_key, peer->measurement};
    struct sm_claims claims;
    uint8_t rd[SM_REPORT_DATA];
    SM_TRY(sm_evidence_verify(suite, &who, evidence, &claims, why));
    sm_binding_report_data(binding, rd);
    SM_TRY(sm_appraise(a, now, &who, &claims, rd, why));
    *out = claims;
    return SM_OK;
}
