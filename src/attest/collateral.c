// SPDX-License-Identifier: Apache-2.0
#include "attest/collateral.h"

#include "attest/dcap.h"
#include "attest/dcap_tcb.h"
#include "attest/x509.h"
#include "base/cbor.h"

#include <string.h>

#define SKEW_S     60u
#define ISSUED_MAX (UINT64_C(1) << 40) /* the year 36812 */

enum sm_err sm_collateral_read(struct sm_view doc, struct sm_view *bytes, struct sm_view *chain)
{
    struct sm_cbor c = sm_cbor_init(doc);
    if (sm_cbor_array(&c) != 2) {
        sm_cbor_fail(&c);
    }
    struct sm_view a = sm_cbor_bytes(&c), b = sm_cbor_bytes(&c);
    SM_TRY(sm_cbor_done(&c));
    *bytes = a;
    *chain = b;
    return SM_OK;
}

enum sm_err sm_collateral_write(struct sm_view bytes, struct sm_view chain, struct sm_buf *out)
{
    enum { HEADS = 1 + 5 + 5 };
    uint8_t *room;
    struct sm_view all;
    SM_TRY(sm_buf_room(out, HEADS + bytes.n + chain.n, &room));
    struct sm_wr w = sm_wr_init(room, HEADS + bytes.n + chain.n);
    sm_cbor_put_array(&w, 2);
    sm_cbor_put_bytes(&w, bytes);
    sm_cbor_put_bytes(&w, chain);
    SM_TRY(sm_wr_done(&w, &all));
    out->n += all.n;
    return SM_OK;
}

static enum sm_err told(struct sm_reasons *why, enum sm_err e, const char *field)
{
    if (e != SM_OK && why->n == 0) {
        sm_reasons_add(why, e == SM_E_CRYPTO ? SM_REASON_COLLATERAL : SM_REASON_GRAMMAR, field,
                       sm_err_words(e), "as its maker signs it");
    }
    return e;
}

/* -- Intel's documents ------------------------------------------------------------------- */

/* By the one TCB signing certificate.  That it is not revoked is for who appraises by it. */
static enum sm_err signer_check(const struct sm_makers *trust, struct sm_wall now,
                                const struct sm_chain *chain, const struct sm_dcap_signed *s,
                                struct sm_wall *ends, struct sm_reasons *why)
{
    struct sm_chain_rules rules = {.is_strict = true, .skew_s = SKEW_S};
    char cn[SM_CN_MAX];
    struct sm_pub *key = NULL;
    bool is_signer = chain->n == 2 && sm_cert_subject_cn(chain->c[0], cn) == SM_OK &&
                     strcmp(cn, "Intel SGX TCB Signing") == 0;
    if (!is_signer) {
        sm_reasons_add(why, SM_REASON_CHAIN, "chain", "other certificates",
                       "TCB signing, root");
        return SM_E_CRYPTO;
    }
    SM_TRY(sm_chain_verify(chain, trust->root[SM_ROOT_INTEL_SGX], NULL, 0, &rules, now, ends,
                           why));
    SM_TRY(sm_pub_of_cert(chain->c[0], &key));
    bool is_p256 = sm_pub_is_curve(key, SM_P256) && s->sig.n == 64;
    enum sm_err e =
        is_p256 ? sm_pub_verify(key, SM_DIGEST_SHA256, s->json, s->sig) : SM_E_CRYPTO;
    sm_pub_free(key);
    return e;
}

/* TEE, FMSPC, PCE-ID, zeros. */
static void tcb_name(bool is_tdx, const uint8_t fmspc[static 6], const uint8_t pceid[static 2],
                     uint8_t out[static SM_DOC_NAME])
{
    out[0] = is_tdx ? 2 : 1;
    memcpy(out + 1, fmspc, 6);
    memcpy(out + 7, pceid, 2);
}

