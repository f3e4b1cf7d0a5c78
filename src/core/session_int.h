// SPDX-License-Identifier: Apache-2.0
#pragma once
/* session_int: the parts of a session host, shared by session*.c and nobody else.
 *
 *     host ─ peers ─ sessions ─ sent fragments (a ring by number)
 *                  ├ messages (ours on their way out: requests, answers)
 *                  ├ asked (theirs: requests coming in or waiting for our answer)
 *                  └ slots (what we know of each path)
 *
 * Everything is an index into a table made at start; SM_NONE is no index.  Lists are linked
 * through the tables, in the order things came, so nothing depends on addresses.
 *
 * session.c       what callers call: requests and answers, time, life
 * session_table.c lists, peers, messages, what peers ask
 * session_hs.c    opening, answering and ending sessions
 * session_send.c  slots, windows, loss, and what goes out next
 * session_recv.c  what comes in
 * session_dgram.c datagrams, both ways
 */
#include "core/pool.h"
#include "core/session.h"
#include "core/window.h"
#include "crypto/noise.h"
#include "wire/fragment.h"

#define SM_NONE UINT32_MAX

enum {
    RING = 1024,            /* sent fragments a session remembers: 4 slots x 2 MiB in flight */
    CWND_START = 256 << 10, /* one bandwidth-delay product of 100 Mbit/s and 20 ms */
    CWND_MIN = 32 << 10,    /* two fragments, so that a gap can be seen */
    CWND_MAX = 2 << 20,     /* 1 Gbit/s and 16 ms on each of four paths */
    CWND_UNPROVEN = 64 << 10, /* until the first answer over a slot */
    GAP = 3,                  /* later ones of the slot that arrive before one counts as lost */
    DOWN_AFTER = 2,           /* timeouts in a row */
    ACK_EVERY = 8,
    RESETS = 16,  /* hints waiting to go out; more are not worth sending */
    PER_PEER = 4, /* sessions one peer may have opened with us: two, and two that end */
    HALF_PER_PEER = 2,
};

#define ACK_DELAY         SM_MS(20)
#define RTO_MIN           SM_MS(30)
#define RTO_MAX           SM_S(1)
#define RTO_FIRST         SM_MS(250)
#define QUEUE_TARGET      SM_MS(5) /* a window may grow while the path's queue is below this */
#define MIN_RTT_AGE       SM_S(10) /* paths change */
#define PROBE_FIRST       SM_S(1)
#define PROBE_MAX         SM_S(8)
#define OVERLAP           SM_S(10)   /* an old session is heard this long after its successor */
#define SUSPECT_AFTER     SM_S(3)    /* silence while we wait: open a second session */
#define KEEPALIVE         SM_S(15)   /* silence while a request is being worked on: ask */
#define UNREACHABLE_AFTER SM_S(1)    /* all slots resting */
#define ASSEMBLY_AGE      SM_S(10)   /* without progress */
#define DATAGRAM_PING     SM_MS(200) /* a slot datagrams use is asked as often: silence shows */
#define REPORT_LOST_GAP   SM_MS(50)
#define REPORT_OK_GAP     SM_MS(500)
#define REKEY_COUNT       (1u << 20)
#define HARD_COUNT        (1u << 22) /* never more under one key, whatever happens */

/* A list of table entries, linked through a struct link they hold. */
struct list {
    uint32_t head, tail;
};
#define NO_LIST ((struct list){SM_NONE, SM_NONE})
struct link {
    uint32_t prev, next;
    bool is_in;
};

/* Bits for the fragments of one message. */
struct fragset {
    uint64_t w[2];
};
_Static_assert(SM_FRAG_COUNT_MAX <= 128, "a fragset has 128 bits");

/* A message of which fragments arrive. */
struct assembly {
    struct sm_run run;
    uint32_t total, frag_count, have_count;
    struct fragset have;
};

enum message_state {
    MESSAGE_FREE,
    MESSAGE_REQUEST,  /* going out, or waiting for its answer */
    MESSAGE_FINISHED, /* a request whose RESPONSE waits to be taken */
    MESSAGE_ANSWER,   /* going out; free when acknowledged */
};

struct message {
    enum message_state state;
    uint32_t generation, peer;
    uint64_t wire_id;
    struct sm_mono deadline;
    struct sm_run run; /* frag_count * (head and data): sealed from where it lies */
    uint32_t total, frag_count, acked_count;
    struct fragset todo, acked;
    uint8_t avoid[SM_FRAG_COUNT_MAX]; /* slot that lost the fragment, or 0xff */
    bool is_replayed;
    struct assembly answer;
    enum sm_err err;
    struct link of_peer, of_queue; /* queue: to send; or finished */
};

