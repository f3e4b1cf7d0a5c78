// SPDX-License-Identifier: Apache-2.0
#include "attest/endorse.h"

#include "base/cbor.h"
#include "crypto/cose.h"
#include "crypto/hash.h"

#include <string.h>

#define AAD_TEXT "seemesh/endorsement/1"

enum { FIELDS = 7, PAYLOAD_MAX = 256, AAD_MAX = 64 };

/* What an id is of. */
enum id_kind { OF_NOTHING, OF_AMD_CHIP, OF_INTEL_PACKAGE, OF_TPM_KEY, OF_NITRO_MODULE };

static enum id_kind id_kind(uint8_t platform)
{
    static const enum id_kind kinds[SM_PLATFORMS] = {
        [SM_PLATFORM_SNP] = OF_AMD_CHIP,       [SM_PLATFORM_SNP_VTPM] = OF_AMD_CHIP,
        [SM_PLATFORM_TDX] = OF_INTEL_PACKAGE,  [SM_PLATFORM_TDX_VTPM] = OF_INTEL_PACKAGE,
        [SM_PLATFORM_SGX] = OF_INTEL_PACKAGE,  [SM_PLATFORM_TPM] = OF_TPM_KEY,
        [SM_PLATFORM_NITRO] = OF_NITRO_MODULE,
    };
    return platform < SM_PLATFORMS ? kinds[platform] : OF_NOTHING;
}

enum sm_err sm_platform_id_hash(uint8_t platform, struct sm_view id, uint8_t out[static 32])
{
    static const char label[] = "seemesh/platform-id/1"; /* with its zero byte */
    uint8_t kind = (uint8_t)id_kind(platform);
    if (kind == OF_NOTHING || id.n == 0) {
        return SM_E_INVALID;
    }
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_of(label, sizeof label));
    sm_hash_add(&h, sm_view_of(&kind, 1));
    sm_hash_add(&h, id);
    sm_hash_end(&h, out);
    return SM_OK;
}

/* The mesh is signed with it: a root that serves two meshes does not mix them up. */
static struct sm_view aad_of(const struct sm_anchor *a, uint8_t buf[static AAD_MAX])
{
    struct sm_wr w = sm_wr_init(buf, AAD_MAX);
    sm_wr_view(&w, sm_view_str(AAD_TEXT));
    sm_wr_bytes(&w, a->mesh_id, sizeof a->mesh_id);
    return sm_view_of(w.p, w.n);
}

static enum sm_err check(const struct sm_endorsement *e)
{
    bool same = memcmp(e->platform_id, e->shown_id, sizeof e->platform_id) == 0;
    if (id_kind(e->platform) == OF_NOTHING || (!same && e->platform != SM_PLATFORM_TPM)) {
        return SM_E_REFUSED;
    }
    bool some = e->indexes != 0 && e->indexes < 1u << SM_NODE_INDEXES;
    return some ? SM_OK : SM_E_INVALID;
}

static void put_hash(struct sm_wr *w, uint64_t key, const uint8_t p[static 32])
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_bytes(w, sm_view_of(p, 32));
}

static void put_uint(struct sm_wr *w, uint64_t key, uint64_t v)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_uint(w, v);
}

enum sm_err sm_endorse(const struct sm_suite *suite, const struct sm_sign_pair *root,
                       const struct sm_anchor *a, const struct sm_endorsement *e,
                       struct sm_wr *w)
{
    uint8_t buf[PAYLOAD_MAX], aad[AAD_MAX], msg[SM_NODE_ENDORSEMENT_MAX];
    struct sm_wr p = sm_wr_init(buf, sizeof buf);
    struct sm_view payload;
    size_t n;
    SM_TRY(check(e));
    sm_cbor_put_map(&p, FIELDS);
    put_uint(&p, 1, e->platform);
    put_hash(&p, 2, e->platform_id);
    put_hash(&p, 3, e->shown_id);
    put_hash(&p, 4, e->sign_key);
    put_uint(&p, 5, e->indexes);
    put_uint(&p, 6, e->not_before.s);
    put_uint(&p, 7, e->expires.s);
    SM_TRY(sm_wr_done(&p, &payload));
    SM_TRY(sm_cose_sign(suite, root, payload, aad_of(a, aad), msg, sizeof msg, &n));
    sm_wr_bytes(w, msg, n);
    return w->full ? SM_E_LIMIT : SM_OK;
}

static uint64_t read_uint(struct sm_cbor *c, uint64_t key)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
    return sm_cbor_uint(c);
}

static uint8_t read_u8(struct sm_cbor *c, uint64_t key)
{
    uint64_t v = read_uint(c, key);
    if (v > UINT8_MAX) {
        sm_cbor_fail(c);
    }
    return (uint8_t)v;
}

static void read_hash(struct sm_cbor *c, uint64_t key, uint8_t out[static 32])
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
    struct sm_view v = sm_cbor_bytes(c);
    if (v.n != 32) {
        sm_cbor_fail(c);
        return;
    }
    memcpy(out, v.p, v.n);
}

static enum sm_err endorsement_read(struct sm_view payload, struct sm_endorsement *out)
{
    struct sm_cbor c = sm_cbor_init(payload);
    struct sm_endorsement e = {0};
    size_t fields = sm_cbor_map(&c);
    e.platform = read_u8(&c, 1);
    read_hash(&c, 2, e.platform_id);
    read_hash(&c, 3, e.shown_id);
    read_hash(&c, 4, e.sign_key);
    e.indexes = read_u8(&c, 5);
    e.not_before.s = read_uint(&c, 6);
    e.expires.s = read_uint(&c, 7);
    SM_TRY(sm_cbor_done(&c));
    if (fields != FIELDS) {
        return SM_E_MALFORMED;
    }
    *out = e;
    return SM_OK;
}

enum sm_err sm_endorsement_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                  struct sm_wall now, struct sm_view endorsement,
                                  struct sm_endorsement *out)
{
    uint8_t buf[AAD_MAX];
    struct sm_view aad = aad_of(a, buf);
    struct sm_endorsement e;
    struct sm_cose c;
    struct sm_sign_pub root;
    SM_TRY(sm_cose_read(endorsement, &c));
    SM_TRY(endorsement_read(c.payload, &e));
    enum sm_err err = SM_E_CRYPTO;
    for (size_t i = 0; i < a->n_roots && err != SM_OK; i++) {
        memcpy(root.b, a->roots[i], sizeof root.b);
        err = sm_cose_verify_known(a->known, suite, &c, &root, aad);
    }
    SM_TRY(err);
    SM_TRY(check(&e));
    struct sm_record_head times = {.not_before = e.not_before, .expires = e.expires};
    SM_TRY(sm_record_times(&times, now));
    *out = e;
    return SM_OK;
}
