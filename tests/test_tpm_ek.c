// SPDX-License-Identifier: Apache-2.0
/* Who a TPM is: EK certificates up to a root, and credentials that only that TPM opens. */
#include "tpm_kit.h"

#include "attest/evidence.h"
#include "attest/tpm_ek.h"
#include "os/clock.h"
#include "os/file.h"
#include "proc/tpm_credential.h"

static struct sm_buf ek_public = {.max = SM_TPMDEV_BLOB}, ek_cert = {.max = SM_TPMDEV_CERT};
static struct sm_buf root = {.max = 16384}, issuer = {.max = 16384};
static struct sm_buf ak = {.max = SM_TPMDEV_BLOB};
static struct sm_makers trust;
static struct sm_tpm_ek ek;
static struct sm_reasons why;

static void load(const char *name, struct sm_buf *out)
{
    char path[SM_PATH];
    T_OK(sm_path_join(tpm_kit.ca, name, path));
    T_OK(sm_file_read(path, out));
}

static struct sm_tpmdev *provision(void)
{
    struct sm_tpmdev *t = tpm_kit_boot();
    T_TPM(sm_tpmdev_ek(t, SM_TPMDEV_EK_RSA, &ek_public, &ek_cert));
    load("swtpm-localca-rootca-cert.pem", &root);
    load("issuercert.pem", &issuer);
    trust = (struct sm_makers){.tpm = {sm_buf_view(&issuer), sm_buf_view(&root)}, .n_tpm = 2};
    why = (struct sm_reasons){0};
    return t;
}

static enum sm_err verify_at(struct sm_wall now)
{
    why = (struct sm_reasons){0};
    return sm_tpm_ek_verify(sm_buf_view(&ek_public), sm_buf_view(&ek_cert), &trust, now, &ek,
                            &why);
}

static enum sm_err verify(void)
{
    return verify_at(sm_clock_wall());
}

static void an_ek_leads_to_its_makers_root(void)
{
    (void)provision();
    enum sm_err e = verify();
    if (e != SM_OK) {
        char text[512];
        sm_reasons_text(&why, text, sizeof text);
        t_fail(__FILE__, __LINE__, "%s: %s", sm_err_name(e), text);
    }
    T_TRUE(ek.is_software);
    T_EQ(ek.key.alg, SM_TPM_RSA);
    T_EQ(ek.name[1], 0x0b);
}

static void an_ek_of_an_unknown_maker_is_refused(void)
{
    (void)provision();
    trust.n_tpm = 0;
    T_ERR(verify(), SM_E_CRYPTO);
    T_EQ(why.r[0].code, SM_REASON_CHAIN);
    T_STR(why.r[0].got, "swtpm-localca");
    trust.n_tpm = 1; /* who issued it, but not who vouches for that */
    T_ERR(verify(), SM_E_CRYPTO);
    T_STR(why.r[0].got, "swtpm-localca-rootca");
}

static void a_certificate_of_another_key_is_refused(void)
{
    struct sm_tpmdev *t = provision();
    SM_CLEANUP(sm_buf_done) struct sm_buf other = SM_BUF(SM_TPMDEV_CERT);
    t = tpm_kit_replace();
    T_TPM(sm_tpmdev_ek(t, SM_TPMDEV_EK_RSA, &ek_public, &other));
    T_ERR(verify(), SM_E_CRYPTO);
    T_EQ(why.r[0].code, SM_REASON_IDENTITY);
}

static void only_the_template_is_an_ek(void)
{
    (void)provision();
    T_OK(sm_tpm_ek_read(sm_buf_view(&ek_public), &ek));
    for (size_t i = 0; i < ek_public.n; i++) {
        ek_public.p[i] ^= 1;
        /* With another key it is another EK, which the certificate is not for. */
        T_TRUE(verify() != SM_OK);
        ek_public.p[i] ^= 1;
    }
    T_ERR(sm_tpm_ek_read(sm_view_of(ek_public.p, ek_public.n - 1), &ek), SM_E_TRUNCATED);
    T_ERR(sm_tpm_ek_read((struct sm_view){0}, &ek), SM_E_TRUNCATED);
    T_OK(verify());
}

