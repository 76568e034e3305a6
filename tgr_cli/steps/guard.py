"""Write a model that runs under guards: a run of its own, which every command takes as a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tgr_cli import defaults
from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import RunFolder, Workspace, variant_name
from tgr_cli.artifacts.schemas import ACTIVATION_RANGES, PROTECTION
from tgr_cli.campaign import runs
from tgr_cli.data.datasets import open_split
from tgr_cli.data.source import DataSource
from tgr_cli.data.transforms import PreprocessingOptions
from tgr_cli.errors import TgrError, one_of
from tgr_cli.guards import stored
from tgr_cli.guards.encoding import Encoding
from tgr_cli.guards.guard import guards_of, protect
from tgr_cli.guards.operations import BOUNDED, Operation, names_of, observed
from tgr_cli.guards.tensors import tensors_read
from tgr_cli.models import weights
from tgr_cli.models.card import ModelCard
from tgr_cli.models.loading import LoadedModel, load
from tgr_cli.models.source import ModelSource
from tgr_cli.protection.guarding import GUARDINGS, Making
from tgr_cli.reporting import SILENT, Reporter


@dataclass(frozen=True, kw_only=True)
class Config:
    """The model, the techniques, and what they are made from.

    `on_error` is what a failed check leads to (None: the technique's own). `ranges` is the `activation_ranges` artifact
    (None: the run's), `protection` the `protection` artifact with the chosen feature maps (None: the workspace's).
    `save_as` is the variant's name of the new run (None: the techniques).
    """

    data: DataSource
    preprocessing: PreprocessingOptions
    source: ModelSource
    technique: Sequence[str]
    on_error: str | None = None
    ranges: Path | None = None
    protection: Path | None = None
    save_as: str | None = None
    device: str = defaults.DEVICE
    workdir: Path = defaults.WORKDIR

    def __post_init__(self) -> None:
        if not self.technique:
            raise TgrError(f"no --technique is given; name at least one of {', '.join(GUARDINGS)}")
        for name in self.technique:
            one_of("--technique", name, GUARDINGS)
        if twice := [name for name in self.technique if list(self.technique).count(name) > 1]:
            raise TgrError(f"--technique {twice[0]} is given twice; give each once")
        for pair in (("ranger", "clip"), ("flr", "filr"), ("parity", "secded")):
            if set(pair) <= set(self.technique):
                raise TgrError(f"--technique {pair[0]} and {pair[1]} guard the same values; give one of them")
        one_of(
            "--on-error",
            self.on_error,
            dict.fromkeys(chain.from_iterable(guarding.answers for guarding in GUARDINGS.values())),
        )
        answering = {name: GUARDINGS[name].answers for name in self.technique if GUARDINGS[name].answers}
        if self.on_error and not answering:
            raise TgrError(
                f"--on-error says what a failed check leads to, and {', '.join(self.technique)} leaves no choice; "
                "leave it out"
            )
        for name, answers in answering.items():
            if self.on_error and self.on_error not in answers:
                raise TgrError(
                    f"--on-error is {self.on_error}, and {name} answers with {', '.join(answers)}; give one of them, "
                    "or leave it out"
                )
        for option, value, needed in (
            ("--ranges", self.ranges, any(GUARDINGS[name].needs_ranges for name in self.technique)),
            ("--protection", self.protection, any(GUARDINGS[name].needs_maps for name in self.technique)),
        ):
            if value is not None and not needed:
                raise TgrError(f"{option} is given, and {', '.join(self.technique)} does not use it; leave it out")
        if self.save_as is not None:
            variant_name(self.save_as)


@dataclass(frozen=True)
class Result:
    """The new run, its variant name, the run of the model without these guards, and the guards in a few words."""

    run: RunFolder
    variant: str
    unguarded: RunFolder
    guards: list[str]


def run(config: Config, reporter: Reporter = SILENT) -> Result:
    """Write the weights and the card of the guarded model into a run folder of its own."""
    workspace = Workspace(config.workdir, config.data.folder)
    classes = open_split(config.data, "eval", reporter).classes
    loaded = load(
        config.source,
        workspace,
        classes,
        preprocessing=config.preprocessing,
        device=config.device,
        reporter=reporter,
    )
    model = loaded.model
    if guards_of(model):
        raise TgrError(f"{loaded.name} is protected already; protect the model from which it was made")
    variant = "-".join([*([config.source.variant] if config.source.variant else []), *config.technique])
    variant = variant_name(config.save_as or variant)
    seed = config.source.train_seed or (ModelCard.read(loaded.run.card).seed if loaded.run.card.exists() else 0)
    folder = workspace.run(loaded.name, loaded.head, loaded.init, seed, variant)
    if folder.path.exists():
        raise TgrError(f"{folder.path} exists already; remove it, or name the new run with --save-as")
    example_1CHW = torch.zeros((1, *loaded.preprocessing.input_shape), device=config.device, dtype=weights.dtype(model))
    operations = _operations(model, example_1CHW)
    making = Making(
        operations,
        tensors_read(model, example_1CHW),
        model.state_dict().keys(),
        _ranges(config, loaded, operations),
        _maps(config, workspace, loaded),
        config.on_error,
    )
    scripted = (path for path, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule))
    if (path := next(scripted, None)) is not None:
        making.left_out.append(
            f'"{path or loaded.name}" is a scripted module, whose operations and tensors guards do not see'
        )
    guards = [GUARDINGS[name].make(making) for name in config.technique]
    for sentence in making.left_out:
        reporter.note(f"not guarded: {sentence}")
    for guard in guards:
        if isinstance(guard, Encoding) and guard.caution:
            reporter.note(guard.caution)
    protect(model, guards, example_1CHW)
    card = ModelCard(
        model=loaded.name,
        head=loaded.head,
        init=loaded.init,
        num_classes=loaded.num_classes,
        embedding_dim=None if loaded.head == "baseline" else int(model.get_parameter("head.weight").shape[1]),
        classes=tuple(classes),
        preprocessing=loaded.preprocessing,
        seed=seed,
        fingerprint=weights.fingerprint(model),
        params=loaded.params,
        variant=variant,
        protection=stored.to_json(guards),
    )
    _write(folder, card, model)
    return Result(folder, variant, loaded.run, [guard.summary for guard in guards])


def _operations(model: nn.Module, example_1CHW: torch.Tensor) -> list[tuple[str, Operation, torch.Tensor]]:
    seen: list[tuple[Operation, torch.Tensor]] = []
    with torch.no_grad(), observed(model, lambda operation, value: seen.append((operation, value))):
        model(example_1CHW)
    names = names_of([operation for operation, _ in seen])
    return [(name, operation, value) for name, (operation, value) in zip(names, seen, strict=True)]


def _ranges(
    config: Config, loaded: LoadedModel, operations: Sequence[tuple[str, Operation, torch.Tensor]]
) -> Mapping[str, tuple[str, float, float]] | None:
    if not any(GUARDINGS[name].needs_ranges for name in config.technique):
        return None
    artifact = store.read(config.ranges or loaded.run.activation_ranges, ACTIVATION_RANGES)
    if artifact.provenance.model != loaded.fingerprint:
        raise TgrError(
            f"{artifact.path} holds the ranges of another model (fingerprint {str(artifact.provenance.model)[:12]}, "
            f'this one has {loaded.fingerprint[:12]}); run "{ACTIVATION_RANGES.command}" for this one'
        )
    if differing := runs.otherwise_prepared(artifact, {"preprocessing": loaded.preprocessing.to_json()}):
        raise TgrError(
            f"{artifact.path} was made on images prepared with {differing} here; run "
            f'"{ACTIVATION_RANGES.command}" with the same preprocessing'
        )
    ranges = {row["operation"]: (row["function"], row["min"], row["max"]) for row in artifact.table.to_pylist()}
    if missing := [name for name, operation, _ in operations if operation.kind in BOUNDED and name not in ranges]:
        raise TgrError(f'{artifact.path} has no range of "{missing[0]}"; run "{ACTIVATION_RANGES.command}" again')
    return ranges


def _maps(config: Config, workspace: Workspace, loaded: LoadedModel) -> Mapping[str, Sequence[int]] | None:
    """Return the feature maps that `tgr protect` chose for this model; raises TgrError unless it chose one set."""
    wanted = [name for name in config.technique if GUARDINGS[name].needs_maps]
    if not wanted:
        return None
    artifact = store.read(config.protection or workspace.protection, PROTECTION)
    every: list[dict[str, Any]] = artifact.fact("chosen")
    own = loaded.run.name
    same = [each for each in every if each["fingerprint"] == loaded.fingerprint]
    chosen = [each for each in same if each["technique"] in wanted]
    if len(chosen) != 1:
        found = ", ".join(_called(each) for each in every if each["maps"] is not None) or "none"
        raise TgrError(
            f"{artifact.path} holds {len(chosen)} sets of feature maps that {' or '.join(wanted)} chose for {own}, "
            f'where one is expected (it has {found}); run "tgr protect" on one campaign of {own} with one --technique '
            "and --order"
        )
    maps: Mapping[str, Sequence[int]] = chosen[0]["maps"]
    if not any(maps.values()):
        raise TgrError(
            f"{artifact.path}: {_called(chosen[0])} has no feature map, so nothing is to be computed twice; run "
            '"tgr protect" with --technique flr, or with a higher --target-coverage'
        )
    return maps


def _called(chosen: Mapping[str, Any]) -> str:
    return f"{chosen['model']} {chosen['technique']} by {chosen['order']}"


def _write(folder: RunFolder, card: ModelCard, model: nn.Module) -> None:
    """Write weights and card; the card, by which a run is found, comes last."""
    folder.path.mkdir(parents=True)
    try:
        weights.save(model, folder.weights)
        card.write(folder.card)
    except BaseException:
        for path in (folder.weights, folder.card):
            path.unlink(missing_ok=True)
        folder.path.rmdir()
        raise
