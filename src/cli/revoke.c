// SPDX-License-Identifier: Apache-2.0
/* revoke, revoke undo, revoke ls: the mesh's revocation list.
 *
 * To revoke is to take the list in force, add an entry, raise the version, sign it with a root
 * and give it to a node, which tells the others.  Without a node the list is a file. */
#include "base/date.h"
#include "cli/commands.h"
#include "cli/documents.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/secretmem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct revoking {
    struct cli *c;
    const char *root_dir, *reason, *since, *list_path, *out_path;
    bool yes, is_undo;
    struct sm_revoked entry;
    struct sm_anchor anchor;
    struct sm_revocations list;
    struct cli_conn conn; /* when neither --list nor -o is given */
    bool is_online;
    struct cli_spread spread;
    json_t *hit; /* owners of the nodes that it cuts off */
};

/* -- what is to be revoked ---------------------------------------------------------------- */

static enum sm_err kind_of(struct cli *c, const char *text, uint8_t *out)
{
    for (uint8_t i = SM_REVOKED_NODE; i <= SM_REVOKED_ROOT; i++) {
        if (strcmp(text, sm_revoked_kind_name(i)) == 0) {
            *out = i;
            return SM_OK;
        }
    }
    return cli_fail(c, SM_E_USAGE, "KIND is node, platform, measurement or root, not '%s'",
                    text);
}

static bool id_of_hex(const char *text, struct sm_value *out)
{
    size_t n = strlen(text);
    if (n < 16 || n % 2 != 0 || n / 2 > sizeof out->b ||
        sm_unhex(text, n, out->b, n / 2) != SM_OK) {
        return false;
    }
    out->n = (uint8_t)(n / 2);
    return true;
}

static bool id_of_b32(const char *text, struct sm_value *out)
{
    out->n = 32;
    return sm_unb32(text, strlen(text), out->b, 32) == SM_OK;
}

static enum sm_err id_of_record(const struct sm_node_record *r, struct sm_revoked *e)
{
    size_t n = 48;
    switch (e->kind) {
    case SM_REVOKED_NODE:
        e->id.n = 32;
        memcpy(e->id.b, r->node_id.b, 32);
        return SM_OK;
    case SM_REVOKED_PLATFORM:
        e->id.n = 32;
        memcpy(e->id.b, r->platform_id, 32);
        return SM_OK;
    case SM_REVOKED_MEASUREMENT:
        while (n > 32 && r->measurement[n - 1] == 0) {
            n--; /* MRENCLAVE has 32 bytes, a record 48 */
        }
        e->id.n = (uint8_t)n;
        memcpy(e->id.b, r->measurement, n);
        return SM_OK;
    default:
        return SM_E_USAGE;
    }
}

/* An id as it is printed, or the owner or the beginning of the id of a node that is online. */
static enum sm_err id_read(struct revoking *r, const char *text)
{
    struct sm_node_record rec;
    bool is_b32 = r->entry.kind == SM_REVOKED_NODE || r->entry.kind == SM_REVOKED_ROOT;
    if (is_b32 ? id_of_b32(text, &r->entry.id) : id_of_hex(text, &r->entry.id)) {
        return SM_OK;
    }
    if (r->is_undo) {
        return cli_fail(r->c, SM_E_USAGE, "give the id as 'seemesh revoke ls' prints it");
    }
    if (r->entry.kind == SM_REVOKED_ROOT || !r->is_online) {
        return cli_fail(r->c, SM_E_USAGE, "'%s' is not %s", text,
                        is_b32 ? "an id, 52 letters of base32"
                               : "an id, 8 to 64 bytes of hexadecimal");
    }
    SM_TRY(cli_node_named(&r->conn, text, &rec));
    return id_of_record(&rec, &r->entry);
}

