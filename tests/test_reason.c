// SPDX-License-Identifier: Apache-2.0
/* The table of reasons: whatever happens, somebody is told what it means and what to do. */
#include "attest/claims_list.h"
#include "attest/policy.h"
#include "t.h"

static const char *fix(uint16_t code, uint8_t platform, const char *field, const char *got)
{
    static char out[SM_FIX_TEXT];
    struct sm_reason r = {.code = code};
    (void)snprintf(r.field, sizeof r.field, "%s", field);
    (void)snprintf(r.got, sizeof r.got, "%s", got);
    (void)snprintf(r.want, sizeof r.want, "at least 0x18");
    sm_reason_fix(&r, platform, out);
    return out;
}

static void every_code_has_a_name_of_its_own_and_words(void)
{
    for (uint16_t a = 1; a < SM_REASON_CODES; a++) {
        const struct sm_reason_info *i = sm_reason_info(a);
        T_TRUE(strcmp(i->name, "unknown") != 0 && strlen(i->words) > 10);
        T_TRUE(strspn(i->name, "abcdefghijklmnopqrstuvwxyz-") == strlen(i->name));
        T_TRUE((i->stage & SM_STAGE_BOTH) != 0 && i->claim < SM_TVEC_CLAIMS);
        T_TRUE(strcmp(sm_tvec_tier_name(i->value), "affirming") != 0);
        for (uint16_t b = 1; b < a; b++) {
            T_TRUE(strcmp(i->name, sm_reason_name(b)) != 0);
        }
    }
    T_STR(sm_reason_name(0), "unknown");
    T_STR(sm_reason_name(SM_REASON_CODES), "unknown");
    T_STR(sm_reason_name(UINT16_MAX), "unknown");
}

static void every_code_has_a_fix_on_every_platform(void)
{
    for (uint16_t code = 1; code < SM_REASON_CODES; code++) {
        for (unsigned p = 0; p <= SM_PLATFORMS; p++) {
            const char *text = fix(code, (uint8_t)p, "field", "got");
            T_TRUE(strlen(text) > 10 && strstr(text, "unknown to it") == NULL);
            T_TRUE(strchr(text, '{') == NULL);
        }
    }
    T_TRUE(strstr(fix(999, SM_PLATFORM_SNP, "x", "y"), "update seemesh") != NULL);
}

static void the_fix_fits_platform_field_and_value(void)
{
    const char *t = fix(SM_REASON_TCB, SM_PLATFORM_SNP, "reported tcb snp", "0x05");
    T_TRUE(strstr(t, "at least 0x18") != NULL && strstr(t, "snphost show tcb") != NULL);
    t = fix(SM_REASON_TCB, SM_PLATFORM_SNP, "launch tcb snp", "0x05");
    T_TRUE(strstr(t, "launch the guest anew") != NULL && strstr(t, "0x05") != NULL);
    t = fix(SM_REASON_TCB_STATUS, SM_PLATFORM_TDX, "tcb status", "TDRelaunchAdvised");
    T_TRUE(strstr(t, "launch the TD anew") != NULL);
    t = fix(SM_REASON_DEBUG, SM_PLATFORM_SNP, "debug", "true");
    T_TRUE(strstr(t, "bit 19") != NULL);
    T_TRUE(strstr(fix(SM_REASON_DEBUG, SM_PLATFORM_NITRO, "debug", "true"), "bit 19") == NULL);
    t = fix(SM_REASON_REGISTERS, SM_PLATFORM_TPM, "register 7", "ab");
    T_TRUE(strstr(t, "attest diff") != NULL);
}

/* A peer's texts are as long as a reason can hold, and may look like placeholders. */
static void a_long_reason_is_cut_and_never_read_again(void)
{
    char got[SM_REASON_TEXT], out[SM_FIX_TEXT + 8];
    struct sm_reason r = {.code = SM_REASON_UNSUPPORTED};
    memset(got, 'x', sizeof got - 1);
    got[sizeof got - 1] = '\0';
    memcpy(r.got, got, sizeof got);
    (void)snprintf(r.field, sizeof r.field, "{got}{want}{field}");
    memset(out, '#', sizeof out);
    sm_reason_fix(&r, SM_PLATFORM_TPM, out);
    T_TRUE(strlen(out) < SM_FIX_TEXT && out[SM_FIX_TEXT] == '#');
    T_TRUE(strstr(out, "{got}{want}{field} xxx") != NULL);
}

/* -- explaining a verdict ----------------------------------------------------------------- */

