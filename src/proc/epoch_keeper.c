// SPDX-License-Identifier: Apache-2.0
#include "proc/epoch_keeper.h"

#include "attest/envelope.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "wire/frame.h"

#include <string.h>

void sm_epoch_keeper_init(struct sm_epoch_keeper *k)
{
    k->platform = SM_BUF(SM_EVIDENCE_MAX);
}

void sm_epoch_keeper_done(struct sm_epoch_keeper *k)
{
    sm_secret_free(k->pair);
    k->pair = NULL;
    sm_buf_done(&k->platform);
}

/* -- sessions ----------------------------------------------------------------------------- */

/* The session of this binding, or the place of the one not heard of for longest. */
static struct sm_keeper_session *session_of(struct sm_epoch_keeper *k,
                                            const struct sm_binding *b)
{
    struct sm_keeper_session *oldest = &k->sessions[0];
    for (size_t i = 0; i < SM_BEACONS_MAX; i++) {
        struct sm_keeper_session *s = &k->sessions[i];
        if (s->used != 0 && s->role == b->role && memcmp(s->h, b->h, sizeof s->h) == 0) {
            return s;
        }
        oldest = s->used < oldest->used ? s : oldest;
    }
    *oldest = (struct sm_keeper_session){.role = b->role};
    memcpy(oldest->h, b->h, sizeof oldest->h);
    return oldest;
}

/* Would the peer find what it made in the epoch as it is? */
static bool is_named(const struct sm_epoch_keeper *k, const uint8_t *beacon)
{
    /* Beacons are random: found at all means found whole, wherever it stands. */
    return memmem(k->statement, k->statement_n, beacon, SM_BEACON) != NULL;
}

/* -- epochs ------------------------------------------------------------------------------- */

static void write_statement(const struct sm_epoch_keeper *k, const struct sm_sign_pair *pair,
                            struct sm_wall wall, struct sm_wr *w)
{
    uint8_t beacons[SM_BEACONS_MAX * SM_BEACON];
    size_t n = 0;
    struct sm_epoch e = {.not_before = wall, .expires = {wall.s + SM_EPOCH_S_MAX}};
    for (size_t i = 0; i < SM_BEACONS_MAX; i++) {
        if (k->sessions[i].used != 0) {
            memcpy(beacons + n, k->sessions[i].beacon, SM_BEACON);
            n += SM_BEACON;
        }
    }
    memcpy(e.key, pair->pub.b, sizeof e.key);
    memcpy(e.boot_id, k->boot_id, sizeof e.boot_id);
    e.beacons = sm_view_of(beacons, n);
    sm_epoch_statement_write(&e, w);
}

/* Nothing of the epoch that is there changes before the platform has signed the next. */
static enum sm_err make_epoch(struct sm_epoch_keeper *k, struct sm_mono now,
                              struct sm_wall wall, struct sm_sign_pair *pair)
{
    uint8_t statement[SM_STATEMENT_MAX], rd[SM_REPORT_DATA];
    static uint8_t envelope[SM_EVIDENCE_MAX];
    struct sm_wr s = sm_wr_init(statement, sizeof statement),
                 w = sm_wr_init(envelope, sizeof envelope);
    struct sm_view bytes, made;
    struct sm_secret32 seed;
    SM_TRY(sm_random_bytes(seed.b, sizeof seed.b));
    sm_sign_pair_from(k->suite, &seed, pair);
    sm_secret_wipe(&seed, sizeof seed);
    write_statement(k, pair, wall, &s);
    SM_TRY(sm_wr_done(&s, &bytes));
    sm_epoch_report_data(bytes, k->node->pub.b, rd);
    SM_TRY(k->collect(k->ctx, rd, &w));
    SM_TRY(sm_wr_done(&w, &made));
    sm_buf_clear(&k->platform);
    SM_TRY(sm_buf_add(&k->platform, made.p, made.n));
    memcpy(k->statement, statement, bytes.n);
    k->statement_n = bytes.n;
    k->made = now;
    k->expires.s = wall.s + SM_EPOCH_S_MAX;
    k->epochs++;
    return SM_OK;
}

static enum sm_err renew(struct sm_epoch_keeper *k, struct sm_mono now, struct sm_wall wall)
{
    struct sm_sign_pair *pair = sm_secret_new(sizeof *pair);
    if (pair == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = make_epoch(k, now, wall, pair);
    struct sm_sign_pair *unused = e == SM_OK ? k->pair : pair;
    if (e == SM_OK) {
        k->pair = pair;
    }
    sm_secret_free(unused);
    return e;
}

/* -- signing ------------------------------------------------------------------------------ */

static enum sm_err sign(const struct sm_epoch_keeper *k, const struct sm_binding *b,
                        struct sm_wr *w)
{
    uint8_t part[SM_EPOCH_MAX], rd[SM_REPORT_DATA];
    struct sm_wr p = sm_wr_init(part, sizeof part);
    struct sm_envelope e;
    sm_binding_report_data(b, rd);
    SM_TRY(sm_epoch_part_write(k->suite, k->pair, sm_view_of(k->statement, k->statement_n), rd,
                               &p));
    SM_TRY(sm_envelope_read(sm_buf_view(&k->platform), &e));
    SM_TRY(sm_wr_done(&p, &e.part[SM_PART_EPOCH]));
    return sm_envelope_write(&e, w);
}

enum sm_err sm_epoch_keeper_sign(struct sm_epoch_keeper *k, struct sm_mono now,
                                 struct sm_wall wall, const struct sm_binding *b,
                                 struct sm_wr *w)
{
    struct sm_keeper_session *s = session_of(k, b);
    bool is_first = s->used == 0;
    bool is_good = k->pair != NULL && wall.s < k->expires.s &&
                   (b->lease_seq == 1 || (!is_first && is_named(k, s->beacon)));
    sm_beacon_make(b, s->beacon);
    s->used = ++k->requests;
    if (!is_good && k->pair != NULL && !sm_is_due(sm_after(k->made, SM_EPOCH_GAP), now)) {
        return SM_E_BUSY;
    }
    if (!is_good || sm_is_due(sm_after(k->made, SM_EPOCH_RENEW), now)) {
        enum sm_err e = renew(k, now, wall);
        if (e != SM_OK && !is_good) {
            return e;
        }
    }
    return sign(k, b, w);
}
