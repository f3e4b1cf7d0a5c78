// SPDX-License-Identifier: Apache-2.0
/* dev up and dev down: a whole mesh on this machine, for trying things.
 *
 *     DIR/root/          the development root (its key is on this disk: it proves nothing)
 *     DIR/n1 ... DIR/nN  the nodes' homes, each with its log
 *     DIR/pids           one line a node: name and process id of its seemeshd
 *     DIR/dev.manifest   signed by that root: takes the programs that are installed
 *
 * The nodes listen on loopback addresses made of the folder's name, so that two meshes do not
 * meet, and dial a ring with a few chords: most pairs are not neighbours, and every pair has
 * at least two disjoint paths. */
#include "base/map.h"
#include "cli/commands.h"
#include "cli/dev_tpm.h"
#include "cli/documents.h"
#include "cli/programs.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/secretmem.h"
#include "proc/init.h"
#include "proc/tpm_init.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NODES_MAX = 64,
    PORT = 7411,
};
#define UP_LIMIT   SM_S(60)
#define DOWN_LIMIT SM_S(10)

struct dev {
    struct cli *c;
    char dir[SM_PATH], root[SM_PATH];
    uint64_t nodes, tpms; /* the first `tpms` nodes have a software TPM */
    struct cli_programs programs;
    pid_t pids[NODES_MAX];
};

static enum sm_err node_home(const struct dev *d, uint64_t i, char out[static SM_PATH])
{
    char name[24];
    snprintf(name, sizeof name, "n%" PRIu64, i + 1);
    return sm_path_join(d->dir, name, out);
}

static enum sm_err dev_dir(struct cli *c, const char *dir, struct dev *d)
{
    const char *home = getenv("HOME");
    char path[SM_PATH];
    if (dir == NULL) {
        if (home == NULL || sm_path_join(home, ".seemesh-dev", path) != SM_OK) {
            return cli_fail(c, SM_E_USAGE, "no HOME to put the mesh in: give --dir DIR");
        }
        dir = path;
    }
    enum sm_err e = sm_dir_make(dir, 0700);
    char *real = realpath(dir, NULL);
    if (e != SM_OK || real == NULL || strlen(real) >= SM_PATH - 32) {
        free(real);
        return cli_fail(c, e != SM_OK ? e : SM_E_LIMIT, "cannot use %s: %s", dir,
                        e != SM_OK ? sm_err_words(e) : "the path is too long");
    }
    memcpy(d->dir, real, strlen(real) + 1);
    free(real);
    return sm_path_join(d->dir, "root", d->root);
}

/* -- making ------------------------------------------------------------------------------- */

static struct sm_inet address_of(const struct dev *d, uint64_t i)
{
    uint64_t h = sm_siphash(d->dir, strlen(d->dir), 0, 0);
    return (struct sm_inet){
        .family = 4,
        .ip = {127, (uint8_t)(64 + h % 128), (uint8_t)(h >> 8 & 255), (uint8_t)(i + 1)},
        .port = PORT};
}

static void add_peer(const struct dev *d, struct sm_config *cfg, uint64_t to)
{
    struct sm_config_peer *p = &cfg->peers[cfg->n_peers++];
    snprintf(p->name, sizeof p->name, "n%" PRIu64, to + 1);
    p->address = address_of(d, to);
}

/* A ring, and from every second node a chord to the other side. */
static void choose_peers(const struct dev *d, uint64_t i, struct sm_config *cfg)
{
    if (d->nodes > 1) {
        add_peer(d, cfg, (i + 1) % d->nodes);
    }
    if (d->nodes > 4 && i % 2 == 0) {
        add_peer(d, cfg, (i + d->nodes / 2) % d->nodes);
    }
}

static enum sm_err make_on_tpm(struct dev *d, struct sm_config *cfg)
{
    char ca[SM_PATH], makers[SM_PATH], why[SM_TPM_ENROL_WHY];
    struct sm_tpm_init how = {.pcr_mask = DEV_TPM_PCRS, .root_dir = d->root, .makers = makers};
    struct sm_node_id id;
    SM_TRY(sm_path_join(d->dir, "tpm-ca", ca));
    SM_TRY(sm_path_join(ca, "makers.pem", makers));
    SM_TRY(dev_tpm_device(cfg->node.home, cfg->platform.device));
    enum sm_err e = dev_tpm_make(cfg->node.home, ca, why);
    e = e == SM_OK ? sm_tpm_node_init(cfg, &how, &id, why) : e;
    return e == SM_OK ? e : cli_fail(d->c, e, "%s", why);
}

