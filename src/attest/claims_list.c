// SPDX-License-Identifier: Apache-2.0
#include "attest/claims_list.h"

#include "base/date.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* What a policy says of each; those that are not here it does not look at.  A name that ends
 * in '_' is of a family. */
static const struct {
    const char *name;
    enum sm_reason_code judged;
} judges[] = {
    {"platform", SM_REASON_PLATFORM},
    {"hardware", SM_REASON_NOT_HARDWARE},
    {"measurement", SM_REASON_MEASUREMENT},
    {"signer", SM_REASON_SIGNER},
    {"report_data", SM_REASON_REPORT_DATA},
    {"host_data", SM_REASON_HOST_DATA},
    {"platform_id", SM_REASON_PLATFORM_ID},
    {"svn", SM_REASON_SIGNER},
    {"debug", SM_REASON_DEBUG},
    {"migratable", SM_REASON_MIGRATION},
    {"revocation_checked", SM_REASON_COLLATERAL},
    {"issued_at", SM_REASON_TIME},
    {"not_after", SM_REASON_EXPIRED},
    {"tcb", SM_REASON_TCB},
    {"product", SM_REASON_IDENTITY},
    {"signed_by", SM_REASON_SIGNER},
    {"vmpl", SM_REASON_VMPL},
    {"guest_policy", SM_REASON_FLAGS},
    {"platform_info", SM_REASON_FLAGS},
    {"launch_tcb", SM_REASON_TCB},
    {"firmware_abi", SM_REASON_TCB},
    {"td_attributes", SM_REASON_FLAGS},
    {"sept_ve_disable", SM_REASON_FLAGS},
    {"mrservicetd", SM_REASON_FLAGS},
    {"tcb_status", SM_REASON_TCB_STATUS},
    {"tcb_date", SM_REASON_TCB},
    {"tcb_evaluation", SM_REASON_COLLATERAL},
    {"advisory_", SM_REASON_ADVISORY},
    {"register_", SM_REASON_REGISTERS},
};

uint16_t sm_claim_judged(const char *name)
{
    for (size_t i = 0; i < SM_COUNT(judges); i++) {
        size_t n = strlen(judges[i].name);
        bool is_family = judges[i].name[n - 1] == '_';
        if (strncmp(name, judges[i].name, n) == 0 && (is_family || name[n] == '\0')) {
            return (uint16_t)judges[i].judged;
        }
    }
    return SM_REASON_NONE;
}

static void tell(struct lister *l, struct sm_claim k)
{
    k.judged = sm_claim_judged(k.name);
    l->each(l->ctx, &k);
}

/* Certificates and documents bring words of their own: only printable ASCII goes on. */
static void text(struct lister *l, const char *name, const char *value)
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
    tell(l, (struct sm_claim){.name = name, .text = plain});
}

static void hex(struct lister *l, const char *name, const uint8_t *p, size_t n)
{
    char value[2 * 64 + 1];
    if (n > 0 && n <= 64) {
        sm_hex(p, n, value);
        text(l, name, value);
    }
}

static void number(struct lister *l, const char *name, uint64_t v)
{
    char value[24];
    (void)snprintf(value, sizeof value, "%" PRIu64, v);
    tell(l,
         (struct sm_claim){.name = name, .text = value, .kind = SM_CLAIM_NUMBER, .number = v});
}

static void boolean(struct lister *l, const char *name, bool v)
{
    tell(l, (struct sm_claim){
                .name = name, .text = v ? "yes" : "no", .kind = SM_CLAIM_BOOL, .number = v});
}

static void bits(struct lister *l, const char *name, uint64_t v)
{
    char value[24];
    (void)snprintf(value, sizeof value, "0x%" PRIx64, v);
    text(l, name, value);
}

static void when(struct lister *l, const char *name, struct sm_wall at)
{
    char value[SM_TIME_TEXT];
    if (at.s != 0) {
        sm_wall_text(at, value);
        text(l, name, value);
    }
}

static void list_snp(struct lister *l, const struct sm_snp_claims *s)
{
    char abi[16];
    (void)snprintf(abi, sizeof abi, "%u.%u", (unsigned)s->abi_major, (unsigned)s->abi_minor);
    text(l, "product", sm_snp_product_name(s->product));
    text(l, "signed_by", s->is_vlek ? "vlek" : "vcek");
    number(l, "vmpl", s->vmpl);
    bits(l, "guest_policy", s->policy);
    bits(l, "platform_info", s->platform_info);
    hex(l, "launch_tcb", s->launch_tcb, SM_SNP_PARTS);
    text(l, "firmware_abi", abi);
    boolean(l, "author_key", s->has_author);
    hex(l, "image_id", s->image_id, sizeof s->image_id);
    hex(l, "family_id", s->family_id, sizeof s->family_id);
}

static void list_tdx(struct lister *l, const struct sm_tdx_claims *t)
{
    bits(l, "td_attributes", t->attributes);
    bits(l, "xfam", t->xfam);
    boolean(l, "sept_ve_disable", t->is_sept_ve_disabled);
    hex(l, "mrowner", t->mrowner, sizeof t->mrowner);
    hex(l, "mrownerconfig", t->mrownerconfig, sizeof t->mrownerconfig);
    hex(l, "mrservicetd", t->mrservicetd, sizeof t->mrservicetd);
}

static void list_intel(struct lister *l, const struct sm_claims *c)
{
    text(l, "tcb_status", sm_tcb_status_name(c->tcb));
    when(l, "tcb_date", c->tcb_date);
    number(l, "tcb_evaluation", c->tcb_eval);
    for (unsigned i = 0; i < c->n_advisories && i < SM_ADVISORIES; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "advisory_%u", i);
        text(l, name, c->advisories[i]);
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
            hex(l, name, c->regs[i], c->reg_n);
        }
    }
}

void sm_claims_list(const struct sm_claims *c, void (*each)(void *ctx, const struct sm_claim *),
                    void *ctx)
{
    struct lister l = {each, ctx};
    bool is_snp = c->platform == SM_PLATFORM_SNP || c->platform == SM_PLATFORM_SNP_VTPM;
    bool is_intel = c->tcb != SM_TCB_UNKNOWN;
    text(&l, "platform", sm_platform_name(c->platform));
    boolean(&l, "hardware", c->is_hw_rooted);
    hex(&l, "measurement", c->measurement, c->measurement_n);
    hex(&l, "signer", c->signer, c->signer_n);
    hex(&l, "report_data", c->report_data, c->report_data_n);
    hex(&l, "host_data", c->host_data, c->host_data_n);
    hex(&l, "platform_id", c->platform_id, c->platform_id_n);
    number(&l, "version", c->profile);
    number(&l, "svn", c->svn);
    boolean(&l, "debug", c->is_debug);
    boolean(&l, "migratable", c->is_migratable);
    boolean(&l, "revocation_checked", c->has_crl);
    when(&l, "issued_at", c->has_issued_at ? c->issued_at : (struct sm_wall){0});
    when(&l, "not_after", c->not_after);
    if (is_snp || is_intel) {
        hex(&l, "tcb", c->tcb_parts, is_snp ? SM_SNP_PARTS : 16);
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
