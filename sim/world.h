// SPDX-License-Identifier: Apache-2.0
#pragma once
/* world: a whole mesh in one process: real node cores, simulated carriers, clocks, disks and
 * clients, one queue of events and one seed.
 *
 * Loop: pop the next event, move the time to it, hand it to its subject, turn what the subject
 * wants into later events, check, and fold all of it into a running digest.  Nothing decides
 * by addresses, by real time or by floating point, so one seed gives one digest, whatever the
 * compiler.
 *
 *     machine   one computer: keys process, store and node core; machine.c
 *     carrier   a byte stream between two machines, as TCP behaves; carrier.c
 *     client    an endpoint that puts, gets and asks; client.c
 *     faults    what goes wrong, and when; faults.c
 *     work      what clients and nodes do; work.c
 *     check     what must hold at all times; check.c
 *
 * Memory:  grows with the world; a failed allocation ends the program, as its result would
 *          mean nothing.
 * Source:  DESIGN 16; doc/simulation.md.
 */
#include "core/get.h"
#include "core/node.h"
#include "core/put.h"
#include "crypto/rng.h"
#include "queue.h"

enum sim_kind {
    SIM_TIMER = 1,
    SIM_CARRY,
    SIM_WRITTEN,
    SIM_SYN,
    SIM_DIALLED,
    SIM_SIGNED,
    SIM_SERVED,
    SIM_EP,
    SIM_FOUND,
    SIM_CLIENT,
    SIM_FAULT,
    SIM_WORK,
    SIM_CHECK,
    SIM_BOOT,
    SIM_KINDS,
};

enum {
    SIM_MACHINES_MAX = 1000, /* one area of 1,024 nodes */
    SIM_LINKS_MAX = 48,      /* connections of a machine at a time, doubles included */
    SIM_CLIENTS_MAX = 64,
    SIM_OBJECTS_MAX = 4096,
    SIM_ITEMS_MAX = 4096,
    SIM_SAMPLES_MAX = 1 << 16,
};

/* What a run is made of.  Times in ms, chances in millionths. */
struct sim_opts {
    unsigned nodes, clients, degree;
    struct sm_dur length, boot, quiet; /* quiet: faults are off at the end */
    uint32_t latency_min_us, latency_max_us, jitter_us;
    uint32_t rate_kbps;                    /* of each direction of a carrier */
    uint32_t stall_ppm, reset_ppm;         /* per chunk */
    uint32_t crash_every_ms, crash_for_ms; /* 0: never */
    uint32_t silent_ppm;                   /* crashes that take the whole machine */
    uint32_t wipe_ppm;                     /* crashes that lose the disk */
    uint32_t pause_every_ms, pause_for_ms;
    uint32_t kill_every_ms; /* a connection */
    uint32_t split_every_ms, split_for_ms;
    uint32_t skew_s;
    uint32_t liars_ppm;
    uint32_t put_every_ms, get_every_ms, find_every_ms;
    uint32_t items, last_finds; /* announced, and looked up at the end; 0: of every machine */
    uint32_t object_bytes;
    bool is_relay_kill, is_revoke;
};

/* -- measurements ------------------------------------------------------------------------ */

struct sim_samples {
    uint32_t *v; /* microseconds */
    uint32_t n;
    uint64_t seen;
};
void sim_samples_add(struct sim_samples *s, struct sm_dur d);
uint32_t sim_samples_quantile(struct sim_samples *s, unsigned per_mille); /* sorts */

enum sim_trouble { SIM_FINE = 0, SIM_SAFETY, SIM_LIVENESS };

/* -- parts ------------------------------------------------------------------------------- */

struct sim_shard {
    uint32_t segment;
    uint8_t index;
    uint8_t id[32];
    struct sim_bytes *bytes;
};
/* An object on one machine's disk, or, before its COMMIT, an upload to it. */
struct sim_kept {
    bool is_committed;
    uint8_t owner[32]; /* node of the client: uploads are its own */
    struct sm_upload_id upload;
    struct sm_data_id id;
    uint64_t held;
    uint8_t remove_hash[32];
    struct sim_bytes *manifest;
    struct sim_shard *shards;
    unsigned n_shards, cap_shards;
};
struct sim_store {
    struct sim_kept *kept;
    unsigned n, cap;
};
void sim_store_done(struct sim_store *s);
/* Serve one request of wire/store_rpc.h; *event_at is the object to announce or to take back,
 * or -1. */
