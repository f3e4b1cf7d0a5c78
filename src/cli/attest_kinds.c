// SPDX-License-Identifier: Apache-2.0
#include "cli/attest_kinds.h"

#include "attest/azure.h"
#include "attest/dcap.h"
#include "attest/dev.h"
#include "attest/hardware.h"
#include "attest/nitro.h"
#include "attest/snp.h"
#include "attest/tpm.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>

const char *const attest_inputs[INPUTS] = {
    "--report",   "--quote", "--doc",      "--sig",         "--vek",
    "--chain",    "--crl",   "--tcb-info", "--qe-identity", "--pck-crl",
    "--root-crl", "--ak",    "--pcrs",     "--event-log",   "--root",
};

/* Something of ours was wrong with a file, before its verifier saw it. */
static enum sm_err bad_file(struct sm_reasons *why, enum attest_input i, const char *want)
{
    sm_reasons_add(why, SM_REASON_GRAMMAR, attest_inputs[i] + 2, "something else", want);
    return SM_E_MALFORMED;
}

/* Where the nonce is a claim and no argument of the verifier. */
static enum sm_err same_nonce(const struct attest_question *q, struct sm_view got,
                              struct sm_reasons *why)
{
    if (q->nonce.n == 0 || sm_view_eq(got, q->nonce)) {
        return SM_OK;
    }
    sm_reasons_add_hex(why, SM_REASON_REPORT_DATA, "nonce", got, q->nonce);
    return SM_E_REFUSED;
}

static enum sm_err snp(const struct attest_question *q, struct sm_claims *out,
                       struct sm_reasons *why)
{
    struct sm_snp_evidence ev = {.report = attest_file(q, REPORT),
                                 .vek = attest_file(q, VEK),
                                 .chain = attest_file(q, CHAIN),
                                 .crl = attest_file(q, CRL)};
    SM_TRY(sm_snp_verify(&ev, &q->trust, q->now, out, why));
    return same_nonce(q, sm_view_of(out->report_data, out->report_data_n), why);
}

static enum sm_err dcap(const struct attest_question *q, uint8_t platform,
                        struct sm_claims *out, struct sm_reasons *why)
{
    uint8_t sig[2][64];
    struct sm_dcap_collateral c = {
        .tcb_info_chain = attest_file(q, CHAIN),
        .qe_identity_chain = attest_file(q, CHAIN),
        .root_crl = attest_file(q, ROOT_CRL),
        .pck_crl = attest_file(q, PCK_CRL),
    };
    if (sm_dcap_signed_read(attest_file(q, TCB_INFO), "tcbInfo", sig[0], &c.tcb_info) !=
        SM_OK) {
        return bad_file(why, TCB_INFO, "Intel's answer: tcbInfo and signature");
    }
    if (sm_dcap_signed_read(attest_file(q, QE_IDENTITY), "enclaveIdentity", sig[1],
                            &c.qe_identity) != SM_OK) {
        return bad_file(why, QE_IDENTITY, "Intel's answer: enclaveIdentity and signature");
    }
    SM_TRY(sm_dcap_verify(attest_file(q, QUOTE), &c, &q->trust, q->now, out, why));
    if (out->platform != platform) {
        return bad_file(why, QUOTE, "a quote of the kind named");
    }
    return same_nonce(q, sm_view_of(out->report_data, out->report_data_n), why);
}

static enum sm_err tdx(const struct attest_question *q, struct sm_claims *out,
                       struct sm_reasons *why)
{
    return dcap(q, SM_PLATFORM_TDX, out, why);
}

static enum sm_err sgx(const struct attest_question *q, struct sm_claims *out,
                       struct sm_reasons *why)
{
    return dcap(q, SM_PLATFORM_SGX, out, why);
}

static enum sm_err nitro(const struct attest_question *q, struct sm_claims *out,
                         struct sm_reasons *why)
{
    struct sm_nitro_data data;
    SM_TRY(sm_nitro_verify(attest_file(q, DOC), &q->trust, q->now, out, &data, why));
    return same_nonce(q, sm_view_of(data.nonce, data.has_nonce ? data.nonce_n : 0), why);
}

