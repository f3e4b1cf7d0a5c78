// SPDX-License-Identifier: Apache-2.0
#include "attest/manifest.h"

#include "attest/signed_doc.h"
#include "base/date.h"
#include "crypto/cose.h"

#include <stdlib.h>
#include <string.h>

#define AAD      "seemesh/manifest/1"
#define FOR_EVER UINT64_MAX

const char *sm_refval_kind_name(uint8_t kind)
{
    static const char *const names[] = {
        [SM_REFVAL_MEASUREMENT] = "measurement",
        [SM_REFVAL_SIGNER] = "signer",
        [SM_REFVAL_REGISTER] = "register",
        [SM_REFVAL_HOST_DATA] = "host-data",
    };
    return kind < SM_COUNT(names) ? names[kind] : NULL;
}

const char *sm_refval_state_name(uint8_t state)
{
    static const char *const names[] = {
        [SM_REFVAL_ACTIVE] = "active",
        [SM_REFVAL_DEPRECATED] = "deprecated",
        [SM_REFVAL_REVOKED] = "revoked",
    };
    return state < SM_COUNT(names) ? names[state] : NULL;
}

void sm_mesh_manifest_default(struct sm_mesh_manifest *out)
{
    *out = (struct sm_mesh_manifest){
        .env = SM_ENV_PROD,
        .mode = SM_MODE_ENFORCE,
        .binding = SM_BINDING_SESSION,
        .lease_max_s = 3600,
        .epoch_max_s = 300,
    };
    sm_hw_policy_default(&out->hw);
    out->hw.platforms = 0; /* the grades say it */
}

void sm_mesh_manifest_done(struct sm_mesh_manifest *m)
{
    free(m->refs);
    free(m->allowed);
    m->refs = NULL;
    m->allowed = NULL;
    m->n_refs = m->n_allowed = 0;
}

/* -- rules ------------------------------------------------------------------------------- */

static bool is_label(const char *text)
{
    size_t n = strnlen(text, SM_LABEL_MAX + 1);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
            return false;
        }
    }
    return n > 0 && n <= SM_LABEL_MAX;
}

static bool is_value(const struct sm_value *v, size_t least)
{
    return v->n >= least && v->n <= sizeof v->b;
}

static bool is_date(struct sm_wall t)
{
    return t.s <= SM_DATE_LAST.s;
}

static bool is_refval(const struct sm_refval *v)
{
    bool is_reg = v->kind == SM_REFVAL_REGISTER, is_signer = v->kind == SM_REFVAL_SIGNER;
    return is_label(v->label) && v->platform < SM_PLATFORMS &&
           sm_refval_kind_name(v->kind) != NULL && sm_refval_state_name(v->state) != NULL &&
           (is_reg ? v->reg < SM_REGS : v->reg == 0) && (is_signer || v->min_svn == 0) &&
           (v->state == SM_REFVAL_DEPRECATED) == (v->until.s != 0) && is_date(v->until) &&
           is_value(&v->value, v->kind == SM_REFVAL_HOST_DATA ? 1 : 20); /* 20: SHA-1 bank */
}

static bool is_same_value(const struct sm_refval *a, const struct sm_refval *b)
{
    return a->platform == b->platform && a->kind == b->kind && a->reg == b->reg &&
           a->value.n == b->value.n && memcmp(a->value.b, b->value.b, a->value.n) == 0;
}

static bool refs_are_good(const struct sm_mesh_manifest *m)
{
    for (size_t i = 0; i < m->n_refs; i++) {
        if (!is_refval(&m->refs[i])) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->refs[i].label, m->refs[j].label) == 0 ||
                is_same_value(&m->refs[i], &m->refs[j])) {
                return false;
            }
        }
    }
    return m->n_refs <= SM_REFVALS_MAX;
}

static bool is_allowed(const struct sm_allowed *a)
{
    return is_label(a->label) && is_value(&a->id, 8); /* Turin's chip id has 8 */
}

static bool allowed_are_good(const struct sm_mesh_manifest *m)
{
    for (size_t i = 0; i < m->n_allowed; i++) {
        const struct sm_allowed *a = &m->allowed[i];
        if (!is_allowed(a)) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(a->label, m->allowed[j].label) == 0) {
                return false;
            }
        }
    }
    return m->n_allowed <= SM_ALLOWED_MAX;
}

