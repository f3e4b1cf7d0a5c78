// SPDX-License-Identifier: Apache-2.0
#include "proc/tpm_credential.h"

#include "base/bytes.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "os/random.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

#define SEED 32u /* bytes of the name algorithm's hash */
#define WORK 512u

static void put_be16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void add_be32(struct sm_hmac *m, uint32_t v)
{
    const uint8_t b[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    sm_hmac_add(m, sm_view_of(b, sizeof b));
}

/* Labels go in with their zero byte. */
static void kdfa(const uint8_t key[static SEED], const char *label, struct sm_view context,
                 uint32_t bits, uint8_t *out)
{
    uint8_t block[32];
    struct sm_hmac m;
    assert(bits <= 256);
    sm_hmac_init(&m, SM_SHA256, sm_view_of(key, SEED));
    add_be32(&m, 1);
    sm_hmac_add(&m, sm_view_of(label, strlen(label) + 1));
    sm_hmac_add(&m, context);
    add_be32(&m, bits);
    sm_hmac_end(&m, block);
    memcpy(out, block, bits / 8);
    sm_wipe(block, sizeof block);
}

static void kdfe(struct sm_view z, const char *label, struct sm_view u, struct sm_view v,
                 uint8_t out[static SEED])
{
    static const uint8_t counter[] = {0, 0, 0, 1};
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA256);
    sm_hash_add(&h, sm_view_of(counter, sizeof counter));
    sm_hash_add(&h, z);
    sm_hash_add(&h, sm_view_of(label, strlen(label) + 1));
    sm_hash_add(&h, u);
    sm_hash_add(&h, v);
    sm_hash_end(&h, out);
}

/* -- the seed, sent to the EK ------------------------------------------------------------ */

