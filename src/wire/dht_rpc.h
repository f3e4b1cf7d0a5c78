// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dht_rpc: what two nodes say to each other in a DHT session (service 1).
 *
 *     FIND     op u8 = 1, type u8 (0: contacts only), max u16, key 32
 *       reply  n_contacts u8, n_records u8, contacts n x node_id 32, records n x (u16 n, bytes)
 *     STORE    op u8 = 2, n_records u8, records n x (u16 n, bytes)
 *       reply  n u8, n x status u8, in the order of the request
 *
 * A contact is a node id only: its hop is the front of the id, its keys come from its NODE
 * record.  Records travel as opaque bytes; their own readers check them.
 *
 * Readers check the whole list, so walking it with sm_dht_record_next cannot fail.
 *
 * Memory:  never allocates; parsed forms borrow the message.
 * Errors:  readers: TRUNCATED, MALFORMED.
 * Source:  doc/wire.md, section 5.
 */
#include "base/bytes.h"
#include "base/ids.h"

#define SM_DHT_BODY_MAX     16384u /* any request or reply: one fragment */
#define SM_DHT_RECORD_MAX   209u   /* the longest record kept here, a TASK */
#define SM_DHT_RECORDS_MAX  64u /* in one message; with lengths and contacts below BODY_MAX */
#define SM_DHT_CONTACTS_MAX 20u

enum sm_dht_op { SM_DHT_FIND = 1, SM_DHT_STORE = 2 };

enum sm_dht_status {
    SM_DHT_STORED = 0,
    SM_DHT_HAVE = 1,    /* this very record is here already */
    SM_DHT_STALE = 2,   /* the signer has made a newer one */
    SM_DHT_REFUSED = 3, /* not valid here, or no room for a key this far away */
};

/* A checked list of records; take them with sm_dht_record_next. */
struct sm_dht_records {
    uint8_t n;
    struct sm_view bytes;
};

struct sm_dht_find {
    struct sm_data_id key;
    uint8_t type;
    uint16_t max;
};

struct sm_dht_request {
    enum sm_dht_op op;
    struct sm_dht_find find;       /* FIND */
    struct sm_dht_records records; /* STORE */
};

struct sm_dht_found {
    uint8_t n_contacts;
    struct sm_view contacts; /* n_contacts x 32 */
    struct sm_dht_records records;
};

enum sm_err sm_dht_request_read(struct sm_view body, struct sm_dht_request *out) SM_MUST;
enum sm_err sm_dht_found_read(struct sm_view body, struct sm_dht_found *out) SM_MUST;
/* One status for each of the n records that were sent. */
enum sm_err sm_dht_stored_read(struct sm_view body, uint8_t n,
                               struct sm_view *out_status) SM_MUST;

/* Take the next record off the list; false at its end. */
bool sm_dht_record_next(struct sm_dht_records *list, struct sm_view *out);
struct sm_node_id sm_dht_found_contact(const struct sm_dht_found *f, uint8_t i);

void sm_dht_find_write(const struct sm_dht_find *f, struct sm_wr *w);
void sm_dht_store_begin(struct sm_wr *w, uint8_t n_records);
void sm_dht_record_write(struct sm_wr *w, struct sm_view record);
