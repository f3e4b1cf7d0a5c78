// SPDX-License-Identifier: Apache-2.0
/* SNP evidence made by us under a root of our own: products and chip_keys of which there is no
 * public evidence to test with, and flaws that AMD's certificates do not have. */
#define SNP_KIT_NOW 1800000000u
#include "attest/policy.h"
#include "snp_kit.h"

#define NOW  SNP_KIT_NOW
#define YEAR SNP_KIT_YEAR

static const struct sm_wall now = {NOW};

static struct sm_claims claims;
static struct sm_reasons why;

static enum sm_err verify(const struct chip *m)
{
    struct sm_snp_evidence ev = {.report = sm_view_of(m->report, sizeof m->report),
                                 .vek = der_view(&m->d_vek),
                                 .chain = der_view(&m->d_ask),
                                 .crl = der_view(&m->d_crl)};
    return sm_snp_verify(&ev, &m->trust, now, &claims, &why);
}

static bool has(enum sm_reason_code code)
{
    for (size_t i = 0; i < why.n; i++) {
        if (why.r[i].code == code) {
            return true;
        }
    }
    return false;
}

#define T_REFUSED(m, code)                                                                     \
    do {                                                                                       \
        T_TRUE(verify(m) != SM_OK);                                                            \
        T_TRUE(has(code));                                                                     \
    } while (0)

static struct chip m;

/* -- products and chip_keys -------------------------------------------------------------------
 */

static void every_product_is_read_by_its_own_layout(void)
{
    for (int p = 0; p < SM_SNP_PRODUCTS; p++) {
        chip_plan(&m, (enum sm_snp_product)p, false);
        chip_build(&m);
        T_OK(verify(&m));
        T_EQ(claims.snp.product, p);
        T_MEM(claims.tcb_parts, SM_SNP_PARTS, m.spl, SM_SNP_PARTS);
        T_MEM(claims.snp.launch_tcb, SM_SNP_PARTS, m.spl, SM_SNP_PARTS);
        T_MEM(claims.platform_id, claims.platform_id_n, m.hw_id, 64);
        T_EQ(claims.not_after.s, NOW + YEAR);
        T_TRUE(!claims.has_crl && !claims.snp.is_vlek);
    }
}

static void a_report_of_another_product_is_refused(void)
{
    chip_plan(&m, SM_SNP_GENOA, false);
    chip_build(&m);
    m.report[0x188] = 0x1a;
    chip_sign(&m);
    T_REFUSED(&m, SM_REASON_IDENTITY);
    chip_plan(&m, SM_SNP_TURIN, false);
    chip_build(&m);
    m.report[0x1a8] = 1; /* behind the eight bytes of a Turin's id */
    chip_sign(&m);
    T_REFUSED(&m, SM_REASON_IDENTITY);
}

static void a_vlek_is_a_clouds_key_and_never_a_chips(void)
{
    chip_plan(&m, SM_SNP_MILAN, true);
    chip_build(&m);
    T_OK(verify(&m));
    T_TRUE(claims.snp.is_vlek && claims.snp.is_chip_masked && claims.platform_id_n == 0);
    sm_put_le32(m.report + 0x48, 0); /* says: by the chip */
    chip_sign(&m);
    T_REFUSED(&m, SM_REASON_IDENTITY);
    chip_plan(&m, SM_SNP_MILAN, true);
    m.asks_cn = "SEV-Milan"; /* the intermediate of chips */
    chip_build(&m);
    T_REFUSED(&m, SM_REASON_CHAIN);
    chip_plan(&m, SM_SNP_MILAN, false);
    m.asks_cn = "SEV-VLEK-Milan";
    chip_build(&m);
    T_REFUSED(&m, SM_REASON_CHAIN);
}

static void a_masked_chip_is_known_by_its_certificate(void)
{
    chip_plan(&m, SM_SNP_MILAN, false);
    chip_build(&m);
    memset(m.report + 0x1a0, 0, 64);
    chip_sign(&m);
    T_OK(verify(&m));
    T_TRUE(claims.snp.is_chip_masked);
    T_MEM(claims.platform_id, claims.platform_id_n, m.hw_id, 64);
}

/* -- signed, and still wrong ------------------------------------------------------------- */

