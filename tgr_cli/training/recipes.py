"""Recipes by name, the default recipe of a model or data set, and the resolution of the user's overrides."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from tgr_cli.errors import TgrError, one_of
from tgr_cli.models.names import NAMES
from tgr_cli.training.recipe import Recipe

FILE = Path(__file__).with_name("recipes.toml")
AUTO, NONE = "auto", "none"
BELONGS_TO = {  # field → the field and the value that it depends on
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
    """Return the recipe `name` (`none`: the defaults); raises TgrError for an unknown one."""
    if name == NONE:
        return Recipe()
    one_of("--recipe", name, (AUTO, NONE, *names()))
    return Recipe(**{key: value for key, value in _tables()[name].items() if key not in ("models", "datasets")})


def automatic(model: str, dataset: str) -> str:
    """Return the recipe name of this model, else of this data set; raises TgrError if neither has one.

    The model takes precedence: the paper trained each backbone with its own recipe on every data set.
    """
    for kind, wanted in (("models", model), ("datasets", dataset)):
        for name, table in _tables().items():
            if any(_names(written, wanted) for written in table.get(kind, ())):
                return name
    raise TgrError(
        f"no recipe is known for {model} on {dataset}; name one with --recipe ({', '.join(names())}), or give its "
        f'options and "--recipe {NONE}"'
    )


def _names(written: str, wanted: str) -> bool:
    """Return whether a name in the table means `wanted`; `lenet5*` means all models of the zoo that begin so."""
    return wanted == written or (wanted in NAMES and fnmatchcase(wanted, written))


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The recipe to train with, and for each field whether the `recipe`, an `option` or `scaling` set it.

    `notes` says what was chosen automatically, one sentence each.
    """

    name: str
    recipe: Recipe
    origins: dict[str, str]
    notes: tuple[str, ...]


def resolve(
    wanted: str, model: str, dataset: str, given: Mapping[str, Any], *, processes: int = 1, cuda: bool = False
) -> Resolved:
    """Return the recipe `wanted` (auto: by model and data set) with the values in `given`.

    Unless given, `lr` and `min_lr` scale linearly with the total images per step, and a recipe's mixed precision and
    synchronised batch norm apply on CUDA only. Raises TgrError for an unknown recipe, an invalid value, and a value
    that has no effect with the rest of the recipe.
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
    """Raise TgrError for a given value that has no effect with the rest of the recipe."""
    for field, (chosen, wanted) in BELONGS_TO.items():
        if field in given and (found := getattr(recipe, chosen)) != wanted:
            raise TgrError(
                f'--{field.replace("_", "-")} has no meaning for --{chosen} {found}; use "--{chosen} {wanted}" or '
                "leave it out"
            )
    if "ema_every" in given and not recipe.ema_decay:
        raise TgrError("--ema-every has no meaning without --ema-decay; give the average's decay or leave it out")
