// SPDX-License-Identifier: Apache-2.0
#pragma once
/* kept: what the node must not forget over a restart: the manifest and the revocation list it
 * believes, and the latest time it has known.
 *
 * The folder HOME/rules holds `manifest.cose`, `revocation.cose` and `time-floor`.  main writes
 * them, and does not look into them: keys has verified a document before main is told to keep
 * it, and net and keys verify it again when they start.
 *
 * The floor is the latest of the release of this build, the times that documents were issued,
 * and the clock as it was every now and then.  A clock below it is wrong or set back, and by
 * it expired evidence would be good again: the node does not run then.
 *
 * Errors:  those of os/file.h; CORRUPT for a floor that is no number.
 */
#include "base/bytes.h"
#include "base/time.h"

#define SM_KEPT_SKEW_S 60u /* a clock may be put right by so much */

/* NOTFOUND when there is none of this kind; UNSUPPORTED for a kind that is not kept. */
enum sm_err sm_kept_read(const char *home, uint8_t kind, struct sm_buf *out) SM_MUST;
enum sm_err sm_kept_write(const char *home, uint8_t kind, struct sm_view doc) SM_MUST;

/* The release of this build when nothing was kept. */
enum sm_err sm_kept_floor(const char *home, struct sm_wall *out) SM_MUST;
/* Write `to` if it is later than what is there. */
enum sm_err sm_kept_floor_raise(const char *home, struct sm_wall to) SM_MUST;
static inline bool sm_kept_is_below(struct sm_wall now, struct sm_wall floor)
{
    return floor.s > SM_KEPT_SKEW_S && now.s < floor.s - SM_KEPT_SKEW_S;
}
