// SPDX-License-Identifier: Apache-2.0
#pragma once
/* worker: what the supervisor and a seemesh-worker process say to each other.
 *
 * seemesh-worker starts with a SOCK_SEQPACKET socket as descriptor 3 and a sealed memfd that
 * holds the compiled module as descriptor 4.  It answers READY once, or exits.  Then each
 * START (with three descriptors: the instance's standard input, output and error) forks one
 * instance, and each instance ends in one ENDED.  When the socket closes, all is killed.
 * Both ends are built together and run on one machine, so messages are C structs.
 */
#include "see/outcome.h"

enum { SM_WORKER_CONTROL_FD = 3, SM_WORKER_MODULE_FD = 4 };

enum {
    SM_WORKER_ARGS_MAX = 16 << 10, /* bytes of arguments, NULs included */
    SM_WORKER_INSTANCES_MAX = 256, /* at once in one worker: a page and a process each */
};

enum sm_worker_ask { SM_WORKER_START = 1, SM_WORKER_KILL };
enum sm_worker_say { SM_WORKER_READY = 1, SM_WORKER_ENDED };

struct sm_worker_request {
    uint32_t ask; /* enum sm_worker_ask */
    uint32_t memory_pages, cpu_s;
    uint32_t argc, args_n;
    uint64_t id;
    char args[SM_WORKER_ARGS_MAX]; /* argc strings, each with its NUL; sent only up to args_n */
};
#define SM_WORKER_REQUEST_HEAD offsetof(struct sm_worker_request, args)

struct sm_worker_reply {
    uint32_t say; /* enum sm_worker_say */
    uint32_t how; /* enum sm_see_how */
    uint32_t code;
    uint32_t peak_kib;
    uint64_t id;
    uint64_t cpu_us;
};
