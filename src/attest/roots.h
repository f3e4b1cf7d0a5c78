// SPDX-License-Identifier: Apache-2.0
#pragma once
/* roots: the hardware makers' root certificates, in the code as public facts.
 *
 * Verifiers take a struct sm_makers and trust nothing else.  sm_makers_pinned() gives the real
 * one; a test that wants other roots puts them there and nowhere else.  TPMs have no one root:
 * what may vouch for their keys is configured.
 *
 * Memory:  views; those of the pinned roots live for ever, others are the caller's.
 * Source:  kdsintf.amd.com (ARK of each product), certificates.trustedservices.intel.com,
 *          aws-nitro-enclaves.amazonaws.com; hashes in roots.c.
 */
#include "base/bytes.h"

enum sm_root {
    SM_ROOT_AMD_MILAN,
    SM_ROOT_AMD_GENOA,
    SM_ROOT_AMD_TURIN,
    SM_ROOT_INTEL_SGX, /* of SGX and TDX */
    SM_ROOT_AWS_NITRO,
    SM_ROOTS
};

struct sm_root_pin {
    const char *name;
    struct sm_view der;
    uint8_t cert_sha256[32]; /* as the makers publish it */
    uint8_t spki_sha256[32]; /* of the SubjectPublicKeyInfo */
};
const struct sm_root_pin *sm_root_pin(enum sm_root root);

#define SM_MAKERS_TPM_MAX 8u /* a cloud has one or two, a fleet a few makers of TPMs */

struct sm_attest_cache;

struct sm_makers {
    struct sm_view root[SM_ROOTS]; /* DER or PEM; empty: nothing of that maker is believed */
    struct sm_view tpm[SM_MAKERS_TPM_MAX]; /* DER or PEM; roots of AK and EK certificates */
    size_t n_tpm;
    struct sm_attest_cache *cache; /* of what was verified (attest/cache.h); NULL: none */
};

/* The pinned roots, and no TPM. */
void sm_makers_pinned(struct sm_makers *out);
