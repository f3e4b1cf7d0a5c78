// SPDX-License-Identifier: Apache-2.0
#include "core/dht_table.h"

#include <stdlib.h>

#define MAY_EVICT_AFTER 2u      /* missed in a row */
#define FIRST_SRTT_US   125000u /* before anything was measured: a slow transatlantic path */
#define FIRST_VAR_US    62500u
#define FLOOR_US        50000u
#define CAP_US          1000000u
#define SLOW_CAP_US     4000000u /* ... in a mesh that is slow all over */
#define HEDGE_FLOOR_US  10000u

/* -- distance ---------------------------------------------------------------------------- */

static uint64_t be64(const uint8_t *p)
{
    return __builtin_bswap64(sm_le64(p));
}

uint64_t sm_dht_distance64(const uint8_t a[static 32], const uint8_t b[static 32])
{
    return be64(a) ^ be64(b);
}

int sm_dht_closer(const struct sm_data_id *key, const struct sm_node_id *a,
                  const struct sm_node_id *b)
{
    for (unsigned i = 0; i < 32; i += 8) {
        uint64_t k = be64(key->b + i);
        uint64_t da = be64(a->b + i) ^ k, db = be64(b->b + i) ^ k;
        if (da != db) {
            return da < db ? -1 : 1;
        }
    }
    return 0;
}

unsigned sm_dht_shared_bits(const uint8_t a[static 32], const uint8_t b[static 32])
{
    for (unsigned i = 0; i < 32; i += 8) {
        uint64_t d = be64(a + i) ^ be64(b + i);
        if (d != 0) {
            return i * 8 + (unsigned)__builtin_clzll(d);
        }
    }
    return 256;
}

/* -- the table --------------------------------------------------------------------------- */

enum sm_err sm_dht_table_init(struct sm_dht_table *t, const struct sm_node_id *self,
                              uint16_t cap)
{
    *t = (struct sm_dht_table){.self = *self, .cap = cap};
    t->c = calloc(cap, sizeof *t->c);
    return t->c == NULL ? SM_E_NOMEM : SM_OK;
}

void sm_dht_table_done(struct sm_dht_table *t)
{
    free(t->c);
    *t = (struct sm_dht_table){0};
}

static struct sm_dht_contact *find(const struct sm_dht_table *t, const struct sm_node_id *id)
{
    for (unsigned i = 0; i < t->cap; i++) {
        if (t->c[i].is_used && sm_node_id_eq(&t->c[i].id, id)) {
            return &t->c[i];
        }
    }
    return NULL;
}

const struct sm_dht_contact *sm_dht_table_find(const struct sm_dht_table *t,
                                               const struct sm_node_id *id)
{
    return find(t, id);
}

static void drop(struct sm_dht_table *t, struct sm_dht_contact *c)
{
    t->bucket_n[c->bucket]--;
    t->n--;
    *c = (struct sm_dht_contact){0};
}

/* The contact of this bucket that has to make room by the rule above; NULL when none has. */
static struct sm_dht_contact *victim(struct sm_dht_table *t, unsigned bucket, uint8_t grade)
{
    struct sm_dht_contact *silent = NULL, *low = NULL;
    for (unsigned i = 0; i < t->cap; i++) {
        struct sm_dht_contact *c = &t->c[i];
        if (!c->is_used || c->bucket != bucket) {
            continue;
        }
        if (c->missed >= MAY_EVICT_AFTER && (silent == NULL || c->missed > silent->missed)) {
            silent = c;
        }
        if (c->grade < grade && (low == NULL || c->grade < low->grade)) {
            low = c;
        }
    }
    return silent != NULL ? silent : low;
}

static struct sm_dht_contact *free_slot(struct sm_dht_table *t)
{
    for (unsigned i = 0; i < t->cap; i++) {
        if (!t->c[i].is_used) {
            return &t->c[i];
        }
    }
    return NULL;
}

enum sm_dht_admission sm_dht_table_add(struct sm_dht_table *t, const struct sm_node_id *id,
                                       uint8_t grade)
{
    struct sm_dht_contact *c = find(t, id);
    if (c != NULL) {
        c->missed = 0;
        c->grade = grade;
        return SM_DHT_KNOWN;
    }
    unsigned bucket = sm_dht_shared_bits(t->self.b, id->b);
    if (bucket == 256) {
        return SM_DHT_NO_ROOM; /* ourselves */
    }
    if (t->n == t->cap || t->bucket_n[bucket] >= SM_DHT_BUCKET) {
        struct sm_dht_contact *out = victim(t, bucket, grade);
        if (out == NULL) {
            return SM_DHT_NO_ROOM;
        }
        drop(t, out);
    }
    c = free_slot(t);
    if (c == NULL) {
        return SM_DHT_NO_ROOM;
    }
    *c = (struct sm_dht_contact){
        .id = *id, .bucket = (uint16_t)bucket, .grade = grade, .is_used = true};
    t->bucket_n[bucket]++;
    t->n++;
    return SM_DHT_NEW;
}

bool sm_dht_table_del(struct sm_dht_table *t, const struct sm_node_id *id)
{
    struct sm_dht_contact *c = find(t, id);
    if (c != NULL) {
        drop(t, c);
    }
    return c != NULL;
}

/* -- who answers, and how fast ----------------------------------------------------------- */

