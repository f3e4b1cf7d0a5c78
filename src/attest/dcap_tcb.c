// SPDX-License-Identifier: Apache-2.0
#include "attest/dcap_tcb.h"

#include "attest/json.h"
#include "base/date.h"

#include <stdio.h>
#include <string.h>

#define COMPONENTS 16u

static enum sm_err refuse(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                          const char *got, const char *want)
{
    sm_reasons_add(why, code, field, got, want);
    return SM_E_REFUSED;
}

/* -- values ------------------------------------------------------------------------------ */

static bool is(struct sm_view key, const char *name)
{
    return sm_view_eq(key, sm_view_str(name));
}

static void read_hex(struct sm_json *j, uint8_t *out, size_t n)
{
    struct sm_view text = sm_json_text(j);
    if (!j->failed && sm_unhex((const char *)text.p, text.n, out, n) != SM_OK) {
        sm_json_fail(j);
    }
}

static struct sm_wall read_date(struct sm_json *j)
{
    struct sm_wall t = {0};
    if (sm_date_parse(sm_json_text(j), &t) != SM_OK) {
        sm_json_fail(j);
    }
    return t;
}

static enum sm_tcb_status read_status(struct sm_json *j)
{
    static const struct {
        const char *name;
        enum sm_tcb_status status;
    } all[] = {
        {"UpToDate", SM_TCB_UP_TO_DATE},
        {"SWHardeningNeeded", SM_TCB_SW_HARDENING},
        {"ConfigurationNeeded", SM_TCB_CONFIG},
        {"ConfigurationAndSWHardeningNeeded", SM_TCB_CONFIG_SW_HARDENING},
        {"OutOfDate", SM_TCB_OUT_OF_DATE},
        {"OutOfDateConfigurationNeeded", SM_TCB_OUT_OF_DATE_CONFIG},
        {"Revoked", SM_TCB_REVOKED},
    };
    struct sm_view text = sm_json_text(j);
    for (size_t i = 0; i < SM_COUNT(all); i++) {
        if (is(text, all[i].name)) {
            return all[i].status;
        }
    }
    sm_json_fail(j);
    return SM_TCB_UNKNOWN;
}

/* The bits of `seen` stand for keys: each comes once, and all that are needed do come. */
static void once(struct sm_json *j, unsigned *seen, unsigned bit)
{
    if ((*seen & bit) != 0) {
        sm_json_fail(j);
    }
    *seen |= bit;
}

static enum sm_err all_seen(struct sm_json *j, unsigned seen, unsigned needed)
{
    SM_TRY(sm_json_done(j));
    return (seen & needed) == needed ? SM_OK : SM_E_MALFORMED;
}

/* -- TCB info and QE identity ------------------------------------------------------------ */

enum head_key {
    HEAD_ID = 1,
    HEAD_VERSION = 2,
    HEAD_ISSUED = 4,
    HEAD_NEXT = 8,
    HEAD_EVAL = 16,
    HEAD_ALL = 31,
    HEAD_END = 32, /* the first bit of the documents' own */
};

struct head_rules {
    const char *sgx, *tdx; /* ids */
    uint32_t version;      /* the one grammar we know */
};

/* True when the key was one of the head's, and its value read. */
static bool head_read(struct sm_json *j, struct sm_view key, const struct head_rules *rules,
                      unsigned *seen, struct sm_dcap_head *out)
{
    if (is(key, "id")) {
        once(j, seen, HEAD_ID);
        struct sm_view id = sm_json_text(j);
        out->is_tdx = is(id, rules->tdx);
        if (!out->is_tdx && !is(id, rules->sgx)) {
            sm_json_fail(j);
        }
    } else if (is(key, "version")) {
        once(j, seen, HEAD_VERSION);
        if (sm_json_uint(j, UINT32_MAX) != rules->version) {
            sm_json_fail(j);
        }
    } else if (is(key, "issueDate")) {
        once(j, seen, HEAD_ISSUED);
        out->issued = read_date(j);
    } else if (is(key, "nextUpdate")) {
        once(j, seen, HEAD_NEXT);
        out->next_update = read_date(j);
    } else if (is(key, "tcbEvaluationDataNumber")) {
        once(j, seen, HEAD_EVAL);
        out->eval = (uint32_t)sm_json_uint(j, UINT32_MAX);
    } else {
        return false;
    }
    return true;
}

