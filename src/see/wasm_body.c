// SPDX-License-Identifier: Apache-2.0
/* Check and re-encode function bodies: the algorithm of the specification's appendix. */
#include "see/wasm_int.h"

#include <assert.h>
#include <string.h>

enum op {
    OP_UNREACHABLE = 0x00,
    OP_NOP = 0x01,
    OP_BLOCK = 0x02,
    OP_LOOP = 0x03,
    OP_IF = 0x04,
    OP_ELSE = 0x05,
    OP_END = 0x0B,
    OP_BR = 0x0C,
    OP_BR_IF = 0x0D,
    OP_BR_TABLE = 0x0E,
    OP_RETURN = 0x0F,
    OP_CALL = 0x10,
    OP_CALL_INDIRECT = 0x11,
    OP_DROP = 0x1A,
    OP_SELECT = 0x1B,
    OP_SELECT_T = 0x1C,
    OP_LOCAL_GET = 0x20,
    OP_LOCAL_SET = 0x21,
    OP_LOCAL_TEE = 0x22,
    OP_GLOBAL_GET = 0x23,
    OP_GLOBAL_SET = 0x24,
    OP_TABLE_GET = 0x25,
    OP_TABLE_SET = 0x26,
    OP_LOAD_FIRST = 0x28,
    OP_STORE_FIRST = 0x36,
    OP_STORE_LAST = 0x3E,
    OP_MEMORY_SIZE = 0x3F,
    OP_MEMORY_GROW = 0x40,
    OP_I32_CONST = 0x41,
    OP_I64_CONST = 0x42,
    OP_F32_CONST = 0x43,
    OP_F64_CONST = 0x44,
    OP_NUMERIC_FIRST = 0x45,
    OP_NUMERIC_LAST = 0xC4,
    OP_REF_NULL = 0xD0,
    OP_REF_IS_NULL = 0xD1,
    OP_REF_FUNC = 0xD2,
    OP_BULK = 0xFC,
};

/* Numeric instructions: from..to take `arity` values of type in and give one of type out. */
static const struct numeric {
    uint8_t from, to, in, arity, out;
} numerics[] = {
    {0x45, 0x45, VAL_I32, 1, VAL_I32}, {0x46, 0x4F, VAL_I32, 2, VAL_I32},
    {0x50, 0x50, VAL_I64, 1, VAL_I32}, {0x51, 0x5A, VAL_I64, 2, VAL_I32},
    {0x5B, 0x60, VAL_F32, 2, VAL_I32}, {0x61, 0x66, VAL_F64, 2, VAL_I32},
    {0x67, 0x69, VAL_I32, 1, VAL_I32}, {0x6A, 0x78, VAL_I32, 2, VAL_I32},
    {0x79, 0x7B, VAL_I64, 1, VAL_I64}, {0x7C, 0x8A, VAL_I64, 2, VAL_I64},
    {0x8B, 0x91, VAL_F32, 1, VAL_F32}, {0x92, 0x98, VAL_F32, 2, VAL_F32},
    {0x99, 0x9F, VAL_F64, 1, VAL_F64}, {0xA0, 0xA6, VAL_F64, 2, VAL_F64},
    {0xA7, 0xA7, VAL_I64, 1, VAL_I32}, {0xA8, 0xA9, VAL_F32, 1, VAL_I32},
    {0xAA, 0xAB, VAL_F64, 1, VAL_I32}, {0xAC, 0xAD, VAL_I32, 1, VAL_I64},
    {0xAE, 0xAF, VAL_F32, 1, VAL_I64}, {0xB0, 0xB1, VAL_F64, 1, VAL_I64},
    {0xB2, 0xB3, VAL_I32, 1, VAL_F32}, {0xB4, 0xB5, VAL_I64, 1, VAL_F32},
    {0xB6, 0xB6, VAL_F64, 1, VAL_F32}, {0xB7, 0xB8, VAL_I32, 1, VAL_F64},
    {0xB9, 0xBA, VAL_I64, 1, VAL_F64}, {0xBB, 0xBB, VAL_F32, 1, VAL_F64},
    {0xBC, 0xBC, VAL_F32, 1, VAL_I32}, {0xBD, 0xBD, VAL_F64, 1, VAL_I64},
    {0xBE, 0xBE, VAL_I32, 1, VAL_F32}, {0xBF, 0xBF, VAL_I64, 1, VAL_F64},
    {0xC0, 0xC1, VAL_I32, 1, VAL_I32}, {0xC2, 0xC4, VAL_I64, 1, VAL_I64},
};

