// SPDX-License-Identifier: Apache-2.0
#include "attest_kinds.h"

#include "attest/azure.h"

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
        size_t n = strlen(++hex) / 2;
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

const struct a_kind a_kinds[] = {
    {"snp", snp},
    {"az-snp-vtpm", azure},
};
const size_t a_kinds_n = SM_COUNT(a_kinds);
