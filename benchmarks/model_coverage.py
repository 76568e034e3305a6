"""Find the models that tgr supports: timm's test models and one of every family of torchvision's classifiers.

    python benchmarks/model_coverage.py [--only NAME ...] [--out table.md]

Weights are random. For each model its sites are listed, 8 faults are injected per site, and 8 of all faults are
verified with the reference engine. The table has model, sites, seconds, and "yes" or the error message. Models already
in the file of `--out` are skipped, so that an interrupted run can be resumed.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

TORCHVISION = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnext50_32x4d"),
    *("shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2"),
)
SIDE = {"inception_v3": 299}
FIXED = ("maxvit_t", "swin_t", "swin_v2_t", "vit_b_32")  # torchvision models that accept 224 × 224 only
HEAD = ["| model | sites | seconds | verified |", "|---|---|---|---|"]


def names() -> list[str]:
    """Return the names of the models to try."""
    import timm

    return [f"timm:{name}" for name in timm.list_models("test_*")] + [f"torchvision:{name}" for name in TORCHVISION]


def side(name: str) -> int:
    """Return the side of a model's input images in pixels; timm's test models define small ones."""
    library, _, bare = name.partition(":")
    if library == "timm":
        import timm

        return int(timm.get_pretrained_cfg(bare).input_size[-1])
    return SIDE.get(bare, 224 if bare in FIXED else 96)


def ran(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and last line of stderr of tgr with these arguments."""
    from tgr_cli.app import main

    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["tgr", *arguments]):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except Exception as error:  # not a TgrError: report the last line of the traceback
            return 1, "", f"{type(error).__name__}: {error}"
    return code, out.getvalue(), (err.getvalue().strip().splitlines() or [""])[-1]


def trial(name: str, to: Connection) -> None:
    """Send the number of sites of a model, and the result of injecting into it."""
    size = str(side(name))
    code, out, last = ran("sites", "--model", name, "--num-classes", "10", "--crop", size, "--json")
    sites: int | str = len(json.loads(out)) if code == 0 else "-"
    if code == 0:
        with tempfile.TemporaryDirectory() as folder:
            code, out, last = ran(
                *("inject", "--model", name, "--weights", "none", "--dataset", "digits", "--resize", size, "--crop"),
                *(size, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--images", "4", "--label", "golden"),
                *("--limit", "none", "--injections", "8", "--verify", "8", "--sampling", "uniform", "--batch-size"),
                *("4", "--workdir", folder),
            )
    to.send((sites, "yes" if code == 0 else last.replace("|", "/")))


def tried(name: str, seconds: int) -> str:
    """Return a model's row of the table, tried in a separate process with a time limit in seconds."""
    start, context = time.perf_counter(), multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=trial, args=(name, sender))
    process.start()
    sender.close()
    try:
        sites, verified = receiver.recv() if receiver.poll(seconds) else ("-", f"no end within {seconds} s")
    except EOFError:
        sites, verified = "-", "the process died"
    process.kill()
    process.join()
    return f"| {name} | {sites} | {time.perf_counter() - start:.1f} | {verified} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="models to try, as timm:test_vit; default all")
    parser.add_argument("--seconds", type=int, default=1200, help="at most so long a model")
    parser.add_argument("--out", type=Path, help="write the table there too, as it grows")
    options = parser.parse_args()
    multiprocessing.set_forkserver_preload(["timm", "torchvision", "tgr_cli.app"])
    lines = options.out.read_text().splitlines() if options.out is not None and options.out.exists() else HEAD
    print(*lines, sep="\n", flush=True)
    known = {line.split("|")[1].strip() for line in lines}
    for name in options.only or names():
        if name in known:
            continue
        lines = [*lines, tried(name, options.seconds)]
        print(lines[-1], flush=True)
        if options.out is not None:
            options.out.write_text("\n".join(lines) + "\n")
    if any(not line.endswith(" yes |") for line in lines[len(HEAD) :]):
        sys.exit("some models were not taken")


if __name__ == "__main__":
    main()