static enum sm_err entry_read(struct revoking *r, const char *id)
{
    r->entry.since = sm_clock_wall();
    if (r->since != NULL) {
        SM_TRY(cli_date(r->c, "--since", r->since, &r->entry.since));
    }
    int n = snprintf(r->entry.reason, sizeof r->entry.reason, "%s", r->reason);
    if (n >= (int)sizeof r->entry.reason) {
        return cli_fail(r->c, SM_E_USAGE, "--reason has at most %u letters",
                        SM_REVOKED_TEXT_MAX);
    }
    return id_read(r, id);
}

/* -- the list ----------------------------------------------------------------------------- */

static enum sm_err list_of_doc(struct revoking *r, const char *name, struct sm_view doc)
{
    if (doc.n == 0) {
        r->list = (struct sm_revocations){.env = (uint8_t)r->anchor.env};
        memcpy(r->list.mesh_id, r->anchor.mesh_id, 32);
        return SM_OK;
    }
    enum sm_err e = sm_revocations_verify(sm_suite_real(), &r->anchor, doc, &r->list, NULL);
    return e == SM_OK ? SM_OK
                      : cli_fail(r->c, e, "%s is not a revocation list of this mesh: %s", name,
                                 sm_err_words(e));
}

static enum sm_err list_load(struct revoking *r)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    if (r->list_path != NULL) {
        SM_TRY(cli_file_load(r->c, r->list_path, &doc));
        return list_of_doc(r, r->list_path, sm_buf_view(&doc));
    }
    if (r->is_online) {
        SM_TRY(cli_doc_of_node(&r->conn, SM_DOC_REVOCATION, &doc));
    }
    return list_of_doc(r, "the node's list", sm_buf_view(&doc));
}

static enum sm_err list_give(struct revoking *r)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    struct sm_sign_pair *root = NULL;
    if (r->list.version == UINT64_MAX) {
        return cli_fail(r->c, SM_E_LIMIT, "there is no version above the list's");
    }
    r->list.version++;
    r->list.issued = sm_clock_wall();
    SM_TRY(cli_root_load(r->c, r->root_dir, &root));
    enum sm_err e = sm_revocations_sign(sm_suite_real(), root, &r->list, &doc);
    sm_secret_free(root);
    if (e == SM_E_INVALID) {
        return cli_fail(r->c, e, "a root cannot revoke itself: sign with another");
    }
    if (e != SM_OK) {
        return cli_fail(r->c, e, "cannot sign the list: %s", sm_err_words(e));
    }
    if (r->is_online) {
        SM_TRY(cli_doc_offer(&r->conn, SM_DOC_REVOCATION, sm_buf_view(&doc)));
        return cli_doc_spread(&r->conn, SM_DOC_REVOCATION, r->list.version, &r->spread);
    }
    e = sm_file_write_atomic(r->out_path, 0644, sm_buf_view(&doc));
    return e == SM_OK ? SM_OK
                      : cli_fail(r->c, e, "cannot write %s: %s", r->out_path, sm_err_words(e));
}

/* -- the commands ------------------------------------------------------------------------- */

static enum sm_err confirm(struct revoking *r)
{
    char line[16];
    size_t hit = json_array_size(r->hit);
    if (r->yes) {
        return SM_OK;
    }
    if (isatty(STDIN_FILENO) != 1) {
        return cli_fail(r->c, SM_E_USAGE,
                        "revoke cuts nodes off; say --yes when there is no terminal");
    }
    fprintf(stderr, "this cuts off %zu node%s known here; revoke? [y/N] ", hit,
            hit == 1 ? "" : "s");
    if (fgets(line, sizeof line, stdin) == NULL || (line[0] != 'y' && line[0] != 'Y')) {
        return cli_fail(r->c, SM_E_CANCELLED, "nothing was revoked");
    }
    return SM_OK;
}

static enum sm_err begin(struct revoking *r)
{
    bool has;
    r->is_online = r->out_path == NULL;
    r->hit = json_array();
    SM_TRY(cli_mesh_of_home(r->c, &r->anchor, &has));
    if (!has) {
        return cli_fail(r->c, SM_E_NOTFOUND,
                        "--home must name the home of one of the mesh's nodes");
    }
    if (r->root_dir == NULL) {
        return cli_fail(r->c, SM_E_USAGE,
                        "--root-dir DIR names the folder of the root that signs");
    }
    if (r->is_online) {
        enum sm_err e = cli_connect(r->c, &r->conn);
        r->is_online = e == SM_OK;
        return e;
    }
    return SM_OK;
}

