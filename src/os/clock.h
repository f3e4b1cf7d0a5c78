// SPDX-License-Identifier: Apache-2.0
#pragma once
/* clock: the two clocks, and the only place that reads them.
 *
 * Errors:  none; the kernel cannot refuse these clocks.
 */
#include "base/time.h"

struct sm_mono sm_clock_mono(void);
struct sm_wall sm_clock_wall(void);
uint64_t sm_clock_wall_ms(void); /* the same to the millisecond, for log lines */
