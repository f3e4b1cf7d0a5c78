// SPDX-License-Identifier: Apache-2.0
#include "cli/conn.h"

#include "os/clock.h"
#include "os/random.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYRING_MAX = 16 << 20 };

enum sm_err cli_home(struct cli *c, char *out, size_t cap)
{
    const char *home = c->home;
    int n;
    if (home != NULL && home[0] != '\0') {
        char *real = realpath(home, NULL);
        n = snprintf(out, cap, "%s", real != NULL ? real : home);
        free(real);
    } else if (getenv("HOME") != NULL) {
        n = snprintf(out, cap, "%s/.seemesh", getenv("HOME"));
    } else {
        return cli_fail(c, SM_E_USAGE, "no home: give --home DIR or set SEEMESH_HOME");
    }
    if (n < 0 || (size_t)n >= cap) {
        return cli_fail(c, SM_E_USAGE, "the path of the home is too long");
    }
    return SM_OK;
}

enum sm_err cli_load_config(struct cli *c, struct sm_config *out)
{
    char home[SM_PATH], path[SM_PATH + 16];
    struct sm_config_problem why;
    SM_TRY(cli_home(c, home, sizeof home));
    snprintf(path, sizeof path, "%s/seemesh.conf", home);
    enum sm_err e = sm_config_load(path, home, out, &why);
    if (e == SM_E_CONFIG) {
        return cli_fail(c, e, "%s:%u:%u: %s", path, why.line, why.column, why.text);
    }
    if (e != SM_OK) {
        return cli_fail(c, SM_E_CLOSED,
                        "no node at %s: %s; name one with --home, or try 'seemesh dev up'",
                        home, sm_err_words(e));
    }
    return SM_OK;
}

/* -- the link ---------------------------------------------------------------------------- */

static void on_ready(void *ctx)
{
    struct cli_conn *conn = ctx;
    conn->is_ready = true;
}

static void on_closed(void *ctx, enum sm_err why)
{
    struct cli_conn *conn = ctx;
    conn->is_closed = true;
    conn->why = why;
}

static void on_signal(void *ctx, int signo)
{
    struct cli_conn *conn = ctx;
    (void)signo;
    conn->is_interrupted = true;
}

static uint64_t now_ns(void)
{
    return sm_clock_mono().ns;
}

static enum sm_err start(struct cli_conn *conn, int fd)
{
    struct sm_mesh_cfg cfg = {.loop = conn->loop,
                              .anchor = &conn->anchor,
                              .fd = fd,
                              .kind = SM_CTL_CLIENT,
                              .cipher = sm_aead_fastest(now_ns),
                              .ctx = conn,
                              .ready = on_ready,
                              .closed = on_closed};
    struct sm_rng rng;
    sm_rng_init(&rng, conn->seed, "client");
    sm_dh_pair_make(sm_suite_real(), &rng, &cfg.dh);
    sm_sign_pair_make(sm_suite_real(), &rng, &cfg.sign);
    sm_rng_bytes(&rng, cfg.seed, sizeof cfg.seed);
    enum sm_err e = sm_mesh_new(&cfg, &conn->mesh);
    sm_rng_wipe(&rng);
    sm_wipe(&cfg, sizeof cfg);
    return e;
}

static enum sm_err open_conn(struct cli_conn *conn)
{
    int fd = -1;
    SM_TRY(sm_config_anchor(&conn->config, &conn->anchor));
    SM_TRY(sm_random_bytes(conn->seed, sizeof conn->seed));
    SM_TRY(sm_loop_new(&conn->loop));
    SM_TRY(sm_signal_new(conn->loop, SIGINT, on_signal, conn, &conn->on_int));
    SM_TRY(sm_signal_new(conn->loop, SIGTERM, on_signal, conn, &conn->on_term));
    SM_TRY(sm_unix_connect(conn->config.listen.control, &fd));
    enum sm_err e = start(conn, fd);
    if (e != SM_OK) {
        close(fd);
        return e;
    }
    return cli_wait(conn, &conn->is_ready);
}

