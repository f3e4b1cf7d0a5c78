// SPDX-License-Identifier: Apache-2.0
#include "os/tpm_int.h"

#include <stdio.h>
#include <string.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tpm2_types.h>

/* Codes that people meet, without the number of the parameter, handle or session. */
static const struct {
    uint32_t rc;
    const char *words;
} known[] = {
    {TPM2_RC_OBJECT_MEMORY, "the TPM's slots for keys are full: another program left keys in "
                            "it; run tpm2_flushcontext -t, or use device:/dev/tpmrm0"},
    {TPM2_RC_SESSION_MEMORY, "the TPM's slots for sessions are full; run tpm2_flushcontext -l "
                             "-s, or use device:/dev/tpmrm0"},
    {TPM2_RC_OBJECT_HANDLES, "the TPM has no handle left for a key; run tpm2_flushcontext -t"},
    {TPM2_RC_SESSION_HANDLES, "the TPM has no handle left for a session; run "
                              "tpm2_flushcontext -l -s"},
    {TPM2_RC_MEMORY, "the TPM is out of memory; run tpm2_flushcontext -t"},
    {TPM2_RC_POLICY_FAIL, "a PCR has another value than the one this was sealed to: the boot "
                          "chain or its settings changed"},
    {TPM2_RC_PCR_CHANGED, "a PCR changed while it was looked at; try again"},
    {TPM2_RC_SIZE, "a field is too large for this TPM"},
    {TPM2_RC_INTEGRITY, "this blob was made by another TPM, or the TPM was cleared since; make "
                        "the node anew"},
    {TPM2_RC_AUTH_FAIL, "the owner hierarchy has a password, which is not supported here"},
    {TPM2_RC_BAD_AUTH, "the owner hierarchy has a password, which is not supported here"},
    {TPM2_RC_LOCKOUT, "the TPM is locked after failed authorisations; wait, or run "
                      "tpm2_dictionarylockout -c"},
    {TPM2_RC_INITIALIZE, "the TPM was not started (TPM2_Startup)"},
    {TPM2_RC_FAILURE, "the TPM is in failure mode: power the machine off and on"},
    {TPM2_RC_RETRY, "the TPM is busy; try again"},
    {TPM2_RC_TESTING, "the TPM tests itself; try again"},
    {TPM2_RC_YIELDED, "the TPM is busy; try again"},
    {TPM2_RC_NV_RATE, "the TPM slows down writing; try again later"},
    {TPM2_RC_NV_UNAVAILABLE, "the TPM's own storage cannot be reached"},
    {TPM2_RC_HIERARCHY, "this hierarchy is switched off in the firmware"},
    {TPM2_RC_HANDLE, "there is no such object in the TPM"},
    {TPM2_RC_VALUE, "the TPM does not have this algorithm, register or size"},
    {TPM2_RC_CURVE, "the TPM does not have the curve P-256"},
    {TPM2_RC_HASH, "the TPM does not have SHA-256"},
    {TPM2_RC_COMMAND_CODE, "the TPM does not know this command"},
};

static const struct {
    uint32_t rc;
    const char *words;
} ways[] = {
    {TSS2_BASE_RC_NO_CONNECTION, "the TPM does not answer; does another program hold it?"},
    {TSS2_BASE_RC_TRY_AGAIN, "the TPM takes no command; does another program hold it?"},
    {TSS2_BASE_RC_IO_ERROR, "the connection to the TPM is lost"},
    {TSS2_BASE_RC_MALFORMED_RESPONSE, "the TPM answers nonsense"},
};

/* A code of format one says at which parameter, handle or session it is; strip that. */
static uint32_t bare(uint32_t rc)
{
    return (rc & TPM2_RC_FMT1) != 0 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

static const char *find(uint32_t rc)
{
    if (rc >> TSS2_RC_LAYER_SHIFT == 0) {
        for (size_t i = 0; i < SM_COUNT(known); i++) {
            if (known[i].rc == bare(rc)) {
                return known[i].words;
            }
        }
        return NULL;
    }
    for (size_t i = 0; i < SM_COUNT(ways); i++) {
        if (ways[i].rc == (rc & 0xffff)) {
            return ways[i].words;
        }
    }
    return NULL;
}

void sm_tpmdev_words(uint32_t rc, char out[static SM_TPMDEV_WHY])
{
    const char *words = find(rc);
    (void)snprintf(out, SM_TPMDEV_WHY, "0x%x: %s", rc,
                   words != NULL ? words : Tss2_RC_Decode(rc));
}
