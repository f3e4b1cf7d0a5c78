// SPDX-License-Identifier: Apache-2.0
#pragma once
/* confine: the walls around programs that run or compile what strangers wrote.
 *
 * seccomp is the wall, rlimits the meter, landlock the fallback; all work for an ordinary user
 * without namespaces.  Every call narrows the calling process for good, children included.
 *
 * Errors: UNSUPPORTED when the kernel lacks seccomp filters; IO when it refuses.  Landlock is
 *         skipped where the kernel has none: sm_confine_landlock_abi() tells.
 */
#include "base/bytes.h"

/* The landlock version of the kernel, 0 for none. */
int sm_confine_landlock_abi(void);

struct sm_confine_path {
    const char *path;
    bool may_write;
};

/* Allow these trees only: reading and running, and changing where may_write.  A path that does
 * not exist is left out.  With n == 0 nothing can be opened, no TCP used, and no process
 * outside signalled. */
enum sm_err sm_confine_files(const struct sm_confine_path *paths, size_t n) SM_MUST;

/* System calls: each kills the process on the first forbidden call. */
enum sm_err sm_confine_zygote(void) SM_MUST; /* fork instances and talk to the supervisor */
enum sm_err
sm_confine_instance(void) SM_MUST;           /* vectored read and write, memory, clocks, exit */
enum sm_err sm_confine_parser(void) SM_MUST; /* as an instance, and plain memory */
/* The toolchain may do what compilers do; network, tracing, namespaces and keys give EPERM. */
enum sm_err sm_confine_toolchain(void) SM_MUST;

/* No core dumps, no new privileges, not inspectable, killed when the parent dies.  As root,
 * first become uid and gid 65534 without groups. */
enum sm_err sm_confine_process(bool may_drop_uid) SM_MUST;

/* One rlimit, soft and hard; hard may be above soft for CPU time. */
enum sm_err sm_confine_rlimit(int resource, uint64_t soft, uint64_t hard) SM_MUST;