enum sm_err sim_store_serve(struct sim_store *s, const struct sm_node_id *client,
                            struct sm_view request, struct sm_buf *reply,
                            struct sm_data_id *out_changed, bool *out_has_changed);
struct sim_kept *sim_store_find(struct sim_store *s, const struct sm_data_id *id);

/* What the scenario `revoke` has in store for a machine. */
enum sim_fate {
    SIM_HONEST = 0,
    SIM_OF_MEASUREMENT, /* revoked by its measurement, its platform, its node id */
    SIM_OF_PLATFORM,
    SIM_OF_NODE,
    SIM_REPLAYS, /* answers with an old list */
};

struct sim_machine {
    uint32_t i, boot;
    bool is_up, is_silent; /* silent: not even its kernel answers */
    bool is_liar, is_ended;
    enum sim_fate fate;
    struct sm_sign_pair sign;
    uint8_t platform_id[32];
    struct sm_node_record self;
    struct sm_hop hop;
    uint32_t peers[SM_NODE_PEERS_MAX];
    unsigned n_peers;
    uint32_t skew_s;
    struct sm_node *node;
    struct sm_mono timer_at, paused_until;
    uint32_t conns[SIM_LINKS_MAX];
    unsigned n_conns;
    uint32_t next_accepted, next_ep;
    uint64_t spins; /* timers in a row without the time moving */
    struct sm_mono spin_at;
    unsigned signs, serves; /* under way */
    struct sim_store store;
    bool has_checked_self;
};

struct sim_chunk {
    struct sim_chunk *next;
    struct sm_mono sent, due;
    bool is_end;
    size_t n, cap;
    uint8_t *p;
};
struct sim_way {
    struct sim_chunk *head, *tail;
    size_t waiting; /* bytes in chunks */
    uint64_t handed, told;
    struct sm_mono busy_until, last_due;
    bool is_scheduled, is_stalled, is_cut;
    struct sm_mono stalled_at;
};
struct sim_end {
    uint32_t machine, boot, id; /* id: as the node numbers it */
    bool is_open;
};
struct sim_conn {
    bool is_used, is_dialling;
    uint32_t life;         /* of this slot */
    struct sim_end end[2]; /* 0 dialled */
    struct sim_way way[2]; /* way[i]: from end i */
    struct sm_dur latency;
    unsigned syns;
};

struct sim_object {
    bool is_acked, is_removed;
    struct sm_data_id id;
    uint8_t key[32];
    uint32_t size;
    struct sm_code code;
    bool is_read; /* in the last phase */
    unsigned tries;
};

struct sim_item {
    struct sm_data_id key;
    uint32_t machine;
    struct sm_mono since;
};

enum sim_op { SIM_IDLE = 0, SIM_PUT, SIM_FINDING, SIM_GET, SIM_PROBE };

enum { SIM_CALLS = 512 };
struct sim_call {
    bool is_used;
    uint64_t host_id, inner;
    struct sm_mono at;
};

struct sim_client {
    uint32_t i, machine;
    uint32_t boot; /* of the machine it is attached to; 0: not attached */
    uint32_t life; /* of this attachment, for events */
    uint32_t ep;
    uint64_t seq;
    struct sm_sign_pair sign;
    struct sm_dh_pair dh;
    uint64_t passport_seq;
    struct sm_host *host;
    struct sm_mono timer_at;
    bool is_waiting; /* the node is congested */
    enum sim_op op;
    uint32_t object;
    struct sm_mono op_at;
    struct sm_put *put;
    struct sm_get *get;
    uint8_t *plain;
    size_t plain_n, plain_at, got;
    struct sm_hop holders[SM_PUT_HOLDERS_MAX];
    unsigned n_holders;
    struct sim_call calls[SIM_CALLS];
    /* probe: small requests in a row to one node */
    uint32_t probe_to;
    uint64_t probes_sent, probes_ok, probes_failed;
    struct sm_mono probe_from; /* waits are counted from here */
    struct sm_dur probe_longest;
};

