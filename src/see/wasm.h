// SPDX-License-Identifier: Apache-2.0
#pragma once
/* wasm: what a node believes about a WebAssembly module before any other program sees it.
 *
 * One pass over untrusted bytes decodes, type-checks and re-encodes a module of SEE profile 1:
 * the MVP with mutable globals, sign extension, saturating truncation, several results, bulk
 * memory and funcref tables; one memory; function imports from WASI preview 1 with exactly
 * their types; nothing else.  The output is canonical: shortest integers, no custom sections,
 * and of all names only "memory", "_start" and the imports' own.  So no byte of it that a
 * later program treats as text was chosen by the module's author, and checking the output
 * again gives the same output.
 *
 * Memory:  one working area of about 1.3 MiB, and `out` up to its maximum.
 * Errors:  MODULE with `fault` filled in; LIMIT and NOMEM when `out` cannot hold the result.
 * Threads: no globals.
 * Source:  WebAssembly core specification 2.0, sections 3 and 5 and its validation appendix.
 */
#include "base/bytes.h"

/* Part of the cache key: raise it when the check or the re-encoding changes. */
#define SM_WASM_CHECK_VERSION 1u

enum {
    SM_WASM_MODULE_MAX = 32 << 20, /* bytes: bounds memory and the time of every later step */
    SM_WASM_TYPES_MAX = 10000,     /* with 64 values each: under 1 MiB */
    SM_WASM_FUNCS_MAX = 20000,     /* the translator is quadratic in functions */
    SM_WASM_BODY_MAX = 128 << 10,  /* bytes: gcc is superlinear in a function's size */
    SM_WASM_NESTING_MAX = 512,     /* blocks in blocks; gcc nests with them */
    SM_WASM_LOCALS_MAX = 5000,     /* per function */
    SM_WASM_ARITY_MAX = 64,        /* parameters plus results */
    SM_WASM_OPERANDS_MAX = 65536,  /* operand stack of one function */
    SM_WASM_BR_TABLE_MAX = 65535,  /* targets */
    SM_WASM_TABLES_MAX = 16,       /* clang makes one */
    SM_WASM_TABLE_ENTRIES_MAX = 1 << 20, /* 24 bytes each in the runtime */
    SM_WASM_GLOBALS_MAX = 10000,
    SM_WASM_SEGMENTS_MAX = 20000, /* data; and as many element segments */
    SM_WASM_EXPORTS_MAX = 20000,
    SM_WASM_PAGES_MAX = 65535, /* of 64 KiB: sizes in bytes fit 32 bits */
};

struct sm_wasm_fault {
    size_t offset; /* in the module as submitted */
    char reason[96];
};

struct sm_wasm_info {
    uint32_t pages_min,
        pages_max; /* pages_max is SM_WASM_PAGES_MAX when the module sets none */
    uint32_t functions, imports;
};

/* Check `module` and append its canonical form to `out`, which keeps its old content on
 * failure.  `fault` is written only when MODULE is returned. */
enum sm_err sm_wasm_check(struct sm_view module, struct sm_buf *out, struct sm_wasm_info *info,
                          struct sm_wasm_fault *fault) SM_MUST;
