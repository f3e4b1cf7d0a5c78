// SPDX-License-Identifier: Apache-2.0
#include "t.h"
#include "wire/record.h"

#define NOW 1700000000u

static struct sm_record_head head(uint8_t type)
{
    return (struct sm_record_head){
        .type = type,
        .network = 0x11223344,
        .seq = 7,
        .not_before = {NOW},
        .expires = {NOW + 3600},
    };
}

static struct sm_node_record node(void)
{
    struct sm_node_record rec = {
        .head = head(SM_RECORD_NODE),
        .index = 3,
        .platform = SM_PLATFORM_SOFTWARE,
        .flags = SM_NODE_GATEWAY | SM_NODE_SEE,
        .area = 9,
        .owner = "Hospital of St. Mary",
        .n_addrs = 2,
        .addrs = {{.family = 4, .ip = {127, 0, 0, 3}, .port = 7001},
                  {.family = 6, .ip = {[15] = 1}, .port = 7002}},
        .endorsement_n = 100,
    };
    memset(rec.node_id.b, 1, sizeof rec.node_id.b);
    memset(rec.sign_key, 2, sizeof rec.sign_key);
    memset(rec.dh_key, 3, sizeof rec.dh_key);
    memset(rec.measurement, 4, sizeof rec.measurement);
    memset(rec.endorsement, 5, rec.endorsement_n);
    return rec;
}

static struct sm_endpoint_record endpoint(void)
{
    struct sm_endpoint_record rec = {
        .head = head(SM_RECORD_ENDPOINT), .ep = 12, .kind = SM_ENDPOINT_SEE};
    memset(rec.node_id.b, 1, sizeof rec.node_id.b);
    memset(rec.sign_key, 6, sizeof rec.sign_key);
    memset(rec.dh_key, 7, sizeof rec.dh_key);
    memset(rec.measurement, 8, sizeof rec.measurement);
    return rec;
}

/* A whole record with a signature of 0xee bytes. */
static struct sm_view finish(struct sm_wr *w)
{
    uint8_t sig[SM_RECORD_SIG];
    memset(sig, 0xee, sizeof sig);
    sm_wr_bytes(w, sig, sizeof sig);
    struct sm_view v;
    T_OK(sm_wr_done(w, &v));
    return v;
}

static struct sm_view node_bytes(const struct sm_node_record *rec, uint8_t *buf, size_t cap)
{
    struct sm_wr w = sm_wr_init(buf, cap);
    sm_node_record_write(rec, &w);
    return finish(&w);
}

static struct sm_view endpoint_bytes(const struct sm_endpoint_record *rec, uint8_t *buf,
                                     size_t cap)
{
    struct sm_wr w = sm_wr_init(buf, cap);
    sm_endpoint_record_write(rec, &w);
    return finish(&w);
}

static void a_node_record_reads_back_as_written(void)
{
    uint8_t buf[SM_NODE_RECORD_MAX];
    struct sm_node_record rec = node(), back;
    struct sm_view v = node_bytes(&rec, buf, sizeof buf);
    T_OK(sm_node_record_read(v, &back));
    T_MEM(&back, sizeof back, &rec, sizeof rec);
}

static void the_largest_node_record_fits_its_maximum_exactly(void)
{
    uint8_t buf[SM_NODE_RECORD_MAX];
    struct sm_node_record rec = node(), back;
    memset(rec.owner, 'x', SM_NODE_OWNER_MAX);
    rec.n_addrs = SM_NODE_ADDRS_MAX;
    rec.addrs[2] = rec.addrs[0];
    rec.addrs[3] = rec.addrs[1];
    rec.endorsement_n = SM_NODE_ENDORSEMENT_MAX;
    struct sm_view v = node_bytes(&rec, buf, sizeof buf);
    T_EQ(v.n, SM_NODE_RECORD_MAX);
    T_OK(sm_node_record_read(v, &back));
    T_MEM(&back, sizeof back, &rec, sizeof rec);
}

static void every_truncation_of_a_record_is_refused(void)
{
    uint8_t buf[SM_NODE_RECORD_MAX];
    struct sm_node_record rec = node(), back;
    struct sm_view v = node_bytes(&rec, buf, sizeof buf);
    for (size_t n = 0; n < v.n; n++) {
        T_TRUE(sm_node_record_read(sm_view_sub(v, 0, n), &back) != SM_OK);
    }
    struct sm_endpoint_record erec = endpoint(), eback;
    v = endpoint_bytes(&erec, buf, sizeof buf);
    T_EQ(v.n, SM_ENDPOINT_RECORD_BYTES);
    T_OK(sm_endpoint_record_read(v, &eback));
    T_MEM(&eback, sizeof eback, &erec, sizeof erec);
    for (size_t n = 0; n < v.n; n++) {
        T_TRUE(sm_endpoint_record_read(sm_view_sub(v, 0, n), &eback) != SM_OK);
    }
}

