// SPDX-License-Identifier: Apache-2.0
/* A node with a TPM, from nothing to evidence that its peers take: and what they do not take.
 */
#include "tpm_kit.h"

#include "attest/envelope.h"
#include "attest/follow.h"
#include "attest/hardware.h"
#include "attest/reason.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/identity.h"
#include "proc/provider_tpm.h"
#include "proc/sealed.h"
#include "proc/tpm_enrol.h"
#include "wire/frame.h"

#define PCRS (1u << 0 | 1u << 7 | 1u << 14)

static struct {
    char dir[SM_PATH], home[SM_PATH];
    struct sm_tpm_node node;
    struct sm_sign_pair root;
    struct sm_anchor anchor;
    struct sm_tpm_makers makers;
    struct sm_tpm_endorser by;
    struct sm_tpm_endorsed endorsed;
    struct sm_buf request, reply;
    char why[SM_TPM_ENROL_WHY];
} w;

static const uint8_t digest_a[SM_TPMDEV_HASH] = {0xd1, 0x9e};

#define T_WHY(expr)                                                                            \
    do {                                                                                       \
        enum sm_err t_err_ = (expr);                                                           \
        if (t_err_ != SM_OK) {                                                                 \
            t_fail(__FILE__, __LINE__, "%s gave %s: %s", #expr, sm_err_name(t_err_), w.why);   \
        }                                                                                      \
    } while (0)

/* The TPM has one client at a time: hand it to what opens it by its name. */
static void let_go(void)
{
    sm_tpmdev_close(tpm_kit.dev);
    tpm_kit.dev = NULL;
}

static void extend(unsigned pcr)
{
    T_OK(sm_tpmdev_open(tpm_kit.tcti, &tpm_kit.dev, tpm_kit.why));
    T_TPM(sm_tpmdev_extend(tpm_kit.dev, pcr, digest_a));
    let_go();
}

static void read_makers(void)
{
    char a[SM_PATH], b[SM_PATH], both[SM_PATH], command[4 * SM_PATH];
    T_OK(sm_path_join(tpm_kit.ca, "swtpm-localca-rootca-cert.pem", a));
    T_OK(sm_path_join(tpm_kit.ca, "issuercert.pem", b));
    T_OK(sm_path_join(tpm_kit.ca, "makers.pem", both));
    snprintf(command, sizeof command, "cat '%s' '%s' > '%s'", a, b, both);
    T_EQ(system(command), 0);
    sm_tpm_makers_done(&w.makers);
    T_OK(sm_tpm_makers_load(both, &w.makers));
    T_EQ(w.makers.trust.n_tpm, 2);
}

static void world(enum sm_env env)
{
    static unsigned homes;
    char name[32];
    (void)tpm_kit_boot();
    let_go();
    snprintf(name, sizeof name, "home%u", homes++);
    T_OK(sm_path_join(tpm_kit.dir, name, w.home));
    T_OK(sm_path_join(w.home, "keys", w.dir));
    T_OK(sm_dir_make(w.dir, 0700));
    w.node = (struct sm_tpm_node){.dir = w.dir, .device = tpm_kit.tcti};
    T_OK(sm_random_bytes(w.root.seed.b, 32));
    sm_suite_real()->sign_pub(&w.root.seed, &w.root.pub);
    T_OK(sm_anchor_make(env, "mesh", (const uint8_t(*)[32])w.root.pub.b, 1, &w.anchor));
    read_makers();
    struct sm_wall now = sm_clock_wall();
    w.by = (struct sm_tpm_endorser){.suite = sm_suite_real(),
                                    .root = &w.root,
                                    .anchor = &w.anchor,
                                    .makers = &w.makers.trust,
                                    .now = now,
                                    .expires = {now.s + 86400},
                                    .indexes = 1};
    w.request.max = SM_TPM_REQUEST_MAX;
    w.reply.max = SM_TPM_REPLY_MAX;
}

static enum sm_err endorse(void)
{
    return sm_tpm_request_endorse(&w.by, sm_buf_view(&w.request), &w.reply, &w.endorsed, w.why);
}

static void enrol(void)
{
    world(SM_ENV_DEV);
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, false, w.why));
    T_WHY(sm_tpm_request_make(&w.node, &w.anchor, &w.request, w.why));
    T_WHY(endorse());
    T_WHY(sm_tpm_reply_take(&w.node, sm_buf_view(&w.reply), w.why));
}

