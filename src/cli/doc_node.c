// SPDX-License-Identifier: Apache-2.0
/* The part of documents.h that speaks to a node. */
#include "cli/documents.h"

#include "os/clock.h"
#include "wire/bulletin.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* -- questions ---------------------------------------------------------------------------- */

struct reply {
    bool is_done;
    enum sm_err err;
    struct sm_buf body;
};

static void on_reply(void *ctx, enum sm_err err, struct sm_view body)
{
    struct reply *r = ctx;
    enum sm_err e = sm_buf_add(&r->body, body.p, body.n);
    r->err = err == SM_OK ? e : err; /* of a refusal, what there is of its words */
    r->is_done = true;
}

static enum sm_err ask(struct cli_conn *conn, enum sm_ctl_type type, struct sm_view body,
                       struct reply *r)
{
    enum sm_err e = sm_mesh_ask(conn->mesh, type, body, on_reply, r);
    if (e == SM_OK) {
        e = cli_wait(conn, &r->is_done);
    }
    sm_mesh_forget(conn->mesh, r);
    return e;
}

/* -- documents ---------------------------------------------------------------------------- */

enum sm_err cli_doc_of_node(struct cli_conn *conn, uint8_t kind, struct sm_buf *out)
{
    static const uint8_t no_name[SM_DOC_NAME];
    struct sm_doc d;
    if (!sm_rules_find(sm_mesh_rules(conn->mesh), sm_clock_wall(), kind, no_name, &d)) {
        return SM_OK;
    }
    enum sm_err e = sm_buf_add(out, d.bytes.p, d.bytes.n);
    return e == SM_OK ? SM_OK : cli_fail(conn->c, e, "%s", sm_err_words(e));
}

enum sm_err cli_doc_offer(struct cli_conn *conn, uint8_t kind, struct sm_view doc)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf body = SM_BUF(SM_DOC_MAX + 64);
    struct reply r = {.body = SM_BUF(65536)};
    uint8_t *room;
    enum sm_err e = sm_buf_room(&body, doc.n + 64, &room);
    if (e != SM_OK) {
        return cli_fail(conn->c, e, "%s", sm_err_words(e));
    }
    struct sm_wr w = sm_wr_init(room, doc.n + 64);
    sm_ctl_doc_write(&w, &(struct sm_ctl_doc){kind, doc});
    e = ask(conn, SM_CTL_OFFER, sm_view_of(w.p, w.n), &r);
    bool is_same = r.err == SM_E_EXISTS && r.body.n == 0;
    if (e == SM_OK && r.err != SM_OK && !is_same) {
        e = cli_fail(conn->c, r.err, "the node refuses it: %s%s%.*s", sm_err_words(r.err),
                     r.body.n > 0 ? ": " : "", (int)r.body.n, (const char *)r.body.p);
    }
    sm_buf_done(&r.body);
    return e;
}

/* -- nodes -------------------------------------------------------------------------------- */

struct nodes {
    size_t n;
    struct sm_mesh_node *v; /* owned */
};

static enum sm_err nodes_load(struct cli_conn *conn, struct nodes *out)
{
    struct reply r = {.body = SM_BUF(SM_CTL_BODY_MAX)};
    out->n = 0;
    out->v = calloc(SM_MESH_NODES_MAX, sizeof *out->v);
    enum sm_err e = out->v == NULL ? cli_fail(conn->c, SM_E_NOMEM, "out of memory")
                                   : ask(conn, SM_CTL_NODES, (struct sm_view){0}, &r);
    if (e == SM_OK && r.err != SM_OK) {
        e = cli_fail(conn->c, r.err, "the node does not list the nodes: %s",
                     sm_err_words(r.err));
    }
    if (e == SM_OK) {
        out->n =
            sm_mesh_read_nodes(conn->mesh, sm_buf_view(&r.body), out->v, SM_MESH_NODES_MAX);
    }
    sm_buf_done(&r.body);
    return e;
}

