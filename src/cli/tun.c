// SPDX-License-Identifier: Apache-2.0
/* tun: make the interface here, where the rights are, and pass it to the node, which has none.
 */
#include "cli/commands.h"
#include "cli/conn.h"
#include "os/tundev.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

enum { MTU_MIN = 1280, MTU_MAX = 65535, MTU = 1400 };

struct reply {
    bool is_done;
    enum sm_err err;
};

static void on_reply(void *ctx, enum sm_err err, struct sm_view body)
{
    struct reply *r = ctx;
    (void)body;
    r->is_done = true;
    r->err = err;
}

/* Ask the node; fd is given away, or -1. */
static enum sm_err ask(struct cli *c, enum sm_ctl_type type, struct sm_view body, int fd)
{
    struct cli_conn conn;
    struct reply r = {0};
    enum sm_err e = cli_connect(c, &conn);
    if (e == SM_OK) {
        e = sm_mesh_ask_fd(conn.mesh, type, body, fd, on_reply, &r);
        if (e == SM_OK) {
            fd = -1;
            e = cli_wait(&conn, &r.is_done);
        }
        sm_mesh_forget(conn.mesh, &r);
        cli_disconnect(&conn);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    SM_TRY(e);
    return r.err;
}

/* -- up ------------------------------------------------------------------------------------ */

static enum sm_err fail_make(struct cli *c, enum sm_err e, const struct sm_tundev *t,
                             const char *what)
{
    switch ((int)e) {
    case SM_E_REFUSED:
        return cli_fail(c, e,
                        "%s: not permitted.  This needs CAP_NET_ADMIN: run it as root, "
                        "'sudo seemesh --home HOME tun up'",
                        what);
    case SM_E_NOTFOUND:
        return cli_fail(c, e,
                        "%s: this kernel has no TUN, or this container does not show it; try "
                        "'modprobe tun', or pass the device /dev/net/tun in",
                        what);
    case SM_E_BUSY:
        return cli_fail(c, e, "%s: '%s' is taken; give another --name", what, t->name);
    default:
        return cli_fail(c, e, "%s: %s", what, sm_err_words(e));
    }
}

/* What the node says its address is. */
static enum sm_err ask_address(struct cli *c, struct sm_tundev *t)
{
    json_t *o = NULL;
    SM_TRY(cli_query(c, "tun", NULL, &o));
    const char *text = json_string_value(json_object_get(o, "address"));
    bool is_up = json_is_true(json_object_get(o, "up"));
    json_int_t prefix = json_integer_value(json_object_get(o, "prefix"));
    bool is_good =
        text != NULL && inet_pton(AF_INET6, text, t->ip) == 1 && prefix > 0 && prefix <= 128;
    t->prefix = (uint8_t)prefix;
    json_decref(o);
    if (is_up) {
        return cli_fail(c, SM_E_EXISTS, "the node has an interface; 'seemesh tun down' first");
    }
    return is_good ? SM_OK : cli_fail(c, SM_E_MALFORMED, "the node's answer is not understood");
}

static enum sm_err pass_on(struct cli *c, const struct sm_tundev *t, int fd)
{
    uint8_t body[64];
    struct sm_ctl_tun m = {.mtu = t->mtu};
    struct sm_wr w = sm_wr_init(body, sizeof body);
    memcpy(m.name, t->name, sizeof m.name);
    sm_ctl_tun_write(&w, &m);
    enum sm_err e = ask(c, SM_CTL_TUN_UP, sm_view_of(body, w.n), fd);
    if (e != SM_OK) {
        return cli_fail(c, e, "the node did not take the interface: %s", sm_err_words(e));
    }
    return SM_OK;
}

enum sm_err cmd_tun_up(struct cli *c, int argc, char **argv)
{
    const char *name = NULL, *what = "";
    uint64_t mtu = MTU;
    struct cli_option options[] = {
        {"--name", "NAME", "what the interface is called", .text = &name},
        {"--mtu", "BYTES", "longest packet that is not a segment", .number = &mtu},
    };
    struct sm_tundev t = {.name = "seemesh%d"};
    int fd = -1;
    SM_TRY(cli_parse(c, cli_command_named("tun up"), options, SM_COUNT(options), argc, argv,
                     &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "tun up takes no arguments");
    }
    if (mtu < MTU_MIN || mtu > MTU_MAX) {
        return cli_fail(c, SM_E_USAGE, "--mtu is from %d to %d", MTU_MIN, MTU_MAX);
    }
    if (name != NULL && (strlen(name) >= sizeof t.name || name[0] == '\0' ||
                         strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-_.") != strlen(name))) {
        return cli_fail(c, SM_E_USAGE, "--name has at most 15 of a-z A-Z 0-9 - _ .");
    }
    if (name != NULL) {
        memcpy(t.name, name, strlen(name) + 1);
    }
    t.mtu = (uint32_t)mtu;
    SM_TRY(ask_address(c, &t));
    enum sm_err e = sm_tundev_make(&t, &fd, &what);
    if (e != SM_OK) {
        return fail_make(c, e, &t, what);
    }
    SM_TRY(pass_on(c, &t, fd));
    char text[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET6, t.ip, text, sizeof text);
    if (c->json) {
        cli_json(json_pack("{s:s, s:s, s:i, s:i}", "name", t.name, "address", text, "prefix",
                           t.prefix, "mtu", (int)t.mtu));
    } else {
        printf("%s %s/%u\n", t.name, text, (unsigned)t.prefix);
    }
    return SM_OK;
}

/* -- down, status ---------------------------------------------------------------------------
 */

enum sm_err cmd_tun_down(struct cli *c, int argc, char **argv)
{
    SM_TRY(cli_parse(c, cli_command_named("tun down"), NULL, 0, argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "tun down takes no arguments");
    }
    enum sm_err e = ask(c, SM_CTL_TUN_DOWN, (struct sm_view){0}, -1);
    if (e == SM_E_NOTFOUND) {
        return cli_fail(c, e, "the node has no interface");
    }
    if (e == SM_E_REFUSED) {
        return cli_fail(c, e, "only the user the node runs as, or root, may do this");
    }
    return e == SM_OK ? SM_OK : cli_fail(c, e, "%s", sm_err_words(e));
}

static long long count_of(json_t *o, const char *group, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(o, group), key));
}