enum info_key {
    INFO_FMSPC = HEAD_END,
    INFO_PCEID = HEAD_END * 2,
    INFO_TYPE = HEAD_END * 4,
    INFO_LEVELS = HEAD_END * 8,
    INFO_MODULE = HEAD_END * 16,
    INFO_IDENTITIES = HEAD_END * 32,
    INFO_ALL = HEAD_ALL | INFO_FMSPC | INFO_PCEID | INFO_TYPE | INFO_LEVELS,
};

static void info_member(struct sm_json *j, struct sm_view key, unsigned *seen,
                        struct sm_tcb_info *out)
{
    if (is(key, "fmspc")) {
        once(j, seen, INFO_FMSPC);
        read_hex(j, out->fmspc, sizeof out->fmspc);
    } else if (is(key, "pceId")) {
        once(j, seen, INFO_PCEID);
        read_hex(j, out->pceid, sizeof out->pceid);
    } else if (is(key, "tcbType")) {
        once(j, seen, INFO_TYPE);
        (void)sm_json_uint(j, 0); /* how SVNs compare: 0, component by component */
    } else if (is(key, "tcbLevels")) {
        once(j, seen, INFO_LEVELS);
        out->levels = sm_json_value(j);
    } else if (is(key, "tdxModule")) {
        once(j, seen, INFO_MODULE);
        out->module = sm_json_value(j);
    } else if (is(key, "tdxModuleIdentities")) {
        once(j, seen, INFO_IDENTITIES);
        out->identities = sm_json_value(j);
    } else {
        sm_json_skip(j);
    }
}

enum sm_err sm_tcb_info_read(struct sm_view json, struct sm_tcb_info *out)
{
    static const struct head_rules rules = {"SGX", "TDX", 3};
    struct sm_json j = sm_json_init(json);
    struct sm_tcb_info info = {0};
    struct sm_view key;
    unsigned seen = 0;
    sm_json_object(&j);
    while (sm_json_key(&j, &key)) {
        if (!head_read(&j, key, &rules, &seen, &info.head)) {
            info_member(&j, key, &seen, &info);
        }
    }
    SM_TRY(all_seen(&j, seen, INFO_ALL | (info.head.is_tdx ? INFO_MODULE : 0)));
    *out = info;
    return SM_OK;
}

enum qe_key {
    QE_MISC = HEAD_END,
    QE_MISC_MASK = HEAD_END * 2,
    QE_ATTR = HEAD_END * 4,
    QE_ATTR_MASK = HEAD_END * 8,
    QE_SIGNER = HEAD_END * 16,
    QE_PRODID = HEAD_END * 32,
    QE_LEVELS = HEAD_END * 64,
    QE_ALL = HEAD_END * 128 - 1,
};

static void qe_member(struct sm_json *j, struct sm_view key, unsigned *seen,
                      struct sm_qe_identity *out)
{
    if (is(key, "miscselect")) {
        once(j, seen, QE_MISC);
        read_hex(j, out->miscselect, sizeof out->miscselect);
    } else if (is(key, "miscselectMask")) {
        once(j, seen, QE_MISC_MASK);
        read_hex(j, out->miscselect_mask, sizeof out->miscselect_mask);
    } else if (is(key, "attributes")) {
        once(j, seen, QE_ATTR);
        read_hex(j, out->attributes, sizeof out->attributes);
    } else if (is(key, "attributesMask")) {
        once(j, seen, QE_ATTR_MASK);
        read_hex(j, out->attributes_mask, sizeof out->attributes_mask);
    } else if (is(key, "mrsigner")) {
        once(j, seen, QE_SIGNER);
        read_hex(j, out->mrsigner, sizeof out->mrsigner);
    } else if (is(key, "isvprodid")) {
        once(j, seen, QE_PRODID);
        out->isvprodid = (uint16_t)sm_json_uint(j, UINT16_MAX);
    } else if (is(key, "tcbLevels")) {
        once(j, seen, QE_LEVELS);
        out->levels = sm_json_value(j);
    } else {
        sm_json_skip(j);
    }
}