/* One that was made before is switched on again: a boot as it was. */
static enum sm_err start_tpm(struct dev *d, uint64_t i)
{
    char home[SM_PATH], why[DEV_TPM_WHY];
    SM_TRY(node_home(d, i, home));
    if (!dev_tpm_is_made(home)) {
        return SM_OK;
    }
    enum sm_err e = dev_tpm_start(home, why);
    return e == SM_OK ? e : cli_fail(d->c, e, "%s", why);
}

static void stop_tpms(const struct dev *d)
{
    for (uint64_t i = 0; i < d->nodes; i++) {
        char home[SM_PATH];
        if (node_home(d, i, home) == SM_OK) {
            dev_tpm_stop(home);
        }
    }
}

static enum sm_err make_node(struct dev *d, uint64_t i, uint64_t slots)
{
    char home[SM_PATH], conf[SM_PATH];
    struct sm_config cfg;
    struct sm_node_id id;
    SM_TRY(node_home(d, i, home));
    SM_TRY(sm_path_join(home, "seemesh.conf", conf));
    if (sm_file_exists(conf)) {
        return start_tpm(d, i); /* an earlier mesh in this folder goes on */
    }
    SM_TRY(sm_config_defaults(home, &cfg));
    snprintf(cfg.node.name, sizeof cfg.node.name, "n%" PRIu64, i + 1);
    snprintf(cfg.node.owner, sizeof cfg.node.owner, "org%" PRIu64, i + 1);
    snprintf(cfg.node.mesh, sizeof cfg.node.mesh, "dev");
    cfg.node.environment = SM_ENV_DEV;
    cfg.listen.n_tcp = 1;
    cfg.listen.tcp[0] = address_of(d, i);
    cfg.see.slots = (uint32_t)slots;
    choose_peers(d, i, &cfg);
    if (i < d->tpms) {
        return make_on_tpm(d, &cfg);
    }
    enum sm_err e = sm_node_init(&cfg, d->root, &id);
    return e == SM_E_EXISTS ? SM_OK : e;
}

/* -- starting ----------------------------------------------------------------------------- */

static enum sm_err start_node(struct dev *d, uint64_t i)
{
    char home[SM_PATH], log[SM_PATH];
    SM_TRY(node_home(d, i, home));
    SM_TRY(sm_path_join(home, "log", log));
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return SM_E_IO;
    }
    const char *argv[] = {"seemeshd", "--home", home, "--libexec", d->programs.libexec, NULL};
    struct sm_fd_map fds[] = {{fd, 1}, {fd, 2}};
    struct sm_child_cfg cfg = {.path = d->programs.daemon,
                               .argv = argv,
                               .fds = fds,
                               .n_fds = SM_COUNT(fds),
                               .cwd = home,
                               .own_group = true};
    struct sm_child child;
    enum sm_err e = sm_child_spawn(&cfg, &child);
    close(fd);
    if (e == SM_OK) {
        d->pids[i] = child.pid;
        sm_child_done(&child);
    }
    return e;
}

static enum sm_err write_pids(const struct dev *d)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(8192);
    char path[SM_PATH];
    for (uint64_t i = 0; i < d->nodes; i++) {
        SM_TRY(sm_buf_printf(&text, "n%" PRIu64 " %d\n", i + 1, (int)d->pids[i]));
    }
    SM_TRY(sm_path_join(d->dir, "pids", path));
    return sm_file_write_atomic(path, 0600, sm_buf_view(&text));
}

static enum sm_err read_pids(struct dev *d)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(8192);
    char path[SM_PATH];
    SM_TRY(sm_path_join(d->dir, "pids", path));
    SM_TRY(sm_file_read(path, &text));
    SM_TRY(sm_buf_add(&text, "", 1));
    d->nodes = 0;
    char *save = NULL;
    for (char *line = strtok_r((char *)text.p, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *space = strchr(line, ' ');
        if (space == NULL || d->nodes == NODES_MAX) {
            return SM_E_CORRUPT;
        }
        d->pids[d->nodes++] = (pid_t)strtol(space + 1, NULL, 10);
    }
    return SM_OK;
}

