// SPDX-License-Identifier: Apache-2.0
#pragma once
/* swtpm: a software TPM in a folder, for development and tests.  IT PROVES NOTHING ABOUT THE
 * MACHINE: its keys are files, its maker's certificate is from a CA that this makes.
 *
 *     DIR/state, three .conf   what the TPM remembers; its start-up log in DIR/log
 *     DIR/tpm.sock            "swtpm:path=DIR/tpm.sock" opens it; DIR/tpm.ctrl for swtpm_ioctl
 *     CA/swtpm-localca-rootca-cert.pem, CA/issuercert.pem    who certified its EK
 *
 * The programs are Debian's swtpm and swtpm_setup.  Sockets listen before the program is
 * started, so there is nothing to wait for.
 *
 * Errors:  UNSUPPORTED = not installed; FAILED = swtpm_setup failed, see DIR/log; those of
 *          file.h and child.h.
 */
#include "base/err.h"
#include "os/child.h"
#include "os/file.h"

bool sm_swtpm_is_installed(void);

/* Make the TPM with its EK certificate.  `ca_dir` is made too when it is not there. */
enum sm_err sm_swtpm_make(const char *dir, const char *ca_dir) SM_MUST;

/* Switch it on, with its registers reset.  Kill the child to switch it off, or: */
enum sm_err sm_swtpm_start(const char *dir, bool die_with_parent, struct sm_child *out) SM_MUST;

/* Switch off the one that was started last in this folder, if it still runs. */
void sm_swtpm_stop(const char *dir);
