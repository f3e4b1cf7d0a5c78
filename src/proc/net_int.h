// SPDX-License-Identifier: Apache-2.0
#pragma once
/* net_int: what the files of the net process share.
 *
 * net.c drives the node core: connections, signatures, what the SEEs are asked.  net_store.c
 * passes questions to the store, and what it holds to the mesh.  net_ep.c speaks wire/ctl.h
 * with the local endpoints.  net_tun.c has the TUN interface.  net_query.c answers people's
 * questions as JSON. */
#include "core/node.h"
#include "crypto/rng.h"
#include "os/clock.h"
#include "os/loop.h"
#include "os/udp.h"
#include "proc/child_common.h"
#include "wire/ctl.h"
#include "wire/fragment.h"
#include "wire/provider.h"
#include "wire/see_rpc.h"

enum {
    NET_CONNS = 320,       /* carriers: the most tunnels a node may have, and strangers */
    NET_KNOCKS = 128,      /* accepted and at the door (core/door.h); it has 5 s */
    NET_STRANGERS = 64,    /* let in and not yet proven; a handshake has 10 s */
    NET_OF_SOURCE = 24,    /* of either from one address (/64 for IPv6): one machine cannot
                              take every place */
    NET_ENDPOINTS = 256,   /* clients and SEEs */
    NET_STARTS = 64,       /* SEE instances being started */
    NET_STORE_ASKS = 1024, /* requests at the store; a few MiB of memory there */
    NET_FINDS = 256,       /* lookups and tasks of endpoints under way */
    FINDS_OF_EP = 16,      /* of either kind, of one endpoint: others want some too */
    EP_SENT = 128,         /* destinations of an endpoint that it may report on */
    NET_WAITING = 65536,   /* announcements the store made before the core was there */
    EP_QUEUE = 16 << 20,   /* bytes an endpoint may leave unread */
    FIRST_SEE_EP = 65536,  /* clients are numbered below, SEEs as main numbers them */
};

struct net;

struct conn {
    struct net *net;
    uint32_t id; /* 0: free */
    struct sm_stream *stream;
    bool is_dialling;
    uint64_t handed, told; /* bytes given to the stream, and reported as written */
    uint64_t seen;         /* handed, when the turn's hook last looked */
};

/* Where an endpoint has sent packets to, and how much of what it says of that place still
 * counts: its word moves the node's trust and routes, for all. */
struct sent {
    uint64_t hop; /* 0: free */
    struct sm_mono since;
    uint16_t losses, observed; /* since then */
};

struct ep {
    struct net *net;
    uint32_t id; /* 0: no HELLO yet */
    bool is_used, is_ready;
    uint8_t kind;      /* SM_CTL_CLIENT or SM_CTL_SEE; of a SEE's channel from the start */
    uint64_t instance; /* of a SEE */
    uint64_t hello_id; /* of the HELLO that waits for its answer */
    bool has_hello;
    uint8_t dh_key[32], sign_key[32];
    uint8_t owner_dh[32]; /* of a SEE: the client it was started for */
    uint8_t record[512];  /* its ENDPOINT record */
    size_t record_n;
    int fd; /* passed, and not yet asked about; -1 */
    struct sm_wall since;
    struct sm_mono certified; /* when the record was asked for */
    struct sm_stream *stream;
    struct sm_buf in;
    struct sent sent[EP_SENT];
};

struct see_start {
    bool is_used;
    uint64_t handle;   /* of the session request to answer */
    uint64_t instance; /* 0 until main told it */
    uint8_t client_dh[32];
    struct sm_mono since;
};

/* Who waits for evidence for people; the token is none of the core's, which are small. */
#define NET_USER_TOKEN UINT64_MAX
struct user_ask {
    bool is_used;
    uint32_t ep;
    uint64_t id;
};

/* A request of another node or client at the store. */
struct store_ask {
    bool is_used;
    uint64_t token; /* of the session request to answer */
};

struct find {
    bool is_used;
    uint32_t generation;
    uint32_t ep;
    uint64_t ctl_id;
    uint16_t type;
};

/* The TUN interface, while there is one. */
struct net_tun {
    struct sm_poll *poll; /* NULL: none */
    int fd;
    uint32_t mtu;
    char name[SM_CTL_TUN_NAME];
    uint64_t not_taken; /* packets the kernel refused */
};

