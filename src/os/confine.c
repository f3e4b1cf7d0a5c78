// SPDX-License-Identifier: Apache-2.0
#include "os/confine.h"

#include "base/bytes.h"
#include "os/sev.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* -- landlock ---------------------------------------------------------------------------- */

/* The kernel's interface by ABI number.  Spelled out here because Debian 12's headers end at
 * ABI 2 and the running kernel may know more. */
#define LL_VERSION     1u
#define LL_RULE_PATH   1
#define LL_EXECUTE     (1ull << 0)
#define LL_WRITE_FILE  (1ull << 1)
#define LL_READ_FILE   (1ull << 2)
#define LL_READ_DIR    (1ull << 3)
#define LL_REMOVE_DIR  (1ull << 4)
#define LL_REMOVE_FILE (1ull << 5)
#define LL_MAKE_DIR    (1ull << 7)
#define LL_MAKE_REG    (1ull << 8)
#define LL_MAKE_SOCK   (1ull << 9)
#define LL_MAKE_SYM    (1ull << 12)
#define LL_ABI1_ALL    ((1ull << 13) - 1)
#define LL_REFER       (1ull << 13) /* ABI 2 */
#define LL_TRUNCATE    (1ull << 14) /* ABI 3 */
#define LL_IOCTL_DEV   (1ull << 15) /* ABI 5 */
#define LL_NET_TCP     3ull         /* ABI 4: bind and connect */
#define LL_SCOPE       3ull         /* ABI 6: abstract sockets and signals */

struct ll_ruleset {
    uint64_t fs, net, scoped;
};
struct ll_path {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

static int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t handled_by(int abi)
{
    return LL_ABI1_ALL | (abi >= 2 ? LL_REFER : 0) | (abi >= 3 ? LL_TRUNCATE : 0) |
           (abi >= 5 ? LL_IOCTL_DEV : 0);
}

static uint64_t wanted(unsigned may, bool is_dir)
{
    uint64_t a = 0;
    if ((may & SM_PATH_READ) != 0) {
        a |= LL_READ_FILE | (is_dir ? LL_READ_DIR : 0);
    }
    if ((may & SM_PATH_EXEC) != 0) {
        a |= LL_EXECUTE | LL_READ_FILE;
    }
    if ((may & SM_PATH_WRITE) != 0) {
        a |= LL_WRITE_FILE | LL_TRUNCATE;
        a |= is_dir ? LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_DIR | LL_MAKE_REG |
                          LL_MAKE_SOCK | LL_MAKE_SYM | LL_REFER
                    : 0;
    }
    return a;
}

static enum sm_err add_rule(int ruleset, const struct sm_path_rule *rule, uint64_t handled)
{
    struct stat st;
    int fd = open(rule->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? SM_E_NOTFOUND : SM_E_FAILED;
    }
    bool ok = fstat(fd, &st) == 0;
    struct ll_path p = {.parent_fd = fd};
    if (ok) {
        p.allowed = wanted(rule->may, S_ISDIR(st.st_mode)) & handled;
        ok = syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PATH, &p, 0) == 0;
    }
    (void)close(fd);
    return ok ? SM_OK : SM_E_FAILED;
}

static enum sm_err enforce(int ruleset, const struct sm_path_rule *rules, size_t n,
                           uint64_t handled)
{
    for (size_t i = 0; i < n; i++) {
        SM_TRY(add_rule(ruleset, &rules[i], handled));
    }
    return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? SM_OK : SM_E_FAILED;
}

enum sm_err sm_confine_paths(const struct sm_path_rule *rules, size_t n, unsigned flags,
                             struct sm_confine_has *has)
{
    int abi = landlock_abi();
    has->landlock_abi = abi;
    if (abi == 0) {
        return SM_OK;
    }
    struct ll_ruleset set = {.fs = handled_by(abi)};
    set.net = (flags & SM_CONFINE_NO_TCP) != 0 && abi >= 4 ? LL_NET_TCP : 0;
    set.scoped = (flags & SM_CONFINE_SCOPED) != 0 && abi >= 6 ? LL_SCOPE : 0;
    /* An older kernel takes the longer structure as long as the rest is zero. */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &set, sizeof set, 0);
    if (ruleset < 0) {
        return SM_E_FAILED;
    }
    enum sm_err e = enforce(ruleset, rules, n, set.fs);
    (void)close(ruleset);
    if (e == SM_OK) {
        has->paths = true;
        has->tcp_denied = set.net != 0;
        has->scoped = set.scoped != 0;
    }
    return e;
}

