// SPDX-License-Identifier: Apache-2.0
#include "attest/hardware.h"

#include "attest/azure.h"
#include "attest/cache.h"
#include "attest/dcap.h"
#include "attest/nitro.h"
#include "attest/snp.h"
#include "attest/x509.h"
#include "crypto/hash.h"

#include <stdio.h>
#include <string.h>

#define BIT(part) (1u << (SM_PART_##part))

struct question {
    const struct sm_makers *trust;
    struct sm_wall now;
    const struct sm_envelope *e;
};

static enum sm_err bad_part(struct sm_reasons *why, enum sm_part part, enum sm_err e,
                            const char *want)
{
    sm_reasons_add(why, SM_REASON_GRAMMAR, sm_part_name(part), sm_err_words(e), want);
    return e;
}

/* -- AMD --------------------------------------------------------------------------------- */

static enum sm_err snp(const struct question *q, struct sm_claims *out, struct sm_reasons *why)
{
    const struct sm_view *p = q->e->part;
    struct sm_snp_evidence ev = {p[SM_PART_SNP_REPORT], p[SM_PART_SNP_VEK],
                                 p[SM_PART_SNP_CHAIN], p[SM_PART_SNP_CRL]};
    return sm_snp_verify(&ev, q->trust, q->now, out, why);
}

/* -- Intel ------------------------------------------------------------------------------- */

static enum sm_err dcap(const struct question *q, struct sm_claims *out, struct sm_reasons *why)
{
    const struct sm_view *p = q->e->part;
    uint8_t sig[2][64];
    struct sm_dcap_collateral c = {.tcb_info_chain = p[SM_PART_DCAP_TCB_CHAIN],
                                   .qe_identity_chain = p[SM_PART_DCAP_TCB_CHAIN],
                                   .root_crl = p[SM_PART_DCAP_ROOT_CRL],
                                   .pck_crl = p[SM_PART_DCAP_PCK_CRL]};
    enum sm_err e =
        sm_dcap_signed_read(p[SM_PART_DCAP_TCB_INFO], "tcbInfo", sig[0], &c.tcb_info);
    if (e != SM_OK) {
        return bad_part(why, SM_PART_DCAP_TCB_INFO, e, "Intel's answer");
    }
    e = sm_dcap_signed_read(p[SM_PART_DCAP_QE_IDENTITY], "enclaveIdentity", sig[1],
                            &c.qe_identity);
    if (e != SM_OK) {
        return bad_part(why, SM_PART_DCAP_QE_IDENTITY, e, "Intel's answer");
    }
    return sm_dcap_verify(p[SM_PART_DCAP_QUOTE], &c, q->trust, q->now, out, why);
}

/* -- TPM --------------------------------------------------------------------------------- */

static size_t bank_bytes(uint16_t bank)
{
    switch (bank) {
    case SM_TPM_SHA256:
        return 32;
    case SM_TPM_SHA384:
        return 48;
    case SM_TPM_SHA512:
        return 64;
    default: /* a number of the TPM's, not an enum of ours */
        return 0;
    }
}

enum sm_err sm_tpm_pcrs_read(struct sm_view bytes, struct sm_tpm_pcrs *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct sm_tpm_pcrs p = {0};
    p.bank = sm_rd_u16(&r);
    p.mask = sm_rd_u32(&r);
    size_t n = bank_bytes(p.bank);
    if (!r.failed && (n == 0 || p.mask == 0 || p.mask >> SM_TPM_PCRS != 0)) {
        sm_rd_fail(&r);
    }
    for (unsigned i = 0; i < SM_TPM_PCRS; i++) {
        if ((p.mask >> i & 1u) != 0) {
            sm_rd_bytes(&r, p.value[i], n);
        }
    }
    SM_TRY(sm_rd_done(&r));
    *out = p;
    return SM_OK;
}

void sm_tpm_pcrs_write(const struct sm_tpm_pcrs *pcrs, struct sm_wr *w)
{
    sm_wr_u16(w, pcrs->bank);
    sm_wr_u32(w, pcrs->mask);
    for (unsigned i = 0; i < SM_TPM_PCRS; i++) {
        if ((pcrs->mask >> i & 1u) != 0) {
            sm_wr_bytes(w, pcrs->value[i], bank_bytes(pcrs->bank));
        }
    }
}

