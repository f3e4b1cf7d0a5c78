// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_handshake: full handshakes a second of CPU time, both ends in one thread with nothing
 * between them, beside TLS 1.3 (X25519, a certificate over P-256 that the client checks).
 *
 * In Noise IK and XX both ends prove a static key; in TLS only the server does.  Records and
 * evidence, which a tunnel shows after its handshake, are not in the figure.
 */
#include "base/err.h"
#include "bench/bench.h"

enum sm_err bench_handshake(const struct bench_sink *to) SM_MUST;
