#!/usr/bin/env bash
# Tests the decisions, then the strategy as a whole.
set -euo pipefail
cd "$(dirname "$0")"
cargo test --quiet
bash build.sh
"${SC_HOST:-sc-host}" strategy test "{{name}}.wasm"
