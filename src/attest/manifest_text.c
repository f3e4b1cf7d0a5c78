// SPDX-License-Identifier: Apache-2.0
/* One table says which keys exist; reading, printing and near misses all follow it. */
#include "attest/manifest_text.h"

#include "base/date.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SECOND   1000000000ull
#define FOR_EVER UINT64_MAX

enum kind {
    KIND_MESH,     /* 32 bytes in base32 */
    KIND_WORD,     /* one of words[], into a u8 */
    KIND_SECONDS,  /* a time with its unit, into a u32 */
    KIND_COUNT,    /* min..max */
    KIND_DATE,     /* "none" where it may be 0 */
    KIND_UNTIL,    /* always, never, until DATE */
    KIND_BOOL,     /* yes, no */
    KIND_BITS,     /* names of words[], or numbers of bits; "none" */
    KIND_FLOOR,    /* parts of an SNP TCB */
    KIND_ABI,      /* MAJOR.MINOR */
    KIND_ADVISORY, /* several */
    KIND_NAMED,    /* of [platform], [reference], [allow]: read by hand */
};

struct word {
    const char *name;
    uint32_t value; /* of KIND_BITS: the number of the bit */
};

struct key {
    const char *section, *name;
    enum kind kind;
    size_t offset, bytes;
    uint64_t min, max;
    const struct word *words;
    const char *want; /* what a good value looks like */
};

static const struct word environments[] = {{"dev", SM_ENV_DEV}, {"prod", SM_ENV_PROD}, {0}};
static const struct word modes[] = {
    {"enforce", SM_MODE_ENFORCE}, {"observe", SM_MODE_OBSERVE}, {0}};
static const struct word bindings[] = {
    {"session", SM_BINDING_SESSION}, {"epoch", SM_BINDING_EPOCH}, {0}};
static const struct word info_bits[] = {
    {"smt", 0},    {"tsme", 1},        {"ecc", 2}, {"rapl-off", 3},
    {"hiding", 4}, {"alias-check", 5}, {0}};
static const struct word policy_bits[] = {
    {"smt", 16}, {"migration", 18}, {"debug", 19}, {"cxl", 21}, {0}};
static const struct word td_bits[] = {
    {"sept-ve-disable", 28}, {"pks", 30}, {"perfmon", 63}, {0}};
static const struct word no_words[] = {{0}};
static const struct word kinds[] = {{"measurement", SM_REFVAL_MEASUREMENT},
                                    {"signer", SM_REFVAL_SIGNER},
                                    {"register", SM_REFVAL_REGISTER},
                                    {"host-data", SM_REFVAL_HOST_DATA},
                                    {0}};
static const struct word parts[] = {{"fmc", SM_SNP_FMC},         {"boot", SM_SNP_BOOT},
                                    {"tee", SM_SNP_TEE},         {"snp", SM_SNP_SNP},
                                    {"microcode", SM_SNP_UCODE}, {0}};

#define FIELD(f)  offsetof(struct sm_mesh_manifest, f), sizeof(((struct sm_mesh_manifest *)0)->f)
#define A_DATE    "a date, as in 2027-01-31T00:00:00Z"
#define AN_UNTIL  "always, never, or until 2027-01-31T00:00:00Z"
#define YES_OR_NO "yes or no"
#define SOME_BITS "none, or numbers of bits between commas"
#define A_FLOOR   "parts and numbers, as in boot 4, tee 0, snp 24, microcode 219"

