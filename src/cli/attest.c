// SPDX-License-Identifier: Apache-2.0
/* attest verify, show, explain: evidence in files, judged offline against the pinned roots. */
#include "attest/endorse.h"
#include "cli/attest_kinds.h"
#include "cli/attest_manifest.h"
#include "cli/attest_report.h"
#include "cli/commands.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX (1u << 20) /* bytes of each; the largest list of a maker had 70 KB */

enum what { SHOW, VERIFY, EXPLAIN };

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

enum sm_err attest_time_read(struct cli *c, const char *text, struct sm_wall *out)
{
    return time_read(text, out)
               ? SM_OK
               : cli_fail(c, SM_E_USAGE, "--as-of wants Unix seconds or a date, not '%s'",
                          text);
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
            q->platform = q->kind->platform;
            return SM_OK;
        }
    }
    if (argc == 1 && !sm_file_exists(argv[0]) && q->may_be_node) {
        q->node = argv[0];
        return SM_OK;
    }
    if (argc == 1 && sm_file_exists(argv[0])) {
        q->kind = &attest_envelope_kind;
        q->envelope_path = argv[0];
        return attest_envelope_read(c, q);
    }
    return cli_fail(c, SM_E_USAGE,
                    "give the FILE of an envelope, a NODE, or one KIND: snp, azure, tdx, sgx, "
                    "tpm or nitro");
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
    sm_makers_pinned(&q->trust);
    if (q->path[ROOT] == NULL) {
        return;
    }
    for (size_t i = 0; i < SM_ROOTS; i++) {
        q->trust.root[i] = attest_file(q, ROOT);
    }
    q->trust.tpm[0] = attest_file(q, ROOT);
    q->trust.n_tpm = 1;
}

/* What the policy is made of. */
struct judge_by {
    const char *manifest, *policy;
};

static enum sm_err question_read(struct cli *c, const char *command, enum what what, int argc,
                                 char **argv, struct attest_question *q, struct judge_by *by)
{
    const char *as_of = NULL, *nonce = NULL, *measurement = NULL;
    size_t n = 0;
    struct cli_option opt[INPUTS + 6];
    for (size_t i = 0; i < INPUTS; i++) {
        opt[i] =
            (struct cli_option){.name = attest_inputs[i], .value = "FILE", .text = &q->path[i]};
        q->file[i] = SM_BUF(FILE_MAX);
    }
    q->envelope_file = SM_BUF(FILE_MAX);
    opt[INPUTS] = (struct cli_option){.name = "--as-of", .value = "TIME", .text = &as_of};
    opt[INPUTS + 1] = (struct cli_option){.name = "--nonce", .value = "HEX", .text = &nonce};
    opt[INPUTS + 2] =
        (struct cli_option){.name = "--measurement", .value = "HEX", .text = &measurement};
    opt[INPUTS + 3] = (struct cli_option){.name = "--allow-debug", .flag = &q->may_debug};
    opt[INPUTS + 4] =
        (struct cli_option){.name = "--manifest", .value = "FILE", .text = &by->manifest};
    opt[INPUTS + 5] =
        (struct cli_option){.name = "--policy", .value = "FILE", .text = &by->policy};
    static const size_t unused[] = {[SHOW] = 4, [VERIFY] = 2, [EXPLAIN] = 0};
    SM_TRY(cli_parse(c, cli_command_named(command), opt, SM_COUNT(opt) - unused[what], argc,
                     argv, &argc));
    SM_TRY(kind_read(c, argc, argv, q));
    q->now.s = (uint64_t)time(NULL);
    if (as_of != NULL) {
        SM_TRY(attest_time_read(c, as_of, &q->now));
    }
    SM_TRY(hex_read(c, "--nonce", nonce, q->nonce_bytes, ATTEST_NONCE_MAX, &n));
    q->nonce = sm_view_of(q->nonce_bytes, n);
    n = 0;
    SM_TRY(hex_read(c, "--measurement", measurement, q->measurement.b, 64, &n));
    q->measurement.n = (uint8_t)n;
    SM_TRY(q->node == NULL ? files_read(c, q) : SM_OK);
    trust_make(q);
    return SM_OK;
}

/* -- the verdict --------------------------------------------------------------------------- */

