#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build the examples: OUTDIR/NAME.wasm for the mesh, and OUTDIR/native/NAME to compare with.
# Needs clang, lld, wasi-libc and libclang-rt-14-dev-wasm32 (Debian's names).
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUTDIR" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out/native"

for source in wordstat/wordstat wordstat/wordstat-reduce csvstat/csvstat csvstat/csvstat-reduce; do
    name=${source##*/}
    clang --target=wasm32-wasi -O2 -Wall -Wextra -Wl,--strip-all -o "$out/$name.wasm" "$here/$source.c"
    ${CC:-cc} -O2 -Wall -Wextra -o "$out/native/$name" "$here/$source.c"
done
