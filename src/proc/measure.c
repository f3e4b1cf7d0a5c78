// SPDX-License-Identifier: Apache-2.0
/* In a file of its own: who only measures needs no TPM. */
#include "os/child.h"
#include "os/file.h"
#include "proc/identity.h"

#include <openssl/evp.h>
#include <string.h>

#define PROGRAM_BYTES ((size_t)64 << 20) /* with sanitizers ours are below 20 MiB */

static enum sm_err sha384(struct sm_view v, uint8_t out[static 48])
{
    unsigned n = 48;
    return EVP_Digest(v.p, v.n, out, &n, EVP_sha384(), NULL) == 1 ? SM_OK : SM_E_CRYPTO;
}

enum sm_err sm_measure_file(const char *path, uint8_t out[static 48])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(PROGRAM_BYTES);
    SM_TRY(sm_file_read(path, &b));
    return sha384(sm_buf_view(&b), out);
}

enum sm_err sm_measure_programs_in(const char *dir, uint8_t out[static 48])
{
    static const char *const programs[] = {"seemesh-keys", "seemesh-net", "seemesh-store",
                                           "seemesh-run"};
    uint8_t all[SM_COUNT(programs)][48] = {0};
    char path[SM_PATH];
    for (size_t i = 0; i < SM_COUNT(programs); i++) {
        SM_TRY(sm_path_join(dir, programs[i], path));
        enum sm_err e = sm_measure_file(path, all[i]);
        if (e != SM_OK && e != SM_E_NOTFOUND) {
            return e;
        }
    }
    return sha384(sm_view_of(all, sizeof all), out);
}

enum sm_err sm_measure_programs(uint8_t out[static 48])
{
    char self[SM_PATH];
    SM_TRY(sm_self_path(self, sizeof self));
    *strrchr(self, '/') = '\0';
    return sm_measure_programs_in(self, out);
}
