// SPDX-License-Identifier: Apache-2.0
/* manifest new, show, diff, sign, apply: the mesh's policy, from a text to every node. */
#include "base/date.h"
#include "cli/commands.h"
#include "cli/documents.h"
#include "cli/programs.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/secretmem.h"
#include "proc/identity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S      86400u
#define DAYS       365u /* a manifest lives, unless told otherwise */
#define SUFFIX     ".manifest"
#define NOTE_LINES 8

/* -- new ---------------------------------------------------------------------------------- */

/* What the template says beside its fields. */
struct note {
    const char *section, *key; /* key NULL: before the section */
    const char *text[NOTE_LINES];
};
static const struct note notes[] = {
    {"manifest",
     NULL,
     {"What this mesh takes.  Edit, then:", "  seemesh manifest sign FILE --root-dir DIR",
      "  seemesh manifest apply FILE.manifest",
      "doc/manifest.md explains every line.  What is left out is as strict as it can be."}},
    {"manifest", "mesh", {"The mesh's id: environment, name and first root make it."}},
    {"manifest", "mode", {"enforce, or observe: only log what would be refused."}},
    {"manifest",
     "binding",
     {"session: the hardware signs each session.  epoch: a key of at most `epoch` does, faster",
      "and weaker."}},
    {"manifest", "lease", {"How long a proof of a neighbour is good for."}},
    {"manifest",
     "grace",
     {"How long a neighbour is kept whose firmware fell behind, or whose reference value or",
      "collateral ran out.  Never one who is revoked."}},
    {"platform",
     NULL,
     {"One section for each platform that is taken; grade is its worth in trust, to 1000."}},
    {"reference",
     NULL,
     {"One section for each program, signer or register value that is good there.  To roll out "
      "a",
      "new version: add it, set the old one to 'deprecated until DATE', sign and apply."}},
    {"hardware", NULL, {"Flags for all hardware."}},
    {"snp", NULL, {"AMD SEV-SNP: least firmware of each product, and settings of the guest."}},
    {"intel", NULL, {"Intel SGX and TDX: until when each status of Intel is taken."}},
    {0},
};

struct template
{
    FILE *to;
    char section[SM_INI_NAME_MAX + 1], name[SM_INI_NAME_MAX + 1];
};

static void print_note(FILE *to, const char *section, const char *key)
{
    for (const struct note *n = notes; n->section != NULL; n++) {
        bool is_key = key != NULL && n->key != NULL && strcmp(n->key, key) == 0;
        if (strcmp(n->section, section) == 0 && (is_key || (key == NULL && n->key == NULL))) {
            for (size_t i = 0; i < NOTE_LINES && n->text[i] != NULL; i++) {
                fprintf(to, "# %s\n", n->text[i]);
            }
        }
    }
}

static void print_field(void *ctx, const struct sm_manifest_field *f)
{
    struct template *t = ctx;
    const char *name = f->name == NULL ? "" : f->name;
    bool is_new = strcmp(t->section, f->section) != 0;
    if (is_new || strcmp(t->name, name) != 0) {
        fprintf(t->to, "%s", *t->section == '\0' ? "" : "\n");
        if (is_new) {
            print_note(t->to, f->section, NULL);
        }
        fprintf(t->to, "[%s%s%s]\n", f->section, *name == '\0' ? "" : " ", name);
        (void)snprintf(t->section, sizeof t->section, "%s", f->section);
        (void)snprintf(t->name, sizeof t->name, "%s", name);
    }
    print_note(t->to, f->section, f->key);
    fprintf(t->to, "%s = %s\n", f->key, f->value);
}

/* The node's programs, as nodes that are started from this installation will be measured. */
static enum sm_err add_programs(struct cli *c, struct sm_mesh_manifest *m)
{
    struct cli_programs programs;
    struct sm_refval v = {.label = "installed",
                          .platform = SM_PLATFORM_SOFTWARE,
                          .kind = SM_REFVAL_MEASUREMENT,
                          .state = SM_REFVAL_ACTIVE,
                          .value = {.n = 48}};
    SM_TRY(cli_programs(c, &programs));
    enum sm_err e = sm_measure_programs_in(programs.libexec, v.value.b);
    if (e == SM_OK) {
        e = sm_mesh_manifest_add(m, &v);
    }
    return e == SM_OK ? SM_OK
                      : cli_fail(c, e, "cannot measure the programs in %s: %s",
                                 programs.libexec, sm_err_words(e));
}

