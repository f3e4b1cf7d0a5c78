// SPDX-License-Identifier: Apache-2.0
#include "core/job.h"
#include "t.h"

enum { UNITS = 40, WORKERS = 5 };

struct world {
    struct sm_job *job;
    struct sm_mono now;
    uint64_t rng;
    bool is_up[WORKERS];
    struct {
        bool is_running;
        uint32_t unit;
        uint64_t fence;
        struct sm_mono ends;
    } on[WORKERS];
    uint64_t newest_fence;
    enum sm_job_do end;
    enum sm_err err;
    uint32_t cancels, runs;
};

static struct world world_of(uint32_t units, struct sm_dur limit)
{
    struct sm_job_cfg cfg = {.units = units, .workers_max = WORKERS, .attempt_limit = limit};
    struct world w = {.job = sm_job_new(&cfg), .now = {1}, .rng = t_seed() | 1};
    T_TRUE(w.job != NULL);
    return w;
}

static uint64_t draw(struct world *w, uint64_t n)
{
    w->rng = w->rng * 6364136223846793005u + 1442695040888963407u;
    return (w->rng >> 33) % n;
}

/* Take the driver's wishes; work on worker `slow` takes far longer. */
static void obey(struct world *w, uint32_t slow)
{
    struct sm_job_out o;
    while (sm_job_next(w->job, &o)) {
        if (o.what == SM_JOB_RUN) {
            T_TRUE(w->is_up[o.worker]);
            T_TRUE(!w->on[o.worker].is_running);
            T_TRUE(o.fence > w->newest_fence); /* fences only rise */
            w->newest_fence = o.fence;
            w->runs++;
            w->on[o.worker].is_running = true;
            w->on[o.worker].unit = o.unit;
            w->on[o.worker].fence = o.fence;
            struct sm_dur d = o.worker == slow ? SM_S(1000) : SM_MS(100 + draw(w, 50));
            w->on[o.worker].ends = sm_after(w->now, d);
        } else if (o.what == SM_JOB_CANCEL) {
            w->on[o.worker].is_running = false;
            w->cancels++;
        } else {
            w->end = o.what;
            w->err = o.err;
        }
    }
}

static void up(struct world *w, uint32_t worker)
{
    w->is_up[worker] = true;
    sm_job_worker_up(w->job, w->now, worker);
}

/* Let time pass to the next end of work or deadline. */
static void advance(struct world *w, enum sm_job_end how)
{
    struct sm_mono next = sm_job_deadline(w->job);
    uint32_t who = WORKERS;
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (w->on[i].is_running && w->on[i].ends.ns <= next.ns) {
            next = w->on[i].ends;
            who = i;
        }
    }
    w->now = next;
    if (who == WORKERS) {
        sm_job_tick(w->job, w->now);
        return;
    }
    w->on[who].is_running = false;
    T_OK(sm_job_ended(w->job, w->now, w->on[who].unit, w->on[who].fence, how, SM_E_TRAP));
}

static void every_unit_gets_one_result(void)
{
    struct world w = world_of(UNITS, SM_S(60));
    for (uint32_t i = 0; i < WORKERS; i++) {
        up(&w, i);
    }
    obey(&w, WORKERS);
    while (w.end == 0) {
        advance(&w, SM_JOB_END_OK);
        obey(&w, WORKERS);
    }
    T_EQ(w.end, SM_JOB_DONE);
    T_EQ(sm_job_done_count(w.job), UNITS);
    for (uint32_t u = 0; u < UNITS; u++) {
        T_TRUE(sm_job_unit(w.job, u).is_done);
    }
    sm_job_free(w.job);
}

