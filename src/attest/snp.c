// SPDX-License-Identifier: Apache-2.0
#include "attest/snp.h"

#include "attest/x509.h"

#include <stdio.h>
#include <string.h>

/* Offsets and lengths in a report, of the ABI's table. */
enum {
    SIGNED = 0x2a0,
    SIG_PART = 72, /* r, then s: little-endian, 48 bytes and padding */
    SIG_FIELD = 48,
    CHIP_ID_N = 64,
    HW_ID_TURIN = 8,
};
#define AMD             "1.3.6.1.4.1.3704.1."
#define SIGNER_VCEK     0u
#define SIGNER_VLEK     1u
#define SIGNER_NONE     7u
#define ALGO_P384       1u /* with SHA-384 */
#define VMPL_MAX        3u
#define VMPL_HOST       UINT32_MAX /* the host asked for it */
#define POLICY_ONE      (1ull << 17)
#define POLICY_MIGRATE  (1ull << 18)
#define POLICY_DEBUG    (1ull << 19)
#define KEY_INFO_KNOWN  0x1fu
#define CERT_ENTRIES    16u /* the table names four kinds */
#define CERT_ENTRY_SIZE 24u

struct tcb {
    uint8_t raw[8];
};

struct report {
    uint32_t version, guest_svn, vmpl, algo, key_info, reserved_4c;
    uint64_t policy, platform_info;
    struct sm_view family_id, image_id, report_data, measurement, host_data, id_key, author_key,
        chip_id, sig;
    struct tcb current, reported, committed, launch;
    uint8_t family, model;
    struct sm_view rest_188, mitigation, rest_208;
    uint8_t committed_abi[3]; /* build, minor, major */
    uint8_t reserved_1eb, reserved_1ef;
};

/* -- the report -------------------------------------------------------------------------- */

static struct tcb tcb_read(struct sm_rd *r)
{
    struct tcb t;
    sm_rd_bytes(r, t.raw, sizeof t.raw);
    return t;
}

/* One statement per field, in the order of the table. */
static enum sm_err report_read(struct sm_view bytes, struct report *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct report p = {0};
    p.version = sm_rd_u32(&r);
    p.guest_svn = sm_rd_u32(&r);
    p.policy = sm_rd_u64(&r);
    p.family_id = sm_rd_view(&r, 16);
    p.image_id = sm_rd_view(&r, 16);
    p.vmpl = sm_rd_u32(&r);
    p.algo = sm_rd_u32(&r);
    p.current = tcb_read(&r);
    p.platform_info = sm_rd_u64(&r);
    p.key_info = sm_rd_u32(&r);
    p.reserved_4c = sm_rd_u32(&r);
    p.report_data = sm_rd_view(&r, SM_REPORT_DATA);
    p.measurement = sm_rd_view(&r, 48);
    p.host_data = sm_rd_view(&r, 32);
    p.id_key = sm_rd_view(&r, 48);
    p.author_key = sm_rd_view(&r, 48);
    (void)sm_rd_view(&r, 64); /* REPORT_ID and REPORT_ID_MA: of this launch, not of the code */
    p.reported = tcb_read(&r);
    p.family = sm_rd_u8(&r);
    p.model = sm_rd_u8(&r);
    (void)sm_rd_u8(&r); /* stepping: every one of a model has the same certificates */
    p.rest_188 = sm_rd_view(&r, 0x1a0 - 0x18b);
    p.chip_id = sm_rd_view(&r, CHIP_ID_N);
    p.committed = tcb_read(&r);
    (void)sm_rd_view(&r, 3); /* current build, minor, major */
    p.reserved_1eb = sm_rd_u8(&r);
    sm_rd_bytes(&r, p.committed_abi, sizeof p.committed_abi);
    p.reserved_1ef = sm_rd_u8(&r);
    p.launch = tcb_read(&r);
    p.mitigation = sm_rd_view(&r, 16);
    p.rest_208 = sm_rd_view(&r, SIGNED - 0x208);
    p.sig = sm_rd_view(&r, SM_SNP_REPORT - SIGNED);
    SM_TRY(sm_rd_done(&r));
    *out = p;
    return SM_OK;
}

static bool is_zero(struct sm_view v)
{
    uint8_t any = 0;
    for (size_t i = 0; i < v.n; i++) {
        any |= v.p[i];
    }
    return any == 0;
}

static unsigned signer_of(const struct report *p)
{
    return p->key_info >> 2 & 7u;
}