/* Loads and stores from 0x28: the value's type and the exponent of its size. */
static const struct access {
    uint8_t type, size_log2;
} accesses[] = {
    {VAL_I32, 2}, {VAL_I64, 3}, {VAL_F32, 2}, {VAL_F64, 3}, {VAL_I32, 0}, {VAL_I32, 0},
    {VAL_I32, 1}, {VAL_I32, 1}, {VAL_I64, 0}, {VAL_I64, 0}, {VAL_I64, 1}, {VAL_I64, 1},
    {VAL_I64, 2}, {VAL_I64, 2}, {VAL_I32, 2}, {VAL_I64, 3}, {VAL_F32, 2}, {VAL_F64, 3},
    {VAL_I32, 0}, {VAL_I32, 1}, {VAL_I64, 0}, {VAL_I64, 1}, {VAL_I64, 2},
};

static const uint8_t type_i32 = VAL_I32, type_i64 = VAL_I64, type_f32 = VAL_F32,
                     type_f64 = VAL_F64, type_funcref = VAL_FUNCREF;

/* A one-element list that lives as long as the program: for block results. */
static const uint8_t *type_list(uint8_t type)
{
    switch (type) {
    case VAL_I32:
        return &type_i32;
    case VAL_I64:
        return &type_i64;
    case VAL_F32:
        return &type_f32;
    case VAL_F64:
        return &type_f64;
    default:
        return &type_funcref;
    }
}

static const char *type_name(uint8_t type)
{
    switch (type) {
    case VAL_I32:
        return "i32";
    case VAL_I64:
        return "i64";
    case VAL_F32:
        return "f32";
    case VAL_F64:
        return "f64";
    default:
        return "funcref";
    }
}

/* -- the operand and control stacks ------------------------------------------------------ */

static struct frame *top(struct wasm *w)
{
    assert(w->n_frames > 0);
    return &w->frames[w->n_frames - 1];
}

static enum sm_err push(struct wasm *w, uint8_t type)
{
    if (w->n_vals == SM_WASM_OPERANDS_MAX) {
        return wasm_refuse(w, "operand stack deeper than %d", SM_WASM_OPERANDS_MAX);
    }
    w->vals[w->n_vals++] = type;
    return SM_OK;
}

static enum sm_err pop_any(struct wasm *w, uint8_t *out)
{
    const struct frame *f = top(w);
    if (w->n_vals == f->height) {
        if (!f->is_dead) {
            return wasm_refuse(w, "operand missing");
        }
        *out = VAL_ANY;
        return SM_OK;
    }
    *out = w->vals[--w->n_vals];
    return SM_OK;
}

static enum sm_err pop(struct wasm *w, uint8_t want)
{
    uint8_t got = 0;
    SM_TRY(pop_any(w, &got));
    if (got != want && got != VAL_ANY && want != VAL_ANY) {
        return wasm_refuse(w, "operand is %s, want %s", type_name(got), type_name(want));
    }
    return SM_OK;
}

static enum sm_err push_list(struct wasm *w, const uint8_t *types, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        SM_TRY(push(w, types[i]));
    }
    return SM_OK;
}