static const struct key keys[] = {
    {"manifest", "mesh", KIND_MESH, FIELD(mesh_id), 0, 0, NULL,
     "a mesh id, 52 letters of base32"},
    {"manifest", "environment", KIND_WORD, FIELD(env), 0, 0, environments, "dev or prod"},
    {"manifest", "version", KIND_COUNT, FIELD(version), 1, UINT64_MAX, NULL,
     "a number from 1 on"},
    {"manifest", "issued", KIND_DATE, FIELD(issued), 1, 0, NULL, A_DATE},
    {"manifest", "not-after", KIND_DATE, FIELD(not_after), 1, 0, NULL, A_DATE},
    {"manifest", "mode", KIND_WORD, FIELD(mode), 0, 0, modes, "enforce or observe"},
    {"manifest", "binding", KIND_WORD, FIELD(binding), 0, 0, bindings, "session or epoch"},
    {"manifest", "lease", KIND_SECONDS, FIELD(lease_max_s), SM_LEASE_MIN_S, SM_LEASE_MAX_S,
     NULL, "a time from 1m to 1d"},
    {"manifest", "grace", KIND_SECONDS, FIELD(grace_s), 0, SM_GRACE_MAX_S, NULL,
     "a time from 0s to 7d"},
    {"manifest", "epoch", KIND_SECONDS, FIELD(epoch_max_s), 1, SM_EPOCH_MAX_S, NULL,
     "a time from 1s to 10m"},

    {"platform", "grade", KIND_NAMED, 0, 0, 0, 0, NULL, "a number from 0 to 1000"},
    {"platform", "measurement", KIND_NAMED, 0, 0, 0, 0, NULL, "listed or any"},
    {"reference", "platform", KIND_NAMED, 0, 0, 0, 0, NULL,
     "software, snp, tdx, tpm, sgx, nitro, snp-vtpm or tdx-vtpm"},
    {"reference", "kind", KIND_NAMED, 0, 0, 0, 0, NULL,
     "measurement, signer, register or host-data"},
    {"reference", "register", KIND_NAMED, 0, 0, 0, 0, NULL, "a number from 0 to 31"},
    {"reference", "value", KIND_NAMED, 0, 0, 0, 0, NULL, "20 to 64 bytes of hexadecimal"},
    {"reference", "state", KIND_NAMED, 0, 0, 0, 0, NULL,
     "active, revoked, or deprecated until 2027-01-31T00:00:00Z"},
    {"reference", "min-svn", KIND_NAMED, 0, 0, 0, 0, NULL, "a number"},
    {"allow", "platform-id", KIND_NAMED, 0, 0, 0, 0, NULL, "8 to 64 bytes of hexadecimal"},

    {"hardware", "debug", KIND_BOOL, FIELD(hw.may_debug), 0, 0, NULL, YES_OR_NO},
    {"hardware", "migration", KIND_BOOL, FIELD(hw.may_migrate), 0, 0, NULL, YES_OR_NO},
    {"hardware", "unknown-bits", KIND_BOOL, FIELD(hw.may_unknown_bits), 0, 0, NULL, YES_OR_NO},
    {"hardware", "crl", KIND_BOOL, FIELD(hw.needs_crl), 0, 0, NULL, YES_OR_NO},
    {"hardware", "max-age", KIND_SECONDS, FIELD(hw.max_age_s), 1, UINT32_MAX, NULL,
     "a time from 1s on"},
    {"hardware", "replayed", KIND_BITS, FIELD(hw.regs_replayed), 0, 31, no_words, SOME_BITS},

    {"snp", "floor-milan", KIND_FLOOR, FIELD(hw.snp_floor[SM_SNP_MILAN]), 0, 0, parts, A_FLOOR},
    {"snp", "floor-genoa", KIND_FLOOR, FIELD(hw.snp_floor[SM_SNP_GENOA]), 0, 0, parts, A_FLOOR},
    {"snp", "floor-turin", KIND_FLOOR, FIELD(hw.snp_floor[SM_SNP_TURIN]), 0, 0, parts, A_FLOOR},
    {"snp", "min-abi", KIND_ABI, FIELD(hw.snp_min_abi), 0, 0, NULL, "a version, as in 1.55"},
    {"snp", "vmpl", KIND_COUNT, FIELD(hw.snp_vmpl), 0, 3, NULL, "a number from 0 to 3"},
    {"snp", "require", KIND_BITS, FIELD(hw.snp_info_must), 0, 63, info_bits,
     "none, or some of smt, tsme, ecc, rapl-off, hiding, alias-check"},
    {"snp", "forbid", KIND_BITS, FIELD(hw.snp_info_must_not), 0, 63, info_bits,
     "none, or some of smt, tsme, ecc, rapl-off, hiding, alias-check"},
    {"snp", "forbid-policy", KIND_BITS, FIELD(hw.snp_policy_must_not), 0, 63, policy_bits,
     "none, or some of smt, migration, debug, cxl"},
    {"snp", "vlek", KIND_BOOL, FIELD(hw.may_vlek), 0, 0, NULL, YES_OR_NO},

    {"intel", "up-to-date", KIND_UNTIL, FIELD(hw.status_until[SM_TCB_UP_TO_DATE]), 0, 0, NULL,
     AN_UNTIL},
    {"intel", "sw-hardening", KIND_UNTIL, FIELD(hw.status_until[SM_TCB_SW_HARDENING]), 0, 0,
     NULL, AN_UNTIL},
    {"intel", "configuration", KIND_UNTIL, FIELD(hw.status_until[SM_TCB_CONFIG]), 0, 0, NULL,
     AN_UNTIL},
    {"intel", "configuration-sw-hardening", KIND_UNTIL,
     FIELD(hw.status_until[SM_TCB_CONFIG_SW_HARDENING]), 0, 0, NULL, AN_UNTIL},
    {"intel", "out-of-date", KIND_UNTIL, FIELD(hw.status_until[SM_TCB_OUT_OF_DATE]), 0, 0, NULL,
     AN_UNTIL},
    {"intel", "out-of-date-configuration", KIND_UNTIL,
     FIELD(hw.status_until[SM_TCB_OUT_OF_DATE_CONFIG]), 0, 0, NULL, AN_UNTIL},
    {"intel", "relaunch-advised", KIND_UNTIL, FIELD(hw.status_until[SM_TCB_RELAUNCH]), 0, 0,
     NULL, AN_UNTIL},
    {"intel", "min-tcb-date", KIND_DATE, FIELD(hw.min_tcb_date), 0, 0, NULL,
     "none, or " A_DATE},
    {"intel", "min-tcb-eval", KIND_COUNT, FIELD(hw.min_tcb_eval), 0, UINT32_MAX, NULL,
     "a number"},
    {"intel", "refuse-advisory", KIND_ADVISORY, 0, 0, 0, 0, NULL, "as in INTEL-SA-00837"},
    {"intel", "attributes", KIND_BITS, FIELD(hw.tdx_attributes), 0, 63, td_bits,
     "none, or some of sept-ve-disable, pks, perfmon"},
    {"intel", "sept-ve", KIND_BOOL, FIELD(hw.may_sept_ve), 0, 0, NULL, YES_OR_NO},
    {"intel", "service-td", KIND_BOOL, FIELD(hw.may_service_td), 0, 0, NULL, YES_OR_NO},

    {"committee", "threshold", KIND_COUNT, FIELD(committee.t), 2, SM_COMMITTEE_MAX, NULL,
     "a number from 2 to 64"},
    {"committee", "members", KIND_COUNT, FIELD(committee.n), 2, SM_COMMITTEE_MAX, NULL,
     "a number from 2 to 64"},
    {"committee", "max-per-vendor", KIND_COUNT, FIELD(committee.max_vendor), 1,
     SM_COMMITTEE_MAX, NULL, "a number from 1 to 63"},
    {"committee", "max-per-operator", KIND_COUNT, FIELD(committee.max_operator), 1,
     SM_COMMITTEE_MAX, NULL, "a number from 1 to 63"},
    {"committee", "max-per-site", KIND_COUNT, FIELD(committee.max_site), 1, SM_COMMITTEE_MAX,
     NULL, "a number from 1 to 63"},
};

