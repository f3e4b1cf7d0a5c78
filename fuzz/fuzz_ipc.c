// SPDX-License-Identifier: Apache-2.0
/* The bodies that the programs of a node send each other; one of them may be taken over. */
#include "proc/ipc.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The writers take (m, w); what reads must write to the same bytes. */
#define TRY(name)                                                                              \
    do {                                                                                       \
        struct sm_ipc_##name m_;                                                               \
        struct sm_wr w_ = sm_wr_init(room, sizeof room);                                       \
        if (sm_ipc_##name##_read(in, &m_) == SM_OK) {                                          \
            sm_ipc_##name##_write(&m_, &w_);                                                   \
            assert(!w_.full && w_.n == in.n && memcmp(room, in.p, in.n) == 0);                 \
        }                                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t room[1 << 16];
    struct sm_view in = {data, n}, rest;
    enum sm_ipc_listener kind;
    enum sm_err err;
    uint64_t number;
    if (n > sizeof room) {
        return 0;
    }
    TRY(log);
    TRY(certify);
    TRY(identity);
    TRY(publish);
    TRY(exit);
    TRY(keep);
    if (sm_ipc_listener_read(in, &kind, &rest) == SM_OK) {
        assert(rest.n < n && rest.p + rest.n == data + n);
    }
    if (sm_ipc_answer_read(in, &err, &rest) == SM_OK) {
        assert(rest.n + 4 == n);
        assert(sm_err_name(err) != NULL);
    }
    assert((sm_ipc_u64_read(in, &number) == SM_OK) == (n == 8));
    return 0;
}
