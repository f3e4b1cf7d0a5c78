// SPDX-License-Identifier: Apache-2.0
#pragma once
/* identity: a node's long-term key and what endorses it, as files in HOME/keys.
 *
 *     node.key          32 bytes, the Ed25519 seed; mode 0600, made once, never overwritten
 *     node.sealed       instead of it on a platform TPM: only the TPM opens it (proc/sealed.h)
 *     node.endorsement  what a pinned root signed over it (attest/endorse.h), or the
 *                       development root (attest/dev.h)
 *
 * Which of the two an endorsement must be follows from the platform that the configuration
 * names, and nothing ever stands in for a missing one.
 *
 * Memory:  the key lives in secret memory; sm_identity_done() wipes it.
 * Errors:  NOTFOUND = the node was not initialised or not endorsed; those of file.h; CRYPTO,
 *          EXPIRED, AUTH = the endorsement is not for this key, platform, mesh or time;
 *          UNSUPPORTED = software, in a build without the development root; of a TPM, those
 *          of os/tpm.h.  `why` is a sentence that says where and what to do.
 */
#include "attest/evidence.h"
#include "crypto/suite.h"

struct sm_identity {
    struct sm_sign_pair *key; /* secret memory */
    struct sm_node_id node_id;
    uint8_t platform_id[32], shown_id[32]; /* shown_id is zero for software */
    uint8_t index, platform;
    uint8_t measurement[48]; /* software: of this node's programs; else zero, for the platform
                              * to say */
    uint8_t boot_id[SM_BOOT_ID];
    uint16_t endorsement_n;
    uint8_t endorsement[SM_NODE_ENDORSEMENT_MAX];
};

/* Where it is: a node's home, and what the configuration says of its platform. */
struct sm_identity_at {
    const char *home;
    uint8_t platform;
    const char *device; /* the TPM that the key is sealed by */
};

#define SM_IDENTITY_WHY 1024u /* with what to do about it */

enum sm_err sm_identity_load(const struct sm_suite *suite, const struct sm_anchor *anchor,
                             struct sm_wall now, const struct sm_identity_at *at,
                             struct sm_identity *out, char why[static SM_IDENTITY_WHY]) SM_MUST;
void sm_identity_done(struct sm_identity *id);

/* The node's key out of node.sealed, by the TPM. */
enum sm_err sm_identity_sealed_key(const struct sm_suite *suite, const char *dir,
                                   const char *device, struct sm_sign_pair **out,
                                   char why[static SM_IDENTITY_WHY]) SM_MUST;

/* Read or make a seed of 32 bytes at path.  EXISTS never: an existing key is used. */
enum sm_err sm_key_file(const struct sm_suite *suite, const char *path, bool may_make,
                        struct sm_sign_pair **out) SM_MUST;

/* SHA-384 over the SHA-384 of seemesh-keys, -net, -store and -run beside this program, in this
 * order; a missing one counts as zeros. */
enum sm_err sm_measure_programs(uint8_t out[static 48]) SM_MUST;
/* The same of those in a folder: what nodes that are started from there will say. */
enum sm_err sm_measure_programs_in(const char *dir, uint8_t out[static 48]) SM_MUST;
/* SHA-384 of one file. */
enum sm_err sm_measure_file(const char *path, uint8_t out[static 48]) SM_MUST;
