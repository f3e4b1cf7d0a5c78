// SPDX-License-Identifier: Apache-2.0
#pragma once
/* session: the host of all sessions of one endpoint: requests and answers, end to end.
 *
 * A request of up to a mebibyte goes to an address whose Diffie-Hellman key the caller knows;
 * the host opens a session to it (Noise IK, both passports inside), cuts the body into
 * fragments, seals each by itself, spreads them over up to four path slots, resends what is
 * lost over another slot, and hands the answer back under the request's id.
 *
 *     SM_TRY(sm_host_request(h, now, dst, dh_key, SM_SERVICE_DHT, body, SM_S(5), &id));
 *     while (sm_host_next(h, &out)) { send out.packet ..., or take out.response ... }
 *
 * Rules worth knowing:
 *   - A session is opened by one side and used by both.  When both open at once both live;
 *     each side sends in the newest it has.  Only the opener retires a session, when its next
 *     one is up; idle ones end on both sides by the same clock.
 *   - The first message may be repeated: the same one gets the same answer and a replayed one
 *     makes at most a half-open session nobody can use, which ends by itself.
 *   - An unauthenticated RESET only makes the host open a second session beside the old one.
 *     When that is up, unanswered requests are sent again, once, with their old ids, and the
 *     receiver drops those it still remembers.  Whether doing a thing twice is harmful after a
 *     receiver lost its memory is the caller's matter.
 *   - Delivery: a request is handed over at most once while the receiver remembers; its answer
 *     arrives at most once.  Order between requests is not kept.
 *   - Datagrams go beside: each is sealed where it lies and is a packet at once, or is not
 *     taken.  Nothing is queued, acknowledged or sent again, and none is handed over twice.
 *
 * Memory:  everything is allocated in sm_host_new, but for the cipher contexts OpenSSL makes
 *          with a session.  Messages live in one pool of cfg.pool_bytes.
 * Errors:  BUSY at a cap (try later), see each function.  What peers do wrong is counted.
 * Threads: one caller.
 * Source:  DESIGN 6; doc/wire.md, section 9.
 */
#include "attest/anchor.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "crypto/suite.h"

#define SM_HOST_SLOTS 4u /* node-disjoint paths used at once */
#define SM_HOST_BODY_MAX                                                                       \
    ((1u << 20) + (64u << 10)) /* a shard or a MiB of data, and its words */

enum sm_service {
    SM_SERVICE_DHT = 1,
    SM_SERVICE_STORE = 2,
    SM_SERVICE_SEE = 3,
    SM_SERVICE_UNIT = 4,
    SM_SERVICE_TUN = 5,  /* datagrams only */
    SM_SERVICE_DOCS = 6, /* empty; reply: a digest (wire/bulletin.h) of what is in force */
};

/* Zero means the default in brackets. */
struct sm_host_cfg {
    const struct sm_suite *suite;
    const struct sm_anchor *anchor; /* must outlive the host */
    uint8_t seed[32];
    struct sm_addr self;
    struct sm_dh_pair dh;      /* the key the passport names; copied, wiped at the end */
    struct sm_known_dh *known; /* what it made with peers' keys, or NULL; outlives the host */
    enum sm_aead_kind cipher;  /* of sessions we open [SM_AESGCM]; we accept both */
    struct sm_view passport;   /* ours; copied; may come later by sm_host_passport() */
    /* May the holder of this key open a session to us, and make requests?  Answers to our own
     * always come.  NULL: whoever has a good passport. */
    bool (*may_open)(void *ctx, const uint8_t dh_key[static 32]);
    void *ctx;

    uint32_t sessions;   /* [256] of all peers together; the longest idle makes room */
    uint32_t handshakes; /* [32] begun by us, and as many begun by others */
    uint32_t messages;   /* [1024] requests and answers on their way out; 3/4 may be requests */
    uint32_t requests;   /* [1024] from peers, not yet answered */
    uint32_t peer_requests;  /* [128] of one peer, each way, not yet answered */
    size_t pool_bytes;       /* [64 MiB] all bodies, both ways; touched only as needed */
    size_t peer_bytes;       /* [4 MiB] of one peer's requests, each way */
    size_t reply_bytes;      /* [16 MiB] of answers to one peer, not yet acknowledged */
    size_t inflight_bytes;   /* [32 MiB] sent and not acknowledged, all peers */
    struct sm_dur idle;      /* [120 s] then a session without work ends */
    struct sm_dur rekey;     /* [120 s] then a session in use is followed by a new one */
    struct sm_dur handshake; /* [5 s] until an unanswered handshake fails */
};

struct sm_host;

enum sm_host_out_kind {
    SM_HOST_PACKET,
    SM_HOST_REQUEST,
    SM_HOST_RESPONSE,
    SM_HOST_PATH_REPORT,
};

/* Views and pointers live until the next sm_host_next, _packet, _tick, _paths, _unreachable
 * or _free; _request and _reply leave them alone, so an answer may quote its question. */
