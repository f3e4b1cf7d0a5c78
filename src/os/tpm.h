// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm: one TPM 2.0, opened, with at most one attestation key loaded.
 *
 * The TCTI (how the TPM is reached) is text, as tpm2-tools writes it:
 *
 *     device:/dev/tpmrm0      the kernel's resource manager: what a real machine should use
 *     swtpm:path=/run/x.sock  the software TPM, over its Unix socket
 *
 * The connection stays open, so that a program may give up opening files and sockets and still
 * quote.  /dev/tpm0 and swtpm have one client at a time: while we hold them, others wait.
 * We leave nothing behind in a TPM: keys live as blobs in files, every primary, session and
 * child is flushed after its use (a TPM without resource manager has three slots); only the
 * attestation key stays loaded until sm_tpmdev_close().
 *
 * What a TPM answers is bounded and parsed by tpm2-tss; it may be slow, or never answer: each
 * command has SM_TPMDEV_TIMEOUT_MS, key generation SM_TPMDEV_SLOW_MS, and after a timeout the
 * connection is of no more use (IO).
 *
 * Memory:  tpm2-tss allocates; secrets pass through its heap and are wiped there.
 * Errors:  UNSUPPORTED = built without tpm2-tss, or no such TCTI or algorithm; NOTFOUND = no
 *          such device or NV index; REFUSED = a policy (PCRs!) or password; CRYPTO = a blob of
 *          another TPM; LIMIT = slots full; BUSY, TIMEOUT, IO; FAILED for the rest.
 *          sm_tpmdev_why() has the sentence, with what to do.
 * Source:  TPM 2.0 Library parts 1 to 3; TCG EK Credential Profile 2.5 (templates L-1, L-2).
 */
#include "base/bytes.h"

#define SM_TPMDEV_WHY        480u
#define SM_TPMDEV_TIMEOUT_MS 10000 /* a quote of the slowest known takes about one second */
#define SM_TPMDEV_SLOW_MS    90000 /* RSA key generation */
#define SM_TPMDEV_PCRS       24u
#define SM_TPMDEV_HASH       32u   /* SHA-256: the only bank we use */
#define SM_TPMDEV_BLOB       1024u /* an AK or a sealed key; swtpm's have 250 bytes */
#define SM_TPMDEV_CERT       4096u /* EK certificate; the makers' have about 1,200 bytes */
#define SM_TPMDEV_SECRET     32u
#define SM_TPMDEV_EXTRA      32u /* extraData: more is too much for a SHA-256-only TPM (34) */

/* Nothing that tpm2-tss gives works then. */
bool sm_tpmdev_is_built(void);

struct sm_tpmdev;
enum sm_err sm_tpmdev_open(const char *tcti, struct sm_tpmdev **out,
                           char why[static SM_TPMDEV_WHY]) SM_MUST;
void sm_tpmdev_close(struct sm_tpmdev *t); /* NULL is fine */

/* Why the last call failed; never NULL. */
const char *sm_tpmdev_why(const struct sm_tpmdev *t);

/* The words for a TPM2_RC or TSS2_RC: "0x902: the TPM's slots for keys are full; ...". */
void sm_tpmdev_words(uint32_t rc, char out[static SM_TPMDEV_WHY]);

struct sm_tpmdev_info {
    char maker[5];  /* "IFX", "STM", "INTC", "AMD", "IBM" (swtpm) */
    char model[17]; /* vendor string */
    uint64_t firmware;
    bool is_software; /* swtpm, by its own word: to warn, never to decide */
};
enum sm_err sm_tpmdev_info(struct sm_tpmdev *t, struct sm_tpmdev_info *out) SM_MUST;

/* -- registers --------------------------------------------------------------------------- */

struct sm_tpmdev_pcrs {
    uint32_t mask; /* bit i: value[i] is there */
    uint8_t value[SM_TPMDEV_PCRS][SM_TPMDEV_HASH];
};
/* Those of the SHA-256 bank.  UNSUPPORTED when the bank is not active. */
enum sm_err sm_tpmdev_pcrs(struct sm_tpmdev *t, uint32_t mask,
                           struct sm_tpmdev_pcrs *out) SM_MUST;
enum sm_err sm_tpmdev_extend(struct sm_tpmdev *t, unsigned pcr,
                             const uint8_t digest[static SM_TPMDEV_HASH]) SM_MUST;

/* -- endorsement key --------------------------------------------------------------------- */

enum sm_tpmdev_ek { SM_TPMDEV_EK_RSA, SM_TPMDEV_EK_ECC };

/* Its public area (TPMT_PUBLIC), made from TCG's template. */
enum sm_err sm_tpmdev_ek_public(struct sm_tpmdev *t, enum sm_tpmdev_ek kind,
                                struct sm_buf *out) SM_MUST;
/* That, and its certificate as the maker wrote it into NV, cut to its DER length.  NOTFOUND:
 * there is no certificate. */
enum sm_err sm_tpmdev_ek(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct sm_buf *out_public,
                         struct sm_buf *out_cert) SM_MUST;

/* -- attestation key --------------------------------------------------------------------- */

/* Make one: P-256, ECDSA with SHA-256, restricted, never leaves this TPM.  The blob is
 * wrapped by the TPM's storage key: no secret to anybody else. */
enum sm_err sm_tpmdev_ak_make(struct sm_tpmdev *t, struct sm_buf *out_blob) SM_MUST;
/* Load it; the one loaded before is flushed. */
enum sm_err sm_tpmdev_ak_load(struct sm_tpmdev *t, struct sm_view blob) SM_MUST;
/* TPMT_PUBLIC of the loaded one; lives until another is loaded.  STATE when there is none. */
enum sm_err sm_tpmdev_ak_public(struct sm_tpmdev *t, struct sm_view *out) SM_MUST;

/* Whoever made the credential for this EK and the loaded AK (TPM2_MakeCredential) learns by
 * the secret that both are in this TPM.  `id_object` and `secret` are the two TPM2Bs whole. */
enum sm_err sm_tpmdev_activate(struct sm_tpmdev *t, enum sm_tpmdev_ek kind,
                               struct sm_view id_object, struct sm_view secret,
                               uint8_t out[static SM_TPMDEV_SECRET]) SM_MUST;

/* Quote the registers in mask, SHA-256 bank, with the loaded key: TPMS_ATTEST and
 * TPMT_SIGNATURE.  A few milliseconds in software, up to a second in a chip. */
enum sm_err sm_tpmdev_quote(struct sm_tpmdev *t, uint32_t mask,
                            const uint8_t extra[static SM_TPMDEV_EXTRA],
                            struct sm_buf *out_quote, struct sm_buf *out_sig) SM_MUST;

/* -- sealing ----------------------------------------------------------------------------- */

/* Seal to the values that the registers in mask have now.  The secret crosses the bus
 * encrypted, in a session salted with the storage key. */
enum sm_err sm_tpmdev_seal(struct sm_tpmdev *t, uint32_t mask,
                           const uint8_t secret[static SM_TPMDEV_SECRET],
                           struct sm_buf *out_blob) SM_MUST;
/* REFUSED when a register has another value than at sealing. */
enum sm_err sm_tpmdev_unseal(struct sm_tpmdev *t, uint32_t mask, struct sm_view blob,
                             uint8_t out[static SM_TPMDEV_SECRET]) SM_MUST;
