// SPDX-License-Identifier: Apache-2.0
/* An envelope or a request for an endorsement of a stranger: what reads, writes to the same
 * bytes, and each platform's verifier takes any parts.  None of them is genuine, so nothing is
 * believed. */
#include "attest/enrol.h"
#include "attest/envelope.h"
#include "attest/hardware.h"
#include "wire/frame.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t room[SM_EVIDENCE_MAX];
    static struct sm_makers trust;
    struct sm_envelope e;
    struct sm_tpm_pcrs pcrs;
    sm_makers_pinned(&trust);
    if (sm_tpm_pcrs_read(sm_view_of(data, n), &pcrs) == SM_OK) {
        struct sm_wr w = sm_wr_init(room, sizeof room);
        sm_tpm_pcrs_write(&pcrs, &w);
        assert(!w.full && w.n == n && memcmp(room, data, n) == 0);
    }
    struct sm_enrol_request r;
    if (n + 64 < sizeof room && sm_enrol_request_read(sm_view_of(data, n), &r) == SM_OK) {
        struct sm_wr w = sm_wr_init(room, sizeof room);
        sm_enrol_request_write(&r, &w);
        assert(!w.full && w.n == n && memcmp(room, data, n) == 0);
    }
    if (sm_envelope_read(sm_view_of(data, n), &e) != SM_OK) {
        return 0;
    }
    struct sm_wr w = sm_wr_init(room, sizeof room);
    enum sm_err err = sm_envelope_write(&e, &w);
    assert(err == SM_OK && w.n == n && memcmp(room, data, n) == 0);
    for (uint8_t p = 0; p < SM_PLATFORMS; p++) {
        struct sm_claims c;
        struct sm_reasons why = {0};
        err = sm_hw_evidence_verify(&trust, (struct sm_wall){1735689600}, p, &e, &c, &why);
        /* A TPM's key is vouched for by its endorsement alone, which is checked later. */
        assert(p == SM_PLATFORM_TPM || err != SM_OK);
        assert(err == SM_OK || why.n > 0);
    }
    return 0;
}
