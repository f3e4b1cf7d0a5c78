// SPDX-License-Identifier: Apache-2.0
/* init and node: make a node's home, and run it. */
#include "cli/commands.h"
#include "cli/programs.h"
#include "os/child.h"
#include "os/file.h"
#include "os/secretmem.h"
#include "proc/cc_enrol.h"
#include "proc/init.h"
#include "proc/sealed.h"
#include "proc/tpm_init.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- where the programs are --------------------------------------------------------------- */

/* Installed, this program is PREFIX/bin/seemesh; in a build tree it is BUILD/src/cli/seemesh.
 */
enum sm_err cli_programs(struct cli *c, struct cli_programs *out)
{
    char self[SM_PATH], dir[SM_PATH];
    SM_TRY(sm_self_path(self, sizeof self));
    *strrchr(self, '/') = '\0';
    const struct {
        const char *daemon, *libexec;
    } layouts[] = {{"../sbin/seemeshd", "../libexec/seemesh"}};
    for (size_t i = 0; i < SM_COUNT(layouts); i++) {
        char *daemon, *libexec;
        SM_TRY(sm_path_join(self, layouts[i].daemon, dir));
        daemon = realpath(dir, NULL);
        SM_TRY(sm_path_join(self, layouts[i].libexec, dir));
        libexec = realpath(dir, NULL);
        bool is_here = daemon != NULL && libexec != NULL && strlen(daemon) < SM_PATH &&
                       strlen(libexec) < SM_PATH;
        if (is_here) {
            memcpy(out->daemon, daemon, strlen(daemon) + 1);
            memcpy(out->libexec, libexec, strlen(libexec) + 1);
        }
        free(daemon);
        free(libexec);
        if (is_here) {
            return SM_OK;
        }
    }
    return cli_fail(c, SM_E_NOTFOUND,
                    "seemeshd is not beside %s; install first (meson install), or run the "
                    "staged build",
                    self);
}

/* -- init --------------------------------------------------------------------------------- */

static enum sm_err take_name(struct cli *c, const char *what, const char *text, char *out,
                             size_t cap)
{
    if (text == NULL || text[0] == '\0' || strlen(text) >= cap) {
        return cli_fail(c, SM_E_USAGE, "%s must be a name of 1 to %zu characters", what,
                        cap - 1);
    }
    memcpy(out, text, strlen(text) + 1);
    return SM_OK;
}

static enum sm_err take_address(struct cli *c, const char *option, const char *text,
                                struct sm_inet *out)
{
    if (sm_inet_parse(text, out) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "%s wants ADDRESS:PORT (like 10.0.0.5:7411), not '%s'",
                        option, text);
    }
    return SM_OK;
}

static enum sm_err take_peers(struct cli *c, char *list, struct sm_config *cfg)
{
    char *save = NULL;
    for (char *p = strtok_r(list, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        struct sm_config_peer *peer = &cfg->peers[cfg->n_peers];
        if (cfg->n_peers == SM_CONFIG_PEERS_MAX) {
            return cli_fail(c, SM_E_LIMIT, "at most %u peers", SM_CONFIG_PEERS_MAX);
        }
        SM_TRY(take_address(c, "--peers", p, &peer->address));
        snprintf(peer->name, sizeof peer->name, "peer%zu", cfg->n_peers + 1);
        cfg->n_peers++;
    }
    return SM_OK;
}

/* The options of init that are not in the configuration as they are. */
struct init {
    const char *root, *listen, *pcrs, *tpm, *tpm_ca, *platform, *root_key, *environment;
    char *peers;
};

static enum sm_err take_endpoints(struct cli *c, const struct init *in, struct sm_config *cfg)
{
    if (in->listen != NULL) {
        SM_TRY(take_address(c, "--listen", in->listen, &cfg->listen.tcp[0]));
        cfg->listen.n_tcp = 1;
    }
    return in->peers != NULL ? take_peers(c, in->peers, cfg) : SM_OK;
}

static void say_made(struct cli *c, const struct sm_config *cfg, const struct sm_node_id *id)
{
    char text[SM_B32_LEN(32) + 1];
    sm_b32(id->b, 32, text);
    if (c->json) {
        cli_json(json_pack("{s:s, s:s}", "home", cfg->node.home, "node", text));
    } else {
        printf("%s\n", text);
        cli_say(c, "made %s/seemesh.conf; start the node with: seemesh --home %s node\n",
                cfg->node.home, cfg->node.home);
    }
}

/* -- on a TPM ----------------------------------------------------------------------------- */

static enum sm_err take_tpm(struct cli *c, const struct init *in, struct sm_config *cfg,
                            struct sm_tpm_init *out)
{
    struct sm_tpm_init how = {
        .pcr_mask = SM_PCRS_DEFAULT, .root_dir = in->root, .makers = in->tpm_ca};
    if (strlen(in->tpm) >= sizeof cfg->platform.device) {
        return cli_fail(c, SM_E_USAGE, "--tpm is too long");
    }
    memcpy(cfg->platform.device, in->tpm, strlen(in->tpm) + 1);
    if (in->pcrs != NULL && sm_pcrs_parse(in->pcrs, &how.pcr_mask) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "--pcrs wants registers like 0,2,4,7 (not 16 or 23)");
    }
    if ((in->root != NULL) != (in->tpm_ca != NULL)) {
        return cli_fail(c, SM_E_USAGE, "--tpm-ca goes with --dev-root: it is to check the TPM");
    }
    *out = how;
    return SM_OK;
}

