"""The subject of a measurement: a model in evaluation mode, a pool of images, and the network of sites."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tgr_cli.artifacts.layout import Workspace, of_format
from tgr_cli.artifacts.provenance import normalised, sha256_names
from tgr_cli.data.datasets import DataSource, ImageSet, batches, open_split
from tgr_cli.data.transforms import PreprocessingOptions, evaluation
from tgr_cli.faults import hooked
from tgr_cli.faults.formats import Format
from tgr_cli.faults.formats.stored import stored_format
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.models import golden, zoo
from tgr_cli.models.loading import LoadedModel, load
from tgr_cli.models.source import ModelSource
from tgr_cli.models.trial import refuse_scripted
from tgr_cli.models.weights import dtype, number_format, tensors
from tgr_cli.reporting import Reporter

STORED = (torch.int8, torch.uint8, torch.int16, torch.int32)  # int64 holds counters and positions


class Settings(Protocol):
    """The part of a command's config that selects model, images and device."""

    @property
    def data(self) -> DataSource: ...
    @property
    def preprocessing(self) -> PreprocessingOptions: ...
    @property
    def source(self) -> ModelSource: ...
    @property
    def images(self) -> int | None: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def workdir(self) -> Path: ...


@dataclass(frozen=True)
class Subject:
    """A loaded model and its pool of images.

    `format` and `weight_format` are the number formats that layers' outputs and weights are rounded to, in a model that
    is deployed in one (`deployed.DeployedSubject`).
    """

    settings: Settings
    images: ImageSet
    loaded: LoadedModel
    reporter: Reporter

    @property
    def form(self) -> Format | None:
        """Return the number format that the layers' outputs are rounded to; None for a model as it is."""
        return None

    @property
    def weight_form(self) -> Format | None:
        """Return the number format that the layers' weights are rounded to; None for a model as it is."""
        return None

    @property
    def format(self) -> str | None:
        return self.form.name if self.form else None

    @property
    def weight_format(self) -> str | None:
        return self.weight_form.name if self.weight_form else None

    @property
    def name(self) -> str:
        """Return the name of the run, with the formats that the model is deployed in."""
        return self.file(self.loaded.run.path).name

    def file(self, path: Path) -> Path:
        """Return the path of a file of the run for the model as it is deployed, so that no two share one."""
        return of_format(path, self.format, self.weight_format)

    @classmethod
    def open(cls, settings: Settings, reporter: Reporter, images: ImageSet | None = None) -> "Subject":
        """Return the subject of `settings`; images are opened before weights.

        The pool is the evaluation split unless `images` is given.
        """
        zoo.of(settings.source)  # report an unknown model name before opening anything
        if images is None:
            images = open_split(settings.data, "eval", reporter)
        if settings.images is not None:
            images = images.sample(settings.images)
        loaded = load(
            settings.source,
            Workspace(settings.workdir, settings.data.folder),
            images.classes,
            preprocessing=settings.preprocessing,
            device=settings.device,
            reporter=reporter,
        )
        return cls(settings, images, loaded, reporter)

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype the network computes in."""
        return dtype(self.loaded.model)

    @property
    def facts(self) -> dict[str, Any]:
        """Return metadata for artifacts: run, data, origin and size of the model, preprocessing, and number format.

        `format` is that of the computed values, in which bits are flipped, such as "float32". `stored_integers` are
        the formats of a quantised model's integers, which a model of real values lacks.
        """
        return {
            "run": self.loaded.run.name,
            "dataset": normalised(self.images.dataset),
            "used": self.images.used,
            "images": len(self.images),
            "num_classes": self.loaded.num_classes,
            "params": self.loaded.params,
            "origin": self.loaded.origin,
            "preprocessing": self.loaded.preprocessing.to_json(),
            **self.loaded.facts,
            "format": number_format(self.loaded.model),
            **({"stored_integers": self.holds} if self.holds else {}),
        }

    @property
    def pool(self) -> str:
        """Return a digest of the images and their labels; equal for the same images in the same order."""
        images = zip(self.images.ids, self.images.labels, strict=True)
        return sha256_names([f"{name} {label}" for name, label in images])

    def only(self, image_id: str) -> "Subject":
        """Return the same subject with a pool of one image."""
        return replace(self, images=self.images.take([self.images.ids.index(image_id)]))

    def batches(self, positions: Sequence[int] | None = None) -> Iterator[Tensor]:
        """Yield preprocessed batches x_BCHW of the images at these positions of the pool (None: all).

        The last batch may be smaller.
        """
        loaded = batches(
            self.images,
            evaluation(self.loaded.preprocessing),
            batch_size=self.settings.batch_size,
            workers=self.settings.workers,
            order=positions,
        )
        for x_BCHW, _ in loaded:
            yield x_BCHW.to(self.settings.device, self.dtype)

    def load(self, positions_K: np.ndarray) -> Tensor:
        """Return the images at these positions of the pool as one tensor, x_KCHW."""
        return torch.cat(list(self.batches(positions_K.tolist())))

    def network(self, targets: str) -> AnyNetwork:
        """Return the model's network of sites, captured at the batch size of the settings.

        A model that torch.export cannot trace gets forward hooks instead, with a note.
        """
        refuse_scripted(self.loaded.model, self.loaded.name)
        return hooked.capture(
            self.loaded.model,
            self.loaded.preprocessing.input_shape,
            batch_size=self.settings.batch_size,
            targets=tuple(part.strip() for part in targets.split(",")),
            device=self.settings.device,
            reporter=self.reporter,
        )

    @property
    def holds(self) -> str:
        """Return the formats of the 8-bit integers that a quantised model stores, such as "stored int8"; "" if none."""
        held = {stored_format(t.dtype).name for t in tensors(self.loaded.model) if t.dtype in (torch.int8, torch.uint8)}
        return ", ".join(sorted(held))

    def stored_format(self, target: str, targets: str) -> Format | None:
        """Return the format of the integers that a quantised model stores as tensors of `target`; None for real values.

        The model's graph says which integers are weights; it is captured only if the model holds integers.
        """
        if target == "neuron" or not any(tensor.dtype in STORED for tensor in tensors(self.loaded.model)):
            return None
        return Subject.network(self, targets).stored_format(target)

    def classify(self, seen: golden.Digest | None = None) -> golden.GoldenRun:
        """Return the golden logits and the labels of the pool; raises TgrError if a logit is not finite.

        The images are added to `seen`, if given.
        """
        return self._classify(self.loaded.model, seen, advice="check its weights and the preprocessing")

    def _classify(self, model: nn.Module, seen: golden.Digest | None, *, advice: str) -> golden.GoldenRun:
        return golden.classify(
            model,
            self.images,
            self.loaded.preprocessing,
            batch_size=self.settings.batch_size,
            workers=self.settings.workers,
            device=self.settings.device,
            reporter=self.reporter,
            advice=advice,
            seen=seen,
        )