/* What has no meaning in these versions must be zero, or the report says something that we do
 * not understand.  All of it but the signature's padding is signed. */
static void check_reserved(const struct report *p, struct sm_reasons *why)
{
    bool has_cpuid = p->version >= 3;
    bool has_mitigation = p->version >= 4;
    if (p->reserved_4c != 0 || p->reserved_1eb != 0 || p->reserved_1ef != 0 ||
        (p->key_info & ~KEY_INFO_KNOWN) != 0 || !is_zero(p->rest_188) ||
        !is_zero(p->rest_208) || (!has_cpuid && (p->family | p->model) != 0) ||
        (!has_mitigation && !is_zero(p->mitigation))) {
        sm_reasons_add(why, SM_REASON_RESERVED, "reserved", "not zero", "zero in this version");
    }
    if ((p->policy & POLICY_ONE) == 0) {
        sm_reasons_add(why, SM_REASON_RESERVED, "policy bit 17", "0", "1");
    }
    if (p->vmpl > VMPL_MAX && p->vmpl != VMPL_HOST) {
        sm_reasons_add_u64(why, SM_REASON_GRAMMAR, "vmpl", p->vmpl, "at most", VMPL_MAX);
    }
}

static enum sm_err check_form(const struct report *p, struct sm_reasons *why)
{
    if (p->version < 2 || p->version > 5) {
        sm_reasons_add_u64(why, SM_REASON_UNSUPPORTED, "version", p->version, "2 to", 5);
        return SM_E_UNSUPPORTED;
    }
    if (p->algo != ALGO_P384) {
        sm_reasons_add_u64(why, SM_REASON_UNSUPPORTED, "signature_algo", p->algo, "",
                           ALGO_P384);
        return SM_E_UNSUPPORTED;
    }
    if (signer_of(p) == SIGNER_NONE) {
        sm_reasons_add(why, SM_REASON_UNSIGNED, "signing_key", "none", "vcek or vlek");
        return SM_E_REFUSED;
    }
    if (signer_of(p) > SIGNER_VLEK) {
        sm_reasons_add_u64(why, SM_REASON_UNSUPPORTED, "signing_key", signer_of(p), "at most",
                           SIGNER_VLEK);
        return SM_E_UNSUPPORTED;
    }
    check_reserved(p, why);
    return SM_OK;
}

/* -- TCB --------------------------------------------------------------------------------- */

/* Which byte of a TCB_VERSION is which part; the others are reserved. */
static const int8_t tcb_byte[SM_SNP_PRODUCTS][SM_SNP_PARTS] = {
    [SM_SNP_MILAN] = {-1, 0, 1, 6, 7},
    [SM_SNP_GENOA] = {-1, 0, 1, 6, 7},
    [SM_SNP_TURIN] = {0, 1, 2, 3, 7},
};
static const char *const part_name[SM_SNP_PARTS] = {"fmc", "bootloader", "tee", "snp",
                                                    "microcode"};
static const char *const part_oid[SM_SNP_PARTS] = {AMD "3.9", AMD "3.1", AMD "3.2", AMD "3.3",
                                                   AMD "3.8"};

static uint8_t tcb_part(const struct tcb *t, enum sm_snp_product product, size_t part)
{
    int at = tcb_byte[product][part];
    return at < 0 ? 0 : t->raw[at];
}

static bool has_reserved_tcb(const struct tcb *t, enum sm_snp_product product)
{
    struct tcb rest = *t;
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        if (tcb_byte[product][i] >= 0) {
            rest.raw[tcb_byte[product][i]] = 0;
        }
    }
    return !is_zero(sm_view_of(rest.raw, sizeof rest.raw));
}

static void check_tcb_order(const struct tcb *low, const struct tcb *high, const char *name,
                            enum sm_snp_product product, struct sm_reasons *why)
{
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        uint8_t l = tcb_part(low, product, i), h = tcb_part(high, product, i);
        if (l > h) {
            char field[32];
            (void)snprintf(field, sizeof field, "%s %s", name, part_name[i]);
            sm_reasons_add_u64(why, SM_REASON_TCB, field, l, "at most current", h);
        }
    }
}

