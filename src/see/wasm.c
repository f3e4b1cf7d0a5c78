// SPDX-License-Identifier: Apache-2.0
#include "see/wasm.h"

#include "see/wasm_int.h"

#include <stdlib.h>
#include <string.h>

enum section {
    SEC_CUSTOM,
    SEC_TYPE,
    SEC_IMPORT,
    SEC_FUNCTION,
    SEC_TABLE,
    SEC_MEMORY,
    SEC_GLOBAL,
    SEC_EXPORT,
    SEC_START,
    SEC_ELEMENT,
    SEC_CODE,
    SEC_DATA,
    SEC_DATA_COUNT,
};

enum extern_kind { KIND_FUNC, KIND_TABLE, KIND_MEMORY, KIND_GLOBAL };

#define WASI_MODULE "wasi_snapshot_preview1"

static enum sm_err read_count(struct wasm *w, uint32_t max, const char *what, uint32_t *out)
{
    wasm_mark(w);
    uint32_t n = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (n > max) {
        return wasm_refuse(w, "%u %s, more than %u", n, what, max);
    }
    wasm_put_u32(&w->sec, n);
    *out = n;
    return SM_OK;
}

static struct sm_view read_name(struct wasm *w)
{
    uint32_t n = wasm_u32(w);
    return sm_rd_view(&w->r, n);
}

static void put_name(struct wasm *w, const char *name)
{
    size_t n = strlen(name);
    wasm_put_u32(&w->sec, (uint32_t)n);
    wasm_put(&w->sec, name, n);
}

/* Well-formed UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool is_utf8(struct sm_view s)
{
    for (size_t i = 0; i < s.n;) {
        uint8_t b = s.p[i++];
        unsigned more = b < 0x80   ? 0
                        : b < 0xC2 ? 9
                        : b < 0xE0 ? 1
                        : b < 0xF0 ? 2
                        : b < 0xF5 ? 3
                                   : 9;
        if (more > s.n - i) {
            return false;
        }
        if (more >= 2) {
            uint8_t c = s.p[i];
            if ((b == 0xE0 && c < 0xA0) || (b == 0xED && c > 0x9F) || (b == 0xF0 && c < 0x90) ||
                (b == 0xF4 && c > 0x8F)) {
                return false;
            }
        }
        for (; more > 0; more--) {
            if ((s.p[i++] & 0xC0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

/* -- sections ---------------------------------------------------------------------------- */

static enum sm_err read_type(struct wasm *w, struct functype *t)
{
    wasm_mark(w);
    uint8_t form = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (form != 0x60) {
        return wasm_refuse(w, "type that is not a function");
    }
    wasm_put_u8(&w->sec, form);
    uint32_t at = 0;
    for (unsigned part = 0; part < 2; part++) {
        uint32_t n = wasm_u32(w);
        SM_TRY(wasm_sound(w));
        if (n > SM_WASM_ARITY_MAX - at) {
            return wasm_refuse(w, "more than %d parameters and results", SM_WASM_ARITY_MAX);
        }
        wasm_put_u32(&w->sec, n);
        for (uint32_t i = 0; i < n; i++) {
            t->v[at] = sm_rd_u8(&w->r);
            SM_TRY(wasm_sound(w));
            SM_TRY(wasm_valtype(w, t->v[at]));
            wasm_put_u8(&w->sec, t->v[at++]);
        }
        if (part == 0) {
            t->n_params = (uint8_t)n;
        } else {
            t->n_results = (uint8_t)n;
        }
    }
    return SM_OK;
}

static enum sm_err read_types(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, SM_WASM_TYPES_MAX, "types", &n));
    for (; w->n_types < n; w->n_types++) {
        SM_TRY(read_type(w, &w->types[w->n_types]));
    }
    return SM_OK;
}

