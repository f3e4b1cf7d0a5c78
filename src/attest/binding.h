// SPDX-License-Identifier: Apache-2.0
#pragma once
/* binding: the 64 bytes that tie evidence to one session, one role and one lease.
 *
 *     rd = SHA-512("seemesh/att/v1" 0 || role || h || pk_self || pk_peer || le64(lease_seq)
 *                  || SHA-256(challenge) || SHA-256(policy hint))
 *
 * h covers fresh keys of both sides, so it is the nonce; role stops reflection, the static
 * keys stop diversion.  The policy hint is empty: no side asks for a policy yet.
 *
 * Source:  doc/attestation.md.
 */
#include "wire/sign.h"

#define SM_REPORT_DATA 64u

void sm_binding_report_data(const struct sm_binding *b, uint8_t out[static SM_REPORT_DATA]);

/* For evidence that people ask for, of no session: SHA-512("seemesh/user/v1" 0 || data). */
void sm_user_report_data(struct sm_view data, uint8_t out[static SM_REPORT_DATA]);
