#!/usr/bin/env bash
# Tests the decisions, then the strategy as a whole.
set -euo pipefail
cd "$(dirname "$0")"
PYTHONPATH=src "${PYTHON:-python3}" -m unittest discover -s tests
bash build.sh
"${SC_HOST:-sc-host}" strategy test "{{name}}.wasm"
