// SPDX-License-Identifier: Apache-2.0
#include "cli/attest_report.h"

#include "cli/commands.h"

#include <string.h>

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

/* -- what verifying looks at ----------------------------------------------------------------
 */

#define ON(p)   (1u << SM_PLATFORM_##p)
#define CERTS   (ON(SNP) | ON(SNP_VTPM) | ON(TDX) | ON(SGX) | ON(NITRO))
#define INTEL   (ON(TDX) | ON(SGX))
#define QUOTED  (ON(TPM) | ON(SNP_VTPM))
#define ANY_ONE UINT32_MAX

static const struct {
    uint16_t code;
    uint32_t platforms;
    const char *field, *want;
} steps[] = {
    {SM_REASON_GRAMMAR, ANY_ONE, "evidence", "well formed, of a version known here"},
    {SM_REASON_SIGNATURE, ANY_ONE, "signature", "by the platform's key"},
    {SM_REASON_CHAIN, CERTS, "certificates", "a path to the maker's pinned root"},
    {SM_REASON_EXPIRED, CERTS, "certificates", "in time"},
    {SM_REASON_REVOKED, CERTS, "certificates", "on no list that was there"},
    {SM_REASON_COLLATERAL, INTEL, "collateral", "Intel's, in time, of this platform"},
    {SM_REASON_QE_SIGNATURE, INTEL, "quoting enclave", "signed by the platform"},
    {SM_REASON_BINDING, INTEL | ON(SNP_VTPM), "parts", "belong together"},
    {SM_REASON_IDENTITY, CERTS | ON(TPM), "certificate", "of this chip or key"},
    {SM_REASON_TCB, ON(SNP) | ON(SNP_VTPM), "tcb", "the report's is the certificate's"},
    {SM_REASON_REGISTERS, QUOTED, "registers", "those that were signed"},
    {SM_REASON_LOG, ON(TPM), "event log", "replays, if there is one"},
};

static bool has_code(const struct sm_reasons *why, uint16_t code)
{
    for (size_t i = 0; i < why->n; i++) {
        if (why->r[i].code == code) {
            return true;
        }
    }
    return false;
}

void attest_steps_json(json_t *checks, uint8_t platform, bool is_verified,
                       const struct sm_reasons *why)
{
    for (size_t i = 0; i < SM_COUNT(steps); i++) {
        bool is_here = platform < SM_PLATFORMS && (steps[i].platforms >> platform & 1u) != 0;
        if (!is_here || (!is_verified && has_code(why, steps[i].code))) {
            continue;
        }
        json_t *o = json_object();
        put_text(o, "check", sm_reason_name(steps[i].code));
        put_text(o, "field", steps[i].field);
        put_text(o, "got", is_verified ? "verified" : "unknown");
        put_text(o, "wanted", steps[i].want);
        json_object_set_new(o, "passed", is_verified ? json_true() : json_null());
        json_array_append_new(checks, o);
    }
    for (size_t i = 0; !is_verified && i < why->n; i++) {
        json_t *o = sm_json_reason("check", &why->r[i]);
        json_object_set_new(o, "passed", json_false());
        sm_json_put_fix(o, &why->r[i], platform);
        json_array_append_new(checks, o);
    }
}

/* -- for people ------------------------------------------------------------------------------
 */

void attest_print_object(json_t *o)
{
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        if (json_is_string(value)) {
            printf("%-20s %s\n", key, json_string_value(value));
        } else if (json_is_integer(value)) {
            printf("%-20s %lld\n", key, (long long)json_integer_value(value));
        } else if (json_is_boolean(value)) {
            printf("%-20s %s\n", key, json_is_true(value) ? "yes" : "no");
        }
    }
}

static const char *text_of(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

void attest_print_reasons(json_t *list)
{
    size_t i;
    json_t *r;
    json_array_foreach(list, i, r)
    {
        printf("\nrefused for %s: %s\n", text_of(r, "reason"), text_of(r, "words"));
        printf("  field    %s\n  got      %s\n  wanted   %s\n  fix      %s\n",
               text_of(r, "field"), text_of(r, "got"), text_of(r, "wanted"), text_of(r, "fix"));
    }
}

void attest_print_checks(json_t *list)
{
    size_t i;
    json_t *k;
    json_array_foreach(list, i, k)
    {
        json_t *passed = json_object_get(k, "passed");
        const char *mark = json_is_true(passed) ? "ok" : json_is_null(passed) ? "?" : "NO";
        printf("%-3s %-12s %s: got %s, wanted %s\n", mark, text_of(k, "check"),
               text_of(k, "field"), text_of(k, "got"), text_of(k, "wanted"));
        if (*text_of(k, "fix") != '\0') {
            printf("                 fix: %s\n", text_of(k, "fix"));
        }
    }
}

/* -- the table -------------------------------------------------------------------------------
 */

/* SM_PLATFORMS when text is no platform's name. */
static uint8_t platform_named(const char *text)
{
    uint8_t p = 0;
    while (p < SM_PLATFORMS && strcmp(sm_platform_name(p), text) != 0) {
        p++;
    }
    return p;
}

static const char *exit_of(const struct sm_reason_info *i)
{
    return i->stage == SM_STAGE_VERIFY ? "7" : i->stage == SM_STAGE_POLICY ? "4" : "4 or 7";
}

static json_t *reason_row(uint16_t code, uint8_t platform)
{
    const struct sm_reason_info *i = sm_reason_info(code);
    struct sm_reason r = {.code = code, .field = "(field)", .got = "(got)", .want = "(wanted)"};
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:i}", "reason", i->name, "words", i->words, "exit", exit_of(i),
        "ar4si", sm_tvec_claim_name((enum sm_tvec_claim)i->claim), "value", (int)i->value);
    sm_json_put_fix(o, &r, platform);
    return o;
}

enum sm_err cmd_attest_reasons(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    const struct cli_option opt[] = {{.name = "--platform", .value = "NAME", .text = &name}};
    SM_TRY(cli_parse(c, cli_command_named("attest reasons"), opt, SM_COUNT(opt), argc, argv,
                     &argc));
    uint8_t platform = name != NULL ? platform_named(name) : SM_PLATFORMS;
    if (argc != 0 || (name != NULL && platform == SM_PLATFORMS)) {
        return cli_fail(c, SM_E_USAGE,
                        argc != 0 ? "attest reasons takes no arguments"
                                  : "--platform wants the name of one");
    }
    json_t *list = json_array();
    for (uint16_t code = 1; code < SM_REASON_CODES; code++) {
        json_t *o = reason_row(code, platform);
        if (!c->json) {
            printf("%-13s exit %-7s %s=%lld\n  %s\n  fix: %s\n", text_of(o, "reason"),
                   text_of(o, "exit"), text_of(o, "ar4si"),
                   (long long)json_integer_value(json_object_get(o, "value")),
                   text_of(o, "words"), text_of(o, "fix"));
        }
        json_array_append_new(list, o);
    }
    if (c->json) {
        cli_json(json_pack("{s:o}", "reasons", list));
    } else {
        json_decref(list);
    }
    return SM_OK;
}