struct parser {
    struct sm_mesh_manifest *m;
    struct sm_text_problem *why;
    const struct sm_ini_line *line;
    uint64_t seen; /* by position in keys[]; those of named sections are cleared by each */
    unsigned section_line;
    struct sm_view section; /* the named one that is open, or empty */
    uint32_t platforms;     /* sections seen */
    uint8_t platform;
    struct sm_refval ref;
    struct sm_allowed allowed;
};
_Static_assert(SM_COUNT(keys) <= 64, "parser.seen has a bit for each key");

static enum sm_err complain(struct sm_text_problem *why, unsigned line, unsigned column,
                            const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static enum sm_err complain(struct sm_text_problem *why, unsigned line, unsigned column,
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

static bool is(struct sm_view v, const char *text)
{
    return sm_view_eq(v, sm_view_str(text));
}

static bool is_named(const char *section)
{
    return strcmp(section, "platform") == 0 || strcmp(section, "reference") == 0 ||
           strcmp(section, "allow") == 0;
}

/* -- numbers of any width ---------------------------------------------------------------- */

static void store(struct sm_mesh_manifest *m, const struct key *k, uint64_t v)
{
    uint8_t *at = (uint8_t *)m + k->offset;
    uint8_t v8 = (uint8_t)v;
    uint16_t v16 = (uint16_t)v;
    uint32_t v32 = (uint32_t)v;
    const void *from = k->bytes == 1   ? (const void *)&v8
                       : k->bytes == 2 ? (const void *)&v16
                       : k->bytes == 4 ? (const void *)&v32
                                       : (const void *)&v;
    memcpy(at, from, k->bytes);
}

static uint64_t load(const struct sm_mesh_manifest *m, const struct key *k)
{
    const uint8_t *at = (const uint8_t *)m + k->offset;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;
    switch (k->bytes) {
    case 1:
        return *at;
    case 2:
        memcpy(&v16, at, sizeof v16);
        return v16;
    case 4:
        memcpy(&v32, at, sizeof v32);
        return v32;
    default:
        memcpy(&v64, at, sizeof v64);
        return v64;
    }
}

/* -- reading values ---------------------------------------------------------------------- */

static bool read_word(const struct word *words, struct sm_view v, uint64_t *out)
{
    for (const struct word *w = words; w->name != NULL; w++) {
        if (is(v, w->name)) {
            *out = w->value;
            return true;
        }
    }
    return false;
}

/* What stands between commas, one after the other. */
struct items {
    struct sm_view left;
    bool is_over;
};

/* The next, without blanks around it; false behind the last. */
static bool item_next(struct items *l, struct sm_view *out)
{
    if (l->is_over) {
        return false;
    }
    size_t n = 0;
    while (n < l->left.n && l->left.p[n] != ',') {
        n++;
    }
    struct sm_view item = sm_view_sub(l->left, 0, n);
    l->is_over = n == l->left.n;
    l->left = sm_view_sub(l->left, n + 1, l->left.n);
    while (item.n > 0 && item.p[0] == ' ') {
        item = sm_view_sub(item, 1, item.n);
    }
    while (item.n > 0 && item.p[item.n - 1] == ' ') {
        item.n--;
    }
    *out = item;
    return true;
}

/* Each once and rising, so that a set has one spelling. */
static bool read_bits(const struct key *k, struct sm_view v, uint64_t *out)
{
    uint64_t bits = 0, bit;
    struct items list = {.left = v};
    struct sm_view item;
    if (is(v, "none")) {
        *out = 0;
        return true;
    }
    while (item_next(&list, &item)) {
        if (!read_word(k->words, item, &bit) &&
            (sm_ini_number(item, &bit) != SM_OK || bit > k->max)) {
            return false;
        }
        if (bits >> bit != 0) {
            return false;
        }
        bits |= UINT64_C(1) << bit;
    }
    *out = bits;
    return true;
}

/* "snp 24, microcode 219"; what is left out is 0. */
static bool read_floor(const struct key *k, struct sm_view v, uint8_t *out)
{
    uint8_t floor[SM_SNP_PARTS] = {0};
    unsigned seen = 0;
    struct items list = {.left = v};
    struct sm_view item;
    if (is(v, "none")) {
        memset(out, 0, k->bytes);
        return true;
    }
    while (item_next(&list, &item)) {
        uint64_t part, n;
        size_t name_n = 0;
        while (name_n < item.n && item.p[name_n] != ' ') {
            name_n++;
        }
        if (name_n == item.n || !read_word(k->words, sm_view_sub(item, 0, name_n), &part) ||
            (seen >> part & 1u) != 0 ||
            sm_ini_number(sm_view_sub(item, name_n + 1, item.n), &n) != SM_OK ||
            n > UINT8_MAX) {
            return false;
        }
        seen |= 1u << part;
        floor[part] = (uint8_t)n;
    }
    memcpy(out, floor, k->bytes);
    return true;
}

static bool read_abi(struct sm_view v, uint64_t *out)
{
    size_t dot = 0;
    uint64_t major, minor;
    while (dot < v.n && v.p[dot] != '.') {
        dot++;
    }
    if (dot == v.n || sm_ini_number(sm_view_sub(v, 0, dot), &major) != SM_OK ||
        sm_ini_number(sm_view_sub(v, dot + 1, v.n), &minor) != SM_OK || major > 255 ||
        minor > 255) {
        return false;
    }
    *out = major << 8 | minor;
    return true;
}

/* "until DATE" behind what else may stand there. */
static bool read_until(struct sm_view v, uint64_t *out)
{
    static const char word[] = "until ";
    struct sm_wall t;
    if (!is(sm_view_sub(v, 0, sizeof word - 1), word) ||
        sm_date_parse(sm_view_sub(v, sizeof word - 1, v.n), &t) != SM_OK || t.s == 0) {
        return false;
    }
    *out = t.s;
    return true;
}

static bool read_status(struct sm_view v, uint64_t *out)
{
    if (is(v, "always") || is(v, "never")) {
        *out = is(v, "always") ? FOR_EVER : 0;
        return true;
    }
    return read_until(v, out);
}

static bool read_seconds(const struct key *k, struct sm_view v, uint64_t *out)
{
    uint64_t ns;
    if (sm_ini_duration(v, &ns) != SM_OK || ns % SECOND != 0 || ns / SECOND < k->min ||
        ns / SECOND > k->max) {
        return false;
    }
    *out = ns / SECOND;
    return true;
}

static bool read_date(const struct key *k, struct sm_view v, uint64_t *out)
{
    struct sm_wall t = {0};
    bool may_be_none = k->min == 0;
    if (!(may_be_none && is(v, "none")) && (sm_date_parse(v, &t) != SM_OK || t.s == 0)) {
        return false;
    }
    *out = t.s;
    return true;
}

static bool read_advisory(struct sm_mesh_manifest *m, struct sm_view v)
{
    if (v.n >= SM_ADVISORY_TEXT || m->n_advisories == SM_ADVISORIES) {
        return false;
    }
    for (size_t i = 0; i < m->n_advisories; i++) {
        if (is(v, m->advisories[i])) {
            return false;
        }
    }
    char *to = m->advisories[m->n_advisories++];
    memcpy(to, v.p, v.n);
    to[v.n] = '\0';
    return true;
}

static bool read_bytes(struct sm_view v, size_t least, struct sm_value *out)
{
    size_t n = v.n / 2;
    if (v.n % 2 != 0 || n < least || n > sizeof out->b ||
        sm_unhex((const char *)v.p, v.n, out->b, n) != SM_OK) {
        return false;
    }
    out->n = (uint8_t)n;
    return true;
}

static bool read_state(struct sm_view v, struct sm_refval *out)
{
    static const char word[] = "deprecated ";
    out->until.s = 0;
    if (is(v, "active") || is(v, "revoked")) {
        out->state = is(v, "active") ? SM_REFVAL_ACTIVE : SM_REFVAL_REVOKED;
        return true;
    }
    out->state = SM_REFVAL_DEPRECATED;
    return is(sm_view_sub(v, 0, sizeof word - 1), word) &&
           read_until(sm_view_sub(v, sizeof word - 1, v.n), &out->until.s);
}

static bool read_number(struct sm_view v, uint64_t max, uint64_t *out)
{
    return sm_ini_number(v, out) == SM_OK && *out <= max;
}

static bool platform_of(struct sm_view v, uint8_t *out)
{
    for (uint8_t i = 0; i < SM_PLATFORMS; i++) {
        if (is(v, sm_platform_name(i))) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool read_platform_key(struct parser *p, struct sm_view v)
{
    uint64_t n;
    if (is(p->line->key, "grade")) {
        bool ok = read_number(v, 1000, &n);
        p->m->grade[p->platform] = ok ? (uint16_t)n : 0;
        return ok;
    }
    p->m->any_measurement |= is(v, "any") ? 1u << p->platform : 0;
    return is(v, "any") || is(v, "listed");
}

static bool read_reference_key(struct parser *p, struct sm_view v)
{
    struct sm_view key = p->line->key;
    struct sm_refval *r = &p->ref;
    uint64_t n = 0;
    bool ok = false;
    if (is(key, "platform")) {
        return platform_of(v, &r->platform);
    }
    if (is(key, "value")) {
        return read_bytes(v, 1, &r->value);
    }
    if (is(key, "state")) {
        return read_state(v, r);
    }
    if (is(key, "kind")) {
        ok = read_word(kinds, v, &n);
        r->kind = (uint8_t)n;
    } else if (is(key, "register")) {
        ok = read_number(v, SM_REGS - 1, &n);
        r->reg = (uint8_t)n;
    } else {
        ok = read_number(v, UINT32_MAX, &n);
        r->min_svn = (uint32_t)n;
    }
    return ok;
}

static bool read_named(struct parser *p, const struct key *k, struct sm_view v)
{
    if (strcmp(k->section, "platform") == 0) {
        return read_platform_key(p, v);
    }
    return strcmp(k->section, "reference") == 0 ? read_reference_key(p, v)
                                                : read_bytes(v, 8, &p->allowed.id);
}

static bool read_value(struct parser *p, const struct key *k)
{
    struct sm_view v = p->line->value;
    struct sm_mesh_manifest *m = p->m;
    uint64_t n = 0;
    bool ok = false;
    switch (k->kind) {
    case KIND_MESH:
        return sm_unb32((const char *)v.p, v.n, m->mesh_id, sizeof m->mesh_id) == SM_OK;
    case KIND_FLOOR:
        return read_floor(k, v, (uint8_t *)m + k->offset);
    case KIND_ADVISORY:
        return read_advisory(m, v);
    case KIND_NAMED:
        return read_named(p, k, v);
    case KIND_WORD:
        ok = read_word(k->words, v, &n);
        break;
    case KIND_SECONDS:
        ok = read_seconds(k, v, &n);
        break;
    case KIND_COUNT:
        ok = read_number(v, k->max, &n) && n >= k->min;
        break;
    case KIND_DATE:
        ok = read_date(k, v, &n);
        break;
    case KIND_UNTIL:
        ok = read_status(v, &n);
        break;
    case KIND_BOOL:
        ok = is(v, "yes") || is(v, "no");
        n = is(v, "yes") ? 1 : 0;
        break;
    case KIND_BITS:
        ok = read_bits(k, v, &n);
        break;
    case KIND_ABI:
        ok = read_abi(v, &n);
        break;
    }
    if (ok) {
        store(m, k, n);
    }
    return ok;
}

/* -- sections and keys ------------------------------------------------------------------- */

/* The known name nearest to `text`; NULL when none is near enough to be meant. */
static const char *nearest(struct sm_view section, struct sm_view text)
{
    const char *best = NULL;
    unsigned best_d = 3;
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        bool wants_key = section.n > 0;
        if (wants_key && !is(section, keys[i].section)) {
            continue;
        }
        const char *name = wants_key ? keys[i].name : keys[i].section;
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

static bool has_key(const struct parser *p, const char *name)
{
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (is(p->section, keys[i].section) && strcmp(keys[i].name, name) == 0) {
            return (p->seen >> i & 1u) != 0;
        }
    }
    return false;
}

static enum sm_err need(const struct parser *p, const char *name, const char *label)
{
    if (has_key(p, name)) {
        return SM_OK;
    }
    return complain(p->why, p->section_line, 1, "[%.*s %s] needs '%s'", (int)p->section.n,
                    (const char *)p->section.p, label, name);
}

static enum sm_err finish_reference(const struct parser *p)
{
    const struct sm_refval *r = &p->ref;
    SM_TRY(need(p, "platform", r->label));
    SM_TRY(need(p, "kind", r->label));
    SM_TRY(need(p, "value", r->label));
    if (has_key(p, "register") != (r->kind == SM_REFVAL_REGISTER)) {
        return complain(p->why, p->section_line, 1,
                        "[reference %s]: 'register' goes with kind = register", r->label);
    }
    if (has_key(p, "min-svn") && r->kind != SM_REFVAL_SIGNER) {
        return complain(p->why, p->section_line, 1,
                        "[reference %s]: 'min-svn' goes with kind = signer", r->label);
    }
    enum sm_err e = sm_mesh_manifest_add(p->m, r);
    switch ((int)e) {
    case SM_OK:
    case SM_E_NOMEM:
        return e;
    case SM_E_EXISTS:
        return complain(p->why, p->section_line, 1,
                        "[reference %s]: the name or the value is there already", r->label);
    case SM_E_LIMIT:
        return complain(p->why, p->section_line, 1, "at most %u [reference] sections",
                        SM_REFVALS_MAX);
    default:
        return complain(p->why, p->section_line, 1,
                        "[reference %s]: the value must have 20 to 64 bytes", r->label);
    }
}

static enum sm_err finish_allow(const struct parser *p)
{
    const char *label = p->allowed.label;
    SM_TRY(need(p, "platform-id", label));
    enum sm_err e = sm_mesh_manifest_allow(p->m, &p->allowed);
    if (e == SM_OK || e == SM_E_NOMEM) {
        return e;
    }
    return complain(p->why, p->section_line, 1,
                    e == SM_E_EXISTS ? "[allow %s] is there twice"
                                     : "[allow %s]: at most 256 [allow] sections",
                    label);
}

/* The named section before this line is complete? */
static enum sm_err finish_named(struct parser *p)
{
    enum sm_err e = SM_OK;
    if (is(p->section, "platform")) {
        e = need(p, "grade", sm_platform_name(p->platform));
    } else if (is(p->section, "reference")) {
        e = finish_reference(p);
    } else if (is(p->section, "allow")) {
        e = finish_allow(p);
    }
    p->section = (struct sm_view){0};
    return e;
}

static enum sm_err start_platform(struct parser *p, struct sm_view name)
{
    if (!platform_of(name, &p->platform)) {
        return complain(
            p->why, p->line->line, p->line->column,
            "[platform %.*s]: the platforms are software, snp, tdx, tpm, sgx, nitro, "
            "snp-vtpm and tdx-vtpm",
            (int)name.n, (const char *)name.p);
    }
    if ((p->platforms >> p->platform & 1u) != 0) {
        return complain(p->why, p->line->line, p->line->column, "[platform %s] is there twice",
                        sm_platform_name(p->platform));
    }
    p->platforms |= 1u << p->platform;
    return SM_OK;
}

static enum sm_err start_named(struct parser *p)
{
    struct sm_view name = p->line->name;
    if (name.n == 0) {
        return complain(p->why, p->line->line, p->line->column, "[%.*s NAME] needs a name",
                        (int)p->line->section.n, (const char *)p->line->section.p);
    }
    p->section = p->line->section;
    p->section_line = p->line->line;
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        p->seen &= is_named(keys[i].section) ? ~(UINT64_C(1) << i) : UINT64_MAX;
    }
    p->ref = (struct sm_refval){.state = SM_REFVAL_ACTIVE};
    p->allowed = (struct sm_allowed){0};
    if (is(p->section, "platform")) {
        return start_platform(p, name);
    }
    char *label = is(p->section, "allow") ? p->allowed.label : p->ref.label;
    memcpy(label, name.p, name.n); /* no longer than SM_INI_NAME_MAX */
    return SM_OK;
}
_Static_assert(SM_INI_NAME_MAX == SM_LABEL_MAX, "a label is a section's name");

static enum sm_err on_section(struct parser *p)
{
    struct sm_view section = p->line->section;
    SM_TRY(finish_named(p));
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (!is(section, keys[i].section)) {
            continue;
        }
        if (is_named(keys[i].section)) {
            return start_named(p);
        }
        if (p->line->name.n > 0) {
            return complain(p->why, p->line->line, p->line->column, "[%s] takes no name",
                            keys[i].section);
        }
        return SM_OK;
    }
    return unknown(p, "section", (struct sm_view){0}, section);
}

static enum sm_err on_key(struct parser *p)
{
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        const struct key *k = &keys[i];
        if (!is(p->line->section, k->section) || !is(p->line->key, k->name)) {
            continue;
        }
        if ((p->seen >> i & 1u) != 0 && k->kind != KIND_ADVISORY) {
            return complain(p->why, p->line->line, p->line->column, "'%s' is given twice",
                            k->name);
        }
        p->seen |= UINT64_C(1) << i;
        if (!read_value(p, k)) {
            return complain(p->why, p->line->line, p->line->value_column, "%s.%s must be %s",
                            k->section, k->name, k->want);
        }
        return SM_OK;
    }
    return unknown(p, "key", p->line->section, p->line->key);
}

/* -- the whole text ---------------------------------------------------------------------- */

static enum sm_err check_whole(struct parser *p)
{
    static const char *const required[] = {"mesh", "environment"};
    const char *field = "";
    p->section = sm_view_str("manifest");
    for (size_t i = 0; i < SM_COUNT(required); i++) {
        if (!has_key(p, required[i])) {
            return complain(p->why, 0, 0, "[manifest] needs '%s'", required[i]);
        }
    }
    struct sm_mesh_manifest m = *p->m; /* times and version may come later */
    m.version = m.version == 0 ? 1 : m.version;
    m.issued.s = m.issued.s == 0 ? 1 : m.issued.s;
    if (p->m->issued.s == 0 || p->m->not_after.s == 0) {
        m.not_after.s = m.issued.s + 1;
    }
    if (sm_mesh_manifest_check(&m, &field) == SM_OK) {
        return SM_OK;
    }
    return complain(p->why, 0, 0, "%s: breaks a rule of manifests (doc/manifest.md)", field);
}

static enum sm_err parse(struct parser *p, struct sm_view text)
{
    struct sm_ini ini = sm_ini_init(text);
    struct sm_ini_line line;
    p->line = &line;
    if (text.n > SM_MANIFEST_TEXT_MAX) {
        return complain(p->why, 0, 0, "the text is longer than %u bytes", SM_MANIFEST_TEXT_MAX);
    }
    while (sm_ini_next(&ini, &line)) {
        SM_TRY(line.kind == SM_INI_SECTION ? on_section(p) : on_key(p));
    }
    if (ini.problem != NULL) {
        return complain(p->why, ini.line, ini.column, "%s", ini.problem);
    }
    SM_TRY(finish_named(p));
    return check_whole(p);
}

enum sm_err sm_mesh_manifest_parse(struct sm_view text, struct sm_mesh_manifest *out,
                                   struct sm_text_problem *why)
{
    struct sm_mesh_manifest m;
    struct parser p = {.m = &m, .why = why};
    *why = (struct sm_text_problem){0};
    sm_mesh_manifest_default(&m);
    enum sm_err e = parse(&p, text);
    if (e != SM_OK) {
        sm_mesh_manifest_done(&m);
        return e;
    }
    *out = m;
    return SM_OK;
}

/* -- printing ---------------------------------------------------------------------------- */

#define VALUE_MAX SM_INI_VALUE_MAX

struct lister {
    void (*each)(void *ctx, const struct sm_manifest_field *f);
    void *ctx;
    const char *section, *name;
};

static void field(const struct lister *l, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void field(const struct lister *l, const char *key, const char *fmt, ...)
{
    char value[VALUE_MAX + 1];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    struct sm_manifest_field f = {l->section, l->name, key, value};
    l->each(l->ctx, &f);
}

static const char *word_of(const struct word *words, uint64_t value)
{
    for (const struct word *w = words; w->name != NULL; w++) {
        if (w->value == value) {
            return w->name;
        }
    }
    return NULL;
}

static void print_seconds(uint64_t s, char out[static 32])
{
    if (s == 0) {
        (void)snprintf(out, 32, "0s");
        return;
    }
    sm_ini_print_duration(s * SECOND, out);
}

static void list_bits(const struct lister *l, const struct key *k, uint64_t bits)
{
    char text[VALUE_MAX + 1] = "none";
    size_t at = 0;
    for (unsigned i = 0; i < 64; i++) {
        if ((bits >> i & 1u) == 0) {
            continue;
        }
        const char *name = word_of(k->words, i);
        char number[8];
        (void)snprintf(number, sizeof number, "%u", i);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at == 0 ? "" : ", ",
                               name != NULL ? name : number);
    }
    field(l, k->name, "%s", text);
}

static void list_floor(const struct lister *l, const struct key *k, const uint8_t *floor)
{
    char text[VALUE_MAX + 1] = "none";
    size_t at = 0;
    for (unsigned i = 0; i < SM_SNP_PARTS; i++) {
        if (floor[i] > 0) {
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %u", at == 0 ? "" : ", ",
                                   parts[i].name, floor[i]);
        }
    }
    field(l, k->name, "%s", text);
}