enum sm_err sm_qe_identity_read(struct sm_view json, struct sm_qe_identity *out)
{
    static const struct head_rules rules = {"QE", "TD_QE", 2};
    struct sm_json j = sm_json_init(json);
    struct sm_qe_identity id = {0};
    struct sm_view key;
    unsigned seen = 0;
    sm_json_object(&j);
    while (sm_json_key(&j, &key)) {
        if (!head_read(&j, key, &rules, &seen, &id.head)) {
            qe_member(&j, key, &seen, &id);
        }
    }
    SM_TRY(all_seen(&j, seen, QE_ALL));
    *out = id;
    return SM_OK;
}

/* -- levels ------------------------------------------------------------------------------ */

/* One level of any of the lists; modules and enclaves have an isvsvn, platforms the rest. */
struct level {
    uint8_t sgx[COMPONENTS], tdx[COMPONENTS];
    uint16_t pcesvn, isvsvn;
    enum sm_tcb_status status;
    struct sm_wall date;
    struct sm_view advisories; /* JSON array, or empty */
};

enum level_key {
    LEVEL_SGX = 1,
    LEVEL_TDX = 2,
    LEVEL_PCE = 4,
    LEVEL_ISV = 8,
    LEVEL_TCB = 16,
    LEVEL_DATE = 32,
    LEVEL_STATUS = 64,
    LEVEL_ADVISORIES = 128,
    LEVEL_ENDS = LEVEL_TCB | LEVEL_DATE | LEVEL_STATUS,
};

static uint8_t read_component(struct sm_json *j)
{
    struct sm_view key;
    unsigned seen = 0;
    uint8_t svn = 0;
    sm_json_object(j);
    while (sm_json_key(j, &key)) {
        if (is(key, "svn")) {
            once(j, &seen, 1);
            svn = (uint8_t)sm_json_uint(j, UINT8_MAX);
        } else {
            sm_json_skip(j);
        }
    }
    if (seen == 0) {
        sm_json_fail(j);
    }
    return svn;
}

static void read_components(struct sm_json *j, uint8_t out[static COMPONENTS])
{
    size_t n = 0;
    sm_json_array(j);
    for (; sm_json_item(j); n++) {
        uint8_t svn = read_component(j);
        if (n == COMPONENTS) {
            sm_json_fail(j);
        } else {
            out[n] = svn;
        }
    }
    if (n != COMPONENTS) {
        sm_json_fail(j);
    }
}

static void read_level_tcb(struct sm_json *j, unsigned *seen, struct level *out)
{
    struct sm_view key;
    sm_json_object(j);
    while (sm_json_key(j, &key)) {
        if (is(key, "sgxtcbcomponents")) {
            once(j, seen, LEVEL_SGX);
            read_components(j, out->sgx);
        } else if (is(key, "tdxtcbcomponents")) {
            once(j, seen, LEVEL_TDX);
            read_components(j, out->tdx);
        } else if (is(key, "pcesvn")) {
            once(j, seen, LEVEL_PCE);
            out->pcesvn = (uint16_t)sm_json_uint(j, UINT16_MAX);
        } else if (is(key, "isvsvn")) {
            once(j, seen, LEVEL_ISV);
            out->isvsvn = (uint16_t)sm_json_uint(j, UINT16_MAX);
        } else {
            sm_json_skip(j);
        }
    }
}

static enum sm_err add_advisory(struct sm_tcb *tcb, struct sm_view id)
{
    char text[sizeof tcb->advisories[0]] = "";
    if (id.n == 0 || id.n >= sizeof text) {
        return SM_E_MALFORMED;
    }
    memcpy(text, id.p, id.n);
    for (unsigned i = 0; i < tcb->n_advisories; i++) {
        if (strcmp(tcb->advisories[i], text) == 0) {
            return SM_OK;
        }
    }
    if (tcb->n_advisories == SM_ADVISORIES) {
        return SM_E_LIMIT;
    }
    memcpy(tcb->advisories[tcb->n_advisories++], text, sizeof text);
    return SM_OK;
}

/* Of the one level that counts: others may be longer than we have room for. */
static enum sm_err tcb_of_level(const struct level *l, struct sm_tcb *out)
{
    struct sm_tcb tcb = {.status = l->status, .date = l->date};
    struct sm_json j = sm_json_init(l->advisories);
    if (l->advisories.n > 0) {
        sm_json_array(&j);
        while (sm_json_item(&j)) {
            SM_TRY(add_advisory(&tcb, sm_json_text(&j)));
        }
        SM_TRY(sm_json_done(&j));
    }
    *out = tcb;
    return SM_OK;
}