enum sm_err cli_manifest_template(struct cli *c, const struct sm_anchor *a,
                                  struct sm_mesh_manifest *out)
{
    sm_mesh_manifest_default(out);
    memcpy(out->mesh_id, a->mesh_id, sizeof out->mesh_id);
    out->env = (uint8_t)a->env;
    out->grace_s = a->env == SM_ENV_PROD ? 3600 : 0;
    memcpy(out->grade, a->grade, sizeof out->grade);
    return a->env == SM_ENV_DEV ? add_programs(c, out) : SM_OK;
}

static enum sm_err write_template(struct cli *c, const char *path,
                                  const struct sm_mesh_manifest *m)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (to == NULL) {
        return cli_fail(c, SM_E_NOMEM, "out of memory");
    }
    struct template t = {.to = to};
    sm_mesh_manifest_fields(m, print_field, &t);
    enum sm_err e = fclose(to) == 0 ? SM_OK : SM_E_NOMEM;
    if (e == SM_OK && path == NULL) {
        fwrite(text, 1, n, stdout);
    } else if (e == SM_OK) {
        e = sm_file_create(path, 0644, sm_view_of(text, n));
    }
    free(text);
    return e == SM_OK ? SM_OK : cli_fail(c, e, "cannot write %s: %s", path, sm_err_words(e));
}

enum sm_err cmd_manifest_new(struct cli *c, int argc, char **argv)
{
    bool from_node = false, has;
    const struct cli_option opt[] = {{.name = "--from-node", .flag = &from_node}};
    struct sm_anchor anchor;
    struct sm_mesh_manifest m;
    SM_TRY(
        cli_parse(c, cli_command_named("manifest new"), opt, SM_COUNT(opt), argc, argv, &argc));
    if (argc > 1) {
        return cli_fail(c, SM_E_USAGE, "manifest new takes one FILE, or none for stdout");
    }
    SM_TRY(cli_mesh_of_home(c, &anchor, &has));
    if (!has) {
        return cli_fail(c, SM_E_NOTFOUND,
                        "a manifest is for one mesh: --home must name the home of one of its "
                        "nodes, running or not");
    }
    enum sm_err e = cli_manifest_template(c, &anchor, &m);
    if (e == SM_OK && from_node) {
        e = cli_manifest_add_nodes(c, &m);
    }
    if (e == SM_OK) {
        e = write_template(c, argc == 1 ? argv[0] : NULL, &m);
    }
    sm_mesh_manifest_done(&m);
    SM_TRY(e);
    if (argc == 1) {
        cli_say(c, "wrote %s; edit it, then: seemesh manifest sign %s --root-dir DIR\n",
                argv[0], argv[0]);
    }
    return SM_OK;
}

/* -- show --------------------------------------------------------------------------------- */

static void add_json(void *ctx, const struct sm_manifest_field *f)
{
    json_t *sections = ctx, *section = json_object_get(sections, f->section);
    if (section == NULL) {
        section = json_object();
        json_object_set_new(sections, f->section, section);
    }
    if (f->name != NULL) {
        json_t *named = json_object_get(section, f->name);
        if (named == NULL) {
            named = json_object();
            json_object_set_new(section, f->name, named);
        }
        section = named;
    }
    json_t *was = json_object_get(section, f->key);
    if (was == NULL) {
        json_object_set_new(section, f->key, json_string(f->value));
    } else if (json_is_array(was)) {
        json_array_append_new(was, json_string(f->value));
    } else { /* the second of its name: a list */
        json_object_set_new(section, f->key, json_pack("[O, s]", was, f->value));
    }
}