static enum sm_err read_import(struct wasm *w)
{
    wasm_mark(w);
    struct sm_view module = read_name(w), name = read_name(w);
    uint8_t kind = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (kind != KIND_FUNC) {
        return wasm_refuse(w, "only functions can be imported");
    }
    uint32_t type = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    int index = wasm_wasi_find(name);
    if (!sm_view_eq(module, sm_view_str(WASI_MODULE)) || index < 0) {
        return wasm_refuse(w, "import that is not a function of " WASI_MODULE);
    }
    if (type >= w->n_types || !wasm_wasi_type_is(index, &w->types[type])) {
        return wasm_refuse(w, "import %s with a wrong type", wasm_wasi_name(index));
    }
    uint64_t bit = UINT64_C(1) << index;
    if ((w->imported & bit) != 0) {
        return wasm_refuse(w, "import %s twice", wasm_wasi_name(index));
    }
    w->imported |= bit;
    w->funcs[w->n_funcs++] = type;
    put_name(w, WASI_MODULE);
    put_name(w, wasm_wasi_name(index));
    wasm_put_u8(&w->sec, kind);
    wasm_put_u32(&w->sec, type);
    return SM_OK;
}

static enum sm_err read_imports(struct wasm *w)
{
    SM_TRY(read_count(w, WASM_IMPORTS_MAX, "imports", &w->n_imports));
    for (uint32_t i = 0; i < w->n_imports; i++) {
        SM_TRY(read_import(w));
    }
    return SM_OK;
}

static enum sm_err read_functions(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, SM_WASM_FUNCS_MAX, "functions", &n));
    for (uint32_t i = 0; i < n; i++) {
        wasm_mark(w);
        uint32_t type = wasm_u32(w);
        SM_TRY(wasm_sound(w));
        if (type >= w->n_types) {
            return wasm_refuse(w, "type %u does not exist", type);
        }
        wasm_put_u32(&w->sec, type);
        w->funcs[w->n_funcs++] = type;
    }
    return SM_OK;
}

/* Limits of a table or memory; max is `cap` when the module gives none, and may be above it. */
static enum sm_err read_limits(struct wasm *w, uint32_t cap, uint32_t *min, uint32_t *max)
{
    uint8_t flags = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (flags > 1) {
        return wasm_refuse(w, flags < 4 ? "shared memory: threads are not supported"
                                        : "64-bit memory is not supported");
    }
    uint32_t lo = wasm_u32(w), hi = flags == 1 ? wasm_u32(w) : cap;
    SM_TRY(wasm_sound(w));
    wasm_put_u8(&w->sec, flags);
    wasm_put_u32(&w->sec, lo);
    if (flags == 1) {
        wasm_put_u32(&w->sec, hi);
        if (lo > hi) {
            return wasm_refuse(w, "limits with the minimum above the maximum");
        }
    }
    if (lo > cap) {
        return wasm_refuse(w, "size %u, more than %u", lo, cap);
    }
    *min = lo;
    *max = hi;
    return SM_OK;
}

static enum sm_err read_tables(struct wasm *w)
{
    uint32_t n = 0, min = 0, max = 0;
    SM_TRY(read_count(w, SM_WASM_TABLES_MAX, "tables", &n));
    for (; w->n_tables < n; w->n_tables++) {
        wasm_mark(w);
        uint8_t type = sm_rd_u8(&w->r);
        SM_TRY(wasm_sound(w));
        if (type != VAL_FUNCREF) {
            return wasm_refuse(w, "table of something other than funcref");
        }
        wasm_put_u8(&w->sec, type);
        SM_TRY(read_limits(w, SM_WASM_TABLE_ENTRIES_MAX - w->table_entries, &min, &max));
        w->table_entries += min;
    }
    return SM_OK;
}