static void end(struct revoking *r)
{
    sm_revocations_done(&r->list);
    json_decref(r->hit);
    if (r->is_online) {
        cli_disconnect(&r->conn);
    }
}

static enum sm_err add(struct revoking *r, const char *id)
{
    SM_TRY(entry_read(r, id));
    SM_TRY(list_load(r));
    enum sm_err e = sm_revocations_add(&r->list, &r->entry);
    if (e == SM_E_INVALID) {
        return cli_fail(r->c, SM_E_USAGE, "a %s id has %s, and a reason is printable ASCII",
                        sm_revoked_kind_name(r->entry.kind),
                        r->entry.kind == SM_REVOKED_MEASUREMENT ? "32 to 64 bytes"
                                                                : "8 to 64 bytes");
    }
    if (e != SM_OK) {
        return cli_fail(r->c, e,
                        e == SM_E_EXISTS ? "it is revoked already; see 'seemesh revoke ls'"
                        : e == SM_E_LIMIT
                            ? "the list is full (1,024 entries): undo some, or make new roots"
                            : "out of memory");
    }
    if (r->is_online) {
        SM_TRY(cli_nodes_hit(&r->conn, &r->entry, r->hit));
    }
    SM_TRY(confirm(r));
    return list_give(r);
}

static void tell(struct revoking *r, const char *what)
{
    if (r->c->json) {
        cli_json(json_pack("{s:I, s:i, s:O, s:i, s:i}", "version", (json_int_t)r->list.version,
                           "entries", (int)r->list.n, "hit", r->hit, "online",
                           (int)r->spread.online, "have", (int)r->spread.have));
        return;
    }
    cli_say(r->c, "%s; the list has version %" PRIu64 " and %zu %s\n", what, r->list.version,
            r->list.n, r->list.n == 1 ? "entry" : "entries");
    if (r->is_online) {
        cli_say(r->c, "in force on %zu of the %zu nodes that can be reached\n", r->spread.have,
                r->spread.online);
    } else {
        cli_say(r->c, "written to %s, and given to no node\n", r->out_path);
    }
}