static enum sm_err head_take(const struct sm_dcap_head *h, struct sm_wall now,
                             struct sm_collateral *out, struct sm_reasons *why)
{
    if (h->issued.s >= ISSUED_MAX || h->eval >= 1u << 24) {
        return SM_E_LIMIT;
    }
    out->version = (uint64_t)h->eval << 40 | h->issued.s;
    out->ends.s = h->next_update.s < out->ends.s ? h->next_update.s : out->ends.s;
    if (h->issued.s > now.s + SKEW_S || now.s > h->next_update.s) {
        sm_reasons_add_u64(why, SM_REASON_COLLATERAL, "document", now.s, "between its dates,",
                           h->next_update.s);
        return SM_E_EXPIRED;
    }
    return SM_OK;
}

static enum sm_err json_take(uint8_t kind, struct sm_view json, struct sm_wall now,
                             struct sm_collateral *out, struct sm_reasons *why)
{
    struct sm_tcb_info info;
    struct sm_qe_identity qe;
    if (kind == SM_DOC_QE_IDENTITY) {
        SM_TRY(sm_qe_identity_read(json, &qe));
        out->name[0] = qe.head.is_tdx ? 2 : 1;
        return head_take(&qe.head, now, out, why);
    }
    SM_TRY(sm_tcb_info_read(json, &info));
    tcb_name(info.head.is_tdx, info.fmspc, info.pceid, out->name);
    return head_take(&info.head, now, out, why);
}

static enum sm_err intel_verify(const struct sm_makers *trust, struct sm_wall now, uint8_t kind,
                                struct sm_collateral *out, struct sm_reasons *why)
{
    SM_CLEANUP(sm_chain_done) struct sm_chain chain = {0};
    uint8_t sig[64];
    struct sm_dcap_signed s;
    const char *member = kind == SM_DOC_TCB_INFO ? "tcbInfo" : "enclaveIdentity";
    SM_TRY(sm_dcap_signed_read(out->bytes, member, sig, &s));
    if (s.json.n > SM_DCAP_JSON_MAX) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_chain_add(&chain, out->chain));
    SM_TRY(signer_check(trust, now, &chain, &s, &out->ends, why));
    return json_take(kind, s.json, now, out, why);
}

/* -- revocation lists -------------------------------------------------------------------- */

/* Which root it leads to is found by trying: there are four. */
static enum sm_err crl_by_root(const struct sm_crl *l, const struct sm_chain *issuers,
                               const struct sm_makers *trust, enum sm_root root,
                               struct sm_wall now, struct sm_crl_info *info,
                               struct sm_reasons *why)
{
    bool is_intel = root == SM_ROOT_INTEL_SGX;
    struct sm_chain_rules rules = {
        .is_strict = is_intel, .is_pss = !is_intel, .skew_s = SKEW_S};
    if (trust->root[root].n == 0) {
        return SM_E_CRYPTO;
    }
    return sm_crl_verify(l, issuers, trust->root[root], &rules, now, info, why);
}

static enum sm_err crl_verify(const struct sm_makers *trust, struct sm_wall now,
                              struct sm_collateral *out, struct sm_reasons *why)
{
    static const enum sm_root roots[] = {SM_ROOT_INTEL_SGX, SM_ROOT_AMD_MILAN,
                                         SM_ROOT_AMD_GENOA, SM_ROOT_AMD_TURIN};
    SM_CLEANUP(sm_chain_done) struct sm_chain issuers = {0};
    struct sm_crl *l = NULL;
    struct sm_crl_info info;
    struct sm_reasons best = {0};
    enum sm_err e = SM_E_CRYPTO;
    if (out->chain.n > 0) {
        SM_TRY(sm_chain_add(&issuers, out->chain));
    }
    SM_TRY(sm_crl_read(out->bytes, &l));
    for (size_t i = 0; i < SM_COUNT(roots) && e == SM_E_CRYPTO; i++) {
        struct sm_reasons own = {0};
        e = crl_by_root(l, &issuers, trust, roots[i], now, &info, &own);
        if (own.n > 0 && (best.n == 0 || own.n < best.n)) {
            best = own; /* of the root that it is nearest to */
        }
    }
    sm_crl_free(l);
    if (e != SM_OK) {
        sm_reasons_append(why, &best);
        return e;
    }
    memcpy(out->name, info.issuer_key, sizeof out->name);
    out->version = info.this_update.s;
    out->number = info.number;
    out->ends = info.next_update;
    return SM_OK;
}

