// SPDX-License-Identifier: Apache-2.0
#pragma once
/* ipc: how the programs of one node talk, and the table of who may ask whom for what.
 *
 * A message is a frame on a Unix stream socket: {u32 body length, u16 type, u16 flags (1 = a
 * descriptor rides along), u64 id}, then the body.  The id pairs an answer with its request;
 * the asker chooses it.  Every (from, to, type) that may be sent is one row of the table in
 * ipc.c, with its largest body; what has no row, comes twice though it may come once, answers
 * what nobody asked, or is too long, is a violation: the channel ends, and main restarts the
 * program that did it.
 *
 *     main   -> net keys store run   CONFIG PEER SHUTDOWN LOG_LEVEL
 *     main   -> net keys             DOCUMENT
 *     net    -> keys                 DOCUMENT                  keys -> main   KEEP
 *     all    -> main                 READY LOG HEALTH VIOLATION
 *     main   -> net                  LISTENER ENDPOINT SEE_SPAWNED SEE_EXIT
 *     net    -> main                 SEE_SPAWN SEE_STOP
 *     main   -> run                  LAUNCH CERTIFIED          run  -> main   CERTIFY
 *     net    -> keys                 SIGN CERTIFY              keys -> net    SIGNED CERTIFIED
 *     main   -> keys                 CERTIFY                   keys -> main   CERTIFIED
 *     keys   -> net                  IDENTITY
 *     net    -> store                STORE_RPC                 store -> net   STORE_REPLY
 *     store  -> net                  PUBLISH UNPUBLISH
 *
 * Memory:  a channel holds at most one unfinished message of the other side and a bounded
 *          queue of its own.
 * Errors:  sm_ipc_send: LIMIT (queue full), CLOSED, NOMEM.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "os/loop.h"

enum sm_prog { SM_PROG_MAIN, SM_PROG_NET, SM_PROG_KEYS, SM_PROG_STORE, SM_PROG_RUN, SM_PROGS };
const char *sm_prog_name(enum sm_prog role); /* "main", "net", ... */

#define SM_IPC_TYPES(X)                                                                        \
    X(CONFIG, 1)       /* the canonical configuration */                                       \
    X(PEER, 2)         /* u8 role; descriptor: a channel to that program; replaces an older */ \
    X(SHUTDOWN, 3)     /* finish and exit */                                                   \
    X(LOG_LEVEL, 4)    /* u8 level */                                                          \
    X(READY, 5)        /* text: what confinement is in force */                                \
    X(LOG, 6)          /* struct sm_ipc_log */                                                 \
    X(HEALTH, 7)       /* text: key=value ... */                                               \
    X(LISTENER, 8)     /* u8 enum sm_ipc_listener, text of the address; descriptor */          \
    X(ENDPOINT, 9)     /* u64 instance; descriptor: the channel of a new SEE's supervisor */   \
    X(SEE_SPAWN, 10)   /* launch settings: a START of wire/see_rpc.h, passed on in LAUNCH */   \
    X(SEE_SPAWNED, 11) /* i32 error, u64 instance; the ENDPOINT came before */                 \
    X(SEE_EXIT, 12)    /* u64 instance, u8 was it a signal, i32 code */                        \
    X(SEE_STOP, 13)    /* u64 instance: kill it */                                             \
    X(LAUNCH, 14)      /* u64 instance, u32 endpoint, launch settings of SEE_SPAWN */          \
    X(SIGN, 15)        /* a sign request of the core (wire/sign.h) */                          \
    X(SIGNED, 16)      /* i32 error, the answer */                                             \
    X(CERTIFY, 17)     /* struct sm_ipc_certify */                                             \
    X(CERTIFIED, 18)   /* i32 error, a signed ENDPOINT record */                               \
    X(IDENTITY, 19)    /* struct sm_ipc_identity */                                            \
    X(STORE_RPC, 20)   /* 32 bytes: who asks, then a body of wire/store_rpc.h */               \
    X(STORE_REPLY, 21) /* i32 error, body */                                                   \
    X(PUBLISH, 22)     /* struct sm_ipc_publish */                                             \
    X(UNPUBLISH, 23)   /* data id */                                                           \
    X(VIOLATION, 24)   /* u8 program, text: that one broke the table; main restarts it */      \
    X(DOCUMENT, 25)    /* u8 kind (attest/rules.h), a signed document: from disk; or taken */  \
    X(KEEP, 26)        /* u8 kind, u64 when it was issued, the document: it was verified */

#define SM_IPC_ENUM(name, value) SM_IPC_##name = (value),
enum sm_ipc_type { SM_IPC_TYPES(SM_IPC_ENUM) SM_IPC_TYPE_END };
#undef SM_IPC_ENUM
const char *sm_ipc_name(uint16_t type); /* "SIGN"; "?" for what is none */

#define SM_IPC_HEADER   16u
#define SM_IPC_BODY_MAX ((1u << 20) + (64u << 10)) /* a session's largest body and its head */

enum sm_ipc_when {
    SM_IPC_ANY,    /* at any time */
    SM_IPC_ONCE,   /* once on a channel */
    SM_IPC_ANSWER, /* as often as `answers` was asked in the other direction */
};
struct sm_ipc_rule {
    enum sm_prog from, to;
    enum sm_ipc_type type;
    enum sm_ipc_when when;
    enum sm_ipc_type answers; /* with SM_IPC_ANSWER */
    uint32_t body_max;
    bool has_fd;
};
/* The row, or NULL: then it may not be sent. */
const struct sm_ipc_rule *sm_ipc_rule(enum sm_prog from, enum sm_prog to, uint16_t type);
bool sm_ipc_may(enum sm_prog from, enum sm_prog to, uint16_t type);

