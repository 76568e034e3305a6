"""Which models tgr takes: timm's test models and one of every family of torchvision's classifiers, random weights.

    python benchmarks/model_coverage.py [--only NAME ...] [--out table.md]

Each model's sites are listed, and 8 faults a site injected into it, of which 8 run again through the oracle. Printed is
a table of model, sites, seconds (starting tgr included), and what came of it: "yes", or the sentence it ended with.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnext50_32x4d"),
    *("shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2"),
)
SIDE = {"inception_v3": 299}
FIXED = ("maxvit_t", "swin_t", "swin_v2_t", "vit_b_32")  # torchvision's that take 224 × 224 only


def names() -> list[str]:
    """Return the models that are tried."""
    import timm

    return [f"timm:{name}" for name in timm.list_models("test_*")] + [f"torchvision:{name}" for name in TORCHVISION]


def side(name: str) -> int:
    """Return the side of the images a model is shown: its own for timm's, which is small for the test models."""
    library, _, bare = name.partition(":")
    if library == "timm":
        import timm

        return int(timm.get_pretrained_cfg(bare).input_size[-1])
    return SIDE.get(bare, 224 if bare in FIXED else 96)


def ran(*arguments: str, seconds: int) -> tuple[int, str, str]:
    """Return exit code, stdout and last line of stderr of tgr with these arguments."""
    command = [sys.executable, "-m", "tgr_cli", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return 1, "", f"no end within {seconds} s"
    return done.returncode, done.stdout, (done.stderr.strip().splitlines() or [""])[-1]


def tried(name: str, seconds: int) -> tuple[int | str, float, str]:
    """Return the number of sites of a model, the seconds that it took, and what came of it."""
    start, size = time.perf_counter(), str(side(name))
    with tempfile.TemporaryDirectory() as folder:
        listing = ("sites", "--model", name, "--num-classes", "10", "--crop", size, "--json")
        code, out, last = ran(*listing, seconds=seconds)
        sites: int | str = len(json.loads(out)) if code == 0 else "-"
        if code == 0:
            code, out, last = ran(
                *("inject", "--model", name, "--weights", "none", "--dataset", "digits", "--resize", size, "--crop"),
                *(size, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--images", "4", "--label", "golden"),
                *("--limit", "none", "--injections", "8", "--verify", "8", "--sampling", "uniform"),
                *("--workdir", folder),
                seconds=seconds,
            )
    return sites, time.perf_counter() - start, "yes" if code == 0 else last.replace("|", "/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="models to try, as timm:test_vit; default all")
    parser.add_argument("--seconds", type=int, default=1200, help="at most so long a command")
    parser.add_argument("--out", type=Path, help="write the table there too")
    options = parser.parse_args()
    lines = ["| model | sites | seconds | verified |", "|---|---|---|---|"]
    print(*lines, sep="\n", flush=True)
    for name in options.only or names():
        sites, seconds, verified = tried(name, options.seconds)
        lines.append(f"| {name} | {sites} | {seconds:.1f} | {verified} |")
        print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
