// SPDX-License-Identifier: Apache-2.0
#include "proc/run_int.h"

/* How far past the end the last record is looked for first; then twice as far. */
#define STEP_FIRST (64u << 10)

static enum sm_err on_bytes(void *ctx, uint64_t offset, struct sm_view bytes)
{
    struct input *in = ctx;
    struct sm_view mine = sm_split_feed(&in->split, bytes);
    if (in->into == NULL) {
        in->quotes += sm_split_quotes(mine);
    } else {
        SM_TRY(sm_buf_add(in->into, mine.p, mine.n));
    }
    if (in->split.is_ended) {
        sm_get_io_enough(in->io);
    } else if (offset + bytes.n >= in->to) {
        in->to = in->to > UINT64_MAX - in->step ? UINT64_MAX : in->to + in->step;
        in->step = in->step > UINT64_MAX / 2 ? in->step : in->step * 2;
        sm_get_io_extend(in->io, in->to);
    }
    return SM_OK;
}

static void on_done(void *ctx, enum sm_err err, const char *reason)
{
    struct input *in = ctx;
    in->io = NULL;
    in->done(in->see, err, reason);
}

enum sm_err input_start(struct see *s, struct input *in, const struct sm_unit_range *range)
{
    struct sm_holders holders = {.n = range->n_holders};
    for (unsigned i = 0; i < range->n_holders; i++) {
        const struct sm_unit_holder *from = &range->holders[i];
        holders.list[i] = (struct sm_holder){.node = from->node, .held = from->frag_map};
        memcpy(holders.list[i].dh_key, from->dh_key, sizeof from->dh_key);
    }
    struct sm_get_io_cfg cfg = {
        .mesh = s->mesh,
        .ref.object = range->data,
        .holders = &holders,
        .from = sm_split_read_from(range->split, range->from),
        .to = range->to,
        .ctx = in,
        .bytes = on_bytes,
        .done = on_done,
    };
    sm_split_init(&in->split, range->split, range->from, range->to, range->in_quotes);
    in->see = s;
    in->quotes = 0;
    in->to = range->to;
    in->step = STEP_FIRST;
    memcpy(cfg.ref.key.b, range->key, sizeof cfg.ref.key.b);
    enum sm_err e = sm_get_io_start(&cfg, &in->io);
    sm_wipe(&cfg.ref.key, sizeof cfg.ref.key);
    return e;
}

void input_stop(struct input *in)
{
    if (in->io != NULL) {
        sm_get_io_cancel(in->io);
        in->io = NULL;
    }
}