static enum sm_err pop_list(struct wasm *w, const uint8_t *types, size_t n)
{
    for (size_t i = n; i > 0; i--) {
        SM_TRY(pop(w, types[i - 1]));
    }
    return SM_OK;
}

static enum sm_err push_frame(struct wasm *w, struct frame f)
{
    if (w->n_frames == SM_COUNT(w->frames)) {
        return wasm_refuse(w, "blocks nested deeper than %d", SM_WASM_NESTING_MAX);
    }
    f.height = w->n_vals;
    w->frames[w->n_frames++] = f;
    return push_list(w, f.start, f.n_start);
}

static enum sm_err pop_frame(struct wasm *w, struct frame *out)
{
    struct frame f = *top(w);
    SM_TRY(pop_list(w, f.end, f.n_end));
    if (w->n_vals != f.height) {
        return wasm_refuse(w, "values left on the stack at the end of a block");
    }
    w->n_frames--;
    *out = f;
    return SM_OK;
}

/* The rest of the block cannot be reached. */
static void kill_rest(struct wasm *w)
{
    struct frame *f = top(w);
    w->n_vals = f->height;
    f->is_dead = true;
}

/* -- immediates: read, check the range, write -------------------------------------------- */

static enum sm_err take_index(struct wasm *w, uint32_t limit, const char *what, uint32_t *out)
{
    uint32_t i = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (i >= limit) {
        return wasm_refuse(w, "%s %u does not exist", what, i);
    }
    wasm_put_u32(&w->body, i);
    *out = i;
    return SM_OK;
}

static enum sm_err take_label(struct wasm *w, const uint8_t **types, uint8_t *n)
{
    uint32_t depth = 0;
    SM_TRY(take_index(w, w->n_frames, "label", &depth));
    const struct frame *f = &w->frames[w->n_frames - 1 - depth];
    *types = f->op == OP_LOOP ? f->start : f->end;
    *n = f->op == OP_LOOP ? f->n_start : f->n_end;
    return SM_OK;
}

/* The memory index byte of instructions that name the one memory. */
static enum sm_err take_memory(struct wasm *w)
{
    uint8_t zero = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (zero != 0) {
        return wasm_refuse(w, "only memory 0 can be named");
    }
    wasm_put_u8(&w->body, 0);
    return w->has_memory ? SM_OK : wasm_refuse(w, "the module has no memory");
}

static enum sm_err take_block_type(struct wasm *w, struct frame *f)
{
    int64_t t = wasm_sleb(w, 33);
    SM_TRY(wasm_sound(w));
    wasm_put_sleb(&w->body, t);
    if (t >= 0) {
        if (t >= w->n_types) {
            return wasm_refuse(w, "type %lld does not exist", (long long)t);
        }
        const struct functype *ft = &w->types[t];
        f->start = ft->v;
        f->n_start = ft->n_params;
        f->end = ft->v + ft->n_params;
        f->n_end = ft->n_results;
        return SM_OK;
    }
    if (t == -64) {
        return SM_OK; /* neither takes nor leaves anything */
    }
    if (t < -64) {
        return wasm_refuse(w, "malformed block type");
    }
    uint8_t type = (uint8_t)(t & 0x7F);
    SM_TRY(wasm_valtype(w, type));
    f->end = type_list(type);
    f->n_end = 1;
    return SM_OK;
}

static enum sm_err take_ref_type(struct wasm *w)
{
    uint8_t type = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (type != VAL_FUNCREF) {
        return wasm_refuse(w, "only funcref references are supported");
    }
    wasm_put_u8(&w->body, type);
    return SM_OK;
}

/* -- instructions ------------------------------------------------------------------------ */

static enum sm_err do_block(struct wasm *w, uint8_t op)
{
    struct frame f = {.op = op};
    SM_TRY(take_block_type(w, &f));
    if (op == OP_IF) {
        SM_TRY(pop(w, VAL_I32));
    }
    SM_TRY(pop_list(w, f.start, f.n_start));
    return push_frame(w, f);
}

