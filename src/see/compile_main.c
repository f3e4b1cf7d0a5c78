// SPDX-License-Identifier: Apache-2.0
/* seemesh-compile: from a module's raw bytes to a shared object in the cache.
 *
 * The module is checked and re-encoded by our own code, in a process of its own without the
 * cache's key; only that canonical form reaches wasm2c and gcc.  Everything runs without
 * network and with files closed off: this process may read the toolchain and change the cache
 * directory, the tools only one build folder in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "see/compile.h"
#include "see/confine.h"
#include "see/rt/see_module.h"

enum {
    CANONICAL_MAX = SM_WASM_MODULE_MAX + (1 << 20),
    SO_MAX = 64 << 20,
};
#define FSIZE_MAX ((uint64_t)1 << 30) /* the C text is 14 times the module */
#define DATA_MAX  ((uint64_t)3 << 30) /* gcc -O2 took 0.9 GB for SQLite */

struct job {
    char cache_path[PATH_MAX - 16], runtime_path[PATH_MAX - 16]; /* absolute */
    unsigned optimize, cpu_s;
    uint64_t keep_bytes;
    struct sm_see_cache cache;
    struct sm_buf raw, canonical;
    char build_path[PATH_MAX];
    struct sm_compile_result result;
};

static uint64_t now_ms(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static struct sm_wall wall_now(void)
{
    return (struct sm_wall){now_ms(CLOCK_REALTIME) / 1000u};
}

static enum sm_err explain(struct job *j, enum sm_err e, const char *why)
{
    (void)snprintf(j->result.fault.reason, sizeof j->result.fault.reason, "%s", why);
    return e;
}

/* -- tools ------------------------------------------------------------------------------- */

#define WASM2C "/usr/bin/wasm2c"
#define GCC    "/usr/bin/gcc"

static enum sm_err confine_tool(const struct job *j)
{
    const struct sm_confine_path paths[] = {
        {"/usr", false},
        {"/lib", false},
        {"/lib64", false},
        {"/bin", false},
        {"/etc/ld.so.cache", false},
        {"/dev/null", true},
        {"/etc/alternatives", false},
        {j->runtime_path, false},
        {j->build_path, true},
    };
    SM_TRY(sm_confine_files(paths, SM_COUNT(paths)));
    SM_TRY(sm_confine_rlimit(RLIMIT_CPU, j->cpu_s, (uint64_t)j->cpu_s + 1));
    SM_TRY(sm_confine_rlimit(RLIMIT_FSIZE, FSIZE_MAX, FSIZE_MAX));
    SM_TRY(sm_confine_rlimit(RLIMIT_DATA, DATA_MAX, DATA_MAX));
    SM_TRY(sm_confine_rlimit(RLIMIT_NOFILE, 64, 64));
    return sm_confine_toolchain();
}

static _Noreturn void exec_tool(const struct job *j, const char *const argv[], int out)
{
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C", temp[] = "TMPDIR=.";
    char *const env[] = {path, locale, temp, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (chdir(j->build_path) != 0 || dup2(null, 0) < 0 || dup2(out >= 0 ? out : null, 1) < 0 ||
        dup2(null, 2) < 0 || close_range(3, ~0u, 0) != 0 || confine_tool(j) != SM_OK) {
        _exit(126);
    }
    execve(argv[0], (char *const *)(uintptr_t)argv, env);
    _exit(127);
}

/* Run one tool to its end.  LIMIT when it used its CPU time or memory, COMPILE otherwise. */
static enum sm_err run_tool(struct job *j, const char *const argv[], int out)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        exec_tool(j, argv, out);
    }
    if (pid < 0) {
        return SM_E_IO;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return SM_E_IO;
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return SM_OK;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) >= 126) {
        return explain(j, SM_E_UNSUPPORTED,
                       WEXITSTATUS(status) == 127 ? "wasm2c or gcc is missing"
                                                  : "cannot confine the compiler");
    }
    return SM_E_COMPILE;
}