enum asked_state { ASKED_FREE, ASKED_COMING, ASKED_READY, ASKED_WAITING };

struct asked {
    enum asked_state state;
    uint32_t generation, peer;
    uint64_t wire_id;
    uint32_t cookie;
    uint8_t service;
    struct sm_mono until, progress;
    struct assembly body;
    struct link of_peer, of_ready;
};

enum session_state {
    SESSION_FREE,
    SESSION_OPENING, /* ours; message 1 sent */
    SESSION_HALF,    /* theirs; message 2 sent, nothing proves yet that they have it */
    SESSION_UP,
    SESSION_CLOSING, /* only CLOSE is still to be sent */
};

enum sent_state { SENT_FREE, SENT_FRAGMENT, SENT_PING };

struct sent {
    uint64_t number, slot_seq;
    struct sm_mono at;
    uint32_t message, generation;
    uint32_t bytes;
    uint16_t prev, next; /* in flight on the same slot, by ring place; RING: none */
    uint8_t frag, slot;
    enum sent_state state;
};

struct flight {
    uint16_t head, tail;
    uint64_t seq_next, seq_acked; /* one above the highest acknowledged */
};

/* What came over a slot and is not acknowledged over it.  Another slot's acknowledgement says
 * it too, but may be late or lost where this one is not: the peer's timer knows this one. */
struct owed {
    uint32_t n;
    struct sm_mono at; /* when at the latest, if n > 0 */
};

struct session {
    enum session_state state;
    bool is_opener;
    bool is_doubted; /* the peer may have lost it: what is in flight moves when another is up */
    uint32_t local_id, remote_id, peer;
    struct sm_mono begun, up, last_rx, last_tx, retire;
    uint32_t age; /* which was made later: host-wide count */

    struct sm_noise noise; /* OPENING only */
    struct sm_run first;   /* OPENING: message 1; HALF: message 2 */
    uint32_t first_n;
    uint8_t first_e[32]; /* HALF: ephemeral key of the message 1 it answers */
    struct sm_mono again;
    uint8_t tries, hs_slot;
    bool wants_first, wants_close;
    uint8_t wants_ping; /* bit a slot */

    struct sm_aead tx, rx;
    enum sm_aead_kind cipher;
    uint64_t tx_number;
    uint64_t settled; /* every sent number below is acknowledged or given up */
    struct flight flight[SM_HOST_SLOTS];
    struct sm_window seen;
    uint64_t tx_datagrams;
    bool has_datagrams; /* received: its window (sm_host.datagrams_seen) has been cleared */
    struct sm_mono largest_at;
    struct owed owed[SM_HOST_SLOTS];
    uint8_t wants_ack; /* bit a slot */
    struct link of_control;
};

struct slot {
    bool is_down, is_absent; /* absent: the caller said so */
    bool has_rtt;
    uint32_t cwnd, threshold, inflight; /* below the threshold the window doubles in a round */
    uint64_t srtt_us, var_us, min_us, min_old_us;
    struct sm_mono min_since, recovery; /* what was sent before `recovery` halves no more */
    uint8_t timeouts, backoff;
    struct sm_mono probe;
    struct sm_dur probe_gap;
    bool wants_report, report_ok;
    struct sm_mono reported_ok, reported_lost; /* when next allowed */
    struct sm_mono datagram_ping;              /* when next due, if datagrams use the slot */
};

struct peer {
    bool is_used;
    struct sm_addr addr;
    uint8_t dh_key[32];
    struct sm_passport passport;
    uint32_t current; /* session we send in */
    uint32_t opening; /* session we are opening */
    uint32_t session_count;
    uint64_t next_id;            /* of requests to it */
    struct sm_window ids;        /* of requests from it */
    struct list messages, asked; /* all of them */
    struct list small, bulk;     /* messages with fragments to send */
    uint32_t request_count, asked_count, answer_count;
    size_t request_bytes, asked_bytes, answer_bytes;
    struct slot slot[SM_HOST_SLOTS];
    struct sm_mono waiting_since; /* something unanswered is in flight; SM_NEVER: nothing */
    struct sm_mono all_absent;    /* since when; SM_NEVER: not */
    struct sm_mono ping_after, open_after, doubt_after;
    struct sm_mono last_used;
    struct link of_active, of_report;
};

struct sm_host {
    struct sm_host_cfg cfg;
    struct sm_rng rng;
    struct sm_mono now;
    uint8_t passport[SM_PASSPORT_MAX];
    size_t passport_n;

