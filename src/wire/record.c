// SPDX-License-Identifier: Apache-2.0
#include "wire/record.h"

#include <assert.h>

#define VERSION 1u

/* -- head -------------------------------------------------------------------------------- */

void sm_record_head_read(struct sm_rd *r, struct sm_record_head *out)
{
    uint16_t magic = sm_rd_u16(r);
    out->type = sm_rd_u8(r);
    uint8_t version = sm_rd_u8(r);
    out->network = sm_rd_u32(r);
    out->seq = sm_rd_u64(r);
    out->not_before.s = sm_rd_u64(r);
    out->expires.s = sm_rd_u64(r);
    if (!r->failed && (magic != SM_RECORD_MAGIC || version != VERSION ||
                       out->not_before.s >= out->expires.s)) {
        sm_rd_fail(r);
    }
}

void sm_record_head_write(const struct sm_record_head *h, struct sm_wr *w)
{
    sm_wr_u16(w, SM_RECORD_MAGIC);
    sm_wr_u8(w, h->type);
    sm_wr_u8(w, VERSION);
    sm_wr_u32(w, h->network);
    sm_wr_u64(w, h->seq);
    sm_wr_u64(w, h->not_before.s);
    sm_wr_u64(w, h->expires.s);
}

enum sm_err sm_record_peek(struct sm_view record, struct sm_record_head *out)
{
    if (record.n < SM_RECORD_HEAD) {
        return SM_E_TRUNCATED;
    }
    struct sm_rd r = sm_rd_init(sm_view_sub(record, 0, SM_RECORD_HEAD));
    struct sm_record_head h;
    sm_record_head_read(&r, &h);
    SM_TRY(sm_rd_done(&r));
    *out = h;
    return SM_OK;
}

void sm_record_to_sign(struct sm_view unsigned_bytes, struct sm_wr *w)
{
    sm_wr_view(w, sm_view_str(SM_RECORD_PREFIX));
    sm_wr_view(w, unsigned_bytes);
}

enum sm_err sm_record_split(struct sm_view record, struct sm_view *out_unsigned,
                            struct sm_view *out_sig)
{
    if (record.n > SM_RECORD_MAX) {
        return SM_E_LIMIT;
    }
    if (record.n < SM_RECORD_HEAD + SM_RECORD_SIG) {
        return SM_E_TRUNCATED;
    }
    *out_unsigned = sm_view_sub(record, 0, record.n - SM_RECORD_SIG);
    *out_sig = sm_view_sub(record, record.n - SM_RECORD_SIG, SM_RECORD_SIG);
    return SM_OK;
}

enum sm_err sm_record_times(const struct sm_record_head *h, struct sm_wall now)
{
    bool is_early = h->not_before.s > now.s && h->not_before.s - now.s > SM_RECORD_SKEW_S;
    bool is_late = h->expires.s <= now.s && now.s - h->expires.s >= SM_RECORD_SKEW_S;
    return is_early || is_late ? SM_E_EXPIRED : SM_OK;
}

/* -- NODE -------------------------------------------------------------------------------- */

