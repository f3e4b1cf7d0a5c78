// SPDX-License-Identifier: Apache-2.0
/* Documents of the makers in the rules: genuine ones of one day, offered in every wrong way. */
#include "attest/collateral.h"
#include "attest/hardware.h"
#include "crypto/suite.h"
#include "evidence_kit.h"

#define DAY    ((struct sm_wall){1751328000}) /* as_of of both folders of vectors */
#define FOLDER "tdx/v4-uptodate/"

struct world {
    struct sm_rules *rules;
    struct sm_rules_change change;
    struct sm_reasons why;
    struct sm_makers trust;
};

static struct kit_file in; /* 32 KiB: not on the stack many times */

static void world_make(struct world *w)
{
    static const uint8_t root[1][32] = {{1}};
    struct sm_anchor a;
    *w = (struct world){0};
    sm_makers_pinned(&w->trust);
    T_OK(sm_anchor_make(SM_ENV_PROD, "clinic", root, 1, &a));
    T_OK(sm_rules_new(sm_suite_real(), &a, &w->rules));
}

/* {"tcbInfo":{...},"signature":"hex"} of a file and its signature. */
static struct sm_buf answer(const char *folder, const char *name, const char *member)
{
    struct sm_buf out = SM_BUF(65536);
    char path[128], hex[129];
    (void)snprintf(path, sizeof path, "%s%s.sig", folder, name);
    kit_load(path, &in);
    T_EQ(in.n, 64);
    sm_hex(in.b, 64, hex);
    (void)snprintf(path, sizeof path, "%s%s", folder, name);
    kit_load(path, &in);
    T_OK(sm_buf_printf(&out, "{\"%s\":%.*s,\"signature\":\"%s\"}", member, (int)in.n,
                       (const char *)in.b, hex));
    return out;
}

static struct sm_buf doc_of(struct sm_view bytes, const char *folder, const char *chain)
{
    struct sm_buf out = SM_BUF(SM_DOC_MAX);
    char path[128];
    in.n = 0;
    if (chain != NULL) {
        (void)snprintf(path, sizeof path, "%s%s", folder, chain);
        kit_load(path, &in);
    }
    T_OK(sm_collateral_write(bytes, kit_view(&in), &out));
    return out;
}

static struct sm_buf tcb_doc(const char *folder)
{
    struct sm_buf a = answer(folder, "tcb_info.json", "tcbInfo");
    struct sm_buf d = doc_of(sm_buf_view(&a), folder, "tcb_info_chain.pem");
    sm_buf_done(&a);
    return d;
}

static struct sm_buf qe_doc(const char *folder)
{
    struct sm_buf a = answer(folder, "qe_identity.json", "enclaveIdentity");
    struct sm_buf d = doc_of(sm_buf_view(&a), folder, "qe_identity_chain.pem");
    sm_buf_done(&a);
    return d;
}

static struct sm_buf crl_doc(const char *folder, const char *name, const char *chain)
{
    static struct kit_file crl;
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", folder, name);
    kit_load(path, &crl);
    return doc_of(kit_view(&crl), folder, chain);
}

static enum sm_err offer_at(struct world *w, struct sm_wall now, uint8_t kind,
                            const struct sm_buf *d)
{
    return sm_rules_offer(w->rules, now, kind, sm_buf_view(d), &w->change, &w->why);
}

/* All four of a folder, as one would get them by gossip. */
static void offer_all(struct world *w, const char *folder)
{
    struct sm_buf docs[] = {tcb_doc(folder), qe_doc(folder),
                            crl_doc(folder, "root_ca_crl.der", NULL),
                            crl_doc(folder, "pck_crl.der", "pck_crl_chain.pem")};
    const uint8_t kinds[] = {SM_DOC_TCB_INFO, SM_DOC_QE_IDENTITY, SM_DOC_CRL, SM_DOC_CRL};
    for (size_t i = 0; i < SM_COUNT(docs); i++) {
        enum sm_err e = offer_at(w, DAY, kinds[i], &docs[i]);
        char text[1000];
        sm_reasons_text(&w->why, text, sizeof text);
        if (e != SM_OK) {
            t_fail(__FILE__, __LINE__, "document %zu: %s: %s", i, sm_err_name(e), text);
        }
        T_TRUE(!w->change.may_refuse);
        sm_buf_done(&docs[i]);
    }
}

