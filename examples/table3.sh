#!/usr/bin/env bash
# Table 3 of "Hardware Resilience Properties of Text-Guided Image Classifiers" (NeurIPS 2023): what a head starts from:
# random vectors, the text "a photo of a …", or descriptions of the classes.
#
#     examples/table3.sh                                        as published: a ResNet-50 on ImageNet, four trainings
#     DATASET=cifar10 MODEL=resnet20 TRAIN="--recipe cifar" INJECTIONS=512 examples/table3.sh
#
# text_heads.sh says what else can be set.
set -euo pipefail
"$(dirname "$0")/text_heads.sh" "${MODEL:-resnet50}" random template descriptions
