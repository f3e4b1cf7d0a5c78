// SPDX-License-Identifier: Apache-2.0
#include "core/trust.h"

#include "t.h"

#define MINUTE SM_S(60)
#define HOUR   SM_S(3600)

static struct sm_mono now;
static uint64_t rng;

static bool happens(uint32_t per_1000)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (rng >> 33) % 1000 < per_1000;
}

static struct sm_node_id id_of(unsigned n)
{
    struct sm_node_id id = {{0}};
    sm_put_le32(id.b, n);
    return id;
}

/* Node n, on the platform of the same number. */
static void appraise(struct sm_trust *t, unsigned n)
{
    struct sm_node_id id = id_of(n);
    uint8_t platform[32] = {0};
    sm_put_le32(platform, n + 1000);
    T_OK(sm_trust_appraise(t, now, &id, platform, SM_PLATFORM_SOFTWARE, SM_S(0)));
}

static struct sm_trust *table(size_t nodes_max)
{
    struct sm_trust_cfg cfg = {.nodes_max = nodes_max, .grade = {[SM_PLATFORM_SOFTWARE] = 950}};
    struct sm_trust *t = sm_trust_new(&cfg);
    T_TRUE(t != NULL);
    now = SM_NEVER;
    now.ns = 1000000000u;
    return t;
}

static uint32_t score(const struct sm_trust *t, unsigned n)
{
    struct sm_node_id id = id_of(n);
    return sm_trust_score(t, now, &id);
}

static bool observe(struct sm_trust *t, unsigned n, enum sm_trust_kind kind)
{
    struct sm_node_id id = id_of(n);
    return sm_trust_observe(t, now, &id, kind);
}

static void good_ones(struct sm_trust *t, unsigned n, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        T_TRUE(!observe(t, n, SM_TRUST_OK));
    }
}

static unsigned bad_acts_until_excluded(struct sm_trust *t, unsigned n, enum sm_trust_kind kind)
{
    for (unsigned acts = 1; acts < 1000; acts++) {
        if (observe(t, n, kind)) {
            return acts;
        }
    }
    return 1000;
}

static void a_newcomer_starts_at_nine_tenths_of_its_grade(void)
{
    struct sm_trust *t = table(4);
    T_EQ(score(t, 1), 0);
    appraise(t, 1);
    T_TRUE(score(t, 1) >= 62259 * 89 / 100);
    T_TRUE(score(t, 1) <= 62259 * 92 / 100);
    good_ones(t, 1, 3000);
    T_TRUE(score(t, 1) > 62259 * 99 / 100);
    T_TRUE(score(t, 1) <= 62259);
    sm_trust_free(t);
}

static void no_record_however_long_buys_more_than_five_bad_acts(void)
{
    static const unsigned good[] = {0, 10, 100, 1000, 10000, 100000};
    for (size_t i = 0; i < SM_COUNT(good); i++) {
        struct sm_trust *t = table(4);
        appraise(t, 1);
        good_ones(t, 1, good[i]);
        T_TRUE(bad_acts_until_excluded(t, 1, SM_TRUST_WRONG) <= 5);
        T_EQ(score(t, 1), 0);
        sm_trust_free(t);
    }
}

/* The attacker of the notes: it sees its score, behaves until comfortably trusted, misbehaves
 * until excluded, and waits the quarantine out; one interaction a minute. */
static void an_on_off_attacker_gets_away_with_little(void)
{
    struct sm_trust *t = table(4);
    appraise(t, 1);
    good_ones(t, 1, 2000);
    unsigned bad = 0, in_a_row = 0, exclusions = 0;
    for (unsigned minute = 0; minute < 100000; minute++) {
        now = sm_after(now, MINUTE);
        appraise(t, 1);
        if (score(t, 1) == 0) {
            continue; /* quarantined: nobody asks it anything */
        }
        bool is_comfortable = score(t, 1) > 62259 * 97 / 100;
        if (in_a_row == 0 && !is_comfortable) {
            observe(t, 1, SM_TRUST_OK);
            continue;
        }
        bad++;
        in_a_row++;
        T_TRUE(in_a_row <= 5);
        if (observe(t, 1, SM_TRUST_WRONG)) {
            exclusions++;
            in_a_row = 0;
        }
    }
    T_TRUE(exclusions >= 3);
    T_TRUE(bad <= 50); /* 5 in 10,000 */
    sm_trust_free(t);
}

