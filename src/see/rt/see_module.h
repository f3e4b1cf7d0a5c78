// SPDX-License-Identifier: Apache-2.0
#pragma once
/* see_module: the one symbol a compiled module shows to its worker.
 *
 * Raise SM_SEE_ABI when this, the runtime's functions or their meaning change: it is part of
 * the cache key, and the worker refuses another number.
 */
#include <stdint.h>

#define SM_SEE_ABI 1u

struct Z_wasi_snapshot_preview1_instance_t; /* the host's state; the translator names it so */

struct sm_see_module {
    uint32_t abi;
    void (*init)(void); /* once, before the fork */
    void *(*instantiate)(struct Z_wasi_snapshot_preview1_instance_t *host); /* its memory */
    void (*start)(void);
};
