// SPDX-License-Identifier: Apache-2.0
/* manifest diff: what two manifests say differently, one thing a line.
 *
 * Both are listed field by field; a field of the one is looked for in the other under the same
 * section, name and key.  A section with a name that only one has was added or removed as a
 * whole, and is told in one line. */
#include "cli/commands.h"
#include "cli/documents.h"

#include <stdlib.h>
#include <string.h>

struct item {
    char section[SM_INI_NAME_MAX + 1], name[SM_INI_NAME_MAX + 1], key[SM_INI_NAME_MAX + 1];
    char *value;  /* owned */
    bool is_list; /* a key that may come several times: its value belongs to what it is */
};

struct items {
    struct item *v;
    size_t n, cap;
    bool is_out_of_memory;
};

static void items_done(struct items *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].value);
    }
    free(l->v);
}

static void take(void *ctx, const struct sm_manifest_field *f)
{
    struct items *l = ctx;
    if (l->n == l->cap) {
        struct item *more = realloc(l->v, (l->cap + 64) * sizeof *more);
        l->is_out_of_memory = l->is_out_of_memory || more == NULL;
        if (more == NULL) {
            return;
        }
        l->v = more;
        l->cap += 64;
    }
    struct item *t = &l->v[l->n];
    *t = (struct item){.value = strdup(f->value),
                       .is_list = strcmp(f->key, "refuse-advisory") == 0};
    (void)snprintf(t->section, sizeof t->section, "%s", f->section);
    (void)snprintf(t->name, sizeof t->name, "%s", f->name == NULL ? "" : f->name);
    (void)snprintf(t->key, sizeof t->key, "%s", f->key);
    l->is_out_of_memory = l->is_out_of_memory || t->value == NULL;
    l->n += t->value != NULL ? 1 : 0;
}

static const struct item *find(const struct items *l, const struct item *like)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct item *t = &l->v[i];
        if (strcmp(t->section, like->section) == 0 && strcmp(t->name, like->name) == 0 &&
            strcmp(t->key, like->key) == 0 &&
            (!like->is_list || strcmp(t->value, like->value) == 0)) {
            return t;
        }
    }
    return NULL;
}

static bool has_section(const struct items *l, const struct item *like)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->v[i].section, like->section) == 0 &&
            strcmp(l->v[i].name, like->name) == 0) {
            return true;
        }
    }
    return false;
}

/* The values of a whole section, "platform snp, kind measurement, ...". */
static void section_text(const struct items *l, const struct item *of, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < l->n && at < cap; i++) {
        const struct item *t = &l->v[i];
        if (strcmp(t->section, of->section) == 0 && strcmp(t->name, of->name) == 0) {
            int n =
                snprintf(out + at, cap - at, "%s%s %s", at == 0 ? "" : ", ", t->key, t->value);
            at += n > 0 ? (size_t)n : 0;
        }
    }
}

struct differ {
    struct cli *c;
    json_t *list;
    size_t n;
};

static void tell(struct differ *d, const struct item *t, const char *key, const char *what,
                 const char *was, const char *now)
{
    d->n++;
    if (d->c->json) {
        json_t *o = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?}", "change", what, "section",
                              t->section, "name", *t->name == '\0' ? NULL : t->name, "key", key,
                              "was", was, "now", now);
        json_array_append_new(d->list, o);
        return;
    }
    printf("%s%s%s: ", t->section, *t->name == '\0' ? "" : " ", t->name);
    if (was != NULL && now != NULL) {
        printf("%s %s -> %s\n", key, was, now);
    } else {
        printf("%s%s%s (%s)\n", key == NULL ? "" : key, key == NULL ? "" : " ", what,
               now != NULL ? now : was);
    }
}

/* Left out of a text, these are for whoever signs it. */
static bool is_left_out(const struct item *t)
{
    return strcmp(t->section, "manifest") == 0 &&
           (strcmp(t->key, "version") == 0 || strcmp(t->key, "issued") == 0 ||
            strcmp(t->key, "not-after") == 0);
}

/* All of `a` that is not in `b`; what is the word for it. */
static void tell_missing(struct differ *d, const struct items *a, const struct items *b,
                         bool is_added)
{
    const struct item *told = NULL; /* the first of a section that was told as a whole */
    char text[1024];
    const char *what = is_added ? "added" : "removed";
    for (size_t i = 0; i < a->n; i++) {
        const struct item *t = &a->v[i];
        bool is_told = told != NULL && strcmp(told->section, t->section) == 0 &&
                       strcmp(told->name, t->name) == 0;
        if (is_told || is_left_out(t) || find(b, t) != NULL) {
            continue;
        }
        if (!has_section(b, t)) {
            told = t;
            section_text(a, t, text, sizeof text);
            tell(d, t, NULL, what, is_added ? NULL : text, is_added ? text : NULL);
        } else {
            tell(d, t, t->key, what, is_added ? NULL : t->value, is_added ? t->value : NULL);
        }
    }
}

static void tell_changed(struct differ *d, const struct items *a, const struct items *b)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct item *t = &a->v[i], *other = find(b, t);
        if (other != NULL && strcmp(t->value, other->value) != 0) {
            tell(d, t, t->key, "changed", t->value, other->value);
        }
    }
}

static enum sm_err compare(struct cli *c, const struct sm_mesh_manifest *a,
                           const struct sm_mesh_manifest *b)
{
    struct items was = {0}, now = {0};
    struct differ d = {.c = c, .list = json_array()};
    sm_mesh_manifest_fields(a, take, &was);
    sm_mesh_manifest_fields(b, take, &now);
    if (!was.is_out_of_memory && !now.is_out_of_memory) {
        tell_missing(&d, &was, &now, false);
        tell_changed(&d, &was, &now);
        tell_missing(&d, &now, &was, true);
    }
    bool is_bad = was.is_out_of_memory || now.is_out_of_memory;
    items_done(&was);
    items_done(&now);
    if (is_bad) {
        json_decref(d.list);
        return cli_fail(c, SM_E_NOMEM, "out of memory");
    }
    if (c->json) {
        cli_json(json_pack("{s:o}", "changes", d.list));
        return SM_OK;
    }
    json_decref(d.list);
    if (d.n == 0) {
        cli_say(c, "they say the same\n");
    }
    return SM_OK;
}

enum sm_err cmd_manifest_diff(struct cli *c, int argc, char **argv)
{
    struct cli_manifest a, b;
    SM_TRY(cli_parse(c, cli_command_named("manifest diff"), NULL, 0, argc, argv, &argc));
    if (argc != 1 && argc != 2) {
        return cli_fail(c, SM_E_USAGE,
                        "manifest diff wants OLD and NEW, or one FILE to compare "
                        "with what is in force on the node");
    }
    if (argc == 2) {
        SM_TRY(cli_manifest_load(c, argv[0], NULL, &a));
    } else {
        SM_TRY(cli_manifest_of_node(c, &a, NULL));
    }
    enum sm_err e = cli_manifest_load(c, argv[argc - 1], NULL, &b);
    if (e == SM_OK) {
        e = compare(c, &a.m, &b.m);
        sm_mesh_manifest_done(&b.m);
    }
    sm_mesh_manifest_done(&a.m);
    return e;
}
