// SPDX-License-Identifier: Apache-2.0
/* os/tpm against the real stack: tpm2-tss talking to swtpm. */
#include "tpm_kit.h"

#include <stdlib.h>

static const uint32_t PCRS = 1u << 0 | 1u << 7 | 1u << 14;
static const uint8_t digest_a[SM_TPMDEV_HASH] = {1, 2, 3};
static const uint8_t secret_a[SM_TPMDEV_SECRET] = {9, 8, 7, 6, 5};
static const uint8_t extra_a[SM_TPMDEV_EXTRA] = {0xaa, 0xbb};

static void its_absence_is_told_in_words(void)
{
    struct sm_tpmdev *t = NULL;
    char why[SM_TPMDEV_WHY];
    tpm_kit_make();
    T_ERR(sm_tpmdev_open("device:/nonexistent/tpmrm0", &t, why), SM_E_NOTFOUND);
    T_TRUE(strstr(why, "there is no TPM") != NULL);
    T_ERR(sm_tpmdev_open("swtpm:path=/nonexistent/sock", &t, why), SM_E_NOTFOUND);
    T_ERR(sm_tpmdev_open("libtpms:", &t, why), SM_E_UNSUPPORTED);
    T_TRUE(strstr(why, "device:/dev/tpmrm0") != NULL);
    T_TRUE(t == NULL);
}

static void what_is_no_tpm_is_found_out(void)
{
    struct sm_tpmdev *t = NULL;
    char why[SM_TPMDEV_WHY];
    tpm_kit_make();
    T_ERR(sm_tpmdev_open("device:/dev/zero", &t, why), SM_E_IO);
    T_TRUE(strstr(why, "nonsense") != NULL);
}

static void errors_of_the_tpm_have_words(void)
{
    static const struct {
        uint32_t rc;
        const char *words;
    } want[] = {
        {0x902, "tpm2_flushcontext"}, {0x99d, "a PCR has another value"},
        {0x1d5, "too large"},         {0x1df, "another TPM"},
        {0x98e, "password"},          {0x921, "locked"},
        {0x101, "failure mode"},      {0x000a0008, "does not answer"},
        {0x18b, "no such object"},    {0x12f, "0x12f"},
    };
    char text[SM_TPMDEV_WHY];
    tpm_kit_make();
    for (size_t i = 0; i < SM_COUNT(want); i++) {
        sm_tpmdev_words(want[i].rc, text);
        if (strstr(text, want[i].words) == NULL) {
            t_fail(__FILE__, __LINE__, "0x%x is \"%s\"", want[i].rc, text);
        }
    }
}

static void it_says_what_it_is(void)
{
    struct sm_tpmdev_info info;
    T_TPM(sm_tpmdev_info(tpm_kit_boot(), &info));
    T_TRUE(info.is_software);
    T_STR(info.maker, "IBM");
    T_TRUE(strncmp(info.model, "SW", 2) == 0);
}

static void registers_are_read_and_extended(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    struct sm_tpmdev_pcrs before, after;
    static const uint8_t zeros[SM_TPMDEV_HASH];
    T_TPM(sm_tpmdev_pcrs(t, 0xffffff, &before)); /* more than eight, in several answers */
    T_EQ(before.mask, 0xffffff);
    T_MEM(before.value[7], 32, zeros, 32);
    T_EQ(before.value[17][0], 0xff);
    T_TPM(sm_tpmdev_extend(t, 7, digest_a));
    T_TPM(sm_tpmdev_pcrs(t, PCRS, &after));
    T_EQ(after.mask, PCRS);
    T_TRUE(memcmp(after.value[7], zeros, 32) != 0);
    T_MEM(after.value[0], 32, before.value[0], 32);
    T_ERR(sm_tpmdev_pcrs(t, 0, &after), SM_E_INVALID);
    T_ERR(sm_tpmdev_pcrs(t, 1u << 24, &after), SM_E_INVALID);
}

static void the_endorsement_key_comes_with_its_certificate(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    SM_CLEANUP(sm_buf_done) struct sm_buf pub = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf again = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf cert = SM_BUF(SM_TPMDEV_CERT);
    T_TPM(sm_tpmdev_ek(t, SM_TPMDEV_EK_RSA, &pub, &cert));
    T_TRUE(pub.n > 256 && cert.n > 500 && cert.p[0] == 0x30);
    T_TPM(sm_tpmdev_ek(t, SM_TPMDEV_EK_RSA, &again, &cert));
    T_MEM(again.p, again.n, pub.p, pub.n); /* the same each time */
    /* swtpm has none for P-256. */
    T_ERR(sm_tpmdev_ek(t, SM_TPMDEV_EK_ECC, &pub, &cert), SM_E_NOTFOUND);
}

static void an_attestation_key_is_used_over_a_restart(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    SM_CLEANUP(sm_buf_done) struct sm_buf blob = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf quote = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf sig = SM_BUF(SM_TPMDEV_BLOB);
    uint8_t first[SM_TPMDEV_BLOB];
    struct sm_view pub;
    T_ERR(sm_tpmdev_ak_public(t, &pub), SM_E_STATE);
    T_ERR(sm_tpmdev_quote(t, PCRS, extra_a, &quote, &sig), SM_E_STATE);
    T_TPM(sm_tpmdev_ak_make(t, &blob));
    T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&blob)));
    T_TPM(sm_tpmdev_ak_public(t, &pub));
    size_t first_n = pub.n;
    memcpy(first, pub.p, pub.n);

    t = tpm_kit_boot();
    T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&blob)));
    T_TPM(sm_tpmdev_ak_public(t, &pub));
    T_MEM(pub.p, pub.n, first, first_n);
    T_TPM(sm_tpmdev_quote(t, PCRS, extra_a, &quote, &sig));
    T_EQ(quote.p[0], 0xff); /* TPM_GENERATED_VALUE */
    T_EQ(sig.p[1], 0x18);   /* ECDSA */
}

