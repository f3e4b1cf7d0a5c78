// SPDX-License-Identifier: Apache-2.0
#pragma once
/* file: whole files, atomically, and the folders they live in.
 *
 * What sm_file_write_atomic() acknowledged survives a crash: the bytes are synced before the
 * name points to them, and the folder after.
 *
 * Errors:  NOTFOUND, REFUSED (permissions), EXISTS, LIMIT (larger than the caller allows, or
 *          no descriptors), NOSPACE, BUSY (locked by another process), IO.
 */
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define SM_PATH 512 /* our longest path with its NUL; node homes are short */

/* Join with one slash; LIMIT when it does not fit SM_PATH. */
enum sm_err sm_path_join(const char *dir, const char *name, char out[static SM_PATH]) SM_MUST;

/* Replace out's content with the file's; LIMIT when the file exceeds out->max. */
enum sm_err sm_file_read(const char *path, struct sm_buf *out) SM_MUST;
/* Exactly n bytes, for keys: nothing passes through growing memory.  MALFORMED when the file
 * has another length; out may be partly written then, so wipe it. */
enum sm_err sm_file_read_exact(const char *path, void *out, size_t n) SM_MUST;
enum sm_err sm_file_write_atomic(const char *path, unsigned mode, struct sm_view bytes) SM_MUST;
/* The same, but EXISTS when the name is taken: for keys, which are never overwritten. */
enum sm_err sm_file_create(const char *path, unsigned mode, struct sm_view bytes) SM_MUST;
bool sm_file_exists(const char *path);

/* Make dir and its missing parents; new ones get `mode`.  EXISTS when a file is in the way. */
enum sm_err sm_dir_make(const char *dir, unsigned mode) SM_MUST;
enum sm_err sm_dir_sync(const char *dir) SM_MUST;

/* Lock the file (made when missing) until the descriptor is closed, also by death. */
enum sm_err sm_file_lock(const char *path, int *out_fd) SM_MUST;

/* The error for an errno, for other files of os. */
enum sm_err sm_err_of_errno(int err);
