// SPDX-License-Identifier: Apache-2.0
#pragma once
/* provider: the grammar of PROVIDER records: "this node holds something of that data id".
 *
 *     head 32, key 32, node_id 32, kind u8, frag_map u64, bytes u64, signature 64
 *
 * Signed with the holder's sign_key.  A record with an empty frag_map and no bytes takes back
 * an older one of the same node and key: holders of records keep it, readers do not see it.
 *
 * Memory:  never allocates; the parsed form holds no pointers.
 * Errors:  the reader: TRUNCATED, MALFORMED, VERSION.
 * Source:  doc/wire.md, section 5.
 */
#include "wire/record.h"

#define SM_PROVIDER_BYTES (SM_RECORD_HEAD + 81u + SM_RECORD_SIG)

enum sm_provider_kind {
    SM_PROVIDER_SHARDS = 1,
    SM_PROVIDER_MODULE = 2,
    SM_PROVIDER_DATASET = 3,
};

struct sm_provider {
    struct sm_record_head head;
    struct sm_data_id key;
    struct sm_node_id node_id; /* holder and signer */
    uint8_t kind;              /* enum sm_provider_kind */
    uint64_t frag_map;         /* bit i: holds shard i of every segment */
    uint64_t bytes;            /* how much it holds */
};

/* Parse a whole record; the signature is present but not checked. */
enum sm_err sm_provider_read(struct sm_view record, struct sm_provider *out) SM_MUST;

/* Everything before the signature.  Fills head.type itself. */
void sm_provider_write(const struct sm_provider *rec, struct sm_wr *w);

static inline bool sm_provider_is_withdrawn(const struct sm_provider *rec)
{
    return rec->frag_map == 0 && rec->bytes == 0;
}
