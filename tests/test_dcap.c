// SPDX-License-Identifier: Apache-2.0
/* Intel quotes: genuine ones with the collateral of their day, and what must not pass. */
#include "attest/dcap.h"

#include "attest/dcap_tcb.h"
#include "attest/x509.h"
#include "evidence_kit.h"

static struct bundle {
    struct kit_file quote, tcb, tcb_sig, tcb_chain, qe, qe_sig, qe_chain, root_crl, pck_crl;
    struct sm_wall now;
    struct sm_claims claims;
    struct sm_reasons why;
    bool is_rootless;
} b;

static void load_one(const char *folder, const char *name, struct kit_file *out)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    kit_load(path, out);
}

static void load(const char *folder, uint64_t as_of)
{
    load_one(folder, "quote.bin", &b.quote);
    load_one(folder, "tcb_info.json", &b.tcb);
    load_one(folder, "tcb_info.json.sig", &b.tcb_sig);
    load_one(folder, "tcb_info_chain.pem", &b.tcb_chain);
    load_one(folder, "qe_identity.json", &b.qe);
    load_one(folder, "qe_identity.json.sig", &b.qe_sig);
    load_one(folder, "qe_identity_chain.pem", &b.qe_chain);
    load_one(folder, "root_ca_crl.der", &b.root_crl);
    load_one(folder, "pck_crl.der", &b.pck_crl);
    b.now = (struct sm_wall){as_of};
}

static enum sm_err verify(void)
{
    struct sm_dcap_collateral c = {
        .tcb_info = {kit_view(&b.tcb), kit_view(&b.tcb_sig)},
        .qe_identity = {kit_view(&b.qe), kit_view(&b.qe_sig)},
        .tcb_info_chain = kit_view(&b.tcb_chain),
        .qe_identity_chain = kit_view(&b.qe_chain),
        .root_crl = kit_view(&b.root_crl),
        .pck_crl = kit_view(&b.pck_crl),
    };
    struct sm_makers trust;
    sm_makers_pinned(&trust);
    if (b.is_rootless) {
        trust.root[SM_ROOT_INTEL_SGX] = (struct sm_view){0};
    }
    b.why = (struct sm_reasons){0};
    return sm_dcap_verify(kit_view(&b.quote), &c, &trust, b.now, &b.claims, &b.why);
}

static bool accepts(void *ctx)
{
    (void)ctx;
    return verify() == SM_OK;
}

static void verify_ok(void)
{
    enum sm_err e = verify();
    char text[2000];
    sm_reasons_text(&b.why, text, sizeof text);
    if (e != SM_OK) {
        t_fail(__FILE__, __LINE__, "%s: %s", sm_err_name(e), text);
    }
}

static void expect_reason(uint16_t code)
{
    T_TRUE(verify() != SM_OK);
    T_TRUE(b.why.n > 0);
    T_EQ(b.why.r[0].code, code);
}

static void load_tdx(void)
{
    load("tdx/v4-uptodate", 1751328000);
}

static void load_sgx(void)
{
    load("sgx/v3-config-swhardening", 1751328000);
}

/* -- genuine ----------------------------------------------------------------------------- */

static void an_up_to_date_td_is_what_it_says(void)
{
    static const uint8_t mrtd[] = {0x91, 0xeb, 0x2b, 0x44};
    static const uint8_t ppid[] = {0x81, 0x1d, 0xca, 0x2a};
    load_tdx();
    verify_ok();
    T_EQ(b.claims.platform, SM_PLATFORM_TDX);
    T_EQ(b.claims.profile, 4);
    T_EQ(b.claims.tcb, SM_TCB_UP_TO_DATE);
    T_EQ(b.claims.tcb_eval, 17);
    T_EQ(b.claims.n_advisories, 0);
    T_EQ(b.claims.tcb_date.s, 1710288000); /* 2024-03-13 */
    T_EQ(b.claims.tdx.trailing, 70);
    T_EQ(b.claims.regs_mask, 15);
    T_TRUE(!b.claims.is_debug && b.claims.is_hw_rooted && b.claims.tdx.is_sept_ve_disabled);
    T_MEM(b.claims.measurement, 4, mrtd, 4);
    T_MEM(b.claims.platform_id, 4, ppid, 4);
    T_EQ(b.claims.not_after.s, 1752919235); /* the PCK CRL, 2025-07-19T10:00:35Z */
}

