// SPDX-License-Identifier: Apache-2.0
#include "wire/dht_rpc.h"

#include <assert.h>

static struct sm_view record_read(struct sm_rd *r)
{
    uint16_t n = sm_rd_u16(r);
    if (n == 0 || n > SM_DHT_RECORD_MAX) {
        sm_rd_fail(r);
    }
    return sm_rd_view(r, n);
}

/* Check n records at the front of r and leave what follows. */
static void records_read(struct sm_rd *r, uint8_t n, struct sm_dht_records *out)
{
    struct sm_view from = r->left;
    if (n > SM_DHT_RECORDS_MAX) {
        sm_rd_fail(r);
    }
    for (uint8_t i = 0; i < n && !r->failed; i++) {
        (void)record_read(r);
    }
    *out = (struct sm_dht_records){n, sm_view_sub(from, 0, from.n - r->left.n)};
}

enum sm_err sm_dht_request_read(struct sm_view body, struct sm_dht_request *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_dht_request q = {0};

    uint8_t op = sm_rd_u8(&r);
    if (op == SM_DHT_FIND) {
        q.op = SM_DHT_FIND;
        q.find.type = sm_rd_u8(&r);
        q.find.max = sm_rd_u16(&r);
        sm_rd_bytes(&r, q.find.key.b, sizeof q.find.key.b);
    } else if (op == SM_DHT_STORE) {
        q.op = SM_DHT_STORE;
        records_read(&r, sm_rd_u8(&r), &q.records);
    } else {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = q;
    return SM_OK;
}

enum sm_err sm_dht_found_read(struct sm_view body, struct sm_dht_found *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_dht_found f;

    f.n_contacts = sm_rd_u8(&r);
    uint8_t n_records = sm_rd_u8(&r);
    if (f.n_contacts > SM_DHT_CONTACTS_MAX) {
        sm_rd_fail(&r);
    }
    f.contacts = sm_rd_view(&r, f.n_contacts * sizeof(struct sm_node_id));
    records_read(&r, n_records, &f.records);
    SM_TRY(sm_rd_done(&r));
    *out = f;
    return SM_OK;
}

enum sm_err sm_dht_stored_read(struct sm_view body, uint8_t n, struct sm_view *out_status)
{
    struct sm_rd r = sm_rd_init(body);
    if (sm_rd_u8(&r) != n) {
        sm_rd_fail(&r);
    }
    struct sm_view status = sm_rd_view(&r, n);
    for (size_t i = 0; i < status.n; i++) {
        if (status.p[i] > SM_DHT_REFUSED) {
            sm_rd_fail(&r);
        }
    }
    SM_TRY(sm_rd_done(&r));
    *out_status = status;
    return SM_OK;
}

bool sm_dht_record_next(struct sm_dht_records *list, struct sm_view *out)
{
    if (list->n == 0) {
        return false;
    }
    struct sm_rd r = sm_rd_init(list->bytes);
    struct sm_view record = record_read(&r);
    assert(!r.failed);
    list->bytes = r.left;
    list->n--;
    *out = record;
    return true;
}

struct sm_node_id sm_dht_found_contact(const struct sm_dht_found *f, uint8_t i)
{
    assert(i < f->n_contacts);
    struct sm_node_id id;
    memcpy(id.b, f->contacts.p + i * sizeof id.b, sizeof id.b);
    return id;
}

void sm_dht_find_write(const struct sm_dht_find *f, struct sm_wr *w)
{
    sm_wr_u8(w, SM_DHT_FIND);
    sm_wr_u8(w, f->type);
    sm_wr_u16(w, f->max);
    sm_wr_bytes(w, f->key.b, sizeof f->key.b);
}

void sm_dht_store_begin(struct sm_wr *w, uint8_t n_records)
{
    sm_wr_u8(w, SM_DHT_STORE);
    sm_wr_u8(w, n_records);
}

void sm_dht_record_write(struct sm_wr *w, struct sm_view record)
{
    sm_wr_u16(w, (uint16_t)record.n);
    sm_wr_view(w, record);
}
