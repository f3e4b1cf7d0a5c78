// SPDX-License-Identifier: Apache-2.0
#include "attest/signed_doc.h"

#include "crypto/cose.h"

#include <string.h>

#define FORMAT  1u
#define AAD_MAX 64u

void sm_doc_key(struct sm_cbor *c, uint64_t key)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
}

void sm_doc_array(struct sm_cbor *c, size_t n)
{
    if (sm_cbor_array(c) != n) {
        sm_cbor_fail(c);
    }
}

void sm_doc_bytes(struct sm_cbor *c, void *out, size_t n)
{
    struct sm_view v = sm_cbor_bytes(c);
    if (v.n != n) {
        sm_cbor_fail(c);
        memset(out, 0, n);
        return;
    }
    memcpy(out, v.p, n);
}

uint64_t sm_doc_uint(struct sm_cbor *c, uint64_t max)
{
    uint64_t v = sm_cbor_uint(c);
    if (v > max) {
        sm_cbor_fail(c);
        return 0;
    }
    return v;
}

bool sm_doc_is_printable(struct sm_view text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < 0x20 || text.p[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

void sm_doc_text(struct sm_cbor *c, char *out, size_t cap)
{
    struct sm_view v = sm_cbor_text(c);
    if (v.n >= cap || !sm_doc_is_printable(v)) {
        sm_cbor_fail(c);
        v.n = 0;
    }
    if (v.n > 0) {
        memcpy(out, v.p, v.n);
    }
    out[v.n] = '\0';
}

/* -- the head ---------------------------------------------------------------------------- */

enum sm_err sm_doc_head_read(struct sm_cbor *c, struct sm_doc_head *out)
{
    struct sm_doc_head h;
    sm_doc_key(c, 1);
    uint64_t format = sm_cbor_uint(c);
    if (!c->rd.failed && format != FORMAT) {
        return SM_E_VERSION;
    }
    sm_doc_key(c, 2);
    sm_doc_bytes(c, h.mesh_id, sizeof h.mesh_id);
    sm_doc_key(c, 3);
    h.env = (uint8_t)sm_doc_uint(c, SM_ENV_PROD);
    sm_doc_key(c, 4);
    h.version = sm_cbor_uint(c);
    sm_doc_key(c, 5);
    h.issued.s = sm_cbor_uint(c);
    *out = h;
    return SM_OK;
}

void sm_doc_head_write(const struct sm_doc_head *h, struct sm_wr *w)
{
    sm_cbor_put_uint(w, 1);
    sm_cbor_put_uint(w, FORMAT);
    sm_cbor_put_uint(w, 2);
    sm_cbor_put_bytes(w, sm_view_of(h->mesh_id, sizeof h->mesh_id));
    sm_cbor_put_uint(w, 3);
    sm_cbor_put_uint(w, h->env);
    sm_cbor_put_uint(w, 4);
    sm_cbor_put_uint(w, h->version);
    sm_cbor_put_uint(w, 5);
    sm_cbor_put_uint(w, h->issued.s);
}

enum sm_err sm_doc_head_check(const struct sm_anchor *a, const uint8_t mesh_id[static 32],
                              uint8_t env)
{
    bool is_ours = memcmp(a->mesh_id, mesh_id, sizeof a->mesh_id) == 0 && env == a->env;
    return is_ours ? SM_OK : SM_E_AUTH;
}

/* -- signatures -------------------------------------------------------------------------- */

/* The mesh is signed with it: a root that serves two meshes does not mix them up. */
static struct sm_view aad(const char *name, const uint8_t mesh_id[static 32],
                          uint8_t buf[static AAD_MAX])
{
    struct sm_wr w = sm_wr_init(buf, AAD_MAX);
    sm_wr_view(&w, sm_view_str(name));
    sm_wr_bytes(&w, mesh_id, 32);
    return sm_view_of(w.p, w.n);
}

enum sm_err sm_doc_sign(const struct sm_suite *suite, const struct sm_sign_pair *root,
                        const char *name, const uint8_t mesh_id[static 32],
                        struct sm_view payload, struct sm_buf *out)
{
    enum { HEADERS = 96 }; /* tag, array, headers, heads of the strings, signature */
    uint8_t buf[AAD_MAX], *at;
    size_t n;
    SM_TRY(sm_buf_room(out, payload.n + HEADERS, &at));
    SM_TRY(sm_cose_sign(suite, root, payload, aad(name, mesh_id, buf), at, payload.n + HEADERS,
                        &n));
    out->n += n;
    return SM_OK;
}

/* Why no root fits: the document may say itself that it is another mesh's. */
static enum sm_err not_ours(const struct sm_anchor *a, struct sm_view payload)
{
    struct sm_cbor c = sm_cbor_init(payload);
    struct sm_doc_head h;
    (void)sm_cbor_map(&c);
    bool is_read = sm_doc_head_read(&c, &h) == SM_OK && !c.rd.failed;
    return is_read && sm_doc_head_check(a, h.mesh_id, h.env) != SM_OK ? SM_E_AUTH : SM_E_CRYPTO;
}

/* The headers say EdDSA and nothing else: others are not signed, so they would give one
 * document many forms.  Each part below has its least length when the sum has. */
static bool is_plain(struct sm_view doc, const struct sm_cose *c)
{
    enum { TAG_AND_ARRAY = 2, PROTECTED = 4, OTHER = 1, SIGNATURE = 66 };
    size_t head = c->payload.n < 24 ? 1 : c->payload.n < 256 ? 2 : c->payload.n < 65536 ? 3 : 5;
    return doc.n == TAG_AND_ARRAY + PROTECTED + OTHER + head + c->payload.n + SIGNATURE;
}

enum sm_err sm_doc_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                          const char *name, struct sm_view doc, struct sm_view *out_payload,
                          unsigned *out_root)
{
    uint8_t buf[AAD_MAX];
    struct sm_view data = aad(name, a->mesh_id, buf);
    struct sm_cose c;
    SM_TRY(sm_cose_read(doc, &c));
    if (!is_plain(doc, &c)) {
        return SM_E_MALFORMED;
    }
    for (unsigned i = 0; i < a->n_roots; i++) {
        struct sm_sign_pub key;
        memcpy(key.b, a->roots[i], sizeof key.b);
        if (sm_cose_verify(suite, &c, &key, data) == SM_OK) {
            *out_payload = c.payload;
            *out_root = i;
            return SM_OK;
        }
    }
    return not_ours(a, c.payload);
}
