// SPDX-License-Identifier: Apache-2.0
/* One table says which keys exist; reading, printing and near misses all follow it. */
#include "proc/config.h"

#include "core/node.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum kind {
    KIND_NAME,  /* letters of an ini name */
    KIND_TEXT,  /* printable ASCII */
    KIND_PATH,  /* absolute */
    KIND_WORD,  /* one of words[] */
    KIND_WORDS, /* several of words[], as bits */
    KIND_COUNT,
    KIND_SIZE,
    KIND_DURATION,
    KIND_TCP, /* listen.tcp: several */
    KIND_PEER_ADDRESS,
    KIND_PEER_CARRIER,
    KIND_ROOT_KEY,
};

struct word {
    const char *name;
    uint32_t value;
};

struct key {
    const char *section, *name;
    enum kind kind;
    bool is_required;
    size_t offset, cap; /* of the field; cap counts its bytes for text */
    uint64_t min, max;
    const struct word *words;
    const char *want; /* what a good value looks like */
};

static const struct word environments[] = {{"dev", SM_ENV_DEV}, {"prod", SM_ENV_PROD}, {0}};
static const struct word role_words[] = {
    {"gateway", SM_NODE_GATEWAY}, {"store", SM_NODE_STORE}, {"see", SM_NODE_SEE}, {0}};
static const struct word platforms[] = {{"software", SM_PLATFORM_SOFTWARE},
                                        {"snp", SM_PLATFORM_SNP},
                                        {"tdx", SM_PLATFORM_TDX},
                                        {"tpm", SM_PLATFORM_TPM},
                                        {0}};
static const struct word bindings[] = {
    {"session", SM_BIND_SESSION}, {"epoch", SM_BIND_EPOCH}, {0}};
static const struct word levels[] = {{"error", SM_LOG_ERROR},   {"warn", SM_LOG_WARN},
                                     {"notice", SM_LOG_NOTICE}, {"info", SM_LOG_INFO},
                                     {"debug", SM_LOG_DEBUG},   {0}};

static const struct word pq_words[] = {
    {"off", SM_PQ_OFF}, {"auto", SM_PQ_AUTO}, {"require", SM_PQ_REQUIRE}, {0}};

static const struct word udp_words[] = {{"same", SM_UDP_SAME}, {"none", SM_UDP_NONE}, {0}};
static const struct word carriers[] = {
    {"auto", SM_CARRIER_AUTO}, {"tcp", SM_CARRIER_TCP}, {"udp", SM_CARRIER_UDP}, {0}};

#define FIELD(f) offsetof(struct sm_config, f), sizeof(((struct sm_config *)0)->f)
#define MIB      (1ull << 20)
#define SECOND   1000000000ull

