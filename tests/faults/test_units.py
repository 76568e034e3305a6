"""Campaigns against injections written by hand: all faults of the plan run once, results in plan order."""

import numpy as np
import pytest
import torch
from toys import toy_images, toy_net

from tgr_cli.data.transforms import Preprocessing, evaluation
from tgr_cli.faults import units
from tgr_cli.faults.corruption import Corruption
from tgr_cli.faults.engines import ENGINES
from tgr_cli.faults.fault_models import Choices, Flip
from tgr_cli.faults.formats import NATIVE
from tgr_cli.faults.graph import Network
from tgr_cli.faults.limits import RangeLimit
from tgr_cli.faults.plan import Plan
from tgr_cli.faults.sampling import uniform
from tgr_cli.metrics.outcomes import OUTCOMES

PRE = Preprocessing(resize=None, crop=8, mean=(0.5,), std=(0.5,), channels=1)
X_NCHW = torch.stack([evaluation(PRE)(image) for image in toy_images(12)[0]])
LABELS_N = np.arange(12) % 3

BITS = Choices(Flip(), NATIVE["float32"])


def load(positions_K: np.ndarray) -> torch.Tensor:
    return X_NCHW[torch.from_numpy(positions_K)]


def campaign_of(
    engine: str = "full",
    *,
    batch_size: int = 8,
    limit: str = "clamp",
    shift: float = 0.0,
    images_at_once: int | None = None,
) -> tuple[Plan, dict]:
    model = toy_net()
    model.conv1.bias.data += shift
    network = Network.capture(model, (1, 8, 8), batch_size=batch_size)
    held = Corruption(RangeLimit(limit, {site.name: 2.0 for site in network.sites} if limit != "none" else {}))
    faults = uniform.draw(network.sites, np.ones(12, bool), np.full(3, 60), choices=BITS, seed=0)
    running = ENGINES[engine](model, network, held)
    if images_at_once is not None:
        running.memory = images_at_once * running.bytes_per_image + running.working_bytes
    return faults, units.run(running, faults, load, LABELS_N)