/* -- a channel --------------------------------------------------------------------------- */

struct sm_ipc;

struct sm_ipc_msg {
    enum sm_ipc_type type;
    uint64_t id;
    struct sm_view body; /* lives until the callback returns */
    int fd;              /* -1, or a descriptor that the callee now owns */
};
struct sm_ipc_ops {
    void (*message)(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m);
    /* Once; free the channel.  REFUSED, MALFORMED or LIMIT: the other side broke the table,
     * and sm_ipc_violation() says how. */
    void (*closed)(void *ctx, struct sm_ipc *ch, enum sm_err why);
};

/* Take over fd as `self`'s end of a channel to `peer`. */
enum sm_err sm_ipc_new(struct sm_loop *l, int fd, enum sm_prog self, enum sm_prog peer,
                       const struct sm_ipc_ops *ops, void *ctx, struct sm_ipc **out) SM_MUST;
void sm_ipc_free(struct sm_ipc *ch); /* NULL is fine; not-yet-written messages are tried once */

/* fd is -1, or owned by the channel when OK.  INVALID when the
 * body exceeds its row; sending what has no row is our bug. */
enum sm_err sm_ipc_send(struct sm_ipc *ch, enum sm_ipc_type type, uint64_t id,
                        struct sm_view body, int fd) SM_MUST;
/* {i32 error, body}: the form of SIGNED, CERTIFIED and STORE_REPLY. */
enum sm_err sm_ipc_answer(struct sm_ipc *ch, enum sm_ipc_type type, uint64_t id, enum sm_err e,
                          struct sm_view body) SM_MUST;
/* Deliver what a dead process had sent, now.  The channel may be freed by a callback. */
void sm_ipc_drain(struct sm_ipc *ch);
enum sm_prog sm_ipc_peer(const struct sm_ipc *ch);
const char *sm_ipc_violation(const struct sm_ipc *ch); /* "" when there was none */

/* -- bodies ------------------------------------------------------------------------------ */

enum sm_ipc_listener { SM_LISTENER_TCP = 1, SM_LISTENER_CONTROL = 2, SM_LISTENER_UDP = 3 };

struct sm_ipc_log {
    uint8_t level;
    struct sm_view event, text;
};
struct sm_ipc_certify {
    uint32_t ep;
    uint8_t kind; /* enum sm_endpoint_kind: net may ask for clients, main for SEEs */
    uint8_t sign_key[32], dh_key[32];
    uint8_t measurement[48]; /* zero from run: main fills it in */
};
struct sm_ipc_identity {
    struct sm_node_id node_id;
    uint8_t index, platform;
    uint8_t sign_key[32];
    uint8_t measurement[48];
    struct sm_view endorsement; /* <= 512 */
};
struct sm_ipc_publish {
    struct sm_data_id id;
    uint64_t frag_map, bytes;
};
struct sm_ipc_keep {
    uint8_t kind;
    struct sm_wall issued;
    struct sm_view doc;
};
struct sm_ipc_exit {
    uint64_t instance;
    bool was_signal;
    int32_t code;
};
#define SM_IPC_SMALL 1024u /* bytes that hold any of these bodies but a log line */

enum sm_err sm_ipc_log_read(struct sm_view body, struct sm_ipc_log *out) SM_MUST;
enum sm_err sm_ipc_certify_read(struct sm_view body, struct sm_ipc_certify *out) SM_MUST;
enum sm_err sm_ipc_identity_read(struct sm_view body, struct sm_ipc_identity *out) SM_MUST;
enum sm_err sm_ipc_publish_read(struct sm_view body, struct sm_ipc_publish *out) SM_MUST;
enum sm_err sm_ipc_exit_read(struct sm_view body, struct sm_ipc_exit *out) SM_MUST;
/* DOCUMENT has no `issued`. */
enum sm_err sm_ipc_document_read(struct sm_view body, uint8_t *out_kind,
                                 struct sm_view *out_doc) SM_MUST;
enum sm_err sm_ipc_keep_read(struct sm_view body, struct sm_ipc_keep *out) SM_MUST;
/* LISTENER: the text points into the body. */
enum sm_err sm_ipc_listener_read(struct sm_view body, enum sm_ipc_listener *out_kind,
                                 struct sm_view *out_address) SM_MUST;
/* {i32 error, rest}. */
enum sm_err sm_ipc_answer_read(struct sm_view body, enum sm_err *out_err,
                               struct sm_view *out_body) SM_MUST;
enum sm_err sm_ipc_u64_read(struct sm_view body, uint64_t *out) SM_MUST;

void sm_ipc_log_write(const struct sm_ipc_log *m, struct sm_wr *w);
void sm_ipc_certify_write(const struct sm_ipc_certify *m, struct sm_wr *w);
void sm_ipc_identity_write(const struct sm_ipc_identity *m, struct sm_wr *w);
void sm_ipc_publish_write(const struct sm_ipc_publish *m, struct sm_wr *w);
void sm_ipc_document_write(uint8_t kind, struct sm_view doc, struct sm_wr *w);
void sm_ipc_keep_write(const struct sm_ipc_keep *m, struct sm_wr *w);
void sm_ipc_exit_write(const struct sm_ipc_exit *m, struct sm_wr *w);