/* The first line a tool prints, appended to text. */
static enum sm_err add_version(struct job *j, const char *label, const char *const argv[],
                               char *text, size_t text_n)
{
    int fds[2];
    char line[64] = "";
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return SM_E_IO;
    }
    enum sm_err e = run_tool(j, argv, fds[1]);
    (void)close(fds[1]);
    ssize_t n = e == SM_OK ? read(fds[0], line, sizeof line - 1) : 0;
    (void)close(fds[0]);
    if (e != SM_OK || n <= 0) {
        return e != SM_OK ? e : SM_E_COMPILE;
    }
    line[strcspn(line, "\n")] = '\0';
    size_t at = strlen(text);
    (void)snprintf(text + at, text_n - at, "%s %s; ", label, line);
    return SM_OK;
}

/* -- the flags --------------------------------------------------------------------------- */

#define FLAGS_MAX 40

/* The specification needs: no sibling calls (runaway recursion must exhaust the stack), IEEE
 * rounding and NaN behaviour as written, wrapping integers.  The rest is hardening. */
static const char *const flags[] = {
    "-std=gnu11",
    "-w",
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
    "-DNDEBUG",
    "-fno-optimize-sibling-calls",
    "-frounding-math",
    "-fsignaling-nans",
    "-ffp-contract=off",
    "-fwrapv",
    "-fno-strict-aliasing",
    "-fstack-clash-protection",
    "-fstack-protector-strong",
#ifdef __x86_64__
    "-fcf-protection",
#endif
    "-Wl,-z,relro,-z,now,-z,noexecstack",
    "-Wl,--build-id=none",
};

static enum sm_err describe_engine(struct job *j)
{
    const char *const wasm2c[] = {WASM2C, "--version", NULL};
    const char *const gcc[] = {GCC, "-dumpfullversion", NULL};
    char *text = j->result.engine;
    (void)snprintf(text, sizeof j->result.engine, "seemesh check %u runtime %u; ",
                   SM_WASM_CHECK_VERSION, SM_SEE_ABI);
    SM_TRY(add_version(j, "wasm2c", wasm2c, text, sizeof j->result.engine));
    SM_TRY(add_version(j, "gcc", gcc, text, sizeof j->result.engine));
    size_t at = strlen(text);
    (void)snprintf(text + at, sizeof j->result.engine - at, "-O%u", j->optimize);
    return SM_OK;
}

static enum sm_err hash_files(EVP_MD_CTX *ctx, const char *dir)
{
    static const char *const names[] = {"glue.c", "see_module.h"};
    for (size_t i = 0; i < SM_COUNT(names); i++) {
        char path[PATH_MAX], bytes[16384];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, bytes, sizeof bytes) : -1;
        if (fd >= 0) {
            (void)close(fd);
        }
        if (n <= 0 || EVP_DigestUpdate(ctx, bytes, (size_t)n) != 1) {
            return SM_E_IO;
        }
    }
    return SM_OK;
}

static enum sm_err digest_key(struct job *j, EVP_MD_CTX *ctx)
{
    static const char label[] = "see-cache-1";
    uint8_t module[32];
    if (EVP_Digest(j->raw.p, j->raw.n, module, NULL, EVP_sha256(), NULL) != 1 ||
        EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, label, sizeof label) != 1 ||
        EVP_DigestUpdate(ctx, module, sizeof module) != 1 ||
        EVP_DigestUpdate(ctx, j->result.engine, sizeof j->result.engine) != 1) {
        return SM_E_CRYPTO;
    }
    for (size_t i = 0; i < SM_COUNT(flags); i++) {
        if (EVP_DigestUpdate(ctx, flags[i], strlen(flags[i]) + 1) != 1) {
            return SM_E_CRYPTO;
        }
    }
    if (hash_files(ctx, j->runtime_path) != SM_OK) {
        return explain(j, SM_E_CONFIG, "the runtime directory has no glue.c");
    }
    return EVP_DigestFinal_ex(ctx, j->result.key.b, NULL) == 1 ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err make_key(struct job *j)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = digest_key(j, ctx);
    EVP_MD_CTX_free(ctx);
    return e;
}

/* -- building ---------------------------------------------------------------------------- */