/* In production software proves nothing, and a program must be one that somebody named. */
static bool platforms_are_good(const struct sm_mesh_manifest *m)
{
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        if (m->grade[i] > 1000) {
            return false;
        }
    }
    bool is_dev = m->env == SM_ENV_DEV;
    return m->any_measurement >> SM_PLATFORMS == 0 &&
           (is_dev || (m->grade[SM_PLATFORM_SOFTWARE] == 0 && m->any_measurement == 0));
}

/* As Intel writes them: INTEL-SA-00837. */
static bool is_advisory(const char *text)
{
    size_t n = strnlen(text, SM_ADVISORY_TEXT);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')) {
            return false;
        }
    }
    return n > 0 && n < SM_ADVISORY_TEXT;
}

static bool advisories_are_good(const struct sm_mesh_manifest *m)
{
    if (m->n_advisories > SM_ADVISORIES) {
        return false;
    }
    for (size_t i = 0; i < m->n_advisories; i++) {
        if (!is_advisory(m->advisories[i])) {
            return false;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(m->advisories[i], m->advisories[j]) == 0) {
                return false;
            }
        }
    }
    return true;
}

/* Two quorums always share a member, and no vendor, operator or site is one by itself. */
static bool committee_is_good(const struct sm_committee_rule *c)
{
    if (c->n == 0) {
        return c->t == 0 && c->max_vendor == 0 && c->max_operator == 0 && c->max_site == 0;
    }
    return c->n <= SM_COMMITTEE_MAX && c->t >= 2 && c->t <= c->n && 2 * c->t > c->n &&
           c->max_vendor >= 1 && c->max_vendor < c->t && c->max_operator >= 1 &&
           c->max_operator < c->t && c->max_site >= 1 && c->max_site < c->t;
}

static bool times_are_good(const struct sm_mesh_manifest *m)
{
    return m->not_after.s > m->issued.s && m->not_after.s - m->issued.s <= SM_MANIFEST_LIFE_S &&
           is_date(m->not_after) && is_date(m->hw.min_tcb_date);
}

/* What is unknown or revoked is never taken; the others until a time, or for ever. */
static bool statuses_are_good(const struct sm_mesh_manifest *m)
{
    const struct sm_wall *until = m->hw.status_until;
    for (unsigned i = 0; i < SM_TCB_STATUSES; i++) {
        if (!is_date(until[i]) && until[i].s != FOR_EVER) {
            return false;
        }
    }
    return until[SM_TCB_UNKNOWN].s == 0 && until[SM_TCB_REVOKED].s == 0;
}

enum sm_err sm_mesh_manifest_check(const struct sm_mesh_manifest *m, const char **why)
{
    const struct {
        bool is_good;
        const char *field;
    } rules[] = {
        {m->env == SM_ENV_DEV || m->env == SM_ENV_PROD, "environment"},
        {m->version > 0, "version"},
        {times_are_good(m), "not-after"},
        {m->mode == SM_MODE_ENFORCE || m->mode == SM_MODE_OBSERVE, "mode"},
        {m->binding == SM_BINDING_SESSION || m->binding == SM_BINDING_EPOCH, "binding"},
        {m->lease_max_s >= SM_LEASE_MIN_S && m->lease_max_s <= SM_LEASE_MAX_S, "lease"},
        {statuses_are_good(m), "status"},
        {m->hw.max_age_s > 0, "max-age"},
        {m->hw.snp_vmpl <= 3, "vmpl"},
        {m->grace_s <= SM_GRACE_MAX_S, "grace"},
        {m->epoch_max_s > 0 && m->epoch_max_s <= SM_EPOCH_MAX_S, "epoch"},
        {platforms_are_good(m), "platform"},
        {m->env == SM_ENV_DEV || !m->hw.may_debug, "debug"},
        {refs_are_good(m), "reference"},
        {allowed_are_good(m), "allow"},
        {advisories_are_good(m), "refuse-advisory"},
        {committee_is_good(&m->committee), "committee"},
    };
    for (size_t i = 0; i < SM_COUNT(rules); i++) {
        if (!rules[i].is_good) {
            if (why != NULL) {
                *why = rules[i].field;
            }
            return SM_E_INVALID;
        }
    }
    return SM_OK;
}

/* -- lists ------------------------------------------------------------------------------- */