static void list_status(const struct lister *l, const struct key *k, uint64_t until)
{
    char date[SM_DATE_LEN + 1];
    if (until == 0 || until == FOR_EVER) {
        field(l, k->name, "%s", until == 0 ? "never" : "always");
        return;
    }
    sm_date_print((struct sm_wall){until}, date);
    field(l, k->name, "until %s", date);
}

/* Dates that are to be given (min 1) and are not are left out. */
static void list_date(const struct lister *l, const struct key *k, uint64_t at)
{
    char date[SM_DATE_LEN + 1] = "none";
    if (at != 0) {
        sm_date_print((struct sm_wall){at}, date);
    }
    if (at != 0 || k->min == 0) {
        field(l, k->name, "%s", date);
    }
}

static void list_mesh(const struct lister *l, const struct key *k,
                      const struct sm_mesh_manifest *m)
{
    char text[SM_B32_LEN(32) + 1];
    sm_b32(m->mesh_id, sizeof m->mesh_id, text);
    field(l, k->name, "%s", text);
}

static void list_key(const struct lister *l, const struct key *k,
                     const struct sm_mesh_manifest *m)
{
    char text[32];
    switch (k->kind) {
    case KIND_MESH:
        list_mesh(l, k, m);
        break;
    case KIND_WORD:
        field(l, k->name, "%s", word_of(k->words, load(m, k)));
        break;
    case KIND_SECONDS:
        print_seconds(load(m, k), text);
        field(l, k->name, "%s", text);
        break;
    case KIND_COUNT:
        if (load(m, k) >= k->min) { /* else it is still to be given */
            field(l, k->name, "%" PRIu64, load(m, k));
        }
        break;
    case KIND_DATE:
        list_date(l, k, load(m, k));
        break;
    case KIND_UNTIL:
        list_status(l, k, load(m, k));
        break;
    case KIND_BOOL:
        field(l, k->name, "%s", load(m, k) != 0 ? "yes" : "no");
        break;
    case KIND_BITS:
        list_bits(l, k, load(m, k));
        break;
    case KIND_FLOOR:
        list_floor(l, k, (const uint8_t *)m + k->offset);
        break;
    case KIND_ABI:
        field(l, k->name, "%" PRIu64 ".%" PRIu64, load(m, k) >> 8, load(m, k) & 0xff);
        break;
    case KIND_ADVISORY:
        for (size_t i = 0; i < m->n_advisories; i++) {
            field(l, k->name, "%s", m->advisories[i]);
        }
        break;
    case KIND_NAMED:
        break;
    }
}

