// SPDX-License-Identifier: Apache-2.0
#include "see/rt.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <wasm-rt.h>

#include "see/wasm.h"

#define PAGE_BYTES   65536u
#define MEMORY_BYTES (((size_t)8 << 30) + PAGE_BYTES) /* any u32 + u32 + 8 stays inside */
#define STACK_BYTES  ((size_t)2 << 20)                /* native frames of the module */
#define GUARD_BYTES  ((size_t)1 << 20)
#define SIGNAL_BYTES ((size_t)64 << 10)
#define TABLE_BYTES  (SM_WASM_TABLE_ENTRIES_MAX * sizeof(wasm_rt_funcref_t))

struct func_type {
    uint32_t n_params, n_results;
    uint8_t v[SM_WASM_ARITY_MAX];
};

/* See rt.h for why this is static. */
static struct {
    uint8_t *memory; /* MEMORY_BYTES of addresses */
    uint8_t *tables; /* TABLE_BYTES of addresses for each */
    uint8_t *stack;  /* the guard's first byte; the stack follows it */
    struct rt_record *record;
    uint32_t memory_pages, table_entries; /* what may still be taken */
    uint32_t n_tables;
    struct func_type *types;
    uint32_t n_types;
    ucontext_t outside, inside;
} rt;

/* -- ends -------------------------------------------------------------------------------- */

_Noreturn void rt_end(enum sm_see_how how, uint32_t code)
{
    if (rt.record != NULL) {
        rt.record->how = how;
        rt.record->code = code;
        __atomic_store_n(&rt.record->is_written, 1, __ATOMIC_RELEASE);
    }
    _exit(0);
}

void wasm_rt_trap(wasm_rt_trap_t trap)
{
    switch (trap) {
    case WASM_RT_TRAP_OOB:
        rt_end(SM_SEE_OOB, 0);
    case WASM_RT_TRAP_INT_OVERFLOW:
        rt_end(SM_SEE_INT_OVERFLOW, 0);
    case WASM_RT_TRAP_DIV_BY_ZERO:
        rt_end(SM_SEE_DIV_BY_ZERO, 0);
    case WASM_RT_TRAP_INVALID_CONVERSION:
        rt_end(SM_SEE_CONVERSION, 0);
    case WASM_RT_TRAP_UNREACHABLE:
        rt_end(SM_SEE_UNREACHABLE, 0);
    case WASM_RT_TRAP_CALL_INDIRECT:
        rt_end(SM_SEE_INDIRECT, 0);
    case WASM_RT_TRAP_EXHAUSTION:
        rt_end(SM_SEE_EXHAUSTION, 0);
    case WASM_RT_TRAP_NONE:
    case WASM_RT_TRAP_UNCAUGHT_EXCEPTION:
        break;
    }
    rt_end(SM_SEE_ENGINE_FAULT, 0);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    const uint8_t *at = info->si_addr;
    if ((sig == SIGSEGV || sig == SIGBUS) && info->si_code > 0) {
        if (at >= rt.memory && at < rt.memory + MEMORY_BYTES) {
            rt_end(SM_SEE_OOB, 0);
        }
        if (at >= rt.stack && at < rt.stack + GUARD_BYTES) {
            rt_end(SM_SEE_EXHAUSTION, 0);
        }
    }
    rt_end(SM_SEE_ENGINE_FAULT, (uint32_t)sig);
}

/* -- preparation ------------------------------------------------------------------------- */

