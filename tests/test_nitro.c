// SPDX-License-Identifier: Apache-2.0
/* Documents of AWS Nitro: a genuine one, and what its encoder or an attacker might write. */
#include "attest/nitro.h"

#include "evidence_kit.h"

#define AS_OF 1668034320u

static struct kit_file doc;
static struct sm_makers trust;
static struct sm_wall now;
static struct sm_claims claims;
static struct sm_nitro_data data;
static struct sm_reasons why;

static void load(const char *name)
{
    kit_load(name, &doc);
    sm_makers_pinned(&trust);
    now.s = AS_OF;
}

static enum sm_err verify(void)
{
    why = (struct sm_reasons){0};
    return sm_nitro_verify(kit_view(&doc), &trust, now, &claims, &data, &why);
}

static bool accepts(void *ctx)
{
    (void)ctx;
    return verify() == SM_OK;
}

static void a_document_is_what_it_says(void)
{
    static const uint8_t pcr0[] = {0x22, 0xf9, 0xe1, 0xc9}, nonce[] = {0xc6, 0x78, 0xc8, 0x61};
    load("nitro/ok.cbor");
    T_OK(verify());
    T_EQ(claims.platform, SM_PLATFORM_NITRO);
    T_MEM(claims.measurement, 4, pcr0, 4);
    T_MEM(claims.platform_id, claims.platform_id_n, "i-04fd167167daacf3b-enc01845e97d0b3eb4e",
          39);
    T_EQ(claims.regs_mask, 0xffff);
    T_EQ(claims.signer_n, 0); /* PCR8 is zero */
    T_EQ(claims.report_data_n, 32);
    T_EQ(claims.issued_at.s, 1668034320);
    T_EQ(claims.not_after.s, 1668045120); /* the leaf, 2022-11-10T01:52:00Z */
    T_TRUE(!data.has_public_key && data.has_user_data && data.nonce_n == 32);
    T_MEM(data.nonce, 4, nonce, 4);
}

static void a_signature_of_something_else_is_refused(void)
{
    load("nitro/bad_sig.cbor");
    T_ERR(verify(), SM_E_CRYPTO);
    T_EQ(why.n, 1);
    T_EQ(why.r[0].code, SM_REASON_SIGNATURE);
}

static void it_counts_for_three_hours(void)
{
    load("nitro/ok.cbor");
    now.s = 1668034317 - SM_NITRO_SKEW_S; /* 22:51:57, when the leaf was made */
    T_OK(verify());
    now.s--;
    T_ERR(verify(), SM_E_EXPIRED);
    now.s = 1668045120;
    T_OK(verify());
    now.s++;
    T_ERR(verify(), SM_E_EXPIRED);
}

static void without_the_pinned_root_nothing_is_believed(void)
{
    load("nitro/ok.cbor");
    trust.root[SM_ROOT_AWS_NITRO] = (struct sm_view){0};
    T_ERR(verify(), SM_E_CRYPTO);
    trust.root[SM_ROOT_AWS_NITRO] = trust.root[SM_ROOT_INTEL_SGX];
    T_ERR(verify(), SM_E_CRYPTO);
}

static void the_tag_of_cose_may_be_there(void)
{
    load("nitro/ok.cbor");
    memmove(doc.b + 1, doc.b, doc.n++);
    doc.b[0] = 0xd2; /* 18 */
    T_OK(verify());
    doc.b[0] = 0xd1;
    T_ERR(verify(), SM_E_MALFORMED);
}

/* A change of grammar breaks the signature too: what is looked at is how far it comes. */
static uint16_t first_reason(void)
{
    T_TRUE(verify() != SM_OK);
    return why.r[0].code;
}

static size_t find(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= doc.n; i++) {
        if (memcmp(doc.b + i, text, n) == 0) {
            return i;
        }
    }
    t_fail(__FILE__, __LINE__, "no %s", text);
}

/* Make the payload one byte longer or shorter, at `at`. */
static void grow(size_t at, uint8_t byte)
{
    memmove(doc.b + at + 1, doc.b + at, doc.n++ - at);
    doc.b[at] = byte;
    doc.b[9]++; /* 59 11 01: its length */
}

static void a_map_without_a_length_is_read(void)
{
    load("nitro/ok.cbor");
    T_EQ(doc.b[10], 0xa9);
    size_t end = doc.n - 98; /* signature and its head */
    doc.b[10] = 0xbf;
    T_EQ(first_reason(), SM_REASON_GRAMMAR); /* and no end of it */
    grow(end, 0xff);
    T_EQ(first_reason(), SM_REASON_SIGNATURE);
}

static void keys_come_once_and_are_known(void)
{
    load("nitro/ok.cbor");
    memcpy(doc.b + find("user_data"), "nonce_dat", 9);
    T_EQ(first_reason(), SM_REASON_GRAMMAR);
    load("nitro/ok.cbor");
    doc.b[find("public_key") - 1] = 0x69; /* nine characters: "public_ke" */
    T_EQ(first_reason(), SM_REASON_GRAMMAR);
    load("nitro/ok.cbor");
    size_t at = find("pcrs") + 4;
    doc.b[at + 1 + 51] = 0; /* PCR1 becomes a second PCR0 */
    T_EQ(first_reason(), SM_REASON_GRAMMAR);
}

static void null_is_for_three_fields_alone(void)
{
    load("nitro/ok.cbor");
    T_EQ(doc.b[find("public_key") + 10], 0xf6);
    doc.b[find("timestamp") + 9] = 0xf6;
    T_EQ(first_reason(), SM_REASON_GRAMMAR);
}

static void zeros_for_measurements_are_a_debug_enclave(void)
{
    load("nitro/ok.cbor");
    memset(doc.b + find("pcrs") + 4 + 4, 0, 48);
    T_TRUE(verify() != SM_OK);
    T_EQ(why.n, 2);
    T_EQ(why.r[1].code, SM_REASON_DEBUG);
}

static void no_byte_can_change(void)
{
    load("nitro/ok.cbor");
    T_EQ(kit_sweep(&doc, 13, accepts, NULL, NULL), 0);
    T_EQ(kit_cut(&doc, 7, accepts, NULL), 0);
    doc.b[doc.n++] = 0;
    T_ERR(verify(), SM_E_MALFORMED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_document_is_what_it_says),
        T_CASE(a_signature_of_something_else_is_refused),
        T_CASE(it_counts_for_three_hours),
        T_CASE(without_the_pinned_root_nothing_is_believed),
        T_CASE(the_tag_of_cose_may_be_there),
        T_CASE(a_map_without_a_length_is_read),
        T_CASE(keys_come_once_and_are_known),
        T_CASE(null_is_for_three_fields_alone),
        T_CASE(zeros_for_measurements_are_a_debug_enclave),
        T_CASE(no_byte_can_change),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
