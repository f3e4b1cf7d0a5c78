// SPDX-License-Identifier: Apache-2.0
#include "wire/ctl.h"

#include <string.h>

enum {
    PASSPORT_MAX = 4096,
    RECORD_MAX = 2048,
    ENDPOINT_MAX = 512,
};

enum sm_err sm_ctl_head_read(struct sm_view in, struct sm_ctl_head *out)
{
    struct sm_rd r = sm_rd_init(sm_view_sub(in, 0, SM_CTL_HEAD));
    struct sm_ctl_head h;
    h.body_n = sm_rd_u32(&r);
    h.type = sm_rd_u16(&r);
    h.flags = sm_rd_u16(&r);
    h.id = sm_rd_u64(&r);
    SM_TRY(sm_rd_done(&r));
    if (h.body_n > SM_CTL_BODY_MAX) {
        return SM_E_MALFORMED;
    }
    *out = h;
    return SM_OK;
}

void sm_ctl_head_write(const struct sm_ctl_head *h, uint8_t out[static SM_CTL_HEAD])
{
    struct sm_wr w = sm_wr_init(out, SM_CTL_HEAD);
    sm_wr_u32(&w, h->body_n);
    sm_wr_u16(&w, h->type);
    sm_wr_u16(&w, h->flags);
    sm_wr_u64(&w, h->id);
}

static struct sm_addr addr_read(struct sm_rd *r)
{
    struct sm_addr a;
    a.node.v = sm_rd_u64(r);
    a.ep = sm_rd_u32(r);
    return a;
}

static void addr_write(struct sm_wr *w, struct sm_addr a)
{
    sm_wr_u64(w, a.node.v);
    sm_wr_u32(w, a.ep);
}

enum sm_err sm_ctl_hello_read(struct sm_view in, struct sm_ctl_hello *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_hello m;
    m.version = sm_rd_u32(&r);
    m.kind = sm_rd_u8(&r);
    sm_rd_bytes(&r, m.dh_key, sizeof m.dh_key);
    sm_rd_bytes(&r, m.sign_key, sizeof m.sign_key);
    m.endpoint = sm_rd_blob(&r, ENDPOINT_MAX);
    if ((m.kind != SM_CTL_CLIENT && m.kind != SM_CTL_SEE) ||
        (m.kind == SM_CTL_SEE) != (m.endpoint.n > 0)) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    if (m.version != SM_CTL_VERSION) {
        return SM_E_VERSION;
    }
    *out = m;
    return SM_OK;
}

void sm_ctl_hello_write(struct sm_wr *w, const struct sm_ctl_hello *m)
{
    sm_wr_u32(w, m->version);
    sm_wr_u8(w, m->kind);
    sm_wr_bytes(w, m->dh_key, sizeof m->dh_key);
    sm_wr_bytes(w, m->sign_key, sizeof m->sign_key);
    sm_wr_blob(w, m->endpoint);
}

