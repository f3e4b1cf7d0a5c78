// SPDX-License-Identifier: Apache-2.0
#pragma once
/* wasm_int: what the files of the module check share; not for others. */
#include "see/wasm.h"

enum valtype {
    VAL_ANY = 0, /* the operand of unreachable code: matches every type */
    VAL_I32 = 0x7F,
    VAL_I64 = 0x7E,
    VAL_F32 = 0x7D,
    VAL_F64 = 0x7C,
    VAL_FUNCREF = 0x70,
};

/* A function type: v holds the parameters, then the results. */
struct functype {
    uint8_t n_params, n_results;
    uint8_t v[SM_WASM_ARITY_MAX];
};

struct global {
    uint8_t type;
    bool is_mutable;
};

/* Bytes under construction.  Sticky: the first failure stays and later bytes are lost. */
struct emit {
    struct sm_buf b;
    enum sm_err err;
};

/* An open block, as in the specification's validation appendix. */
struct frame {
    const uint8_t *start, *end; /* types it takes and leaves */
    uint8_t n_start, n_end;
    uint8_t op;
    bool is_dead; /* the rest of it cannot be reached */
    uint32_t height;
};

#define WASM_IMPORTS_MAX 64 /* the allow-list is shorter, and none may come twice */

struct wasm {
    struct sm_view module;
    struct sm_rd r; /* the section or body being read */
    size_t at;      /* where the item being checked starts */
    struct sm_wasm_fault *fault;
    struct emit sec, body;

    struct functype types[SM_WASM_TYPES_MAX];
    uint32_t funcs[SM_WASM_FUNCS_MAX + WASM_IMPORTS_MAX];   /* type of each, imports first */
    bool is_declared[SM_WASM_FUNCS_MAX + WASM_IMPORTS_MAX]; /* may be named by ref.func */
    struct global globals[SM_WASM_GLOBALS_MAX];
    uint32_t n_types, n_imports, n_funcs, n_tables, n_globals, n_elems, n_data, n_bodies;
    uint64_t imported; /* bit per entry of the allow-list */
    uint32_t pages_min, pages_max, table_entries;
    bool has_memory, has_data_count, has_data, exports_memory, exports_start;

    uint8_t locals[SM_WASM_LOCALS_MAX];
    uint32_t n_locals;
    uint8_t vals[SM_WASM_OPERANDS_MAX];
    uint32_t n_vals;
    struct frame frames[SM_WASM_NESTING_MAX + 1];
    uint32_t n_frames;
};

/* -- reading: sticky, like struct sm_rd; wasm_sound() tells ------------------------------- */

uint32_t wasm_u32(struct wasm *w);
int64_t wasm_sleb(struct wasm *w, unsigned bits);
void wasm_mark(struct wasm *w);                 /* the next item starts here */
enum sm_err wasm_sound(struct wasm *w) SM_MUST; /* refuses when a read failed */
enum sm_err wasm_refuse(struct wasm *w, const char *why, ...)
    __attribute__((format(printf, 2, 3))) SM_MUST;
enum sm_err wasm_valtype(struct wasm *w, uint8_t byte) SM_MUST; /* is it one of the profile? */

/* -- writing ----------------------------------------------------------------------------- */

void wasm_put(struct emit *e, const void *p, size_t n);
void wasm_put_u8(struct emit *e, uint8_t v);
void wasm_put_u32(struct emit *e, uint32_t v);
void wasm_put_sleb(struct emit *e, int64_t v);

/* -- parts ------------------------------------------------------------------------------- */

/* Check a constant expression of the given type, up to its `end`, and copy it to sec. */
enum sm_err wasm_const_expr(struct wasm *w, uint8_t type) SM_MUST;
/* Check the body of function `func` (w->r holds exactly the body) and write it to w->body. */
enum sm_err wasm_body(struct wasm *w, uint32_t func) SM_MUST;

/* The allow-list of imports: index of preview1 function `name`, or -1. */
int wasm_wasi_find(struct sm_view name);
bool wasm_wasi_type_is(int index, const struct functype *t);
const char *wasm_wasi_name(int index);
