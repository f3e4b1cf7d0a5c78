// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tsm: reports of a confidential machine through the kernel's configfs-tsm (Linux 6.7 on):
 * AMD SEV-SNP ("sev_guest") and Intel TDX ("tdx_guest").
 *
 * A report is had in a folder of its own, made for the request and removed after it, because
 * everything in a folder is shared by all who use it:
 *
 *     mkdir F; g = F/generation; F/privlevel <- n; F/inblob <- 64 bytes
 *     F/provider, F/outblob, F/auxblob;  F/generation is g + number of writes; rmdir F
 *
 * A generation that moved by more means that somebody else wrote in between: what was read may
 * be of either, so it is thrown away (BUSY).
 *
 * The kernel waits for a host that throttles, on SNP up to a minute.
 *
 * Not run on hardware yet: written after Documentation/ABI/testing/configfs-tsm-report and
 * drivers/virt/coco/tsm.c, tried against an emulation (tests/test_tsm.c).
 *
 * Memory:  the buffers grow to their maximum.
 * Errors:  UNSUPPORTED (no configfs-tsm, no provider, or another one); REFUSED (permissions);
 *          INVALID (a privilege level below the floor); LIMIT (a report longer than the kernel
 *          or the buffer takes); BUSY (the host throttles, or a race): ask again; IO.  `why`
 *          is a sentence about this machine.
 */
#include "base/bytes.h"

#define SM_TSM_DIR    "/sys/kernel/config/tsm/report"
#define SM_TSM_INBLOB 64u
#define SM_TSM_WHY    256u

struct sm_tsm_ask {
    const char *dir;      /* SM_TSM_DIR */
    const char *provider; /* the only one that may answer */
    uint8_t inblob[SM_TSM_INBLOB];
    bool has_privlevel;
    unsigned privlevel; /* SNP: the VMPL that the report is to say */
};

/* out gets the report or quote; aux what came with it (SNP: the host's table of certificates),
 * and stays empty where there is none.  Both are cleared first. */
enum sm_err sm_tsm_report(const struct sm_tsm_ask *ask, struct sm_buf *out, struct sm_buf *aux,
                          char why[static SM_TSM_WHY]) SM_MUST;

bool sm_tsm_is_there(const char *dir);