/* RFC 6298 section 2, with alpha = 1/8 and beta = 1/4. */
static void smooth(uint32_t *srtt, uint32_t *var, uint32_t rtt)
{
    if (*srtt == 0) {
        *srtt = rtt;
        *var = rtt / 2;
        return;
    }
    uint32_t diff = *srtt > rtt ? *srtt - rtt : rtt - *srtt;
    *var = *var - *var / 4 + diff / 4;
    *srtt = *srtt - *srtt / 8 + rtt / 8;
}

void sm_dht_table_answered(struct sm_dht_table *t, const struct sm_node_id *id,
                           struct sm_dur rtt)
{
    uint64_t us = rtt.ns / 1000;
    uint32_t sample = us == 0 ? 1 : us > SLOW_CAP_US ? SLOW_CAP_US : (uint32_t)us;
    smooth(&t->srtt_us, &t->var_us, sample);
    struct sm_dht_contact *c = find(t, id);
    if (c != NULL) {
        c->missed = 0;
        smooth(&c->srtt_us, &c->var_us, sample);
    }
}

void sm_dht_table_missed(struct sm_dht_table *t, const struct sm_node_id *id)
{
    struct sm_dht_contact *c = find(t, id);
    if (c != NULL && c->missed < UINT8_MAX) {
        c->missed++;
    }
}

bool sm_dht_table_is_silent(const struct sm_dht_table *t, const struct sm_node_id *id)
{
    const struct sm_dht_contact *c = find(t, id);
    return c != NULL && c->missed >= SM_DHT_SILENT_AFTER;
}

const struct sm_dht_contact *sm_dht_table_most_silent(const struct sm_dht_table *t)
{
    const struct sm_dht_contact *most = NULL;
    for (unsigned i = 0; i < t->cap; i++) {
        const struct sm_dht_contact *c = &t->c[i];
        if (c->is_used && c->missed >= SM_DHT_SILENT_AFTER &&
            (most == NULL || c->missed > most->missed)) {
            most = c;
        }
    }
    return most;
}

/* srtt + n * var of this contact, or of a stranger. */
static uint32_t percentile_us(const struct sm_dht_table *t, const struct sm_node_id *id,
                              uint32_t n)
{
    const struct sm_dht_contact *c = find(t, id);
    if (c != NULL && c->srtt_us != 0) {
        return c->srtt_us + n * c->var_us;
    }
    if (t->srtt_us != 0) {
        return 2 * (t->srtt_us + n * t->var_us);
    }
    return FIRST_SRTT_US + n * FIRST_VAR_US;
}

static uint32_t clamp(uint32_t v, uint32_t low, uint32_t high)
{
    return v < low ? low : v > high ? high : v;
}

uint32_t sm_dht_table_patience_us(const struct sm_dht_table *t)
{
    return clamp(2 * (t->srtt_us + 4 * t->var_us), CAP_US, SLOW_CAP_US);
}

uint32_t sm_dht_table_timeout_us(const struct sm_dht_table *t, const struct sm_node_id *id)
{
    return clamp(2 * percentile_us(t, id, 4), FLOOR_US, sm_dht_table_patience_us(t));
}

uint32_t sm_dht_table_hedge_us(const struct sm_dht_table *t, const struct sm_node_id *id)
{
    return clamp(percentile_us(t, id, 2), HEDGE_FLOOR_US, CAP_US);
}

/* -- who is close ------------------------------------------------------------------------ */

unsigned sm_dht_table_closest(const struct sm_dht_table *t, const struct sm_data_id *key,
                              const struct sm_node_id *except, bool with_silent, unsigned max,
                              struct sm_node_id *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < t->cap; i++) {
        const struct sm_dht_contact *c = &t->c[i];
        if (!c->is_used || (c->missed >= SM_DHT_SILENT_AFTER && !with_silent) ||
            (except != NULL && sm_node_id_eq(&c->id, except))) {
            continue;
        }
        unsigned at = n;
        while (at > 0 && sm_dht_closer(key, &c->id, &out[at - 1]) < 0) {
            at--;
        }
        if (at == max) {
            continue;
        }
        n += n < max;
        memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof *out);
        out[at] = c->id;
    }
    return n;
}

bool sm_dht_table_is_among(const struct sm_dht_table *t, const struct sm_data_id *key,
                           const struct sm_node_id *id, unsigned k)
{
    unsigned closer = 0;
    for (unsigned i = 0; i < t->cap && closer < k; i++) {
        const struct sm_dht_contact *c = &t->c[i];
        closer +=
            c->is_used && c->missed < SM_DHT_SILENT_AFTER && sm_dht_closer(key, &c->id, id) < 0;
    }
    return closer < k;
}

uint64_t sm_dht_table_estimate(const struct sm_dht_table *t)
{
    struct sm_node_id near[SM_DHT_BUCKET];
    struct sm_data_id here;
    memcpy(here.b, t->self.b, sizeof here.b);
    unsigned n = sm_dht_table_closest(t, &here, NULL, true, SM_DHT_BUCKET, near);
    if (n < SM_DHT_BUCKET) {
        return n + 1u; /* we know all of them */
    }
    /* n ids within distance d of 2^64: about n * 2^64 / d in all. */
    uint64_t d = sm_dht_distance64(t->self.b, near[n - 1].b) >> 16;
    uint64_t est = d == 0 ? UINT64_MAX : n * ((UINT64_C(1) << 48) / (d + 1)) + 1;
    return est > t->n ? est : t->n + 1u;
}