static enum sm_err do_else(struct wasm *w)
{
    struct frame f;
    SM_TRY(pop_frame(w, &f));
    if (f.op != OP_IF) {
        return wasm_refuse(w, "else without if");
    }
    f.op = OP_ELSE;
    f.is_dead = false;
    return push_frame(w, f);
}

static enum sm_err do_end(struct wasm *w)
{
    struct frame f;
    SM_TRY(pop_frame(w, &f));
    if (f.op == OP_IF &&
        (f.n_start != f.n_end || (f.n_end > 0 && memcmp(f.start, f.end, f.n_end) != 0))) {
        return wasm_refuse(w, "if without else changes the stack");
    }
    return w->n_frames > 0 ? push_list(w, f.end, f.n_end) : SM_OK;
}

static enum sm_err do_br_table(struct wasm *w)
{
    uint32_t n = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (n > SM_WASM_BR_TABLE_MAX) {
        return wasm_refuse(w, "br_table with more than %d targets", SM_WASM_BR_TABLE_MAX);
    }
    wasm_put_u32(&w->body, n);
    SM_TRY(pop(w, VAL_I32));
    uint8_t arity = 0;
    for (uint32_t i = 0; i <= n; i++) {
        const uint8_t *types = NULL;
        uint8_t n_types = 0, got[SM_WASM_ARITY_MAX];
        SM_TRY(take_label(w, &types, &n_types));
        if (i > 0 && n_types != arity) {
            return wasm_refuse(w, "br_table targets differ in what they take");
        }
        arity = n_types;
        for (size_t k = n_types; k > 0; k--) {
            SM_TRY(pop_any(w, &got[k - 1]));
            if (got[k - 1] != types[k - 1] && got[k - 1] != VAL_ANY) {
                return wasm_refuse(w, "br_table operand is %s, want %s", type_name(got[k - 1]),
                                   type_name(types[k - 1]));
            }
        }
        SM_TRY(push_list(w, got, n_types));
    }
    kill_rest(w);
    return SM_OK;
}

static enum sm_err do_branch(struct wasm *w, uint8_t op)
{
    const uint8_t *types = NULL;
    uint8_t n = 0;
    SM_TRY(take_label(w, &types, &n));
    if (op == OP_BR_IF) {
        SM_TRY(pop(w, VAL_I32));
        SM_TRY(pop_list(w, types, n));
        return push_list(w, types, n);
    }
    SM_TRY(pop_list(w, types, n));
    kill_rest(w);
    return SM_OK;
}

static enum sm_err apply(struct wasm *w, const struct functype *t)
{
    SM_TRY(pop_list(w, t->v, t->n_params));
    return push_list(w, t->v + t->n_params, t->n_results);
}

static enum sm_err do_call(struct wasm *w)
{
    uint32_t f = 0;
    SM_TRY(take_index(w, w->n_funcs, "function", &f));
    return apply(w, &w->types[w->funcs[f]]);
}

static enum sm_err do_call_indirect(struct wasm *w)
{
    uint32_t type = 0, table = 0;
    SM_TRY(take_index(w, w->n_types, "type", &type));
    SM_TRY(take_index(w, w->n_tables, "table", &table));
    SM_TRY(pop(w, VAL_I32));
    return apply(w, &w->types[type]);
}

static enum sm_err do_select(struct wasm *w)
{
    uint8_t a = 0, b = 0;
    SM_TRY(pop(w, VAL_I32));
    SM_TRY(pop_any(w, &a));
    SM_TRY(pop_any(w, &b));
    if (a == VAL_FUNCREF || b == VAL_FUNCREF) {
        return wasm_refuse(w, "select without a type takes numbers only");
    }
    if (a != b && a != VAL_ANY && b != VAL_ANY) {
        return wasm_refuse(w, "select between %s and %s", type_name(a), type_name(b));
    }
    return push(w, a == VAL_ANY ? b : a);
}

