// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tunnel_pair: two nodes and the tunnel between them, both ends in one thread with nothing
 * between them: handshake, records, evidence signed and verified both ways, until both are up.
 */
#include "base/err.h"

#include <stdbool.h>

struct tunnel_pair;

/* UNSUPPORTED without the development root, which makes the nodes' records. */
enum sm_err tunnel_pair_new(struct tunnel_pair **out) SM_MUST;
void tunnel_pair_free(struct tunnel_pair *p); /* NULL is fine */

/* One tunnel, up and gone.  known: as neighbours meet that have met before; else as strangers,
 * but for the dialer knowing the other's key. */
enum sm_err tunnel_pair_once(struct tunnel_pair *p, bool is_known) SM_MUST;