static const struct key keys[] = {
    {"node", "name", KIND_NAME, true, FIELD(node.name), 0, 0, NULL, "a name, as in node-1"},
    {"node", "environment", KIND_WORD, true, FIELD(node.environment), 0, 0, environments,
     "dev or prod"},
    {"node", "mesh", KIND_NAME, true, FIELD(node.mesh), 0, 0, NULL, "the mesh's name"},
    {"node", "owner", KIND_TEXT, true, FIELD(node.owner), 0, 0, NULL,
     "who runs the node, at most 32 letters"},
    {"node", "home", KIND_PATH, false, FIELD(node.home), 0, 0, NULL, "an absolute path"},
    {"node", "area", KIND_COUNT, false, FIELD(node.area), 0, UINT32_MAX, NULL, "a number"},
    {"node", "roles", KIND_WORDS, false, FIELD(node.roles), 0, 0, role_words,
     "some of gateway, store, see"},
    {"platform", "kind", KIND_WORD, false, FIELD(platform.kind), 0, 0, platforms,
     "software, snp, tdx or tpm"},
    {"platform", "binding", KIND_WORD, false, FIELD(platform.binding), 0, 0, bindings,
     "session or epoch"},
    {"platform", "device", KIND_TEXT, false, FIELD(platform.device), 0, 0, NULL,
     "auto, or what this kind of platform reads"},
    {"listen", "tcp", KIND_TCP, false, FIELD(listen.tcp), 0, 0, NULL,
     "ADDRESS:PORT, as in 127.0.0.1:7001 or [::1]:7001"},
    {"listen", "udp", KIND_WORD, false, FIELD(listen.udp), 0, 0, udp_words,
     "same (as tcp) or none"},
    {"listen", "control", KIND_PATH, false, FIELD(listen.control), 0, 0, NULL,
     "an absolute path of at most 107 letters"},
    {"peer", "address", KIND_PEER_ADDRESS, true, 0, 0, 0, 0, NULL,
     "ADDRESS:PORT, as in 127.0.0.1:7001 or [::1]:7001"},
    {"peer", "carrier", KIND_PEER_CARRIER, false, 0, sizeof(uint32_t), 0, 0, carriers,
     "auto, tcp or udp"},
    {"root", "key", KIND_ROOT_KEY, true, 0, 0, 0, 0, NULL, "52 letters of base32"},
    {"tunnel", "pq", KIND_WORD, false, FIELD(tunnel.pq), 0, 0, pq_words,
     "auto, require or off"},
    {"store", "dir", KIND_PATH, false, FIELD(store.dir), 0, 0, NULL, "an absolute path"},
    {"store", "quota", KIND_SIZE, false, FIELD(store.quota), MIB, UINT64_MAX, NULL,
     "a size of at least 1MiB, as in 10GiB"},
    {"see", "slots", KIND_COUNT, false, FIELD(see.slots), 0, 1024, NULL, "a number to 1024"},
    {"see", "memory", KIND_SIZE, false, FIELD(see.memory), MIB, 4096 * MIB, NULL,
     "a size from 1MiB to 4GiB"},
    {"see", "cpu", KIND_DURATION, false, FIELD(see.cpu), SECOND, 86400 * SECOND, NULL,
     "a time from 1s to 1d"},
    {"see", "cache", KIND_SIZE, false, FIELD(see.cache), MIB, UINT64_MAX, NULL,
     "a size of at least 1MiB"},
    {"limits", "tunnels", KIND_COUNT, false, FIELD(limits.tunnels), 1, 64, NULL,
     "a number from 1 to 64"},
    {"limits", "clients", KIND_COUNT, false, FIELD(limits.clients), 1, 192, NULL,
     "a number from 1 to 192"},
    {"limits", "sessions", KIND_COUNT, false, FIELD(limits.sessions), 1, 65536, NULL,
     "a number from 1 to 65536"},
    {"limits", "queue", KIND_SIZE, false, FIELD(limits.queue), 65536, 16 * MIB, NULL,
     "a size from 64KiB to 16MiB"},
    {"log", "level", KIND_WORD, false, FIELD(log.level), 0, 0, levels,
     "error, warn, notice, info or debug"},
};

static const struct sm_config defaults = {
    .node = {.roles = SM_NODE_GATEWAY | SM_NODE_STORE | SM_NODE_SEE},
    .platform = {.device = "auto"},
    .tunnel = {.pq = SM_PQ_AUTO},
    .store = {.quota = 10240 * MIB},
    .see = {.slots = 4, .memory = 256 * MIB, .cpu = 60 * SECOND, .cache = 1024 * MIB},
    .limits = {.tunnels = 64, .clients = 64, .sessions = 1024, .queue = MIB / 4},
    .log = {.level = SM_LOG_INFO},
};

struct parser {
    struct sm_config *c;
    struct sm_config_problem *why;
    const struct sm_ini_line *line;
    uint32_t seen; /* by position in keys[]; those of named sections are cleared by each */
};
_Static_assert(SM_COUNT(keys) <= 32, "parser.seen has a bit for each key");

static enum sm_err complain(struct sm_config_problem *why, unsigned line, unsigned column,
                            const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static enum sm_err complain(struct sm_config_problem *why, unsigned line, unsigned column,
                            const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    why->line = line;
    why->column = column;
    (void)vsnprintf(why->text, sizeof why->text, fmt, ap);
    va_end(ap);
    return SM_E_CONFIG;
}

static bool is_named(const char *section)
{
    return strcmp(section, "peer") == 0 || strcmp(section, "root") == 0;
}

static void *field(struct sm_config *c, const struct key *k)
{
    return (uint8_t *)c + k->offset;
}

static const void *const_field(const struct sm_config *c, const struct key *k)
{
    return (const uint8_t *)c + k->offset;
}

/* -- reading values ---------------------------------------------------------------------- */

static bool is_name_text(struct sm_view v)
{
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
            return false;
        }
    }
    return v.n > 0;
}

