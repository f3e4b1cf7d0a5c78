// SPDX-License-Identifier: Apache-2.0
#include "cli/dev_tpm.h"

#include "attest/envelope.h"
#include "crypto/hash.h"
#include "os/swtpm.h"
#include "os/tpm.h"
#include "proc/provider.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static enum sm_err
because(enum sm_err e, char why[static DEV_TPM_WHY], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, DEV_TPM_WHY, fmt, ap);
    va_end(ap);
    return e;
}

static enum sm_err tpm_dir(const char *node_home, char out[static SM_PATH])
{
    return sm_path_join(node_home, "tpm", out);
}

enum sm_err dev_tpm_device(const char *node_home, char out[static SM_CONFIG_DEVICE])
{
    int n = snprintf(out, SM_CONFIG_DEVICE, "swtpm:path=%s/tpm/tpm.sock", node_home);
    return n > 0 && (unsigned)n < SM_CONFIG_DEVICE ? SM_OK : SM_E_LIMIT;
}

/* -- the boot it measured ----------------------------------------------------------------- */

/* TCG PC Client Platform Firmware Profile 10: the first event names the hashes that follow. */
#define EV_NO_ACTION      0x00000003u
#define EV_SEPARATOR      0x00000004u
#define EV_S_CRTM_VERSION 0x00000008u
#define EV_EFI_BOOT       0x80000003u
#define ALG_SHA256        0x000bu
#define LOG_MAX           1024u

static const struct event {
    unsigned pcr;
    uint32_t type;
    const char *data;
} boot[] = {
    {0, EV_S_CRTM_VERSION, "seemesh dev up: a firmware that is none"},
    {2, EV_SEPARATOR, "no option ROMs"},
    {4, EV_EFI_BOOT, "seemesh dev up: a boot loader that is none"},
    {7, EV_SEPARATOR, "no Secure Boot"},
};

static void log_head(struct sm_wr *w)
{
    static const char signature[16] = "Spec ID Event03";
    static const uint8_t zeros[20];
    sm_wr_u32(w, 0);
    sm_wr_u32(w, EV_NO_ACTION);
    sm_wr_bytes(w, zeros, sizeof zeros);
    size_t body = sm_wr_reserve_u32(w);
    sm_wr_bytes(w, signature, sizeof signature);
    sm_wr_u32(w, 0); /* platform class: client */
    sm_wr_u8(w, 0);  /* version 2.0, errata 0, 64-bit */
    sm_wr_u8(w, 2);
    sm_wr_u8(w, 0);
    sm_wr_u8(w, 2);
    sm_wr_u32(w, 1);
    sm_wr_u16(w, ALG_SHA256);
    sm_wr_u16(w, 32);
    sm_wr_u8(w, 0); /* vendor information */
    sm_wr_fill_u32(w, body);
}

static void log_event(struct sm_wr *w, const struct event *e, const uint8_t digest[static 32])
{
    sm_wr_u32(w, e->pcr);
    sm_wr_u32(w, e->type);
    sm_wr_u32(w, 1);
    sm_wr_u16(w, ALG_SHA256);
    sm_wr_bytes(w, digest, 32);
    sm_wr_blob(w, sm_view_str(e->data));
}

static enum sm_err write_log(const char *node_home, struct sm_view bytes)
{
    char keys[SM_PATH], dir[SM_PATH], path[SM_PATH];
    SM_TRY(sm_path_join(node_home, "keys", keys));
    SM_TRY(sm_path_join(keys, SM_STAPLES, dir));
    SM_TRY(sm_path_join(dir, sm_part_name(SM_PART_TPM_LOG), path));
    SM_TRY(sm_dir_make(dir, 0700));
    return sm_file_write_atomic(path, 0600, bytes);
}

