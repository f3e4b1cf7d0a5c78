// SPDX-License-Identifier: Apache-2.0
#pragma once
/* suite_sim: the stand-in suite.
 *
 *              IT PROTECTS NOTHING.  NOTHING IS ENCRYPTED.  ANYONE CAN SIGN.
 *
 * It keeps every check a protocol relies on, so that a wrong key, a changed bit, a replayed
 * number or a wrong peer is refused as by the real suite, at a fraction of the cost and with
 * the same bytes on every machine.  It is a library of its own, linked into the simulator,
 * the tests and the fuzzers and into no program that is installed.
 */
#include "crypto/suite.h"

const struct sm_suite *sm_suite_sim(void);