static void read_level(struct sm_json *j, unsigned needed, struct level *out)
{
    struct level l = {0};
    struct sm_view key;
    unsigned seen = 0;
    sm_json_object(j);
    while (sm_json_key(j, &key)) {
        if (is(key, "tcb")) {
            once(j, &seen, LEVEL_TCB);
            read_level_tcb(j, &seen, &l);
        } else if (is(key, "tcbDate")) {
            once(j, &seen, LEVEL_DATE);
            l.date = read_date(j);
        } else if (is(key, "tcbStatus")) {
            once(j, &seen, LEVEL_STATUS);
            l.status = read_status(j);
        } else if (is(key, "advisoryIDs")) {
            once(j, &seen, LEVEL_ADVISORIES);
            l.advisories = sm_json_value(j);
        } else {
            sm_json_skip(j);
        }
    }
    needed |= LEVEL_ENDS;
    if ((seen & needed) != needed) {
        sm_json_fail(j);
    }
    *out = l;
}

/* Of an enclave or a module: the first level that isvsvn reaches; `newest` is the first of
 * all.  Such levels are good, outdated or revoked, and nothing between. */
static enum sm_err level_by_isvsvn(struct sm_view levels, uint16_t isvsvn, bool *has_level,
                                   struct sm_tcb *out, uint16_t *newest)
{
    struct sm_json j = sm_json_init(levels);
    struct level l;
    bool is_first = true;
    *has_level = false;
    sm_json_array(&j);
    while (sm_json_item(&j)) {
        read_level(&j, LEVEL_ISV, &l);
        bool is_known = l.status == SM_TCB_UP_TO_DATE || l.status == SM_TCB_OUT_OF_DATE ||
                        l.status == SM_TCB_REVOKED;
        if (!is_known) {
            sm_json_fail(&j);
        }
        if (is_first) {
            *newest = l.isvsvn;
        }
        is_first = false;
        if (!*has_level && isvsvn >= l.isvsvn) {
            *has_level = true;
            SM_TRY(tcb_of_level(&l, out));
        }
    }
    return sm_json_done(&j);
}

/* -- quoting enclave --------------------------------------------------------------------- */

static bool masked_eq(const uint8_t *got, const uint8_t *mask, const uint8_t *want, size_t n)
{
    uint8_t differ = 0;
    for (size_t i = 0; i < n; i++) {
        differ |= (uint8_t)((got[i] & mask[i]) ^ (want[i] & mask[i]));
    }
    return differ == 0;
}

enum sm_err sm_qe_identity_check(const struct sm_qe_identity *id,
                                 const struct sm_sgx_report *qe, struct sm_tcb *out,
                                 struct sm_reasons *why)
{
    bool has_level;
    uint16_t newest = 0;
    struct sm_tcb tcb;
    if (!masked_eq(qe->miscselect, id->miscselect_mask, id->miscselect, 4) ||
        !masked_eq(qe->attributes, id->attributes_mask, id->attributes, 16)) {
        return refuse(why, SM_REASON_IDENTITY, "qe attributes", "others", "of its identity");
    }
    if (memcmp(qe->mrsigner, id->mrsigner, sizeof id->mrsigner) != 0 ||
        qe->isvprodid != id->isvprodid) {
        return refuse(why, SM_REASON_IDENTITY, "qe", "another enclave", "of its identity");
    }
    enum sm_err e = level_by_isvsvn(id->levels, qe->isvsvn, &has_level, &tcb, &newest);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, "qe identity", sm_err_words(e), "levels");
        return e;
    }
    if (!has_level) {
        return refuse(why, SM_REASON_TCB, "qe isvsvn", "below every level", "supported");
    }
    *out = tcb;
    return SM_OK;
}

/* -- platform ---------------------------------------------------------------------------- */

static bool reaches(const uint8_t *got, const uint8_t *want, unsigned from)
{
    for (unsigned i = from; i < COMPONENTS; i++) {
        if (got[i] < want[i]) {
            return false;
        }
    }
    return true;
}