static enum sm_err do_select_typed(struct wasm *w)
{
    uint32_t n = wasm_u32(w);
    uint8_t type = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (n != 1) {
        return wasm_refuse(w, "select with %u types", n);
    }
    SM_TRY(wasm_valtype(w, type));
    wasm_put_u32(&w->body, n);
    wasm_put_u8(&w->body, type);
    SM_TRY(pop(w, VAL_I32));
    SM_TRY(pop(w, type));
    SM_TRY(pop(w, type));
    return push(w, type);
}

static enum sm_err do_local(struct wasm *w, uint8_t op)
{
    uint32_t i = 0;
    SM_TRY(take_index(w, w->n_locals, "local", &i));
    if (op != OP_LOCAL_GET) {
        SM_TRY(pop(w, w->locals[i]));
    }
    return op != OP_LOCAL_SET ? push(w, w->locals[i]) : SM_OK;
}

static enum sm_err do_global(struct wasm *w, uint8_t op)
{
    uint32_t i = 0;
    SM_TRY(take_index(w, w->n_globals, "global", &i));
    if (op == OP_GLOBAL_GET) {
        return push(w, w->globals[i].type);
    }
    if (!w->globals[i].is_mutable) {
        return wasm_refuse(w, "global %u is immutable", i);
    }
    return pop(w, w->globals[i].type);
}

static enum sm_err do_table(struct wasm *w, uint8_t op)
{
    uint32_t i = 0;
    SM_TRY(take_index(w, w->n_tables, "table", &i));
    if (op == OP_TABLE_SET) {
        SM_TRY(pop(w, VAL_FUNCREF));
        return pop(w, VAL_I32);
    }
    SM_TRY(pop(w, VAL_I32));
    return push(w, VAL_FUNCREF);
}

static enum sm_err do_access(struct wasm *w, uint8_t op)
{
    const struct access *a = &accesses[op - OP_LOAD_FIRST];
    uint32_t align = wasm_u32(w);
    uint32_t offset = wasm_u32(w);
    SM_TRY(wasm_sound(w));
    if (align > a->size_log2) {
        return wasm_refuse(w, "alignment larger than the access");
    }
    if (!w->has_memory) {
        return wasm_refuse(w, "the module has no memory");
    }
    wasm_put_u32(&w->body, align);
    wasm_put_u32(&w->body, offset);
    if (op >= OP_STORE_FIRST) {
        SM_TRY(pop(w, a->type));
        return pop(w, VAL_I32);
    }
    SM_TRY(pop(w, VAL_I32));
    return push(w, a->type);
}

static enum sm_err do_numeric(struct wasm *w, uint8_t op)
{
    size_t i = 0;
    while (op > numerics[i].to) {
        i++;
    }
    const struct numeric *k = &numerics[i];
    for (unsigned n = 0; n < k->arity; n++) {
        SM_TRY(pop(w, k->in));
    }
    return push(w, k->out);
}

/* Copy n raw bytes: a float constant's bits are its own. */
static enum sm_err take_raw(struct wasm *w, struct emit *to, size_t n)
{
    struct sm_view v = sm_rd_view(&w->r, n);
    SM_TRY(wasm_sound(w));
    wasm_put(to, v.p, v.n);
    return SM_OK;
}

static enum sm_err do_const(struct wasm *w, uint8_t op)
{
    int64_t v;
    switch (op) {
    case OP_I32_CONST:
    case OP_I64_CONST:
        v = wasm_sleb(w, op == OP_I32_CONST ? 32 : 64);
        SM_TRY(wasm_sound(w));
        wasm_put_sleb(&w->body, v);
        return push(w, op == OP_I32_CONST ? VAL_I32 : VAL_I64);
    case OP_F32_CONST:
        SM_TRY(take_raw(w, &w->body, 4));
        return push(w, VAL_F32);
    default:
        SM_TRY(take_raw(w, &w->body, 8));
        return push(w, VAL_F64);
    }
}

