// SPDX-License-Identifier: Apache-2.0
#include "os/secretmem.h"

#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* sodium_malloc() goes on without a word when mlock fails, so ask the kernel ourselves. */
static bool may_lock(void)
{
    void *page = sodium_malloc(64);
    if (page == NULL) {
        return false;
    }
    bool ok = mlock(page, 64) == 0;
    sodium_free(page);
    return ok;
}

enum sm_err sm_secretmem_init(bool *out_is_locked)
{
    const struct rlimit no_core = {0, 0};
    if (sodium_init() < 0) {
        return SM_E_FAILED;
    }
    if (setrlimit(RLIMIT_CORE, &no_core) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
        return SM_E_FAILED;
    }
    *out_is_locked = may_lock();
    return SM_OK;
}

void *sm_secret_new(size_t n)
{
    void *p = sodium_malloc(n);
    if (p != NULL) {
        memset(p, 0, n);
    }
    return p;
}

void sm_secret_free(void *p)
{
    sodium_free(p);
}

void sm_secret_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}