/* Is this process one of the mesh's daemons?  Process ids are used again. */
static bool is_ours(const struct dev *d, uint64_t i)
{
    char path[64], home[SM_PATH], text[4 * SM_PATH];
    if (d->pids[i] <= 1 || node_home(d, i, home) != SM_OK) {
        return false;
    }
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)d->pids[i]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return n > 0 && memmem(text, (size_t)n, home, strlen(home) + 1) != NULL;
}

/* How many nodes this one can reach, itself included; 0 while it is not up. */
static size_t nodes_seen(struct dev *d, uint64_t i)
{
    char home[SM_PATH];
    if (node_home(d, i, home) != SM_OK) {
        return 0;
    }
    struct cli quiet = {.json = false, .quiet = true, .home = home, .is_probe = true};
    json_t *o = NULL, *node;
    size_t at, seen = 0;
    if (cli_query(&quiet, "nodes", NULL, &o) != SM_OK) {
        return 0;
    }
    json_array_foreach(json_object_get(o, "nodes"), at, node)
    {
        seen += json_is_true(json_object_get(node, "reachable"));
    }
    json_decref(o);
    return seen;
}

static void nap(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

/* Wait until every node reaches every other. */
static enum sm_err wait_up(struct dev *d)
{
    struct sm_mono end = sm_after(sm_clock_mono(), UP_LIMIT);
    struct cli_progress p;
    cli_progress_start(&p, d->c, "joining", d->nodes * d->nodes);
    while (!sm_is_due(end, sm_clock_mono())) {
        uint64_t pairs = 0;
        for (uint64_t i = 0; i < d->nodes; i++) {
            pairs += nodes_seen(d, i);
            if (!is_ours(d, i)) {
                char home[SM_PATH] = "";
                enum sm_err e = node_home(d, i, home);
                (void)e;
                cli_progress_end(&p);
                return cli_fail(d->c, SM_E_FAILED, "node n%" PRIu64 " ended; see %s/log", i + 1,
                                home);
            }
        }
        char note[64];
        snprintf(note, sizeof note, "%" PRIu64 " of %" PRIu64 " pairs of nodes have a path",
                 pairs, d->nodes * d->nodes);
        cli_progress_set(&p, pairs, note);
        if (pairs == d->nodes * d->nodes) {
            cli_progress_end(&p);
            return SM_OK;
        }
        nap(50);
    }
    cli_progress_end(&p);
    return cli_fail(d->c, SM_E_TIMEOUT, "the mesh did not join within a minute; see %s/n*/log",
                    d->dir);
}

/* -- the manifest ------------------------------------------------------------------------- */

#define MANIFEST_DAYS 365u
#define MANIFEST_LEFT (30u * 86400u) /* with less left it is signed anew */

static bool is_active_in(const struct sm_mesh_manifest *m, const struct sm_refval *want)
{
    for (size_t i = 0; i < m->n_refs; i++) {
        const struct sm_refval *v = &m->refs[i];
        if (v->platform == want->platform && v->kind == want->kind &&
            v->state == SM_REFVAL_ACTIVE &&
            memcmp(&v->value, &want->value, sizeof v->value) == 0) {
            return true;
        }
    }
    return false;
}

/* Does it take all that runs now, and for a while? */
static bool is_still_good(const struct sm_mesh_manifest *old,
                          const struct sm_mesh_manifest *new)
{
    bool is_good = old->not_after.s > sm_clock_wall().s + MANIFEST_LEFT;
    for (size_t i = 0; is_good && i < new->n_refs; i++) {
        is_good = is_active_in(old, &new->refs[i]);
    }
    return is_good;
}

static enum sm_err sign_manifest(struct dev *d, struct sm_mesh_manifest *m, const char *path,
                                 struct sm_buf *out)
{
    struct sm_sign_pair *root = NULL;
    m->issued = sm_clock_wall();
    m->not_after.s = m->issued.s + MANIFEST_DAYS * 86400u;
    SM_TRY(cli_root_load(d->c, d->root, &root));
    sm_buf_clear(out);
    enum sm_err e = sm_mesh_manifest_sign(sm_suite_real(), root, m, out);
    sm_secret_free(root);
    if (e == SM_OK) {
        e = sm_file_write_atomic(path, 0644, sm_buf_view(out));
    }
    return e == SM_OK ? SM_OK : cli_fail(d->c, e, "cannot sign %s: %s", path, sm_err_words(e));
}

/* Connect to node i, waiting for it to come up. */
static enum sm_err connect_node(struct dev *d, uint64_t i, struct sm_mono end,
                                struct cli_conn *out)
{
    char home[SM_PATH];
    struct cli quiet = {.quiet = true, .home = home, .is_probe = true};
    SM_TRY(node_home(d, i, home));
    while (cli_connect(&quiet, out) != SM_OK) {
        if (!is_ours(d, i) || sm_is_due(end, sm_clock_mono())) {
            return cli_fail(d->c, SM_E_FAILED, "node n%" PRIu64 " does not come up; see %s/log",
                            i + 1, home);
        }
        nap(50);
    }
    out->c = d->c; /* from now on a failure is told */
    return SM_OK;
}

/* What each node says it runs; and the manifest that the first has in force. */
static enum sm_err look_at_nodes(struct dev *d, struct sm_mono end, struct sm_mesh_manifest *m,
                                 struct sm_buf *held)
{
    for (uint64_t i = 0; i < d->nodes; i++) {
        struct cli_conn conn;
        SM_TRY(connect_node(d, i, end, &conn));
        enum sm_err e = i == 0 ? cli_manifest_template(d->c, &conn.anchor, m) : SM_OK;
        if (e == SM_OK && i == 0) {
            e = cli_doc_of_node(&conn, SM_DOC_MANIFEST, held);
        }
        if (e == SM_OK) {
            e = cli_manifest_add_self(&conn, m);
        }
        cli_disconnect(&conn);
        SM_TRY(e);
    }
    return SM_OK;
}

/* The one in force when it takes all that runs now: somebody may have applied a manifest of
 * their own.  Else DIR/dev.manifest, of the next version. */
static enum sm_err choose_manifest(struct dev *d, struct sm_mono end, struct sm_buf *doc)
{
    char path[SM_PATH];
    struct sm_mesh_manifest m = {0};
    struct cli_manifest held = {0};
    SM_TRY(sm_path_join(d->dir, "dev.manifest", path));
    enum sm_err e = look_at_nodes(d, end, &m, doc);
    if (e == SM_OK && doc->n > 0) {
        e = cli_manifest_of_doc(d->c, "the manifest in force", sm_buf_view(doc), NULL, &held);
    }
    if (e == SM_OK && (doc->n == 0 || !is_still_good(&held.m, &m))) {
        m.version = held.m.version + 1;
        e = sign_manifest(d, &m, path, doc);
    }
    sm_mesh_manifest_done(&held.m);
    sm_mesh_manifest_done(&m);
    return e;
}

/* To every node by itself: after an update of the programs none of them would believe another
 * one before it has the manifest that names the new ones. */
static enum sm_err apply_manifest(struct dev *d)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    struct sm_mono end = sm_after(sm_clock_mono(), UP_LIMIT);
    SM_TRY(choose_manifest(d, end, &doc));
    for (uint64_t i = 0; i < d->nodes; i++) {
        struct cli_conn conn;
        SM_TRY(connect_node(d, i, end, &conn));
        enum sm_err e = cli_doc_offer(&conn, SM_DOC_MANIFEST, sm_buf_view(&doc));
        cli_disconnect(&conn);
        SM_TRY(e);
    }
    return SM_OK;
}

