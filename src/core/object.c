// SPDX-License-Identifier: Apache-2.0
#include "core/object.h"

#include "base/cbor.h"
#include "crypto/hash.h"

#include <assert.h>
#include <string.h>

/* -- keys of an object ------------------------------------------------------------------- */

static void derive(const struct sm_secret32 *key, const char *label, uint8_t out[static 32])
{
    enum sm_err e = sm_hkdf(SM_SHA256, (struct sm_view){0}, sm_view_of(key->b, sizeof key->b),
                            sm_view_str(label), out, 32);
    assert(e == SM_OK); /* one hash is never too many */
}

void sm_object_seal_key(const struct sm_secret32 *key, struct sm_secret32 *out)
{
    derive(key, "seemesh/segment/1", out->b);
}

void sm_object_remove_token(const struct sm_secret32 *key, struct sm_remove_token *out)
{
    derive(key, "seemesh/remove/1", out->b);
}

void sm_remove_token_hash(const struct sm_remove_token *token, uint8_t out[static 32])
{
    sm_sha256(sm_view_of(token->b, sizeof token->b), out);
}

/* -- manifest ---------------------------------------------------------------------------- */

/* Grammar, in deterministic CBOR:
 *
 *     [ 1,                 version
 *       uint,              size: bytes of plaintext
 *       uint,              plaintext bytes of each segment but the last
 *       uint, uint,        k, n
 *       uint,              cipher: 1 AES-256-GCM, 2 ChaCha20-Poly1305
 *       bytes 32,          SHA-256 of the remove token
 *       bytes ]            shard ids, 32 bytes each, by segment, then by index
 */
#define MANIFEST_ITEMS    8u
#define MANIFEST_HEAD_MAX 128u /* all of it but the shard ids */
#define MANIFEST_VERSION  1u

uint32_t sm_segment_bytes_max(struct sm_code c)
{
    return c.k * SM_SHARD_MAX - SM_TAG_BYTES;
}

uint64_t sm_object_bytes_max(struct sm_code c, uint32_t segment_bytes)
{
    uint64_t row = (uint64_t)c.n * sizeof(struct sm_shard_id);
    return (SM_MANIFEST_MAX - MANIFEST_HEAD_MAX) / row * segment_bytes;
}

/* Bounded by what was read: u64 sizes do not fit the answer before manifest_is_sound(). */
static uint64_t segments_of(const struct sm_manifest *m)
{
    return m->size / m->segment_bytes + (m->size % m->segment_bytes != 0);
}

static bool manifest_is_sound(const struct sm_manifest *m)
{
    if (!sm_code_is_valid(m->code) || m->segment_bytes == 0 ||
        m->segment_bytes > sm_segment_bytes_max(m->code) ||
        (m->cipher != SM_AESGCM && m->cipher != SM_CHACHAPOLY)) {
        return false;
    }
    uint64_t row = (uint64_t)m->code.n * sizeof(struct sm_shard_id);
    return segments_of(m) <= SM_MANIFEST_MAX / row && segments_of(m) * row == m->shard_ids.n;
}

/* An unsigned integer of at most `most`. */
static uint32_t small(struct sm_cbor *c, uint32_t most)
{
    uint64_t v = sm_cbor_uint(c);
    if (v > most) {
        sm_cbor_fail(c);
        return 0;
    }
    return (uint32_t)v;
}

