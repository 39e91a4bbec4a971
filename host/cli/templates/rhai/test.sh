#!/usr/bin/env bash
# Tries the script on what it may meet in a run.
set -euo pipefail
cd "$(dirname "$0")"
"${SC_HOST:-sc-host}" strategy test "{{name}}.rhai"