enum sm_err cmd_revoke(struct cli *c, int argc, char **argv)
{
    struct revoking r = {.c = c};
    const struct cli_option opt[] = {
        {.name = "--reason", .value = "TEXT", .text = &r.reason},
        {.name = "--root-dir", .value = "DIR", .text = &r.root_dir},
        {.name = "--since", .value = "DATE", .text = &r.since},
        {.name = "--list", .value = "FILE", .text = &r.list_path},
        {.name = "-o", .value = "FILE", .text = &r.out_path},
        {.name = "--output", .value = "FILE", .text = &r.out_path},
        {.name = "--yes", .flag = &r.yes},
        {.name = "-y", .flag = &r.yes}};
    SM_TRY(cli_parse(c, cli_command_named("revoke"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 2) {
        return cli_fail(c, SM_E_USAGE,
                        "revoke wants KIND (node, platform, measurement, root) and ID");
    }
    if (r.reason == NULL) {
        return cli_fail(c, SM_E_USAGE, "--reason TEXT: who is refused will read it");
    }
    SM_TRY(kind_of(c, argv[0], &r.entry.kind));
    enum sm_err e = begin(&r);
    if (e == SM_OK) {
        e = add(&r, argv[1]);
    }
    if (e == SM_OK) {
        tell(&r, "revoked");
    }
    end(&r);
    return e;
}

static enum sm_err undo(struct revoking *r, const char *id)
{
    SM_TRY(id_read(r, id));
    SM_TRY(list_load(r));
    enum sm_err e = sm_revocations_remove(&r->list, r->entry.kind,
                                          sm_view_of(r->entry.id.b, r->entry.id.n));
    if (e != SM_OK) {
        return cli_fail(r->c, e, "it is not in the list; see 'seemesh revoke ls'");
    }
    return list_give(r);
}

enum sm_err cmd_revoke_undo(struct cli *c, int argc, char **argv)
{
    struct revoking r = {.c = c, .is_undo = true};
    const struct cli_option opt[] = {
        {.name = "--root-dir", .value = "DIR", .text = &r.root_dir},
        {.name = "--list", .value = "FILE", .text = &r.list_path},
        {.name = "-o", .value = "FILE", .text = &r.out_path},
        {.name = "--output", .value = "FILE", .text = &r.out_path}};
    SM_TRY(
        cli_parse(c, cli_command_named("revoke undo"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 2) {
        return cli_fail(c, SM_E_USAGE, "revoke undo wants KIND and ID, as 'revoke ls' shows");
    }
    SM_TRY(kind_of(c, argv[0], &r.entry.kind));
    enum sm_err e = begin(&r);
    if (e == SM_OK) {
        e = undo(&r, argv[1]);
    }
    if (e == SM_OK) {
        tell(&r, "no longer revoked");
    }
    end(&r);
    return e;
}

/* -- ls ----------------------------------------------------------------------------------- */

static void id_print(const struct sm_revoked *e, char out[static 2 * 64 + 1])
{
    if (e->kind == SM_REVOKED_NODE || e->kind == SM_REVOKED_ROOT) {
        sm_b32(e->id.b, e->id.n, out);
    } else {
        sm_hex(e->id.b, e->id.n, out);
    }
}

static void print_list(struct cli *c, const struct sm_revocations *l)
{
    struct cli_table t = {.head = {"kind", "since", "reason", "id"}, .columns = 4};
    json_t *list = json_array();
    for (size_t i = 0; i < l->n; i++) {
        char id[2 * 64 + 1], since[SM_DATE_LEN + 1];
        const struct sm_revoked *e = &l->e[i];
        id_print(e, id);
        sm_date_print(e->since, since);
        if (c->json) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "kind",
                                                  sm_revoked_kind_name(e->kind), "id", id,
                                                  "since", since, "reason", e->reason));
        } else {
            cli_table_row(&t, sm_revoked_kind_name(e->kind), since, e->reason, id);
        }
    }
    if (c->json) {
        cli_json(json_pack("{s:I, s:o}", "version", (json_int_t)l->version, "revoked", list));
        return;
    }
    json_decref(list);
    if (l->n > 0) {
        cli_table_print(&t, stdout);
    }
    cli_say(c, l->version == 0 ? "no list is in force\n" : "version %" PRIu64 "\n", l->version);
}

enum sm_err cmd_revoke_ls(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_REVOCATION_MAX);
    struct revoking r = {.c = c};
    bool has;
    SM_TRY(cli_parse(c, cli_command_named("revoke ls"), NULL, 0, argc, argv, &argc));
    if (argc > 1) {
        return cli_fail(c, SM_E_USAGE, "revoke ls takes one FILE, or none for the node's list");
    }
    SM_TRY(cli_mesh_of_home(c, &r.anchor, &has));
    if (argc == 1) {
        SM_TRY(cli_file_load(c, argv[0], &doc));
    } else {
        SM_TRY(cli_connect(c, &r.conn));
        enum sm_err e = cli_doc_of_node(&r.conn, SM_DOC_REVOCATION, &doc);
        cli_disconnect(&r.conn);
        SM_TRY(e);
    }
    if (!has) {
        return cli_fail(c, SM_E_NOTFOUND,
                        "--home must name the home of one of the mesh's nodes: its roots say "
                        "whether the list is good");
    }
    SM_TRY(list_of_doc(&r, argc == 1 ? argv[0] : "the node's list", sm_buf_view(&doc)));
    print_list(c, &r.list);
    sm_revocations_done(&r.list);
    return SM_OK;
}