void sm_tpm_pcrs_measurement(const struct sm_tpm_pcrs *pcrs,
                             uint8_t out[static SM_TPM_MEASUREMENT])
{
    static const char label[] = "seemesh/tpm-pcrs/1"; /* with its zero byte */
    uint8_t buf[sizeof label + 6 + SM_TPM_PCRS * SM_TPM_HASH_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    sm_wr_bytes(&w, label, sizeof label);
    sm_tpm_pcrs_write(pcrs, &w);
    sm_digest(SM_DIGEST_SHA384, sm_view_of(buf, w.n), out);
}

static enum sm_err pcrs_of(const struct question *q, struct sm_tpm_pcrs *out,
                           struct sm_reasons *why)
{
    enum sm_err e = sm_tpm_pcrs_read(q->e->part[SM_PART_TPM_PCRS], out);
    if (e != SM_OK) {
        return bad_part(why, SM_PART_TPM_PCRS, e, "one bank of PCRs");
    }
    if ((out->mask & SM_TPM_PCRS_NEVER) != 0) {
        sm_reasons_add(why, SM_REASON_REGISTERS, "pcr 16 or 23", "quoted",
                       "not: anybody may reset them");
        return SM_E_REFUSED;
    }
    return SM_OK;
}

/* What the quote says it is over; the verifier then checks that the AK signed just that. */
static enum sm_err extra_of(const struct question *q, struct sm_view *out,
                            struct sm_reasons *why)
{
    enum sm_err e = sm_tpm_quote_extra(q->e->part[SM_PART_TPM_QUOTE], out);
    if (e == SM_OK && out->n != SM_REPORT_DATA_HASH) {
        e = SM_E_MALFORMED;
    }
    return e == SM_OK ? e : bad_part(why, SM_PART_TPM_QUOTE, e, "a quote over 32 bytes");
}

static void claim_pcrs(const struct sm_tpm_pcrs *pcrs, struct sm_claims *c)
{
    c->regs_mask = pcrs->mask;
    c->reg_n = (uint8_t)bank_bytes(pcrs->bank);
    for (unsigned i = 0; i < SM_TPM_PCRS; i++) {
        if ((pcrs->mask >> i & 1u) != 0) {
            memcpy(c->regs[i], pcrs->value[i], c->reg_n);
        }
    }
}

static enum sm_err tpm(const struct question *q, struct sm_claims *out, struct sm_reasons *why)
{
    const struct sm_view *p = q->e->part;
    struct sm_claims c = {.platform = SM_PLATFORM_TPM, .profile = 2, .is_hw_rooted = true};
    struct sm_tpm_public ak;
    struct sm_tpm_pcrs pcrs;
    struct sm_tpm_quote quote;
    struct sm_view extra;
    enum sm_err e = sm_tpm_public_read(p[SM_PART_TPM_AK], &ak);
    if (e != SM_OK) {
        return bad_part(why, SM_PART_TPM_AK, e, "the public area of a key that signs");
    }
    SM_TRY(sm_tpm_ak_check(&ak, why));
    SM_TRY(pcrs_of(q, &pcrs, why));
    SM_TRY(extra_of(q, &extra, why));
    SM_TRY(sm_tpm_quote_verify(&ak.key, p[SM_PART_TPM_QUOTE], p[SM_PART_TPM_SIG],
                               SM_TPM_SIG_TPMT, extra, &pcrs, &quote, why));
    if (p[SM_PART_TPM_LOG].n > 0) {
        SM_TRY(sm_tpm_log_replay(p[SM_PART_TPM_LOG], &pcrs, &c.regs_replayed, why));
    }
    claim_pcrs(&pcrs, &c);
    c.tpm = (struct sm_tpm_claims){.clock_ms = quote.clock_ms,
                                   .firmware = quote.firmware,
                                   .resets = quote.resets,
                                   .restarts = quote.restarts};
    sm_tpm_pcrs_measurement(&pcrs, c.measurement);
    c.measurement_n = SM_TPM_MEASUREMENT;
    memcpy(c.report_data, extra.p, extra.n);
    c.report_data_n = (uint8_t)extra.n;
    memcpy(c.platform_id, ak.name, ak.name_n < sizeof c.platform_id ? ak.name_n : 0);
    c.platform_id_n = ak.name_n < sizeof c.platform_id ? (uint8_t)ak.name_n : 0;
    *out = c;
    return SM_OK;
}

static enum sm_err azure(const struct question *q, struct sm_claims *out,
                         struct sm_reasons *why)
{
    const struct sm_view *p = q->e->part;
    struct sm_tpm_pcrs pcrs;
    struct sm_view extra;
    SM_TRY(pcrs_of(q, &pcrs, why));
    SM_TRY(extra_of(q, &extra, why));
    struct sm_azure_evidence ev = {.hcl = p[SM_PART_HCL_REPORT],
                                   .vek = p[SM_PART_SNP_VEK],
                                   .chain = p[SM_PART_SNP_CHAIN],
                                   .crl = p[SM_PART_SNP_CRL],
                                   .quote = p[SM_PART_TPM_QUOTE],
                                   .sig = p[SM_PART_TPM_SIG],
                                   .sig_form = SM_TPM_SIG_TPMT,
                                   .pcrs = &pcrs};
    return sm_azure_verify(&ev, q->trust, extra, q->now, out, why);
}

/* -- AWS --------------------------------------------------------------------------------- */

static enum sm_err nitro(const struct question *q, struct sm_claims *out,
                         struct sm_reasons *why)
{
    return sm_nitro_verify(q->e->part[SM_PART_NITRO], q->trust, q->now, out, NULL, why);
}

/* -- the table --------------------------------------------------------------------------- */

#define DCAP_PARTS                                                                             \
    (BIT(DCAP_QUOTE) | BIT(DCAP_TCB_INFO) | BIT(DCAP_QE_IDENTITY) | BIT(DCAP_TCB_CHAIN) |      \
     BIT(DCAP_ROOT_CRL) | BIT(DCAP_PCK_CRL))
#define QUOTE_PARTS (BIT(TPM_QUOTE) | BIT(TPM_SIG) | BIT(TPM_PCRS))

static const struct form {
    uint8_t platform;
    uint32_t must, may;
    enum sm_err (*verify)(const struct question *q, struct sm_claims *out,
                          struct sm_reasons *why);
} forms[] = {
    {SM_PLATFORM_SNP, BIT(SNP_REPORT) | BIT(SNP_VEK) | BIT(SNP_CHAIN), BIT(SNP_CRL), snp},
    {SM_PLATFORM_TDX, DCAP_PARTS, 0, dcap},
    {SM_PLATFORM_SGX, DCAP_PARTS, 0, dcap},
    {SM_PLATFORM_TPM, QUOTE_PARTS | BIT(TPM_AK), BIT(TPM_LOG), tpm},
    {SM_PLATFORM_SNP_VTPM, QUOTE_PARTS | BIT(HCL_REPORT) | BIT(SNP_VEK) | BIT(SNP_CHAIN),
     BIT(SNP_CRL), azure},
    {SM_PLATFORM_NITRO, BIT(NITRO), 0, nitro},
};

static enum sm_err check_parts(const struct form *f, uint32_t mask, struct sm_reasons *why)
{
    for (unsigned i = 1; i < SM_PARTS; i++) {
        bool is_there = (mask >> i & 1u) != 0;
        if (!is_there && (f->must >> i & 1u) != 0) {
            sm_reasons_add(why, SM_REASON_GRAMMAR, sm_part_name(i), "none", "one");
            return SM_E_MALFORMED;
        }
        if (is_there && ((f->must | f->may) >> i & 1u) == 0) {
            sm_reasons_add(why, SM_REASON_GRAMMAR, sm_part_name(i), "one",
                           "none on this platform");
            return SM_E_MALFORMED;
        }
    }
    return SM_OK;
}

static enum sm_err form_verify(const struct form *f, const struct question *q,
                               struct sm_claims *out, struct sm_reasons *why)
{
    SM_TRY(check_parts(f, sm_envelope_mask(q->e), why));
    SM_TRY(f->verify(q, out, why));
    if (out->platform != f->platform) {
        sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(out->platform),
                       sm_platform_name(f->platform));
        return SM_E_REFUSED;
    }
    return SM_OK;
}