enum sm_err cli_node_named(struct cli_conn *conn, const char *text, struct sm_node_record *out)
{
    struct nodes all;
    size_t found = 0, text_n = strlen(text);
    enum sm_err e = nodes_load(conn, &all);
    for (size_t i = 0; e == SM_OK && i < all.n; i++) {
        char id[SM_B32_LEN(32) + 1];
        const struct sm_node_record *r = &all.v[i].record;
        sm_b32(r->node_id.b, 32, id);
        if (strcmp(text, r->owner) == 0 || (text_n >= 8 && strncmp(text, id, text_n) == 0)) {
            *out = *r;
            found++;
        }
    }
    free(all.v);
    SM_TRY(e);
    if (found != 1) {
        return cli_fail(conn->c, SM_E_NOTFOUND,
                        "%s called '%s'; see 'seemesh nodes', or give the whole id",
                        found == 0 ? "no node is" : "several nodes are", text);
    }
    return SM_OK;
}

bool cli_version_of_node(struct cli *c, uint64_t *out)
{
    struct cli quiet = *c;
    struct cli_conn conn;
    quiet.is_probe = quiet.quiet = true;
    if (cli_connect(&quiet, &conn) != SM_OK) {
        return false;
    }
    const struct sm_mesh_manifest *m = sm_rules_manifest(sm_mesh_rules(conn.mesh));
    *out = m != NULL ? m->version : 0;
    cli_disconnect(&conn);
    return true;
}

static bool is_hit(const struct sm_node_record *r, const struct sm_revoked *e)
{
    struct sm_node_record other = *r;
    switch (e->kind) {
    case SM_REVOKED_NODE:
        return memcmp(r->node_id.b, e->id.b, 32) == 0;
    case SM_REVOKED_PLATFORM:
        return e->id.n == 32 && memcmp(r->platform_id, e->id.b, 32) == 0;
    case SM_REVOKED_MEASUREMENT:
        memset(other.measurement, 0, sizeof other.measurement);
        memcpy(other.measurement, e->id.b, e->id.n < 48 ? e->id.n : 48);
        return memcmp(r->measurement, other.measurement, 48) == 0;
    default:
        return false; /* a root is not named in records */
    }
}

enum sm_err cli_nodes_hit(struct cli_conn *conn, const struct sm_revoked *entry, json_t *out)
{
    struct nodes all;
    enum sm_err e = nodes_load(conn, &all);
    for (size_t i = 0; e == SM_OK && i < all.n; i++) {
        if (is_hit(&all.v[i].record, entry)) {
            json_array_append_new(out, json_string(all.v[i].record.owner));
        }
    }
    free(all.v);
    return e;
}

/* -- manifests ---------------------------------------------------------------------------- */

/* A label of what an owner's name has of its letters. */
static void label_of(const struct sm_node_record *r, size_t number, char out[SM_LABEL_MAX + 1])
{
    char name[SM_NODE_OWNER_MAX + 1];
    size_t n = 0;
    for (const char *p = r->owner; *p != '\0' && n < 20; p++) {
        char low = *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p;
        bool is_good = (low >= 'a' && low <= 'z') || (low >= '0' && low <= '9');
        name[n++] = is_good ? low : '-';
    }
    name[n] = '\0';
    (void)snprintf(out, SM_LABEL_MAX + 1, "%.20s-%u", name, (unsigned)(number % 1000));
}

static enum sm_err add_node(struct sm_mesh_manifest *m, const struct sm_node_record *r)
{
    struct sm_refval v = {.platform = r->platform,
                          .kind = SM_REFVAL_MEASUREMENT,
                          .state = SM_REFVAL_ACTIVE,
                          .value = {.n = r->platform == SM_PLATFORM_SGX ? 32 : 48}};
    memcpy(v.value.b, r->measurement, v.value.n);
    label_of(r, m->n_refs, v.label);
    enum sm_err e = sm_mesh_manifest_add(m, &v);
    return e == SM_E_EXISTS ? SM_OK : e; /* many nodes run the same */
}