static void check_tcbs(const struct report *p, enum sm_snp_product product,
                       struct sm_reasons *why)
{
    if (has_reserved_tcb(&p->current, product) || has_reserved_tcb(&p->reported, product) ||
        has_reserved_tcb(&p->committed, product) || has_reserved_tcb(&p->launch, product)) {
        sm_reasons_add(why, SM_REASON_RESERVED, "tcb", "not zero", "zero in reserved parts");
    }
    check_tcb_order(&p->committed, &p->current, "committed", product, why);
    check_tcb_order(&p->reported, &p->current, "reported", product, why);
}

/* -- the certificate --------------------------------------------------------------------- */

struct vek {
    bool is_vlek;
    enum sm_snp_product product;
    uint8_t tcb[SM_SNP_PARTS];
    struct sm_view hw_id; /* empty in a VLEK */
};

/* A DER INTEGER of 0 to 255: one byte, or two when the first bit is set. */
static enum sm_err spl_read(const struct sm_cert *c, const char *oid, uint8_t *out)
{
    struct sm_view v;
    SM_TRY(sm_cert_ext(c, oid, &v));
    bool is_one = v.n == 3 && v.p[0] == 2 && v.p[1] == 1 && v.p[2] < 0x80;
    bool is_two = v.n == 4 && v.p[0] == 2 && v.p[1] == 2 && v.p[2] == 0 && v.p[3] >= 0x80;
    if (!is_one && !is_two) {
        return SM_E_MALFORMED;
    }
    *out = v.p[v.n - 1];
    return SM_OK;
}

/* "Milan-B0", "Genoa", "Turin" as an IA5String: the stepping behind the hyphen is ours to
 * ignore. */
static enum sm_err product_read(const struct sm_cert *c, enum sm_snp_product *out)
{
    static const char *const names[SM_SNP_PRODUCTS] = {"Milan", "Genoa", "Turin"};
    struct sm_view v;
    SM_TRY(sm_cert_ext(c, AMD "2", &v));
    if (v.n < 2 || v.p[0] != 0x16 || v.p[1] != v.n - 2) {
        return SM_E_MALFORMED;
    }
    struct sm_view text = sm_view_sub(v, 2, v.n - 2);
    const uint8_t *hyphen = memchr(text.p, '-', text.n);
    text.n = hyphen == NULL ? text.n : (size_t)(hyphen - text.p);
    for (size_t i = 0; i < SM_COUNT(names); i++) {
        if (sm_view_eq(text, sm_view_str(names[i]))) {
            *out = (enum sm_snp_product)i;
            return SM_OK;
        }
    }
    return SM_E_UNSUPPORTED;
}

/* Security levels of parts this product does not have: absent, or 0. */
static enum sm_err spare_spls_check(const struct sm_cert *c)
{
    static const char *const spare[] = {AMD "3.4", AMD "3.5", AMD "3.6", AMD "3.7"};
    for (size_t i = 0; i < SM_COUNT(spare); i++) {
        uint8_t v = 0;
        enum sm_err e = spl_read(c, spare[i], &v);
        if ((e != SM_OK && e != SM_E_NOTFOUND) || v != 0) {
            return SM_E_UNSUPPORTED;
        }
    }
    return SM_OK;
}

static enum sm_err hw_id_read(const struct sm_cert *c, struct vek *v)
{
    size_t want = v->product == SM_SNP_TURIN ? HW_ID_TURIN : CHIP_ID_N;
    enum sm_err e = sm_cert_ext(c, AMD "4", &v->hw_id);
    if (v->is_vlek) {
        return e == SM_E_NOTFOUND ? SM_OK : SM_E_MALFORMED;
    }
    SM_TRY(e);
    return v->hw_id.n == want && !is_zero(v->hw_id) ? SM_OK : SM_E_MALFORMED;
}

static enum sm_err vek_read(const struct sm_cert *c, struct vek *out)
{
    char cn[SM_CN_MAX];
    struct vek v = {0};
    SM_TRY(sm_cert_subject_cn(c, cn));
    v.is_vlek = strcmp(cn, "SEV-VLEK") == 0;
    if (!v.is_vlek && strcmp(cn, "SEV-VCEK") != 0) {
        return SM_E_UNSUPPORTED;
    }
    SM_TRY(product_read(c, &v.product));
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        enum sm_err e = spl_read(c, part_oid[i], &v.tcb[i]);
        bool is_had = tcb_byte[v.product][i] >= 0;
        if (is_had ? e != SM_OK : e != SM_E_NOTFOUND && (e != SM_OK || v.tcb[i] != 0)) {
            return SM_E_MALFORMED;
        }
    }
    SM_TRY(spare_spls_check(c));
    SM_TRY(hw_id_read(c, &v));
    *out = v;
    return SM_OK;
}