enum sm_err cli_connect(struct cli *c, struct cli_conn *out)
{
    *out = (struct cli_conn){.c = c};
    SM_TRY(cli_load_config(c, &out->config));
    enum sm_err e = open_conn(out);
    if (e == SM_OK) {
        return SM_OK;
    }
    bool is_told = out->is_closed || out->is_interrupted;
    enum sm_err told = out->is_interrupted ? SM_E_CANCELLED : SM_E_CLOSED;
    if (!is_told) {
        told = cli_fail(c, SM_E_CLOSED, "node %s is not reachable at %s: %s; is it running?",
                        out->config.node.name, out->config.listen.control, sm_err_words(e));
    }
    cli_disconnect(out);
    return told;
}

void cli_disconnect(struct cli_conn *conn)
{
    sm_mesh_free(conn->mesh);
    sm_signal_free(conn->on_int);
    sm_signal_free(conn->on_term);
    sm_loop_free(conn->loop);
    sm_wipe(conn, sizeof *conn);
}

enum sm_err cli_wait(struct cli_conn *conn, const bool *done)
{
    while (!*done) {
        if (conn->is_closed) {
            return cli_fail(conn->c, SM_E_CLOSED, "the node %s closed the connection: %s",
                            conn->config.node.name, sm_err_words(conn->why));
        }
        if (conn->is_interrupted) {
            return cli_fail(conn->c, SM_E_CANCELLED, "interrupted");
        }
        sm_loop_turn(conn->loop, true);
    }
    return SM_OK;
}

/* -- questions --------------------------------------------------------------------------- */

static void on_holders(void *ctx, enum sm_err err, const struct sm_holders *h)
{
    struct cli_conn *conn = ctx;
    conn->lookup.is_done = true;
    conn->lookup.err = err;
    conn->lookup.holders = *h;
}

enum sm_err cli_lookup(struct cli_conn *conn, const struct sm_data_id *id)
{
    conn->lookup.is_done = false;
    conn->lookup.holders.n = 0;
    conn->lookup.err = sm_find_holders(conn->mesh, id, on_holders, conn);
    return conn->lookup.err == SM_OK ? cli_wait(conn, &conn->lookup.is_done) : SM_OK;
}

struct answer {
    bool is_done;
    enum sm_err err;
    json_t *json;
};

static void on_answer(void *ctx, enum sm_err err, struct sm_view body)
{
    struct answer *a = ctx;
    a->is_done = true;
    a->err = err;
    if (err == SM_OK) {
        a->json = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
        a->err = a->json != NULL ? SM_OK : SM_E_MALFORMED;
    }
}

enum sm_err cli_query(struct cli *c, const char *what, const char *arg, json_t **out)
{
    struct cli_conn conn;
    struct answer a = {0};
    char text[128];
    int n = snprintf(text, sizeof text, "%s%s%s", what, arg != NULL ? " " : "",
                     arg != NULL ? arg : "");
    if (n < 0 || (size_t)n >= sizeof text) {
        return cli_fail(c, SM_E_USAGE, "'%s' is too long to name a node", arg);
    }
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = sm_mesh_ask(conn.mesh, SM_CTL_QUERY, sm_view_str(text), on_answer, &a);
    if (e == SM_OK) {
        e = cli_wait(&conn, &a.is_done);
    }
    sm_mesh_forget(conn.mesh, &a);
    cli_disconnect(&conn);
    SM_TRY(e);
    if (a.err == SM_E_NOTFOUND && arg != NULL) {
        return cli_fail(c, a.err,
                        "no node, or more than one, is called '%s'; see 'seemesh nodes'", arg);
    }
    if (a.err != SM_OK) {
        return cli_fail(c, a.err, "the node could not answer '%s': %s", text,
                        sm_err_words(a.err));
    }
    *out = a.json;
    return SM_OK;
}

/* -- keyring ----------------------------------------------------------------------------- */

