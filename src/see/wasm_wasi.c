// SPDX-License-Identifier: Apache-2.0
/* The functions a module may import, each with its exact type: all of WASI preview 1. */
#include "see/wasm_int.h"

#include <string.h>

/* Types as letters: i is i32, l is i64; the result follows the colon. */
static const struct wasi_import {
    const char *name, *type;
} allowed[] = {
    {"args_get", "ii:i"},
    {"args_sizes_get", "ii:i"},
    {"environ_get", "ii:i"},
    {"environ_sizes_get", "ii:i"},
    {"clock_res_get", "ii:i"},
    {"clock_time_get", "ili:i"},
    {"fd_advise", "illi:i"},
    {"fd_allocate", "ill:i"},
    {"fd_close", "i:i"},
    {"fd_datasync", "i:i"},
    {"fd_fdstat_get", "ii:i"},
    {"fd_fdstat_set_flags", "ii:i"},
    {"fd_fdstat_set_rights", "ill:i"},
    {"fd_filestat_get", "ii:i"},
    {"fd_filestat_set_size", "il:i"},
    {"fd_filestat_set_times", "illi:i"},
    {"fd_pread", "iiili:i"},
    {"fd_prestat_get", "ii:i"},
    {"fd_prestat_dir_name", "iii:i"},
    {"fd_pwrite", "iiili:i"},
    {"fd_read", "iiii:i"},
    {"fd_readdir", "iiili:i"},
    {"fd_renumber", "ii:i"},
    {"fd_seek", "ilii:i"},
    {"fd_sync", "i:i"},
    {"fd_tell", "ii:i"},
    {"fd_write", "iiii:i"},
    {"path_create_directory", "iii:i"},
    {"path_filestat_get", "iiiii:i"},
    {"path_filestat_set_times", "iiiilli:i"},
    {"path_link", "iiiiiii:i"},
    {"path_open", "iiiiillii:i"},
    {"path_readlink", "iiiiii:i"},
    {"path_remove_directory", "iii:i"},
    {"path_rename", "iiiiii:i"},
    {"path_symlink", "iiiii:i"},
    {"path_unlink_file", "iii:i"},
    {"poll_oneoff", "iiii:i"},
    {"proc_exit", "i:"},
    {"proc_raise", "i:i"},
    {"random_get", "ii:i"},
    {"sched_yield", ":i"},
    {"sock_accept", "iii:i"},
    {"sock_recv", "iiiiii:i"},
    {"sock_send", "iiiii:i"},
    {"sock_shutdown", "ii:i"},
};
_Static_assert(SM_COUNT(allowed) <= WASM_IMPORTS_MAX, "one bit each in struct wasm");

int wasm_wasi_find(struct sm_view name)
{
    for (size_t i = 0; i < SM_COUNT(allowed); i++) {
        if (sm_view_eq(name, sm_view_str(allowed[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

const char *wasm_wasi_name(int index)
{
    return allowed[index].name;
}

bool wasm_wasi_type_is(int index, const struct functype *t)
{
    char text[SM_WASM_ARITY_MAX + 2];
    size_t n = 0;
    for (size_t i = 0; i <= (size_t)t->n_params + t->n_results; i++) {
        if (i == t->n_params) {
            text[n++] = ':';
        }
        if (i < (size_t)t->n_params + t->n_results) {
            text[n++] = t->v[i] == VAL_I32 ? 'i' : t->v[i] == VAL_I64 ? 'l' : '?';
        }
    }
    return n == strlen(allowed[index].type) && memcmp(text, allowed[index].type, n) == 0;
}
