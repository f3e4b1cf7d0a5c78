// SPDX-License-Identifier: Apache-2.0
#pragma once
/* conn: a command's link to its node, and the keyring of references it keeps.
 *
 * A command opens one, starts what it wants, and turns the loop until that is done:
 *
 *     SM_TRY(cli_connect(c, &conn));
 *     ... start, with callbacks that set w.is_done ...
 *     e = cli_wait(&conn, &w.is_done);
 *     cli_disconnect(&conn);
 */
#include "cli/cli.h"
#include "client/mesh.h"
#include "client/objects.h"
#include "proc/config.h"

struct cli_conn {
    struct cli *c;
    struct sm_config config;
    struct sm_anchor anchor;
    struct sm_loop *loop;
    struct sm_mesh *mesh;
    struct sm_signal *on_int, *on_term;
    uint8_t seed[32]; /* secret randomness for what the command makes */
    bool is_ready, is_closed, is_interrupted;
    enum sm_err why;
    /* Of cli_lookup(); here, because a wait may end before the lookup does. */
    struct {
        bool is_done;
        enum sm_err err;
        struct sm_holders holders;
    } lookup;
};

/* Says what is wrong and returns CLOSED when the node cannot be reached. */
enum sm_err cli_connect(struct cli *c, struct cli_conn *out) SM_MUST;
void cli_disconnect(struct cli_conn *conn);

/* Turn the loop until *done.  CLOSED: the node went away (said already); CANCELLED: Ctrl-C. */
enum sm_err cli_wait(struct cli_conn *conn, const bool *done) SM_MUST;

/* Look for an object's holders; what came of it is in conn->lookup.  Errors are cli_wait's. */
enum sm_err cli_lookup(struct cli_conn *conn, const struct sm_data_id *id) SM_MUST;

/* The configuration of that home.  Complains itself. */
enum sm_err cli_load_config(struct cli *c, struct sm_config *out) SM_MUST;

/* The node's home: --home, SEEMESH_HOME, or ~/.seemesh. */
enum sm_err cli_home(struct cli *c, char *out, size_t cap) SM_MUST;

/* A JSON answer of the node; *out is new.  Complains itself. */
enum sm_err cli_query(struct cli *c, const char *what, const char *arg, json_t **out) SM_MUST;

/* -- keyring ----------------------------------------------------------------------------- */

/* What was put from here, by name: one JSON object a line in HOME/client/objects, mode 0600,
 * because a reference holds the object's key.  This is the one place that asks for a key. */
struct cli_object {
    char name[256];
    char ref[SM_REF_LEN + 1];
    uint64_t size;
    uint64_t put_at;
    struct sm_code code;
};
enum sm_err cli_keyring_add(struct cli *c, const struct cli_object *o) SM_MUST;
/* All entries, newest last; give them back with cli_keyring_free(). */
enum sm_err cli_keyring_load(struct cli *c, struct cli_object **out, size_t *n) SM_MUST;
void cli_keyring_free(struct cli_object *list, size_t n); /* wipes the keys in it */
/* Drop every entry of that data id. */
enum sm_err cli_keyring_drop(struct cli *c, const struct sm_data_id *id) SM_MUST;
/* A reference as typed: "sm1:...", "-" (read from stdin), or a name of the keyring.
 * Complains itself. */
enum sm_err cli_ref(struct cli *c, const char *text, struct sm_ref *out) SM_MUST;
