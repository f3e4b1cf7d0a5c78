// SPDX-License-Identifier: Apache-2.0
/* Which TCB level a platform has, in made-up documents: genuine ones are in test_dcap. */
#include "attest/dcap.h"
#include "attest/dcap_tcb.h"
#include "attest/json.h"
#include "t.h"

#include <stdarg.h>

static char text[32768];
static size_t text_n;

__attribute__((format(printf, 1, 2))) static void put(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text + text_n, sizeof text - text_n, fmt, ap);
    va_end(ap);
    T_TRUE(n >= 0 && (size_t)n < sizeof text - text_n);
    text_n += (size_t)n;
}

#define ZEROS_96                                                                               \
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
    "00000000"
#define HEAD                                                                                   \
    "\"version\":3,\"issueDate\":\"2025-06-19T10:16:03Z\",\"nextUpdate\":"                     \
    "\"2025-07-19T10:16:03Z\",\"fmspc\":\"B0C06F000000\",\"pceId\":\"0000\",\"tcbType\":0,"    \
    "\"tcbEvaluationDataNumber\":17"
#define MODULE                                                                                 \
    "\"mrsigner\":\"" ZEROS_96                                                                 \
    "\",\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\""

struct level {
    uint8_t sgx[16], tdx[16];
    unsigned pce;
    const char *status, *advisory, *date;
};

static void put_components(const char *name, const uint8_t v[16])
{
    put("\"%s\":[", name);
    for (int i = 0; i < 16; i++) {
        put("%s{\"svn\":%u,\"category\":\"BIOS\"}", i == 0 ? "" : ",", v[i]);
    }
    put("],");
}

static void put_levels(const struct level *l, size_t n)
{
    put("\"tcbLevels\":[");
    for (size_t i = 0; i < n; i++) {
        put("%s{\"tcb\":{", i == 0 ? "" : ",");
        put_components("sgxtcbcomponents", l[i].sgx);
        put_components("tdxtcbcomponents", l[i].tdx);
        put("\"pcesvn\":%u},\"tcbDate\":\"%s\",\"tcbStatus\":\"%s\"", l[i].pce,
            l[i].date == NULL ? "2024-03-13T00:00:00Z" : l[i].date, l[i].status);
        if (l[i].advisory != NULL) {
            put(",\"advisoryIDs\":[\"%s\"]", l[i].advisory);
        }
        put("}");
    }
    put("]");
}

/* Module 1: version 4 is good, 2 is outdated, 1 revoked. */
static void put_info(const struct level *l, size_t n)
{
    text_n = 0;
    put("{\"id\":\"TDX\"," HEAD ",\"tdxModule\":{" MODULE "},\"tdxModuleIdentities\":[{\"id\":"
        "\"TDX_03\"," MODULE ",\"tcbLevels\":[{\"tcb\":{\"isvsvn\":3},\"tcbDate\":"
        "\"2024-11-13T00:00:00Z\",\"tcbStatus\":\"UpToDate\"}]},{\"id\":\"TDX_01\"," MODULE
        ",\"tcbLevels\":[{\"tcb\":{\"isvsvn\":4},\"tcbDate\":\"2024-03-13T00:00:00Z\","
        "\"tcbStatus\":\"UpToDate\"},{\"tcb\":{\"isvsvn\":2},\"tcbDate\":"
        "\"2023-08-09T00:00:00Z\",\"tcbStatus\":\"OutOfDate\",\"advisoryIDs\":[\"INTEL-SA-M\"]}"
        ","
        "{\"tcb\":{\"isvsvn\":1},\"tcbDate\":\"2023-01-01T00:00:00Z\",\"tcbStatus\":"
        "\"Revoked\"}]}],");
    put_levels(l, n);
    put("}");
}

static struct sm_quote q;
static struct sm_pck pck;
static struct sm_tcb qe, tcb;
static struct sm_reasons why;

