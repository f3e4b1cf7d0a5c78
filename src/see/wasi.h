// SPDX-License-Identifier: Apache-2.0
#pragma once
/* wasi: WASI preview 1 for an instance that has three pipes and nothing else.
 *
 * The functions are called by translated modules under the names the translator gives them,
 * and are exported from the worker program.  Every pointer a module passes is a 32-bit address
 * in its memory and is range-checked before use; descriptors are the instance's own table,
 * never the kernel's.  There are no files: calls on paths answer EBADF.
 *
 * Source: WASI preview 1 (snapshot 01) witx; see_module.h for the name of the struct.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wasm-rt.h>

struct Z_wasi_snapshot_preview1_instance_t {
    const wasm_rt_memory_t *memory;
    const char *args; /* argc strings, one after another */
    uint32_t argc, args_n;
    bool is_closed[3];
};