enum sm_err sm_collateral_verify(const struct sm_makers *trust, struct sm_wall now,
                                 uint8_t kind, struct sm_view doc, struct sm_collateral *out,
                                 struct sm_reasons *why)
{
    struct sm_collateral c = {.ends = {UINT64_MAX}};
    struct sm_reasons own = {0};
    enum sm_err e = sm_collateral_read(doc, &c.bytes, &c.chain);
    if (e == SM_OK) {
        e = kind == SM_DOC_CRL ? crl_verify(trust, now, &c, &own)
                               : intel_verify(trust, now, kind, &c, &own);
    }
    e = told(&own, e, sm_doc_kind_name(kind));
    sm_reasons_append(why, &own);
    if (e == SM_OK) {
        *out = c;
    }
    return e;
}

/* -- for a quote ------------------------------------------------------------------------- */

/* Which documents a quote needs. */
struct needs {
    bool is_tdx;
    struct sm_pck pck;
    uint8_t root_key[32], ca_key[32];
};

static enum sm_err root_key(const struct sm_makers *trust, uint8_t out[static 32])
{
    SM_CLEANUP(sm_chain_done) struct sm_chain root = {0};
    SM_TRY(sm_chain_add(&root, trust->root[SM_ROOT_INTEL_SGX]));
    return root.n == 1 ? sm_cert_spki_digest(root.c[0], SM_DIGEST_SHA256, out) : SM_E_MALFORMED;
}

static enum sm_err needs_of(const struct sm_makers *trust, struct sm_view quote,
                            struct needs *out)
{
    SM_CLEANUP(sm_chain_done) struct sm_chain chain = {0};
    struct sm_quote q;
    struct sm_view ext;
    SM_TRY(sm_quote_read(quote, &q));
    SM_TRY(sm_chain_add(&chain, q.pck_chain));
    if (chain.n < 2) {
        return SM_E_MALFORMED;
    }
    out->is_tdx = q.is_tdx;
    SM_TRY(sm_cert_ext(chain.c[0], "1.2.840.113741.1.13.1", &ext));
    SM_TRY(sm_pck_read(ext, &out->pck));
    SM_TRY(sm_cert_spki_digest(chain.c[1], SM_DIGEST_SHA256, out->ca_key));
    return root_key(trust, out->root_key);
}

/* As it says of itself; 0 when it cannot be read, which is older than any. */
static uint64_t stapled_version(uint8_t kind, struct sm_view bytes)
{
    struct sm_collateral c = {.ends = {UINT64_MAX}};
    struct sm_reasons why = {0};
    struct sm_dcap_signed s;
    struct sm_crl *l = NULL;
    struct sm_wall from = {0}, to;
    uint8_t sig[64];
    if (kind == SM_DOC_CRL) {
        enum sm_err e = sm_crl_read(bytes, &l);
        e = e == SM_OK ? sm_crl_times(l, &from, &to) : e;
        sm_crl_free(l);
        return e == SM_OK ? from.s : 0;
    }
    const char *member = kind == SM_DOC_TCB_INFO ? "tcbInfo" : "enclaveIdentity";
    if (sm_dcap_signed_read(bytes, member, sig, &s) != SM_OK) {
        return 0;
    }
    enum sm_err e = json_take(kind, s.json, (struct sm_wall){0}, &c, &why);
    return e == SM_OK || e == SM_E_EXPIRED ? c.version : 0;
}