/* What the list of platform levels says of one platform. */
struct match {
    bool has_sgx, has_level;
    struct level sgx;   /* first by firmware of the processor alone */
    struct level level; /* first by everything */
    struct level newest;
};

static void match_level(const struct sm_pck *pck, const struct sm_quote *q,
                        const struct level *l, struct match *m)
{
    if (!reaches(pck->svn, l->sgx, 0) || pck->pcesvn < l->pcesvn) {
        return;
    }
    if (!m->has_sgx) {
        m->has_sgx = true;
        m->sgx = *l;
    }
    /* With a module of its own identity, that one judges the first two components. */
    unsigned from = q->td.tee_tcb_svn[1] > 0 ? 2 : 0;
    if (!m->has_level && (!q->is_tdx || reaches(q->td.tee_tcb_svn, l->tdx, from))) {
        m->has_level = true;
        m->level = *l;
    }
}

static enum sm_err match_levels(const struct sm_tcb_info *info, const struct sm_pck *pck,
                                const struct sm_quote *q, struct match *out)
{
    struct sm_json j = sm_json_init(info->levels);
    unsigned needed = LEVEL_SGX | LEVEL_PCE | (q->is_tdx ? LEVEL_TDX : 0);
    struct match m = {0};
    struct level l;
    bool is_first = true;
    sm_json_array(&j);
    while (sm_json_item(&j)) {
        read_level(&j, needed, &l);
        if (is_first) {
            m.newest = l;
        }
        is_first = false;
        match_level(pck, q, &l, &m);
    }
    SM_TRY(sm_json_done(&j));
    *out = m;
    return SM_OK;
}

/* -- TDX module -------------------------------------------------------------------------- */

struct module {
    uint8_t mrsigner[48], attributes[8];
    struct sm_view levels;
};

enum module_key {
    MODULE_SIGNER = 1,
    MODULE_ATTR = 2,
    MODULE_ID = 4,
    MODULE_LEVELS = 8,
};

static void read_module(struct sm_json *j, unsigned needed, struct sm_view *id,
                        struct module *out)
{
    struct sm_view key;
    unsigned seen = 0;
    sm_json_object(j);
    while (sm_json_key(j, &key)) {
        if (is(key, "mrsigner")) {
            once(j, &seen, MODULE_SIGNER);
            read_hex(j, out->mrsigner, sizeof out->mrsigner);
        } else if (is(key, "attributes")) {
            once(j, &seen, MODULE_ATTR);
            read_hex(j, out->attributes, sizeof out->attributes);
        } else if (is(key, "id")) {
            once(j, &seen, MODULE_ID);
            *id = sm_json_text(j);
        } else if (is(key, "tcbLevels")) {
            once(j, &seen, MODULE_LEVELS);
            out->levels = sm_json_value(j);
        } else {
            sm_json_skip(j);
        }
    }
    if ((seen & needed) != needed) {
        sm_json_fail(j);
    }
}

/* The identity TDX_01 for version 1, and so on; of version 0, what TCB info itself says. */
static enum sm_err find_module(const struct sm_tcb_info *info, uint8_t version,
                               struct module *out, bool *is_found)
{
    char want[8];
    struct sm_view id;
    struct module m;
    *is_found = false;
    if (version == 0) {
        struct sm_json j = sm_json_init(info->module);
        read_module(&j, MODULE_SIGNER | MODULE_ATTR, &id, out);
        *is_found = true;
        return sm_json_done(&j);
    }
    if (info->identities.n == 0) {
        return SM_OK;
    }
    (void)snprintf(want, sizeof want, "TDX_%02X", version);
    struct sm_json j = sm_json_init(info->identities);
    sm_json_array(&j);
    while (sm_json_item(&j)) {
        m = (struct module){0};
        id = (struct sm_view){0};
        read_module(&j, MODULE_SIGNER | MODULE_ATTR | MODULE_ID | MODULE_LEVELS, &id, &m);
        if (!is(id, want)) {
            continue;
        }
        if (*is_found) {
            sm_json_fail(&j);
        }
        *is_found = true;
        *out = m;
    }
    return sm_json_done(&j);
}

