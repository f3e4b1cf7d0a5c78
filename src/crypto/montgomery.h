// SPDX-License-Identifier: Apache-2.0
#pragma once
/* montgomery: the public X25519 key of a point that was computed on the Edwards curve.
 *
 * X25519 and Ed25519 are two forms of one curve, and libsodium has tables for multiples of the
 * base point on the second only: 14 us there against 33 with the ladder of the first.  The map
 * from one to the other is u = (1 + y) / (1 - y), one inversion, 5 us.
 *
 * What goes in and comes out is public; even so no branch and no address depends on it.
 *
 * Source: RFC 7748, section 4.1.
 */
#include <stdint.h>

/* y: an encoded point; the sign of x, which is its highest bit, does not matter. */
void sm_montgomery_u(const uint8_t y[static 32], uint8_t out[static 32]);
