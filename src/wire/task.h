// SPDX-License-Identifier: Apache-2.0
#pragma once
/* task: the grammar of TASK records: who works on a unit, and until when.
 *
 *     head 32, task_id 32, holder node_id 32, holder ep u32, fence u64, lease_ms u32, state u8,
 *     signer node_id 32, signature 64
 *
 * Signed by the node that hands the unit out.  Between records of one task the higher fence
 * wins, then the higher seq; an older fence is never obeyed.
 *
 * Memory:  never allocates; the parsed form holds no pointers.
 * Errors:  the reader: TRUNCATED, MALFORMED, VERSION.
 * Source:  doc/wire.md, section 5.
 */
#include "wire/record.h"

#define SM_TASK_BYTES (SM_RECORD_HEAD + 113u + SM_RECORD_SIG)

enum sm_task_state {
    SM_TASK_OFFERED = 1,
    SM_TASK_RUNNING = 2,
    SM_TASK_DONE = 3,
    SM_TASK_FAILED = 4,
};

struct sm_task {
    struct sm_record_head head;
    struct sm_data_id task_id;
    struct sm_node_id holder;
    uint32_t holder_ep;
    uint64_t fence;
    uint32_t lease_ms;
    uint8_t state; /* enum sm_task_state */
    struct sm_node_id signer;
};

/* Parse a whole record; the signature is present but not checked. */
enum sm_err sm_task_read(struct sm_view record, struct sm_task *out) SM_MUST;

/* Everything before the signature.  Fills head.type itself. */
void sm_task_write(const struct sm_task *rec, struct sm_wr *w);
