// SPDX-License-Identifier: Apache-2.0
#pragma once
/* provider_cc: confidential machines with AMD SEV-SNP and Intel TDX.
 *
 * `device` is "auto"; a folder that is a configfs-tsm; or, on SNP, the path of /dev/sev-guest.
 * auto takes configfs-tsm, and on SNP the device where an older kernel has no configfs-tsm:
 * both ask the same firmware.
 */
#include "proc/provider.h"

extern const struct sm_evidence_provider_kind sm_provider_snp, sm_provider_tdx;