/* SHA-256 over everything that claims depend on, but the time. */
static void claims_key(const struct question *q, uint8_t platform, uint8_t out[static 32])
{
    struct sm_hash h;
    uint8_t n[8];
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_of(&platform, 1));
    for (size_t i = 0; i < SM_ROOTS + q->trust->n_tpm + SM_PARTS; i++) {
        struct sm_view v = i < SM_ROOTS ? q->trust->root[i]
                           : i < SM_ROOTS + q->trust->n_tpm
                               ? q->trust->tpm[i - SM_ROOTS]
                               : q->e->part[i - SM_ROOTS - q->trust->n_tpm];
        sm_put_le64(n, v.n);
        sm_hash_add(&h, sm_view_of(n, sizeof n));
        sm_hash_add(&h, v);
    }
    sm_hash_end(&h, out);
}

static enum sm_err cached_verify(const struct form *f, const struct question *q,
                                 struct sm_claims *out, struct sm_reasons *why)
{
    uint8_t key[32];
    if (q->trust->cache == NULL) {
        return form_verify(f, q, out, why);
    }
    claims_key(q, f->platform, key);
    if (sm_cache_claims(q->trust->cache, key, q->now, out)) {
        return SM_OK;
    }
    SM_TRY(form_verify(f, q, out, why));
    sm_cache_claims_add(q->trust->cache, key, q->now, out);
    return SM_OK;
}

enum sm_err sm_hw_evidence_verify(const struct sm_makers *trust, struct sm_wall now,
                                  uint8_t platform, const struct sm_envelope *e,
                                  struct sm_claims *out, struct sm_reasons *why)
{
    const struct question q = {trust, now, e};
    struct sm_claims claims;
    for (size_t i = 0; i < SM_COUNT(forms); i++) {
        if (forms[i].platform == platform) {
            SM_TRY(cached_verify(&forms[i], &q, &claims, why));
            *out = claims;
            return SM_OK;
        }
    }
    sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(platform),
                   "one this build can verify");
    return SM_E_REFUSED;
}