/* Operators' names reach terminals and logs: printable ASCII only. */
static bool is_owner(const char *owner, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (owner[i] < 0x20 || owner[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

static bool is_net_addr(const struct sm_net_addr *a)
{
    static const uint8_t zeros[12];
    if (a->port == 0) {
        return false;
    }
    return a->family == 6 || (a->family == 4 && memcmp(a->ip + 4, zeros, sizeof zeros) == 0);
}

static void read_owner(struct sm_rd *r, struct sm_node_record *rec)
{
    uint8_t n = sm_rd_u8(r);
    if (n > SM_NODE_OWNER_MAX) {
        sm_rd_fail(r);
        return;
    }
    sm_rd_bytes(r, rec->owner, n);
    if (!r->failed && !is_owner(rec->owner, n)) {
        sm_rd_fail(r);
    }
}

static void read_addrs(struct sm_rd *r, struct sm_node_record *rec)
{
    uint8_t n = sm_rd_u8(r);
    if (n > SM_NODE_ADDRS_MAX) {
        sm_rd_fail(r);
        return;
    }
    rec->n_addrs = n;
    for (size_t i = 0; i < n; i++) {
        struct sm_net_addr *a = &rec->addrs[i];
        a->family = sm_rd_u8(r);
        sm_rd_bytes(r, a->ip, sizeof a->ip);
        a->port = sm_rd_u16(r);
        if (!r->failed && !is_net_addr(a)) {
            sm_rd_fail(r);
        }
    }
}

static void read_endorsement(struct sm_rd *r, struct sm_node_record *rec)
{
    uint16_t n = sm_rd_u16(r);
    if (n > SM_NODE_ENDORSEMENT_MAX) {
        sm_rd_fail(r);
        return;
    }
    rec->endorsement_n = n;
    sm_rd_bytes(r, rec->endorsement, n);
}

enum sm_err sm_node_record_read(struct sm_view record, struct sm_node_record *out)
{
    struct sm_rd r = sm_rd_init(record);
    struct sm_node_record rec = {0};

    sm_record_head_read(&r, &rec.head);
    sm_rd_bytes(&r, rec.node_id.b, sizeof rec.node_id.b);
    rec.index = sm_rd_u8(&r);
    rec.platform = sm_rd_u8(&r);
    sm_rd_bytes(&r, rec.sign_key, sizeof rec.sign_key);
    sm_rd_bytes(&r, rec.dh_key, sizeof rec.dh_key);
    sm_rd_bytes(&r, rec.measurement, sizeof rec.measurement);
    rec.flags = sm_rd_u32(&r);
    rec.area = sm_rd_u32(&r);
    read_owner(&r, &rec);
    read_addrs(&r, &rec);
    read_endorsement(&r, &rec);
    (void)sm_rd_view(&r, SM_RECORD_SIG);
    if (!r.failed && (rec.head.type != SM_RECORD_NODE || rec.index >= SM_NODE_INDEXES ||
                      rec.platform >= SM_PLATFORMS || (rec.flags & ~SM_NODE_FLAGS) != 0)) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = rec;
    return SM_OK;
}

void sm_node_record_write(const struct sm_node_record *rec, struct sm_wr *w)
{
    assert(rec->n_addrs <= SM_NODE_ADDRS_MAX);
    assert(rec->endorsement_n <= SM_NODE_ENDORSEMENT_MAX);
    struct sm_record_head head = rec->head;
    head.type = SM_RECORD_NODE;
    sm_record_head_write(&head, w);
    sm_wr_bytes(w, rec->node_id.b, sizeof rec->node_id.b);
    sm_wr_u8(w, rec->index);
    sm_wr_u8(w, rec->platform);
    sm_wr_bytes(w, rec->sign_key, sizeof rec->sign_key);
    sm_wr_bytes(w, rec->dh_key, sizeof rec->dh_key);
    sm_wr_bytes(w, rec->measurement, sizeof rec->measurement);
    sm_wr_u32(w, rec->flags);
    sm_wr_u32(w, rec->area);
    size_t owner_n = strnlen(rec->owner, SM_NODE_OWNER_MAX);
    sm_wr_u8(w, (uint8_t)owner_n);
    sm_wr_bytes(w, rec->owner, owner_n);
    sm_wr_u8(w, rec->n_addrs);
    for (size_t i = 0; i < rec->n_addrs; i++) {
        sm_wr_u8(w, rec->addrs[i].family);
        sm_wr_bytes(w, rec->addrs[i].ip, sizeof rec->addrs[i].ip);
        sm_wr_u16(w, rec->addrs[i].port);
    }
    sm_wr_u16(w, rec->endorsement_n);
    sm_wr_bytes(w, rec->endorsement, rec->endorsement_n);
}

/* -- ENDPOINT ---------------------------------------------------------------------------- */

enum sm_err sm_endpoint_record_read(struct sm_view record, struct sm_endpoint_record *out)
{
    struct sm_rd r = sm_rd_init(record);
    struct sm_endpoint_record rec = {0};

    sm_record_head_read(&r, &rec.head);
    sm_rd_bytes(&r, rec.node_id.b, sizeof rec.node_id.b);
    rec.ep = sm_rd_u32(&r);
    rec.kind = sm_rd_u8(&r);
    sm_rd_bytes(&r, rec.sign_key, sizeof rec.sign_key);
    sm_rd_bytes(&r, rec.dh_key, sizeof rec.dh_key);
    sm_rd_bytes(&r, rec.measurement, sizeof rec.measurement);
    (void)sm_rd_view(&r, SM_RECORD_SIG);
    if (!r.failed && (rec.head.type != SM_RECORD_ENDPOINT || rec.ep == SM_EP_NODE ||
                      (rec.kind != SM_ENDPOINT_CLIENT && rec.kind != SM_ENDPOINT_SEE))) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = rec;
    return SM_OK;
}

void sm_endpoint_record_write(const struct sm_endpoint_record *rec, struct sm_wr *w)
{
    struct sm_record_head head = rec->head;
    head.type = SM_RECORD_ENDPOINT;
    sm_record_head_write(&head, w);
    sm_wr_bytes(w, rec->node_id.b, sizeof rec->node_id.b);
    sm_wr_u32(w, rec->ep);
    sm_wr_u8(w, rec->kind);
    sm_wr_bytes(w, rec->sign_key, sizeof rec->sign_key);
    sm_wr_bytes(w, rec->dh_key, sizeof rec->dh_key);
    sm_wr_bytes(w, rec->measurement, sizeof rec->measurement);
}

/* -- passport ---------------------------------------------------------------------------- */

static void write_short_blob(struct sm_wr *w, struct sm_view v, size_t max)
{
    if (v.n > max) {
        w->full = true;
        return;
    }
    sm_wr_u16(w, (uint16_t)v.n);
    sm_wr_view(w, v);
}

static struct sm_view read_short_blob(struct sm_rd *r, size_t max)
{
    uint16_t n = sm_rd_u16(r);
    if (n > max) {
        sm_rd_fail(r);
    }
    return sm_rd_view(r, n);
}

void sm_passport_write(struct sm_view node, struct sm_view endpoint, struct sm_wr *w)
{
    write_short_blob(w, node, SM_NODE_RECORD_MAX);
    write_short_blob(w, endpoint, SM_ENDPOINT_RECORD_BYTES);
}

enum sm_err sm_passport_read(struct sm_view passport, struct sm_view *out_node,
                             struct sm_view *out_endpoint)
{
    struct sm_rd r = sm_rd_init(passport);
    struct sm_view node = read_short_blob(&r, SM_NODE_RECORD_MAX);
    struct sm_view endpoint = read_short_blob(&r, SM_ENDPOINT_RECORD_BYTES);
    SM_TRY(sm_rd_done(&r));
    *out_node = node;
    *out_endpoint = endpoint;
    return SM_OK;
}