struct sim_find {
    bool is_used;
    uint32_t generation, machine, boot;
    int client; /* -1: the workload's own */
    uint32_t item;
    struct sm_mono at;
    bool is_last; /* of the last phase: must succeed */
    unsigned tries;
};
enum { SIM_FINDS = 1024 };

struct sim_stats {
    uint64_t events, actions, bytes, delivered;
    uint64_t kinds[SIM_KINDS];
    uint64_t crashes, pauses, kills, splits, wipes;
    uint64_t tunnels_up, tunnels_down;
    uint64_t puts, puts_ok, gets, gets_ok, gets_lost, finds, finds_ok, finds_unfair;
    uint64_t final_finds, final_finds_ok, final_finds_wanted, final_gets, final_gets_ok;
    uint64_t records_checked, paths_checked;
    uint64_t lies;
    struct sm_node_stats nodes; /* of machines that went away */
};

struct sim_world {
    struct sim_opts opts;
    uint64_t seed;
    const char *name;
    struct sm_mono now;
    struct sim_queue queue;
    struct sm_rng net, faults, work;
    uint64_t digest[2];
    const struct sm_suite *suite;
    struct sm_anchor anchor;
    struct sm_sign_pair root;

    struct sim_machine *machines;
    struct sim_client *clients;
    struct sim_conn *conns;
    unsigned n_conns;
    uint8_t *side; /* of the split, a machine */
    bool is_quiet;
    struct sm_mono quiet_at, converged_at, booted_at, split_healed_at;

    struct sim_object *objects;
    unsigned n_objects;
    struct sim_item *items;
    unsigned n_items;
    struct sim_find *finds;

    struct sim_samples find_time, put_time, get_time, reroute, heal, client_rtt;
    struct sim_samples spread, revoked; /* of the manifest; until nothing revoked is left */
    struct sim_revoke *revoke;
    unsigned phase; /* of relay-kill */
    uint32_t victim;
    struct sim_stats stats;
    enum sim_trouble trouble;
    char trouble_text[256], unreached[64];
    uint32_t unreached_from;
    struct sm_hop unreached_to;
    bool is_verbose;
};

/* world.c */
struct sim_world *sim_world_new(const char *name, const struct sim_opts *o, uint64_t seed,
                                bool is_verbose);
