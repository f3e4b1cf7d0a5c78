// SPDX-License-Identifier: Apache-2.0
#include "core/spf.h"

#include "t.h"

#define INF UINT64_MAX
enum { N_MAX = 9 };

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((rng >> 33) % n);
}

/* A small graph as a matrix of costs; 0: no arc. */
struct matrix {
    uint32_t n;
    uint32_t cost[N_MAX][N_MAX];
};

static struct matrix matrix_random(void)
{
    struct matrix m = {.n = 2 + below(N_MAX - 1)};
    uint32_t dense = 20 + below(70), most = below(2) == 0 ? 3 : 50; /* many ties, or few */
    for (uint32_t u = 0; u < m.n; u++) {
        for (uint32_t v = 0; v < m.n; v++) {
            m.cost[u][v] = u != v && below(100) < dense ? 1 + below(most) : 0;
        }
    }
    return m;
}

static void graph_from(struct sm_graph *g, const struct matrix *m)
{
    sm_graph_begin(g, m->n);
    for (uint32_t u = 0; u < m->n; u++) {
        for (uint32_t v = 0; v < m->n; v++) {
            if (m->cost[u][v] > 0) {
                T_OK(sm_graph_arc(g, v, m->cost[u][v]));
            }
        }
        sm_graph_node_end(g);
    }
}

static void the_tree_is_that_of_bellman_and_ford_with_the_lowest_parents(void)
{
    struct sm_graph g;
    T_OK(sm_graph_init(&g, N_MAX, N_MAX * N_MAX));
    struct sm_spf *s = sm_spf_new(N_MAX);
    T_TRUE(s != NULL);
    rng = t_seed();
    for (unsigned round = 0; round < 3000; round++) {
        struct matrix m = matrix_random();
        uint64_t want[N_MAX];
        for (uint32_t v = 0; v < m.n; v++) {
            want[v] = v == 0 ? 0 : INF;
        }
        for (uint32_t i = 0; i < m.n * m.n * m.n; i++) {
            uint32_t u = i / m.n % m.n, v = i % m.n;
            if (m.cost[u][v] > 0 && want[u] != INF && want[u] + m.cost[u][v] < want[v]) {
                want[v] = want[u] + m.cost[u][v];
            }
        }
        graph_from(&g, &m);
        sm_spf_run(s, &g, 0);
        for (uint32_t v = 0; v < m.n; v++) {
            uint32_t parent = SM_SPF_NO_NODE;
            for (uint32_t u = m.n; v != 0 && want[v] != INF && u-- > 0;) {
                if (m.cost[u][v] > 0 && want[u] != INF && want[u] + m.cost[u][v] == want[v]) {
                    parent = u;
                }
            }
            T_TRUE(sm_spf_cost(s, v) == want[v]);
            T_EQ(sm_spf_parent(s, v), parent);
        }
    }
    sm_spf_free(s);
    sm_graph_done(&g);
}

/* All simple paths 0 -> n-1, as sets of transit nodes with the least cost of each set. */
static uint64_t best[1 << N_MAX];

static void walk(const struct matrix *m, uint32_t at, unsigned used, uint64_t cost)
{
    if (at == m->n - 1) {
        best[used] = cost < best[used] ? cost : best[used];
        return;
    }
    for (uint32_t v = 1; v < m->n; v++) {
        if (m->cost[at][v] > 0 && (used >> v & 1) == 0) {
            walk(m, v, v == m->n - 1 ? used : used | 1u << v, cost + m->cost[at][v]);
        }
    }
}

/* The least cost of k node-disjoint paths, with transit only outside `used`; each set is taken
 * in ascending order, so none twice.  The direct path has the empty set and counts once. */
static uint64_t brute(const struct matrix *m, unsigned k, unsigned from, unsigned used)
{
    if (k == 0) {
        return 0;
    }
    uint64_t least = INF;
    for (unsigned set = from; set < 1u << m->n; set++) {
        if (best[set] == INF || (set & used) != 0) {
            continue;
        }
        uint64_t rest = brute(m, k - 1, set + 1, used | set);
        if (rest != INF && best[set] + rest < least) {
            least = best[set] + rest;
        }
    }
    return least;
}

/* The paths exist, share no transit node, come cheapest first; returns their total. */
static uint64_t paths_check(const struct matrix *m, const struct sm_spf_path *p, unsigned n)
{
    unsigned used = 0;
    uint64_t total = 0;
    for (unsigned i = 0; i < n; i++) {
        uint32_t at = 0;
        uint64_t cost = 0;
        for (unsigned h = 0; h < p[i].n; h++) {
            uint32_t v = p[i].node[h];
            T_TRUE(v != 0 && v < m->n && m->cost[at][v] > 0);
            cost += m->cost[at][v];
            T_TRUE((used >> v & 1) == 0);
            used |= v == m->n - 1 ? 0 : 1u << v;
            at = v;
        }
        T_EQ(at, m->n - 1);
        T_TRUE(cost == p[i].cost);
        T_TRUE(i == 0 || p[i - 1].cost <= p[i].cost);
        T_TRUE(i == 0 || p[i].n > 1 || p[i - 1].n > 1); /* one direct path at most */
        total += cost;
    }
    return total;
}

