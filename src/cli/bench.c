// SPDX-License-Identifier: Apache-2.0
/* bench: run benchmarks and print what they tell. */
#include "bench/bench_handshake.h"
#include "bench/bench_put.h"
#include "bench/bench_rpc.h"
#include "bench/bench_see.h"
#include "bench/bench_session.h"
#include "bench/bench_spf.h"
#include "bench/bench_tunnel.h"
#include "cli/bench_tpm.h"
#include "cli/commands.h"
#include "cli/programs.h"
#include "os/child.h"
#include "os/clock.h"
#include "os/file.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEE_INSTANCES 500u

/* -- talk --------------------------------------------------------------------------------- */

static void print_line(void *ctx, const struct bench_line *l)
{
    const struct cli *c = ctx;
    double ratio = l->value / l->reference_value;
    if (c->json) {
        cli_json(json_pack("{s:s, s:s, s:f, s:s, s:s, s:f, s:f}", "bench", l->bench, "case",
                           l->name, "value", l->value, "unit", l->unit, "reference",
                           l->reference, "reference_value", l->reference_value, "ratio",
                           ratio));
        return;
    }
    printf("%-9s %-30s %10.2f %-7s %6.2f x %10.2f  %s\n", l->bench, l->name, l->value, l->unit,
           ratio, l->reference_value, l->reference);
    (void)fflush(stdout);
}

static uint64_t clock_ns(void)
{
    return sm_clock_mono().ns;
}

/* -- put and get -------------------------------------------------------------------------- */

static enum sm_err measure_put(struct bench_put *out)
{
    const struct sm_code code = {.k = 10, .n = 16}; /* of a mesh of 16 nodes and more */
    return bench_put_run(code, sm_aead_fastest(clock_ns), out);
}

static enum sm_err run_put(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    struct bench_put b;
    SM_TRY(measure_put(&b));
    struct bench_line l = {.bench = "put",
                           .unit = "GB/s",
                           .reference = "seal + code 10+6 + hash, one after the other",
                           .reference_value = b.sum_gb_s};
    l.name = "segments";
    l.value = b.pipeline_gb_s;
    to->line(to->ctx, &l);
    l.name = "whole put, one core";
    l.value = b.put_gb_s;
    to->line(to->ctx, &l);
    return SM_OK;
}

static enum sm_err run_get(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    struct bench_put b;
    SM_TRY(measure_put(&b));
    to->line(to->ctx, &(struct bench_line){.bench = "get",
                                           .name = "whole get, 6 of 16 shards lost",
                                           .unit = "GB/s",
                                           .reference = "hash + decode + open",
                                           .value = b.get_gb_s,
                                           .reference_value = b.get_sum_gb_s});
    return SM_OK;
}

/* -- session ------------------------------------------------------------------------------ */

static enum sm_err run_session(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    uint64_t session[BENCH_RUNS], bare[BENCH_RUNS];
    for (unsigned i = 0; i < BENCH_RUNS; i++) {
        struct bench_session b;
        SM_TRY(bench_session_run(clock_ns, sm_aead_fastest(clock_ns), SM_MS(200), &b));
        session[i] = b.session_mb_per_s;
        bare[i] = b.bare_mb_per_s;
    }
    to->line(to->ctx,
             &(struct bench_line){.bench = "session",
                                  .name = "requests of 512 KiB, one core",
                                  .unit = "MB/s",
                                  .reference = "seal and open of its 16 KiB fragments",
                                  .value = (double)bench_median(session, BENCH_RUNS),
                                  .reference_value = (double)bench_median(bare, BENCH_RUNS)});
    return SM_OK;
}

/* -- routes ------------------------------------------------------------------------------- */

static enum sm_err spf(const struct bench_sink *to, uint32_t nodes, uint32_t edges,
                       const char *name)
{
    struct bench_spf b;
    SM_TRY(bench_spf_run(nodes, edges, 1, 31, &b));
    to->line(to->ctx, &(struct bench_line){.bench = "spf",
                                           .name = name,
                                           .unit = "us",
                                           .reference = "bare heap Dijkstra",
                                           .value = (double)b.spf_ns / 1000.0,
                                           .reference_value = (double)b.bare_ns / 1000.0});
    return SM_OK;
}

static enum sm_err run_spf(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    SM_TRY(spf(to, 1000, 5000, "1,000 nodes, 5,000 edges"));
    return spf(to, 10000, 100000, "10,000 nodes, 100,000 edges");
}

/* -- SEE instances ------------------------------------------------------------------------ */

/* Installed, this program is PREFIX/bin/seemesh; in a build tree it is BUILD/src/cli/seemesh
 * and the module's runtime lies in the sources. */
static enum sm_err find_see(char programs[static SM_PATH], char runtime[static SM_PATH])
{
    static const struct {
        const char *programs, *runtime;
    } layouts[] = {{"../libexec/seemesh", "../share/seemesh/see-rt"}, {"../see", "../see"}};
    char self[SM_PATH], path[SM_PATH];
    SM_TRY(sm_self_path(self, sizeof self));
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < SM_COUNT(layouts); i++) {
        SM_TRY(sm_path_join(self, layouts[i].programs, programs));
        SM_TRY(sm_path_join(self, layouts[i].runtime, runtime));
        SM_TRY(sm_path_join(programs, "seemesh-compile", path));
        if (sm_file_exists(path)) {
            return SM_OK;
        }
    }
    return SM_E_NOTFOUND;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static enum sm_err measure_see(struct cli *c, const char *cache, struct bench_see *out)
{
    char programs[SM_PATH], runtime[SM_PATH];
    const uint8_t mac_key[32] = {1}; /* of a cache that is gone in a minute */
    struct sm_engine engine;
    enum sm_err e = find_see(programs, runtime);
    if (e != SM_OK) {
        return cli_fail(c, e, "see: seemesh-compile is not where it belongs");
    }
    SM_TRY(sm_engine_init(&engine, programs, runtime, cache, mac_key));
    e = bench_see(&engine, SEE_INSTANCES, out);
    sm_engine_done(&engine);
    return e;
}