void sim_world_free(struct sim_world *w);
void sim_world_run(struct sim_world *w); /* until the end or trouble */
void sim_digest(struct sim_world *w, uint64_t a, uint64_t b, uint64_t c, struct sm_view bytes);
void sim_push(struct sim_world *w, struct sm_dur after, const struct sim_event *ev);
struct sim_bytes *sim_bytes_of(struct sm_view v);
void *sim_alloc(size_t n); /* zeroed; never NULL */
void sim_trouble(struct sim_world *w, enum sim_trouble t, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void sim_say(struct sim_world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sim_chance(struct sm_rng *r, uint32_t ppm);
struct sm_dur sim_about(struct sm_rng *r, uint64_t mean_ms); /* half to one and a half of it */
void sim_rng_for(const struct sim_world *w, const char *what, uint64_t i, struct sm_rng *out);

/* machine.c */
void sim_machine_make(struct sim_world *w, uint32_t i);
void sim_machine_start(struct sim_world *w, struct sim_machine *m);
void sim_machine_stop(struct sim_world *w, struct sim_machine *m, bool is_silent);
void sim_machine_done(struct sim_machine *m);
void sim_step(struct sim_world *w, struct sim_machine *m, struct sm_event *ev);
struct sm_wall sim_wall(const struct sim_world *w, const struct sim_machine *m);
struct sim_machine *sim_machine_of(struct sim_world *w, struct sm_hop hop); /* NULL: nobody */
void sim_certify(struct sim_world *w, struct sim_machine *m, struct sm_wr *record);
bool sim_find_start(struct sim_world *w, struct sim_machine *m, const struct sm_data_id *key,
                    uint16_t want, const struct sim_find *f);

/* carrier.c */
void sim_dial(struct sim_world *w, struct sim_machine *m, uint32_t id,
              const struct sm_net_addr *addr);
void sim_send(struct sim_world *w, struct sim_machine *m, uint32_t id, struct sm_view bytes);
void sim_close(struct sim_world *w, struct sim_machine *m, uint32_t id);
void sim_written(struct sim_world *w, struct sim_machine *m);       /* after each drain */
void sim_reset(struct sim_world *w, uint32_t conn);                 /* both ends learn */
void sim_forget(struct sim_world *w, uint32_t conn, unsigned told); /* one end learns */
void sim_cut_all(struct sim_world *w, struct sim_machine *m, bool is_silent);
void sim_healed(struct sim_world *w); /* retransmissions get through again */
void sim_conns_done(struct sim_world *w);
bool sim_is_connected(const struct sim_world *w, uint32_t a, uint32_t b);

/* client.c */
void sim_client_make(struct sim_world *w, uint32_t i, uint32_t machine);
void sim_client_done(struct sim_client *c);
void sim_client_detach(struct sim_world *w, struct sim_client *c);
bool sim_client_ready(struct sim_world *w, struct sim_client *c); /* attaches when it can */
void sim_client_put(struct sim_world *w, struct sim_client *c, uint32_t object);
void sim_client_get(struct sim_world *w, struct sim_client *c, uint32_t object);
void sim_client_found(struct sim_world *w, struct sim_client *c, enum sm_err err,
                      struct sm_view records, unsigned n);
void sim_client_ep(struct sim_world *w, const struct sm_action *a, struct sim_machine *m);
void sim_client_node_drained(struct sim_world *w, struct sim_machine *m);
void sim_client_probe(struct sim_world *w, struct sim_client *c, uint32_t machine);
void sim_client_probe_end(struct sim_world *w, struct sim_client *c);
void sim_object_bytes(const struct sim_world *w, uint32_t object, uint8_t *out);

/* liars.c: the wanted share of the machines lies, but none is cut off by liars: who knows a
 * liar sends nothing through it. */
void sim_liars_choose(struct sim_world *w);
void sim_liars_in(struct sim_world *w);
/* Can every machine be reached through honest ones only? */
bool sim_is_bearable(const struct sim_world *w);

/* revoke.c */
void sim_revoke_choose(struct sim_world *w);
void sim_revoke_start(struct sim_world *w);
void sim_revoke_in(struct sim_world *w);
void sim_revoke_end(struct sim_world *w);
void sim_revoke_done(struct sim_world *w);
bool sim_revoke_has_begun(const struct sim_world *w); /* from now on those may be missing */
bool sim_is_revoked(const struct sim_machine *m);     /* by the end of the run */

/* faults.c, work.c, check.c */
void sim_faults_start(struct sim_world *w);
void sim_faults_end(struct sim_world *w);
bool sim_is_blocked(const struct sim_world *w, uint32_t a, uint32_t b);
void sim_work_start(struct sim_world *w);
void sim_work_last(struct sim_world *w); /* the reads and lookups that must succeed */
void sim_find_done(struct sim_world *w, struct sim_find *f, enum sm_err err,
                   struct sm_view records, unsigned n);
void sim_republish(struct sim_world *w, struct sim_machine *m);
void sim_check_start(struct sim_world *w);
void sim_check_end(struct sim_world *w);
void sim_check_trace(struct sim_world *w, struct sim_machine *m, const struct sm_trace *t);
unsigned sim_check_records(struct sim_world *w, const struct sm_data_id *key,
                           struct sm_view records, unsigned n, uint32_t want_machine,
                           bool *out_has);
void sim_check_machine(struct sim_world *w, struct sim_machine *m);