static enum sm_err take_root_key(struct cli *c, const char *text, struct sm_config *cfg)
{
    cfg->n_roots = 1;
    memcpy(cfg->roots[0].name, "root", sizeof "root");
    if (sm_unb32(text, strlen(text), cfg->roots[0].key, 32) != SM_OK) {
        return cli_fail(c, SM_E_USAGE, "--root wants the 52 letters of root.pub");
    }
    return SM_OK;
}

static enum sm_err init_tpm(struct cli *c, const struct init *in, struct sm_config *cfg)
{
    struct sm_tpm_init how;
    struct sm_node_id id;
    uint8_t key[32];
    char why[SM_TPM_ENROL_WHY];
    SM_TRY(take_tpm(c, in, cfg, &how));
    if (in->root_key != NULL) {
        SM_TRY(take_root_key(c, in->root_key, cfg));
    } else {
        enum sm_err e = sm_dev_root_init(in->root, key);
        if (e != SM_OK) {
            return cli_fail(c, e, "cannot make or read the root in %s: %s", in->root,
                            sm_err_words(e));
        }
    }
    enum sm_err e = sm_tpm_node_init(cfg, &how, &id, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    if (in->root_key == NULL) {
        say_made(c, cfg, &id);
        return SM_OK;
    }
    if (c->json) {
        cli_json(json_pack("{s:s}", "home", cfg->node.home));
    }
    cli_say(c, "made %s; now: seemesh --home %s tpm request -o REQUEST\n", cfg->node.home,
            cfg->node.home);
    return SM_OK;
}

/* -- on a confidential machine ------------------------------------------------------------ */

static enum sm_err init_platform(struct cli *c, const struct init *in, struct sm_config *cfg)
{
    char why[SM_PROVIDER_WHY];
    cfg->platform.kind = strcmp(in->platform, "snp") == 0 ? SM_PLATFORM_SNP : SM_PLATFORM_TDX;
    SM_TRY(take_root_key(c, in->root_key, cfg));
    enum sm_err e = sm_cc_home_make(cfg, why);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", why);
    }
    if (c->json) {
        cli_json(json_pack("{s:s}", "home", cfg->node.home));
    }
    cli_say(c,
            "made %s; put the maker's certificates into keys/" SM_STAPLES
            " there (doc/hardware.md), then: seemesh --home %s platform request -o REQUEST\n",
            cfg->node.home, cfg->node.home);
    return SM_OK;
}

/* -- on the development platform ---------------------------------------------------------- */

static enum sm_err init_home(struct cli *c, const struct init *in, struct sm_config *cfg)
{
    struct sm_node_id id;
    uint8_t key[32];
    const char *root = in->root;
    SM_TRY(take_endpoints(c, in, cfg));
    bool is_locked;
    SM_TRY(sm_secretmem_init(&is_locked));
    if (in->tpm != NULL) {
        return init_tpm(c, in, cfg);
    }
    if (in->platform != NULL) {
        return init_platform(c, in, cfg);
    }
    enum sm_err e = sm_dev_root_init(root, key);
    if (e == SM_E_UNSUPPORTED) {
        return cli_fail(c, e,
                        "this build has no development root, and hardware roots are not "
                        "part of this version");
    }
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot make or read the root in %s: %s", root, sm_err_words(e));
    }
    e = sm_node_init(cfg, root, &id);
    if (e == SM_E_EXISTS) {
        return cli_fail(c, e, "%s is a node's home already; nothing was changed",
                        cfg->node.home);
    }
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot make %s: %s", cfg->node.home, sm_err_words(e));
    }
    say_made(c, cfg, &id);
    return SM_OK;
}

