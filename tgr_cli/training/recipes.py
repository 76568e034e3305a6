"""The recipes by name, which of them a model and a data set are trained by, and what the user's options make of one."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from tgr_cli.errors import TgrError, one_of
from tgr_cli.training.recipe import Recipe

FILE = Path(__file__).with_name("recipes.toml")
AUTO, NONE = "auto", "none"
BELONGS_TO = {  # a field → the field, and its value, that makes use of it
    "momentum": ("optimizer", "sgd"),
    "step_size": ("schedule", "step"),
    "gamma": ("schedule", "step"),
    "min_lr": ("schedule", "cosine"),
}


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(_tables())


def named(name: str) -> Recipe:
    """Return the recipe of this name (`none`: the defaults); raises TgrError for an unknown one."""
    if name == NONE:
        return Recipe()
    one_of("--recipe", name, (AUTO, NONE, *names()))
    return Recipe(**{key: value for key, value in _tables()[name].items() if key not in ("models", "datasets")})


def automatic(model: str, dataset: str) -> str:
    """Return the name of the recipe for this model, else for this data set; raises TgrError where there is neither.

    The model decides first, because the paper trained its backbones on every data set by the recipe of the backbone.
    """
    for kind, wanted in (("models", model), ("datasets", dataset)):
        for name, table in _tables().items():
            if wanted in table.get(kind, ()):
                return name
    raise TgrError(
        f"no recipe is known for {model} on {dataset}; name one with --recipe ({', '.join(names())}), or give its "
        f'options and "--recipe {NONE}"'
    )


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The recipe that is trained by, and for every field whether the `recipe`, an `option` or `scaling` set it.

    `notes` tells, in a sentence each, what was chosen for the user.
    """

    name: str
    recipe: Recipe
    origins: dict[str, str]
    notes: tuple[str, ...]


def resolve(
    wanted: str, model: str, dataset: str, given: Mapping[str, Any], *, processes: int = 1, cuda: bool = False
) -> Resolved:
    """Return the recipe `wanted` (auto: by model and data set) with the values that the user has `given` in it.

    Unless the user gives them, `lr` and `min_lr` scale linearly with the images a step of all processes together, and
    a recipe's mixed precision is for CUDA alone; so is batch norm over the images of all processes. Raises TgrError for
    a name or a value without meaning, and for one that the rest of the recipe makes no use of.
    """
    name = automatic(model, dataset) if wanted == AUTO else wanted
    base = named(name)
    origins = dict.fromkeys((field.name for field in fields(Recipe)), "default" if name == NONE else "recipe")
    values: dict[str, Any] = asdict(base) | dict(given)
    origins |= dict.fromkeys(given, "option")
    notes = [f'"--recipe {AUTO}" takes the recipe {name} for {model} on {dataset}'] if wanted == AUTO else []
    total = values["batch_size"] * processes
    if base.lr_batch not in (None, total):
        scaled = [key for key in ("lr", "min_lr") if key not in given and values[key]]
        values |= {key: values[key] * total / base.lr_batch for key in scaled}
        origins |= dict.fromkeys(scaled, "scaling")
        if scaled:
            what, key = ("learning rate", "lr") if "lr" in scaled else ("lowest learning rate", "min_lr")
            notes.append(
                f"the {what} of the recipe {name} is for {base.lr_batch:,} images a step; scaled linearly to "
                f"{total:,}, it is {values[key]:g}; set it with --{key.replace('_', '-')}"
            )
    if values["lr_batch"] is not None:
        values["lr_batch"], origins["lr_batch"] = total, "scaling" if total != base.lr_batch else "recipe"
    if values["amp"] != "none" and "amp" not in given and not cuda:
        notes.append(f"the recipe {name} computes in {values['amp']} on CUDA devices; here it is float32 (see --amp)")
        values["amp"], origins["amp"] = "none", "device"
    if values["sync_bn"] and processes > 1 and not cuda:
        notes.append("batch norm takes the images of each process for themselves: --sync-bn is for CUDA devices")
        values["sync_bn"], origins["sync_bn"] = False, "device"
    recipe = replace(base, **values)
    _refuse_without_effect(recipe, given)
    return Resolved(name=name, recipe=recipe, origins=origins, notes=tuple(notes))


def _refuse_without_effect(recipe: Recipe, given: Mapping[str, Any]) -> None:
    """Raise TgrError where the user has given what the rest of the recipe makes no use of."""
    for field, (chosen, wanted) in BELONGS_TO.items():
        if field in given and (found := getattr(recipe, chosen)) != wanted:
            raise TgrError(
                f'--{field.replace("_", "-")} has no meaning for --{chosen} {found}; use "--{chosen} {wanted}" or '
                "leave it out"
            )
    if "ema_every" in given and not recipe.ema_decay:
        raise TgrError("--ema-every has no meaning without --ema-decay; give the average's decay or leave it out")
