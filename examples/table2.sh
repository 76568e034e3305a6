#!/usr/bin/env bash
# Table 2 of "Hardware Resilience Properties of Text-Guided Image Classifiers" (NeurIPS 2023): two networks on four other
# data sets, each with its usual head and with one from descriptions.
#
#     examples/table2.sh                                        as published
#     SETS="cifar10 stl10" MODELS=resnet50 INJECTIONS=512 examples/table2.sh
#
# text_heads.sh says what else can be set.
set -euo pipefail
for set in ${SETS:-cifar10 cifar100 food101 stl10}; do
    for model in ${MODELS:-resnet50 focalnet_t}; do
        DATASET=$set "$(dirname "$0")/text_heads.sh" "$model" descriptions
    done
done
