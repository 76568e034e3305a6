"""The paths of all artifacts; no other module defines file names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.paths import place, real

INITS = ("random", "template", "descriptions")  # sources of class embeddings, part of names
TENSORS = ("weight", "bias", "buffer")  # targets of campaigns other than neurons, part of the names of their files
SUFFIX = ".parquet"
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def safe_name(name: str, what: str) -> str:
    """Return `name` if it is a valid name for a folder; raises TgrError otherwise, for example for a path."""
    if not SAFE.fullmatch(name):
        raise TgrError(f'{what} "{name}" cannot name a folder; use letters, digits, ".", "_", "+" and "-"')
    return name


def variant_name(name: str) -> str:
    """Return `name` if it can be the last part of a run's name; raises TgrError otherwise.

    It must not be mistaken for another part: an initialisation, a seed (`s3`), or the eight hexadecimal digits of a
    fingerprint, which separates models of the same name.
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
    """Return `name` with every character that is not allowed in file names replaced by "-"."""
    return re.sub(r"[^A-Za-z0-9._+]+", "-", name).strip("-.") or "unnamed"


def text_embeddings(embeddings: Path) -> Path:
    """Return the path of the embeddings of single texts, beside the class embeddings computed from them."""
    return embeddings.with_name(f"{embeddings.stem}-all.parquet")


def of_target(path: Path, target: str) -> Path:
    """Return the path of a campaign's file: `path` for neurons, with the target appended to the stem otherwise."""
    return path if target == "neuron" else path.with_stem(f"{path.stem}-{target}")


def of_format(path: Path, form: str | None, weight_form: str | None) -> Path:
    """Return the path of a file of a model deployed in number formats: their names are appended to the stem.

    `form` is that of the layers' outputs and `weight_form` that of the weights; `path` itself where both are None.
    """
    return _with_suffix(path, formats_in_names(form, weight_form))


def deployed_name(folder: str, form: str | None, weight_form: str | None) -> str:
    """Return the name of a model's measurement in number formats; the name of its folder may have dots.

    >>> deployed_name("onnx-net.onnx-baseline", "int8", None)
    'onnx-net.onnx-baseline-int8'
    """
    return "-".join(filter(None, (Path(folder).name, formats_in_names(form, weight_form))))


def formats_in_names(form: str | None, weight_form: str | None) -> str:
    """Return how names of files and runs spell the formats that a model is deployed in; "" for a model as it is.

    >>> formats_in_names("int8", "int8:channel")
    'int8-weights-int8-channel'
    """
    parts = [slug(form)] if form else []
    return "-".join([*parts, "weights", slug(weight_form)] if weight_form else parts)


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_stem(f"{path.stem}-{suffix}") if suffix else path


def vulnerability_beside(injections: Path) -> Path:
    """Return the path of the `vulnerability` that belongs to these injections."""
    return _beside(injections, "vulnerability")


def feature_maps_beside(injections: Path) -> Path:
    """Return the path of the `feature_maps` that belong to these injections."""
    return _beside(injections, "feature_maps")


def refuse_suffix(path: Path | None) -> None:
    """Raise TgrError for the output of a campaign that is not called *.parquet.

    Files and folders beside it are named by what is before the suffix, so a.parquet and a.x would share them.
    """
    if path is not None and path.suffix != SUFFIX:
        raise TgrError(f"--out {path} does not end in {SUFFIX}, as the file of a campaign does; write {path}{SUFFIX}")


def parts_beside(output: Path) -> Path:
    """Return the folder of the finished parts of a campaign with this output."""
    return output.with_name(f"{output.stem}.parts")


