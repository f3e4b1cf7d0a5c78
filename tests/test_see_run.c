// SPDX-License-Identifier: Apache-2.0
/* Modules compiled and run for real: each ends as it should and none gets out.
 *
 * The environment names what the build made: SM_SEE_PROGRAMS, SM_SEE_RUNTIME, and
 * the folder with the examples: SM_EXAMPLES.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "see/confine.h"
#include "see/engine.h"
#include "t.h"

static char scratch[] = "/tmp/seemesh-test-see.XXXXXX";
static struct sm_engine engine;

/* -- helpers ----------------------------------------------------------------------------- */

/* Marsaglia's xorshift: never zero when x is not. */
static uint64_t next_random(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

#define WASI_IMPORT(name, type)                                                                \
    "(import \"wasi_snapshot_preview1\" \"" name "\" (func $" name " " type "))"
#define FD_WRITE  WASI_IMPORT("fd_write", "(param i32 i32 i32 i32) (result i32)")
#define FD_READ   WASI_IMPORT("fd_read", "(param i32 i32 i32 i32) (result i32)")
#define PROC_EXIT WASI_IMPORT("proc_exit", "(param i32)")
#define MEMORY    "(memory (export \"memory\") 2)"
#define MODULE(head, start)                                                                    \
    "(module " head " (func (export \"_start\") (local $n i32) " start "))"

/* Assemble text with wabt's wat2wasm. */
static void assemble(const char *wat, struct sm_buf *out)
{
    char path[128], command[400];
    (void)snprintf(path, sizeof path, "%s/m.wat", scratch);
    FILE *f = fopen(path, "w");
    T_TRUE(f != NULL && fputs(wat, f) >= 0 && fclose(f) == 0);
    (void)snprintf(command, sizeof command, "wat2wasm --enable-all --no-check %s -o %s.wasm",
                   path, path);
    T_EQ(system(command), 0);
    (void)snprintf(command, sizeof command, "%s.wasm", path);
    f = fopen(command, "r");
    T_TRUE(f != NULL);
    uint8_t bytes[4096];
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;) {
        T_OK(sm_buf_add(out, bytes, n));
    }
    (void)fclose(f);
}

static enum sm_err compile(const char *wat, struct sm_compile_result *out)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf module = SM_BUF(1 << 20);
    assemble(wat, &module);
    return sm_engine_compile(&engine, sm_buf_view(&module), out);
}

static struct sm_wall wall_now(void)
{
    return (struct sm_wall){(uint64_t)time(NULL)};
}

static struct sm_mono mono_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (struct sm_mono){(uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec};
}

static struct sm_see_limits small_limits(void)
{
    struct sm_see_limits l = sm_see_limits_default();
    l.cpu_s = 1;
    l.wall_ms = 20000;
    l.memory_pages = 64;
    l.stdout_bytes = 1 << 20;
    return l;
}

/* Compile and run once; the caller checks and calls sm_run_done. */
static void run_with(const char *wat, struct sm_run_spec spec, struct sm_run *run)
{
    static const char *const args[] = {"module", NULL};
    struct sm_compile_result made;
    struct sm_zygote z;
    spec.args = spec.args != NULL ? spec.args : args;
    T_OK(compile(wat, &made));
    T_OK(sm_zygote_start(&engine, &made.key, wall_now(), &z));
    enum sm_err e = sm_engine_run(&z, &spec, run);
    sm_zygote_done(&z);
    T_OK(e);
}

static void ends_as(const char *wat, enum sm_see_how how, uint32_t code, const char *words)
{
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.limits = small_limits()};
    char text[96];
    run_with(wat, spec, &run);
    sm_see_outcome_words(&run.outcome, &run.limits, text, sizeof text);
    T_STR(text, words);
    T_EQ(run.outcome.how, how);
    T_EQ(run.outcome.code, code);
}

/* -- modules that work ------------------------------------------------------------------- */

