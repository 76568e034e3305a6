"""Where each artifact lies: the one place that knows file names."""

import re
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.errors import TgrError, did_you_mean

INITS = ("random", "template", "descriptions")  # what class embeddings are made of: a part of names
TENSORS = ("weight", "bias", "buffer")  # what campaigns strike beside neurons, in files of their own: a part of names
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def safe_name(name: str, what: str) -> str:
    """Return `name` where it can name a file within a folder; raises TgrError otherwise (a path that leaves it)."""
    if not SAFE.fullmatch(name):
        raise TgrError(f'{what} "{name}" cannot name a folder; use letters, digits, ".", "_", "+" and "-"')
    return name


def variant_name(name: str) -> str:
    """Return `name` where it can end the name of a run's folder; raises TgrError otherwise.

    It must not read as another part of that name: an initialisation, a seed (`s3`), or the eight hexadecimal digits
    of a model whose measurements are kept apart.
    """
    safe_name(name, "--variant")
    first, last = name.split("-")[0], name.split("-")[-1]
    if first in INITS or re.fullmatch(r"s\d+", first) or re.fullmatch("[0-9a-f]{8}", last):
        raise TgrError(
            f'--variant "{name}" reads as another part of a run\'s name (an initialisation, a seed as in s3, or a '
            "fingerprint); choose another word, as dropout or lr0.01"
        )
    return name


def slug(name: str) -> str:
    """Return a name for files made of `name`: whatever a file name cannot hold becomes "-"."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", name).strip("-.") or "unnamed"


def text_embeddings(embeddings: Path) -> Path:
    """Return where the embeddings of single texts lie: beside the class embeddings that were made of them."""
    return embeddings.with_name(f"{embeddings.stem}-all.parquet")


def of_target(path: Path, target: str) -> Path:
    """Return where a campaign's file lies that strikes `target`: at `path` for neurons, else beside it, so named."""
    return path if target == "neuron" else path.with_stem(f"{path.stem}-{target}")


def vulnerability_beside(injections: Path) -> Path:
    """Return where the `vulnerability` of these injections lies."""
    whole, _, target = injections.stem.partition("-")
    if whole == "injections" and (not target or target in TENSORS):
        return injections.with_name(injections.name.replace("injections", "vulnerability"))
    return injections.with_name(f"{injections.stem}-vulnerability.parquet")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one model's run: `<model>-<head>[-<init>][-s<seed>][-<variant>]`."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def card(self) -> Path:
        return self.path / "model.json"

    @property
    def checkpoint(self) -> Path:
        """Return the state of a training that has not ended."""
        return self.path / "checkpoint.pt"

    @property
    def last(self) -> Path:
        """Return the state at the end of the training that made the weights, to go on from with more epochs."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """Return the weights of the epoch that was best on the evaluation split; `weights` are the last epoch's."""
        return self.path / "best.safetensors"

    @property
    def training(self) -> Path:
        return self.path / "training.parquet"

    @property
    def golden(self) -> Path:
        return self.path / "golden.parquet"

    @property
    def ranges(self) -> Path:
        return self.path / "ranges.parquet"

    @property
    def plan(self) -> Path:
        return self.path / "plan.parquet"

    @property
    def injections(self) -> Path:
        return self.path / "injections.parquet"

    @property
    def vulnerability(self) -> Path:
        return self.path / "vulnerability.parquet"

    @property
    def exhaustive(self) -> Path:
        return self.path / "exhaustive.parquet"

    @property
    def saliency(self) -> Path:
        return self.path / "saliency.parquet"

    @property
    def measurements(self) -> tuple[Path, ...]:
        """Return the artifacts that tell of one model's weights."""
        struck = tuple(of_target(self.vulnerability, target) for target in TENSORS)
        return self.golden, self.ranges, self.injections, self.vulnerability, *struck, self.saliency

    def apart(self, fingerprint: str) -> "RunFolder":
        """Return the folder beside this one for a model of the same name with other weights."""
        return RunFolder(self.path.with_name(f"{self.name}-{fingerprint[:8]}"))


@dataclass(frozen=True)
class Workspace:
    """One data set's folder within the working folder: `<workdir>/<dataset>/`."""

    workdir: Path
    dataset: str

    def __post_init__(self) -> None:
        safe_name(self.dataset, "--name")

    @property
    def path(self) -> Path:
        return self.workdir / self.dataset

    @property
    def descriptions(self) -> Path:
        return self.path / "descriptions.parquet"

    def embeddings(self, init: str) -> Path:
        return self.path / f"embeddings-{init}.parquet"

    @property
    def sweep(self) -> Path:
        return self.path / "sweep.parquet"

    @property
    def comparison(self) -> Path:
        return self.path / "comparison.parquet"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def saliency(self) -> Path:
        """Return where maps of two models side by side lie; those of one alone lie in its run folder."""
        return self.path / "saliency.parquet"

    def run(
        self, model: str, head: str, init: str | None = None, seed: int = 0, variant: str | None = None
    ) -> RunFolder:
        """Return the run folder of a model with this head; seed 0 is not named."""
        parts = [slug(model), head, init, f"s{seed}" if seed else None, variant]
        return RunFolder(self.path / "-".join(part for part in parts if part))

    def runs(self, model: str) -> list[RunFolder]:
        """Return the run folders that hold a trained model of this name, sorted by name."""
        found = self.path.glob(f"{slug(model)}-*/model.json")
        return [RunFolder(card.parent) for card in sorted(found)]


def run_folder(workspace: Workspace, run: str) -> RunFolder:
    """Return the run folder of this name in the workspace, or at this path; raises TgrError where there is neither."""
    for path in (workspace.path / run, Path(run)):
        if path.is_dir():
            return RunFolder(path)
    known = sorted(folder.name for folder in workspace.path.glob("*/"))
    found = f"it holds {', '.join(known)}" if known else 'it holds none; run "tgr train" or "tgr evaluate" first'
    others = sorted(f.name for f in workspace.workdir.glob("*/") if f != workspace.path) if not known else []
    elsewhere = f", or choose one of {', '.join(others)} in {workspace.workdir} with --dataset or --name"
    raise TgrError(
        f'there is no run "{run}" in {workspace.path}; {found}{elsewhere * bool(others)}.{did_you_mean(run, known)}'
    )