static void an_enclave_has_its_status_and_advisories(void)
{
    load_sgx();
    verify_ok();
    T_EQ(b.claims.platform, SM_PLATFORM_SGX);
    T_EQ(b.claims.tcb, SM_TCB_CONFIG_SW_HARDENING);
    T_EQ(b.claims.n_advisories, 2);
    T_STR(b.claims.advisories[0], "INTEL-SA-00289");
    T_STR(b.claims.advisories[1], "INTEL-SA-00615");
    T_MEM(b.claims.report_data, 13, "Hello, world!", 13);
    T_EQ(b.claims.report_data_n, 64);
}

static void a_debug_td_is_told_to_be_one(void)
{
    load("tdx/v4-debug-outofdate", 1775001600);
    verify_ok();
    T_TRUE(b.claims.is_debug);
    T_EQ(b.claims.tcb, SM_TCB_OUT_OF_DATE);
    T_EQ(b.claims.n_advisories, 11);
}

static void a_platform_below_every_level_is_refused(void)
{
    load("tdx/v5-outdated", 1772323200);
    expect_reason(SM_REASON_TCB);
    T_EQ(b.why.n, 1); /* everything before held */
    load("tdx/v4-module10-2023", 1688169600);
    expect_reason(SM_REASON_RESERVED); /* bytes behind it that are not zero */
    T_EQ(b.why.n, 2);
    b.quote.n -= 39;
    expect_reason(SM_REASON_TCB);
    T_EQ(b.why.n, 1);
}

/* -- time -------------------------------------------------------------------------------- */

static void collateral_counts_only_in_its_window(void)
{
    load_tdx();
    b.now.s = 1752919235 - 1;
    verify_ok();
    b.now.s = 1752919235 + 1;
    expect_reason(SM_REASON_COLLATERAL);
    b.now.s = 1750329147 - 61; /* QE identity of 10:32:27, and a minute */
    T_ERR(verify(), SM_E_EXPIRED);
    b.now.s = UINT64_MAX - 100;
    T_TRUE(verify() != SM_OK);
    b.now.s = 0;
    T_TRUE(verify() != SM_OK);
}

static bool is_told(const char *field)
{
    for (size_t i = 0; i < b.why.n; i++) {
        if (b.why.r[i].code == SM_REASON_COLLATERAL && strcmp(b.why.r[i].field, field) == 0) {
            return true;
        }
    }
    return false;
}

/* The revocation lists end first here; each document must be looked at all the same. */
static void each_document_that_ended_is_told(void)
{
    load_tdx();
    b.now.s = 1752920163; /* the end of the TCB info */
    T_TRUE(verify() != SM_OK);
    T_TRUE(!is_told("tcb info") && !is_told("qe identity"));
    b.now.s++;
    T_TRUE(verify() != SM_OK);
    T_TRUE(is_told("tcb info") && !is_told("qe identity"));
    b.now.s = 1752921147 + 1; /* and of the QE identity */
    T_TRUE(verify() != SM_OK);
    T_TRUE(is_told("tcb info") && is_told("qe identity"));
}

/* -- other platforms, other documents ---------------------------------------------------- */

static void documents_of_another_platform_are_refused(void)
{
    load_tdx();
    struct kit_file *sgx = malloc(sizeof *sgx);
    T_TRUE(sgx != NULL);
    load_one("sgx/v3-config-swhardening", "tcb_info.json", &b.tcb);
    load_one("sgx/v3-config-swhardening", "tcb_info.json.sig", &b.tcb_sig);
    expect_reason(SM_REASON_COLLATERAL);
    load_tdx();
    load_one("sgx/v3-config-swhardening", "qe_identity.json", &b.qe);
    load_one("sgx/v3-config-swhardening", "qe_identity.json.sig", &b.qe_sig);
    expect_reason(SM_REASON_COLLATERAL);
    load_tdx();
    load_one("sgx/v3-config-swhardening", "pck_crl.der", &b.pck_crl);
    T_TRUE(verify() != SM_OK);
    load_tdx();
    *sgx = b.root_crl;
    b.root_crl = b.pck_crl;
    T_TRUE(verify() != SM_OK);
    b.root_crl = *sgx;
    b.pck_crl = *sgx;
    T_TRUE(verify() != SM_OK); /* nothing covers the PCK */
    free(sgx);
}