/* One line, "index hexadecimal", of the bank of the lines before. */
static bool pcr_line(const char *line, struct sm_tpm_pcrs *out)
{
    static const uint16_t banks[] = {SM_TPM_SHA256, SM_TPM_SHA384, SM_TPM_SHA512};
    char *end;
    unsigned long i = strtoul(line, &end, 10);
    const char *hex = end + strspn(end, " \t");
    size_t n = strcspn(hex, " \t\r") / 2;
    if (end == line || hex == end || i >= SM_TPM_PCRS || n < 32 || n > 64 || n % 16 != 0 ||
        (out->mask >> i & 1u) != 0 || sm_unhex(hex, 2 * n, out->value[i], n) != SM_OK) {
        return false;
    }
    uint16_t bank = banks[n / 16 - 2];
    bool is_same = out->mask == 0 || out->bank == bank;
    out->bank = bank;
    out->mask |= 1u << i;
    return is_same;
}

static enum sm_err pcrs_read(const struct attest_question *q, struct sm_tpm_pcrs *out,
                             struct sm_reasons *why)
{
    static const char want[] = "lines of 'index hexadecimal', one bank";
    struct sm_view text = attest_file(q, PCRS);
    *out = (struct sm_tpm_pcrs){0};
    for (size_t at = 0; at < text.n;) {
        char line[160];
        const uint8_t *nl = memchr(text.p + at, '\n', text.n - at);
        size_t n = nl != NULL ? (size_t)(nl - text.p) - at : text.n - at;
        if (n >= sizeof line) {
            return bad_file(why, PCRS, want);
        }
        memcpy(line, text.p + at, n);
        line[n] = '\0';
        if (n > 0 && !pcr_line(line, out)) {
            return bad_file(why, PCRS, want);
        }
        at += n + 1;
    }
    return out->mask != 0 ? SM_OK : bad_file(why, PCRS, want);
}

/* The nonce to ask for: the user's, or what the quote itself has, which compares nothing. */
static enum sm_err quote_nonce(const struct attest_question *q, struct sm_view *out,
                               struct sm_reasons *why)
{
    if (q->nonce.n > 0) {
        *out = q->nonce;
        return SM_OK;
    }
    return sm_tpm_quote_extra(attest_file(q, QUOTE), out) == SM_OK
               ? SM_OK
               : bad_file(why, QUOTE, "a TPMS_ATTEST");
}

static enum sm_err tpm(const struct attest_question *q, struct sm_claims *out,
                       struct sm_reasons *why)
{
    struct sm_tpm_pcrs pcrs;
    struct sm_view nonce;
    SM_TRY(pcrs_read(q, &pcrs, why));
    SM_TRY(quote_nonce(q, &nonce, why));
    struct sm_tpm_evidence ev = {.quote = attest_file(q, QUOTE),
                                 .sig = attest_file(q, SIG),
                                 .ak_public = attest_file(q, AK),
                                 .ak_chain = attest_file(q, CHAIN),
                                 .pcrs = &pcrs,
                                 .log = attest_file(q, LOG)};
    return sm_tpm_verify(&ev, nonce, &q->trust, q->now, out, why);
}

static enum sm_err azure(const struct attest_question *q, struct sm_claims *out,
                         struct sm_reasons *why)
{
    struct sm_tpm_pcrs pcrs;
    struct sm_view nonce;
    SM_TRY(pcrs_read(q, &pcrs, why));
    SM_TRY(quote_nonce(q, &nonce, why));
    struct sm_azure_evidence ev = {.hcl = attest_file(q, REPORT),
                                   .vek = attest_file(q, VEK),
                                   .chain = attest_file(q, CHAIN),
                                   .crl = attest_file(q, CRL),
                                   .quote = attest_file(q, QUOTE),
                                   .sig = attest_file(q, SIG),
                                   .sig_form = SM_TPM_SIG_RSA_SHA256,
                                   .pcrs = &pcrs};
    return sm_azure_verify(&ev, &q->trust, nonce, q->now, out, why);
}