static bool read_text(const struct key *k, struct sm_view v, char *out)
{
    if (v.n >= k->cap || (k->kind == KIND_NAME && !is_name_text(v)) ||
        (k->kind == KIND_PATH && v.p[0] != '/')) {
        return false;
    }
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return true;
}

static bool read_word(const struct key *k, struct sm_view v, uint32_t *out)
{
    for (const struct word *w = k->words; w->name != NULL; w++) {
        if (sm_view_eq(v, sm_view_str(w->name))) {
            *out = w->value;
            return true;
        }
    }
    return false;
}

/* Words between commas; each once.  "none" is the empty set. */
static bool read_words(const struct key *k, struct sm_view v, uint32_t *out)
{
    uint32_t bits = 0, bit;
    if (sm_view_eq(v, sm_view_str("none"))) {
        *out = 0;
        return true;
    }
    for (size_t at = 0; at <= v.n;) {
        size_t n = 0;
        while (at + n < v.n && v.p[at + n] != ',') {
            n++;
        }
        size_t from = at, end = at + n;
        while (from < end && v.p[from] == ' ') {
            from++;
        }
        while (end > from && v.p[end - 1] == ' ') {
            end--;
        }
        if (!read_word(k, sm_view_sub(v, from, end - from), &bit) || (bits & bit) != 0) {
            return false;
        }
        bits |= bit;
        at += n + 1;
    }
    *out = bits;
    return true;
}

static bool read_amount(const struct key *k, struct sm_view v, void *out)
{
    uint64_t n = 0;
    enum sm_err e = k->kind == KIND_SIZE       ? sm_ini_size(v, &n)
                    : k->kind == KIND_DURATION ? sm_ini_duration(v, &n)
                                               : sm_ini_number(v, &n);
    if (e != SM_OK || n < k->min || n > k->max) {
        return false;
    }
    if (k->cap == sizeof(uint32_t)) {
        uint32_t small = (uint32_t)n; /* max says that it fits */
        memcpy(out, &small, sizeof small);
    } else {
        memcpy(out, &n, sizeof n);
    }
    return true;
}

static bool read_inet(struct sm_view v, struct sm_inet *out)
{
    char text[SM_INET_TEXT];
    if (v.n >= sizeof text) {
        return false;
    }
    memcpy(text, v.p, v.n);
    text[v.n] = '\0';
    return sm_inet_parse(text, out) == SM_OK;
}

static enum sm_err read_tcp(struct parser *p, const struct key *k, struct sm_view v, bool *out)
{
    if (p->c->listen.n_tcp == SM_CONFIG_TCP_MAX) {
        return complain(p->why, p->line->line, p->line->column,
                        "at most %u addresses to listen on", SM_CONFIG_TCP_MAX);
    }
    (void)k;
    *out = read_inet(v, &p->c->listen.tcp[p->c->listen.n_tcp]);
    p->c->listen.n_tcp += *out ? 1 : 0;
    return SM_OK;
}

static enum sm_err read_value(struct parser *p, const struct key *k)
{
    struct sm_view v = p->line->value;
    struct sm_config *c = p->c;
    bool ok = false;
    switch (k->kind) {
    case KIND_NAME:
    case KIND_TEXT:
    case KIND_PATH:
        ok = read_text(k, v, field(c, k));
        break;
    case KIND_WORD:
        ok = read_word(k, v, field(c, k));
        break;
    case KIND_WORDS:
        ok = read_words(k, v, field(c, k));
        break;
    case KIND_COUNT:
    case KIND_SIZE:
    case KIND_DURATION:
        ok = read_amount(k, v, field(c, k));
        break;
    case KIND_TCP:
        SM_TRY(read_tcp(p, k, v, &ok));
        break;
    case KIND_PEER_ADDRESS:
        ok = read_inet(v, &c->peers[c->n_peers - 1].address);
        break;
    case KIND_PEER_CARRIER:
        ok = read_word(k, v, &c->peers[c->n_peers - 1].carrier);
        break;
    case KIND_ROOT_KEY:
        ok = sm_unb32((const char *)v.p, v.n, c->roots[c->n_roots - 1].key, 32) == SM_OK;
        break;
    }
    if (!ok) {
        return complain(p->why, p->line->line, p->line->value_column, "%s.%s must be %s",
                        k->section, k->name, k->want);
    }
    return SM_OK;
}

/* -- sections and keys ------------------------------------------------------------------- */

