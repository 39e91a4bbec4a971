#!/usr/bin/env bash
# Builds margin-filter.wasm with what it fetches into .tools at the first call: the bindings'
# generator from crates.io, zig's C compiler from PyPI, jco from npm.
set -euo pipefail
cd "$(dirname "$0")"

generator=.tools/cargo/bin/wit-bindgen
[ -e "$generator" ] || cargo install --quiet --root .tools/cargo --version 0.61.1 \
  --no-default-features --features c wit-bindgen-cli
[ -e .tools/python/bin/python ] || python3 -m venv .tools/python
.tools/python/bin/python -m pip install --quiet --disable-pip-version-check ziglang==0.17.1
[ -e .tools/node_modules/.bin/jco ] || npm install --silent --prefix .tools @bytecodealliance/jco@1.35.0

"$generator" c ../../../wit/0.1.0 --world data-filter-strategy --out-dir .tools/bindings
# A library, not a program: it has no main, and asks nothing of a system.
.tools/python/bin/python -m ziglang cc -target wasm32-wasi -mexec-model=reactor -O2 -s \
  -Wall -Wextra -I.tools/bindings filter.c .tools/bindings/data_filter_strategy.c \
  .tools/bindings/data_filter_strategy_component_type.o -o .tools/core.wasm
.tools/node_modules/.bin/jco new .tools/core.wasm -o margin-filter.wasm
