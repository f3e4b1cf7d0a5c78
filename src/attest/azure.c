// SPDX-License-Identifier: Apache-2.0
#include "attest/azure.h"

#include "attest/json.h"
#include "crypto/hash.h"

#include <string.h>

#define MAGIC        0x414c4348u /* "HCLA" */
#define HEADER_REST  28u         /* version, sizes, status: not signed, and not used */
#define TYPE_SNP     2u
#define HASH_SHA256  1u
#define AK_KID       "HCLAkPub"
#define KEYS_MAX     16u /* two are known: HCLAkPub and HCLEkPub */
#define EXPONENT_MAX 4u
#define MODULUS_MAX  SM_TPM_RSA_MAX

struct hcl {
    struct sm_view report, json;
};

/* -- the HCL report ---------------------------------------------------------------------- */

static bool is_zero(struct sm_view v)
{
    uint8_t any = 0;
    for (size_t i = 0; i < v.n; i++) {
        any |= v.p[i];
    }
    return any == 0;
}

static enum sm_err hcl_read(struct sm_view bytes, struct hcl *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct hcl h;
    uint32_t magic = sm_rd_u32(&r);
    (void)sm_rd_view(&r, HEADER_REST);
    h.report = sm_rd_view(&r, SM_SNP_REPORT);
    (void)sm_rd_view(&r, 8); /* size and version of what follows: not signed, not used */
    uint32_t type = sm_rd_u32(&r);
    uint32_t hash = sm_rd_u32(&r);
    h.json = sm_rd_blob(&r, SM_AZURE_HCL_MAX);
    struct sm_view rest = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    if (magic != MAGIC || !is_zero(rest)) {
        return SM_E_MALFORMED;
    }
    if (type != TYPE_SNP || hash != HASH_SHA256) {
        return SM_E_UNSUPPORTED;
    }
    *out = h;
    return SM_OK;
}

/* -- the attestation key in the JSON ----------------------------------------------------- */

struct number {
    size_t n;
    uint8_t b[MODULUS_MAX];
};

/* RFC 4648, 5, without padding; one encoding of each number of bytes. */
static enum sm_err base64url(struct sm_view text, struct number *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct number v = {0};
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *d = memchr(digits, text.p[i], sizeof digits - 1);
        if (d == NULL || v.n == sizeof v.b) {
            return SM_E_MALFORMED;
        }
        acc = (acc << 6 | (uint32_t)(d - digits)) & 0xffffffu;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            v.b[v.n++] = (uint8_t)(acc >> bits);
        }
    }
    if (v.n == 0 || bits == 6 || (acc & ((1u << bits) - 1)) != 0) {
        return SM_E_MALFORMED;
    }
    *out = v;
    return SM_OK;
}

struct jwk {
    struct sm_view kid, kty, n, e;
};

/* A member that comes twice has no meaning. */
static void take_text(struct sm_json *j, struct sm_view *slot)
{
    if (slot->n != 0) {
        sm_json_fail(j);
    }
    *slot = sm_json_text(j);
}

static struct jwk jwk_read(struct sm_json *j)
{
    struct jwk k = {0};
    struct sm_view key;
    sm_json_object(j);
    while (sm_json_key(j, &key)) {
        struct sm_view *slot = sm_view_eq(key, sm_view_str("kid"))   ? &k.kid
                               : sm_view_eq(key, sm_view_str("kty")) ? &k.kty
                               : sm_view_eq(key, sm_view_str("n"))   ? &k.n
                               : sm_view_eq(key, sm_view_str("e"))   ? &k.e
                                                                     : NULL;
        if (slot != NULL) {
            take_text(j, slot);
        } else {
            sm_json_skip(j);
        }
    }
    return k;
}

/* The one key by the name of AK_KID. */
static void keys_read(struct sm_json *j, struct jwk *ak)
{
    sm_json_array(j);
    for (size_t i = 0; sm_json_item(j); i++) {
        struct jwk k = jwk_read(j);
        bool is_ak = sm_view_eq(k.kid, sm_view_str(AK_KID));
        if (i == KEYS_MAX || (is_ak && ak->kid.n != 0)) {
            sm_json_fail(j);
            return;
        }
        *ak = is_ak ? k : *ak;
    }
}

