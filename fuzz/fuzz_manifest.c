// SPDX-License-Identifier: Apache-2.0
/* A manifest that is accepted is written back byte for byte, and all its segments add up; a
 * reference that is accepted is printed back, up to the case of its letters. */
#include "core/object.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void segments_add_up(const struct sm_manifest *m)
{
    uint64_t sum = 0;
    for (uint32_t s = 0; s < sm_manifest_segments(m); s++) {
        struct sm_shard_id id;
        size_t plain = sm_manifest_plain_bytes(m, s), shard = sm_manifest_shard_bytes(m, s);
        assert(plain > 0 && shard <= SM_SHARD_MAX);
        assert(shard * m->code.k >= plain + SM_TAG_BYTES);
        sm_manifest_shard_id(m, s, m->code.n - 1u, &id);
        sum += plain;
    }
    assert(sum == m->size);
}

static void try_reference(struct sm_view in)
{
    struct sm_ref ref;
    if (sm_ref_parse(in, &ref) == SM_OK) {
        char text[SM_REF_LEN + 1];
        sm_ref_print(&ref, text);
        assert(in.n == SM_REF_LEN);
        assert(strncasecmp(text, (const char *)in.p, SM_REF_LEN) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_manifest m;
    struct sm_view in = {data, n};
    try_reference(in);
    if (sm_manifest_read(in, &m) != SM_OK) {
        return 0;
    }
    segments_add_up(&m);
    uint8_t *again = malloc(n);
    if (again == NULL) {
        return 0;
    }
    struct sm_wr w = sm_wr_init(again, n);
    enum sm_err e = sm_manifest_write(&w, &m);
    assert(e == SM_OK && w.n == n && memcmp(again, data, n) == 0);
    free(again);
    return 0;
}
