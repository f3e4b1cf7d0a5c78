// SPDX-License-Identifier: Apache-2.0
/* bench tpm: what evidence of a TPM costs, beside the bare quote and the bare signature check.
 * The TPM is a software one of its own: a chip's own time comes on top. */
#include "cli/bench_tpm.h"
#include "attest/hardware.h"
#include "attest/x509.h"
#include "cli/dev_tpm.h"
#include "os/clock.h"
#include "os/secretmem.h"
#include "os/swtpm.h"
#include "os/tpm.h"
#include "proc/provider_tpm.h"
#include "proc/tpm_enrol.h"
#include "wire/frame.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 20u /* of each run */

struct rig {
    char dir[32], keys[SM_PATH], ca[SM_PATH], device[SM_CONFIG_DEVICE];
    struct sm_evidence_provider provider;
    uint8_t evidence[SM_EVIDENCE_MAX];
    size_t evidence_n;
    char why[SM_TPM_ENROL_WHY];
};

static uint64_t us_since(struct sm_mono start)
{
    return sm_between(start, sm_clock_mono()).ns / 1000;
}

/* -- one round of each -------------------------------------------------------------------- */

static enum sm_err collect(struct rig *r)
{
    static const uint8_t rd[SM_REPORT_DATA] = {1};
    struct sm_wr w = sm_wr_init(r->evidence, sizeof r->evidence);
    SM_TRY(sm_evidence_provider_collect(&r->provider, rd, &w, r->why));
    r->evidence_n = w.n;
    return SM_OK;
}

static enum sm_err verify(struct rig *r)
{
    static const struct sm_makers none;
    struct sm_envelope e;
    struct sm_claims claims;
    struct sm_reasons why = {0};
    SM_TRY(sm_envelope_read(sm_view_of(r->evidence, r->evidence_n), &e));
    return sm_hw_evidence_verify(&none, sm_clock_wall(), SM_PLATFORM_TPM, &e, &claims, &why);
}

/* A wrong signature costs what a right one does. */
static enum sm_err bare_check(struct rig *r)
{
    static const uint8_t sig[64] = {[31] = 1, [63] = 1};
    struct sm_envelope e;
    struct sm_tpm_public ak;
    struct sm_pub *pub = NULL;
    SM_TRY(sm_envelope_read(sm_view_of(r->evidence, r->evidence_n), &e));
    SM_TRY(sm_tpm_public_read(e.part[SM_PART_TPM_AK], &ak));
    SM_TRY(sm_tpm_key_pub(&ak.key, &pub));
    enum sm_err is_wrong =
        sm_pub_verify(pub, SM_DIGEST_SHA256, e.part[SM_PART_TPM_QUOTE], sm_view_of(sig, 64));
    sm_pub_free(pub);
    return is_wrong == SM_E_CRYPTO ? SM_OK : SM_E_FAILED;
}

static enum sm_err median(struct rig *r, enum sm_err (*one)(struct rig *), double *out)
{
    uint64_t us[BENCH_RUNS];
    for (unsigned i = 0; i < BENCH_RUNS; i++) {
        struct sm_mono start = sm_clock_mono();
        for (unsigned j = 0; j < ROUNDS; j++) {
            SM_TRY(one(r));
        }
        us[i] = us_since(start);
    }
    *out = (double)bench_median(us, BENCH_RUNS) / ROUNDS;
    return SM_OK;
}

/* Nothing but quotes, with a connection of its own. */
static enum sm_err bare_quote(struct rig *r, double *out)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf ak = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf quote = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf sig = SM_BUF(SM_TPMDEV_BLOB);
    static const uint8_t extra[SM_TPMDEV_EXTRA];
    struct sm_tpmdev *t = NULL;
    uint64_t us[BENCH_RUNS];
    SM_TRY(sm_tpmdev_open(r->device, &t, r->why));
    enum sm_err e = sm_tpmdev_ak_make(t, &ak);
    e = e == SM_OK ? sm_tpmdev_ak_load(t, sm_buf_view(&ak)) : e;
    for (unsigned i = 0; i < BENCH_RUNS && e == SM_OK; i++) {
        struct sm_mono start = sm_clock_mono();
        for (unsigned j = 0; j < ROUNDS && e == SM_OK; j++) {
            e = sm_tpmdev_quote(t, DEV_TPM_PCRS, extra, &quote, &sig);
        }
        us[i] = us_since(start);
    }
    sm_tpmdev_close(t);
    SM_TRY(e);
    *out = (double)bench_median(us, BENCH_RUNS) / ROUNDS;
    return SM_OK;
}

/* -- the whole ---------------------------------------------------------------------------- */

static enum sm_err measure(struct rig *r, const struct bench_sink *to)
{
    const struct sm_provider_env env = {.dir = r->keys, .device = r->device};
    struct bench_line own = {.bench = "tpm", .unit = "us", .name = "evidence, by swtpm"};
    struct bench_line check = {.bench = "tpm", .unit = "us", .name = "its verification"};
    own.reference = "bare quote";
    check.reference = "bare P-256 check";
    SM_TRY(bare_quote(r, &own.reference_value));
    SM_TRY(sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &r->provider, r->why));
    enum sm_err e = median(r, collect, &own.value);
    e = e == SM_OK ? median(r, verify, &check.value) : e;
    e = e == SM_OK ? median(r, bare_check, &check.reference_value) : e;
    sm_evidence_provider_stop(&r->provider);
    SM_TRY(e);
    to->line(to->ctx, &own);
    to->line(to->ctx, &check);
    return SM_OK;
}

static enum sm_err prepare(struct rig *r)
{
    const struct sm_tpm_node n = {.dir = r->keys, .device = r->device};
    SM_TRY(sm_path_join(r->dir, "keys", r->keys));
    SM_TRY(sm_path_join(r->dir, "ca", r->ca));
    SM_TRY(sm_dir_make(r->keys, 0700));
    SM_TRY(dev_tpm_device(r->dir, r->device));
    SM_TRY(dev_tpm_make(r->dir, r->ca, r->why));
    return sm_tpm_keys_make(&n, DEV_TPM_PCRS, false, r->why);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

enum sm_err bench_tpm(struct cli *c, const struct bench_sink *to)
{
    static struct rig r = {.dir = "/tmp/seemesh-bench-XXXXXX"};
    bool is_locked;
    if (!sm_tpmdev_is_built() || !sm_swtpm_is_installed()) {
        cli_say(c, "tpm: left out: %s\n",
                sm_tpmdev_is_built() ? "swtpm and swtpm-tools are not installed"
                                     : "built without TPM support");
        return SM_OK;
    }
    SM_TRY(sm_secretmem_init(&is_locked));
    if (mkdtemp(r.dir) == NULL) {
        return cli_fail(c, SM_E_IO, "tpm: no folder can be made in /tmp");
    }
    enum sm_err e = prepare(&r);
    e = e == SM_OK ? measure(&r, to) : e;
    dev_tpm_stop(r.dir);
    (void)nftw(r.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return e == SM_OK ? e : cli_fail(c, e, "tpm: %s", r.why);
}