struct sm_host_out {
    enum sm_host_out_kind kind;
    union {
        struct {
            struct sm_addr dst;
            uint8_t slot;         /* below SM_HOST_SLOTS; no such path: sm_host_unreachable() */
            struct sm_view bytes; /* payload of a routed packet of kind session */
        } packet;
        struct {
            uint64_t handle;                /* for sm_host_reply(), good once */
            const struct sm_passport *peer; /* at most until sm_host_reply() */
            uint8_t service;
            struct sm_view body;
            struct sm_dur time_left; /* the asker gives up after this */
        } request;
        struct {
            uint64_t id;
            enum sm_err err; /* the answerer's, or TIMEOUT, UNREACHABLE, BUSY of our own */
            struct sm_view body;
        } response;
        struct {
            struct sm_hop dst;
            uint8_t slot;
            bool is_ok;
            struct sm_dur rtt; /* smoothed; zero when not ok */
        } path_report;
    };
};

struct sm_host_stats {
    uint32_t sessions, peers, requests_out, requests_in;
    uint64_t pool_free_bytes;
    uint64_t sent, resent, received;          /* fragments */
    uint64_t refused_replays, refused_sealed; /* packets whose number or seal was wrong */
    uint64_t refused_handshakes, refused_packets;
    uint64_t handshakes, evicted, duplicates;
    uint64_t datagrams_sent, datagrams_received;
};

/* NULL: out of memory. */
struct sm_host *sm_host_new(const struct sm_host_cfg *cfg);
void sm_host_free(struct sm_host *h); /* wipes keys */

/* Use this passport from now on: the old one expires, or the first has been signed.  LIMIT
 * above SM_PASSPORT_MAX.  Handshakes wait while there is none. */
enum sm_err sm_host_passport(struct sm_host *h, struct sm_view passport) SM_MUST;

/* Send a request.  Every id given out comes back in exactly one RESPONSE, at the latest when
 * `deadline` has passed.  BUSY at a cap, INVALID for a body that is too long, a deadline of
 * zero or an address that is our own. */
enum sm_err sm_host_request(struct sm_host *h, struct sm_mono now, struct sm_addr dst,
                            const uint8_t dh_key[static 32], uint8_t service,
                            struct sm_view body, struct sm_dur deadline, uint64_t *out) SM_MUST;

/* Answer a request.  NOTFOUND when the asker is gone or its time is over; INVALID for a body
 * that is too long; BUSY when there is no room for the body: then the asker is told BUSY.  In
 * every case the handle is used up, but for INVALID. */
enum sm_err sm_host_reply(struct sm_host *h, struct sm_mono now, uint64_t handle,
                          enum sm_err err, struct sm_view body) SM_MUST;

/* A packet came for this endpoint from the source its header names.  If it is a datagram it is
 * opened where it lies, so it must be the caller's to change. */
void sm_host_packet(struct sm_host *h, struct sm_mono now, struct sm_wall wall,
                    struct sm_addr src, uint8_t slot, struct sm_view payload);

/* The paths to a node have changed: it has n_slots now (0..SM_HOST_SLOTS), none of them known
 * to be bad.  Without this call all four are tried. */
void sm_host_paths(struct sm_host *h, struct sm_mono now, struct sm_hop dst, unsigned n_slots);

/* What the anchor believes has changed: sessions with whoever is revoked end, and what was
 * asked of it fails with REFUSED. */
void sm_host_rules_changed(struct sm_host *h, struct sm_mono now);

/* A PACKET for dst could not be sent: there is no such path, or its first hop is down.  The
 * slot rests and what was in flight there goes over another at once.  When every slot rests
 * for a second, the requests fail with UNREACHABLE. */
void sm_host_unreachable(struct sm_host *h, struct sm_mono now, struct sm_addr dst,
                         uint8_t slot);

/* -- datagrams --------------------------------------------------------------------------- */

/* Bytes before and behind a datagram that sealing it overwrites.  Where the datagram begins 6
 * bytes after a multiple of 16, the packet does too; the cipher is faster then. */
#define SM_HOST_DATAGRAM_FRONT 22u
#define SM_HOST_DATAGRAM_BACK  16u
#define SM_HOST_DATAGRAM_MAX   65594u

/* Seal the n bytes at p, which become a packet's payload, *out, to be sent to dst over the slot
 * now.  STATE: there is no session; one is being opened, so try again when packets have come.
 * BUSY: no room for one now.  INVALID: our own address, or a slot there is none of.  LIMIT: too
 * long. */
enum sm_err sm_host_datagram(struct sm_host *h, struct sm_mono now, struct sm_addr dst,
                             const uint8_t dh_key[static 32], uint8_t slot, uint8_t service,
                             uint8_t *p, size_t n, struct sm_view *out) SM_MUST;

struct sm_host_datagram {
    const struct sm_passport *peer; /* until the next call into the host */
    uint8_t service;
    uint8_t *p; /* in the packet it came in */
    size_t n;
};
/* The datagram that the last sm_host_packet() brought, if it brought one and it was not taken.
 */
bool sm_host_datagram_take(struct sm_host *h, struct sm_host_datagram *out);

bool sm_host_next(struct sm_host *h, struct sm_host_out *out);
struct sm_mono sm_host_deadline(const struct sm_host *h); /* may be early, never late */
void sm_host_tick(struct sm_host *h, struct sm_mono now);

void sm_host_stats(const struct sm_host *h, struct sm_host_stats *out);