static enum sm_err write_file(const char *dir, const char *name, struct sm_view v)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        return SM_E_LIMIT;
    }
    FILE *f = fopen(path, "wbe");
    if (f == NULL) {
        return SM_E_IO;
    }
    bool is_whole = fwrite(v.p, 1, v.n, f) == v.n;
    return fclose(f) == 0 && is_whole ? SM_OK : errno == ENOSPC ? SM_E_NOSPACE : SM_E_IO;
}

/* All that fd gives, at most the buffer's maximum. */
static enum sm_err read_all(int fd, struct sm_buf *out)
{
    uint8_t bytes[65536];
    for (;;) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n == 0) {
            return SM_OK;
        }
        if (n < 0 && errno != EINTR) {
            return SM_E_IO;
        }
        if (n > 0) {
            SM_TRY(sm_buf_add(out, bytes, (size_t)n));
        }
    }
}

static enum sm_err read_object(struct job *j, struct sm_buf *out)
{
    char path[PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/m.so", j->build_path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return SM_E_COMPILE;
    }
    enum sm_err e = read_all(fd, out);
    (void)close(fd);
    return e;
}

static enum sm_err compile(struct job *j, bool has_imports, struct sm_buf *so)
{
    const char *const wasm2c[] = {WASM2C, "m.wasm", "--no-debug-names", "-n", "m", "-o",
                                  "m.c",  NULL};
    char glue[PATH_MAX + 8], level[8], include[PATH_MAX + 2];
    const char *gcc[FLAGS_MAX] = {GCC};
    size_t n = 1;
    (void)snprintf(glue, sizeof glue, "%s/glue.c", j->runtime_path);
    (void)snprintf(level, sizeof level, "-O%u", j->optimize);
    (void)snprintf(include, sizeof include, "-I%s", j->runtime_path);
    for (size_t i = 0; i < SM_COUNT(flags); i++) {
        gcc[n++] = flags[i];
    }
    gcc[n++] = level;
    gcc[n++] = has_imports ? "-DSM_SEE_IMPORTS=1" : "-DSM_SEE_IMPORTS=0";
    gcc[n++] = include;
    gcc[n++] = "-I.";
    gcc[n++] = "-o";
    gcc[n++] = "m.so";
    gcc[n++] = glue;
    gcc[n++] = "-lm";

    SM_TRY(write_file(j->build_path, "m.wasm", sm_buf_view(&j->canonical)));
    enum sm_err e = run_tool(j, wasm2c, -1);
    if (e == SM_OK) {
        e = run_tool(j, gcc, -1);
    }
    if (e == SM_E_COMPILE) {
        return explain(j, e, "too large or too complex to compile within the limits");
    }
    SM_TRY(e);
    return read_object(j, so);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    (void)remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The build folder is named by the lock it is used under, so one left by a killed run is found
 * and removed by the next. */
static enum sm_err build(struct job *j, bool has_imports, struct sm_buf *so)
{
    remove_tree(j->build_path);
    if (mkdir(j->build_path, 0700) != 0) {
        return errno == ENOSPC ? SM_E_NOSPACE : SM_E_IO;
    }
    enum sm_err e = compile(j, has_imports, so);
    remove_tree(j->build_path);
    return e;
}

/* -- checking ---------------------------------------------------------------------------- */

/* What the checking process answers, in front of the canonical module. */
struct checked {
    int32_t err;
    uint32_t imports;
    struct sm_wasm_fault fault;
};

static enum sm_err write_two(int fd, const void *head, size_t head_n, struct sm_view body)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)head, head_n},
                           {(void *)(uintptr_t)body.p, body.n}};
    struct iovec *at = iov;
    for (int n = 2; n > 0;) {
        ssize_t done = writev(fd, at, n);
        if (done < 0) {
            return SM_E_IO;
        }
        for (; n > 0 && (size_t)done >= at->iov_len; n--, at++) {
            done -= (ssize_t)at->iov_len;
        }
        if (n > 0) {
            at->iov_base = (uint8_t *)at->iov_base + done;
            at->iov_len -= (size_t)done;
        }
    }
    return SM_OK;
}

/* The only code that parses what a stranger wrote: without the key, without files, and able
 * to do nothing but compute and answer. */
