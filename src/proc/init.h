// SPDX-License-Identifier: Apache-2.0
#pragma once
/* init: make a development root, and a node's home.
 *
 *     ROOT/root.key   32 bytes, mode 0600         HOME/seemesh.conf     canonical
 *     ROOT/root.pub   base32 and a newline        HOME/keys/node.key    and node.endorsement
 *                                                 HOME/store/           all folders 0700
 *
 * Call sm_secretmem_init() before.  Nothing that exists is overwritten; an initialisation that
 * was interrupted is continued by calling it again, because the configuration, which makes a
 * folder a node's home, is written last.
 *
 * Errors:  EXISTS = HOME/seemesh.conf is there already; UNSUPPORTED = built without the
 *          development root; NOTFOUND = no root in root_dir; those of file.h.
 */
#include "proc/config.h"

/* Make the root's key, or use the one that is there.  out_key is its public key. */
enum sm_err sm_dev_root_init(const char *root_dir, uint8_t out_key[static 32]) SM_MUST;
/* The public key of a root made before. */
enum sm_err sm_dev_root_read(const char *root_dir, uint8_t out_key[static 32]) SM_MUST;

/* Make c->node.home.  `c` comes from sm_config_defaults() with name, mesh, owner, environment,
 * listen and peers set; the root's key is pinned as [root dev] when no root is. */
enum sm_err sm_node_init(const struct sm_config *c, const char *root_dir,
                         struct sm_node_id *out) SM_MUST;
