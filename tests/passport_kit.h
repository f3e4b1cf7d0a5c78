// SPDX-License-Identifier: Apache-2.0
#pragma once
/* passport_kit: identities of a developer's mesh for tests, fuzzers and benches: a root, and
 * as many nodes and clients with good passports as wanted, all from one seed. */
#include "attest/dev.h"
#include "crypto/suite.h"

#include <stdlib.h>
#include <string.h>

#ifndef KIT_NOW /* tests of whole programs say what their clock says */
#define KIT_NOW ((struct sm_wall){1700000000u})
#endif

struct kit {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_sign_pair root;
    struct sm_anchor anchor;
};

struct kit_id {
    struct sm_sign_pair sign;
    struct sm_dh_pair dh;
    struct sm_addr addr;
    uint8_t passport[SM_PASSPORT_MAX];
    size_t passport_n;
};

static inline void kit_ok(enum sm_err err)
{
    if (err != SM_OK) {
        abort();
    }
}

static inline void kit_make(struct kit *k, const struct sm_suite *suite, uint64_t seed)
{
    uint8_t bytes[32] = {0};
    sm_put_le64(bytes, seed);
    k->suite = suite;
    sm_rng_init(&k->rng, bytes, "passport kit");
    sm_sign_pair_make(suite, &k->rng, &k->root);
    const uint8_t(*roots)[32] = (const uint8_t(*)[32])k->root.pub.b;
    kit_ok(sm_anchor_make(SM_ENV_DEV, "kit", roots, 1, &k->anchor));
}

static inline struct sm_view kit_sign(const struct kit *k, const struct sm_sign_pair *key,
                                      struct sm_wr *record)
{
    uint8_t room[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_view msg, whole;
    struct sm_sig sig;
    sm_record_to_sign(sm_view_of(record->p, record->n), &w);
    kit_ok(sm_wr_done(&w, &msg));
    k->suite->sign(key, msg, &sig);
    sm_wr_bytes(record, sig.b, sizeof sig.b);
    kit_ok(sm_wr_done(record, &whole));
    return whole;
}

static inline struct sm_record_head kit_head(const struct kit *k)
{
    return (struct sm_record_head){.network = k->anchor.network,
                                   .seq = 1,
                                   .not_before = {KIT_NOW.s - 10},
                                   .expires = {KIT_NOW.s + 86400}};
}

/* Identity number n; with ep other than SM_EP_NODE a client of that node. */
static inline void kit_identity(struct kit *k, uint8_t n, uint32_t ep, struct kit_id *out)
{
    struct sm_dev_endorsement e = {.not_before = {KIT_NOW.s - 10},
                                   .expires = {KIT_NOW.s + 86400}};
    struct sm_node_record rec = {.head = kit_head(k)};
    uint8_t node_room[SM_NODE_RECORD_MAX], ep_room[SM_ENDPOINT_RECORD_BYTES];
    sm_sign_pair_make(k->suite, &k->rng, &out->sign);
    sm_dh_pair_make(k->suite, &k->rng, &out->dh);
    memset(e.platform_id, n, sizeof e.platform_id);
    memcpy(e.sign_key, out->sign.pub.b, sizeof e.sign_key);
    struct sm_wr ew = sm_wr_init(rec.endorsement, sizeof rec.endorsement);
    kit_ok(sm_dev_endorse(k->suite, &k->root, &k->anchor, &e, &ew));
    rec.endorsement_n = (uint16_t)ew.n;
    sm_node_id_make(e.platform_id, 0, k->anchor.network, &rec.node_id);
    memcpy(rec.sign_key, out->sign.pub.b, sizeof rec.sign_key);
    memcpy(rec.dh_key, out->dh.pub.b, sizeof rec.dh_key);
    struct sm_wr nw = sm_wr_init(node_room, sizeof node_room);
    sm_node_record_write(&rec, &nw);
    struct sm_view node = kit_sign(k, &out->sign, &nw);

    struct sm_view endpoint = {0};
    struct sm_wr pw = sm_wr_init(ep_room, sizeof ep_room);
    if (ep != SM_EP_NODE) {
        struct sm_endpoint_record er = {
            .head = kit_head(k), .node_id = rec.node_id, .ep = ep, .kind = SM_ENDPOINT_CLIENT};
        memcpy(er.sign_key, out->sign.pub.b, sizeof er.sign_key);
        memcpy(er.dh_key, out->dh.pub.b, sizeof er.dh_key);
        sm_endpoint_record_write(&er, &pw);
        endpoint = kit_sign(k, &out->sign, &pw);
    }
    struct sm_wr w = sm_wr_init(out->passport, sizeof out->passport);
    sm_passport_write(node, endpoint, &w);
    struct sm_view passport;
    kit_ok(sm_wr_done(&w, &passport));
    out->passport_n = passport.n;
    out->addr = (struct sm_addr){sm_hop_of(&rec.node_id), ep};
}
