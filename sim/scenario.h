// SPDX-License-Identifier: Apache-2.0
#pragma once
/* scenario: the worlds that can be run by name, and what is measured in each. */
#include "world.h"

struct sim_scenario {
    const char *name, *words;
    void (*set)(struct sim_opts *o, struct sm_rng *rng);
    unsigned nodes, minutes; /* when the caller names none */
};

extern const struct sim_scenario sim_scenarios[];
extern const size_t sim_scenarios_n;

/* Options of a scenario; nodes and minutes of 0 take its own. */
void sim_scenario_opts(const struct sim_scenario *s, uint64_t seed, unsigned nodes,
                       unsigned minutes, struct sim_opts *out);

enum sim_bar { SIM_NO_BAR, SIM_AT_LEAST, SIM_AT_MOST };

/* One measured value, in thousandths of its unit. */
struct sim_metric {
    const char *name, *unit;
    int64_t value, bar;
    enum sim_bar kind;
    bool is_ok;
};
#define SIM_METRICS_MAX 48
unsigned sim_measure(struct sim_world *w, struct sim_metric out[static SIM_METRICS_MAX]);
