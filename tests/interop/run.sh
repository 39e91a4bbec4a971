#!/usr/bin/env bash
# Exports a model and an adapter, loads them in transformers and PEFT, and holds sc-host against what
# these compute. Makes a virtual environment of its own the first time (some GB, from PyPI).
#
#   usage:  tests/interop/run.sh [ENVIRONMENT]     default: target/interop
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=${1:-target/interop}
cargo build --release --quiet
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install -q --disable-pip-version-check -r tests/interop/requirements.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$environment/bin/python" tests/interop/check.py target/release/sc-host tests/fixtures "$work"