static enum sm_err do_ref(struct wasm *w, uint8_t op)
{
    uint8_t got = 0;
    uint32_t f = 0;
    switch (op) {
    case OP_REF_NULL:
        SM_TRY(take_ref_type(w));
        return push(w, VAL_FUNCREF);
    case OP_REF_IS_NULL:
        SM_TRY(pop_any(w, &got));
        if (got != VAL_FUNCREF && got != VAL_ANY) {
            return wasm_refuse(w, "ref.is_null of a number");
        }
        return push(w, VAL_I32);
    default:
        SM_TRY(take_index(w, w->n_funcs, "function", &f));
        if (!w->is_declared[f]) {
            return wasm_refuse(w, "ref.func of a function no element segment names");
        }
        return push(w, VAL_FUNCREF);
    }
}

static enum sm_err pop_three_i32(struct wasm *w)
{
    SM_TRY(pop(w, VAL_I32));
    SM_TRY(pop(w, VAL_I32));
    return pop(w, VAL_I32);
}

/* A data segment named in code, which needs the count in front of the code section. */
static enum sm_err take_data_index(struct wasm *w)
{
    uint32_t i = 0;
    if (!w->has_data_count) {
        return wasm_refuse(w, "data segment named without a data count section");
    }
    return take_index(w, w->n_data, "data segment", &i);
}

static enum sm_err do_bulk(struct wasm *w)
{
    static const struct {
        uint8_t in, out;
    } truncations[] = {{VAL_F32, VAL_I32}, {VAL_F32, VAL_I32}, {VAL_F64, VAL_I32},
                       {VAL_F64, VAL_I32}, {VAL_F32, VAL_I64}, {VAL_F32, VAL_I64},
                       {VAL_F64, VAL_I64}, {VAL_F64, VAL_I64}};
    uint32_t sub = wasm_u32(w), i = 0;
    SM_TRY(wasm_sound(w));
    wasm_put_u32(&w->body, sub);
    switch (sub) {
    case 8: /* memory.init */
        SM_TRY(take_data_index(w));
        SM_TRY(take_memory(w));
        return pop_three_i32(w);
    case 9: /* data.drop */
        return take_data_index(w);
    case 10: /* memory.copy */
        SM_TRY(take_memory(w));
        SM_TRY(take_memory(w));
        return pop_three_i32(w);
    case 11: /* memory.fill */
        SM_TRY(take_memory(w));
        return pop_three_i32(w);
    case 12: /* table.init */
        SM_TRY(take_index(w, w->n_elems, "element segment", &i));
        SM_TRY(take_index(w, w->n_tables, "table", &i));
        return pop_three_i32(w);
    case 13: /* elem.drop */
        return take_index(w, w->n_elems, "element segment", &i);
    case 14: /* table.copy */
        SM_TRY(take_index(w, w->n_tables, "table", &i));
        SM_TRY(take_index(w, w->n_tables, "table", &i));
        return pop_three_i32(w);
    case 15: /* table.grow */
        SM_TRY(take_index(w, w->n_tables, "table", &i));
        SM_TRY(pop(w, VAL_I32));
        SM_TRY(pop(w, VAL_FUNCREF));
        return push(w, VAL_I32);
    case 16: /* table.size */
        SM_TRY(take_index(w, w->n_tables, "table", &i));
        return push(w, VAL_I32);
    case 17: /* table.fill */
        SM_TRY(take_index(w, w->n_tables, "table", &i));
        SM_TRY(pop(w, VAL_I32));
        SM_TRY(pop(w, VAL_FUNCREF));
        return pop(w, VAL_I32);
    default:
        if (sub >= SM_COUNT(truncations)) {
            return wasm_refuse(w, "unknown instruction 0xfc %u", sub);
        }
        SM_TRY(pop(w, truncations[sub].in));
        return push(w, truncations[sub].out);
    }
}

