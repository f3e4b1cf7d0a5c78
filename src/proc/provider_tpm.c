// SPDX-License-Identifier: Apache-2.0
#include "proc/provider_tpm.h"

#include "attest/hardware.h"
#include "crypto/hash.h"
#include "os/file.h"
#include "os/tpm.h"
#include "proc/sealed.h"

#include <stdlib.h>
#include <string.h>

#define KERNEL_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define TRIES      3 /* a register changes while we look: rarely, and hardly twice */

_Static_assert(SM_TPMDEV_PCRS == SM_TPM_PCRS && SM_TPMDEV_HASH <= SM_TPM_HASH_MAX,
               "os and attest mean the same registers");
_Static_assert(SM_TPMDEV_EXTRA == SM_REPORT_DATA_HASH, "extraData is the hash");

struct tpm {
    struct sm_tpmdev *dev;
    uint32_t mask;
    struct sm_tpmdev_pcrs sealed_to;
    struct sm_buf log;
};

const char *sm_tpm_tcti(const char *device)
{
    return strcmp(device, "auto") == 0 ? "device:/dev/tpmrm0" : device;
}

static void stop(void *state)
{
    struct tpm *s = state;
    if (s != NULL) {
        sm_tpmdev_close(s->dev);
        sm_buf_done(&s->log);
        free(s);
    }
}

/* -- start ------------------------------------------------------------------------------- */

static enum sm_err read_key_file(const char *dir, const char *name, struct sm_buf *out,
                                 char why[static SM_PROVIDER_WHY])
{
    char path[SM_PATH];
    SM_TRY(sm_path_join(dir, name, path));
    enum sm_err e = sm_file_read(path, out);
    return e == SM_OK ? e : sm_provider_because(e, why, "%s: %s", path, sm_err_words(e));
}

static enum sm_err read_registers(const char *dir, struct sm_tpmdev_pcrs *out,
                                  char why[static SM_PROVIDER_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_SEALED_MAX);
    struct sm_sealed s;
    SM_TRY(read_key_file(dir, SM_SEALED_FILE, &b, why));
    enum sm_err e = sm_sealed_read(sm_buf_view(&b), &s);
    if (e != SM_OK) {
        return sm_provider_because(e, why, "%s/%s: %s", dir, SM_SEALED_FILE, sm_err_words(e));
    }
    *out = s.pcrs;
    return SM_OK;
}

/* A log that is not there, or does not fit, is left out: the registers are proven without. */
static void read_log(const struct sm_provider_env *env, struct sm_buf *out)
{
    out->max = sm_part_max(SM_PART_TPM_LOG);
    bool is_real = strncmp(sm_tpm_tcti(env->device), "device:", 7) == 0;
    if (sm_staple_read(env, SM_PART_TPM_LOG, out) != SM_OK &&
        (!is_real || sm_file_read(KERNEL_LOG, out) != SM_OK)) {
        sm_buf_clear(out);
    }
}

