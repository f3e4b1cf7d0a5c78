// SPDX-License-Identifier: Apache-2.0
#pragma once
/* secretmem: memory for keys, between guard pages, locked, wiped when freed.
 *
 * Call sm_secretmem_init() once before the first key is read.  It makes the process
 * undumpable, so no core file and no debugger of the same user sees the keys, and it tries
 * whether memory can be locked: RLIMIT_MEMLOCK may forbid it, which is reported, not hidden.
 *
 * Memory:  sm_secret_new() gives zeroed bytes, or NULL when memory is short.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* FAILED when libsodium does not start or the process stays dumpable.  *out_is_locked tells
 * whether the kernel lets this process keep pages out of swap. */
enum sm_err sm_secretmem_init(bool *out_is_locked) SM_MUST;

void *sm_secret_new(size_t n);
void sm_secret_free(void *p); /* wipes; NULL is fine */
void sm_secret_wipe(void *p, size_t n);