/* What came of it: kept for the answer. */
struct finding {
    bool is_verified, is_code_compared, is_machine_compared;
    struct sm_claims claims;
    struct sm_reasons why;
    struct sm_checks checks;
    const char *by;          /* what judged */
    const char *verdict;     /* in a manifest's words; NULL: accepted or refused */
    bool is_manifest_signed; /* by a root of this node's configuration */
};

/* The default policy; any measurement is taken when none was asked for, and the answer says
 * so.  The nonce was compared before. */
static enum sm_err judge_default(const struct attest_question *q, struct finding *f)
{
    static const uint8_t any[SM_REPORT_DATA];
    struct sm_hw_policy p;
    sm_hw_policy_default(&p);
    p.is_report_data_any = true;
    p.may_debug = q->may_debug;
    p.max_age_s = q->envelope_path != NULL ? UINT32_MAX : p.max_age_s; /* it was kept */
    p.measurements = (struct sm_values){
        .v = &q->measurement, .n = q->measurement.n > 0, .is_any = q->measurement.n == 0};
    f->by = "the default policy";
    f->is_code_compared = q->measurement.n > 0;
    return sm_hw_explain(&p, &f->claims, any, q->now, &f->why, &f->checks);
}

static enum sm_err judge_manifest(struct cli *c, const struct attest_question *q,
                                  const struct judge_by *by, struct finding *f)
{
    struct sm_rules *rules;
    struct sm_verdict v;
    struct sm_standing standing = {0};
    struct sm_node_id node = {{0}};
    uint8_t id[32] = {0}, measurement[48] = {0};
    SM_TRY(attest_rules(c, by->manifest, by->policy, q->now, &rules, &f->is_manifest_signed));
    const struct sm_mesh_manifest *m = sm_rules_manifest(rules);
    memcpy(measurement, f->claims.measurement,
           f->claims.measurement_n < 48 ? f->claims.measurement_n : 48);
    /* Of no use where the platform says no id: then nothing on a list matches zeros. */
    (void)!sm_platform_id_hash(f->claims.platform,
                               sm_view_of(f->claims.platform_id, f->claims.platform_id_n), id);
    const struct sm_subject who = {&node, id, {f->claims.platform, id, measurement, id}};
    sm_rules_explain(rules, q->now, &who, &f->claims, NULL, &standing, &v, &f->checks);
    f->why = v.why;
    f->by = by->manifest != NULL ? "the manifest" : "a manifest as text";
    f->verdict = sm_verdict_name(v.kind);
    f->is_code_compared = (m->any_measurement >> f->claims.platform & 1u) == 0;
    f->is_machine_compared = m->n_allowed > 0;
    sm_rules_free(rules);
    return v.kind == SM_VERDICT_REFUSED ? SM_E_REFUSED : SM_OK;
}

/* Verify, then judge; an error that is not a verdict has been told. */
static enum sm_err decide(struct cli *c, const struct attest_question *q,
                          const struct judge_by *by, struct finding *f)
{
    enum sm_err e = q->kind->verify(q, &f->claims, &f->why);
    if (e == SM_E_NOMEM) {
        return e;
    }
    f->is_verified = e == SM_OK;
    if (e != SM_OK && f->why.n == 0) {
        sm_reasons_add(&f->why, SM_REASON_GRAMMAR, "evidence", sm_err_words(e), "well-formed");
    }
    if (e != SM_OK) {
        return SM_E_CRYPTO; /* whatever it was: the reasons say */
    }
    if (!q->is_judged) {
        return SM_OK;
    }
    return by->manifest != NULL || by->policy != NULL ? judge_manifest(c, q, by, f)
                                                      : judge_default(q, f);
}

/* -- the answer -------------------------------------------------------------------------- */

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, json_string(text));
}

