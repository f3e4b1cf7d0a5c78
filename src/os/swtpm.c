// SPDX-License-Identifier: Apache-2.0
#include "os/swtpm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT    2048u
#define STOP_MS 5000 /* it writes its state and goes */
#define ARG     (SM_PATH + 64u)

/* Its path, or false. */
static bool find(const char *name, char out[static SM_PATH])
{
    static const char *const dirs[] = {"/usr/bin", "/usr/local/bin"};
    for (size_t i = 0; i < SM_COUNT(dirs); i++) {
        if (sm_path_join(dirs[i], name, out) == SM_OK && access(out, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

bool sm_swtpm_is_installed(void)
{
    char path[SM_PATH];
    return find("swtpm", path) && find("swtpm_setup", path) && find("swtpm_localca", path);
}

/* -- making ------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static enum sm_err
write_text(const char *dir, const char *name, const char *fmt, ...)
{
    char path[SM_PATH], text[TEXT];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text) {
        return SM_E_LIMIT;
    }
    SM_TRY(sm_path_join(dir, name, path));
    return sm_file_write_atomic(path, 0600, sm_view_str(text));
}

static enum sm_err write_configs(const char *dir, const char *ca)
{
    char tool[SM_PATH];
    if (!find("swtpm_localca", tool)) {
        return SM_E_UNSUPPORTED;
    }
    SM_TRY(write_text(dir, "localca.conf",
                      "statedir = %s\nsigningkey = %s/signkey.pem\n"
                      "issuercert = %s/issuercert.pem\ncertserial = %s/certserial\n",
                      ca, ca, ca, ca));
    SM_TRY(write_text(dir, "localca.options",
                      "--platform-manufacturer seemesh\n"
                      "--platform-version 1\n"
                      "--platform-model software\n"));
    return write_text(dir, "setup.conf",
                      "create_certs_tool = %s\ncreate_certs_tool_config = %s/localca.conf\n"
                      "create_certs_tool_options = %s/localca.options\n"
                      "active_pcr_banks = sha256\n",
                      tool, dir, dir);
}

static enum sm_err run(const char *const *argv)
{
    struct sm_child child;
    int status = 1;
    int quiet =
        open("/dev/null", O_WRONLY | O_CLOEXEC); /* it talks to stdout; DIR/log has it */
    if (quiet < 0) {
        return sm_err_of_errno(errno);
    }
    const struct sm_fd_map fds[] = {{quiet, 1}, {quiet, 2}};
    struct sm_child_cfg cfg = {
        .path = argv[0], .argv = argv, .fds = fds, .n_fds = 2, .die_with_parent = true};
    enum sm_err e = sm_child_spawn(&cfg, &child);
    (void)close(quiet);
    SM_TRY(e);
    e = sm_child_wait(&child, &status);
    sm_child_done(&child);
    return e != SM_OK ? e : status == 0 ? SM_OK : SM_E_FAILED;
}

enum sm_err sm_swtpm_make(const char *dir, const char *ca_dir)
{
    char setup[SM_PATH], state[SM_PATH], config[SM_PATH], log[SM_PATH];
    if (!sm_swtpm_is_installed() || !find("swtpm_setup", setup)) {
        return SM_E_UNSUPPORTED;
    }
    SM_TRY(sm_path_join(dir, "state", state));
    SM_TRY(sm_path_join(dir, "setup.conf", config));
    SM_TRY(sm_path_join(dir, "log", log));
    SM_TRY(sm_dir_make(ca_dir, 0700));
    SM_TRY(sm_dir_make(state, 0700));
    SM_TRY(write_configs(dir, ca_dir));
    const char *const argv[] = {
        setup,       "--tpm2", "--tpmstate",       state,         "--config", config,
        "--logfile", log,      "--create-ek-cert", "--overwrite", NULL};
    return run(argv);
}

/* -- starting ---------------------------------------------------------------------------- */

static enum sm_err listen_at(const char *dir, const char *name, int *out)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char path[SM_PATH];
    SM_TRY(sm_path_join(dir, name, path));
    if (strlen(path) >= sizeof a.sun_path) {
        return SM_E_LIMIT;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    (void)unlink(path);
    if (bind(fd, (const struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4) != 0) {
        enum sm_err e = sm_err_of_errno(errno);
        (void)close(fd);
        return e;
    }
    *out = fd;
    return SM_OK;
}

static enum sm_err spawn(const char *dir, const struct sm_fd_map fds[static 4],
                         bool die_with_parent, struct sm_child *out)
{
    char path[SM_PATH], state[ARG], log[ARG], pid[ARG];
    if (!find("swtpm", path)) {
        return SM_E_UNSUPPORTED;
    }
    (void)snprintf(state, sizeof state, "dir=%s/state", dir);
    (void)snprintf(log, sizeof log, "file=%s/log", dir);
    (void)snprintf(pid, sizeof pid, "file=%s/pid", dir);
    const char *const argv[] = {path,
                                "socket",
                                "--tpm2",
                                "--tpmstate",
                                state,
                                "--log",
                                log,
                                "--pid",
                                pid,
                                "--server",
                                "type=unixio,fd=3",
                                "--ctrl",
                                "type=unixio,fd=4",
                                "--flags",
                                "not-need-init,startup-clear",
                                NULL};
    struct sm_child_cfg cfg = {.path = path,
                               .argv = argv,
                               .fds = fds,
                               .n_fds = 4,
                               .own_group = !die_with_parent,
                               .die_with_parent = die_with_parent};
    return sm_child_spawn(&cfg, out);
}

enum sm_err sm_swtpm_start(const char *dir, bool die_with_parent, struct sm_child *out)
{
    int server = -1, control = -1;
    int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
    enum sm_err e = quiet < 0 ? sm_err_of_errno(errno) : listen_at(dir, "tpm.sock", &server);
    e = e == SM_OK ? listen_at(dir, "tpm.ctrl", &control) : e;
    if (e == SM_OK) {
        const struct sm_fd_map fds[] = {{server, 3}, {control, 4}, {quiet, 1}, {quiet, 2}};
        e = spawn(dir, fds, die_with_parent, out);
    }
    if (quiet >= 0) {
        (void)close(quiet);
    }
    if (server >= 0) {
        (void)close(server);
    }
    if (control >= 0) {
        (void)close(control);
    }
    return e;
}

/* -- stopping ---------------------------------------------------------------------------- */

/* Process ids are used again: is this one ours? */
static bool is_swtpm_of(const char *dir, long pid)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf line = SM_BUF(16384);
    char path[64], state[ARG];
    (void)snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
    (void)snprintf(state, sizeof state, "dir=%s/state", dir);
    return pid > 1 && sm_file_read(path, &line) == SM_OK &&
           memmem(line.p, line.n, state, strlen(state) + 1) != NULL;
}

void sm_swtpm_stop(const char *dir)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf text = SM_BUF(64);
    char path[SM_PATH];
    if (sm_path_join(dir, "pid", path) != SM_OK || sm_file_read(path, &text) != SM_OK ||
        sm_buf_add(&text, "", 1) != SM_OK) {
        return;
    }
    long pid = strtol((const char *)text.p, NULL, 10);
    int pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
    if (pidfd >= 0 && is_swtpm_of(dir, pid)) {
        struct pollfd gone = {.fd = pidfd, .events = POLLIN};
        (void)kill((pid_t)pid, SIGTERM);
        (void)poll(&gone, 1, STOP_MS);
    }
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
}
