// SPDX-License-Identifier: Apache-2.0
#pragma once
/* fixed: the little arithmetic that trust and routes need, without floating point, so that
 * every machine computes the same score and the same path.
 *
 * Q16 means sixteen bits behind the point: 65536 is one.  All functions are monotone over
 * their whole range: a better input never gives a worse output (tests/test_trust.c tries
 * every value).
 *
 * Classes are steps of 2^(1/4), about 19 %: what link-state records announce, so that small
 * changes stay silent.
 */
#include <stdint.h>

#define SM_Q16_ONE 65536u

/* log2(x) in Q16, rounded down; x > 0. */
uint32_t sm_log2_q16(uint32_t x);

/* -ln(t / 65536) in Q16 for 0 < t <= 65536: 0 for one, 726817 for the least t. */
uint32_t sm_neg_ln_q16(uint32_t t_q16);

/* 2^(-x) in Q16 for x in Q16. */
uint32_t sm_exp2_neg_q16(uint64_t x_q16);

#define SM_CLASS_MAX 80 /* 2^20 units: as a link cost in 1/16 ms, 65 s */

/* The highest class whose units are not above x; 0 for x = 0. */
uint8_t sm_class_of(uint32_t units);
/* 2^(class/4), rounded down; classes above SM_CLASS_MAX count as SM_CLASS_MAX. */
uint32_t sm_class_units(uint8_t class);
/* Follow a value by its class with one class of hysteresis. */
uint8_t sm_class_follow(uint8_t class, uint32_t units);
