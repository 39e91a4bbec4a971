#!/usr/bin/env bash
# Builds the project's own strategies and puts them where they are committed.
#
#   usage:  plugins/build.sh            build all
#           plugins/build.sh --check    build all, change nothing, fail if a committed file differs
#
# The same source and compiler give the same bytes: dependencies are locked, and no path of this
# machine gets into the output. Another compiler than that in `plugins/compiler` gives other bytes that
# do the same; then the check compares decisions, by the tests that hold a strategy's forms against
# each other.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
fixtures=$here/../tests/fixtures/plugins

check=
case "${1:-}" in
  '') ;;
  --check) check=1 ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac

if ! environment=$("$here/toolchain.sh" ${GUEST_TOOLCHAIN:+"$GUEST_TOOLCHAIN"}); then
  # The check is for where a toolchain is at hand; the committed files work without one.
  [ -n "$check" ] || exit 1
  echo "not compared: there is no toolchain for guests here"
  exit 0
fi
compiler=$(. "$environment"; "$RUSTC" --version)
rebuilt=
if [ -n "$check" ] && [ "$compiler" != "$(cat "$here/compiler")" ]; then
  echo "the committed files come from $(cat "$here/compiler"), here is $compiler"
  rebuilt=$here/target/rebuilt
  mkdir -p "$rebuilt"
fi

(
  . "$environment"
  cd "$here"
  export CARGO_TARGET_DIR=$here/target
  # Rhai's hash function is seeded when it is compiled: with chance, if nothing is given.
  export CONST_RANDOM_SEED=sc-host
  cargo fetch -q --locked
  flags="$GUEST_LINK_FLAGS --remap-path-prefix=$here=/plugins"
  flags+=" --remap-path-prefix=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust=/rust"
  for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    flags+=" --remap-path-prefix=${crates%/}=/crates"
  done
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$flags
  cargo build -q --release --locked --lib --examples
  cargo rustc -q --release --locked -p rhai-interpreter --lib --crate-type cdylib
)

status=0
# $1: path of what was built, without its ending; $2: where it is committed
place() {
  local built=$here/target/wasm32-unknown-unknown/release/$1.wasm
  if [ -n "$rebuilt" ]; then
    cp "$built" "$rebuilt"/"$(basename "$2")"
  elif [ -z "$check" ]; then
    mkdir -p "$(dirname "$2")"
    cp "$built" "$2"
    echo "$(wc -c < "$2") bytes  ${2#"$here"/}"
  elif cmp -s "$built" "$2"; then
    echo "same     ${2#"$here"/}"
  else
    echo "differs  ${2#"$here"/}"
    status=1
  fi
}
place curriculum "$here/curriculum.wasm"
for name in easy-to-hard uniform margin duplicates unparsed decomposed best-worst all-pairs hardest \
  probe score-only; do
  place "examples/${name//-/_}" "$here/$name.wasm"
done
place rhai_interpreter "$here/rhai.wasm"
place misbehaving "$fixtures/misbehaving.wasm"
place boundary_shapes "$fixtures/shapes.wasm"
for part in asking describing; do
  place "examples/misbehaving_$part" "$fixtures/misbehaving-$part.wasm"
done
if [ -n "$rebuilt" ]; then
  REBUILT_GUESTS=$rebuilt cargo test --release --locked --manifest-path "$here/../Cargo.toml" \
    -p sc-strategy --test strategies twin || status=1
fi
[ -n "$check" ] || echo "$compiler" > "$here/compiler"
exit $status