static void an_attempt_out_of_time_takes_its_worker_out_and_says_so(void)
{
    struct world w = world_of(1, SM_S(10));
    struct sm_job_out o;
    sm_job_worker_up(w.job, w.now, 0);
    T_TRUE(sm_job_next(w.job, &o));
    T_EQ(o.what, SM_JOB_RUN);
    w.now = sm_after(w.now, SM_S(10));
    sm_job_tick(w.job, w.now);
    T_TRUE(sm_job_next(w.job, &o));
    T_EQ(o.what, SM_JOB_CANCEL);
    T_EQ(o.err, SM_E_TIMEOUT); /* not a hedge that lost: the user of the driver must know */
    T_TRUE(!sm_job_next(w.job, &o));
    sm_job_worker_up(w.job, w.now, 1);
    T_TRUE(sm_job_next(w.job, &o));
    T_EQ(o.what, SM_JOB_RUN);
    T_EQ(o.worker, 1);
    sm_job_free(w.job);
}

static void a_lost_worker_s_unit_runs_elsewhere_and_its_late_result_is_stale(void)
{
    struct world w = world_of(UNITS, SM_S(60));
    for (uint32_t i = 0; i < WORKERS; i++) {
        up(&w, i);
    }
    obey(&w, WORKERS);
    uint32_t unit = w.on[2].unit;
    uint64_t fence = w.on[2].fence;
    w.is_up[2] = w.on[2].is_running = false;
    sm_job_worker_down(w.job, w.now, 2);
    T_ERR(sm_job_ended(w.job, w.now, unit, fence, SM_JOB_END_OK, SM_OK), SM_E_STALE);
    obey(&w, WORKERS);
    while (w.end == 0) {
        advance(&w, SM_JOB_END_OK);
        obey(&w, WORKERS);
    }
    T_EQ(w.end, SM_JOB_DONE);
    T_TRUE(sm_job_unit(w.job, unit).fence > fence);
    T_TRUE(sm_job_unit(w.job, unit).worker != 2);
    sm_job_free(w.job);
}

static void a_slow_worker_is_hedged_and_cancelled(void)
{
    struct world w = world_of(UNITS, SM_S(5000));
    for (uint32_t i = 0; i < WORKERS; i++) {
        up(&w, i);
    }
    obey(&w, 0);
    while (w.end == 0) {
        advance(&w, SM_JOB_END_OK);
        obey(&w, 0);
    }
    T_EQ(w.end, SM_JOB_DONE);
    T_TRUE(w.cancels >= 1);
    T_TRUE(w.now.ns < SM_S(20).ns); /* virtual: never waited for the slow one */
    sm_job_free(w.job);
}

static void an_attempt_out_of_time_is_lost(void)
{
    struct world w = world_of(1, SM_S(3));
    up(&w, 0);
    obey(&w, 0);
    up(&w, 1);
    while (w.end == 0) {
        advance(&w, SM_JOB_END_OK);
        obey(&w, 0);
    }
    T_EQ(w.end, SM_JOB_DONE);
    T_EQ(sm_job_unit(w.job, 0).worker, 1);
    sm_job_free(w.job);
}

static void a_faulty_module_fails_the_job_after_a_second_opinion(void)
{
    struct world w = world_of(1, SM_S(60));
    up(&w, 0);
    up(&w, 1);
    obey(&w, WORKERS);
    while (w.end == 0) {
        advance(&w, SM_JOB_END_FAULT);
        obey(&w, WORKERS);
    }
    T_EQ(w.end, SM_JOB_FAILED);
    T_EQ(w.err, SM_E_TRAP);
    T_EQ(w.runs, 2);
    sm_job_free(w.job);
}

static void a_job_without_units_is_done(void)
{
    struct world w = world_of(0, SM_S(1));
    sm_job_tick(w.job, w.now);
    obey(&w, WORKERS);
    T_EQ(w.end, SM_JOB_DONE);
    sm_job_free(w.job);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(every_unit_gets_one_result),
        T_CASE(a_lost_worker_s_unit_runs_elsewhere_and_its_late_result_is_stale),
        T_CASE(a_slow_worker_is_hedged_and_cancelled),
        T_CASE(an_attempt_out_of_time_is_lost),
        T_CASE(an_attempt_out_of_time_takes_its_worker_out_and_says_so),
        T_CASE(a_faulty_module_fails_the_job_after_a_second_opinion),
        T_CASE(a_job_without_units_is_done),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
