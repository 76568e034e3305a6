#!/usr/bin/env bash
# "Optimizing Selective Protection for CNN Resilience" (ISSRE 2021): int8 networks, faults in every feature map of their
# convolutions; which maps to duplicate (FLR), which inferences to run again (ILR), and both (FILR).
#
#     examples/flr_ilr_filr.sh                                  as published: 12,288 faults a map, 7 networks, ImageNet
#     MODELS="squeezenet1_1 alexnet" INJECTIONS=64 examples/flr_ilr_filr.sh
#     DATASET=digits MODELS=digits_cnn INJECTIONS=16 examples/flr_ilr_filr.sh    a network that was trained before
#
# What all commands share (where images lie, a checkpoint, a device) is read from tgr.toml: eval-data, data-root, device.
# The paper's Table II has the faults a map that each network needs: 128 to 1,536 by dLoss.
set -euo pipefail

data=(--dataset "${DATASET:-imagenet}" --workdir "${WORKDIR:-runs}")
struck=(--as-published issre)
if [ -n "${INJECTIONS:-}" ]; then struck+=(--injections "$INJECTIONS"); fi
networks="alexnet googlenet mobilenet_v2 resnet50 shufflenet_v2_x1_0 squeezenet1_1 vgg19"

for model in ${MODELS:-$networks}; do
    network=(--model "$model" --head baseline)
    run=${model//[^A-Za-z0-9._+]/-}-baseline-int8
    tgr evaluate "${data[@]}" "${network[@]}" --as-published issre
    tgr inject "${data[@]}" "${network[@]}" "${struck[@]}"         # goes on where it was, if it was killed
    for technique in ilr:0.9 flr:0.9 filr:1; do                   # the paper's coverages on the analysis images
        tgr protect "$run" "${data[@]}" --as-published issre --technique "${technique%:*}" \
            --target-coverage "${technique#*:}" --out "${WORKDIR:-runs}/protection-$run-${technique%:*}.parquet"
    done
    tgr top2diff-sweep "${data[@]}" --run "$run" --as-published issre --out "${WORKDIR:-runs}/sweep-$run.parquet"
done