static void signed_nonsense_is_refused(void)
{
    static const struct {
        size_t at;
        uint8_t to;
        enum sm_reason_code code;
    } wrong[] = {
        {0x00, 6, SM_REASON_UNSUPPORTED},
        {0x00, 1, SM_REASON_UNSUPPORTED},
        {0x0a, 1, SM_REASON_RESERVED}, /* policy bit 17 */
        {0x34, 2, SM_REASON_UNSUPPORTED},
        {0x48, 7 << 2, SM_REASON_UNSIGNED},
        {0x48, 2 << 2, SM_REASON_UNSUPPORTED},
        {0x48, 0x20, SM_REASON_RESERVED},
        {0x30, 4, SM_REASON_GRAMMAR},
        {0x4c, 1, SM_REASON_RESERVED},
        {0x18b, 1, SM_REASON_RESERVED},
        {0x1eb, 1, SM_REASON_RESERVED},
        {0x1ef, 1, SM_REASON_RESERVED},
        {0x1f8, 1, SM_REASON_RESERVED},
        {0x29f, 1, SM_REASON_RESERVED},
        {0x3a, 1, SM_REASON_RESERVED}, /* reserved in TCB */
        {0x38, 1, SM_REASON_TCB},      /* current below committed and reported */
        {0x180, 1, SM_REASON_TCB},     /* reported is not the certificate's */
        {0x1e0, 9, SM_REASON_TCB},     /* committed above current */
    };
    for (size_t i = 0; i < SM_COUNT(wrong); i++) {
        chip_plan(&m, SM_SNP_MILAN, false);
        chip_build(&m);
        m.report[wrong[i].at] = wrong[i].to;
        chip_sign(&m);
        T_REFUSED(&m, wrong[i].code);
    }
}

/* -- chains ------------------------------------------------------------------------------ */

static void chains_with_a_flaw_are_refused(void)
{
    static const struct {
        struct flaws ask, vek;
        bool is_foreign;
        enum sm_reason_code code;
    } flawed[] = {
        {.ask = {.is_sha256 = true}, .code = SM_REASON_CHAIN},
        {.vek = {.is_sha256 = true}, .code = SM_REASON_CHAIN},
        {.vek = {.salt = 32}, .code = SM_REASON_CHAIN},
        {.ask = {.is_no_ca = true}, .code = SM_REASON_CHAIN},
        {.vek = {.is_ca = true}, .code = SM_REASON_CHAIN},
        {.is_foreign = true, .code = SM_REASON_CHAIN},
        {.ask = {.ends_s = -1}, .code = SM_REASON_EXPIRED},
        {.vek = {.ends_s = -1}, .code = SM_REASON_EXPIRED},
        {.vek = {.starts_s = 61}, .code = SM_REASON_EXPIRED},
    };
    for (size_t i = 0; i < SM_COUNT(flawed); i++) {
        chip_plan(&m, SM_SNP_GENOA, false);
        m.ask = flawed[i].ask;
        m.vek = flawed[i].vek;
        m.ask_by = flawed[i].is_foreign ? chip_keys.other : NULL;
        chip_build(&m);
        T_REFUSED(&m, flawed[i].code);
        T_TRUE(why.r[0].code == flawed[i].code && !has(SM_REASON_SIGNATURE));
    }
}

/* -- revocation -------------------------------------------------------------------------- */

static void a_revocation_list_is_obeyed(void)
{
    chip_plan(&m, SM_SNP_MILAN, false);
    chip_build(&m);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &(struct flaws){0}, &m.d_crl);
    T_OK(verify(&m));
    T_TRUE(claims.has_crl);
    T_EQ(claims.not_after.s, NOW + YEAR / 2);
    chip_crl(chip_keys.ark, "ARK-Milan", 7, &(struct flaws){0}, &m.d_crl); /* the ASK */
    T_ERR(verify(&m), SM_E_REFUSED);
    T_TRUE(why.n == 1 && has(SM_REASON_REVOKED));
    chip_crl(chip_keys.ark, "ARK-Milan", 1, &(struct flaws){0}, &m.d_crl); /* the ARK itself */
    T_ERR(verify(&m), SM_E_REFUSED);
}

static void a_bad_revocation_list_is_no_list(void)
{
    static const struct flaws stale = {.ends_s = -1}, early = {.starts_s = 61},
                              weak = {.is_sha256 = true}, none = {0};
    chip_plan(&m, SM_SNP_MILAN, false);
    chip_build(&m);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &stale, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &early, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &weak, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    chip_crl(chip_keys.other, "ARK-Milan", 99, &none, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    chip_crl(chip_keys.ark, "ARK-Genoa", 99, &none, &m.d_crl);
    T_REFUSED(&m, SM_REASON_COLLATERAL);
    chip_crl(chip_keys.ark, "ARK-Milan", 99, &none, &m.d_crl);
    m.d_crl.b[m.d_crl.n++] = 0;
    T_REFUSED(&m, SM_REASON_COLLATERAL);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(every_product_is_read_by_its_own_layout),
        T_CASE(a_report_of_another_product_is_refused),
        T_CASE(a_vlek_is_a_clouds_key_and_never_a_chips),
        T_CASE(a_masked_chip_is_known_by_its_certificate),
        T_CASE(signed_nonsense_is_refused),
        T_CASE(chains_with_a_flaw_are_refused),
        T_CASE(a_revocation_list_is_obeyed),
        T_CASE(a_bad_revocation_list_is_no_list),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
