// SPDX-License-Identifier: Apache-2.0
#pragma once
/* A software TPM of its own for a test program: made once in a folder under /tmp, switched off
 * and on by the tests, gone with the program.  Without swtpm or tpm2-tss the case is skipped.
 */
#include "t.h"

#include "os/child.h"
#include "os/swtpm.h"
#include "os/tpm.h"

#include <signal.h>
#include <unistd.h>

static struct {
    pid_t maker; /* 0: not made */
    char dir[SM_PATH], ca[SM_PATH], tcti[SM_PATH];
    struct sm_child child;
    struct sm_tpmdev *dev;
    char why[SM_TPMDEV_WHY];
} tpm_kit;

__attribute__((unused)) static void tpm_kit_off(void)
{
    sm_tpmdev_close(tpm_kit.dev);
    tpm_kit.dev = NULL;
    if (tpm_kit.child.pid > 0) {
        int status;
        sm_child_kill(&tpm_kit.child, SIGTERM);
        (void)!sm_child_wait(&tpm_kit.child, &status);
        sm_child_done(&tpm_kit.child);
        tpm_kit.child = (struct sm_child){0};
    }
}

__attribute__((unused)) static void tpm_kit_remove(void)
{
    char command[SM_PATH + 16];
    if (tpm_kit.maker != getpid()) {
        return;
    }
    tpm_kit_off();
    snprintf(command, sizeof command, "rm -rf '%s'", tpm_kit.dir);
    (void)!system(command);
}

static void tpm_kit_make(void)
{
    if (!sm_tpmdev_is_built()) {
        t_skip("built without TPM support");
    }
    if (!sm_swtpm_is_installed()) {
        t_skip("swtpm and swtpm-tools are not installed");
    }
    if (tpm_kit.maker != 0) {
        return;
    }
    snprintf(tpm_kit.dir, sizeof tpm_kit.dir, "/tmp/sm-tpm-XXXXXX");
    T_TRUE(mkdtemp(tpm_kit.dir) != NULL);
    tpm_kit.maker = getpid();
    (void)atexit(tpm_kit_remove);
    T_OK(sm_path_join(tpm_kit.dir, "ca", tpm_kit.ca));
    T_TRUE((size_t)snprintf(tpm_kit.tcti, sizeof tpm_kit.tcti, "swtpm:path=%s/tpm.sock",
                            tpm_kit.dir) < sizeof tpm_kit.tcti);
    T_OK(sm_swtpm_make(tpm_kit.dir, tpm_kit.ca));
}

/* Switch the machine off, if it was on, and on: all registers are zero again. */
__attribute__((unused)) static struct sm_tpmdev *tpm_kit_boot(void)
{
    tpm_kit_make();
    tpm_kit_off();
    T_OK(sm_swtpm_start(tpm_kit.dir, true, &tpm_kit.child));
    if (sm_tpmdev_open(tpm_kit.tcti, &tpm_kit.dev, tpm_kit.why) != SM_OK) {
        t_fail(__FILE__, __LINE__, "open: %s", tpm_kit.why);
    }
    return tpm_kit.dev;
}

/* Another TPM, made from nothing, in place of this one. */
__attribute__((unused)) static struct sm_tpmdev *tpm_kit_replace(void)
{
    tpm_kit_make();
    tpm_kit_off();
    T_OK(sm_swtpm_make(tpm_kit.dir, tpm_kit.ca));
    return tpm_kit_boot();
}

#define T_TPM(expr)                                                                            \
    do {                                                                                       \
        enum sm_err t_err_ = (expr);                                                           \
        if (t_err_ != SM_OK) {                                                                 \
            t_fail(__FILE__, __LINE__, "%s gave %s: %s", #expr, sm_err_name(t_err_),           \
                   sm_tpmdev_why(tpm_kit.dev));                                                \
        }                                                                                      \
    } while (0)
