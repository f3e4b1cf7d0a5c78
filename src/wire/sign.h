// SPDX-License-Identifier: Apache-2.0
#pragma once
/* sign: what the net process may ask the keys process to sign.
 *
 *     request   kind u8, body
 *     RECORD    the bytes of a record without its signature    -> signature 64
 *     EVIDENCE  role u8, h 32, pk_self 32, pk_peer 32, lease_seq u64, challenge blob
 *                                                              -> evidence bytes
 *     USER      1 to 64 bytes of the asker's choice              -> evidence bytes
 *
 * For evidence the asker sends the parts of the binding, never its hash: the keys process
 * computes report_data itself, so it cannot be made to sign a foreign one.  What is chosen
 * freely (USER) is hashed under a prefix that no tunnel uses: it proves a machine to people,
 * and is no oracle for evidence of sessions.
 *
 * Memory:  never allocates; a parsed request borrows the bytes.
 * Errors:  TRUNCATED, MALFORMED.
 * Source:  doc/wire.md, section 3.
 */
#include "base/bytes.h"

enum sm_sign_kind {
    SM_SIGN_RECORD = 1,
    SM_SIGN_EVIDENCE = 2,
    SM_SIGN_USER = 3,
};

/* Who speaks in a handshake: evidence of one role is not evidence of the other. */
enum sm_role {
    SM_ROLE_INITIATOR = 1,
    SM_ROLE_RESPONDER = 2,
};

#define SM_CHALLENGE_MAX 64u
#define SM_USER_DATA_MAX 64u

/* What evidence commits to; "self" is who gives the evidence. */
struct sm_binding {
    uint8_t role;  /* enum sm_role */
    uint8_t h[32]; /* handshake hash: fresh from both sides */
    uint8_t pk_self[32];
    uint8_t pk_peer[32];
    uint64_t lease_seq;
    struct sm_view challenge; /* empty in a handshake; at most SM_CHALLENGE_MAX */
};

struct sm_sign_request {
    uint8_t kind; /* enum sm_sign_kind */
    struct sm_view record;
    struct sm_binding binding;
    struct sm_view user;
};

#define SM_SIGN_EVIDENCE_MAX (1u + 1u + 3u * 32u + 8u + 4u + SM_CHALLENGE_MAX)

void sm_sign_record_write(struct sm_view unsigned_record, struct sm_wr *w);
void sm_sign_evidence_write(const struct sm_binding *b, struct sm_wr *w);
void sm_sign_user_write(struct sm_view data, struct sm_wr *w);
enum sm_err sm_sign_request_read(struct sm_view request, struct sm_sign_request *out) SM_MUST;