/* Copy input to output, 16 KiB at a time. */
#define CAT                                                                                    \
    MODULE(FD_READ FD_WRITE MEMORY,                                                            \
           "loop $again"                                                                       \
           " (i32.store (i32.const 0) (i32.const 1024))"                                       \
           " (i32.store (i32.const 4) (i32.const 16384))"                                      \
           " (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))"   \
           " (local.set $n (i32.load (i32.const 8)))"                                          \
           " (if (local.get $n) (then"                                                         \
           "  (i32.store (i32.const 4) (local.get $n))"                                        \
           "  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))" \
           "  (br $again))) end")

static void output_equals_input(void)
{
    enum { N = 1000000 };
    SM_CLEANUP(sm_buf_done) struct sm_buf input = SM_BUF(N);
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    uint8_t *p = NULL;
    T_OK(sm_buf_room(&input, N, &p));
    uint64_t x = t_seed() | 1;
    for (size_t i = 0; i < N; i++) {
        x = next_random(x);
        p[i] = (uint8_t)x;
    }
    struct sm_run_spec spec = {.limits = small_limits(), .input = {p, N}};
    run_with(CAT, spec, &run);
    T_EQ(run.outcome.how, SM_SEE_EXIT);
    T_EQ(run.outcome.code, 0);
    T_MEM(run.out.p, run.out.n, p, N);
}

static void arguments_arrive(void)
{
    static const char wat[] = MODULE(
        WASI_IMPORT("args_get", "(param i32 i32) (result i32)")
            WASI_IMPORT("args_sizes_get", "(param i32 i32) (result i32)") FD_WRITE MEMORY,
        "(drop (call $args_sizes_get (i32.const 0) (i32.const 4)))"
        "(drop (call $args_get (i32.const 16) (i32.const 1024)))"
        "(i32.store (i32.const 8) (i32.load (i32.const 20)))" /* argv[1] */
        "(i32.store (i32.const 12) (i32.const 5))"
        "(drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 64)))");
    static const char *const args[] = {"name", "hello", NULL};
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.limits = small_limits(), .args = args};
    run_with(wat, spec, &run);
    T_EQ(run.outcome.how, SM_SEE_EXIT);
    T_MEM(run.err.p, run.err.n, "hello", 5);
    T_EQ(run.out.n, 0);
}

static void many_instances_share_a_worker(void)
{
    enum { N = 24 };
    static struct sm_run runs[N];
    static const char *const args[] = {"cat", NULL};
    struct sm_compile_result made;
    struct sm_zygote z;
    T_OK(compile(CAT, &made));
    T_OK(sm_zygote_start(&engine, &made.key, wall_now(), &z));
    for (unsigned i = 0; i < N; i++) {
        uint8_t byte = (uint8_t)i;
        struct sm_run_spec spec = {.args = args, .input = {&byte, 1}, .limits = small_limits()};
        T_OK(sm_run_start(&z, &spec, mono_now(), &runs[i]));
    }
    for (unsigned i = 0; i < N; i++) {
        while (sm_run_step(&runs[i], mono_now()) == SM_E_BUSY) {
            struct pollfd p = {.fd = z.fd, .events = POLLIN};
            (void)poll(&p, runs[i].is_over ? 0 : 1, 20000);
            T_OK(sm_zygote_step(&z));
        }
        T_EQ(runs[i].outcome.how, SM_SEE_EXIT);
        T_EQ(runs[i].out.n, 1);
        T_EQ(runs[i].out.p[0], i);
        sm_run_done(&runs[i]);
    }
    sm_zygote_done(&z);
}

/* -- the examples, against the same source compiled for this machine ---------------------- */

static void load_file(const char *path, struct sm_buf *out)
{
    FILE *f = fopen(path, "r");
    T_TRUE(f != NULL);
    uint8_t bytes[65536];
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;) {
        T_OK(sm_buf_add(out, bytes, n));
    }
    (void)fclose(f);
}

/* Run one example as a module; what it printed goes to the end of out. */
static void run_example(const char *name, const char *const *args, struct sm_view input,
                        struct sm_buf *out)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf module = SM_BUF(1 << 20);
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.args = args, .input = input, .limits = small_limits()};
    struct sm_compile_result made;
    struct sm_zygote z;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/examples/%s.wasm", scratch, name);
    load_file(path, &module);
    T_OK(sm_engine_compile(&engine, sm_buf_view(&module), &made));
    T_OK(sm_zygote_start(&engine, &made.key, wall_now(), &z));
    enum sm_err e = sm_engine_run(&z, &spec, &run);
    sm_zygote_done(&z);
    T_OK(e);
    T_OK(sm_see_outcome_err(&run.outcome));
    T_OK(sm_buf_add(out, run.out.p, run.out.n));
}

