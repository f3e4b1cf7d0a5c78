// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tunnel: one attested, encrypted link to a neighbour over a byte stream or over datagrams.
 *
 * The dialer says what it wants in clear, Noise XX (or IK, when the dialer knows the peer's
 * key) makes the channel, and inside it, before anything else, both ends show their NODE
 * record and evidence bound to this handshake, their role and both static keys: first the
 * dialer, so that a scanner learns nothing.  After an ACCEPT each way the tunnel is up.  What
 * stands in clear enters the Noise prologue, so nobody in between can change it; a responder
 * that cannot take the dialer's pattern or cipher answers RETRY.
 *
 *     t = sm_tunnel_new(&cfg); sm_tunnel_open(t, now);
 *     on bytes:   sm_tunnel_input(t, now, wall, p, n);   then drain
 *     on timer:   sm_tunnel_tick(t, now);                then drain
 *     drain:      while (sm_tunnel_next(t, now, &out)) { ... }
 *     on written: sm_tunnel_written(t, n);               then drain
 *
 * After each call into it the tunnel must be drained until next() says false, and the bytes of
 * input() must stay until then: frames are opened in place.  Views in an out live until the
 * next call of next() or input().  After DOWN nothing more comes; free the tunnel.
 *
 * Queues are short on purpose.  At most carrier_bytes and a frame are handed out that the
 * carrier has not reported as written; the rest waits here, where control goes ahead of data.
 *
 * Over datagrams (cfg.datagrams) it is the same tunnel: its stream travels as core/dgram.h
 * says, and packets beside it, unreliably.  Then sm_tunnel_datagrams() takes the place of
 * input(), a SEND says where to and how long each datagram is, and nothing is reported as
 * written.
 *
 * Memory:  one object and a handshake that is freed when the tunnel is up; queues grow on
 *          demand to the bounds in cfg.
 * Errors:  whatever the peer does ends in DOWN with an error and a sentence.
 * Source:  doc/wire.md, section 4; doc/attestation.md.
 */
#include "attest/anchor.h"
#include "attest/rules.h"
#include "base/time.h"
#include "core/dgram.h"
#include "crypto/suite.h"
#include "wire/frame.h"

struct sm_tunnel;

/* Zero in a field with a default means the default. */
struct sm_tunnel_cfg {
    const struct sm_suite *suite;
    const struct sm_anchor *anchor; /* outlives the tunnel */
    uint8_t seed[32];
    bool is_dialer;
    enum sm_aead_kind faster;    /* the cipher this machine prefers */
    enum sm_pq pq;               /* ML-KEM beside X25519: off unless told */
    const struct sm_dh_pair *dh; /* own key of this boot; copied */
    struct sm_known_dh *known; /* what it made with peers' keys, or NULL; outlives the tunnel */
    struct sm_view record;     /* own signed NODE record; copied */
    const struct sm_dh_pub *peer;  /* dialer: the peer's key if known, else NULL; copied */
    const struct sm_node_id *want; /* dialer: refuse any other node, or NULL; copied */
    /* NULL: the carrier is a stream.  Copied; suite, seed, is_dialer and queue_bytes are the
     * tunnel's own. */
    const struct sm_dgram_cfg *datagrams;
    size_t data_bytes;       /* data that may wait: 256 KiB, about 1 ms at 2 GB/s */
    size_t control_bytes;    /* control that may wait: 2 MiB, one area's link state */
    size_t carrier_bytes;    /* handed out and not yet written: 256 KiB */
    struct sm_dur handshake; /* from open to up: 10 s */
    struct sm_dur ping;      /* 2 s; asked again after half of it, dead after 3 */
    struct sm_dur lease;     /* a proof holds so long at most: 1 h */
    struct sm_dur rekey;     /* 120 s, less up to a tenth by chance */
    uint64_t rekey_frames;   /* 2^20 */
    uint64_t rekey_bytes;    /* 2^36 */
};

enum sm_tunnel_kind {
    SM_TUNNEL_CONTROL, /* small and urgent: link state */
    SM_TUNNEL_PACKET,  /* data */
};

enum sm_tunnel_out_kind {
    SM_TUNNEL_SEND,    /* bytes for the carrier, in order */
    SM_TUNNEL_SIGN,    /* a request for the keys process (wire/sign.h); answer: signed */
    SM_TUNNEL_UP,      /* the peer is proven */
    SM_TUNNEL_MESSAGE, /* from the peer: message, bytes */
    SM_TUNNEL_RTT,     /* a measured round trip */
    SM_TUNNEL_VERDICT, /* on the peer, when it is another than before: verdict, reason */
    SM_TUNNEL_DOWN,    /* the end: close the carrier, free the tunnel */
};

