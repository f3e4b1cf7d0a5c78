// SPDX-License-Identifier: Apache-2.0
#include "attest/binding.h"

#include "crypto/hash.h"

void sm_binding_report_data(const struct sm_binding *b, uint8_t out[static SM_REPORT_DATA])
{
    static const char label[] = "seemesh/att/v1"; /* with its zero byte */
    uint8_t lease[8], challenge[32], hint[32];
    sm_put_le64(lease, b->lease_seq);
    sm_sha256(b->challenge, challenge);
    sm_sha256((struct sm_view){0}, hint);

    struct sm_hash h;
    sm_hash_init(&h, SM_SHA512);
    sm_hash_add(&h, sm_view_of(label, sizeof label));
    sm_hash_add(&h, sm_view_of(&b->role, 1));
    sm_hash_add(&h, sm_view_of(b->h, sizeof b->h));
    sm_hash_add(&h, sm_view_of(b->pk_self, sizeof b->pk_self));
    sm_hash_add(&h, sm_view_of(b->pk_peer, sizeof b->pk_peer));
    sm_hash_add(&h, sm_view_of(lease, sizeof lease));
    sm_hash_add(&h, sm_view_of(challenge, sizeof challenge));
    sm_hash_add(&h, sm_view_of(hint, sizeof hint));
    sm_hash_end(&h, out);
}

void sm_user_report_data(struct sm_view data, uint8_t out[static SM_REPORT_DATA])
{
    static const char label[] = "seemesh/user/v1"; /* with its zero byte */
    struct sm_hash h;
    sm_hash_init(&h, SM_SHA512);
    sm_hash_add(&h, sm_view_of(label, sizeof label));
    sm_hash_add(&h, data);
    sm_hash_end(&h, out);
}