enum sm_err cli_manifest_add_self(struct cli_conn *conn, struct sm_mesh_manifest *m)
{
    struct nodes all;
    enum sm_err e = nodes_load(conn, &all);
    for (size_t i = 0; e == SM_OK && i < all.n; i++) {
        if (all.v[i].is_self) {
            e = add_node(m, &all.v[i].record);
        }
    }
    free(all.v);
    return e;
}

enum sm_err cli_manifest_add_nodes(struct cli *c, struct sm_mesh_manifest *m)
{
    struct cli_conn conn;
    struct nodes all;
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = nodes_load(&conn, &all);
    for (size_t i = 0; e == SM_OK && i < all.n; i++) {
        e = add_node(m, &all.v[i].record);
        if (e != SM_OK) {
            e = cli_fail(c, e, "the nodes' measurements do not fit: %s", sm_err_words(e));
        }
    }
    free(all.v);
    cli_disconnect(&conn);
    return e;
}

/* -- what is in force where --------------------------------------------------------------- */

#define VERSION_LIMIT SM_S(5)
#define ASKED_MAX     32u /* nodes at a time: each costs a session */

/* One node that is asked. */
struct asked {
    struct survey *s;
    const struct sm_mesh_node *node;
    bool is_asked, is_done;
    enum sm_err err;
    uint64_t manifest, revocations; /* versions; 0: none */
};

struct survey {
    struct cli_conn *conn;
    size_t n, next, running;
    struct asked *v; /* owned */
    bool is_done;
};

static void survey_more(struct survey *s);

static void on_digest(void *ctx, enum sm_err err, struct sm_view body)
{
    struct asked *a = ctx;
    struct sm_bulletin_message m;
    a->is_done = true;
    a->err = err == SM_OK ? sm_bulletin_message_read(body, &m) : err;
    if (a->err == SM_OK && m.op != SM_BULLETIN_DIGEST) {
        a->err = SM_E_MALFORMED;
    }
    for (size_t i = 0; a->err == SM_OK && i < m.n_docs; i++) {
        a->manifest = m.docs[i].kind == SM_DOC_MANIFEST ? m.docs[i].version : a->manifest;
        a->revocations =
            m.docs[i].kind == SM_DOC_REVOCATION ? m.docs[i].version : a->revocations;
    }
    a->s->running--;
    survey_more(a->s);
}

static void survey_ask(struct survey *s, struct asked *a)
{
    a->is_asked = true;
    a->err = a->node->n_slots == 0
                 ? SM_E_UNREACHABLE
                 : sm_mesh_request(s->conn->mesh, (struct sm_addr){a->node->hop, SM_EP_NODE},
                                   a->node->record.dh_key, SM_SERVICE_DOCS, (struct sm_view){0},
                                   VERSION_LIMIT, on_digest, a);
    a->is_done = a->err != SM_OK;
    s->running += a->is_done ? 0 : 1;
}

static void survey_more(struct survey *s)
{
    while (s->next < s->n && s->running < ASKED_MAX) {
        survey_ask(s, &s->v[s->next++]);
    }
    s->is_done = s->next == s->n && s->running == 0;
}

static json_t *survey_json(const struct asked *a)
{
    char id[SM_B32_LEN(32) + 1];
    sm_b32(a->node->record.node_id.b, 32, id);
    json_t *o = json_pack("{s:s, s:s, s:b}", "node", id, "owner", a->node->record.owner,
                          "online", a->err == SM_OK);
    if (a->err == SM_OK) {
        json_object_set_new(o, "manifest", json_integer((json_int_t)a->manifest));
        json_object_set_new(o, "revocations", json_integer((json_int_t)a->revocations));
    } else {
        json_object_set_new(o, "error", json_string(sm_err_words(a->err)));
    }
    return o;
}