def _beside(injections: Path, kind: str) -> Path:
    if injections.stem.split("-")[0] == "injections" and not re.search(r"-\d+-of-\d+$", injections.stem):
        return injections.with_name(injections.name.replace("injections", kind))
    return injections.with_name(f"{injections.stem}-{kind}.parquet")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one model's run, `<model>-<head>[-<init>][-s<seed>][-<variant>]`, and one of its measurements.

    A folder has measurements of the model as it is and of its deployments: `formats` is how file names spell the number
    formats (`formats_in_names`). Each has campaigns of several targets. The paths are those of this measurement.
    """

    path: Path
    target: str = "neuron"
    formats: str = ""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def called(self) -> str:
        """Return the name of the measurement, such as `resnet20-baseline-int8`, wherever the path starts."""
        measured = (self.target if self.target != "neuron" else "", self.formats)
        return "-".join(filter(None, (real(self.path).name, *measured)))  # the name may have dots, which end no stem

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def card(self) -> Path:
        return self.path / "model.json"

    @property
    def checkpoint(self) -> Path:
        """Return the path of the checkpoint of an unfinished training."""
        return self.path / "checkpoint.pt"

    @property
    def last(self) -> Path:
        """Return the path of the state at the end of training, from which more epochs can be trained."""
        return self.path / "last.pt"

    @property
    def best(self) -> Path:
        """Return the path of the weights of the best epoch on the evaluation split; `weights` are of the last epoch."""
        return self.path / "best.safetensors"

    @property
    def training(self) -> Path:
        return self.path / "training.parquet"

    @property
    def golden(self) -> Path:
        return self._measured(self.path / "golden.parquet")

    @property
    def ranges(self) -> Path:
        return self._measured(self.path / "ranges.parquet")

    @property
    def activation_ranges(self) -> Path:
        return self.path / "activation_ranges.parquet"

    @property
    def plan(self) -> Path:
        return self._measured(of_target(self.path / "plan.parquet", self.target))

    @property
    def injections(self) -> Path:
        return self._measured(of_target(self.path / "injections.parquet", self.target))

    @property
    def vulnerability(self) -> Path:
        return self._measured(of_target(self.path / "vulnerability.parquet", self.target))

    @property
    def feature_maps(self) -> Path:
        return self._measured(of_target(self.path / "feature_maps.parquet", self.target))

    @property
    def surface(self) -> Path:
        return self.path / "surface.parquet"

    @property
    def exhaustive(self) -> Path:
        return self.path / "exhaustive.parquet"

    @property
    def saliency(self) -> Path:
        return self.path / "saliency.parquet"

    @property
    def measurements(self) -> tuple[Path, ...]:
        """Return the paths of the artifacts that depend on the model's weights, of deployed models where they exist."""
        struck = tuple(of_target(self.vulnerability, target) for target in TENSORS)
        whole = (self.golden, self.ranges, self.injections, self.vulnerability, self.feature_maps, self.saliency)
        deployed = (found for path in whole for found in sorted(self.path.glob(f"{path.stem}-*{path.suffix}")))
        return *whole[:-1], *struck, self.saliency, *(path for path in deployed if path not in struck)

    def _measured(self, path: Path) -> Path:
        return _with_suffix(path, self.formats)

    def apart(self, fingerprint: str) -> "RunFolder":
        """Return the folder beside this one for a model of the same name with other weights."""
        return RunFolder(self.path.with_name(f"{self.name}-{fingerprint[:8]}"))


@dataclass(frozen=True)
class Workspace:
    """The folder of one data set within the working folder: `<workdir>/<dataset>/`."""

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
    def fit(self) -> Path:
        return self.path / "fit.parquet"

    @property
    def protection(self) -> Path:
        return self.path / "protection.parquet"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def saliency(self) -> Path:
        """Return the path of the maps of two models; those of a single model are in its run folder."""
        return self.path / "saliency.parquet"

    def run(
        self, model: str, head: str, init: str | None = None, seed: int = 0, variant: str | None = None
    ) -> RunFolder:
        """Return the run folder of a model with this head; seed 0 is not part of the name."""
        parts = [slug(model), head, init, f"s{seed}" if seed else None, variant]
        return RunFolder(self.path / "-".join(part for part in parts if part))

    def runs(self, model: str) -> list[RunFolder]:
        """Return the run folders with a trained model of this name, sorted by name."""
        found = self.path.glob(f"{slug(model)}-*/model.json")
        return [RunFolder(card.parent) for card in sorted(found)]


def run_folder(workspace: Workspace, run: str) -> RunFolder:
    """Return the run folder `run` in the workspace or, as a path, anywhere; raises TgrError if there is neither."""
    for path in (workspace.path / run, place(run)):
        if path.is_dir():
            return RunFolder(path)
    raise no_such_run(workspace, run)


def no_such_run(workspace: Workspace, run: str, others: Sequence[str] = ()) -> TgrError:
    """Return the error that there is no run of this name; `others` are names, besides those of folders, to offer."""
    known = sorted([*(folder.name for folder in workspace.path.glob("*/")), *others])
    found = f"it holds {', '.join(known)}" if known else 'it holds none; run "tgr train" or "tgr evaluate" first'
    elsewhere = sorted(f.name for f in workspace.workdir.glob("*/") if f != workspace.path) if not known else []
    listed = f", or choose one of {', '.join(elsewhere)} in {workspace.workdir} with --dataset or --name"
    return TgrError(
        f'there is no run "{run}" in {workspace.path}; {found}{listed * bool(elsewhere)}.{did_you_mean(run, known)}'
    )
