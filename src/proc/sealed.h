// SPDX-License-Identifier: Apache-2.0
#pragma once
/* sealed: a node's long-term key as a file that only its TPM opens, and only while the machine
 * booted as it did when the file was made.
 *
 * The TPM seals a random key to PCRs; that key, through HKDF with a label, encrypts the node's
 * seed.  The file says in clear which provider, registers, values and firmware it was made
 * under, so that a refusal can name the register that changed.  All of it is authenticated.
 *
 *     "SMSEAL" version u8 (1), platform u8 (3: TPM), mask u32, firmware u64, the value of each
 *     register in mask, blob (u32 n), sealed seed (48 bytes)
 *
 * Losing the key is normal: the node makes a new one under the new registers, and who endorsed
 * the old one looks at it again.  The node id stays: it follows from the TPM.
 *
 * Errors:  MALFORMED, TRUNCATED; those of os/tpm.h: REFUSED = a register changed.
 * Source:  doc/attestation.md.
 */
#include "crypto/secret.h"
#include "os/tpm.h"

#define SM_SEALED_MAX 4096u /* 24 registers and the largest blob */

struct sm_sealed {
    struct sm_tpmdev_pcrs pcrs;     /* at sealing; mask says what it is sealed to */
    uint64_t firmware;              /* of the TPM, at sealing */
    struct sm_view head, blob, box; /* into the bytes read */
};

enum sm_err sm_sealed_read(struct sm_view bytes, struct sm_sealed *out) SM_MUST;

/* Seal to the values of the registers in mask as they are now; `out` is replaced. */
enum sm_err sm_sealed_make(struct sm_tpmdev *t, uint32_t mask, const struct sm_secret32 *seed,
                           struct sm_buf *out, char why[static SM_TPMDEV_WHY]) SM_MUST;

/* "PCR 7 was 01234567.. and is 89abcdef..", for each register in was->mask that differs; cut to
 * fit, empty when none does. */
void sm_pcrs_changed(const struct sm_tpmdev_pcrs *was, const struct sm_tpmdev_pcrs *is,
                     char *out, size_t cap);

/* out should be in secret memory. */
enum sm_err sm_sealed_open(struct sm_tpmdev *t, const struct sm_sealed *s,
                           struct sm_secret32 *out, char why[static SM_TPMDEV_WHY]) SM_MUST;

/* "0,2,4,7" to a mask and back.  INVALID: not a list of PCRs, or one of 16 and 23, which
 * anybody may reset. */
#define SM_PCRS_TEXT 72u
enum sm_err sm_pcrs_parse(const char *text, uint32_t *out_mask) SM_MUST;
void sm_pcrs_print(uint32_t mask, char out[static SM_PCRS_TEXT]);

/* Firmware, what it loads, the boot loader and kernel, Secure Boot: what does not change from
 * boot to boot. */
#define SM_PCRS_DEFAULT (1u << 0 | 1u << 2 | 1u << 4 | 1u << 7)
