// SPDX-License-Identifier: Apache-2.0
/* Confidential machines: SEV-SNP and TDX, by configfs-tsm or, on SNP, by /dev/sev-guest. */
#include "proc/provider_cc.h"

#include "attest/snp.h"
#include "os/file.h"
#include "os/sev.h"
#include "os/tsm.h"

#include <stdlib.h>
#include <string.h>

#define VMPL    0u
#define OUT_MAX (16u << 10)
#define AUX_MAX SM_SEV_CERTS
#define STAPLES 6u /* of one platform, at most */

struct machine {
    const struct sm_provider_env *env;
    char tsm[SM_PATH];     /* its folder; empty: the device */
    struct sm_sev sev;     /* fd -1: not used */
    char staples[SM_PATH]; /* the folder of files to staple */
    struct sm_buf out, aux, file[STAPLES];
};

static void stop(void *state)
{
    struct machine *m = state;
    if (m == NULL) {
        return;
    }
    sm_sev_close(&m->sev);
    sm_buf_done(&m->out);
    sm_buf_done(&m->aux);
    for (size_t i = 0; i < STAPLES; i++) {
        sm_buf_done(&m->file[i]);
    }
    free(m);
}

/* Read and write below the folder of reports, read the staples. */
static void needs_of(const struct machine *m, struct sm_provider_needs *needs)
{
    if (m->tsm[0] != '\0') {
        needs->rules[needs->n_rules++] =
            (struct sm_path_rule){m->tsm, SM_PATH_READ | SM_PATH_WRITE};
    } else {
        needs->calls |= SM_CALLS_SEV_GUEST;
    }
    if (sm_file_exists(m->staples)) {
        needs->rules[needs->n_rules++] = (struct sm_path_rule){m->staples, SM_PATH_READ};
    }
    needs->calls |= SM_CALLS_FILES;
}

static struct machine *machine_new(const struct sm_provider_env *env)
{
    struct machine *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    m->env = env;
    m->sev.fd = -1;
    m->out = SM_BUF(OUT_MAX);
    m->aux = SM_BUF(AUX_MAX);
    if (sm_path_join(env->dir, SM_STAPLES, m->staples) != SM_OK) {
        stop(m);
        return NULL;
    }
    return m;
}

/* "auto" is the kernel's common way; a path that is a folder is one like it. */
static enum sm_err find_tsm(struct machine *m, char why[static SM_PROVIDER_WHY])
{
    const char *device = m->env->device;
    const char *dir = strcmp(device, "auto") == 0 ? SM_TSM_DIR : device;
    if (!sm_tsm_is_there(dir)) {
        return sm_provider_because(SM_E_UNSUPPORTED, why,
                                   "%s is not there: it takes a confidential guest, Linux 6.7, "
                                   "its driver (sev-guest, tdx-guest) and a mounted configfs",
                                   dir);
    }
    if (strlen(dir) >= sizeof m->tsm) {
        return sm_provider_because(SM_E_LIMIT, why, "the path %s is too long", dir);
    }
    memcpy(m->tsm, dir, strlen(dir) + 1);
    return SM_OK;
}

static enum sm_err tsm_report(struct machine *m, const char *provider,
                              const uint8_t rd[static SM_REPORT_DATA],
                              char why[static SM_PROVIDER_WHY])
{
    _Static_assert(SM_TSM_WHY == SM_PROVIDER_WHY && SM_SEV_WHY == SM_PROVIDER_WHY, "");
    struct sm_tsm_ask ask = {.dir = m->tsm, .provider = provider};
    memcpy(ask.inblob, rd, sizeof ask.inblob);
    return sm_tsm_report(&ask, &m->out, &m->aux, why);
}

/* The file, or nothing where there is none. */
static enum sm_err staple(struct machine *m, size_t slot, enum sm_part part,
                          struct sm_envelope *e, char why[static SM_PROVIDER_WHY])
{
    struct sm_buf *b = &m->file[slot];
    enum sm_err err = sm_staple_read(m->env, part, b);
    if (err == SM_OK && b->n > 0) {
        e->part[part] = sm_buf_view(b);
    } else if (err != SM_OK && err != SM_E_NOTFOUND) {
        return sm_provider_because(err, why, "reading %s/%s: %s", m->staples,
                                   sm_part_name(part), sm_err_words(err));
    }
    return SM_OK;
}

static enum sm_err want_part(const struct machine *m, const struct sm_envelope *e,
                             enum sm_part part, char why[static SM_PROVIDER_WHY])
{
    return e->part[part].n > 0
               ? SM_OK
               : sm_provider_because(SM_E_NOTFOUND, why,
                                     "put the file %s into %s: peers need it to believe this "
                                     "machine",
                                     sm_part_name(part), m->staples);
}

static enum sm_err finish(const struct sm_envelope *e, struct sm_wr *w,
                          char why[static SM_PROVIDER_WHY])
{
    enum sm_err err = sm_envelope_write(e, w);
    return err == SM_OK ? err
                        : sm_provider_because(err, why,
                                              "the evidence and what is stapled to "
                                              "it are too long for one message");
}

/* -- SEV-SNP ------------------------------------------------------------------------------ */