static void show_json(const struct cli_manifest *m, json_t *nodes, json_t *verdicts)
{
    char root[SM_B32_LEN(32) + 1], hash[65];
    json_t *sections = json_object();
    sm_mesh_manifest_fields(&m->m, add_json, sections);
    json_t *o = json_pack("{s:b, s:b, s:o}", "signed", m->is_signed, "verified", m->is_checked,
                          "manifest", sections);
    if (m->is_signed) {
        sm_hex(m->hash, sizeof m->hash, hash);
        json_object_set_new(o, "sha256", json_string(hash));
    }
    if (m->is_checked) {
        sm_b32(m->root, sizeof m->root, root);
        json_object_set_new(o, "root", json_string(root));
    }
    if (nodes != NULL) {
        json_object_set(o, "nodes", nodes);
        json_object_set(o, "verdicts", verdicts);
    }
    cli_json(o);
}

static enum sm_err show_text(struct cli *c, const struct cli_manifest *m)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(SM_MANIFEST_TEXT_MAX);
    char root[SM_B32_LEN(32) + 1], hash[65];
    enum sm_err e = sm_mesh_manifest_print(&m->m, &text);
    if (e != SM_OK) {
        return cli_fail(c, e, "%s", sm_err_words(e));
    }
    sm_b32(m->root, sizeof m->root, root);
    sm_hex(m->hash, sizeof m->hash, hash);
    if (!m->is_signed) {
        puts("# a text, not signed");
    } else if (m->is_checked) {
        printf("# signed by root %s\n", root);
    } else {
        puts("# signed; by whom was not checked: no configuration of this mesh in --home");
    }
    if (m->is_signed) {
        printf("# sha256 %s\n", hash);
    }
    printf("\n%.*s", (int)text.n, (const char *)text.p);
    return SM_OK;
}

static enum sm_err show_file(struct cli *c, const char *path)
{
    struct sm_anchor anchor;
    struct cli_manifest m;
    bool has;
    SM_TRY(cli_mesh_of_home(c, &anchor, &has));
    SM_TRY(cli_manifest_load(c, path, has ? &anchor : NULL, &m));
    enum sm_err e = SM_OK;
    if (c->json) {
        show_json(&m, NULL, NULL);
    } else {
        e = show_text(c, &m);
    }
    sm_mesh_manifest_done(&m.m);
    return e;
}

/* What it says of the neighbours now: "# 3 ok, 1 would-refuse". */
static void print_verdicts(json_t *verdicts)
{
    const char *name, *comma = "# neighbours: ";
    json_t *n;
    json_object_foreach(verdicts, name, n)
    {
        if (json_integer_value(n) > 0) {
            printf("%s%lld %s", comma, (long long)json_integer_value(n), name);
            comma = ", ";
        }
    }
    puts(*comma == '#' ? "# neighbours: none" : "");
}

static enum sm_err show_node(struct cli *c)
{
    struct cli_manifest m;
    json_t *nodes = NULL, *documents = NULL;
    SM_TRY(cli_manifest_of_node(c, &m, &nodes));
    enum sm_err e = cli_query(c, "documents", NULL, &documents);
    if (e == SM_OK && c->json) {
        show_json(&m, nodes, json_object_get(documents, "verdicts"));
    } else if (e == SM_OK) {
        cli_print_versions(nodes);
        print_verdicts(json_object_get(documents, "verdicts"));
        e = show_text(c, &m);
    }
    json_decref(documents);
    json_decref(nodes);
    sm_mesh_manifest_done(&m.m);
    return e;
}

enum sm_err cmd_manifest_show(struct cli *c, int argc, char **argv)
{
    SM_TRY(cli_parse(c, cli_command_named("manifest show"), NULL, 0, argc, argv, &argc));
    if (argc > 1) {
        return cli_fail(c, SM_E_USAGE, "manifest show takes one FILE, or none for the node's");
    }
    return argc == 1 ? show_file(c, argv[0]) : show_node(c);
}

/* -- sign --------------------------------------------------------------------------------- */

struct signing {
    struct cli *c;
    const char *root_dir, *out_path, *previous_path;
    char path[SM_PATH];
    uint64_t days;
    struct sm_anchor anchor;
    bool has_anchor;
    uint64_t previous; /* version; 0: none is known */
};

/* FILE.ini, FILE -> FILE.manifest */
static enum sm_err out_path(struct cli *c, const char *in, char out[static SM_PATH])
{
    size_t n = strlen(in);
    if (n > 4 && strcmp(in + n - 4, ".ini") == 0) {
        n -= 4;
    }
    int k = snprintf(out, SM_PATH, "%.*s" SUFFIX, (int)n, in);
    return k > 0 && k < SM_PATH ? SM_OK
                                : cli_fail(c, SM_E_LIMIT, "%s: the name is too long", in);
}

