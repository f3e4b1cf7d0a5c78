// SPDX-License-Identifier: Apache-2.0
#include "attest/ratls.h"

#include "attest/dcap_quote.h"
#include "base/cbor.h"

#include <string.h>

#define RATLS_TAG 60000u

static const char ratls_oid[] = "2.23.133.5.4.9";

/* Named Information hash algorithms, as the claims use them. */
enum { NI_SHA256 = 1, NI_SHA384 = 7, NI_SHA512 = 8 };

struct claims {
    bool has_key;
    struct sm_view key_hash; /* CBOR [algorithm, hash] */
    struct sm_ratls ratls;
};

static enum sm_err evidence_read(struct sm_view ext, struct sm_view *quote,
                                 struct sm_view *buffer)
{
    struct sm_cbor c = sm_cbor_init(ext);
    if (sm_cbor_tag(&c) != RATLS_TAG || sm_cbor_array(&c) != 2) {
        sm_cbor_fail(&c);
    }
    struct sm_view q = sm_cbor_bytes(&c);
    struct sm_view b = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    *quote = q;
    *buffer = b;
    return SM_OK;
}

static enum sm_err claims_read(struct sm_view buffer, struct claims *out)
{
    struct sm_cbor c = sm_cbor_init(buffer);
    struct claims x = {0};
    for (size_t n = sm_cbor_map(&c); n > 0; n--) {
        struct sm_view key = sm_cbor_text(&c);
        if (sm_view_eq(key, sm_view_str("pubkey-hash"))) {
            x.has_key = true;
            x.key_hash = sm_cbor_bytes(&c);
        } else if (sm_view_eq(key, sm_view_str("nonce"))) {
            x.ratls.has_nonce = true;
            x.ratls.nonce = sm_cbor_bytes(&c);
        } else {
            sm_cbor_skip(&c);
        }
    }
    SM_TRY(sm_cbor_done(&c));
    if (!x.has_key) {
        return SM_E_MALFORMED;
    }
    *out = x;
    return SM_OK;
}

static enum sm_err key_hash_read(struct sm_view bytes, enum sm_digest *alg,
                                 struct sm_view *hash)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    if (sm_cbor_array(&c) != 2) {
        sm_cbor_fail(&c);
    }
    uint64_t ni = sm_cbor_uint(&c);
    struct sm_view h = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    if (ni != NI_SHA256 && ni != NI_SHA384 && ni != NI_SHA512) {
        return SM_E_UNSUPPORTED;
    }
    *alg = ni == NI_SHA256   ? SM_DIGEST_SHA256
           : ni == NI_SHA384 ? SM_DIGEST_SHA384
                             : SM_DIGEST_SHA512;
    *hash = h;
    return SM_OK;
}

static enum sm_err key_check(const struct sm_cert *cert, struct sm_view claim)
{
    uint8_t want[64];
    enum sm_digest alg;
    struct sm_view hash;
    SM_TRY(key_hash_read(claim, &alg, &hash));
    SM_TRY(sm_cert_spki_digest(cert, alg, want));
    return sm_view_eq(hash, sm_view_of(want, sm_digest_len(alg))) ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err report_check(struct sm_view quote, struct sm_view buffer)
{
    struct sm_quote q;
    uint8_t want[64] = {0};
    SM_TRY(sm_quote_read(quote, &q));
    sm_digest(SM_DIGEST_SHA256, buffer, want);
    const uint8_t *got = q.is_tdx ? q.td.report_data : q.sgx.report_data;
    return memcmp(got, want, sizeof want) == 0 ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err told(struct sm_reasons *why, enum sm_err e, const char *field,
                        const char *want)
{
    if (e != SM_OK) {
        enum sm_reason_code code = e == SM_E_CRYPTO ? SM_REASON_BINDING : SM_REASON_GRAMMAR;
        sm_reasons_add(why, code, field, sm_err_words(e), want);
    }
    return e;
}

enum sm_err sm_ratls_check(const struct sm_cert *cert, struct sm_ratls *out,
                           struct sm_reasons *why)
{
    struct sm_view ext, quote, buffer;
    struct claims x;
    SM_TRY(told(why, sm_cert_ext(cert, ratls_oid, &ext), "ra-tls extension", "one"));
    SM_TRY(told(why, evidence_read(ext, &quote, &buffer), "ra-tls evidence", "well formed"));
    SM_TRY(told(why, claims_read(buffer, &x), "claims buffer", "well formed"));
    enum sm_err e = told(why, key_check(cert, x.key_hash), "pubkey-hash", "of this key");
    enum sm_err report_e =
        told(why, report_check(quote, buffer), "report data", "of the claims buffer");
    SM_TRY(e);
    SM_TRY(report_e);
    x.ratls.quote = quote;
    *out = x.ratls;
    return SM_OK;
}
