// SPDX-License-Identifier: Apache-2.0
#include "base/date.h"

#include <stdio.h>

/* Days from 0000-03-01, so that a leap day ends its year. */
static uint64_t days_from_march(unsigned year, unsigned month, unsigned day)
{
    uint64_t y = month > 2 ? year : year - 1u;
    uint64_t m = month > 2 ? month - 3u : month + 9u;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
}
#define EPOCH 719468u /* days_from_march(1970, 1, 1) */

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_of(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1u : 0u);
}

static unsigned digits(const uint8_t *p, unsigned n)
{
    unsigned v = 0;
    for (unsigned i = 0; i < n; i++) {
        v = v * 10 + (unsigned)(p[i] - '0');
    }
    return v;
}

enum sm_err sm_date_parse(struct sm_view text, struct sm_wall *out)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    if (text.n != SM_DATE_LEN) {
        return SM_E_MALFORMED;
    }
    for (size_t i = 0; i < SM_DATE_LEN; i++) {
        bool is_digit = text.p[i] >= '0' && text.p[i] <= '9';
        if (form[i] == '0' ? !is_digit : text.p[i] != form[i]) {
            return SM_E_MALFORMED;
        }
    }
    unsigned year = digits(text.p, 4), month = digits(text.p + 5, 2),
             day = digits(text.p + 8, 2), hour = digits(text.p + 11, 2),
             min = digits(text.p + 14, 2), s = digits(text.p + 17, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of(year, month) ||
        hour > 23 || min > 59 || s > 59) {
        return SM_E_MALFORMED;
    }
    out->s = (days_from_march(year, month, day) - EPOCH) * 86400 + hour * 3600u + min * 60u + s;
    return SM_OK;
}

void sm_date_print(struct sm_wall t, char out[static SM_DATE_LEN + 1])
{
    uint64_t at = t.s > SM_DATE_LAST.s ? SM_DATE_LAST.s : t.s;
    uint64_t day = at / 86400, s = at % 86400;
    unsigned year = 1970 + (unsigned)(day / 366), month = 1;
    while (days_from_march(year + 1, 1, 1) - EPOCH <= day) {
        year++;
    }
    day -= days_from_march(year, 1, 1) - EPOCH;
    for (; day >= days_of(year, month); month++) {
        day -= days_of(year, month);
    }
    (void)snprintf(out, SM_DATE_LEN + 1, "%04u-%02u-%02uT%02u:%02u:%02uZ", year % 10000,
                   month % 100, ((unsigned)day + 1) % 100, (unsigned)(s / 3600) % 100,
                   (unsigned)(s / 60) % 60, (unsigned)s % 60);
}
