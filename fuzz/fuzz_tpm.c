// SPDX-License-Identifier: Apache-2.0
/* Keys, public areas, quotes and event logs of a stranger's machine.  The first byte picks
 * what the rest is; nothing that was not signed is believed. */
#include "attest/tpm.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void key(struct sm_view in)
{
    struct sm_tpm_key k;
    if (sm_tpm_key_spki(in, &k) == SM_OK ||
        sm_tpm_key_rsa(in, sm_view_of("\1\0\1", 3), &k) == SM_OK) {
        assert(k.alg == SM_TPM_RSA || k.alg == SM_TPM_ECC);
        assert(k.n > 0 && k.n <= SM_TPM_RSA_MAX);
    }
}

static void public_area(struct sm_view in)
{
    struct sm_tpm_public p;
    struct sm_reasons why = {0};
    if (sm_tpm_public_read(in, &p) == SM_OK) {
        assert(p.name_n > 2 && p.name_n <= sizeof p.name);
        (void)sm_tpm_ak_check(&p, &why);
    }
}

static void event_log(struct sm_view in)
{
    struct sm_tpm_pcrs pcrs = {.bank = SM_TPM_SHA256, .mask = 0xffffff};
    struct sm_reasons why = {0};
    uint32_t replayed = 0;
    if (sm_tpm_log_replay(in, &pcrs, &replayed, &why) == SM_OK) {
        assert((replayed & ~pcrs.mask) == 0);
    }
}

static void quote(struct sm_view in)
{
    static const struct sm_tpm_key ak = {.alg = SM_TPM_ECC, .n = 32, .b = {1}};
    struct sm_tpm_pcrs pcrs = {.bank = SM_TPM_SHA256, .mask = 1};
    struct sm_reasons why = {0};
    struct sm_tpm_quote q;
    size_t cut = in.n > 0 ? in.p[0] : 0;
    struct sm_view body = sm_view_sub(in, 1, cut), sig = sm_view_sub(in, 1 + cut, in.n);
    struct sm_view extra = sm_view_str("nonce");
    enum sm_err e =
        sm_tpm_quote_verify(&ak, body, sig, SM_TPM_SIG_TPMT, extra, &pcrs, &q, &why);
    assert(e != SM_OK); /* that key is no point of the curve */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) {
        return 0;
    }
    struct sm_view in = {data + 1, n - 1};
    switch (data[0] % 4) {
    case 0:
        key(in);
        break;
    case 1:
        public_area(in);
        break;
    case 2:
        event_log(in);
        break;
    default:
        quote(in);
        break;
    }
    return 0;
}
