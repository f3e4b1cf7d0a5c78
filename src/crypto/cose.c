// SPDX-License-Identifier: Apache-2.0
#include "crypto/cose.h"

#include <string.h>

#include "base/cbor.h"

enum { TAG_SIGN1 = 18, LABEL_ALG = 1, LABEL_CRIT = 2, LABEL_KID = 4, ALG_EDDSA = -8 };

static const uint8_t only_eddsa[] = {0xa1, 0x01, 0x27}; /* {1: -8} */

/* Sig_structure = ["Signature1", body_protected, external_aad, payload] */
static enum sm_err put_to_be_signed(struct sm_wr *w, const struct sm_cose *m,
                                    struct sm_view aad, struct sm_view *out)
{
    sm_cbor_put_array(w, 4);
    sm_cbor_put_text(w, sm_view_str("Signature1"));
    sm_cbor_put_bytes(w, m->protected);
    sm_cbor_put_bytes(w, aad);
    sm_cbor_put_bytes(w, m->payload);
    return sm_wr_done(w, out);
}

enum sm_err sm_cose_sign(const struct sm_suite *s, const struct sm_sign_pair *key,
                         struct sm_view payload, struct sm_view aad, uint8_t *out, size_t cap,
                         size_t *out_n)
{
    struct sm_cose m = {.protected = {only_eddsa, sizeof only_eddsa}, .payload = payload};
    uint8_t signed_bytes[SM_COSE_MAX];
    struct sm_wr tbs = sm_wr_init(signed_bytes, sizeof signed_bytes);
    struct sm_view v;
    SM_TRY(put_to_be_signed(&tbs, &m, aad, &v));
    s->sign(key, v, &m.sig);

    struct sm_wr w = sm_wr_init(out, cap);
    sm_cbor_put_tag(&w, TAG_SIGN1);
    sm_cbor_put_array(&w, 4);
    sm_cbor_put_bytes(&w, m.protected);
    sm_cbor_put_map(&w, 0);
    sm_cbor_put_bytes(&w, m.payload);
    sm_cbor_put_bytes(&w, sm_view_of(m.sig.b, sizeof m.sig.b));
    SM_TRY(sm_wr_done(&w, &v));
    *out_n = v.n;
    return SM_OK;
}

enum sm_err sm_cose_verify(const struct sm_suite *s, const struct sm_cose *m,
                           const struct sm_sign_pub *key, struct sm_view aad)
{
    return sm_cose_verify_known(NULL, s, m, key, aad);
}

enum sm_err sm_cose_verify_known(struct sm_known_sigs *known, const struct sm_suite *s,
                                 const struct sm_cose *m, const struct sm_sign_pub *key,
                                 struct sm_view aad)
{
    uint8_t signed_bytes[SM_COSE_MAX];
    struct sm_wr tbs = sm_wr_init(signed_bytes, sizeof signed_bytes);
    struct sm_view v;
    SM_TRY(put_to_be_signed(&tbs, m, aad, &v));
    return sm_known_verify(known, s, key, v, &m->sig);
}

/* -- reading ----------------------------------------------------------------------------- */

/* What matters to us of one header map. */
struct header {
    bool has_alg, has_crit, has_kid;
    int64_t alg;
    struct sm_view kid;
};

static void read_known(struct sm_cbor *c, struct header *h)
{
    switch (sm_cbor_int(c)) {
    case LABEL_ALG:
        h->has_alg = true;
        h->alg = sm_cbor_int(c);
        break;
    case LABEL_CRIT:
        h->has_crit = true;
        sm_cbor_skip(c);
        break;
    case LABEL_KID:
        h->has_kid = true;
        h->kid = sm_cbor_bytes(c);
        break;
    default:
        sm_cbor_skip(c);
        break;
    }
}

static struct header read_header(struct sm_cbor *c)
{
    struct header h = {0};
    for (size_t n = sm_cbor_map(c); n > 0; n--) {
        if (sm_cbor_peek(c) == SM_CBOR_TEXT) { /* a private label: none of ours */
            sm_cbor_skip(c);
            sm_cbor_skip(c);
        } else {
            read_known(c, &h);
        }
    }
    return h;
}

static enum sm_err check_headers(const struct header *protected, const struct header *other)
{
    if (other->has_alg || other->has_crit || (protected->has_kid && other->has_kid)) {
        return SM_E_MALFORMED;
    }
    bool is_ours = protected->has_alg && protected->alg == ALG_EDDSA && !protected->has_crit;
    return is_ours ? SM_OK : SM_E_UNSUPPORTED;
}

enum sm_err sm_cose_read(struct sm_view msg, struct sm_cose *out)
{
    struct sm_cose m = {0};
    struct sm_cbor c = sm_cbor_init(msg);
    uint64_t tag = sm_cbor_tag(&c);
    size_t items = sm_cbor_array(&c);
    m.protected = sm_cbor_bytes(&c);
    struct header other = read_header(&c);
    m.payload = sm_cbor_bytes(&c);
    struct sm_view sig = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    if (tag != TAG_SIGN1 || items != 4 || sig.n != sizeof m.sig.b) {
        return SM_E_MALFORMED;
    }
    memcpy(m.sig.b, sig.p, sizeof m.sig.b);

    struct sm_cbor p = sm_cbor_init(m.protected);
    struct header protected = read_header(&p);
    SM_TRY(sm_cbor_done(&p));
    SM_TRY(check_headers(&protected, &other));
    m.kid = protected.has_kid ? protected.kid : other.kid;
    *out = m;
    return SM_OK;
}
