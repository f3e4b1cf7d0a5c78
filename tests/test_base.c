// SPDX-License-Identifier: Apache-2.0
#include "base/date.h"
#include "base/ids.h"
#include "base/map.h"
#include "base/time.h"
#include "t.h"

static void a_reader_past_the_end_gives_zeros_and_says_so_once(void)
{
    uint8_t b[] = {1, 2, 3};
    struct sm_rd r = sm_rd_init(sm_view_of(b, sizeof b));
    T_EQ(sm_rd_u16(&r), 0x0201);
    T_EQ(sm_rd_u32(&r), 0);
    T_EQ(sm_rd_u8(&r), 0);
    T_ERR(sm_rd_done(&r), SM_E_TRUNCATED);
}

static void bytes_left_over_are_malformed(void)
{
    uint8_t b[] = {1, 2, 3};
    struct sm_rd r = sm_rd_init(sm_view_of(b, sizeof b));
    sm_rd_u8(&r);
    T_ERR(sm_rd_done(&r), SM_E_MALFORMED);
}

static void a_blob_longer_than_its_maximum_is_malformed(void)
{
    uint8_t b[] = {9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct sm_rd r = sm_rd_init(sm_view_of(b, sizeof b));
    T_EQ(sm_rd_blob(&r, 8).n, 0);
    T_ERR(sm_rd_done(&r), SM_E_MALFORMED);
}

static void what_is_written_is_read(void)
{
    uint8_t b[64];
    struct sm_wr w = sm_wr_init(b, sizeof b);
    sm_wr_u8(&w, 7);
    size_t at = sm_wr_reserve_u32(&w);
    sm_wr_u16(&w, 0xbeef);
    sm_wr_u64(&w, 0x1122334455667788u);
    sm_wr_fill_u32(&w, at);
    struct sm_view v;
    T_OK(sm_wr_done(&w, &v));
    struct sm_rd r = sm_rd_init(v);
    T_EQ(sm_rd_u8(&r), 7);
    struct sm_view in = sm_rd_blob(&r, 100);
    T_OK(sm_rd_done(&r));
    T_EQ(in.n, 10);
    struct sm_rd q = sm_rd_init(in);
    T_EQ(sm_rd_u16(&q), 0xbeef);
    T_TRUE(sm_rd_u64(&q) == 0x1122334455667788u);
    T_OK(sm_rd_done(&q));
}

static void a_full_writer_stays_full(void)
{
    uint8_t b[3];
    struct sm_wr w = sm_wr_init(b, sizeof b);
    sm_wr_u32(&w, 1);
    sm_wr_u8(&w, 1);
    struct sm_view v;
    T_ERR(sm_wr_done(&w, &v), SM_E_LIMIT);
}

static void a_buffer_never_grows_past_its_maximum(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(100);
    uint8_t block[64] = {0};
    T_OK(sm_buf_add(&b, block, 64));
    T_ERR(sm_buf_add(&b, block, 64), SM_E_LIMIT);
    T_EQ(b.n, 64);
    T_OK(sm_buf_add(&b, block, 36));
    T_TRUE(b.cap <= 100);
    sm_buf_drop(&b, 99);
    T_EQ(b.n, 1);
}

static void text_forms_come_back_and_have_one_encoding(void)
{
    uint8_t in[32], out[32];
    for (size_t n = 0; n <= sizeof in; n++) {
        for (size_t i = 0; i < n; i++) {
            in[i] = (uint8_t)(i * 37 + n);
        }
        char hex[65], b32[SM_B32_LEN(32) + 1];
        sm_hex(in, n, hex);
        T_OK(sm_unhex(hex, strlen(hex), out, n));
        T_MEM(out, n, in, n);
        sm_b32(in, n, b32);
        T_EQ(strlen(b32), SM_B32_LEN(n));
        T_OK(sm_unb32(b32, strlen(b32), out, n));
        T_MEM(out, n, in, n);
    }
    char rfc[17];
    sm_b32("foobar", 6, rfc);
    T_STR(rfc, "mzxw6ytboi");                         /* RFC 4648, section 10 */
    T_ERR(sm_unb32("mz", 2, out, 1), SM_E_MALFORMED); /* spare bits set */
    T_ERR(sm_unhex("0g", 2, out, 1), SM_E_MALFORMED);
}

static void the_keyed_hash_is_siphash(void)
{
    uint8_t in[15]; /* appendix A of the SipHash paper */
    for (uint8_t i = 0; i < sizeof in; i++) {
        in[i] = i;
    }
    T_TRUE(sm_siphash(in, sizeof in, 0x0706050403020100u, 0x0f0e0d0c0b0a0908u) ==
           0xa129ca6149be45e5u);
}

static void a_map_finds_what_was_put_through_many_removals(void)
{
    struct sm_map m;
    T_OK(sm_map_init(&m, 8, 100, 1, t_seed()));
    uint64_t rng = t_seed() | 1;
    bool have[300] = {false};
    size_t count = 0;
    for (unsigned step = 0; step < 20000; step++) {
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        uint64_t key = (rng >> 33) % 300;
        uint32_t got = 0;
        T_EQ(sm_map_get(&m, &key, &got), have[key]);
        if (have[key]) {
            T_EQ(got, key * 3);
            T_TRUE(sm_map_del(&m, &key));
            have[key] = false;
            count--;
        } else if (count < 100) {
            T_OK(sm_map_put(&m, &key, (uint32_t)key * 3));
            have[key] = true;
            count++;
        } else {
            T_ERR(sm_map_put(&m, &key, 1), SM_E_LIMIT);
        }
        T_EQ(sm_map_count(&m), count);
    }
    sm_map_done(&m);
}

static void time_saturates(void)
{
    T_TRUE(sm_after(SM_NEVER, SM_S(1)).ns == UINT64_MAX);
    T_EQ(sm_between((struct sm_mono){5}, (struct sm_mono){3}).ns, 0);
}

static void dates_come_back_and_have_one_form(void)
{
    static const struct {
        const char *text;
        uint64_t s;
    } known[] = {
        {"1970-01-01T00:00:00Z", 0},          {"2000-02-29T12:00:00Z", 951825600},
        {"2024-02-29T23:59:59Z", 1709251199}, {"2024-03-01T00:00:00Z", 1709251200},
        {"2100-03-01T00:00:00Z", 4107542400}, {"9999-12-31T23:59:59Z", 253402300799},
    };
    static const char *const bad[] = {
        "2023-02-29T00:00:00Z", "2100-02-29T00:00:00Z",  "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z", "2023-01-32T00:00:00Z",  "2023-04-31T00:00:00Z",
        "2023-01-01T24:00:00Z", "2023-01-01T00:60:00Z",  "2023-01-01T00:00:60Z",
        "2023-01-01 00:00:00Z", "2023-01-01T00:00:00",   "2023-01-01T00:00:00Z ",
        "1969-12-31T23:59:59Z", "2023-01-01T00:00:0-1Z", "",
    };
    char out[SM_DATE_LEN + 1];
    struct sm_wall t;
    for (size_t i = 0; i < SM_COUNT(known); i++) {
        T_OK(sm_date_parse(sm_view_str(known[i].text), &t));
        T_EQ(t.s, known[i].s);
        sm_date_print(t, out);
        T_STR(out, known[i].text);
    }
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        T_ERR(sm_date_parse(sm_view_str(bad[i]), &t), SM_E_MALFORMED);
    }
    uint64_t x = t_seed();
    for (unsigned i = 0; i < 20000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        struct sm_wall a = {(x >> 16) % 253402300800u};
        sm_date_print(a, out);
        T_OK(sm_date_parse(sm_view_str(out), &t));
        T_EQ(t.s, a.s);
    }
    sm_date_print((struct sm_wall){UINT64_MAX}, out);
    T_STR(out, "9999-12-31T23:59:59Z");
}

static void every_error_has_words_a_name_and_an_exit_code(void)
{
    for (int v = -40; v <= 0; v++) {
        enum sm_err e = sm_err_from_i32(v);
        T_TRUE(strlen(sm_err_words(e)) > 0);
        T_TRUE(strncmp(sm_err_name(e), "SM_", 3) == 0);
        T_TRUE(sm_err_exit_code(e) >= 0 && sm_err_exit_code(e) <= 8);
    }
    T_EQ(sm_err_from_i32(-4000), SM_E_FAILED);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_reader_past_the_end_gives_zeros_and_says_so_once),
        T_CASE(bytes_left_over_are_malformed),
        T_CASE(a_blob_longer_than_its_maximum_is_malformed),
        T_CASE(what_is_written_is_read),
        T_CASE(a_full_writer_stays_full),
        T_CASE(a_buffer_never_grows_past_its_maximum),
        T_CASE(text_forms_come_back_and_have_one_encoding),
        T_CASE(the_keyed_hash_is_siphash),
        T_CASE(a_map_finds_what_was_put_through_many_removals),
        T_CASE(time_saturates),
        T_CASE(dates_come_back_and_have_one_form),
        T_CASE(every_error_has_words_a_name_and_an_exit_code),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