static enum sm_err refuse_op(struct wasm *w, uint8_t op)
{
    switch (op) {
    case 0xFD:
        return wasm_refuse(w, "SIMD is not supported; build without -msimd128");
    case 0xFE:
        return wasm_refuse(w, "threads are not supported; build without -pthread");
    case 0x06:
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x0A:
    case 0x18:
    case 0x19:
    case 0x1F:
        return wasm_refuse(w, "exceptions are not supported");
    case 0x12:
    case 0x13:
        return wasm_refuse(w, "tail calls are not supported");
    case 0xFB:
        return wasm_refuse(w, "garbage collection is not supported");
    default:
        return wasm_refuse(w, "unknown instruction 0x%02x", op);
    }
}

static enum sm_err do_op(struct wasm *w, uint8_t op)
{
    switch (op) {
    case OP_UNREACHABLE:
        kill_rest(w);
        return SM_OK;
    case OP_NOP:
        return SM_OK;
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
        return do_block(w, op);
    case OP_ELSE:
        return do_else(w);
    case OP_END:
        return do_end(w);
    case OP_BR:
    case OP_BR_IF:
        return do_branch(w, op);
    case OP_BR_TABLE:
        return do_br_table(w);
    case OP_RETURN:
        SM_TRY(pop_list(w, w->frames[0].end, w->frames[0].n_end));
        kill_rest(w);
        return SM_OK;
    case OP_CALL:
        return do_call(w);
    case OP_CALL_INDIRECT:
        return do_call_indirect(w);
    case OP_DROP:
        return pop(w, VAL_ANY);
    case OP_SELECT:
        return do_select(w);
    case OP_SELECT_T:
        return do_select_typed(w);
    case OP_LOCAL_GET:
    case OP_LOCAL_SET:
    case OP_LOCAL_TEE:
        return do_local(w, op);
    case OP_GLOBAL_GET:
    case OP_GLOBAL_SET:
        return do_global(w, op);
    case OP_TABLE_GET:
    case OP_TABLE_SET:
        return do_table(w, op);
    case OP_MEMORY_SIZE:
        SM_TRY(take_memory(w));
        return push(w, VAL_I32);
    case OP_MEMORY_GROW:
        SM_TRY(take_memory(w));
        SM_TRY(pop(w, VAL_I32));
        return push(w, VAL_I32);
    case OP_I32_CONST:
    case OP_I64_CONST:
    case OP_F32_CONST:
    case OP_F64_CONST:
        return do_const(w, op);
    case OP_REF_NULL:
    case OP_REF_IS_NULL:
    case OP_REF_FUNC:
        return do_ref(w, op);
    case OP_BULK:
        return do_bulk(w);
    default:
        if (op >= OP_LOAD_FIRST && op <= OP_STORE_LAST) {
            return do_access(w, op);
        }
        if (op >= OP_NUMERIC_FIRST && op <= OP_NUMERIC_LAST) {
            return do_numeric(w, op);
        }
        return refuse_op(w, op);
    }
}

/* -- locals and whole bodies ------------------------------------------------------------- */

static enum sm_err add_locals(struct wasm *w, uint32_t n, uint8_t type)
{
    if (n > SM_WASM_LOCALS_MAX - w->n_locals) {
        return wasm_refuse(w, "more than %d locals", SM_WASM_LOCALS_MAX);
    }
    memset(w->locals + w->n_locals, type, n);
    w->n_locals += n;
    return SM_OK;
}

