// SPDX-License-Identifier: Apache-2.0
/* attest verify, attest show: evidence in files, judged offline against the pinned roots. */
#include "attest/claims_list.h"
#include "cli/attest_kinds.h"
#include "cli/commands.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX (1u << 20) /* bytes of each; the largest list of a maker had 70 KB */

/* -- the question ------------------------------------------------------------------------ */

/* Unix seconds, 2026-01-31 or 2026-01-31T12:00:00Z. */
static bool time_read(const char *text, struct sm_wall *out)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};
    size_t digits = strspn(text, "0123456789");
    if (text[digits] == '\0') {
        out->s = strtoull(text, NULL, 10);
        return digits > 0 && digits < 12;
    }
    for (size_t i = 0; i < SM_COUNT(forms); i++) {
        struct tm tm = {0};
        const char *end = strptime(text, forms[i], &tm);
        time_t t = end != NULL && *end == '\0' ? timegm(&tm) : -1;
        if (t >= 0) {
            out->s = (uint64_t)t;
            return true;
        }
    }
    return false;
}

static enum sm_err hex_read(struct cli *c, const char *option, const char *text, uint8_t *out,
                            size_t cap, size_t *n)
{
    size_t len = text != NULL ? strlen(text) : 0;
    if (text == NULL) {
        return SM_OK;
    }
    if (len == 0 || len % 2 != 0 || len / 2 > cap ||
        sm_unhex(text, len, out, len / 2) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "%s wants 1 to %zu bytes in hexadecimal", option, cap);
    }
    *n = len / 2;
    return SM_OK;
}

static enum sm_err kind_read(struct cli *c, int argc, char **argv, struct attest_question *q)
{
    for (size_t i = 0; argc == 1 && i < attest_kinds_n; i++) {
        if (strcmp(argv[0], attest_kinds[i].name) == 0) {
            q->kind = &attest_kinds[i];
            return SM_OK;
        }
    }
    return cli_fail(c, SM_E_USAGE, "give one KIND: snp, azure, tdx, sgx, tpm or nitro");
}

static enum sm_err files_read(struct cli *c, struct attest_question *q)
{
    const struct attest_kind *k = q->kind;
    for (unsigned i = 0; i < INPUTS; i++) {
        if (q->path[i] == NULL && (k->must >> i & 1u) != 0) {
            return cli_fail(c, SM_E_USAGE, "%s needs %s FILE", k->name, attest_inputs[i]);
        }
        if (q->path[i] != NULL && ((k->must | k->may) >> i & 1u) == 0) {
            return cli_fail(c, SM_E_USAGE, "%s takes no %s", k->name, attest_inputs[i]);
        }
    }
    for (unsigned i = 0; i < INPUTS; i++) {
        enum sm_err e = q->path[i] != NULL ? sm_file_read(q->path[i], &q->file[i]) : SM_OK;
        if (e != SM_OK) {
            return cli_fail(c, e, "cannot read %s: %s", q->path[i], sm_err_words(e));
        }
    }
    return SM_OK;
}

static void trust_make(struct attest_question *q)
{
    sm_trust_pinned(&q->trust);
    if (q->path[ROOT] == NULL) {
        return;
    }
    for (size_t i = 0; i < SM_ROOTS; i++) {
        q->trust.root[i] = attest_file(q, ROOT);
    }
    q->trust.tpm[0] = attest_file(q, ROOT);
    q->trust.n_tpm = 1;
}

static enum sm_err question_read(struct cli *c, const char *command, int argc, char **argv,
                                 struct attest_question *q)
{
    const char *as_of = NULL, *nonce = NULL, *measurement = NULL;
    size_t n = 0;
    struct cli_option opt[INPUTS + 4];
    for (size_t i = 0; i < INPUTS; i++) {
        opt[i] =
            (struct cli_option){.name = attest_inputs[i], .value = "FILE", .text = &q->path[i]};
        q->file[i] = SM_BUF(FILE_MAX);
    }
    opt[INPUTS] = (struct cli_option){.name = "--as-of", .value = "TIME", .text = &as_of};
    opt[INPUTS + 1] = (struct cli_option){.name = "--nonce", .value = "HEX", .text = &nonce};
    opt[INPUTS + 2] =
        (struct cli_option){.name = "--measurement", .value = "HEX", .text = &measurement};
    opt[INPUTS + 3] = (struct cli_option){.name = "--allow-debug", .flag = &q->may_debug};
    size_t opt_n = SM_COUNT(opt) - (q->is_judged ? 0 : 2); /* show judges nothing */
    SM_TRY(cli_parse(c, cli_command_named(command), opt, opt_n, argc, argv, &argc));
    SM_TRY(kind_read(c, argc, argv, q));
    q->now.s = (uint64_t)time(NULL);
    if (as_of != NULL && !time_read(as_of, &q->now)) {
        return cli_fail(c, SM_E_USAGE, "--as-of wants Unix seconds or a date, not '%s'", as_of);
    }
    SM_TRY(hex_read(c, "--nonce", nonce, q->nonce_bytes, ATTEST_NONCE_MAX, &n));
    q->nonce = sm_view_of(q->nonce_bytes, n);
    n = 0;
    SM_TRY(hex_read(c, "--measurement", measurement, q->measurement.b, 64, &n));
    q->measurement.n = (uint8_t)n;
    SM_TRY(files_read(c, q));
    trust_make(q);
    return SM_OK;
}

/* -- the answer -------------------------------------------------------------------------- */

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