/* A TD under module 1, version 4, on a platform of threes. */
static void platform(void)
{
    q = (struct sm_quote){.version = 5, .is_tdx = true};
    pck = (struct sm_pck){.pcesvn = 3};
    memset(pck.svn, 3, sizeof pck.svn);
    memset(q.td.tee_tcb_svn, 3, sizeof q.td.tee_tcb_svn);
    q.td.tee_tcb_svn[0] = 4;
    q.td.tee_tcb_svn[1] = 1;
    qe = (struct sm_tcb){.status = SM_TCB_UP_TO_DATE, .date = {UINT64_MAX}};
    why = (struct sm_reasons){0};
}

static struct level level(uint8_t svn, const char *status)
{
    struct level l = {.pce = svn, .status = status};
    memset(l.sgx, svn, sizeof l.sgx);
    memset(l.tdx, svn, sizeof l.tdx);
    return l;
}

static enum sm_err evaluate(void)
{
    struct sm_tcb_info info;
    T_OK(sm_tcb_info_read(sm_view_of(text, text_n), &info));
    return sm_tcb_evaluate(&info, &pck, &q, &qe, &tcb, &why);
}

static enum sm_tcb_status status(void)
{
    T_OK(evaluate());
    return tcb.status;
}

/* -- levels ------------------------------------------------------------------------------ */

static void the_first_level_that_is_reached_counts(void)
{
    struct level l[] = {level(4, "UpToDate"), level(3, "SWHardeningNeeded"),
                        level(1, "OutOfDate")};
    platform();
    put_info(l, 3);
    T_EQ(status(), SM_TCB_SW_HARDENING);
    for (int i = 0; i < 16; i++) {
        platform();
        pck.svn[i] = 2;
        T_EQ(status(), SM_TCB_OUT_OF_DATE);
        pck.svn[i] = 0;
        T_ERR(evaluate(), SM_E_REFUSED);
        T_EQ(why.r[0].code, SM_REASON_TCB);
    }
    platform();
    pck.pcesvn = 2;
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
}

static void the_module_judges_its_own_components(void)
{
    struct level l[] = {level(3, "UpToDate"), level(0, "OutOfDate")};
    l[0].tdx[0] = 9; /* more than we have, and left to the module's identity */
    l[0].tdx[1] = 9;
    platform();
    put_info(l, 2);
    T_EQ(status(), SM_TCB_UP_TO_DATE);
    for (int i = 2; i < 16; i++) {
        platform();
        q.td.tee_tcb_svn[i] = 2;
        T_EQ(status(), SM_TCB_OUT_OF_DATE);
    }
    platform();
    q.td.tee_tcb_svn[1] = 0; /* a module without an identity: all sixteen count */
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
    q.td.tee_tcb_svn[0] = 9;
    l[0].tdx[1] = 0;
    put_info(l, 2);
    T_EQ(status(), SM_TCB_UP_TO_DATE);
}

static void a_module_has_to_be_a_known_one(void)
{
    struct level l[] = {level(3, "UpToDate")};
    platform();
    put_info(l, 1);
    q.td.tee_tcb_svn[1] = 2;
    T_ERR(evaluate(), SM_E_REFUSED);
    T_EQ(why.r[0].code, SM_REASON_IDENTITY);
    platform();
    q.td.mrsignerseam[47] = 1;
    T_ERR(evaluate(), SM_E_REFUSED);
    T_EQ(why.r[0].code, SM_REASON_IDENTITY);
    platform();
    q.td.seamattributes[0] = 1;
    T_ERR(evaluate(), SM_E_REFUSED);
    T_EQ(why.r[0].code, SM_REASON_RESERVED);
    platform();
    q.td.tee_tcb_svn[0] = 0;
    T_ERR(evaluate(), SM_E_REFUSED);
    T_EQ(why.r[0].code, SM_REASON_TCB);
}