static enum sm_err load_ak(struct tpm *s, const char *dir, char why[static SM_PROVIDER_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf blob = SM_BUF(SM_TPMDEV_BLOB);
    SM_TRY(read_key_file(dir, SM_TPM_AK_FILE, &blob, why));
    enum sm_err e = sm_tpmdev_ak_load(s->dev, sm_buf_view(&blob));
    return e == SM_OK ? e : sm_provider_because(e, why, "%s", sm_tpmdev_why(s->dev));
}

static enum sm_err start_with(struct tpm *s, const struct sm_provider_env *env,
                              char why[static SM_PROVIDER_WHY])
{
    char tpm_why[SM_TPMDEV_WHY];
    SM_TRY(read_registers(env->dir, &s->sealed_to, why));
    s->mask = s->sealed_to.mask;
    enum sm_err e = sm_tpmdev_open(sm_tpm_tcti(env->device), &s->dev, tpm_why);
    if (e != SM_OK) {
        return sm_provider_because(e, why, "%s", tpm_why);
    }
    read_log(env, &s->log);
    return load_ak(s, env->dir, why);
}

static enum sm_err start(const struct sm_provider_env *env, void **out_state,
                         struct sm_provider_needs *needs, char why[static SM_PROVIDER_WHY])
{
    struct tpm *s = calloc(1, sizeof *s);
    (void)needs; /* nothing: what it needs is open */
    if (s == NULL) {
        return sm_provider_because(SM_E_NOMEM, why, "no memory");
    }
    enum sm_err e = start_with(s, env, why);
    if (e != SM_OK) {
        stop(s);
        return e;
    }
    *out_state = s;
    return SM_OK;
}

/* -- collect ----------------------------------------------------------------------------- */

struct quoted {
    struct sm_buf quote, sig;
    struct sm_tpmdev_pcrs pcrs;
};

/* The values before and after the quote are the same, so they are the quoted ones. */
static enum sm_err quote_once(struct tpm *s, const uint8_t extra[static SM_TPMDEV_EXTRA],
                              struct quoted *q)
{
    struct sm_tpmdev_pcrs after;
    SM_TRY(sm_tpmdev_pcrs(s->dev, s->mask, &q->pcrs));
    SM_TRY(sm_tpmdev_quote(s->dev, s->mask, extra, &q->quote, &q->sig));
    SM_TRY(sm_tpmdev_pcrs(s->dev, s->mask, &after));
    return memcmp(&after, &q->pcrs, sizeof after) == 0 ? SM_OK : SM_E_BUSY;
}

static enum sm_err write_envelope(struct tpm *s, const struct quoted *q, struct sm_wr *w)
{
    uint8_t bytes[6 + SM_TPM_PCRS * SM_TPMDEV_HASH];
    struct sm_wr p = sm_wr_init(bytes, sizeof bytes);
    struct sm_tpm_pcrs pcrs = {.bank = SM_TPM_SHA256, .mask = q->pcrs.mask};
    for (unsigned i = 0; i < SM_TPM_PCRS; i++) {
        memcpy(pcrs.value[i], q->pcrs.value[i], SM_TPMDEV_HASH);
    }
    sm_tpm_pcrs_write(&pcrs, &p);
    struct sm_envelope e = {.part[SM_PART_TPM_QUOTE] = sm_buf_view(&q->quote),
                            .part[SM_PART_TPM_SIG] = sm_buf_view(&q->sig),
                            .part[SM_PART_TPM_LOG] = sm_buf_view(&s->log)};
    SM_TRY(sm_tpmdev_ak_public(s->dev, &e.part[SM_PART_TPM_AK]));
    SM_TRY(sm_wr_done(&p, &e.part[SM_PART_TPM_PCRS]));
    return sm_envelope_write(&e, w);
}

/* Peers will refuse it; here is which register it was. */
static void remark(const struct tpm *s, const struct sm_tpmdev_pcrs *now,
                   char why[static SM_PROVIDER_WHY])
{
    char text[160];
    sm_pcrs_changed(&s->sealed_to, now, text, sizeof text);
    if (text[0] != '\0') {
        (void)sm_provider_because(SM_OK, why, "%s: not the boot that was endorsed", text);
    }
}

static enum sm_err collect(void *state, const uint8_t report_data[static SM_REPORT_DATA],
                           struct sm_wr *w, char why[static SM_PROVIDER_WHY])
{
    struct tpm *s = state;
    struct quoted q = {.quote = SM_BUF(SM_TPMDEV_BLOB), .sig = SM_BUF(SM_TPMDEV_BLOB)};
    uint8_t extra[SM_TPMDEV_EXTRA];
    enum sm_err e = SM_E_BUSY;
    sm_sha256(sm_view_of(report_data, SM_REPORT_DATA), extra);
    for (int i = 0; i < TRIES && e == SM_E_BUSY; i++) {
        e = quote_once(s, extra, &q);
    }
    e = e == SM_OK ? write_envelope(s, &q, w) : e;
    if (e == SM_OK) {
        remark(s, &q.pcrs, why);
    }
    sm_buf_done(&q.quote);
    sm_buf_done(&q.sig);
    return e == SM_OK
               ? e
               : sm_provider_because(e, why, "%s: %s", sm_err_words(e), sm_tpmdev_why(s->dev));
}

const struct sm_evidence_provider_kind sm_provider_tpm = {"tpm", SM_PLATFORM_TPM, start,
                                                          collect, stop};