enum sm_err sm_manifest_read(struct sm_view in, struct sm_manifest *out)
{
    if (in.n > SM_MANIFEST_MAX) {
        return SM_E_LIMIT;
    }
    struct sm_cbor c = sm_cbor_init(in);
    struct sm_manifest m = {0};
    size_t items = sm_cbor_array(&c);
    uint64_t version = sm_cbor_uint(&c);
    if (items > 0 && version > MANIFEST_VERSION) {
        return SM_E_VERSION;
    }
    if (items != MANIFEST_ITEMS || version != MANIFEST_VERSION) {
        return SM_E_MALFORMED;
    }
    m.size = sm_cbor_uint(&c);
    m.segment_bytes = small(&c, UINT32_MAX);
    m.code.k = (uint8_t)small(&c, UINT8_MAX);
    m.code.n = (uint8_t)small(&c, UINT8_MAX);
    m.cipher = (enum sm_aead_kind)small(&c, UINT8_MAX);
    struct sm_view hash = sm_cbor_bytes(&c);
    m.shard_ids = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    if (hash.n != sizeof m.remove_hash || !manifest_is_sound(&m)) {
        return SM_E_MALFORMED;
    }
    memcpy(m.remove_hash, hash.p, sizeof m.remove_hash);
    *out = m;
    return SM_OK;
}

enum sm_err sm_manifest_write(struct sm_wr *w, const struct sm_manifest *m)
{
    assert(manifest_is_sound(m));
    sm_cbor_put_array(w, MANIFEST_ITEMS);
    sm_cbor_put_uint(w, MANIFEST_VERSION);
    sm_cbor_put_uint(w, m->size);
    sm_cbor_put_uint(w, m->segment_bytes);
    sm_cbor_put_uint(w, m->code.k);
    sm_cbor_put_uint(w, m->code.n);
    sm_cbor_put_uint(w, (uint64_t)m->cipher);
    sm_cbor_put_bytes(w, sm_view_of(m->remove_hash, sizeof m->remove_hash));
    sm_cbor_put_bytes(w, m->shard_ids);
    return w->full ? SM_E_LIMIT : SM_OK;
}

void sm_manifest_id(struct sm_view manifest, struct sm_data_id *out)
{
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_str("seemesh/object/1"));
    sm_hash_add(&h, manifest);
    sm_hash_end(&h, out->b);
}

uint32_t sm_manifest_segments(const struct sm_manifest *m)
{
    return (uint32_t)segments_of(m);
}

size_t sm_manifest_plain_bytes(const struct sm_manifest *m, uint32_t segment)
{
    assert(segment < sm_manifest_segments(m));
    uint64_t left = m->size - (uint64_t)segment * m->segment_bytes;
    return left < m->segment_bytes ? (size_t)left : m->segment_bytes;
}

size_t sm_manifest_shard_bytes(const struct sm_manifest *m, uint32_t segment)
{
    return sm_segment_shard_bytes(m->code, sm_manifest_plain_bytes(m, segment));
}

void sm_manifest_shard_id(const struct sm_manifest *m, uint32_t segment, unsigned index,
                          struct sm_shard_id *out)
{
    assert(segment < sm_manifest_segments(m) && index < m->code.n);
    size_t at = (size_t)segment * m->code.n + index;
    memcpy(out->b, m->shard_ids.p + at * sizeof out->b, sizeof out->b);
}

/* -- segments ---------------------------------------------------------------------------- */

size_t sm_segment_shard_bytes(struct sm_code c, size_t plain_bytes)
{
    assert(plain_bytes > 0);
    return sm_code_shard_bytes(c, plain_bytes + SM_TAG_BYTES);
}

static void lay_out(struct sm_code c, size_t shard_bytes, uint8_t *shards, uint8_t *at[])
{
    for (unsigned i = 0; i < c.n; i++) {
        at[i] = shards + i * shard_bytes;
    }
}

static uint64_t data_map(struct sm_code c)
{
    return sm_code_all((struct sm_code){.k = c.k, .n = c.k});
}

enum sm_err sm_segment_seal(struct sm_aead *a, struct sm_coder *coder, struct sm_code c,
                            uint32_t segment, size_t plain_bytes, uint8_t *shards,
                            struct sm_shard_id ids[])
{
    size_t len = sm_segment_shard_bytes(c, plain_bytes);
    size_t sealed = plain_bytes + SM_TAG_BYTES;
    uint8_t *at[SM_CODE_N_MAX];
    lay_out(c, len, shards, at);
    SM_TRY(
        sm_aead_seal(a, segment, (struct sm_view){0}, sm_view_of(shards, plain_bytes), shards));
    memset(shards + sealed, 0, c.k * len - sealed);
    uint64_t data = data_map(c);
    SM_TRY(sm_coder_make(coder, len, at, data, sm_code_all(c) & ~data));
    for (unsigned i = 0; i < c.n; i++) {
        sm_sha256(sm_view_of(at[i], len), ids[i].b);
    }
    return SM_OK;
}

