// SPDX-License-Identifier: Apache-2.0
#include "attest/claims_list.h"

#include "base/date.h"

#include <inttypes.h>
#include <stdio.h>

struct lister {
    void (*each)(void *ctx, const struct sm_claim *);
    void *ctx;
};

void sm_wall_text(struct sm_wall at, char out[static SM_TIME_TEXT])
{
    if (at.s > SM_DATE_LAST.s) {
        (void)snprintf(out, SM_TIME_TEXT, "%" PRIu64, at.s);
        return;
    }
    sm_date_print(at, out);
}

/* Certificates and documents bring words of their own: only printable ASCII goes on. */
static void text(struct lister *l, enum sm_reason_code judged, const char *name,
                 const char *value)
{
    char plain[160];
    size_t n = 0;
    for (; value[n] != '\0' && n + 1 < sizeof plain; n++) {
        plain[n] = value[n];
        if (value[n] < ' ' || value[n] > '~') {
            plain[n] = '?';
        }
    }
    plain[n] = '\0';
    l->each(l->ctx,
            &(struct sm_claim){.name = name, .text = plain, .judged = (uint16_t)judged});
}

static void hex(struct lister *l, enum sm_reason_code judged, const char *name,
                const uint8_t *p, size_t n)
{
    char value[2 * 64 + 1];
    if (n > 0 && n <= 64) {
        sm_hex(p, n, value);
        text(l, judged, name, value);
    }
}

static void number(struct lister *l, enum sm_reason_code judged, const char *name, uint64_t v)
{
    char value[24];
    (void)snprintf(value, sizeof value, "%" PRIu64, v);
    l->each(l->ctx, &(struct sm_claim){.name = name,
                                       .text = value,
                                       .kind = SM_CLAIM_NUMBER,
                                       .number = v,
                                       .judged = (uint16_t)judged});
}

static void boolean(struct lister *l, enum sm_reason_code judged, const char *name, bool v)
{
    l->each(l->ctx, &(struct sm_claim){.name = name,
                                       .text = v ? "yes" : "no",
                                       .kind = SM_CLAIM_BOOL,
                                       .number = v,
                                       .judged = (uint16_t)judged});
}

static void bits(struct lister *l, enum sm_reason_code judged, const char *name, uint64_t v)
{
    char value[24];
    (void)snprintf(value, sizeof value, "0x%" PRIx64, v);
    text(l, judged, name, value);
}

static void when(struct lister *l, enum sm_reason_code judged, const char *name,
                 struct sm_wall at)
{
    char value[SM_TIME_TEXT];
    if (at.s != 0) {
        sm_wall_text(at, value);
        text(l, judged, name, value);
    }
}

static void list_snp(struct lister *l, const struct sm_snp_claims *s)
{
    char abi[16];
    (void)snprintf(abi, sizeof abi, "%u.%u", (unsigned)s->abi_major, (unsigned)s->abi_minor);
    text(l, SM_REASON_IDENTITY, "product", sm_snp_product_name(s->product));
    text(l, SM_REASON_SIGNER, "signed_by", s->is_vlek ? "vlek" : "vcek");
    number(l, SM_REASON_VMPL, "vmpl", s->vmpl);
    bits(l, SM_REASON_FLAGS, "guest_policy", s->policy);
    bits(l, SM_REASON_FLAGS, "platform_info", s->platform_info);
    hex(l, SM_REASON_TCB, "launch_tcb", s->launch_tcb, SM_SNP_PARTS);
    text(l, SM_REASON_TCB, "firmware_abi", abi);
    boolean(l, SM_REASON_NONE, "author_key", s->has_author);
    hex(l, SM_REASON_NONE, "image_id", s->image_id, sizeof s->image_id);
    hex(l, SM_REASON_NONE, "family_id", s->family_id, sizeof s->family_id);
}

