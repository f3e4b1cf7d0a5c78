// SPDX-License-Identifier: Apache-2.0
/* seemesh-worker: holds one compiled module and forks an instance of it on request.
 *
 * Started by a supervisor with the descriptors of worker.h.  It drops what privileges it has,
 * loads the module from a sealed memfd, closes the files and system calls behind it, and only
 * then forks.  An instance closes the rest before its module's first instruction, which may
 * already run while data is copied in.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "see/confine.h"
#include "see/rt.h"
#include "see/rt/see_module.h"
#include "see/wasi.h"
#include "see/worker.h"

#define RECORD_BYTES ((size_t)4096) /* a page each: an instance sees only its own */

struct instance {
    uint64_t id;
    pid_t pid; /* 0 when the slot is free */
    struct rt_record *record;
};

struct worker {
    const struct sm_see_module *module;
    pid_t pid; /* its own */
    int signal_fd;
    struct instance instances[SM_WORKER_INSTANCES_MAX];
    struct sm_worker_request request;
};

/* -- in the instance --------------------------------------------------------------------- */

static enum sm_err limit_instance(const struct sm_worker_request *r)
{
    uint64_t data = ((uint64_t)r->memory_pages << 16) + RT_OVERHEAD_BYTES;
    SM_TRY(sm_confine_rlimit(RLIMIT_DATA, data, data));
    /* The first second more is for the signal that tells why; then it is killed. */
    SM_TRY(sm_confine_rlimit(RLIMIT_CPU, r->cpu_s, (uint64_t)r->cpu_s + 1));
    SM_TRY(sm_confine_rlimit(RLIMIT_FSIZE, 0, 0));
    SM_TRY(sm_confine_rlimit(RLIMIT_NOFILE, 3, 3));
    return sm_confine_rlimit(RLIMIT_NPROC, 0, 0);
}

static enum sm_err take_fds(const int fds[static 3])
{
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) < 0) {
            return SM_E_IO;
        }
    }
    return close_range(3, ~0u, 0) == 0 ? SM_OK : SM_E_IO;
}

static enum sm_err close_walls(pid_t worker, const struct sm_worker_request *r,
                               const int fds[static 3])
{
    /* The worker may have died before this took effect. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != worker) {
        return SM_E_IO;
    }
    SM_TRY(take_fds(fds));
    SM_TRY(limit_instance(r));
    return sm_confine_instance();
}

static _Noreturn void run_instance(const struct worker *w, struct rt_record *record,
                                   const int fds[static 3])
{
    const struct sm_worker_request *r = &w->request;
    if (close_walls(w->pid, r, fds) != SM_OK) {
        _exit(1); /* no record: the worker reports an engine fault */
    }
    rt_begin(record, r->memory_pages);
    struct Z_wasi_snapshot_preview1_instance_t host = {
        .args = r->args, .argc = r->argc, .args_n = r->args_n};
    static wasm_rt_memory_t none;
    host.memory = &none; /* a start function may call the host before memory is known */
    host.memory = w->module->instantiate(&host);
    w->module->start();
    rt_end(SM_SEE_EXIT, 0);
}

/* -- in the worker ----------------------------------------------------------------------- */

static void say(const struct sm_worker_reply *reply)
{
    /* A supervisor that does not listen is gone or broken: the worker ends with it. */
    struct iovec iov = {.iov_base = (void *)(uintptr_t)reply, .iov_len = sizeof *reply};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (sendmsg(SM_WORKER_CONTROL_FD, &msg, MSG_NOSIGNAL) != (ssize_t)sizeof *reply) {
        _exit(1);
    }
}

static void say_failed(uint64_t id, enum sm_see_how how)
{
    struct sm_worker_reply reply = {.say = SM_WORKER_ENDED, .how = how, .id = id};
    say(&reply);
}

static struct instance *find(struct worker *w, uint64_t id)
{
    for (size_t i = 0; i < SM_COUNT(w->instances); i++) {
        if (w->instances[i].pid != 0 && w->instances[i].id == id) {
            return &w->instances[i];
        }
    }
    return NULL;
}

static struct instance *find_free(struct worker *w)
{
    for (size_t i = 0; i < SM_COUNT(w->instances); i++) {
        if (w->instances[i].pid == 0) {
            return &w->instances[i];
        }
    }
    return NULL;
}

static void *record_new(void)
{
    void *p =
        mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void start(struct worker *w, const int fds[static 3])
{
    uint64_t id = w->request.id;
    struct instance *i = find_free(w);
    struct rt_record *record = i != NULL && find(w, id) == NULL ? record_new() : NULL;
    if (record == NULL) {
        say_failed(id, SM_SEE_LOST);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run_instance(w, record, fds);
    }
    if (pid < 0) {
        (void)munmap(record, RECORD_BYTES);
        say_failed(id, SM_SEE_LOST);
        return;
    }
    /* Later instances must not see this page. */
    (void)madvise(record, RECORD_BYTES, MADV_DONTFORK);
    *i = (struct instance){.id = id, .pid = pid, .record = record};
}

/* How an instance ended, from the kernel's word first and its own after that. */
static void judge(const struct instance *i, int status, struct sm_worker_reply *reply)
{
    if (WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        reply->how = sig == SIGXCPU   ? SM_SEE_LIMIT_CPU
                     : sig == SIGKILL ? SM_SEE_KILLED
                     : sig == SIGSYS  ? SM_SEE_FORBIDDEN
                                      : SM_SEE_ENGINE_FAULT;
        reply->code = (uint32_t)sig;
        return;
    }
    const struct rt_record *r = i->record;
    if (__atomic_load_n(&r->is_written, __ATOMIC_ACQUIRE) != 1 ||
        r->how > SM_SEE_ENGINE_FAULT) {
        reply->how = SM_SEE_ENGINE_FAULT;
        return;
    }
    reply->how = r->how;
    reply->code = r->code;
}

static uint64_t us_of(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec;
}

static void reap(struct worker *w)
{
    int status;
    struct rusage used;
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &used)) > 0;) {
        for (size_t k = 0; k < SM_COUNT(w->instances); k++) {
            struct instance *i = &w->instances[k];
            if (i->pid != pid) {
                continue;
            }
            struct sm_worker_reply reply = {.say = SM_WORKER_ENDED,
                                            .id = i->id,
                                            .cpu_us =
                                                us_of(used.ru_utime) + us_of(used.ru_stime),
                                            .peak_kib = (uint32_t)used.ru_maxrss};
            judge(i, status, &reply);
            (void)munmap(i->record, RECORD_BYTES);
            *i = (struct instance){0};
            say(&reply);
        }
    }
}

