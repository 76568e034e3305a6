#!/usr/bin/env bash
# text_heads.sh MODEL INIT…: a network with its usual head, and with heads that start from INIT (random, template or
# descriptions), trained alike and struck as in "Hardware Resilience Properties of Text-Guided Image Classifiers"
# (NeurIPS 2023), beside its figures. table1.sh, table2.sh and table3.sh run it for the paper's tables.
#
#     examples/text_heads.sh resnet50 descriptions
#     DATASET=cifar10 TRAIN="--recipe cifar" INJECTIONS=256 examples/text_heads.sh resnet20 random template
#     DESCRIBE="--from-file gpt.json" EMBED_TEMPLATE="--encoder tfidf" EMBED_DESCRIPTIONS="--from-file clip.npy" …
#                                                       options of tgr describe, and of tgr embed for an INIT
#
# What all commands share (where images lie, a device) is read from tgr.toml: train-data, eval-data, data-root, device.
# Killed or interrupted, the same command goes on where it was. Another size (TRAIN, INJECTIONS) needs another WORKDIR.
set -euo pipefail

model=$1; shift
workdir=${WORKDIR:-runs}
data=(--dataset "${DATASET:-imagenet}" --workdir "$workdir")
read -ra training <<< "${TRAIN:---recipe auto}"
read -ra describe <<< "${DESCRIBE:---yes}"
struck=(--as-published neurips)
if [ -n "${INJECTIONS:-}" ]; then struck+=(--injections "$INJECTIONS"); fi   # else those of the paper, 4096 a layer
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/resumable.sh"
begin "$workdir" "${training[*]}, ${INJECTIONS:-4096} faults a site"

# measured HEAD…: the network with this head, trained, evaluated and struck.
measured() {
    once train "${data[@]}" --model "$model" "$@" "${training[@]}" --resume
    once evaluate "${data[@]}" --model "$model" "$@" --as-published neurips
    once inject "${data[@]}" --model "$model" "$@" "${struck[@]}"
}

name=${model//[^A-Za-z0-9._+]/-}
runs=("$name-baseline")
measured --head baseline
for init in "$@"; do
    if [ "$init" = random ]; then
        measured --head cosine                     # a text head from random vectors
        runs+=("$name-cosine")
        continue
    fi
    options=EMBED_${init^^}
    read -ra embed <<< "${!options:-}"
    if [ "$init" = descriptions ]; then once describe "${data[@]}" "${describe[@]}"; fi
    once embed "${data[@]}" --init "$init" "${embed[@]}"
    measured --head text --init "$init"
    runs+=("$name-text-$init")
done
tgr compare "${runs[@]}" "${data[@]}" --published
