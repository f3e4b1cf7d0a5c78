// SPDX-License-Identifier: Apache-2.0
/* attest diff: what differs between two pieces of evidence, and which of it a policy looks at.
 *
 * A side is an envelope in a file, the JSON that 'attest show', 'verify' or 'explain' printed,
 * or a node of the mesh.  What is compared are claims, so nothing unverified; for TPMs with
 * their event logs also the events, because a PCR does not say why it differs. */
#include "attest/tpm.h"
#include "cli/attest_kinds.h"
#include "cli/attest_report.h"
#include "cli/commands.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX   (1u << 20)
#define EVENTS_MAX 4096u /* compared; firmware writes about a hundred */

struct events {
    struct sm_tpm_event e[EVENTS_MAX];
    size_t n;
};

struct side {
    const char *name;
    struct attest_question q;
    json_t *claims;
    struct events *events; /* of its event log, or NULL */
};

/* -- reading a side ----------------------------------------------------------------------- */

static void keep_event(void *ctx, const struct sm_tpm_event *ev)
{
    struct events *all = ctx;
    if (all->n < EVENTS_MAX) {
        all->e[all->n++] = *ev;
    }
}

static enum sm_err read_events(struct side *s)
{
    struct sm_view log = s->q.envelope.part[SM_PART_TPM_LOG];
    if (log.n == 0) {
        return SM_OK;
    }
    s->events = calloc(1, sizeof *s->events);
    return s->events != NULL ? sm_tpm_log_events(log, SM_TPM_SHA256, keep_event, s->events)
                             : SM_E_NOMEM;
}

static enum sm_err read_envelope(struct cli *c, struct side *s)
{
    struct sm_claims claims;
    struct sm_reasons why = {0};
    char text[256];
    s->q.envelope_path = s->name;
    s->q.kind = &attest_envelope_kind;
    SM_TRY(attest_envelope_read(c, &s->q));
    enum sm_err e = s->q.kind->verify(&s->q, &claims, &why);
    if (e != SM_OK) {
        sm_reasons_text(&why, text, sizeof text);
        return cli_fail(c, SM_E_CRYPTO, "%s is not verified: %s; see 'seemesh attest explain'",
                        s->name, text);
    }
    s->claims = sm_json_claims(&claims);
    e = read_events(s);
    return e == SM_OK ? e : cli_fail(c, e, "%s: event log: %s", s->name, sm_err_words(e));
}

static enum sm_err take_claims(struct cli *c, struct side *s, json_t *o)
{
    json_t *claims = json_object_get(o, "claims");
    bool is_good = json_is_object(claims) && json_object_size(claims) > 0;
    s->claims = is_good ? json_incref(claims) : NULL;
    json_decref(o);
    return is_good ? SM_OK
                   : cli_fail(c, SM_E_MALFORMED, "%s has no claims: nothing vouched for them",
                              s->name);
}

static enum sm_err read_json(struct cli *c, struct side *s, struct sm_view text)
{
    json_t *o = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    return o != NULL ? take_claims(c, s, o)
                     : cli_fail(c, SM_E_MALFORMED, "%s is no JSON of 'attest show'", s->name);
}

static enum sm_err read_node(struct cli *c, struct side *s)
{
    json_t *o;
    SM_TRY(cli_query(c, "attest", s->name, &o));
    return take_claims(c, s, o);
}

static enum sm_err side_read(struct cli *c, struct side *s)
{
    uint8_t first = 0;
    SM_CLEANUP(sm_buf_done) struct sm_buf file = SM_BUF(FILE_MAX);
    s->q.envelope_file = SM_BUF(FILE_MAX);
    if (!sm_file_exists(s->name)) {
        return read_node(c, s);
    }
    enum sm_err e = sm_file_read(s->name, &file);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot read %s: %s", s->name, sm_err_words(e));
    }
    for (size_t i = 0; i < file.n && first == 0; i++) {
        first = strchr(" \t\r\n", file.p[i]) == NULL ? file.p[i] : 0;
    }
    return first == '{' ? read_json(c, s, sm_buf_view(&file)) : read_envelope(c, s);
}

static void side_done(struct side *s)
{
    json_decref(s->claims);
    sm_buf_done(&s->q.envelope_file);
    free(s->events);
}

/* -- comparing ----------------------------------------------------------------------------- */

static json_t *text_of(json_t *v)
{
    char number[32];
    if (v == NULL || json_is_string(v)) {
        return v == NULL ? json_null() : json_incref(v);
    }
    if (json_is_boolean(v)) {
        return json_string(json_is_true(v) ? "yes" : "no");
    }
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    return json_string(number);
}

static void add_difference(json_t *list, const char *key, json_t *a, json_t *b)
{
    uint16_t judged = sm_claim_judged(key);
    json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o}", "field", key, "a", text_of(a),
                                          "b", text_of(b), "policy",
                                          judged == SM_REASON_NONE
                                              ? json_null()
                                              : json_string(sm_reason_name(judged))));
}

/* Fields of a that b has not or has otherwise; then those that only b has. */
static json_t *differences(json_t *a, json_t *b, size_t *same)
{
    json_t *list = json_array(), *value;
    const char *key;
    json_object_foreach(a, key, value)
    {
        json_t *other = json_object_get(b, key);
        if (other != NULL && json_equal(value, other)) {
            (*same)++;
        } else {
            add_difference(list, key, value, other);
        }
    }
    json_object_foreach(b, key, value)
    {
        if (json_object_get(a, key) == NULL) {
            add_difference(list, key, NULL, value);
        }
    }
    return list;
}