/* -- requests ---------------------------------------------------------------------------- */

static size_t take_rights(struct msghdr *msg, int fds[static 3])
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
        return 0;
    }
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), n * sizeof(int)); /* the buffer has room for three */
    return n;
}

/* argc strings that fill args_n exactly. */
static bool are_args_sound(const struct sm_worker_request *r, size_t received)
{
    if (received < SM_WORKER_REQUEST_HEAD || r->args_n > sizeof r->args ||
        r->args_n != received - SM_WORKER_REQUEST_HEAD) {
        return false;
    }
    uint32_t strings = 0;
    for (uint32_t i = 0; i < r->args_n; i++) {
        strings += r->args[i] == '\0';
    }
    return strings == r->argc && (r->args_n == 0 || r->args[r->args_n - 1] == '\0');
}

/* Serve one request; false when the supervisor is gone or makes no sense. */
static bool serve(struct worker *w)
{
    union {
        char space[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } control;
    int fds[3];
    struct iovec iov = {.iov_base = &w->request, .iov_len = sizeof w->request};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof control.space};
    ssize_t n = recvmsg(SM_WORKER_CONTROL_FD, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n <= 0) {
        return false;
    }
    size_t n_fds = take_rights(&msg, fds);
    bool is_sound = are_args_sound(&w->request, (size_t)n);
    if (is_sound && w->request.ask == SM_WORKER_START && n_fds == SM_COUNT(fds)) {
        start(w, fds);
    } else if (is_sound && w->request.ask == SM_WORKER_KILL) {
        const struct instance *i = find(w, w->request.id);
        if (i != NULL) {
            (void)kill(i->pid, SIGKILL);
        }
    } else {
        is_sound = false;
    }
    for (size_t i = 0; i < n_fds; i++) {
        (void)close(fds[i]);
    }
    return is_sound;
}

static struct worker the_worker; /* too large for the stack, and the loop takes no argument */

static void loop(void)
{
    struct worker *w = &the_worker;
    struct sm_worker_reply ready = {.say = SM_WORKER_READY};
    say(&ready);
    struct pollfd fds[] = {{.fd = SM_WORKER_CONTROL_FD, .events = POLLIN},
                           {.fd = w->signal_fd, .events = POLLIN}};
    for (;;) {
        if (poll(fds, SM_COUNT(fds), -1) < 0 && errno != EINTR) {
            _exit(1);
        }
        if (fds[1].revents != 0) {
            struct signalfd_siginfo info;
            (void)!read(w->signal_fd, &info, sizeof info);
            reap(w);
        }
        if (fds[0].revents != 0 && !serve(w)) {
            _exit(0); /* instances die with this process: PDEATHSIG */
        }
    }
}

/* -- start ------------------------------------------------------------------------------- */

static const char *load(struct worker *w)
{
    const int want = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    int seals = fcntl(SM_WORKER_MODULE_FD, F_GET_SEALS);
    if (seals < 0 || (seals & want) != want) {
        return "descriptor 4 is not a sealed memfd";
    }
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", SM_WORKER_MODULE_FD);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (so == NULL) {
        return dlerror();
    }
    w->module = dlsym(so, "sm_see_module");
    if (w->module == NULL || w->module->abi != SM_SEE_ABI) {
        return "module of another runtime version";
    }
    return NULL;
}

static enum sm_err watch_children(struct worker *w)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_SETMASK, &set, NULL) != 0) {
        return SM_E_IO;
    }
    w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return w->signal_fd >= 0 ? SM_OK : SM_E_IO;
}

static enum sm_err confine(void)
{
    SM_TRY(sm_confine_files(NULL, 0));
    return sm_confine_zygote();
}

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "seemesh-worker: %s: %s\n", what, why);
    return 1;
}

int main(void)
{
    struct worker *w = &the_worker;
    if (close_range(SM_WORKER_MODULE_FD + 1, ~0u, 0) != 0 ||
        fcntl(SM_WORKER_CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0) {
        return fail("start", "needs its control socket as descriptor 3");
    }
    enum sm_err e = sm_confine_process(true);
    if (e != SM_OK) {
        return fail("privileges", sm_err_words(e));
    }
    e = rt_prepare();
    if (e != SM_OK) {
        return fail("memory", sm_err_words(e));
    }
    /* After a change of uid, /proc/self is readable only by a process that may be dumped. */
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    const char *why = load(w);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (why != NULL) {
        return fail("module", why);
    }
    (void)close(SM_WORKER_MODULE_FD);
    w->pid = getpid();
    w->module->init();
    e = watch_children(w);
    if (e == SM_OK) {
        e = confine();
    }
    if (e == SM_OK) {
        e = rt_on_stack(loop);
    }
    return fail("confinement", sm_err_words(e));
}
