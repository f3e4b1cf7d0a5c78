// SPDX-License-Identifier: Apache-2.0
#include "attest/evidence.h"

#include "attest/collateral.h"
#include "attest/dev.h"
#include "attest/endorse.h"
#include "attest/epoch.h"
#include "attest/hardware.h"
#include "attest/policy.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *sm_tcb_status_name(enum sm_tcb_status s)
{
    static const char *const names[SM_TCB_STATUSES] = {
        [SM_TCB_UNKNOWN] = "Unknown",
        [SM_TCB_UP_TO_DATE] = "UpToDate",
        [SM_TCB_SW_HARDENING] = "SWHardeningNeeded",
        [SM_TCB_CONFIG] = "ConfigurationNeeded",
        [SM_TCB_CONFIG_SW_HARDENING] = "ConfigurationAndSWHardeningNeeded",
        [SM_TCB_OUT_OF_DATE] = "OutOfDate",
        [SM_TCB_OUT_OF_DATE_CONFIG] = "OutOfDateConfigurationNeeded",
        [SM_TCB_RELAUNCH] = "TDRelaunchAdvised",
        [SM_TCB_REVOKED] = "Revoked",
    };
    return s < SM_TCB_STATUSES ? names[s] : "Unknown";
}

const char *sm_snp_product_name(enum sm_snp_product p)
{
    static const char *const names[SM_SNP_PRODUCTS] = {"milan", "genoa", "turin"};
    return p < SM_SNP_PRODUCTS ? names[p] : "unknown";
}

const char *sm_platform_name(uint8_t platform)
{
    static const char *const names[SM_PLATFORMS] = {
        "software", "snp", "tdx", "tpm", "sgx", "nitro", "snp-vtpm", "tdx-vtpm"};
    return platform < SM_PLATFORMS ? names[platform] : "unknown";
}

struct sm_attester sm_attester_of(const struct sm_node_record *rec)
{
    return (struct sm_attester){rec->platform, rec->sign_key, rec->measurement, rec->shown_id};
}

/* -- verifying --------------------------------------------------------------------------- */

static enum sm_err verify_software(const struct sm_suite *suite, const struct sm_attester *who,
                                   const struct sm_envelope *e, struct sm_claims *out,
                                   struct sm_reasons *why)
{
#ifdef SM_DEV_ROOT
    if (sm_envelope_mask(e) == 1u << SM_PART_DEV) {
        return sm_dev_evidence_verify(suite, who->sign_key, e->part[SM_PART_DEV], out, why);
    }
    sm_reasons_add(why, SM_REASON_GRAMMAR, "evidence", "other parts", "development evidence");
    return SM_E_MALFORMED;
#else
    (void)suite, (void)e, (void)out;
    sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(who->platform),
                   "one this build can verify");
    return SM_E_REFUSED;
#endif
}

/* A genuine report of another machine is no better than none. */
static enum sm_err check_shown(const struct sm_attester *who, const struct sm_claims *c,
                               struct sm_reasons *why)
{
    uint8_t shown[32];
    enum sm_err e =
        sm_platform_id_hash(c->platform, sm_view_of(c->platform_id, c->platform_id_n), shown);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_IDENTITY, "platform id", "none", "the endorsed one");
        return SM_E_REFUSED;
    }
    if (!sm_secret_eq(shown, who->shown_id, sizeof shown)) {
        sm_reasons_add_hex(why, SM_REASON_IDENTITY, "platform id", sm_view_of(shown, 32),
                           sm_view_of(who->shown_id, 32));
        return SM_E_REFUSED;
    }
    return SM_OK;
}

/* The platform's own parts first; then, if it signed an epoch, that and the session. */
static enum sm_err verify_hardware(const struct sm_suite *suite, const struct sm_anchor *a,
                                   struct sm_wall now, const struct sm_attester *who,
                                   const struct sm_envelope *e, struct sm_claims *out,
                                   struct sm_reasons *why)
{
    struct sm_makers trust;
    struct sm_claims claims;
    struct sm_envelope all = *e;
    all.part[SM_PART_EPOCH] = (struct sm_view){0};
    sm_makers_pinned(&trust);
    if (a->trust != NULL) {
        trust = *a->trust;
    }
    trust.cache = a->cache;
    if (a->rules != NULL) {
        sm_collateral_fill(a->rules, &trust, now, &all);
    }
    SM_TRY(sm_hw_evidence_verify(&trust, now, who->platform, &all, &claims, why));
    SM_TRY(check_shown(who, &claims, why));
    if (e->part[SM_PART_EPOCH].n > 0) {
        SM_TRY(
            sm_epoch_verify(suite, now, who->sign_key, e->part[SM_PART_EPOCH], &claims, why));
    }
    *out = claims;
    return SM_OK;
}

/* There is no fallback: what the record says is what is checked. */
enum sm_err sm_evidence_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                               struct sm_wall now, const struct sm_attester *who,
                               struct sm_view evidence, struct sm_claims *out,
                               struct sm_reasons *why)
{
    struct sm_envelope envelope;
    *why = (struct sm_reasons){0};
    enum sm_err e = sm_envelope_read(evidence, &envelope);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "evidence", sm_err_words(e), "an envelope");
        return e;
    }
    return who->platform == SM_PLATFORM_SOFTWARE
               ? verify_software(suite, who, &envelope, out, why)
               : verify_hardware(suite, a, now, who, &envelope, out, why);
}