struct sm_tunnel_out {
    enum sm_tunnel_out_kind kind;
    enum sm_tunnel_kind message;
    struct sm_view bytes;              /* SEND, SIGN, MESSAGE */
    size_t segment;                    /* SEND over datagrams: length of each but the last */
    struct sm_path to;                 /* likewise */
    uint64_t token;                    /* SIGN */
    const struct sm_node_record *peer; /* UP */
    struct sm_dur rtt;                 /* RTT */
    enum sm_err err;                   /* DOWN */
    const char *reason;                /* DOWN, VERDICT: printable, for the log */
    enum sm_verdict_kind verdict;      /* VERDICT: OK, GRACE or OBSERVED */
    const struct sm_reasons *refused;  /* DOWN: NULL, or why one end refused the other */
    bool is_by_peer;                   /* DOWN, refused: the peer refused us */
    uint8_t platform;                  /* DOWN, refused: of who was refused; SM_PLATFORMS: not
                                          known, or our own */
};

/* NULL when out of memory.  The record must be readable: it is our own. */
struct sm_tunnel *sm_tunnel_new(const struct sm_tunnel_cfg *cfg);
void sm_tunnel_free(struct sm_tunnel *t); /* NULL is fine; wipes */

/* The carrier is connected. */
void sm_tunnel_open(struct sm_tunnel *t, struct sm_mono now);

/* Bytes of the stream, cut anywhere.  They are overwritten. */
void sm_tunnel_input(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall, uint8_t *p,
                     size_t n);

/* Datagrams that came together from one address, each `segment` bytes but the last.  They are
 * overwritten. */
void sm_tunnel_datagrams(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall,
                         const struct sm_path *from, uint8_t *p, size_t n, size_t segment);

/* The carrier has taken n bytes of what SEND gave. */
void sm_tunnel_written(struct sm_tunnel *t, size_t n);

/* The answer to SIGN; an unknown token is ignored. */
void sm_tunnel_signed(struct sm_tunnel *t, struct sm_mono now, uint64_t token, enum sm_err err,
                      struct sm_view bytes);

/* Queue a message (copied).  STATE: not up.  LIMIT: longer than SM_TFRAME_PAYLOAD_MAX.  BUSY:
 * the queue is full, nothing was taken.  NOMEM. */
enum sm_err sm_tunnel_send(struct sm_tunnel *t, enum sm_tunnel_kind kind,
                           struct sm_view bytes) SM_MUST;
/* One message of two parts, for a header and its body. */
enum sm_err sm_tunnel_send2(struct sm_tunnel *t, enum sm_tunnel_kind kind, struct sm_view a,
                            struct sm_view b) SM_MUST;

/* Bytes of data that sm_tunnel_send() would seal straight from the caller's memory; a source
 * that can wait sends no more.  0: what is sent waits here, behind what waits already.  Over
 * datagrams: bytes until half of the queue is full. */
size_t sm_tunnel_room(const struct sm_tunnel *t);

/* Tell the peer why and go down; what was queued is dropped. */
void sm_tunnel_close(struct sm_tunnel *t, enum sm_err err, const char *why);

/* Our own NODE record was renewed: the next proof shows it (copied). */
void sm_tunnel_record(struct sm_tunnel *t, struct sm_view record);

/* A verified NODE record of the peer of a tunnel that is up, however it came.  One with another
 * key ends the tunnel. */
void sm_tunnel_peer_record(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall,
                           const struct sm_node_record *rec);

/* The rules have changed: judge what the peer of a tunnel that is up has proven again, now.
 * Refused, it is told why and the tunnel ends. */
void sm_tunnel_judge(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall);

void sm_tunnel_tick(struct sm_tunnel *t, struct sm_mono now);
struct sm_mono sm_tunnel_deadline(const struct sm_tunnel *t);
bool sm_tunnel_next(struct sm_tunnel *t, struct sm_mono now, struct sm_tunnel_out *out);

bool sm_tunnel_is_up(const struct sm_tunnel *t);
size_t
sm_tunnel_queued(const struct sm_tunnel *t); /* data bytes waiting here or in the carrier */

/* The proof of the peer that holds, of a tunnel that is up. */
struct sm_tunnel_lease {
    uint64_t seq; /* 1: the handshake's */
    struct sm_mono since, end;
    enum sm_verdict_kind verdict;
    struct sm_mono judge_at;        /* the verdict is for so long; NEVER: no end is known */
    const char *said;               /* what is wrong, when it is not OK */
    const struct sm_claims *claims; /* live as the tunnel does */
};
struct sm_tunnel_lease sm_tunnel_lease(const struct sm_tunnel *t);

/* There is reason to think that the peer is gone: unless it answers a ping within some 300 ms,
 * the tunnel goes down. */
void sm_tunnel_doubt(struct sm_tunnel *t, struct sm_mono now);

/* Nothing has come since a ping that was answered late or not at all. */
bool sm_tunnel_is_quiet(const struct sm_tunnel *t);

/* The carrier, when it is datagrams; NULL when it is a stream. */
const struct sm_dgram *sm_tunnel_dgram(const struct sm_tunnel *t);

enum sm_aead_kind sm_tunnel_cipher(const struct sm_tunnel *t); /* once it is chosen */
bool sm_tunnel_is_pq(const struct sm_tunnel *t);               /* likewise */