static enum sm_err read_memories(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, 1, "memories", &n));
    w->has_memory = n == 1;
    if (n == 1) {
        wasm_mark(w);
        SM_TRY(read_limits(w, SM_WASM_PAGES_MAX + 1u, &w->pages_min, &w->pages_max));
        if (w->pages_min > SM_WASM_PAGES_MAX || w->pages_max > SM_WASM_PAGES_MAX + 1u) {
            return wasm_refuse(w, "more than %d pages of memory", SM_WASM_PAGES_MAX);
        }
        if (w->pages_max > SM_WASM_PAGES_MAX) {
            w->pages_max = SM_WASM_PAGES_MAX;
        }
    }
    return SM_OK;
}

static enum sm_err read_globals(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, SM_WASM_GLOBALS_MAX, "globals", &n));
    for (; w->n_globals < n; w->n_globals++) {
        wasm_mark(w);
        uint8_t type = sm_rd_u8(&w->r), mut = sm_rd_u8(&w->r);
        SM_TRY(wasm_sound(w));
        SM_TRY(wasm_valtype(w, type));
        if (mut > 1) {
            return wasm_refuse(w, "malformed global");
        }
        wasm_put_u8(&w->sec, type);
        wasm_put_u8(&w->sec, mut);
        SM_TRY(wasm_const_expr(w, type));
        w->globals[w->n_globals] = (struct global){type, mut == 1};
    }
    return SM_OK;
}

static bool is_start_type(const struct wasm *w, uint32_t func)
{
    const struct functype *t = &w->types[w->funcs[func]];
    return t->n_params == 0 && t->n_results == 0;
}

/* Write the two exports a node uses, always in this order. */
static void put_exports(struct wasm *w, uint32_t start)
{
    wasm_put_u32(&w->sec, (uint32_t)w->exports_memory + (uint32_t)w->exports_start);
    if (w->exports_memory) {
        put_name(w, "memory");
        wasm_put_u8(&w->sec, KIND_MEMORY);
        wasm_put_u32(&w->sec, 0);
    }
    if (w->exports_start) {
        put_name(w, "_start");
        wasm_put_u8(&w->sec, KIND_FUNC);
        wasm_put_u32(&w->sec, start);
        w->is_declared[start] = true;
    }
}

static enum sm_err read_export(struct wasm *w, struct sm_view *name, uint32_t *start)
{
    const uint32_t limits[] = {w->n_funcs, w->n_tables, w->has_memory, w->n_globals};
    wasm_mark(w);
    *name = read_name(w);
    uint8_t kind = sm_rd_u8(&w->r);
    uint32_t index = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (!is_utf8(*name)) {
        return wasm_refuse(w, "export name is not UTF-8");
    }
    if (kind >= SM_COUNT(limits) || index >= limits[kind]) {
        return wasm_refuse(w, "export of something that does not exist");
    }
    if (sm_view_eq(*name, sm_view_str("memory"))) {
        if (kind != KIND_MEMORY) {
            return wasm_refuse(w, "export \"memory\" is not a memory");
        }
        w->exports_memory = true;
    }
    if (sm_view_eq(*name, sm_view_str("_start"))) {
        if (kind != KIND_FUNC || !is_start_type(w, index)) {
            return wasm_refuse(w, "export \"_start\" is not a function without parameters");
        }
        w->exports_start = true;
        *start = index;
    }
    return SM_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct sm_view *x = a, *y = b;
    if (x->n != y->n) {
        return x->n < y->n ? -1 : 1;
    }
    return x->n > 0 ? memcmp(x->p, y->p, x->n) : 0;
}

static enum sm_err read_exports_into(struct wasm *w, struct sm_view *names, uint32_t n)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < n; i++) {
        SM_TRY(read_export(w, &names[i], &start));
    }
    qsort(names, n, sizeof names[0], compare_names);
    for (uint32_t i = 1; i < n; i++) {
        if (sm_view_eq(names[i - 1], names[i])) {
            return wasm_refuse(w, "two exports with one name");
        }
    }
    put_exports(w, start);
    return SM_OK;
}

