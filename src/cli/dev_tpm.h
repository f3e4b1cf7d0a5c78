// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dev_tpm: a software TPM for a node of 'dev up', with a boot that was measured.
 *
 *     NODE/tpm/      the TPM (os/swtpm.h)       DIR/tpm-ca/makers.pem   who certified it
 *
 * Switched on, it gets what a firmware would measure into PCR 0, 4 and 7, with the event log
 * that explains it as the node's staple.  PCR 17 is among the node's registers too: it can be
 * changed while the TPM is in use (swtpm_ioctl -h), to see what happens then.
 */
#include "proc/config.h"

#define DEV_TPM_PCRS (1u << 0 | 1u << 2 | 1u << 4 | 1u << 7 | 1u << 17)

/* Make and switch on.  `why` is a sentence. */
#define DEV_TPM_WHY 256u
enum sm_err dev_tpm_make(const char *node_home, const char *ca,
                         char why[static DEV_TPM_WHY]) SM_MUST;
/* Is there one? */
bool dev_tpm_is_made(const char *node_home);
enum sm_err dev_tpm_start(const char *node_home, char why[static DEV_TPM_WHY]) SM_MUST;
void dev_tpm_stop(const char *node_home);

/* How it is reached, for [platform] device. */
enum sm_err dev_tpm_device(const char *node_home, char out[static SM_CONFIG_DEVICE]) SM_MUST;
