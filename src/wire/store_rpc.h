// SPDX-License-Identifier: Apache-2.0
#pragma once
/* store_rpc: what one asks a store and what it answers (session service 2).
 *
 * A request is a fixed head of whole 16-byte rows and then bytes, so that a shard in it stays
 * aligned.  Unused fields are zero and checked; there is one encoding of each request.
 *
 *     SHARD_PUT     u8 op, u8 index, u16 0, u32 segment, u64 0, upload 16 | shard
 *     COMMIT        u8 op, u8 index, u16 0, u32 0,       u64 0, upload 16 | manifest
 *     ABORT         u8 op, u8 0,     u16 0, u32 0,       u64 0, upload 16
 *     MANIFEST_GET  u8 op, u8 0,     u16 0, u32 0,       u64 0, data id 32
 *     SHARD_GET     u8 op, u8 index, u16 0, u32 segment, u64 0, data id 32
 *     REMOVE        u8 op, u8 0,     u16 0, u32 0,       u64 0, data id 32, token 32
 *     STAT          u8 op, u8 0,     u16 0, u32 0,       u64 0
 *
 * Replies: SHARD_PUT the shard's id, once it is durable; COMMIT the data id, once the object
 * is; MANIFEST_GET u64 map of the indexes held, u64 0, manifest; SHARD_GET the shard; STAT six
 * u64; ABORT and REMOVE nothing.  A request that fails has its words as the reply's body.
 *
 * Memory:  never allocates; views point into the message.
 * Errors:  TRUNCATED or MALFORMED; UNSUPPORTED for an op this version does not know.
 * Source:  doc/wire.md, section 10; DESIGN 10.
 */
#include "base/bytes.h"
#include "base/ids.h"

enum sm_store_op {
    SM_STORE_SHARD_PUT = 1,
    SM_STORE_COMMIT = 2,
    SM_STORE_ABORT = 3,
    SM_STORE_MANIFEST_GET = 4,
    SM_STORE_SHARD_GET = 5,
    SM_STORE_REMOVE = 6,
    SM_STORE_STAT = 7
};

/* A shard is at most eight blocks of 64 KiB: the size ISA-L and the disk both like. */
#define SM_SHARD_MAX (512u * 1024u)
/* A request of a session is at most 1 MiB; the head must fit beside the manifest. */
#define SM_MANIFEST_MAX (1024u * 1024u - 4096u)
/* Heads of all requests fit in this; SM_MANIFEST_MAX + SM_STORE_HEAD_MAX <= 1 MiB. */
#define SM_STORE_HEAD_MAX  80u
#define SM_STORE_WORDS_MAX 256u /* of a failed request's words */

struct sm_upload_id {
    uint8_t b[16];
};
struct sm_shard_id {
    uint8_t b[32];
};
/* Whoever knows it may remove the object. */
struct sm_remove_token {
    uint8_t b[32];
};

struct sm_store_req {
    enum sm_store_op op;
    uint8_t index;
    uint32_t segment;
    struct sm_upload_id upload;   /* SHARD_PUT, COMMIT, ABORT */
    struct sm_data_id object;     /* MANIFEST_GET, SHARD_GET, REMOVE */
    struct sm_remove_token token; /* REMOVE */
    struct sm_view bytes;         /* shard or manifest, 1 byte to its maximum */
};

enum sm_err sm_store_req_read(struct sm_view in, struct sm_store_req *out) SM_MUST;
/* LIMIT when the writer is full.  The request must be one that sm_store_req_read takes. */
enum sm_err sm_store_req_write(struct sm_wr *w, const struct sm_store_req *req) SM_MUST;

struct sm_store_manifest_reply {
    uint64_t held; /* bit i: it holds shard i of every segment */
    struct sm_view manifest;
};

enum sm_err sm_store_manifest_reply_read(struct sm_view in,
                                         struct sm_store_manifest_reply *out) SM_MUST;
enum sm_err sm_store_manifest_reply_write(struct sm_wr *w,
                                          const struct sm_store_manifest_reply *m) SM_MUST;

struct sm_store_stat {
    uint64_t objects;      /* committed here */
    uint64_t shards;       /* of them */
    uint64_t bytes;        /* on disk, committed and staged */
    uint64_t client_bytes; /* charged to who asks */
    uint64_t client_quota;
    uint64_t free_bytes; /* that the disk could still take */
};
#define SM_STORE_STAT_BYTES 48u

enum sm_err sm_store_stat_read(struct sm_view in, struct sm_store_stat *out) SM_MUST;
enum sm_err sm_store_stat_write(struct sm_wr *w, const struct sm_store_stat *s) SM_MUST;
