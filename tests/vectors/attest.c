// SPDX-License-Identifier: Apache-2.0
/* Evidence of real hardware with the collateral of its day, and negatives made from it.
 *
 * Each vector is verified as of its own time against the pinned roots, whatever it carries
 * (or the root it names, when that is another), and then appraised by a policy that takes any
 * measurement and TCB but no debugging.  The verdict must be the vector's; a refusal must give
 * one of the reasons that the vector's word stands for; claims must say what it expects. */
#include "attest_kinds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20)

/* -- files ------------------------------------------------------------------------------- */

struct sm_view a_file(const struct a_vector *v, const char *key)
{
    const char *name = v_text(json_object_get(v->vector, "files"), key);
    char path[4096];
    if (*name == '\0') {
        return (struct sm_view){0};
    }
    int n = snprintf(path, sizeof path, "%.*s%s", (int)v->folder_n, v->file, name);
    FILE *f = n < 0 || (size_t)n >= sizeof path ? NULL : fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "seemesh-vectors: cannot read %s\n", path);
        exit(1);
    }
    uint8_t *b = v_room(FILE_MAX);
    size_t len = fread(b, 1, FILE_MAX, f);
    (void)fclose(f);
    return sm_view_of(b, len);
}

/* A vector's root replaces ours only where it is another: then it is a test's own. */
static void trust_root(struct a_vector *v)
{
    struct sm_chain c = {0};
    struct sm_view root = a_file(v, "root");
    sm_makers_pinned(&v->trust);
    if (root.n == 0 || sm_chain_add(&c, root) != SM_OK || c.n != 1) {
        sm_chain_done(&c);
        return;
    }
    uint8_t hash[32];
    sm_cert_sha256(c.c[0], hash);
    sm_chain_done(&c);
    for (size_t i = 0; i < SM_ROOTS; i++) {
        if (memcmp(hash, sm_root_pin((enum sm_root)i)->cert_sha256, sizeof hash) == 0) {
            return;
        }
    }
    for (size_t i = 0; i < SM_ROOTS; i++) {
        v->trust.root[i] = root;
    }
}

/* -- what is expected -------------------------------------------------------------------- */

static const struct word {
    const char *word;
    enum sm_reason_code codes[6];
} words[] = {
    {"format",
     {SM_REASON_GRAMMAR, SM_REASON_UNSUPPORTED, SM_REASON_RESERVED, SM_REASON_PLATFORM}},
    {"signature", {SM_REASON_SIGNATURE}},
    {"unsigned", {SM_REASON_UNSIGNED}},
    {"debug", {SM_REASON_DEBUG}},
    {"chain", {SM_REASON_CHAIN, SM_REASON_EXPIRED, SM_REASON_REVOKED}},
    {"root", {SM_REASON_CHAIN}},
    {"expired", {SM_REASON_EXPIRED, SM_REASON_COLLATERAL}},
    {"revoked", {SM_REASON_REVOKED}},
    {"collateral", {SM_REASON_COLLATERAL}},
    {"qe-binding", {SM_REASON_BINDING}},
    {"binding", {SM_REASON_BINDING, SM_REASON_REPORT_DATA}},
    {"qe-signature", {SM_REASON_QE_SIGNATURE}},
    {"tcb", {SM_REASON_TCB, SM_REASON_TCB_STATUS}},
    {"chip", {SM_REASON_IDENTITY}},
    {"nonce", {SM_REASON_REPORT_DATA}},
    {"pcr", {SM_REASON_REGISTERS}},
    {"eventlog", {SM_REASON_LOG}},
};