static enum sm_err load(struct sm_identity *out)
{
    const struct sm_identity_at at = {w.home, SM_PLATFORM_TPM, tpm_kit.tcti};
    return sm_identity_load(sm_suite_real(), &w.anchor, sm_clock_wall(), &at, out, w.why);
}

/* -- enrolment --------------------------------------------------------------------------- */

static void a_node_enrols_and_is_who_its_tpm_is(void)
{
    struct sm_identity id, again;
    enrol();
    T_TRUE(w.endorsed.is_software);
    T_WHY(load(&id));
    T_MEM(id.platform_id, 32, w.endorsed.endorsement.platform_id, 32);
    T_MEM(id.shown_id, 32, w.endorsed.endorsement.shown_id, 32);
    T_TRUE(memcmp(id.platform_id, id.shown_id, 32) != 0);

    /* Made anew on the same TPM, it has new keys and the same id. */
    char first[SM_PATH];
    memcpy(first, w.dir, sizeof first);
    struct sm_anchor anchor = w.anchor;
    struct sm_sign_pair root = w.root;
    world(SM_ENV_DEV);
    w.anchor = anchor;
    w.root = root;
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, false, w.why));
    T_WHY(sm_tpm_request_make(&w.node, &w.anchor, &w.request, w.why));
    T_WHY(endorse());
    T_WHY(sm_tpm_reply_take(&w.node, sm_buf_view(&w.reply), w.why));
    T_WHY(load(&again));
    T_MEM(again.node_id.b, 32, id.node_id.b, 32);
    T_TRUE(memcmp(again.key->pub.b, id.key->pub.b, 32) != 0);
    sm_identity_done(&id);
    sm_identity_done(&again);
}

static void an_answer_opens_only_in_the_tpm_it_is_for(void)
{
    enrol();
    /* Another attestation key of the same TPM. */
    char ak[SM_PATH];
    T_OK(sm_path_join(w.dir, SM_TPM_AK_FILE, ak));
    T_EQ(unlink(ak), 0);
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, false, w.why));
    T_ERR(sm_tpm_reply_take(&w.node, sm_buf_view(&w.reply), w.why), SM_E_CRYPTO);
    T_TRUE(strstr(w.why, "not for this TPM") != NULL);
    /* Another TPM. */
    (void)tpm_kit_replace();
    let_go();
    T_EQ(unlink(ak), 0);
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, true, w.why));
    T_ERR(sm_tpm_reply_take(&w.node, sm_buf_view(&w.reply), w.why), SM_E_CRYPTO);
    T_TRUE(strstr(w.why, "another EK") != NULL);
    T_ERR(sm_tpm_reply_take(&w.node, sm_view_str("?"), w.why), SM_E_MALFORMED);
}

static void a_software_tpm_is_for_development_only(void)
{
    world(SM_ENV_PROD);
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, false, w.why));
    T_WHY(sm_tpm_request_make(&w.node, &w.anchor, &w.request, w.why));
    T_ERR(endorse(), SM_E_REFUSED);
    T_TRUE(strstr(w.why, "software TPM") != NULL);
}

static void a_tpm_of_an_unknown_maker_is_not_endorsed(void)
{
    static const struct sm_makers none;
    enrol();
    w.by.makers = &none;
    T_ERR(endorse(), SM_E_CRYPTO);
    T_TRUE(strstr(w.why, "swtpm-localca") != NULL);
}

