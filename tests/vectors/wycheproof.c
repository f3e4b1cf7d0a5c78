// SPDX-License-Identifier: Apache-2.0
/* Wycheproof: one function for each algorithm says whether we accept a case and get what it
 * says.  "acceptable" cases are X25519 only: we compute them, but refuse a shared secret of
 * zeros, as RFC 7748, section 6.1, allows and Noise needs. */
#include "vectors.h"

#include "crypto/hash.h"
#include "crypto/suite.h"

#include <string.h>

/* What our code made of a case. */
enum verdict { ACCEPTED, REFUSED, WRONG };

typedef enum verdict case_fn(const json_t *group, const json_t *test, int option);

static int number(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static bool eq(const uint8_t *got, size_t n, struct sm_view want)
{
    return sm_view_eq(sm_view_of(got, n), want);
}

static enum verdict aead(const json_t *group, const json_t *test, int kind)
{
    (void)group;
    struct sm_view iv = v_hex(test, "iv"), ad = v_hex(test, "aad"), msg = v_hex(test, "msg");
    struct sm_view ct = v_hex(test, "ct"), tag = v_hex(test, "tag");
    uint8_t *sealed = v_room(ct.n + tag.n), *out = v_room(msg.n + ct.n + SM_TAG_BYTES);
    struct sm_secret32 key;
    SM_CLEANUP(sm_aead_done) struct sm_aead a = {0};
    if (!v_32(v_hex(test, "key"), key.b) || iv.n != SM_NONCE_BYTES || tag.n != SM_TAG_BYTES ||
        sm_aead_init(&a, v_suite(), (enum sm_aead_kind)kind, &key) != SM_OK) {
        return REFUSED;
    }
    memcpy(sealed, ct.p, ct.n);
    memcpy(sealed + ct.n, tag.p, tag.n);
    struct sm_view whole = {sealed, ct.n + tag.n};
    if (sm_aead_open_nonce(&a, iv.p, ad, whole, out) != SM_OK) {
        return REFUSED;
    }
    if (!eq(out, ct.n, msg) || sm_aead_seal_nonce(&a, iv.p, ad, msg, out) != SM_OK) {
        return WRONG;
    }
    return eq(out, msg.n + SM_TAG_BYTES, whole) ? ACCEPTED : WRONG;
}

static enum verdict x25519(const json_t *group, const json_t *test, int option)
{
    (void)group;
    (void)option;
    struct sm_secret32 priv, shared;
    struct sm_dh_pub pub;
    if (!v_32(v_hex(test, "private"), priv.b) || !v_32(v_hex(test, "public"), pub.b) ||
        v_suite()->dh(&priv, &pub, &shared) != SM_OK) {
        return REFUSED;
    }
    return eq(shared.b, sizeof shared.b, v_hex(test, "shared")) ? ACCEPTED : WRONG;
}

static enum verdict ed25519(const json_t *group, const json_t *test, int option)
{
    (void)option;
    struct sm_view sig_bytes = v_hex(test, "sig");
    struct sm_sign_pub key;
    struct sm_sig sig;
    if (!v_32(v_hex(json_object_get(group, "publicKey"), "pk"), key.b) ||
        sig_bytes.n != sizeof sig.b) {
        return REFUSED;
    }
    memcpy(sig.b, sig_bytes.p, sizeof sig.b);
    enum sm_err e = v_suite()->verify(&key, v_hex(test, "msg"), &sig);
    return e == SM_OK ? ACCEPTED : REFUSED;
}

static enum verdict hkdf(const json_t *group, const json_t *test, int kind)
{
    (void)group;
    size_t n = (size_t)number(test, "size");
    uint8_t *okm = v_room(n);
    if (sm_hkdf((enum sm_hash_kind)kind, v_hex(test, "salt"), v_hex(test, "ikm"),
                v_hex(test, "info"), okm, n) != SM_OK) {
        return REFUSED;
    }
    return eq(okm, n, v_hex(test, "okm")) ? ACCEPTED : WRONG;
}

static enum verdict hmac(const json_t *group, const json_t *test, int kind)
{
    uint8_t mac[SM_HASH_MAX];
    sm_hmac((enum sm_hash_kind)kind, v_hex(test, "key"), v_hex(test, "msg"), mac);
    return eq(mac, (size_t)number(group, "tagSize") / 8, v_hex(test, "tag")) ? ACCEPTED
                                                                             : REFUSED;
}

static const struct {
    const char *algorithm;
    case_fn *run;
    int option;
} algorithms[] = {
    {"AES-GCM", aead, SM_AESGCM},
    {"CHACHA20-POLY1305", aead, SM_CHACHAPOLY},
    {"XDH", x25519, 0},
    {"EDDSA", ed25519, 0},
    {"HKDF-SHA-256", hkdf, SM_SHA256},
    {"HKDF-SHA-512", hkdf, SM_SHA512},
    {"HMACSHA256", hmac, SM_SHA256},
    {"HMACSHA512", hmac, SM_SHA512},
};

static bool is_all_zeros(struct sm_view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != 0) {
            return false;
        }
    }
    return true;
}

