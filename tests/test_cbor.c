// SPDX-License-Identifier: Apache-2.0
#include "base/cbor.h"
#include "cbor_copy.h"
#include "t.h"

static struct sm_view bytes_of(const char *hex)
{
    static uint8_t b[256];
    size_t n = strlen(hex) / 2;
    T_TRUE(n <= sizeof b);
    T_OK(sm_unhex(hex, 2 * n, b, n));
    return sm_view_of(b, n);
}

static enum sm_err check(const char *hex)
{
    return sm_cbor_check(bytes_of(hex));
}

/* RFC 8949, appendix A: what has no floats, no other simple values and definite lengths. */
static void deterministic_examples_of_the_rfc_are_read_and_written_alike(void)
{
    static const char *const good[] = {
        "00",
        "01",
        "0a",
        "17",
        "1818",
        "1819",
        "1864",
        "1903e8",
        "1a000f4240",
        "1b000000e8d4a51000",
        "1bffffffffffffffff",
        "20",
        "29",
        "3863",
        "3903e7",
        "3bffffffffffffffff",
        "f4",
        "f5",
        "f6",
        "c074323031332d30332d32315432303a30343a30305a",
        "c11a514b67b0",
        "d74401020304",
        "d818456449455446",
        "40",
        "4401020304",
        "60",
        "6161",
        "6449455446",
        "62225c",
        "62c3bc",
        "63e6b0b4",
        "64f0908591",
        "80",
        "83010203",
        "8301820203820405",
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        "a0",
        "a201020304",
        "a26161016162820203",
        "826161a161626163",
        "a56161614161626142616361436164614461656145",
        "a4040020024003617a04", /* keys of four kinds, in the order of their bytes */
    };
    for (size_t i = 0; i < SM_COUNT(good); i++) {
        T_OK(check(good[i]));
        struct sm_view in = bytes_of(good[i]), out;
        uint8_t again[256];
        struct sm_cbor c = sm_cbor_init(in);
        struct sm_wr w = sm_wr_init(again, sizeof again);
        cbor_copy(&c, &w);
        T_OK(sm_cbor_done(&c));
        T_OK(sm_wr_done(&w, &out));
        T_MEM(out.p, out.n, in.p, in.n);
    }
}

static void other_encodings_are_malformed(void)
{
    static const char *const bad[] = {
        "1800", /* not the shortest integer */
        "1817",
        "190018",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "3817",
        "580100", /* nor the shortest length */
        "780161",
        "980100",
        "b8010000",
        "d80900",   /* nor tag */
        "5f4100ff", /* indefinite */
        "7f6161ff",
        "9f00ff",
        "bf0000ff",
        "ff",
        "1c", /* reserved */
        "1f",
        "3e",
        "f7", /* undefined, simple values, floats */
        "e0",
        "f3",
        "f814",
        "f820",
        "f90000",
        "f93c00",
        "fa47c35000",
        "fb3ff199999999999a",
        "a201000000", /* keys: order, twice */
        "a201000100",
        "a220000100",
        "a2616200616100",
        "a2616100186400", /* 0x18 sorts before 0x61 */
        "a1800000",       /* keys: kinds */
        "a1a00000",
        "a1c10100",
        "a1f400",
        "61ff", /* not UTF-8 */
        "62c080",
        "63eda080",
        "64f4908080",
        "63e08080",
        "61c3",
        "0000", /* bytes left over */
    };
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        enum sm_err e = check(bad[i]);
        if (e != SM_E_MALFORMED) {
            t_fail(__FILE__, __LINE__, "%s gave %s", bad[i], sm_err_name(e));
        }
    }
}

static void every_beginning_of_an_item_is_truncated(void)
{
    struct sm_view v = bytes_of("a3018202c11903e8026161184043010203");
    T_OK(sm_cbor_check(v));
    for (size_t n = 0; n < v.n; n++) {
        T_ERR(sm_cbor_check(sm_view_sub(v, 0, n)), SM_E_TRUNCATED);
    }
}

static void a_huge_count_or_length_is_refused_at_once(void)
{
    struct sm_cbor c = sm_cbor_init(bytes_of("9b00000fffffffffff00"));
    T_EQ(sm_cbor_array(&c), 0);
    T_ERR(sm_cbor_done(&c), SM_E_TRUNCATED);
    c = sm_cbor_init(bytes_of("bbffffffffffffffff00"));
    T_EQ(sm_cbor_map(&c), 0);
    T_ERR(sm_cbor_done(&c), SM_E_TRUNCATED);
    c = sm_cbor_init(bytes_of("5bffffffffffffffff00"));
    T_EQ(sm_cbor_bytes(&c).n, 0);
    T_ERR(sm_cbor_done(&c), SM_E_TRUNCATED);
}