enum sm_err sm_segment_open(struct sm_aead *a, struct sm_coder *coder, struct sm_code c,
                            uint32_t segment, size_t plain_bytes, uint8_t *shards,
                            uint64_t have)
{
    size_t len = sm_segment_shard_bytes(c, plain_bytes);
    uint8_t *at[SM_CODE_N_MAX];
    lay_out(c, len, shards, at);
    SM_TRY(sm_coder_make(coder, len, at, have, data_map(c) & ~have));
    return sm_aead_open(a, segment, (struct sm_view){0},
                        sm_view_of(shards, plain_bytes + SM_TAG_BYTES), shards);
}

/* -- reference --------------------------------------------------------------------------- */

static const char ref_head[] = "sm1:";
#define CHECK_BYTES 4

static void ref_check(const struct sm_ref *ref, uint8_t out[static CHECK_BYTES])
{
    uint8_t full[32];
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_str("seemesh/ref/1"));
    sm_hash_add(&h, sm_view_of(ref->object.b, sizeof ref->object.b));
    sm_hash_add(&h, sm_view_of(ref->key.b, sizeof ref->key.b));
    sm_hash_end(&h, full);
    memcpy(out, full, CHECK_BYTES);
    sm_wipe(&h, sizeof h);
}

void sm_ref_print(const struct sm_ref *ref, char out[static SM_REF_LEN + 1])
{
    uint8_t check[CHECK_BYTES];
    ref_check(ref, check);
    memcpy(out, ref_head, 4);
    char *at = out + 4;
    sm_b32(ref->object.b, 32, at);
    at += SM_B32_LEN(32);
    *at++ = ':';
    sm_b32(ref->key.b, 32, at);
    at += SM_B32_LEN(32);
    *at++ = ':';
    sm_b32(check, CHECK_BYTES, at);
}

/* One base32 field of n bytes and the mark behind it (NUL: none, the end). */
static bool ref_field(struct sm_rd *r, uint8_t *out, size_t n, char mark)
{
    struct sm_view text = sm_rd_view(r, SM_B32_LEN(n));
    bool ok = text.n > 0 && sm_unb32((const char *)text.p, text.n, out, n) == SM_OK;
    return ok && (mark == '\0' || sm_rd_u8(r) == (uint8_t)mark);
}

enum sm_err sm_ref_parse(struct sm_view text, struct sm_ref *out)
{
    struct sm_rd r = sm_rd_init(text);
    struct sm_view head = sm_rd_view(&r, 4);
    if (head.n != 4 || memcmp(head.p, "sm", 2) != 0 || head.p[3] != ':') {
        return SM_E_MALFORMED;
    }
    if (head.p[2] != '1') {
        return head.p[2] >= '2' && head.p[2] <= '9' ? SM_E_VERSION : SM_E_MALFORMED;
    }
    struct sm_ref ref = {0};
    uint8_t given[CHECK_BYTES] = {0}, want[CHECK_BYTES];
    bool shaped = ref_field(&r, ref.object.b, 32, ':') && ref_field(&r, ref.key.b, 32, ':') &&
                  ref_field(&r, given, CHECK_BYTES, '\0') && sm_rd_done(&r) == SM_OK;
    enum sm_err e = shaped ? SM_OK : SM_E_MALFORMED;
    if (shaped) {
        ref_check(&ref, want);
        e = memcmp(given, want, CHECK_BYTES) == 0 ? SM_OK : SM_E_HASH;
    }
    if (e == SM_OK) {
        *out = ref;
    }
    sm_wipe(&ref, sizeof ref);
    return e;
}