/* The native program's output for the same input. */
static void run_native(const char *command, struct sm_view input, struct sm_buf *out)
{
    char path[128], shell[512];
    (void)snprintf(path, sizeof path, "%s/input", scratch);
    FILE *f = fopen(path, "w");
    T_TRUE(f != NULL && fwrite(input.p, 1, input.n, f) == input.n && fclose(f) == 0);
    (void)snprintf(shell, sizeof shell, "%s/examples/native/%s < %s > %s.out", scratch, command,
                   path, path);
    T_EQ(system(shell), 0);
    (void)snprintf(path, sizeof path, "%s/input.out", scratch);
    load_file(path, out);
}

static void build_examples(void)
{
    char command[512];
    const char *examples = getenv("SM_EXAMPLES");
    T_TRUE(examples != NULL);
    if (system("clang --target=wasm32-wasi -x c -E - < /dev/null > /dev/null 2>&1") != 0) {
        t_skip("no clang");
    }
    (void)snprintf(command, sizeof command, "%s/build.sh %s/examples", examples, scratch);
    T_EQ(system(command), 0);
}

/* Split the text in two, count the parts, add them up: equal to counting natively at once. */
static void wordstat_equals_the_native_program(void)
{
    static const char *const unit[] = {"wordstat", NULL};
    static const char *const reduce[] = {"wordstat-reduce", NULL};
    static const char *const top[] = {"wordstat-reduce", "--top", "5", NULL};
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf parts = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf sum = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf best = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf native = SM_BUF(1 << 20);
    build_examples();
    uint64_t x = t_seed() | 1;
    for (int i = 0; i < 20000; i++) {
        x = next_random(x);
        T_OK(sm_buf_printf(&text, "%c%llx%s", i % 9 == 0 ? '\n' : ' ',
                           (unsigned long long)x % 3000, i % 31 == 0 ? "\xc3\xa9" : ""));
    }
    struct sm_view whole = sm_buf_view(&text);
    const uint8_t *cut = memchr(whole.p + whole.n / 3, '\n', whole.n);
    size_t first = (size_t)(cut - whole.p) + 1;
    run_example("wordstat", unit, sm_view_sub(whole, 0, first), &parts);
    run_example("wordstat", unit, sm_view_sub(whole, first, whole.n), &parts);
    run_example("wordstat-reduce", reduce, sm_buf_view(&parts), &sum);
    run_native("wordstat", whole, &native);
    T_MEM(sum.p, sum.n, native.p, native.n);
    run_example("wordstat-reduce", top, sm_buf_view(&parts), &best);
    sm_buf_clear(&native);
    run_native("wordstat-reduce --top 5", sm_buf_view(&sum), &native);
    T_MEM(best.p, best.n, native.p, native.n);
}

static void csvstat_equals_the_native_program(void)
{
    static const char *const unit[] = {"csvstat", NULL};
    static const char *const reduce[] = {"csvstat-reduce", NULL};
    static const char header[] = "id,\"a \"\"b\"\"\",text\r\n";
    SM_CLEANUP(sm_buf_done) struct sm_buf table = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf other = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf parts = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf sum = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf native = SM_BUF(1 << 20);
    build_examples();
    T_OK(sm_buf_add(&table, header, sizeof header - 1));
    T_OK(sm_buf_add(&other, header, sizeof header - 1));
    uint64_t x = t_seed() | 1;
    for (int i = 0; i < 2000; i++) {
        x = next_random(x);
        size_t at = table.n;
        T_OK(sm_buf_printf(&table, "%d,-%llu.%06llu,\"x,\n%s\"\n", i,
                           (unsigned long long)x % 100000,
                           (unsigned long long)(x >> 20) % 1000000, i % 3 ? "" : "\"\"y"));
        T_OK(i >= 700 ? sm_buf_add(&other, table.p + at, table.n - at) : SM_OK);
    }
    size_t first = table.n - (other.n - (sizeof header - 1));
    run_example("csvstat", unit, sm_view_of(table.p, first), &parts);
    run_example("csvstat", unit, sm_buf_view(&other), &parts);
    run_example("csvstat-reduce", reduce, sm_buf_view(&parts), &sum);
    run_native("csvstat", sm_buf_view(&table), &native);
    T_MEM(sum.p, sum.n, native.p, native.n);
}