enum sm_err sm_mesh_manifest_add(struct sm_mesh_manifest *m, const struct sm_refval *v)
{
    if (!is_refval(v)) {
        return SM_E_INVALID;
    }
    if (m->n_refs == SM_REFVALS_MAX) {
        return SM_E_LIMIT;
    }
    for (size_t i = 0; i < m->n_refs; i++) {
        if (strcmp(m->refs[i].label, v->label) == 0 || is_same_value(&m->refs[i], v)) {
            return SM_E_EXISTS;
        }
    }
    struct sm_refval *more = realloc(m->refs, (m->n_refs + 1) * sizeof *more);
    if (more == NULL) {
        return SM_E_NOMEM;
    }
    m->refs = more;
    m->refs[m->n_refs++] = *v;
    return SM_OK;
}

enum sm_err sm_mesh_manifest_allow(struct sm_mesh_manifest *m, const struct sm_allowed *id)
{
    if (!is_allowed(id)) {
        return SM_E_INVALID;
    }
    if (m->n_allowed == SM_ALLOWED_MAX) {
        return SM_E_LIMIT;
    }
    for (size_t i = 0; i < m->n_allowed; i++) {
        if (strcmp(m->allowed[i].label, id->label) == 0) {
            return SM_E_EXISTS;
        }
    }
    struct sm_allowed *more = realloc(m->allowed, (m->n_allowed + 1) * sizeof *more);
    if (more == NULL) {
        return SM_E_NOMEM;
    }
    m->allowed = more;
    m->allowed[m->n_allowed++] = *id;
    return SM_OK;
}

/* -- writing ----------------------------------------------------------------------------- */

static void put_text(struct sm_wr *w, const char *text)
{
    sm_cbor_put_text(w, sm_view_str(text));
}

static void put_value(struct sm_wr *w, const struct sm_value *v)
{
    sm_cbor_put_bytes(w, sm_view_of(v->b, v->n));
}

static void put_field(struct sm_wr *w, uint64_t key, uint64_t v)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_uint(w, v);
}

static bool is_platform_named(const struct sm_mesh_manifest *m, unsigned platform)
{
    return m->grade[platform] > 0 || (m->any_measurement >> platform & 1u) != 0;
}

static void put_platforms(struct sm_wr *w, const struct sm_mesh_manifest *m)
{
    size_t n = 0;
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        n += is_platform_named(m, i) ? 1 : 0;
    }
    sm_cbor_put_uint(w, 12);
    sm_cbor_put_array(w, n);
    for (unsigned i = 0; i < SM_PLATFORMS; i++) {
        if (is_platform_named(m, i)) {
            sm_cbor_put_array(w, 3);
            sm_cbor_put_uint(w, i);
            sm_cbor_put_uint(w, m->grade[i]);
            sm_cbor_put_bool(w, (m->any_measurement >> i & 1u) != 0);
        }
    }
}

static void put_refs(struct sm_wr *w, const struct sm_mesh_manifest *m)
{
    sm_cbor_put_uint(w, 13);
    sm_cbor_put_array(w, m->n_refs);
    for (size_t i = 0; i < m->n_refs; i++) {
        const struct sm_refval *v = &m->refs[i];
        sm_cbor_put_array(w, 8);
        put_text(w, v->label);
        sm_cbor_put_uint(w, v->platform);
        sm_cbor_put_uint(w, v->kind);
        sm_cbor_put_uint(w, v->reg);
        put_value(w, &v->value);
        sm_cbor_put_uint(w, v->state);
        sm_cbor_put_uint(w, v->until.s);
        sm_cbor_put_uint(w, v->min_svn);
    }
}

static void put_allowed(struct sm_wr *w, const struct sm_mesh_manifest *m)
{
    sm_cbor_put_uint(w, 14);
    sm_cbor_put_array(w, m->n_allowed);
    for (size_t i = 0; i < m->n_allowed; i++) {
        sm_cbor_put_array(w, 2);
        put_text(w, m->allowed[i].label);
        put_value(w, &m->allowed[i].id);
    }
}

static void put_snp(struct sm_wr *w, const struct sm_hw_policy *p)
{
    sm_cbor_put_uint(w, 15);
    sm_cbor_put_array(w, SM_SNP_PRODUCTS + 6);
    for (unsigned i = 0; i < SM_SNP_PRODUCTS; i++) {
        sm_cbor_put_array(w, SM_SNP_PARTS);
        for (unsigned j = 0; j < SM_SNP_PARTS; j++) {
            sm_cbor_put_uint(w, p->snp_floor[i][j]);
        }
    }
    sm_cbor_put_uint(w, p->snp_min_abi);
    sm_cbor_put_uint(w, p->snp_vmpl);
    sm_cbor_put_uint(w, p->snp_info_must);
    sm_cbor_put_uint(w, p->snp_info_must_not);
    sm_cbor_put_uint(w, p->snp_policy_must_not);
    sm_cbor_put_bool(w, p->may_vlek);
}

