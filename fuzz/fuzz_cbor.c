// SPDX-License-Identifier: Apache-2.0
/* Whatever the CBOR reader accepts is written back byte for byte, by two ways through it. */
#include "../tests/cbor_copy.h"
#include "base/cbor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = {data, n};
    uint8_t *again = malloc(n + 1);
    if (again == NULL) {
        return 0;
    }
    struct sm_cbor c = sm_cbor_init(in);
    struct sm_wr w = sm_wr_init(again, n);
    cbor_copy(&c, &w);
    bool is_good = sm_cbor_done(&c) == SM_OK;
    assert(is_good == (sm_cbor_check(in) == SM_OK));
    if (is_good) {
        assert(!w.full && w.n == n && memcmp(again, data, n) == 0);
    }
    free(again);
    return 0;
}
