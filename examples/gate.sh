#!/usr/bin/env bash
# A gate for continuous integration: does the trained network keep its rate of SDCs (and non-finite outputs) low enough?
#
#     tgr train --dataset digits --model digits_cnn --epochs 15       once, or in an earlier step of the job
#     MAX_SDC_RATE=0.05 examples/gate.sh
#
# The gate passes where the whole interval lies within it. One that the interval straddles fails as well: with more
# INJECTIONS the interval gets shorter.
set -uo pipefail

tgr inject --dataset digits --model digits_cnn --injections "${INJECTIONS:-1024}" \
    --max-sdc-rate "${MAX_SDC_RATE:-0.05}" --json > campaign.json
code=$?

case $code in
    0) echo "the gate is passed; campaign.json has the figures" ;;
    3) echo "the gate is not passed: too many SDCs, or too few faults to tell; campaign.json has the figures" ;;
    *) echo "there was no whole campaign, so nothing is known of the gate; stderr says why" ;;
esac >&2
exit "$code"