static enum sm_err snp_find(struct machine *m, char why[static SM_PROVIDER_WHY])
{
    const char *device = m->env->device;
    bool is_auto = strcmp(device, "auto") == 0;
    if (strncmp(device, "/dev/", 5) == 0 || (is_auto && !sm_tsm_is_there(SM_TSM_DIR))) {
        return sm_sev_open(is_auto ? SM_SEV_DEVICE : device, &m->sev, why);
    }
    return find_tsm(m, why);
}

static enum sm_err start(const struct sm_provider_env *env, void **out,
                         struct sm_provider_needs *needs, char why[static SM_PROVIDER_WHY],
                         enum sm_err (*find)(struct machine *, char[static SM_PROVIDER_WHY]))
{
    struct machine *m = machine_new(env);
    if (m == NULL) {
        return sm_provider_because(SM_E_NOMEM, why, "no memory, or %s is too long a path",
                                   env->dir);
    }
    enum sm_err e = find(m, why);
    if (e != SM_OK) {
        stop(m);
        return e;
    }
    needs_of(m, needs);
    *out = m;
    return SM_OK;
}

static enum sm_err snp_start(const struct sm_provider_env *env, void **out,
                             struct sm_provider_needs *needs, char why[static SM_PROVIDER_WHY])
{
    return start(env, out, needs, why, snp_find);
}

static enum sm_err snp_report(struct machine *m, const uint8_t rd[static SM_REPORT_DATA],
                              char why[static SM_PROVIDER_WHY])
{
    uint8_t report[SM_SEV_REPORT];
    if (m->tsm[0] != '\0') {
        return tsm_report(m, "sev_guest", rd, why);
    }
    SM_TRY(sm_sev_report(&m->sev, rd, VMPL, report, &m->aux, why));
    sm_buf_clear(&m->out);
    return sm_buf_add(&m->out, report, sizeof report);
}

/* Files win over the host's table, which may be older than them. */
static enum sm_err snp_collect(void *state, const uint8_t rd[static SM_REPORT_DATA],
                               struct sm_wr *w, char why[static SM_PROVIDER_WHY])
{
    struct machine *m = state;
    struct sm_snp_evidence host = {0};
    SM_TRY(snp_report(m, rd, why));
    if (m->aux.n > 0 && sm_snp_certs_read(sm_buf_view(&m->aux), &host) != SM_OK) {
        host = (struct sm_snp_evidence){0}; /* the host's affair: files may do without it */
    }
    struct sm_envelope e = {.part = {[SM_PART_SNP_REPORT] = sm_buf_view(&m->out),
                                     [SM_PART_SNP_VEK] = host.vek,
                                     [SM_PART_SNP_CHAIN] = host.chain,
                                     [SM_PART_SNP_CRL] = host.crl}};
    SM_TRY(staple(m, 0, SM_PART_SNP_VEK, &e, why));
    SM_TRY(staple(m, 1, SM_PART_SNP_CHAIN, &e, why));
    SM_TRY(staple(m, 2, SM_PART_SNP_CRL, &e, why));
    SM_TRY(want_part(m, &e, SM_PART_SNP_VEK, why));
    SM_TRY(want_part(m, &e, SM_PART_SNP_CHAIN, why));
    return finish(&e, w, why);
}

/* -- TDX ---------------------------------------------------------------------------------- */

static enum sm_err tdx_start(const struct sm_provider_env *env, void **out,
                             struct sm_provider_needs *needs, char why[static SM_PROVIDER_WHY])
{
    return start(env, out, needs, why, find_tsm);
}

/* The buffer of a quote is longer than the quote; what is behind it are zeros. */
static struct sm_view without_zeros(struct sm_view v)
{
    while (v.n > 0 && v.p[v.n - 1] == 0) {
        v.n--;
    }
    return v;
}

static enum sm_err tdx_collect(void *state, const uint8_t rd[static SM_REPORT_DATA],
                               struct sm_wr *w, char why[static SM_PROVIDER_WHY])
{
    static const enum sm_part staples[STAPLES - 1] = {
        SM_PART_DCAP_TCB_INFO, SM_PART_DCAP_QE_IDENTITY, SM_PART_DCAP_TCB_CHAIN,
        SM_PART_DCAP_ROOT_CRL, SM_PART_DCAP_PCK_CRL};
    struct machine *m = state;
    struct sm_envelope e = {0};
    SM_TRY(tsm_report(m, "tdx_guest", rd, why));
    e.part[SM_PART_DCAP_QUOTE] = without_zeros(sm_buf_view(&m->out));
    for (size_t i = 0; i < SM_COUNT(staples); i++) {
        SM_TRY(staple(m, i, staples[i], &e, why));
        SM_TRY(want_part(m, &e, staples[i], why));
    }
    return finish(&e, w, why);
}

const struct sm_evidence_provider_kind sm_provider_snp = {"snp", SM_PLATFORM_SNP, snp_start,
                                                          snp_collect, stop};
const struct sm_evidence_provider_kind sm_provider_tdx = {"tdx", SM_PLATFORM_TDX, tdx_start,
                                                          tdx_collect, stop};