static void genuine_documents_are_taken_and_listed_until_they_end(void)
{
    struct world w;
    struct sm_doc d;
    world_make(&w);
    offer_all(&w, FOLDER);
    for (size_t i = 0; i < 4; i++) {
        T_TRUE(sm_rules_doc(w.rules, DAY, i, &d));
    }
    T_TRUE(!sm_rules_doc(w.rules, DAY, 4, &d));
    /* Three years later none is given to anybody. */
    T_TRUE(!sm_rules_doc(w.rules, (struct sm_wall){DAY.s + 3 * 366 * 86400}, 0, &d));
    sm_rules_free(w.rules);
}

static void a_document_counts_neither_before_nor_after_its_time(void)
{
    struct world w;
    world_make(&w);
    struct sm_buf t = tcb_doc(FOLDER), c = crl_doc(FOLDER, "root_ca_crl.der", NULL);
    struct sm_wall early = {DAY.s - 90 * 86400}, late = {DAY.s + 90 * 86400};
    T_ERR(offer_at(&w, early, SM_DOC_TCB_INFO, &t), SM_E_EXPIRED);
    T_ERR(offer_at(&w, late, SM_DOC_TCB_INFO, &t), SM_E_EXPIRED);
    T_TRUE(offer_at(&w, (struct sm_wall){DAY.s + 2 * 366 * 86400}, SM_DOC_CRL, &c) != SM_OK);
    T_TRUE(w.why.n > 0);
    sm_buf_done(&t);
    sm_buf_done(&c);
    sm_rules_free(w.rules);
}

static void one_kind_is_not_taken_for_another(void)
{
    struct world w;
    world_make(&w);
    struct sm_buf t = tcb_doc(FOLDER), q = qe_doc(FOLDER);
    struct sm_buf p = crl_doc(FOLDER, "pck_crl.der", NULL); /* not by the root */
    T_TRUE(offer_at(&w, DAY, SM_DOC_QE_IDENTITY, &t) != SM_OK);
    T_TRUE(offer_at(&w, DAY, SM_DOC_TCB_INFO, &q) != SM_OK);
    T_TRUE(offer_at(&w, DAY, SM_DOC_CRL, &q) != SM_OK);
    T_TRUE(offer_at(&w, DAY, SM_DOC_CRL, &p) != SM_OK);
    T_ERR(offer_at(&w, DAY, SM_DOC_KINDS, &q), SM_E_UNSUPPORTED);
    sm_buf_done(&t);
    sm_buf_done(&q);
    sm_buf_done(&p);
    sm_rules_free(w.rules);
}

static void no_changed_byte_of_a_makers_word_is_accepted(void)
{
    struct world w;
    world_make(&w);
    struct sm_buf d = tcb_doc(FOLDER);
    struct sm_view bytes, chain;
    T_OK(sm_collateral_read(sm_buf_view(&d), &bytes, &chain));
    size_t stride = kit_stride(17);
    for (size_t i = (size_t)(t_seed() % stride); i < bytes.n; i += stride) {
        uint8_t *p = d.p + (bytes.p - d.p) + i, was = *p;
        *p ^= 1;
        bool is_hex_case = false;
        if (offer_at(&w, DAY, SM_DOC_TCB_INFO, &d) == SM_OK) {
            is_hex_case = (was ^ *p) == 0x20;
            T_TRUE(is_hex_case);
        }
        *p = was;
    }
    T_OK(offer_at(&w, DAY, SM_DOC_TCB_INFO, &d));
    sm_buf_done(&d);
    sm_rules_free(w.rules);
}