static EVP_PKEY *pkey_of(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_of(const struct sm_tpm_key *k)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(k->b, k->n, NULL);
    EVP_PKEY *key = NULL;
    if (bld != NULL && n != NULL && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_ulong(bld, OSSL_PKEY_PARAM_RSA_E, k->e)) {
        key = pkey_of("RSA", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    return key;
}

static EVP_PKEY *p256_of(const struct sm_tpm_key *k)
{
    uint8_t point[65] = {4};
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    memcpy(point + 1, k->b, 64);
    if (bld != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point)) {
        key = pkey_of("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    return key;
}

/* OAEP with SHA-256 and the label "IDENTITY"; out gets a TPM2B. */
static bool oaep(EVP_PKEY *key, const uint8_t seed[static SEED], struct sm_tpm_challenge *out)
{
    static const char label[] = "IDENTITY";
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    void *own = OPENSSL_memdup(label, sizeof label); /* the context takes it over */
    size_t n = sizeof out->secret - 2;
    bool good = ctx != NULL && own != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
                EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
    if (good && EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, own, (int)sizeof label) == 1) {
        own = NULL;
    } else {
        good = false;
    }
    good = good && EVP_PKEY_encrypt(ctx, out->secret + 2, &n, seed, SEED) == 1;
    OPENSSL_free(own);
    EVP_PKEY_CTX_free(ctx);
    if (good) {
        put_be16(out->secret, n);
        out->secret_n = n + 2;
    }
    return good;
}

static bool seed_rsa(const struct sm_tpm_key *k, uint8_t seed[static SEED],
                     struct sm_tpm_challenge *out)
{
    EVP_PKEY *key = rsa_of(k);
    bool good = key != NULL && sm_random_bytes(seed, SEED) == SM_OK && oaep(key, seed, out);
    EVP_PKEY_free(key);
    return good;
}

static bool agree(EVP_PKEY *mine, EVP_PKEY *peer, uint8_t z[static 32])
{
    size_t n = 32;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(mine, NULL);
    bool good = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, z, &n) == 1 &&
                n == 32;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* A fresh key pair: its public point goes to the TPM, the shared x-coordinate makes the seed.
 */
static bool seed_ecc(const struct sm_tpm_key *k, uint8_t seed[static SEED],
                     struct sm_tpm_challenge *out)
{
    uint8_t point[65], z[32];
    size_t n = 0;
    EVP_PKEY *peer = p256_of(k), *mine = EVP_EC_gen("P-256");
    bool good = peer != NULL && mine != NULL &&
                EVP_PKEY_get_octet_string_param(mine, OSSL_PKEY_PARAM_PUB_KEY, point,
                                                sizeof point, &n) == 1 &&
                n == sizeof point && agree(mine, peer, z);
    if (good) {
        kdfe(sm_view_of(z, 32), "IDENTITY", sm_view_of(point + 1, 32), sm_view_of(k->b, 32),
             seed);
        put_be16(out->secret, 2 * (2 + 32));
        put_be16(out->secret + 2, 32);
        memcpy(out->secret + 4, point + 1, 32);
        put_be16(out->secret + 36, 32);
        memcpy(out->secret + 38, point + 33, 32);
        out->secret_n = 70;
    }
    sm_wipe(z, sizeof z);
    EVP_PKEY_free(mine);
    EVP_PKEY_free(peer);
    return good;
}

/* -- the secret, under the seed ---------------------------------------------------------- */

/* AES-128-CFB from a zero vector, in place; the key is used once. */
static bool cfb(const uint8_t key[static 16], uint8_t *p, size_t size)
{
    static const uint8_t zero[16];
    int n = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL &&
                EVP_EncryptInit_ex(ctx, EVP_aes_128_cfb128(), NULL, key, zero) == 1 &&
                EVP_EncryptUpdate(ctx, p, &n, p, (int)size) == 1 && (size_t)n == size;
    EVP_CIPHER_CTX_free(ctx);
    return good;
}

/* TPM2B { TPM2B integrity, encrypted TPM2B secret } */
static bool wrap(const uint8_t seed[static SEED], struct sm_view name,
                 const uint8_t secret[static SM_TPM_CREDENTIAL], struct sm_tpm_challenge *out)
{
    uint8_t key[16], mac_key[32];
    uint8_t *mac = out->id_object + 4, *body = out->id_object + 4 + 32;
    const size_t body_n = 2 + SM_TPM_CREDENTIAL;
    struct sm_hmac m;
    put_be16(out->id_object, 2 + 32 + body_n);
    put_be16(out->id_object + 2, 32);
    put_be16(body, SM_TPM_CREDENTIAL);
    memcpy(body + 2, secret, SM_TPM_CREDENTIAL);
    kdfa(seed, "STORAGE", name, 128, key);
    kdfa(seed, "INTEGRITY", (struct sm_view){0}, 256, mac_key);
    bool good = cfb(key, body, body_n);
    sm_hmac_init(&m, SM_SHA256, sm_view_of(mac_key, sizeof mac_key));
    sm_hmac_add(&m, sm_view_of(body, body_n));
    sm_hmac_add(&m, name);
    sm_hmac_end(&m, mac);
    sm_wipe(key, sizeof key);
    sm_wipe(mac_key, sizeof mac_key);
    out->id_object_n = 4 + 32 + body_n;
    return good;
}

enum sm_err sm_tpm_credential_make(const struct sm_tpm_ek *ek, struct sm_view name,
                                   const uint8_t secret[static SM_TPM_CREDENTIAL],
                                   struct sm_tpm_challenge *out)
{
    struct sm_tpm_challenge c = {0};
    uint8_t seed[SEED];
    bool is_rsa = ek->key.alg == SM_TPM_RSA;
    if (!is_rsa && (ek->key.alg != SM_TPM_ECC || ek->key.n != 32)) {
        return SM_E_UNSUPPORTED;
    }
    bool good =
        (is_rsa ? seed_rsa : seed_ecc)(&ek->key, seed, &c) && wrap(seed, name, secret, &c);
    sm_wipe(seed, sizeof seed);
    ERR_clear_error();
    if (!good) {
        return SM_E_CRYPTO;
    }
    *out = c;
    return SM_OK;
}
