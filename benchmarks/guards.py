"""Print what the guards of a protected model cost in time, beside multiply-accumulates, and their false alarms.

python benchmarks/guards.py --model resnet20 --checkpoint FILE --dataset cifar10 [--eval-data FILE] [--mean …] [--std …]
    [--images 256] [--runs 200] [--inferences 100000] [--batch-size 100]

Each technique guards all that it can, duplication every second channel of the convolutions. Timed is one image on one
thread, in seconds of the processor, which other work on the machine disturbs less than the clock's; the plain model and
the guarded ones take turns, starting with another one in each round. Printed is the median over the rounds of the
guarded model's seconds over the plain one's in the same round. False alarms are counted with all
checks attached at once, the answer being to flag: images with NaN for a logit, and images with any other logit than
the plain model's. The images are taken again and again until there are as many inferences as asked for.
"""

import argparse
import copy
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from tgr_cli.campaign.subject import Subject
from tgr_cli.data.source import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.guards import checksum, encoding, voting
from tgr_cli.guards.bounds import Bounds
from tgr_cli.guards.checksum import Checksum
from tgr_cli.guards.duplication import Duplication
from tgr_cli.guards.encoding import Encoding
from tgr_cli.guards.guard import Guard, protect
from tgr_cli.guards.operations import BOUNDED, CONVOLUTIONS, WEIGHTED, Operation, names_of, observed
from tgr_cli.guards.tensors import tensors_read
from tgr_cli.guards.voting import Voting
from tgr_cli.models.source import ModelSource
from tgr_cli.reporting import SILENT
from tgr_cli.steps.evaluate import Config