/* -- seccomp ----------------------------------------------------------------------------- */

#define CALL(name) SCMP_SYS(name)

/* Compute, wait, and use descriptors one has. */
static const int basic_calls[] = {
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(pwrite64),
    CALL(preadv),
    CALL(pwritev),
    CALL(lseek),
    CALL(close),
    CALL(close_range),
    CALL(dup),
    CALL(dup2),
    CALL(dup3),
    CALL(fcntl),
    CALL(fstat),
    CALL(sendmsg),
    CALL(recvmmsg),
    CALL(recvmsg),
    CALL(sendto),
    CALL(recvfrom),
    CALL(shutdown),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(getsockname),
    CALL(getpeername),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(poll),
    CALL(ppoll),
    CALL(eventfd2),
    CALL(pipe2),
    CALL(brk),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(mlock),
    CALL(mlock2),
    CALL(munlock),
    CALL(futex),
    CALL(rseq),
    CALL(set_robust_list),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(restart_syscall),
    CALL(exit),
    CALL(exit_group),
    CALL(getpid),
    CALL(gettid),
    CALL(getppid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(tgkill),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(time),
    CALL(getrandom),
    CALL(sysinfo),
    CALL(uname),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(getrusage),
    CALL(getrlimit),
    CALL(prlimit64),
};
static const int file_calls[] = {
    CALL(open),      CALL(openat),          CALL(creat),
    CALL(stat),      CALL(lstat),           CALL(newfstatat),
    CALL(statx),     CALL(statfs),          CALL(fstatfs),
    CALL(access),    CALL(faccessat),       CALL(faccessat2),
    CALL(readlink),  CALL(readlinkat),      CALL(getdents64),
    CALL(getcwd),    CALL(mkdir),           CALL(mkdirat),
    CALL(rmdir),     CALL(unlink),          CALL(unlinkat),
    CALL(rename),    CALL(renameat),        CALL(renameat2),
    CALL(link),      CALL(linkat),          CALL(fsync),
    CALL(fdatasync), CALL(sync_file_range), CALL(ftruncate),
    CALL(truncate),  CALL(fallocate),       CALL(copy_file_range),
    CALL(fchmod),    CALL(chmod),           CALL(fchmodat),
    CALL(fchown),    CALL(umask),           CALL(utimensat),
    CALL(flock),     CALL(fadvise64),       CALL(chdir),
};
static const int connect_calls[] = {CALL(connect), CALL(accept4)};
static const int spawn_calls[] = {
    CALL(clone),
    CALL(vfork),
    CALL(fork),
    CALL(execve),
    CALL(wait4),
    CALL(waitid),
    CALL(kill),
    CALL(setpgid),
    CALL(pidfd_open),
    CALL(pidfd_send_signal),
    CALL(socketpair),
    CALL(memfd_create),
    CALL(setrlimit),
    CALL(seccomp),
    CALL(landlock_create_ruleset),
    CALL(landlock_add_rule),
    CALL(landlock_restrict_self),
    CALL(arch_prctl),
    CALL(set_tid_address),
    CALL(setsid),
    CALL(unshare),
    CALL(prctl),
    CALL(signalfd4),
    CALL(setgroups), /* a child of root becomes nobody */
    CALL(setresgid),
    CALL(setresuid),
};
/* Nothing of ours can reach these by mistake. */
static const int deadly_calls[] = {
    CALL(ptrace),          CALL(process_vm_readv), CALL(process_vm_writev), CALL(bpf),
    CALL(init_module),     CALL(finit_module),     CALL(delete_module),     CALL(kexec_load),
    CALL(mount),           CALL(umount2),          CALL(pivot_root),        CALL(chroot),
    CALL(setns),           CALL(keyctl),           CALL(add_key),           CALL(request_key),
    CALL(perf_event_open), CALL(userfaultfd),      CALL(io_uring_setup),    CALL(reboot),
    CALL(swapon),          CALL(swapoff),
};

static int allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int deny_deadly(scmp_filter_ctx ctx, unsigned groups)
{
    int r = 0;
    for (size_t i = 0; i < SM_COUNT(deadly_calls) && r == 0; i++) {
        r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, deadly_calls[i], 0);
    }
    if ((groups & SM_CALLS_SPAWN) == 0) {
        r = r != 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, CALL(execve), 0);
        r = r != 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, CALL(execveat), 0);
    }
    return r;
}

