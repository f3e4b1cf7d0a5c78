// SPDX-License-Identifier: Apache-2.0
#include "attest_kinds.h"

#include "attest/snp.h"

static enum sm_err snp(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_snp_evidence ev = {.report = a_file(v, "report"),
                                 .vek = a_file(v, "vek"),
                                 .chain = a_file(v, "chain"),
                                 .crl = a_file(v, "crl")};
    return sm_snp_verify(&ev, &v->trust, v->now, out, why);
}

const struct a_kind a_kinds[] = {
    {"snp", snp},
};
const size_t a_kinds_n = SM_COUNT(a_kinds);