static void *reserve(size_t n)
{
    void *p = mmap(NULL, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static enum sm_err install_handlers(void)
{
    stack_t alt = {.ss_size = SIGNAL_BYTES};
    alt.ss_sp =
        mmap(NULL, alt.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (alt.ss_sp == MAP_FAILED || sigaltstack(&alt, NULL) != 0) {
        return SM_E_NOMEM;
    }
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < SM_COUNT(signals); i++) {
        if (sigaction(signals[i], &sa, NULL) != 0) {
            return SM_E_IO;
        }
    }
    return SM_OK;
}

enum sm_err rt_prepare(void)
{
    rt.memory = reserve(MEMORY_BYTES);
    rt.tables = reserve(SM_WASM_TABLES_MAX * TABLE_BYTES);
    rt.stack = reserve(GUARD_BYTES + STACK_BYTES);
    rt.types = calloc(SM_WASM_TYPES_MAX, sizeof rt.types[0]);
    if (rt.memory == NULL || rt.tables == NULL || rt.stack == NULL || rt.types == NULL ||
        mprotect(rt.stack + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) {
        return SM_E_NOMEM;
    }
    rt.table_entries = SM_WASM_TABLE_ENTRIES_MAX;
    return install_handlers();
}

enum sm_err rt_on_stack(void (*fn)(void))
{
    if (getcontext(&rt.inside) != 0) {
        return SM_E_FAILED;
    }
    rt.inside.uc_stack.ss_sp = rt.stack + GUARD_BYTES;
    rt.inside.uc_stack.ss_size = STACK_BYTES;
    rt.inside.uc_link = NULL;
    makecontext(&rt.inside, fn, 0);
    return swapcontext(&rt.outside, &rt.inside) == 0 ? SM_OK : SM_E_FAILED;
}

void rt_begin(struct rt_record *record, uint32_t memory_pages)
{
    rt.record = record;
    rt.memory_pages = memory_pages;
}

void wasm_rt_init(void)
{
}

bool wasm_rt_is_initialized(void)
{
    return true;
}

void wasm_rt_free(void)
{
}

/* -- function types ---------------------------------------------------------------------- */

/* Equal types get equal numbers, from 1: 0 is the type of a null reference. */
uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...)
{
    struct func_type t = {.n_params = params, .n_results = results};
    assert(params + results <= SM_WASM_ARITY_MAX && rt.n_types < SM_WASM_TYPES_MAX);
    va_list ap;
    va_start(ap, results);
    for (uint32_t i = 0; i < params + results; i++) {
        t.v[i] = (uint8_t)va_arg(ap, int);
    }
    va_end(ap);
    for (uint32_t i = 0; i < rt.n_types; i++) {
        if (memcmp(&rt.types[i], &t, sizeof t) == 0) {
            return i + 1;
        }
    }
    rt.types[rt.n_types++] = t;
    return rt.n_types;
}

/* -- linear memory ----------------------------------------------------------------------- */

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t initial_pages,
                             uint32_t max_pages)
{
    uint32_t cap = max_pages < rt.memory_pages ? max_pages : rt.memory_pages;
    cap = cap < SM_WASM_PAGES_MAX ? cap : SM_WASM_PAGES_MAX;
    size_t bytes = (size_t)initial_pages * PAGE_BYTES;
    if (initial_pages > cap ||
        (bytes > 0 && mprotect(rt.memory, bytes, PROT_READ | PROT_WRITE) != 0)) {
        rt_end(SM_SEE_LIMIT_MEMORY, initial_pages);
    }
    *memory = (wasm_rt_memory_t){
        .data = rt.memory, .pages = initial_pages, .max_pages = cap, .size = (uint32_t)bytes};
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages)
{
    uint32_t old = memory->pages;
    if (pages > memory->max_pages - old ||
        (pages > 0 && mprotect(memory->data + memory->size, (size_t)pages * PAGE_BYTES,
                               PROT_READ | PROT_WRITE) != 0)) {
        return UINT32_MAX;
    }
    memory->pages = old + pages;
    memory->size = memory->pages * PAGE_BYTES;
    return old;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
    (void)memory;
}

/* -- tables ------------------------------------------------------------------------------ */

/* All tables of an instance share one budget of entries. */
static bool take_entries(wasm_rt_funcref_table_t *table, uint32_t n)
{
    size_t bytes = ((size_t)table->size + n) * sizeof table->data[0];
    if (n > rt.table_entries || n > table->max_size - table->size ||
        (n > 0 && mprotect(table->data, bytes, PROT_READ | PROT_WRITE) != 0)) {
        return false;
    }
    rt.table_entries -= n;
    table->size += n;
    return true;
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table, uint32_t elements,
                                    uint32_t max_elements)
{
    assert(rt.n_tables < SM_WASM_TABLES_MAX);
    *table = (wasm_rt_funcref_table_t){
        .data = (wasm_rt_funcref_t *)(void *)(rt.tables + rt.n_tables++ * TABLE_BYTES),
        .max_size = max_elements < SM_WASM_TABLE_ENTRIES_MAX ? max_elements
                                                             : SM_WASM_TABLE_ENTRIES_MAX};
    if (!take_entries(table, elements)) {
        rt_end(SM_SEE_LIMIT_MEMORY, 0);
    }
}

uint32_t wasm_rt_grow_funcref_table(wasm_rt_funcref_table_t *table, uint32_t delta,
                                    wasm_rt_funcref_t init)
{
    uint32_t old = table->size;
    if (!take_entries(table, delta)) {
        return UINT32_MAX;
    }
    for (uint32_t i = old; i < table->size; i++) {
        table->data[i] = init;
    }
    return old;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
    (void)table;
}
