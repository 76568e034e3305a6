#!/usr/bin/env bash
# A campaign as an array of a real Slurm (controller, node and munge on this machine). One task is requeued in the middle of
# its work, and later the node is set down for a while, which kills and requeues all tasks on it. The merged files must have
# the bytes of one run.
#
#     apt-get install slurm-wlm munge            # as root; Slurm's daemons run as root here, on 127.0.0.1 only
#     benchmarks/slurm_on_loopback.sh [TASKS] [INJECTIONS]
#
# Needs `tgr` on PATH. Everything lies in a temporary folder, which is kept if it fails.
set -euo pipefail

tasks=${1:-16}
export INJECTIONS=${2:-65536} OMP_NUM_THREADS=1
export TGR_INJECT_MEMORY=393400KiB # little memory makes many units, so that each shard has some
example=$(readlink -f "$(dirname "$0")/../examples/job_array.sh")
source "$(dirname "$(readlink -f "$0")")/slurm_daemons.sh"

tgr train --dataset digits --model digits_cnn --epochs 5 -q
submit() { sbatch --parsable --requeue --open-mode append --output "task-%A_%a.log" "$@"; }
plan=$(submit "$example" plan)
shards=$(submit --dependency "afterok:$plan" --array "1-$tasks" "$example" shard)
merge=$(submit --dependency "afterok:$shards" "$example" merge)

has_finished_a_unit() { compgen -G "runs/digits/digits_cnn-baseline/injections-$1-of-$tasks*.parts/unit-*.parquet" > /dev/null; }

victim=$(((tasks + 3) / 4))
until_ has_finished_a_unit "$victim"
scontrol requeue "${shards}_$victim" && echo "requeued: task $victim, after a unit of it was finished"
victim=$(((tasks + 1) / 2))
until_ has_finished_a_unit "$victim"
running=$(squeue -h -t running -j "$shards" -o %K | paste -sd' ')
scontrol update "nodename=$host" state=down reason=test && echo "node set down, which killed tasks: $running"
sleep 2
scontrol update "nodename=$host" state=resume 2> /dev/null || true # unless it has come back of itself
until [ -z "$(squeue -h -j "$merge" 2> /dev/null)" ]; do sleep 1; done
[ -f merged.parquet ] || { tail -n 3 task-*.log; echo "kept: $folder" >&2; exit 1; }

tgr inject --dataset digits --model digits_cnn --injections "$INJECTIONS" --plan plan.parquet --out whole.parquet -q > /dev/null
cmp whole.parquet merged.parquet
cmp whole-vulnerability.parquet merged-vulnerability.parquet
grep -h "^--shard auto" task-*.log | sort -V | uniq -c
echo "equal: $(stat -c %s merged.parquet) bytes of merged.parquet and of one run"
stop
