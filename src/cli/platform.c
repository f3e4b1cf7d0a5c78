// SPDX-License-Identifier: Apache-2.0
/* platform request, endorse, accept: how a confidential machine (SNP, TDX) gets into a mesh, by
 * two files between it and who holds the mesh's root. */
#include "attest/claims_list.h"
#include "cli/commands.h"
#include "cli/conn.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/cc_enrol.h"
#include "proc/root.h"
#include "wire/frame.h"

#include <string.h>

#define REQUEST_MAX (SM_EVIDENCE_MAX + 1024u)
#define DAY_S       86400u

static enum sm_err read_in(struct cli *c, const char *path, struct sm_buf *out)
{
    enum sm_err e = sm_file_read(path, out);
    return e == SM_OK ? e : cli_fail(c, e, "cannot read %s: %s", path, sm_err_words(e));
}

static enum sm_err write_out(struct cli *c, const char *path, struct sm_view bytes)
{
    SM_TRY(cli_may_replace(c, path));
    enum sm_err e = sm_file_write_atomic(path, 0644, bytes);
    return e == SM_OK ? e : cli_fail(c, e, "cannot write %s: %s", path, sm_err_words(e));
}

static enum sm_err take_hex(struct cli *c, const char *option, const char *text, uint8_t *buf,
                            size_t cap, struct sm_view *out)
{
    size_t n = text != NULL ? strlen(text) : 0;
    *out = (struct sm_view){0};
    if (text == NULL) {
        return SM_OK;
    }
    if (n == 0 || n % 2 != 0 || n / 2 > cap || sm_unhex(text, n, buf, n / 2) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "%s wants 1 to %zu bytes in hexadecimal", option, cap);
    }
    *out = sm_view_of(buf, n / 2);
    return SM_OK;
}

/* -- the root ----------------------------------------------------------------------------- */

enum sm_err cmd_root_init(struct cli *c, int argc, char **argv)
{
    char text[SM_B32_LEN(32) + 1];
    uint8_t key[32];
    bool is_locked;
    SM_TRY(cli_parse(c, cli_command_named("root init"), NULL, 0, argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "root init wants the folder of the root");
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    enum sm_err e = sm_root_make(argv[0], key);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot make or read the root in %s: %s", argv[0],
                        sm_err_words(e));
    }
    sm_b32(key, sizeof key, text);
    if (c->json) {
        cli_json(json_pack("{s:s}", "root", text));
    } else {
        printf("%s\n", text);
    }
    return SM_OK;
}

/* -- what a machine says of itself -------------------------------------------------------- */

static void claim_row(void *ctx, const struct sm_claim *claim)
{
    (void)ctx;
    printf("%-22s %s\n", claim->name, claim->text);
}

static void claim_json(void *ctx, const struct sm_claim *claim)
{
    json_object_set_new(ctx, claim->name, json_string(claim->text));
}

static void show_claims(struct cli *c, const struct sm_claims *claims, json_t *more)
{
    if (!c->json) {
        sm_claims_list(claims, claim_row, NULL);
        json_decref(more);
        return;
    }
    json_t *list = json_object();
    sm_claims_list(claims, claim_json, list);
    json_object_set_new(more, "claims", list);
    cli_json(more);
}

/* -- request ------------------------------------------------------------------------------ */

enum sm_err cmd_platform_request(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf request = SM_BUF(REQUEST_MAX);
    const char *out = NULL, *nonce_text = NULL;
    const struct cli_option opt[] = {{.name = "-o", .value = "FILE", .text = &out},
                                     {.name = "--nonce", .value = "HEX", .text = &nonce_text}};
    uint8_t nonce_bytes[SM_ENROL_NONCE_MAX];
    struct sm_view nonce;
    struct sm_config cfg;
    struct sm_claims claims;
    char why[SM_PROVIDER_WHY];
    bool is_locked;
    SM_TRY(cli_parse(c, cli_command_named("platform request"), opt, SM_COUNT(opt), argc, argv,
                     &argc));
    if (argc != 0 || out == NULL) {
        return cli_fail(c, SM_E_USAGE, "platform request wants -o FILE");
    }
    SM_TRY(take_hex(c, "--nonce", nonce_text, nonce_bytes, sizeof nonce_bytes, &nonce));
    SM_TRY(sm_secretmem_init(&is_locked));
    SM_TRY(cli_load_config(c, &cfg));
    enum sm_err e = sm_cc_request(&cfg, nonce, &request, &claims, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    SM_TRY(write_out(c, out, sm_buf_view(&request)));
    show_claims(c, &claims, json_pack("{s:s}", "request", out));
    cli_say(c, "who holds the root answers it: seemesh platform endorse %s -o ANSWER\n", out);
    return SM_OK;
}

/* -- endorse ------------------------------------------------------------------------------ */

struct endorse {
    const char *out, *root, *nonce_text, *measurement_text;
    uint64_t days, index;
    uint8_t nonce[SM_ENROL_NONCE_MAX], measurement[64];
    struct sm_anchor anchor;
    struct sm_sign_pair *key;
    struct sm_enrol_by by;
};

static enum sm_err root_key(struct cli *c, struct endorse *x)
{
    enum sm_err e = sm_root_key(x->root, &x->key);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot read the root in %s: %s", x->root, sm_err_words(e));
    }
    for (size_t i = 0; i < x->anchor.n_roots; i++) {
        if (memcmp(x->anchor.roots[i], x->key->pub.b, 32) == 0) {
            return SM_OK;
        }
    }
    return cli_fail(
        c, SM_E_REFUSED,
        "the root in %s is none of those that the configuration pins: no node would "
        "believe what it signs",
        x->root);
}