/* The PCK certificate is a leaf under the same root: it must not sign documents. */
static void the_chain_of_one_purpose_does_not_serve_another(void)
{
    load_tdx();
    load_one("tdx/v4-uptodate", "pck_crl_chain.pem", &b.tcb_chain);
    expect_reason(SM_REASON_CHAIN);
}

static void without_the_pinned_root_nothing_is_believed(void)
{
    load_tdx();
    b.is_rootless = true;
    T_ERR(verify(), SM_E_CRYPTO);
    b.is_rootless = false;
}

/* -- mutation ---------------------------------------------------------------------------- */

/* PEM has text that carries nothing: a change there counts only when another certificate comes
 * out. */
static struct sm_chain genuine;
static size_t pem_from, pem_to;

static bool is_same_chain(const struct kit_file *f, size_t at)
{
    struct sm_chain c = {0};
    bool is_same = at >= pem_from && at < pem_to &&
                   sm_chain_add(&c, sm_view_of(f->b + pem_from, pem_to - pem_from)) == SM_OK &&
                   c.n == genuine.n;
    for (size_t i = 0; is_same && i < c.n; i++) {
        is_same = sm_cert_eq(c.c[i], genuine.c[i]);
    }
    sm_chain_done(&c);
    return is_same;
}

static void sweep_pem(struct kit_file *f, size_t from, size_t to, size_t stride)
{
    pem_from = from;
    pem_to = to;
    T_OK(sm_chain_add(&genuine, sm_view_of(f->b + from, to - from)));
    T_EQ(kit_sweep(f, stride, accepts, is_same_chain, NULL), 0);
    sm_chain_done(&genuine);
    genuine = (struct sm_chain){0};
}

static void sweep_quote(void)
{
    struct sm_quote q;
    T_OK(sm_quote_read(kit_view(&b.quote), &q));
    size_t from = (size_t)(q.pck_chain.p - b.quote.b);
    sweep_pem(&b.quote, from, from + q.pck_chain.n, 61);
    b.quote.n -= q.trailing; /* any number of zeros behind a quote is as good as another */
    T_EQ(kit_cut(&b.quote, 101, accepts, NULL), 0);
}

static void no_byte_of_a_quote_can_change(void)
{
    load_tdx();
    sweep_quote();
    load_sgx();
    sweep_quote();
}

static void no_byte_of_a_document_can_change(void)
{
    load_tdx();
    T_EQ(kit_sweep(&b.tcb, 61, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&b.tcb_sig, 7, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&b.qe, 17, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&b.qe_sig, 7, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&b.root_crl, 17, accepts, NULL, NULL), 0);
    sweep_pem(&b.tcb_chain, 0, b.tcb_chain.n, 61);
    sweep_pem(&b.qe_chain, 0, b.qe_chain.n, 61);
    T_EQ(kit_sweep(&b.pck_crl, 61, accepts, NULL, NULL), 0);
    T_EQ(kit_cut(&b.pck_crl, 101, accepts, NULL), 0);
    T_EQ(kit_cut(&b.tcb, 101, accepts, NULL), 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(an_up_to_date_td_is_what_it_says),
        T_CASE(an_enclave_has_its_status_and_advisories),
        T_CASE(a_debug_td_is_told_to_be_one),
        T_CASE(a_platform_below_every_level_is_refused),
        T_CASE(collateral_counts_only_in_its_window),
        T_CASE(each_document_that_ended_is_told),
        T_CASE(documents_of_another_platform_are_refused),
        T_CASE(the_chain_of_one_purpose_does_not_serve_another),
        T_CASE(without_the_pinned_root_nothing_is_believed),
        T_CASE(no_byte_of_a_quote_can_change),
        T_CASE(no_byte_of_a_document_can_change),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
