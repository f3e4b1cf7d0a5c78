// SPDX-License-Identifier: Apache-2.0
/* Genuine quotes of Intel's platforms as a peer would show them: in an envelope, for a platform
 * that a root endorsed. */
#include "attest/cache.h"
#include "attest/endorse.h"
#include "attest/envelope.h"
#include "evidence_kit.h"
#include "wire/frame.h"

static struct {
    struct kit_file quote, tcb, tcb_sig, chain, qe, qe_sig, root_crl, pck_crl;
    uint8_t tcb_answer[2 * KIT_MAX], qe_answer[2 * KIT_MAX], bytes[SM_EVIDENCE_MAX];
    struct sm_envelope e;
    struct sm_anchor anchor;
    struct sm_attester who;
    uint8_t sign_key[32], measurement[48], shown[32];
    struct sm_wall now;
    struct sm_claims claims;
    struct sm_reasons why;
} b;

static void load_one(const char *folder, const char *name, struct kit_file *out)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    kit_load(path, out);
}

/* As Intel's service answers. */
static struct sm_view answer(const char *member, const struct kit_file *json,
                             const struct kit_file *sig, uint8_t *out)
{
    char hex[2 * 64 + 1];
    T_EQ(sig->n, 64);
    sm_hex(sig->b, 64, hex);
    int n = snprintf((char *)out, 2 * KIT_MAX, "{\"%s\":%.*s,\"signature\":\"%s\"}", member,
                     (int)json->n, (const char *)json->b, hex);
    T_TRUE(n > 0 && n < (int)(2 * KIT_MAX));
    return sm_view_of(out, (size_t)n);
}

static enum sm_err verify(void)
{
    struct sm_wr w = sm_wr_init(b.bytes, sizeof b.bytes);
    T_OK(sm_envelope_write(&b.e, &w));
    return sm_evidence_verify(sm_suite_real(), &b.anchor, b.now, &b.who,
                              sm_view_of(b.bytes, w.n), &b.claims, &b.why);
}

/* The quote of that folder, in a mesh whose root endorsed its machine. */
static void load(const char *folder, uint8_t platform, uint64_t as_of)
{
    const uint8_t root[1][32] = {{1}};
    memset(&b, 0, sizeof b);
    load_one(folder, "quote.bin", &b.quote);
    load_one(folder, "tcb_info.json", &b.tcb);
    load_one(folder, "tcb_info.json.sig", &b.tcb_sig);
    load_one(folder, "tcb_info_chain.pem", &b.chain);
    load_one(folder, "qe_identity.json", &b.qe);
    load_one(folder, "qe_identity.json.sig", &b.qe_sig);
    load_one(folder, "root_ca_crl.der", &b.root_crl);
    load_one(folder, "pck_crl.der", &b.pck_crl);
    b.e.part[SM_PART_DCAP_QUOTE] = kit_view(&b.quote);
    b.e.part[SM_PART_DCAP_TCB_INFO] = answer("tcbInfo", &b.tcb, &b.tcb_sig, b.tcb_answer);
    b.e.part[SM_PART_DCAP_QE_IDENTITY] =
        answer("enclaveIdentity", &b.qe, &b.qe_sig, b.qe_answer);
    b.e.part[SM_PART_DCAP_TCB_CHAIN] = kit_view(&b.chain);
    b.e.part[SM_PART_DCAP_ROOT_CRL] = kit_view(&b.root_crl);
    b.e.part[SM_PART_DCAP_PCK_CRL] = kit_view(&b.pck_crl);
    b.now = (struct sm_wall){as_of};
    T_OK(sm_anchor_make(SM_ENV_PROD, "clinic", root, 1, &b.anchor));
    b.who = (struct sm_attester){platform, b.sign_key, b.measurement, b.shown};
    T_TRUE(verify() != SM_OK); /* it is nobody's yet; the reason says whose it would be */
    T_EQ(b.why.n, 1);
    T_EQ(b.why.r[0].code, SM_REASON_IDENTITY);
    T_OK(sm_unhex(b.why.r[0].got, 64, b.shown, 32));
    T_OK(verify());
    memcpy(b.measurement, b.claims.measurement, b.claims.measurement_n);
}

static void load_tdx(void)
{
    load("tdx/v4-uptodate", SM_PLATFORM_TDX, 1751328000);
}

static bool has(enum sm_reason_code code)
{
    for (size_t i = 0; i < b.why.n; i++) {
        if (b.why.r[i].code == code) {
            return true;
        }
    }
    return false;
}