static unsigned false_exclusions(uint32_t failures_per_1000)
{
    struct sm_trust *t = table(4);
    appraise(t, 1);
    unsigned excluded = 0;
    for (unsigned i = 0; i < 100000; i++) {
        if (observe(t, 1, happens(failures_per_1000) ? SM_TRUST_WRONG : SM_TRUST_OK)) {
            excluded++;
            now = sm_after(now, SM_S(3600u * 24u * 365u));
        }
    }
    sm_trust_free(t);
    return excluded;
}

static void honest_nodes_that_fail_sometimes_stay(void)
{
    rng = 10;
    T_EQ(false_exclusions(10), 0);
    rng = t_seed(); /* one seed in a hundred has one; three are one in a million */
    T_TRUE(false_exclusions(10) <= 2);
    rng = 20; /* at 3 % five failures of ten do happen: a fixed stream */
    T_TRUE(false_exclusions(30) <= 1);
    rng = t_seed();
    T_TRUE(false_exclusions(100) > 0); /* and the bar does hold someone */
}

static void worse_kinds_weigh_more(void)
{
    struct sm_trust *t = table(8);
    unsigned acts[SM_TRUST_KINDS];
    for (unsigned kind = SM_TRUST_WRONG; kind <= SM_TRUST_FORGED; kind++) {
        appraise(t, kind);
        good_ones(t, kind, 1000);
        acts[kind] = bad_acts_until_excluded(t, kind, (enum sm_trust_kind)kind);
    }
    T_TRUE(acts[SM_TRUST_WRONG] > acts[SM_TRUST_BAD_HASH]);
    T_EQ(acts[SM_TRUST_FORGED], 1);
    now = sm_after(now, SM_S(3600u * 24u * 3650u));
    appraise(t, SM_TRUST_FORGED);
    appraise(t, SM_TRUST_TIMEOUT);
    T_EQ(score(t, SM_TRUST_FORGED), 0); /* for good */
    T_TRUE(score(t, SM_TRUST_TIMEOUT) > 0);
    sm_trust_free(t);
}

static void a_revoked_node_has_no_trust_until_it_is_believed_again(void)
{
    struct sm_trust *t = table(8);
    struct sm_trust_explain x;
    struct sm_node_id id = id_of(1);
    appraise(t, 1);
    good_ones(t, 1, 50);
    (void)bad_acts_until_excluded(t, 1, SM_TRUST_WRONG); /* one strike */
    now = sm_after(now, SM_S(2 * 3600));
    T_TRUE(score(t, 1) > 0);
    sm_trust_revoke(t, &id);
    T_EQ(score(t, 1), 0);
    T_OK(sm_trust_explain(t, now, &id, &x));
    T_TRUE(x.is_revoked && x.rows[SM_TRUST_ROW_GATE].value_q16 == 0);
    T_TRUE(strstr(x.rows[SM_TRUST_ROW_GATE].raise, "revoked") != NULL);
    good_ones(t, 1, 50); /* behaviour does not open it */
    T_EQ(score(t, 1), 0);
    appraise(t, 1);
    T_TRUE(score(t, 1) > 0);
    T_OK(sm_trust_explain(t, now, &id, &x));
    T_EQ(x.strikes, 1); /* what it did stays with its platform */
    sm_trust_free(t);
}

static void silence_lowers_the_score_and_excludes_nobody(void)
{
    struct sm_trust *t = table(4);
    appraise(t, 1);
    uint32_t before = score(t, 1);
    T_TRUE(!observe(t, 1, SM_TRUST_TIMEOUT));
    uint32_t once = score(t, 1);
    T_TRUE(once < before);
    for (unsigned i = 0; i < 1000; i++) { /* one outage, noticed often */
        T_TRUE(!observe(t, 1, SM_TRUST_TIMEOUT));
    }
    T_EQ(score(t, 1), once);
    for (unsigned i = 0; i < 10; i++) {
        now = sm_after(now, SM_S(60));
        T_TRUE(!observe(t, 1, SM_TRUST_TIMEOUT));
    }
    T_TRUE(score(t, 1) < SM_TRUST_MIN); /* carries nothing now */
    good_ones(t, 1, 10);
    T_TRUE(score(t, 1) > SM_TRUST_MIN); /* but may again */
    sm_trust_free(t);
}