/* -- convergence ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum sm_tcb_status status, with_old; /* and an outdated part */
} statuses[] = {
    {"UpToDate", SM_TCB_UP_TO_DATE, SM_TCB_OUT_OF_DATE},
    {"SWHardeningNeeded", SM_TCB_SW_HARDENING, SM_TCB_OUT_OF_DATE},
    {"ConfigurationNeeded", SM_TCB_CONFIG, SM_TCB_OUT_OF_DATE_CONFIG},
    {"ConfigurationAndSWHardeningNeeded", SM_TCB_CONFIG_SW_HARDENING,
     SM_TCB_OUT_OF_DATE_CONFIG},
    {"OutOfDate", SM_TCB_OUT_OF_DATE, SM_TCB_OUT_OF_DATE},
    {"OutOfDateConfigurationNeeded", SM_TCB_OUT_OF_DATE_CONFIG, SM_TCB_OUT_OF_DATE_CONFIG},
    {"Revoked", SM_TCB_REVOKED, SM_TCB_REVOKED},
};

static void an_outdated_or_revoked_part_is_felt(void)
{
    for (size_t i = 0; i < SM_COUNT(statuses); i++) {
        struct level l[] = {level(3, statuses[i].name)};
        platform();
        put_info(l, 1);
        T_EQ(status(), statuses[i].status);
        q.td.tee_tcb_svn[0] = 2;
        T_EQ(status(), statuses[i].with_old);
        q.td.tee_tcb_svn[0] = 1;
        T_EQ(status(), SM_TCB_REVOKED);
        platform();
        qe.status = SM_TCB_OUT_OF_DATE;
        T_EQ(status(), statuses[i].with_old);
        qe.status = SM_TCB_REVOKED;
        T_EQ(status(), SM_TCB_REVOKED);
    }
}

static void a_revoked_processor_is_revoked_whatever_the_td_has(void)
{
    struct level l[] = {level(3, "Revoked"), level(2, "UpToDate")};
    l[0].tdx[5] = 9; /* the TD misses the first level, the processor does not */
    platform();
    put_info(l, 2);
    T_EQ(status(), SM_TCB_REVOKED);
}

static void advisories_add_up_and_the_oldest_date_counts(void)
{
    struct level l[] = {level(3, "UpToDate")};
    l[0].advisory = "INTEL-SA-P";
    platform();
    put_info(l, 1);
    q.td.tee_tcb_svn[0] = 2;
    qe.n_advisories = 2;
    memcpy(qe.advisories[0], "INTEL-SA-P", 11);
    memcpy(qe.advisories[1], "INTEL-SA-Q", 11);
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
    T_EQ(tcb.n_advisories, 3);
    T_STR(tcb.advisories[0], "INTEL-SA-P");
    T_STR(tcb.advisories[1], "INTEL-SA-M");
    T_STR(tcb.advisories[2], "INTEL-SA-Q");
    T_EQ(tcb.date.s, 1691539200); /* 2023-08-09, the module's */
}

static void a_relaunch_is_advised_when_only_the_guest_is_old(void)
{
    struct level l[] = {level(3, "UpToDate")};
    platform();
    put_info(l, 1);
    q.td.tee_tcb_svn[0] = 2;
    T_EQ(status(), SM_TCB_OUT_OF_DATE); /* a report of 1.0 cannot tell */
    q.td.is_15 = true;
    memset(q.td.tee_tcb_svn2, 3, 16);
    T_EQ(status(), SM_TCB_RELAUNCH); /* TDX_03 at 3, its newest */
    q.td.tee_tcb_svn2[0] = 2;
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
    q.td.tee_tcb_svn2[0] = 3;
    q.td.tee_tcb_svn2[2] = 2;
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
    q.td.tee_tcb_svn2[2] = 3;
    q.td.tee_tcb_svn2[1] = 7; /* no such module */
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
    q.td.tee_tcb_svn2[1] = 0; /* judged by the platform's newest level */
    T_EQ(status(), SM_TCB_RELAUNCH);
    qe.status = SM_TCB_OUT_OF_DATE;
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
    qe.status = SM_TCB_UP_TO_DATE;
    l[0].status = "ConfigurationNeeded";
    put_info(l, 1);
    T_EQ(status(), SM_TCB_OUT_OF_DATE_CONFIG);
    l[0].status = "OutOfDate"; /* the processor's firmware too */
    put_info(l, 1);
    T_EQ(status(), SM_TCB_OUT_OF_DATE);
}

