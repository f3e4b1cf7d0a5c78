// SPDX-License-Identifier: Apache-2.0
#pragma once
/* follow: what claims must keep from one proof of a live tunnel to the next.
 *
 * A record says one measurement; of a TPM that is a hash over registers, and a hash that
 * differs does not tell which register it was.  The proof before does: it is compared register
 * by register, so a refusal can name the one that changed.  And a TPM that was reset in between
 * belongs to another boot, whose proof starts with a handshake.
 *
 * Counters of a TPM are shown with a constant added that only it knows (TPM 2.0 part 1,
 * "obfuscation"), so they are compared and never read.
 *
 * Errors:  REFUSED, with every reason.
 */
#include "attest/evidence.h"

enum sm_err sm_claims_follow(const struct sm_claims *was, const struct sm_claims *is,
                             struct sm_reasons *why) SM_MUST;