/* Each byte of a request matters, but those of the log, which may be left out. */
static void a_request_that_was_changed_is_refused(void)
{
    enrol();
    for (size_t i = 0; i < w.request.n; i += 1 + i % 7) {
        w.request.p[i] ^= 1;
        if (endorse() == SM_OK) {
            t_fail(__FILE__, __LINE__, "byte %zu of %zu does not matter", i, w.request.n);
        }
        w.request.p[i] ^= 1;
    }
    T_WHY(endorse());
    T_TRUE(sm_tpm_is_request(sm_buf_view(&w.request)));
    struct sm_anchor other = w.anchor;
    other.mesh_id[0] ^= 1;
    w.by.anchor = &other;
    T_ERR(endorse(), SM_E_AUTH);
}

/* -- evidence ---------------------------------------------------------------------------- */

static uint8_t rd[SM_REPORT_DATA], bytes[SM_EVIDENCE_MAX];
static struct sm_view evidence;
static struct sm_identity id;
static struct sm_claims claims;
static struct sm_reasons reasons;
static struct sm_evidence_provider provider;

static void start(void)
{
    const struct sm_provider_env env = {.dir = w.dir, .device = tpm_kit.tcti};
    char why[SM_PROVIDER_WHY];
    sm_identity_done(&id);
    T_WHY(load(&id));
    if (sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &provider, why) != SM_OK) {
        t_fail(__FILE__, __LINE__, "start: %s", why);
    }
}

static void collect(void)
{
    struct sm_wr out = sm_wr_init(bytes, sizeof bytes);
    char why[SM_PROVIDER_WHY];
    T_OK(sm_random_bytes(rd, sizeof rd));
    if (sm_evidence_provider_collect(&provider, rd, &out, why) != SM_OK) {
        t_fail(__FILE__, __LINE__, "collect: %s", why);
    }
    T_OK(sm_wr_done(&out, &evidence));
}

static enum sm_err judge(void)
{
    struct sm_attester who = {SM_PLATFORM_TPM, id.key->pub.b, id.measurement, id.shown_id};
    struct sm_wall now = sm_clock_wall();
    SM_TRY(
        sm_evidence_verify(sm_suite_real(), &w.anchor, now, &who, evidence, &claims, &reasons));
    return sm_appraise(&w.anchor, now, &who, &claims, rd, &reasons);
}

static void expect(uint16_t code)
{
    T_TRUE(judge() != SM_OK);
    for (size_t i = 0; i < reasons.n; i++) {
        if (reasons.r[i].code == code) {
            return;
        }
    }
    char text[512];
    sm_reasons_text(&reasons, text, sizeof text);
    t_fail(__FILE__, __LINE__, "not refused for %s: %s", sm_reason_name(code), text);
}

/* The provider keeps its connection over a case; this ends it. */
static void stop(void)
{
    sm_evidence_provider_stop(&provider);
}

static void running(void)
{
    stop();
    enrol();
    start();
    collect();
    (void)!judge(); /* the claims of the first give the measurement, as keys does */
    memcpy(id.measurement, claims.measurement, sizeof id.measurement);
    if (judge() != SM_OK) {
        char text[512];
        sm_reasons_text(&reasons, text, sizeof text);
        t_fail(__FILE__, __LINE__, "own evidence: %s", text);
    }
}

static void evidence_of_a_tpm_is_taken(void)
{
    running();
    T_EQ(claims.regs_mask, PCRS);
    T_EQ(claims.report_data_n, SM_REPORT_DATA_HASH);
    T_TRUE(claims.is_hw_rooted);
    stop();
}

static void a_quote_for_another_question_or_an_old_one_is_refused(void)
{
    running();
    rd[0] ^= 1;
    expect(SM_REASON_REPORT_DATA);
    stop();
}