static enum sm_err read_exports(struct wasm *w)
{
    wasm_mark(w);
    uint32_t n = wasm_u32(w); /* not written: put_exports counts what is kept */
    SM_TRY(wasm_sound(w));
    if (n > SM_WASM_EXPORTS_MAX) {
        return wasm_refuse(w, "more than %d exports", SM_WASM_EXPORTS_MAX);
    }
    struct sm_view *names = calloc(n + 1u, sizeof *names);
    if (names == NULL) {
        return SM_E_NOMEM;
    }
    enum sm_err e = read_exports_into(w, names, n);
    free(names);
    return e;
}

static enum sm_err read_start(struct wasm *w)
{
    wasm_mark(w);
    uint32_t f = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (f >= w->n_funcs || !is_start_type(w, f)) {
        return wasm_refuse(w, "start function does not exist or takes parameters");
    }
    wasm_put_u32(&w->sec, f);
    return SM_OK;
}

/* A segment's function indices, each of which ref.func may then name. */
static enum sm_err read_elem_funcs(struct wasm *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        wasm_mark(w);
        uint32_t f = wasm_u32(w);
        SM_TRY(wasm_sound(w));
        if (f >= w->n_funcs) {
            return wasm_refuse(w, "function %u does not exist", f);
        }
        w->is_declared[f] = true;
        wasm_put_u32(&w->sec, f);
    }
    return SM_OK;
}

enum {
    ELEM_INACTIVE = 1, /* passive, or declarative with ELEM_EXPLICIT */
    ELEM_EXPLICIT = 2, /* an active one names its table */
    ELEM_EXPRS = 4,    /* expressions, not indices */
};

static enum sm_err read_elem_mode(struct wasm *w, uint32_t flags)
{
    uint32_t table = 0;
    if ((flags & ELEM_INACTIVE) == 0) {
        if ((flags & ELEM_EXPLICIT) != 0) {
            table = wasm_u32(w);
            SM_TRY(wasm_sound(w));
            wasm_put_u32(&w->sec, table);
        }
        if (table >= w->n_tables) {
            return wasm_refuse(w, "table %u does not exist", table);
        }
        SM_TRY(wasm_const_expr(w, VAL_I32));
    }
    if ((flags & (ELEM_INACTIVE | ELEM_EXPLICIT)) != 0) {
        uint8_t kind = sm_rd_u8(&w->r);
        SM_TRY(wasm_sound(w));
        if (kind != ((flags & ELEM_EXPRS) != 0 ? VAL_FUNCREF : 0)) {
            return wasm_refuse(w, "element segment of something other than functions");
        }
        wasm_put_u8(&w->sec, kind);
    }
    return SM_OK;
}

static enum sm_err read_elem(struct wasm *w)
{
    uint32_t n = 0;
    wasm_mark(w);
    uint32_t flags = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (flags > 7) {
        return wasm_refuse(w, "malformed element segment");
    }
    wasm_put_u32(&w->sec, flags);
    SM_TRY(read_elem_mode(w, flags));
    SM_TRY(read_count(w, SM_WASM_TABLE_ENTRIES_MAX, "elements", &n));
    if ((flags & ELEM_EXPRS) == 0) {
        return read_elem_funcs(w, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        SM_TRY(wasm_const_expr(w, VAL_FUNCREF));
    }
    return SM_OK;
}

static enum sm_err read_elems(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, SM_WASM_SEGMENTS_MAX, "element segments", &n));
    for (; w->n_elems < n; w->n_elems++) {
        SM_TRY(read_elem(w));
    }
    return SM_OK;
}

static enum sm_err read_data_count(struct wasm *w)
{
    w->has_data_count = true;
    return read_count(w, SM_WASM_SEGMENTS_MAX, "data segments", &w->n_data);
}