enum sm_err sm_ctl_welcome_read(struct sm_view in, struct sm_ctl_welcome *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_welcome m;
    m.self = addr_read(&r);
    sm_rd_bytes(&r, m.mesh_id, sizeof m.mesh_id);
    m.passport = sm_rd_blob(&r, PASSPORT_MAX);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ctl_welcome_write(struct sm_wr *w, const struct sm_ctl_welcome *m)
{
    addr_write(w, m->self);
    sm_wr_bytes(w, m->mesh_id, sizeof m->mesh_id);
    sm_wr_blob(w, m->passport);
}

enum sm_err sm_ctl_packet_read(struct sm_view in, struct sm_ctl_packet *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_packet m;
    m.peer = addr_read(&r);
    m.slot = sm_rd_u8(&r);
    uint8_t zero = sm_rd_u8(&r); /* keeps the payload aligned, as do two more */
    uint16_t zeros = sm_rd_u16(&r);
    m.payload = sm_rd_rest(&r);
    if (zero != 0 || zeros != 0) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ctl_packet_write(struct sm_wr *w, const struct sm_ctl_packet *m)
{
    static const uint8_t pad[3];
    addr_write(w, m->peer);
    sm_wr_u8(w, m->slot);
    sm_wr_bytes(w, pad, sizeof pad);
    sm_wr_view(w, m->payload);
}

enum sm_err sm_ctl_fail_read(struct sm_view in, struct sm_ctl_fail *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_fail m;
    m.peer = addr_read(&r);
    m.slot = sm_rd_u8(&r);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ctl_fail_write(struct sm_wr *w, const struct sm_ctl_fail *m)
{
    addr_write(w, m->peer);
    sm_wr_u8(w, m->slot);
}

void sm_ctl_node_write(struct sm_wr *w, const struct sm_ctl_node *m)
{
    sm_wr_blob(w, m->record);
    sm_wr_u32(w, m->trust_q16);
    sm_wr_u32(w, m->path_cost_16);
    sm_wr_u8(w, m->n_slots);
}

void sm_ctl_node_next(struct sm_rd *r, struct sm_ctl_node *out)
{
    out->record = sm_rd_blob(r, RECORD_MAX);
    out->trust_q16 = sm_rd_u32(r);
    out->path_cost_16 = sm_rd_u32(r);
    out->n_slots = sm_rd_u8(r);
}

enum sm_err sm_ctl_find_read(struct sm_view in, struct sm_ctl_find *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_find m;
    m.type = sm_rd_u8(&r);
    m.want = sm_rd_u16(&r);
    sm_rd_bytes(&r, m.key, sizeof m.key);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ctl_find_write(struct sm_wr *w, const struct sm_ctl_find *m)
{
    sm_wr_u8(w, m->type);
    sm_wr_u16(w, m->want);
    sm_wr_bytes(w, m->key, sizeof m->key);
}

enum sm_err sm_ctl_found_read(struct sm_view in, struct sm_ctl_found *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_found m;
    m.asked = sm_rd_u16(&r);
    m.paths = sm_rd_u8(&r);
    m.n = sm_rd_u16(&r);
    m.records = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    struct sm_rd list = sm_rd_init(m.records);
    for (unsigned i = 0; i < m.n && !list.failed; i++) {
        (void)sm_rd_blob(&list, RECORD_MAX);
    }
    SM_TRY(sm_rd_done(&list));
    *out = m;
    return SM_OK;
}

enum sm_err sm_ctl_task_read(struct sm_view in, struct sm_ctl_task *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_task m;
    sm_rd_bytes(&r, m.task_id, sizeof m.task_id);
    m.holder = addr_read(&r);
    m.fence = sm_rd_u64(&r);
    m.lease_ms = sm_rd_u32(&r);
    m.state = sm_rd_u8(&r);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ctl_task_write(struct sm_wr *w, const struct sm_ctl_task *m)
{
    sm_wr_bytes(w, m->task_id, sizeof m->task_id);
    addr_write(w, m->holder);
    sm_wr_u64(w, m->fence);
    sm_wr_u32(w, m->lease_ms);
    sm_wr_u8(w, m->state);
}

enum sm_err sm_ctl_report_read(struct sm_view in, struct sm_ctl_report *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_report m;
    m.dst.v = sm_rd_u64(&r);
    m.slot = sm_rd_u8(&r);
    uint8_t ok = sm_rd_u8(&r);
    m.rtt_ns = sm_rd_u64(&r);
    if (ok > 1) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    m.is_ok = ok == 1;
    *out = m;
    return SM_OK;
}

void sm_ctl_report_write(struct sm_wr *w, const struct sm_ctl_report *m)
{
    sm_wr_u64(w, m->dst.v);
    sm_wr_u8(w, m->slot);
    sm_wr_u8(w, m->is_ok ? 1 : 0);
    sm_wr_u64(w, m->rtt_ns);
}

enum sm_err sm_ctl_doc_read(struct sm_view in, struct sm_ctl_doc *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_doc m;

    m.kind = sm_rd_u8(&r);
    m.bytes = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_ctl_doc_write(struct sm_wr *w, const struct sm_ctl_doc *m)
{
    sm_wr_u8(w, m->kind);
    sm_wr_view(w, m->bytes);
}

static bool is_name(struct sm_view v)
{
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i];
        bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!is_good) {
            return false;
        }
    }
    return v.n > 0;
}

enum sm_err sm_ctl_tun_read(struct sm_view in, struct sm_ctl_tun *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_ctl_tun m = {.mtu = sm_rd_u32(&r)};
    struct sm_view name = sm_rd_blob(&r, SM_CTL_TUN_NAME - 1);
    if (!r.failed && !is_name(name)) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    memcpy(m.name, name.p, name.n);
    *out = m;
    return SM_OK;
}

void sm_ctl_tun_write(struct sm_wr *w, const struct sm_ctl_tun *m)
{
    sm_wr_u32(w, m->mtu);
    sm_wr_blob(w, sm_view_of(m->name, strnlen(m->name, sizeof m->name)));
}