static enum sm_err versions_load(struct cli_conn *conn, json_t **out)
{
    struct nodes all;
    struct survey s = {.conn = conn};
    enum sm_err e = nodes_load(conn, &all);
    s.v = e == SM_OK ? calloc(all.n > 0 ? all.n : 1, sizeof *s.v) : NULL;
    if (e == SM_OK && s.v == NULL) {
        e = cli_fail(conn->c, SM_E_NOMEM, "out of memory");
    }
    if (e == SM_OK) {
        s.n = all.n;
        for (size_t i = 0; i < s.n; i++) {
            s.v[i] = (struct asked){.s = &s, .node = &all.v[i]};
        }
        survey_more(&s);
        e = cli_wait(conn, &s.is_done);
    }
    json_t *list = json_array();
    for (size_t i = 0; e == SM_OK && i < s.n; i++) {
        json_array_append_new(list, survey_json(&s.v[i]));
    }
    for (size_t i = 0; i < s.n; i++) {
        sm_mesh_forget(conn->mesh, &s.v[i]);
    }
    free(s.v);
    free(all.v);
    if (e != SM_OK) {
        json_decref(list);
        return e;
    }
    *out = list;
    return SM_OK;
}

/* -- until it is everywhere --------------------------------------------------------------- */

#define SPREAD_LIMIT SM_S(10)

/* How many of the nodes that answer have that version at least. */
static void count(json_t *nodes, const char *key, uint64_t version, struct cli_spread *out)
{
    size_t i;
    json_t *o;
    *out = (struct cli_spread){.known = json_array_size(nodes)};
    json_array_foreach(nodes, i, o)
    {
        if (json_is_true(json_object_get(o, "online"))) {
            out->online++;
            out->have +=
                (uint64_t)json_integer_value(json_object_get(o, key)) >= version ? 1 : 0;
        }
    }
}

enum sm_err cli_doc_spread(struct cli_conn *conn, uint8_t kind, uint64_t version,
                           struct cli_spread *out)
{
    const char *key = kind == SM_DOC_MANIFEST ? "manifest" : "revocations";
    struct sm_mono end = sm_after(sm_clock_mono(), SPREAD_LIMIT);
    for (;;) {
        json_t *nodes = NULL;
        SM_TRY(versions_load(conn, &nodes));
        count(nodes, key, version, out);
        json_decref(nodes);
        if (out->have == out->online || sm_is_due(end, sm_clock_mono())) {
            return SM_OK;
        }
        poll(NULL, 0, 50);
    }
}

void cli_print_versions(json_t *nodes)
{
    struct cli_table t = {.head = {"# owner", "manifest", "revocations", ""}, .columns = 4};
    size_t i;
    json_t *o;
    json_array_foreach(nodes, i, o)
    {
        char owner[64], manifest[24] = "-", revocations[24] = "-";
        bool is_online = json_is_true(json_object_get(o, "online"));
        (void)snprintf(owner, sizeof owner, "# %s",
                       json_string_value(json_object_get(o, "owner")));
        if (is_online) {
            (void)snprintf(manifest, sizeof manifest, "%lld",
                           (long long)json_integer_value(json_object_get(o, "manifest")));
            (void)snprintf(revocations, sizeof revocations, "%lld",
                           (long long)json_integer_value(json_object_get(o, "revocations")));
        }
        cli_table_row(&t, owner, manifest, revocations,
                      is_online ? "" : json_string_value(json_object_get(o, "error")));
    }
    cli_table_print(&t, stdout);
}

enum sm_err cli_manifest_of_node(struct cli *c, struct cli_manifest *out, json_t **nodes)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    struct cli_conn conn;
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = cli_doc_of_node(&conn, SM_DOC_MANIFEST, &doc);
    if (e == SM_OK && doc.n == 0) {
        e = cli_fail(c, SM_E_NOTFOUND,
                     "no manifest is in force: the node judges by its configuration alone");
    }
    if (e == SM_OK) {
        e = cli_manifest_of_doc(c, "the node's manifest", sm_buf_view(&doc), &conn.anchor, out);
    }
    if (e == SM_OK && nodes != NULL) {
        e = versions_load(&conn, nodes);
    }
    cli_disconnect(&conn);
    return e;
}
