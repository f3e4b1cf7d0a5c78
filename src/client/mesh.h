// SPDX-License-Identifier: Apache-2.0
#pragma once
/* mesh: an endpoint of the mesh: a client's or a SEE supervisor's link to its own node.
 *
 * The endpoint speaks to its node over a Unix socket (wire/ctl.h), gets an endpoint number and
 * a passport there, and holds its own sessions: what it sends to others is sealed in this
 * process and opened in theirs.  The node routes packets and answers questions about nodes and
 * records; records are verified here again, against the anchor of the endpoint's own
 * configuration, because the node is not trusted with that.
 *
 *     sm_mesh_new(&cfg, &mesh);                 ... cfg.ready(ctx) when it may be used
 *     sm_mesh_request(mesh, addr, dh_key, SM_SERVICE_STORE, body, SM_S(10), done, ctx, &id);
 *
 * Callbacks run from the event loop, never from inside a call into this module; every request
 * that was accepted is answered exactly once, also when the mesh is freed (CANCELLED).
 *
 * Memory:  one allocation a mesh, one a pending call; both capped.
 * Threads: the loop's.
 */
#include "attest/rules.h"
#include "core/session.h"
#include "crypto/suite.h"
#include "os/loop.h"
#include "wire/ctl.h"

#define SM_MESH_NODES_MAX 1024u /* one area */
#define SM_MESH_CALLS_MAX 4096u /* questions and requests under way */

struct sm_mesh;

/* One node of the mesh as our node sees it; its record verified by us. */
struct sm_mesh_node {
    struct sm_node_record record;
    struct sm_hop hop;
    uint32_t trust_q16;
    uint32_t path_cost_16; /* 1/16 ms */
    uint8_t n_slots;       /* 0: unreachable now */
    bool is_self;          /* the node we are attached to */
};

typedef void sm_mesh_done_fn(void *ctx, enum sm_err err, struct sm_view body);

struct sm_mesh_cfg {
    struct sm_loop *loop;
    const struct sm_anchor *anchor; /* must outlive the mesh */
    int fd;                         /* connected to the node; owned from success on */
    uint8_t kind;                   /* SM_CTL_CLIENT or SM_CTL_SEE */
    struct sm_view endpoint;        /* a SEE's signed ENDPOINT record; else empty; copied */
    struct sm_dh_pair dh;
    struct sm_sign_pair sign;
    uint8_t seed[32];
    enum sm_aead_kind cipher;
    void *ctx;
    /* The node took us in: sm_mesh_self() and sm_mesh_passport() are known. */
    void (*ready)(void *ctx);
    /* The link to the node ended, or never began; nothing works any more.  Free the mesh. */
    void (*closed)(void *ctx, enum sm_err why);
    /* A request of another endpoint; answer with sm_mesh_reply.  NULL: all are refused. */
    void (*request)(void *ctx, uint64_t handle, const struct sm_passport *peer, uint8_t service,
                    struct sm_view body);
    /* May the holder of this key open a session to us?  NULL: nobody may. */
    bool (*may_open)(void *ctx, const uint8_t dh_key[static 32]);
};

enum sm_err sm_mesh_new(const struct sm_mesh_cfg *cfg, struct sm_mesh **out) SM_MUST;
void sm_mesh_free(struct sm_mesh *m);

struct sm_addr sm_mesh_self(const struct sm_mesh *m);
struct sm_view sm_mesh_passport(const struct sm_mesh *m);
const uint8_t *sm_mesh_dh_key(const struct sm_mesh *m); /* ours, public; 32 bytes */
/* What is believed of others: cfg.anchor, and the documents that the node showed and that
 * verify here.  Lives as long as the mesh. */
const struct sm_anchor *sm_mesh_anchor(const struct sm_mesh *m);
const struct sm_rules *sm_mesh_rules(const struct sm_mesh *m);
struct sm_loop *sm_mesh_loop(const struct sm_mesh *m);
struct sm_mono sm_mesh_now(const struct sm_mesh *m);

/* A request to another endpoint, end to end.  BUSY at a cap. */
enum sm_err sm_mesh_request(struct sm_mesh *m, struct sm_addr dst,
                            const uint8_t dh_key[static 32], uint8_t service,
                            struct sm_view body, struct sm_dur deadline, sm_mesh_done_fn *done,
                            void *ctx) SM_MUST;
/* Answer a request that came by cfg.request. */
void sm_mesh_reply(struct sm_mesh *m, uint64_t handle, enum sm_err err, struct sm_view body);

/* A question to our own node (wire/ctl.h); body of the reply without its error.  TIMEOUT when
 * there is none within 30 s. */
enum sm_err sm_mesh_ask(struct sm_mesh *m, enum sm_ctl_type type, struct sm_view body,
                        sm_mesh_done_fn *done, void *ctx) SM_MUST;
/* With a descriptor, which is the mesh's when this succeeds; -1: none. */
enum sm_err sm_mesh_ask_fd(struct sm_mesh *m, enum sm_ctl_type type, struct sm_view body,
                           int fd, sm_mesh_done_fn *done, void *ctx) SM_MUST;

/* Read a NODES reply: verified records only, each node once, as many as fit. */
size_t sm_mesh_read_nodes(struct sm_mesh *m, struct sm_view body, struct sm_mesh_node *out,
                          size_t max);

/* A SEE has a new ENDPOINT record: its node makes a passport of it. */
enum sm_err sm_mesh_renew(struct sm_mesh *m, struct sm_view endpoint) SM_MUST;

/* Tell our node what another one did (enum sm_trust_kind). */
void sm_mesh_observe(struct sm_mesh *m, struct sm_hop node, uint8_t kind);

/* Forget every call whose context is ctx: its owner is going away. */
void sm_mesh_forget(struct sm_mesh *m, const void *ctx);