static enum sm_err measure_boot(const char *node_home, struct sm_tpmdev *t)
{
    uint8_t log[LOG_MAX], digest[32];
    struct sm_wr w = sm_wr_init(log, sizeof log);
    struct sm_view v;
    log_head(&w);
    for (size_t i = 0; i < SM_COUNT(boot); i++) {
        sm_sha256(sm_view_str(boot[i].data), digest);
        SM_TRY(sm_tpmdev_extend(t, boot[i].pcr, digest));
        log_event(&w, &boot[i], digest);
    }
    SM_TRY(sm_wr_done(&w, &v));
    return write_log(node_home, v);
}

/* -- on and off ---------------------------------------------------------------------------- */

enum sm_err dev_tpm_start(const char *node_home, char why[static DEV_TPM_WHY])
{
    char dir[SM_PATH], device[SM_CONFIG_DEVICE], tpm_why[SM_TPMDEV_WHY];
    struct sm_tpmdev *t = NULL;
    struct sm_child child;
    SM_TRY(tpm_dir(node_home, dir));
    SM_TRY(dev_tpm_device(node_home, device));
    sm_swtpm_stop(dir); /* one that outlived its mesh */
    enum sm_err e = sm_swtpm_start(dir, false, &child);
    if (e != SM_OK) {
        return because(e, why, "cannot start swtpm in %s: %s", dir, sm_err_words(e));
    }
    sm_child_done(&child);
    e = sm_tpmdev_open(device, &t, tpm_why);
    if (e != SM_OK) {
        return because(e, why, "%.*s", (int)DEV_TPM_WHY - 1, tpm_why);
    }
    e = measure_boot(node_home, t);
    sm_tpmdev_close(t);
    return e == SM_OK ? e : because(e, why, "%s: %s", dir, sm_err_words(e));
}

void dev_tpm_stop(const char *node_home)
{
    char dir[SM_PATH];
    if (tpm_dir(node_home, dir) == SM_OK) {
        sm_swtpm_stop(dir);
    }
}

bool dev_tpm_is_made(const char *node_home)
{
    char dir[SM_PATH];
    return tpm_dir(node_home, dir) == SM_OK && sm_file_exists(dir);
}

/* -- making ------------------------------------------------------------------------------- */

/* The two certificates in one file, as a maker publishes them. */
static enum sm_err write_makers(const char *ca)
{
    static const char *const names[] = {"swtpm-localca-rootca-cert.pem", "issuercert.pem"};
    SM_CLEANUP(sm_buf_done) struct sm_buf all = SM_BUF(32768);
    char path[SM_PATH];
    for (size_t i = 0; i < SM_COUNT(names); i++) {
        SM_CLEANUP(sm_buf_done) struct sm_buf one = SM_BUF(16384);
        SM_TRY(sm_path_join(ca, names[i], path));
        SM_TRY(sm_file_read(path, &one));
        SM_TRY(sm_buf_add(&all, one.p, one.n));
    }
    SM_TRY(sm_path_join(ca, "makers.pem", path));
    return sm_file_write_atomic(path, 0644, sm_buf_view(&all));
}

enum sm_err dev_tpm_make(const char *node_home, const char *ca, char why[static DEV_TPM_WHY])
{
    char dir[SM_PATH];
    SM_TRY(tpm_dir(node_home, dir));
    if (!sm_tpmdev_is_built()) {
        return because(SM_E_UNSUPPORTED, why, "built without TPM support (libtss2-dev)");
    }
    if (!sm_swtpm_is_installed()) {
        return because(SM_E_UNSUPPORTED, why,
                       "the software TPM is not installed: apt install swtpm swtpm-tools");
    }
    enum sm_err e = sm_dir_make(dir, 0700);
    e = e == SM_OK ? sm_swtpm_make(dir, ca) : e;
    e = e == SM_OK ? write_makers(ca) : e;
    if (e != SM_OK) {
        return because(e, why, "cannot make a software TPM; see %s/log", dir);
    }
    return dev_tpm_start(node_home, why);
}