static enum sm_err previous_version(struct signing *s)
{
    const char *path = s->previous_path != NULL ? s->previous_path : s->path;
    struct cli_manifest m;
    if (s->has_anchor) {
        (void)cli_version_of_node(s->c, &s->previous); /* not running: files say it */
    }
    if (s->previous_path == NULL && !sm_file_exists(path)) {
        return SM_OK;
    }
    SM_TRY(cli_manifest_load(s->c, path, s->has_anchor ? &s->anchor : NULL, &m));
    s->previous = m.m.version > s->previous ? m.m.version : s->previous;
    sm_mesh_manifest_done(&m.m);
    return SM_OK;
}

static enum sm_err set_version(const struct signing *s, struct sm_mesh_manifest *m)
{
    if (m->version == 0) {
        if (s->previous == UINT64_MAX) {
            return cli_fail(s->c, SM_E_LIMIT, "there is no version above the previous one");
        }
        m->version = s->previous + 1;
    }
    if (m->version <= s->previous) {
        return cli_fail(s->c, SM_E_STALE,
                        "version %" PRIu64 " is not above the previous one, %" PRIu64
                        ": nodes would refuse it; raise it, or leave 'version' out",
                        m->version, s->previous);
    }
    return SM_OK;
}

static enum sm_err set_times(const struct signing *s, struct sm_mesh_manifest *m)
{
    m->issued = sm_clock_wall();
    if (m->not_after.s == 0) {
        m->not_after.s = m->issued.s + s->days * DAY_S;
    }
    if (m->not_after.s <= m->issued.s) {
        return cli_fail(s->c, SM_E_EXPIRED, "not-after has passed: put it off or leave it out");
    }
    return SM_OK;
}

static enum sm_err check_root(const struct signing *s, const struct sm_sign_pair *root,
                              const struct sm_mesh_manifest *m)
{
    bool is_pinned = false;
    if (!s->has_anchor) {
        return SM_OK;
    }
    for (size_t i = 0; i < s->anchor.n_roots; i++) {
        is_pinned = is_pinned || memcmp(s->anchor.roots[i], root->pub.b, 32) == 0;
    }
    if (!is_pinned) {
        return cli_fail(s->c, SM_E_AUTH, "the mesh of --home does not pin this root");
    }
    bool is_ours = memcmp(s->anchor.mesh_id, m->mesh_id, 32) == 0 && s->anchor.env == m->env;
    return is_ours ? SM_OK
                   : cli_fail(s->c, SM_E_AUTH,
                              "the manifest is for another mesh or environment than --home");
}

static enum sm_err sign_and_write(const struct signing *s, const struct sm_sign_pair *root,
                                  const struct sm_mesh_manifest *m)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MESH_MANIFEST_MAX);
    const char *field = "";
    char date[SM_DATE_LEN + 1];
    if (sm_mesh_manifest_check(m, &field) != SM_OK) {
        return cli_fail(s->c, SM_E_CONFIG, "%s breaks a rule of manifests (doc/manifest.md)",
                        field);
    }
    enum sm_err e = sm_mesh_manifest_sign(sm_suite_real(), root, m, &doc);
    if (e == SM_OK) {
        e = sm_file_write_atomic(s->path, 0644, sm_buf_view(&doc));
    }
    if (e != SM_OK) {
        return cli_fail(s->c, e, "cannot sign into %s: %s", s->path, sm_err_words(e));
    }
    sm_date_print(m->not_after, date);
    if (s->c->json) {
        cli_json(json_pack("{s:s, s:I, s:s, s:I}", "file", s->path, "version",
                           (json_int_t)m->version, "not_after", date, "bytes",
                           (json_int_t)doc.n));
        return SM_OK;
    }
    puts(s->path);
    cli_say(s->c,
            "version %" PRIu64 ", good until %s; put it in force with: seemesh manifest "
            "apply %s\n",
            m->version, date, s->path);
    return SM_OK;
}

