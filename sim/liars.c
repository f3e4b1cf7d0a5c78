// SPDX-License-Identifier: Apache-2.0
/* Nodes that lie to lookups.  They are real nodes in everything else: only what their DHT
 * answers is replaced, by the linker's --wrap, so that the core needs no hook for it. */
#include "wire/dht_rpc.h"
#include "wire/provider.h"
#include "world.h"

#include <stdlib.h>
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

/* -- who lies ---------------------------------------------------------------------------- */

/* One that others keep sending through. */
static bool is_fit(const struct sim_machine *m)
{
    return !m->is_liar && m->fate == SIM_HONEST;
}

/* Once from is seen, to is too, unless from lies: nobody who knows it sends through it. */
static bool pass(const struct sim_machine *from, const struct sim_machine *to, uint8_t *seen)
{
    bool is_new = seen[from->i] && is_fit(from) && !seen[to->i];
    seen[to->i] |= is_new;
    return is_new;
}

/* Can every machine be reached from the first honest one through honest ones only? */
bool sim_is_bearable(const struct sim_world *w)
{
    uint8_t *seen = sim_alloc(w->opts.nodes);
    uint32_t first = 0, n = 1;
    while (first + 1 < w->opts.nodes && !is_fit(&w->machines[first])) {
        first++;
    }
    seen[first] = 1;
    for (bool is_moving = true; is_moving;) {
        is_moving = false;
        for (uint32_t i = 0; i < w->opts.nodes; i++) {
            const struct sim_machine *m = &w->machines[i];
            for (unsigned k = 0; k < m->n_peers; k++) {
                const struct sim_machine *peer = &w->machines[m->peers[k]];
                bool is_news = pass(m, peer, seen) || pass(peer, m, seen);
                n += is_news;
                is_moving |= is_news;
            }
        }
    }
    free(seen);
    return n == w->opts.nodes;
}

void sim_liars_choose(struct sim_world *w)
{
    struct sm_rng rng;
    sim_rng_for(w, "liars", 0, &rng);
    uint32_t wanted = (uint32_t)((uint64_t)w->opts.nodes * w->opts.liars_ppm / 1000000);
    for (uint32_t tries = 0; wanted > 0 && tries < 4 * w->opts.nodes; tries++) {
        struct sim_machine *m = &w->machines[sm_rng_below(&rng, w->opts.nodes)];
        if (m->is_liar) {
            continue;
        }
        m->is_liar = true;
        m->is_liar = sim_is_bearable(w);
        wanted -= m->is_liar;
    }
}

/* -- what they say ----------------------------------------------------------------------- */

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
