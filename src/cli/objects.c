// SPDX-License-Identifier: Apache-2.0
/* put, get, ls, rm. */
#include "cli/commands.h"
#include "cli/conn.h"
#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GONE_LIMIT SM_S(3)

static json_t *json_b32(const void *p, size_t n)
{
    char text[SM_B32_LEN(32) + 1];
    sm_b32(p, n, text);
    return json_string(text);
}

/* -- put --------------------------------------------------------------------------------- */

struct put {
    struct cli *c;
    const char *path;
    int fd;
    uint64_t size;
    struct cli_progress progress;
    bool is_done;
    struct sm_put_result result;
    char reason[512];
    uint64_t began_ns;
};

static enum sm_err put_read(void *ctx, uint8_t *buf, size_t cap, size_t *n)
{
    struct put *p = ctx;
    ssize_t got;
    do {
        got = read(p->fd, buf, cap);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return SM_E_IO;
    }
    *n = (size_t)got;
    return SM_OK;
}

static void put_progress(void *ctx, const struct sm_put_progress *now)
{
    struct put *p = ctx;
    char a[24], note[96];
    snprintf(note, sizeof note, "%s stored, %u of %u holders", cli_bytes(now->bytes_stored, a),
             now->holders_live, now->holders_needed);
    cli_progress_set(&p->progress, now->bytes_stored, note);
}

static void put_done(void *ctx, const struct sm_put_result *r)
{
    struct put *p = ctx;
    p->is_done = true;
    p->result = *r;
    if (r->reason != NULL) {
        snprintf(p->reason, sizeof p->reason, "%s", r->reason);
    }
}

static void print_put(struct put *p, const char *ref, const char *name)
{
    const struct sm_put_result *r = &p->result;
    char size[24], id[SM_B32_LEN(32) + 1];
    sm_b32(r->ref.object.b, 32, id);
    printf("%s\n", ref);
    cli_say(p->c, "\nstored %s (%s) as %s\n", name, cli_bytes(r->size, size), id);
    cli_say(p->c, "any %u of %u shards give it back; holders:\n", r->code.k, r->code.n);
    struct cli_table t = {.head = {"shard", "holder", "node", "bytes", "state"}, .columns = 5};
    for (unsigned i = 0; i < r->n_rows; i++) {
        char index[8], node[SM_B32_LEN(10) + 1], bytes[24];
        snprintf(index, sizeof index, "%u", r->rows[i].row.index);
        sm_b32(r->rows[i].node.b, 10, node);
        cli_table_row(&t, index, r->rows[i].owner, node, cli_bytes(r->rows[i].row.bytes, bytes),
                      r->rows[i].row.is_committed ? "durable"
                                                  : sm_err_words(r->rows[i].row.err));
    }
    if (!p->c->quiet) {
        cli_table_print(&t, stderr);
    }
    if (r->code.n < 16) {
        cli_say(p->c,
                "this mesh has %u nodes that store; the code for large meshes is 10 of 16\n",
                r->nodes);
    }
}

static json_t *put_json(const struct put *p, const char *ref, const char *name)
{
    const struct sm_put_result *r = &p->result;
    json_t *rows = json_array();
    for (unsigned i = 0; i < r->n_rows; i++) {
        json_array_append_new(rows, json_pack("{s:i, s:s, s:o, s:I, s:b, s:s}", "shard",
                                              r->rows[i].row.index, "holder", r->rows[i].owner,
                                              "node", json_b32(r->rows[i].node.b, 32), "bytes",
                                              (json_int_t)r->rows[i].row.bytes, "durable",
                                              r->rows[i].row.is_committed, "state",
                                              sm_err_words(r->rows[i].row.err)));
    }
    return json_pack("{s:s, s:s, s:o, s:I, s:i, s:i, s:o, s:f}", "ref", ref, "name", name, "id",
                     json_b32(r->ref.object.b, 32), "size", (json_int_t)r->size, "k", r->code.k,
                     "n", r->code.n, "shards", rows, "seconds",
                     (double)(sm_clock_mono().ns - p->began_ns) / 1e9);
}

