// SPDX-License-Identifier: Apache-2.0
#pragma once
/* put: store one object on n holders.  Plaintext goes in, requests for holders come out.
 *
 * The caller feeds plaintext as the machine takes it, sends each REQUEST to the holder of that
 * number (whose address and key only the caller knows) and gives every answer back, a timeout
 * being an answer.  When all shards are durable on their holders, the manifest is committed on
 * each; the object is stored when k + ceil(m / 2) of them said so.
 *
 *     for (;;) {
 *         at += sm_put_feed(p, now, rest of the file);      and sm_put_end() behind it
 *         while (sm_put_next(p, now, &out)) { send out.body to out.holder, or finish on DONE }
 *         wait for an answer, sm_put_response(), or for sm_put_deadline()
 *     }
 *
 * A holder that fails is replaced by a spare one as long as no segment has been finished on
 * it; later its index is given up, and the put lives on the others.  A holder that is busy is
 * asked again a few times.  When too few are left, the machine takes back what it did (ABORT,
 * REMOVE) on those that still answer, and is DONE with the reason.
 *
 * The key must be fresh for every put: two texts under one key would betray each other.
 *
 * Memory:  all in sm_put_new: three coded segments (3 * n * 512 KiB for large segments, which
 *          the system provides as they are touched) and two manifests.
 * Errors:  from sm_put_new only; all later ones arrive in DONE.
 * Source:  DESIGN 10.
 */
#include "base/time.h"
#include "core/object.h"

#define SM_PUT_HOLDERS_MAX 128u /* 64 indexes and as many spares */

struct sm_put_cfg {
    const struct sm_suite *suite;
    enum sm_aead_kind cipher;
    struct sm_code code;
    struct sm_secret32 key; /* fresh */
    uint8_t seed[32];       /* names the upload */
    unsigned n_holders; /* code.n to SM_PUT_HOLDERS_MAX, by preference; the rest are spare */
    uint32_t segment_bytes; /* 0: as large as the code allows */
    unsigned in_flight_max; /* requests at a time; 0: n */
};

enum sm_put_kind { SM_PUT_REQUEST, SM_PUT_DONE };

struct sm_put_out {
    enum sm_put_kind kind;
    /* REQUEST: send body to that holder (service STORE) and answer with sm_put_response. */
    uint64_t id;
    unsigned holder;
    struct sm_view body; /* until the next call */
    /* DONE: nothing comes after it. */
    enum sm_err err;
    struct sm_data_id object; /* when err is OK */
};

/* What became of one holder. */
struct sm_put_row {
    unsigned holder;
    uint8_t index;
    bool is_committed;
    enum sm_err err; /* why it is not used any more, else OK */
    uint64_t bytes;  /* of shards that it acknowledged */
};

struct sm_put_progress {
    uint64_t bytes_in;     /* plaintext taken */
    uint64_t bytes_stored; /* plaintext of segments that all their holders have settled */
    unsigned holders_live, holders_committed, holders_needed;
};

struct sm_put;
enum sm_err sm_put_new(const struct sm_put_cfg *cfg, struct sm_put **out) SM_MUST;
void sm_put_free(struct sm_put *p); /* wipes key and plaintext */

/* Take as much as there is room for and tell how much; 0 means: after the next answers. */
size_t sm_put_feed(struct sm_put *p, struct sm_mono now, struct sm_view plain);
void sm_put_end(struct sm_put *p, struct sm_mono now); /* no more plaintext */
void sm_put_cancel(struct sm_put *p, struct sm_mono now);
void sm_put_response(struct sm_put *p, struct sm_mono now, uint64_t id, enum sm_err err,
                     struct sm_view body);
/* When sm_put_next may have something although no answer came: a busy holder's next turn. */
struct sm_mono sm_put_deadline(const struct sm_put *p);
bool sm_put_next(struct sm_put *p, struct sm_mono now, struct sm_put_out *out);

struct sm_put_progress sm_put_progress(const struct sm_put *p);
/* Row i of those tried, in order; false when there is no such row. */
bool sm_put_row(const struct sm_put *p, unsigned i, struct sm_put_row *out);
/* One line for people, e.g. "4 of 7 holders left, 6 needed; ann: no answer in time", with the
 * holders' names, or their numbers when names is NULL. */
enum sm_err sm_put_reason(const struct sm_put *p, const char *const *names,
                          struct sm_buf *out) SM_MUST;
