// SPDX-License-Identifier: Apache-2.0
#include "crypto/kem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define NAME "ML-KEM-768"

/* By name: the headers of OpenSSL 3.0 do not have these. */
#define PARAM_SEED "seed"
#define PARAM_M    "ikme"

const char *sm_kem_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

bool sm_kem_openssl_is_there(void)
{
    EVP_KEM *k = EVP_KEM_fetch(NULL, NAME, NULL);
    EVP_KEM_free(k);
    return k != NULL;
}

/* One part of a key, private (the seed) or public, as a key object. */
static enum sm_err key_from(const char *param, int selection, const void *p, size_t n,
                            EVP_PKEY **out)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(param, (void *)(uintptr_t)p, n), /* only read */
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, NAME, NULL);
    EVP_PKEY *key = NULL;
    if (ctx == NULL) {
        return SM_E_UNSUPPORTED;
    }
    bool ok = EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key, selection, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) {
        EVP_PKEY_free(key);
        return SM_E_CRYPTO;
    }
    *out = key;
    return SM_OK;
}

enum sm_err sm_kem_openssl_pub(const struct sm_kem_seed *seed, struct sm_kem_pub *out)
{
    EVP_PKEY *key;
    size_t n = 0;
    SM_TRY(key_from(PARAM_SEED, EVP_PKEY_KEYPAIR, seed->b, sizeof seed->b, &key));
    bool ok = EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out->b,
                                              sizeof out->b, &n) == 1 &&
              n == sizeof out->b;
    EVP_PKEY_free(key); /* wipes */
    return ok ? SM_OK : SM_E_CRYPTO;
}

static bool encapsulate(EVP_PKEY *key, const struct sm_secret32 *m, struct sm_kem_ct *ct,
                        struct sm_secret32 *out)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(PARAM_M, (void *)(uintptr_t)m->b, sizeof m->b),
        OSSL_PARAM_construct_end()};
    size_t ct_n = sizeof ct->b, n = sizeof out->b;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_encapsulate_init(ctx, params) == 1 &&
              EVP_PKEY_encapsulate(ctx, ct->b, &ct_n, out->b, &n) == 1 &&
              ct_n == sizeof ct->b && n == sizeof out->b;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

enum sm_err sm_kem_openssl_wrap(const struct sm_kem_pub *to, const struct sm_secret32 *m,
                                struct sm_kem_ct *out_ct, struct sm_secret32 *out)
{
    EVP_PKEY *key;
    SM_TRY(key_from(OSSL_PKEY_PARAM_PUB_KEY, EVP_PKEY_PUBLIC_KEY, to->b, sizeof to->b, &key));
    bool ok = encapsulate(key, m, out_ct, out);
    EVP_PKEY_free(key);
    return ok ? SM_OK : SM_E_CRYPTO;
}

enum sm_err sm_kem_openssl_open(const struct sm_kem_seed *seed, const struct sm_kem_ct *ct,
                                struct sm_secret32 *out)
{
    EVP_PKEY *key;
    size_t n = sizeof out->b;
    SM_TRY(key_from(PARAM_SEED, EVP_PKEY_KEYPAIR, seed->b, sizeof seed->b, &key));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
              EVP_PKEY_decapsulate(ctx, out->b, &n, ct->b, sizeof ct->b) == 1 &&
              n == sizeof out->b;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? SM_OK : SM_E_CRYPTO;
}
