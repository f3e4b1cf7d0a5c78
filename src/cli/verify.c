// SPDX-License-Identifier: Apache-2.0
/* verify: check receipts offline. */
#include "cli/commands.h"
#include "cli/receipts.h"
#include "client/job_io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_MAX = 256 << 20 };

enum sm_err cli_receipt_line(struct sm_buf *out, struct sm_view receipt,
                             struct sm_view passport)
{
    char r[SM_B32_LEN(SM_RECEIPT_BYTES) + 1];
    char p[SM_B32_LEN(SM_PASSPORT_MAX) + 1];
    if (receipt.n > SM_RECEIPT_BYTES || passport.n > SM_PASSPORT_MAX) {
        return SM_E_LIMIT;
    }
    sm_b32(receipt.p, receipt.n, r);
    sm_b32(passport.p, passport.n, p);
    return sm_buf_printf(out, "{\"receipt\":\"%s\",\"passport\":\"%s\"}\n", r, p);
}

/* The bytes of a base32 text of any length up to cap. */
static enum sm_err unb32_any(const char *text, uint8_t *out, size_t cap, size_t *n)
{
    size_t len = strlen(text), bytes = len * 5 / 8;
    if (bytes > cap) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_unb32(text, len, out, bytes));
    *n = bytes;
    return SM_OK;
}

struct checked {
    struct sm_receipt receipt;
    struct sm_passport see;
};

static enum sm_err check_line(const struct sm_anchor *anchor, const char *line, size_t len,
                              struct checked *out)
{
    uint8_t receipt[SM_RECEIPT_BYTES], passport[SM_PASSPORT_MAX];
    size_t rn = 0, pn = 0;
    const char *r = NULL, *p = NULL;
    json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    enum sm_err e = SM_E_MALFORMED;
    if (o != NULL && json_unpack(o, "{s:s, s:s !}", "receipt", &r, "passport", &p) == 0) {
        e = unb32_any(r, receipt, sizeof receipt, &rn);
        if (e == SM_OK) {
            e = unb32_any(p, passport, sizeof passport, &pn);
        }
    }
    json_decref(o);
    SM_TRY(e);
    return sm_receipt_check(anchor, sm_view_of(receipt, rn), sm_view_of(passport, pn),
                            &out->receipt, &out->see);
}

static void add_row(struct cli *c, struct cli_table *t, const struct checked *v)
{
    char unit[16], module[SM_B32_LEN(10) + 1], input[SM_B32_LEN(10) + 1],
        output[SM_B32_LEN(10) + 1], when[32], job[33];
    const char *root = v->receipt.platform == SM_PLATFORM_SOFTWARE ? "software" : "hardware";
    time_t at = (time_t)v->receipt.head.not_before.s;
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(unit, sizeof unit, "%u", v->receipt.unit);
    sm_b32(v->receipt.module, 10, module);
    sm_b32(v->receipt.input, 10, input);
    sm_b32(v->receipt.output, 10, output);
    sm_hex(v->receipt.job, sizeof v->receipt.job, job);
    if (c->json) {
        cli_json(json_pack("{s:b, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "ok", 1, "job",
                           job, "unit", (int)v->receipt.unit, "fence",
                           (json_int_t)v->receipt.fence, "owner", v->see.node.owner, "module",
                           module, "input", input, "output", output, "root", root, "signed_at",
                           when));
        return;
    }
    cli_table_row(t, unit, v->see.node.owner, module, input, output, root, when);
}

enum sm_err cmd_verify(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(FILE_MAX);
    struct sm_config config;
    struct sm_anchor anchor;
    SM_TRY(cli_parse(c, cli_command_named("verify"), NULL, 0, argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "verify wants one FILE");
    }
    SM_TRY(cli_load_config(c, &config));
    SM_TRY(sm_config_anchor(&config, &anchor));
    enum sm_err e = sm_file_read(argv[0], &text);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot read %s: %s", argv[0], sm_err_words(e));
    }
    struct cli_table t = {
        .head = {"unit", "ran on", "module", "input", "output", "root", "signed at"},
        .columns = 7};
    unsigned line = 0;
    for (size_t at = 0; at < text.n; line++) {
        const uint8_t *nl = memchr(text.p + at, '\n', text.n - at);
        size_t len = nl != NULL ? (size_t)(nl - text.p) - at : text.n - at;
        struct checked v;
        e = check_line(&anchor, (const char *)text.p + at, len, &v);
        if (e != SM_OK) {
            cli_table_print(&t, stdout);
            return cli_fail(c, e, "%s:%u: the receipt is not good: %s", argv[0], line + 1,
                            sm_err_words(e));
        }
        add_row(c, &t, &v);
        at += len + 1;
    }
    if (line == 0) {
        return cli_fail(c, SM_E_MALFORMED, "%s holds no receipts", argv[0]);
    }
    if (!c->json) {
        cli_table_print(&t, stdout);
        cli_say(c, "%u receipts are good\n", line);
    }
    return SM_OK;
}