static void evidence_after_a_register_changed_is_refused(void)
{
    running();
    stop();
    extend(14);
    /* A node that boots so cannot even get at its key. */
    struct sm_identity changed;
    T_ERR(load(&changed), SM_E_REFUSED);
    T_TRUE(strstr(w.why, SM_SEALED_FILE) != NULL);
    T_TRUE(strstr(w.why, "PCR 14 was 00000000") != NULL);
    T_TRUE(strstr(w.why, "seemesh tpm request --renew") != NULL);
    T_TRUE(strstr(w.why, "PCR 7") == NULL);
    /* One that runs shows it. */
    const struct sm_provider_env env = {.dir = w.dir, .device = tpm_kit.tcti};
    char why[SM_PROVIDER_WHY];
    T_OK(sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &provider, why));
    collect();
    expect(SM_REASON_MEASUREMENT);
    stop();
    /* And with a new key, endorsed, it is itself again. */
    struct sm_node_id was = id.node_id;
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, true, w.why));
    T_WHY(sm_tpm_request_make(&w.node, &w.anchor, &w.request, w.why));
    T_WHY(endorse());
    T_WHY(sm_tpm_reply_take(&w.node, sm_buf_view(&w.reply), w.why));
    T_WHY(load(&changed));
    T_MEM(changed.node_id.b, 32, was.b, 32);
    sm_identity_done(&changed);
}

/* As the two proofs of a live tunnel. */
static enum sm_err follow(const struct sm_claims *was)
{
    reasons = (struct sm_reasons){0};
    return sm_claims_follow(was, &claims, &reasons);
}

static void a_proof_that_does_not_follow_the_last_names_what_changed(void)
{
    const struct sm_provider_env env = {.dir = w.dir, .device = tpm_kit.tcti};
    char why[SM_PROVIDER_WHY];
    running();
    const struct sm_claims first = claims;
    collect();
    T_OK(judge());
    T_OK(follow(&first));
    stop();
    extend(14);
    T_OK(sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &provider, why));
    collect();
    (void)!judge();
    T_ERR(follow(&first), SM_E_REFUSED);
    T_EQ(reasons.n, 1);
    T_STR(reasons.r[0].field, "pcr 14");
    T_STR(reasons.r[0].want, "0000000000000000..");
    stop();
    /* The same registers after a reset are another boot. */
    (void)tpm_kit_boot();
    let_go();
    T_OK(sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &provider, why));
    collect();
    T_OK(judge());
    T_ERR(follow(&first), SM_E_REFUSED);
    T_EQ(reasons.n, 1);
    T_STR(reasons.r[0].got, "reset since the last proof");
    stop();
    /* A clock that goes back, another platform, other registers. */
    struct sm_claims was = claims;
    was.tpm.clock_ms++;
    T_ERR(follow(&was), SM_E_REFUSED);
    was = claims;
    was.tpm.restarts++;
    T_ERR(follow(&was), SM_E_REFUSED);
    was = claims;
    was.tpm.firmware++;
    T_ERR(follow(&was), SM_E_REFUSED);
    was = claims;
    was.regs_mask |= 2;
    T_ERR(follow(&was), SM_E_REFUSED);
    was = claims;
    was.platform = SM_PLATFORM_SNP;
    T_ERR(follow(&was), SM_E_REFUSED);
    T_OK(follow(&claims));
}

static void another_key_of_the_same_tpm_is_refused(void)
{
    running();
    stop();
    char ak[SM_PATH];
    T_OK(sm_path_join(w.dir, SM_TPM_AK_FILE, ak));
    T_EQ(unlink(ak), 0);
    T_WHY(sm_tpm_keys_make(&w.node, PCRS, false, w.why));
    const struct sm_provider_env env = {.dir = w.dir, .device = tpm_kit.tcti};
    char why[SM_PROVIDER_WHY];
    T_OK(sm_evidence_provider_start(SM_PLATFORM_TPM, &env, &provider, why));
    collect();
    expect(SM_REASON_IDENTITY);
    stop();
}

/* Put the envelope together again with one part in another form. */
static void with_part(enum sm_part part, struct sm_view v)
{
    static uint8_t other[SM_EVIDENCE_MAX];
    struct sm_wr out = sm_wr_init(other, sizeof other);
    struct sm_envelope e;
    T_OK(sm_envelope_read(evidence, &e));
    e.part[part] = v;
    T_OK(sm_envelope_write(&e, &out));
    evidence = sm_view_of(out.p, out.n);
}

