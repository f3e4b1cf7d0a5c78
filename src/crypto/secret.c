// SPDX-License-Identifier: Apache-2.0
#include "crypto/secret.h"

#include <sodium.h>

void sm_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}

bool sm_secret_eq(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}
