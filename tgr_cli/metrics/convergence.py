"""How many faults in each feature map it takes to know which maps are the most vulnerable.

Maps are ordered by their V at n faults each, by mean dLoss or by mismatch. An order is as good as what it covers: the
share of the oracle's V that its first maps hold, for every number of maps. The distance of an order is the mean
absolute difference between that curve and the oracle's own, 0.01 for "99 % similar". The oracle is the order by
mismatch at the most faults.

Source: Mahmoud et al., "Optimizing selective protection for CNN resilience" (ISSRE 2021), sections VI-B and VII-A,
figure 3 and table II. They take the n faults from the oracle's own, which makes both alike: an oracle of other faults
is fair, but orders its own maps by chance too, so that no distance to it reaches 0.

Suffixes: N rows of injections, M maps, K numbers of faults a map.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tgr_cli.metrics.estimates import Draws, means, means_where

WITHIN = 0.01  # distance at which an order is said to be that of the oracle (ISSRE 2021, section VI-B)
STEPS = 4  # numbers of faults a map that are tried, per doubling
FEWEST = 2


@dataclass(frozen=True)
class MapDraws:
    """Faults in feature maps: the map of each, from 0, and its rank among those of its map, [N]; V_orig of each, [M].

    `dloss` is NaN where the outcome is non_finite.
    """

    map: np.ndarray
    rank: np.ndarray
    weight: np.ndarray
    dloss: np.ndarray
    sdc: np.ndarray
    v_orig: np.ndarray

    @property
    def faults(self) -> int:
        """Return the number of faults in each map."""
        return int(self.rank.max()) + 1

    def first(self, faults: int) -> "MapDraws":
        """Return the first faults of every map."""
        return self._where(self.rank < faults)

    def halves(self) -> tuple["MapDraws", "MapDraws"]:
        """Return the faults of even and of odd rank, each half ranked anew; without the last one of an odd number."""
        kept_N = self.rank < self.faults // 2 * 2
        first, second = (self._where(kept_N & (self.rank % 2 == parity)) for parity in (0, 1))
        return replace(first, rank=first.rank // 2), replace(second, rank=second.rank // 2)

    def vulnerability(self, metric: str) -> np.ndarray:
        """Return V of each map, [M], with P_prop by "dloss" or by "sdc"; 0 where no outcome was finite."""
        draws = Draws(len(self.v_orig), self.map, np.zeros_like(self.map), self.map, self.weight)
        if metric == "dloss":
            p_prop_M = means_where(draws, self.dloss, ~np.isnan(self.dloss)).value
        else:
            p_prop_M = means(draws, self.sdc.astype(np.float64)).value
        return np.asarray(self.v_orig * np.nan_to_num(p_prop_M))

    def _where(self, chosen_N: np.ndarray) -> "MapDraws":
        columns = {name: getattr(self, name)[chosen_N] for name in ("map", "rank", "weight", "dloss", "sdc")}
        return replace(self, **columns)


@dataclass(frozen=True)
class Convergence:
    """Distances to an oracle of `oracle` faults a map, by numbers of faults a map: of the order by each metric, [K].

    `independent` says that the oracle's faults are others than those that are ordered by.
    """

    faults: np.ndarray
    dloss: np.ndarray
    sdc: np.ndarray
    oracle: int
    independent: bool

    def needed(self, metric: str, within: float = WITHIN) -> int | None:
        """Return the fewest faults a map from which on the distance stays within a limit; None if it never does."""
        far_K = np.flatnonzero(~(getattr(self, metric) <= within))
        at = int(far_K[-1]) + 1 if len(far_K) else 0
        return int(self.faults[at]) if at < len(self.faults) else None

    @property
    def speed_up(self) -> float | None:
        """Return how many times fewer faults the order by dLoss needs; None if one of the two never gets there."""
        slow, fast = self.needed("sdc"), self.needed("dloss")
        return slow / fast if slow and fast else None


def convergences(draws: MapDraws, faults_K: Sequence[int] = ()) -> Iterator[Convergence]:
    """Yield the convergence to the oracle of all faults, as published, and to one of another half of them.

    Numbers of faults beyond those that there are, or half of them, are left out; without any, a sequence that doubles
    in STEPS steps is tried. Nothing is given where no fault was an SDC, or there are too few to divide.
    """
    first, second = draws.halves() if draws.faults > 1 else (draws, draws)
    for ordered, oracle, independent in ((draws, draws, False), (first, second, True)):
        oracle_M = oracle.vulnerability("sdc")
        if draws.faults < 2 * FEWEST or not oracle_M.sum():
            continue
        tried = np.array(faults_K or _doubling(ordered.faults))
        tried = tried[tried <= ordered.faults]
        if not len(tried):
            continue
        firsts = [ordered.first(int(faults)) for faults in tried]
        distances = {
            metric: np.array([distance(each.vulnerability(metric), oracle_M) for each in firsts])
            for metric in ("dloss", "sdc")
        }
        yield Convergence(tried, **distances, oracle=oracle.faults, independent=independent)


def held(draws: MapDraws, metric: str, part: float = 1 / 3) -> float | None:
    """Return the share of V that the most vulnerable `part` of the maps holds; None where no fault did any harm.

    Maps are ordered by one half of the faults, and V is that of the other: the maps that come first by chance do not
    count for more.
    """
    first, second = draws.halves()
    if draws.faults < 2 * FEWEST or not (other_M := second.vulnerability(metric)).sum():
        return None
    return float(coverage(first.vulnerability(metric), other_M)[max(round(part * len(other_M)), 1) - 1])


def _doubling(most: int) -> np.ndarray:
    doublings = max(math.log2(most / FEWEST), 0)
    return np.unique(np.rint(np.geomspace(FEWEST, most, math.ceil(doublings * STEPS) + 1)).astype(np.int64))


def coverage(order_M: np.ndarray, oracle_M: np.ndarray) -> np.ndarray:
    """Return the share of the oracle's V in the first 1, 2, … maps, [M], maps ordered by falling values.

    Equal values have no order: each of their maps counts as the mean of them, which is the mean over all their orders.

    >>> coverage(np.array([2.0, 1.0, 1.0]), np.array([0.5, 0.0, 0.5])).tolist()
    [0.5, 0.75, 1.0]
    """
    _, group_M = np.unique(-order_M, return_inverse=True)
    mean_G = np.bincount(group_M, oracle_M) / np.bincount(group_M)
    return np.asarray(np.cumsum(mean_G[np.sort(group_M)]) / oracle_M.sum())


def distance(order_M: np.ndarray, oracle_M: np.ndarray) -> float:
    """Return the mean absolute difference between what an order covers of the oracle's V and what its own order does.

    >>> distance(np.array([0.0, 1.0]), np.array([3.0, 1.0]))
    0.25
    """
    return float(np.abs(coverage(order_M, oracle_M) - coverage(oracle_M, oracle_M)).mean())
