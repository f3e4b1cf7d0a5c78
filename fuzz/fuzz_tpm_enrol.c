// SPDX-License-Identifier: Apache-2.0
/* What a TPM's node writes and who endorses it reads, and the file of a sealed key. */
#include "attest/tpm_ek.h"
#include "proc/sealed.h"
#include "proc/tpm_enrol.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void request(struct sm_view in)
{
    static const struct sm_makers none;
    static struct sm_sign_pair root;
    struct sm_anchor a = {.env = SM_ENV_DEV};
    struct sm_tpm_endorser by = {.suite = sm_suite_real(),
                                 .root = &root,
                                 .anchor = &a,
                                 .makers = &none,
                                 .now = {1},
                                 .expires = {2},
                                 .indexes = 1};
    SM_CLEANUP(sm_buf_done) struct sm_buf reply = SM_BUF(SM_TPM_REPLY_MAX);
    struct sm_tpm_endorsed made;
    char why[SM_TPM_ENROL_WHY];
    assert(sm_tpm_request_endorse(&by, in, &reply, &made, why) !=
           SM_OK); /* no maker is known */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_tpm_ek ek;
    struct sm_sealed sealed;
    if (n == 0) {
        return 0;
    }
    struct sm_view in = {data + 1, n - 1};
    switch (data[0] % 3) {
    case 0:
        request(in);
        break;
    case 1:
        assert(sm_tpm_ek_read(in, &ek) != SM_OK || ek.key.n > 0);
        break;
    default:
        if (sm_sealed_read(in, &sealed) == SM_OK) {
            assert(sealed.head.n + sealed.box.n == in.n && sealed.pcrs.mask != 0);
        }
        break;
    }
    return 0;
}
