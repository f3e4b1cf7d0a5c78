// SPDX-License-Identifier: Apache-2.0
/* Read and write the primitive values of the binary format. */
#include "see/wasm_int.h"

#include <stdarg.h>
#include <stdio.h>

uint32_t wasm_u32(struct wasm *w)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t b = sm_rd_u8(&w->r);
        if (shift == 28 && (b & 0xF0) != 0) {
            break; /* a sixth byte, or bits past the 32nd */
        }
        v |= (uint32_t)(b & 0x7F) << shift;
        if ((b & 0x80) == 0) {
            return v;
        }
    }
    sm_rd_fail(&w->r);
    return 0;
}

int64_t wasm_sleb(struct wasm *w, unsigned bits)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t b = sm_rd_u8(&w->r);
        v |= (uint64_t)(b & 0x7F) << shift;
        unsigned used = bits - shift; /* of this byte's seven bits */
        if (used < 7) {
            /* The last byte that fits: it ends the number and repeats the sign. */
            unsigned sign = (0x7Fu << (used - 1)) & 0x7Fu;
            if ((b & 0x80) != 0 || ((b & sign) != 0 && (b & sign) != sign)) {
                break;
            }
        }
        if ((b & 0x80) == 0) {
            if ((b & 0x40) != 0 && shift + 7 < 64) {
                v |= UINT64_MAX << (shift + 7);
            }
            return (int64_t)v;
        }
    }
    sm_rd_fail(&w->r);
    return 0;
}

void wasm_mark(struct wasm *w)
{
    w->at = (size_t)(w->r.left.p - w->module.p);
}

enum sm_err wasm_refuse(struct wasm *w, const char *why, ...)
{
    va_list ap;
    va_start(ap, why);
    w->fault->offset = w->at;
    (void)vsnprintf(w->fault->reason, sizeof w->fault->reason, why, ap);
    va_end(ap);
    return SM_E_MODULE;
}

enum sm_err wasm_sound(struct wasm *w)
{
    if (!w->r.failed) {
        return SM_OK;
    }
    if (w->r.malformed) {
        return wasm_refuse(w, "malformed number");
    }
    return wasm_refuse(w, "unexpected end");
}

enum sm_err wasm_valtype(struct wasm *w, uint8_t byte)
{
    switch (byte) {
    case VAL_I32:
    case VAL_I64:
    case VAL_F32:
    case VAL_F64:
    case VAL_FUNCREF:
        return SM_OK;
    case 0x7B:
        return wasm_refuse(w, "SIMD is not supported (value type v128)");
    case 0x6F:
        return wasm_refuse(w, "externref is not supported");
    default:
        return wasm_refuse(w, "unknown value type 0x%02x", byte);
    }
}

void wasm_put(struct emit *e, const void *p, size_t n)
{
    if (e->err == SM_OK) {
        e->err = sm_buf_add(&e->b, p, n);
    }
}

void wasm_put_u8(struct emit *e, uint8_t v)
{
    wasm_put(e, &v, 1);
}

void wasm_put_u32(struct emit *e, uint32_t v)
{
    for (; v >= 0x80; v >>= 7) {
        wasm_put_u8(e, (uint8_t)(v | 0x80));
    }
    wasm_put_u8(e, (uint8_t)v);
}

void wasm_put_sleb(struct emit *e, int64_t v)
{
    while (v < -64 || v > 63) {
        wasm_put_u8(e, (uint8_t)((v & 0x7F) | 0x80));
        v >>= 7;
    }
    wasm_put_u8(e, (uint8_t)(v & 0x7F));
}
