// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_session: what a session costs beside the bare cipher, on one core.
 *
 * Two hosts in one thread, no network between them: requests of 512 KiB go one way and short
 * answers come back.  The bare primitive seals and opens the same 16 KiB fragments in the same
 * run, so that the ratio means something on a machine with neighbours.
 */
#include "base/err.h"
#include "base/time.h"
#include "crypto/suite.h"

struct bench_session {
    uint64_t bytes, fragments, resent;
    uint64_t session_mb_per_s; /* bodies that arrived whole, 10^6 bytes */
    uint64_t bare_mb_per_s;    /* seal and open, nothing else */
    uint64_t ratio_permille;   /* session / bare */
    uint64_t ping_ns;          /* a request of 64 bytes and its answer: the middle of 1,000 */
    uint64_t handshake_us;     /* first request to a stranger */
};

/* Run for about twice `span`.  UNSUPPORTED in a build without the development root, which
 * makes the passports. */
enum sm_err bench_session_run(uint64_t (*now_ns)(void), enum sm_aead_kind cipher,
                              struct sm_dur span, struct bench_session *out) SM_MUST;