/* The intermediate's name says what it may sign: chips' keys, or clouds'. */
static void check_issuer(const struct sm_cert *vek, const struct vek *v, struct sm_reasons *why)
{
    static const char *const products[SM_SNP_PRODUCTS] = {"Milan", "Genoa", "Turin"};
    char want[SM_CN_MAX], got[SM_CN_MAX] = "";
    (void)snprintf(want, sizeof want, "SEV-%s%s", v->is_vlek ? "VLEK-" : "",
                   products[v->product]);
    if (sm_cert_issuer_cn(vek, got) != SM_OK || strcmp(got, want) != 0) {
        sm_reasons_add(why, SM_REASON_CHAIN, "issuer", got, want);
    }
}

/* -- report against certificate ---------------------------------------------------------- */

static bool is_cpu_of(const struct report *p, enum sm_snp_product product)
{
    switch (product) {
    case SM_SNP_MILAN:
        return p->family == 0x19 && p->model <= 0x0f;
    case SM_SNP_GENOA: /* with Bergamo and Siena */
        return p->family == 0x19 && ((p->model >= 0x10 && p->model <= 0x1f) ||
                                     (p->model >= 0xa0 && p->model <= 0xaf));
    case SM_SNP_TURIN:
        return p->family == 0x1a && p->model <= 0x1f;
    case SM_SNP_PRODUCTS:
        break;
    }
    return false;
}

static void check_identity(const struct report *p, const struct vek *v, struct sm_reasons *why)
{
    if (v->is_vlek != (signer_of(p) == SIGNER_VLEK)) {
        sm_reasons_add(why, SM_REASON_IDENTITY, "signing_key", v->is_vlek ? "vcek" : "vlek",
                       v->is_vlek ? "vlek, as the certificate" : "vcek, as the certificate");
    }
    struct sm_view front = sm_view_sub(p->chip_id, 0, v->hw_id.n);
    struct sm_view behind = sm_view_sub(p->chip_id, v->hw_id.n, CHIP_ID_N);
    if (!v->is_vlek && !is_zero(p->chip_id) &&
        (!sm_view_eq(front, v->hw_id) || !is_zero(behind))) {
        sm_reasons_add_hex(why, SM_REASON_IDENTITY, "chip_id", p->chip_id, v->hw_id);
    }
    if (p->version >= 3 && !is_cpu_of(p, v->product)) {
        char got[32];
        (void)snprintf(got, sizeof got, "family %02x model %02x", p->family, p->model);
        sm_reasons_add(why, SM_REASON_IDENTITY, "cpuid", got, sm_snp_product_name(v->product));
    }
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        uint8_t got = tcb_part(&p->reported, v->product, i);
        if (got != v->tcb[i]) {
            sm_reasons_add_u64(why, SM_REASON_TCB, part_name[i], got, "as the certificate,",
                               v->tcb[i]);
        }
    }
}

static void reverse(const uint8_t *in, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = in[n - 1 - i];
    }
}

static enum sm_err check_signature(struct sm_view bytes, const struct report *p,
                                   const struct sm_cert *vek, struct sm_reasons *why)
{
    uint8_t rs[2 * SIG_FIELD];
    struct sm_pub *key = NULL;
    struct sm_view r = sm_view_sub(p->sig, 0, SIG_PART);
    struct sm_view s = sm_view_sub(p->sig, SIG_PART, SIG_PART);
    if (!is_zero(sm_view_sub(r, SIG_FIELD, SIG_PART)) ||
        !is_zero(sm_view_sub(s, SIG_FIELD, SIG_PART)) ||
        !is_zero(sm_view_sub(p->sig, (size_t)2 * SIG_PART, p->sig.n))) {
        sm_reasons_add(why, SM_REASON_SIGNATURE, "signature", "longer than its numbers",
                       "zeros behind 48 bytes");
        return SM_E_CRYPTO;
    }
    reverse(r.p, rs, SIG_FIELD);
    reverse(s.p, rs + SIG_FIELD, SIG_FIELD);
    enum sm_err e = sm_pub_of_cert(vek, &key);
    if (e == SM_OK && !sm_pub_is_curve(key, SM_P384)) {
        e = SM_E_CRYPTO;
    }
    if (e == SM_OK) {
        e = sm_pub_verify(key, SM_DIGEST_SHA384, sm_view_sub(bytes, 0, SIGNED),
                          sm_view_of(rs, sizeof rs));
    }
    sm_pub_free(key);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_SIGNATURE, "signature", "not by this certificate's key",
                       "by the VEK");
    }
    return e;
}