static enum sm_err module_identity(const struct module *m, const struct sm_td_report *td,
                                   struct sm_reasons *why)
{
    static const uint8_t none[8];
    if (memcmp(td->mrsignerseam, m->mrsigner, sizeof m->mrsigner) != 0) {
        return refuse(why, SM_REASON_IDENTITY, "mrsignerseam", "another", "of its identity");
    }
    if (memcmp(td->seamattributes, none, sizeof none) != 0 ||
        memcmp(m->attributes, none, sizeof none) != 0) {
        return refuse(why, SM_REASON_RESERVED, "seamattributes", "not zero", "zero");
    }
    return SM_OK;
}

/* Who the module is, and its own status; version 0 is judged with the platform. */
static enum sm_err module_check(const struct sm_tcb_info *info, const struct sm_td_report *td,
                                struct sm_tcb *out, struct sm_reasons *why)
{
    struct module m;
    bool is_found, has_level;
    uint16_t newest = 0;
    uint8_t version = td->tee_tcb_svn[1];
    SM_TRY(find_module(info, version, &m, &is_found));
    if (!is_found) {
        return refuse(why, SM_REASON_IDENTITY, "tdx module", "unknown version", "an identity");
    }
    SM_TRY(module_identity(&m, td, why));
    if (version == 0) {
        *out = (struct sm_tcb){.status = SM_TCB_UP_TO_DATE, .date = {UINT64_MAX}};
        return SM_OK;
    }
    SM_TRY(level_by_isvsvn(m.levels, td->tee_tcb_svn[0], &has_level, out, &newest));
    return has_level
               ? SM_OK
               : refuse(why, SM_REASON_TCB, "tdx module", "below every level", "supported");
}

/* -- convergence ------------------------------------------------------------------------- */

/* What is left of a platform's status when a part of it is outdated or revoked. */
static enum sm_tcb_status converge(enum sm_tcb_status platform, enum sm_tcb_status part)
{
    if (platform == SM_TCB_REVOKED || part == SM_TCB_REVOKED) {
        return SM_TCB_REVOKED;
    }
    if (part == SM_TCB_UP_TO_DATE) {
        return platform;
    }
    switch (platform) {
    case SM_TCB_UP_TO_DATE:
    case SM_TCB_SW_HARDENING:
    case SM_TCB_OUT_OF_DATE:
    case SM_TCB_RELAUNCH:
        return SM_TCB_OUT_OF_DATE;
    case SM_TCB_CONFIG:
    case SM_TCB_CONFIG_SW_HARDENING:
    case SM_TCB_OUT_OF_DATE_CONFIG:
        return SM_TCB_OUT_OF_DATE_CONFIG;
    case SM_TCB_REVOKED:
    case SM_TCB_UNKNOWN:
    case SM_TCB_STATUSES:
        break;
    }
    return SM_TCB_UNKNOWN;
}

/* The report's second TCB is that of the module loaded now: when that one is the newest, only
 * the guest, launched under the old one, is outdated, and a relaunch cures it. */
static enum sm_err relaunch_cures(const struct sm_tcb_info *info, const struct sm_quote *q,
                                  const struct match *m, bool *out)
{
    const uint8_t *svn2 = q->td.tee_tcb_svn2;
    const uint8_t *newest = m->newest.tdx;
    uint16_t module_newest = newest[0];
    if (svn2[1] > 0) {
        struct module mod;
        struct sm_tcb tcb;
        bool is_found, has_level;
        module_newest = UINT16_MAX;
        SM_TRY(find_module(info, svn2[1], &mod, &is_found));
        if (!is_found) {
            *out = false;
            return SM_OK;
        }
        SM_TRY(level_by_isvsvn(mod.levels, svn2[0], &has_level, &tcb, &module_newest));
    }
    *out = svn2[0] >= module_newest && svn2[2] >= newest[2];
    return SM_OK;
}

/* Relaunch is advised only when nothing but the module is behind.  Where a configuration is
 * needed as well, the worse status stands. */
static enum sm_err apply_relaunch(const struct sm_tcb_info *info, const struct sm_quote *q,
                                  const struct match *m, enum sm_tcb_status module,
                                  enum sm_tcb_status qe, enum sm_tcb_status *status)
{
    enum sm_tcb_status sgx = m->sgx.status;
    bool is_cured = false;
    if (!q->td.is_15 || module != SM_TCB_OUT_OF_DATE || qe != SM_TCB_UP_TO_DATE ||
        *status != SM_TCB_OUT_OF_DATE ||
        (sgx != SM_TCB_UP_TO_DATE && sgx != SM_TCB_SW_HARDENING)) {
        return SM_OK;
    }
    SM_TRY(relaunch_cures(info, q, m, &is_cured));
    *status = is_cured ? SM_TCB_RELAUNCH : *status;
    return SM_OK;
}

