// SPDX-License-Identifier: Apache-2.0
#include "proc/provider.h"

#include "attest/dev.h"
#include "os/clock.h"
#include "os/file.h"
#include "proc/provider_cc.h"
#include "proc/provider_tpm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum sm_err sm_provider_because(enum sm_err e, char why[static SM_PROVIDER_WHY],
                                const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SM_PROVIDER_WHY, fmt, ap);
    va_end(ap);
    return e;
}

enum sm_err sm_staple_read(const struct sm_provider_env *env, enum sm_part part,
                           struct sm_buf *out)
{
    char dir[SM_PATH], path[SM_PATH];
    SM_TRY(sm_path_join(env->dir, SM_STAPLES, dir));
    SM_TRY(sm_path_join(dir, sm_part_name(part), path));
    out->max = sm_part_max(part);
    return sm_file_read(path, out);
}

/* -- the development platform ------------------------------------------------------------- */

#ifdef SM_DEV_ROOT
struct software {
    const struct sm_provider_env *env;
    struct sm_dev_platform platform;
};

static enum sm_err software_start(const struct sm_provider_env *env, void **out,
                                  struct sm_provider_needs *needs,
                                  char why[static SM_PROVIDER_WHY])
{
    struct software *s = calloc(1, sizeof *s);
    (void)needs;
    if (s == NULL) {
        return sm_provider_because(SM_E_NOMEM, why, "no memory");
    }
    s->env = env;
    memcpy(s->platform.measurement, env->measurement, sizeof s->platform.measurement);
    memcpy(s->platform.boot_id, env->boot_id, sizeof s->platform.boot_id);
    *out = s;
    return SM_OK;
}

static enum sm_err software_collect(void *state, const uint8_t rd[static SM_REPORT_DATA],
                                    struct sm_wr *w, char why[static SM_PROVIDER_WHY])
{
    const struct software *s = state;
    enum sm_err e =
        sm_dev_collect(s->env->suite, s->env->node, &s->platform, sm_clock_wall(), rd, w);
    return e == SM_OK ? e : sm_provider_because(e, why, "signing: %s", sm_err_words(e));
}
#endif

/* -- the table ---------------------------------------------------------------------------- */

#ifdef SM_DEV_ROOT
static const struct sm_evidence_provider_kind software = {
    "software", SM_PLATFORM_SOFTWARE, software_start, software_collect, free};
#endif

static const struct sm_evidence_provider_kind *const kinds[] = {
#ifdef SM_DEV_ROOT
    &software,
#endif
    &sm_provider_snp,
    &sm_provider_tdx,
    &sm_provider_tpm,
};

enum sm_err sm_evidence_provider_start(uint8_t platform, const struct sm_provider_env *env,
                                       struct sm_evidence_provider *out,
                                       char why[static SM_PROVIDER_WHY])
{
    for (size_t i = 0; i < SM_COUNT(kinds); i++) {
        if (kinds[i]->platform == platform) {
            struct sm_evidence_provider p = {.kind = kinds[i]};
            SM_TRY(kinds[i]->start(env, &p.state, &p.needs, why));
            *out = p;
            return SM_OK;
        }
    }
    return sm_provider_because(SM_E_UNSUPPORTED, why,
                               "this build cannot make evidence of platform %s",
                               sm_platform_name(platform));
}

enum sm_err sm_evidence_provider_collect(const struct sm_evidence_provider *p,
                                         const uint8_t report_data[static SM_REPORT_DATA],
                                         struct sm_wr *w, char why[static SM_PROVIDER_WHY])
{
    why[0] = '\0';
    return p->kind->collect(p->state, report_data, w, why);
}

void sm_evidence_provider_stop(struct sm_evidence_provider *p)
{
    if (p->kind != NULL) {
        p->kind->stop(p->state);
    }
    *p = (struct sm_evidence_provider){0};
}
