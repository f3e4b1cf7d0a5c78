// SPDX-License-Identifier: Apache-2.0
#include "attest/revocation.h"

#include "attest/signed_doc.h"
#include "crypto/cose.h"

#include <stdlib.h>
#include <string.h>

#define AAD "seemesh/revocation/1"

const char *sm_revoked_kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [SM_REVOKED_NODE] = "node",
        [SM_REVOKED_PLATFORM] = "platform",
        [SM_REVOKED_MEASUREMENT] = "measurement",
        [SM_REVOKED_ROOT] = "root",
    };
    return kind < SM_COUNT(names) ? names[kind] : NULL;
}

void sm_revocations_done(struct sm_revocations *l)
{
    free(l->e);
    l->e = NULL;
    l->n = 0;
}

/* -- order ------------------------------------------------------------------------------- */

static int compare(uint8_t kind, struct sm_view id, const struct sm_revoked *e)
{
    if (kind != e->kind) {
        return kind < e->kind ? -1 : 1;
    }
    size_t n = id.n < e->id.n ? id.n : e->id.n;
    int c = n > 0 ? memcmp(id.p, e->id.b, n) : 0;
    if (c != 0 || id.n == e->id.n) {
        return c;
    }
    return id.n < e->id.n ? -1 : 1;
}