/* -- documents --------------------------------------------------------------------------- */

static void replace(const char *from, const char *to)
{
    char *at = memmem(text, text_n, from, strlen(from));
    T_TRUE(at != NULL && text_n + strlen(to) < sizeof text);
    size_t rest = text_n - (size_t)(at - text) - strlen(from);
    memmove(at + strlen(to), at + strlen(from), rest);
    memcpy(at, to, strlen(to));
    text_n = text_n - strlen(from) + strlen(to);
}

static void a_document_we_do_not_understand_is_refused(void)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"version\":3", "\"version\":2"},
        {"\"tcbType\":0", "\"tcbType\":1"},
        {"\"id\":\"TDX\"", "\"id\":\"TDXX\""},
        {"B0C06F000000", "B0C06F0000"},
        {"2025-06-19T10:16:03Z", "2025-06-19 10:16:03Z"},
        {"2025-06-19T10:16:03Z", "2025-13-19T10:16:03Z"},
        {"\"tcbType\":0", "\"tcbType\":0,\"tcbType\":0"},
        {"\"tcbType\":0", "\"tcbType\":00"},
        {"\"tcbType\":0", "\"tcb\\u0054ype\":0"},
        {"\"tcbEvaluationDataNumber\":17", "\"tcbEvaluationDataNumber\":4294967296"},
        {"\"tcbEvaluationDataNumber\":17", "\"x\":17"},
        {"\"tdxModule\"", "\"tdxModulf\""},
    };
    struct level l[] = {level(3, "UpToDate")};
    struct sm_tcb_info info;
    for (size_t i = 0; i < SM_COUNT(changes); i++) {
        put_info(l, 1);
        replace(changes[i].from, changes[i].to);
        T_ERR(sm_tcb_info_read(sm_view_of(text, text_n), &info), SM_E_MALFORMED);
    }
}

static void a_level_we_do_not_understand_is_refused(void)
{
    static const struct {
        const char *from, *to;
    } changes[] = {
        {"\"tcbStatus\":\"ConfigurationNeeded\"", "\"tcbStatus\":\"Fine\""},
        {"\"tcbStatus\":\"ConfigurationNeeded\"", "\"x\":\"UpToDate\""},
        {"[{\"svn\":3", "[{\"svn\":1,\"svn\":3"},
        {"[{\"svn\":3", "[{\"svn\":256"},
        {"[{\"svn\":3", "[{\"svn\":3},{\"svn\":3"},
        {"[{\"svn\":3,\"category\":\"BIOS\"},", "["},
        {"\"pcesvn\":3", "\"x\":3"},
        {"\"tdxtcbcomponents\"", "\"x\""},
    };
    struct level l[] = {level(3, "ConfigurationNeeded")};
    for (size_t i = 0; i < SM_COUNT(changes); i++) {
        platform();
        put_info(l, 1);
        replace(changes[i].from, changes[i].to);
        T_ERR(evaluate(), SM_E_MALFORMED);
        T_EQ(why.n, 1);
        T_EQ(why.r[0].code, SM_REASON_COLLATERAL);
    }
    platform();
    put_info(l, 1);
    replace("\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"SWHardeningNeeded\"");
    T_OK(evaluate()); /* in TDX_03, which is not asked */
    put_info(l, 1);
    replace("\"isvsvn\":4},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"UpToDate\"",
            "\"isvsvn\":4},\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":"
            "\"ConfigurationNeeded\"");
    T_ERR(evaluate(), SM_E_MALFORMED);
}