static void nothing_is_left_in_its_three_slots(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    SM_CLEANUP(sm_buf_done) struct sm_buf ak = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf sealed = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf a = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(SM_TPMDEV_CERT);
    uint8_t out[SM_TPMDEV_SECRET];
    for (int i = 0; i < 5; i++) {
        T_TPM(sm_tpmdev_ak_make(t, &ak));
        T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&ak)));
        T_TPM(sm_tpmdev_ek(t, SM_TPMDEV_EK_RSA, &a, &b));
        T_TPM(sm_tpmdev_seal(t, PCRS, secret_a, &sealed));
        T_TPM(sm_tpmdev_unseal(t, PCRS, sm_buf_view(&sealed), out));
        T_TPM(sm_tpmdev_quote(t, PCRS, extra_a, &a, &b));
        /* Failures leave nothing either. */
        T_ERR(sm_tpmdev_unseal(t, PCRS, sm_buf_view(&ak), out), SM_E_REFUSED);
        T_ERR(sm_tpmdev_activate(t, SM_TPMDEV_EK_RSA, sm_view_str("x"), sm_view_str("y"), out),
              SM_E_MALFORMED);
    }
}

static void a_sealed_key_opens_only_under_its_registers(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    SM_CLEANUP(sm_buf_done) struct sm_buf sealed = SM_BUF(SM_TPMDEV_BLOB);
    uint8_t out[SM_TPMDEV_SECRET] = {0};
    static const uint8_t zeros[SM_TPMDEV_SECRET];
    T_TPM(sm_tpmdev_extend(t, 7, digest_a));
    T_TPM(sm_tpmdev_seal(t, PCRS, secret_a, &sealed));
    T_TPM(sm_tpmdev_unseal(t, PCRS, sm_buf_view(&sealed), out));
    T_MEM(out, sizeof out, secret_a, sizeof secret_a);

    memset(out, 0, sizeof out);
    T_TPM(sm_tpmdev_extend(t, 14, digest_a));
    T_ERR(sm_tpmdev_unseal(t, PCRS, sm_buf_view(&sealed), out), SM_E_REFUSED);
    T_TRUE(strstr(sm_tpmdev_why(t), "a PCR has another value") != NULL);
    T_MEM(out, sizeof out, zeros, sizeof zeros);
    /* Naming other registers does not help: the policy is in the blob. */
    T_ERR(sm_tpmdev_unseal(t, 1u << 7, sm_buf_view(&sealed), out), SM_E_REFUSED);

    t = tpm_kit_boot(); /* and the same boot again opens it */
    T_TPM(sm_tpmdev_extend(t, 7, digest_a));
    T_TPM(sm_tpmdev_unseal(t, PCRS, sm_buf_view(&sealed), out));
    T_MEM(out, sizeof out, secret_a, sizeof secret_a);
}

static void blobs_of_another_tpm_or_damaged_ones_are_refused(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    SM_CLEANUP(sm_buf_done) struct sm_buf sealed = SM_BUF(SM_TPMDEV_BLOB);
    SM_CLEANUP(sm_buf_done) struct sm_buf ak = SM_BUF(SM_TPMDEV_BLOB);
    uint8_t out[SM_TPMDEV_SECRET];
    T_TPM(sm_tpmdev_seal(t, PCRS, secret_a, &sealed));
    T_TPM(sm_tpmdev_ak_make(t, &ak));
    ak.p[ak.n - 1] ^= 1;
    T_ERR(sm_tpmdev_ak_load(t, sm_buf_view(&ak)), SM_E_CRYPTO);
    ak.p[ak.n - 1] ^= 1;
    T_ERR(sm_tpmdev_ak_load(t, sm_view_of(ak.p, ak.n - 1)), SM_E_CORRUPT);
    T_ERR(sm_tpmdev_ak_load(t, (struct sm_view){0}), SM_E_CORRUPT);

    t = tpm_kit_replace();
    T_ERR(sm_tpmdev_unseal(t, PCRS, sm_buf_view(&sealed), out), SM_E_CRYPTO);
    T_TRUE(strstr(sm_tpmdev_why(t), "another TPM") != NULL);
    T_ERR(sm_tpmdev_ak_load(t, sm_buf_view(&ak)), SM_E_CRYPTO);
}

static void a_tpm_that_goes_away_is_an_error_and_no_wait(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    struct sm_tpmdev_pcrs pcrs;
    sm_child_kill(&tpm_kit.child, SIGKILL);
    T_ERR(sm_tpmdev_pcrs(t, PCRS, &pcrs), SM_E_IO);
    T_TRUE(strstr(sm_tpmdev_why(t), "connection to the TPM is lost") != NULL);
    T_ERR(sm_tpmdev_pcrs(t, PCRS, &pcrs), SM_E_IO);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(its_absence_is_told_in_words),
        T_CASE(what_is_no_tpm_is_found_out),
        T_CASE(errors_of_the_tpm_have_words),
        T_CASE(it_says_what_it_is),
        T_CASE(registers_are_read_and_extended),
        T_CASE(the_endorsement_key_comes_with_its_certificate),
        T_CASE(an_attestation_key_is_used_over_a_restart),
        T_CASE(nothing_is_left_in_its_three_slots),
        T_CASE(a_sealed_key_opens_only_under_its_registers),
        T_CASE(blobs_of_another_tpm_or_damaged_ones_are_refused),
        T_CASE(a_tpm_that_goes_away_is_an_error_and_no_wait),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
