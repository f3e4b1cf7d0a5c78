// SPDX-License-Identifier: Apache-2.0
#pragma once
/* commands: one function a command; commands.c has the table. */
#include "cli/cli.h"
#include "cli/conn.h"

const struct cli_command *cli_command_named(const char *name);

enum sm_err cmd_put(struct cli *c, int argc, char **argv);
enum sm_err cmd_get(struct cli *c, int argc, char **argv);
enum sm_err cmd_ls(struct cli *c, int argc, char **argv);
enum sm_err cmd_rm(struct cli *c, int argc, char **argv);
enum sm_err cmd_run(struct cli *c, int argc, char **argv);
enum sm_err cmd_verify(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_verify(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_collect(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_refusals(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_reasons(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_diff(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_explain(struct cli *c, int argc, char **argv);
enum sm_err cmd_attest_show(struct cli *c, int argc, char **argv);
enum sm_err cmd_tpm_show(struct cli *c, int argc, char **argv);
enum sm_err cmd_tpm_request(struct cli *c, int argc, char **argv);
enum sm_err cmd_tpm_endorse(struct cli *c, int argc, char **argv);
enum sm_err cmd_tpm_accept(struct cli *c, int argc, char **argv);
enum sm_err cmd_root_init(struct cli *c, int argc, char **argv);
enum sm_err cmd_platform_request(struct cli *c, int argc, char **argv);
enum sm_err cmd_platform_endorse(struct cli *c, int argc, char **argv);
enum sm_err cmd_platform_accept(struct cli *c, int argc, char **argv);
enum sm_err cmd_status(struct cli *c, int argc, char **argv);
enum sm_err cmd_nodes(struct cli *c, int argc, char **argv);
enum sm_err cmd_route(struct cli *c, int argc, char **argv);
enum sm_err cmd_trust(struct cli *c, int argc, char **argv);
enum sm_err cmd_see_list(struct cli *c, int argc, char **argv);
enum sm_err cmd_collateral_add(struct cli *c, int argc, char **argv);
enum sm_err cmd_collateral_ls(struct cli *c, int argc, char **argv);
enum sm_err cmd_manifest_new(struct cli *c, int argc, char **argv);
enum sm_err cmd_manifest_show(struct cli *c, int argc, char **argv);
enum sm_err cmd_manifest_diff(struct cli *c, int argc, char **argv);
enum sm_err cmd_manifest_sign(struct cli *c, int argc, char **argv);
enum sm_err cmd_manifest_apply(struct cli *c, int argc, char **argv);
enum sm_err cmd_revoke(struct cli *c, int argc, char **argv);
enum sm_err cmd_revoke_undo(struct cli *c, int argc, char **argv);
enum sm_err cmd_revoke_ls(struct cli *c, int argc, char **argv);
enum sm_err cmd_init(struct cli *c, int argc, char **argv);
enum sm_err cmd_node(struct cli *c, int argc, char **argv);
enum sm_err cmd_dev_up(struct cli *c, int argc, char **argv);
enum sm_err cmd_dev_down(struct cli *c, int argc, char **argv);
enum sm_err cmd_tun_up(struct cli *c, int argc, char **argv);
enum sm_err cmd_tun_down(struct cli *c, int argc, char **argv);
enum sm_err cmd_tun_status(struct cli *c, int argc, char **argv);
enum sm_err cmd_bench(struct cli *c, int argc, char **argv);

/* Who holds an object; complains itself, "data not found: ..." among others. */
enum sm_err cli_find_holders(struct cli_conn *conn, const struct sm_data_id *id,
                             struct sm_holders *out) SM_MUST;
