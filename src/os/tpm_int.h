// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm_int: the way to the TPM, a TCTI over a descriptor that is ours.
 *
 * tpm2-tss has its own TCTIs.  Ours stays connected (its swtpm TCTI opens a socket for each
 * command, which a confined program may not), keeps its timeouts (its does not), and loads no
 * shared object at run time.
 */
#include "os/tpm.h"

#include <tss2/tss2_tcti.h>

struct sm_tcti {
    TSS2_TCTI_CONTEXT_COMMON_V2 common; /* first: tpm2-tss sees only this */
    int fd;
    bool is_socket;
    int timeout_ms;
    bool is_dead; /* a command was sent and not answered: the next answer would be its */
};

/* "device:PATH" or "swtpm:path=PATH".  UNSUPPORTED for others. */
enum sm_err sm_tcti_open(const char *text, struct sm_tcti *out,
                         char why[static SM_TPMDEV_WHY]) SM_MUST;
void sm_tcti_close(struct sm_tcti *c);