/* The known name nearest to `text`; NULL when none is near enough to be meant. */
static const char *nearest(struct sm_view section, struct sm_view text)
{
    const char *best = NULL;
    unsigned best_d = 3;
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        bool want_key = section.n > 0;
        if (want_key && !sm_view_eq(section, sm_view_str(keys[i].section))) {
            continue;
        }
        const char *name = want_key ? keys[i].name : keys[i].section;
        unsigned d = sm_ini_distance(text, sm_view_str(name));
        if (d < best_d) {
            best = name;
            best_d = d;
        }
    }
    return best;
}

static enum sm_err unknown(const struct parser *p, const char *what, struct sm_view section,
                           struct sm_view text)
{
    const char *near = nearest(section, text);
    return complain(p->why, p->line->line, p->line->column, "unknown %s '%.*s'%s%s%s", what,
                    (int)text.n, (const char *)text.p, near != NULL ? "; did you mean '" : "",
                    near != NULL ? near : "", near != NULL ? "'?" : "");
}

static bool is_section(struct sm_view section)
{
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (sm_view_eq(section, sm_view_str(keys[i].section))) {
            return true;
        }
    }
    return false;
}

/* Keys of a named section that must be there, and are not. */
static enum sm_err check_required(const struct parser *p, bool is_named_section,
                                  const char *section, const char *name)
{
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (keys[i].is_required && (p->seen & (1u << i)) == 0 &&
            is_named(keys[i].section) == is_named_section &&
            (section == NULL || strcmp(section, keys[i].section) == 0)) {
            return complain(p->why, 0, 0, "[%s%s%s] needs '%s = ...': %s", keys[i].section,
                            name != NULL ? " " : "", name != NULL ? name : "", keys[i].name,
                            keys[i].want);
        }
    }
    return SM_OK;
}

/* The named section before this one is complete? */
static enum sm_err finish_named(const struct parser *p, bool was_peer, bool was_root)
{
    if (was_peer) {
        return check_required(p, true, "peer", p->c->peers[p->c->n_peers - 1].name);
    }
    if (was_root) {
        return check_required(p, true, "root", p->c->roots[p->c->n_roots - 1].name);
    }
    return SM_OK;
}

static bool has_name(const struct sm_config *c, bool is_peer, struct sm_view name)
{
    size_t n = is_peer ? c->n_peers : c->n_roots;
    for (size_t i = 0; i < n; i++) {
        if (sm_view_eq(name, sm_view_str(is_peer ? c->peers[i].name : c->roots[i].name))) {
            return true;
        }
    }
    return false;
}

static enum sm_err start_named(struct parser *p, bool is_peer)
{
    struct sm_config *c = p->c;
    const struct sm_ini_line *l = p->line;
    const char *section = is_peer ? "peer" : "root";
    size_t n = is_peer ? c->n_peers : c->n_roots;
    size_t max = is_peer ? SM_CONFIG_PEERS_MAX : SM_ANCHOR_ROOTS_MAX;
    if (l->name.n == 0) {
        return complain(p->why, l->line, l->column, "[%s NAME] needs a name", section);
    }
    if (has_name(c, is_peer, l->name)) {
        return complain(p->why, l->line, l->column, "[%s %.*s] is there twice", section,
                        (int)l->name.n, (const char *)l->name.p);
    }
    if (n == max) {
        return complain(p->why, l->line, l->column, "at most %zu [%s] sections", max, section);
    }
    char *name = is_peer ? c->peers[c->n_peers++].name : c->roots[c->n_roots++].name;
    memcpy(name, l->name.p, l->name.n);
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        p->seen &= is_named(keys[i].section) ? ~(1u << i) : ~0u;
    }
    return SM_OK;
}

static enum sm_err on_section(struct parser *p)
{
    struct sm_view section = p->line->section;
    if (!is_section(section)) {
        return unknown(p, "section", (struct sm_view){0}, section);
    }
    bool is_peer = sm_view_eq(section, sm_view_str("peer"));
    if (is_peer || sm_view_eq(section, sm_view_str("root"))) {
        return start_named(p, is_peer);
    }
    if (p->line->name.n > 0) {
        return complain(p->why, p->line->line, p->line->column, "[%.*s] takes no name",
                        (int)section.n, (const char *)section.p);
    }
    return SM_OK;
}