static enum sm_err read_code_entry(struct wasm *w, struct sm_rd *section)
{
    wasm_mark(w);
    uint32_t size = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (size > SM_WASM_BODY_MAX) {
        return wasm_refuse(w, "function of %u bytes, more than %d", size, SM_WASM_BODY_MAX);
    }
    struct sm_view bytes = sm_rd_view(&w->r, size);
    SM_TRY(wasm_sound(w));
    *section = w->r;
    w->r = sm_rd_init(bytes);
    sm_buf_clear(&w->body.b);
    SM_TRY(wasm_body(w, w->n_imports + w->n_bodies));
    w->r = *section;
    wasm_put_u32(&w->sec, (uint32_t)w->body.b.n);
    wasm_put(&w->sec, w->body.b.p, w->body.b.n);
    w->n_bodies++;
    return w->body.err;
}

static enum sm_err read_code(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, SM_WASM_FUNCS_MAX, "function bodies", &n));
    if (n != w->n_funcs - w->n_imports) {
        return wasm_refuse(w, "%u function bodies for %u functions", n,
                           w->n_funcs - w->n_imports);
    }
    struct sm_rd section;
    for (uint32_t i = 0; i < n; i++) {
        SM_TRY(read_code_entry(w, &section));
    }
    return SM_OK;
}

static enum sm_err read_data_segment(struct wasm *w)
{
    wasm_mark(w);
    uint32_t flags = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (flags > 2) {
        return wasm_refuse(w, "malformed data segment");
    }
    uint32_t memory = flags == 2 ? wasm_u32(w) : 0;
    SM_TRY(wasm_sound(w));
    wasm_put_u32(&w->sec, flags == 1 ? 1 : 0); /* memory 0 has a shorter form */
    if (flags != 1) {
        if (memory != 0 || !w->has_memory) {
            return wasm_refuse(w, "data for a memory that does not exist");
        }
        SM_TRY(wasm_const_expr(w, VAL_I32));
    }
    wasm_mark(w);
    struct sm_view bytes = read_name(w);
    SM_TRY(wasm_sound(w));
    wasm_put_u32(&w->sec, (uint32_t)bytes.n);
    wasm_put(&w->sec, bytes.p, bytes.n);
    return SM_OK;
}

static enum sm_err read_data(struct wasm *w)
{
    uint32_t n = 0;
    SM_TRY(read_count(w, SM_WASM_SEGMENTS_MAX, "data segments", &n));
    if (w->has_data_count && n != w->n_data) {
        return wasm_refuse(w, "data count differs from the data section");
    }
    w->has_data = true;
    for (uint32_t i = 0; i < n; i++) {
        SM_TRY(read_data_segment(w));
    }
    return SM_OK;
}

static enum sm_err read_custom(struct wasm *w)
{
    struct sm_view name = read_name(w);
    SM_TRY(wasm_sound(w));
    if (!is_utf8(name)) {
        return wasm_refuse(w, "section name is not UTF-8");
    }
    (void)sm_rd_rest(&w->r);
    return SM_OK;
}

/* In the order the binary format demands. */
static const struct part {
    uint8_t id;
    enum sm_err (*read)(struct wasm *w);
} parts[] = {
    {SEC_TYPE, read_types},         {SEC_IMPORT, read_imports},
    {SEC_FUNCTION, read_functions}, {SEC_TABLE, read_tables},
    {SEC_MEMORY, read_memories},    {SEC_GLOBAL, read_globals},
    {SEC_EXPORT, read_exports},     {SEC_START, read_start},
    {SEC_ELEMENT, read_elems},      {SEC_DATA_COUNT, read_data_count},
    {SEC_CODE, read_code},          {SEC_DATA, read_data},
};

/* Find the section's place after the last one; parts is SM_COUNT(parts) long. */
static enum sm_err find_part(struct wasm *w, uint8_t id, size_t *next)
{
    for (size_t i = *next; i < SM_COUNT(parts); i++) {
        if (parts[i].id == id) {
            *next = i + 1;
            return SM_OK;
        }
    }
    if (id == 13) {
        return wasm_refuse(w, "exceptions are not supported (tag section)");
    }
    return wasm_refuse(
        w, id <= SEC_DATA_COUNT ? "section %u twice or out of order" : "unknown section %u",
        id);
}

