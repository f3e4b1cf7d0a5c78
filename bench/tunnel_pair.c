// SPDX-License-Identifier: Apache-2.0
#include "bench/tunnel_pair.h"

#include <stdlib.h>

#ifdef SM_DEV_ROOT
#include "core/tunnel.h"
#include "crypto/known.h"
#include "tests/passport_kit.h"
#include "wire/sign.h"

#define WIRE_BYTES 65536u
#define TURNS      16 /* each way; more means that it is stuck */

struct end {
    struct kit_id id;
    struct sm_anchor anchor; /* with what this node knows */
    struct sm_known_dh known_dh;
    struct sm_known_sigs known_sigs;
    struct sm_tunnel *t;
    uint8_t wire[WIRE_BYTES]; /* what it sent and the other has not read */
    size_t wire_n;
    bool is_up;
};

struct tunnel_pair {
    struct kit kit;
    struct end ends[2]; /* the dialer first */
    uint64_t runs;
};

enum sm_err tunnel_pair_new(struct tunnel_pair **out)
{
    struct tunnel_pair *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return SM_E_NOMEM;
    }
    kit_make(&p->kit, sm_suite_real(), 1);
    for (unsigned i = 0; i < 2; i++) {
        kit_identity(&p->kit, (uint8_t)(i + 1), SM_EP_NODE, &p->ends[i].id);
    }
    *out = p;
    return SM_OK;
}

void tunnel_pair_free(struct tunnel_pair *p)
{
    if (p != NULL) {
        sm_wipe(p, sizeof *p);
        free(p);
    }
}

/* The passport of a node is its record behind a u16. */
static struct sm_view record_of(const struct kit_id *id)
{
    struct sm_rd r = sm_rd_init(sm_view_of(id->passport, id->passport_n));
    return sm_rd_view(&r, sm_rd_u16(&r));
}

static enum sm_err open_end(struct tunnel_pair *p, unsigned i, bool is_known)
{
    struct end *e = &p->ends[i];
    e->anchor = p->kit.anchor;
    e->anchor.known = is_known ? &e->known_sigs : NULL;
    struct sm_tunnel_cfg cfg = {.suite = p->kit.suite,
                                .anchor = &e->anchor,
                                .is_dialer = i == 0,
                                .faster = SM_AESGCM,
                                .dh = &e->id.dh,
                                .known = is_known ? &e->known_dh : NULL,
                                .record = record_of(&e->id),
                                .peer = &p->ends[1].id.dh.pub};
    sm_put_le64(cfg.seed, ++p->runs);
    e->wire_n = 0;
    e->is_up = false;
    e->t = sm_tunnel_new(&cfg);
    if (e->t == NULL) {
        return SM_E_NOMEM;
    }
    sm_tunnel_open(e->t, (struct sm_mono){1});
    return SM_OK;
}

/* As the keys process does. */
static void answer_sign(struct tunnel_pair *p, struct end *e, const struct sm_tunnel_out *o)
{
    const struct sm_dev_platform platform = {0};
    uint8_t room[1024];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_sign_request q;
    enum sm_err err = sm_sign_request_read(o->bytes, &q);
    if (err == SM_OK) {
        err = sm_attest_collect_dev(p->kit.suite, &e->id.sign, &platform, KIT_NOW, &q.binding,
                                    &w);
    }
    sm_tunnel_signed(e->t, (struct sm_mono){1}, o->token, err, sm_view_of(w.p, w.n));
}

static enum sm_err drain(struct tunnel_pair *p, struct end *e)
{
    struct sm_tunnel_out o;
    while (sm_tunnel_next(e->t, (struct sm_mono){1}, &o)) {
        switch (o.kind) {
        case SM_TUNNEL_SEND:
            if (o.bytes.n > WIRE_BYTES - e->wire_n) {
                return SM_E_LIMIT;
            }
            memcpy(e->wire + e->wire_n, o.bytes.p, o.bytes.n);
            e->wire_n += o.bytes.n;
            sm_tunnel_written(e->t, o.bytes.n);
            break;
        case SM_TUNNEL_SIGN:
            answer_sign(p, e, &o);
            break;
        case SM_TUNNEL_UP:
            e->is_up = true;
            break;
        case SM_TUNNEL_DOWN:
            return o.err;
        case SM_TUNNEL_MESSAGE:
        case SM_TUNNEL_RTT:
        case SM_TUNNEL_VERDICT:
            break;
        }
    }
    return SM_OK;
}

static enum sm_err carry(struct tunnel_pair *p, struct end *from, struct end *to)
{
    SM_TRY(drain(p, from));
    size_t n = from->wire_n;
    from->wire_n = 0;
    if (n > 0) {
        sm_tunnel_input(to->t, (struct sm_mono){1}, KIT_NOW, from->wire, n);
        return drain(p, to);
    }
    return SM_OK;
}

static enum sm_err run(struct tunnel_pair *p, bool is_known)
{
    struct end *a = &p->ends[0], *b = &p->ends[1];
    SM_TRY(open_end(p, 0, is_known));
    SM_TRY(open_end(p, 1, is_known));
    for (unsigned i = 0; i < TURNS && !(a->is_up && b->is_up); i++) {
        SM_TRY(carry(p, a, b));
        SM_TRY(carry(p, b, a));
    }
    return a->is_up && b->is_up ? SM_OK : SM_E_TIMEOUT;
}

enum sm_err tunnel_pair_once(struct tunnel_pair *p, bool is_known)
{
    enum sm_err e = run(p, is_known);
    for (unsigned i = 0; i < 2; i++) {
        sm_tunnel_free(p->ends[i].t);
        p->ends[i].t = NULL;
    }
    return e;
}
#else
enum sm_err tunnel_pair_new(struct tunnel_pair **out)
{
    (void)out;
    return SM_E_UNSUPPORTED;
}

void tunnel_pair_free(struct tunnel_pair *p)
{
    (void)p;
}

enum sm_err tunnel_pair_once(struct tunnel_pair *p, bool is_known)
{
    (void)p;
    (void)is_known;
    return SM_E_UNSUPPORTED;
}
#endif