static enum sm_err sign_file(struct signing *s, const char *path)
{
    struct sm_sign_pair *root = NULL;
    struct cli_manifest m;
    SM_TRY(cli_mesh_of_home(s->c, &s->anchor, &s->has_anchor));
    SM_TRY(cli_manifest_load(s->c, path, NULL, &m));
    enum sm_err e = previous_version(s);
    if (e == SM_OK) {
        e = set_version(s, &m.m);
    }
    if (e == SM_OK) {
        e = set_times(s, &m.m);
    }
    if (e == SM_OK) {
        e = cli_root_load(s->c, s->root_dir, &root);
    }
    if (e == SM_OK) {
        e = check_root(s, root, &m.m);
    }
    if (e == SM_OK) {
        e = sign_and_write(s, root, &m.m);
    }
    sm_secret_free(root);
    sm_mesh_manifest_done(&m.m);
    return e;
}

enum sm_err cmd_manifest_sign(struct cli *c, int argc, char **argv)
{
    struct signing s = {.c = c, .days = DAYS};
    const struct cli_option opt[] = {
        {.name = "--root-dir", .value = "DIR", .text = &s.root_dir},
        {.name = "--previous", .value = "FILE", .text = &s.previous_path},
        {.name = "--days", .value = "N", .number = &s.days},
        {.name = "-o", .value = "FILE", .text = &s.out_path},
        {.name = "--output", .value = "FILE", .text = &s.out_path}};
    SM_TRY(cli_parse(c, cli_command_named("manifest sign"), opt, SM_COUNT(opt), argc, argv,
                     &argc));
    if (argc != 1 || s.days < 1 || s.days > 1830) {
        return cli_fail(c, SM_E_USAGE, "manifest sign wants one FILE, and --days 1 to 1830");
    }
    if (s.out_path == NULL) {
        SM_TRY(out_path(c, argv[0], s.path));
    } else if (snprintf(s.path, sizeof s.path, "%s", s.out_path) >= (int)sizeof s.path) {
        return cli_fail(c, SM_E_LIMIT, "%s: the name is too long", s.out_path);
    }
    return sign_file(&s, argv[0]);
}

/* -- apply -------------------------------------------------------------------------------- */

enum sm_err cmd_manifest_apply(struct cli *c, int argc, char **argv)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf doc = SM_BUF(SM_MANIFEST_TEXT_MAX);
    struct sm_anchor anchor;
    struct cli_manifest m;
    struct cli_conn conn;
    bool has;
    SM_TRY(cli_parse(c, cli_command_named("manifest apply"), NULL, 0, argc, argv, &argc));
    if (argc != 1) {
        return cli_fail(c, SM_E_USAGE, "manifest apply wants one signed FILE");
    }
    SM_TRY(cli_file_load(c, argv[0], &doc));
    if (doc.n == 0 || doc.p[0] != CLI_SIGNED_FIRST) {
        return cli_fail(c, SM_E_USAGE,
                        "%s is a text: sign it first (seemesh manifest sign %s --root-dir DIR)",
                        argv[0], argv[0]);
    }
    SM_TRY(cli_mesh_of_home(c, &anchor, &has));
    SM_TRY(cli_manifest_of_doc(c, argv[0], sm_buf_view(&doc), has ? &anchor : NULL, &m));
    uint64_t version = m.m.version;
    sm_mesh_manifest_done(&m.m);
    SM_TRY(cli_connect(c, &conn));
    enum sm_err e = cli_doc_offer(&conn, SM_DOC_MANIFEST, sm_buf_view(&doc));
    struct cli_spread spread = {0};
    if (e == SM_OK) {
        e = cli_doc_spread(&conn, SM_DOC_MANIFEST, version, &spread);
    }
    cli_disconnect(&conn);
    SM_TRY(e);
    if (c->json) {
        cli_json(json_pack("{s:I, s:i, s:i, s:i}", "version", (json_int_t)version, "nodes",
                           (int)spread.known, "online", (int)spread.online, "have",
                           (int)spread.have));
    } else {
        cli_say(c, "version %" PRIu64 " is in force on %zu of %zu nodes%s\n", version,
                spread.have, spread.known,
                spread.have < spread.known ? "; the others get it from their neighbours" : "");
    }
    return SM_OK;
}