static enum sm_err any_is_up(struct dev *d)
{
    if (read_pids(d) != SM_OK) {
        return SM_OK;
    }
    for (uint64_t i = 0; i < d->nodes; i++) {
        if (is_ours(d, i)) {
            return cli_fail(d->c, SM_E_EXISTS, "a mesh is up in %s; 'seemesh dev down' ends it",
                            d->dir);
        }
    }
    return SM_OK;
}

static enum sm_err make_and_start(struct dev *d, uint64_t slots)
{
    uint8_t key[32];
    bool is_locked;
    SM_TRY(sm_secretmem_init(&is_locked));
    enum sm_err e = sm_dev_root_init(d->root, key);
    if (e == SM_E_UNSUPPORTED) {
        return cli_fail(d->c, e, "this build has no development root (-Ddev_root=true has)");
    }
    for (uint64_t i = 0; i < d->nodes && e == SM_OK; i++) {
        e = make_node(d, i, slots);
    }
    for (uint64_t i = 0; i < d->nodes && e == SM_OK; i++) {
        e = start_node(d, i);
    }
    if (e == SM_OK) {
        e = write_pids(d);
    } else {
        stop_tpms(d);
    }
    return e != SM_OK && !d->c->is_told
               ? cli_fail(d->c, e, "cannot make the mesh in %s: %s", d->dir, sm_err_words(e))
               : e;
}

