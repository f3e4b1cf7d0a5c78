// SPDX-License-Identifier: Apache-2.0
#pragma once
/* kem: ML-KEM-768 (FIPS 203) by OpenSSL, where the library that is loaded has it: 3.5 and
 * later.  It is asked for by name, so a program built against an older one finds it too.
 *
 * A key pair is 64 secret bytes; the decapsulation key is made from them each time, which
 * costs as much as an encapsulation.  Nothing here draws random bytes.
 *
 * Errors:  UNSUPPORTED: the library has none; CRYPTO: not a public key, or not our bytes.
 */
#include "crypto/suite.h"

const char *sm_kem_library(void);   /* "OpenSSL 3.5.7 ...": which one is loaded */
bool sm_kem_openssl_is_there(void); /* the first call comes before a process confines itself */
enum sm_err sm_kem_openssl_pub(const struct sm_kem_seed *seed, struct sm_kem_pub *out) SM_MUST;
enum sm_err sm_kem_openssl_wrap(const struct sm_kem_pub *to, const struct sm_secret32 *m,
                                struct sm_kem_ct *out_ct, struct sm_secret32 *out) SM_MUST;
enum sm_err sm_kem_openssl_open(const struct sm_kem_seed *seed, const struct sm_kem_ct *ct,
                                struct sm_secret32 *out) SM_MUST;
