// SPDX-License-Identifier: Apache-2.0
#pragma once
/* compile: how seemesh-compile is called and what it answers.
 *
 *     seemesh-compile --cache DIR --runtime DIR [--optimize 1|2] [--cpu SECONDS] [--keep BYTES]
 *
 * The module comes on standard input, the 32-byte MAC key of the cache on descriptor 4, and one
 * struct sm_compile_result goes out on descriptor 3.  The exit status is that of its error.
 * The caller keeps the time: killing the program's process group leaves at most a build folder,
 * which the next run removes.
 */
#include "see/cache.h"

enum { SM_COMPILE_RESULT_FD = 3, SM_COMPILE_KEY_FD = 4 };

#define SM_COMPILE_MAGIC 0x31637373u

struct sm_compile_result {
    uint32_t magic;
    int32_t err; /* enum sm_err: OK, MODULE (see fault), COMPILE, LIMIT, ... */
    struct sm_see_key key;
    struct sm_wasm_fault fault;
    uint32_t build_ms;
    uint8_t was_cached;
    char engine[SM_SEE_ENGINE_MAX];
};
