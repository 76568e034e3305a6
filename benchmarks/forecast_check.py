"""Print what `tgr inject --plan-only --nodes N` expects of a campaign, and what its shards take.

python benchmarks/forecast_check.py [--nodes 1,2,4] -- OPTIONS OF TGR INJECT

The plan is drawn once for each N, with its forecast; then the N shards are run one after another, each as on a machine
of its own, from Enter to its end. The longest of them is what N machines would take.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1,2,4")
    parser.add_argument("campaign", nargs="+", help="options of tgr inject")
    options = parser.parse_args()
    print("| nodes | expected, s | before the first fault, s | longest shard, s | shards, s | expected / measured |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.parquet"
        for nodes in map(int, options.nodes.split(",")):
            tell = ("--plan-only", "--out", str(plan), "--restart", "--nodes", str(nodes), "--json")
            told = json.loads(tgr(*options.campaign, *tell))
            seconds = []
            for number in range(1, nodes + 1):
                began = time.perf_counter()
                shard = ("--shard", f"{number}/{nodes}", "--out", f"{folder}/{number}-of-{nodes}.parquet")
                tgr(*_of_a_shard(options.campaign), "--plan", str(plan), *shard)
                seconds.append(time.perf_counter() - began)
            expected, longest = told["seconds_a_node"], max(seconds)
            print(
                f"| {nodes} | {expected:.1f} | {told['start']:.1f} | {longest:.1f} | "
                f"{', '.join(f'{each:.1f}' for each in seconds)} | {expected / longest:.2f} |",
                flush=True,
            )


def _of_a_shard(campaign: list[str]) -> list[str]:
    """Return the options without those that draw the plan, which shards of a stored plan must not be given again."""
    kept, drawing = [], ("--injections", "--sampling", "--seed")
    for place, word in enumerate(campaign):
        if word not in drawing and not (place and campaign[place - 1] in drawing):
            kept.append(word)
    return kept


def tgr(*options: str) -> str:
    done = subprocess.run([sys.executable, "-m", "tgr_cli", "inject", *options, "-q"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tgr inject {' '.join(options)} failed: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
