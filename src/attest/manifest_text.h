// SPDX-License-Identifier: Apache-2.0
#pragma once
/* manifest_text: the manifest as people write and read it.
 *
 *     [manifest]        mesh, environment, version, issued, not-after, mode, binding, lease,
 *                       grace, epoch
 *     [platform NAME]   grade, measurement = listed | any
 *     [reference NAME]  platform, kind, register, value, state, min-svn
 *     [allow NAME]      platform-id
 *     [hardware]        debug, migration, unknown-bits, crl, max-age, replayed
 *     [snp]             floor-milan, floor-genoa, floor-turin, min-abi, vmpl, require, forbid,
 *                       forbid-policy, vlek
 *     [intel]           one key for each status, min-tcb-date, min-tcb-eval, refuse-advisory,
 *                       attributes, sept-ve, service-td
 *     [committee]       threshold, members, max-per-vendor, max-per-operator, max-per-site
 *
 * The grammar is base/ini.h's: strict, with line and column and the nearest name for what is
 * not known.  What is left out has the value of sm_mesh_manifest_default(); version, issued
 * and not-after may be left to whoever signs.  What prints here parses to the same manifest
 * and prints the same again.
 *
 * Memory:  parsing allocates the manifest's lists; sm_mesh_manifest_done().
 * Errors:  CONFIG with a problem filled in; NOMEM.
 * Source:  doc/manifest.md.
 */
#include "attest/manifest.h"
#include "base/ini.h"

#define SM_MANIFEST_TEXT_MAX (256u << 10) /* the fullest prints to about 100 KiB */

struct sm_text_problem {
    unsigned line, column; /* 0 when it is about the whole */
    char text[192];
};

enum sm_err sm_mesh_manifest_parse(struct sm_view text, struct sm_mesh_manifest *out,
                                   struct sm_text_problem *why) SM_MUST;

/* Every field, in order: section, its name or NULL, key, value.  Printing writes them as an INI
 * file; comparing two manifests compares these. */
struct sm_manifest_field {
    const char *section, *name, *key, *value;
};
void sm_mesh_manifest_fields(const struct sm_mesh_manifest *m,
                             void (*each)(void *ctx, const struct sm_manifest_field *f),
                             void *ctx);
enum sm_err sm_mesh_manifest_print(const struct sm_mesh_manifest *m,
                                   struct sm_buf *out) SM_MUST;