static int allow_memory(scmp_filter_ctx ctx, unsigned groups)
{
    const scmp_datum_t exec = (groups & SM_CALLS_SPAWN) != 0 ? 0 : PROT_EXEC;
    int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
    return r != 0 ? r
                  : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(mprotect), 1,
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
}

static int allow_some(scmp_filter_ctx ctx, unsigned groups)
{
    /* The loop makes descriptors non-blocking with this one. */
    int r =
        seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONBIO, 0));
    /* fstat() of glibc is this call with an empty path. */
    if ((groups & SM_CALLS_FILES) == 0) {
        r = r != 0
                ? r
                : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(newfstatat), 1,
                                   SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    }
    if ((groups & SM_CALLS_CONNECT) != 0) {
        static const int families[] = {AF_INET, AF_INET6};
        for (size_t i = 0; i < SM_COUNT(families) && r == 0; i++) {
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(socket), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
        }
    }
    if ((groups & SM_CALLS_THREADS) != 0 && (groups & SM_CALLS_SPAWN) == 0) {
        const scmp_datum_t thread = 0x10000; /* CLONE_THREAD */
        r = r != 0 ? r
                   : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(clone), 1,
                                      SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
    }
    /* Its flags cannot be seen from here; glibc falls back to clone. */
    return r != 0 ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
}

static int allow_sev_guest(scmp_filter_ctx ctx)
{
    int r = 0;
    for (size_t i = 0; i < SM_SEV_CALLS && r == 0; i++) {
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(ioctl), 1,
                             SCMP_A1(SCMP_CMP_EQ, sm_sev_calls[i], 0));
    }
    return r;
}

static int build_list(scmp_filter_ctx ctx, unsigned groups)
{
    int r = allow(ctx, basic_calls, SM_COUNT(basic_calls));
    r = r != 0 ? r : allow_memory(ctx, groups);
    r = r != 0 ? r : allow_some(ctx, groups);
    if ((groups & SM_CALLS_FILES) != 0) {
        r = r != 0 ? r : allow(ctx, file_calls, SM_COUNT(file_calls));
    }
    if ((groups & SM_CALLS_CONNECT) != 0) {
        r = r != 0 ? r : allow(ctx, connect_calls, SM_COUNT(connect_calls));
    }
    if ((groups & SM_CALLS_SEV_GUEST) != 0) {
        r = r != 0 ? r : allow_sev_guest(ctx);
    }
    if ((groups & SM_CALLS_SPAWN) != 0) {
        r = r != 0 ? r : allow(ctx, spawn_calls, SM_COUNT(spawn_calls));
    }
    return r != 0 ? r : deny_deadly(ctx, groups);
}

static bool kernel_has_seccomp(void)
{
    return prctl(PR_GET_SECCOMP) >= 0;
}

enum sm_err sm_confine_calls(unsigned groups, struct sm_confine_has *has)
{
    if (!kernel_has_seccomp()) {
        return SM_OK;
    }
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (ctx == NULL) {
        return SM_E_NOMEM;
    }
    int r = build_list(ctx, groups);
    r = r != 0 ? r : seccomp_load(ctx);
    seccomp_release(ctx);
    if (r != 0) {
        return SM_E_FAILED;
    }
    has->calls = true;
    return SM_OK;
}

/* -- the rest ---------------------------------------------------------------------------- */

enum sm_err sm_confine_limit(int which, uint64_t value)
{
    struct rlimit now;
    const __rlimit_resource_t resource = (__rlimit_resource_t)which;
    if (getrlimit(resource, &now) != 0) {
        return SM_E_INVALID;
    }
    if (now.rlim_max == RLIM_INFINITY || now.rlim_max > value) {
        now.rlim_max = value;
    }
    now.rlim_cur = now.rlim_max;
    return setrlimit(resource, &now) == 0 ? SM_OK : SM_E_FAILED;
}

enum sm_err sm_confine_begin(struct sm_confine_has *has)
{
    *has = (struct sm_confine_has){.landlock_abi = landlock_abi()};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return SM_E_FAILED;
    }
    has->no_new_privs = true;
    return sm_confine_limit(RLIMIT_CORE, 0);
}

void sm_confine_print(const struct sm_confine_has *has, char out[static SM_CONFINE_TEXT])
{
    (void)snprintf(out, SM_CONFINE_TEXT, "landlock=%d paths=%s tcp=%s scoped=%s calls=%s",
                   has->landlock_abi, has->paths ? "yes" : "no",
                   has->tcp_denied ? "denied" : "open", has->scoped ? "yes" : "no",
                   has->calls ? "yes" : "no");
}
