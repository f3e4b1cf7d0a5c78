// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm: quotes of TPM 2.0, the keys that make them, and the event log beneath.
 *
 * A quote proves a set of PCR values to whoever trusts the key that signed it.  Such a key is
 * worth something only when it is restricted, so that the TPM never signs a TPMS_ATTEST of
 * somebody else's making with it, and fixed to its TPM.  Who vouches for the key is the
 * caller's step: a certificate (sm_tpm_verify), or a report that names it (Azure).
 *
 * SHA-1 is refused everywhere: as the quote's hash, as the bank and in names.
 *
 * Memory:  no result holds a pointer.  OpenSSL allocates while it checks signatures.
 * Errors:  TRUNCATED, MALFORMED (grammar); CRYPTO (signature, digest, chain); REFUSED (well
 *          made but not what was asked); UNSUPPORTED (an algorithm); NOMEM.
 * Source:  TPM 2.0 Library part 2 (10.12 attestation, 11.3 signatures, 12.2 public areas); TCG
 *          PC Client Platform Firmware Profile 10 (event log).
 */
#include "attest/evidence.h"
#include "attest/roots.h"

#define SM_TPM_PCRS     24u
#define SM_TPM_HASH_MAX 64u
#define SM_TPM_RSA_MAX  512u /* RSA-4096 */

enum sm_tpm_alg {
    SM_TPM_RSA = 0x0001,
    SM_TPM_SHA256 = 0x000b,
    SM_TPM_SHA384 = 0x000c,
    SM_TPM_SHA512 = 0x000d,
    SM_TPM_RSASSA = 0x0014,
    SM_TPM_ECDSA = 0x0018,
    SM_TPM_ECC = 0x0023,
};

/* A public key, as numbers: two are the same key when memcmp says so. */
struct sm_tpm_key {
    uint16_t alg; /* SM_TPM_RSA or SM_TPM_ECC */
    uint16_t n;   /* bytes of the RSA modulus, or of each coordinate: 32 P-256, 48 P-384 */
    uint32_t e;   /* RSA exponent */
    uint8_t b[SM_TPM_RSA_MAX]; /* modulus, or x then y; big-endian; the rest zero */
};

/* From a modulus of 2048 to 4096 bits and an exponent, big-endian; leading zeros are fine. */
enum sm_err sm_tpm_key_rsa(struct sm_view modulus, struct sm_view exponent,
                           struct sm_tpm_key *out) SM_MUST;
/* From a SubjectPublicKeyInfo, DER or PEM. */
enum sm_err sm_tpm_key_spki(struct sm_view der_or_pem, struct sm_tpm_key *out) SM_MUST;
/* As what sm_pub_verify takes; sm_pub_free() it. */
struct sm_pub;
enum sm_err sm_tpm_key_pub(const struct sm_tpm_key *key, struct sm_pub **out) SM_MUST;

/* A public area (TPMT_PUBLIC) of a key that signs, with a scheme of its own. */
struct sm_tpm_public {
    struct sm_tpm_key key;
    uint32_t attributes;
    uint8_t name[2 + SM_TPM_HASH_MAX]; /* algorithm, then hash of the area */
    size_t name_n;
};
enum sm_err sm_tpm_public_read(struct sm_view tpmt, struct sm_tpm_public *out) SM_MUST;

/* Whether it is a key that only ever signs what its TPM itself made: restricted, sign and not
 * decrypt, fixedTPM, fixedParent, sensitiveDataOrigin.  REFUSED with the reason. */
enum sm_err sm_tpm_ak_check(const struct sm_tpm_public *ak, struct sm_reasons *why) SM_MUST;

struct sm_tpm_pcrs {
    uint16_t bank; /* SM_TPM_SHA256, SM_TPM_SHA384 or SM_TPM_SHA512 */
    uint32_t mask; /* bit i: value[i] is there */
    uint8_t value[SM_TPM_PCRS][SM_TPM_HASH_MAX];
};

struct sm_tpm_quote {
    uint8_t signer[2 + SM_TPM_HASH_MAX]; /* qualified name of the key */
    size_t signer_n;
    uint64_t clock_ms;
    uint32_t resets, restarts;
    bool is_clock_safe;
    uint64_t firmware;
    uint16_t bank;
    uint32_t mask;
};

enum sm_tpm_sig_form {
    SM_TPM_SIG_TPMT,       /* TPMT_SIGNATURE: RSASSA or ECDSA, with SHA-256, 384 or 512 */
    SM_TPM_SIG_RSA_SHA256, /* bare RSASSA bytes, SHA-256: Azure */
};

/* Check that `ak` signed the quote, that it is a quote (magic and type), that its extraData is
 * exactly `extra` (1 to 66 bytes), and that it covers exactly the PCRs and the bank in `pcrs`
 * with those values.  Says nothing about who `ak` is. */
enum sm_err sm_tpm_quote_verify(const struct sm_tpm_key *ak, struct sm_view quote,
                                struct sm_view sig, enum sm_tpm_sig_form form,
                                struct sm_view extra, const struct sm_tpm_pcrs *pcrs,
                                struct sm_tpm_quote *out, struct sm_reasons *why) SM_MUST;

/* The extraData that a quote says it has: to look at, or to have compared later.  Nothing is
 * checked. */
enum sm_err sm_tpm_quote_extra(struct sm_view quote, struct sm_view *out) SM_MUST;

/* Replay a crypto-agile event log in the bank of `pcrs` and compare every PCR it extends that
 * is quoted.  `replayed` gets their mask; a quoted PCR without events proves nothing here.
 * CRYPTO when one differs.  What the events say is not looked at: a digest is all that is
 * proven. */
enum sm_err sm_tpm_log_replay(struct sm_view log, const struct sm_tpm_pcrs *pcrs,
                              uint32_t *replayed, struct sm_reasons *why) SM_MUST;

/* Call `each` for every event that extends a PCR, in order; to show and compare logs.  Views
 * live as long as the log.  Errors: those of a log that cannot be read. */
struct sm_tpm_event {
    uint32_t pcr, type;
    struct sm_view digest; /* in the bank asked for */
    struct sm_view data;   /* what is said to have been measured; proves nothing by itself */
};
enum sm_err sm_tpm_log_events(struct sm_view log, uint16_t bank,
                              void (*each)(void *ctx, const struct sm_tpm_event *ev),
                              void *ctx) SM_MUST;

/* A TPM whose attestation key its maker or its cloud certified. */
struct sm_tpm_evidence {
    struct sm_view quote, sig; /* TPMS_ATTEST, TPMT_SIGNATURE */
    struct sm_view ak_public;  /* TPMT_PUBLIC */
    struct sm_view ak_chain;   /* its certificate, then those above: PEM, or DER end to end */
    const struct sm_tpm_pcrs *pcrs;
    struct sm_view log; /* empty: none */
};

/* All of the above and the chain to one of trust->tpm.  The key's attributes are its own word:
 * that the certificate is of a restricted key is what the certifier answers for.
 *
 * platform_id is a hash of the AK's key, which is certified, and not its name, which covers
 * things that nobody vouches for; report_data is `extra`, regs are the PCRs, regs_replayed
 * those the log explains.  There is no measurement: anybody can extend PCR 16 to 23, so a
 * digest of PCRs of the quoter's choice must not be taken for one; policy names registers. */
enum sm_err sm_tpm_verify(const struct sm_tpm_evidence *ev, struct sm_view extra,
                          const struct sm_makers *trust, struct sm_wall now,
                          struct sm_claims *out, struct sm_reasons *why) SM_MUST;