static bool has_code(const struct sm_reasons *why, const enum sm_reason_code *codes)
{
    for (size_t i = 0; i < why->n; i++) {
        for (size_t k = 0; k < 6 && codes[k] != 0; k++) {
            if (why->r[i].code == codes[k]) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the reasons are of the kind that the verdict names; a verdict in words we do not
 * know names every kind. */
static bool is_reason_named(const char *verdict, const struct sm_reasons *why)
{
    bool is_any_known = false;
    for (size_t i = 0; i < SM_COUNT(words); i++) {
        if (strcasestr(verdict, words[i].word) != NULL) {
            is_any_known = true;
            if (has_code(why, words[i].codes)) {
                return true;
            }
        }
    }
    return !is_any_known;
}

static bool is_hex_of(const json_t *expect, const char *key, const uint8_t *got, size_t n)
{
    const char *want = v_text(expect, key);
    char hex[2 * 64 + 1];
    if (*want == '\0') {
        return true;
    }
    sm_hex(got, n, hex);
    return strcmp(want, hex) == 0;
}

static bool is_number(const json_t *expect, const char *key, uint64_t got)
{
    const json_t *v = json_object_get(expect, key);
    if (json_is_integer(v)) {
        return (uint64_t)json_integer_value(v) == got;
    }
    return !json_is_string(v) || strtoull(json_string_value(v), NULL, 0) == got;
}

static bool is_bool(const json_t *expect, const char *key, bool got)
{
    const json_t *v = json_object_get(expect, key);
    return !json_is_boolean(v) || json_is_true(v) == got;
}

static bool is_tcb(const json_t *expect, const char *key, const uint8_t got[SM_SNP_PARTS])
{
    static const char *const names[SM_SNP_PARTS] = {"fmc", "bootloader", "tee", "snp",
                                                    "microcode"};
    const json_t *tcb = json_object_get(expect, key);
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        if (!is_number(tcb, names[i], got[i])) {
            return false;
        }
    }
    return true;
}

static const char *wrong_snp(const json_t *x, const struct sm_claims *c)
{
    uint8_t chip[64] = {0};
    memcpy(chip, c->platform_id, c->platform_id_n);
    const char *product = v_text(x, "product"), *signer = v_text(x, "signer");
    if (*product != '\0' && strcmp(product, sm_snp_product_name(c->snp.product)) != 0) {
        return "product";
    }
    if (*signer != '\0' && strcmp(signer, c->snp.is_vlek ? "vlek" : "vcek") != 0) {
        return "signer";
    }
    return !is_number(x, "guest_svn", c->svn)                             ? "guest_svn"
           : !is_number(x, "policy", c->snp.policy)                       ? "policy"
           : !is_number(x, "vmpl", c->snp.vmpl)                           ? "vmpl"
           : !is_number(x, "platform_info", c->snp.platform_info)         ? "platform_info"
           : !is_tcb(x, "reported_tcb", c->tcb_parts)                     ? "reported_tcb"
           : !is_tcb(x, "launch_tcb", c->snp.launch_tcb)                  ? "launch_tcb"
           : !c->snp.is_chip_masked && !is_hex_of(x, "chip_id", chip, 64) ? "chip_id"
                                                                          : NULL;
}

/* The first field of `expect` that the claims contradict, or NULL. */
static const char *wrong_field(const json_t *x, const struct sm_claims *c)
{
    static const char *const measurements[] = {"measurement", "mrtd", "mrenclave"};
    for (size_t i = 0; i < SM_COUNT(measurements); i++) {
        if (!is_hex_of(x, measurements[i], c->measurement, c->measurement_n)) {
            return measurements[i];
        }
    }
    bool is_snp = c->platform == SM_PLATFORM_SNP;
    return !is_bool(x, "debug", c->is_debug)             ? "debug"
           : !is_number(x, "report_version", c->profile) ? "report_version"
           : !is_number(x, "quote_version", c->profile)  ? "quote_version"
           : c->platform != SM_PLATFORM_SNP_VTPM &&
                   !is_hex_of(x, "report_data", c->report_data, c->report_data_n)
               ? "report_data"
           : !is_hex_of(x, "tpm_extra_data", c->report_data, c->report_data_n)
               ? "tpm_extra_data"
           : is_snp && !is_hex_of(x, "host_data", c->host_data, c->host_data_n) ? "host_data"
           : is_snp ? wrong_snp(x, c)
                    : NULL;
}

/* -- one vector -------------------------------------------------------------------------- */

/* Takes any measurement, TCB and platform: a vector is about the evidence.  The status that a
 * vector's verdict makes its acceptance depend on is taken when `with` names it. */
static void policy_make(const json_t *expect, const char *with, struct sm_hw_policy *p)
{
    sm_hw_policy_default(p);
    p->measurements.is_any = true;
    p->is_report_data_any = true; /* compared with the vector's, if it names one */
    p->may_vlek = true;
    p->may_unknown_bits = true;
    p->may_sept_ve = true;
    p->max_age_s = UINT32_MAX;
    p->snp_vmpl = (uint32_t)json_integer_value(json_object_get(expect, "vmpl"));
    memset(p->snp_floor, 0, sizeof p->snp_floor);
    for (int i = 0; i < SM_TCB_STATUSES; i++) {
        if (strcmp(with, sm_tcb_status_name((enum sm_tcb_status)i)) == 0) {
            p->status_until[i].s = UINT64_MAX;
        }
    }
}

static enum sm_err judge(const struct a_kind *kind, struct a_vector *v, const char *with,
                         struct sm_claims *c, struct sm_reasons *why)
{
    static const uint8_t any[SM_REPORT_DATA];
    struct sm_hw_policy policy;
    *why = (struct sm_reasons){0};
    enum sm_err e = kind->verify(v, c, why);
    v->is_verified = e == SM_OK;
    SM_TRY(e);
    policy_make(json_object_get(v->vector, "expect"), with, &policy);
    return sm_hw_appraise(&policy, c, any, v->now, why);
}

/* "accept only where policy lists STATUS" */
static const char *condition_of(const char *verdict)
{
    static const char words_before[] = "accept only where policy lists ";
    size_t n = sizeof words_before - 1;
    return strncmp(verdict, words_before, n) == 0 ? verdict + n : NULL;
}

/* NULL when the judgement is right. */
static const char *wrong_judgement(const struct a_kind *kind, struct a_vector *v,
                                   struct sm_reasons *why)
{
    const json_t *expect = json_object_get(v->vector, "expect");
    const char *verdict = v_text(expect, "verdict"), *condition = condition_of(verdict);
    bool must_accept = condition == NULL && strncmp(verdict, "accept", 6) == 0;
    struct sm_claims c = {0};
    enum sm_err e = judge(kind, v, "", &c, why);
    const char *wrong = v->is_verified ? wrong_field(expect, &c) : NULL;
    if (wrong != NULL) {
        return wrong;
    }
    if (must_accept || e == SM_OK) {
        return must_accept == (e == SM_OK) ? NULL : must_accept ? "refused" : "ACCEPTED";
    }
    if (condition != NULL) {
        bool is_right = has_code(why, (enum sm_reason_code[6]){SM_REASON_TCB_STATUS}) &&
                        judge(kind, v, condition, &c, why) == SM_OK;
        return is_right ? NULL : "refused";
    }
    return why->n > 0 && is_reason_named(verdict, why) ? NULL : "refused for another reason";
}

static void run_vector(struct tally *t, const struct a_kind *kind, struct a_vector *v)
{
    struct sm_reasons why;
    char text[1024];
    const char *wrong = wrong_judgement(kind, v, &why);
    if (wrong == NULL) {
        v_pass(t);
        return;
    }
    sm_reasons_text(&why, text, sizeof text);
    v_fail(t, "%s: %s; must be \"%s\"; reasons: %s", v_text(v->vector, "id"), wrong,
           v_text(json_object_get(v->vector, "expect"), "verdict"), text);
}

static const struct a_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < a_kinds_n; i++) {
        if (strcmp(a_kinds[i].name, name) == 0) {
            return &a_kinds[i];
        }
    }
    return NULL;
}

void v_attest(struct tally *t, const json_t *file)
{
    const json_t *vectors = json_object_get(file, "vectors");
    const char *slash = strrchr(t->file, '/');
    size_t i;
    json_t *vector;
    if (strcmp(v_text(file, "schema"), "attest-vectors/1") != 0) {
        return; /* collateral and the like, which is JSON too */
    }
    json_array_foreach(vectors, i, vector)
    {
        struct a_vector v = {
            .vector = vector,
            .file = t->file,
            .folder_n = slash == NULL ? 0 : (size_t)(slash - t->file) + 1,
            .now = {(uint64_t)json_integer_value(json_object_get(vector, "as_of"))},
        };
        const struct a_kind *kind = kind_of(v_text(vector, "kind"));
        if (kind == NULL || kind->verify == NULL) {
            v_skip(t, 1, "%s: no verifier for \"%s\"", v_text(vector, "id"),
                   v_text(vector, "kind"));
            continue;
        }
        trust_root(&v);
        run_vector(t, kind, &v);
        v_forget();
    }
}