static void put_intel(struct sm_wr *w, const struct sm_mesh_manifest *m)
{
    sm_cbor_put_uint(w, 16);
    sm_cbor_put_array(w, 7);
    sm_cbor_put_array(w, SM_TCB_STATUSES);
    for (unsigned i = 0; i < SM_TCB_STATUSES; i++) {
        sm_cbor_put_uint(w, m->hw.status_until[i].s);
    }
    sm_cbor_put_uint(w, m->hw.min_tcb_date.s);
    sm_cbor_put_uint(w, m->hw.min_tcb_eval);
    sm_cbor_put_array(w, m->n_advisories);
    for (size_t i = 0; i < m->n_advisories; i++) {
        put_text(w, m->advisories[i]);
    }
    sm_cbor_put_uint(w, m->hw.tdx_attributes);
    sm_cbor_put_bool(w, m->hw.may_sept_ve);
    sm_cbor_put_bool(w, m->hw.may_service_td);
}

static void put_hardware(struct sm_wr *w, const struct sm_hw_policy *p)
{
    sm_cbor_put_uint(w, 17);
    sm_cbor_put_array(w, 6);
    sm_cbor_put_bool(w, p->may_debug);
    sm_cbor_put_bool(w, p->may_migrate);
    sm_cbor_put_bool(w, p->may_unknown_bits);
    sm_cbor_put_bool(w, p->needs_crl);
    sm_cbor_put_uint(w, p->max_age_s);
    sm_cbor_put_uint(w, p->regs_replayed);
}

static void put_committee(struct sm_wr *w, const struct sm_committee_rule *c)
{
    sm_cbor_put_uint(w, 18);
    sm_cbor_put_array(w, 5);
    sm_cbor_put_uint(w, c->t);
    sm_cbor_put_uint(w, c->n);
    sm_cbor_put_uint(w, c->max_vendor);
    sm_cbor_put_uint(w, c->max_operator);
    sm_cbor_put_uint(w, c->max_site);
}

void sm_mesh_manifest_write(const struct sm_mesh_manifest *m, struct sm_wr *w)
{
    struct sm_doc_head h = {.env = m->env, .version = m->version, .issued = m->issued};
    memcpy(h.mesh_id, m->mesh_id, sizeof h.mesh_id);
    sm_cbor_put_map(w, 18);
    sm_doc_head_write(&h, w);
    put_field(w, 6, m->not_after.s);
    put_field(w, 7, m->mode);
    put_field(w, 8, m->binding);
    put_field(w, 9, m->lease_max_s);
    put_field(w, 10, m->grace_s);
    put_field(w, 11, m->epoch_max_s);
    put_platforms(w, m);
    put_refs(w, m);
    put_allowed(w, m);
    put_snp(w, &m->hw);
    put_intel(w, m);
    put_hardware(w, &m->hw);
    put_committee(w, &m->committee);
}

/* -- reading ----------------------------------------------------------------------------- */

static uint64_t read_field(struct sm_cbor *c, uint64_t key, uint64_t max)
{
    sm_doc_key(c, key);
    return sm_doc_uint(c, max);
}

static void read_value(struct sm_cbor *c, struct sm_value *out)
{
    struct sm_view v = sm_cbor_bytes(c);
    if (v.n > sizeof out->b) {
        sm_cbor_fail(c);
        return;
    }
    out->n = (uint8_t)v.n;
    if (v.n > 0) {
        memcpy(out->b, v.p, v.n);
    }
}

static void read_platforms(struct sm_cbor *c, struct sm_mesh_manifest *m)
{
    int64_t last = -1;
    sm_doc_key(c, 12);
    for (size_t n = sm_cbor_array(c); n > 0 && !c->rd.failed; n--) {
        sm_doc_array(c, 3);
        uint8_t platform = (uint8_t)sm_doc_uint(c, SM_PLATFORMS - 1);
        m->grade[platform] = (uint16_t)sm_doc_uint(c, 1000);
        m->any_measurement |= sm_cbor_bool(c) ? 1u << platform : 0;
        if (platform <= last || !is_platform_named(m, platform)) {
            sm_cbor_fail(c);
        }
        last = platform;
    }
}

