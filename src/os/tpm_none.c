// SPDX-License-Identifier: Apache-2.0
/* Built without tpm2-tss: no TPM can be opened, and nothing stands in for one. */
#include "os/tpm.h"

#include <assert.h>
#include <stdio.h>

#define NOT_BUILT "built without TPM support: install libtss2-dev and build again"

bool sm_tpmdev_is_built(void)
{
    return false;
}

enum sm_err sm_tpmdev_open(const char *tcti, struct sm_tpmdev **out,
                           char why[static SM_TPMDEV_WHY])
{
    (void)tcti, (void)out;
    (void)snprintf(why, SM_TPMDEV_WHY, NOT_BUILT);
    return SM_E_UNSUPPORTED;
}

void sm_tpmdev_close(struct sm_tpmdev *t)
{
    assert(t == NULL);
    (void)t;
}

const char *sm_tpmdev_why(const struct sm_tpmdev *t)
{
    (void)t;
    return NOT_BUILT;
}

void sm_tpmdev_words(uint32_t rc, char out[static SM_TPMDEV_WHY])
{
    (void)snprintf(out, SM_TPMDEV_WHY, "0x%x: " NOT_BUILT, rc);
}

enum sm_err sm_tpmdev_info(struct sm_tpmdev *t, struct sm_tpmdev_info *out)
{
    (void)t, (void)out;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_pcrs(struct sm_tpmdev *t, uint32_t mask, struct sm_tpmdev_pcrs *out)
{
    (void)t, (void)mask, (void)out;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_extend(struct sm_tpmdev *t, unsigned pcr,
                             const uint8_t digest[static SM_TPMDEV_HASH])
{
    (void)t, (void)pcr, (void)digest;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_ek_public(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct sm_buf *out)
{
    (void)t, (void)kind, (void)out;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_ek(struct sm_tpmdev *t, enum sm_tpmdev_ek kind, struct sm_buf *out_public,
                         struct sm_buf *out_cert)
{
    (void)t, (void)kind, (void)out_public, (void)out_cert;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_ak_make(struct sm_tpmdev *t, struct sm_buf *out_blob)
{
    (void)t, (void)out_blob;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_ak_load(struct sm_tpmdev *t, struct sm_view blob)
{
    (void)t, (void)blob;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_ak_public(struct sm_tpmdev *t, struct sm_view *out)
{
    (void)t, (void)out;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_activate(struct sm_tpmdev *t, enum sm_tpmdev_ek kind,
                               struct sm_view id_object, struct sm_view secret,
                               uint8_t out[static SM_TPMDEV_SECRET])
{
    (void)t, (void)kind, (void)id_object, (void)secret, (void)out;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_quote(struct sm_tpmdev *t, uint32_t mask,
                            const uint8_t extra[static SM_TPMDEV_EXTRA],
                            struct sm_buf *out_quote, struct sm_buf *out_sig)
{
    (void)t, (void)mask, (void)extra, (void)out_quote, (void)out_sig;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_seal(struct sm_tpmdev *t, uint32_t mask,
                           const uint8_t secret[static SM_TPMDEV_SECRET],
                           struct sm_buf *out_blob)
{
    (void)t, (void)mask, (void)secret, (void)out_blob;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_tpmdev_unseal(struct sm_tpmdev *t, uint32_t mask, struct sm_view blob,
                             uint8_t out[static SM_TPMDEV_SECRET])
{
    (void)t, (void)mask, (void)blob, (void)out;
    return SM_E_UNSUPPORTED;
}