static void a_certificate_is_looked_at_in_its_time(void)
{
    (void)provision();
    T_ERR(verify_at((struct sm_wall){1000000000}), SM_E_EXPIRED);
}

/* -- credentials ------------------------------------------------------------------------- */

static void name_of_ak(struct sm_tpmdev *t, uint8_t out[static SM_TPM_NAME])
{
    struct sm_tpm_public pub;
    struct sm_view area;
    T_TPM(sm_tpmdev_ak_public(t, &area));
    T_OK(sm_tpm_public_read(area, &pub));
    T_OK(sm_tpm_ak_check(&pub, &why));
    T_EQ(pub.name_n, SM_TPM_NAME);
    memcpy(out, pub.name, SM_TPM_NAME);
}

static void a_credential_opens_in_its_tpm_with_its_key(void)
{
    struct sm_tpmdev *t = provision();
    static const uint8_t secret[SM_TPM_CREDENTIAL] = {0x5e, 0xc2, 0xe7};
    uint8_t name[SM_TPM_NAME], out[SM_TPM_CREDENTIAL] = {0};
    struct sm_tpm_challenge c;
    T_TPM(sm_tpmdev_ak_make(t, &ak));
    T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&ak)));
    name_of_ak(t, name);
    T_OK(verify());
    T_OK(sm_tpm_credential_make(&ek, sm_view_of(name, sizeof name), secret, &c));
    struct sm_view id = sm_view_of(c.id_object, c.id_object_n);
    struct sm_view sealed = sm_view_of(c.secret, c.secret_n);
    T_TPM(sm_tpmdev_activate(t, SM_TPMDEV_EK_RSA, id, sealed, out));
    T_MEM(out, sizeof out, secret, sizeof secret);

    /* Not while another key is loaded, */
    T_TPM(sm_tpmdev_ak_make(t, &ak));
    T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&ak)));
    T_ERR(sm_tpmdev_activate(t, SM_TPMDEV_EK_RSA, id, sealed, out), SM_E_CRYPTO);
    /* and not in another TPM. */
    t = tpm_kit_replace();
    T_TPM(sm_tpmdev_ak_make(t, &ak));
    T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&ak)));
    T_TRUE(sm_tpmdev_activate(t, SM_TPMDEV_EK_RSA, id, sealed, out) != SM_OK);
}

/* swtpm has no certificate for P-256, but the key. */
static void a_credential_for_a_p256_ek_opens_too(void)
{
    struct sm_tpmdev *t = provision();
    static const uint8_t secret[SM_TPM_CREDENTIAL] = {0xec, 0xc2};
    uint8_t name[SM_TPM_NAME], out[SM_TPM_CREDENTIAL] = {0};
    struct sm_tpm_challenge c;
    T_TPM(sm_tpmdev_ek_public(t, SM_TPMDEV_EK_ECC, &ek_public));
    T_OK(sm_tpm_ek_read(sm_buf_view(&ek_public), &ek));
    T_EQ(ek.key.alg, SM_TPM_ECC);
    T_TPM(sm_tpmdev_ak_make(t, &ak));
    T_TPM(sm_tpmdev_ak_load(t, sm_buf_view(&ak)));
    name_of_ak(t, name);
    T_OK(sm_tpm_credential_make(&ek, sm_view_of(name, sizeof name), secret, &c));
    T_TPM(sm_tpmdev_activate(t, SM_TPMDEV_EK_ECC, sm_view_of(c.id_object, c.id_object_n),
                             sm_view_of(c.secret, c.secret_n), out));
    T_MEM(out, sizeof out, secret, sizeof secret);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(an_ek_leads_to_its_makers_root),
        T_CASE(an_ek_of_an_unknown_maker_is_refused),
        T_CASE(a_certificate_of_another_key_is_refused),
        T_CASE(only_the_template_is_an_ek),
        T_CASE(a_certificate_is_looked_at_in_its_time),
        T_CASE(a_credential_opens_in_its_tpm_with_its_key),
        T_CASE(a_credential_for_a_p256_ek_opens_too),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