/* -- modules that misbehave -------------------------------------------------------------- */

static void exit_status_is_kept(void)
{
    ends_as(MODULE(PROC_EXIT MEMORY, "i32.const 7 call $proc_exit"), SM_SEE_EXIT, 7,
            "module exited with status 7");
}

static void traps_have_names(void)
{
    ends_as(MODULE(MEMORY, "unreachable"), SM_SEE_UNREACHABLE, 0,
            "module trapped: unreachable instruction");
    ends_as(MODULE(MEMORY, "(drop (i32.load offset=4294967295 (i32.const -1)))"), SM_SEE_OOB, 0,
            "module trapped: memory or table access out of bounds");
    ends_as(MODULE(MEMORY, "(i64.store (i32.const 131065) (i64.const 1))"), SM_SEE_OOB, 0,
            "module trapped: memory or table access out of bounds");
    ends_as(MODULE(MEMORY, "(memory.fill (i32.const 0) (i32.const 1) (i32.const 131073))"),
            SM_SEE_OOB, 0, "module trapped: memory or table access out of bounds");
    ends_as(MODULE(MEMORY, "(drop (i32.div_s (i32.const 1) (local.get $n)))"),
            SM_SEE_DIV_BY_ZERO, 0, "module trapped: integer division by zero");
    ends_as(MODULE(MEMORY "(table 2 funcref)", "(call_indirect (local.get $n))"),
            SM_SEE_INDIRECT, 0,
            "module trapped: indirect call of a null or wrongly typed function");
    ends_as(MODULE(MEMORY "(func $f (param i64) (result i64)"
                          " (i64.add (call $f (local.get 0)) (i64.const 1)))",
                   "(drop (call $f (i64.const 1)))"),
            SM_SEE_EXHAUSTION, 0, "module trapped: call stack exhausted");
    ends_as("(module " MEMORY
            "(func $init unreachable) (start $init) (func (export \"_start\")))",
            SM_SEE_UNREACHABLE, 0, "module trapped: unreachable instruction");
    ends_as("(module " MEMORY "(data (i32.const 131071) \"xy\") (func (export \"_start\")))",
            SM_SEE_OOB, 0, "module trapped: memory or table access out of bounds");
}

static void an_endless_loop_meets_the_cpu_limit(void)
{
    ends_as(MODULE(MEMORY, "loop br 0 end"), SM_SEE_LIMIT_CPU, SIGXCPU,
            "module stopped: 1 s of CPU used");
}

static void a_sleeper_meets_the_wall_limit(void)
{
    static const char wat[] =
        MODULE(WASI_IMPORT("poll_oneoff", "(param i32 i32 i32 i32) (result i32)") MEMORY,
               "(i32.store (i32.const 16) (i32.const 1))"
               "(i64.store (i32.const 24) (i64.const 1000000000000))"
               "(drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1)"
               " (i32.const 128)))");
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.limits = small_limits()};
    spec.limits.wall_ms = 50;
    run_with(wat, spec, &run);
    T_EQ(run.outcome.how, SM_SEE_LIMIT_WALL);
}

static void a_flood_meets_the_output_limit(void)
{
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.limits = small_limits()};
    char text[96];
    run_with(MODULE(FD_WRITE MEMORY,
                    "(i32.store (i32.const 4) (i32.const 65536))"
                    "loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1)"
                    " (i32.const 8))) br 0 end"),
             spec, &run);
    sm_see_outcome_words(&run.outcome, &run.limits, text, sizeof text);
    T_STR(text, "module stopped: wrote more than 1 MiB");
    T_EQ(run.out.n, run.limits.stdout_bytes);
}

