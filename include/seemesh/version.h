// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The version of the program, its protocols' environment strings excepted. */
#define SEEMESH_VERSION "0.1.0"