static void list_tdx(struct lister *l, const struct sm_tdx_claims *t)
{
    bits(l, SM_REASON_FLAGS, "td_attributes", t->attributes);
    bits(l, SM_REASON_NONE, "xfam", t->xfam);
    boolean(l, SM_REASON_FLAGS, "sept_ve_disable", t->is_sept_ve_disabled);
    hex(l, SM_REASON_NONE, "mrowner", t->mrowner, sizeof t->mrowner);
    hex(l, SM_REASON_NONE, "mrownerconfig", t->mrownerconfig, sizeof t->mrownerconfig);
    hex(l, SM_REASON_FLAGS, "mrservicetd", t->mrservicetd, sizeof t->mrservicetd);
}

static void list_intel(struct lister *l, const struct sm_claims *c)
{
    text(l, SM_REASON_TCB_STATUS, "tcb_status", sm_tcb_status_name(c->tcb));
    when(l, SM_REASON_TCB, "tcb_date", c->tcb_date);
    number(l, SM_REASON_COLLATERAL, "tcb_evaluation", c->tcb_eval);
    for (unsigned i = 0; i < c->n_advisories && i < SM_ADVISORIES; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "advisory_%u", i);
        text(l, SM_REASON_ADVISORY, name, c->advisories[i]);
    }
}

static void list_registers(struct lister *l, const struct sm_claims *c)
{
    for (unsigned i = 0; i < SM_REGS; i++) {
        char name[40];
        if ((c->regs_mask >> i & 1u) != 0) {
            bool is_replayed = (c->regs_replayed >> i & 1u) != 0;
            (void)snprintf(name, sizeof name, "register_%u%s", i,
                           is_replayed ? "_replayed" : "");
            hex(l, SM_REASON_REGISTERS, name, c->regs[i], c->reg_n);
        }
    }
}

void sm_claims_list(const struct sm_claims *c, void (*each)(void *ctx, const struct sm_claim *),
                    void *ctx)
{
    struct lister l = {each, ctx};
    bool is_snp = c->platform == SM_PLATFORM_SNP || c->platform == SM_PLATFORM_SNP_VTPM;
    bool is_intel = c->tcb != SM_TCB_UNKNOWN;
    text(&l, SM_REASON_PLATFORM, "platform", sm_platform_name(c->platform));
    boolean(&l, SM_REASON_NOT_HARDWARE, "hardware", c->is_hw_rooted);
    hex(&l, SM_REASON_MEASUREMENT, "measurement", c->measurement, c->measurement_n);
    hex(&l, SM_REASON_SIGNER, "signer", c->signer, c->signer_n);
    hex(&l, SM_REASON_REPORT_DATA, "report_data", c->report_data, c->report_data_n);
    hex(&l, SM_REASON_HOST_DATA, "host_data", c->host_data, c->host_data_n);
    hex(&l, SM_REASON_PLATFORM_ID, "platform_id", c->platform_id, c->platform_id_n);
    number(&l, SM_REASON_NONE, "version", c->profile);
    number(&l, SM_REASON_SIGNER, "svn", c->svn);
    boolean(&l, SM_REASON_DEBUG, "debug", c->is_debug);
    boolean(&l, SM_REASON_MIGRATION, "migratable", c->is_migratable);
    boolean(&l, SM_REASON_COLLATERAL, "revocation_checked", c->has_crl);
    when(&l, SM_REASON_TIME, "issued_at",
         c->has_issued_at ? c->issued_at : (struct sm_wall){0});
    when(&l, SM_REASON_EXPIRED, "not_after", c->not_after);
    if (is_snp || is_intel) {
        hex(&l, SM_REASON_TCB, "tcb", c->tcb_parts, is_snp ? SM_SNP_PARTS : 16);
    }
    if (is_snp) {
        list_snp(&l, &c->snp);
    }
    if (is_intel) {
        list_intel(&l, c);
    }
    if (c->platform == SM_PLATFORM_TDX) {
        list_tdx(&l, &c->tdx);
    }
    list_registers(&l, c);
}