static enum sm_err put_finish(struct put *p, const char *name)
{
    char ref[SM_REF_LEN + 1];
    struct cli_object entry = {
        .size = p->result.size, .put_at = sm_clock_wall().s, .code = p->result.code};
    sm_ref_print(&p->result.ref, ref);
    snprintf(entry.name, sizeof entry.name, "%s", name);
    memcpy(entry.ref, ref, sizeof ref);
    enum sm_err e = cli_keyring_add(p->c, &entry);
    sm_wipe(&entry, sizeof entry);
    if (e != SM_OK && !p->c->json) { /* the data is stored: its reference must not be lost */
        printf("%s\n", ref);
    }
    SM_TRY(e);
    if (p->c->json) {
        cli_json(put_json(p, ref, name));
    } else {
        print_put(p, ref, name);
    }
    sm_wipe(ref, sizeof ref);
    return SM_OK;
}

static enum sm_err put_run(struct put *p, const char *name)
{
    struct cli_conn conn;
    struct sm_put_io *io;
    SM_TRY(cli_connect(p->c, &conn));
    struct sm_put_io_cfg cfg = {.mesh = conn.mesh,
                                .cipher = SM_AESGCM,
                                .ctx = p,
                                .read = put_read,
                                .progress = put_progress,
                                .done = put_done};
    memcpy(cfg.seed, conn.seed, sizeof cfg.seed);
    p->began_ns = sm_clock_mono().ns;
    cli_progress_start(&p->progress, p->c, "put", p->size);
    enum sm_err e = sm_put_io_start(&cfg, &io);
    if (e == SM_OK) {
        e = cli_wait(&conn, &p->is_done);
        if (!p->is_done) {
            sm_put_io_cancel(io);
        }
        if (!p->is_done && e == SM_E_CANCELLED) {
            conn.is_interrupted = false; /* a second Ctrl-C does not wait for the holders */
            enum sm_err again = cli_wait(&conn, &p->is_done);
            (void)again; /* told already */
        }
        e = p->is_done && p->result.err == SM_OK ? SM_OK : e;
    }
    cli_progress_end(&p->progress);
    cli_disconnect(&conn);
    SM_TRY(e);
    if (p->result.err != SM_OK) {
        return cli_fail(p->c, p->result.err, "%s was not stored: %s", name, p->reason);
    }
    return put_finish(p, name);
}