static enum sm_err on_key(struct parser *p)
{
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (!sm_view_eq(p->line->section, sm_view_str(keys[i].section)) ||
            !sm_view_eq(p->line->key, sm_view_str(keys[i].name))) {
            continue;
        }
        if ((p->seen & (1u << i)) != 0 && keys[i].kind != KIND_TCP) {
            return complain(p->why, p->line->line, p->line->column, "'%s' is given twice",
                            keys[i].name);
        }
        p->seen |= 1u << i;
        return read_value(p, &keys[i]);
    }
    return unknown(p, "key", p->line->section, p->line->key);
}

/* -- the whole file ---------------------------------------------------------------------- */

/* Paths that follow from home when the file is silent. */
static enum sm_err fill_paths(struct sm_config *c, const char *home,
                              struct sm_config_problem *why)
{
    char path[SM_PATH];
    if (c->node.home[0] == '\0' && home != NULL && strlen(home) < sizeof c->node.home) {
        memcpy(c->node.home, home, strlen(home) + 1);
    }
    if (c->node.home[0] != '/') {
        return complain(why, 0, 0, "[node] needs 'home = ...': an absolute path");
    }
    if (c->listen.control[0] == '\0') {
        if (sm_path_join(c->node.home, "control.sock", path) != SM_OK ||
            strlen(path) >= sizeof c->listen.control) {
            return complain(why, 0, 0,
                            "the path of the control socket in home is longer than "
                            "107 letters: set listen.control to a shorter one");
        }
        memcpy(c->listen.control, path, strlen(path) + 1);
    }
    if (c->store.dir[0] == '\0' && sm_path_join(c->node.home, "store", c->store.dir) != SM_OK) {
        return complain(why, 0, 0, "home is too long a path");
    }
    return SM_OK;
}

static enum sm_err check_whole(const struct parser *p)
{
    SM_TRY(check_required(p, false, NULL, NULL));
    if (p->c->n_roots == 0) {
        return complain(p->why, 0, 0,
                        "a [root NAME] section with the public key of who may "
                        "endorse nodes is needed");
    }
    return SM_OK;
}

static enum sm_err parse_lines(struct parser *p, struct sm_view text)
{
    struct sm_ini ini = sm_ini_init(text);
    struct sm_ini_line line;
    bool in_peer = false, in_root = false;
    p->line = &line;
    while (sm_ini_next(&ini, &line)) {
        if (line.kind == SM_INI_VALUE) {
            SM_TRY(on_key(p));
            continue;
        }
        SM_TRY(finish_named(p, in_peer, in_root));
        SM_TRY(on_section(p));
        in_peer = sm_view_eq(line.section, sm_view_str("peer"));
        in_root = sm_view_eq(line.section, sm_view_str("root"));
    }
    if (ini.problem != NULL) {
        return complain(p->why, ini.line, ini.column, "%s", ini.problem);
    }
    return finish_named(p, in_peer, in_root);
}

enum sm_err sm_config_parse(struct sm_view text, const char *home, struct sm_config *out,
                            struct sm_config_problem *why)
{
    struct sm_config c = defaults;
    struct parser p = {.c = &c, .why = why};
    SM_TRY(parse_lines(&p, text));
    SM_TRY(check_whole(&p));
    SM_TRY(fill_paths(&c, home, why));
    *out = c;
    return SM_OK;
}

enum sm_err sm_config_load(const char *path, const char *home, struct sm_config *out,
                           struct sm_config_problem *why)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(SM_CONFIG_BYTES);
    SM_TRY(sm_file_read(path, &text));
    return sm_config_parse(sm_buf_view(&text), home, out, why);
}

enum sm_err sm_config_defaults(const char *home, struct sm_config *out)
{
    struct sm_config c = defaults;
    struct sm_config_problem why;
    SM_TRY(fill_paths(&c, home, &why));
    *out = c;
    return SM_OK;
}

/* -- printing ---------------------------------------------------------------------------- */

static enum sm_err print_words(const struct key *k, uint32_t bits, struct sm_buf *out)
{
    const char *between = "";
    if (bits == 0) {
        return sm_buf_printf(out, "%s = none\n", k->name);
    }
    SM_TRY(sm_buf_printf(out, "%s = ", k->name));
    for (const struct word *w = k->words; w->name != NULL; w++) {
        if ((bits & w->value) != 0) {
            SM_TRY(sm_buf_printf(out, "%s%s", between, w->name));
            between = ", ";
        }
    }
    return sm_buf_printf(out, "\n");
}

static const char *word_name(const struct key *k, uint32_t value)
{
    const struct word *w = k->words;
    while (w->name != NULL && w->value != value) {
        w++;
    }
    return w->name != NULL ? w->name : "?";
}

