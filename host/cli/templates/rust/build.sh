#!/usr/bin/env bash
# Builds {{name}}.wasm. What a strategy is compiled with is set up at the first call.
set -euo pipefail
cd "$(dirname "$0")"
toolchain=${XDG_CACHE_HOME:-$HOME/.cache}/sc-host/guest-toolchain

# The short way. Where it cannot download, toolchain.sh makes a compiler once for all projects.
target=wasm32-unknown-unknown
if [ ! -e "$toolchain/complete" ] && ! rustup target list --installed 2> /dev/null | grep -qx "$target"; then
  rustup target add "$target" || true
fi
environment=$(bash toolchain.sh "$toolchain")
. "$environment"

export CARGO_TARGET_DIR=$PWD/target
cargo build --release
cp "target/$target/release/strategy.wasm" "{{name}}.wasm"
echo "{{name}}.wasm: $(wc -c < "{{name}}.wasm") bytes"