static void list_platforms(struct lister *l, const struct sm_mesh_manifest *m)
{
    l->section = "platform";
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        bool is_any = (m->any_measurement >> i & 1u) != 0;
        if (m->grade[i] == 0 && !is_any) {
            continue;
        }
        l->name = sm_platform_name((uint8_t)i);
        field(l, "grade", "%u", m->grade[i]);
        field(l, "measurement", "%s", is_any ? "any" : "listed");
    }
}

static void list_value(const struct lister *l, const char *key, const struct sm_value *v)
{
    char hex[2 * sizeof v->b + 1];
    sm_hex(v->b, v->n, hex);
    field(l, key, "%s", hex);
}

static void list_reference(const struct lister *l, const struct sm_refval *v)
{
    char date[SM_DATE_LEN + 1];
    field(l, "platform", "%s", sm_platform_name(v->platform));
    field(l, "kind", "%s", sm_refval_kind_name(v->kind));
    if (v->kind == SM_REFVAL_REGISTER) {
        field(l, "register", "%u", v->reg);
    }
    list_value(l, "value", &v->value);
    if (v->state == SM_REFVAL_DEPRECATED) {
        sm_date_print(v->until, date);
        field(l, "state", "deprecated until %s", date);
    } else {
        field(l, "state", "%s", sm_refval_state_name(v->state));
    }
    if (v->kind == SM_REFVAL_SIGNER) {
        field(l, "min-svn", "%" PRIu32, v->min_svn);
    }
}

