"""timm models, by name or from a repository of the Hugging Face hub."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from tgr_cli.data.transforms import Preprocessing
from tgr_cli.errors import TgrError, did_you_mean
from tgr_cli.models.entry import Architecture, Pretrained
from tgr_cli.models.fetching import fetching, hugging_face

# timm is imported inside the functions: it takes half a second, which most commands do not need to spend.


@final
@dataclass(frozen=True)
class Timm(Architecture):
    """`timm.create_model(name)`; `name` may include a pretrained tag, such as resnet18.a1_in1k."""

    name: str

    def build(self, num_classes: int) -> nn.Module:
        import timm

        return timm.create_model(self.name, num_classes=num_classes)

    def preprocessing(self) -> Preprocessing:
        return _preprocessing(self._config(self.name))

    def offer(self, tag: str) -> Pretrained:
        import timm

        architecture = self.name.split(".")[0]
        tags = [name.partition(".")[2] for name in timm.list_pretrained(architecture)]
        if not tags:
            raise TgrError(f"timm has no pretrained weights for {self.name}; give --checkpoint FILE or --weights none")
        if tag != "DEFAULT" and tag not in tags:
            raise TgrError(
                f'timm has no weights "{tag}" for {architecture}; it has {", ".join(tags)}, or take --weights none'
            )
        config = self._config(self.name if tag == "DEFAULT" else f"{architecture}.{tag}")
        return Pretrained(
            tag=config["tag"] or "DEFAULT", num_classes=config["num_classes"], preprocessing=_preprocessing(config)
        )

    def fetch(self, offered: Pretrained) -> nn.Module:
        import timm

        name = self.name if offered.tag == "DEFAULT" else f"{self.name.split('.')[0]}.{offered.tag}"
        with fetching(f"timm's weights {name}"), hugging_face():
            return timm.create_model(name, pretrained=True)

    @staticmethod
    def _config(name: str) -> Mapping[str, Any]:
        import timm

        return timm.get_pretrained_cfg(name).to_dict()


def named(name: str) -> Timm:
    """Return the timm model of this name; raises TgrError where timm has no such architecture or tag."""
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise TgrError(
            f'timm has no model "{architecture}"; timm.list_models() lists them.'
            + did_you_mean(architecture, timm.list_models())
        )
    if tag and name not in timm.list_pretrained(architecture):
        raise TgrError(
            f'timm has no weights "{tag}" for {architecture}; timm.list_pretrained("{architecture}") lists them'
        )
    return Timm(name)


@final
@dataclass(frozen=True)
class HuggingFace(Architecture):
    """A timm model in a Hugging Face hub repository, which holds both the architecture and the weights."""

    repository: str

    def build(self, num_classes: int) -> nn.Module:
        import timm

        with fetching(f"the configuration of hf-hub:{self.repository}"), hugging_face():
            return timm.create_model(f"hf-hub:{self.repository}", num_classes=num_classes)

    def preprocessing(self) -> Preprocessing:
        return _preprocessing(self._config())

    def offer(self, tag: str) -> Pretrained:
        if tag != "DEFAULT":
            raise TgrError(f'hf-hub:{self.repository} has one set of weights, not "{tag}"; take --weights DEFAULT')
        config = self._config()
        return Pretrained(tag=tag, num_classes=config["num_classes"], preprocessing=_preprocessing(config))

    def fetch(self, offered: Pretrained) -> nn.Module:
        import timm

        with fetching(f"the weights of hf-hub:{self.repository}"), hugging_face():
            return timm.create_model(f"hf-hub:{self.repository}", pretrained=True)

    def _config(self) -> Mapping[str, Any]:
        from timm.models import load_model_config_from_hf

        with fetching(f"the configuration of hf-hub:{self.repository}"), hugging_face():
            return load_model_config_from_hf(self.repository)[0]


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    from timm.data import resolve_data_config

    data = resolve_data_config(pretrained_cfg=dict(config))
    channels, height, width = data["input_size"]
    if height != width:
        raise TgrError(f"this timm model takes images of {height}×{width} pixels; tgr can only prepare square ones")
    resize = math.floor(height / data["crop_pct"])
    pads = data["crop_mode"] == "center" and resize < height
    return Preprocessing(
        resize=resize,
        crop=height,
        mean=_a_channel(data["mean"], channels),
        std=_a_channel(data["std"], channels),
        interpolation=data["interpolation"],
        channels=channels,
        crop_mode="pad" if pads else data["crop_mode"],
    )


def _a_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value per channel; timm allows a single value for all channels."""
    return tuple(values) * channels if len(values) == 1 else tuple(values)
