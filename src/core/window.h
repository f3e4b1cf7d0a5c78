// SPDX-License-Identifier: Apache-2.0
#pragma once
/* window: which of the latest numbers have been seen.
 *
 * Numbers may come in any order within SM_WINDOW_BITS of the highest; what is older counts as
 * seen.  Fragments of one message travel over several paths, so the window is much wider than
 * that of a tunnel: a slow path may be a thousand fragments behind a fast one.
 *
 * Memory:  in the struct; zeroed is empty.
 */
#include <stdbool.h>
#include <stdint.h>

enum { SM_WINDOW_BITS = 8192 };

struct sm_window {
    uint64_t top; /* one above the highest number seen; 0: none yet */
    uint64_t bits[SM_WINDOW_BITS / 64];
};

/* Is n new? */
bool sm_window_is_new(const struct sm_window *w, uint64_t n);

/* Remember n, which is new. */
void sm_window_mark(struct sm_window *w, uint64_t n);

/* Find the highest run of seen numbers that begins at or below `from` and is still within the
 * window.  False when there is none. */
bool sm_window_run(const struct sm_window *w, uint64_t from, uint64_t *low, uint64_t *high);
