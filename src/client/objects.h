// SPDX-License-Identifier: Apache-2.0
#pragma once
/* objects: store and read objects of the mesh from an endpoint.
 *
 * Joins the machines of core/put.h and core/get.h to a mesh: finds holders, carries their
 * requests over sessions, tells our node how the holders behaved.  Encryption, coding and
 * checking happen in this process; only ciphertext leaves it.
 *
 * Each operation ends in exactly one done callback, from the event loop, after which the
 * operation is freed by itself.  x_cancel() ends it without the callback.
 *
 * Source:  DESIGN 10.
 */
#include "client/mesh.h"
#include "core/get.h"
#include "core/put.h"

/* -- where an object is ------------------------------------------------------------------ */

/* A node that announced shards of a data id, by preference: trusted and near first. */
struct sm_holder {
    struct sm_hop node;
    uint8_t dh_key[32];
    uint64_t held; /* shard indexes */
    char owner[SM_NODE_OWNER_MAX + 1];
};

struct sm_holders {
    struct sm_holder list[SM_GET_HOLDERS_MAX];
    unsigned n;
    unsigned asked, paths; /* of the lookup, for "data not found" */
};

/* NOTFOUND with asked and paths set when nobody announced it. */
typedef void sm_holders_fn(void *ctx, enum sm_err err, const struct sm_holders *h);
enum sm_err sm_find_holders(struct sm_mesh *m, const struct sm_data_id *id, sm_holders_fn *done,
                            void *ctx) SM_MUST;

/* -- put --------------------------------------------------------------------------------- */

struct sm_put_result {
    enum sm_err err;
    const char *reason; /* one line for people when err is not OK */
    struct sm_ref ref;
    struct sm_code code;
    unsigned nodes; /* that could have held shards */
    uint64_t size;
    unsigned n_rows;
    struct {
        char owner[SM_NODE_OWNER_MAX + 1];
        struct sm_node_id node;
        struct sm_put_row row;
    } rows[SM_PUT_HOLDERS_MAX];
};

struct sm_put_io_cfg {
    struct sm_mesh *mesh;
    uint8_t seed[32]; /* secret randomness: the object's key is drawn from it */
    enum sm_aead_kind cipher;
    void *ctx;
    /* Fill buf with up to cap bytes of plaintext; *n = 0 at the end. */
    enum sm_err (*read)(void *ctx, uint8_t *buf, size_t cap, size_t *n);
    void (*progress)(void *ctx, const struct sm_put_progress *p); /* may be NULL */
    void (*done)(void *ctx, const struct sm_put_result *r);
};

struct sm_put_io;
enum sm_err sm_put_io_start(const struct sm_put_io_cfg *cfg, struct sm_put_io **out) SM_MUST;
/* Take back what was staged; done comes when the holders have answered.  Not after done. */
void sm_put_io_cancel(struct sm_put_io *p);

/* -- get --------------------------------------------------------------------------------- */

struct sm_get_io_cfg {
    struct sm_mesh *mesh;
    struct sm_ref ref;
    const struct sm_holders *holders; /* copied */
    uint64_t from, to;                /* clipped to the object */
    void *ctx;
    void (*info)(void *ctx, uint64_t size, struct sm_code code); /* may be NULL */
    /* The next plaintext, in order.  An error ends the get with it. */
    enum sm_err (*bytes)(void *ctx, uint64_t offset, struct sm_view bytes);
    /* Shards are missing, so holders are looked for once more.  May be NULL. */
    void (*again)(void *ctx, const char *why);
    /* reason: one line for people when err is not OK. */
    void (*done)(void *ctx, enum sm_err err, const char *reason);
};

struct sm_get_io;
enum sm_err sm_get_io_start(const struct sm_get_io_cfg *cfg, struct sm_get_io **out) SM_MUST;
/* Move the end of the range; only from the bytes callback. */
void sm_get_io_extend(struct sm_get_io *g, uint64_t to);
/* Nothing more is wanted: ends with OK.  Only from the bytes callback. */
void sm_get_io_enough(struct sm_get_io *g);
void sm_get_io_cancel(struct sm_get_io *g);

/* -- remove ------------------------------------------------------------------------------ */

/* Ask every holder to remove the object; `removed` of `holders` did. */
typedef void sm_remove_fn(void *ctx, enum sm_err err, unsigned removed, unsigned holders);
enum sm_err sm_remove_start(struct sm_mesh *m, const struct sm_ref *ref,
                            const struct sm_holders *holders, sm_remove_fn *done,
                            void *ctx) SM_MUST;
