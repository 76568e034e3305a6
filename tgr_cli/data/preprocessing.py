"""How a picture is to become a network's input, as data: what models say and users override. Loads no torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from operator import index
from typing import Any

from tgr_cli.errors import TgrError, did_you_mean

INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "box", "hamming")
CROP_MODES = ("center", "pad", "squash", "border")
AUGMENTATIONS = ("none", "flip", "crop", "imagenet", "trivial")
MODES = {1: "L", 3: "RGB"}  # Pillow's name for images with so many channels


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes a network's input; part of the model card.

    `resize` is a side in pixels before the crop (None: as it is), `crop` the side of the input in pixels, `mean` and
    `std` are per channel on the scale [0, 1]. `crop_mode`: `center` resizes the shorter side; `pad` too, and may give
    less than the crop, with black around; `squash` resizes both sides, whatever their ratio; `border` resizes the
    longer side and puts the mean colour around what is missing.
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
        if self.crop_mode not in CROP_MODES:
            raise TgrError(
                f'crop mode "{self.crop_mode}" is unknown; use {", ".join(CROP_MODES)}.'
                + did_you_mean(self.crop_mode, CROP_MODES)
            )
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
        if self.interpolation not in INTERPOLATIONS:
            raise TgrError(
                f'interpolation "{self.interpolation}" is unknown; use {", ".join(INTERPOLATIONS)}.'
                + did_you_mean(self.interpolation, INTERPOLATIONS)
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of one input, (channels, height, width)."""
        return self.channels, self.crop, self.crop

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON can hold them."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: Any) -> "Preprocessing":
        """Return what `to_json` wrote; raises TgrError where a field is missing, unknown or of another type."""
        names = {field.name for field in fields(cls)}
        if isinstance(values, Mapping):
            values = {"crop_mode": "center", **values}  # files of earlier versions know no other
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
    """What the user gives to replace parts of a model's preprocessing; None keeps the model's."""

    resize: int | None = None
    crop: int | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: str | None = None
    crop_mode: str | None = None

    def override(self, pre: Preprocessing) -> Preprocessing:
        """Return `pre` with the given parts replaced; raises TgrError for values that do not fit together."""
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