static void a_key_that_signs_anything_is_refused(void)
{
    uint8_t area[256];
    struct sm_envelope e;
    running();
    T_OK(sm_envelope_read(evidence, &e));
    struct sm_view ak = e.part[SM_PART_TPM_AK];
    memcpy(area, ak.p, ak.n);
    area[5] ^= 1; /* restricted */
    with_part(SM_PART_TPM_AK, sm_view_of(area, ak.n));
    expect(SM_REASON_FLAGS);
    stop();
}

static void the_sha1_bank_is_refused(void)
{
    uint8_t pcrs[6 + 3 * 20] = {0x04, 0x00, 0x81, 0x40};
    running();
    with_part(SM_PART_TPM_PCRS, sm_view_of(pcrs, sizeof pcrs));
    expect(SM_REASON_GRAMMAR);
    stop();
}

static void registers_that_anybody_may_reset_are_refused(void)
{
    uint32_t mask = 0;
    world(SM_ENV_DEV);
    T_ERR(sm_tpm_keys_make(&w.node, PCRS | 1u << 16, false, w.why), SM_E_INVALID);
    T_ERR(sm_pcrs_parse("0,7,16", &mask), SM_E_INVALID);
    T_ERR(sm_pcrs_parse("0,23", &mask), SM_E_INVALID);
    T_ERR(sm_pcrs_parse("0,0", &mask), SM_E_INVALID);
    T_ERR(sm_pcrs_parse("", &mask), SM_E_INVALID);
    T_ERR(sm_pcrs_parse("24", &mask), SM_E_INVALID);
    T_ERR(sm_pcrs_parse("1,", &mask), SM_E_INVALID);
    T_OK(sm_pcrs_parse("0,7,14", &mask));
    T_EQ(mask, PCRS);
    char text[SM_PCRS_TEXT];
    sm_pcrs_print(mask, text);
    T_STR(text, "0,7,14");
}

/* -- the sealed file --------------------------------------------------------------------- */

static void each_byte_of_the_sealed_key_matters(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf file = SM_BUF(SM_SEALED_MAX);
    struct sm_secret32 seed = {{1, 2, 3}}, out;
    struct sm_sealed s;
    char why[SM_TPMDEV_WHY];
    struct sm_tpmdev *t = tpm_kit_boot();
    T_OK(sm_sealed_make(t, PCRS, &seed, &file, why));
    T_OK(sm_sealed_read(sm_buf_view(&file), &s));
    T_OK(sm_sealed_open(t, &s, &out, why));
    T_MEM(out.b, 32, seed.b, 32);
    for (size_t i = 0; i < file.n; i++) {
        file.p[i] ^= 1;
        if (sm_sealed_read(sm_buf_view(&file), &s) == SM_OK &&
            sm_sealed_open(t, &s, &out, why) == SM_OK) {
            t_fail(__FILE__, __LINE__, "byte %zu does not matter", i);
        }
        file.p[i] ^= 1;
    }
    T_TRUE(sm_sealed_read(sm_view_of(file.p, file.n - 1), &s) != SM_OK);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_node_enrols_and_is_who_its_tpm_is),
        T_CASE(an_answer_opens_only_in_the_tpm_it_is_for),
        T_CASE(a_software_tpm_is_for_development_only),
        T_CASE(a_tpm_of_an_unknown_maker_is_not_endorsed),
        T_CASE(a_request_that_was_changed_is_refused),
        T_CASE(evidence_of_a_tpm_is_taken),
        T_CASE(a_quote_for_another_question_or_an_old_one_is_refused),
        T_CASE(evidence_after_a_register_changed_is_refused),
        T_CASE(a_proof_that_does_not_follow_the_last_names_what_changed),
        T_CASE(another_key_of_the_same_tpm_is_refused),
        T_CASE(a_key_that_signs_anything_is_refused),
        T_CASE(the_sha1_bank_is_refused),
        T_CASE(registers_that_anybody_may_reset_are_refused),
        T_CASE(each_byte_of_the_sealed_key_matters),
    };
    bool is_locked;
    return sm_secretmem_init(&is_locked) == SM_OK ? t_main(cases, SM_COUNT(cases), argc, argv)
                                                  : 1;
}