/* An older list does not come back; the vectors have two of the same day's issuers. */
static void older_documents_never_replace_newer_ones(void)
{
    static const char other[] = "tdx/v4-module10-2023/";
    struct world w;
    struct sm_doc before, after;
    world_make(&w);
    struct sm_buf a = tcb_doc(FOLDER), b = qe_doc(FOLDER);
    struct sm_buf old = qe_doc(other);
    struct sm_wall then = {1687910400}; /* 2023-06-28 */
    T_OK(offer_at(&w, DAY, SM_DOC_TCB_INFO, &a));
    T_OK(offer_at(&w, DAY, SM_DOC_QE_IDENTITY, &b));
    uint8_t name[SM_DOC_NAME] = {2};
    T_TRUE(sm_rules_find(w.rules, DAY, SM_DOC_QE_IDENTITY, name, &before));
    /* With a clock that was set back, so that it would be in time. */
    T_ERR(offer_at(&w, then, SM_DOC_QE_IDENTITY, &old), SM_E_STALE);
    T_TRUE(sm_rules_find(w.rules, DAY, SM_DOC_QE_IDENTITY, name, &after));
    T_EQ(after.version, before.version);
    T_ERR(offer_at(&w, DAY, SM_DOC_QE_IDENTITY, &b), SM_E_EXISTS);
    sm_buf_done(&a);
    sm_buf_done(&b);
    sm_buf_done(&old);
    sm_rules_free(w.rules);
}

static void a_quote_is_verified_with_what_the_rules_hold(void)
{
    static struct kit_file quote;
    struct world w;
    struct sm_envelope e = {0};
    struct sm_claims claims;
    world_make(&w);
    kit_load(FOLDER "quote.bin", &quote);
    e.part[SM_PART_DCAP_QUOTE] = kit_view(&quote);
    T_TRUE(sm_hw_evidence_verify(&w.trust, DAY, SM_PLATFORM_TDX, &e, &claims, &w.why) != SM_OK);
    sm_collateral_fill(w.rules, &w.trust, DAY, &e);
    T_EQ(sm_envelope_mask(&e), 1u << SM_PART_DCAP_QUOTE);
    offer_all(&w, FOLDER);
    sm_collateral_fill(w.rules, &w.trust, DAY, &e);
    w.why = (struct sm_reasons){0};
    T_OK(sm_hw_evidence_verify(&w.trust, DAY, SM_PLATFORM_TDX, &e, &claims, &w.why));
    T_EQ(claims.tcb, SM_TCB_UP_TO_DATE);
    sm_rules_free(w.rules);
}

static void what_is_stapled_gives_way_to_what_is_newer(void)
{
    static struct kit_file quote;
    struct world w;
    struct sm_envelope e = {0};
    world_make(&w);
    kit_load(FOLDER "quote.bin", &quote);
    struct sm_buf old = answer("tdx/v4-module10-2023/", "qe_identity.json", "enclaveIdentity");
    struct sm_buf own = answer(FOLDER, "tcb_info.json", "tcbInfo");
    e.part[SM_PART_DCAP_QUOTE] = kit_view(&quote);
    e.part[SM_PART_DCAP_QE_IDENTITY] = sm_buf_view(&old);
    e.part[SM_PART_DCAP_TCB_INFO] = sm_buf_view(&own);
    offer_all(&w, FOLDER);
    sm_collateral_fill(w.rules, &w.trust, DAY, &e);
    T_TRUE(e.part[SM_PART_DCAP_QE_IDENTITY].p != old.p);
    T_TRUE(e.part[SM_PART_DCAP_TCB_INFO].p == own.p); /* as new: it stays */
    sm_buf_done(&old);
    sm_buf_done(&own);
    sm_rules_free(w.rules);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(genuine_documents_are_taken_and_listed_until_they_end),
        T_CASE(a_document_counts_neither_before_nor_after_its_time),
        T_CASE(one_kind_is_not_taken_for_another),
        T_CASE(no_changed_byte_of_a_makers_word_is_accepted),
        T_CASE(older_documents_never_replace_newer_ones),
        T_CASE(a_quote_is_verified_with_what_the_rules_hold),
        T_CASE(what_is_stapled_gives_way_to_what_is_newer),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