static void quarantine_doubles_and_thirty_clean_days_forgive_one_strike(void)
{
    struct sm_trust *t = table(4);
    struct sm_node_id id = id_of(1);
    struct sm_trust_explain e;
    appraise(t, 1);
    uint64_t hours = 1;
    for (unsigned strike = 1; strike <= 14; strike++) {
        bad_acts_until_excluded(t, 1, SM_TRUST_WRONG);
        T_OK(sm_trust_explain(t, now, &id, &e));
        T_EQ(e.strikes, strike < 12 ? strike : 12);
        T_EQ(e.quarantine_left.ns, HOUR.ns * hours);
        T_TRUE(!observe(t, 1, SM_TRUST_WRONG)); /* nothing happens meanwhile */
        now = sm_after(now, (struct sm_dur){HOUR.ns * hours - 1});
        appraise(t, 1);
        T_EQ(score(t, 1), 0);
        now.ns++;
        T_TRUE(score(t, 1) > 0);
        hours = hours < 2048 ? hours * 2 : 2048;
    }
    now = sm_after(now, SM_S(3600u * 24u * 61u));
    appraise(t, 1);
    T_OK(sm_trust_explain(t, now, &id, &e));
    T_EQ(e.strikes, 10);
    sm_trust_free(t);
}

static void an_old_appraisal_fades_and_ends(void)
{
    struct sm_trust *t = table(4);
    appraise(t, 1);
    uint32_t fresh = score(t, 1), last = fresh;
    now = sm_after(now, HOUR);
    T_EQ(score(t, 1), fresh);
    for (unsigned h = 1; h <= 23; h++) {
        now = sm_after(now, MINUTE);
        T_TRUE(score(t, 1) < last);
        last = score(t, 1);
        now = sm_after(now, SM_S(3600 - 60));
    }
    now.ns = 1000000000u + 13 * HOUR.ns;
    T_TRUE(score(t, 1) >= fresh / 2 - 2);
    T_TRUE(score(t, 1) <= fresh / 2 + 2);
    now.ns = 1000000000u + 24 * HOUR.ns + 1;
    T_EQ(score(t, 1), 0);
    appraise(t, 1);
    T_EQ(score(t, 1), fresh);
    sm_trust_free(t);
}

static void a_new_id_on_an_old_platform_brings_its_past_along(void)
{
    struct sm_trust *t = table(4);
    struct sm_node_id other = id_of(99);
    uint8_t platform[32] = {0};
    appraise(t, 1);
    bad_acts_until_excluded(t, 1, SM_TRUST_BAD_HASH);
    sm_put_le32(platform, 1001);
    T_OK(sm_trust_appraise(t, now, &other, platform, SM_PLATFORM_SOFTWARE, SM_S(0)));
    T_EQ(score(t, 99), 0);
    sm_trust_free(t);
}

static void a_full_table_forgets_the_unseen_but_never_a_strike(void)
{
    struct sm_trust *t = table(4);
    for (unsigned n = 1; n <= 4; n++) {
        now = sm_after(now, MINUTE);
        appraise(t, n);
    }
    bad_acts_until_excluded(t, 1, SM_TRUST_WRONG);
    now = sm_after(now, MINUTE);
    appraise(t, 5); /* 2 is the longest unseen without a strike */
    T_EQ(score(t, 2), 0);
    T_TRUE(score(t, 3) > 0);
    T_TRUE(score(t, 5) > 0);
    for (unsigned n = 3; n <= 5; n++) {
        bad_acts_until_excluded(t, n, SM_TRUST_WRONG);
    }
    struct sm_node_id id = id_of(6);
    uint8_t platform[32] = {6};
    T_ERR(sm_trust_appraise(t, now, &id, platform, SM_PLATFORM_SOFTWARE, SM_S(0)), SM_E_LIMIT);
    T_EQ(score(t, 6), 0);
    sm_trust_free(t);
}

static void platforms_without_a_grade_are_nobody(void)
{
    struct sm_trust *t = table(4);
    struct sm_node_id id = id_of(1);
    uint8_t platform[32] = {1};
    T_OK(sm_trust_appraise(t, now, &id, platform, SM_PLATFORM_TDX, SM_S(0)));
    T_EQ(score(t, 1), 0);
    T_OK(sm_trust_appraise(t, now, &id, platform, 250, SM_S(0)));
    T_EQ(score(t, 1), 0);
    sm_trust_free(t);
}

