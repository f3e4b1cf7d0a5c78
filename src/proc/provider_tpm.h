// SPDX-License-Identifier: Apache-2.0
#pragma once
/* provider_tpm: the provider's row for TPM 2.0 (proc/provider.h).
 *
 *     HOME/keys/tpm.ak       the attestation key, wrapped by the TPM
 *     HOME/keys/node.sealed  the node's key (proc/sealed.h); its registers are those shown
 *     HOME/keys/staples/tpm-log   the event log, where the kernel has none
 *
 * Evidence is a quote over SHA-256(report data), the AK's public area, the registers' values,
 * and the log of the boot when there is one that fits.  The connection to the TPM stays open.
 * A quote waits for the TPM: milliseconds in software, up to a second in a chip, and at most
 * SM_TPMDEV_TIMEOUT_MS; a lease asks for one per neighbour and 40 minutes.
 */
#include "proc/provider.h"

#define SM_TPM_AK_FILE "tpm.ak"
#define SM_SEALED_FILE "node.sealed"

/* The TCTI that [platform] device stands for. */
const char *sm_tpm_tcti(const char *device);

extern const struct sm_evidence_provider_kind sm_provider_tpm;
