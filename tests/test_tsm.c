// SPDX-License-Identifier: Apache-2.0
/* configfs-tsm, emulated: mkdir(2), open(2) and rmdir(2) of this program are the test's.  A
 * folder made below the fake tree gets the attributes that the kernel would put there, and
 * opening one computes what it says. */
#include "os/tsm.h"
#include "t.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TREE_MAX 200

/* The fake kernel. */
static struct {
    char tree[TREE_MAX];
    int mkdir_err, out_err, level_err;
    const char *provider;
    bool has_aux, meddles;
    size_t out_n;
    unsigned folders, made, removed;
} kernel;

static void put(const char *folder, const char *name, const void *p, size_t n)
{
    char path[TREE_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    T_TRUE(fd >= 0);
    T_EQ(write(fd, p, n), (ssize_t)n);
    T_EQ(close(fd), 0);
}

static size_t get(const char *folder, const char *name, void *p, size_t cap)
{
    char path[TREE_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
    T_TRUE(fd >= 0);
    ssize_t n = read(fd, p, cap);
    T_TRUE(n >= 0);
    T_EQ(close(fd), 0);
    return (size_t)n;
}

int mkdir(const char *path, mode_t mode)
{
    if (kernel.mkdir_err != 0) {
        errno = kernel.mkdir_err;
        return -1;
    }
    if (syscall(SYS_mkdir, path, mode) != 0) {
        return -1;
    }
    kernel.folders++;
    kernel.made++;
    put(path, "generation", "7\n", 2);
    put(path, "provider", kernel.provider, strlen(kernel.provider));
    put(path, "inblob", "", 0);
    put(path, "privlevel", "", 0);
    put(path, "outblob", "", 0);
    if (kernel.has_aux) {
        put(path, "auxblob", "certificates", 12);
    }
    return 0;
}

int rmdir(const char *path)
{
    static const char *const names[] = {"generation", "provider", "inblob",
                                        "privlevel",  "outblob",  "auxblob"};
    for (size_t i = 0; i < SM_COUNT(names); i++) {
        char at[TREE_MAX + 64];
        (void)snprintf(at, sizeof at, "%s/%s", path, names[i]);
        (void)unlink(at);
    }
    kernel.folders--;
    kernel.removed++;
    return (int)syscall(SYS_rmdir, path);
}

/* The report says what was asked for: level, inblob, then filler. */
static void make_report(const char *folder)
{
    static uint8_t out[70000];
    char level[16] = {0}, number[8] = {0};
    size_t levels = get(folder, "privlevel", level, sizeof level - 1);
    memset(out, 0xee, sizeof out);
    out[0] = (uint8_t)(levels > 0 ? level[0] : '-');
    T_EQ(get(folder, "inblob", out + 1, 64), 64);
    put(folder, "outblob", out, kernel.out_n);
    (void)snprintf(number, sizeof number, "%d\n",
                   7 + 1 + (levels > 0) + (kernel.meddles ? 1 : 0));
    put(folder, "generation", number, strlen(number));
}

int open(const char *path, int flags, ...)
{
    const char *name = strrchr(path, '/');
    bool is_ours = strncmp(path, kernel.tree, strlen(kernel.tree)) == 0 &&
                   kernel.tree[0] != '\0' && kernel.folders > 0;
    va_list ap;
    va_start(ap, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(ap, unsigned) : 0;
    va_end(ap);
    if (is_ours && strcmp(name, "/outblob") == 0) {
        if (kernel.out_err != 0) {
            errno = kernel.out_err;
            return -1;
        }
        char folder[TREE_MAX + 64];
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
        make_report(folder);
    }
    if (is_ours && strcmp(name, "/privlevel") == 0 && kernel.level_err != 0) {
        errno = kernel.level_err;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* -- asking ------------------------------------------------------------------------------- */

static struct sm_buf out = {.max = 65536}, aux = {.max = 4096};
static char why[SM_TSM_WHY];
static struct sm_tsm_ask ask;

static void boot(void)
{
    static char tree[] = "/tmp/seemesh-tsm-XXXXXX";
    if (ask.dir == NULL) {
        T_TRUE(mkdtemp(tree) != NULL);
    }
    memset(&kernel, 0, sizeof kernel);
    (void)snprintf(kernel.tree, sizeof kernel.tree, "%s", tree);
    kernel.provider = "sev_guest\n";
    kernel.out_n = 1184;
    ask = (struct sm_tsm_ask){.dir = tree, .provider = "sev_guest"};
    memset(ask.inblob, 0x42, sizeof ask.inblob);
}

static void refused(enum sm_err want, const char *word)
{
    T_ERR(sm_tsm_report(&ask, &out, &aux, why), want);
    T_TRUE(strstr(why, word) != NULL);
    T_EQ(out.n, 0);
    T_EQ(aux.n, 0);
    T_EQ(kernel.made, kernel.removed); /* nothing is left behind */
}

static void a_report_is_over_the_bytes_asked_for_and_its_folder_is_gone(void)
{
    boot();
    T_OK(sm_tsm_report(&ask, &out, &aux, why));
    T_EQ(out.n, 1184);
    T_EQ(out.p[0], '-'); /* no level was set */
    T_MEM(out.p + 1, 64, ask.inblob, 64);
    T_EQ(aux.n, 0);
    T_EQ(kernel.made, 1);
    T_EQ(kernel.removed, 1);
}

static void the_table_of_certificates_comes_along_and_the_level_is_set(void)
{
    boot();
    kernel.has_aux = true;
    ask.has_privlevel = true;
    ask.privlevel = 2;
    T_OK(sm_tsm_report(&ask, &out, &aux, why));
    T_EQ(out.p[0], '2');
    T_MEM(aux.p, aux.n, "certificates", 12);
}

static void a_quote_of_many_pages_is_read_whole_and_one_too_long_is_refused(void)
{
    boot();
    kernel.provider = "tdx_guest";
    ask.provider = "tdx_guest";
    kernel.out_n = 65536;
    T_OK(sm_tsm_report(&ask, &out, &aux, why));
    T_EQ(out.n, 65536);
    kernel.out_n = 65537;
    refused(SM_E_LIMIT, "longer than 65536");
}

static void another_provider_is_not_taken(void)
{
    boot();
    kernel.provider = "tdx_guest\n";
    refused(SM_E_UNSUPPORTED, "tdx_guest");
    T_EQ(kernel.made, 1);
}

static void a_folder_that_somebody_else_wrote_to_is_thrown_away(void)
{
    boot();
    kernel.meddles = true;
    refused(SM_E_BUSY, "generation");
}

static void what_the_kernel_means_is_told(void)
{
    static const struct {
        int err;
        enum sm_err want;
        const char *word;
    } cases[] = {{EFBIG, SM_E_LIMIT, "newer kernel"},
                 {EBUSY, SM_E_BUSY, "throttles"},
                 {EAGAIN, SM_E_BUSY, "another process"},
                 {ETIMEDOUT, SM_E_BUSY, "in time"},
                 {EINVAL, SM_E_INVALID, "outblob"},
                 {EACCES, SM_E_REFUSED, "outblob"},
                 {EIO, SM_E_IO, "outblob"}};
    for (size_t i = 0; i < SM_COUNT(cases); i++) {
        boot();
        kernel.out_err = cases[i].err;
        refused(cases[i].want, cases[i].word);
    }
    boot();
    ask.has_privlevel = true;
    kernel.level_err = EINVAL;
    refused(SM_E_INVALID, "privlevel_floor");
    boot();
    kernel.mkdir_err = ENXIO;
    refused(SM_E_UNSUPPORTED, "driver");
    kernel.mkdir_err = EACCES;
    refused(SM_E_REFUSED, "seemesh-tsm");
    kernel.mkdir_err = 0;
    ask.dir = "/nonexistent/tsm/report";
    refused(SM_E_UNSUPPORTED, "configfs");
    T_TRUE(!sm_tsm_is_there(ask.dir));
    ask.dir = kernel.tree;
    T_TRUE(sm_tsm_is_there(kernel.tree));
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_report_is_over_the_bytes_asked_for_and_its_folder_is_gone),
        T_CASE(the_table_of_certificates_comes_along_and_the_level_is_set),
        T_CASE(a_quote_of_many_pages_is_read_whole_and_one_too_long_is_refused),
        T_CASE(another_provider_is_not_taken),
        T_CASE(a_folder_that_somebody_else_wrote_to_is_thrown_away),
        T_CASE(what_the_kernel_means_is_told),
    };
    int r = t_main(cases, SM_COUNT(cases), argc, argv);
    if (kernel.tree[0] != '\0') {
        (void)syscall(SYS_rmdir, kernel.tree);
    }
    sm_buf_done(&out);
    sm_buf_done(&aux);
    return r;
}