Seen = list[tuple[str, Operation, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "dataset"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("checkpoint", "eval-data"):
        parser.add_argument(f"--{name}", type=Path)
    for name in ("mean", "std"):
        parser.add_argument(f"--{name}")
    for name, default in (("images", 256), ("runs", 200), ("inferences", 100_000), ("batch-size", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = Config(
        data=DataSource(dataset=options.dataset, eval_data=options.eval_data),
        preprocessing=PreprocessingOptions(mean=options.mean, std=options.std),
        source=ModelSource(model=options.model, checkpoint=options.checkpoint),
        images=options.images,
        batch_size=options.batch_size,
    )
    subject = Subject.open(config, SILENT)
    x_BCHW = torch.cat(list(subject.batches()))
    with torch.inference_mode():
        report(subject.loaded.model, x_BCHW, torch.tensor(subject.images.labels), options)


def report(plain: nn.Module, x_BCHW: Tensor, labels_B: Tensor, options: argparse.Namespace) -> None:
    guards = every_guard(plain, x_BCHW)
    seen, macs = operations(plain, x_BCHW[:1]), macs_of(plain, x_BCHW[:1])
    extra = extra_macs(seen, macs, guards)
    print(f"{options.model}, {len(x_BCHW)} images, {sum(macs.values()):,} multiply-accumulates an image")
    models = {name: guarded(plain, [guard], x_BCHW[:1]) for name, guard in guards.items()}
    ratios, seconds = timed(plain, models, x_BCHW, options.runs)
    print(f"plain: {seconds * 1e3:.2f} ms an image (median of {options.runs})")
    for name, ratio in ratios.items():
        beside = f"{1 + extra[name] / sum(macs.values()):.3f} times the multiply-accumulates"
        print(f"{name}: {ratio:.2f} times the time, {beside}", flush=True)
    tensors = [tensor for tensor in tensors_read(plain, x_BCHW[:1]).values() if tensor.is_floating_point()]
    stored = sum(tensor.nbytes for tensor in tensors)
    memory = sum(encoding.extra_bytes(tensor, "secded") for tensor in tensors) / stored
    print(f"secded stores {memory:.3f} of {stored:,} bytes in {len(tensors)} tensors beside them, parity nothing")
    encoded = guarded(plain, [guards["parity"]], x_BCHW[:1])
    correct = [
        [int((model(x).argmax(1) == y).sum()) for x, y in batched(x_BCHW, labels_B, options.batch_size)]
        for model in (plain, encoded)
    ]
    print(f"right: {sum(correct[0])} of {len(x_BCHW)} by the plain tensors, {sum(correct[1])} by those with parity")
    alarms(plain, guards, x_BCHW, options)


def alarms(plain: nn.Module, guards: Mapping[str, Guard], x_BCHW: Tensor, options: argparse.Namespace) -> None:
    """Print how many inferences without a fault were flagged, or gave other logits than without guards."""
    together = guarded(plain, [guard for name, guard in guards.items() if name != "parity"], x_BCHW[:1])
    flagged = other = done = 0
    while done < options.inferences:
        for start in range(0, len(x_BCHW), options.batch_size):
            x = x_BCHW[start : start + options.batch_size]
            # Other values in every round: the images, moved and scaled a little.
            x = x * (1 + 1e-3 * (done // len(x_BCHW))) if done else x
            expected, found = plain(x), together(x)
            flagged += int(found.isnan().any(dim=1).sum())
            other += int((found != expected).any(dim=1).sum())
            done += len(x)
    print(f"{done:,} inferences: {flagged} flagged, {other} with other logits")


def every_guard(model: nn.Module, x_BCHW: Tensor) -> dict[str, Guard]:
    """Return a guard of each technique over all that it can guard; bounds are those of these images, and wide."""
    seen = operations(model, x_BCHW)
    stored = tuple(name for name, tensor in tensors_read(model, x_BCHW).items() if tensor.is_floating_point())
    weighted = tuple(name for name, operation, _ in seen if operation.kind in WEIGHTED)
    channels = {n: tuple(range(0, v.shape[1], 2)) for n, operation, v in seen if operation.called in CONVOLUTIONS}
    ranges = {n: (2 * float(v.min()) - 1, 2 * float(v.max()) + 1) for n, o, v in seen if o.kind in BOUNDED}
    return {
        "duplication": Duplication(channels, "flag"),
        "bounds": Bounds(ranges),
        "checksum": Checksum(weighted, "flag"),
        "secded": Encoding(stored, "secded", "flag"),
        "parity": Encoding(stored, "parity", "flag"),
        "voting": Voting(weighted[-1:]),
    }


def guarded(plain: nn.Module, guards: Sequence[Guard], x_1CHW: Tensor) -> nn.Module:
    model = copy.deepcopy(plain)
    if any(isinstance(guard, Encoding) and guard.code == "parity" for guard in guards):
        for tensor in tensors_read(model, x_1CHW).values():
            tensor.data = encoding.encoded(tensor, "parity")
    return protect(model, guards, x_1CHW)


def operations(model: nn.Module, x_BCHW: Tensor) -> Seen:
    seen: list[tuple[Operation, Tensor]] = []
    with observed(model, lambda operation, value: seen.append((operation, value.clone()))):
        model(x_BCHW)
    names = names_of([operation for operation, _ in seen])
    return [(name, operation, value) for name, (operation, value) in zip(names, seen, strict=True)]


def macs_of(model: nn.Module, x_1CHW: Tensor) -> dict[str, int]:
    """Return the multiply-accumulates of one image, by operation."""
    return {
        name: value.numel() * operation.argument(1, "weight")[0].numel()
        for name, operation, value in operations(model, x_1CHW)
        if operation.kind in WEIGHTED
    }


def extra_macs(seen: Seen, macs: Mapping[str, int], guards: Mapping[str, Guard]) -> dict[str, int]:
    """Return the multiply-accumulates of the guards themselves."""
    extra = dict.fromkeys(guards, 0)
    for name, operation, _ in seen:
        if operation.kind in WEIGHTED:
            channels = len(operation.argument(1, "weight"))
            groups = operation.argument(6, "groups", 1) if operation.kind == "conv" else 1
            chosen = len(guards["duplication"].operations.get(name, ()))
            extra["duplication"] += macs[name] * chosen // channels
            extra["checksum"] += checksum.extra_macs(macs[name], channels, groups)
    extra["voting"] = sum(voting.extra_macs(macs[name]) for name in guards["voting"].operations)
    return extra


def timed(
    plain: nn.Module, models: Mapping[str, nn.Module], x_BCHW: Tensor, runs: int
) -> tuple[dict[str, float], float]:
    """Return the median ratio of each model's seconds to the plain one's, and the median of the latter."""
    turns = [("", plain), *models.items()]
    taken: dict[str, list[float]] = {name: [] for name, _ in turns}
    for run in range(-2, runs):  # the first two choose kernels
        x = x_BCHW[run % len(x_BCHW)][None]
        for name, model in turns[run % len(turns) :] + turns[: run % len(turns)]:
            start = time.process_time()
            model(x)
            if run >= 0:
                taken[name].append(time.process_time() - start)
    base = taken.pop("")
    return {name: median(o / t for o, t in zip(own, base, strict=True)) for name, own in taken.items()}, median(base)


def batched(x_BCHW: Tensor, labels_B: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x_BCHW.split(size), labels_B.split(size), strict=True))


if __name__ == "__main__":
    main()