static enum sm_err prepare(struct cli *c, struct endorse *x)
{
    struct sm_config cfg;
    struct sm_view nonce, measurement;
    SM_TRY(take_hex(c, "--nonce", x->nonce_text, x->nonce, sizeof x->nonce, &nonce));
    SM_TRY(take_hex(c, "--measurement", x->measurement_text, x->measurement,
                    sizeof x->measurement, &measurement));
    SM_TRY(cli_load_config(c, &cfg));
    SM_TRY(sm_config_anchor(&cfg, &x->anchor));
    SM_TRY(root_key(c, x));
    struct sm_wall now = sm_clock_wall();
    x->by = (struct sm_enrol_by){.suite = sm_suite_real(),
                                 .root = x->key,
                                 .anchor = &x->anchor,
                                 .now = now,
                                 .expires = {now.s + x->days * DAY_S},
                                 .indexes = (uint8_t)(1u << x->index),
                                 .nonce = nonce,
                                 .measurement = measurement};
    return SM_OK;
}

static enum sm_err endorse(struct cli *c, struct endorse *x, const char *path)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf request = SM_BUF(REQUEST_MAX);
    uint8_t bytes[SM_NODE_ENDORSEMENT_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_endorsement made;
    struct sm_claims claims;
    struct sm_reasons why;
    char text[1024], id[65];
    SM_TRY(prepare(c, x));
    SM_TRY(read_in(c, path, &request));
    enum sm_err e = sm_enrol_endorse(&x->by, sm_buf_view(&request), &w, &made, &claims, &why);
    if (e != SM_OK) {
        sm_reasons_text(&why, text, sizeof text);
        return cli_fail(c, e, "not endorsed: %s", text);
    }
    SM_TRY(write_out(c, x->out, sm_view_of(w.p, w.n)));
    sm_hex(made.platform_id, sizeof made.platform_id, id);
    if (!c->json) {
        printf("%-22s %s\n", "platform id", id);
    }
    show_claims(c, &claims, json_pack("{s:s}", "platform_id", id));
    if (x->measurement_text == NULL) {
        cli_say(c, "no --measurement was given: whether this one is a good one is for you, and "
                   "for the manifest\n");
    }
    return SM_OK;
}

enum sm_err cmd_platform_endorse(struct cli *c, int argc, char **argv)
{
    struct endorse x = {.days = 365};
    const struct cli_option opt[] = {
        {.name = "-o", .value = "FILE", .text = &x.out},
        {.name = "--root-dir", .value = "DIR", .text = &x.root},
        {.name = "--nonce", .value = "HEX", .text = &x.nonce_text},
        {.name = "--measurement", .value = "HEX", .text = &x.measurement_text},
        {.name = "--index", .value = "N", .number = &x.index},
        {.name = "--days", .value = "N", .number = &x.days},
    };
    bool is_locked;
    SM_TRY(cli_parse(c, cli_command_named("platform endorse"), opt, SM_COUNT(opt), argc, argv,
                     &argc));
    if (argc != 1 || x.out == NULL || x.root == NULL) {
        return cli_fail(c, SM_E_USAGE,
                        "platform endorse wants REQUEST, --root-dir DIR and -o FILE");
    }
    if (x.index >= SM_NODE_INDEXES || x.days == 0 || x.days > 3650) {
        return cli_fail(c, SM_E_USAGE, "--index is 0 to %u, --days 1 to 3650",
                        SM_NODE_INDEXES - 1);
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    enum sm_err e = endorse(c, &x, argv[0]);
    sm_secret_free(x.key);
    return e;
}

/* -- accept ------------------------------------------------------------------------------- */

enum sm_err cmd_platform_accept(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf answer = SM_BUF(SM_NODE_ENDORSEMENT_MAX);
    char why[SM_PROVIDER_WHY], text[SM_B32_LEN(32) + 1];
    struct sm_config cfg;
    struct sm_node_id id;
    bool is_locked;
    SM_TRY(cli_parse(c, cli_command_named("platform accept"), NULL, 0, argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "platform accept wants the file with the answer");
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    SM_TRY(cli_load_config(c, &cfg));
    SM_TRY(read_in(c, argv[0], &answer));
    enum sm_err e = sm_cc_accept(&cfg, sm_buf_view(&answer), &id, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    sm_b32(id.b, 32, text);
    if (c->json) {
        cli_json(json_pack("{s:s}", "node", text));
    } else {
        printf("%s\n", text);
        cli_say(c, "endorsed; start the node with: seemesh --home %s node\n", cfg.node.home);
    }
    return SM_OK;
}
