// SPDX-License-Identifier: Apache-2.0
#include "wire/bulletin.h"

#include <assert.h>
#include <string.h>

int sm_bulletin_doc_cmp(const struct sm_bulletin_doc *a, const struct sm_bulletin_doc *b)
{
    return a->kind != b->kind ? (a->kind < b->kind ? -1 : 1)
                              : memcmp(a->name, b->name, sizeof a->name);
}

static void doc_read(struct sm_rd *r, struct sm_bulletin_doc *out)
{
    out->kind = sm_rd_u8(r);
    sm_rd_bytes(r, out->name, sizeof out->name);
    out->version = sm_rd_u64(r);
    out->bytes = sm_rd_u32(r);
    sm_rd_bytes(r, out->hash, sizeof out->hash);
    if (out->bytes == 0 || out->bytes > SM_BULLETIN_BYTES) {
        sm_rd_fail(r);
    }
}

static void digest_read(struct sm_rd *r, struct sm_bulletin_message *m)
{
    m->n_docs = sm_rd_u8(r);
    if (m->n_docs > SM_BULLETIN_DOCS) {
        sm_rd_fail(r);
    }
    for (unsigned i = 0; i < m->n_docs && !r->failed; i++) {
        doc_read(r, &m->docs[i]);
        if (i > 0 && sm_bulletin_doc_cmp(&m->docs[i - 1], &m->docs[i]) >= 0) {
            sm_rd_fail(r);
        }
    }
}

static void piece_read(struct sm_rd *r, struct sm_bulletin_message *m)
{
    sm_rd_bytes(r, m->hash, sizeof m->hash);
    m->total = sm_rd_u32(r);
    m->offset = sm_rd_u32(r);
    m->bytes = sm_rd_rest(r);
    bool is_there = m->total > 0;
    if (m->total > SM_BULLETIN_BYTES || m->offset % SM_BULLETIN_PIECE != 0 ||
        m->bytes.n != sm_bulletin_piece_n(m->total, m->offset) ||
        (is_there ? m->bytes.n == 0 : m->offset != 0)) {
        sm_rd_fail(r);
    }
}

enum sm_err sm_bulletin_message_read(struct sm_view in, struct sm_bulletin_message *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_bulletin_message m = {0};
    if (sm_rd_u8(&r) != SM_BULLETIN_CONTROL) {
        sm_rd_fail(&r);
    }
    m.op = (enum sm_bulletin_op)sm_rd_u8(&r);
    if (m.op == SM_BULLETIN_DIGEST) {
        digest_read(&r, &m);
    } else if (m.op == SM_BULLETIN_WANT) {
        sm_rd_bytes(&r, m.hash, sizeof m.hash);
        m.offset = sm_rd_u32(&r);
        if (m.offset % SM_BULLETIN_PIECE != 0 || m.offset >= SM_BULLETIN_BYTES) {
            sm_rd_fail(&r);
        }
    } else if (m.op == SM_BULLETIN_PIECE_OF) {
        piece_read(&r, &m);
    } else {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

static void doc_write(const struct sm_bulletin_doc *d, struct sm_wr *w)
{
    sm_wr_u8(w, d->kind);
    sm_wr_bytes(w, d->name, sizeof d->name);
    sm_wr_u64(w, d->version);
    sm_wr_u32(w, d->bytes);
    sm_wr_bytes(w, d->hash, sizeof d->hash);
}

void sm_bulletin_message_write(const struct sm_bulletin_message *m, struct sm_wr *w)
{
    sm_wr_u8(w, SM_BULLETIN_CONTROL);
    sm_wr_u8(w, (uint8_t)m->op);
    switch (m->op) {
    case SM_BULLETIN_DIGEST:
        assert(m->n_docs <= SM_BULLETIN_DOCS);
        sm_wr_u8(w, m->n_docs);
        for (unsigned i = 0; i < m->n_docs; i++) {
            doc_write(&m->docs[i], w);
        }
        break;
    case SM_BULLETIN_WANT:
        sm_wr_bytes(w, m->hash, sizeof m->hash);
        sm_wr_u32(w, m->offset);
        break;
    case SM_BULLETIN_PIECE_OF:
        sm_wr_bytes(w, m->hash, sizeof m->hash);
        sm_wr_u32(w, m->total);
        sm_wr_u32(w, m->offset);
        sm_wr_view(w, m->bytes);
        break;
    }
}