static enum sm_err read_section(struct wasm *w, size_t *next, struct sm_buf *out)
{
    wasm_mark(w);
    uint8_t id = sm_rd_u8(&w->r);
    uint32_t size = wasm_u32(w);
    struct sm_view bytes = sm_rd_view(&w->r, size);
    SM_TRY(wasm_sound(w));
    struct sm_rd outer = w->r;
    w->r = sm_rd_init(bytes);
    sm_buf_clear(&w->sec.b);
    if (id == SEC_CUSTOM) {
        SM_TRY(read_custom(w));
    } else {
        SM_TRY(find_part(w, id, next));
        SM_TRY(parts[*next - 1].read(w));
    }
    wasm_mark(w);
    if (w->r.left.n != 0) {
        return wasm_refuse(w, "bytes after the end of section %u", id);
    }
    w->r = outer;
    SM_TRY(w->sec.err);
    if (id == SEC_CUSTOM) {
        return SM_OK;
    }
    struct emit head = {.b = SM_BUF(16)};
    wasm_put_u8(&head, id);
    wasm_put_u32(&head, (uint32_t)w->sec.b.n);
    enum sm_err e = head.err == SM_OK ? sm_buf_add(out, head.b.p, head.b.n) : head.err;
    sm_buf_done(&head.b);
    SM_TRY(e);
    return sm_buf_add(out, w->sec.b.p, w->sec.b.n);
}

static const uint8_t magic[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};

static enum sm_err read_module(struct wasm *w, struct sm_buf *out)
{
    if (w->module.n > SM_WASM_MODULE_MAX) {
        return wasm_refuse(w, "module larger than %d MiB", SM_WASM_MODULE_MAX >> 20);
    }
    uint8_t head[sizeof magic];
    sm_rd_bytes(&w->r, head, sizeof head);
    if (w->r.failed || memcmp(head, magic, 4) != 0) {
        return wasm_refuse(w, "not a WebAssembly module");
    }
    if (memcmp(head, magic, sizeof magic) != 0) {
        return wasm_refuse(w, "not a core module of version 1");
    }
    SM_TRY(sm_buf_add(out, magic, sizeof magic));
    for (size_t next = 0; w->r.left.n > 0;) {
        SM_TRY(read_section(w, &next, out));
    }
    wasm_mark(w);
    if (w->n_bodies != w->n_funcs - w->n_imports) {
        return wasm_refuse(w, "no code for %u functions", w->n_funcs - w->n_imports);
    }
    if (w->n_data > 0 && !w->has_data) {
        return wasm_refuse(w, "data count without a data section");
    }
    if (!w->exports_start || !w->exports_memory) {
        return wasm_refuse(w, "no export \"%s\"", w->exports_start ? "memory" : "_start");
    }
    return SM_OK;
}

enum sm_err sm_wasm_check(struct sm_view module, struct sm_buf *out, struct sm_wasm_info *info,
                          struct sm_wasm_fault *fault)
{
    struct wasm *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return SM_E_NOMEM;
    }
    size_t before = out->n;
    w->module = module;
    w->r = sm_rd_init(module);
    w->fault = fault;
    w->sec.b = w->body.b = SM_BUF(out->max);
    enum sm_err e = read_module(w, out);
    if (e == SM_OK) {
        *info = (struct sm_wasm_info){.pages_min = w->pages_min,
                                      .pages_max = w->pages_max,
                                      .functions = w->n_bodies,
                                      .imports = w->n_imports};
    } else {
        out->n = before;
    }
    sm_buf_done(&w->sec.b);
    sm_buf_done(&w->body.b);
    free(w);
    return e;
}