static enum sm_err keyring_path(struct cli *c, char *out, size_t cap)
{
    char home[SM_PATH];
    SM_TRY(cli_home(c, home, sizeof home));
    char dir[SM_PATH + 8];
    snprintf(dir, sizeof dir, "%s/client", home);
    enum sm_err e = sm_dir_make(dir, 0700);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot make %s: %s", dir, sm_err_words(e));
    }
    snprintf(out, cap, "%s/objects", dir);
    return SM_OK;
}

static void wipe_text(struct sm_buf *text)
{
    if (text->p != NULL) {
        sm_wipe(text->p, text->n);
    }
    sm_buf_done(text);
}

void cli_keyring_free(struct cli_object *list, size_t n)
{
    if (list != NULL) {
        sm_wipe(list, n * sizeof *list);
    }
    free(list);
}

/* Held from reading to writing: two programs must not drop each other's references. */
static enum sm_err keyring_lock(struct cli *c, int *out)
{
    enum { TRIES = 500, PAUSE_MS = 20 };
    char path[SM_PATH + 24], lock[SM_PATH + 32];
    SM_TRY(keyring_path(c, path, sizeof path));
    snprintf(lock, sizeof lock, "%s.lock", path);
    enum sm_err e = sm_file_lock(lock, out);
    for (int i = 0; e == SM_E_BUSY && i < TRIES; i++) {
        (void)poll(NULL, 0, PAUSE_MS);
        e = sm_file_lock(lock, out);
    }
    return e == SM_OK ? e : cli_fail(c, e, "cannot lock %s: %s", lock, sm_err_words(e));
}

static bool entry_read(json_t *line, struct cli_object *o)
{
    const char *name = NULL, *ref = NULL;
    json_int_t size = 0, at = 0;
    int k = 0, n = 0;
    if (json_unpack(line, "{s:s, s:s, s:I, s:I, s:i, s:i}", "name", &name, "ref", &ref, "size",
                    &size, "put_at", &at, "k", &k, "n", &n) != 0 ||
        strlen(ref) != SM_REF_LEN || strlen(name) >= sizeof o->name || k < 1 || n < k ||
        n > 255) {
        return false;
    }
    *o = (struct cli_object){.size = (uint64_t)size,
                             .put_at = (uint64_t)at,
                             .code = {.k = (uint8_t)k, .n = (uint8_t)n}};
    memcpy(o->name, name, strlen(name) + 1);
    memcpy(o->ref, ref, SM_REF_LEN + 1);
    return true;
}

enum sm_err cli_keyring_load(struct cli *c, struct cli_object **out, size_t *n)
{
    char path[SM_PATH + 24];
    SM_CLEANUP(wipe_text) struct sm_buf text = SM_BUF(KEYRING_MAX);
    SM_TRY(keyring_path(c, path, sizeof path));
    enum sm_err e = sm_file_read(path, &text);
    if (e != SM_OK && e != SM_E_NOTFOUND) {
        return cli_fail(c, e, "cannot read %s: %s", path, sm_err_words(e));
    }
    size_t lines = 0;
    for (size_t i = 0; i < text.n; i++) {
        lines += text.p[i] == '\n';
    }
    struct cli_object *list = calloc(lines + 1, sizeof *list);
    if (list == NULL) {
        return SM_E_NOMEM;
    }
    size_t count = 0, at = 0;
    for (size_t line = 0; line < lines; line++) {
        size_t len = (size_t)((uint8_t *)memchr(text.p + at, '\n', text.n - at) - text.p) - at;
        json_t *o = json_loadb((const char *)text.p + at, len, 0, NULL);
        if (!entry_read(o, &list[count])) {
            json_decref(o);
            cli_keyring_free(list, count);
            return cli_fail(c, SM_E_CORRUPT, "%s:%zu: not a keyring entry", path, line + 1);
        }
        json_decref(o);
        count++;
        at += len + 1;
    }
    *out = list;
    *n = count;
    return SM_OK;
}