static void print_status(json_t *o)
{
    char sent[24], received[24];
    printf("address   %s/%lld\n", json_string_value(json_object_get(o, "address")),
           json_integer_value(json_object_get(o, "prefix")));
    if (!json_is_true(json_object_get(o, "up"))) {
        printf("interface none; 'seemesh tun up' makes one\n");
        return;
    }
    printf("interface %s, MTU %lld\n", json_string_value(json_object_get(o, "name")),
           json_integer_value(json_object_get(o, "mtu")));
    printf("sent      %lld packets, %s\n", count_of(o, "sent", "packets"),
           cli_bytes((uint64_t)count_of(o, "sent", "bytes"), sent));
    printf("received  %lld packets, %s\n", count_of(o, "received", "packets"),
           cli_bytes((uint64_t)count_of(o, "received", "bytes"), received));
    printf("waiting   %lld packets of %lld flows\n", count_of(o, "waiting", "packets"),
           count_of(o, "waiting", "flows"));
    printf("lost      %lld by the queue, %lld to nobody, %lld the kernel did not take\n",
           count_of(o, "lost", "queue"), count_of(o, "lost", "unreachable"),
           count_of(o, "lost", "not_taken"));
    printf(
        "refused   %lld from here, %lld from peers, %lld of them with an address not theirs\n",
        count_of(o, "lost", "refused_from_here"),
        count_of(o, "lost", "refused_from_peers") + count_of(o, "lost", "refused_sources"),
        count_of(o, "lost", "refused_sources"));
}

enum sm_err cmd_tun_status(struct cli *c, int argc, char **argv)
{
    json_t *o = NULL;
    SM_TRY(cli_parse(c, cli_command_named("tun status"), NULL, 0, argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "tun status takes no arguments");
    }
    SM_TRY(cli_query(c, "tun", NULL, &o));
    if (c->json) {
        cli_json(o);
        return SM_OK;
    }
    print_status(o);
    json_decref(o);
    return SM_OK;
}
