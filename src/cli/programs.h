// SPDX-License-Identifier: Apache-2.0
#pragma once
/* programs: where seemeshd and the programs it starts are, relative to this one. */
#include "cli/cli.h"
#include "os/file.h"

struct cli_programs {
    char daemon[SM_PATH], libexec[SM_PATH];
};
enum sm_err cli_programs(struct cli *c,
                         struct cli_programs *out) SM_MUST; /* complains itself */
