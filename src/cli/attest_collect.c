// SPDX-License-Identifier: Apache-2.0
/* attest collect: ask this node's platform for evidence over bytes of one's own choice.
 *
 * The node hashes them under a prefix that no tunnel uses, so what comes back proves the
 * machine to whoever chose the bytes, and nothing to a peer. */
#include "attest/binding.h"
#include "attest/envelope.h"
#include "cli/commands.h"
#include "crypto/hash.h"
#include "os/file.h"
#include "os/random.h"

#include <string.h>

struct collected {
    bool is_done;
    enum sm_err err;
    struct sm_buf envelope;
};

static void on_evidence(void *ctx, enum sm_err err, struct sm_view body)
{
    struct collected *k = ctx;
    k->is_done = true;
    k->err = err == SM_OK ? sm_buf_add(&k->envelope, body.p, body.n) : err;
}

static enum sm_err ask(struct cli *c, struct sm_view data, struct collected *k)
{
    struct cli_conn conn;
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = sm_mesh_ask(conn.mesh, SM_CTL_EVIDENCE, data, on_evidence, k);
    if (e == SM_OK) {
        e = cli_wait(&conn, &k->is_done);
    }
    sm_mesh_forget(conn.mesh, k);
    cli_disconnect(&conn);
    SM_TRY(e);
    return k->err == SM_OK
               ? SM_OK
               : cli_fail(c, k->err, "no evidence: %s%s", sm_err_words(k->err),
                          k->err == SM_E_BUSY ? " in two seconds" : "; see the node's log");
}

/* What was asked for, by chance if not given. */
static enum sm_err data_read(struct cli *c, const char *hex, uint8_t out[SM_USER_DATA_MAX],
                             size_t *n)
{
    size_t len = hex != NULL ? strlen(hex) : 0;
    if (hex == NULL) {
        *n = 32;
        return sm_random_bytes(out, *n);
    }
    *n = len / 2;
    if (len == 0 || len % 2 != 0 || *n > SM_USER_DATA_MAX ||
        sm_unhex(hex, len, out, *n) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "--data wants 1 to %u bytes in hexadecimal",
                        SM_USER_DATA_MAX);
    }
    return SM_OK;
}

static enum sm_err write_file(struct cli *c, const char *path, struct sm_view bytes)
{
    SM_TRY(cli_may_replace(c, path));
    enum sm_err e = sm_file_write_atomic(path, 0644, bytes);
    return e == SM_OK ? e : cli_fail(c, e, "cannot write %s: %s", path, sm_err_words(e));
}

/* Each part in a file of its own, as the platform and its maker gave it. */
static enum sm_err write_parts(struct cli *c, const char *dir, const struct sm_envelope *e)
{
    enum sm_err err = sm_dir_make(dir, 0755);
    if (err != SM_OK) {
        return cli_fail(c, err, "cannot make %s: %s", dir, sm_err_words(err));
    }
    for (unsigned i = 1; i < SM_PARTS; i++) {
        char path[SM_PATH];
        if (e->part[i].n > 0) {
            SM_TRY(sm_path_join(dir, sm_part_name((enum sm_part)i), path));
            SM_TRY(write_file(c, path, e->part[i]));
        }
    }
    return SM_OK;
}

static void tell(struct cli *c, const struct sm_envelope *e, struct sm_view data, size_t bytes)
{
    uint8_t rd[SM_REPORT_DATA], hash[32];
    char data_hex[2 * SM_USER_DATA_MAX + 1], rd_hex[2 * SM_REPORT_DATA + 1];
    json_t *parts = json_array();
    bool is_short = e->part[SM_PART_TPM_QUOTE].n > 0; /* a TPM carries a hash of it */
    for (unsigned i = 1; i < SM_PARTS; i++) {
        if (e->part[i].n > 0) {
            json_array_append_new(parts, json_string(sm_part_name((enum sm_part)i)));
        }
    }
    sm_user_report_data(data, rd);
    sm_sha256(sm_view_of(rd, sizeof rd), hash);
    sm_hex(data.p, data.n, data_hex);
    sm_hex(is_short ? hash : rd, is_short ? sizeof hash : sizeof rd, rd_hex);
    cli_say(c, "made for    %s\nnonce       %s (what 'attest explain --nonce' compares)",
            data_hex, rd_hex);
    if (c->json) {
        cli_json(json_pack("{s:s, s:s, s:I, s:o}", "data", data_hex, "nonce", rd_hex, "bytes",
                           (json_int_t)bytes, "parts", parts));
    } else {
        json_decref(parts);
    }
}

static enum sm_err deliver(struct cli *c, const char *to, const char *raw, struct sm_view data,
                           const struct collected *k)
{
    struct sm_envelope e;
    struct sm_view all = sm_buf_view(&k->envelope);
    enum sm_err err = sm_envelope_read(all, &e);
    if (err != SM_OK) {
        return cli_fail(c, err, "the node's evidence is no envelope: %s", sm_err_words(err));
    }
    if (raw != NULL) {
        SM_TRY(write_parts(c, raw, &e));
    }
    if (to != NULL) {
        SM_TRY(write_file(c, to, all));
    }
    tell(c, &e, data, all.n);
    return SM_OK;
}

enum sm_err cmd_attest_collect(struct cli *c, int argc, char **argv)
{
    const char *hex = NULL, *to = NULL, *raw = NULL;
    uint8_t data[SM_USER_DATA_MAX];
    size_t n = 0;
    struct collected k = {.envelope = SM_BUF(1u << 20)};
    const struct cli_option opt[] = {
        {.name = "--data", .value = "HEX", .text = &hex},
        {.name = "--output", .value = "FILE", .text = &to},
        {.name = "-o", .value = "FILE", .text = &to},
        {.name = "--raw", .value = "DIR", .text = &raw},
    };
    SM_TRY(cli_parse(c, cli_command_named("attest collect"), opt, SM_COUNT(opt), argc, argv,
                     &argc));
    if (argc != 0 || (to == NULL && raw == NULL)) {
        return cli_fail(c, SM_E_USAGE, "give -o FILE, or --raw DIR, and no other arguments");
    }
    SM_TRY(data_read(c, hex, data, &n));
    enum sm_err e = ask(c, sm_view_of(data, n), &k);
    if (e == SM_OK) {
        e = deliver(c, to, raw, sm_view_of(data, n), &k);
    }
    sm_buf_done(&k.envelope);
    return e;
}