static void sixteen_levels_are_read_and_seventeen_are_not(void)
{
    uint8_t b[18];
    memset(b, 0x81, sizeof b);
    b[16] = 0;
    T_OK(sm_cbor_check(sm_view_of(b, 17)));
    b[16] = 0x81;
    b[17] = 0;
    T_ERR(sm_cbor_check(sm_view_of(b, 18)), SM_E_MALFORMED);
}

static void fields_come_out_of_a_map_as_its_grammar_says(void)
{
    /* {1: "name", 2: [h'0102', -5, true], -1: null} */
    struct sm_cbor c = sm_cbor_init(bytes_of("a301646e616d65028342010224f520f6"));
    T_EQ(sm_cbor_map(&c), 3);
    T_EQ(sm_cbor_int(&c), 1);
    struct sm_view name = sm_cbor_text(&c);
    T_MEM(name.p, name.n, "name", 4);
    T_EQ(sm_cbor_uint(&c), 2);
    T_EQ(sm_cbor_array(&c), 3);
    T_EQ(sm_cbor_bytes(&c).n, 2);
    T_EQ(sm_cbor_int(&c), -5);
    T_TRUE(sm_cbor_bool(&c));
    T_EQ(sm_cbor_int(&c), -1);
    sm_cbor_null(&c);
    T_OK(sm_cbor_done(&c));
}

static void a_wrong_type_fails_and_stays_failed(void)
{
    struct sm_cbor c = sm_cbor_init(bytes_of("820102"));
    T_EQ(sm_cbor_array(&c), 2);
    T_EQ(sm_cbor_text(&c).n, 0);
    T_EQ(sm_cbor_int(&c), 0);
    T_ERR(sm_cbor_done(&c), SM_E_MALFORMED);

    c = sm_cbor_init(bytes_of("820102")); /* an item is left unread */
    T_EQ(sm_cbor_array(&c), 2);
    T_EQ(sm_cbor_int(&c), 1);
    T_ERR(sm_cbor_done(&c), SM_E_MALFORMED);

    c = sm_cbor_init(bytes_of("1b8000000000000000")); /* past INT64_MAX */
    T_EQ(sm_cbor_int(&c), 0);
    T_ERR(sm_cbor_done(&c), SM_E_MALFORMED);
    c = sm_cbor_init(bytes_of("3b7fffffffffffffff"));
    T_TRUE(sm_cbor_int(&c) == INT64_MIN);
    T_OK(sm_cbor_done(&c));
}

static void an_item_can_be_taken_as_bytes(void)
{
    struct sm_cbor c = sm_cbor_init(bytes_of("83c1820102a10203f6"));
    T_EQ(sm_cbor_array(&c), 3);
    struct sm_view v = sm_cbor_item(&c);
    T_MEM(v.p, v.n, "\xc1\x82\x01\x02", 4);
    v = sm_cbor_item(&c);
    T_MEM(v.p, v.n, "\xa1\x02\x03", 3);
    sm_cbor_skip(&c);
    T_OK(sm_cbor_done(&c));
}

/* Any accepted bytes are written back the same, whatever bit was changed. */
static void changed_bytes_are_refused_or_mean_what_they_say(void)
{
    uint64_t rng = t_seed() | 1;
    for (unsigned round = 0; round < 50000; round++) {
        uint8_t b[24], again[64];
        struct sm_view in = bytes_of("a4018202c11903e802616118404301020338646141"), out;
        T_TRUE(in.n <= sizeof b);
        memcpy(b, in.p, in.n);
        for (unsigned k = 0; k < 1 + round % 3; k++) {
            rng = rng * 6364136223846793005u + 1442695040888963407u;
            b[(rng >> 40) % in.n] ^= (uint8_t)(1u << (rng >> 36) % 8);
        }
        in.p = b;
        bool is_good = sm_cbor_check(in) == SM_OK;
        struct sm_cbor c = sm_cbor_init(in);
        struct sm_wr w = sm_wr_init(again, sizeof again);
        cbor_copy(&c, &w);
        T_EQ(sm_cbor_done(&c) == SM_OK, is_good);
        if (is_good) {
            T_OK(sm_wr_done(&w, &out));
            T_MEM(out.p, out.n, in.p, in.n);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(deterministic_examples_of_the_rfc_are_read_and_written_alike),
        T_CASE(other_encodings_are_malformed),
        T_CASE(every_beginning_of_an_item_is_truncated),
        T_CASE(a_huge_count_or_length_is_refused_at_once),
        T_CASE(sixteen_levels_are_read_and_seventeen_are_not),
        T_CASE(fields_come_out_of_a_map_as_its_grammar_says),
        T_CASE(a_wrong_type_fails_and_stays_failed),
        T_CASE(an_item_can_be_taken_as_bytes),
        T_CASE(changed_bytes_are_refused_or_mean_what_they_say),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
