// SPDX-License-Identifier: Apache-2.0
#include "see/wasm.h"
#include "t.h"

/* Exercises most of the profile: made by wat2wasm from a module with an import, a table with
 * elements, passive data, several results, branches of every kind and funcref values. */
static const char good_hex[] =
    "0061736d0100000001170460047f7f7f7f017f60017f017f60017c027c7f60000002230116776173695f"
    "736e617073686f745f70726576696577310866645f777269746500000304030102030404017000040504"
    "010101020606017e01427b0b071302066d656d6f72790200065f737461727400030908010041000b0201"
    "020c01010a9401031602027e017d027f200045047f41010520000c010b0b0b080020009f4107c00b7201"
    "017f410841a08d063601100340200041016a2200410a480d000b02400240024020000e020001020b0b0b"
    "44000000000000f83f10021afc062400410341001101001a410041004104fc080000fc09004100410041"
    "04fc0a000041002500d11ad2011ad0701a410141004110410810001a0b0b0701010462756c6b";

/* An export named like C code: what wabt 1.0.32 would paste into a comment and compile. */
static const char inject_hex[] =
    "0061736d0100000001040160000003030200000503010001074703066d656d6f72790200065f73746172"
    "740000312a2f205f5f6174747269627574655f5f2828636f6e7374727563746f72292920766f69642078"
    "28766f6964297b7d202f2a00010a070202000b02000b";

/* Modules by wat2wasm --no-check, without their first eight bytes. */
static const struct refused {
    const char *name, *hex, *reason;
} refusals[] = {
    {"badtype",
     "01090260017f017e60000002230116776173695f736e617073686f745f70726576696577310866645f636c6f7"
     "3650000030201010503010001071302066d656d6f72790200065f737461727400010a040102000b",
     "import fd_close with a wrong type"},
    {"badname",
     "01090260017f017f600000020e0103656e760673797374656d0000030201010503010001071302066d656d6f7"
     "2790200065f737461727400010a040102000b",
     "import that is not a function of wasi_snapshot_preview1"},
    {"memimport",
     "010401600000020f0103656e76066d656d6f727902000103020100070a01065f737461727400000a040102000"
     "b",
     "only functions can be imported"},
    {"twice",
     "01090260017f017f60000002450216776173695f736e617073686f745f70726576696577310866645f636c6f7"
     "365000016776173695f736e617073686f745f70726576696577310866645f636c6f7365000003020101050301"
     "0001071302066d656d6f72790200065f737461727400020a040102000b",
     "import fd_close twice"},
    {"simd",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a17011500fd0c000"
     "000000000000000000000000000001a0b",
     "SIMD is not supported; build without -msimd128"},
    {"simdlocal",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a06010401017b0b",
     "SIMD is not supported (value type v128)"},
    {"threads",
     "01040160000003020100050401030102071302066d656d6f72790200065f737461727400000a040102000b",
     "shared memory: threads are not supported"},
    {"atomics",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a0b0109004100fe1"
     "002001a0b",
     "threads are not supported; build without -pthread"},
    {"exceptions",
     "0104016000000302010005030100010d03010000071302066d656d6f72790200065f737461727400000a06010"
     "40008000b",
     "exceptions are not supported (tag section)"},
    {"tailcall",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a0601040012000b",
     "tail calls are not supported"},
    {"twomem",
     "0104016000000302010005050200010001071302066d656d6f72790200065f737461727400000a040102000b",
     "2 memories, more than 1"},
    {"mem64",
     "010401600000030201000503010401071302066d656d6f72790200065f737461727400000a040102000b",
     "64-bit memory is not supported"},
    {"pages",
     "0104016000000302010005050100808004071302066d656d6f72790200065f737461727400000a040102000b",
     "more than 65535 pages of memory"},
    {"maxpages",
     "010401600000030201000506010101818004071302066d656d6f72790200065f737461727400000a040102000"
     "b",
     "more than 65535 pages of memory"},
    {"table",
     "010401600000030201000408017000ffffffff0f0503010001071302066d656d6f72790200065f73746172740"
     "0000a040102000b",
     "size 4294967295, more than 1048576"},
    {"nostart", "010401600000030201000503010001070a01066d656d6f727902000a040102000b",
     "no export \"_start\""},
    {"nomemory", "01040160000003020100070a01065f737461727400000a040102000b",
     "no export \"memory\""},
    {"starttype",
     "01050160017f00030201000503010001071302066d656d6f72790200065f737461727400000a040102000b",
     "export \"_start\" is not a function without parameters"},
    {"mismatch",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a080106004101501"
     "a0b",
     "operand is i32, want i64"},
    {"underflow",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a060104006a1a0b",
     "operand missing"},
    {"leftover",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a0601040041010b",
     "values left on the stack at the end of a block"},
    {"label",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a060104000c010b",
     "label 1 does not exist"},
    {"immutable",
     "0104016000000302010005030100010606017f0041000b071302066d656d6f72790200065f737461727400000"
     "a08010600410124000b",
     "global 0 is immutable"},
    {"undeclared",
     "01040160000003030200000503010001071302066d656d6f72790200065f737461727400010a0a0202000b050"
     "0d2001a0b",
     "ref.func of a function no element segment names"},
    {"ifelse",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a0c010a004101047"
     "f41010b1a0b",
     "if without else changes the stack"},
    {"align",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a0a0108004100280"
     "3001a0b",
     "alignment larger than the access"},
    {"dupexport",
     "01040160000003030200000503010001071b04066d656d6f72790200065f73746172740000016100000161000"
     "10a070202000b02000b",
     "two exports with one name"},
    {"externref",
     "010401600000030201000503010001071302066d656d6f72790200065f737461727400000a06010401016f0b",
     "externref is not supported"},
};