struct net {
    struct sm_self *self;
    struct sm_loop *loop;
    const struct sm_config *config;
    struct sm_anchor anchor;
    struct sm_known_dh *known; /* secret memory */
    struct sm_node *node;      /* NULL until keys told our identity */
    struct sm_timer *timer;
    struct sm_rng rng;
    struct sm_mono started;
    struct conn conns[NET_CONNS];
    uint32_t next_accepted;
    struct user_ask user_ask;
    struct ep eps[NET_ENDPOINTS];
    struct net_tun tun;
    uint32_t next_client;
    struct see_start starts[NET_STARTS];
    struct find finds[NET_FINDS];
    struct store_ask asks[NET_STORE_ASKS];
    struct sm_listener *listeners[8];
    unsigned n_listeners;
    struct net_udp {
        struct net *net;
        struct sm_udp *socket;
    } udp[SM_CONFIG_TCP_MAX];
    unsigned n_udp;
    struct sm_ipc_publish *waiting;
    size_t n_waiting;
    struct sm_buf docs[SM_DOC_REVOCATION + 1]; /* by kind, until the core is there */
    uint64_t passport_seq; /* of the node record the endpoints' passports were made of */
    bool is_draining, are_eps_paused;
};

/* net.c */
/* Fills in the time; drains after it.  Returns what the step did. */
enum sm_err net_step(struct net *n, struct sm_event *ev);
enum sm_err net_certify(struct net *n, struct ep *ep);

/* net_store.c */
void store_ask(struct net *n, const struct sm_action *a);
void store_message(struct net *n, const struct sm_ipc_msg *m);
void store_lost(struct net *n);
void store_publish_kept(struct net *n); /* what the store told before the core was there */

/* net_ep.c */
/* Best effort: what an endpoint does not read ends it. */
bool ep_send(struct ep *ep, uint16_t type, struct sm_view body);
void ep_accepted(void *ctx, int fd);                       /* a client connected */
void ep_add_see(struct net *n, uint64_t instance, int fd); /* main passed a SEE's channel */
void ep_certify_again(struct net *n); /* keys is back, and knows nothing of what it was asked */
void ep_certified(struct net *n, uint64_t id, enum sm_err err, struct sm_view record);
void ep_packet(struct net *n, const struct sm_action *a);
void ep_fail(struct net *n, const struct sm_action *a);
void ep_paths(struct net *n, const struct sm_action *a);
void ep_evidence(struct net *n, enum sm_err err, struct sm_view envelope);
void ep_found(struct net *n, const struct sm_action *a);
void ep_renew_passports(struct net *n);
void ep_see_gone(struct net *n, uint64_t instance);
struct ep *ep_of_instance(struct net *n, uint64_t instance);
unsigned ep_count(const struct net *n, uint8_t kind);
/* Compose an endpoint's passport; false while the node has no record. */
bool ep_passport(const struct net *n, const struct ep *ep, struct sm_wr *w);
void ep_pause_all(struct net *n, bool is_paused); /* push back on who sends packets */
void ep_free_all(struct net *n);

/* net.c, for net_ep.c: a SEE attached, answer whoever asked for it. */
void net_see_attached(struct net *n, struct ep *ep);

/* net_docs.c: the manifest and revocations, from main, from endpoints, to all of them. */
void docs_from_main(struct net *n, struct sm_view body);
void docs_node_made(struct net *n); /* what main told before the core was there */
void docs_keep(struct net *n, const struct sm_action *a);
void docs_to_keys(struct net *n); /* keys is back */
void docs_to_endpoint(struct net *n, struct ep *ep);
enum sm_err docs_offer(struct net *n, struct sm_view body, struct sm_buf *out_why) SM_MUST;

/* net_tun.c.  net_tun_up owns fd when it succeeds: EXISTS, INVALID (no TUN), NOMEM. */
enum sm_err net_tun_up(struct net *n, const struct sm_ctl_tun *t, int fd) SM_MUST;
enum sm_err net_tun_down(struct net *n); /* NOTFOUND */
void net_tun_packet(struct net *n, const struct sm_action *a);

/* net_query.c: JSON text into out; the error says why not, *out then has words. */
enum sm_err net_query(struct net *n, struct sm_view text, struct sm_buf *out) SM_MUST;
