// SPDX-License-Identifier: Apache-2.0
#pragma once
/* child: start a program with exactly the descriptors it is meant to have.
 *
 * The child gets 0, 1, 2 (stdin from /dev/null unless mapped) and the mapped descriptors;
 * everything else is closed by the kernel at exec.  Signals are at their defaults.  Nothing
 * secret goes by argv or environment.
 *
 * Errors:  NOTFOUND = no such program, REFUSED = may not be executed, LIMIT, NOMEM, IO.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sm_fd_map {
    int from, to; /* the parent's descriptor, the child's number */
};

#define SM_CHILD_FDS 16 /* highest mapped number + 1: roles use 3 and 4, compilers 0 to 2 */

struct sm_child_cfg {
    const char *path;        /* absolute */
    const char *const *argv; /* argv[0] included, NULL at the end */
    const char *const *envp; /* NULL = only PATH and LANG=C.UTF-8 */
    const struct sm_fd_map *fds;
    size_t n_fds;
    const char *cwd;      /* NULL = stay */
    bool own_group;       /* a process group of its own: killed as a whole */
    bool die_with_parent; /* SIGKILL when the parent dies */
};

struct sm_child {
    pid_t pid;
    int pidfd; /* close-on-exec */
    bool own_group;
};

enum sm_err sm_child_spawn(const struct sm_child_cfg *cfg, struct sm_child *out) SM_MUST;
/* Signal the child, or its whole group.  A child that is gone already is no error. */
void sm_child_kill(const struct sm_child *c, int signo);
/* Close the pidfd.  Reaping is the watch's, or sm_child_wait's, work. */
void sm_child_done(struct sm_child *c);
/* Wait without a loop.  *out_status is the exit status, or 128 + the signal. */
enum sm_err sm_child_wait(struct sm_child *c, int *out_status) SM_MUST;

/* The absolute path of the running program. */
enum sm_err sm_self_path(char *out, size_t cap) SM_MUST;