static void memory_grows_to_the_limit_only(void)
{
    /* Touch every new page; exit with how many there are at the end. */
    ends_as(MODULE(PROC_EXIT MEMORY,
                   "loop $more"
                   " (local.set $n (memory.grow (i32.const 1)))"
                   " (if (i32.ne (local.get $n) (i32.const -1)) (then"
                   "  (i32.store (i32.mul (local.get $n) (i32.const 65536)) (i32.const 1))"
                   "  (br $more))) end"
                   " (call $proc_exit (memory.size))"),
            SM_SEE_EXIT, 64, "module exited with status 64");
    ends_as("(module (memory (export \"memory\") 65) (func (export \"_start\")))",
            SM_SEE_LIMIT_MEMORY, 65,
            "module stopped: needs more than 4 MiB of memory to start");
}

static void the_host_checks_every_pointer(void)
{
    /* The exit status is the WASI error: 21 is EFAULT, 8 EBADF. */
    ends_as(MODULE(FD_WRITE PROC_EXIT MEMORY,
                   "(i32.store (i32.const 0) (i32.const 131000))"
                   "(i32.store (i32.const 4) (i32.const 100))"
                   "(call $proc_exit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1)"
                   " (i32.const 8)))"),
            SM_SEE_EXIT, 21, "module exited with status 21");
    ends_as(MODULE(FD_WRITE PROC_EXIT MEMORY,
                   "(call $proc_exit (call $fd_write (i32.const 1) (i32.const 0)"
                   " (i32.const -1) (i32.const 8)))"),
            SM_SEE_EXIT, 21, "module exited with status 21");
    ends_as(MODULE(FD_WRITE PROC_EXIT MEMORY,
                   "(call $proc_exit (call $fd_write (i32.const 3) (i32.const 0)"
                   " (i32.const 1) (i32.const 8)))"),
            SM_SEE_EXIT, 8, "module exited with status 8");
    ends_as(MODULE(WASI_IMPORT("random_get", "(param i32 i32) (result i32)") PROC_EXIT MEMORY,
                   "(call $proc_exit (call $random_get (i32.const 1) (i32.const -1)))"),
            SM_SEE_EXIT, 21, "module exited with status 21");
}

static void a_run_can_be_cancelled(void)
{
    static const char *const args[] = {"loop", NULL};
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.args = args, .limits = small_limits()};
    struct sm_compile_result made;
    struct sm_zygote z;
    spec.limits.cpu_s = 10;
    T_OK(compile(MODULE(MEMORY, "loop br 0 end"), &made));
    T_OK(sm_zygote_start(&engine, &made.key, wall_now(), &z));
    T_OK(sm_run_start(&z, &spec, mono_now(), &run));
    sm_run_stop(&run, SM_SEE_KILLED);
    while (sm_run_step(&run, mono_now()) == SM_E_BUSY) {
        struct pollfd p = {.fd = z.fd, .events = POLLIN};
        (void)poll(&p, run.is_over ? 0 : 1, 20000);
        T_OK(sm_zygote_step(&z));
    }
    sm_zygote_done(&z);
    T_EQ(run.outcome.how, SM_SEE_KILLED);
    T_ERR(sm_see_outcome_err(&run.outcome), SM_E_CANCELLED);
}

static void runs_of_a_dead_worker_are_lost(void)
{
    static const char *const args[] = {"loop", NULL};
    SM_CLEANUP(sm_run_done) struct sm_run run = {.out_fd = -1, .err_fd = -1, .is_over = true};
    struct sm_run_spec spec = {.args = args, .limits = small_limits()};
    struct sm_compile_result made;
    struct sm_zygote z;
    T_OK(compile(MODULE(MEMORY, "loop br 0 end"), &made));
    T_OK(sm_zygote_start(&engine, &made.key, wall_now(), &z));
    T_OK(sm_run_start(&z, &spec, mono_now(), &run));
    T_EQ(kill(z.pid, SIGKILL), 0);
    struct pollfd p = {.fd = z.fd, .events = POLLIN};
    while (sm_zygote_step(&z) == SM_OK) {
        (void)poll(&p, 1, 20000);
    }
    T_OK(sm_run_step(&run, mono_now()));
    T_EQ(run.outcome.how, SM_SEE_LOST);
    T_ERR(sm_run_start(&z, &spec, mono_now(), &run), SM_E_UNREACHABLE);
    sm_zygote_done(&z);
}

