// SPDX-License-Identifier: Apache-2.0
#pragma once
/* ctl: what a node's net process and its local endpoints (clients, SEE supervisors) say to
 * each other over a Unix socket.
 *
 * A stream of messages: a 16-byte head {u32 body length, u16 type, u16 flags, u64 id}, then
 * the body.  A request carries an id of the asker's choice; its reply has the same type and
 * id, the flag SM_CTL_REPLY, and starts with an i32 error.  The others are one-way.
 *
 * Packets are opaque here: sessions end in the endpoint, the node only routes.
 *
 * Memory:  readers borrow; writers fill the caller's memory.
 * Source:  doc/wire.md, section 7.
 */
#include "base/bytes.h"
#include "base/ids.h"

#define SM_CTL_VERSION  1u
#define SM_CTL_HEAD     16u
#define SM_CTL_BODY_MAX ((1u << 20) + 65536u)
#define SM_CTL_REPLY    1u

enum sm_ctl_type {
    SM_CTL_HELLO = 1,     /* request: sm_ctl_hello; reply: sm_ctl_welcome */
    SM_CTL_PACKET = 2,    /* one-way, both directions: sm_ctl_packet */
    SM_CTL_FAIL = 3,      /* net to endpoint: sm_ctl_fail, a packet that found no path */
    SM_CTL_NODES = 4,     /* request: empty; reply: list of sm_ctl_node */
    SM_CTL_PATHS = 5,     /* net to endpoint: u64 hop, u8 number of disjoint paths to it */
    SM_CTL_FIND = 6,      /* request: sm_ctl_find; reply: sm_ctl_found */
    SM_CTL_TASK = 7,      /* request: sm_ctl_task, signed and announced by the node */
    SM_CTL_QUERY = 8,     /* request: text "what [argument]"; reply: JSON text */
    SM_CTL_REPORT = 9,    /* endpoint to net: sm_ctl_report, how a path did */
    SM_CTL_PASSPORT = 11, /* net to endpoint: its passport, renewed */
    SM_CTL_OBSERVE = 10,  /* endpoint to net: u64 hop, u8 kind (enum sm_trust_kind) */
    SM_CTL_ENDPOINT = 12, /* SEE to net: its ENDPOINT record, renewed */
    SM_CTL_DOC = 20,      /* net to endpoint: sm_ctl_doc, a signed document the node believes;
                             before the answer to HELLO, and whenever one changes */
    SM_CTL_OFFER = 21,    /* request: sm_ctl_doc, to be believed, kept and passed on; reply: an
                             error, and text that says why */
    SM_CTL_EVIDENCE = 25, /* request: 1 to 64 bytes; reply: an envelope of evidence for people,
                             which no tunnel takes; BUSY: ask again in two seconds */
    SM_CTL_TUN_UP = 30,   /* request: sm_ctl_tun, with the interface's descriptor; by the node's
                             own user or root only */
    SM_CTL_TUN_DOWN = 31, /* request: empty; likewise */
};

struct sm_ctl_head {
    uint32_t body_n;
    uint16_t type, flags;
    uint64_t id;
};
/* MALFORMED for a body longer than SM_CTL_BODY_MAX, TRUNCATED below 16 bytes. */
enum sm_err sm_ctl_head_read(struct sm_view in, struct sm_ctl_head *out) SM_MUST;
void sm_ctl_head_write(const struct sm_ctl_head *h, uint8_t out[static SM_CTL_HEAD]);

#define SM_CTL_CLIENT 1u
#define SM_CTL_SEE    2u
struct sm_ctl_hello {
    uint32_t version;
    uint8_t kind; /* SM_CTL_CLIENT or SM_CTL_SEE */
    uint8_t dh_key[32], sign_key[32];
    struct sm_view endpoint; /* a SEE's signed ENDPOINT record; empty for clients, whose
                                node has one signed for them */
};
enum sm_err sm_ctl_hello_read(struct sm_view in, struct sm_ctl_hello *out) SM_MUST;
void sm_ctl_hello_write(struct sm_wr *w, const struct sm_ctl_hello *m);

