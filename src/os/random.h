// SPDX-License-Identifier: Apache-2.0
#pragma once
/* random: the kernel's generator.  A program asks for a seed at start and for every new
 * long-term key; all else comes from struct sm_rng streams of that seed.
 *
 * Errors:  IO when the kernel has no getrandom; a program cannot go on then.
 */
#include "base/err.h"

#include <stddef.h>

enum sm_err sm_random_bytes(void *p, size_t n) SM_MUST;