/* -- compiling and the cache ------------------------------------------------------------- */

static void refused_modules_say_where_and_why(void)
{
    struct sm_compile_result made;
    static const char wat[] = MODULE(MEMORY, "v128.const i32x4 0 0 0 0 drop");
    T_ERR(compile(wat, &made), SM_E_MODULE);
    T_STR(made.fault.reason, "SIMD is not supported; build without -msimd128");
    T_EQ(made.was_cached, 0);
    T_ERR(compile(wat, &made), SM_E_MODULE);
    T_STR(made.fault.reason, "SIMD is not supported; build without -msimd128");
    T_EQ(made.was_cached, 1);
}

/* 20,000 functions take the translator far longer than a second. */
static void a_compile_bomb_meets_the_limit(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf wat = SM_BUF(1 << 20);
    SM_CLEANUP(sm_buf_done) struct sm_buf module = SM_BUF(1 << 20);
    struct sm_engine hasty = engine;
    struct sm_compile_result made;
    struct sm_compile c;
    hasty.compile_cpu_s = 1;
    T_OK(sm_buf_printf(&wat, "(module " MEMORY "(func (export \"_start\"))"));
    for (int i = 0; i < 19999; i++) {
        T_OK(sm_buf_printf(&wat, "(func)"));
    }
    T_OK(sm_buf_printf(&wat, ")"));
    T_OK(sm_buf_add(&wat, "", 1));
    assemble((const char *)wat.p, &module);

    struct sm_mono now = mono_now();
    T_OK(sm_compile_start(&hasty, sm_buf_view(&module), now, &c));
    T_ERR(sm_compile_step(&c, c.deadline, &made), SM_E_LIMIT); /* the caller's clock */
    T_STR(made.fault.reason, "not compiled in time");

    T_ERR(sm_engine_compile(&hasty, sm_buf_view(&module), &made), SM_E_COMPILE);
    T_STR(made.fault.reason, "too large or too complex to compile within the limits");
    T_ERR(sm_engine_compile(&hasty, sm_buf_view(&module), &made), SM_E_COMPILE);
    T_EQ(made.was_cached, 1);
}

/* Every part of the check must work behind its wall, sorting many names too. */
static void many_exports_and_functions_are_fine(void)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf wat = SM_BUF(1 << 20);
    T_OK(sm_buf_printf(&wat, "(module " MEMORY "(func (export \"_start\"))"));
    for (int i = 0; i < 3000; i++) {
        T_OK(sm_buf_printf(&wat, "(func (export \"e%d\") (result i32) i32.const %d)", i * 7919,
                           i));
    }
    T_OK(sm_buf_printf(&wat, ")"));
    T_OK(sm_buf_add(&wat, "", 1));
    ends_as((const char *)wat.p, SM_SEE_EXIT, 0, "module exited with status 0");
}

static void names_cannot_become_code(void)
{
    char mark[128], wat[600];
    (void)snprintf(mark, sizeof mark, "%s/injected", scratch);
    (void)snprintf(wat, sizeof wat,
                   "(module " MEMORY "(func (export \"_start\")) (func (export \"*/\\0a"
                   "#include <fcntl.h>\\0a static __attribute__((constructor)) void x(void)"
                   "{creat(\\22%s\\22,0600);}\\0a/*\")))",
                   mark);
    ends_as(wat, SM_SEE_EXIT, 0, "module exited with status 0");
    T_TRUE(access(mark, F_OK) != 0);
}

static void two_compiles_of_one_module_do_the_work_once(void)
{
    struct sm_compile c[2];
    struct sm_compile_result made[2];
    bool is_done[2] = {false};
    SM_CLEANUP(sm_buf_done) struct sm_buf module = SM_BUF(1 << 20);
    assemble(MODULE(MEMORY, "i32.const 4711 drop"), &module);
    for (int i = 0; i < 2; i++) {
        T_OK(sm_compile_start(&engine, sm_buf_view(&module), mono_now(), &c[i]));
    }
    while (!is_done[0] || !is_done[1]) {
        struct pollfd p[] = {{.fd = c[0].fd, .events = POLLIN},
                             {.fd = c[1].fd, .events = POLLIN}};
        (void)poll(p, 2, 20000);
        for (int i = 0; i < 2; i++) {
            if (!is_done[i]) {
                enum sm_err e = sm_compile_step(&c[i], mono_now(), &made[i]);
                is_done[i] = e != SM_E_BUSY;
                T_TRUE(e == SM_OK || e == SM_E_BUSY);
            }
        }
    }
    T_MEM(made[0].key.b, 32, made[1].key.b, 32);
    T_EQ(made[0].was_cached + made[1].was_cached, 1);
}

