// SPDX-License-Identifier: Apache-2.0
#include "wire/see_rpc.h"

enum {
    ARG_MAX_BYTES = 1024,
    PASSPORT_MAX = 4096,
    RECEIPT_MAX = 2048,
};

static bool read_bool(struct sm_rd *r)
{
    uint8_t v = sm_rd_u8(r);
    if (v > 1) {
        sm_rd_fail(r);
    }
    return v == 1;
}

/* -- service SEE ------------------------------------------------------------------------- */

void sm_see_start_write(struct sm_wr *w, const struct sm_see_start *m)
{
    sm_wr_u8(w, SM_SEE_START);
    sm_wr_bytes(w, m->client_dh, sizeof m->client_dh);
    sm_wr_bytes(w, m->module_hash, sizeof m->module_hash);
    sm_wr_u32(w, m->mem_pages);
    sm_wr_u32(w, m->cpu_ms);
    sm_wr_u32(w, m->wall_ms);
}

void sm_see_stop_write(struct sm_wr *w, uint32_t ep)
{
    sm_wr_u8(w, SM_SEE_STOP);
    sm_wr_u32(w, ep);
}

enum sm_err sm_see_request_read(struct sm_view in, struct sm_see_request *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_see_request m = {0};
    uint8_t op = sm_rd_u8(&r);
    if (op == SM_SEE_START) {
        m.op = SM_SEE_START;
        sm_rd_bytes(&r, m.start.client_dh, sizeof m.start.client_dh);
        sm_rd_bytes(&r, m.start.module_hash, sizeof m.start.module_hash);
        m.start.mem_pages = sm_rd_u32(&r);
        m.start.cpu_ms = sm_rd_u32(&r);
        m.start.wall_ms = sm_rd_u32(&r);
    } else if (op == SM_SEE_STOP) {
        m.op = SM_SEE_STOP;
        m.stop_ep = sm_rd_u32(&r);
    } else {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

enum sm_err sm_see_started_read(struct sm_view in, struct sm_see_started *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_see_started m;
    m.ep = sm_rd_u32(&r);
    m.passport = sm_rd_blob(&r, PASSPORT_MAX);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_see_started_write(struct sm_wr *w, const struct sm_see_started *m)
{
    sm_wr_u32(w, m->ep);
    sm_wr_blob(w, m->passport);
}

/* -- service UNIT ------------------------------------------------------------------------ */

static void range_read(struct sm_rd *r, struct sm_unit_range *m)
{
    sm_rd_bytes(r, m->data.b, sizeof m->data.b);
    sm_rd_bytes(r, m->key, sizeof m->key);
    m->from = sm_rd_u64(r);
    m->to = sm_rd_u64(r);
    uint8_t split = sm_rd_u8(r);
    m->in_quotes = read_bool(r);
    m->n_holders = sm_rd_u8(r);
    if (m->from > m->to || split > SM_SPLIT_CSV || m->n_holders > SM_UNIT_HOLDERS_MAX) {
        sm_rd_fail(r);
        return;
    }
    m->split = (enum sm_split_kind)split;
    for (unsigned i = 0; i < m->n_holders; i++) {
        m->holders[i].node.v = sm_rd_u64(r);
        sm_rd_bytes(r, m->holders[i].dh_key, sizeof m->holders[i].dh_key);
        m->holders[i].frag_map = sm_rd_u64(r);
    }
}

static void range_write(struct sm_wr *w, const struct sm_unit_range *m)
{
    sm_wr_bytes(w, m->data.b, sizeof m->data.b);
    sm_wr_bytes(w, m->key, sizeof m->key);
    sm_wr_u64(w, m->from);
    sm_wr_u64(w, m->to);
    sm_wr_u8(w, (uint8_t)m->split);
    sm_wr_u8(w, m->in_quotes ? 1 : 0);
    sm_wr_u8(w, m->n_holders);
    for (unsigned i = 0; i < m->n_holders; i++) {
        sm_wr_u64(w, m->holders[i].node.v);
        sm_wr_bytes(w, m->holders[i].dh_key, sizeof m->holders[i].dh_key);
        sm_wr_u64(w, m->holders[i].frag_map);
    }
}

static void piece_read(struct sm_rd *r, struct sm_unit_piece *m)
{
    m->unit = sm_rd_u32(r);
    m->fence = sm_rd_u64(r);
    m->offset = sm_rd_u64(r);
    m->total = sm_rd_u64(r);
    m->bytes = sm_rd_rest(r);
    if (m->bytes.n > SM_UNIT_CHUNK) {
        sm_rd_fail(r);
    }
}

void sm_unit_piece_write(struct sm_wr *w, enum sm_unit_op op, const struct sm_unit_piece *m)
{
    sm_wr_u8(w, (uint8_t)op);
    sm_wr_u32(w, m->unit);
    sm_wr_u64(w, m->fence);
    sm_wr_u64(w, m->offset);
    sm_wr_u64(w, m->total);
    sm_wr_view(w, m->bytes);
}

static void run_read(struct sm_rd *r, struct sm_unit_run *m)
{
    sm_rd_bytes(r, m->job_id, sizeof m->job_id);
    m->unit = sm_rd_u32(r);
    m->fence = sm_rd_u64(r);
    m->n_args = sm_rd_u8(r);
    if (m->n_args > SM_UNIT_ARGS_MAX) {
        sm_rd_fail(r);
        return;
    }
    for (unsigned i = 0; i < m->n_args; i++) {
        m->args[i] = sm_rd_blob(r, ARG_MAX_BYTES);
    }
    m->is_inline = read_bool(r);
    if (!m->is_inline) {
        range_read(r, &m->range);
    }
}

void sm_unit_run_write(struct sm_wr *w, const struct sm_unit_run *m)
{
    sm_wr_u8(w, SM_UNIT_RUN);
    sm_wr_bytes(w, m->job_id, sizeof m->job_id);
    sm_wr_u32(w, m->unit);
    sm_wr_u64(w, m->fence);
    sm_wr_u8(w, m->n_args);
    for (unsigned i = 0; i < m->n_args; i++) {
        sm_wr_blob(w, m->args[i]);
    }
    sm_wr_u8(w, m->is_inline ? 1 : 0);
    if (!m->is_inline) {
        range_write(w, &m->range);
    }
}

void sm_unit_scan_write(struct sm_wr *w, const struct sm_unit_range *m)
{
    sm_wr_u8(w, SM_UNIT_SCAN);
    range_write(w, m);
}

enum sm_err sm_unit_request_read(struct sm_view in, struct sm_unit_request *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_unit_request m = {0};
    uint8_t op = sm_rd_u8(&r);
    switch (op) {
    case SM_UNIT_MODULE:
    case SM_UNIT_INPUT:
    case SM_UNIT_OUTPUT:
    case SM_UNIT_CANCEL:
        piece_read(&r, &m.piece);
        break;
    case SM_UNIT_RUN:
        run_read(&r, &m.run);
        break;
    case SM_UNIT_SCAN:
        range_read(&r, &m.run.range);
        break;
    default:
        sm_rd_fail(&r);
        break;
    }
    SM_TRY(sm_rd_done(&r));
    m.op = (enum sm_unit_op)op;
    *out = m;
    return SM_OK;
}

enum sm_err sm_unit_ready_read(struct sm_view in, struct sm_unit_ready *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_unit_ready m;
    m.is_ready = read_bool(&r);
    m.was_cached = read_bool(&r);
    m.compile_ms = sm_rd_u32(&r);
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_unit_ready_write(struct sm_wr *w, const struct sm_unit_ready *m)
{
    sm_wr_u8(w, m->is_ready ? 1 : 0);
    sm_wr_u8(w, m->was_cached ? 1 : 0);
    sm_wr_u32(w, m->compile_ms);
}

enum sm_err sm_unit_result_read(struct sm_view in, struct sm_unit_result *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_unit_result m;
    m.is_exit = read_bool(&r);
    m.exit_code = (int32_t)sm_rd_u32(&r);
    m.input_n = sm_rd_u64(&r);
    m.output_n = sm_rd_u64(&r);
    m.run_ms = sm_rd_u32(&r);
    m.total_ms = sm_rd_u32(&r);
    m.words = sm_rd_blob(&r, SM_UNIT_WORDS_MAX);
    m.errors = sm_rd_blob(&r, SM_UNIT_ERRORS_MAX);
    m.receipt = sm_rd_blob(&r, RECEIPT_MAX);
    m.output = sm_rd_rest(&r);
    if (m.output.n > SM_UNIT_CHUNK || m.output.n > m.output_n) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_unit_result_write(struct sm_wr *w, const struct sm_unit_result *m)
{
    sm_wr_u8(w, m->is_exit ? 1 : 0);
    sm_wr_u32(w, (uint32_t)m->exit_code);
    sm_wr_u64(w, m->input_n);
    sm_wr_u64(w, m->output_n);
    sm_wr_u32(w, m->run_ms);
    sm_wr_u32(w, m->total_ms);
    sm_wr_blob(w, m->words);
    sm_wr_blob(w, m->errors);
    sm_wr_blob(w, m->receipt);
    sm_wr_view(w, m->output);
}
