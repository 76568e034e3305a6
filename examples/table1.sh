#!/usr/bin/env bash
# Table 1 of "Hardware Resilience Properties of Text-Guided Image Classifiers" (NeurIPS 2023): 14 networks on ImageNet,
# each with its usual head and with one from descriptions; accuracy, cost, improvement of last layer and network, Top2Diff.
#
#     examples/table1.sh                                        as published: trains 28 networks, on many GPUs
#     MODELS="resnet18 resnet34" INJECTIONS=512 examples/table1.sh
#
# text_heads.sh says what else can be set.
set -euo pipefail
convolutional="alexnet vgg16_bn vgg19_bn resnet18 resnet34 resnet50 resnet101 resnet152 mobilenet_v2"
for model in ${MODELS:-$convolutional maxvit_t swin_v2_t swin_v2_s focalnet_t focalnet_s}; do
    "$(dirname "$0")/text_heads.sh" "$model" descriptions
done