static json_t *head_json(const struct attest_question *q, const struct finding *f,
                         enum sm_err e)
{
    char as_of[SM_TIME_TEXT];
    json_t *o = json_object();
    json_object_set_new(o, "verified", json_boolean(f->is_verified));
    put_text(o, "verdict",
             !q->is_judged        ? "not judged"
             : f->verdict != NULL ? f->verdict
             : e == SM_OK         ? "accepted"
                                  : "refused");
    put_text(o, "kind", q->kind->name);
    sm_wall_text(q->now, as_of);
    put_text(o, "as_of", as_of);
    put_text(o, "root",
             q->path[ROOT] == NULL ? "pinned"
                                   : "GIVEN BY --root: worth what you know of that file");
    json_object_set_new(o, "nonce_compared", json_boolean(q->nonce.n > 0));
    if (q->is_judged) {
        json_object_set_new(o, "measurement_compared", json_boolean(f->is_code_compared));
    }
    if (f->by != NULL) {
        put_text(o, "judged_by", f->by);
    }
    if (f->verdict != NULL) {
        put_text(o, "manifest_signature",
                 f->is_manifest_signed ? "by a root of this node's configuration"
                                       : "not checked");
    }
    return o;
}

static json_t *checks_json(const struct attest_question *q, const struct finding *f)
{
    struct sm_reasons of_verify = f->is_verified ? (struct sm_reasons){0} : f->why;
    json_t *all = json_array(), *policy = sm_json_checks(&f->checks, q->platform);
    attest_steps_json(all, q->platform, f->is_verified, &of_verify);
    json_array_extend(all, policy);
    json_decref(policy);
    return all;
}

static void print_answer(json_t *o, json_t *claims, json_t *reasons, json_t *checks)
{
    attest_print_object(o);
    attest_print_object(claims);
    if (checks != NULL) {
        putchar('\n');
        attest_print_checks(checks);
    } else {
        attest_print_reasons(reasons);
    }
}

/* Print what came of it; e says whether it is good. */
static enum sm_err answer(struct cli *c, const struct attest_question *q, enum what what,
                          const struct finding *f, enum sm_err e)
{
    json_t *o = head_json(q, f, e);
    json_t *claims = f->is_verified ? sm_json_claims(&f->claims) : json_object();
    json_t *reasons = sm_json_reasons(&f->why, q->platform);
    json_t *checks = what == EXPLAIN ? checks_json(q, f) : NULL;
    if (!c->json) {
        print_answer(o, claims, reasons, checks);
    }
    if (e != SM_OK) {
        put_text(o, "error", sm_err_name(e));
    }
    json_object_set_new(o, "exit", json_integer(cli_exit_code(e)));
    if (checks != NULL) {
        struct sm_tvec v =
            sm_tvec_of(f->is_verified, f->is_code_compared, f->is_machine_compared, &f->why);
        json_object_set_new(o, "checks", checks);
        json_object_set_new(o, "trust_vector", sm_json_tvec(&v));
    }
    json_object_set_new(o, "claims", claims);
    json_object_set_new(o, "reasons", reasons);
    if (c->json) {
        cli_json(o);
        c->is_told = true;
        return e;
    }
    json_decref(o);
    return e == SM_OK ? e
                      : cli_fail(c, e, "the evidence is %s",
                                 f->is_verified ? "refused by policy" : "not verified");
}

static enum sm_err run(struct cli *c, const char *command, enum what what, int argc,
                       char **argv)
{
    struct attest_question q = {
        .is_judged = what != SHOW, .may_be_node = what != VERIFY, .platform = SM_PLATFORMS};
    struct judge_by by = {0};
    struct finding *f = calloc(1, sizeof *f);
    enum sm_err e =
        f != NULL ? question_read(c, command, what, argc, argv, &q, &by) : SM_E_NOMEM;
    if (e == SM_OK && q.node != NULL) {
        e = attest_node(c, q.node, what == EXPLAIN);
    } else if (e == SM_OK) {
        e = decide(c, &q, &by, f);
        e = c->is_told ? e : answer(c, &q, what, f, e);
    }
    for (size_t i = 0; i < INPUTS; i++) {
        sm_buf_done(&q.file[i]);
    }
    sm_buf_done(&q.envelope_file);
    free(f);
    return e;
}

enum sm_err cmd_attest_verify(struct cli *c, int argc, char **argv)
{
    return run(c, "attest verify", VERIFY, argc, argv);
}

enum sm_err cmd_attest_show(struct cli *c, int argc, char **argv)
{
    return run(c, "attest show", SHOW, argc, argv);
}

enum sm_err cmd_attest_explain(struct cli *c, int argc, char **argv)
{
    return run(c, "attest explain", EXPLAIN, argc, argv);
}