/* The first entry that is not below. */
static size_t lower_bound(const struct sm_revocations *l, uint8_t kind, struct sm_view id)
{
    size_t from = 0, to = l->n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (compare(kind, id, &l->e[mid]) > 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from;
}

const struct sm_revoked *sm_revocations_find(const struct sm_revocations *l, uint8_t kind,
                                             struct sm_view id)
{
    size_t at = lower_bound(l, kind, id);
    return id.n > 0 && at < l->n && compare(kind, id, &l->e[at]) == 0 ? &l->e[at] : NULL;
}

/* -- entries ----------------------------------------------------------------------------- */

static bool is_entry(const struct sm_revoked *e)
{
    size_t text_n = strnlen(e->reason, sizeof e->reason);
    if (text_n == sizeof e->reason || !sm_doc_is_printable(sm_view_of(e->reason, text_n))) {
        return false;
    }
    switch (e->kind) {
    case SM_REVOKED_NODE:
    case SM_REVOKED_ROOT:
        return e->id.n == 32;
    case SM_REVOKED_PLATFORM:
        return e->id.n >= 8 && e->id.n <= sizeof e->id.b;
    case SM_REVOKED_MEASUREMENT:
        return e->id.n >= 32 && e->id.n <= sizeof e->id.b;
    default:
        return false;
    }
}

enum sm_err sm_revocations_add(struct sm_revocations *l, const struct sm_revoked *e)
{
    if (!is_entry(e)) {
        return SM_E_INVALID;
    }
    struct sm_view id = sm_view_of(e->id.b, e->id.n);
    size_t at = lower_bound(l, e->kind, id);
    if (at < l->n && compare(e->kind, id, &l->e[at]) == 0) {
        return SM_E_EXISTS;
    }
    if (l->n == SM_REVOKED_MAX) {
        return SM_E_LIMIT;
    }
    struct sm_revoked *more = realloc(l->e, (l->n + 1) * sizeof *more);
    if (more == NULL) {
        return SM_E_NOMEM;
    }
    l->e = more;
    memmove(&l->e[at + 1], &l->e[at], (l->n - at) * sizeof *more);
    l->e[at] = *e;
    l->n++;
    return SM_OK;
}

enum sm_err sm_revocations_remove(struct sm_revocations *l, uint8_t kind, struct sm_view id)
{
    size_t at = lower_bound(l, kind, id);
    if (at == l->n || compare(kind, id, &l->e[at]) != 0) {
        return SM_E_NOTFOUND;
    }
    l->n--;
    memmove(&l->e[at], &l->e[at + 1], (l->n - at) * sizeof *l->e);
    return SM_OK;
}

/* -- the payload ------------------------------------------------------------------------- */

void sm_revocations_write(const struct sm_revocations *l, struct sm_wr *w)
{
    struct sm_doc_head h = {.env = l->env, .version = l->version, .issued = l->issued};
    memcpy(h.mesh_id, l->mesh_id, sizeof h.mesh_id);
    sm_cbor_put_map(w, 6);
    sm_doc_head_write(&h, w);
    sm_cbor_put_uint(w, 6);
    sm_cbor_put_array(w, l->n);
    for (size_t i = 0; i < l->n; i++) {
        const struct sm_revoked *e = &l->e[i];
        sm_cbor_put_array(w, 4);
        sm_cbor_put_uint(w, e->kind);
        sm_cbor_put_bytes(w, sm_view_of(e->id.b, e->id.n));
        sm_cbor_put_uint(w, e->since.s);
        sm_cbor_put_text(w, sm_view_str(e->reason));
    }
}

static void read_entry(struct sm_cbor *c, struct sm_revoked *e)
{
    sm_doc_array(c, 4);
    e->kind = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    struct sm_view id = sm_cbor_bytes(c);
    e->since.s = sm_cbor_uint(c);
    sm_doc_text(c, e->reason, sizeof e->reason);
    if (id.n > sizeof e->id.b) {
        sm_cbor_fail(c);
        return;
    }
    e->id.n = (uint8_t)id.n;
    if (id.n > 0) {
        memcpy(e->id.b, id.p, id.n);
    }
}

/* Ascending, so each comes once. */
static bool is_next(const struct sm_revocations *l, const struct sm_revoked *e)
{
    return is_entry(e) &&
           (l->n == 0 || compare(e->kind, sm_view_of(e->id.b, e->id.n), &l->e[l->n - 1]) > 0);
}

static enum sm_err read_entries(struct sm_cbor *c, struct sm_revocations *l)
{
    sm_doc_key(c, 6);
    size_t n = sm_cbor_array(c);
    if (n > SM_REVOKED_MAX) {
        return SM_E_LIMIT;
    }
    l->e = calloc(n > 0 ? n : 1, sizeof *l->e);
    if (l->e == NULL) {
        return SM_E_NOMEM;
    }
    for (; l->n < n && !c->rd.failed; l->n++) {
        read_entry(c, &l->e[l->n]);
        if (!is_next(l, &l->e[l->n])) {
            sm_cbor_fail(c);
        }
    }
    return sm_cbor_done(c);
}

enum sm_err sm_revocations_read(struct sm_view payload, struct sm_revocations *out)
{
    struct sm_revocations l = {0};
    struct sm_cbor c = sm_cbor_init(payload);
    struct sm_doc_head h;
    if (payload.n > SM_REVOCATION_MAX) {
        return SM_E_LIMIT;
    }
    if (sm_cbor_map(&c) != 6) {
        sm_cbor_fail(&c);
    }
    SM_TRY(sm_doc_head_read(&c, &h));
    memcpy(l.mesh_id, h.mesh_id, sizeof l.mesh_id);
    l.env = h.env;
    l.version = h.version;
    l.issued = h.issued;
    enum sm_err e = read_entries(&c, &l);
    if (e == SM_OK && (l.version == 0 || l.env == 0)) {
        e = SM_E_MALFORMED;
    }
    if (e != SM_OK) {
        sm_revocations_done(&l);
        return e;
    }
    *out = l;
    return SM_OK;
}

/* -- signatures -------------------------------------------------------------------------- */

static bool revokes_root(const struct sm_revocations *l, const uint8_t key[static 32])
{
    return sm_revocations_find(l, SM_REVOKED_ROOT, sm_view_of(key, 32)) != NULL;
}

enum sm_err sm_revocations_sign(const struct sm_suite *suite, const struct sm_sign_pair *root,
                                const struct sm_revocations *l, struct sm_buf *out)
{
    if (l->version == 0 || (l->env != SM_ENV_DEV && l->env != SM_ENV_PROD) ||
        revokes_root(l, root->pub.b)) {
        return SM_E_INVALID;
    }
    uint8_t *bytes = malloc(SM_REVOCATION_MAX);
    if (bytes == NULL) {
        return SM_E_NOMEM;
    }
    struct sm_wr w = sm_wr_init(bytes, SM_REVOCATION_MAX - 128); /* room for the signature */
    struct sm_view payload;
    sm_revocations_write(l, &w);
    enum sm_err e = sm_wr_done(&w, &payload);
    if (e == SM_OK) {
        e = sm_doc_sign(suite, root, AAD, l->mesh_id, payload, out);
    }
    free(bytes);
    return e;
}

enum sm_err sm_revocations_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                  struct sm_view doc, struct sm_revocations *out,
                                  unsigned *out_root)
{
    struct sm_revocations l;
    struct sm_view payload;
    unsigned root;
    if (doc.n > SM_REVOCATION_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_doc_verify(suite, a, AAD, doc, &payload, &root));
    SM_TRY(sm_revocations_read(payload, &l));
    enum sm_err e = sm_doc_head_check(a, l.mesh_id, l.env);
    if (e == SM_OK && revokes_root(&l, a->roots[root])) {
        e = SM_E_MALFORMED; /* it would take back itself */
    }
    if (e != SM_OK) {
        sm_revocations_done(&l);
        return e;
    }
    *out = l;
    if (out_root != NULL) {
        *out_root = root;
    }
    return SM_OK;
}

enum sm_err sm_revocations_open(struct sm_view doc, struct sm_revocations *out)
{
    struct sm_cose c;
    if (doc.n > SM_REVOCATION_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_cose_read(doc, &c));
    return sm_revocations_read(c.payload, out);
}
