// SPDX-License-Identifier: Apache-2.0
#pragma once
/* be: big-endian fields for sm_rd, for formats that are not ours. */
#include "base/bytes.h"

static inline uint16_t sm_rd_be16(struct sm_rd *r)
{
    uint16_t high = sm_rd_u8(r);
    uint16_t low = sm_rd_u8(r);
    return (uint16_t)(high << 8 | low);
}

static inline uint32_t sm_rd_be32(struct sm_rd *r)
{
    uint32_t high = sm_rd_be16(r);
    uint32_t low = sm_rd_be16(r);
    return high << 16 | low;
}

static inline uint64_t sm_rd_be64(struct sm_rd *r)
{
    uint64_t high = sm_rd_be32(r);
    uint64_t low = sm_rd_be32(r);
    return high << 32 | low;
}

/* u16 length, then bytes; longer than max breaks the rule. */
static inline struct sm_view sm_rd_be_blob(struct sm_rd *r, size_t max)
{
    size_t n = sm_rd_be16(r);
    if (n > max) {
        sm_rd_fail(r);
        return (struct sm_view){0};
    }
    return sm_rd_view(r, n);
}