    struct peer *peers;
    struct session *sessions;
    struct sent *sent;                /* RING a session */
    struct sm_window *datagrams_seen; /* of each session; untouched until it has some */
    struct message *messages;
    struct asked *asked;
    struct sm_pool pool;
    uint32_t id_mask;                  /* local ids: low bits are the session's index */
    uint32_t free_message, free_asked; /* linked through of_peer.next */
    uint32_t opening_count, half_count, age;
    /* Nothing is used from here on: places are taken lowest first. */
    uint32_t peer_top, session_top;
    size_t inflight;

    struct list active;   /* peers that may have something to send */
    struct list control;  /* sessions that have control packets to send */
    struct list finished; /* messages: RESPONSE events */
    struct list ready;    /* asked: REQUEST events */
    struct list reports;  /* peers */
    struct {
        struct sm_addr dst;
        uint32_t session;
        uint64_t number;
        uint8_t slot;
    } reset[RESETS];
    uint32_t reset_count;
    struct sm_mono reset_after;

    struct sm_host_datagram datagram; /* not yet taken; p NULL: none */

    struct sm_mono due; /* nothing is due before */
    struct sm_run lent; /* the body the caller is looking at */
    struct sm_host_stats stats;
    uint8_t out[SM_FRAG_PACKET_MAX];
    uint8_t plain[SM_FRAG_PACKET_MAX];
};

/* -- helpers ------------------------------------------------------------------------------ */

static inline uint32_t index_of_peer(const struct sm_host *h, const struct peer *p)
{
    return (uint32_t)(p - h->peers);
}
static inline uint32_t index_of_session(const struct sm_host *h, const struct session *s)
{
    return (uint32_t)(s - h->sessions);
}
static inline uint32_t index_of_message(const struct sm_host *h, const struct message *m)
{
    return (uint32_t)(m - h->messages);
}
static inline uint32_t index_of_asked(const struct sm_host *h, const struct asked *a)
{
    return (uint32_t)(a - h->asked);
}
static inline bool fragset_has(const struct fragset *f, uint32_t i)
{
    return (f->w[i / 64] >> (i % 64) & 1) != 0;
}
static inline void fragset_add(struct fragset *f, uint32_t i)
{
    f->w[i / 64] |= (uint64_t)1 << (i % 64);
}
static inline void fragset_drop(struct fragset *f, uint32_t i)
{
    f->w[i / 64] &= ~((uint64_t)1 << (i % 64));
}
static inline bool fragset_is_empty(const struct fragset *f)
{
    return (f->w[0] | f->w[1]) == 0;
}
static inline uint32_t fragset_first(const struct fragset *f) /* not of an empty one */
{
    return f->w[0] != 0 ? (uint32_t)__builtin_ctzll(f->w[0])
                        : 64 + (uint32_t)__builtin_ctzll(f->w[1]);
}
struct fragset sm_session_fragset_all(uint32_t count);

/* Put `t` into the host's next deadline. */
static inline void arm(struct sm_host *h, struct sm_mono t)
{
    h->due = sm_earlier(h->due, t);
}
/* Is it time?  If not, wake up then. */
static inline bool is_time(struct sm_host *h, struct sm_mono t)
{
    if (sm_is_due(t, h->now)) {
        return true;
    }
    arm(h, t);
    return false;
}

/* session_table.c */
/* Lists; each knows where its links are. */
void sm_session_active_add(struct sm_host *h, struct peer *p);
void sm_session_active_drop(struct sm_host *h, struct peer *p);
void sm_session_control_add(struct sm_host *h, struct session *s);
void sm_session_control_drop(struct sm_host *h, struct session *s);
void sm_session_report_add(struct sm_host *h, struct peer *p);
void sm_session_report_drop(struct sm_host *h, struct peer *p);
void sm_session_queue_add(struct sm_host *h,
                          struct message *m); /* to send; does nothing when queued */
void sm_session_queue_drop(struct sm_host *h, struct message *m);

bool sm_session_peer_has_work(const struct peer *p);
struct peer *sm_session_peer_take(struct sm_host *h, struct sm_addr addr,
                                  const uint8_t key[static 32]);
void sm_session_peer_free_if_unused(struct sm_host *h, struct peer *p);
void sm_session_peer_fail(struct sm_host *h, struct peer *p,
                          enum sm_err err); /* requests and answers */
/* All of it, and its sessions; nothing is said to it. */
void sm_session_peer_end(struct sm_host *h, struct peer *p, enum sm_err err);
void sm_session_request_finish(struct sm_host *h, struct message *m, enum sm_err err);
struct message *sm_session_message_take(struct sm_host *h, struct peer *p);
void sm_session_message_undo(struct sm_host *h, struct peer *p,
                             struct message *m); /* of an empty one */