static void explain_multiplies_up_to_the_score(void)
{
    struct sm_trust *t = table(4);
    appraise(t, 1);
    good_ones(t, 1, 50);
    observe(t, 1, SM_TRUST_TIMEOUT);
    struct sm_node_id id = id_of(1);
    struct sm_trust_explain e;
    T_OK(sm_trust_explain(t, now, &id, &e));
    uint32_t fast = e.rows[SM_TRUST_ROW_FAST].value_q16;
    uint32_t slow = e.rows[SM_TRUST_ROW_SLOW].value_q16;
    uint64_t b = fast < slow ? fast : slow;
    T_EQ(e.t_q16, score(t, 1));
    T_EQ(e.t_q16, e.rows[SM_TRUST_ROW_GRADE].value_q16 * b >> 16);
    T_EQ(e.seen[SM_TRUST_OK], 50);
    T_EQ(e.seen[SM_TRUST_TIMEOUT], 1);
    T_STR(e.rows[SM_TRUST_ROW_GATE].raise, "");
    for (unsigned i = 0; i < SM_TRUST_ROWS; i++) {
        T_TRUE(e.rows[i].without_q16 >= e.t_q16);
    }
    T_TRUE(e.rows[SM_TRUST_ROW_GRADE].without_q16 > e.t_q16);
    id = id_of(2);
    T_ERR(sm_trust_explain(t, now, &id, &e), SM_E_NOTFOUND);
    sm_trust_free(t);
}

static void evidence_saturates(void)
{
    struct sm_trust *t = table(4);
    appraise(t, 1);
    good_ones(t, 1, 200000);
    uint32_t top = score(t, 1);
    good_ones(t, 1, 200000);
    T_EQ(score(t, 1), top);
    T_TRUE(bad_acts_until_excluded(t, 1, SM_TRUST_WRONG) <= 20);
    sm_trust_free(t);
}

/* -- kept bytes -------------------------------------------------------------------------- */

static void what_was_learned_survives_a_restart(void)
{
    struct sm_trust *t = table(4);
    const struct sm_wall wall = {1700000000u};
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(4096);
    SM_CLEANUP(sm_buf_done) struct sm_buf again = SM_BUF(4096);
    for (unsigned n = 1; n <= 3; n++) {
        appraise(t, n);
        good_ones(t, n, 40 * n);
    }
    bad_acts_until_excluded(t, 2, SM_TRUST_WRONG);
    observe(t, 3, SM_TRUST_FORGED);
    T_OK(sm_trust_save(t, now, wall, &b));
    uint32_t was = score(t, 1);
    sm_trust_free(t);

    t = table(4);
    now.ns += 5000000000u; /* another boot, another clock */
    T_OK(sm_trust_load(t, now, wall, sm_buf_view(&b)));
    T_OK(sm_trust_save(t, now, wall, &again));
    T_MEM(again.p, again.n, b.p, b.n);
    T_EQ(score(t, 1), 0); /* not yet appraised */
    for (unsigned n = 1; n <= 3; n++) {
        appraise(t, n);
    }
    T_EQ(score(t, 1), was);
    T_EQ(score(t, 2), 0);
    T_EQ(score(t, 3), 0);
    now = sm_after(now, HOUR);
    T_TRUE(score(t, 2) > 0);
    T_EQ(score(t, 3), 0);
    T_ERR(sm_trust_load(t, now, wall, sm_buf_view(&b)), SM_E_STATE);
    sm_trust_free(t);
}