/* -- all together ------------------------------------------------------------------------ */

struct staple {
    struct sm_chain chain; /* VEK, ASK or ASVK, and perhaps ARK */
    struct sm_crl *crl;
};

static void staple_done(struct staple *s)
{
    sm_chain_done(&s->chain);
    sm_crl_free(s->crl);
}

static enum sm_err staple_read(const struct sm_snp_evidence *ev, struct staple *s,
                               struct sm_reasons *why)
{
    enum sm_err e = sm_chain_add(&s->chain, ev->vek);
    if (e == SM_OK && s->chain.n != 1) {
        e = SM_E_MALFORMED;
    }
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_CHAIN, "vek", sm_err_words(e), "one certificate");
        return e;
    }
    if (ev->chain.n > 0) {
        e = sm_chain_add(&s->chain, ev->chain);
        if (e != SM_OK) {
            sm_reasons_add(why, SM_REASON_CHAIN, "chain", sm_err_words(e), "certificates");
            return e;
        }
    }
    e = ev->crl.n == 0 ? SM_OK : sm_crl_read(ev->crl, &s->crl);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, "crl", sm_err_words(e), "a revocation list");
    }
    return e;
}

static enum sm_err check_chain(const struct staple *s, const struct vek *v,
                               const struct sm_makers *trust, struct sm_wall now,
                               struct sm_wall *not_after, struct sm_reasons *why)
{
    static const enum sm_root roots[SM_SNP_PRODUCTS] = {SM_ROOT_AMD_MILAN, SM_ROOT_AMD_GENOA,
                                                        SM_ROOT_AMD_TURIN};
    const struct sm_crl *crls[1] = {s->crl};
    struct sm_chain_rules rules = {
        .is_pss = true, .skew_s = SM_RECORD_SKEW_S, .cache = trust->cache};
    if (s->chain.n < 2 || s->chain.n > 3) {
        sm_reasons_add_u64(why, SM_REASON_CHAIN, "certificates", s->chain.n, "2 or", 3);
        return SM_E_CRYPTO;
    }
    check_issuer(s->chain.c[0], v, why);
    return sm_chain_verify(&s->chain, trust->root[roots[v->product]], crls, s->crl != NULL,
                           &rules, now, not_after, why);
}

static uint8_t put(uint8_t *dst, struct sm_view v)
{
    memcpy(dst, v.p, v.n);
    return (uint8_t)v.n;
}

static void claim_tcbs(const struct report *p, const struct vek *v, struct sm_claims *c)
{
    for (size_t i = 0; i < SM_SNP_PARTS; i++) {
        c->tcb_parts[i] = v->tcb[i];
        c->snp.launch_tcb[i] = tcb_part(&p->launch, v->product, i);
    }
}

/* Who it is: as the certificate says, or, where a cloud's key signs, as the firmware does. */
static void claim_identity(const struct report *p, const struct vek *v, struct sm_claims *c)
{
    c->snp.is_chip_masked = is_zero(p->chip_id);
    if (!v->is_vlek) {
        (void)put(c->platform_id, v->hw_id);
        c->platform_id_n = CHIP_ID_N;
    } else if (!c->snp.is_chip_masked) {
        c->platform_id_n = put(c->platform_id, p->chip_id);
    }
}

static void claim(const struct report *p, const struct vek *v, struct sm_claims *c)
{
    c->platform = SM_PLATFORM_SNP;
    c->profile = (uint8_t)p->version;
    c->is_hw_rooted = true;
    c->is_debug = (p->policy & POLICY_DEBUG) != 0;
    c->is_migratable = (p->policy & POLICY_MIGRATE) != 0;
    c->measurement_n = put(c->measurement, p->measurement);
    c->report_data_n = put(c->report_data, p->report_data);
    c->host_data_n = put(c->host_data, p->host_data);
    if (!is_zero(p->id_key)) {
        c->signer_n = put(c->signer, p->id_key);
    }
    c->svn = p->guest_svn;
    c->snp.product = v->product;
    c->snp.vmpl = p->vmpl;
    c->snp.policy = p->policy;
    c->snp.platform_info = p->platform_info;
    c->snp.abi_minor = p->committed_abi[1];
    c->snp.abi_major = p->committed_abi[2];
    c->snp.is_vlek = v->is_vlek;
    c->snp.has_author = (p->key_info & 1u) != 0;
    (void)put(c->snp.image_id, p->image_id);
    (void)put(c->snp.family_id, p->family_id);
    claim_tcbs(p, v, c);
    claim_identity(p, v, c);
}