static void put_claim(void *ctx, const struct sm_claim *k)
{
    json_t *v = k->kind == SM_CLAIM_TEXT     ? json_string(k->text)
                : k->kind == SM_CLAIM_NUMBER ? json_integer((json_int_t)k->number)
                                             : json_boolean(k->number != 0);
    json_object_set_new(ctx, k->name, v);
}

static json_t *claims_json(const struct sm_claims *k)
{
    json_t *o = json_object();
    sm_claims_list(k, put_claim, o);
    return o;
}

static json_t *reasons_json(const struct sm_reasons *why, uint8_t platform)
{
    json_t *list = json_array();
    for (size_t i = 0; i < why->n; i++) {
        const struct sm_reason *r = &why->r[i];
        char fix[SM_FIX_TEXT];
        json_t *o = json_object();
        put_text(o, "reason", sm_reason_name(r->code));
        put_text(o, "field", r->field);
        put_text(o, "got", r->got);
        put_text(o, "wanted", r->want);
        sm_reason_fix(r, platform, fix);
        put_text(o, "fix", fix);
        json_array_append_new(list, o);
    }
    return list;
}

static void print_object(json_t *o)
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

static void print_reasons(json_t *list)
{
    static const char *const keys[] = {"field", "got", "wanted", "fix"};
    size_t i;
    json_t *r;
    json_array_foreach(list, i, r)
    {
        printf("\nrefused for %s\n", json_string_value(json_object_get(r, "reason")));
        for (size_t k = 0; k < SM_COUNT(keys); k++) {
            printf("  %-8s %s\n", keys[k], json_string_value(json_object_get(r, keys[k])));
        }
    }
}

/* Print what came of it; e says whether it is good.  Claims are NULL when not verified. */
static enum sm_err answer(struct cli *c, const struct attest_question *q, enum sm_err e,
                          const struct sm_claims *claims, const struct sm_reasons *why)
{
    bool is_pinned = q->path[ROOT] == NULL, is_verified = claims != NULL;
    char as_of[SM_TIME_TEXT];
    json_t *o = json_object(), *k = is_verified ? claims_json(claims) : json_object();
    json_t *reasons = reasons_json(why, q->kind->platform);
    json_object_set_new(o, "verified", json_boolean(is_verified));
    put_text(o, "verdict", !q->is_judged ? "not judged" : e == SM_OK ? "accepted" : "refused");
    put_text(o, "kind", q->kind->name);
    sm_wall_text(q->now, as_of);
    put_text(o, "as_of", as_of);
    put_text(o, "root",
             is_pinned ? "pinned" : "GIVEN BY --root: worth what you know of that file");
    json_object_set_new(o, "nonce_compared", json_boolean(q->nonce.n > 0));
    if (q->is_judged) {
        json_object_set_new(o, "measurement_compared", json_boolean(q->measurement.n > 0));
    }
    if (!c->json) {
        print_object(o);
        print_object(k);
        print_reasons(reasons);
    }
    if (e != SM_OK) {
        put_text(o, "error", sm_err_name(e));
    }
    json_object_set_new(o, "exit", json_integer(cli_exit_code(e)));
    json_object_set_new(o, "claims", k);
    json_object_set_new(o, "reasons", reasons);
    if (c->json) {
        cli_json(o);
        c->is_told = true;
        return e;
    }
    json_decref(o);
    return e == SM_OK ? e
                      : cli_fail(c, e, "the evidence is %s",
                                 is_verified ? "refused by policy" : "not verified");
}

/* The default policy; any measurement is taken when none was asked for, and the answer says
 * so.  The nonce was compared before. */
static enum sm_err judge(const struct attest_question *q, const struct sm_claims *claims,
                         struct sm_reasons *why)
{
    static const uint8_t any[SM_REPORT_DATA];
    struct sm_hw_policy p;
    sm_hw_policy_default(&p);
    p.is_report_data_any = true;
    p.may_debug = q->may_debug;
    p.measurements = (struct sm_values){
        .v = &q->measurement, .n = q->measurement.n > 0, .is_any = q->measurement.n == 0};
    return sm_hw_appraise(&p, claims, any, q->now, why);
}

static enum sm_err decide(struct cli *c, const struct attest_question *q)
{
    struct sm_claims claims = {0};
    struct sm_reasons why = {0};
    enum sm_err e = q->kind->verify(q, &claims, &why);
    if (e == SM_E_NOMEM) {
        return e;
    }
    if (e != SM_OK) {
        if (why.n == 0) {
            sm_reasons_add(&why, SM_REASON_GRAMMAR, "evidence", sm_err_words(e), "well-formed");
        }
        return answer(c, q, SM_E_CRYPTO, NULL, &why); /* whatever it was: the reasons say */
    }
    e = q->is_judged ? judge(q, &claims, &why) : SM_OK;
    return answer(c, q, e, &claims, &why);
}

static enum sm_err run(struct cli *c, const char *command, bool is_judged, int argc,
                       char **argv)
{
    struct attest_question q = {.is_judged = is_judged};
    enum sm_err e = question_read(c, command, argc, argv, &q);
    if (e == SM_OK) {
        e = decide(c, &q);
    }
    for (size_t i = 0; i < INPUTS; i++) {
        sm_buf_done(&q.file[i]);
    }
    return e;
}

enum sm_err cmd_attest_verify(struct cli *c, int argc, char **argv)
{
    return run(c, "attest verify", true, argc, argv);
}

enum sm_err cmd_attest_show(struct cli *c, int argc, char **argv)
{
    return run(c, "attest show", false, argc, argv);
}
