// SPDX-License-Identifier: Apache-2.0
#pragma once
/* pieces: packets put together from pieces that came each in a datagram of its own.
 *
 * Only what was opened with the peer's key comes here, so a stranger fills nothing.  A packet
 * has a place by its number; a newer one takes the place of one that is not whole, whose lost
 * pieces nobody sends again.
 *
 * Memory:  SM_PIECES_OPEN packets of 64 KiB at most, on demand, given back when they are a
 *          second old.
 * Errors:  add: false as long as the packet is not whole, or when there was no memory for it.
 */
#include "base/bytes.h"
#include "base/time.h"
#include "wire/datagram.h"

#define SM_PIECES_OPEN 16u /* a datagram that overtakes 700 others finds its packet gone */

struct sm_pieces {
    struct {
        bool is_used;
        uint8_t n;
        uint32_t number, total;
        uint64_t has; /* a bit for each piece */
        uint8_t *p;
        size_t cap;
        struct sm_mono since;
    } open[SM_PIECES_OPEN];
};

void sm_pieces_done(struct sm_pieces *ps);
/* A PIECE of more than one.  When it makes its packet whole, *whole is that, the caller's to
 * change until the next add. */
bool sm_pieces_add(struct sm_pieces *ps, struct sm_mono now, const struct sm_dgram_frame *f,
                   struct sm_view *whole);
/* Give back the memory of what waits no more. */
void sm_pieces_tick(struct sm_pieces *ps, struct sm_mono now);
