// SPDX-License-Identifier: Apache-2.0
/* seemesh-sim: run simulated meshes and tell what was measured.
 *
 * Exit codes: 0 everything that must hold held (a metric may still miss its bar: "ok" false),
 * 2 wrong usage, 10 crash, 11 safety, 12 liveness, 13 two runs of one seed differ.  Each of
 * the last four says why in one line "KIND scenario=... seed=... at=...: reason" on stderr. */
#include "scenario.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_CRASH = 10, EXIT_SAFETY, EXIT_LIVENESS, EXIT_DIFFERS };

struct args {
    const char *scenario;
    uint64_t seed;
    unsigned nodes, minutes;
    bool is_json, is_verbose, is_twice;
};

/* Which world is running, for the one line when it crashes. */
static const struct sim_world *running;

static void on_crash(int number)
{
    char line[160];
    int n = snprintf(line, sizeof line,
                     "crash scenario=%s seed=%" PRIu64 " at=%" PRIu64 "ns: signal %d\n",
                     running != NULL ? running->name : "-", running != NULL ? running->seed : 0,
                     running != NULL ? running->now.ns : 0, number);
    ssize_t ignored = write(2, line, (size_t)n);
    (void)ignored;
    _exit(EXIT_CRASH);
}

static void print_value(int64_t v)
{
    if (v % 1000 == 0) {
        printf("%" PRId64, v / 1000);
    } else {
        printf("%" PRId64 ".%03" PRId64, v / 1000, v % 1000);
    }
}

static void print_metric(const struct args *a, const struct sim_world *w,
                         const struct sim_metric *m)
{
    static const char *const sign[] = {"", ">= ", "<= "};
    if (!a->is_json) {
        printf("  %-20s ", m->name);
        print_value(m->value);
        printf(" %s", m->unit);
        if (m->kind != SIM_NO_BAR) {
            printf("   (%s%s", m->is_ok ? "" : "MISSED: ", sign[m->kind]);
            print_value(m->bar);
            printf(")");
        }
        printf("\n");
        return;
    }
    printf("{\"scenario\":\"%s\",\"seed\":%" PRIu64
           ",\"nodes\":%u,\"metric\":\"%s\",\"value\":",
           w->name, w->seed, w->opts.nodes, m->name);
    print_value(m->value);
    printf(",\"unit\":\"%s\",\"bar\":", m->unit);
    if (m->kind != SIM_NO_BAR) {
        print_value(m->bar);
    } else {
        printf("null");
    }
    printf(",\"ok\":%s}\n", m->is_ok ? "true" : "false");
}

