// SPDX-License-Identifier: Apache-2.0
#include "proc/identity.h"

#include "attest/dev.h"
#include "attest/endorse.h"
#include "os/file.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/provider_tpm.h"
#include "proc/sealed.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* -- the key ----------------------------------------------------------------------------- */

static enum sm_err make_seed(const char *path)
{
    struct sm_secret32 *seed = sm_secret_new(sizeof *seed);
    if (seed == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = sm_random_bytes(seed->b, sizeof seed->b);
    if (e == SM_OK) {
        e = sm_file_create(path, 0600, sm_view_of(seed->b, sizeof seed->b));
    }
    sm_secret_free(seed);
    return e == SM_E_EXISTS ? SM_OK : e;
}

enum sm_err sm_key_file(const struct sm_suite *suite, const char *path, bool may_make,
                        struct sm_sign_pair **out)
{
    if (may_make) {
        SM_TRY(make_seed(path));
    }
    struct sm_sign_pair *key = sm_secret_new(sizeof *key);
    if (key == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = sm_file_read_exact(path, key->seed.b, sizeof key->seed.b);
    if (e != SM_OK) {
        sm_secret_free(key);
        return e;
    }
    suite->sign_pub(&key->seed, &key->pub);
    *out = key;
    return SM_OK;
}

/* -- the whole --------------------------------------------------------------------------- */

/* The kernel's boot id is text of a UUID. */
static enum sm_err read_boot_id(uint8_t out[static SM_BOOT_ID])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(64);
    char hex[2 * SM_BOOT_ID];
    size_t n = 0;
    SM_TRY(sm_file_read("/proc/sys/kernel/random/boot_id", &b));
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] != '-' && b.p[i] != '\n') {
            if (n == sizeof hex) {
                return SM_E_MALFORMED;
            }
            hex[n++] = (char)b.p[i];
        }
    }
    return sm_unhex(hex, n, out, SM_BOOT_ID);
}

/* What the statement says, checked against this key and platform. */
static enum sm_err endorsed(const struct sm_suite *suite, const struct sm_anchor *anchor,
                            struct sm_wall now, struct sm_view bytes, struct sm_identity *id)
{
    struct sm_endorsement e;
    SM_TRY(sm_endorsement_verify(suite, anchor, now, bytes, &e));
    if (e.platform != id->platform ||
        memcmp(e.sign_key, id->key->pub.b, sizeof e.sign_key) != 0) {
        return SM_E_AUTH;
    }
    memcpy(id->platform_id, e.platform_id, sizeof id->platform_id);
    memcpy(id->shown_id, e.shown_id, sizeof id->shown_id);
    while ((e.indexes >> id->index & 1) == 0) { /* there is one: the verifier saw to it */
        id->index++;
    }
    return SM_OK;
}

static enum sm_err software_endorsed(const struct sm_suite *suite,
                                     const struct sm_anchor *anchor, struct sm_wall now,
                                     struct sm_view bytes, struct sm_identity *id)
{
#ifdef SM_DEV_ROOT
    struct sm_dev_endorsement e;
    SM_TRY(sm_dev_endorsement_verify(suite, anchor, now, bytes, &e));
    if (memcmp(e.sign_key, id->key->pub.b, sizeof e.sign_key) != 0) {
        return SM_E_AUTH;
    }
    memcpy(id->platform_id, e.platform_id, sizeof id->platform_id);
    return sm_measure_programs(id->measurement);
#else
    (void)suite, (void)anchor, (void)now, (void)bytes, (void)id;
    return SM_E_UNSUPPORTED;
#endif
}

static enum sm_err load_endorsement(const struct sm_suite *suite,
                                    const struct sm_anchor *anchor, struct sm_wall now,
                                    const char *dir, struct sm_identity *id)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_NODE_ENDORSEMENT_MAX);
    char path[SM_PATH];
    SM_TRY(sm_path_join(dir, "node.endorsement", path));
    SM_TRY(sm_file_read(path, &b));
    SM_TRY(id->platform == SM_PLATFORM_SOFTWARE
               ? software_endorsed(suite, anchor, now, sm_buf_view(&b), id)
               : endorsed(suite, anchor, now, sm_buf_view(&b), id));
    memcpy(id->endorsement, b.p, b.n);
    id->endorsement_n = (uint16_t)b.n;
    return SM_OK;
}

