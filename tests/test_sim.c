// SPDX-License-Identifier: Apache-2.0
/* Whole meshes in one process, small enough for every run of the tests. */
#include "scenario.h"
#include "t.h"

static const struct sim_scenario *scenario(const char *name)
{
    for (size_t i = 0; i < sim_scenarios_n; i++) {
        if (strcmp(sim_scenarios[i].name, name) == 0) {
            return &sim_scenarios[i];
        }
    }
    t_fail(__FILE__, __LINE__, "no scenario %s", name);
}

/* Run it; what must hold must have held.  The digest comes back. */
static void run(const char *name, uint64_t seed, unsigned nodes, uint64_t digest[static 2],
                struct sim_stats *out)
{
    struct sim_opts o;
    sim_scenario_opts(scenario(name), seed, nodes, 2, &o);
    struct sim_world *w = sim_world_new(name, &o, seed, false);
    sim_world_run(w);
    enum sim_trouble trouble = w->trouble;
    char text[sizeof w->trouble_text];
    memcpy(text, w->trouble_text, sizeof text);
    memcpy(digest, w->digest, sizeof w->digest);
    *out = w->stats;
    sim_world_free(w);
    if (trouble != SIM_FINE) {
        t_fail(__FILE__, __LINE__, "%s, seed %llu: %s", name, (unsigned long long)seed, text);
    }
}

static void one_seed_gives_one_digest_and_another_seed_another(void)
{
    uint64_t first[2], second[2], other[2];
    struct sim_stats s;
    run("steady", 7, 16, first, &s);
    run("steady", 7, 16, second, &s);
    run("steady", 8, 16, other, &s);
    T_TRUE(memcmp(first, second, sizeof first) == 0);
    T_TRUE(memcmp(first, other, sizeof first) != 0);
}

static void a_mesh_without_faults_loses_nothing(void)
{
    uint64_t digest[2];
    struct sim_stats s;
    run("steady", 1, 32, digest, &s);
    T_TRUE(s.finds > 50 && s.puts > 5 && s.gets > 10);
    T_EQ(s.finds_ok, s.finds);
    T_EQ(s.puts_ok, s.puts);
    T_EQ(s.gets_ok, s.gets);
    T_EQ(s.tunnels_down, 0);
}

static void swarms_keep_their_promises_and_heal(void)
{
    uint64_t digest[2];
    struct sim_stats s;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        run("swarm", seed, 24, digest, &s);
    }
}

static void liars_are_heard_and_not_believed(void)
{
    uint64_t digest[2], finds = 0, finds_ok = 0;
    struct sim_stats s;
    for (uint64_t seed = 1; seed <= 4; seed++) { /* what one world hides another shows */
        run("liars", seed, 24, digest, &s);
        T_TRUE(s.lies > 0);
        finds += s.finds;
        finds_ok += s.finds_ok;
    }
    T_TRUE(finds > 200);
    T_TRUE(finds_ok * 1000 >= finds * 995);
}

static void what_is_revoked_leaves_and_old_lists_put_nobody_back(void)
{
    uint64_t digest[2];
    struct sim_stats s;
    run("revoke", 3, 40, digest, &s); /* that all of it is gone is checked at its end */
    T_TRUE(s.lies > 0);
    T_TRUE(s.finds > 30);
    T_TRUE(s.finds_ok * 100 >= s.finds * 99);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(one_seed_gives_one_digest_and_another_seed_another),
        T_CASE(a_mesh_without_faults_loses_nothing),
        T_CASE(swarms_keep_their_promises_and_heal),
        T_CASE(liars_are_heard_and_not_believed),
        T_CASE(what_is_revoked_leaves_and_old_lists_put_nobody_back),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