enum sm_err cmd_dev_up(struct cli *c, int argc, char **argv)
{
    const char *dir = NULL;
    uint64_t nodes = 7, slots = 2, tpms = 0;
    bool no_manifest = false;
    const struct cli_option opt[] = {{.name = "--no-manifest", .flag = &no_manifest},
                                     {.name = "--nodes", .value = "N", .number = &nodes},
                                     {.name = "--see-slots", .value = "N", .number = &slots},
                                     {.name = "--tpm", .value = "N", .number = &tpms},
                                     {.name = "--dir", .value = "DIR", .text = &dir}};
    struct dev d = {.c = c};
    SM_TRY(cli_parse(c, cli_command_named("dev up"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 0 || nodes < 1 || nodes > NODES_MAX || slots < 1 || slots > 64) {
        return cli_fail(c, SM_E_USAGE, "dev up takes --nodes 1 to %d and --see-slots 1 to 64",
                        NODES_MAX);
    }
    SM_TRY(dev_dir(c, dir, &d));
    SM_TRY(any_is_up(&d));
    d.nodes = nodes;
    d.tpms = tpms;
    SM_TRY(cli_programs(c, &d.programs));
    SM_TRY(make_and_start(&d, slots));
    if (!no_manifest) {
        SM_TRY(apply_manifest(&d));
    }
    SM_TRY(wait_up(&d));
    if (c->json) {
        cli_json(json_pack("{s:s, s:I}", "dir", d.dir, "nodes", (json_int_t)nodes));
        return SM_OK;
    }
    printf("%s\n", d.dir);
    cli_say(c,
            "%" PRIu64 " nodes are up, rooted in software: for trying things, not for secrets\n"
            "  export SEEMESH_HOME=%s/n1\n"
            "  seemesh nodes\n  seemesh put FILE\n  seemesh dev down%s%s\n",
            nodes, d.dir, dir != NULL ? " --dir " : "", dir != NULL ? d.dir : "");
    return SM_OK;
}

enum sm_err cmd_dev_down(struct cli *c, int argc, char **argv)
{
    const char *dir = NULL;
    const struct cli_option opt[] = {{.name = "--dir", .value = "DIR", .text = &dir}};
    struct dev d = {.c = c};
    unsigned stopped = 0, alive = 1;
    SM_TRY(cli_parse(c, cli_command_named("dev down"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "dev down takes only --dir");
    }
    SM_TRY(dev_dir(c, dir, &d));
    enum sm_err e = read_pids(&d);
    if (e != SM_OK) {
        return cli_fail(c, e, "no mesh was started in %s", d.dir);
    }
    for (uint64_t i = 0; i < d.nodes; i++) {
        if (is_ours(&d, i) && kill(d.pids[i], SIGTERM) == 0) {
            stopped++;
        }
    }
    struct sm_mono end = sm_after(sm_clock_mono(), DOWN_LIMIT);
    while (alive > 0 && !sm_is_due(end, sm_clock_mono())) {
        alive = 0;
        for (uint64_t i = 0; i < d.nodes; i++) {
            alive += is_ours(&d, i);
        }
        nap(alive > 0 ? 20 : 0);
    }
    for (uint64_t i = 0; i < d.nodes; i++) {
        if (is_ours(&d, i)) {
            kill(-d.pids[i], SIGKILL);
        }
    }
    stop_tpms(&d);
    cli_say(c, "stopped %u nodes\n", stopped);
    if (c->json) {
        cli_json(json_pack("{s:i, s:i}", "stopped", (int)stopped, "killed", (int)alive));
    }
    return SM_OK;
}
