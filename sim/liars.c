// SPDX-License-Identifier: Apache-2.0
/* Nodes that lie to lookups.  They are real nodes in everything else: only what their DHT
 * answers is replaced, by the linker's --wrap, so that the core needs no hook for it. */
#include "wire/dht_rpc.h"
#include "wire/provider.h"
#include "world.h"

#include <string.h>

enum sm_err __real_sm_dht_request(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                                  const struct sm_node_id *from, struct sm_view body,
                                  struct sm_view *out_reply);
enum sm_err __wrap_sm_dht_request(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                                  const struct sm_node_id *from, struct sm_view body,
                                  struct sm_view *out_reply);

enum lie { LIE_NOTHING, LIE_NOBODY, LIE_LIARS, LIE_FORGERY, LIES };

/* The world that runs; the wrapped call has no way to carry it. */
static struct sim_world *world;
static uint8_t answer[SM_DHT_BODY_MAX];

void sim_liars_in(struct sim_world *w)
{
    world = w;
}

static struct sim_machine *liar_of(const struct sm_dht *d)
{
    for (uint32_t i = 0; world != NULL && world->opts.liars_ppm > 0 && i < world->opts.nodes;
         i++) {
        struct sim_machine *m = &world->machines[i];
        if (m->is_liar && m->node != NULL && sm_node_dht(m->node) == d) {
            return m;
        }
    }
    return NULL;
}

/* Ids close to the key that belong to nobody: they would be asked first. */
static void nobody(const struct sm_data_id *key, struct sm_wr *w)
{
    for (unsigned i = 0; i < SM_DHT_CONTACTS_MAX; i++) {
        struct sm_data_id near = *key;
        near.b[20] ^= (uint8_t)(i + 1);
        sm_wr_bytes(w, near.b, sizeof near.b);
    }
}

static unsigned liars(struct sm_wr *w)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < world->opts.nodes && n < SM_DHT_CONTACTS_MAX; i++) {
        if (world->machines[i].is_liar) {
            sm_wr_bytes(w, world->machines[i].self.node_id.b, 32);
            n++;
        }
    }
    return n;
}

static void forgery(const struct sim_machine *m, struct sm_wall wall,
                    const struct sm_data_id *key, struct sm_wr *w)
{
    const struct sim_machine *victim = &world->machines[(m->i + 1) % world->opts.nodes];
    struct sm_provider p = {.head = {.network = world->anchor.network,
                                     .seq = UINT64_MAX,
                                     .not_before = wall,
                                     .expires = {wall.s + 3600}},
                            .key = *key,
                            .node_id = victim->self.node_id,
                            .kind = SM_PROVIDER_SHARDS,
                            .frag_map = 1,
                            .bytes = 1};
    sm_wr_u16(w, SM_PROVIDER_BYTES);
    sm_provider_write(&p, w);
    for (unsigned i = 0; i < SM_RECORD_SIG; i++) {
        sm_wr_u8(w, (uint8_t)i);
    }
}

static struct sm_view lie(const struct sim_machine *m, struct sm_wall wall,
                          const struct sm_data_id *key)
{
    struct sm_wr w = sm_wr_init(answer, sizeof answer);
    enum lie kind = (enum lie)(m->i % LIES);
    sm_wr_u8(&w, kind == LIE_NOBODY ? SM_DHT_CONTACTS_MAX : 0);
    sm_wr_u8(&w, kind == LIE_FORGERY);
    if (kind == LIE_NOBODY) {
        nobody(key, &w);
    } else if (kind == LIE_LIARS) {
        answer[0] = (uint8_t)liars(&w);
    } else if (kind == LIE_FORGERY) {
        forgery(m, wall, key, &w);
    }
    return sm_view_of(answer, w.n);
}

enum sm_err __wrap_sm_dht_request(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                                  const struct sm_node_id *from, struct sm_view body,
                                  struct sm_view *out_reply)
{
    const struct sim_machine *m = liar_of(d);
    struct sm_dht_request req;
    if (m == NULL || sm_dht_request_read(body, &req) != SM_OK) {
        return __real_sm_dht_request(d, now, wall, from, body, out_reply);
    }
    world->stats.lies++;
    if (req.op == SM_DHT_FIND) {
        *out_reply = lie(m, wall, &req.find.key);
        return SM_OK;
    }
    answer[0] = req.records.n; /* "stored", and forgotten */
    memset(answer + 1, SM_DHT_STORED, req.records.n);
    *out_reply = sm_view_of(answer, 1u + req.records.n);
    return SM_OK;
}