static uint64_t load_amount(const struct sm_config *c, const struct key *k)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    if (k->cap == sizeof narrow) {
        memcpy(&narrow, const_field(c, k), sizeof narrow);
        return narrow;
    }
    memcpy(&wide, const_field(c, k), sizeof wide);
    return wide;
}

static enum sm_err print_tcp(const struct sm_config *c, struct sm_buf *out)
{
    char text[SM_INET_TEXT];
    for (size_t i = 0; i < c->listen.n_tcp; i++) {
        sm_inet_print(&c->listen.tcp[i], text);
        SM_TRY(sm_buf_printf(out, "tcp = %s\n", text));
    }
    return SM_OK;
}

static enum sm_err print_key(const struct sm_config *c, const struct key *k, struct sm_buf *out)
{
    char amount[32];
    switch (k->kind) {
    case KIND_NAME:
    case KIND_TEXT:
    case KIND_PATH:
        return sm_buf_printf(out, "%s = %s\n", k->name, (const char *)const_field(c, k));
    case KIND_WORD:
        return sm_buf_printf(out, "%s = %s\n", k->name,
                             word_name(k, (uint32_t)load_amount(c, k)));
    case KIND_WORDS:
        return print_words(k, (uint32_t)load_amount(c, k), out);
    case KIND_COUNT:
        return sm_buf_printf(out, "%s = %" PRIu64 "\n", k->name, load_amount(c, k));
    case KIND_SIZE:
        sm_ini_print_size(load_amount(c, k), amount);
        return sm_buf_printf(out, "%s = %s\n", k->name, amount);
    case KIND_DURATION:
        sm_ini_print_duration(load_amount(c, k), amount);
        return sm_buf_printf(out, "%s = %s\n", k->name, amount);
    case KIND_TCP:
        return print_tcp(c, out);
    case KIND_PEER_ADDRESS:
    case KIND_PEER_CARRIER:
    case KIND_ROOT_KEY:
        break;
    }
    return SM_OK;
}

static enum sm_err print_peers(const struct sm_config *c, struct sm_buf *out)
{
    char text[SM_INET_TEXT];
    for (size_t i = 0; i < c->n_peers; i++) {
        sm_inet_print(&c->peers[i].address, text);
        SM_TRY(sm_buf_printf(out, "\n[peer %s]\naddress = %s\ncarrier = %s\n", c->peers[i].name,
                             text, carriers[c->peers[i].carrier].name));
    }
    return SM_OK;
}

static enum sm_err print_roots(const struct sm_config *c, struct sm_buf *out)
{
    char text[SM_B32_LEN(32) + 1];
    for (size_t i = 0; i < c->n_roots; i++) {
        sm_b32(c->roots[i].key, 32, text);
        SM_TRY(sm_buf_printf(out, "\n[root %s]\nkey = %s\n", c->roots[i].name, text));
    }
    return SM_OK;
}

enum sm_err sm_config_print(const struct sm_config *c, struct sm_buf *out)
{
    const char *section = "";
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (is_named(keys[i].section)) {
            continue;
        }
        if (strcmp(section, keys[i].section) != 0) {
            SM_TRY(sm_buf_printf(out, "%s[%s]\n", section[0] != '\0' ? "\n" : "",
                                 keys[i].section));
            section = keys[i].section;
        }
        SM_TRY(print_key(c, &keys[i], out));
    }
    SM_TRY(print_peers(c, out));
    return print_roots(c, out);
}

const char *sm_log_level_name(enum sm_log_level level)
{
    return (unsigned)level <= SM_LOG_DEBUG ? levels[level].name : "?";
}

enum sm_err sm_config_create(const struct sm_config *c, const char *path)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(SM_CONFIG_BYTES);
    SM_TRY(sm_config_print(c, &text));
    return sm_file_create(path, 0600, sm_buf_view(&text));
}

enum sm_err sm_config_anchor(const struct sm_config *c, struct sm_anchor *out)
{
    uint8_t roots[SM_ANCHOR_ROOTS_MAX][32];
    for (size_t i = 0; i < c->n_roots; i++) {
        memcpy(roots[i], c->roots[i].key, 32);
    }
    return sm_anchor_make((enum sm_env)c->node.environment, c->node.mesh,
                          (const uint8_t(*)[32])roots, c->n_roots, out);
}
