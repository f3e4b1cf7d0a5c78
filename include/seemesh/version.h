// SPDX-License-Identifier: Apache-2.0
#pragma once
/* The version of the program, its protocols' environment strings excepted. */
#define SEEMESH_VERSION "0.1.0"
/* No clock that is right shows less: seconds of Unix time, not after the release. */
#define SEEMESH_RELEASE_TIME 1735689600u /* 2025-01-01 */
