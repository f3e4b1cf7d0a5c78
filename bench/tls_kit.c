// SPDX-License-Identifier: Apache-2.0
#include "bench/tls_kit.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

static X509 *certificate_make(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = x != NULL ? X509_get_subject_name(x) : NULL;
    if (name == NULL || X509_set_version(x, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set(X509_get_serialNumber(x), 1) != 1 ||
        X509_gmtime_adj(X509_getm_notBefore(x), -60) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(x), 86400) == NULL ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"bench", -1,
                                   -1, 0) != 1 ||
        X509_set_issuer_name(x, name) != 1 || X509_set_pubkey(x, key) != 1 ||
        X509_sign(x, key, EVP_sha256()) == 0) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static bool set_up(SSL_CTX *ctx)
{
    int groups[] = {NID_X25519};
    return ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") == 1 &&
           SSL_CTX_set1_groups(ctx, groups, 1) == 1;
}

static bool fill(struct tls_kit *k, EVP_PKEY *key, X509 *cert)
{
    k->server = SSL_CTX_new(TLS_server_method());
    k->client = SSL_CTX_new(TLS_client_method());
    if (!set_up(k->server) || !set_up(k->client)) {
        return false;
    }
    SSL_CTX_set_verify(k->client, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_use_certificate(k->client, cert) == 1 &&
           SSL_CTX_use_PrivateKey(k->client, key) == 1 &&
           X509_STORE_add_cert(SSL_CTX_get_cert_store(k->server), cert) == 1 &&
           SSL_CTX_use_certificate(k->server, cert) == 1 &&
           SSL_CTX_use_PrivateKey(k->server, key) == 1 &&
           SSL_CTX_set_num_tickets(k->server, 0) == 1 &&
           X509_STORE_add_cert(SSL_CTX_get_cert_store(k->client), cert) == 1;
}

enum sm_err tls_kit_make(struct tls_kit *out)
{
    struct tls_kit k = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? certificate_make(key) : NULL;
    bool is_ok = cert != NULL && fill(&k, key, cert);
    X509_free(cert);
    EVP_PKEY_free(key);
    if (!is_ok) {
        tls_kit_done(&k);
        return SM_E_CRYPTO;
    }
    *out = k;
    return SM_OK;
}

void tls_kit_done(struct tls_kit *k)
{
    SSL_CTX_free(k->server);
    SSL_CTX_free(k->client);
    *k = (struct tls_kit){0};
}
