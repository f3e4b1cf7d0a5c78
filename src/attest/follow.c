// SPDX-License-Identifier: Apache-2.0
#include "attest/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 8u /* bytes of a register: enough to tell two apart, few enough for one line */

static void value(const struct sm_claims *c, unsigned i, char out[static 2 * SHOWN + 3])
{
    size_t n = c->reg_n < SHOWN ? c->reg_n : SHOWN;
    sm_hex(c->regs[i], n, out);
    memcpy(out + 2 * n, n < c->reg_n ? ".." : "", 3);
}

static void follow_registers(const struct sm_claims *was, const struct sm_claims *is,
                             struct sm_reasons *why)
{
    char field[16], a[2 * SHOWN + 3], b[2 * SHOWN + 3];
    const char *name = was->platform == SM_PLATFORM_TPM ? "pcr" : "register";
    if (was->regs_mask != is->regs_mask || was->reg_n != is->reg_n) {
        (void)snprintf(a, sizeof a, "0x%" PRIx32, is->regs_mask);
        (void)snprintf(b, sizeof b, "0x%" PRIx32, was->regs_mask);
        sm_reasons_add(why, SM_REASON_REGISTERS, "registers shown", a, b);
        return;
    }
    for (unsigned i = 0; i < SM_REGS; i++) {
        if ((was->regs_mask >> i & 1) != 0 &&
            memcmp(was->regs[i], is->regs[i], was->reg_n) != 0) {
            value(is, i, a);
            value(was, i, b);
            (void)snprintf(field, sizeof field, "%s %u", name, i);
            sm_reasons_add(why, SM_REASON_REGISTERS, field, a, b);
        }
    }
}

static void follow_tpm(const struct sm_tpm_claims *was, const struct sm_tpm_claims *is,
                       struct sm_reasons *why)
{
    if (was->resets != is->resets) {
        sm_reasons_add(why, SM_REASON_TIME, "tpm", "reset since the last proof",
                       "the same boot");
    } else if (is->clock_ms < was->clock_ms) {
        sm_reasons_add_u64(why, SM_REASON_TIME, "tpm clock", is->clock_ms, "at least",
                           was->clock_ms);
    }
    /* It counts suspends too: it may rise, by less than half of what it can count. */
    if (is->restarts - was->restarts > UINT32_MAX / 2) {
        sm_reasons_add(why, SM_REASON_TIME, "tpm restarts", "fewer than before", "not fewer");
    }
    if (was->firmware != is->firmware) {
        sm_reasons_add(why, SM_REASON_TCB, "tpm firmware", "another", "that of the last proof");
    }
}

enum sm_err sm_claims_follow(const struct sm_claims *was, const struct sm_claims *is,
                             struct sm_reasons *why)
{
    const size_t before = why->n;
    if (was->platform != is->platform) {
        sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(is->platform),
                       sm_platform_name(was->platform));
        return SM_E_REFUSED;
    }
    follow_registers(was, is, why);
    if (is->platform == SM_PLATFORM_TPM) {
        follow_tpm(&was->tpm, &is->tpm, why);
    }
    return why->n == before ? SM_OK : SM_E_REFUSED;
}
