// SPDX-License-Identifier: Apache-2.0
#include "proc/init.h"

#ifdef SM_DEV_ROOT
#include "attest/dev.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/identity.h"
#include "proc/root.h"

#include <string.h>

#define ENDORSED_S                                                                             \
    (365u * 86400u) /* a development mesh that lives longer is initialised anew */

enum sm_err sm_dev_root_init(const char *root_dir, uint8_t out_key[static 32])
{
    return sm_root_make(root_dir, out_key);
}

enum sm_err sm_dev_root_read(const char *root_dir, uint8_t out_key[static 32])
{
    return sm_root_read(root_dir, out_key);
}

/* Endorse the node's key for a platform identity made up now: that is what makes it a
 * development node. */
static enum sm_err endorse(const struct sm_anchor *anchor, const struct sm_sign_pair *root,
                           const struct sm_sign_pair *node, const char *path)
{
    uint8_t bytes[SM_NODE_ENDORSEMENT_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    struct sm_wall now = sm_clock_wall();
    struct sm_dev_endorsement e = {.not_before = now, .expires = {now.s + ENDORSED_S}};
    SM_TRY(sm_random_bytes(e.platform_id, sizeof e.platform_id));
    memcpy(e.sign_key, node->pub.b, sizeof e.sign_key);
    SM_TRY(sm_dev_endorse(sm_suite_real(), root, anchor, &e, &w));
    SM_TRY(sm_wr_done(&w, &v));
    enum sm_err made = sm_file_create(path, 0644, v);
    return made == SM_E_EXISTS ? SM_OK : made;
}

static enum sm_err make_key(const struct sm_anchor *anchor, const struct sm_sign_pair *root,
                            const char *keys_dir)
{
    struct sm_sign_pair *node = NULL;
    char key[SM_PATH], endorsement[SM_PATH];
    SM_TRY(sm_path_join(keys_dir, "node.key", key));
    SM_TRY(sm_path_join(keys_dir, "node.endorsement", endorsement));
    SM_TRY(sm_key_file(sm_suite_real(), key, true, &node));
    enum sm_err e = endorse(anchor, root, node, endorsement);
    sm_secret_free(node);
    return e;
}

static enum sm_err make_home(const struct sm_config *c, const struct sm_sign_pair *root,
                             struct sm_node_id *out)
{
    struct sm_anchor anchor;
    struct sm_identity id;
    char path[SM_PATH];
    SM_TRY(sm_config_anchor(c, &anchor));
    SM_TRY(sm_dir_make(c->node.home, 0700));
    SM_TRY(sm_dir_make(c->store.dir, 0700));
    SM_TRY(sm_path_join(c->node.home, "keys", path));
    SM_TRY(sm_dir_make(path, 0700));
    SM_TRY(make_key(&anchor, root, path));
    const struct sm_identity_at at = {c->node.home, SM_PLATFORM_SOFTWARE, "auto"};
    char why[SM_IDENTITY_WHY];
    SM_TRY(sm_identity_load(sm_suite_real(), &anchor, sm_clock_wall(), &at, &id, why));
    struct sm_node_id node_id = id.node_id;
    sm_identity_done(&id);
    SM_TRY(sm_path_join(c->node.home, "seemesh.conf", path));
    SM_TRY(sm_config_create(c, path));
    *out = node_id;
    return SM_OK;
}

enum sm_err sm_node_init(const struct sm_config *c, const char *root_dir,
                         struct sm_node_id *out)
{
    struct sm_config config = *c;
    struct sm_sign_pair *root = NULL;
    char path[SM_PATH];
    SM_TRY(sm_path_join(c->node.home, "seemesh.conf", path));
    if (sm_file_exists(path)) {
        return SM_E_EXISTS;
    }
    SM_TRY(sm_root_key(root_dir, &root));
    if (config.n_roots == 0) {
        config.n_roots = 1;
        memcpy(config.roots[0].name, "dev", sizeof "dev");
        memcpy(config.roots[0].key, root->pub.b, 32);
    }
    enum sm_err e = make_home(&config, root, out);
    sm_secret_free(root);
    return e;
}

#else

enum sm_err sm_dev_root_init(const char *root_dir, uint8_t out_key[static 32])
{
    (void)root_dir, (void)out_key;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_dev_root_read(const char *root_dir, uint8_t out_key[static 32])
{
    (void)root_dir, (void)out_key;
    return SM_E_UNSUPPORTED;
}

enum sm_err sm_node_init(const struct sm_config *c, const char *root_dir,
                         struct sm_node_id *out)
{
    (void)c, (void)root_dir, (void)out;
    return SM_E_UNSUPPORTED;
}
#endif
