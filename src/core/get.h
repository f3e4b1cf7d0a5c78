// SPDX-License-Identifier: Apache-2.0
#pragma once
/* get: read one object, or a range of it, from whoever holds its shards.
 *
 * Requests for holders come out, answers go in, plaintext comes out in order.  The manifest is
 * taken from any holder and checked by its hash; then each segment asks k holders and a few
 * more, checks every shard by its hash, makes what is missing and opens it.  One segment is
 * fetched ahead.  A holder that lies is not asked again; one that fails or is slow is passed
 * over, and others are asked.
 *
 * The caller sends each REQUEST to the holder of that number and gives every answer back, a
 * timeout being an answer.
 *
 *     INFO      the manifest is known: size and code
 *     BYTES     the next plaintext of the range, a segment's worth; valid until the next call
 *     OBSERVE   what a holder did, for the trust engine
 *     DONE      all of the range was handed out, or why not
 *
 * Plaintext is held back while the caller has paused the machine.
 *
 * Memory:  in sm_get_new, and when the manifest is known two segments of n shards
 *          (2 * n * 512 KiB for large ones, which the system provides as they are touched).
 * Errors:  from sm_get_new only; all later ones arrive in DONE.
 * Source:  DESIGN 10.
 */
#include "base/time.h"
#include "core/object.h"

#define SM_GET_HOLDERS_MAX 128u /* as many as the DHT gives for one data id, and spare */

struct sm_get_cfg {
    const struct sm_suite *suite;
    struct sm_data_id object;
    struct sm_secret32 key;
    const uint64_t *held; /* per holder: the shard indexes it says it has; copied */
    unsigned n_holders;   /* 1 to SM_GET_HOLDERS_MAX, by preference */
    uint64_t from, to;    /* bytes [from, to); clipped to the object's size */
    unsigned extra;       /* shards asked for beside k; 0 to 3 */
};

enum sm_get_kind { SM_GET_REQUEST, SM_GET_INFO, SM_GET_BYTES, SM_GET_OBSERVE, SM_GET_DONE };

enum sm_get_saw {
    SM_GET_SAW_GOOD,    /* delivered what it announced */
    SM_GET_SAW_SILENT,  /* did not answer in time */
    SM_GET_SAW_MISSING, /* has not what it announced, or refused it */
    SM_GET_SAW_LIE      /* answered with bytes that do not match their hash */
};

struct sm_get_out {
    enum sm_get_kind kind;
    unsigned holder;      /* REQUEST, OBSERVE */
    uint64_t id;          /* REQUEST */
    struct sm_view body;  /* REQUEST */
    struct sm_view bytes; /* BYTES */
    uint64_t offset;      /* BYTES: of the first one in the object */
    uint64_t size;        /* INFO: plaintext bytes of the object */
    struct sm_code code;  /* INFO */
    enum sm_get_saw saw;  /* OBSERVE: once a holder for good behaviour, else each time */
    enum sm_err err;      /* DONE */
};

struct sm_get;
enum sm_err sm_get_new(const struct sm_get_cfg *cfg, struct sm_get **out) SM_MUST;
void sm_get_free(struct sm_get *g); /* wipes key and plaintext */

void sm_get_response(struct sm_get *g, struct sm_mono now, uint64_t id, enum sm_err err,
                     struct sm_view body);
/* When to call sm_get_next although no answer came: a slow holder is about to be passed over.
 */
struct sm_mono sm_get_deadline(const struct sm_get *g);
bool sm_get_next(struct sm_get *g, struct sm_mono now, struct sm_get_out *out);

/* Hold back BYTES (not requests) until told otherwise. */
void sm_get_pause(struct sm_get *g, bool is_paused);
/* Move the end of the range further, as who reads lines must when the last one goes on.
 * STATE once DONE came out. */
enum sm_err sm_get_extend(struct sm_get *g, uint64_t to) SM_MUST;
/* One line for people, e.g. "segment 3: 3 of 4 needed shards came, 5 of 7 holders answered". */
enum sm_err sm_get_reason(const struct sm_get *g, struct sm_buf *out) SM_MUST;
