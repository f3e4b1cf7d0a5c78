// SPDX-License-Identifier: Apache-2.0
/* collateral add, collateral ls: what makers of hardware sign, for the node and so for all. */
#include "attest/collateral.h"
#include "cli/commands.h"
#include "cli/documents.h"
#include "os/clock.h"

#include <inttypes.h>
#include <string.h>

static bool kind_of(const char *text, uint8_t *out)
{
    for (uint8_t i = SM_DOC_TCB_INFO; i < SM_DOC_KINDS; i++) {
        if (strcmp(text, sm_doc_kind_name(i)) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* Checked here first, so that the words are about the file. */
static enum sm_err check(struct cli *c, const char *path, uint8_t kind, struct sm_view doc)
{
    struct sm_makers trust;
    struct sm_collateral parsed;
    struct sm_reasons why = {0};
    char text[512];
    sm_makers_pinned(&trust);
    enum sm_err e = sm_collateral_verify(&trust, sm_clock_wall(), kind, doc, &parsed, &why);
    if (e == SM_OK) {
        return SM_OK;
    }
    sm_reasons_text(&why, text, sizeof text);
    return cli_fail(c, e, "%s: %s: %s", path, sm_err_words(e), text);
}

static enum sm_err give(struct cli *c, uint8_t kind, struct sm_view doc)
{
    struct cli_conn conn;
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = cli_doc_offer(&conn, kind, doc);
    cli_disconnect(&conn);
    SM_TRY(e);
    cli_say(c, "taken, and on its way to the other nodes\n");
    if (c->json) {
        cli_json(json_pack("{s:s}", "taken", sm_doc_kind_name(kind)));
    }
    return SM_OK;
}

enum sm_err cmd_collateral_add(struct cli *c, int argc, char **argv)
{
    const char *chain_path = NULL;
    const struct cli_option opt[] = {{.name = "--chain", .value = "FILE", .text = &chain_path}};
    SM_CLEANUP(sm_buf_done) struct sm_buf bytes = SM_BUF(SM_DOC_MAX);
    SM_CLEANUP(sm_buf_done) struct sm_buf chain = SM_BUF(SM_DOC_MAX);
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(2 * SM_DOC_MAX + 64);
    uint8_t kind = 0;
    SM_TRY(cli_parse(c, cli_command_named("collateral add"), opt, SM_COUNT(opt), argc, argv,
                     &argc));
    if (argc != 2 || !kind_of(argv[0], &kind)) {
        return cli_fail(c, SM_E_USAGE,
                        "collateral add wants KIND (tcb-info, qe-identity or crl) and FILE");
    }
    SM_TRY(cli_file_load(c, argv[1], &bytes));
    if (chain_path != NULL) {
        SM_TRY(cli_file_load(c, chain_path, &chain));
    }
    enum sm_err e = sm_collateral_write(sm_buf_view(&bytes), sm_buf_view(&chain), &doc);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s: %s", argv[1], sm_err_words(e));
    }
    SM_TRY(check(c, argv[1], kind, sm_buf_view(&doc)));
    return give(c, kind, sm_buf_view(&doc));
}

static uint64_t number_of(json_t *o, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void print_list(json_t *list)
{
    struct cli_table t = {.head = {"kind", "version", "bytes", "name"}, .columns = 4};
    size_t i;
    json_t *d;
    json_array_foreach(list, i, d)
    {
        char version[24], bytes[24];
        (void)snprintf(version, sizeof version, "%" PRIu64, number_of(d, "version"));
        (void)snprintf(bytes, sizeof bytes, "%" PRIu64, number_of(d, "bytes"));
        cli_table_row(&t, json_string_value(json_object_get(d, "kind")), version, bytes,
                      json_string_value(json_object_get(d, "name")));
    }
    cli_table_print(&t, stdout);
}

enum sm_err cmd_collateral_ls(struct cli *c, int argc, char **argv)
{
    json_t *o, *d;
    size_t i;
    SM_TRY(cli_parse(c, cli_command_named("collateral ls"), NULL, 0, argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "collateral ls takes no arguments");
    }
    SM_TRY(cli_query(c, "documents", NULL, &o));
    json_t *list = json_array();
    json_array_foreach(json_object_get(o, "documents"), i, d)
    {
        const char *name = json_string_value(json_object_get(d, "kind"));
        uint8_t kind;
        if (name != NULL && kind_of(name, &kind)) { /* else manifest or revocation list */
            json_array_append(list, d);
        }
    }
    json_decref(o);
    if (c->json) {
        cli_json(json_pack("{s:o}", "collateral", list));
        return SM_OK;
    }
    print_list(list);
    json_decref(list);
    return SM_OK;
}
