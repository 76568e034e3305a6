#!/usr/bin/env bash
# One campaign over the tasks of a job array. Every task works on the same stored plan, so the merged file has the bytes of
# a campaign that one machine ran.
#
#     tgr train --dataset digits --model digits_cnn --epochs 15       once
#     TASKS=2 examples/job_array.sh                                   all of it here, the shards side by side
#
# On Slurm, with a folder that all nodes see:
#
#     plan=$(sbatch --parsable job_array.sh plan)
#     shards=$(sbatch --parsable --dependency "afterok:$plan" --array 1-8 job_array.sh shard)
#     sbatch --dependency "afterok:$shards" job_array.sh merge
#
# A task that was killed goes on where it was when it is started again. Other schedulers: docs/campaigns.md.
set -euo pipefail

campaign=(--dataset digits --model digits_cnn --injections "${INJECTIONS:-4096}")

plan() { tgr inject "${campaign[@]}" --plan-only --out plan.parquet; }
shard() { tgr inject "${campaign[@]}" --plan plan.parquet --shard "$1"; }
merge() { tgr merge runs/digits/digits_cnn-baseline --out merged.parquet; } # the shards in the folder of the run

case ${1:-all} in
    plan) plan ;;
    shard) shard auto ;;
    merge) merge ;;
    all)
        plan
        for task in $(seq "${TASKS:-2}"); do shard "$task/${TASKS:-2}" & running+=($!); done
        for process in "${running[@]}"; do wait "$process"; done # ends with the code of a shard that failed
        merge
        ;;
esac