#define B(i)  (1u << (i))
#define INTEL (B(QUOTE) | B(CHAIN) | B(TCB_INFO) | B(QE_IDENTITY) | B(PCK_CRL) | B(ROOT_CRL))
const struct attest_kind attest_kinds[] = {
    {"snp", SM_PLATFORM_SNP, B(REPORT) | B(VEK) | B(CHAIN), B(CRL) | B(ROOT), snp},
    {"azure", SM_PLATFORM_SNP_VTPM, B(REPORT) | B(VEK) | B(CHAIN) | B(QUOTE) | B(SIG) | B(PCRS),
     B(CRL) | B(ROOT), azure},
    {"tdx", SM_PLATFORM_TDX, INTEL, B(ROOT), tdx},
    {"sgx", SM_PLATFORM_SGX, INTEL, B(ROOT), sgx},
    {"tpm", SM_PLATFORM_TPM, B(QUOTE) | B(SIG) | B(AK) | B(CHAIN) | B(PCRS) | B(ROOT), B(LOG),
     tpm},
    {"nitro", SM_PLATFORM_NITRO, B(DOC), B(ROOT), nitro},
};
const size_t attest_kinds_n = SM_COUNT(attest_kinds);

/* -- envelopes -------------------------------------------------------------------------------
 */

/* Which platform an envelope is of: the part that no other has. */
static uint8_t platform_of(const struct sm_envelope *e)
{
    static const struct {
        enum sm_part part;
        uint8_t platform;
    } marks[] = {{SM_PART_HCL_REPORT, SM_PLATFORM_SNP_VTPM},
                 {SM_PART_SNP_REPORT, SM_PLATFORM_SNP},
                 {SM_PART_NITRO, SM_PLATFORM_NITRO},
                 {SM_PART_TPM_QUOTE, SM_PLATFORM_TPM},
                 {SM_PART_DEV, SM_PLATFORM_SOFTWARE}};
    struct sm_view quote = e->part[SM_PART_DCAP_QUOTE];
    if (quote.n >= 8) {
        return sm_le32(quote.p + 4) == 0 ? SM_PLATFORM_SGX : SM_PLATFORM_TDX; /* TEE type */
    }
    for (size_t i = 0; i < SM_COUNT(marks); i++) {
        if (e->part[marks[i].part].n > 0) {
            return marks[i].platform;
        }
    }
    return SM_PLATFORMS;
}

enum sm_err attest_envelope_read(struct cli *c, struct attest_question *q)
{
    const char *path = q->envelope_path;
    enum sm_err e = sm_file_read(path, &q->envelope_file);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot read %s: %s", path, sm_err_words(e));
    }
    e = sm_envelope_read(sm_buf_view(&q->envelope_file), &q->envelope);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s is no envelope of evidence: %s", path, sm_err_words(e));
    }
    q->platform = platform_of(&q->envelope);
    return SM_OK;
}

/* An epoch's signature over one session is not looked at: that session is not here. */
static enum sm_err envelope(const struct attest_question *q, struct sm_claims *out,
                            struct sm_reasons *why)
{
    struct sm_envelope e = q->envelope;
    e.part[SM_PART_EPOCH] = (struct sm_view){0};
    if (q->platform >= SM_PLATFORMS || q->platform == SM_PLATFORM_SOFTWARE) {
        sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(q->platform),
                       "hardware: the key of software is known to its peers only");
        return SM_E_REFUSED;
    }
    SM_TRY(sm_hw_evidence_verify(&q->trust, q->now, q->platform, &e, out, why));
    return same_nonce(q, sm_view_of(out->report_data, out->report_data_n), why);
}

const struct attest_kind attest_envelope_kind = {"envelope", SM_PLATFORMS, 0, B(ROOT),
                                                 envelope};
