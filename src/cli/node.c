// SPDX-License-Identifier: Apache-2.0
/* init and node: make a node's home, and run it. */
#include "cli/commands.h"
#include "cli/programs.h"
#include "os/child.h"
#include "os/file.h"
#include "os/secretmem.h"
#include "proc/init.h"

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

static enum sm_err init_home(struct cli *c, const char *root, const char *listen, char *peers,
                             struct sm_config *cfg)
{
    struct sm_node_id id;
    uint8_t key[32];
    if (listen != NULL) {
        SM_TRY(take_address(c, "--listen", listen, &cfg->listen.tcp[0]));
        cfg->listen.n_tcp = 1;
    }
    if (peers != NULL) {
        SM_TRY(take_peers(c, peers, cfg));
    }
    bool is_locked;
    SM_TRY(sm_secretmem_init(&is_locked));
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
    char text[SM_B32_LEN(32) + 1];
    sm_b32(id.b, 32, text);
    if (c->json) {
        cli_json(json_pack("{s:s, s:s}", "home", cfg->node.home, "node", text));
    } else {
        printf("%s\n", text);
        cli_say(c, "made %s/seemesh.conf; start the node with: seemesh --home %s node\n",
                cfg->node.home, cfg->node.home);
    }
    return SM_OK;
}

enum sm_err cmd_init(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *mesh = "mesh", *owner = NULL, *root = NULL, *listen = NULL,
               *peers = NULL;
    const struct cli_option opt[] = {
        {.name = "--name", .value = "NAME", .text = &name},
        {.name = "--mesh", .value = "NAME", .text = &mesh},
        {.name = "--owner", .value = "NAME", .text = &owner},
        {.name = "--dev-root", .value = "DIR", .text = &root},
        {.name = "--listen", .value = "ADDR:PORT", .text = &listen},
        {.name = "--peers", .value = "ADDR:PORT,...", .text = &peers},
    };
    struct sm_config cfg;
    char home[SM_PATH];
    SM_TRY(cli_parse(c, cli_command_named("init"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 0 || root == NULL) {
        return cli_fail(c, SM_E_USAGE,
                        argc != 0
                            ? "init takes no arguments, only options; see 'seemesh help init'"
                            : "init wants --dev-root DIR: the folder of the root that "
                              "endorses the mesh's nodes");
    }
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
    cfg.node.environment = SM_ENV_DEV;
    char *peer_list = peers != NULL ? strdup(peers) : NULL;
    e = init_home(c, root, listen, peer_list, &cfg);
    free(peer_list);
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
