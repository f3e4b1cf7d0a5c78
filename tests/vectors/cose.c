// SPDX-License-Identifier: Apache-2.0
/* The COSE working group's examples: COSE_Sign1 with EdDSA is what we have. */
#include "vectors.h"

#include "base/cbor.h"
#include "crypto/cose.h"

#include <string.h>

/* A member in hexadecimal as NAME_hex, or in base64url as NAME. */
static struct sm_view key_part(const json_t *key, const char *hex, const char *base64)
{
    struct sm_view v = v_hex(key, hex);
    return v.n > 0 ? v : v_unbase64url(v_text(key, base64));
}

static struct sm_view plaintext(const json_t *input)
{
    const char *text = v_text(input, "plaintext");
    return *text != '\0' ? sm_view_str(text) : v_hex(input, "plaintext_hex");
}

static enum sm_err verify(const json_t *input, const json_t *sign, struct sm_view msg)
{
    struct sm_cose m;
    struct sm_sign_pub pub;
    SM_TRY(sm_cose_read(msg, &m));
    if (!v_32(key_part(json_object_get(sign, "key"), "x_hex", "x"), pub.b)) {
        return SM_E_INVALID;
    }
    SM_TRY(sm_cose_verify(v_suite(), &m, &pub, v_hex(sign, "external")));
    return sm_view_eq(m.payload, plaintext(input)) ? SM_OK : SM_E_HASH;
}

/* Ed25519 has one signature for a key and bytes: ours must be theirs. */
static enum sm_err sign_again(const json_t *file, const json_t *sign, struct sm_view msg)
{
    struct sm_secret32 seed;
    struct sm_sign_pair pair;
    struct sm_cose m;
    struct sm_sig sig;
    struct sm_view tbs = v_hex(json_object_get(file, "intermediates"), "ToBeSign_hex");
    if (!v_32(key_part(json_object_get(sign, "key"), "d_hex", "d"), seed.b) || tbs.n == 0) {
        return SM_OK; /* no private key given */
    }
    SM_TRY(sm_cose_read(msg, &m));
    sm_sign_pair_from(v_suite(), &seed, &pair);
    v_suite()->sign(&pair, tbs, &sig);
    return memcmp(&sig, &m.sig, sizeof sig) == 0 ? SM_OK : SM_E_HASH;
}

static void run_sign1(struct tally *t, const json_t *file, const json_t *input,
                      const json_t *sign)
{
    struct sm_view msg = v_hex(json_object_get(file, "output"), "cbor");
    bool must_fail = json_is_true(json_object_get(file, "fail"));
    enum sm_err e = verify(input, sign, msg);
    if (must_fail) {
        if (e != SM_OK) {
            v_pass(t);
        } else {
            v_fail(t, "accepted, should be refused");
        }
        return;
    }
    if (e == SM_E_MALFORMED && sm_cbor_check(msg) == SM_E_MALFORMED) {
        v_skip(t, 1,
               "refused: not deterministic CBOR (RFC 8949, 4.2), which the program wants");
        return;
    }
    if (e == SM_OK) {
        e = sign_again(file, sign, msg);
    }
    if (e == SM_OK) {
        v_pass(t);
    } else {
        v_fail(t, "%s", sm_err_words(e));
    }
}

void v_cose(struct tally *t, const json_t *file)
{
    static const char *const others[] = {"mac0", "mac", "enveloped", "encrypted", "sign"};
    const json_t *input = json_object_get(file, "input");
    const json_t *sign = json_object_get(input, "sign0");
    const char *alg = v_text(sign, "alg");
    if (sign != NULL && strcmp(alg, "EdDSA") == 0) {
        run_sign1(t, file, input, sign);
        return;
    }
    if (sign != NULL) {
        v_skip(t, 1, "COSE_Sign1 with %s: the program signs with EdDSA only", alg);
        return;
    }
    for (size_t i = 0; i < SM_COUNT(others); i++) {
        if (json_object_get(input, others[i]) != NULL) {
            v_skip(t, 1, "\"%s\": of COSE the program has only COSE_Sign1", others[i]);
            return;
        }
    }
    v_skip(t, 1, "no COSE message of a kind known here");
}
