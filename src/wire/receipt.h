// SPDX-License-Identifier: Apache-2.0
#pragma once
/* receipt: the record of what ran on what, signed by the SEE that ran it.
 *
 *     RECEIPT  head, job 16, unit u32, fence u64, module 32, arguments 32, input 32,
 *              output 32 (SHA-256 each), node u64, ep u32, platform u8, run_ms u32,
 *              signature 64 (by the SEE's sign_key)
 *
 * It is believed together with the SEE's passport: the passport names the sign_key, and the
 * node that vouches for it.  platform says what the node's evidence is rooted in; 0 is
 * software, which proves nothing to a stranger.
 *
 * Errors:  readers: TRUNCATED, MALFORMED, VERSION.
 * Source:  doc/wire.md, section 2; DESIGN 11.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "wire/record.h"

#define SM_RECEIPT_BYTES                                                                       \
    (SM_RECORD_HEAD + 16u + 4u + 8u + 4u * 32u + 12u + 1u + 4u + SM_RECORD_SIG)

struct sm_receipt {
    struct sm_record_head head;
    uint8_t job[16];
    uint32_t unit;
    uint64_t fence;
    uint8_t module[32], args[32], input[32], output[32];
    struct sm_addr see;
    uint8_t platform;
    uint32_t run_ms;
};

enum sm_err sm_receipt_read(struct sm_view record, struct sm_receipt *out) SM_MUST;
/* Everything before the signature.  Fills head.type itself. */
void sm_receipt_write(const struct sm_receipt *m, struct sm_wr *w);