static enum sm_err add_part(struct sm_tcb *all, const struct sm_tcb *part)
{
    for (unsigned i = 0; i < part->n_advisories; i++) {
        SM_TRY(add_advisory(all, sm_view_str(part->advisories[i])));
    }
    all->date.s = part->date.s < all->date.s ? part->date.s : all->date.s;
    return SM_OK;
}

static enum sm_err evaluate_tdx(const struct sm_tcb_info *info, const struct sm_quote *q,
                                const struct match *m, const struct sm_tcb *qe,
                                struct sm_tcb *all, struct sm_reasons *why)
{
    struct sm_tcb module;
    SM_TRY(module_check(info, &q->td, &module, why));
    if (m->sgx.status == SM_TCB_REVOKED) {
        all->status = SM_TCB_REVOKED;
    }
    all->status = converge(all->status, module.status);
    SM_TRY(apply_relaunch(info, q, m, module.status, qe->status, &all->status));
    return add_part(all, &module);
}

/* SPEC QVL 4.1.2.4.17 */
static enum sm_err evaluate(const struct sm_tcb_info *info, const struct sm_pck *pck,
                            const struct sm_quote *q, const struct sm_tcb *qe,
                            struct sm_tcb *out, struct sm_reasons *why)
{
    struct match m;
    struct sm_tcb all;
    SM_TRY(match_levels(info, pck, q, &m));
    if (!m.has_level) {
        return refuse(why, SM_REASON_TCB, "tcb", "below every level", "supported");
    }
    SM_TRY(tcb_of_level(&m.level, &all));
    if (q->is_tdx) {
        SM_TRY(evaluate_tdx(info, q, &m, qe, &all, why));
    }
    all.status = converge(all.status, qe->status);
    SM_TRY(add_part(&all, qe));
    *out = all;
    return SM_OK;
}

enum sm_err sm_tcb_evaluate(const struct sm_tcb_info *info, const struct sm_pck *pck,
                            const struct sm_quote *q, const struct sm_tcb *qe,
                            struct sm_tcb *out, struct sm_reasons *why)
{
    size_t before = why->n;
    enum sm_err e = evaluate(info, pck, q, qe, out, why);
    if (e != SM_OK && why->n == before) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, "tcb info", sm_err_words(e), "levels");
    }
    return e;
}

/* -- PCK extension ----------------------------------------------------------------------- */

/* DER of the few kinds that occur here: definite lengths of one to three bytes, shortest. */
static struct sm_view der_read(struct sm_rd *r, uint8_t tag)
{
    if (sm_rd_u8(r) != tag) {
        sm_rd_fail(r);
        return (struct sm_view){0};
    }
    size_t n = sm_rd_u8(r);
    if (n == 0x81) {
        n = sm_rd_u8(r);
        if (n < 0x80) {
            sm_rd_fail(r);
        }
    } else if (n == 0x82) {
        n = (size_t)sm_rd_u8(r) << 8;
        n |= sm_rd_u8(r);
        if (n < 0x100) {
            sm_rd_fail(r);
        }
    } else if (n >= 0x80) {
        sm_rd_fail(r);
    }
    return sm_rd_view(r, n);
}

enum { DER_INTEGER = 2, DER_OCTETS = 4, DER_OID = 6, DER_SEQUENCE = 0x30 };

static uint16_t der_u16(struct sm_rd *r, uint16_t max)
{
    struct sm_view v = der_read(r, DER_INTEGER);
    uint32_t n = 0;
    bool is_short = v.n >= 1 && v.n <= 3 && (v.p[0] & 0x80) == 0 &&
                    !(v.n > 1 && v.p[0] == 0 && (v.p[1] & 0x80) == 0);
    for (size_t i = 0; is_short && i < v.n; i++) {
        n = n << 8 | v.p[i];
    }
    if (!is_short || n > max) {
        sm_rd_fail(r);
        return 0;
    }
    return (uint16_t)n;
}

