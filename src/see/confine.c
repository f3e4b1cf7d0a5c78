// SPDX-License-Identifier: Apache-2.0
#include "see/confine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* -- landlock ---------------------------------------------------------------------------- */

/* The ruleset as of version 6; older kernels take a shorter prefix of it. */
struct ruleset {
    uint64_t fs, net, scoped;
};

enum {
    FS_V1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* version 2 */
    FS_TRUNCATE = 1 << 14,  /* version 3 */
    FS_IOCTL_DEV = 1 << 15, /* version 5 */
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    NET_TCP = 3,   /* version 4: bind and connect */
    SCOPE_ALL = 3, /* version 6: abstract Unix sockets and signals */
    UID_NOBODY = 65534,
};

int sm_confine_landlock_abi(void)
{
    long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return v > 0 ? (int)v : 0;
}

static uint64_t known_fs_rights(int abi)
{
    return FS_V1 | (abi >= 2 ? FS_REFER : 0u) | (abi >= 3 ? FS_TRUNCATE : 0u) |
           (abi >= 5 ? FS_IOCTL_DEV : 0u);
}

static enum sm_err allow_path(int ruleset, const struct sm_confine_path *path, uint64_t known)
{
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? SM_OK : SM_E_IO;
    }
    struct stat st;
    uint64_t rights = path->may_write ? known : FS_EXECUTE | FS_READ_FILE | FS_READ_DIR;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rights &= FS_EXECUTE | FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
    }
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(fd);
    return r == 0 ? SM_OK : SM_E_IO;
}

enum sm_err sm_confine_files(const struct sm_confine_path *paths, size_t n)
{
    int abi = sm_confine_landlock_abi();
    if (abi == 0) {
        return SM_OK;
    }
    struct ruleset rs = {.fs = known_fs_rights(abi), .net = NET_TCP, .scoped = SCOPE_ALL};
    size_t size = abi >= 6   ? sizeof rs
                  : abi >= 4 ? offsetof(struct ruleset, scoped)
                             : offsetof(struct ruleset, net);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
    if (fd < 0) {
        return SM_E_IO;
    }
    enum sm_err e = SM_OK;
    for (size_t i = 0; i < n && e == SM_OK; i++) {
        e = allow_path(fd, &paths[i], rs.fs);
    }
    if (e == SM_OK && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                       syscall(SYS_landlock_restrict_self, fd, 0) != 0)) {
        e = SM_E_IO;
    }
    (void)close(fd);
    return e;
}

/* -- seccomp ----------------------------------------------------------------------------- */

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the system call filter is not written for this processor"
#endif
#define X32_FIRST 0x40000000u /* x86-64 numbers from here are the x32 ABI's */

/* A filter under construction. */
struct filter {
    struct sock_filter code[160];
    unsigned short n;
};

static void op(struct filter *f, struct sock_filter ins)
{
    assert(f->n < SM_COUNT(f->code));
    f->code[f->n++] = ins;
}

#define OFFSET(field) ((uint32_t)offsetof(struct seccomp_data, field))

