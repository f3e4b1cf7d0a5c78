// SPDX-License-Identifier: Apache-2.0
/* Where an object is, and taking it away. */
#include "client/objects.h"
#include "os/clock.h"
#include "wire/provider.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REMOVE_DEADLINE SM_S(10)

struct find {
    struct sm_mesh *mesh;
    struct sm_data_id id;
    sm_holders_fn *done;
    void *ctx;
    struct sm_mesh_node *nodes;
    size_t n_nodes;
    struct sm_holders found;
};

static void find_end(struct find *f, enum sm_err err)
{
    f->done(f->ctx, err, &f->found);
    free(f->nodes);
    free(f);
}

static const struct sm_mesh_node *node_of(const struct find *f, const struct sm_node_id *id)
{
    for (size_t i = 0; i < f->n_nodes; i++) {
        if (sm_node_id_eq(&f->nodes[i].record.node_id, id)) {
            return &f->nodes[i];
        }
    }
    return NULL;
}

static bool is_listed(const struct find *f, struct sm_hop hop)
{
    for (unsigned i = 0; i < f->found.n; i++) {
        if (f->found.list[i].node.v == hop.v) {
            return true;
        }
    }
    return false;
}

/* One record of the lookup.  Only its signer may say what it holds, and only once: our own node
 * could make up records, or show old ones beside the new. */
static void take_record(struct find *f, struct sm_view record)
{
    struct sm_provider p;
    if (f->found.n == SM_GET_HOLDERS_MAX || sm_provider_read(record, &p) != SM_OK ||
        !sm_data_id_eq(&p.key, &f->id) || p.kind != SM_PROVIDER_SHARDS || p.frag_map == 0) {
        return;
    }
    const struct sm_mesh_node *node = node_of(f, &p.node_id);
    if (node == NULL || (node->n_slots == 0 && !node->is_self) || is_listed(f, node->hop) ||
        sm_record_verify(sm_suite_real(), sm_mesh_anchor(f->mesh), sm_clock_wall(), record,
                         SM_RECORD_PROVIDER, node->record.sign_key) != SM_OK) {
        return;
    }
    struct sm_holder *h = &f->found.list[f->found.n++];
    *h = (struct sm_holder){.node = node->hop, .held = p.frag_map};
    memcpy(h->dh_key, node->record.dh_key, sizeof h->dh_key);
    memcpy(h->owner, node->record.owner, sizeof h->owner);
}

static uint32_t cost_of(const struct find *f, struct sm_hop hop)
{
    for (size_t i = 0; i < f->n_nodes; i++) {
        if (f->nodes[i].hop.v == hop.v) {
            return f->nodes[i].path_cost_16;
        }
    }
    return UINT32_MAX;
}

/* Near and trusted holders first, as our node's path costs have it. */
static void order_by_cost(struct find *f)
{
    for (unsigned i = 1; i < f->found.n; i++) {
        struct sm_holder h = f->found.list[i];
        uint32_t cost = cost_of(f, h.node);
        unsigned at = i;
        for (; at > 0 && cost_of(f, f->found.list[at - 1].node) > cost; at--) {
            f->found.list[at] = f->found.list[at - 1];
        }
        f->found.list[at] = h;
    }
}

static void on_found(void *ctx, enum sm_err err, struct sm_view body)
{
    struct find *f = ctx;
    struct sm_ctl_found found;
    if (err != SM_OK && err != SM_E_NOTFOUND) {
        find_end(f, err);
        return;
    }
    enum sm_err e = sm_ctl_found_read(body, &found);
    if (e != SM_OK) {
        find_end(f, err != SM_OK ? err : e);
        return;
    }
    f->found.asked = found.asked;
    f->found.paths = found.paths;
    struct sm_rd r = sm_rd_init(found.records);
    for (unsigned i = 0; i < found.n; i++) {
        take_record(f, sm_rd_blob(&r, SM_RECORD_MAX));
    }
    order_by_cost(f);
    find_end(f, f->found.n > 0 ? SM_OK : SM_E_NOTFOUND);
}

static void on_nodes(void *ctx, enum sm_err err, struct sm_view body)
{
    struct find *f = ctx;
    if (err != SM_OK) {
        find_end(f, err);
        return;
    }
    f->n_nodes = sm_mesh_read_nodes(f->mesh, body, f->nodes, SM_MESH_NODES_MAX);
    struct sm_ctl_find q = {.type = SM_RECORD_PROVIDER};
    memcpy(q.key, f->id.b, sizeof q.key);
    uint8_t ask[64];
    struct sm_wr w = sm_wr_init(ask, sizeof ask);
    sm_ctl_find_write(&w, &q);
    enum sm_err e = sm_mesh_ask(f->mesh, SM_CTL_FIND, sm_view_of(ask, w.n), on_found, f);
    if (e != SM_OK) {
        find_end(f, e);
    }
}

enum sm_err sm_find_holders(struct sm_mesh *m, const struct sm_data_id *id, sm_holders_fn *done,
                            void *ctx)
{
    struct find *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return SM_E_NOMEM;
    }
    *f = (struct find){.mesh = m, .id = *id, .done = done, .ctx = ctx};
    f->nodes = calloc(SM_MESH_NODES_MAX, sizeof *f->nodes);
    enum sm_err e = f->nodes == NULL
                        ? SM_E_NOMEM
                        : sm_mesh_ask(m, SM_CTL_NODES, (struct sm_view){0}, on_nodes, f);
    if (e != SM_OK) {
        free(f->nodes);
        free(f);
    }
    return e;
}

/* -- remove ------------------------------------------------------------------------------ */

struct remove {
    sm_remove_fn *done;
    void *ctx;
    unsigned waiting, removed, holders;
    enum sm_err err;
};

static void on_removed(void *ctx, enum sm_err err, struct sm_view body)
{
    struct remove *r = ctx;
    (void)body;
    if (err == SM_OK || err == SM_E_NOTFOUND) {
        r->removed++;
    } else {
        r->err = err;
    }
    if (--r->waiting == 0) {
        r->done(r->ctx, r->err, r->removed, r->holders);
        free(r);
    }
}

enum sm_err sm_remove_start(struct sm_mesh *m, const struct sm_ref *ref,
                            const struct sm_holders *holders, sm_remove_fn *done, void *ctx)
{
    struct remove *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return SM_E_NOMEM;
    }
    *r = (struct remove){.done = done, .ctx = ctx, .holders = holders->n, .err = SM_OK};
    struct sm_store_req req = {.op = SM_STORE_REMOVE, .object = ref->object};
    sm_object_remove_token(&ref->key, &req.token);
    uint8_t body[SM_STORE_HEAD_MAX];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    enum sm_err e = sm_store_req_write(&w, &req);
    for (unsigned i = 0; e == SM_OK && i < holders->n; i++) {
        const struct sm_holder *h = &holders->list[i];
        e = sm_mesh_request(m, (struct sm_addr){h->node, SM_EP_NODE}, h->dh_key,
                            SM_SERVICE_STORE, sm_view_of(body, w.n), REMOVE_DEADLINE,
                            on_removed, r);
        r->waiting += e == SM_OK;
    }
    if (r->waiting == 0) {
        free(r);
        return e != SM_OK ? e : SM_E_NOTFOUND;
    }
    r->err = e; /* the ones already asked will end it */
    return SM_OK;
}