/* -- appraising -------------------------------------------------------------------------- */

/* Equal, and said at all: a length of 0 matches nothing. */
static bool appraise_bytes(enum sm_reason_code code, const char *field, struct sm_view got,
                           struct sm_view want, struct sm_reasons *why)
{
    bool is_equal = got.n == want.n && got.n > 0 && sm_secret_eq(got.p, want.p, got.n);
    if (!is_equal) {
        sm_reasons_add_hex(why, code, field, got, want);
    }
    return is_equal;
}

bool sm_appraise_report_data(const struct sm_claims *c,
                             const uint8_t report_data[static SM_REPORT_DATA],
                             struct sm_reasons *why)
{
    uint8_t hash[SM_REPORT_DATA_HASH];
    struct sm_view want = sm_view_of(report_data, SM_REPORT_DATA);
    if (c->report_data_n == sizeof hash) {
        sm_sha256(want, hash);
        want = sm_view_of(hash, sizeof hash);
    }
    return appraise_bytes(SM_REASON_REPORT_DATA, "report_data",
                          sm_view_of(c->report_data, c->report_data_n), want, why);
}

static void appraise_time(const struct sm_claims *c, struct sm_wall now, struct sm_reasons *why)
{
    if (!c->has_issued_at) {
        return;
    }
    struct sm_wall issued = c->issued_at;
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

/* MEASUREMENT has 48 bytes, MRENCLAVE 32: a record holds it with zeros behind. */
static struct sm_view wanted_measurement(const struct sm_attester *who,
                                         const struct sm_claims *c)
{
    static const uint8_t zero[48];
    size_t n = c->measurement_n <= 48 ? c->measurement_n : 48;
    return sm_view_of(who->measurement,
                      memcmp(who->measurement + n, zero, 48 - n) == 0 ? n : 48);
}

/* Hardware is held to the policy that production starts from; the measurement is the record's
 * word, which the platform must bear out. */
static void appraise_hardware(struct sm_wall now, const struct sm_attester *who,
                              const struct sm_claims *c,
                              const uint8_t report_data[static SM_REPORT_DATA],
                              struct sm_reasons *why)
{
    struct sm_hw_policy p;
    struct sm_view want = wanted_measurement(who, c);
    struct sm_value measurement = {.n = (uint8_t)want.n};
    memcpy(measurement.b, want.p, want.n);
    sm_hw_policy_default(&p);
    p.measurements = (struct sm_values){.v = &measurement, .n = 1};
    p.needs_crl = c->platform == SM_PLATFORM_SNP || c->platform == SM_PLATFORM_SNP_VTPM;
    (void)!sm_hw_appraise(&p, c, report_data, now, why); /* the caller counts reasons */
    if (c->is_epoch_bound) {
        sm_reasons_add(why, SM_REASON_BINDING, "bound", "epoch",
                       "session: no manifest allows more");
    }
}

static void appraise_software(const struct sm_anchor *a, struct sm_wall now,
                              const struct sm_attester *who, const struct sm_claims *c,
                              const uint8_t report_data[static SM_REPORT_DATA],
                              struct sm_reasons *why)
{
    if (a->env != SM_ENV_DEV && !c->is_hw_rooted) {
        sm_reasons_add(why, SM_REASON_NOT_HARDWARE, "hw_rooted", "false", "true");
    }
    if (a->env != SM_ENV_DEV && c->is_debug) {
        sm_reasons_add(why, SM_REASON_DEBUG, "debug", "true", "false");
    }
    (void)sm_appraise_report_data(c, report_data, why);
    (void)appraise_bytes(SM_REASON_MEASUREMENT, "measurement",
                         sm_view_of(c->measurement, c->measurement_n),
                         sm_view_of(who->measurement, 48), why);
    appraise_time(c, now, why);
}

enum sm_err sm_appraise(const struct sm_anchor *a, struct sm_wall now,
                        const struct sm_attester *who, const struct sm_claims *claims,
                        const uint8_t report_data[static SM_REPORT_DATA],
                        struct sm_reasons *why)
{
    size_t before = why->n;
    if (claims->platform >= SM_PLATFORMS || a->grade[claims->platform] == 0) {
        sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(claims->platform),
                       a->env == SM_ENV_PROD ? "snp, tdx or tpm" : "software");
    }
    if (claims->platform == SM_PLATFORM_SOFTWARE) {
        appraise_software(a, now, who, claims, report_data, why);
    } else {
        appraise_hardware(now, who, claims, report_data, why);
    }
    return why->n == before ? SM_OK : SM_E_REFUSED;
}

enum sm_err sm_evidence_check(const struct sm_suite *suite, const struct sm_anchor *a,
                              struct sm_wall now, const struct sm_node_record *peer,
                              const struct sm_binding *binding, struct sm_view evidence,
                              struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_attester who = sm_attester_of(peer);
    struct sm_claims claims;
    uint8_t rd[SM_REPORT_DATA];
    SM_TRY(sm_evidence_verify(suite, a, now, &who, evidence, &claims, why));
    sm_binding_report_data(binding, rd);
    SM_TRY(sm_appraise(a, now, &who, &claims, rd, why));
    *out = claims;
    return SM_OK;
}
