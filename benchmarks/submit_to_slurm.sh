#!/usr/bin/env bash
# `tgr submit --slurm` with a real Slurm (controller, node and munge on this machine). One task of the array is killed in the
# middle of its work; once tgr submit has submitted it again, it is killed itself, and given again while its jobs run. The merged
# files must have the bytes of one run.
#
#     apt-get install slurm-wlm munge            # as root; Slurm's daemons run as root here, on 127.0.0.1 only
#     benchmarks/submit_to_slurm.sh [SHARDS] [INJECTIONS]
#
# Needs `tgr` on PATH. Everything lies in a temporary folder, which is kept if it fails.
set -euo pipefail

shards=${1:-8}
export INJECTIONS=${2:-65536} OMP_NUM_THREADS=1
source "$(dirname "$(readlink -f "$0")")/slurm_daemons.sh"

tgr train --dataset digits --model digits_cnn --epochs 5 -q
# little memory makes many units, of few images each
campaign=(--dataset digits --model digits_cnn --injections "$INJECTIONS" --memory 393400KiB --out merged.parquet)
submit=(tgr submit --slurm --shards "$shards" --mem 400M inject "${campaign[@]}")
of_shard() { echo "merged.shards/shard-$1-of-$shards"; }
watched() { kill -0 "$process" || { echo "tgr submit ended too soon" >&2; exit 1; }; }
has_a_unit() { watched; compgen -G "$(of_shard "$1").parts/unit-*.parquet" > /dev/null; }
is_told() { watched; grep -q "$1" first.txt; }

"${submit[@]}" > /dev/null 2> first.txt &
process=$!
until_ has_a_unit 2
scancel --signal=KILL --full "$(squeue --noheader --array --format '%i %K' | awk '$2 == 2 { print $1 }')"
echo "killed: task 2, after a unit of it was finished"
until_ is_told "shard 2/$shards was killed"
until_ is_told "submitted shard 2/$shards as"
kill -KILL "$process" && echo "killed: tgr submit"
wait "$process" || true
"${submit[@]}" 2> second.txt > table.txt

tgr inject "${campaign[@]}" --out whole.parquet -q > /dev/null
cmp whole.parquet merged.parquet
cmp whole-vulnerability.parquet merged-vulnerability.parquet
cat first.txt second.txt
echo "equal: $(stat -c %s merged.parquet) bytes of merged.parquet and of one run"
stop
