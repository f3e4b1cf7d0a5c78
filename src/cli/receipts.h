// SPDX-License-Identifier: Apache-2.0
#pragma once
/* receipts: the file that `run --receipts` writes and `verify` reads.
 *
 * One JSON object a line: {"receipt": base32, "passport": base32}, the signed records as they
 * came, so that anybody with the mesh's configuration can check them without a node. */
#include "base/bytes.h"

enum sm_err cli_receipt_line(struct sm_buf *out, struct sm_view receipt,
                             struct sm_view passport) SM_MUST;
