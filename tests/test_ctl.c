// SPDX-License-Identifier: Apache-2.0
#include "t.h"

#include "wire/ctl.h"
#include <string.h>

static void a_packet_comes_back_and_has_one_encoding(void)
{
    uint8_t bytes[64];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_ctl_packet m = {.peer = {{7}, 3}, .slot = 2, .payload = sm_view_str("payload")};
    sm_ctl_packet_write(&w, &m);
    struct sm_view whole;
    T_OK(sm_wr_done(&w, &whole));
    struct sm_ctl_packet got;
    T_OK(sm_ctl_packet_read(whole, &got));
    T_EQ(got.peer.node.v, 7);
    T_EQ(got.peer.ep, 3);
    T_EQ(got.slot, 2);
    T_MEM(got.payload.p, got.payload.n, "payload", 7);
    for (unsigned i = 13; i < 16; i++) { /* found by fuzz_ctl: what pads may not vary */
        bytes[i] = 1;
        T_ERR(sm_ctl_packet_read(whole, &got), SM_E_MALFORMED);
        bytes[i] = 0;
    }
    for (size_t n = 0; n < 16; n++) {
        T_ERR(sm_ctl_packet_read(sm_view_of(bytes, n), &got), SM_E_TRUNCATED);
    }
}

static void a_found_list_holds_as_many_records_as_it_says(void)
{
    uint8_t bytes[64];
    struct sm_ctl_found got;
    for (uint16_t says = 0; says < 4; says++) {
        struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
        sm_wr_u16(&w, 5);
        sm_wr_u8(&w, 1);
        sm_wr_u16(&w, says);
        sm_wr_blob(&w, sm_view_str("one"));
        sm_wr_blob(&w, sm_view_str("two"));
        struct sm_view whole;
        T_OK(sm_wr_done(&w, &whole));
        T_EQ(sm_ctl_found_read(whole, &got) == SM_OK, says == 2);
    }
}

static void a_head_that_promises_too_much_is_refused(void)
{
    struct sm_ctl_head h = {SM_CTL_BODY_MAX, SM_CTL_QUERY, SM_CTL_REPLY, 9}, got;
    uint8_t bytes[SM_CTL_HEAD];
    sm_ctl_head_write(&h, bytes);
    T_OK(sm_ctl_head_read(sm_view_of(bytes, sizeof bytes), &got));
    T_EQ(got.id, 9);
    h.body_n++;
    sm_ctl_head_write(&h, bytes);
    T_ERR(sm_ctl_head_read(sm_view_of(bytes, sizeof bytes), &got), SM_E_MALFORMED);
    T_ERR(sm_ctl_head_read(sm_view_of(bytes, 15), &got), SM_E_TRUNCATED);
}

static void an_interface_has_a_name_that_needs_no_quoting(void)
{
    static const char *const good[] = {"seemesh0", "a", "fifteen-letters", "a.b_C-9"};
    static const char *const bad[] = {"", "a b", "a/b", "a\n", "sixteen-letters-"};
    uint8_t room[64];
    struct sm_ctl_tun m = {.mtu = 1400}, back;
    for (size_t i = 0; i < SM_COUNT(good); i++) {
        struct sm_wr w = sm_wr_init(room, sizeof room);
        memset(m.name, 0, sizeof m.name);
        memcpy(m.name, good[i], strlen(good[i]));
        sm_ctl_tun_write(&w, &m);
        T_OK(sm_ctl_tun_read(sm_view_of(room, w.n), &back));
        T_EQ(back.mtu, 1400);
        T_TRUE(strcmp(back.name, good[i]) == 0);
        T_ERR(sm_ctl_tun_read(sm_view_of(room, w.n - 1), &back), SM_E_TRUNCATED);
    }
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        struct sm_wr w = sm_wr_init(room, sizeof room);
        sm_wr_u32(&w, 1400);
        sm_wr_blob(&w, sm_view_str(bad[i]));
        T_TRUE(sm_ctl_tun_read(sm_view_of(room, w.n), &back) != SM_OK);
    }
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_packet_comes_back_and_has_one_encoding),
        T_CASE(a_found_list_holds_as_many_records_as_it_says),
        T_CASE(a_head_that_promises_too_much_is_refused),
        T_CASE(an_interface_has_a_name_that_needs_no_quoting),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
