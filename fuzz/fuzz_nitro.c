// SPDX-License-Identifier: Apache-2.0
/* Documents of AWS Nitro.  Only what AWS signed, which a corpus may hold, is believed; all else
 * is refused with a reason. */
#include "attest/nitro.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct sm_wall now = {1668034320};
    struct sm_view in = {data, n};
    struct sm_claims c;
    struct sm_nitro_data d;
    struct sm_reasons why = {0};
    struct sm_makers trust;
    sm_makers_pinned(&trust);
    if (sm_nitro_verify(in, &trust, now, &c, &d, &why) == SM_OK) {
        assert(c.measurement_n == 48 && c.not_after.s >= now.s && d.nonce_n <= 1024);
    } else {
        assert(why.n > 0);
    }
    return 0;
}