static enum sm_err check_init(struct cli *c, const struct init *in, int argc)
{
    const char *env = in->environment;
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE,
                        "init takes no arguments, only options; see 'seemesh help init'");
    }
    if (in->platform != NULL &&
        (in->tpm != NULL || in->root_key == NULL ||
         (strcmp(in->platform, "snp") != 0 && strcmp(in->platform, "tdx") != 0))) {
        return cli_fail(c, SM_E_USAGE, "--platform is snp or tdx, and goes with --root KEY");
    }
    if (in->tpm == NULL && (in->tpm_ca != NULL || in->pcrs != NULL)) {
        return cli_fail(c, SM_E_USAGE, "--tpm-ca and --pcrs go with --tpm");
    }
    if (in->tpm == NULL && in->platform == NULL && in->root_key != NULL) {
        return cli_fail(c, SM_E_USAGE, "--root goes with --tpm or --platform");
    }
    if ((in->root != NULL) == (in->root_key != NULL)) {
        return cli_fail(c, SM_E_USAGE,
                        "init wants --dev-root DIR: the folder of the root that endorses the "
                        "mesh's nodes (or, with --tpm or --platform, --root KEY)");
    }
    if (env != NULL && strcmp(env, "dev") != 0 &&
        (strcmp(env, "prod") != 0 || in->root_key == NULL)) {
        return cli_fail(c, SM_E_USAGE, "--environment is dev, or with --root also prod");
    }
    return SM_OK;
}

enum sm_err cmd_init(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *mesh = "mesh", *owner = NULL, *peers = NULL;
    struct init in = {0};
    const struct cli_option opt[] = {
        {.name = "--name", .value = "NAME", .text = &name},
        {.name = "--mesh", .value = "NAME", .text = &mesh},
        {.name = "--owner", .value = "NAME", .text = &owner},
        {.name = "--dev-root", .value = "DIR", .text = &in.root},
        {.name = "--listen", .value = "ADDR:PORT", .text = &in.listen},
        {.name = "--tpm", .value = "TCTI", .text = &in.tpm},
        {.name = "--tpm-ca", .value = "FILE", .text = &in.tpm_ca},
        {.name = "--pcrs", .value = "LIST", .text = &in.pcrs},
        {.name = "--platform", .value = "snp|tdx", .text = &in.platform},
        {.name = "--root", .value = "KEY", .text = &in.root_key},
        {.name = "--environment", .value = "dev|prod", .text = &in.environment},
        {.name = "--peers", .value = "ADDR:PORT,...", .text = &peers},
    };
    struct sm_config cfg;
    char home[SM_PATH];
    SM_TRY(cli_parse(c, cli_command_named("init"), opt, SM_COUNT(opt), argc, argv, &argc));
    SM_TRY(check_init(c, &in, argc));
    SM_TRY(cli_home(c, home, sizeof home));
    enum sm_err e = sm_dir_make(home, 0700);
    if (e != SM_OK) {
        return cli_fail(c, e, "cannot make %s: %s", home, sm_err_words(e));
    }
    SM_TRY(cli_home(c, home, sizeof home)); /* absolute, now that it is there */
    SM_TRY(sm_config_defaults(home, &cfg));
    const char *slash = strrchr(home, '/');
    name = name != NULL ? name : slash != NULL ? slash + 1 : home;
    SM_TRY(take_name(c, "--name", name, cfg.node.name, sizeof cfg.node.name));
    SM_TRY(take_name(c, "--mesh", mesh, cfg.node.mesh, sizeof cfg.node.mesh));
    SM_TRY(take_name(c, "--owner", owner != NULL ? owner : name, cfg.node.owner,
                     sizeof cfg.node.owner));
    cfg.node.environment = in.environment != NULL && strcmp(in.environment, "prod") == 0
                               ? SM_ENV_PROD
                               : SM_ENV_DEV;
    in.peers = peers != NULL ? strdup(peers) : NULL;
    e = init_home(c, &in, &cfg);
    free(in.peers);
    return e;
}

/* -- node --------------------------------------------------------------------------------- */

enum sm_err cmd_node(struct cli *c, int argc, char **argv)
{
    struct cli_programs p;
    char home[SM_PATH];
    SM_TRY(cli_parse(c, cli_command_named("node"), NULL, 0, argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "node takes no arguments; --home names the node");
    }
    SM_TRY(cli_home(c, home, sizeof home));
    SM_TRY(cli_programs(c, &p));
    execl(p.daemon, "seemeshd", "--home", home, "--libexec", p.libexec, (char *)NULL);
    return cli_fail(c, SM_E_FAILED, "cannot start %s", p.daemon);
}
