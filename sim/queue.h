// SPDX-License-Identifier: Apache-2.0
#pragma once
/* queue: what is going to happen in a simulated world, in the order it happens.
 *
 * A binary heap ordered by (time, sequence number): of two events at one time the one that was
 * put in first comes first, so nothing depends on how the heap is laid out.
 *
 * Memory:  grows on demand; events own their bytes, whoever pops one frees them.
 */
#include "base/bytes.h"
#include "base/time.h"

struct sim_world;
struct sim_event;
typedef void sim_event_fn(struct sim_world *w, struct sim_event *ev);

/* Bytes that belong to one event. */
struct sim_bytes {
    size_t n;
    uint8_t p[];
};

struct sim_event {
    struct sm_mono at;
    uint64_t seq;
    sim_event_fn *fn;
    uint8_t kind; /* enum sim_kind: names fn in the digest */
    uint8_t what, slot;
    uint32_t who;   /* machine, client or connection, as fn takes it */
    uint32_t boot;  /* of who: an event for an earlier life is void */
    uint32_t other; /* second subject */
    uint64_t token;
    enum sm_err err;
    struct sim_bytes *bytes;
};

struct sim_queue {
    struct sim_event *heap;
    size_t n, cap, peak;
    uint64_t next_seq;
};

void sim_queue_done(struct sim_queue *q);
enum sm_err sim_queue_push(struct sim_queue *q, const struct sim_event *ev) SM_MUST; /* NOMEM */
bool sim_queue_pop(struct sim_queue *q, struct sim_event *out);