static enum sm_err keyring_save(struct cli *c, const struct cli_object *list, size_t n)
{
    char path[SM_PATH + 24];
    SM_CLEANUP(wipe_text) struct sm_buf text = SM_BUF(KEYRING_MAX);
    SM_TRY(keyring_path(c, path, sizeof path));
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:i, s:i}", "name", list[i].name, "ref",
                              list[i].ref, "size", (json_int_t)list[i].size, "put_at",
                              (json_int_t)list[i].put_at, "k", (int)list[i].code.k, "n",
                              (int)list[i].code.n);
        char *line = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
        enum sm_err e = line == NULL ? SM_E_NOMEM : sm_buf_printf(&text, "%s\n", line);
        json_decref(o);
        free(line);
        if (e != SM_OK) {
            return cli_fail(c, e, "the keyring %s is full: %s", path, sm_err_words(e));
        }
    }
    enum sm_err e = sm_file_write_atomic(path, 0600, sm_buf_view(&text));
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot write %s: %s", path, sm_err_words(e));
    }
    return SM_OK;
}

static enum sm_err add(struct cli *c, const struct cli_object *o)
{
    struct cli_object *list;
    size_t n;
    SM_TRY(cli_keyring_load(c, &list, &n)); /* with room for one more */
    list[n] = *o;
    enum sm_err e = keyring_save(c, list, n + 1);
    cli_keyring_free(list, n + 1);
    return e;
}

enum sm_err cli_keyring_add(struct cli *c, const struct cli_object *o)
{
    int lock;
    SM_TRY(keyring_lock(c, &lock));
    enum sm_err e = add(c, o);
    close(lock);
    return e;
}

static enum sm_err drop(struct cli *c, const struct sm_data_id *id)
{
    struct cli_object *list;
    size_t n, kept = 0;
    SM_TRY(cli_keyring_load(c, &list, &n));
    for (size_t i = 0; i < n; i++) {
        struct sm_ref ref;
        if (sm_ref_parse(sm_view_str(list[i].ref), &ref) != SM_OK ||
            !sm_data_id_eq(&ref.object, id)) {
            list[kept++] = list[i];
        }
    }
    enum sm_err e = keyring_save(c, list, kept);
    cli_keyring_free(list, n);
    return e;
}

enum sm_err cli_keyring_drop(struct cli *c, const struct sm_data_id *id)
{
    int lock;
    SM_TRY(keyring_lock(c, &lock));
    enum sm_err e = drop(c, id);
    close(lock);
    return e;
}

static enum sm_err ref_by_name(struct cli *c, const char *name, struct sm_ref *out)
{
    struct cli_object *list;
    size_t n;
    enum sm_err e = SM_E_NOTFOUND;
    SM_TRY(cli_keyring_load(c, &list, &n));
    for (size_t i = n; i-- > 0 && e == SM_E_NOTFOUND;) {
        if (strcmp(list[i].name, name) == 0) {
            e = sm_ref_parse(sm_view_str(list[i].ref), out);
        }
    }
    cli_keyring_free(list, n);
    if (e == SM_E_NOTFOUND) {
        return cli_fail(
            c, e, "'%s' is neither a reference (sm1:...) nor a name of 'seemesh ls'", name);
    }
    return e;
}

enum sm_err cli_ref(struct cli *c, const char *text, struct sm_ref *out)
{
    char line[SM_REF_LEN + 3];
    if (strcmp(text, "-") == 0) {
        if (fgets(line, sizeof line, stdin) == NULL) {
            return cli_fail(c, SM_E_USAGE, "no reference on standard input");
        }
        line[strcspn(line, "\r\n")] = '\0';
        text = line;
    }
    if (strncmp(text, "sm", 2) != 0 || strchr(text, ':') == NULL) {
        return ref_by_name(c, text, out);
    }
    enum sm_err e = sm_ref_parse(sm_view_str(text), out);
    if (e == SM_E_HASH) {
        return cli_fail(c, SM_E_USAGE,
                        "the reference has a typing error: its check does not fit");
    }
    if (e == SM_E_VERSION) {
        return cli_fail(c, SM_E_USAGE,
                        "the reference is of a newer kind than this program knows");
    }
    if (e != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "not a reference: it must look like sm1:ID:KEY:CHECK");
    }
    return SM_OK;
}
