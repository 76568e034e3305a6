#!/usr/bin/env bash
# Which way of training or changing a LeNet survives hardware faults best? The comparison of "Strategies for Improving the
# Error Robustness of Convolutional Neural Networks": baseline, dropout, redundancy, Ranger, and stimulated training.
#
#     tgr datasets                                              lists the data sets, and what is missing of them
#     examples/robust_training.sh
#     SETS=mnist SEEDS="0 1 2" TECHNIQUES="baseline stimulated-0.2" examples/robust_training.sh
#     TECHNIQUES="wide wide-ranger" examples/robust_training.sh        NAME-ranger guards the network trained as NAME
#     DATA=/data SETS="mnist cifar10" examples/robust_training.sh      reads parquet:/data/mnist, parquet:/data/cifar10
#
# Killed or interrupted, the same command goes on where it was; with other data sets, seeds or techniques it adds them.
# Another size (EPOCHS, IMAGES, INJECTIONS, DROPOUT) needs another folder, WORKDIR.
set -euo pipefail

sets=${SETS:-mnist fashion_mnist gtsrb cifar10}
seeds=${SEEDS:-0}
techniques=${TECHNIQUES:-baseline dropout half double wide ranger dropout-ranger stimulated-0.2 stimulated-0.5}
workdir=${WORKDIR:-runs}
injections=${INJECTIONS:-4096}                     # faults a site
training=(--recipe lenet --epochs "${EPOCHS:-20}")
if [ -n "${IMAGES:-}" ]; then training+=(--images "$IMAGES"); fi
dropout=${DROPOUT:-0.2}

for technique in $techniques; do
    case ${technique%-ranger} in
        ranger | baseline | dropout | half | double | wide | stimulated-*) ;;
        *) echo "there is no technique $technique: take baseline, dropout, half, double, wide, stimulated-PROBABILITY, ranger, or one with -ranger" >&2; exit 1 ;;
    esac
done

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/resumable.sh"
begin "$workdir" "${training[*]}, $injections faults a site, dropout $dropout"

# The published networks: 28×28 pixels and 256 inputs of the first linear layer; 32×32 and 400 for CIFAR-10.
input_of() {
    case $1 in
        cifar10) echo _rgb ;;
        gtsrb) echo _28_rgb ;;
        *) echo _28 ;;
    esac
}

# one_run TECHNIQUE SEED: a network trained, guarded where the technique says so, and struck. Sets `folder`, its run's name.
one_run() {
    local trained=${1%-ranger} seed=$2 network=lenet5$input variant="" disturbed=() run named
    if [ "$trained" = ranger ]; then trained=baseline; fi
    case $trained in
        baseline) ;;
        half | double) network=lenet5${input}_$trained ;;
        wide) network=lenet5_wide$input ;;           # the paper's architecture (2), with a third convolution
        dropout) variant=$trained disturbed=(--dropout "$dropout") ;;
        stimulated-*) variant=$trained disturbed=(--stimulated "${trained#*-}") ;;
    esac
    run=("${data[@]}" --model "$network" --head baseline)
    named=(${variant:+--variant "$variant"})
    once train "${run[@]}" "${named[@]}" --seed "$seed" "${training[@]}" "${disturbed[@]}" --resume
    run+=(--train-seed "$seed")
    if [[ $1 = *ranger ]]; then                      # the same weights, with bounds on what the activations give
        once profile-ranges "${run[@]}" "${named[@]}" --after-activations
        once guard "${run[@]}" "${named[@]}" --technique ranger
        variant=${variant:+$variant-}ranger
        named=(--variant "$variant")
    fi
    once evaluate "${run[@]}" "${named[@]}"
    # Every bit of a value is as likely, the sign too, and the network computes with whatever the flip leaves.
    once inject "${run[@]}" "${named[@]}" --injections "$injections" --limit none
    folder=$network-baseline
    if [ "$seed" != 0 ]; then folder+=-s$seed; fi
    folder+=${variant:+-$variant}
}

for set in $sets; do
    if [ -n "${DATA:-}" ]; then data=(--dataset "parquet:$DATA/$set"); else data=(--dataset "$set"); fi
    data+=(--workdir "$workdir")
    input=$(input_of "$set")
    candidates=()
    for seed in $seeds; do
        for technique in $techniques; do
            one_run "$technique" "$seed"
            candidates+=("$folder")
        done
    done
    # The first is what the others are compared with: the baseline of the first seed.
    if [ ${#candidates[@]} -gt 1 ]; then
        tgr compare "${candidates[@]}" "${data[@]}"
        tgr report "${candidates[@]}" "${data[@]}"
    fi
done
