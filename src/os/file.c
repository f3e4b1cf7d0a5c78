// SPDX-License-Identifier: Apache-2.0
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum sm_err sm_err_of_errno(int err)
{
    switch (err) {
    case 0:
        return SM_OK;
    case ENOENT:
        return SM_E_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return SM_E_REFUSED;
    case EEXIST:
    case ENOTDIR:
    case EISDIR:
        return SM_E_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return SM_E_NOSPACE;
    case ENOMEM:
        return SM_E_NOMEM;
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case ENAMETOOLONG:
        return SM_E_LIMIT;
    case EPIPE:
    case ECONNRESET:
        return SM_E_CLOSED;
    case ECONNREFUSED:
    case ENETUNREACH:
    case EHOSTUNREACH:
        return SM_E_UNREACHABLE;
    case ETIMEDOUT:
        return SM_E_TIMEOUT;
    default:
        return SM_E_IO;
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

enum sm_err sm_path_join(const char *dir, const char *name, char out[static SM_PATH])
{
    size_t dn = strlen(dir), nn = strlen(name);
    bool has_slash = dn > 0 && dir[dn - 1] == '/';
    if (dn + nn + 2 > SM_PATH) {
        return SM_E_LIMIT;
    }
    (void)snprintf(out, SM_PATH, "%s%s%s", dir, has_slash ? "" : "/", name);
    return SM_OK;
}

static ssize_t read_retry(int fd, void *p, size_t n)
{
    ssize_t got;
    do {
        got = read(fd, p, n);
    } while (got < 0 && errno == EINTR);
    return got;
}

enum sm_err sm_file_read(const char *path, struct sm_buf *out)
{
    SM_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    uint8_t block[16384];
    sm_buf_clear(out);
    for (;;) {
        ssize_t got = read_retry(fd, block, sizeof block);
        if (got < 0) {
            return sm_err_of_errno(errno);
        }
        if (got == 0) {
            return SM_OK;
        }
        SM_TRY(sm_buf_add(out, block, (size_t)got));
    }
}

enum sm_err sm_file_read_exact(const char *path, void *out, size_t n)
{
    SM_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *at = out;
    uint8_t more;
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    while (n > 0) {
        ssize_t got = read_retry(fd, at, n);
        if (got <= 0) {
            return got < 0 ? sm_err_of_errno(errno) : SM_E_MALFORMED;
        }
        at += got;
        n -= (size_t)got;
    }
    return read_retry(fd, &more, 1) == 0 ? SM_OK : SM_E_MALFORMED;
}

static enum sm_err write_all(int fd, struct sm_view bytes)
{
    while (bytes.n > 0) {
        ssize_t put = write(fd, bytes.p, bytes.n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return sm_err_of_errno(errno);
        }
        bytes = sm_view_sub(bytes, (size_t)put, bytes.n);
    }
    return SM_OK;
}

/* The folder of path: everything before the last slash, "/" or ".". */
static enum sm_err parent_of(const char *path, char out[static SM_PATH])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= SM_PATH) {
        return SM_E_LIMIT;
    }
    memcpy(out, n == 0 ? "." : path, n == 0 ? 1 : n);
    out[n == 0 ? 1 : n] = '\0';
    return SM_OK;
}

/* A synced temporary file beside path. */
static enum sm_err write_temp(const char *temp, unsigned mode, struct sm_view bytes)
{
    SM_CLEANUP(close_fd)
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    SM_TRY(write_all(fd, bytes));
    if (fchmod(fd, (mode_t)mode) != 0 || fsync(fd) != 0) {
        return sm_err_of_errno(errno);
    }
    return SM_OK;
}

/* link() is how a name is taken without replacing one: rename() would. */
static int give_name(const char *temp, const char *path, bool may_replace)
{
    if (may_replace) {
        return rename(temp, path);
    }
    int r = link(temp, path);
    int err = errno;
    (void)unlink(temp);
    errno = err;
    return r;
}

static enum sm_err write_whole(const char *path, unsigned mode, struct sm_view bytes,
                               bool may_replace)
{
    char temp[SM_PATH], dir[SM_PATH];
    int n = snprintf(temp, sizeof temp, "%s.tmp.%ld", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp) {
        return SM_E_LIMIT;
    }
    SM_TRY(parent_of(path, dir));
    (void)unlink(temp); /* left by an earlier process with our number */
    enum sm_err e = write_temp(temp, mode, bytes);
    if (e == SM_OK && give_name(temp, path, may_replace) != 0) {
        e = sm_err_of_errno(errno);
    }
    if (e != SM_OK) {
        (void)unlink(temp);
        return e;
    }
    return sm_dir_sync(dir);
}

enum sm_err sm_file_write_atomic(const char *path, unsigned mode, struct sm_view bytes)
{
    return write_whole(path, mode, bytes, true);
}

enum sm_err sm_file_create(const char *path, unsigned mode, struct sm_view bytes)
{
    return write_whole(path, mode, bytes, false);
}

bool sm_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static enum sm_err make_one(const char *dir, unsigned mode)
{
    struct stat st;
    if (mkdir(dir, (mode_t)mode) == 0) {
        return SM_OK;
    }
    if (errno != EEXIST) {
        return sm_err_of_errno(errno);
    }
    if (stat(dir, &st) != 0) {
        return sm_err_of_errno(errno);
    }
    return S_ISDIR(st.st_mode) ? SM_OK : SM_E_EXISTS;
}

enum sm_err sm_dir_make(const char *dir, unsigned mode)
{
    char part[SM_PATH];
    size_t n = strlen(dir);
    if (n == 0 || n >= sizeof part) {
        return SM_E_LIMIT;
    }
    memcpy(part, dir, n + 1);
    for (size_t i = 1; i < n; i++) {
        if (part[i] == '/' && part[i - 1] != '/') {
            part[i] = '\0';
            SM_TRY(make_one(part, mode));
            part[i] = '/';
        }
    }
    return make_one(part, mode);
}

enum sm_err sm_dir_sync(const char *dir)
{
    SM_CLEANUP(close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    return fsync(fd) == 0 ? SM_OK : sm_err_of_errno(errno);
}

enum sm_err sm_file_lock(const char *path, int *out_fd)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sm_err_of_errno(errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum sm_err e = errno == EWOULDBLOCK ? SM_E_BUSY : sm_err_of_errno(errno);
        (void)close(fd);
        return e;
    }
    *out_fd = fd;
    return SM_OK;
}
