// SPDX-License-Identifier: Apache-2.0
#pragma once
/* store: shards on this node's disk, and the database that says what they belong to.
 *
 * A shard is a file named by its hash.  It is written, synced, renamed and its folder synced
 * before a row in the database mentions it, and a row is gone before its file is: so a crash
 * at any point leaves at most files that nobody mentions.  Opening the store is the only
 * recovery there is: it deletes those, and uploads that were never finished.
 *
 *     DIR/lock              held while open
 *     DIR/state.db          SQLite, WAL, synchronous=FULL
 *     DIR/shards/ab/abcd..  shard files, mode 0600
 *
 * What is staged by SHARD_PUT is durable but not readable; COMMIT makes the whole column of an
 * object (one index, all segments) readable in one transaction.  Every read checks the hash.
 * A client is charged for what it stages and stores, by disk blocks.
 *
 * All calls block on the disk: the store is a process of its own.
 *
 * Memory:  one manifest and one shard per call.
 * Errors:  the world's: NOSPACE, IO, CORRUPT, BUSY (in use by another process), VERSION (made
 *          by a later seemesh); sm_store_words() tells them with path and numbers, for the log.
 *          The client's arrive as the result of sm_store_handle, with words in the reply.
 * Source:  DESIGN 10; notes of the disk layout in doc/store.md.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "core/code.h"
#include "wire/store_rpc.h"

struct sm_store_cfg {
    const char *dir;        /* made when missing */
    uint64_t quota_bytes;   /* for each client */
    uint64_t reserve_bytes; /* of the disk, left free for the node; at least 4 MiB */
    uint64_t stale_s;       /* an upload untouched for so long is swept */
};

/* What the node must announce or stop announcing in the DHT. */
enum sm_store_news { SM_STORE_NO_NEWS, SM_STORE_HOLDS, SM_STORE_DROPPED };
struct sm_store_event {
    enum sm_store_news news;
    struct sm_data_id object;
    uint64_t held;  /* the indexes it has now */
    uint64_t bytes; /* of shards */
};

struct sm_store;
/* On failure words (if not NULL) gets one line that says what and where. */
enum sm_err sm_store_open(const struct sm_store_cfg *cfg, struct sm_wall now,
                          struct sm_store **out, struct sm_buf *words) SM_MUST;
void sm_store_close(struct sm_store *s);
/* Of the last call that failed; never NULL. */
const char *sm_store_words(const struct sm_store *s);

/* Run one request of wire/store_rpc.h for the client of that id (1 to 64 bytes, proven by its
 * session).  The reply replaces what is in the buffer, whose maximum should be 1 MiB; when the
 * result is not OK it holds words for the client. */
enum sm_err sm_store_handle(struct sm_store *s, struct sm_wall now, struct sm_view client,
                            struct sm_view body, struct sm_buf *reply,
                            struct sm_store_event *event) SM_MUST;

/* Drop uploads that went stale; call it every few minutes. */
enum sm_err sm_store_sweep(struct sm_store *s, struct sm_wall now,
                           unsigned *out_dropped) SM_MUST;

struct sm_store_object {
    struct sm_data_id id;
    uint64_t size; /* plaintext */
    struct sm_code code;
    uint64_t held;
    uint64_t bytes; /* of shards here */
    struct sm_wall created;
};

/* Up to `max` objects in ascending order of their ids, behind `after` (NULL: from the first).
 */
enum sm_err sm_store_list(struct sm_store *s, const struct sm_data_id *after,
                          struct sm_store_object out[], size_t max, size_t *out_n) SM_MUST;

enum sm_err sm_store_stat(struct sm_store *s, struct sm_view client,
                          struct sm_store_stat *out) SM_MUST;

/* What a check found.  Clean: missing, damaged, strays and accounts are 0, database is sound.
 */
struct sm_store_report {
    uint64_t objects, shards, bytes;
    uint64_t missing;  /* shards whose file is not there */
    uint64_t damaged;  /* shards and manifests that do not match their hash */
    uint64_t strays;   /* files nobody mentions */
    uint64_t accounts; /* clients charged with something else than they use */
    bool is_database_sound;
};

/* Told of each shard that is missing or damaged; may be NULL. */
typedef void sm_store_fault_fn(void *ctx, const struct sm_data_id *object, unsigned index,
                               uint32_t segment, enum sm_err err);

/* Read everything and compare it with its hashes. */
enum sm_err sm_store_check(struct sm_store *s, sm_store_fault_fn *fault, void *ctx,
                           struct sm_store_report *out) SM_MUST;
