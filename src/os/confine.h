// SPDX-License-Identifier: Apache-2.0
#pragma once
/* confine: give up, for good, what a program does not need.
 *
 * Order: open what you need, make the loop, then
 *
 *     sm_confine_begin(&has);                          -- no new privileges, no core files
 *     sm_confine_paths(rules, n, SM_CONFINE_NO_TCP, &has);    -- landlock
 *     sm_confine_calls(SM_CALLS_FILES, &has);          -- seccomp, last
 *
 * A kernel may lack landlock or seccomp.  That is no error: `has` says what is in force, and
 * the program reports it as its node's health (sm_confine_print).
 *
 * Errors:  NOTFOUND = a path of a rule is missing; FAILED = the kernel has the means but
 *          refused; the program must not go on then.
 * Source:  landlock(7), seccomp(2); DESIGN 4.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sm_confine_has {
    bool no_new_privs;
    int landlock_abi; /* 0 = the kernel has none */
    bool paths;       /* landlock rules are in force */
    bool tcp_denied;  /* landlock ABI 4 */
    bool scoped;      /* landlock ABI 6: no abstract sockets, no signals to outside */
    bool calls;       /* a seccomp list is in force */
};

enum sm_err sm_confine_begin(struct sm_confine_has *has) SM_MUST;

enum { SM_PATH_READ = 1, SM_PATH_EXEC = 2, SM_PATH_WRITE = 4 };
struct sm_path_rule {
    const char *path; /* a folder, with all below it, or a file */
    unsigned may;
};
enum {
    SM_CONFINE_NO_TCP = 1, /* neither bind nor connect */
    SM_CONFINE_SCOPED = 2  /* no abstract Unix sockets of, and no signals to, other processes */
};
/* Only these paths from now on; none = no file can be opened. */
enum sm_err sm_confine_paths(const struct sm_path_rule *rules, size_t n, unsigned flags,
                             struct sm_confine_has *has) SM_MUST;

enum {
    SM_CALLS_FILES = 1,   /* open, rename, sync and so on: with sm_confine_paths() */
    SM_CALLS_CONNECT = 2, /* new IPv4 and IPv6 sockets, accept */
    SM_CALLS_SPAWN = 4,   /* fork, exec, wait, kill */
    SM_CALLS_THREADS = 8,
    SM_CALLS_SEV_GUEST = 16 /* the three requests of os/sev.h to a device that is open */
};
/* Only the calls of a program that computes and talks over descriptors it has, and those of
 * the named groups.  Others fail with EPERM, except those only an attacker wants (exec,
 * ptrace, bpf, modules, mounts...), which kill the process.  Memory cannot become executable,
 * except with SPAWN. */
enum sm_err sm_confine_calls(unsigned groups, struct sm_confine_has *has) SM_MUST;

/* Limits of setrlimit(2), lowered soft and hard: RLIMIT_NOFILE and so on. */
enum sm_err sm_confine_limit(int which, uint64_t value) SM_MUST;

/* "landlock=7 paths=yes tcp=denied scoped=yes calls=yes" */
#define SM_CONFINE_TEXT 96
void sm_confine_print(const struct sm_confine_has *has, char out[static SM_CONFINE_TEXT]);
