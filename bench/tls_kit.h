// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tls_kit: two ends of TLS 1.3 to compare with: AES-256-GCM, X25519, and a certificate over
 * P-256 that the client checks, made on the spot.
 *
 * Errors:  CRYPTO when OpenSSL says no.
 */
#include "base/err.h"

#include <openssl/ssl.h>

struct tls_kit {
    SSL_CTX *server, *client;
};
enum sm_err tls_kit_make(struct tls_kit *out) SM_MUST;
void tls_kit_done(struct tls_kit *k); /* zeroed is fine */
