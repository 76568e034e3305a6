"""`tgr submit --ray` on two nodes of Ray on this machine, of which one is killed in the middle of the campaign.

    pip install 'tgr[ray]'
    python benchmarks/submit_to_ray.py [--shards 8] [--injections 16384]

The merged files must have the bytes of one run. Works in a temporary folder.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TGR = (sys.executable, "-P", "-m", "tgr_cli")


def main() -> None:
    """Run the campaign whole and on two nodes, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--injections", type=int, default=16384)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        run("train", "--dataset", "digits", "--model", "digits_cnn", "--epochs", "2", "-q")
        campaign = ["inject", "--dataset", "digits", "--model", "digits_cnn", "--injections", str(options.injections)]
        campaign += ["--memory", "393400KiB"]  # many units, of few images each
        run(*campaign, "--out", "whole.parquet", "-q")
        began = time.perf_counter()
        told = on_two_nodes([*campaign, "--out", "merged.parquet"], options.shards)
        print(f"{time.perf_counter() - began:.0f} s\n{told}")
        for whole in ("whole.parquet", "whole-vulnerability.parquet"):
            merged = Path(whole.replace("whole", "merged"))
            if Path(whole).read_bytes() != merged.read_bytes():
                raise SystemExit(f"{merged} differs from {whole}")
            print(f"equal: {merged.stat().st_size:,} bytes of {merged} and of one run")


def on_two_nodes(campaign: list[str], shards: int) -> str:
    """Return what tgr submit printed on stderr; one of two nodes is killed once both have sent units of a shard."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    doomed = cluster.add_node(num_cpus=1)
    try:
        command = [*TGR, "submit", "--ray", cluster.address, "--shards", str(shards), *campaign]
        with open("stderr.txt", "w") as stderr:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
        # a shard runs on each node of one CPU
        while len({path.parent for path in Path("merged.shards").glob("*.parts/unit-*")}) < 2:
            if process.poll() is not None:
                raise SystemExit(f"tgr submit ended too soon:\n{Path('stderr.txt').read_text()}")
            time.sleep(0.05)
        kept = len(list(Path("merged.shards").glob("*.parts/unit-*")))
        cluster.remove_node(doomed, allow_graceful=False)
        print(f"killed: one of two nodes, after {kept} units of two shards were sent")
        if process.wait():
            raise SystemExit(Path("stderr.txt").read_text())
        return Path("stderr.txt").read_text()
    finally:
        cluster.shutdown()


def run(*words: str) -> None:
    """Run tgr; its table is not shown."""
    subprocess.run([*TGR, *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
