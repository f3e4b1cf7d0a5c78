// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_tunnel: what a tunnel costs beside the connection it runs over, between processes.
 *
 *     bench_tunnel     bulk in frames of 64 KiB and 1400 B beside bare TCP, TLS 1.3 and the
 *                      bare cipher; over UDP in messages of 1400 B and 24 KiB beside bare UDP
 *     bench_relay      bulk A-B-C beside one tunnel
 *
 * Where the kernel puts the processes decides much, so 64 KiB frames are also measured with all
 * of them on one processor and with each on its own.
 *
 * Errors: as flow.h; lines told before the error stand.
 */
#include "base/err.h"
#include "bench/bench.h"

enum sm_err bench_tunnel(const struct bench_sink *to) SM_MUST;
enum sm_err bench_relay(const struct bench_sink *to) SM_MUST;