static void list_named(struct lister *l, const struct sm_mesh_manifest *m)
{
    list_platforms(l, m);
    l->section = "reference";
    for (size_t i = 0; i < m->n_refs; i++) {
        l->name = m->refs[i].label;
        list_reference(l, &m->refs[i]);
    }
    l->section = "allow";
    for (size_t i = 0; i < m->n_allowed; i++) {
        l->name = m->allowed[i].label;
        list_value(l, "platform-id", &m->allowed[i].id);
    }
    l->name = NULL;
}

void sm_mesh_manifest_fields(const struct sm_mesh_manifest *m,
                             void (*each)(void *ctx, const struct sm_manifest_field *f),
                             void *ctx)
{
    struct lister l = {.each = each, .ctx = ctx};
    bool is_named_done = false;
    for (size_t i = 0; i < SM_COUNT(keys); i++) {
        if (keys[i].kind == KIND_NAMED) {
            if (!is_named_done) {
                list_named(&l, m);
            }
            is_named_done = true;
            continue;
        }
        l.section = keys[i].section;
        if (m->committee.n > 0 || strcmp(l.section, "committee") != 0) {
            list_key(&l, &keys[i], m);
        }
    }
}

struct printer {
    struct sm_buf *out;
    char section[SM_INI_NAME_MAX + 1], name[SM_INI_NAME_MAX + 1];
    enum sm_err err;
};

static void print_field(void *ctx, const struct sm_manifest_field *f)
{
    struct printer *p = ctx;
    const char *name = f->name == NULL ? "" : f->name;
    if (p->err != SM_OK) {
        return;
    }
    if (strcmp(p->section, f->section) != 0 || strcmp(p->name, name) != 0) {
        p->err = sm_buf_printf(p->out, "%s[%s%s%s]\n", *p->section == '\0' ? "" : "\n",
                               f->section, *name == '\0' ? "" : " ", name);
        (void)snprintf(p->section, sizeof p->section, "%s", f->section);
        (void)snprintf(p->name, sizeof p->name, "%s", name);
    }
    if (p->err == SM_OK) {
        p->err = sm_buf_printf(p->out, "%s = %s\n", f->key, f->value);
    }
}

enum sm_err sm_mesh_manifest_print(const struct sm_mesh_manifest *m, struct sm_buf *out)
{
    struct printer p = {.out = out};
    sm_mesh_manifest_fields(m, print_field, &p);
    return p.err;
}
