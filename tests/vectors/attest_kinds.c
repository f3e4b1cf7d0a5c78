// SPDX-License-Identifier: Apache-2.0
#include "attest_kinds.h"

#include "attest/azure.h"
#include "attest/dcap.h"
#include "attest/dcap_quote.h"
#include "attest/nitro.h"
#include "attest/ratls.h"
#include "attest/snp.h"
#include "attest/tpm.h"

#include <stdlib.h>
#include <string.h>

static enum sm_err snp(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_snp_evidence ev = {.report = a_file(v, "report"),
                                 .vek = a_file(v, "vek"),
                                 .chain = a_file(v, "chain"),
                                 .crl = a_file(v, "crl")};
    return sm_snp_verify(&ev, &v->trust, v->now, out, why);
}

/* Lines of "index hexadecimal", of one bank.  False when there is no such file. */
static bool pcrs_read(struct sm_view text, struct sm_tpm_pcrs *out)
{
    static const uint16_t banks[] = {SM_TPM_SHA256, SM_TPM_SHA384, SM_TPM_SHA512};
    char *copy = (char *)v_room(text.n);
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *out = (struct sm_tpm_pcrs){0};
    char *at = NULL;
    for (char *line = strtok_r(copy, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
        char *hex = NULL;
        unsigned long i = strtoul(line, &hex, 10);
        size_t n = *hex == ' ' ? strlen(++hex) / 2 : 0;
        if (i >= SM_TPM_PCRS || n < 32 || n > 64 || n % 16 != 0 ||
            sm_unhex(hex, 2 * n, out->value[i], n) != SM_OK) {
            return false;
        }
        out->bank = banks[n / 16 - 2];
        out->mask |= 1u << i;
    }
    return out->mask != 0;
}

static enum sm_err azure(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_tpm_pcrs pcrs;
    const json_t *expect = json_object_get(v->vector, "expect");
    struct sm_azure_evidence ev = {.hcl = a_file(v, "hcl_report"),
                                   .vek = a_file(v, "vcek"),
                                   .chain = a_file(v, "chain"),
                                   .crl = a_file(v, "crl"),
                                   .quote = a_file(v, "tpm_quote"),
                                   .sig = a_file(v, "tpm_sig"),
                                   .sig_form = SM_TPM_SIG_RSA_SHA256,
                                   .pcrs = &pcrs};
    if (!pcrs_read(a_file(v, "pcrs"), &pcrs)) {
        return SM_E_MALFORMED;
    }
    return sm_azure_verify(&ev, &v->trust, v_hex(expect, "tpm_extra_data"), v->now, out, why);
}

static enum sm_err dcap(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_dcap_collateral c = {
        .tcb_info = {a_file(v, "tcb_info"), a_file(v, "tcb_info_sig")},
        .qe_identity = {a_file(v, "qe_identity"), a_file(v, "qe_identity_sig")},
        .tcb_info_chain = a_file(v, "tcb_info_chain"),
        .qe_identity_chain = a_file(v, "qe_identity_chain"),
        .root_crl = a_file(v, "root_ca_crl"),
        .pck_crl = a_file(v, "pck_crl"),
    };
    return sm_dcap_verify(a_file(v, "quote"), &c, &v->trust, v->now, out, why);
}

static enum sm_err nitro(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    return sm_nitro_verify(a_file(v, "document"), &v->trust, v->now, out, NULL, why);
}

/* {"bank": "sha256", "pcrs": {"0": hex, ...}} */
static enum sm_err pcrs_of(const json_t *expect, struct sm_tpm_pcrs *out)
{
    static const struct {
        const char *name;
        uint16_t alg;
    } banks[] = {
        {"sha256", SM_TPM_SHA256}, {"sha384", SM_TPM_SHA384}, {"sha512", SM_TPM_SHA512}};
    const char *key;
    json_t *value;
    *out = (struct sm_tpm_pcrs){0};
    for (size_t i = 0; i < SM_COUNT(banks); i++) {
        if (strcmp(v_text(expect, "pcr_bank"), banks[i].name) == 0) {
            out->bank = banks[i].alg;
        }
    }
    json_object_foreach(json_object_get(expect, "pcrs"), key, value)
    {
        unsigned long i = strtoul(key, NULL, 10);
        struct sm_view v = v_unhex(json_string_value(value));
        if (i >= SM_TPM_PCRS || v.n > SM_TPM_HASH_MAX) {
            return SM_E_MALFORMED;
        }
        memcpy(out->value[i], v.p, v.n);
        out->mask |= 1u << i;
    }
    return SM_OK;
}

/* A key that nothing certifies: the quote alone is looked at. */
static enum sm_err tpm_bare(struct a_vector *v, const struct sm_tpm_pcrs *pcrs,
                            struct sm_view extra, struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_tpm_key key;
    struct sm_tpm_quote quote;
    SM_TRY(sm_tpm_key_spki(a_file(v, "ak"), &key));
    SM_TRY(sm_tpm_quote_verify(&key, a_file(v, "quote"), a_file(v, "signature"),
                               SM_TPM_SIG_TPMT, extra, pcrs, &quote, why));
    *out = (struct sm_claims){.platform = SM_PLATFORM_TPM, .is_hw_rooted = true};
    memcpy(out->report_data, extra.p, extra.n);
    out->report_data_n = (uint8_t)extra.n;
    return SM_OK;
}

static enum sm_err tpm(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    const json_t *expect = json_object_get(v->vector, "expect");
    struct sm_tpm_pcrs pcrs;
    struct sm_view extra = v_hex(expect, "extra_data");
    SM_TRY(pcrs_of(expect, &pcrs));
    struct sm_view cert = a_file(v, "ak_cert"), between = a_file(v, "ak_intermediate");
    if (cert.n == 0) {
        return tpm_bare(v, &pcrs, extra, out, why);
    }
    struct sm_tpm_evidence ev = {
        .quote = a_file(v, "quote"),
        .sig = a_file(v, "signature"),
        .ak_public = a_file(v, "ak_pub"),
        .pcrs = &pcrs,
        .log = a_file(v, "eventlog"),
    };
    uint8_t *chain = v_room(cert.n + between.n);
    memcpy(chain, cert.p, cert.n);
    memcpy(chain + cert.n, between.p, between.n);
    ev.ak_chain = sm_view_of(chain, cert.n + between.n);
    v->trust.tpm[v->trust.n_tpm++] = a_file(v, "ak_root");
    return sm_tpm_verify(&ev, extra, &v->trust, v->now, out, why);
}

/* Such vectors come without collateral, so none can be accepted: the links are checked, and
 * what the quote says of itself. */
static enum sm_err ratls(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_chain chain = {0};
    struct sm_ratls r;
    struct sm_quote q;
    struct sm_dcap_collateral none = {0};
    SM_TRY(sm_chain_add(&chain, a_file(v, "cert")));
    enum sm_err e = sm_ratls_check(chain.c[0], &r, why);
    if (e == SM_OK && sm_quote_read(r.quote, &q) == SM_OK) {
        if (!q.is_tdx && (q.sgx.attributes[0] & SM_SGX_DEBUG) != 0) {
            sm_reasons_add(why, SM_REASON_DEBUG, "debug", "true", "false");
        }
        e = sm_dcap_verify(r.quote, &none, &v->trust, v->now, out, why);
    }
    sm_chain_done(&chain);
    return e;
}

const struct a_kind a_kinds[] = {
    {"snp", snp},     {"tdx", dcap},          {"sgx", dcap},    {"tpm", tpm},
    {"nitro", nitro}, {"az-snp-vtpm", azure}, {"ratls", ratls},
};
const size_t a_kinds_n = SM_COUNT(a_kinds);
