// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dht_table: the contacts of a node's DHT, in buckets by how far they are.
 *
 * A contact is here only after its NODE record was verified; the owner sees to that.  Bucket i
 * holds contacts whose id shares exactly i leading bits with ours, at most SM_DHT_BUCKET each.
 *
 * Eviction.  Contacts that answer are never pushed out by newcomers that have not answered
 * yet.  When the bucket or the table is full, a newcomer takes the place of the contact that
 * has been silent most often in a row (at least twice); else of the one with the lowest grade
 * below its own; else it is not taken.  When the table is full, only its own bucket is
 * searched, so that near buckets cannot be emptied by filling far ones.
 *
 * Round trips are smoothed as in RFC 6298; srtt + 4 var stands for the 99th percentile, and
 * srtt + 2 var for the 90th.  A contact never measured is taken to be twice as slow as the
 * table's average, since its session must be opened first.
 *
 * A few hundred contacts are searched from end to end: a third of a microsecond, no index.
 *
 * Memory:  one array of `cap`, made at init.
 * Source:  Maymounkov, Mazieres, "Kademlia", 2002, section 2.2.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

#define SM_DHT_BUCKET       20u /* = the larger k, so one bucket can answer for its region */
#define SM_DHT_SILENT_AFTER 3u  /* missed in a row before a contact is no longer asked */

struct sm_dht_contact {
    struct sm_node_id id;
    uint32_t srtt_us, var_us; /* 0: never measured */
    uint16_t bucket;          /* leading bits shared with us */
    uint8_t missed;           /* in a row */
    uint8_t grade;
    bool is_used;
};

struct sm_dht_table {
    struct sm_node_id self;
    struct sm_dht_contact *c;
    uint16_t cap, n;
    uint16_t bucket_n[256];
    uint32_t srtt_us, var_us; /* over all contacts */
};

enum sm_err sm_dht_table_init(struct sm_dht_table *t, const struct sm_node_id *self,
                              uint16_t cap) SM_MUST;
void sm_dht_table_done(struct sm_dht_table *t);

enum sm_dht_admission { SM_DHT_NEW, SM_DHT_KNOWN, SM_DHT_NO_ROOM };

/* Add a verified contact; a known one gets the grade and is no longer counted as silent. */
enum sm_dht_admission sm_dht_table_add(struct sm_dht_table *t, const struct sm_node_id *id,
                                       uint8_t grade);
bool sm_dht_table_del(struct sm_dht_table *t, const struct sm_node_id *id);
const struct sm_dht_contact *sm_dht_table_find(const struct sm_dht_table *t,
                                               const struct sm_node_id *id);
void sm_dht_table_answered(struct sm_dht_table *t, const struct sm_node_id *id,
                           struct sm_dur rtt);
void sm_dht_table_missed(struct sm_dht_table *t, const struct sm_node_id *id);
bool sm_dht_table_is_silent(const struct sm_dht_table *t, const struct sm_node_id *id);
/* The contact that has been silent longest in a row; NULL when all answer. */
const struct sm_dht_contact *sm_dht_table_most_silent(const struct sm_dht_table *t);

/* The longest to wait for anybody: 1 s, or twice the 99th percentile over all contacts where
 * that is more, as it is when the mesh itself is slow; never above 4 s. */
uint32_t sm_dht_table_patience_us(const struct sm_dht_table *t);

/* When to ask another one too, and when to give up on this one: floor 50 ms, cap as above. */
uint32_t sm_dht_table_hedge_us(const struct sm_dht_table *t, const struct sm_node_id *id);
uint32_t sm_dht_table_timeout_us(const struct sm_dht_table *t, const struct sm_node_id *id);

/* The contacts closest to key, nearest first, without `except` (may be NULL), and without the
 * silent ones unless asked for.  Returns how many; out has room for max. */
unsigned sm_dht_table_closest(const struct sm_dht_table *t, const struct sm_data_id *key,
                              const struct sm_node_id *except, bool with_silent, unsigned max,
                              struct sm_node_id *out);

/* Whether the node is among the k closest to key of all contacts here. */
bool sm_dht_table_is_among(const struct sm_dht_table *t, const struct sm_data_id *key,
                           const struct sm_node_id *id, unsigned k);

/* About how many nodes the mesh has, from how dense they lie around us. */
uint64_t sm_dht_table_estimate(const struct sm_dht_table *t);

/* -- distance ---------------------------------------------------------------------------- */

/* Below zero when a is closer to key than b, by the XOR metric. */
int sm_dht_closer(const struct sm_data_id *key, const struct sm_node_id *a,
                  const struct sm_node_id *b);
/* Leading bits that two 32-byte ids share; 256 for equal ones. */
unsigned sm_dht_shared_bits(const uint8_t a[static 32], const uint8_t b[static 32]);
/* The first 64 bits of the distance. */
uint64_t sm_dht_distance64(const uint8_t a[static 32], const uint8_t b[static 32]);
