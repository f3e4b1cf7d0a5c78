// SPDX-License-Identifier: Apache-2.0
#include "os/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

enum sm_err sm_random_bytes(void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return SM_E_IO;
        }
        at += got;
        n -= (size_t)got;
    }
    return SM_OK;
}
