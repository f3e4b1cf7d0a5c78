// SPDX-License-Identifier: Apache-2.0
#pragma once
/* secret: the type of 32 secret bytes, and the two things one may do to secrets: forget them
 * and compare them without telling where they differ.  There is no printer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sm_secret32 {
    uint8_t b[32];
};

/* Overwrite n bytes; never optimised away. */
void sm_wipe(void *p, size_t n);

/* Equal, in time that depends on n only. */
bool sm_secret_eq(const void *a, const void *b, size_t n);