static void damaged_bytes_leave_an_empty_table(void)
{
    struct sm_trust *t = table(4);
    const struct sm_wall wall = {1700000000u};
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(4096);
    appraise(t, 1);
    appraise(t, 2);
    T_OK(sm_trust_save(t, now, wall, &b));
    sm_trust_free(t);
    t = table(4);
    for (size_t n = 0; n < b.n; n++) {
        T_TRUE(sm_trust_load(t, now, wall, sm_view_of(b.p, n)) != SM_OK);
    }
    b.p[4] = 2;
    T_ERR(sm_trust_load(t, now, wall, sm_buf_view(&b)), SM_E_VERSION);
    b.p[4] = 1;
    b.p[8] = 5; /* more than the table holds */
    T_ERR(sm_trust_load(t, now, wall, sm_buf_view(&b)), SM_E_LIMIT);
    b.p[8] = 2;
    b.p[12 + 33] = 13; /* strikes */
    T_ERR(sm_trust_load(t, now, wall, sm_buf_view(&b)), SM_E_MALFORMED);
    b.p[12 + 33] = 0;
    memcpy(b.p + 12 + 106, b.p + 12, 32); /* a platform twice */
    T_ERR(sm_trust_load(t, now, wall, sm_buf_view(&b)), SM_E_MALFORMED);
    appraise(t, 1);
    T_TRUE(score(t, 1) > 0);
    sm_trust_free(t);
}

/* -- arithmetic -------------------------------------------------------------------------- */

static void less_trust_never_costs_less(void)
{
    uint32_t last = sm_neg_ln_q16(1);
    T_TRUE(last >= 726800);
    T_TRUE(last <= 726830);
    for (uint32_t t = 2; t <= SM_Q16_ONE; t++) {
        uint32_t cost = sm_neg_ln_q16(t);
        T_TRUE(cost <= last);
        last = cost;
    }
    T_EQ(last, 0);
    static const uint32_t known[][2] = {/* t, -ln(t / 65536) * 65536 */
                                        {64881, 658},   {62259, 3362},  {58982, 6905},
                                        {52428, 14625}, {32768, 45426}, {6553, 150908}};
    for (size_t i = 0; i < SM_COUNT(known); i++) {
        uint32_t got = sm_neg_ln_q16(known[i][0]);
        T_TRUE(got + 2 >= known[i][1]);
        T_TRUE(got <= known[i][1] + 2);
    }
}

static void powers_and_classes_are_monotone(void)
{
    uint32_t last = sm_exp2_neg_q16(0);
    T_EQ(last, SM_Q16_ONE);
    for (uint64_t x = 1; x < 18u << 16; x++) {
        uint32_t v = sm_exp2_neg_q16(x);
        T_TRUE(v <= last);
        last = v;
    }
    T_EQ(last, 0);
    T_EQ(sm_exp2_neg_q16(1u << 16), SM_Q16_ONE / 2);
    for (unsigned c = 1; c <= SM_CLASS_MAX; c++) {
        uint32_t units = sm_class_units((uint8_t)c);
        T_TRUE(units >= sm_class_units((uint8_t)(c - 1)));
        T_TRUE(sm_class_units(sm_class_of(units)) == units);
        T_TRUE(c < 12 || sm_class_of(units) == c);
        T_TRUE(c < 12 || sm_class_of(units - 1) == c - 1);
    }
    T_EQ(sm_class_of(UINT32_MAX), SM_CLASS_MAX);
    T_EQ(sm_class_units(255), 1u << 20);
    T_EQ(sm_class_follow(40, sm_class_units(41)), 40);
    T_EQ(sm_class_follow(40, sm_class_units(39)), 40);
    T_EQ(sm_class_follow(40, sm_class_units(42)), 42);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_newcomer_starts_at_nine_tenths_of_its_grade),
        T_CASE(no_record_however_long_buys_more_than_five_bad_acts),
        T_CASE(an_on_off_attacker_gets_away_with_little),
        T_CASE(honest_nodes_that_fail_sometimes_stay),
        T_CASE(worse_kinds_weigh_more),
        T_CASE(silence_lowers_the_score_and_excludes_nobody),
        T_CASE(quarantine_doubles_and_thirty_clean_days_forgive_one_strike),
        T_CASE(an_old_appraisal_fades_and_ends),
        T_CASE(a_new_id_on_an_old_platform_brings_its_past_along),
        T_CASE(a_full_table_forgets_the_unseen_but_never_a_strike),
        T_CASE(platforms_without_a_grade_are_nobody),
        T_CASE(explain_multiplies_up_to_the_score),
        T_CASE(evidence_saturates),
        T_CASE(what_was_learned_survives_a_restart),
        T_CASE(damaged_bytes_leave_an_empty_table),
        T_CASE(a_revoked_node_has_no_trust_until_it_is_believed_again),
        T_CASE(less_trust_never_costs_less),
        T_CASE(powers_and_classes_are_monotone),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