enum sm_err cmd_put(struct cli *c, int argc, char **argv)
{
    const char *name = NULL;
    const struct cli_option opt[] = {{.name = "--name", .value = "NAME", .text = &name}};
    SM_TRY(cli_parse(c, cli_command_named("put"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "put wants one FILE, or - for standard input");
    }
    struct put p = {.c = c, .path = argv[0]};
    struct stat st;
    bool is_stdin = strcmp(argv[0], "-") == 0;
    p.fd = is_stdin ? STDIN_FILENO : open(argv[0], O_RDONLY | O_CLOEXEC);
    if (p.fd < 0 || fstat(p.fd, &st) != 0) {
        return cli_fail(c, errno == ENOENT ? SM_E_NOTFOUND : SM_E_IO, "cannot read %s: %s",
                        argv[0], strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        close(p.fd);
        return cli_fail(c, SM_E_USAGE, "%s is a folder; put takes one file (try tar)", argv[0]);
    }
    p.size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    const char *slash = strrchr(argv[0], '/');
    name = name != NULL ? name : is_stdin ? "stdin" : slash != NULL ? slash + 1 : argv[0];
    enum sm_err e = put_run(&p, name);
    if (!is_stdin) {
        close(p.fd);
    }
    sm_wipe(&p.result.ref.key, sizeof p.result.ref.key);
    return e;
}

/* -- finding holders --------------------------------------------------------------------- */

enum sm_err cli_find_holders(struct cli_conn *conn, const struct sm_data_id *id,
                             struct sm_holders *out)
{
    char text[SM_B32_LEN(32) + 1];
    sm_b32(id->b, 32, text);
    SM_TRY(cli_lookup(conn, id));
    enum sm_err e = conn->lookup.err;
    if (e == SM_E_NOTFOUND) {
        return cli_fail(conn->c, e, "data not found: %s (asked %u nodes on %u paths)", text,
                        conn->lookup.holders.asked, conn->lookup.holders.paths);
    }
    if (e != SM_OK) {
        return cli_fail(conn->c, e, "looking for %s failed: %s", text, sm_err_words(e));
    }
    *out = conn->lookup.holders;
    return SM_OK;
}

/* -- get --------------------------------------------------------------------------------- */

struct get {
    struct cli *c;
    int fd;
    uint64_t size, got;
    struct cli_progress progress;
    bool is_done, is_patient;
    enum sm_err err;
    char reason[512];
};

static void get_info(void *ctx, uint64_t size, struct sm_code code)
{
    struct get *g = ctx;
    (void)code;
    g->size = size;
    cli_progress_start(&g->progress, g->c, "get", size);
}

static enum sm_err get_bytes(void *ctx, uint64_t offset, struct sm_view bytes)
{
    struct get *g = ctx;
    (void)offset;
    for (size_t at = 0; at < bytes.n;) {
        ssize_t n = write(g->fd, bytes.p + at, bytes.n - at);
        if (n < 0 && errno != EINTR) {
            return errno == ENOSPC || errno == EDQUOT ? SM_E_NOSPACE : SM_E_IO;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    char a[24];
    g->got += bytes.n;
    cli_progress_set(&g->progress, g->got, cli_bytes(g->got, a));
    return SM_OK;
}

static void get_again(void *ctx, const char *why)
{
    struct get *g = ctx;
    if (!g->is_patient) {
        cli_say(g->c, "%s; looking for holders again\n", why);
    }
    g->is_patient = true;
}

static void get_done(void *ctx, enum sm_err err, const char *reason)
{
    struct get *g = ctx;
    g->is_done = true;
    g->err = err;
    snprintf(g->reason, sizeof g->reason, "%s", reason != NULL ? reason : "");
}

static enum sm_err get_run(struct get *g, const struct sm_ref *ref)
{
    struct cli_conn conn;
    struct sm_holders holders;
    SM_TRY(cli_connect(g->c, &conn));
    enum sm_err e = cli_find_holders(&conn, &ref->object, &holders);
    if (e == SM_OK) {
        struct sm_get_io *io;
        struct sm_get_io_cfg cfg = {.mesh = conn.mesh,
                                    .ref = *ref,
                                    .holders = &holders,
                                    .to = UINT64_MAX,
                                    .ctx = g,
                                    .info = get_info,
                                    .bytes = get_bytes,
                                    .again = get_again,
                                    .done = get_done};
        e = sm_get_io_start(&cfg, &io);
        sm_wipe(&cfg.ref.key, sizeof cfg.ref.key);
        if (e == SM_OK) {
            e = cli_wait(&conn, &g->is_done);
            if (e != SM_OK) {
                sm_get_io_cancel(io);
            }
        } else {
            e = cli_fail(g->c, e, "cannot read the object: %s", sm_err_words(e));
        }
    }
    cli_progress_end(&g->progress);
    cli_disconnect(&conn);
    return e;
}

/* Write beside the target and rename, so that a failed get leaves no half file. */
static enum sm_err get_to_file(struct get *g, const struct sm_ref *ref, const char *path)
{
    char temp[SM_PATH + 32];
    int n = snprintf(temp, sizeof temp, "%s.seemesh-%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof temp) {
        return cli_fail(g->c, SM_E_USAGE, "the path %s is too long", path);
    }
    g->fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (g->fd < 0) {
        return cli_fail(g->c, SM_E_IO, "cannot write %s: %s", temp, strerror(errno));
    }
    enum sm_err e = get_run(g, ref);
    bool is_synced = fsync(g->fd) == 0;
    is_synced = close(g->fd) == 0 && is_synced;
    if (e == SM_OK && g->err == SM_OK && (!is_synced || rename(temp, path) != 0)) {
        e = cli_fail(g->c, SM_E_IO, "cannot write %s: %s", path, strerror(errno));
    }
    if (e != SM_OK || g->err != SM_OK) {
        unlink(temp);
    }
    return e;
}

enum sm_err cmd_get(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    const struct cli_option opt[] = {{.name = "-o", .value = "FILE", .text = &path},
                                     {.name = "--output", .value = "FILE", .text = &path}};
    SM_TRY(cli_parse(c, cli_command_named("get"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "get wants one REFERENCE or name");
    }
    if (path == NULL && isatty(STDOUT_FILENO) == 1) {
        return cli_fail(c, SM_E_USAGE,
                        "standard output is a terminal; use -o FILE or redirect");
    }
    if (path == NULL && c->json) {
        return cli_fail(c, SM_E_USAGE,
                        "--json needs -o FILE: both would go to standard output");
    }
    if (path != NULL) {
        SM_TRY(cli_may_replace(c, path));
    }
    struct sm_ref ref;
    struct get g = {.c = c, .fd = STDOUT_FILENO};
    SM_TRY(cli_ref(c, argv[0], &ref));
    enum sm_err e = path != NULL ? get_to_file(&g, &ref, path) : get_run(&g, &ref);
    sm_wipe(&ref, sizeof ref);
    SM_TRY(e);
    if (g.err == SM_E_NOTFOUND) {
        return cli_fail(c, g.err, "data not found: %s was removed; %s", argv[0], g.reason);
    }
    if (g.err != SM_OK) {
        return cli_fail(c, g.err, "%s could not be read: %s", argv[0], g.reason);
    }
    char size[24];
    cli_say(c, "%s, every shard and segment checked\n", cli_bytes(g.got, size));
    if (c->json) {
        cli_json(json_pack("{s:s, s:I}", "file", path, "size", (json_int_t)g.got));
    }
    return SM_OK;
}

/* -- ls ---------------------------------------------------------------------------------- */

static unsigned shards_of(const struct sm_holders *h)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < h->n; i++) {
        all |= h->list[i].held;
    }
    return (unsigned)__builtin_popcountll(all);
}

static void print_object(struct cli *c, struct cli_table *t, const struct cli_object *o,
                         const struct sm_holders *holders)
{
    char size[24], shards[32], when[32], id[SM_B32_LEN(32) + 1] = "?";
    struct sm_ref ref;
    unsigned have = shards_of(holders);
    time_t at = (time_t)o->put_at;
    struct tm tm;
    gmtime_r(&at, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    snprintf(shards, sizeof shards, "%u/%u, %u needed", have, o->code.n, o->code.k);
    if (sm_ref_parse(sm_view_str(o->ref), &ref) == SM_OK) {
        sm_b32(ref.object.b, 32, id);
    }
    const char *state = have >= o->code.n   ? "whole"
                        : have >= o->code.k ? "readable"
                                            : "not readable now";
    if (c->json) {
        cli_json(json_pack("{s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:s}", "name", o->name, "id",
                           id, "size", (json_int_t)o->size, "put_at", (json_int_t)o->put_at,
                           "k", (int)o->code.k, "n", (int)o->code.n, "shards", (int)have,
                           "state", state));
        return;
    }
    id[16] = '\0';
    cli_table_row(t, o->name, id, cli_bytes(o->size, size), when, shards, state);
}

enum sm_err cmd_ls(struct cli *c, int argc, char **argv)
{
    struct cli_object *list;
    size_t n;
    struct cli_conn conn;
    SM_TRY(cli_parse(c, cli_command_named("ls"), NULL, 0, argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "ls takes no arguments");
    }
    SM_TRY(cli_keyring_load(c, &list, &n));
    enum sm_err e = cli_connect(c, &conn);
    if (e != SM_OK) {
        cli_keyring_free(list, n);
        return e;
    }
    struct cli_table t = {.head = {"name", "id", "size", "put (UTC)", "shards", "state"},
                          .columns = 6};
    for (size_t i = 0; i < n && e == SM_OK; i++) {
        struct sm_ref ref;
        e = sm_ref_parse(sm_view_str(list[i].ref), &ref);
        if (e == SM_OK) {
            e = cli_lookup(&conn, &ref.object);
        }
        if (e == SM_OK) {
            print_object(c, &t, &list[i], &conn.lookup.holders);
        }
        sm_wipe(&ref, sizeof ref);
    }
    cli_disconnect(&conn);
    cli_keyring_free(list, n);
    if (!c->json) {
        cli_table_print(&t, stdout);
    }
    return e;
}

/* -- rm ---------------------------------------------------------------------------------- */

struct removal {
    bool is_done;
    enum sm_err err;
    unsigned removed, holders;
};

static void on_removed(void *ctx, enum sm_err err, unsigned removed, unsigned holders)
{
    *(struct removal *)ctx = (struct removal){true, err, removed, holders};
}

static enum sm_err confirm(struct cli *c, const char *what)
{
    char line[16];
    if (isatty(STDIN_FILENO) != 1) {
        return cli_fail(c, SM_E_USAGE, "rm destroys data; say --yes when there is no terminal");
    }
    fprintf(stderr, "remove %s from every holder? [y/N] ", what);
    if (fgets(line, sizeof line, stdin) == NULL || (line[0] != 'y' && line[0] != 'Y')) {
        return cli_fail(c, SM_E_CANCELLED, "nothing was removed");
    }
    return SM_OK;
}

/* The holders announce that they hold it no more; wait until a lookup says so, so that what
 * follows at once sees it gone.  It is removed either way. */
static enum sm_err await_gone(struct cli_conn *conn, const struct sm_data_id *id)
{
    struct sm_mono end = sm_after(sm_clock_mono(), GONE_LIMIT);
    do {
        SM_TRY(cli_lookup(conn, id));
    } while (conn->lookup.err == SM_OK && !sm_is_due(end, sm_clock_mono()));
    return SM_OK;
}

enum sm_err cmd_rm(struct cli *c, int argc, char **argv)
{
    bool yes = false;
    const struct cli_option opt[] = {{.name = "--yes", .flag = &yes},
                                     {.name = "-y", .flag = &yes}};
    struct sm_ref ref;
    struct cli_conn conn;
    struct sm_holders holders;
    struct removal r = {0};
    SM_TRY(cli_parse(c, cli_command_named("rm"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "rm wants one REFERENCE or name");
    }
    SM_TRY(cli_ref(c, argv[0], &ref));
    if (!yes) {
        SM_TRY(confirm(c, argv[0]));
    }
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = cli_find_holders(&conn, &ref.object, &holders);
    if (e == SM_OK) {
        e = sm_remove_start(conn.mesh, &ref, &holders, on_removed, &r);
        if (e == SM_OK) {
            e = cli_wait(&conn, &r.is_done);
        }
        if (e == SM_OK && r.removed == r.holders) {
            e = await_gone(&conn, &ref.object);
        }
    }
    cli_disconnect(&conn);
    SM_TRY(e);
    if (r.removed < r.holders) {
        return cli_fail(c, r.err, "removed from %u of %u holders: %s; run it again later",
                        r.removed, r.holders, sm_err_words(r.err));
    }
    SM_TRY(cli_keyring_drop(c, &ref.object));
    cli_say(c, "removed from %u holders\n", r.removed);
    if (c->json) {
        cli_json(json_pack("{s:i}", "removed", (int)r.removed));
    }
    return SM_OK;
}