static void read_refval(struct sm_cbor *c, struct sm_refval *v)
{
    sm_doc_array(c, 8);
    sm_doc_text(c, v->label, sizeof v->label);
    v->platform = (uint8_t)sm_doc_uint(c, SM_PLATFORMS - 1);
    v->kind = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    v->reg = (uint8_t)sm_doc_uint(c, SM_REGS - 1);
    read_value(c, &v->value);
    v->state = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    v->until.s = sm_cbor_uint(c);
    v->min_svn = (uint32_t)sm_doc_uint(c, UINT32_MAX);
}

static enum sm_err read_refs(struct sm_cbor *c, struct sm_mesh_manifest *m)
{
    sm_doc_key(c, 13);
    size_t n = sm_cbor_array(c);
    if (n > SM_REFVALS_MAX) {
        return SM_E_LIMIT;
    }
    m->refs = calloc(n > 0 ? n : 1, sizeof *m->refs);
    if (m->refs == NULL) {
        return SM_E_NOMEM;
    }
    for (; m->n_refs < n && !c->rd.failed; m->n_refs++) {
        read_refval(c, &m->refs[m->n_refs]);
    }
    return SM_OK;
}

static enum sm_err read_allowed(struct sm_cbor *c, struct sm_mesh_manifest *m)
{
    sm_doc_key(c, 14);
    size_t n = sm_cbor_array(c);
    if (n > SM_ALLOWED_MAX) {
        return SM_E_LIMIT;
    }
    m->allowed = calloc(n > 0 ? n : 1, sizeof *m->allowed);
    if (m->allowed == NULL) {
        return SM_E_NOMEM;
    }
    for (; m->n_allowed < n && !c->rd.failed; m->n_allowed++) {
        struct sm_allowed *a = &m->allowed[m->n_allowed];
        sm_doc_array(c, 2);
        sm_doc_text(c, a->label, sizeof a->label);
        read_value(c, &a->id);
    }
    return SM_OK;
}

static void read_snp(struct sm_cbor *c, struct sm_hw_policy *p)
{
    sm_doc_key(c, 15);
    sm_doc_array(c, SM_SNP_PRODUCTS + 6);
    for (unsigned i = 0; i < SM_SNP_PRODUCTS; i++) {
        sm_doc_array(c, SM_SNP_PARTS);
        for (unsigned j = 0; j < SM_SNP_PARTS; j++) {
            p->snp_floor[i][j] = (uint8_t)sm_doc_uint(c, UINT8_MAX);
        }
    }
    p->snp_min_abi = (uint16_t)sm_doc_uint(c, UINT16_MAX);
    p->snp_vmpl = (uint32_t)sm_doc_uint(c, 3);
    p->snp_info_must = sm_cbor_uint(c);
    p->snp_info_must_not = sm_cbor_uint(c);
    p->snp_policy_must_not = sm_cbor_uint(c);
    p->may_vlek = sm_cbor_bool(c);
}

static void read_intel(struct sm_cbor *c, struct sm_mesh_manifest *m)
{
    sm_doc_key(c, 16);
    sm_doc_array(c, 7);
    sm_doc_array(c, SM_TCB_STATUSES);
    for (unsigned i = 0; i < SM_TCB_STATUSES; i++) {
        m->hw.status_until[i].s = sm_cbor_uint(c);
    }
    m->hw.min_tcb_date.s = sm_cbor_uint(c);
    m->hw.min_tcb_eval = (uint32_t)sm_doc_uint(c, UINT32_MAX);
    size_t n = sm_cbor_array(c);
    if (n > SM_ADVISORIES) {
        sm_cbor_fail(c);
        n = 0;
    }
    for (m->n_advisories = 0; m->n_advisories < n; m->n_advisories++) {
        sm_doc_text(c, m->advisories[m->n_advisories], SM_ADVISORY_TEXT);
    }
    m->hw.tdx_attributes = sm_cbor_uint(c);
    m->hw.may_sept_ve = sm_cbor_bool(c);
    m->hw.may_service_td = sm_cbor_bool(c);
}

static void read_hardware(struct sm_cbor *c, struct sm_hw_policy *p)
{
    sm_doc_key(c, 17);
    sm_doc_array(c, 6);
    p->may_debug = sm_cbor_bool(c);
    p->may_migrate = sm_cbor_bool(c);
    p->may_unknown_bits = sm_cbor_bool(c);
    p->needs_crl = sm_cbor_bool(c);
    p->max_age_s = (uint32_t)sm_doc_uint(c, UINT32_MAX);
    p->regs_replayed = (uint32_t)sm_doc_uint(c, UINT32_MAX);
}

