"""What a measurement is made on: a model in evaluation mode, the images it is shown, and its network of sites."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tgr_cli.artifacts import store
from tgr_cli.artifacts.layout import Workspace
from tgr_cli.artifacts.schemas import RANGES
from tgr_cli.data.datasets import DataSource, ImageSet, batches, open_split
from tgr_cli.data.transforms import PreprocessingOptions, evaluation
from tgr_cli.errors import TgrError
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.metrics.outcomes import predictions
from tgr_cli.models.loading import LoadedModel, ModelSource, load
from tgr_cli.reporting import Reporter
from tgr_cli.steps import golden

PROFILED_IMAGES = 1024  # where a campaign has to profile for itself


class Settings(Protocol):
    """The part of a step's config that says which model is shown which images, and where that is computed."""

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
    """A loaded model and the pool of images it is shown."""

    settings: Settings
    images: ImageSet
    loaded: LoadedModel
    reporter: Reporter

    @classmethod
    def open(cls, settings: Settings, reporter: Reporter) -> "Subject":
        """Return the subject that `settings` name; the images are looked for before any weights are."""
        images = open_split(settings.data, "eval")
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
        """Return the format the network computes in."""
        return next(self.loaded.model.parameters()).dtype

    @property
    def facts(self) -> dict[str, Any]:
        """Return what artifacts record of the subject: run, data used, model's origin and size, preprocessing."""
        return {
            "run": self.loaded.run.name,
            "dataset": self.images.dataset,
            "used": self.images.used,
            "images": len(self.images),
            "num_classes": self.loaded.num_classes,
            "params": self.loaded.params,
            "origin": self.loaded.origin,
            "preprocessing": self.loaded.preprocessing.to_json(),
        }

    def only(self, image_id: str) -> "Subject":
        """Return the same subject with one image in its pool; raises TgrError where the pool has no such image."""
        if image_id not in self.images.ids:
            raise TgrError(f'the data set has no image "{image_id}"; name the data set it comes from with --dataset')
        return replace(self, images=self.images.take([self.images.ids.index(image_id)]))

    def load(self, positions_K: np.ndarray) -> Tensor:
        """Return the images at these positions of the pool as the network takes them, x_KCHW on its device."""
        found = batches(
            self.images,
            evaluation(self.loaded.preprocessing),
            batch_size=self.settings.batch_size,
            workers=self.settings.workers,
            order=[int(position) for position in positions_K],
        )
        return torch.cat([x_BCHW for x_BCHW, _ in found]).to(self.settings.device, self.dtype)

    def network(self, targets: str) -> Network:
        """Return the model's network of sites, captured at the batch size of the settings."""
        return Network.capture(
            self.loaded.model,
            self.loaded.preprocessing.input_shape,
            batch_size=self.settings.batch_size,
            targets=tuple(part.strip() for part in targets.split(",")),
            device=self.settings.device,
        )

    def labels(self, kind: str, *, everything: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the class each image's losses are taken against, int64 [N], and whether it may be struck, bool [N].

        `kind` is `true` for the data set's labels or `golden` for the fault-free prediction. Images that are
        classified wrongly may not be struck (the papers' rule) unless `everything`.
        """
        logits_NC = golden.classify(
            self.loaded.model,
            self.images,
            self.loaded.preprocessing,
            batch_size=self.settings.batch_size,
            workers=self.settings.workers,
            device=self.settings.device,
            reporter=self.reporter,
        ).logits_NC
        finite_N = torch.isfinite(logits_NC).all(dim=1).numpy()
        if not finite_N.all():
            name = self.images.ids[int(np.flatnonzero(~finite_N)[0])]
            raise TgrError(
                f"the logits of image {name} are not finite without any fault; check the weights and --mean, --std"
            )
        predicted_N = predictions(logits_NC)
        labels_N = predicted_N if kind == "golden" else self.images.labels
        return labels_N, (predicted_N == labels_N) | everything

    def limit(self, network: Network, mode: str, path: Path | None, targets: str) -> tuple[RangeLimit, dict[str, str]]:
        """Return the range limit, and the digest of the ranges it rests on, by role.

        The ranges are those at `path`, else the run's, else profiled now on a sample and kept as the run's. Raises
        TgrError for ranges of another model, or without one of the network's sites.
        """
        if mode == "none":
            return RangeLimit("none", {}), {}
        found = path or self.loaded.run.ranges
        if path is None and not found.exists():
            self._profile(targets)
        artifact = store.read(found, RANGES)
        if artifact.provenance.model != self.loaded.fingerprint:
            raise TgrError(
                f"{found} holds the ranges of another model (fingerprint {str(artifact.provenance.model)[:12]}, "
                f'this model has {self.loaded.fingerprint[:12]}); run "tgr profile-ranges" for this one'
            )
        table = artifact.table
        max_abs = dict(zip(table["site"].to_pylist(), table["max_abs"].to_pylist(), strict=True))
        for site in network.sites:
            if site.name not in max_abs:
                raise TgrError(
                    f'{found} has no range for the site {site.name}; run "tgr profile-ranges" with the same --targets'
                )
        return RangeLimit(mode, max_abs), {"ranges": artifact.sha256}  # type: ignore[arg-type]

    def _profile(self, targets: str) -> None:
        from tgr_cli.steps import profile_ranges

        settings = self.settings
        self.reporter.note(
            f"no ranges of {self.loaded.run.name} yet: profiling it on {PROFILED_IMAGES:,} images first; "
            '"tgr profile-ranges" takes them all'
        )
        profile_ranges.run(
            profile_ranges.Config(
                data=settings.data,
                preprocessing=settings.preprocessing,
                source=settings.source,
                images=PROFILED_IMAGES,
                targets=targets,
                batch_size=settings.batch_size,
                workers=settings.workers,
                device=settings.device,
                workdir=settings.workdir,
            ),
            self.reporter,
        )
