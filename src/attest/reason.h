// SPDX-License-Identifier: Apache-2.0
#pragma once
/* reason: why evidence was refused; the one table of codes and what is to be done about each.
 *
 * A row has the name that JSON, logs and metric labels use, where the reason comes from, what
 * it says in the numbers of AR4SI (draft-ietf-rats-ar4si: a claim of the trust vector and its
 * value), and words.  The advice, sm_reason_fix(), differs by platform and field; it tells the
 * person at the refused machine what to do there, or whom to ask.
 *
 * Codes go on the wire, so a number is never used again.
 *
 * Memory:  never allocates.
 * Source:  doc/attestation.md, "Why was I refused".
 */
#include "base/bytes.h"

/* Where a reason comes from: verifying (exit code 7), policy (exit code 4), or either. */
enum sm_reason_stage {
    SM_STAGE_VERIFY = 1,
    SM_STAGE_POLICY = 2,
    SM_STAGE_BOTH = SM_STAGE_VERIFY | SM_STAGE_POLICY,
};

/* The claims of an AR4SI trust vector, in its order. */
enum sm_tvec_claim {
    SM_TVEC_INSTANCE,
    SM_TVEC_CONFIGURATION,
    SM_TVEC_EXECUTABLES,
    SM_TVEC_FILE_SYSTEM,
    SM_TVEC_HARDWARE,
    SM_TVEC_RUNTIME_OPAQUE,
    SM_TVEC_STORAGE_OPAQUE,
    SM_TVEC_SOURCED_DATA,
    SM_TVEC_CLAIMS
};
const char *sm_tvec_claim_name(enum sm_tvec_claim c); /* "instance-identity" */

/* Values that we give; 2 to 31 affirm, 32 to 95 warn, 96 to 127 contraindicate. */
enum sm_tvec_value {
    SM_TVEC_NONE = 0,
    SM_TVEC_UNEXPECTED = 1, /* a part nobody here can read */
    SM_TVEC_APPROVED = 2,
    SM_TVEC_APPROVED_BOOT = 3, /* executables: what was launched, not what ran since */
    SM_TVEC_WEAK = 32,         /* hardware, executables: known vulnerabilities */
    SM_TVEC_UNKNOWN_CODE = 33,
    SM_TVEC_BAD = 96,
    SM_TVEC_UNKNOWN = 97, /* instance, hardware: not recognised */
    SM_TVEC_CRYPTO = 99,  /* a signature or a hash does not hold */
};
const char *
sm_tvec_tier_name(int value); /* "none", "affirming", "warning", "contraindicated" */

/* name, number, JSON and metric name, stage, claim, value, words */
#define SM_REASON_LIST(X)                                                                      \
    X(PLATFORM, 1, "platform", POLICY, HARDWARE, UNKNOWN, "not a platform that is taken here") \
    X(NOT_HARDWARE, 2, "not-hardware", POLICY, HARDWARE, UNKNOWN,                              \
      "no hardware stands behind it")                                                          \
    X(DEBUG, 3, "debug", BOTH, CONFIGURATION, BAD, "its memory can be read by debugging")      \
    X(REPORT_DATA, 4, "report-data", BOTH, INSTANCE, UNKNOWN,                                  \
      "made for another session, role or peer")                                                \
    X(MEASUREMENT, 5, "measurement", POLICY, EXECUTABLES, UNKNOWN_CODE,                        \
      "what runs there is not what was wanted")                                                \
    X(TIME, 6, "time", BOTH, INSTANCE, UNKNOWN, "made too long ago, or in the future")         \
    X(GRAMMAR, 7, "grammar", VERIFY, HARDWARE, UNEXPECTED, "it cannot be read")                \
    X(SIGNATURE, 8, "signature", VERIFY, HARDWARE, CRYPTO,                                     \
      "the platform's key did not sign this")                                                  \
    X(UNSUPPORTED, 9, "unsupported", VERIFY, HARDWARE, UNEXPECTED,                             \
      "a version or an algorithm this build does not know")                                    \
    X(UNSIGNED, 10, "unsigned", VERIFY, HARDWARE, CRYPTO,                                      \
      "the platform says that it did not sign")                                                \
    X(CHAIN, 11, "chain", VERIFY, HARDWARE, UNKNOWN,                                           \
      "no path from the platform's key to a pinned root")                                      \
    X(EXPIRED, 12, "expired", BOTH, HARDWARE, UNKNOWN,                                         \
      "a certificate is not valid at this time")                                               \
    X(REVOKED, 13, "revoked", BOTH, HARDWARE, BAD, "revoked by the maker or by the mesh")      \
    X(COLLATERAL, 14, "collateral", BOTH, HARDWARE, UNKNOWN,                                   \
      "a document of the maker is missing, stale or badly signed")                             \
    X(BINDING, 15, "binding", VERIFY, INSTANCE, CRYPTO,                                        \
      "two parts of the evidence do not belong together")                                      \
    X(QE_SIGNATURE, 16, "qe-signature", VERIFY, HARDWARE, CRYPTO,                              \
      "the quoting enclave's report is not signed by the platform")                            \
    X(IDENTITY, 17, "identity", BOTH, INSTANCE, UNKNOWN,                                       \
      "evidence and certificate speak of different chips or products")                         \
    X(TCB, 18, "tcb", BOTH, HARDWARE, WEAK, "firmware or microcode is too old")                \
    X(TCB_STATUS, 19, "tcb-status", BOTH, HARDWARE, WEAK,                                      \
      "the maker calls this platform's state a status that is not taken")                      \
    X(ADVISORY, 20, "advisory", POLICY, HARDWARE, WEAK, "a security advisory applies")         \
    X(RESERVED, 21, "reserved", BOTH, CONFIGURATION, UNEXPECTED,                               \
      "something is set that has no meaning known here")                                       \
    X(MIGRATION, 22, "migration", POLICY, CONFIGURATION, BAD,                                  \
      "the guest may be moved to another machine")                                             \
    X(VMPL, 23, "vmpl", POLICY, CONFIGURATION, BAD, "asked for at another privilege level")    \
    X(SIGNER, 24, "signer", POLICY, EXECUTABLES, UNKNOWN_CODE,                                 \
      "signed by a key that is not taken")                                                     \
    X(FLAGS, 25, "flags", POLICY, CONFIGURATION, BAD, "launched with settings not taken")      \
    X(PLATFORM_ID, 26, "platform-id", POLICY, INSTANCE, UNKNOWN,                               \
      "this very machine is not one that is taken")                                            \
    X(HOST_DATA, 27, "host-data", POLICY, CONFIGURATION, BAD,                                  \
      "the host launched it with other data")                                                  \
    X(REGISTERS, 28, "registers", BOTH, EXECUTABLES, UNKNOWN_CODE,                             \
      "a register is not as wanted, or not what was signed")                                   \
    X(LOG, 29, "log", BOTH, EXECUTABLES, UNKNOWN_CODE,                                         \
      "the event log does not explain the registers")                                          \
    X(MANIFEST, 30, "manifest", POLICY, EXECUTABLES, UNEXPECTED,                               \
      "no manifest of this mesh is in force")                                                  \
    X(DEPRECATED, 31, "deprecated", POLICY, EXECUTABLES, WEAK,                                 \
      "the time of this reference value is over")                                              \
    X(VERSION, 32, "version", VERIFY, SOURCED_DATA, UNEXPECTED,                                \
      "a document that is not newer than the one in force")

