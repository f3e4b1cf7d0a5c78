// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "bench/bench.h"
#include "cli/cli.h"

/* Where there is no software TPM, it says so and measures nothing. */
enum sm_err bench_tpm(struct cli *c, const struct bench_sink *to) SM_MUST;
