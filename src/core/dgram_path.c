// SPDX-License-Identifier: Apache-2.0
#include "core/dgram_int.h"

/* Sizes worth a try, multiples of 16: an MTU of 1,280, tunnels of usual kinds, Ethernet with
 * IPv6 and IPv4, two and four kibibytes, jumbo frames. */
static const uint32_t sizes[] = {1232, 1328, 1392, 1424, 1440, 1472, 2000, 4048, SM_DGRAM_MAX};

#define TRIES       3u /* RFC 8899, 5.1.2: MAX_PROBES */
#define SEARCH_WAIT SM_S(600)
#define TRY_WAIT    SM_MS(10)
#define DOUBT       8u /* datagrams: chance does not lose so many in a row, a black hole does */

#define CHALLENGE_TRIES 5u
#define CHALLENGE_WAIT  SM_MS(200)
#define MOVE_REST       SM_S(5) /* an address that did not answer is not asked again before */

/* -- MTU (RFC 8899) ---------------------------------------------------------------------- */

static void mtu_restart(struct sm_dgram *d)
{
    d->mtu = (struct mtu){.now = SM_DGRAM_BASE, .at = {0}};
}

void path_init(struct sm_dgram *d)
{
    mtu_restart(d);
    d->move.at = SM_NEVER;
}

static uint32_t wanted_size(const struct sm_dgram *d)
{
    if (d->mtu.is_checking) {
        return d->mtu.now;
    }
    return d->mtu.next < SM_COUNT(sizes) ? sizes[d->mtu.next] : 0;
}

/* A probe could go; but for the time. */
static bool may_probe(const struct sm_dgram *d, uint32_t size)
{
    return size > 0 && d->mtu.flies == 0 && d->is_proven && d->recovery.has_rtt &&
           sm_recovery_has_room(&d->recovery, SM_DGRAM_BASE);
}

bool path_wants_probe(const struct sm_dgram *d, uint32_t *size)
{
    *size = wanted_size(d);
    return may_probe(d, *size) && sm_is_due(d->mtu.at, d->now);
}

/* The present size does not pass any more. */
static void fall_back(struct sm_dgram *d)
{
    mtu_restart(d);
    dgram_drop_packets(d); /* they are cut too long */
}

static void probe_lost(struct sm_dgram *d)
{
    struct mtu *m = &d->mtu;
    m->at = sm_after(d->now, TRY_WAIT);
    if (++m->tries < TRIES) {
        return;
    }
    m->tries = 0;
    if (m->is_checking) {
        fall_back(d);
    } else {
        m->at = sm_after(d->now, SEARCH_WAIT); /* the path may have grown by then */
    }
}

void path_probe_told(struct sm_dgram *d, uint32_t size, bool has_arrived)
{
    struct mtu *m = &d->mtu;
    if (size != m->flies) {
        return; /* of the path before */
    }
    m->flies = 0;
    if (!has_arrived) {
        probe_lost(d);
        return;
    }
    m->tries = 0;
    m->doubt = 0;
    if (m->is_checking) {
        m->is_checking = false;
        return;
    }
    m->now = size;
    m->next++;
    m->at = d->now;
}

void path_big_told(struct sm_dgram *d, bool has_arrived)
{
    struct mtu *m = &d->mtu;
    m->doubt = has_arrived ? 0 : m->doubt + 1;
    if (m->doubt >= DOUBT && !m->is_checking && m->now > SM_DGRAM_BASE) {
        m->is_checking = true;
        m->tries = 0;
        m->at = d->now;
        m->flies = 0;
    }
}

/* -- where the peer is ------------------------------------------------------------------- */

static void move_to(struct sm_dgram *d, const struct sm_path *to)
{
    d->path = *to;
    d->is_proven = true;
    d->n_moves++;
    sm_recovery_new_path(&d->recovery);
    mtu_restart(d);
    dgram_drop_packets(d);
    d->move = (struct move){.at = SM_NEVER};
}

static void ask(struct sm_dgram *d)
{
    struct move *m = &d->move;
    if (!m->is_open || !sm_path_eq(&m->to, &d->from)) {
        *m = (struct move){.is_open = true, .to = d->from, .token = sm_rng_u64(&d->rng)};
        m->is_due = true;
    } else {
        m->is_due = m->tries < CHALLENGE_TRIES && sm_is_due(m->at, d->now);
    }
}

void path_heard(struct sm_dgram *d, bool is_newest)
{
    if (sm_path_eq(&d->from, &d->path)) {
        d->is_proven = true; /* it has our part of the handshake, and so got it there */
        if (is_newest) {
            d->move = (struct move){.at = SM_NEVER};
        }
    } else if (is_newest) {
        ask(d);
    }
}

bool path_wants_challenge(struct sm_dgram *d)
{
    struct move *m = &d->move;
    if (!m->is_open || !m->is_due) {
        return false;
    }
    m->is_due = false;
    m->tries++;
    m->at = sm_after(d->now, m->tries < CHALLENGE_TRIES ? CHALLENGE_WAIT : MOVE_REST);
    return true;
}

void path_responded(struct sm_dgram *d, uint64_t token)
{
    if (d->move.is_open && d->move.token == token) {
        move_to(d, &(struct sm_path){d->move.to.addr, d->move.to.sock});
    }
}

/* -- time -------------------------------------------------------------------------------- */

void path_tick(struct sm_dgram *d)
{
    struct move *m = &d->move;
    if (!m->is_open || !sm_is_due(m->at, d->now)) {
        return;
    }
    if (m->tries >= CHALLENGE_TRIES) {
        *m = (struct move){.at = SM_NEVER};
    } else {
        m->is_due = true;
    }
}

struct sm_mono path_deadline(const struct sm_dgram *d)
{
    bool is_search = d->has_keys && may_probe(d, wanted_size(d));
    struct sm_mono move_at = d->move.is_open ? d->move.at : SM_NEVER;
    return sm_earlier(is_search ? d->mtu.at : SM_NEVER, move_at);
}