static void cache_file(const struct sm_see_key *key, const char *suffix, char out[300])
{
    char hex[65];
    sm_hex(key->b, sizeof key->b, hex);
    (void)snprintf(out, 300, "%s/cache/%s%s", scratch, hex, suffix);
}

/* Change one byte of a file of the cache. */
static void damage(const struct sm_see_key *key, const char *suffix, long at)
{
    char path[300];
    cache_file(key, suffix, path);
    FILE *f = fopen(path, "r+");
    T_TRUE(f != NULL && fseek(f, at, SEEK_SET) == 0);
    int c = fgetc(f);
    T_TRUE(fseek(f, at, SEEK_SET) == 0 && fputc(c ^ 1, f) != EOF && fclose(f) == 0);
}

static void a_damaged_cache_is_never_loaded(void)
{
    static const struct {
        const char *suffix;
        long at;
        enum sm_err want;
    } damages[] = {
        {".so", 5000, SM_E_HASH}, {".rec", 50, SM_E_NOTFOUND}, {".rec", 388, SM_E_NOTFOUND}};
    for (size_t i = 0; i < SM_COUNT(damages); i++) {
        struct sm_compile_result made;
        struct sm_zygote z;
        T_OK(compile(MODULE(MEMORY, "i32.const 1234 drop"), &made));
        T_EQ(made.was_cached, 0);
        damage(&made.key, damages[i].suffix, damages[i].at);
        T_ERR(sm_zygote_start(&engine, &made.key, wall_now(), &z), damages[i].want);
        T_ERR(sm_zygote_start(&engine, &made.key, wall_now(), &z), SM_E_NOTFOUND);
    }
}

static void the_least_recently_used_entry_goes_first(void)
{
    struct sm_compile_result a, b;
    struct sm_see_record rec;
    T_OK(compile(MODULE(MEMORY, "i32.const 1 drop"), &a));
    T_OK(compile(MODULE(MEMORY, "i32.const 2 drop"), &b));
    static const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    char path[300];
    cache_file(&a.key, ".rec", path);
    T_EQ(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    cache_file(&b.key, ".rec", path);
    T_EQ(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    T_OK(sm_see_cache_find(&engine.cache, &a.key, wall_now(), &rec)); /* uses it */
    T_OK(sm_see_cache_trim(&engine.cache, rec.so_bytes + 1000));
    T_OK(sm_see_cache_find(&engine.cache, &a.key, wall_now(), &rec));
    T_ERR(sm_see_cache_find(&engine.cache, &b.key, wall_now(), &rec), SM_E_NOTFOUND);
}

/* -- behind the wall --------------------------------------------------------------------- */

static void try_open(void)
{
    (void)!open("/etc/passwd", O_RDONLY);
}
static void try_socket(void)
{
    (void)!socket(AF_INET, SOCK_DGRAM, 0);
}
static void try_exec(void)
{
    char name[] = "/bin/true";
    char *argv[] = {name, NULL};
    (void)execv(name, argv);
}
static void try_fork(void)
{
    (void)!fork();
}
static void try_kill(void)
{
    (void)kill(getppid(), 0);
}
static void try_executable_memory(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0);
}
static void try_make_executable(void)
{
    (void)!mprotect(scratch, 1, PROT_READ | PROT_EXEC);
}
static void try_namespace(void)
{
    (void)!unshare(CLONE_NEWUSER);
}
static void try_trace(void)
{
    (void)!syscall(SYS_ptrace, 0, 0, 0, 0);
}
static void try_io_uring(void)
{
    (void)!syscall(SYS_io_uring_setup, 1, NULL);
}
#ifdef __x86_64__
static void try_32_bit_call(void)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
    (void)r;
}
static void try_x32_call(void)
{
    (void)!syscall(0x40000000 + 39);
}
#endif