/* Every check that can be made once report and certificates can be read. */
static enum sm_err check_all(const struct sm_snp_evidence *ev, const struct report *p,
                             const struct staple *s, const struct sm_makers *trust,
                             struct sm_wall now, struct sm_claims *c, struct sm_reasons *why)
{
    struct vek v;
    struct sm_wall not_after = {0};
    enum sm_err e = vek_read(s->chain.c[0], &v);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_CHAIN, "vek", sm_err_words(e), "AMD's extensions");
        return e;
    }
    enum sm_err chain = check_chain(s, &v, trust, now, &not_after, why);
    enum sm_err sig = check_signature(ev->report, p, s->chain.c[0], why);
    check_identity(p, &v, why);
    check_tcbs(p, v.product, why);
    SM_TRY(chain);
    SM_TRY(sig);
    if (why->n > 0) {
        return SM_E_CRYPTO;
    }
    claim(p, &v, c);
    c->not_after = not_after;
    c->has_crl = s->crl != NULL;
    return SM_OK;
}

enum sm_err sm_snp_verify(const struct sm_snp_evidence *ev, const struct sm_makers *trust,
                          struct sm_wall now, struct sm_claims *out, struct sm_reasons *why)
{
    struct report p;
    struct staple s = {0};
    struct sm_claims c = {0};
    *why = (struct sm_reasons){0};
    enum sm_err e =
        ev->report.n == SM_SNP_REPORT ? report_read(ev->report, &p) : SM_E_MALFORMED;
    if (e != SM_OK) {
        sm_reasons_add_u64(why, SM_REASON_GRAMMAR, "report bytes", ev->report.n, "",
                           SM_SNP_REPORT);
        return e;
    }
    SM_TRY(check_form(&p, why));
    e = staple_read(ev, &s, why);
    if (e == SM_OK) {
        e = check_all(ev, &p, &s, trust, now, &c, why);
    }
    staple_done(&s);
    SM_TRY(e);
    *out = c;
    return SM_OK;
}

/* -- the kernel's table ------------------------------------------------------------------ */

/* GUIDs are in the order in which they are written, as libuuid has them. */
static const char guid_vcek[] = "63da758de6644564adc5f4b93be8accd";
static const char guid_vlek[] = "a8074bc2a25a483eaae639c045a0b8a1";
static const char guid_ask[] = "4ab7b379bbac4fe4a02f05aef327c782";
static const char guid_crl[] = "92f81bc358114d3d97ffd19f88dc67ea";

static bool is_guid(struct sm_view got, const char *want)
{
    char hex[33];
    sm_hex(got.p, 16, hex);
    return strcmp(hex, want) == 0;
}

/* Fill in the first of each kind. */
static void cert_take(struct sm_view guid, struct sm_view cert, struct sm_snp_evidence *ev)
{
    struct sm_view *slot = is_guid(guid, guid_vcek) || is_guid(guid, guid_vlek) ? &ev->vek
                           : is_guid(guid, guid_ask)                            ? &ev->chain
                           : is_guid(guid, guid_crl)                            ? &ev->crl
                                                                                : NULL;
    if (slot != NULL && slot->n == 0) {
        *slot = cert;
    }
}

enum sm_err sm_snp_certs_read(struct sm_view table, struct sm_snp_evidence *ev)
{
    struct sm_rd r = sm_rd_init(table);
    struct sm_snp_evidence found = {.report = ev->report};
    for (size_t i = 0;; i++) {
        struct sm_view guid = sm_rd_view(&r, 16);
        uint32_t at = sm_rd_u32(&r);
        uint32_t n = sm_rd_u32(&r);
        if (r.failed) {
            return SM_E_TRUNCATED;
        }
        if (is_zero(guid)) {
            break;
        }
        if (i == CERT_ENTRIES) {
            return SM_E_LIMIT;
        }
        if (at > table.n || n > table.n - at) {
            return SM_E_MALFORMED;
        }
        cert_take(guid, sm_view_sub(table, at, n), &found);
    }
    if (found.vek.n == 0) {
        return SM_E_NOTFOUND;
    }
    *ev = found;
    return SM_OK;
}