struct checked {
    uint8_t in[1024];
    size_t n;
    struct sm_buf out;
    struct sm_wasm_info info;
    struct sm_wasm_fault fault;
};

static enum sm_err check(struct checked *c)
{
    sm_buf_clear(&c->out);
    return sm_wasm_check(sm_view_of(c->in, c->n), &c->out, &c->info, &c->fault);
}

static void checked_done(struct checked *c)
{
    sm_buf_done(&c->out);
}

static void load(struct checked *c, const char *prefix, const char *hex)
{
    size_t head = strlen(prefix) / 2, n = strlen(hex) / 2;
    T_TRUE(head + n <= sizeof c->in);
    T_OK(sm_unhex(prefix, strlen(prefix), c->in, head));
    T_OK(sm_unhex(hex, strlen(hex), c->in + head, n));
    c->n = head + n;
    c->out = SM_BUF(1 << 16);
}

static void a_good_module_is_its_own_canonical_form(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    load(&c, "", good_hex);
    T_OK(check(&c));
    T_MEM(c.out.p, c.out.n, c.in, c.n);
    T_EQ(c.info.pages_min, 1);
    T_EQ(c.info.pages_max, 2);
    T_EQ(c.info.functions, 3);
    T_EQ(c.info.imports, 1);
}

static void every_truncation_is_refused(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    load(&c, "", good_hex);
    for (size_t n = c.n; n-- > 0;) {
        c.n = n;
        T_ERR(check(&c), SM_E_MODULE);
        T_TRUE(c.fault.offset <= n);
        T_TRUE(c.fault.reason[0] != '\0');
        T_EQ(c.out.n, 0);
    }
}

static void names_chosen_by_the_author_are_dropped(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    load(&c, "", inject_hex);
    T_OK(check(&c));
    T_TRUE(memmem(c.in, c.n, "attribute", 9) != NULL);
    T_TRUE(memmem(c.out.p, c.out.n, "attribute", 9) == NULL);
}

static void custom_sections_are_dropped(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    static const uint8_t custom[] = {0, 5, 4, 'n', 'a', 'm', 'e'};
    load(&c, "", good_hex);
    size_t n = c.n;
    memcpy(c.in + n, custom, sizeof custom);
    c.n += sizeof custom;
    T_OK(check(&c));
    T_MEM(c.out.p, c.out.n, c.in, n);
}

static void long_integers_become_short(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    /* The type section's length, 0x17, written in five bytes. */
    load(&c, "", good_hex);
    uint8_t plain[sizeof c.in];
    size_t n = c.n;
    memcpy(plain, c.in, n);
    memmove(c.in + 14, c.in + 10, n - 10);
    memcpy(c.in + 9, "\x97\x80\x80\x80\x00", 5);
    c.n = n + 4;
    T_OK(check(&c));
    T_MEM(c.out.p, c.out.n, plain, n);
    c.in[13] = 0x10; /* a bit past the 32nd */
    T_ERR(check(&c), SM_E_MODULE);
}

static void each_broken_rule_is_named(void)
{
    for (size_t i = 0; i < SM_COUNT(refusals); i++) {
        SM_CLEANUP(checked_done) struct checked c = {0};
        load(&c, "0061736d01000000", refusals[i].hex);
        enum sm_err e = check(&c);
        if (e != SM_E_MODULE || strcmp(c.fault.reason, refusals[i].reason) != 0) {
            t_fail(__FILE__, __LINE__, "%s: %s \"%s\"", refusals[i].name, sm_err_name(e),
                   c.fault.reason);
        }
    }
}

static void what_does_not_fit_is_a_limit(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    load(&c, "", good_hex);
    c.out.max = c.n - 1;
    T_ERR(check(&c), SM_E_LIMIT);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 33;
}

/* Whatever is done to the bytes: no crash, and what is accepted is canonical after one pass. */
static void damaged_modules_are_refused_or_canonical(void)
{
    SM_CLEANUP(checked_done) struct checked c = {0};
    SM_CLEANUP(sm_buf_done) struct sm_buf again = SM_BUF(1 << 16);
    uint64_t rng = t_seed();
    unsigned accepted = 0;
    for (unsigned round = 0; round < 2000; round++) {
        sm_buf_done(&c.out);
        load(&c, "", good_hex);
        for (unsigned k = 1 + (unsigned)(next_random(&rng) % 3); k > 0; k--) {
            c.in[8 + next_random(&rng) % (c.n - 8)] ^= (uint8_t)(1u << next_random(&rng) % 8);
        }
        if (check(&c) != SM_OK) {
            continue;
        }
        accepted++;
        sm_buf_clear(&again);
        T_OK(sm_wasm_check(sm_buf_view(&c.out), &again, &c.info, &c.fault));
        T_MEM(again.p, again.n, c.out.p, c.out.n);
    }
    T_TRUE(accepted > 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_good_module_is_its_own_canonical_form),
        T_CASE(every_truncation_is_refused),
        T_CASE(names_chosen_by_the_author_are_dropped),
        T_CASE(custom_sections_are_dropped),
        T_CASE(long_integers_become_short),
        T_CASE(each_broken_rule_is_named),
        T_CASE(what_does_not_fit_is_a_limit),
        T_CASE(damaged_modules_are_refused_or_canonical),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
