// SPDX-License-Identifier: Apache-2.0
#pragma once
/* root: the key of who owns a mesh, as files in a folder of its own.
 *
 *     ROOT/root.key   32 bytes, mode 0600, made once, never overwritten
 *     ROOT/root.pub   base32 and a newline: what nodes pin
 *
 * Call sm_secretmem_init() before.
 *
 * Errors:  NOTFOUND = no root in the folder; those of file.h.
 */
#include "crypto/suite.h"

/* Make the key, or use the one that is there. */
enum sm_err sm_root_make(const char *dir, uint8_t out_key[static 32]) SM_MUST;
/* The public key of a root made before. */
enum sm_err sm_root_read(const char *dir, uint8_t out_key[static 32]) SM_MUST;
/* The key itself, in secret memory. */
enum sm_err sm_root_key(const char *dir, struct sm_sign_pair **out) SM_MUST;
