// SPDX-License-Identifier: Apache-2.0
#include "core/fixed.h"

#include <assert.h>

uint32_t sm_log2_q16(uint32_t x)
{
    assert(x > 0);
    uint32_t whole = 31u - (uint32_t)__builtin_clz(x);
    uint64_t m = (uint64_t)x << (31u - whole); /* the mantissa, [1, 2) in Q31 */
    uint32_t log = whole;
    for (unsigned bit = 0; bit < 16; bit++) {
        m = m * m >> 31;
        log = log << 1 | (uint32_t)(m >> 32);
        m >>= m >> 32;
    }
    return log;
}

uint32_t sm_neg_ln_q16(uint32_t t_q16)
{
    assert(t_q16 > 0);
    assert(t_q16 <= SM_Q16_ONE);
    const uint64_t ln2_q32 = 2977044471u;
    uint64_t bits_q16 = 16u * SM_Q16_ONE - sm_log2_q16(t_q16);
    return (uint32_t)(bits_q16 * ln2_q32 >> 32);
}

uint32_t sm_exp2_neg_q16(uint64_t x_q16)
{
    /* 2^(-2^-i) in Q32 for i = 1..16: one factor for each bit of the fraction. */
    static const uint32_t factor_q32[16] = {3037000499u, 3611622602u, 3938502375u, 4112874773u,
                                            4202935003u, 4248701964u, 4271771996u, 4283353945u,
                                            4289156690u, 4292061009u, 4293513906u, 4294240539u,
                                            4294603902u, 4294785595u, 4294876444u, 4294921870u};
    uint64_t whole = x_q16 >> 16;
    if (whole >= 17) {
        return 0;
    }
    uint64_t v_q32 = (uint64_t)1 << 32;
    for (unsigned i = 0; i < 16; i++) {
        if ((x_q16 >> (15 - i) & 1) != 0) {
            v_q32 = v_q32 * factor_q32[i] >> 32;
        }
    }
    return (uint32_t)(v_q32 >> 16 >> whole);
}

static const uint32_t quarter_q16[4] = {65536, 77936, 92682, 110218}; /* 2^(i/4) */

uint32_t sm_class_units(uint8_t class)
{
    unsigned c = class < SM_CLASS_MAX ? class : SM_CLASS_MAX;
    return (uint32_t)(((uint64_t)quarter_q16[c % 4] << (c / 4)) >> 16);
}

uint8_t sm_class_of(uint32_t units)
{
    uint8_t low = 0, high = SM_CLASS_MAX;
    while (low < high) {
        uint8_t mid = (uint8_t)((low + high + 1) / 2);
        if (sm_class_units(mid) <= units) {
            low = mid;
        } else {
            high = (uint8_t)(mid - 1);
        }
    }
    return low;
}

uint8_t sm_class_follow(uint8_t class, uint32_t units)
{
    uint8_t now = sm_class_of(units);
    unsigned apart = now > class ? (unsigned)(now - class) : (unsigned)(class - now);
    return apart > 1 ? now : class;
}
