// SPDX-License-Identifier: Apache-2.0
#pragma once
/* table: words and how often each was seen.  Grows as needed; ends the program when memory
 * does. The program prints and exits, so nothing is freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64

struct entry {
    char *word; /* n bytes */
    size_t n;
    unsigned long long count;
};

struct table {
    struct entry *slots; /* open addressing; free when word is NULL */
    size_t size, used;   /* size is a power of two */
};

static inline unsigned table_hash(const char *word, size_t n)
{
    unsigned h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (unsigned char)word[i]) * 16777619u;
    }
    return h;
}

static inline void *must(void *p)
{
    if (p == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static inline struct entry *table_slot(struct table *t, const char *word, size_t n)
{
    size_t i = table_hash(word, n) & (t->size - 1);
    while (t->slots[i].word != NULL &&
           (t->slots[i].n != n || memcmp(t->slots[i].word, word, n) != 0)) {
        i = (i + 1) & (t->size - 1);
    }
    return &t->slots[i];
}

static inline void table_grow(struct table *t)
{
    struct table bigger = {.size = t->size == 0 ? 1024 : t->size * 2, .used = t->used};
    bigger.slots = must(calloc(bigger.size, sizeof *bigger.slots));
    for (size_t i = 0; i < t->size; i++) {
        if (t->slots[i].word != NULL) {
            *table_slot(&bigger, t->slots[i].word, t->slots[i].n) = t->slots[i];
        }
    }
    free(t->slots);
    *t = bigger;
}

static inline void table_add(struct table *t, const char *word, size_t n,
                             unsigned long long count)
{
    if (t->used * 4 >= t->size * 3) {
        table_grow(t);
    }
    struct entry *e = table_slot(t, word, n);
    if (e->word == NULL) {
        e->word = memcpy(must(malloc(n + 1)), word, n);
        e->n = n;
        t->used++;
    }
    e->count += count;
}

static inline int entry_by_word(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = memcmp(x->word, y->word, x->n < y->n ? x->n : y->n);
    return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

/* The most frequent first; words of one count in byte order. */
static inline int entry_by_count(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    return entry_by_word(a, b);
}

/* Sort in place and print at most max entries; the table is not usable as one after that. */
static inline void table_print(struct table *t, size_t max,
                               int (*order)(const void *, const void *))
{
    size_t n = 0;
    for (size_t i = 0; i < t->size; i++) {
        if (t->slots[i].word != NULL) {
            t->slots[n++] = t->slots[i];
        }
    }
    if (n > 0) {
        qsort(t->slots, n, sizeof *t->slots, order);
    }
    for (size_t i = 0; i < n && i < max; i++) {
        fwrite(t->slots[i].word, 1, t->slots[i].n, stdout);
        printf("\t%llu\n", t->slots[i].count);
    }
}

static inline void table_print_by_word(struct table *t)
{
    table_print(t, (size_t)-1, entry_by_word);
}
