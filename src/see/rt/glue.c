// SPDX-License-Identifier: Apache-2.0
/* Compiled together with every module: m.c is the translator's output for it.
 *
 * One process runs one instance, so the instance is a static object.  SM_SEE_IMPORTS is set by
 * the compiler program when the module imports anything, for only then does the translator
 * give instantiate a second argument.
 */
#include "see_module.h"

#include "m.c"

static Z_m_instance_t instance;

static void *instantiate(struct Z_wasi_snapshot_preview1_instance_t *host)
{
#if SM_SEE_IMPORTS
    Z_m_instantiate(&instance, host);
#else
    (void)host;
    Z_m_instantiate(&instance);
#endif
    return Z_mZ_memory(&instance);
}

static void start(void)
{
    Z_mZ__start(&instance);
}

__attribute__((visibility("default"))) extern const struct sm_see_module sm_see_module;
const struct sm_see_module sm_see_module = {
    .abi = SM_SEE_ABI, .init = Z_m_init_module, .instantiate = instantiate, .start = start};