static enum sm_err ak_read(struct sm_view json, struct sm_tpm_key *out)
{
    struct sm_json j = sm_json_init(json);
    struct jwk ak = {0};
    struct sm_view key;
    bool has_keys = false;
    struct number n, e;
    sm_json_object(&j);
    while (sm_json_key(&j, &key)) {
        if (!sm_view_eq(key, sm_view_str("keys"))) {
            sm_json_skip(&j);
            continue;
        }
        if (has_keys) {
            sm_json_fail(&j);
        }
        has_keys = true;
        keys_read(&j, &ak);
    }
    SM_TRY(sm_json_done(&j));
    if (ak.kid.n == 0 || !sm_view_eq(ak.kty, sm_view_str("RSA"))) {
        return SM_E_MALFORMED;
    }
    SM_TRY(base64url(ak.n, &n));
    SM_TRY(base64url(ak.e, &e));
    if (e.n > EXPONENT_MAX) {
        return SM_E_UNSUPPORTED;
    }
    return sm_tpm_key_rsa(sm_view_of(n.b, n.n), sm_view_of(e.b, e.n), out);
}

/* -- all together ------------------------------------------------------------------------ */

/* REPORT_DATA = SHA-256(JSON) and zeros. */
static bool is_bound(const struct sm_claims *c, struct sm_view json, struct sm_reasons *why)
{
    uint8_t want[SM_REPORT_DATA] = {0};
    sm_sha256(json, want);
    if (memcmp(want, c->report_data, sizeof want) == 0) {
        return true;
    }
    sm_reasons_add_hex(why, SM_REASON_BINDING, "runtime data",
                       sm_view_of(c->report_data, sizeof want), sm_view_of(want, sizeof want));
    return false;
}

static void claim_quote(const struct sm_tpm_pcrs *pcrs, struct sm_view extra,
                        struct sm_claims *c)
{
    c->platform = SM_PLATFORM_SNP_VTPM;
    memset(c->report_data, 0, sizeof c->report_data);
    memcpy(c->report_data, extra.p, extra.n);
    c->report_data_n = (uint8_t)extra.n;
    c->regs_mask = pcrs->mask;
    c->reg_n = pcrs->bank == SM_TPM_SHA256 ? 32 : pcrs->bank == SM_TPM_SHA384 ? 48 : 64;
    for (size_t i = 0; i < SM_TPM_PCRS; i++) {
        if ((pcrs->mask >> i & 1u) != 0) {
            memcpy(c->regs[i], pcrs->value[i], c->reg_n);
        }
    }
}

enum sm_err sm_azure_verify(const struct sm_azure_evidence *ev, const struct sm_makers *trust,
                            struct sm_view extra, struct sm_wall now, struct sm_claims *out,
                            struct sm_reasons *why)
{
    struct hcl h;
    struct sm_claims c;
    struct sm_tpm_key ak;
    struct sm_tpm_quote quote;
    *why = (struct sm_reasons){0};
    if (extra.n > sizeof c.report_data) {
        return SM_E_INVALID;
    }
    enum sm_err e = ev->hcl.n > SM_AZURE_HCL_MAX ? SM_E_LIMIT : hcl_read(ev->hcl, &h);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "hcl report", sm_err_words(e),
                       "an HCL report with SNP and SHA-256");
        return e;
    }
    struct sm_snp_evidence snp = {h.report, ev->vek, ev->chain, ev->crl};
    SM_TRY(sm_snp_verify(&snp, trust, now, &c, why));
    if (!is_bound(&c, h.json, why)) {
        return SM_E_CRYPTO;
    }
    e = ak_read(h.json, &ak);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "runtime data", sm_err_words(e),
                       "JSON with one RSA key " AK_KID);
        return e;
    }
    SM_TRY(sm_tpm_quote_verify(&ak, ev->quote, ev->sig, ev->sig_form, extra, ev->pcrs, &quote,
                               why));
    claim_quote(ev->pcrs, extra, &c);
    *out = c;
    return SM_OK;
}
