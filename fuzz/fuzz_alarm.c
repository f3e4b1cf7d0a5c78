// SPDX-License-Identifier: Apache-2.0
/* This one is meant to fail: it writes behind its memory for a size of at least 2 KiB.  That is
 * found in a moment when, and only when, our libraries tell the fuzzer which branches they
 * took and the sanitizer watches; a fuzzer that finds nothing here would find nothing anywhere.
 */
#include "base/ini.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t bytes;
    if (sm_ini_size((struct sm_view){data, n}, &bytes) == SM_OK && bytes >= 2048) {
        volatile uint8_t *room = malloc(4);
        if (room != NULL) {
            room[4] = 1;
        }
        free((void *)(uintptr_t)room);
    }
    return 0;
}
