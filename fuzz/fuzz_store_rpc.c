// SPDX-License-Identifier: Apache-2.0
/* What is accepted of the store's requests and replies is written back byte for byte. */
#include "wire/store_rpc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_request(struct sm_view in, struct sm_wr w)
{
    struct sm_store_req q;
    if (sm_store_req_read(in, &q) == SM_OK) {
        enum sm_err e = sm_store_req_write(&w, &q);
        assert(e == SM_OK && w.n == in.n && memcmp(w.p, in.p, in.n) == 0);
    }
}

static void try_manifest_reply(struct sm_view in, struct sm_wr w)
{
    struct sm_store_manifest_reply m;
    if (sm_store_manifest_reply_read(in, &m) == SM_OK) {
        enum sm_err e = sm_store_manifest_reply_write(&w, &m);
        assert(e == SM_OK && w.n == in.n && memcmp(w.p, in.p, in.n) == 0);
    }
}

static void try_stat(struct sm_view in, struct sm_wr w)
{
    struct sm_store_stat s;
    if (sm_store_stat_read(in, &s) == SM_OK) {
        enum sm_err e = sm_store_stat_write(&w, &s);
        assert(e == SM_OK && w.n == in.n && memcmp(w.p, in.p, in.n) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = {data, n};
    uint8_t *again = malloc(n + 1);
    if (again == NULL) {
        return 0;
    }
    struct sm_wr w = sm_wr_init(again, n);
    try_request(in, w);
    try_manifest_reply(in, w);
    try_stat(in, w);
    free(again);
    return 0;
}