static _Noreturn void check_here(struct job *j, int out)
{
    explicit_bzero(j->cache.mac_key, sizeof j->cache.mac_key);
    struct checked c = {.err = SM_E_FAILED};
    struct sm_wasm_info info = {0};
    if (sm_confine_files(NULL, 0) != SM_OK || sm_confine_rlimit(RLIMIT_CPU, 20, 20) != SM_OK ||
        sm_confine_parser() != SM_OK) {
        _exit(1);
    }
    c.err = sm_wasm_check(sm_buf_view(&j->raw), &j->canonical, &info, &c.fault);
    c.imports = info.imports;
    _exit(write_two(out, &c, sizeof c, sm_buf_view(&j->canonical)) == SM_OK ? 0 : 1);
}

static enum sm_err take_checked(struct job *j, int in, bool *has_imports)
{
    struct checked c;
    SM_CLEANUP(sm_buf_done) struct sm_buf answer = SM_BUF(sizeof c + CANONICAL_MAX);
    SM_TRY(read_all(in, &answer));
    if (answer.n < sizeof c) {
        return explain(j, SM_E_FAILED, "the module check did not finish");
    }
    memcpy(&c, answer.p, sizeof c);
    c.fault.reason[sizeof c.fault.reason - 1] = '\0';
    j->result.fault = c.fault;
    *has_imports = c.imports > 0;
    SM_TRY(sm_err_from_i32(c.err));
    return sm_buf_add(&j->canonical, answer.p + sizeof c, answer.n - sizeof c);
}

static enum sm_err check(struct job *j, bool *has_imports)
{
    int fds[2], status;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return SM_E_IO;
    }
    pid_t pid = fork();
    if (pid == 0) {
        check_here(j, fds[1]);
    }
    (void)close(fds[1]);
    enum sm_err e = pid > 0 ? take_checked(j, fds[0], has_imports) : SM_E_IO;
    (void)close(fds[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        continue;
    }
    return e;
}

static enum sm_err check_and_build(struct job *j, struct sm_buf *so)
{
    bool has_imports = false;
    SM_TRY(check(j, &has_imports));
    return build(j, has_imports, so);
}

/* Under the key's lock: find the entry, or make it. */
static enum sm_err find_or_make(struct job *j)
{
    struct sm_see_record rec = {.err = SM_OK};
    if (sm_see_cache_find(&j->cache, &j->result.key, wall_now(), &rec) == SM_OK) {
        j->result.was_cached = 1;
        j->result.build_ms = rec.build_ms;
        j->result.fault = rec.fault;
        return rec.err;
    }
    SM_CLEANUP(sm_buf_done) struct sm_buf so = SM_BUF(SO_MAX);
    uint64_t begin = now_ms(CLOCK_MONOTONIC);
    rec.err = check_and_build(j, &so);
    rec.build_ms = (uint32_t)(now_ms(CLOCK_MONOTONIC) - begin);
    rec.made = wall_now();
    rec.fault = j->result.fault;
    memcpy(rec.engine, j->result.engine, sizeof rec.engine);
    j->result.build_ms = rec.build_ms;
    if (rec.err != SM_OK && rec.err != SM_E_MODULE && rec.err != SM_E_COMPILE) {
        return rec.err; /* this machine's trouble, not the module's */
    }
    SM_TRY(sm_see_cache_put(&j->cache, &j->result.key, &rec, sm_buf_view(&so)));
    enum sm_err trimmed = sm_see_cache_trim(&j->cache, j->keep_bytes);
    return rec.err != SM_OK ? rec.err : trimmed;
}

static enum sm_err with_lock(struct job *j)
{
    int lock = -1;
    SM_TRY(sm_see_cache_lock(&j->cache, &j->result.key, &lock));
    (void)snprintf(j->build_path, sizeof j->build_path, "%s/build.%02x", j->cache_path,
                   j->result.key.b[0]);
    enum sm_err e = find_or_make(j);
    (void)close(lock);
    return e;
}

/* -- the program ------------------------------------------------------------------------- */

static enum sm_err read_module(struct job *j)
{
    enum sm_err e = read_all(STDIN_FILENO, &j->raw);
    if (e == SM_E_LIMIT) {
        return explain(j, SM_E_MODULE, "module larger than 32 MiB");
    }
    return e;
}

