"""What guards catch of faults in float32: a model and its guarded variants under the same faults, by tgr's commands.

python guarded_models.py TECHNIQUE [TECHNIQUE ...] [--injections N] [--images N] [--weight-faults] -- MODEL'S OPTIONS

The options are those by which `tgr evaluate`, `tgr inject` and `tgr guard` name a model and its images. Prints a row a
technique: accuracy on the images, SDC rate and rate of non-finite outcomes over sites alike, the factor by which the
guard lowers the SDC rate, and the coverage of SDCs, 1 - 1 / factor, with the comparison's interval. Without a range
limit: the guards are all that holds a faulty value back. Work and time are those of benchmarks/guards.py.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

FROM_THE_CARD = ("--checkpoint", "--checkpoint-key", "--weights", "--mean", "--std", "--crop", "--resize")


def tgr(*arguments: object) -> Any:
    command = ["tgr", *map(str, arguments), "--quiet", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def without(options: list[str], names: tuple[str, ...]) -> list[str]:
    """Return options, each with one value, without those of these names."""
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for name, value in pairs if name not in names for part in (name, value)]


def of(options: list[str], *names: str) -> list[str]:
    return without(options, tuple(set(options[::2]) - set(names)))


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("techniques", nargs="+")
    parser.add_argument("--injections", type=int, default=300)
    parser.add_argument("--images", type=int, help="images to evaluate and to strike (default: all)")
    parser.add_argument("--weight-faults", action="store_true")
    split = sys.argv.index("--")
    given, model = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    campaign = ["--injections", given.injections, "--limit", "none", "--restart"]
    campaign += ["--target", "weight"] if given.weight_faults else []
    images = [] if given.images is None else ["--images", given.images]

    def measured(options: list[str]) -> tuple[str, dict[str, Any]]:
        run = tgr("evaluate", *options, *images)["run"]
        return run, tgr("inject", *options, *images, *campaign)["network"]

    plain, figures = measured(model)
    print("| model | top-1 (%) | SDC rate (%) | non-finite (%) | lower by (×) | coverage (%) |")
    print("|---|---|---|---|---|---|")
    where = of(model, "--dataset", "--name", "--workdir")
    for number, technique in enumerate(given.techniques):
        if technique in ("ranger", "clip"):
            profiled = ("--after-activations", *(["--images", given.images] if given.images else []))
            tgr("profile-ranges", *model, *profiled)
        tgr("guard", *model, "--technique", technique)
        run, guarded = measured([*without(model, FROM_THE_CARD), "--variant", technique])
        ending = "-weight" if given.weight_faults else ""
        rows = tgr("compare", plain + ending, run + ending, *where)["rows"]
        row = next(each for each in rows if each["images"] == "own")
        if not number:
            rate = f"{percent(figures['sdc_rate']['mean'])} ({limits(figures['sdc_rate'])})"
            non_finite = percent(figures["failure_rate"]["mean"] - figures["sdc_rate"]["mean"])
            print(f"| {plain} | {percent(row['accuracy_baseline'])} | {rate} | {non_finite} | | |")
        rate = f"{percent(guarded['sdc_rate']['mean'])} ({limits(guarded['sdc_rate'])})"
        non_finite = percent(guarded["failure_rate"]["mean"] - guarded["sdc_rate"]["mean"])
        factors = [row[f"sdc_overall{end}"] for end in ("", "_low", "_high")]
        lower = " ".join("-" if factor is None else f"{factor:.2f}" for factor in factors)
        covered = " ".join(percent(None if not factor else 1 - 1 / factor) for factor in factors)
        accuracy = percent(row["accuracy_candidate"])
        print(f"| {technique} | {accuracy} | {rate} | {non_finite} | {lower} | {covered} |", flush=True)


def limits(figure: dict[str, float]) -> str:
    return f"{percent(figure['low'])} to {percent(figure['high'])}"


if __name__ == "__main__":
    main()
