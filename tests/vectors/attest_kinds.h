// SPDX-License-Identifier: Apache-2.0
#pragma once
/* attest_kinds: from a vector's files to a verifier, one function for each kind. */
#include "vectors.h"

#include "attest/policy.h"
#include "attest/roots.h"
#include "attest/x509.h"

struct a_vector {
    const json_t *vector;
    const char *file; /* vectors.json; its folder is the first folder_n bytes */
    size_t folder_n;
    struct sm_wall now;
    struct sm_makers trust;
    bool is_verified;
};

/* A file of the vector by its key under "files", or nothing. */
struct sm_view a_file(const struct a_vector *v, const char *key);

struct a_kind {
    const char *name;
    enum sm_err (*verify)(struct a_vector *v, struct sm_claims *out, struct sm_reasons *why);
};
extern const struct a_kind a_kinds[];
extern const size_t a_kinds_n;
