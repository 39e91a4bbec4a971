#!/usr/bin/env bash
# Builds {{name}}.wasm. What is needed for it goes into .venv at the first call.
set -euo pipefail
cd "$(dirname "$0")"

# A copy of the list, made last, says that all of it is installed.
if ! cmp -s requirements.txt .venv/installed.txt; then
  "${PYTHON:-python3}" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt .venv/installed.txt
fi

# The same source does not give the same bytes again, and other bytes are compiled anew: so nothing
# is built where nothing has changed.
newer() { find src wit requirements.txt build.sh -type f ! -name '*.pyc' -newer "{{name}}.wasm"; }
if [ -e "{{name}}.wasm" ] && [ -z "$(newer)" ]; then
  echo "{{name}}.wasm is up to date"
  exit 0
fi

# A strategy has no system beneath it: what Python asks of one is answered by stubs.
.venv/bin/componentize-py --quiet -d wit -w project \
  componentize --stub-wasi -p src app -o "{{name}}.wasm"
echo "{{name}}.wasm: $(wc -c < "{{name}}.wasm") bytes"