static enum sm_err open_cache(struct job *j)
{
    uint8_t mac_key[32];
    if (read(SM_COMPILE_KEY_FD, mac_key, sizeof mac_key) != (ssize_t)sizeof mac_key) {
        return explain(j, SM_E_INVALID, "no cache key on descriptor 4");
    }
    (void)close(SM_COMPILE_KEY_FD);
    enum sm_err e = sm_see_cache_open(j->cache_path, mac_key, &j->cache);
    explicit_bzero(mac_key, sizeof mac_key);
    return e == SM_OK ? e : explain(j, e, "cannot open the cache directory");
}

static enum sm_err confine(const struct job *j)
{
    const struct sm_confine_path paths[] = {
        {"/usr", false},
        {"/lib", false},
        {"/lib64", false},
        {"/bin", false},
        {"/etc/ld.so.cache", false},
        {"/dev/null", true},
        {"/etc/alternatives", false},
        {j->runtime_path, false},
        {j->cache_path, true},
    };
    SM_TRY(sm_confine_process(false));
    return sm_confine_files(paths, SM_COUNT(paths));
}

static enum sm_err run(struct job *j)
{
    SM_TRY(open_cache(j));
    enum sm_err e = confine(j);
    if (e != SM_OK) {
        return explain(j, e, "cannot confine the compiler");
    }
    SM_TRY(read_module(j));
    (void)snprintf(j->build_path, sizeof j->build_path, "%s", j->cache_path); /* until built */
    SM_TRY(describe_engine(j));
    SM_TRY(make_key(j));
    return with_lock(j);
}

/* Tools run in another directory, so their arguments are absolute. */
static bool absolute(const char *path, char out[static PATH_MAX - 16])
{
    char here[PATH_MAX] = "";
    if (path[0] != '/' && (getcwd(here, sizeof here) == NULL)) {
        return false;
    }
    int n = snprintf(out, PATH_MAX - 16, "%s%s%s", here, here[0] != '\0' ? "/" : "", path);
    return n > 0 && n < PATH_MAX - 16;
}

static bool parse(struct job *j, int argc, char **argv)
{
    static const struct option options[] = {
        {"cache", required_argument, NULL, 'c'},    {"runtime", required_argument, NULL, 'r'},
        {"optimize", required_argument, NULL, 'O'}, {"cpu", required_argument, NULL, 't'},
        {"keep", required_argument, NULL, 'k'},     {0}};
    const char *cache = NULL, *runtime = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            cache = optarg;
            break;
        case 'r':
            runtime = optarg;
            break;
        case 'O':
            j->optimize = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            j->cpu_s = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            j->keep_bytes = strtoull(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return cache != NULL && runtime != NULL && absolute(cache, j->cache_path) &&
           absolute(runtime, j->runtime_path) && j->optimize >= 1 && j->optimize <= 2 &&
           j->cpu_s > 0 && optind == argc;
}

static struct job the_job; /* larger than a stack frame should be */

int main(int argc, char **argv)
{
    struct job *j = &the_job;
    *j = (struct job){.optimize = 1, .cpu_s = 120, .keep_bytes = (uint64_t)1 << 30};
    j->raw = SM_BUF(SM_WASM_MODULE_MAX);
    j->canonical = SM_BUF(CANONICAL_MAX);
    if (!parse(j, argc, argv)) {
        (void)fprintf(stderr,
                      "usage: seemesh-compile --cache DIR --runtime DIR [--optimize 1|2] "
                      "[--cpu SECONDS] [--keep BYTES] < MODULE\n");
        return sm_err_exit_code(SM_E_USAGE);
    }
    enum sm_err e = run(j);
    j->result.magic = SM_COMPILE_MAGIC;
    j->result.err = e;
    sm_buf_done(&j->raw);
    sm_buf_done(&j->canonical);
    if (write(SM_COMPILE_RESULT_FD, &j->result, sizeof j->result) !=
        (ssize_t)sizeof j->result) {
        return sm_err_exit_code(SM_E_CLOSED);
    }
    return sm_err_exit_code(e);
}
