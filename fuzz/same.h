// SPDX-License-Identifier: Apache-2.0
#pragma once
/* same: what a parser accepts must be written back byte for byte (one encoding a message).
 *
 *     FUZZ_SAME(ctl_hello, in, room);    sm_ctl_hello_read, sm_ctl_hello_write(w, m)
 *
 * room has in.n bytes, so that a longer answer shows as well.
 */
#include "base/bytes.h"

#include <assert.h>
#include <string.h>

static inline void fuzz_same(const struct sm_wr *w, struct sm_view in)
{
    assert(!w->full && w->n == in.n);
    assert(in.n == 0 || memcmp(w->p, in.p, in.n) == 0);
}

#define FUZZ_SAME(name, in, room)                                                              \
    do {                                                                                       \
        struct sm_##name m_;                                                                   \
        struct sm_wr w_ = sm_wr_init(room, (in).n);                                            \
        if (sm_##name##_read(in, &m_) == SM_OK) {                                              \
            sm_##name##_write(&w_, &m_);                                                       \
            fuzz_same(&w_, in);                                                                \
        }                                                                                      \
    } while (0)
