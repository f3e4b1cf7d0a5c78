// SPDX-License-Identifier: Apache-2.0
#pragma once
/* rt: the runtime under a translated module: its memory, tables, function types and traps.
 *
 * It implements the symbols that wasm2c's output calls (wasm-rt.h).  Those functions carry no
 * context, and one process runs one instance, so the state is one static object; a worker
 * prepares it once and each forked instance uses its own copy.
 *
 * Linear memory lies at the bottom of 8 GiB of reserved addresses, so no 32-bit address plus
 * 32-bit offset leaves them: a fault inside is the module's "out of bounds", a fault below the
 * stack its "call stack exhausted", any other an engine fault.  Every end is one record in a
 * page shared with the worker, then _exit; nothing unwinds.
 *
 * Source: wasm-rt.h of wabt 1.0.32; WebAssembly core specification 2.0, section 4.
 */
#include "see/outcome.h"

/* Where an instance leaves how it ended; everything in it is the instance's word. */
struct rt_record {
    uint32_t is_written;
    uint32_t how; /* enum sm_see_how */
    uint32_t code;
};

/* Reserve addresses, install the fault handlers and register the alternate stack. */
enum sm_err rt_prepare(void) SM_MUST;

/* Run fn on a stack of fixed size with a guard below; it must not return. */
enum sm_err rt_on_stack(void (*fn)(void)) SM_MUST;

/* In the instance, before its module is instantiated. */
void rt_begin(struct rt_record *record, uint32_t memory_pages);

/* End this instance. */
_Noreturn void rt_end(enum sm_see_how how, uint32_t code);

/* Bytes of private memory an instance may need besides its linear memory. */
#define RT_OVERHEAD_BYTES ((uint64_t)40 << 20)