/* Write the declared locals as the fewest runs. */
static void put_locals(struct wasm *w, uint32_t first)
{
    uint32_t runs = 0;
    for (uint32_t i = first; i < w->n_locals; i++) {
        runs += i == first || w->locals[i] != w->locals[i - 1];
    }
    wasm_put_u32(&w->body, runs);
    for (uint32_t i = first, n; i < w->n_locals; i += n) {
        n = 1;
        while (i + n < w->n_locals && w->locals[i + n] == w->locals[i]) {
            n++;
        }
        wasm_put_u32(&w->body, n);
        wasm_put_u8(&w->body, w->locals[i]);
    }
}

static enum sm_err read_locals(struct wasm *w)
{
    uint32_t first = w->n_locals;
    uint32_t runs = wasm_u32(w);
    for (uint32_t i = 0; i < runs; i++) {
        wasm_mark(w);
        uint32_t n = wasm_u32(w);
        uint8_t type = sm_rd_u8(&w->r);
        SM_TRY(wasm_sound(w));
        SM_TRY(wasm_valtype(w, type));
        SM_TRY(add_locals(w, n, type));
    }
    SM_TRY(wasm_sound(w));
    put_locals(w, first);
    return SM_OK;
}

enum sm_err wasm_body(struct wasm *w, uint32_t func)
{
    const struct functype *t = &w->types[w->funcs[func]];
    w->n_locals = w->n_vals = w->n_frames = 0;
    memcpy(w->locals, t->v, t->n_params);
    w->n_locals = t->n_params;
    SM_TRY(read_locals(w));

    struct frame whole = {.op = OP_BLOCK, .end = t->v + t->n_params, .n_end = t->n_results};
    SM_TRY(push_frame(w, whole));
    while (w->n_frames > 0) {
        wasm_mark(w);
        uint8_t op = sm_rd_u8(&w->r);
        SM_TRY(wasm_sound(w));
        wasm_put_u8(&w->body, op);
        SM_TRY(do_op(w, op));
    }
    wasm_mark(w);
    return w->r.left.n == 0 ? SM_OK : wasm_refuse(w, "bytes after the end of a function");
}

enum sm_err wasm_const_expr(struct wasm *w, uint8_t type)
{
    wasm_mark(w);
    uint8_t op = sm_rd_u8(&w->r);
    uint8_t got = VAL_ANY, end;
    uint32_t f = 0;
    SM_TRY(wasm_sound(w));
    wasm_put_u8(&w->sec, op);
    switch (op) {
    case OP_I32_CONST:
        got = VAL_I32;
        wasm_put_sleb(&w->sec, wasm_sleb(w, 32));
        break;
    case OP_I64_CONST:
        got = VAL_I64;
        wasm_put_sleb(&w->sec, wasm_sleb(w, 64));
        break;
    case OP_F32_CONST:
        got = VAL_F32;
        SM_TRY(take_raw(w, &w->sec, 4));
        break;
    case OP_F64_CONST:
        got = VAL_F64;
        SM_TRY(take_raw(w, &w->sec, 8));
        break;
    case OP_REF_NULL:
        got = VAL_FUNCREF;
        if (sm_rd_u8(&w->r) != VAL_FUNCREF) {
            return wasm_refuse(w, "only funcref references are supported");
        }
        wasm_put_u8(&w->sec, VAL_FUNCREF);
        break;
    case OP_REF_FUNC:
        got = VAL_FUNCREF;
        f = wasm_u32(w);
        SM_TRY(wasm_sound(w));
        if (f >= w->n_funcs) {
            return wasm_refuse(w, "function %u does not exist", f);
        }
        w->is_declared[f] = true;
        wasm_put_u32(&w->sec, f);
        break;
    default:
        return wasm_refuse(w, "constant expression with instruction 0x%02x", op);
    }
    end = sm_rd_u8(&w->r);
    SM_TRY(wasm_sound(w));
    if (end != OP_END) {
        return wasm_refuse(w, "constant expression with more than one instruction");
    }
    wasm_put_u8(&w->sec, OP_END);
    return got == type
               ? SM_OK
               : wasm_refuse(w, "constant is %s, want %s", type_name(got), type_name(type));
}
