// SPDX-License-Identifier: Apache-2.0
#pragma once
/* aes_imb: AES-256-GCM by intel-ipsec-mb, for suite_real.c alone, which says when it is used.
 *
 * A key is one heap object of 1 KiB, the AES key schedule and the powers of the GHASH key.  Of
 * the library only three functions without state are kept, so nothing is shared but code.
 *
 * Memory:  sm_aes_imb_init allocates when *key is NULL, nothing else does.
 * Errors:  CRYPTO for a tag that is not the one computed; out then holds unproven text, which
 *          the caller wipes.
 * Threads: sm_aes_imb_start comes before there are any; each key belongs to one caller.
 */
#include "base/bytes.h"
#include "crypto/secret.h"

struct gcm_key_data;

/* Find out what the processor has and let the library test itself, half a millisecond.  False
 * when it cannot be used or would be no faster than OpenSSL.  Only the first call works. */
bool sm_aes_imb_start(void);

/* The arguments are those of the suite's functions; see suite.h. */
enum sm_err sm_aes_imb_init(struct gcm_key_data **key,
                            const struct sm_secret32 *secret) SM_MUST;
void sm_aes_imb_done(struct gcm_key_data *key); /* wipes; NULL is fine */
void sm_aes_imb_seal(const struct gcm_key_data *key, const uint8_t *nonce, struct sm_view ad,
                     const struct sm_view *parts, size_t n_parts, uint8_t *out);
enum sm_err sm_aes_imb_open(const struct gcm_key_data *key, const uint8_t *nonce,
                            struct sm_view ad, struct sm_view sealed, uint8_t *out) SM_MUST;
