// SPDX-License-Identifier: Apache-2.0
#include "core/pieces.h"

#include <stdlib.h>
#include <string.h>

#define LIFE SM_S(1)
#define STEP 16384u /* of memory: most packets have a little more than one fragment */

void sm_pieces_done(struct sm_pieces *ps)
{
    for (unsigned i = 0; i < SM_PIECES_OPEN; i++) {
        free(ps->open[i].p);
    }
    *ps = (struct sm_pieces){0};
}

static bool make_room(uint8_t **p, size_t *cap, size_t n)
{
    if (n > *cap) {
        size_t want = (n + STEP - 1) / STEP * STEP;
        uint8_t *more = realloc(*p, want);
        if (more == NULL) {
            return false;
        }
        *p = more;
        *cap = want;
    }
    return true;
}

bool sm_pieces_add(struct sm_pieces *ps, struct sm_mono now, const struct sm_dgram_frame *f,
                   struct sm_view *whole)
{
    unsigned i = f->number % SM_PIECES_OPEN;
    bool is_same = ps->open[i].is_used && ps->open[i].number == f->number;
    if (!is_same) {
        if (ps->open[i].is_used && f->number - ps->open[i].number > UINT32_MAX / 2) {
            return false; /* too late: a newer one has its place */
        }
        if (!make_room(&ps->open[i].p, &ps->open[i].cap, f->total)) {
            return false;
        }
        ps->open[i].is_used = true;
        ps->open[i].n = f->n;
        ps->open[i].number = f->number;
        ps->open[i].total = f->total;
        ps->open[i].has = 0;
    }
    uint64_t bit = (uint64_t)1 << f->index;
    if (ps->open[i].n != f->n || ps->open[i].total != f->total ||
        (ps->open[i].has & bit) != 0) {
        return false;
    }
    memcpy(ps->open[i].p + (size_t)f->index * sm_dgram_piece(f->total, f->n), f->bytes.p,
           f->bytes.n);
    ps->open[i].has |= bit;
    ps->open[i].since = now;
    if ((unsigned)__builtin_popcountll(ps->open[i].has) < f->n) {
        return false;
    }
    ps->open[i].is_used = false;
    *whole = sm_view_of(ps->open[i].p, f->total);
    return true;
}

void sm_pieces_tick(struct sm_pieces *ps, struct sm_mono now)
{
    for (unsigned i = 0; i < SM_PIECES_OPEN; i++) {
        if (ps->open[i].p != NULL && sm_is_due(sm_after(ps->open[i].since, LIFE), now)) {
            free(ps->open[i].p);
            ps->open[i].p = NULL;
            ps->open[i].cap = 0;
            ps->open[i].is_used = false;
        }
    }
}
