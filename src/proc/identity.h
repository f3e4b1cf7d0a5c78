// SPDX-License-Identifier: Apache-2.0
#pragma once
/* identity: a node's long-term key and what endorses it, as files in HOME/keys.
 *
 *     node.key          32 bytes, the Ed25519 seed; mode 0600, made once, never overwritten
 *     node.endorsement  what the development root signed over it
 *
 * Only seemesh-keys and the command that initialises a node read the key.  Without the
 * development root (-Ddev_root) there is no platform that could endorse a node yet, and
 * loading gives UNSUPPORTED: nothing ever stands in for a missing platform.
 *
 * Memory:  the key lives in secret memory; sm_identity_done() wipes it.
 * Errors:  NOTFOUND = the node was not initialised; those of file.h; CRYPTO, EXPIRED, AUTH =
 *          the endorsement is not for this key, mesh or time.
 */
#include "attest/evidence.h"
#include "crypto/suite.h"

struct sm_identity {
    struct sm_sign_pair *key; /* secret memory */
    struct sm_node_id node_id;
    uint8_t platform_id[32];
    uint8_t index, platform;
    uint8_t measurement[48]; /* of this node's programs */
    uint8_t boot_id[SM_BOOT_ID];
    uint16_t endorsement_n;
    uint8_t endorsement[SM_NODE_ENDORSEMENT_MAX];
};

enum sm_err sm_identity_load(const struct sm_suite *suite, const struct sm_anchor *anchor,
                             struct sm_wall now, const char *home,
                             struct sm_identity *out) SM_MUST;
void sm_identity_done(struct sm_identity *id);

/* Read or make a seed of 32 bytes at path.  EXISTS never: an existing key is used. */
enum sm_err sm_key_file(const struct sm_suite *suite, const char *path, bool may_make,
                        struct sm_sign_pair **out) SM_MUST;

/* SHA-384 over the SHA-384 of seemesh-keys, -net, -store and -run beside this program, in this
 * order; a missing one counts as zeros. */
enum sm_err sm_measure_programs(uint8_t out[static 48]) SM_MUST;
/* SHA-384 of one file. */
enum sm_err sm_measure_file(const char *path, uint8_t out[static 48]) SM_MUST;