static void dates_are_those_of_the_calendar(void)
{
    static const struct {
        const char *date;
        uint64_t s;
    } dates[] = {{"1970-01-01T00:00:00Z", 0},
                 {"2000-02-29T23:59:59Z", 951868799},
                 {"2024-12-31T00:00:00Z", 1735603200},
                 {"2100-03-01T00:00:00Z", 4107542400}};
    for (size_t i = 0; i < SM_COUNT(dates); i++) {
        struct level l[] = {level(3, "UpToDate")};
        l[0].date = dates[i].date;
        platform();
        q.is_tdx = false;
        put_info(l, 1);
        T_OK(evaluate());
        T_EQ(tcb.date.s, dates[i].s);
    }
}

/* -- answers of the service -------------------------------------------------------------- */

static enum sm_err answer(const char *json, struct sm_dcap_signed *out)
{
    static uint8_t sig[64];
    return sm_dcap_signed_read(sm_view_str(json), "tcbInfo", sig, out);
}

#define SIG_64 "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define SIG    "\"signature\":\"" SIG_64 SIG_64 "\""

static void the_exact_bytes_of_the_object_come_out(void)
{
    struct sm_dcap_signed s;
    T_OK(answer(" {\"tcbInfo\": {\"a\" : [1, {\"}\":\"]\"}] } ,\n" SIG "}\n", &s));
    T_MEM(s.json.p, s.json.n, "{\"a\" : [1, {\"}\":\"]\"}] }", 23);
    T_EQ(s.sig.p[0], 1);
    T_OK(answer("{" SIG ",\"tcbInfo\":{}}", &s));
    T_EQ(s.json.n, 2);
}

static void an_answer_of_another_form_is_refused(void)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"tcbInfo\":{}}",
        "{" SIG "}",
        "{\"tcbInfo\":[]," SIG "}",
        "{\"tcbInfo\":{},\"tcbInfo\":{}," SIG "}",
        "{\"tcbInfo\":{}," SIG "," SIG "}",
        "{\"tcbInfo\":{}," SIG ",\"x\":1}",
        "{\"tcbInfo\":{}," SIG "}x",
        "{\"tcbInfo\":{}," SIG,
        "{\"tcbInfo\":{}," SIG ",}",
        "{\"tcbInfo\":{}\"signature\":\"" SIG_64 SIG_64 "\"}",
        "{\"tcbInfo\":{},\"signature\":\"" SIG_64 "\"}",
        "{\"tcbInfo\":{\"a\":[}]}," SIG "}",
        "{\"tcbInfo\":{\"a\":-1}," SIG "}",
        "{\"tcbInfo\":{\"a\":1.5}," SIG "}",
        "{\"tcbInfo\":{\"a\":\"\\\"\"}," SIG "}",
        "{\"tcbInfo\":{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}," SIG "}",
    };
    struct sm_dcap_signed s;
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        T_TRUE(answer(bad[i], &s) != SM_OK);
    }
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_first_level_that_is_reached_counts),
        T_CASE(the_module_judges_its_own_components),
        T_CASE(a_module_has_to_be_a_known_one),
        T_CASE(an_outdated_or_revoked_part_is_felt),
        T_CASE(a_revoked_processor_is_revoked_whatever_the_td_has),
        T_CASE(advisories_add_up_and_the_oldest_date_counts),
        T_CASE(a_relaunch_is_advised_when_only_the_guest_is_old),
        T_CASE(a_document_we_do_not_understand_is_refused),
        T_CASE(a_level_we_do_not_understand_is_refused),
        T_CASE(dates_are_those_of_the_calendar),
        T_CASE(the_exact_bytes_of_the_object_come_out),
        T_CASE(an_answer_of_another_form_is_refused),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
