// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_rpc: how long a question and its answer take, over a tunnel and over a session through
 * one, beside bare TCP and TLS 1.3: both processes on one processor, and each on its own, where
 * waking the other costs more than all the rest.  And a control message's round trip while bulk
 * fills the tunnel, beside that of an idle one.
 */
#include "base/err.h"
#include "bench/bench.h"

/* UNSUPPORTED without the development root. */
enum sm_err bench_rpc(const struct bench_sink *to) SM_MUST;