static enum sm_err run_see(struct cli *c, const struct bench_sink *to)
{
    char scratch[] = "/tmp/seemesh-bench-XXXXXX";
    struct bench_see b;
    if (mkdtemp(scratch) == NULL) {
        return cli_fail(c, SM_E_IO, "see: no folder can be made in /tmp");
    }
    enum sm_err e = measure_see(c, scratch, &b);
    (void)nftw(scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    SM_TRY(e);
    struct bench_line l = {.bench = "see",
                           .unit = "us",
                           .reference = "bare fork, exit and wait",
                           .reference_value = (double)b.fork_us_p50};
    l.name = "instance, to its first output";
    l.value = (double)b.first_us_p50;
    to->line(to->ctx, &l);
    l.name = "instance, whole life";
    l.value = (double)b.whole_us_p50;
    to->line(to->ctx, &l);
    l.name = "instances one after another";
    l.unit = "1/s";
    l.value = (double)b.instances_per_s;
    l.reference_value = 1e6 / (double)b.fork_us_p50;
    to->line(to->ctx, &l);
    return SM_OK;
}

/* -- the TUN interface -------------------------------------------------------------------- */

/* Real nodes in network namespaces: a program of its own makes them, and prints the lines. */
static enum sm_err run_tun(struct cli *c, const struct bench_sink *to)
{
    (void)to;
    struct cli_programs programs;
    struct sm_child child;
    char self[SM_PATH], path[SM_PATH + 16];
    int status = 0;
    const struct sm_fd_map out[] = {{1, 1}, {2, 2}};
    if (geteuid() != 0) {
        return cli_fail(c, SM_E_REFUSED,
                        "tun: needs root, to make network namespaces: sudo seemesh bench tun");
    }
    SM_TRY(cli_programs(c, &programs));
    SM_TRY(sm_self_path(self, sizeof self));
    char *slash = strrchr(self, '/');
    *slash = '\0'; /* the path is absolute */
    (void)snprintf(path, sizeof path, "%s/bench-tun", programs.libexec);
    const char *argv[] = {path, self, c->json ? "--json" : NULL, NULL};
    const struct sm_child_cfg cfg = {
        .path = path, .argv = argv, .fds = out, .n_fds = SM_COUNT(out)};
    enum sm_err e = sm_child_spawn(&cfg, &child);
    if (e != SM_OK) {
        return cli_fail(c, e, "tun: cannot start %s: %s", path, sm_err_words(e));
    }
    e = sm_child_wait(&child, &status);
    sm_child_done(&child);
    if (e == SM_OK && status != 0) {
        return cli_fail(c, SM_E_FAILED, "tun: not measured");
    }
    return e;
}

/* -- the command -------------------------------------------------------------------------- */

static enum sm_err run_tunnel(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    return bench_tunnel(to);
}

static enum sm_err run_handshake(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    return bench_handshake(to);
}

static enum sm_err run_rpc(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    return bench_rpc(to);
}

static enum sm_err run_relay(struct cli *c, const struct bench_sink *to)
{
    (void)c;
    return bench_relay(to);
}

static const struct {
    const char *name;
    enum sm_err (*run)(struct cli *c, const struct bench_sink *to);
} benches[] = {{"tunnel", run_tunnel},   {"handshake", run_handshake},
               {"relay", run_relay},     {"rpc", run_rpc},
               {"session", run_session}, {"put", run_put},
               {"get", run_get},         {"spf", run_spf},
               {"see", run_see},         {"tun", run_tun},
               {"tpm", bench_tpm}};

static enum sm_err run_one(struct cli *c, size_t i)
{
    const struct bench_sink to = {print_line, c};
    enum sm_err e = benches[i].run(c, &to);
    if (e == SM_E_UNSUPPORTED) {
        return cli_fail(c, e,
                        "%s: needs node records, which only a build with the development root "
                        "can make (meson setup -Ddev_root=true)",
                        benches[i].name);
    }
    return e == SM_OK ? e : cli_fail(c, e, "%s: %s", benches[i].name, sm_err_words(e));
}

static void print_head(struct cli *c)
{
    if (!c->json && !c->quiet) {
        printf("%-9s %-30s %10s %-7s %6s   %10s  %s\n", "BENCH", "CASE", "VALUE", "UNIT",
               "RATIO", "REFERENCE", "OF");
    }
}

enum sm_err cmd_bench(struct cli *c, int argc, char **argv)
{
    enum sm_err first = SM_OK;
    bool is_found = false;
    SM_TRY(cli_parse(c, cli_command_named("bench"), NULL, 0, argc, argv, &argc));
    bool is_all = argc == 0 || (argc == 1 && strcmp(argv[0], "all") == 0);
    for (size_t i = 0; i < SM_COUNT(benches); i++) {
        if (is_all && benches[i].run == run_tun && geteuid() != 0) {
            cli_say(c, "tun is left out: it needs root");
            continue;
        }
        if (argc > 1 || (!is_all && strcmp(argv[0], benches[i].name) != 0)) {
            continue;
        }
        if (!is_found) {
            print_head(c);
        }
        is_found = true;
        enum sm_err e = run_one(c, i);
        first = first == SM_OK ? e : first;
    }
    if (!is_found) {
        return cli_fail(c, SM_E_USAGE,
                        "bench wants one of tunnel, handshake, relay, rpc, session, put, get, "
                        "spf, see, tun, tpm, all");
    }
    return first;
}