__attribute__((format(printf, 3, 4))) static enum sm_err
because(enum sm_err e, char why[static SM_IDENTITY_WHY], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SM_IDENTITY_WHY, fmt, ap);
    va_end(ap);
    return e;
}

static enum sm_err unseal(const struct sm_suite *suite, struct sm_view file, const char *device,
                          struct sm_sign_pair *key, char why[static SM_TPMDEV_WHY])
{
    struct sm_tpmdev *t = NULL;
    struct sm_sealed sealed;
    enum sm_err e = sm_sealed_read(file, &sealed);
    if (e != SM_OK) {
        (void)snprintf(why, SM_TPMDEV_WHY, "%s", sm_err_words(e));
        return e;
    }
    SM_TRY(sm_tpmdev_open(sm_tpm_tcti(device), &t, why));
    e = sm_sealed_open(t, &sealed, &key->seed, why);
    sm_tpmdev_close(t);
    SM_TRY(e);
    suite->sign_pub(&key->seed, &key->pub);
    return SM_OK;
}

enum sm_err sm_identity_sealed_key(const struct sm_suite *suite, const char *dir,
                                   const char *device, struct sm_sign_pair **out,
                                   char why[static SM_IDENTITY_WHY])
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_SEALED_MAX);
    char path[SM_PATH], tpm_why[SM_TPMDEV_WHY];
    SM_TRY(sm_path_join(dir, SM_SEALED_FILE, path));
    enum sm_err e = sm_file_read(path, &b);
    if (e != SM_OK) {
        return because(e, why, "%s: %s", path, sm_err_words(e));
    }
    struct sm_sign_pair *key = sm_secret_new(sizeof *key);
    if (key == NULL) {
        return because(SM_E_NOMEM, why, "%s", sm_err_words(SM_E_NOMEM));
    }
    e = unseal(suite, sm_buf_view(&b), device, key, tpm_why);
    if (e != SM_OK) {
        sm_secret_free(key);
        return because(e, why, "%s: %s", path, tpm_why);
    }
    *out = key;
    return SM_OK;
}

static enum sm_err load_key(const struct sm_suite *suite, const char *dir,
                            const struct sm_identity_at *at, struct sm_identity *id,
                            char why[static SM_IDENTITY_WHY])
{
    char path[SM_PATH];
    if (at->platform == SM_PLATFORM_TPM) {
        return sm_identity_sealed_key(suite, dir, at->device, &id->key, why);
    }
    SM_TRY(sm_path_join(dir, "node.key", path));
    enum sm_err e = sm_key_file(suite, path, false, &id->key);
    return e == SM_OK ? e
                      : because(e, why, "%s: %s; initialise the node with: seemesh init", path,
                                sm_err_words(e));
}

static enum sm_err load(const struct sm_suite *suite, const struct sm_anchor *anchor,
                        struct sm_wall now, const struct sm_identity_at *at,
                        struct sm_identity *id, char why[static SM_IDENTITY_WHY])
{
    char dir[SM_PATH];
    SM_TRY(sm_path_join(at->home, "keys", dir));
    SM_TRY(load_key(suite, dir, at, id, why));
    enum sm_err e = load_endorsement(suite, anchor, now, dir, id);
    if (e != SM_OK) {
        return because(e, why, "%s/node.endorsement: %s; have the node endorsed", dir,
                       sm_err_words(e));
    }
    SM_TRY(read_boot_id(id->boot_id));
    sm_node_id_make(id->platform_id, id->index, anchor->network, &id->node_id);
    return SM_OK;
}

enum sm_err sm_identity_load(const struct sm_suite *suite, const struct sm_anchor *anchor,
                             struct sm_wall now, const struct sm_identity_at *at,
                             struct sm_identity *out, char why[static SM_IDENTITY_WHY])
{
    struct sm_identity id = {.platform = at->platform};
    (void)snprintf(why, SM_IDENTITY_WHY, "%s", at->home);
    enum sm_err e = load(suite, anchor, now, at, &id, why);
    if (e != SM_OK) {
        sm_identity_done(&id);
        return e;
    }
    *out = id;
    return SM_OK;
}

void sm_identity_done(struct sm_identity *id)
{
    sm_secret_free(id->key);
    id->key = NULL;
}