static struct sm_claims good_claims(void)
{
    struct sm_claims c = {.platform = SM_PLATFORM_SNP,
                          .is_hw_rooted = true,
                          .measurement_n = 48,
                          .measurement = {7},
                          .snp = {.product = SM_SNP_MILAN, .policy = 0x30000}};
    c.tcb_parts[SM_SNP_SNP] = c.snp.launch_tcb[SM_SNP_SNP] = 0x18;
    return c;
}

static const uint8_t any[SM_REPORT_DATA];

static enum sm_err explain(const struct sm_claims *c, struct sm_reasons *why,
                           struct sm_checks *checks)
{
    static const struct sm_value seven = {48, {7}};
    struct sm_hw_policy p;
    struct sm_reasons plain = {0};
    sm_hw_policy_default(&p);
    p.measurements = (struct sm_values){.v = &seven, .n = 1};
    p.is_report_data_any = true;
    *why = (struct sm_reasons){0};
    checks->n = 0;
    enum sm_err e = sm_hw_explain(&p, c, any, (struct sm_wall){1}, why, checks);
    T_EQ(sm_hw_appraise(&p, c, any, (struct sm_wall){1}, &plain), e);
    T_EQ(plain.n, why->n);
    T_TRUE(memcmp(plain.r, why->r, plain.n * sizeof plain.r[0]) == 0);
    return e;
}

static void an_explanation_has_what_passed_and_the_same_reasons(void)
{
    struct sm_claims c = good_claims();
    struct sm_reasons why;
    static struct sm_checks checks;
    size_t failed = 0;
    T_OK(explain(&c, &why, &checks));
    T_TRUE(checks.n > 10);
    for (size_t i = 0; i < checks.n; i++) {
        T_TRUE(checks.c[i].is_ok && checks.c[i].r.field[0] != '\0');
    }
    size_t all = checks.n;
    c.is_debug = true;
    c.tcb_parts[SM_SNP_SNP] = 0x17;
    c.measurement[0] = 8;
    T_ERR(explain(&c, &why, &checks), SM_E_REFUSED);
    T_EQ(checks.n, all);
    T_EQ(why.n, 3);
    for (size_t i = 0; i < checks.n; i++) {
        if (!checks.c[i].is_ok) {
            T_TRUE(memcmp(&checks.c[i].r, &why.r[failed++], sizeof why.r[0]) == 0);
        }
    }
    T_EQ(failed, why.n);
}

/* -- claims as texts ----------------------------------------------------------------------- */

struct seen {
    unsigned n, judged;
    bool is_printable;
};

static void times_are_dates(void)
{
    static const struct {
        uint64_t s;
        const char *text;
    } known[] = {{0, "1970-01-01T00:00:00Z"},          {951782400, "2000-02-29T00:00:00Z"},
                 {951868799, "2000-02-29T23:59:59Z"},  {951868800, "2000-03-01T00:00:00Z"},
                 {1775001600, "2026-04-01T00:00:00Z"}, {4107542399, "2100-02-28T23:59:59Z"},
                 {4107542400, "2100-03-01T00:00:00Z"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < SM_COUNT(known); i++) {
        char text[SM_TIME_TEXT];
        sm_wall_text((struct sm_wall){known[i].s}, text);
        T_STR(text, known[i].text);
    }
}

static void see(void *ctx, const struct sm_claim *k)
{
    struct seen *s = ctx;
    s->n++;
    s->judged += k->judged != SM_REASON_NONE;
    for (const char *p = k->text; *p != '\0'; p++) {
        s->is_printable = s->is_printable && *p >= ' ' && *p <= '~';
    }
}

static void claims_are_listed_as_printable_text(void)
{
    struct sm_claims c = good_claims();
    struct seen s = {.is_printable = true};
    sm_claims_list(&c, see, &s);
    T_TRUE(s.n > 15 && s.judged > 10 && s.is_printable);
    struct seen t = {.is_printable = true};
    c.tcb = SM_TCB_OUT_OF_DATE;
    c.n_advisories = 1;
    memcpy(c.advisories[0], "INTEL\x1b[31m", 10);
    sm_claims_list(&c, see, &t);
    T_TRUE(t.n == s.n + 3 && t.is_printable); /* no date: not said */
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(every_code_has_a_name_of_its_own_and_words),
        T_CASE(every_code_has_a_fix_on_every_platform),
        T_CASE(the_fix_fits_platform_field_and_value),
        T_CASE(a_long_reason_is_cut_and_never_read_again),
        T_CASE(an_explanation_has_what_passed_and_the_same_reasons),
        T_CASE(claims_are_listed_as_printable_text),
        T_CASE(times_are_dates),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
