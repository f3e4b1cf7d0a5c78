// SPDX-License-Identifier: Apache-2.0
/* TPM quotes: a cloud's, certified and with its event log; keylime's; and forgeries. */
#include "attest/tpm.h"

#include "evidence_kit.h"

#define AS_OF 1735689600u

static struct kit_file quote, sig, ak_public, ak_chain, root, event_log;
static struct sm_tpm_pcrs pcrs;
static struct sm_claims claims;
static struct sm_reasons why;
static const uint8_t nonce[] = {0x90, 0x09};

/* Lines of "INDEX HEX". */
static void load_pcrs(const char *name)
{
    struct kit_file text;
    kit_load(name, &text);
    text.b[text.n] = '\0';
    pcrs = (struct sm_tpm_pcrs){.bank = SM_TPM_SHA256};
    for (char *save, *line = strtok_r((char *)text.b, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *hex;
        unsigned long i = strtoul(line, &hex, 10);
        T_TRUE(i < SM_TPM_PCRS && *hex == ' ');
        T_OK(sm_unhex(hex + 1, strlen(hex + 1), pcrs.value[i], 32));
        pcrs.mask |= 1u << i;
    }
}

static void load_gce(void)
{
    struct kit_file above;
    kit_load("tpm/gce-cos85/attest.msg", &quote);
    kit_load("tpm/gce-cos85/attest.sig", &sig);
    kit_load("tpm/gce-cos85/ak_pub.tpmt", &ak_public);
    kit_load("tpm/gce-cos85/ak_cert.der", &ak_chain);
    kit_load("tpm/gce-cos85/ek_intermediate.crt", &above);
    memcpy(ak_chain.b + ak_chain.n, above.b, above.n);
    ak_chain.n += above.n;
    kit_load("tpm/gce-cos85/ek_root.cer", &root);
    kit_load("tpm/gce-cos85/eventlog.bin", &event_log);
    load_pcrs("tpm/gce-cos85/pcrs.txt");
}

static enum sm_err verify_with(struct sm_view extra, struct sm_wall now)
{
    struct sm_makers trust = {.tpm = {kit_view(&root)}, .n_tpm = 1};
    struct sm_tpm_evidence ev = {.quote = kit_view(&quote),
                                 .sig = kit_view(&sig),
                                 .ak_public = kit_view(&ak_public),
                                 .ak_chain = kit_view(&ak_chain),
                                 .pcrs = &pcrs,
                                 .log = kit_view(&event_log)};
    why = (struct sm_reasons){0};
    return sm_tpm_verify(&ev, extra, &trust, now, &claims, &why);
}

static enum sm_err verify(void)
{
    return verify_with(sm_view_of(nonce, sizeof nonce), (struct sm_wall){AS_OF});
}

static bool accepts(void *ctx)
{
    (void)ctx;
    return verify() == SM_OK;
}

static void expect_reason(uint16_t code)
{
    T_TRUE(verify() != SM_OK);
    T_EQ(why.n, 1);
    T_EQ(why.r[0].code, code);
}

/* -- genuine ----------------------------------------------------------------------------- */

static void a_certified_quote_is_what_it_says(void)
{
    load_gce();
    T_OK(verify());
    T_EQ(claims.platform, SM_PLATFORM_TPM);
    T_EQ(claims.regs_mask, 0xffffff);
    T_EQ(claims.regs_replayed, 0x3ff); /* PCR 10 is the kernel's, which has a log of its own */
    T_EQ(claims.measurement_n, 0);
    T_EQ(claims.platform_id_n, 32);
    T_MEM(claims.report_data, claims.report_data_n, nonce, 2);
}

static void a_quote_of_the_tools_is_good(void)
{
    static const char extra[] = "db1db298db6d60e6385b7231743e9c3056a18003";
    struct sm_tpm_key key;
    struct sm_tpm_quote q;
    uint8_t want[20];
    struct kit_file ak;
    kit_load("tpm/keylime-rsa/quote.out", &quote);
    kit_load("tpm/keylime-rsa/quotesig.out", &sig);
    kit_load("tpm/keylime-rsa/akpub.pem", &ak);
    T_OK(sm_unhex(extra, 40, want, 20));
    pcrs = (struct sm_tpm_pcrs){.bank = SM_TPM_SHA256, .mask = 1u << 15 | 1u << 16 | 1u << 22};
    T_OK(sm_unhex("9dbb22387e019c04da95477333546082ce313152c4a7f8a6e1d5f0c77f4fb6f0", 64,
                  pcrs.value[16], 32));
    memset(pcrs.value[22], 0xff, 32);
    T_OK(sm_tpm_key_spki(kit_view(&ak), &key));
    T_OK(sm_tpm_quote_verify(&key, kit_view(&quote), kit_view(&sig), SM_TPM_SIG_TPMT,
                             sm_view_of(want, 20), &pcrs, &q, &why));
    T_EQ(q.mask, pcrs.mask);
    kit_load("tpm/keylime-rsa/ak.pub", &ak); /* TPM2B_PUBLIC: a length, then the area */
    struct sm_tpm_public pub;
    T_OK(sm_tpm_public_read(sm_view_of(ak.b + 2, ak.n - 2), &pub));
    T_MEM(&pub.key, sizeof key, &key, sizeof key);
    kit_load("tpm/keylime-rsa/ak.name", &ak);
    T_MEM(pub.name, pub.name_n, ak.b, ak.n);
}

/* -- forgeries --------------------------------------------------------------------------- */

static void another_nonce_or_none_is_refused(void)
{
    static const uint8_t other[] = {0x90, 0x08}, longer[] = {0x90, 0x09, 0x00};
    struct sm_wall now = {AS_OF};
    load_gce();
    T_ERR(verify_with(sm_view_of(other, 2), now), SM_E_REFUSED);
    T_ERR(verify_with(sm_view_of(longer, 3), now), SM_E_REFUSED);
    T_ERR(verify_with(sm_view_of(longer, 1), now), SM_E_REFUSED);
    T_ERR(verify_with((struct sm_view){0}, now), SM_E_REFUSED);
}

static void other_registers_are_refused(void)
{
    load_gce();
    pcrs.value[7][0] ^= 1;
    expect_reason(SM_REASON_REGISTERS);
    load_gce();
    pcrs.mask &= ~(1u << 11);
    expect_reason(SM_REASON_REGISTERS);
    load_gce();
    pcrs.bank = SM_TPM_SHA384;
    expect_reason(SM_REASON_REGISTERS);
    load_gce();
    pcrs.bank = 0x0004; /* SHA-1 */
    expect_reason(SM_REASON_UNSUPPORTED);
}

static void a_sha1_signature_is_refused(void)
{
    load_gce();
    sig.b[3] = 0x04;
    expect_reason(SM_REASON_UNSUPPORTED);
}

/* A TPM signs other structures too, and with an unrestricted key anything at all. */
static void what_is_no_quote_is_refused(void)
{
    load_gce();
    quote.b[5] = 0x17; /* TPM_ST_ATTEST_CERTIFY */
    expect_reason(SM_REASON_GRAMMAR);
    load_gce();
    quote.b[0] = 0;
    expect_reason(SM_REASON_GRAMMAR);
}

static void a_key_that_signs_anything_is_refused(void)
{
    static const struct {
        size_t at;
        uint8_t bit;
    } flips[] = {{7, 0x02}, {7, 0x10}, {7, 0x20}, {5, 0x01}, {5, 0x04}, {5, 0x02}};
    for (size_t i = 0; i < SM_COUNT(flips); i++) {
        load_gce();
        ak_public.b[flips[i].at] ^= flips[i].bit;
        expect_reason(SM_REASON_FLAGS);
    }
}

static void a_certificate_of_another_key_is_refused(void)
{
    load_gce();
    ak_public.b[40] ^= 1;
    T_TRUE(verify() != SM_OK);
    T_EQ(why.r[0].code, SM_REASON_IDENTITY);
    load_gce();
    kit_load("ca/aws_nitro_root_g1.pem", &root);
    T_TRUE(verify() != SM_OK);
    load_gce();
    T_TRUE(verify_with(sm_view_of(nonce, 2), (struct sm_wall){4102444800}) != SM_OK);
    T_EQ(why.r[0].code, SM_REASON_EXPIRED);
}

/* -- event log --------------------------------------------------------------------------- */

static enum sm_err replay(uint32_t *mask)
{
    why = (struct sm_reasons){0};
    return sm_tpm_log_replay(kit_view(&event_log), &pcrs, mask, &why);
}

/* The header of a log with one algorithm, then events onto PCR 0. */
static void log_begin(struct sm_wr *w)
{
    static const uint8_t zeros[20];
    sm_wr_u32(w, 0);
    sm_wr_u32(w, 3);
    sm_wr_bytes(w, zeros, sizeof zeros);
    size_t at = sm_wr_reserve_u32(w);
    sm_wr_bytes(w, "Spec ID Event03", 16);
    sm_wr_u64(w, UINT64_C(0x0200020000000000));
    sm_wr_u32(w, 1);
    sm_wr_u16(w, SM_TPM_SHA256);
    sm_wr_u16(w, 32);
    sm_wr_u8(w, 0);
    sm_wr_fill_u32(w, at);
}

static void log_event(struct sm_wr *w, uint32_t type, uint8_t fill, struct sm_view data)
{
    uint8_t digest[32];
    memset(digest, fill, sizeof digest);
    sm_wr_u32(w, 0);
    sm_wr_u32(w, type);
    sm_wr_u32(w, 1);
    sm_wr_u16(w, SM_TPM_SHA256);
    sm_wr_bytes(w, digest, sizeof digest);
    sm_wr_blob(w, data);
}

/* Values from hashlib: sha256(bytes(31) + locality + bytes([1] * 32)). */
static void the_locality_of_the_start_is_in_register_0(void)
{
    static const struct sm_view locality = {(const uint8_t *)"StartupLocality\0\3", 17};
    struct sm_wr w = sm_wr_init(event_log.b, sizeof event_log.b);
    uint32_t mask = 0;
    pcrs = (struct sm_tpm_pcrs){.bank = SM_TPM_SHA256, .mask = 1};
    T_OK(sm_unhex("5c85955f709283ecce2b74f1b1552918819f390911816e7bb466805a38ab87f3", 64,
                  pcrs.value[0], 32));
    log_begin(&w);
    log_event(&w, 8, 1, sm_view_str("x"));
    event_log.n = w.n;
    T_OK(replay(&mask));
    T_EQ(mask, 1);
    log_event(&w, 3, 0, locality); /* too late */
    event_log.n = w.n;
    T_TRUE(replay(&mask) != SM_OK);
    w = sm_wr_init(event_log.b, sizeof event_log.b);
    log_begin(&w);
    log_event(&w, 3, 0, locality);
    log_event(&w, 8, 1, sm_view_str("x"));
    event_log.n = w.n;
    T_ERR(replay(&mask), SM_E_CRYPTO);
    T_EQ(why.r[0].code, SM_REASON_LOG);
    T_OK(sm_unhex("c4b53db2451179ae484ec21b86db445789df9d50929e807e35edcf440c9277fe", 64,
                  pcrs.value[0], 32));
    T_OK(replay(&mask));
}

static void a_log_without_the_bank_is_refused(void)
{
    uint32_t mask = 0;
    load_gce();
    pcrs.bank = SM_TPM_SHA512;
    T_TRUE(replay(&mask) != SM_OK);
    pcrs.bank = 0x0004;
    T_ERR(replay(&mask), SM_E_UNSUPPORTED);
}

/* -- mutation ---------------------------------------------------------------------------- */

/* Of a public area the certificate repeats the key alone.  Who may use it is the TPM's affair,
 * and no claim is made of it. */
static bool is_unvouched(const struct kit_file *f, size_t at)
{
    (void)f;
    return at == 6 || at == 7;
}

static void no_byte_of_a_quote_can_change(void)
{
    load_gce();
    T_EQ(kit_sweep(&quote, 1, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&sig, 3, accepts, NULL, NULL), 0);
    T_EQ(kit_sweep(&ak_public, 1, accepts, is_unvouched, NULL), 0);
    T_EQ(kit_cut(&ak_public, 3, accepts, NULL), 0);
    T_EQ(kit_cut(&quote, 1, accepts, NULL), 0);
    T_EQ(kit_cut(&sig, 3, accepts, NULL), 0);
    T_EQ(kit_sweep(&ak_chain, 31, accepts, NULL, NULL), 0);
    T_EQ(kit_cut(&ak_chain, 31, accepts, NULL), 0);
}

/* Of a log only structure, register, kind and our digest count; what an event says, and the
 * digests of other banks, prove nothing, and nobody here looks at them. */
static uint8_t counts[KIT_MAX];

static void mark(size_t at, size_t n)
{
    memset(counts + at, 1, n);
}

static uint32_t le32_at(size_t at)
{
    return sm_le32(event_log.b + at);
}

static void mark_event(size_t *at)
{
    size_t p = *at;
    bool is_action = le32_at(p + 4) != 3;
    mark(p + 8, 4); /* count */
    mark(p, is_action ? 4 : 0);
    p += 12;
    for (uint32_t i = 0; i < le32_at(*at + 8); i++) {
        uint16_t alg = (uint16_t)(event_log.b[p] | event_log.b[p + 1] << 8);
        size_t n = alg == 4 ? 20 : alg == SM_TPM_SHA256 ? 32 : 48;
        mark(p, 2);
        mark(p + 2, is_action && alg == SM_TPM_SHA256 ? n : 0);
        p += 2 + n;
    }
    mark(p, 4);
    *at = p + 4 + le32_at(p);
}

static bool is_no_matter(const struct kit_file *f, size_t at)
{
    (void)f;
    return counts[at] == 0;
}

static bool replays(void *ctx)
{
    uint32_t *want = ctx, mask = 0;
    return replay(&mask) == SM_OK && mask == *want;
}

static void no_byte_of_a_log_that_counts_can_change(void)
{
    uint32_t whole = 0;
    load_gce();
    T_OK(replay(&whole));
    memset(counts, 0, sizeof counts);
    mark(0, 32 + 16);      /* the first event up to its name */
    mark(32 + 24, 4 + 12); /* algorithms */
    for (size_t at = 32 + 41; at < event_log.n;) {
        mark_event(&at);
    }
    T_EQ(kit_sweep(&event_log, 17, replays, is_no_matter, &whole), 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_certified_quote_is_what_it_says),
        T_CASE(a_quote_of_the_tools_is_good),
        T_CASE(another_nonce_or_none_is_refused),
        T_CASE(other_registers_are_refused),
        T_CASE(a_sha1_signature_is_refused),
        T_CASE(what_is_no_quote_is_refused),
        T_CASE(a_key_that_signs_anything_is_refused),
        T_CASE(a_certificate_of_another_key_is_refused),
        T_CASE(the_locality_of_the_start_is_in_register_0),
        T_CASE(a_log_without_the_bank_is_refused),
        T_CASE(no_byte_of_a_quote_can_change),
        T_CASE(no_byte_of_a_log_that_counts_can_change),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
