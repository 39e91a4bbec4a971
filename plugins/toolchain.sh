#!/usr/bin/env bash
# Finds or makes a Rust compiler that builds strategies, and prints what to source.
#
#   usage:  . "$(toolchain.sh [DIR])"
#
# A strategy needs std for wasm32-unknown-unknown and the linker wasm-component-ld, which turns
# what is linked into a component. Where rustup has the target, nothing is made; otherwise
#
#   rustup target add wasm32-unknown-unknown
#
# is the short way. Where that cannot download, this makes an equivalent from Debian's rustc-web
# package and the library source that belongs to it, unpacked in DIR (default: target/toolchain
# beside this file) without installing anything. That takes a few minutes once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=wasm32-unknown-unknown
dir=${1:-$here/target/toolchain}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
env=$dir/env.sh

say() { echo "toolchain: $*" >&2; }

# The newest linker that any installed toolchain brings.
linker=$(find "${RUSTUP_HOME:-$HOME/.rustup}/toolchains" -name wasm-component-ld 2>/dev/null | sort | tail -n 1)
[ -n "$linker" ] || { say "rustup brings no wasm-component-ld; install a toolchain with rustup"; exit 1; }
wasm_ld=$(dirname "$linker")/gcc-ld/wasm-ld

# $1: the compiler
write_env() {
  cat > "$env" <<EOF
# Made by toolchain.sh.
unset RUSTFLAGS RUSTC_BOOTSTRAP RUSTC_WRAPPER
export RUSTC=$1
export CARGO_BUILD_TARGET=$target
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
export GUEST_LINK_FLAGS=-Clink-arg=--wasm-ld-path=$wasm_ld
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=\$GUEST_LINK_FLAGS
EOF
  echo "$env"
}

has_target() { compgen -G "$("$1" --print sysroot)/lib/rustlib/$target/lib/libstd-*.rlib" > /dev/null; }

installed=$(rustup which rustc 2>/dev/null || command -v rustc || true)
if [ -n "$installed" ] && has_target "$installed"; then
  write_env "$installed"
  exit 0
fi

rustc=$dir/bin/rustc
if [ ! -e "$dir/complete" ]; then
  command -v apt-get > /dev/null || {
    say "std for $target is not installed: rustup target add $target"; exit 1; }
  say "std for $target is not installed; making one in $dir"
  rm -rf "$dir/packages" "$dir/std"
  mkdir -p "$dir/packages" "$dir/bin" "$dir/std/src"
  (
    cd "$dir/packages"
    apt-get update -q > /dev/null
    apt-get -o APT::Sandbox::User="$(id -un)" download -q rustc-web rust-web-src libstd-rust-web-dev libstd-rust-web-1.96 libllvm22 > /dev/null
    for package in *.deb; do dpkg -x "$package" "$dir/unpacked"; done
  )
  cat > "$rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH=$dir/unpacked/usr/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} \\
  exec $dir/unpacked/usr/bin/rustc "\$@"
EOF
  chmod +x "$rustc"

  # An empty crate has std built for it, whose libraries are then put where rustc looks for them.
  cat > "$dir/std/Cargo.toml" <<EOF
[package]
name = "std-for-guests"
version = "0.0.0"
edition = "2024"

[profile.release]
panic = "abort"

[workspace]
EOF
  : > "$dir/std/src/lib.rs"
  (
    cd "$dir/std"
    unset CARGO_BUILD_TARGET RUSTFLAGS RUSTC_WRAPPER
    export RUSTC=$rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$dir/std/target
    # No path of this machine gets into what is built with it.
    flags="-Cembed-bitcode=yes --remap-path-prefix=$dir/std=/std-for-guests"
    flags+=" --remap-path-prefix=$dir/unpacked/usr/lib/rustlib/src/rust=/rust"
    flags+=" --remap-path-prefix=$dir/unpacked/usr/src=/rust"
    sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
    mkdir -p "$sources"
    for crates in "$sources"/*/; do
      [ -d "$crates" ] && flags+=" --remap-path-prefix=${crates%/}=/crates"
    done
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$flags
    cargo build -q --release -Zbuild-std=std,panic_abort --target $target
  )
  libraries=$dir/unpacked/usr/lib/rustlib/$target/lib
  rm -rf "$libraries"
  mkdir -p "$libraries"
  cp "$dir/std/target/$target/release/deps"/lib*.rlib "$libraries/"
  rm -f "$libraries"/libstd_for_guests-*
  rm -rf "$dir/packages" "$dir/std"
  touch "$dir/complete"
fi
write_env "$rustc"
