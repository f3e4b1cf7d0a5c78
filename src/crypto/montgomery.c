// SPDX-License-Identifier: Apache-2.0
#include "crypto/montgomery.h"

#include "base/bytes.h"

/* A number modulo p = 2^255 - 19 in five limbs of 51 bits, each a little longer between
 * operations: below 2^52 after mul and sqr, below 2^54 where one goes into them. */
struct fe {
    uint64_t v[5];
};

__extension__ typedef unsigned __int128 u128;

#define MASK (((uint64_t)1 << 51) - 1)

static u128 wide(uint64_t a, uint64_t b)
{
    return (u128)a * b;
}

static struct fe carry(u128 t0, u128 t1, u128 t2, u128 t3, u128 t4)
{
    struct fe r;
    t1 += (uint64_t)(t0 >> 51);
    t2 += (uint64_t)(t1 >> 51);
    t3 += (uint64_t)(t2 >> 51);
    t4 += (uint64_t)(t3 >> 51);
    r.v[0] = ((uint64_t)t0 & MASK) + 19 * (uint64_t)(t4 >> 51);
    r.v[1] = ((uint64_t)t1 & MASK) + (r.v[0] >> 51);
    r.v[0] &= MASK;
    r.v[2] = (uint64_t)t2 & MASK;
    r.v[3] = (uint64_t)t3 & MASK;
    r.v[4] = (uint64_t)t4 & MASK;
    return r;
}

static struct fe mul(struct fe a, struct fe b)
{
    const uint64_t *x = a.v, *y = b.v;
    uint64_t y1 = 19 * y[1], y2 = 19 * y[2], y3 = 19 * y[3], y4 = 19 * y[4];
    return carry(
        wide(x[0], y[0]) + wide(x[1], y4) + wide(x[2], y3) + wide(x[3], y2) + wide(x[4], y1),
        wide(x[0], y[1]) + wide(x[1], y[0]) + wide(x[2], y4) + wide(x[3], y3) + wide(x[4], y2),
        wide(x[0], y[2]) + wide(x[1], y[1]) + wide(x[2], y[0]) + wide(x[3], y4) +
            wide(x[4], y3),
        wide(x[0], y[3]) + wide(x[1], y[2]) + wide(x[2], y[1]) + wide(x[3], y[0]) +
            wide(x[4], y4),
        wide(x[0], y[4]) + wide(x[1], y[3]) + wide(x[2], y[2]) + wide(x[3], y[1]) +
            wide(x[4], y[0]));
}

/* a squared n times */
static struct fe sqr(struct fe a, unsigned n)
{
    while (n-- > 0) {
        const uint64_t *x = a.v;
        uint64_t d0 = 2 * x[0], d1 = 2 * x[1], d2 = 2 * 19 * x[2], x3 = 19 * x[3],
                 x4 = 19 * x[4];
        a = carry(wide(x[0], x[0]) + wide(d1, x4) + wide(d2, x[3]),
                  wide(d0, x[1]) + wide(d2, x[4]) + wide(x[3], x3),
                  wide(d0, x[2]) + wide(x[1], x[1]) + wide(2 * x[3], x4),
                  wide(d0, x[3]) + wide(d1, x[2]) + wide(x[4], x4),
                  wide(d0, x[4]) + wide(d1, x[3]) + wide(x[2], x[2]));
    }
    return a;
}

/* a^(p - 2): 2^255 - 21 */
static struct fe invert(struct fe a)
{
    struct fe a2 = sqr(a, 1);
    struct fe a9 = mul(sqr(a2, 2), a);
    struct fe a11 = mul(a9, a2);
    struct fe n5 = mul(sqr(a11, 1), a9); /* nK: a^(2^K - 1) */
    struct fe n10 = mul(sqr(n5, 5), n5);
    struct fe n20 = mul(sqr(n10, 10), n10);
    struct fe n40 = mul(sqr(n20, 20), n20);
    struct fe n50 = mul(sqr(n40, 10), n10);
    struct fe n100 = mul(sqr(n50, 50), n50);
    struct fe n200 = mul(sqr(n100, 100), n100);
    struct fe n250 = mul(sqr(n200, 50), n50);
    return mul(sqr(n250, 5), a11);
}

static struct fe read(const uint8_t p[static 32])
{
    return (struct fe){{sm_le64(p) & MASK, (sm_le64(p + 6) >> 3) & MASK,
                        (sm_le64(p + 12) >> 6) & MASK, (sm_le64(p + 19) >> 1) & MASK,
                        (sm_le64(p + 24) >> 12) & MASK}};
}

/* In its one form, below p. */
static void write(struct fe a, uint8_t p[static 32])
{
    a = carry(a.v[0], a.v[1], a.v[2], a.v[3], a.v[4]);
    /* a < 2^255 + 2^52 now: is a + 19 at least 2^255, or twice that?  So many times p go. */
    uint64_t q = (a.v[0] + 19) >> 51;
    for (unsigned i = 1; i < 5; i++) {
        q = (a.v[i] + q) >> 51;
    }
    a.v[0] += 19 * q;
    for (unsigned i = 0; i < 4; i++) {
        a.v[i + 1] += a.v[i] >> 51;
        a.v[i] &= MASK;
    }
    a.v[4] &= MASK;
    sm_put_le64(p, a.v[0] | a.v[1] << 51);
    sm_put_le64(p + 8, a.v[1] >> 13 | a.v[2] << 38);
    sm_put_le64(p + 16, a.v[2] >> 26 | a.v[3] << 25);
    sm_put_le64(p + 24, a.v[3] >> 39 | a.v[4] << 12);
}

void sm_montgomery_u(const uint8_t y[static 32], uint8_t out[static 32])
{
    struct fe n = read(y), d = n;
    n.v[0] += 1;
    d.v[0] = 2 * MASK - 36 + 1 - d.v[0]; /* 1 - y + 2p */
    for (unsigned i = 1; i < 5; i++) {
        d.v[i] = 2 * MASK - d.v[i];
    }
    write(mul(n, invert(d)), out);
}