static void what_reads_with_a_flipped_bit_writes_to_the_same_bytes(void)
{
    uint8_t buf[SM_NODE_RECORD_MAX], again[SM_NODE_RECORD_MAX];
    struct sm_node_record rec = node(), back;
    struct sm_view v = node_bytes(&rec, buf, sizeof buf);
    for (size_t bit = 0; bit < (v.n - SM_RECORD_SIG) * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (sm_node_record_read(v, &back) == SM_OK) {
            struct sm_wr w = sm_wr_init(again, sizeof again);
            sm_node_record_write(&back, &w);
            T_MEM(again, w.n, buf, v.n - SM_RECORD_SIG);
        }
        buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void broken_rules_of_a_node_record_are_malformed(void)
{
    uint8_t buf[SM_NODE_RECORD_MAX + 1];
    struct sm_node_record back;
    struct sm_node_record bad[9];
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        bad[i] = node();
    }
    bad[0].index = SM_NODE_INDEXES;
    bad[1].platform = SM_PLATFORMS;
    bad[2].flags = SM_NODE_FLAGS + 1;
    bad[3].owner[4] = '\n';
    bad[4].addrs[0].family = 5;
    bad[5].addrs[0].ip[4] = 1;
    bad[6].addrs[1].port = 0;
    bad[7].head.expires = bad[7].head.not_before;
    bad[8].owner[0] = (char)0x80;
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        struct sm_view v = node_bytes(&bad[i], buf, sizeof buf);
        T_ERR(sm_node_record_read(v, &back), SM_E_MALFORMED);
    }
    struct sm_node_record good = node();
    struct sm_view v = node_bytes(&good, buf, sizeof buf);
    buf[v.n] = 0;
    T_ERR(sm_node_record_read(sm_view_of(buf, v.n + 1), &back), SM_E_MALFORMED);
    struct sm_endpoint_record eback, erec = endpoint();
    erec.ep = SM_EP_NODE;
    T_ERR(sm_endpoint_record_read(endpoint_bytes(&erec, buf, sizeof buf), &eback),
          SM_E_MALFORMED);
    erec = endpoint();
    erec.kind = SM_ENDPOINT_NODE;
    T_ERR(sm_endpoint_record_read(endpoint_bytes(&erec, buf, sizeof buf), &eback),
          SM_E_MALFORMED);
}

static void times_allow_a_minute_of_skew_and_no_more(void)
{
    struct sm_record_head h = head(SM_RECORD_NODE);
    T_OK(sm_record_times(&h, (struct sm_wall){NOW}));
    T_OK(sm_record_times(&h, (struct sm_wall){NOW - 60}));
    T_ERR(sm_record_times(&h, (struct sm_wall){NOW - 61}), SM_E_EXPIRED);
    T_OK(sm_record_times(&h, (struct sm_wall){NOW + 3600 + 59}));
    T_ERR(sm_record_times(&h, (struct sm_wall){NOW + 3600 + 60}), SM_E_EXPIRED);
    h.not_before.s = UINT64_MAX - 1;
    h.expires.s = UINT64_MAX;
    T_ERR(sm_record_times(&h, (struct sm_wall){0}), SM_E_EXPIRED);
    T_OK(sm_record_times(&h, (struct sm_wall){UINT64_MAX}));
}

static void the_signed_bytes_carry_the_prefix(void)
{
    uint8_t buf[64];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    sm_record_to_sign(sm_view_str("body"), &w);
    T_MEM(buf, w.n, "seemesh/rec/1body", 17);
}

static void a_passport_cuts_into_what_it_was_made_of(void)
{
    uint8_t nb[SM_NODE_RECORD_MAX], eb[SM_ENDPOINT_RECORD_BYTES], pb[SM_PASSPORT_MAX];
    struct sm_node_record nrec = node();
    struct sm_endpoint_record erec = endpoint();
    struct sm_view nv = node_bytes(&nrec, nb, sizeof nb);
    struct sm_view ev = endpoint_bytes(&erec, eb, sizeof eb);
    struct sm_view out_n, out_e, p;
    struct sm_wr w = sm_wr_init(pb, sizeof pb);
    sm_passport_write(nv, ev, &w);
    T_OK(sm_wr_done(&w, &p));
    T_OK(sm_passport_read(p, &out_n, &out_e));
    T_TRUE(sm_view_eq(nv, out_n) && sm_view_eq(ev, out_e));
    for (size_t n = 0; n < p.n; n++) {
        T_ERR(sm_passport_read(sm_view_sub(p, 0, n), &out_n, &out_e), SM_E_TRUNCATED);
    }
    w = sm_wr_init(pb, sizeof pb);
    sm_passport_write(nv, (struct sm_view){0}, &w);
    T_OK(sm_wr_done(&w, &p));
    T_OK(sm_passport_read(p, &out_n, &out_e));
    T_EQ(out_e.n, 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_node_record_reads_back_as_written),
        T_CASE(the_largest_node_record_fits_its_maximum_exactly),
        T_CASE(every_truncation_of_a_record_is_refused),
        T_CASE(what_reads_with_a_flipped_bit_writes_to_the_same_bytes),
        T_CASE(broken_rules_of_a_node_record_are_malformed),
        T_CASE(times_allow_a_minute_of_skew_and_no_more),
        T_CASE(the_signed_bytes_carry_the_prefix),
        T_CASE(a_passport_cuts_into_what_it_was_made_of),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