static void disjoint_paths_are_disjoint_and_of_least_total_cost(void)
{
    struct sm_graph g;
    T_OK(sm_graph_init(&g, N_MAX, N_MAX * N_MAX));
    struct sm_spf *s = sm_spf_new(N_MAX);
    T_TRUE(s != NULL);
    rng = t_seed();
    unsigned met[SM_SPF_PATHS_MAX + 1] = {0};
    for (unsigned round = 0; round < 1500; round++) {
        struct matrix m = matrix_random();
        graph_from(&g, &m);
        memset(best, 0xff, sizeof best);
        walk(&m, 0, 0, 0);
        for (unsigned k = 1; k <= SM_SPF_PATHS_MAX; k++) {
            struct sm_spf_path p[SM_SPF_PATHS_MAX];
            unsigned n = sm_spf_disjoint(s, &g, 0, m.n - 1, k, p);
            T_TRUE(n <= k);
            uint64_t total = paths_check(&m, p, n);
            T_TRUE(total == brute(&m, n, 0, 0));
            T_TRUE(n == k || brute(&m, n + 1, 0, 0) == INF);
            met[n]++;
        }
    }
    for (unsigned n = 0; n <= SM_SPF_PATHS_MAX; n++) {
        T_TRUE(met[n] > 0); /* the graphs were worth trying */
    }
    sm_spf_free(s);
    sm_graph_done(&g);
}

static void a_path_that_must_be_given_back_is(void)
{
    /* Bhandari's trap: the shortest path 0-1-2-3 shuts both others out. */
    struct matrix m = {.n = 4};
    m.cost[0][1] = m.cost[1][2] = m.cost[2][3] = 1;
    m.cost[0][2] = m.cost[1][3] = 5;
    struct sm_graph g;
    T_OK(sm_graph_init(&g, 4, 16));
    struct sm_spf *s = sm_spf_new(4);
    graph_from(&g, &m);
    struct sm_spf_path p[SM_SPF_PATHS_MAX];
    T_EQ(sm_spf_disjoint(s, &g, 0, 3, 1, p), 1);
    T_EQ(p[0].cost, 3);
    T_EQ(sm_spf_disjoint(s, &g, 0, 3, 4, p), 2);
    T_EQ(p[0].cost + p[1].cost, 12);
    sm_spf_free(s);
    sm_graph_done(&g);
}

static void a_path_longer_than_a_packet_can_name_is_not_given(void)
{
    struct sm_graph g;
    T_OK(sm_graph_init(&g, 20, 20));
    struct sm_spf *s = sm_spf_new(20);
    sm_graph_begin(&g, 20);
    for (uint32_t u = 0; u < 20; u++) {
        if (u < 19) {
            T_OK(sm_graph_arc(&g, u + 1, 1));
        }
        sm_graph_node_end(&g);
    }
    struct sm_spf_path p[SM_SPF_PATHS_MAX];
    T_EQ(sm_spf_disjoint(s, &g, 0, 16, 4, p), 1);
    T_EQ(p[0].n, 16);
    T_EQ(sm_spf_disjoint(s, &g, 0, 17, 4, p), 0);
    T_EQ(sm_graph_cost(&g, 3, 4), 1);
    T_EQ(sm_graph_cost(&g, 3, 5), 0);
    sm_spf_free(s);
    sm_graph_done(&g);
}

static void a_full_graph_says_so(void)
{
    struct sm_graph g;
    T_OK(sm_graph_init(&g, 3, 1));
    sm_graph_begin(&g, 3);
    T_OK(sm_graph_arc(&g, 1, 1));
    T_ERR(sm_graph_arc(&g, 2, 1), SM_E_LIMIT);
    T_ERR(sm_graph_init(&g, SM_SPF_NODES_MAX + 1u, 1), SM_E_INVALID);
    T_TRUE(sm_spf_new(0) == NULL);
    sm_graph_done(&g);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_tree_is_that_of_bellman_and_ford_with_the_lowest_parents),
        T_CASE(disjoint_paths_are_disjoint_and_of_least_total_cost),
        T_CASE(a_path_that_must_be_given_back_is),
        T_CASE(a_path_longer_than_a_packet_can_name_is_not_given),
        T_CASE(a_full_graph_says_so),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
