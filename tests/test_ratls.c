// SPDX-License-Identifier: Apache-2.0
/* A certificate that Gramine made, and what is left of it when a link is cut. */
#include "attest/ratls.h"

#include "attest/dcap_quote.h"
#include "evidence_kit.h"

static struct kit_file file;
static struct sm_reasons why;
static struct sm_ratls r;

static enum sm_err check(void *ctx)
{
    struct sm_chain c = {0};
    size_t *quote_at = ctx;
    why = (struct sm_reasons){0};
    SM_TRY(sm_chain_add(&c, kit_view(&file)));
    enum sm_err e = c.n == 1 ? sm_ratls_check(c.c[0], &r, &why) : SM_E_MALFORMED;
    if (e == SM_OK && quote_at != NULL) {
        struct sm_quote q;
        T_OK(sm_quote_read(r.quote, &q));
        T_TRUE((q.sgx.attributes[0] & SM_SGX_DEBUG) != 0);
        T_EQ(q.version, 3);
        for (*quote_at = 0; memcmp(file.b + *quote_at, r.quote.p, r.quote.n) != 0;) {
            (*quote_at)++;
        }
    }
    sm_chain_done(&c);
    return e;
}

/* PEM to DER, so that bytes can be changed. */
static void load_der(void)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t acc = 0, bits = 0;
    size_t n = 0, i = 27; /* behind -----BEGIN CERTIFICATE----- */
    kit_load("ratls/gramine-cert.pem", &file);
    for (; i < file.n && file.b[i] != '-'; i++) {
        const char *d = file.b[i] == '\n' ? NULL : strchr(digits, file.b[i]);
        if (d == NULL) {
            continue;
        }
        acc = acc << 6 | (uint32_t)(d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            file.b[n++] = (uint8_t)(acc >> bits);
        }
    }
    file.n = n;
}

static void the_links_of_a_foreign_certificate_hold(void)
{
    kit_load("ratls/gramine-cert.pem", &file);
    T_OK(check(NULL));
    T_TRUE(!r.has_nonce);
    T_TRUE(r.quote.n > 4000);
}

static void a_cut_link_is_told(void)
{
    size_t quote = 0;
    load_der();
    T_OK(check(&quote));
    file.b[quote + 48 + 320] ^= 1; /* report data */
    T_ERR(check(NULL), SM_E_CRYPTO);
    T_EQ(why.r[0].code, SM_REASON_BINDING);
    load_der();
    T_OK(check(&quote));
    file.b[250] ^= 1; /* in the key */
    T_TRUE(check(NULL) != SM_OK);
    load_der();
    T_OK(check(&quote));
    file.b[quote + r.quote.n + 30] ^= 1; /* in the claims buffer: both links */
    T_ERR(check(NULL), SM_E_CRYPTO);
    T_EQ(why.n, 2);
}

static void without_the_extension_there_is_nothing(void)
{
    kit_load("ca/aws_nitro_root_g1.pem", &file);
    T_ERR(check(NULL), SM_E_NOTFOUND);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_links_of_a_foreign_certificate_hold),
        T_CASE(a_cut_link_is_told),
        T_CASE(without_the_extension_there_is_nothing),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
