// SPDX-License-Identifier: Apache-2.0
/* Requests and answers of a stranger go into a node; whatever a record parser accepts is
 * written back byte for byte. */
#include "core/dht.h"
#include "core/dht_store.h"
#include "crypto/suite_sim.h"
#include "wire/dht_rpc.h"
#include "wire/provider.h"
#include "wire/task.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t *some_key(void *ctx, const struct sm_node_id *id)
{
    (void)ctx;
    return id->b; /* everyone is known, and by chance some signature may fit */
}

static void round_trip(struct sm_view in)
{
    uint8_t out[SM_DHT_RECORD_MAX];
    struct sm_wr w = sm_wr_init(out, sizeof out);
    struct sm_provider p;
    struct sm_task t;
    struct sm_dht_rec rec;
    assert(sm_dht_rec_read(in, &rec) != SM_OK || sm_view_eq(sm_dht_rec_view(&rec), in));
    if (sm_provider_read(in, &p) == SM_OK) {
        sm_provider_write(&p, &w);
    } else if (sm_task_read(in, &t) == SM_OK) {
        sm_task_write(&t, &w);
    } else {
        return;
    }
    assert(!w.full && w.n == in.n - SM_RECORD_SIG && memcmp(out, in.p, w.n) == 0);
}

/* Give the first REQUEST of a get the input as its answer, and drain what follows. */
static void answer(struct sm_dht *d, struct sm_mono now, struct sm_wall wall, struct sm_view in)
{
    struct sm_dht_out out;
    bool is_answered = false;
    while (sm_dht_next(d, &out)) {
        if (out.kind == SM_DHT_OUT_REQUEST && !is_answered) {
            is_answered = true;
            sm_dht_reply(d, now, wall, out.rpc, SM_OK, in);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct sm_anchor anchor;
    struct sm_view in = {data, n}, reply;
    struct sm_mono now = {1};
    struct sm_wall wall = {1000};
    struct sm_node_id friend = {{1}};
    struct sm_dht_cfg cfg = {.suite = sm_suite_sim(),
                             .anchor = &anchor,
                             .sign_key = some_key,
                             .max_lookups = 1,
                             .max_found = 8,
                             .max_contacts = 32,
                             .max_records = 8,
                             .max_published = 2};
    struct sm_dht *d = sm_dht_new(&cfg, now, wall);
    if (d == NULL) {
        return 0;
    }
    round_trip(in);
    sm_dht_contact(d, now, &friend, 1);
    if (sm_dht_request(d, now, wall, &friend, in, &reply) == SM_OK) {
        assert(reply.n > 0 && reply.n <= SM_DHT_BODY_MAX);
    }
    struct sm_dht_query q = {.type = SM_RECORD_PROVIDER};
    if (n >= 34) {
        memcpy(q.key.b, data + 2, sizeof q.key.b);
        q.type = SM_RECORD_PROVIDER + (data[0] & 1);
    }
    if (sm_dht_get(d, now, wall, &q) == SM_OK) {
        answer(d, now, wall, in);
    }
    now = sm_after(now, SM_S(20));
    sm_dht_tick(d, now, wall);
    answer(d, now, wall, in);
    sm_dht_free(d);
    return 0;
}
