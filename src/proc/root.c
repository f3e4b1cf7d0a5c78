// SPDX-License-Identifier: Apache-2.0
#include "proc/root.h"

#include "os/file.h"
#include "os/secretmem.h"
#include "proc/identity.h"

#include <string.h>

static enum sm_err key_of(const char *dir, bool may_make, struct sm_sign_pair **out)
{
    char path[SM_PATH];
    SM_TRY(sm_path_join(dir, "root.key", path));
    return sm_key_file(sm_suite_real(), path, may_make, out);
}

static enum sm_err write_public(const char *dir, const uint8_t key[static 32])
{
    char path[SM_PATH], text[SM_B32_LEN(32) + 2];
    sm_b32(key, 32, text);
    memcpy(text + SM_B32_LEN(32), "\n", 2);
    SM_TRY(sm_path_join(dir, "root.pub", path));
    return sm_file_write_atomic(path, 0644, sm_view_str(text));
}

enum sm_err sm_root_key(const char *dir, struct sm_sign_pair **out)
{
    return key_of(dir, false, out);
}

enum sm_err sm_root_make(const char *dir, uint8_t out_key[static 32])
{
    struct sm_sign_pair *root = NULL;
    SM_TRY(sm_dir_make(dir, 0700));
    SM_TRY(key_of(dir, true, &root));
    enum sm_err e = write_public(dir, root->pub.b);
    if (e == SM_OK) {
        memcpy(out_key, root->pub.b, 32);
    }
    sm_secret_free(root);
    return e;
}

enum sm_err sm_root_read(const char *dir, uint8_t out_key[static 32])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(128);
    char path[SM_PATH];
    SM_TRY(sm_path_join(dir, "root.pub", path));
    SM_TRY(sm_file_read(path, &b));
    size_t n = b.n > 0 && b.p[b.n - 1] == '\n' ? b.n - 1 : b.n;
    return sm_unb32((const char *)b.p, n, out_key, 32);
}
