// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm_enrol: how a node with a TPM gets its endorsement, in one question and one answer.
 *
 *     node   makes an attestation key and its own key, sealed; writes a request
 *     root   checks the request; answers with the endorsement, which only that TPM can open
 *     node   opens the answer in the TPM and keeps the endorsement
 *
 * A request has the EK with its maker's certificate, the node's public key, and a quote by the
 * attestation key over both mesh and node key, so it shows the registers too.  The answer is
 * encrypted under a secret that the root made a credential of, for this EK and this attestation
 * key: who can read it has both in one TPM.  The root needs no state between.  With the root
 * on the same machine, "seemesh init --tpm" does all three.
 *
 *     request  {1: mesh id, 2: sign_key, 3: EK public area, 4: EK certificate, 5: envelope}
 *     answer   {1: EK's algorithm, 2: EK's name, 3: TPM2B_ID_OBJECT,
 *               4: TPM2B_ENCRYPTED_SECRET, 5: sealed endorsement}   deterministic CBOR
 *
 * Errors:  those of os/tpm.h; MALFORMED, TRUNCATED, LIMIT; AUTH (another mesh); CRYPTO,
 *          EXPIRED, REFUSED (the EK, or the quote).  `why` is a sentence.
 * Source:  doc/attestation.md.
 */
#include "attest/endorse.h"
#include "attest/tpm_ek.h"
#include "crypto/suite.h"
#include "os/file.h"
#include "os/tpm.h"

#define SM_TPM_ENROL_WHY   1024u
#define SM_TPM_REQUEST_MAX 65536u
#define SM_TPM_REPLY_MAX   4096u

/* Where a node's TPM and its key files are. */
struct sm_tpm_node {
    const char *dir;    /* HOME/keys */
    const char *device; /* as in [platform] device */
};

/* -- the node ---------------------------------------------------------------------------- */

/* Make what is missing of the attestation key and the sealed node key.  With `is_renewal`, the
 * node key is made anew, sealed to the registers as they are now: what a node does after its
 * boot changed.  The attestation key and the node's id stay. */
enum sm_err sm_tpm_keys_make(const struct sm_tpm_node *n, uint32_t pcr_mask, bool is_renewal,
                             char why[static SM_TPM_ENROL_WHY]) SM_MUST;

enum sm_err sm_tpm_request_make(const struct sm_tpm_node *n, const struct sm_anchor *a,
                                struct sm_buf *out, char why[static SM_TPM_ENROL_WHY]) SM_MUST;

/* Writes HOME/keys/node.endorsement. */
enum sm_err sm_tpm_reply_take(const struct sm_tpm_node *n, struct sm_view reply,
                              char why[static SM_TPM_ENROL_WHY]) SM_MUST;

/* -- the root ---------------------------------------------------------------------------- */

/* Whether the bytes claim to be a request, to tell them from other forms of evidence. */
bool sm_tpm_is_request(struct sm_view bytes);

/* Certificates of TPM makers from a PEM file: roots and those between.  LIMIT above
 * SM_MAKERS_TPM_MAX. */
struct sm_tpm_makers {
    struct sm_buf pem;
    struct sm_makers trust; /* views into pem; nothing but TPMs is trusted */
};
enum sm_err sm_tpm_makers_load(const char *path, struct sm_tpm_makers *out) SM_MUST;
void sm_tpm_makers_done(struct sm_tpm_makers *m);

struct sm_tpm_endorser {
    const struct sm_suite *suite;
    const struct sm_sign_pair *root;
    const struct sm_anchor *anchor;
    const struct sm_makers *makers;
    struct sm_wall now, expires;
    uint8_t indexes;
};
/* What was endorsed, to show to who did it. */
struct sm_tpm_endorsed {
    struct sm_endorsement endorsement;
    struct sm_claims claims; /* registers and measurement */
    bool is_software;        /* a software TPM: only the development environment takes it */
};
enum sm_err sm_tpm_request_endorse(const struct sm_tpm_endorser *by, struct sm_view request,
                                   struct sm_buf *out_reply, struct sm_tpm_endorsed *out,
                                   char why[static SM_TPM_ENROL_WHY]) SM_MUST;
