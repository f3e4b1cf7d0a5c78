// SPDX-License-Identifier: Apache-2.0
/* Requests for SEE instances and for units in them, and their answers. */
#include "same.h"
#include "wire/see_rpc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_see_request(struct sm_view in, struct sm_wr w)
{
    struct sm_see_request m;
    if (sm_see_request_read(in, &m) != SM_OK) {
        return;
    }
    switch (m.op) {
    case SM_SEE_START:
        sm_see_start_write(&w, &m.start);
        break;
    case SM_SEE_STOP:
        sm_see_stop_write(&w, m.stop_ep);
        break;
    }
    fuzz_same(&w, in);
}

static void try_unit_request(struct sm_view in, struct sm_wr w)
{
    struct sm_unit_request m;
    if (sm_unit_request_read(in, &m) != SM_OK) {
        return;
    }
    switch (m.op) {
    case SM_UNIT_MODULE:
    case SM_UNIT_INPUT:
    case SM_UNIT_OUTPUT:
    case SM_UNIT_CANCEL:
        sm_unit_piece_write(&w, m.op, &m.piece);
        break;
    case SM_UNIT_RUN:
        sm_unit_run_write(&w, &m.run);
        break;
    case SM_UNIT_SCAN:
        sm_unit_scan_write(&w, &m.run.range);
        break;
    }
    fuzz_same(&w, in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = {data, n};
    uint8_t *room = malloc(n + 1);
    assert(room != NULL);
    try_see_request(in, sm_wr_init(room, n));
    try_unit_request(in, sm_wr_init(room, n));
    FUZZ_SAME(see_started, in, room);
    FUZZ_SAME(unit_ready, in, room);
    FUZZ_SAME(unit_result, in, room);
    free(room);
    return 0;
}
