// SPDX-License-Identifier: Apache-2.0
#pragma once
/* date: seconds of Unix time as people and makers' documents write them, in UTC and in one
 * form: 2025-06-19T10:16:03Z.
 *
 * No clock, no time zone, no locale.  Years 1970 to 9999; no leap seconds.
 */
#include "base/bytes.h"
#include "base/time.h"

#define SM_DATE_LEN  20u
#define SM_DATE_LAST ((struct sm_wall){253402300799u}) /* 9999-12-31T23:59:59Z */

/* MALFORMED for any other form, and for days that no month has. */
enum sm_err sm_date_parse(struct sm_view text, struct sm_wall *out) SM_MUST;
/* Later than 9999 prints as its last second. */
void sm_date_print(struct sm_wall t, char out[static SM_DATE_LEN + 1]);