def by_hand(faults: Plan, number: int) -> tuple[float, float, float, np.ndarray, np.ndarray]:
    """Return the values before, flipped and after, and both logits of one fault, by a module hook and numpy's bits."""
    model, site = toy_net(), faults.sites[faults.site_F[number]]
    values = []

    def hook(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        flat = output.clone().reshape(-1).numpy()
        element = faults.element_F[number]
        before = flat[element : element + 1].copy()
        flipped = (before.view(np.uint32) ^ np.uint32(1 << int(faults.choice_F[number]))).view(np.float32)
        after = np.clip(np.nan_to_num(flipped, nan=2.0, posinf=2.0, neginf=-2.0), -2.0, 2.0)
        flat[element] = after[0]
        values.extend((before[0], flipped[0], after[0]))
        return torch.from_numpy(flat).reshape(output.shape)

    x_1CHW = X_NCHW[faults.image_F[number]][None]
    with torch.no_grad():
        golden = model(x_1CHW).numpy()
        handle = model.get_submodule(site.name).register_forward_hook(hook)
        faulty = model(x_1CHW).numpy()
        handle.remove()
    return (*values, golden[0], faulty[0])


def test_every_row_is_what_its_own_fault_does() -> None:
    faults, columns = campaign_of()
    for number in range(len(faults)):
        before, flipped, after, golden, faulty = by_hand(faults, number)
        np.testing.assert_allclose(columns["value_before"][number], before, rtol=1e-5, atol=1e-7)
        if np.isfinite(flipped) and faults.choice_F[number] >= 23:  # in lower bits the rounding of `before` shows
            np.testing.assert_allclose(columns["value_flipped"][number], flipped, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(columns["value_after"][number], after, rtol=1e-4, atol=1e-6)
        label = LABELS_N[faults.image_F[number]]
        losses = [np.logaddexp.reduce(logits.astype(float)) - float(logits[label]) for logits in (golden, faulty)]
        np.testing.assert_allclose(columns["dloss"][number], abs(losses[0] - losses[1]), atol=1e-5)
        assert columns["golden_label"][number] == golden.argmax()
        assert columns["faulty_label"][number] == faulty.argmax()
        assert (columns["outcome"][number] == "sdc") == (golden.argmax() != faulty.argmax())


def test_outcomes_add_up_to_the_plan_with_non_finite_rows_kept() -> None:
    # For values between 1 and 2, flipping bit 30 gives infinity or NaN.
    faults, columns = campaign_of(limit="none", shift=1.5)
    outcomes = columns["outcome"].tolist()
    assert sum(outcomes.count(name) for name in OUTCOMES) == len(faults) == 180
    gone = [number for number, outcome in enumerate(outcomes) if outcome == "non_finite"]
    assert gone
    assert np.isnan(columns["dloss"][gone]).all()


@pytest.mark.parametrize("engine", ["full", "replay", "delta", "auto"])
def test_engine_batch_size_and_memory_do_not_move_an_outcome(engine: str) -> None:
    _, expected = campaign_of(batch_size=8)
    _, same = campaign_of(engine, batch_size=8)
    _, one = campaign_of(engine, batch_size=3)
    _, chunked = campaign_of(engine, batch_size=8, images_at_once=5)
    for columns in (same, one, chunked):
        assert columns["outcome"].tolist() == expected["outcome"].tolist()
        np.testing.assert_allclose(columns["value_after"], expected["value_after"], rtol=1e-4, atol=1e-6)


def test_pytorchfi_and_full_agree_on_every_fault() -> None:
    _, full = campaign_of("full")
    _, peer = campaign_of("pytorchfi")
    assert peer["outcome"].tolist() == full["outcome"].tolist()
    for name in ("value_before", "value_flipped", "value_after"):
        np.testing.assert_array_equal(peer[name], full[name])


def test_a_unit_is_one_site_on_one_chunk_and_depends_on_no_other() -> None:
    network = Network.capture(toy_net(), (1, 8, 8), batch_size=3)
    faults = uniform.draw(network.sites, np.arange(12) != 4, np.full(3, 40), choices=BITS, seed=0)
    unit_F = units.units(faults, 4)
    chunks = [{0, 1, 2, 3}, {5, 6, 7, 8}, {9, 10, 11}]
    for unit, rows in units.rows_of(unit_F).items():
        assert set(faults.site_F[rows]) == {unit % 3}
        assert set(faults.image_F[rows]) <= chunks[unit // 3]
        assert (np.diff(rows) > 0).all()

    def run(wanted: list[int], images_at_once: int) -> dict[int, dict]:
        engine = ENGINES["auto"](network=network, model=toy_net(), corruption=Corruption(RangeLimit("none", {})))
        engine.memory = images_at_once * engine.bytes_per_image + engine.working_bytes
        return dict(units.each(engine, faults, unit_F, wanted, load, LABELS_N))

    whole = run(list(range(9)), 100)
    assert list(whole) == list(range(9))
    some = run([7, 2, 8], 100)
    assert sorted(some) == [2, 7, 8]
    for unit, columns in some.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(values, whole[unit][name])
    for unit, columns in run(list(range(9)), 3).items():  # each chunk in two batches
        assert columns["outcome"].tolist() == whole[unit]["outcome"].tolist()
        np.testing.assert_allclose(columns["value_after"], whole[unit]["value_after"], rtol=1e-4, atol=1e-6)


def test_no_faults_are_no_units() -> None:
    assert units.rows_of(np.zeros(0, np.int64)) == {}
    rows = units.rows_of(np.array([3, 1, 3]))
    assert {unit: places.tolist() for unit, places in rows.items()} == {1: [1], 3: [0, 2]}


@pytest.mark.parametrize(("chunks", "sites", "count"), [(8, 5, 4), (1, 20, 4), (3, 7, 2), (2, 3, 10), (5, 1, 3)])
def test_shards_are_even_and_visit_few_chunks(chunks: int, sites: int, count: int) -> None:
    unit_F = np.random.default_rng(0).permutation(np.repeat(np.arange(chunks * sites), 6))
    shards = [units.of_shard(unit_F, sites, number, count) for number in range(1, count + 1)]
    assert sorted(unit for shard in shards for unit in shard) == list(range(chunks * sites))
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    visits = sum(len({unit // sites for unit in shard}) for shard in shards)
    assert visits <= chunks + count - 1
    if chunks % count == 0:
        assert visits == chunks
    if chunks == 1:  # sites of the first and the second half of the network in each
        for shard in shards:
            assert abs(np.mean([unit < sites // 2 for unit in shard]) - 0.5) <= 0.2


def test_a_shard_of_the_last_and_smaller_chunk_has_more_of_its_units() -> None:
    unit_F = np.repeat(np.arange(8), [10, 10, 10, 10, 5, 5, 5, 5])  # two chunks of four sites
    assert [len(units.of_shard(unit_F, 4, number, 2)) for number in (1, 2)] == [3, 5]
