"""Preprocessing settings as data: defined by models, overridden by users. Does not import torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from operator import index
from typing import Any

from tgr_cli.errors import TgrError, one_of

INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "box", "hamming")
CROP_MODES = ("center", "pad", "squash", "border")
AUGMENTATIONS = ("none", "flip", "crop", "imagenet", "trivial")
MODES = {1: "L", 3: "RGB"}  # number of channels → Pillow's mode


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Preprocessing of an image into a network's input; part of the model card.

    `resize` is a side in pixels before the crop (None: no resizing), `crop` the side of the input in pixels, `mean` and
    `std` are per channel on the scale [0, 1]. `crop_mode`: `center` resizes the shorter side; `pad` does so too, and
    pads with black where the result is smaller than the crop; `squash` resizes both sides, ignoring the aspect ratio;
    `border` resizes the longer side and pads with the mean colour.
    """

    resize: int | None
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    channels: int = 3
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        if self.channels not in MODES:
            raise TgrError(f"images with {self.channels} channels are not supported; use 1 (grey) or 3 (RGB)")
        one_of("--crop-mode", self.crop_mode, CROP_MODES)
        if self.resize is None and self.crop_mode in ("squash", "border"):
            raise TgrError(f"crop mode {self.crop_mode} brings images to a size; give it with --resize")
        fills = self.crop_mode in ("pad", "border")
        if self.crop < 1 or (self.resize is not None and self.resize < (1 if fills else self.crop)):
            raise TgrError(
                f"a crop of {self.crop} pixels does not fit into images resized to {self.resize}; "
                "give --resize and --crop so that 1 ≤ crop ≤ resize"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise TgrError(f"--{name} has {len(values)} values for {self.channels} channels; give one a channel")
            if not all(math.isfinite(value) and (value > 0 or name == "mean") for value in values):
                raise TgrError(
                    f"--{name} is {_text(values)}, which cannot normalise; give finite numbers, --std above 0"
                )
        one_of("--interpolation", self.interpolation, INTERPOLATIONS)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of one input, (channels, height, width)."""
        return self.channels, self.crop, self.crop

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON-compatible dict."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: Any) -> "Preprocessing":
        """Return the settings written by `to_json`; raises TgrError if a field is missing, unknown or mistyped."""
        names = {field.name for field in fields(cls)}
        if isinstance(values, Mapping):
            values = {"crop_mode": "center", **values}  # files of earlier versions lack it
        if not isinstance(values, Mapping) or set(values) != names:
            raise TgrError(f"the preprocessing is {values!r}, where {', '.join(sorted(names))} are expected")
        try:
            return cls(
                resize=None if values["resize"] is None else index(values["resize"]),
                crop=index(values["crop"]),
                mean=tuple(float(value) for value in values["mean"]),
                std=tuple(float(value) for value in values["std"]),
                interpolation=str(values["interpolation"]),
                channels=index(values["channels"]),
                crop_mode=str(values["crop_mode"]),
            )
        except (TypeError, ValueError) as error:
            raise TgrError(f"the preprocessing is {dict(values)!r}, whose values are of another type") from error


@dataclass(frozen=True, kw_only=True)
class PreprocessingOptions:
    """The user's overrides of a model's preprocessing; None keeps the model's value."""

    resize: int | None = None
    crop: int | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None
    crop_mode: str | None = None

    def __post_init__(self) -> None:
        """Raise TgrError for what no model could take; the rest is told once the model's own values are known."""
        one_of("--interpolation", self.interpolation, INTERPOLATIONS)
        one_of("--crop-mode", self.crop_mode, CROP_MODES)
        for name, text in (("mean", self.mean), ("std", self.std)):
            if text is not None:
                _numbers(name, text)

    def override(self, pre: Preprocessing) -> Preprocessing:
        """Return `pre` with these overrides; raises TgrError for inconsistent values."""
        return Preprocessing(
            resize=pre.resize if self.resize is None else self.resize,
            crop=pre.crop if self.crop is None else self.crop,
            mean=pre.mean if self.mean is None else _numbers("mean", self.mean),
            std=pre.std if self.std is None else _numbers("std", self.std),
            interpolation=pre.interpolation if self.interpolation is None else self.interpolation,
            channels=pre.channels,
            crop_mode=pre.crop_mode if self.crop_mode is None else self.crop_mode,
        )


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise TgrError(f'--{name} is "{text}", not numbers; write them as 0.485,0.456,0.406') from error


def _text(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