/* True when the stored one took the place of what was stapled. */
static bool prefer(const struct sm_rules *rules, struct sm_wall now, uint8_t kind,
                   const uint8_t name[static SM_DOC_NAME], struct sm_view *part,
                   struct sm_view *chain)
{
    struct sm_doc d;
    struct sm_view bytes, certs;
    if (!sm_rules_find(rules, now, kind, name, &d) ||
        (part->n > 0 && stapled_version(kind, *part) >= d.version) ||
        sm_collateral_read(d.bytes, &bytes, &certs) != SM_OK) {
        return false;
    }
    *part = bytes;
    if (chain != NULL) {
        *chain = certs;
    }
    return true;
}

/* Whose list it takes: the ARK that signed the ASK or ASVK. */
static enum sm_err ark_key(const struct sm_makers *trust, struct sm_view asks,
                           uint8_t out[static 32])
{
    static const struct {
        const char *cn;
        enum sm_root root;
    } arks[] = {{"ARK-Milan", SM_ROOT_AMD_MILAN},
                {"ARK-Genoa", SM_ROOT_AMD_GENOA},
                {"ARK-Turin", SM_ROOT_AMD_TURIN}};
    SM_CLEANUP(sm_chain_done) struct sm_chain chain = {0}, root = {0};
    char cn[SM_CN_MAX];
    SM_TRY(sm_chain_add(&chain, asks));
    SM_TRY(sm_cert_issuer_cn(chain.c[0], cn));
    for (size_t i = 0; i < SM_COUNT(arks); i++) {
        if (strcmp(cn, arks[i].cn) == 0) {
            SM_TRY(sm_chain_add(&root, trust->root[arks[i].root]));
            return sm_cert_spki_digest(root.c[0], SM_DIGEST_SHA256, out);
        }
    }
    return SM_E_NOTFOUND;
}

static void fill_intel(const struct sm_rules *rules, const struct sm_makers *trust,
                       struct sm_wall now, struct sm_view *p)
{
    struct needs n;
    uint8_t tcb[SM_DOC_NAME] = {0}, qe[SM_DOC_NAME] = {0};
    if (needs_of(trust, p[SM_PART_DCAP_QUOTE], &n) != SM_OK) {
        return;
    }
    tcb_name(n.is_tdx, n.pck.fmspc, n.pck.pceid, tcb);
    qe[0] = tcb[0];
    (void)prefer(rules, now, SM_DOC_TCB_INFO, tcb, &p[SM_PART_DCAP_TCB_INFO],
                 &p[SM_PART_DCAP_TCB_CHAIN]);
    (void)prefer(rules, now, SM_DOC_QE_IDENTITY, qe, &p[SM_PART_DCAP_QE_IDENTITY],
                 p[SM_PART_DCAP_TCB_CHAIN].n == 0 ? &p[SM_PART_DCAP_TCB_CHAIN] : NULL);
    (void)prefer(rules, now, SM_DOC_CRL, n.root_key, &p[SM_PART_DCAP_ROOT_CRL], NULL);
    (void)prefer(rules, now, SM_DOC_CRL, n.ca_key, &p[SM_PART_DCAP_PCK_CRL], NULL);
}

/* What cannot be read is left: the verifier says what is wrong with it. */
void sm_collateral_fill(const struct sm_rules *rules, const struct sm_makers *trust,
                        struct sm_wall now, struct sm_envelope *e)
{
    uint8_t ark[32];
    struct sm_view *p = e->part;
    if (p[SM_PART_DCAP_QUOTE].n > 0) {
        fill_intel(rules, trust, now, p);
    }
    if (p[SM_PART_SNP_CHAIN].n > 0 && ark_key(trust, p[SM_PART_SNP_CHAIN], ark) == SM_OK) {
        (void)prefer(rules, now, SM_DOC_CRL, ark, &p[SM_PART_SNP_CRL], NULL);
    }
}
