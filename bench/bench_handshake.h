// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_handshake: full handshakes a second of processor time, both ends in one thread with
 * nothing between them, beside TLS 1.3 (X25519, a certificate over P-256 that the client
 * checks; mutual: one of each side's); and the operations they are made of, beside OpenSSL's.
 *
 * In Noise IK and XX both ends prove a static key; in one-way TLS only the server does.  With
 * attestation, a handshake is a whole tunnel: both ends also show a record and evidence that is
 * signed for this handshake, and verify the other's.  "Known" is a neighbour that was here
 * before (crypto/known.h): its evidence is new all the same.
 */
#include "base/err.h"
#include "bench/bench.h"

/* UNSUPPORTED, after the rest, in a build without the development root: no attestation. */
enum sm_err bench_handshake(const struct bench_sink *to) SM_MUST;