static void op_load(struct filter *f, uint32_t offset)
{
    op(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void op_return(struct filter *f, uint32_t action)
{
    op(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Do the next `skip` instructions only when the loaded word compares so with k. */
static void op_unless(struct filter *f, uint16_t compare, uint32_t k, uint8_t skip)
{
    op(f, (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | compare | BPF_K), k, 0, skip));
}

static void op_begin(struct filter *f)
{
    op_load(f, OFFSET(arch));
    op(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    op_return(f, SECCOMP_RET_KILL_PROCESS);
    op_load(f, OFFSET(nr));
    op_unless(f, BPF_JGE, X32_FIRST, 1);
    op_return(f, SECCOMP_RET_KILL_PROCESS);
}

static void op_call(struct filter *f, long nr, uint32_t action)
{
    op_unless(f, BPF_JEQ, (uint32_t)nr, 1);
    op_return(f, action);
}

/* Kill when the call has one of these bits in the low word of an argument; allow it else. */
static void op_call_without(struct filter *f, long nr, uint32_t arg_offset, uint32_t bits)
{
    op_unless(f, BPF_JEQ, (uint32_t)nr, 4);
    op_load(f, arg_offset);
    op_unless(f, BPF_JSET, bits, 1);
    op_return(f, SECCOMP_RET_KILL_PROCESS);
    op_return(f, SECCOMP_RET_ALLOW);
}

static enum sm_err install(struct filter *f)
{
    struct sock_fprog prog = {.len = f->n, .filter = f->code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return SM_E_IO;
    }
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) {
        return errno == EINVAL || errno == ENOSYS ? SM_E_UNSUPPORTED : SM_E_IO;
    }
    return SM_OK;
}

/* All a running module needs: its memory was reserved before, its descriptors are 0, 1, 2. */
static const long instance_calls[] = {SYS_readv,          SYS_writev,          SYS_exit_group,
                                      SYS_clock_gettime,  SYS_clock_nanosleep, SYS_getrandom,
                                      SYS_restart_syscall};

static void allow_instance_calls(struct filter *f)
{
    for (size_t i = 0; i < SM_COUNT(instance_calls); i++) {
        op_call(f, instance_calls[i], SECCOMP_RET_ALLOW);
    }
    op_call_without(f, SYS_mprotect, OFFSET(args[2]), PROT_EXEC);
}

enum sm_err sm_confine_instance(void)
{
    struct filter f = {.n = 0};
    op_begin(&f);
    allow_instance_calls(&f);
    op_return(&f, SECCOMP_RET_KILL_PROCESS);
    return install(&f);
}

enum sm_err sm_confine_parser(void)
{
    struct filter f = {.n = 0};
    op_begin(&f);
    allow_instance_calls(&f);
    op_call(&f, SYS_munmap, SECCOMP_RET_ALLOW);
    op_call(&f, SYS_mremap, SECCOMP_RET_ALLOW);
    op_call(&f, SYS_brk, SECCOMP_RET_ALLOW);
    op_call(&f, SYS_sysinfo, SECCOMP_RET_ALLOW); /* qsort() asks how much memory there is */
    op_call_without(&f, SYS_mmap, OFFSET(args[2]), PROT_EXEC);
    op_return(&f, SECCOMP_RET_KILL_PROCESS);
    return install(&f);
}

enum sm_err sm_confine_zygote(void)
{
    static const long calls[] = {
        SYS_recvmsg,     SYS_sendmsg,        SYS_ppoll,
        SYS_read,        SYS_close,          SYS_dup3,
        SYS_close_range, SYS_wait4,          SYS_kill,
        SYS_prctl,       SYS_prlimit64,      SYS_madvise,
        SYS_munmap,      SYS_rt_sigprocmask, SYS_rt_sigaction,
        SYS_getppid,     SYS_rt_sigreturn,   SYS_set_robust_list,
        SYS_gettid,      SYS_seccomp,
#ifdef SYS_poll
        SYS_poll,
#endif
#ifdef SYS_dup2
        SYS_dup2,
#endif
    };
    struct filter f = {.n = 0};
    op_begin(&f);
    allow_instance_calls(&f);
    for (size_t i = 0; i < SM_COUNT(calls); i++) {
        op_call(&f, calls[i], SECCOMP_RET_ALLOW);
    }
    op_call_without(&f, SYS_mmap, OFFSET(args[2]), PROT_EXEC);
    op_call_without(&f, SYS_clone, OFFSET(args[0]),
                    CLONE_VM | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID);
    op_return(&f, SECCOMP_RET_KILL_PROCESS);
    return install(&f);
}

enum sm_err sm_confine_toolchain(void)
{
    static const long denied[] = {
        SYS_socket,
        SYS_socketpair,
        SYS_connect,
        SYS_bind,
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_chroot,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_unshare,
        SYS_setns,
        SYS_keyctl,
        SYS_add_key,
        SYS_request_key,
        SYS_io_uring_setup,
        SYS_init_module,
        SYS_finit_module,
        SYS_kexec_load,
        SYS_open_by_handle_at,
        SYS_pidfd_getfd,
        SYS_setuid,
        SYS_setgid,
    };
    struct filter f = {.n = 0};
    op_begin(&f);
    for (size_t i = 0; i < SM_COUNT(denied); i++) {
        op_call(&f, denied[i], SECCOMP_RET_ERRNO | EPERM);
    }
    /* clone3 hides its flags from a filter; libc falls back to clone. */
    op_call(&f, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
    op_call_without(&f, SYS_clone, OFFSET(args[0]),
                    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID);
    op_return(&f, SECCOMP_RET_ALLOW);
    return install(&f);
}

/* -- the process ------------------------------------------------------------------------- */

static enum sm_err drop_uid(void)
{
    if (geteuid() != 0) {
        return SM_OK;
    }
    if (setgroups(0, NULL) != 0 || setresgid(UID_NOBODY, UID_NOBODY, UID_NOBODY) != 0 ||
        setresuid(UID_NOBODY, UID_NOBODY, UID_NOBODY) != 0) {
        return SM_E_IO;
    }
    return SM_OK;
}

enum sm_err sm_confine_process(bool may_drop_uid)
{
    SM_TRY(sm_confine_rlimit(RLIMIT_CORE, 0, 0));
    if (may_drop_uid) {
        SM_TRY(drop_uid());
    }
    /* After the uid, which clears the death signal. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return SM_E_IO;
    }
    return SM_OK;
}

enum sm_err sm_confine_rlimit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit now, want = {.rlim_cur = soft, .rlim_max = hard};
    if (getrlimit((__rlimit_resource_t)resource, &now) != 0) {
        return SM_E_IO;
    }
    /* Never above what this process was given. */
    want.rlim_max = want.rlim_max < now.rlim_max ? want.rlim_max : now.rlim_max;
    want.rlim_cur = want.rlim_cur < want.rlim_max ? want.rlim_cur : want.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &want) == 0 ? SM_OK : SM_E_IO;
}