static int status_behind(enum sm_err (*wall)(void), void (*attempt)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (wall() != SM_OK) {
            _exit(99);
        }
        attempt();
        _exit(errno & 0x7F);
    }
    T_TRUE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void native_code_dies_at_the_first_forbidden_call(void)
{
    static const struct {
        const char *name;
        void (*attempt)(void);
    } attempts[] = {
        {"open", try_open},
        {"socket", try_socket},
        {"exec", try_exec},
        {"fork", try_fork},
        {"kill", try_kill},
        {"executable memory", try_executable_memory},
        {"make executable", try_make_executable},
        {"namespace", try_namespace},
        {"trace", try_trace},
        {"io_uring", try_io_uring},
#ifdef __x86_64__
        {"32-bit call", try_32_bit_call},
        {"x32 call", try_x32_call},
#endif
    };
    for (size_t i = 0; i < SM_COUNT(attempts); i++) {
        int status = status_behind(sm_confine_instance, attempts[i].attempt);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            t_fail(__FILE__, __LINE__, "%s: status 0x%x, want death by SIGSYS",
                   attempts[i].name, (unsigned)status);
        }
    }
}

static enum sm_err close_all_files(void)
{
    return sm_confine_files(NULL, 0);
}

static void landlock_alone_closes_the_files(void)
{
    if (sm_confine_landlock_abi() == 0) {
        t_skip("the kernel has no landlock");
    }
    int status = status_behind(close_all_files, try_open);
    T_TRUE(WIFEXITED(status));
    T_EQ(WEXITSTATUS(status), EACCES);
}

static void the_toolchain_has_no_network(void)
{
    int status = status_behind(sm_confine_toolchain, try_socket);
    T_TRUE(WIFEXITED(status));
    T_EQ(WEXITSTATUS(status), EPERM);
}

/* ---------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static enum sm_err set_up(void)
{
    static char cache[64];
    static const uint8_t mac_key[32] = {1, 2, 3};
    const char *programs = getenv("SM_SEE_PROGRAMS"), *runtime = getenv("SM_SEE_RUNTIME");
    if (programs == NULL || runtime == NULL || mkdtemp(scratch) == NULL) {
        return SM_E_CONFIG;
    }
    (void)snprintf(cache, sizeof cache, "%s/cache", scratch);
    return sm_engine_init(&engine, programs, runtime, cache, mac_key);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(output_equals_input),
        T_CASE(arguments_arrive),
        T_CASE(many_instances_share_a_worker),
        T_CASE(wordstat_equals_the_native_program),
        T_CASE(csvstat_equals_the_native_program),
        T_CASE(exit_status_is_kept),
        T_CASE(traps_have_names),
        T_CASE(an_endless_loop_meets_the_cpu_limit),
        T_CASE(a_sleeper_meets_the_wall_limit),
        T_CASE(a_flood_meets_the_output_limit),
        T_CASE(memory_grows_to_the_limit_only),
        T_CASE(the_host_checks_every_pointer),
        T_CASE(a_run_can_be_cancelled),
        T_CASE(runs_of_a_dead_worker_are_lost),
        T_CASE(refused_modules_say_where_and_why),
        T_CASE(a_compile_bomb_meets_the_limit),
        T_CASE(many_exports_and_functions_are_fine),
        T_CASE(names_cannot_become_code),
        T_CASE(two_compiles_of_one_module_do_the_work_once),
        T_CASE(a_damaged_cache_is_never_loaded),
        T_CASE(the_least_recently_used_entry_goes_first),
        T_CASE(native_code_dies_at_the_first_forbidden_call),
        T_CASE(landlock_alone_closes_the_files),
        T_CASE(the_toolchain_has_no_network),
    };
    if (set_up() != SM_OK) {
        (void)fprintf(stderr, "needs SM_SEE_PROGRAMS and SM_SEE_RUNTIME\n");
        return 1;
    }
    int failed = t_main(cases, SM_COUNT(cases), argc, argv);
    sm_engine_done(&engine);
    (void)nftw(scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