static int tell(const struct args *a, struct sim_world *w, struct timespec began)
{
    static const int code[] = {0, EXIT_SAFETY, EXIT_LIVENESS};
    static const char *const kind[] = {"", "safety", "liveness"};
    struct sim_metric metrics[SIM_METRICS_MAX];
    struct timespec now;
    struct rusage use;
    unsigned n = sim_measure(w, metrics);
    if (!a->is_json) {
        printf("%s: seed %" PRIu64 ", %u nodes, %" PRIu64 " s\n", w->name, w->seed,
               w->opts.nodes, w->opts.length.ns / 1000000000u);
    }
    for (unsigned i = 0; i < n; i++) {
        print_metric(a, w, &metrics[i]);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)getrusage(RUSAGE_SELF, &use);
    int64_t took =
        (int64_t)(now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000;
    struct sim_metric real = {"wall_clock", "s", took, 0, SIM_NO_BAR, true};
    print_metric(a, w, &real);
    real = (struct sim_metric){
        "memory_per_node", "KiB", (int64_t)use.ru_maxrss * 1000 / w->opts.nodes, 0,
        SIM_NO_BAR,        true};
    print_metric(a, w, &real);
    if (a->is_json) {
        printf("{\"scenario\":\"%s\",\"seed\":%" PRIu64 ",\"digest\":\"%016" PRIx64
               "%016" PRIx64 "\"}\n",
               w->name, w->seed, w->digest[0], w->digest[1]);
    } else {
        printf("  digest               %016" PRIx64 "%016" PRIx64 "\n", w->digest[0],
               w->digest[1]);
    }
    if (w->trouble != SIM_FINE) {
        (void)fflush(stdout);
        fprintf(stderr, "%s scenario=%s seed=%" PRIu64 " nodes=%u at=%" PRIu64 "ns: %s\n",
                kind[w->trouble], w->name, w->seed, w->opts.nodes, w->now.ns, w->trouble_text);
    }
    return code[w->trouble];
}

static int run_one(const struct args *a, const struct sim_scenario *s)
{
    struct sim_opts o;
    struct timespec began;
    uint64_t first[2] = {0, 0};
    int code = 0;
    sim_scenario_opts(s, a->seed, a->nodes, a->minutes, &o);
    for (int round = 0; round < (a->is_twice ? 2 : 1) && code == 0; round++) {
        (void)clock_gettime(CLOCK_MONOTONIC, &began);
        struct sim_world *w = sim_world_new(s->name, &o, a->seed, a->is_verbose);
        running = w;
        sim_world_run(w);
        if (round == 0) {
            code = tell(a, w, began);
            memcpy(first, w->digest, sizeof first);
        } else if (memcmp(first, w->digest, sizeof first) != 0) {
            fprintf(stderr,
                    "determinism scenario=%s seed=%" PRIu64
                    " nodes=%u at=end: digests differ\n",
                    s->name, a->seed, o.nodes);
            code = EXIT_DIFFERS;
        }
        running = NULL;
        sim_world_free(w);
    }
    (void)fflush(stdout);
    return code;
}

static int usage(void)
{
    fputs("seemesh-sim list\n"
          "seemesh-sim run SCENARIO|all [--nodes N] [--seed S] [--minutes M] [--json]\n"
          "                             [--twice] [--verbose]\n",
          stderr);
    return EXIT_USAGE;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    uint64_t v = text != NULL ? strtoull(text, &end, 10) : 0;
    if (text == NULL || end == text || *end != '\0' || v > max) {
        return false;
    }
    *out = v;
    return true;
}

static bool parse(int n, char **arg, struct args *out)
{
    for (int i = 0; i < n; i++) {
        uint64_t v = 0;
        const char *next = i + 1 < n ? arg[i + 1] : NULL;
        if (strcmp(arg[i], "--json") == 0) {
            out->is_json = true;
        } else if (strcmp(arg[i], "--verbose") == 0) {
            out->is_verbose = true;
        } else if (strcmp(arg[i], "--twice") == 0) {
            out->is_twice = true;
        } else if (strcmp(arg[i], "--seed") == 0 && number(next, UINT64_MAX, &out->seed)) {
            i++;
        } else if (strcmp(arg[i], "--nodes") == 0 && number(next, SIM_MACHINES_MAX, &v) &&
                   v >= 2) {
            out->nodes = (unsigned)v;
            i++;
        } else if (strcmp(arg[i], "--minutes") == 0 && number(next, 1440, &v) && v >= 2) {
            out->minutes = (unsigned)v;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct args a = {.seed = 1};
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < sim_scenarios_n; i++) {
            printf("%-12s %s\n", sim_scenarios[i].name, sim_scenarios[i].words);
        }
        return 0;
    }
    if (argc < 3 || strcmp(argv[1], "run") != 0 || !parse(argc - 3, argv + 3, &a)) {
        return usage();
    }
    (void)signal(SIGABRT, on_crash);
    (void)signal(SIGSEGV, on_crash);
    (void)signal(SIGFPE, on_crash);
    (void)signal(SIGBUS, on_crash);
    bool is_all = strcmp(argv[2], "all") == 0, has_run = false;
    int worst = 0;
    for (size_t i = 0; i < sim_scenarios_n; i++) {
        if (is_all || strcmp(argv[2], sim_scenarios[i].name) == 0) {
            int code = run_one(&a, &sim_scenarios[i]);
            has_run = true;
            worst = worst == 0 || (code != 0 && code < worst) ? code : worst;
        }
    }
    return has_run ? worst : usage();
}
