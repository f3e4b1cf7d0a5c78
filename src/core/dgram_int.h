// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dgram_int: what the files of the datagram carrier share.  dgram.c has life, keys and what
 * comes in, dgram_send.c what goes out, dgram_path.c the path: its MTU and where it leads. */
#include "core/arq.h"
#include "core/dgram.h"
#include "core/outq.h"
#include "core/pieces.h"
#include "core/recovery.h"
#include "core/window.h"
#include "crypto/rng.h"
#include "wire/datagram.h"

/* sm_sent.kind */
enum { SENT_PACKET = 1, SENT_STREAM, SENT_PROBE, SENT_NOTHING };

/* The handshake. */
struct flights {
    uint8_t messages[SM_DGRAM_CLEAR_MAX];
    size_t n;
    uint8_t out, in; /* numbers: of our last one, and of the peer's */
    bool has_out, has_in, is_due;
    struct sm_mono again_at; /* dialer: when to send it again */
    struct sm_dur again;
};

struct send_keys {
    struct sm_aead aead;
    uint8_t phase;
    uint64_t first;  /* counter of the first datagram under it */
    uint64_t frames; /* under it */
    struct sm_mono next_at;
};

enum { PREV, CUR, NEXT, RECV_KEYS };
struct recv_keys {
    struct sm_aead aead[RECV_KEYS];
    bool has_prev;
    uint8_t phase; /* of CUR */
    uint64_t frames;
    struct sm_mono prev_until, late_at; /* late: the peer ought to have changed it by then */
};

/* What has come and is to be acknowledged. */
struct acks {
    struct sm_window seen;
    struct sm_mono top_at; /* when the highest came that wants to be */
    unsigned pending;
    bool is_due;
    struct sm_mono at;
};

/* The MTU (RFC 8899, in the words of its states: base, search, complete, error). */
struct mtu {
    uint32_t now;
    unsigned next;    /* of the sizes to try */
    unsigned tries;   /* of that one that were lost */
    uint32_t flies;   /* size of the probe that is under way */
    unsigned doubt;   /* datagrams above the base size lost in a row */
    bool is_checking; /* the present size is being tried again */
    struct sm_mono at;
};

/* An address that the newest datagram came from and that has not answered yet. */
struct move {
    bool is_open;
    struct sm_path to;
    uint64_t token;
    unsigned tries;
    bool is_due;
    struct sm_mono at;
};

struct sm_dgram {
    struct sm_dgram_cfg cfg;
    struct sm_rng rng;
    struct sm_mono now;
    struct sm_path path;
    uint32_t peer_id;
    bool has_keys;
    bool is_proven;      /* the peer is at path: it has answered from there */
    uint64_t got, given; /* bytes from and to path, until then */
    struct flights flights;
    struct send_keys send;
    struct recv_keys recv;
    struct acks acks;
    struct sm_recovery recovery;
    struct sm_arq_tx tx;
    struct sm_arq_rx rx;
    struct sm_outq packets; /* datagrams composed, their lengths where counters will be */
    uint32_t packet_number;
    struct sm_pieces pieces;
    struct mtu mtu;
    struct move move;
    bool owes_response;
    uint64_t response;
    struct sm_path response_to;
    bool is_hurried;

    uint8_t *in; /* the caller's datagrams still to read */
    size_t in_n, in_segment;
    struct sm_path from;
    enum sm_err err;
    bool has_failed;
    uint64_t n_dropped;
    uint32_t n_moves;
    uint8_t scratch[SM_DGRAM_MAX]; /* what goes out and is no packet */
};

/* dgram.c */
void dgram_fail(struct sm_dgram *d, enum sm_err err);
enum sm_err dgram_next_send_key(struct sm_dgram *d);
void dgram_told(void *ctx, const struct sm_sent *s, bool has_arrived); /* sm_recovery_told */

/* dgram_send.c */
void dgram_drop_packets(struct sm_dgram *d); /* that wait */

/* dgram_path.c */
void path_init(struct sm_dgram *d);
void path_heard(struct sm_dgram *d, bool is_newest); /* a datagram from d->from has opened */
void path_responded(struct sm_dgram *d, uint64_t token);
void path_probe_told(struct sm_dgram *d, uint32_t size, bool has_arrived);
void path_big_told(struct sm_dgram *d,
                   bool has_arrived); /* of a datagram above the base size */
bool path_wants_probe(const struct sm_dgram *d, uint32_t *size);
bool path_wants_challenge(struct sm_dgram *d);
void path_tick(struct sm_dgram *d);
struct sm_mono path_deadline(const struct sm_dgram *d);