static enum verdict expected(const json_t *test)
{
    const char *result = v_text(test, "result");
    if (strcmp(result, "acceptable") == 0) {
        return is_all_zeros(v_hex(test, "shared")) ? REFUSED : ACCEPTED;
    }
    return strcmp(result, "valid") == 0 ? ACCEPTED : REFUSED;
}

/* Why a whole group is none of ours; NULL when it is. */
static const char *foreign(const json_t *group, case_fn *run)
{
    if (run == aead && number(group, "keySize") != 256) {
        return "the program uses 256-bit keys only";
    }
    if (run == aead && number(group, "ivSize") != 96) {
        return "the program's nonces are 96 bits by type";
    }
    if (run == aead && number(group, "tagSize") != 128) {
        return "the program's tags are 128 bits by type";
    }
    if (run == x25519 && strcmp(v_text(group, "curve"), "curve25519") != 0) {
        return "the program has only curve25519";
    }
    const json_t *key = json_object_get(group, "publicKey");
    if (run == ed25519 && strcmp(v_text(key, "curve"), "edwards25519") != 0) {
        return "the program has only edwards25519";
    }
    return NULL;
}

static void run_group(struct tally *t, const json_t *group, case_fn *run, int option)
{
    const json_t *tests = json_object_get(group, "tests");
    const char *why = foreign(group, run);
    if (why != NULL) {
        v_skip(t, json_array_size(tests), "%zu cases, key %d, nonce %d, tag %d bits: %s",
               json_array_size(tests), number(group, "keySize"), number(group, "ivSize"),
               number(group, "tagSize"), why);
        return;
    }
    for (size_t i = 0; i < json_array_size(tests); i++) {
        const json_t *test = json_array_get(tests, i);
        enum verdict got = run(group, test, option), want = expected(test);
        if (got == want) {
            v_pass(t);
        } else {
            static const char *const words[] = {"accepted", "refused", "computed wrongly"};
            v_fail(t, "case %d (%s): %s, should be %s", number(test, "tcId"),
                   v_text(test, "comment"), words[got], words[want]);
        }
        v_forget();
    }
}

void v_wycheproof(struct tally *t, const json_t *file)
{
    const char *algorithm = v_text(file, "algorithm");
    const json_t *groups = json_object_get(file, "testGroups");
    for (size_t i = 0; i < SM_COUNT(algorithms); i++) {
        if (strcmp(algorithm, algorithms[i].algorithm) != 0) {
            continue;
        }
        for (size_t k = 0; k < json_array_size(groups); k++) {
            run_group(t, json_array_get(groups, k), algorithms[i].run, algorithms[i].option);
        }
        return;
    }
    int cases = number(file, "numberOfTests");
    v_skip(t, (size_t)(cases > 0 ? cases : 0), "%d cases: the program has no %s", cases,
           algorithm);
}