struct sm_ctl_welcome {
    struct sm_addr self;
    uint8_t mesh_id[32];
    struct sm_view passport; /* of this endpoint, to show to others; <= 4 KiB */
};
enum sm_err sm_ctl_welcome_read(struct sm_view in, struct sm_ctl_welcome *out) SM_MUST;
void sm_ctl_welcome_write(struct sm_wr *w, const struct sm_ctl_welcome *m);

struct sm_ctl_packet {
    struct sm_addr peer; /* to whom, or from whom */
    uint8_t slot;        /* which of the disjoint paths */
    struct sm_view payload;
};
enum sm_err sm_ctl_packet_read(struct sm_view in, struct sm_ctl_packet *out) SM_MUST;
void sm_ctl_packet_write(struct sm_wr *w, const struct sm_ctl_packet *m);

struct sm_ctl_fail {
    struct sm_addr peer;
    uint8_t slot;
};
enum sm_err sm_ctl_fail_read(struct sm_view in, struct sm_ctl_fail *out) SM_MUST;
void sm_ctl_fail_write(struct sm_wr *w, const struct sm_ctl_fail *m);

/* One node as this node sees it. */
struct sm_ctl_node {
    struct sm_view record; /* NODE record, to be verified by the reader */
    uint32_t trust_q16;    /* 65536 = 1.0 */
    uint32_t path_cost_16; /* 1/16 ms; UINT32_MAX when unreachable */
    uint8_t n_slots;       /* disjoint paths; 0 when unreachable; 1 for the node itself */
};
void sm_ctl_node_write(struct sm_wr *w, const struct sm_ctl_node *m);
/* Read the next of a NODES reply; the list ends when the reader has nothing left. */
void sm_ctl_node_next(struct sm_rd *r, struct sm_ctl_node *out);

struct sm_ctl_find {
    uint8_t type;  /* record type */
    uint16_t want; /* enough records; 0 = all there are */
    uint8_t key[32];
};
enum sm_err sm_ctl_find_read(struct sm_view in, struct sm_ctl_find *out) SM_MUST;
void sm_ctl_find_write(struct sm_wr *w, const struct sm_ctl_find *m);

/* The answer: `asked` nodes on `paths` disjoint paths; records as blobs of <= 2 KiB. */
struct sm_ctl_found {
    uint16_t asked;
    uint8_t paths;
    uint16_t n;
    struct sm_view records; /* read with sm_rd_blob n times */
};
enum sm_err sm_ctl_found_read(struct sm_view in, struct sm_ctl_found *out) SM_MUST;

struct sm_ctl_task {
    uint8_t task_id[32];
    struct sm_addr holder;
    uint64_t fence;
    uint32_t lease_ms;
    uint8_t state;
};
enum sm_err sm_ctl_task_read(struct sm_view in, struct sm_ctl_task *out) SM_MUST;
void sm_ctl_task_write(struct sm_wr *w, const struct sm_ctl_task *m);

struct sm_ctl_report {
    struct sm_hop dst;
    uint8_t slot;
    bool is_ok;
    uint64_t rtt_ns;
};
enum sm_err sm_ctl_report_read(struct sm_view in, struct sm_ctl_report *out) SM_MUST;
void sm_ctl_report_write(struct sm_wr *w, const struct sm_ctl_report *m);

/* The bytes are signed and mean nothing before they are verified. */
struct sm_ctl_doc {
    uint8_t kind; /* enum sm_doc_kind */
    struct sm_view bytes;
};
enum sm_err sm_ctl_doc_read(struct sm_view in, struct sm_ctl_doc *out) SM_MUST;
void sm_ctl_doc_write(struct sm_wr *w, const struct sm_ctl_doc *m);

#define SM_CTL_TUN_NAME 16u /* with the final NUL */
struct sm_ctl_tun {
    uint32_t mtu;
    char name[SM_CTL_TUN_NAME]; /* of the interface: letters, digits, - _ and . */
};
enum sm_err sm_ctl_tun_read(struct sm_view in, struct sm_ctl_tun *out) SM_MUST;
void sm_ctl_tun_write(struct sm_wr *w, const struct sm_ctl_tun *m);
