// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cbor_copy: read an item and write it again.  What the reader accepts, the writer must give
 * back byte for byte, or there are two encodings of one thing. */
#include "base/cbor.h"

static inline void cbor_copy(struct sm_cbor *c, struct sm_wr *w)
{
    struct sm_cbor probe = *c;
    size_t n;
    switch (sm_cbor_peek(c)) {
    case SM_CBOR_UINT:
        sm_cbor_put_uint(w, sm_cbor_uint(c));
        break;
    case SM_CBOR_NINT:
        sm_cbor_int(&probe);
        if (probe.rd.failed) { /* below INT64_MIN: may be skipped, not read */
            sm_wr_view(w, sm_cbor_item(c));
        } else {
            sm_cbor_put_int(w, sm_cbor_int(c));
        }
        break;
    case SM_CBOR_BYTES:
        sm_cbor_put_bytes(w, sm_cbor_bytes(c));
        break;
    case SM_CBOR_TEXT:
        sm_cbor_put_text(w, sm_cbor_text(c));
        break;
    case SM_CBOR_ARRAY:
        n = sm_cbor_array(c);
        sm_cbor_put_array(w, n);
        for (; n > 0; n--) {
            cbor_copy(c, w);
        }
        break;
    case SM_CBOR_MAP:
        n = sm_cbor_map(c);
        sm_cbor_put_map(w, n);
        for (n *= 2; n > 0; n--) {
            cbor_copy(c, w);
        }
        break;
    case SM_CBOR_TAG:
        sm_cbor_put_tag(w, sm_cbor_tag(c));
        while (sm_cbor_peek(c) == SM_CBOR_TAG) { /* a row of tags is no depth */
            sm_cbor_put_tag(w, sm_cbor_tag(c));
        }
        cbor_copy(c, w);
        break;
    case SM_CBOR_BOOL:
        sm_cbor_put_bool(w, sm_cbor_bool(c));
        break;
    case SM_CBOR_NULL:
        sm_cbor_null(c);
        sm_cbor_put_null(w);
        break;
    case SM_CBOR_NONE:
        sm_cbor_fail(c);
        break;
    }
}