static void der_octets(struct sm_rd *r, uint8_t *out, size_t n)
{
    struct sm_view v = der_read(r, DER_OCTETS);
    if (v.n != n) {
        sm_rd_fail(r);
        return;
    }
    memcpy(out, v.p, n);
}

/* 1.2.840.113741.1.13.1, and one or two numbers more. */
static const uint8_t sgx_oid[] = {0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01};

/* The numbers of an OID below sgx_oid: the last in the low byte; 0 when it is none. */
static unsigned sgx_leaf(struct sm_rd *r, unsigned depth)
{
    struct sm_view oid = der_read(r, DER_OID);
    unsigned leaf = 0;
    if (oid.n != sizeof sgx_oid + depth || memcmp(oid.p, sgx_oid, sizeof sgx_oid) != 0) {
        sm_rd_fail(r);
        return 0;
    }
    for (size_t i = sizeof sgx_oid; i < oid.n; i++) {
        leaf = leaf << 8 | oid.p[i];
    }
    return leaf;
}

#define PCK_TCB_ALL ((1u << 18) - 1) /* .2.1 to .2.18 */

static void pck_tcb_member(struct sm_rd *r, unsigned n, struct sm_pck *out)
{
    if (n >= 1 && n <= COMPONENTS) {
        out->svn[n - 1] = (uint8_t)der_u16(r, UINT8_MAX);
    } else if (n == 17) {
        out->pcesvn = der_u16(r, UINT16_MAX);
    } else if (n == 18) {
        der_octets(r, out->cpusvn, sizeof out->cpusvn);
    } else {
        sm_rd_fail(r);
    }
}

static void pck_tcb(struct sm_rd *outer, struct sm_pck *out)
{
    struct sm_rd list = sm_rd_init(der_read(outer, DER_SEQUENCE));
    unsigned seen = 0;
    while (!list.failed && list.left.n > 0) {
        struct sm_rd r = sm_rd_init(der_read(&list, DER_SEQUENCE));
        unsigned leaf = sgx_leaf(&r, 2), n = leaf & 0xff;
        pck_tcb_member(&r, n, out);
        if (sm_rd_done(&r) != SM_OK || leaf >> 8 != 2 || (seen >> (n - 1) & 1) != 0) {
            sm_rd_fail(&list);
            break;
        }
        seen |= 1u << (n - 1);
    }
    if (sm_rd_done(&list) != SM_OK || seen != PCK_TCB_ALL) {
        sm_rd_fail(outer);
    }
}

#define PCK_LEAVES 7u /* .1 to .7 */
#define PCK_NEEDED (1u << 1 | 1u << 2 | 1u << 3 | 1u << 4)

static void pck_member(struct sm_rd *r, unsigned n, struct sm_pck *out)
{
    switch (n) {
    case 1:
        der_octets(r, out->ppid, sizeof out->ppid);
        break;
    case 2:
        pck_tcb(r, out);
        break;
    case 3:
        der_octets(r, out->pceid, sizeof out->pceid);
        break;
    case 4:
        der_octets(r, out->fmspc, sizeof out->fmspc);
        break;
    default:
        (void)sm_rd_rest(r); /* SGX type, platform instance, configuration */
    }
}

enum sm_err sm_pck_read(struct sm_view extension, struct sm_pck *out)
{
    struct sm_rd outer = sm_rd_init(extension);
    struct sm_rd list = sm_rd_init(der_read(&outer, DER_SEQUENCE));
    struct sm_pck pck = {0};
    unsigned seen = 0;
    SM_TRY(sm_rd_done(&outer));
    while (!list.failed && list.left.n > 0) {
        struct sm_rd r = sm_rd_init(der_read(&list, DER_SEQUENCE));
        unsigned n = sgx_leaf(&r, 1);
        pck_member(&r, n, &pck);
        if (sm_rd_done(&r) != SM_OK || n > PCK_LEAVES || (seen >> n & 1) != 0) {
            return SM_E_MALFORMED;
        }
        seen |= 1u << n;
    }
    SM_TRY(sm_rd_done(&list));
    if ((seen & PCK_NEEDED) != PCK_NEEDED) {
        return SM_E_MALFORMED;
    }
    *out = pck;
    return SM_OK;
}
