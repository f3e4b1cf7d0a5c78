// SPDX-License-Identifier: Apache-2.0
#include "core/window.h"

#include <assert.h>
#include <string.h>

static uint64_t *word(struct sm_window *w, uint64_t n)
{
    return &w->bits[n / 64 % (SM_WINDOW_BITS / 64)];
}

static uint64_t peek(const struct sm_window *w, uint64_t n)
{
    return w->bits[n / 64 % (SM_WINDOW_BITS / 64)];
}

/* The lowest number the bits still speak of: whole words, so that moving on clears words. */
static uint64_t floor_of(const struct sm_window *w)
{
    uint64_t end = (w->top + 63) / 64 * 64;
    return end > SM_WINDOW_BITS ? end - SM_WINDOW_BITS : 0;
}

bool sm_window_is_new(const struct sm_window *w, uint64_t n)
{
    if (n >= w->top) {
        return n != UINT64_MAX;
    }
    return n >= floor_of(w) && (peek(w, n) >> (n % 64) & 1) == 0;
}

void sm_window_mark(struct sm_window *w, uint64_t n)
{
    assert(sm_window_is_new(w, n));
    if (n >= w->top) {
        uint64_t first = (w->top + 63) / 64; /* the first word that is not ours yet */
        uint64_t last = n / 64;
        if (last >= first && last - first >= SM_WINDOW_BITS / 64) {
            memset(w->bits, 0, sizeof w->bits);
        } else {
            for (uint64_t i = first; i <= last; i++) {
                w->bits[i % (SM_WINDOW_BITS / 64)] = 0;
            }
        }
        w->top = n + 1;
    }
    *word(w, n) |= (uint64_t)1 << (n % 64);
}

bool sm_window_run(const struct sm_window *w, uint64_t from, uint64_t *low, uint64_t *high)
{
    if (w->top == 0) {
        return false;
    }
    uint64_t floor = floor_of(w);
    uint64_t n = from < w->top ? from : w->top - 1;
    for (;; n--) {
        if (n < floor) {
            return false;
        }
        uint64_t below = peek(w, n) << (63 - n % 64); /* the bit of n is the highest */
        if (below != 0) {
            uint64_t skip = (uint64_t)__builtin_clzll(below);
            n -= skip;
            break;
        }
        n -= n % 64; /* this word has none */
        if (n == 0) {
            return false;
        }
    }
    *high = n;
    for (;;) {
        uint64_t below = ~(peek(w, n) << (63 - n % 64));
        uint64_t ones = below == 0 ? 64 : (uint64_t)__builtin_clzll(below);
        if (ones <= n % 64 || n - n % 64 <= floor) {
            uint64_t take = ones <= n % 64 ? ones : n % 64 + 1;
            *low = n - take + 1;
            return true;
        }
        n -= n % 64 + 1;
        if ((peek(w, n) >> 63 & 1) == 0) {
            *low = n + 1;
            return true;
        }
    }
}
