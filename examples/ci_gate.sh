#!/usr/bin/env bash
# A gate for continuous integration: does a network keep its rate of SDCs (and non-finite outputs) low enough?
#
#     tgr train --dataset digits --model digits_cnn --epochs 15       once, or in an earlier step of the job
#     examples/ci_gate.sh --dataset digits --model digits_cnn --injections 1024 --max-sdc-rate 0.05
#     examples/ci_gate.sh --model digits_cnn --dataset digits --fail-on-change stored/digits_cnn-baseline
#
# The arguments are those of tgr inject. RESULTS (default: results) gets gate.xml (JUnit), campaign.json, summary.md and
# report.html; on GitHub the summary is shown on the job's page. action.yml runs this script as an action.
#
# The gate passes where the whole interval lies within it. One that the interval straddles fails as well: with more
# --injections the interval gets shorter.
set -uo pipefail

results=${RESULTS:-results}
mkdir -p "$results"
tgr inject "$@" --junit "$results/gate.xml" --json > "$results/campaign.json"
code=$?

case $code in
    0) verdict="the gate is passed" ;;
    3) verdict="the gate is not passed: too many SDCs, or too few faults to tell" ;;
    *) verdict="there was no whole campaign, so nothing is known of the gate; stderr says why" ;;
esac
echo "$verdict" >&2

{
    printf '### tgr: %s\n\n' "$verdict"
    if [ "$code" = 0 ] || [ "$code" = 3 ]; then
        python3 - "$results/campaign.json" <<'SUMMARY'
import json
import sys

campaign = json.load(open(sys.argv[1], encoding="utf-8"))


def shown(row, name):
    values = [row[name + end] for end in ("", "_low", "_high")]
    return "–" if None in values else "{:.3g} ({:.3g} to {:.3g})".format(*values)


print(campaign["gate"]["sentence"] + ".\n")
print("| site | faults | SDC rate | mean dLoss |\n|---|---|---|---|")
for row in campaign["sites"]:
    print(f"| {row['site']} | {row['faults']:,} | {shown(row, 'sdc_rate')} | {shown(row, 'mean_dloss')} |")
SUMMARY
    fi
} > "$results/summary.md"

if [ "$code" = 0 ] || [ "$code" = 3 ]; then
    injections=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["injections"])' "$results/campaign.json")
    tgr report "$injections" --out "$results/report.html" --quiet > "$results/report.txt" || code=1
fi
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$results/summary.md" >> "$GITHUB_STEP_SUMMARY"
exit "$code"