static void read_committee(struct sm_cbor *c, struct sm_committee_rule *out)
{
    sm_doc_key(c, 18);
    sm_doc_array(c, 5);
    out->t = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    out->n = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    out->max_vendor = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    out->max_operator = (uint8_t)sm_doc_uint(c, UINT8_MAX);
    out->max_site = (uint8_t)sm_doc_uint(c, UINT8_MAX);
}

static enum sm_err read_all(struct sm_cbor *c, struct sm_mesh_manifest *m)
{
    struct sm_doc_head h;
    if (sm_cbor_map(c) != 18) {
        sm_cbor_fail(c);
    }
    SM_TRY(sm_doc_head_read(c, &h));
    memcpy(m->mesh_id, h.mesh_id, sizeof m->mesh_id);
    m->env = h.env;
    m->version = h.version;
    m->issued = h.issued;
    m->not_after.s = read_field(c, 6, UINT64_MAX);
    m->mode = (uint8_t)read_field(c, 7, UINT8_MAX);
    m->binding = (uint8_t)read_field(c, 8, UINT8_MAX);
    m->lease_max_s = (uint32_t)read_field(c, 9, UINT32_MAX);
    m->grace_s = (uint32_t)read_field(c, 10, UINT32_MAX);
    m->epoch_max_s = (uint32_t)read_field(c, 11, UINT32_MAX);
    read_platforms(c, m);
    SM_TRY(read_refs(c, m));
    SM_TRY(read_allowed(c, m));
    read_snp(c, &m->hw);
    read_intel(c, m);
    read_hardware(c, &m->hw);
    read_committee(c, &m->committee);
    SM_TRY(sm_cbor_done(c));
    return sm_mesh_manifest_check(m, NULL) == SM_OK ? SM_OK : SM_E_MALFORMED;
}

enum sm_err sm_mesh_manifest_read(struct sm_view payload, struct sm_mesh_manifest *out)
{
    struct sm_mesh_manifest m = {.hw = {.host_data.is_any = true, .platform_ids.is_any = true}};
    struct sm_cbor c = sm_cbor_init(payload);
    enum sm_err e = payload.n > SM_MESH_MANIFEST_MAX ? SM_E_LIMIT : read_all(&c, &m);
    if (e != SM_OK) {
        sm_mesh_manifest_done(&m);
        return e;
    }
    *out = m;
    return SM_OK;
}

/* -- signatures -------------------------------------------------------------------------- */

enum sm_err sm_mesh_manifest_sign(const struct sm_suite *suite, const struct sm_sign_pair *root,
                                  const struct sm_mesh_manifest *m, struct sm_buf *out)
{
    SM_TRY(sm_mesh_manifest_check(m, NULL));
    uint8_t *bytes = malloc(SM_MESH_MANIFEST_MAX);
    if (bytes == NULL) {
        return SM_E_NOMEM;
    }
    struct sm_wr w = sm_wr_init(bytes, SM_MESH_MANIFEST_MAX - 128); /* room for the signature */
    struct sm_view payload;
    sm_mesh_manifest_write(m, &w);
    enum sm_err e = sm_wr_done(&w, &payload);
    if (e == SM_OK) {
        e = sm_doc_sign(suite, root, AAD, m->mesh_id, payload, out);
    }
    free(bytes);
    return e;
}

enum sm_err sm_mesh_manifest_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                    struct sm_view doc, struct sm_mesh_manifest *out,
                                    unsigned *out_root)
{
    struct sm_mesh_manifest m;
    struct sm_view payload;
    unsigned root;
    if (doc.n > SM_MESH_MANIFEST_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_doc_verify(suite, a, AAD, doc, &payload, &root));
    SM_TRY(sm_mesh_manifest_read(payload, &m));
    enum sm_err e = sm_doc_head_check(a, m.mesh_id, m.env);
    if (e != SM_OK) {
        sm_mesh_manifest_done(&m);
        return e;
    }
    *out = m;
    if (out_root != NULL) {
        *out_root = root;
    }
    return SM_OK;
}

enum sm_err sm_mesh_manifest_open(struct sm_view doc, struct sm_mesh_manifest *out)
{
    struct sm_cose c;
    if (doc.n > SM_MESH_MANIFEST_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_cose_read(doc, &c));
    return sm_mesh_manifest_read(c.payload, out);
}
