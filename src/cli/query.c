// SPDX-License-Identifier: Apache-2.0
/* status, nodes, route, trust, see list: what the node says, as tables. */
#include "cli/commands.h"

#include <inttypes.h>
#include <string.h>

static const char *text_of(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static double number_of(json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static bool is_true(json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

/* One command that takes `argc` arguments, the last of which goes to the node. */
static enum sm_err ask(struct cli *c, const char *command, const char *what, int want, int argc,
                       char **argv, json_t **out)
{
    SM_TRY(cli_parse(c, cli_command_named(command), NULL, 0, argc, argv, &argc));
    if (argc != want) {
        return cli_fail(c, SM_E_USAGE,
                        want == 0 ? "%s takes no arguments" : "%s wants one NODE", command);
    }
    return cli_query(c, what, want == 1 ? argv[0] : NULL, out);
}

static enum sm_err done(struct cli *c, json_t *o, void (*print)(json_t *o))
{
    if (c->json) {
        cli_json(o);
        return SM_OK;
    }
    print(o);
    json_decref(o);
    return SM_OK;
}

static void join(json_t *list, char *out, size_t cap)
{
    size_t i, n = 0;
    json_t *word;
    out[0] = '\0';
    json_array_foreach(list, i, word)
    {
        int k = snprintf(out + n, cap - n, "%s%s", i > 0 ? " " : "", json_string_value(word));
        n += k > 0 && (size_t)k < cap - n ? (size_t)k : 0;
    }
}

/* -- status ------------------------------------------------------------------------------ */

static void print_tunnels(json_t *list)
{
    struct cli_table t = {
        .head = {"neighbour", "round trip", "cipher", "sent", "received", "proof", "ends in"},
        .columns = 7};
    size_t i;
    json_t *p;
    json_array_foreach(list, i, p)
    {
        char rtt[32], sent[24], received[24], proof[24], left[32];
        json_t *lease = json_object_get(p, "lease");
        snprintf(rtt, sizeof rtt, "%.2f ms", number_of(p, "rtt_ms"));
        snprintf(proof, sizeof proof, "%.0f", number_of(lease, "number"));
        snprintf(left, sizeof left, "%.0f min", number_of(lease, "left_s") / 60);
        cli_table_row(&t, text_of(p, "owner"), rtt, text_of(p, "cipher"),
                      cli_bytes((uint64_t)number_of(p, "sent_bytes"), sent),
                      cli_bytes((uint64_t)number_of(p, "received_bytes"), received), proof,
                      left);
    }
    cli_table_print(&t, stdout);
}

static void print_post_quantum(json_t *o)
{
    const char *mode = text_of(o, "mode");
    if (is_true(o, "available")) {
        printf("tunnels   ML-KEM-768 beside X25519: %s\n", mode);
    } else {
        printf("tunnels   ML-KEM-768 is not available: %s, it needs 3.5 (pq = %s)\n",
               text_of(o, "library"), mode);
    }
}

static void print_status(json_t *o)
{
    char roles[64];
    json_t *dht = json_object_get(o, "dht"), *packets = json_object_get(o, "packets");
    join(json_object_get(o, "roles"), roles, sizeof roles);
    printf("node      %s (%s), %s\n", text_of(o, "name"), text_of(o, "owner"), roles);
    printf("id        %s\n", text_of(o, "node"));
    printf("mesh      %s, environment %s, %.0f nodes known\n", text_of(o, "mesh"),
           text_of(o, "environment"), number_of(o, "nodes"));
    printf("root      %s\n", text_of(o, "root"));
    print_post_quantum(json_object_get(o, "post_quantum"));
    printf("up        %.0f s, version %s\n", number_of(o, "uptime_s"), text_of(o, "version"));
    printf("packets   %.0f sent, %.0f delivered, %.0f forwarded; dropped: %.0f queue, %.0f no "
           "route\n",
           number_of(packets, "sent"), number_of(packets, "delivered"),
           number_of(packets, "forwarded"), number_of(packets, "dropped_queue"),
           number_of(packets, "dropped_no_route"));
    printf("records   %.0f kept for the mesh, %.0f announced from here\n",
           number_of(dht, "records"), number_of(dht, "published"));
    printf("local     %.0f clients, %.0f of %.0f SEEs\n\n", number_of(o, "clients"),
           number_of(o, "sees"), number_of(o, "see_slots"));
    print_tunnels(json_object_get(o, "tunnels"));
}

enum sm_err cmd_status(struct cli *c, int argc, char **argv)
{
    json_t *o;
    SM_TRY(ask(c, "status", "status", 0, argc, argv, &o));
    return done(c, o, print_status);
}

/* -- nodes ------------------------------------------------------------------------------- */

static void print_nodes(json_t *o)
{
    struct cli_table t = {.head = {"owner", "node", "roles", "trust", "path cost", "links", ""},
                          .columns = 7};
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(o, "nodes"), i, p)
    {
        char roles[64], trust[16], cost[32], links[16], id[17];
        join(json_object_get(p, "roles"), roles, sizeof roles);
        snprintf(trust, sizeof trust, "%.3f", number_of(p, "trust"));
        snprintf(cost, sizeof cost, "%.2f ms", number_of(p, "path_cost_ms"));
        snprintf(links, sizeof links, "%.0f", number_of(p, "links"));
        snprintf(id, sizeof id, "%.16s", text_of(p, "node"));
        bool is_self = is_true(p, "self");
        cli_table_row(&t, text_of(p, "owner"), id, roles, is_self ? "-" : trust,
                      is_self                   ? "-"
                      : is_true(p, "reachable") ? cost
                                                : "unreachable",
                      links,
                      is_self                   ? "this node"
                      : is_true(p, "neighbour") ? "neighbour"
                                                : "");
    }
    cli_table_print(&t, stdout);
}

enum sm_err cmd_nodes(struct cli *c, int argc, char **argv)
{
    json_t *o;
    SM_TRY(ask(c, "nodes", "nodes", 0, argc, argv, &o));
    return done(c, o, print_nodes);
}

/* -- route ------------------------------------------------------------------------------- */

static void print_route(json_t *o)
{
    size_t i, h;
    json_t *path, *hop, *lost;
    json_t *paths = json_object_get(o, "paths"), *avoided = json_object_get(o, "avoided");
    printf("to %s: %zu disjoint paths\n", text_of(o, "to"), json_array_size(paths));
    json_array_foreach(paths, i, path)
    {
        printf("\npath %zu, cost %.2f ms\n", i, number_of(path, "cost_ms"));
        struct cli_table t = {
            .head = {"  hop", "latency", "queue", "trust cost", "penalty", "trust"},
            .columns = 6};
        json_array_foreach(json_object_get(path, "hops"), h, hop)
        {
            char name[64], cell[5][24];
            snprintf(name, sizeof name, "  %s", text_of(hop, "owner"));
            snprintf(cell[0], sizeof cell[0], "%.2f ms", number_of(hop, "latency_ms"));
            snprintf(cell[1], sizeof cell[1], "%.2f ms", number_of(hop, "queue_ms"));
            snprintf(cell[2], sizeof cell[2], "%.2f ms", number_of(hop, "trust_ms"));
            snprintf(cell[3], sizeof cell[3], "%.2f ms", number_of(hop, "penalty_ms"));
            snprintf(cell[4], sizeof cell[4], "%.3f", number_of(hop, "trust"));
            cli_table_row(&t, name, cell[0], cell[1], cell[2], cell[3], cell[4]);
        }
        cli_table_print(&t, stdout);
    }
    json_array_foreach(avoided, i, lost)
    {
        printf("%s%s is avoided: %s (trust %.3f)\n", i == 0 ? "\n" : "", text_of(lost, "owner"),
               text_of(lost, "why"), number_of(lost, "trust"));
    }
}

enum sm_err cmd_route(struct cli *c, int argc, char **argv)
{
    json_t *o;
    SM_TRY(ask(c, "route", "route", 1, argc, argv, &o));
    return done(c, o, print_route);
}

/* -- trust ------------------------------------------------------------------------------- */

static void print_trust(json_t *o)
{
    size_t i;
    json_t *row, *count;
    const char *what;
    printf("trust in %s is %.3f, as this node sees it\n\n", text_of(o, "node"),
           number_of(o, "trust"));
    struct cli_table t = {.head = {"input", "value", "trust without it", "what would raise it"},
                          .columns = 4};
    json_array_foreach(json_object_get(o, "inputs"), i, row)
    {
        char value[16], without[16];
        snprintf(value, sizeof value, "%.3f", number_of(row, "value"));
        snprintf(without, sizeof without, "%.3f", number_of(row, "without"));
        cli_table_row(&t, text_of(row, "what"), value, without, text_of(row, "raise"));
    }
    cli_table_print(&t, stdout);
    printf("\nseen:");
    json_object_foreach(json_object_get(o, "seen"), what, count)
    {
        printf(" %s %.0f;", what, json_number_value(count));
    }
    printf(" strikes %.0f\n", number_of(o, "strikes"));
}

static enum sm_err trust_of_all(struct cli *c)
{
    json_t *o;
    SM_TRY(cli_query(c, "nodes", NULL, &o));
    return done(c, o, print_nodes);
}

enum sm_err cmd_trust(struct cli *c, int argc, char **argv)
{
    json_t *o;
    if (argc == 0) {
        return trust_of_all(c);
    }
    int skip = strcmp(argv[0], "explain") == 0; /* "trust explain NODE" reads well too */
    SM_TRY(ask(c, "trust", "trust", 1, argc - skip, argv + skip, &o));
    return done(c, o, print_trust);
}

/* -- see list ---------------------------------------------------------------------------- */

static void print_sees(json_t *o)
{
    struct cli_table t = {.head = {"instance", "endpoint", "state", "age"}, .columns = 4};
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(o, "sees"), i, p)
    {
        char instance[24], ep[24], age[24];
        snprintf(instance, sizeof instance, "%.0f", number_of(p, "instance"));
        snprintf(ep, sizeof ep, "%.0f", number_of(p, "endpoint"));
        snprintf(age, sizeof age, "%.0f s", number_of(p, "age_s"));
        cli_table_row(&t, instance, ep, is_true(p, "ready") ? "ready" : "starting", age);
    }
    cli_table_print(&t, stdout);
    printf("%zu of %.0f slots in use\n", json_array_size(json_object_get(o, "sees")),
           number_of(o, "slots"));
}

enum sm_err cmd_see_list(struct cli *c, int argc, char **argv)
{
    json_t *o;
    SM_TRY(ask(c, "see list", "sees", 0, argc, argv, &o));
    return done(c, o, print_sees);
}
