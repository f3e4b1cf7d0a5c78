// SPDX-License-Identifier: Apache-2.0
/* attest show NODE, explain NODE, refusals: what a running node knows of its neighbours'
 * evidence, and whom it refused. */
#include "cli/attest_report.h"
#include "cli/commands.h"

#include <string.h>

static const char *text_of(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static long long number_of(json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void print_node(json_t *o, bool is_explained)
{
    json_t *lease = json_object_get(o, "lease");
    attest_print_object(o);
    if (json_is_real(json_object_get(o, "grade"))) {
        printf("%-20s %.3f\n", "grade", json_real_value(json_object_get(o, "grade")));
    }
    if (lease != NULL) {
        printf("%-20s proof %lld, %lld s old, ends in %lld s\n", "lease",
               number_of(lease, "number"), number_of(lease, "age_s"),
               number_of(lease, "left_s"));
    }
    attest_print_object(json_object_get(o, "claims"));
    if (is_explained) {
        putchar('\n');
        attest_print_checks(json_object_get(o, "checks"));
    } else {
        attest_print_reasons(json_object_get(o, "reasons"));
    }
}

enum sm_err attest_node(struct cli *c, const char *node, bool is_explained)
{
    json_t *o;
    SM_TRY(cli_query(c, "attest", node, &o));
    if (c->json) {
        cli_json(o);
        return SM_OK;
    }
    print_node(o, is_explained);
    json_decref(o);
    return SM_OK;
}

static void print_refusal(json_t *r)
{
    printf("%s  refused %s %s%s%s (%s, %lld times since %s)\n", text_of(r, "last"),
           text_of(r, "refused"), text_of(r, "peer"),
           *text_of(r, "node") != '\0' ? ", node " : "", text_of(r, "node"), text_of(r, "when"),
           number_of(r, "count"), text_of(r, "first"));
    attest_print_reasons(json_object_get(r, "reasons"));
    putchar('\n');
}

enum sm_err cmd_attest_refusals(struct cli *c, int argc, char **argv)
{
    json_t *o, *r;
    size_t i;
    SM_TRY(cli_parse(c, cli_command_named("attest refusals"), NULL, 0, argc, argv, &argc));
    if (argc != 0) {
        return cli_fail(c, SM_E_USAGE, "attest refusals takes no arguments");
    }
    SM_TRY(cli_query(c, "refusals", NULL, &o));
    if (c->json) {
        cli_json(o);
        return SM_OK;
    }
    json_t *list = json_object_get(o, "refusals");
    json_array_foreach(list, i, r)
    {
        print_refusal(r);
    }
    if (json_array_size(list) == 0) {
        puts("nobody was refused since this node started, and nobody refused it");
    }
    json_decref(o);
    return SM_OK;
}