/* Lay the body out as fragments, each with room for its head. */
enum sm_err sm_session_message_fill(struct sm_host *h, struct message *m,
                                    const struct sm_frame_message *head, struct sm_view body,
                                    size_t spare) SM_MUST; /* BUSY */
void sm_session_message_free(struct sm_host *h, struct message *m);
struct message *sm_session_finished_pop(struct sm_host *h); /* NULL: none */
void sm_session_finished_free(struct sm_host *h, struct message *m);
struct asked *sm_session_ready_pop(struct sm_host *h); /* NULL: none */
void sm_session_asked_free(struct sm_host *h, struct asked *a);
struct asked *sm_session_asked_take(struct sm_host *h, struct peer *p);
void sm_session_asked_is_ready(struct sm_host *h, struct asked *a);
enum sm_err sm_session_assembly_begin(struct sm_host *h, struct assembly *a, uint32_t total,
                                      size_t spare) SM_MUST; /* BUSY */
void sm_session_assembly_end(struct sm_host *h, struct assembly *a);
/* Copy a fragment in; true when it was new. */
bool sm_session_assembly_add(struct sm_host *h, struct assembly *a, uint32_t offset,
                             struct sm_view data);
static inline bool assembly_is_whole(const struct assembly *a)
{
    return a->frag_count > 0 && a->have_count == a->frag_count;
}

/* session.c */
enum sm_err sm_session_answer_send(struct sm_host *h, struct peer *p, uint64_t wire_id,
                                   uint32_t cookie, struct sm_mono until, enum sm_err err,
                                   struct sm_view body) SM_MUST;

/* session_hs.c */
struct session *sm_session_by_id(struct sm_host *h, uint32_t id); /* NULL: none */
void sm_session_want(struct sm_host *h,
                     struct peer *p); /* open one unless one is being opened */
void sm_session_free(struct sm_host *h,
                     struct session *s); /* what was in flight is sent again */
void sm_session_up(struct sm_host *h, struct session *s);
void sm_session_doubt(struct sm_host *h, struct session *s);
void sm_session_hs_init(struct sm_host *h, struct sm_wall wall, struct sm_addr src,
                        uint8_t slot, const struct sm_frag_head *head, struct sm_view body);
void sm_session_hs_reply(struct sm_host *h, struct sm_wall wall, struct sm_addr src,
                         const struct sm_frag_head *head, struct sm_view body);
void sm_session_hs_tick(struct sm_host *h, struct session *s);
bool sm_session_hs_next(struct sm_host *h, struct session *s, struct sm_host_out *out);

/* session_send.c */
void sm_session_slot_reset(struct slot *t);
void sm_session_slot_sample(struct sm_host *h, struct peer *p, unsigned slot, uint64_t us);
void sm_session_slot_report(struct sm_host *h, struct peer *p, unsigned slot, bool is_ok);
unsigned sm_session_slot_next_usable(const struct peer *p, unsigned from);
void sm_session_flight_init(struct session *s);
void sm_session_flight_requeue(struct sm_host *h, struct session *s, unsigned slot);
void sm_session_flight_tick(struct sm_host *h, struct session *s);
void sm_session_slot_rest(struct sm_host *h, struct peer *p, unsigned slot);
void sm_session_slots_tick(struct sm_host *h, struct peer *p);
enum sm_err sm_session_ack_apply(struct sm_host *h, struct session *s,
                                 const struct sm_frame_ack *ack) SM_MUST;
bool sm_session_send_next(struct sm_host *h, struct sm_host_out *out);
/* How much a session's key has sealed. */
static inline uint64_t sealed_count(const struct session *s)
{
    return s->tx_number + s->tx_datagrams;
}
void sm_session_rekey_if_due(struct sm_host *h, struct peer *p, const struct session *s);

/* session_recv.c */
void sm_session_recv_data(struct sm_host *h, struct sm_addr src,
                          const struct sm_frag_head *head, struct sm_view packet);
/* A session a sealed packet names, once its sender and number may be right; else NULL, counted.
 */
struct session *sm_session_recv_find(struct sm_host *h, struct sm_addr src,
                                     const struct sm_frag_head *head, size_t packet_n);
void sm_session_heard(struct sm_host *h, struct session *s);
void sm_session_recv_reset(struct sm_host *h, struct sm_addr src,
                           const struct sm_frag_head *head);

/* session_dgram.c */
void sm_session_recv_datagram(struct sm_host *h, struct sm_addr src,
                              const struct sm_frag_head *head, struct sm_view packet);
