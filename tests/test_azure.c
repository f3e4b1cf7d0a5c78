// SPDX-License-Identifier: Apache-2.0
/* Azure's layers: what is signed cannot change, and what is not signed is not used. */
#include "attest/azure.h"
#include "evidence_kit.h"

static const struct sm_wall DAY = {1775001600};

static struct {
    struct kit_file hcl, vek, chain, quote, sig;
    struct sm_tpm_pcrs pcrs;
    struct sm_makers trust;
    const char *nonce;
    struct sm_claims claims;
    struct sm_reasons why;
} w;

static void pcrs_load(struct sm_tpm_pcrs *out)
{
    static struct kit_file text;
    kit_load("az/milan-v3/pcrs.txt", &text);
    text.b[text.n] = '\0';
    *out = (struct sm_tpm_pcrs){.bank = SM_TPM_SHA256};
    char *at = NULL;
    for (char *l = strtok_r((char *)text.b, "\n", &at); l != NULL;
         l = strtok_r(NULL, "\n", &at)) {
        char *hex = NULL;
        unsigned long i = strtoul(l, &hex, 10);
        T_TRUE(i < SM_TPM_PCRS);
        T_OK(sm_unhex(hex + 1, 64, out->value[i], 32));
        out->mask |= 1u << i;
    }
}

static void world(void)
{
    kit_load("az/milan-v3/hcl_report.bin", &w.hcl);
    kit_load("az/milan-v3/vcek.der", &w.vek);
    kit_load("ca/amd_milan_ask.pem", &w.chain);
    kit_load("az/milan-v3/tpm_quote.msg", &w.quote);
    kit_load("az/milan-v3/tpm_quote.sig", &w.sig);
    pcrs_load(&w.pcrs);
    sm_makers_pinned(&w.trust);
    w.nonce = "challenge";
}

static enum sm_err verify(void)
{
    struct sm_azure_evidence ev = {.hcl = kit_view(&w.hcl),
                                   .vek = kit_view(&w.vek),
                                   .chain = kit_view(&w.chain),
                                   .quote = kit_view(&w.quote),
                                   .sig = kit_view(&w.sig),
                                   .sig_form = SM_TPM_SIG_RSA_SHA256,
                                   .pcrs = &w.pcrs};
    return sm_azure_verify(&ev, &w.trust, sm_view_str(w.nonce), DAY, &w.claims, &w.why);
}

static bool accepts(void *ctx)
{
    (void)ctx;
    return verify() == SM_OK;
}

static bool has(enum sm_reason_code code)
{
    for (size_t i = 0; i < w.why.n; i++) {
        if (w.why.r[i].code == code) {
            return true;
        }
    }
    return false;
}

/* Version, sizes and status in the two headers: nothing signs them, nothing here uses them. */
static bool is_header(const struct kit_file *f, size_t at)
{
    (void)f;
    return (at >= 4 && at < 32) || (at >= 1216 && at < 1224);
}

static void the_four_links_hold(void)
{
    world();
    T_OK(verify());
    T_EQ(w.claims.platform, SM_PLATFORM_SNP_VTPM);
    T_EQ(w.claims.snp.product, SM_SNP_MILAN);
    T_MEM(w.claims.report_data, w.claims.report_data_n, w.nonce, 9);
    T_EQ(w.claims.regs_mask, w.pcrs.mask);
    T_EQ(w.claims.reg_n, 32);
    T_MEM(w.claims.regs[4], 32, w.pcrs.value[4], 32);
}

static void no_byte_that_is_used_may_change(void)
{
    world();
    T_EQ(kit_sweep(&w.hcl, 8, accepts, is_header, NULL), 0);
    T_EQ(kit_sweep(&w.quote, 1, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&w.sig, 4, accepts, NULL, NULL), 0);
    T_EQ(kit_cut(&w.quote, 1, accepts, NULL), 0);
    T_OK(verify());
}

static void the_quote_is_for_these_bytes_and_registers(void)
{
    world();
    w.nonce = "challengf";
    T_TRUE(verify() != SM_OK && has(SM_REASON_REPORT_DATA));
    w.nonce = "challeng";
    T_TRUE(verify() != SM_OK && has(SM_REASON_REPORT_DATA));
    world();
    w.pcrs.value[4][0] ^= 1;
    T_TRUE(verify() != SM_OK && has(SM_REASON_REGISTERS));
    world();
    w.pcrs.mask &= ~(1u << 4);
    T_TRUE(verify() != SM_OK);
}

static void text_that_the_report_does_not_hash_names_no_key(void)
{
    world();
    w.hcl.b[1236 + 60] ^= 1; /* inside HCLAkPub's modulus */
    T_TRUE(verify() != SM_OK && w.why.n == 1 && has(SM_REASON_BINDING));
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_four_links_hold),
        T_CASE(no_byte_that_is_used_may_change),
        T_CASE(the_quote_is_for_these_bytes_and_registers),
        T_CASE(text_that_the_report_does_not_hash_names_no_key),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