static void a_td_is_believed_by_the_peer_whose_record_names_it(void)
{
    load_tdx();
    T_EQ(b.claims.platform, SM_PLATFORM_TDX);
    /* All is well but the session, which a quote of another day cannot be made for. */
    uint8_t rd[SM_REPORT_DATA] = {0};
    b.why = (struct sm_reasons){0};
    T_ERR(sm_appraise(&b.anchor, b.now, &b.who, &b.claims, rd, &b.why), SM_E_REFUSED);
    T_EQ(b.why.n, 1);
    T_EQ(b.why.r[0].code, SM_REASON_REPORT_DATA);
    b.why = (struct sm_reasons){0};
    T_OK(sm_appraise(&b.anchor, b.now, &b.who, &b.claims, b.claims.report_data, &b.why));
    b.measurement[47] ^= 1;
    T_ERR(sm_appraise(&b.anchor, b.now, &b.who, &b.claims, b.claims.report_data, &b.why),
          SM_E_REFUSED);
    T_TRUE(has(SM_REASON_MEASUREMENT));
}

static void an_enclave_and_a_td_never_pass_for_each_other(void)
{
    load_tdx();
    b.who.platform = SM_PLATFORM_SGX;
    T_ERR(verify(), SM_E_REFUSED);
    T_EQ(b.why.r[0].code, SM_REASON_PLATFORM);
    load("sgx/v3-config-swhardening", SM_PLATFORM_SGX, 1751328000);
    b.who.platform = SM_PLATFORM_TDX;
    T_ERR(verify(), SM_E_REFUSED);
    T_EQ(b.why.r[0].code, SM_REASON_PLATFORM);
    b.who.platform = SM_PLATFORM_TDX_VTPM;
    T_ERR(verify(), SM_E_REFUSED);
    b.who.platform = SM_PLATFORM_SNP;
    T_ERR(verify(), SM_E_MALFORMED);
}

static void collateral_of_a_quote_fails_closed(void)
{
    static const enum sm_part parts[] = {SM_PART_DCAP_QUOTE,       SM_PART_DCAP_TCB_INFO,
                                         SM_PART_DCAP_QE_IDENTITY, SM_PART_DCAP_TCB_CHAIN,
                                         SM_PART_DCAP_ROOT_CRL,    SM_PART_DCAP_PCK_CRL};
    load_tdx();
    for (size_t i = 0; i < SM_COUNT(parts); i++) {
        struct sm_view was = b.e.part[parts[i]];
        b.e.part[parts[i]] = (struct sm_view){0};
        T_ERR(verify(), SM_E_MALFORMED);
        T_STR(b.why.r[0].field, sm_part_name(parts[i]));
        b.e.part[parts[i]] = sm_view_sub(was, 0, was.n - 1);
        if (parts[i] != SM_PART_DCAP_QUOTE) { /* it ends in zeros, and one less is no matter */
            T_TRUE(verify() != SM_OK || parts[i] == SM_PART_DCAP_TCB_CHAIN);
        }
        b.e.part[parts[i]] = was;
    }
    b.e.part[SM_PART_SNP_CRL] = sm_view_str("x");
    T_ERR(verify(), SM_E_MALFORMED);
    b.e.part[SM_PART_SNP_CRL] = (struct sm_view){0};
    T_OK(verify());
    b.now.s += 40 * 86400; /* Intel's documents live thirty days */
    T_TRUE(verify() != SM_OK);
    T_TRUE(has(SM_REASON_COLLATERAL) || has(SM_REASON_EXPIRED));
}

static void a_debug_td_with_old_firmware_is_refused_by_policy(void)
{
    load("tdx/v4-debug-outofdate", SM_PLATFORM_TDX, 1775001600);
    b.why = (struct sm_reasons){0};
    T_ERR(sm_appraise(&b.anchor, b.now, &b.who, &b.claims, b.claims.report_data, &b.why),
          SM_E_REFUSED);
    T_TRUE(has(SM_REASON_DEBUG));
    T_TRUE(has(SM_REASON_TCB_STATUS));
}

static void cached_quotes_say_the_same_until_they_end(void)
{
    struct sm_claims first;
    load_tdx();
    first = b.claims;
    b.anchor.cache = sm_attest_cache_new();
    T_TRUE(b.anchor.cache != NULL);
    for (int i = 0; i < 3; i++) {
        T_OK(verify());
        T_MEM(&b.claims, sizeof first, &first, sizeof first);
    }
    struct sm_cache_stats s = sm_attest_cache_stats(b.anchor.cache);
    T_EQ(s.claim_hits, 2);
    T_TRUE(s.chain_misses >= 2);
    b.now = (struct sm_wall){first.not_after.s + 1};
    T_TRUE(verify() != SM_OK);
    sm_attest_cache_free(b.anchor.cache);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_td_is_believed_by_the_peer_whose_record_names_it),
        T_CASE(an_enclave_and_a_td_never_pass_for_each_other),
        T_CASE(collateral_of_a_quote_fails_closed),
        T_CASE(a_debug_td_with_old_firmware_is_refused_by_policy),
        T_CASE(cached_quotes_say_the_same_until_they_end),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
