#!/usr/bin/env bash
# Every scheme, loss, judge, perturbation and control on the tiny world, one run each, and their table.
#
#   usage:  docs/method-runs.sh [FOLDER] [SEED]     default: runs/method, 1
#
# What is there already is not run again. About three quarters of an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/method}
seed=${2:-1}
cargo build --release --quiet

# A run by its name; everything else are options of `sc-host run`.
run() {
  local name=$1
  shift
  [ -e "$folder/$name/summary.json" ] ||
    target/release/sc-host run --seed "$seed" --out "$folder/$name" "$@" >"$folder/$name.log" 2>&1
}

mkdir -p "$folder"
replay='--strategy plugins/curriculum.wasm'
keep='--strategy builtin:keep-all'

run online
run online-replay $replay
run online-replay-passed $replay --control replay-passed
run static --scheme static --prompts 900
run static-replay --scheme static --prompts 900 $replay
run static-replay-passed --scheme static --prompts 900 $replay --control replay-passed

for loss in sigmoid robust hinge ipo simpo apo-zero kto; do
  run "loss-$loss" --objective "$loss"
done
run loss-cdpo --objective sigmoid --label-smoothing 0.1
run loss-sft-rare --token-weights rare

for judge in verdict wordings consistency decomposed oracle; do
  run "judge-$judge" --judge "$judge"
done
run control-random-accepts --control random-accepts

# Without a gate, then with it.
for arm in kept gated; do
  gate=
  [ $arm = gated ] || gate=$keep
  run "$arm-swapped-half" $gate --objective sigmoid --perturb swapped-pairs=0.5
  run "$arm-swapped-all" $gate --objective sigmoid --perturb swapped-pairs=1
  run "$arm-sft-on-rejected" $gate --perturb sft-on-rejected
  run "$arm-random-verdicts" $gate --perturb random-verdicts
  run "$arm-inverted" $gate --perturb inverted
  run "$arm-permissive" $gate --perturb permissive=120
  run "$arm-rejected-permissive" $gate --perturb sft-on-rejected --perturb permissive=120
done

for part in 0.3 0.5 0.7; do
  run "interpolate-$part" --interpolate "$part"
done
run interpolate-rounds-0.5 --interpolate 0.5 --interpolate-at round

target/release/sc-host compare "$folder"/*/
