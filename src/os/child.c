// SPDX-License-Identifier: Apache-2.0
#include "os/child.h"

#include "os/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child's side, between fork and exec: only async-signal-safe calls from here on. */

static int move_fds(const struct sm_child_cfg *cfg, int *report)
{
    int high[SM_CHILD_FDS];
    bool has_stdin = false;
    /* First out of the way of the targets, then to their numbers: maps may cross. */
    int moved = fcntl(*report, F_DUPFD_CLOEXEC, SM_CHILD_FDS);
    if (moved < 0) {
        return -1;
    }
    *report = moved;
    for (size_t i = 0; i < cfg->n_fds; i++) {
        high[i] = fcntl(cfg->fds[i].from, F_DUPFD_CLOEXEC, SM_CHILD_FDS);
        if (high[i] < 0) {
            return -1;
        }
    }
    if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
        return -1;
    }
    for (size_t i = 0; i < cfg->n_fds; i++) {
        has_stdin = has_stdin || cfg->fds[i].to == STDIN_FILENO;
        if (dup2(high[i], cfg->fds[i].to) < 0) { /* the copy is not close-on-exec */
            return -1;
        }
    }
    if (!has_stdin) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0) {
            return -1;
        }
    }
    return 0;
}

static void default_signals(void)
{
    sigset_t none;
    for (int i = 1; i < SIGRTMIN; i++) {
        (void)signal(i, SIG_DFL); /* refused for KILL and STOP, which cannot be changed */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int leave_parent(const struct sm_child_cfg *cfg, pid_t parent)
{
    if (cfg->own_group && setpgid(0, 0) != 0) {
        return -1;
    }
    if (cfg->die_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
            return -1;
        }
        if (getppid() != parent) { /* it died before we asked */
            _exit(127);
        }
    }
    return cfg->cwd != NULL ? chdir(cfg->cwd) : 0;
}

_Noreturn static void become(const struct sm_child_cfg *cfg, pid_t parent, int report)
{
    static const char *const few[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
                                      NULL};
    const char *const *envp = cfg->envp != NULL ? cfg->envp : few;

    default_signals();
    if (leave_parent(cfg, parent) == 0 && move_fds(cfg, &report) == 0) {
        /* execve does not write to its strings; its prototype is older than const. */
        (void)execve(cfg->path, (char *const *)(uintptr_t)cfg->argv,
                     (char *const *)(uintptr_t)envp);
    }
    int err = errno;
    ssize_t put = write(report, &err, sizeof err);
    _exit(put == sizeof err ? 127 : 126);
}

/* The parent's side. */

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
}

/* Wait for exec: end of file on the report means that it succeeded. */
static int exec_errno(int report)
{
    int err = 0;
    ssize_t got;
    do {
        got = read(report, &err, sizeof err);
    } while (got < 0 && errno == EINTR);
    return got == sizeof err ? err : 0;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

enum sm_err sm_child_spawn(const struct sm_child_cfg *cfg, struct sm_child *out)
{
    int report[2];
    assert(cfg->n_fds <= SM_CHILD_FDS);
    for (size_t i = 0; i < cfg->n_fds; i++) {
        assert(cfg->fds[i].to >= 0 && cfg->fds[i].to < SM_CHILD_FDS);
    }
    if (pipe2(report, O_CLOEXEC) != 0) {
        return sm_err_of_errno(errno);
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(cfg, parent, report[1]);
    }
    int err = pid < 0 ? errno : 0;
    (void)close(report[1]);
    if (pid > 0) {
        err = exec_errno(report[0]);
    }
    (void)close(report[0]);
    if (pid < 0) {
        return err == EAGAIN ? SM_E_LIMIT : sm_err_of_errno(err);
    }
    int pidfd = err == 0 ? open_pidfd(pid) : -1;
    if (pidfd < 0) {
        err = err != 0 ? err : errno;
        (void)kill(pid, SIGKILL);
        reap(pid);
        return sm_err_of_errno(err);
    }
    *out = (struct sm_child){.pid = pid, .pidfd = pidfd, .own_group = cfg->own_group};
    return SM_OK;
}

void sm_child_kill(const struct sm_child *c, int signo)
{
    /* Neither number can have been reused: the child is reaped only by its watch. */
    (void)kill(c->own_group ? -c->pid : c->pid, signo);
}

void sm_child_done(struct sm_child *c)
{
    if (c->pidfd >= 0) {
        (void)close(c->pidfd);
    }
    c->pidfd = -1;
}

enum sm_err sm_child_wait(struct sm_child *c, int *out_status)
{
    int status;
    pid_t got;
    do {
        got = waitpid(c->pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return sm_err_of_errno(errno);
    }
    *out_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return SM_OK;
}

enum sm_err sm_self_path(char *out, size_t cap)
{
    ssize_t n = readlink("/proc/self/exe", out, cap);
    if (n < 0) {
        return sm_err_of_errno(errno);
    }
    if ((size_t)n >= cap) {
        return SM_E_LIMIT;
    }
    out[n] = '\0';
    return SM_OK;
}
