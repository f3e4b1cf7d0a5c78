// SPDX-License-Identifier: Apache-2.0
/* The module check: what is accepted must be accepted again, unchanged. */
#include "see/wasm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf once = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf twice = SM_BUF(1 << 20);
    struct sm_wasm_info info;
    struct sm_wasm_fault fault;
    if (sm_wasm_check(sm_view_of(data, n), &once, &info, &fault) != SM_OK) {
        return 0;
    }
    if (sm_wasm_check(sm_buf_view(&once), &twice, &info, &fault) != SM_OK ||
        !sm_view_eq(sm_buf_view(&once), sm_buf_view(&twice))) {
        abort();
    }
    return 0;
}
