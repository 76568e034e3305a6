"""Propagates the change itself: a window around the fault, until it fills most of the map.

Suffixes: F faults, K faults of one batch, P elements of a fault, B batch of the network, N images, C classes or
channels.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.fx.node import Node

from tgr_cli.errors import TgrError
from tgr_cli.faults import processes
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines.batch import Batch
from tgr_cli.faults.engines.doubtful import doubtful, size_of
from tgr_cli.faults.engines.memory import MEMORY
from tgr_cli.faults.engines.replay import Replay
from tgr_cli.faults.engines.rounding import Effect, Rounding
from tgr_cli.faults.engines.rules import rule_of
from tgr_cli.faults.engines.spares import Spares
from tgr_cli.faults.engines.strikes import Extent, extent_of, window_of
from tgr_cli.faults.engines.tail import Tail
from tgr_cli.faults.engines.token_propagation import FollowedRows
from tgr_cli.faults.graph import Network
from tgr_cli.faults.graph_sites import Call
from tgr_cli.faults.network import AnyNetwork
from tgr_cli.faults.operation_names import POINTWISE, name_of
from tgr_cli.faults.program import Program, with_deaths
from tgr_cli.faults.sites import Site

FAULTS_AT_ONCE = 128
WINDOWS_SHARE = 32  # a batch of windows may take this part of --memory (1 / 32); rules hold several copies
SITES_TRIED, FAULTS_TRIED = 6, 8  # rounding is measured on a sample of faults at a sample of sites
THINNING = (*POINTWISE, "max_pool2d")


class Delta(Replay):
    """Injects at any site of a float32 network; outcomes equal those of `full`, logits up to rounding.

    At an operation without a rule, the change is added to the golden values and the rest is run as `replay` does.
    `replay` also reruns faults whose outcome could depend on rounding: logits that are huge or not finite, close to the
    bound of `masked`, or with two nearly equal maxima. The effect of rounding on the logits is measured on the prepared
    images.
    """

    name: ClassVar[str] = "delta"
    channels_last: ClassVar[bool] = True

    def __init__(self, model: nn.Module, network: Network, corruption: Corruption, *, memory: int = MEMORY) -> None:
        super().__init__(model, network, corruption, memory=memory)
        self.finished = self.doubted = 0
        self._rounding: Rounding | None = None
        self._places = {site.name: place for place, site in enumerate(network.sites)}
        self._paths: dict[Node, Program] = {}
        self.followed_rows = FollowedRows(self.golden)
        self._spares = Spares(network)
        self._by_rows: dict[str, bool] = {}
        self._by_windows: dict[str, bool] = {}

    @classmethod
    def takes(cls, network: AnyNetwork) -> bool:
        """Return whether changes can be followed in the network.

        They cannot where values are rounded to a format, cast to a coarser dtype, or jump: near a tie the last bit of a
        sum decides about a whole step.
        """
        rounds = network.rounds or network.rounding or network.jumps
        return network.dtype == torch.float32 and not rounds

    @classmethod
    def check(cls, network: AnyNetwork) -> None:
        super().check(network)
        if network.rounds:
            raise TgrError(
                "the engine delta adds changes to golden values, which is not exact where outputs are rounded to a "
                "number format; use --engine auto or replay"
            )
        if network.rounding:
            raise TgrError(
                f"the engine delta adds changes to golden values, which is not exact where the model rounds its own "
                f"({', '.join(network.rounding)}); use --engine auto or replay"
            )
        if network.jumps:
            raise TgrError(
                f"the engine delta adds changes to golden values, which is not exact where the model lets values jump "
                f"({', '.join(network.jumps)}); use --engine auto or replay"
            )
        if network.dtype != torch.float32:
            raise TgrError(
                f"the engine delta is for float32 networks, the model is {network.dtype}; use --engine replay"
            )

    def prepare(self, x_NCHW: Tensor) -> Tensor:
        golden_NC = super().prepare(x_NCHW)
        self._rounding = None
        return golden_NC

    def measure(self, sites: Sequence[Site], jobs: int = 1) -> None:
        super().measure(sites, jobs)
        if self._rounding is None and any(not site.is_parameter and self.follows(site) for site in sites):
            self._rounding = self._measure_rounding(jobs)

    @property
    def rounding(self) -> Rounding:
        """Return the effect of rounding on logits.

        It is measured once for each set of images, so that no result depends on earlier ones.
        """
        if self._rounding is None:
            self._rounding = self._measure_rounding()
        return self._rounding

    def _measure_rounding(self, jobs: int = 1) -> Rounding:
        """Return the effect of rounding on logits.

        Large changes at sites all over the network are propagated, and also run by `replay`; the difference is due to
        rounding only. The sites are divided among `jobs` processes.
        """
        sites = [site for site in self.network.sites if self.follows(site)]
        places = range(0, len(sites), max(1, len(sites) // SITES_TRIED))
        finished = self.finished
        with closing(processes.each(lambda place: self._moved_at(sites[place], place), places, jobs)) as found:
            moved = {self._places[sites[place].name]: effect for place, effect in found if effect is not None}
        self.finished = finished
        return Rounding(moved, torch.finfo(self.network.dtype).eps)

    def _moved_at(self, site: Site, seed: int) -> Effect | None:
        """Return the largest effect of rounding at one site; None if no fault that was followed changed the logits."""
        call = self._calls[site.name]
        generator = torch.Generator().manual_seed(seed)
        count = min(FAULTS_TRIED, self.network.batch_size)
        image_K = torch.arange(count, device=self.network.device) % len(self.golden_NC)
        anchor_K = torch.randint(0, site.neurons, (count,), generator=generator).to(self.network.device)
        footprint_K = torch.arange(count, device=anchor_K.device) % self.corruption.pattern.count(site.op)
        with torch.inference_mode():
            element_KP = self._elements(site, anchor_K, footprint_K)
            before_KP = self.golden.elements(call, image_K[:, None], element_KP.clamp_min(0))
            size_K = before_KP[:, 0].abs().max() * (1 + torch.arange(count, device=before_KP.device)) / count
            after_KP = before_KP + size_K[:, None]
            extent = self._extent(call, element_KP)
            found_KC = self._followed(call, image_K, element_KP, before_KP, after_KP, extent)
        again_KC, golden_KC = super()._faulty(call, image_K, element_KP, before_KP, after_KP), self.golden_NC[image_K]
        size_K = torch.maximum(size_of(golden_KC), size_of(again_KC))
        moved_K = (found_KC - again_KC).abs().amax(dim=1) / size_K
        telling_K = extent.small_F & moved_K.isfinite() & (again_KC != golden_KC).any(dim=1)
        if not telling_K.any():
            return None
        moved_K, golden_K = moved_K[telling_K], size_of(golden_KC)[telling_K]
        return Effect(float(moved_K.max()), float((moved_K * golden_K).max()))

    def follows(self, site: Site) -> bool:
        """Return whether faults at this site are propagated, as tokens or as windows."""
        return self.follows_rows(site) or self.follows_windows(site)

    def follows_rows(self, site: Site) -> bool:
        """Return whether faults at this site are propagated as tokens: where that spares much of what `replay` runs."""
        if site.name not in self._by_rows:
            source, path = self._calls[site.name].node, self._path(self._calls[site.name].node)
            self._by_rows[site.name] = (
                site.per_image
                and self.followed_rows.starts(source, path)
                and self._spares.much(self.followed_rows.spared(source, path), path)
            )
        return self._by_rows[site.name]

    def follows_windows(self, site: Site) -> bool:
        """Return whether faults at this site are propagated as windows of a feature map or vector."""
        if site.name not in self._by_windows:
            source = self._calls[site.name].node
            whole = tuple(source.meta["val"].shape) == (self.network.batch_size, *site.shape)
            fits = site.per_image and whole and len(site.shape) in (1, 3)
            self._by_windows[site.name] = fits and self._spares.by_windows(self._path(source))
        return self._by_windows[site.name]

    def _at_once(self, site: Site) -> int:
        return sys.maxsize if site.per_image else 1  # batches are regrouped as faults die out

    def _faulty(self, call: Call, rows_F: Tensor, elements_FP: Tensor, before_FP: Tensor, after_FP: Tensor) -> Tensor:
        golden_FC, follows = self.golden_NC[rows_F], self.follows(call.site)
        with torch.inference_mode():
            if follows:
                extent = self._extent(call, elements_FP)
                logits_FC = self._followed(call, rows_F, elements_FP, before_FP, after_FP, extent)
                sure_F = (_change(elements_FP, before_FP, after_FP).isfinite()).all(dim=1) & extent.small_F
                rounding_F = self.rounding.at(self._places[call.site.name], size_of(golden_FC))
                again_F = ~sure_F | doubtful(golden_FC, logits_FC, rounding_F)
                self.doubted += int(again_F.sum())
            else:
                logits_FC = golden_FC.clone()
                again_F = torch.ones_like(rows_F, dtype=torch.bool)
            for some in _lots(again_F, super()._at_once(call.site)):
                struck = (values[some] for values in (rows_F, elements_FP, before_FP, after_FP))
                logits_FC[some] = super()._faulty(call, *struck)
        return logits_FC

    def _extent(self, call: Call, elements_FP: Tensor) -> Extent:
        """Return the extent of faults' elements among the site's tokens, or on its map."""
        if self.follows_rows(call.site):
            return self.followed_rows.extent(call.node, elements_FP)
        return extent_of(elements_FP, call.site.shape)

    def _followed(
        self, call: Call, rows_F: Tensor, elements_FP: Tensor, before_FP: Tensor, after_FP: Tensor, extent: Extent
    ) -> Tensor:
        """Return the logits [F, C] after the changes.

        Those of the golden run where a change is not finite, or reaches so far that following it would save nothing.
        """
        delta_FP = _change(elements_FP, before_FP, after_FP)
        logits_FC = self.golden_NC[rows_F]
        tail = Tail(self, logits_FC)
        wanted_F = delta_FP.isfinite().all(dim=1) & (delta_FP != 0).any(dim=1) & extent.small_F
        for alike_F in extent.alike():
            at_once = min(FAULTS_AT_ONCE, max(1, self.memory // WINDOWS_SHARE // extent.bytes(alike_F)))
            for faults_K in _lots(wanted_F & alike_F, at_once):
                image_K, element_KP = rows_F[faults_K], elements_FP[faults_K]
                if self.follows_rows(call.site):
                    self._follow_rows(call, image_K, element_KP, after_FP[faults_K], faults_K, tail)
                else:
                    window = window_of(element_KP, delta_FP[faults_K], call.site.shape)
                    batch = Batch(self.golden, image_K, {call.node: window})
                    self._follow(self._path(call.node), batch, faults_K, tail)
        tail.flush()
        return logits_FC

    def _follow(self, path: Program, batch: Batch, faults_K: Tensor, tail: Tail) -> None:
        """Propagate a batch of faults as far as rules apply; add their logits, or the remaining work, to `tail`."""
        for place, (node, dead) in enumerate(path):
            rule = rule_of(node)
            change = rule(batch, node) if rule is not None else None
            if change is None:
                tail.add(batch, faults_K)
                return
            batch.changes[node] = change
            for name in dead:
                batch.changes.pop(name, None)
            if len(batch.changes) == 1 and name_of(node) in THINNING:
                alive_K = change.alive()
                if not alive_K.all():
                    left = alive_K.nonzero().flatten()
                    self.finished += len(alive_K) - len(left)
                    batch = Batch(self.golden, batch.rows_K[left], {node: change.take(left)})
                    faults_K = faults_K[left]
                    if not len(left):
                        return
            taken = sum(window.delta.numel() * window.delta.element_size() for window in batch.changes.values())
            if taken > self.memory // WINDOWS_SHARE and len(faults_K) > 1:
                for half in torch.arange(len(faults_K), device=faults_K.device).chunk(2):
                    windows = {value: window.take(half) for value, window in batch.changes.items()}
                    part = Batch(self.golden, batch.rows_K[half], windows)
                    self._follow(path[place + 1 :], part, faults_K[half], tail)
                return
        (change,) = batch.changes.values()
        tail.logits_FC[faults_K] += change.dense().flatten(1)

    def _follow_rows(
        self, call: Call, image_K: Tensor, elements_KP: Tensor, after_KP: Tensor, faults_K: Tensor, tail: Tail
    ) -> None:
        """Propagate a batch of faults as tokens as far as possible, then run the rest for those still alive."""
        changes = self.followed_rows.follow(call.node, self._path(call.node), image_K, elements_KP, after_KP)
        alive_K = torch.zeros(len(image_K), dtype=torch.bool, device=image_K.device)
        for rows in changes.values():
            alive_K[rows.fault_M] = True
        alive = alive_K.nonzero().flatten()
        self.finished += len(image_K) - len(alive)
        output = self.network.output
        if set(changes) == {output}:
            tail.logits_FC[faults_K[changes[output].fault_M]] = changes[output].values_MC
            return
        for some in alive.split(self.network.batch_size):
            part = [rows.take(some, len(image_K)) for rows in changes.values()]
            change = partial(self.followed_rows.laid, part)
            tail.logits_FC[faults_K[some]] = self.rest(set(changes), image_K[some], change)

    def _path(self, source: Node) -> Program:
        """Return the operations between `source` and the logits that depend on it, in order."""
        if source not in self._paths:
            output = self.network.output
            affected = self.network.downstream({source}) - {source}
            nodes = [node for node, _ in self.golden.part({output}, {source}).program if node in affected]
            self._paths[source] = with_deaths(nodes, {output})
        return self._paths[source]


def _lots(chosen_F: Tensor, size: int) -> list[Tensor]:
    """Return the positions where `chosen_F` is True, in groups of at most `size`."""
    return [lot for lot in chosen_F.nonzero().flatten().split(size) if len(lot)]


def _change(elements_FP: Tensor, before_FP: Tensor, after_FP: Tensor) -> Tensor:
    """Return the changes of faults' elements; 0 where -1 pads."""
    return (after_FP - before_FP).masked_fill_(elements_FP < 0, 0.0)