#define SM_REASON_ENUM(name, value, json, stage, claim, tvec, words) SM_REASON_##name = (value),
enum sm_reason_code { SM_REASON_NONE = 0, SM_REASON_LIST(SM_REASON_ENUM) SM_REASON_CODES };
#undef SM_REASON_ENUM

struct sm_reason_info {
    const char *name;  /* "tcb": in JSON, in logs, as the label `reason` of metrics */
    const char *words; /* "firmware or microcode is too old" */
    uint8_t stage;     /* enum sm_reason_stage */
    uint8_t claim;     /* enum sm_tvec_claim */
    uint8_t value;     /* enum sm_tvec_value */
};
/* Never NULL: a code from a newer peer is "unknown". */
const struct sm_reason_info *sm_reason_info(uint16_t code);
const char *sm_reason_name(uint16_t code);

#define SM_REASON_TEXT 100u /* a SHA-384 in hexadecimal, and NUL */
#define SM_REASONS_MAX 24u  /* one of each code that one platform can give, nearly */
struct sm_reason {
    uint16_t code;
    char field[32], got[SM_REASON_TEXT], want[SM_REASON_TEXT]; /* for people; long are cut */
};
struct sm_reasons {
    size_t n; /* those behind the last are dropped; there is always a first */
    struct sm_reason r[SM_REASONS_MAX];
};

/* "platform got software want snp, tdx or tpm; debug got true want false", cut to fit. */
void sm_reasons_text(const struct sm_reasons *why, char *out, size_t cap);

void sm_reasons_append(struct sm_reasons *why, const struct sm_reasons *more);

/* For verifiers: add one reason; as hexadecimal; as numbers. */
void sm_reasons_add(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                    const char *got, const char *want);
void sm_reasons_add_hex(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                        struct sm_view got, struct sm_view want);
void sm_reasons_add_u64(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                        uint64_t got, const char *relation, uint64_t want);

/* Between peers: n u8, then of each code u16, field, got and want (u8 n each, printable
 * ASCII).  Those behind SM_REASONS_TOLD are not told.  A code this build does not know stays
 * one.  Errors: TRUNCATED, MALFORMED. */
#define SM_REASONS_TOLD  8u
#define SM_REASONS_BYTES (1u + SM_REASONS_TOLD * (2u + 3u + 31u + 2u * (SM_REASON_TEXT - 1)))
void sm_reasons_write(const struct sm_reasons *why, struct sm_wr *w);
enum sm_err sm_reasons_read(struct sm_view in, struct sm_reasons *out) SM_MUST;

/* The verdict in AR4SI's numbers: what a verdict affirms, less what the reasons take away. */
struct sm_tvec {
    int claim[SM_TVEC_CLAIMS];
};
struct sm_tvec sm_tvec_of(bool is_verified, bool is_code_compared, bool is_machine_compared,
                          const struct sm_reasons *why);

/* What would mend it on this platform (enum sm_platform; any other number: none in
 * particular), as a sentence for people, cut to fit.  Always says something. */
#define SM_FIX_TEXT 400u
void sm_reason_fix(const struct sm_reason *r, uint8_t platform, char out[static SM_FIX_TEXT]);