/* The i-th event of one PCR, or NULL. */
static const struct sm_tpm_event *event_of(const struct events *all, uint32_t pcr, size_t i)
{
    for (size_t k = 0; k < all->n; k++) {
        if (all->e[k].pcr == pcr && i-- == 0) {
            return &all->e[k];
        }
    }
    return NULL;
}

/* What an event says of itself: its text, as far as it is one. */
static json_t *event_json(const struct sm_tpm_event *e)
{
    char hex[2 * 48 + 1], text[65];
    size_t n = 0;
    if (e == NULL) {
        return json_null();
    }
    for (size_t i = 0; i < e->data.n && n + 1 < sizeof text; i++) {
        uint8_t b = e->data.p[i];
        if (b >= ' ' && b <= '~') {
            text[n++] = (char)b;
        }
    }
    text[n] = '\0';
    sm_hex(e->digest.p, e->digest.n < 48 ? e->digest.n : 48, hex);
    return json_pack("{s:I, s:s, s:s}", "type", (json_int_t)e->type, "digest", hex, "text",
                     text);
}

static json_t *log_differences(const struct events *a, const struct events *b)
{
    json_t *list = json_array();
    for (uint32_t pcr = 0; pcr < SM_TPM_PCRS; pcr++) {
        for (size_t i = 0;; i++) {
            const struct sm_tpm_event *x = event_of(a, pcr, i), *y = event_of(b, pcr, i);
            if (x == NULL && y == NULL) {
                break;
            }
            if (x == NULL || y == NULL || !sm_view_eq(x->digest, y->digest)) {
                json_array_append_new(list, json_pack("{s:i, s:I, s:o, s:o}", "register",
                                                      (int)pcr, "event", (json_int_t)i, "a",
                                                      event_json(x), "b", event_json(y)));
                break; /* the first is why; what follows may be shifted */
            }
        }
    }
    return list;
}

/* -- the answer ------------------------------------------------------------------------------
 */

static const char *string_of(json_t *o, const char *key, const char *none)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : none;
}

static void print_side(const char *name, json_t *event)
{
    if (json_is_object(event)) {
        printf("    %s  type 0x%llx  %s  %s\n", name,
               (unsigned long long)json_integer_value(json_object_get(event, "type")),
               string_of(event, "digest", ""), string_of(event, "text", ""));
    } else {
        printf("    %s  no such event\n", name);
    }
}

static void print_diff(json_t *fields, json_t *events, size_t same)
{
    size_t i;
    json_t *d;
    json_array_foreach(fields, i, d)
    {
        const char *policy = string_of(d, "policy", NULL);
        printf("%-20s %s%s\n    a  %s\n    b  %s\n", string_of(d, "field", ""),
               policy != NULL ? "judged as " : "no policy looks at it",
               policy != NULL ? policy : "", string_of(d, "a", "not said"),
               string_of(d, "b", "not said"));
    }
    json_array_foreach(events, i, d)
    {
        printf("register %lld: event %lld is the first that differs\n",
               (long long)json_integer_value(json_object_get(d, "register")),
               (long long)json_integer_value(json_object_get(d, "event")));
        print_side("a", json_object_get(d, "a"));
        print_side("b", json_object_get(d, "b"));
    }
    printf("%zu fields differ, %zu are the same\n", json_array_size(fields), same);
}

static enum sm_err compare(struct cli *c, struct side side[2])
{
    size_t same = 0;
    json_t *fields = differences(side[0].claims, side[1].claims, &same);
    json_t *events = side[0].events != NULL && side[1].events != NULL
                         ? log_differences(side[0].events, side[1].events)
                         : json_array();
    if (!c->json) {
        print_diff(fields, events, same);
        json_decref(fields);
        json_decref(events);
        return SM_OK;
    }
    cli_json(json_pack("{s:s, s:s, s:o, s:o, s:I}", "a", side[0].name, "b", side[1].name,
                       "fields", fields, "events", events, "same", (json_int_t)same));
    return SM_OK;
}

enum sm_err cmd_attest_diff(struct cli *c, int argc, char **argv)
{
    const char *as_of = NULL;
    struct side side[2] = {0};
    const struct cli_option opt[] = {{.name = "--as-of", .value = "TIME", .text = &as_of}};
    SM_TRY(
        cli_parse(c, cli_command_named("attest diff"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 2) {
        return cli_fail(c, SM_E_USAGE, "give two: files of evidence, or nodes");
    }
    enum sm_err e = SM_OK;
    for (size_t i = 0; i < 2 && e == SM_OK; i++) {
        side[i].name = argv[i];
        sm_makers_pinned(&side[i].q.trust);
        side[i].q.now.s = (uint64_t)time(NULL);
        e = as_of != NULL ? attest_time_read(c, as_of, &side[i].q.now) : SM_OK;
        if (e == SM_OK) {
            e = side_read(c, &side[i]);
        }
    }
    if (e == SM_OK) {
        e = compare(c, side);
    }
    side_done(&side[0]);
    side_done(&side[1]);
    return e;
}
