"""Values that share a scale: which they are, and scales fitted again to values that are rounded already."""

import pytest
import torch

from tgr_cli.faults import scales
from tgr_cli.faults.formats import format_named
from tgr_cli.faults.formats.block import Block
from tgr_cli.faults.scale_groups import ScaleGroups

MX = ("mxfp4_e2m1", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2")
BLOCKS = (*MX, "bfp:m=1", "bfp:m=3,block=4", "bfp:m=7,block=16")


def of(groups: ScaleGroups, element: int) -> list[int]:
    members = groups.members(torch.tensor([element]))[0]
    return members[members >= 0].tolist()


def test_blocks_of_an_output_lie_along_its_channels() -> None:
    form = format_named("bfp:m=3,block=2")
    maps = ScaleGroups.of_output(form, (3, 1, 2), channel_axis=-3)  # elements 0 to 5: c · 2 + x
    assert [of(maps, element) for element in range(6)] == [[0, 2], [1, 3], [0, 2], [1, 3], [4], [5]]
    assert maps.count == 4
    assert maps.first(torch.arange(4)).tolist() == [0, 4, 1, 5]
    tokens = ScaleGroups.of_output(form, (2, 3), channel_axis=-1)
    assert [of(tokens, element) for element in range(6)] == [[0, 1], [0, 1], [2], [3, 4], [3, 4], [5]]
    assert tokens.first(torch.arange(tokens.count)).tolist() == [0, 2, 3, 5]


def test_groups_of_other_scales() -> None:
    assert of(ScaleGroups.of_output(format_named("int8"), (2, 3), -1), 4) == list(range(6))
    channels = ScaleGroups.of_tensor(format_named("int8:channel"), (2, 3), output_axis=0)
    assert (of(channels, 4), channels.count) == ([3, 4, 5], 2)
    transposed = ScaleGroups.of_tensor(format_named("int8:channel"), (3, 2), output_axis=1)
    assert (of(transposed, 4), transposed.count) == ([0, 2, 4], 2)
    blocks = ScaleGroups.of_tensor(format_named("bfp:m=3,block=4"), (2, 3, 1, 2), output_axis=0)
    assert [of(blocks, element) for element in (3, 4, 11)] == [[0, 1, 2, 3], [4, 5], [10, 11]]
    assert of(ScaleGroups.of_tensor(format_named("int8"), (), 0), 0) == [0]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("shape", "axis"), [((5, 3, 2), -3), ((3, 37), -1)])
def test_groups_are_those_that_values_are_rounded_in(name: str, shape: tuple[int, ...], axis: int) -> None:
    form = format_named(name)
    values = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1)) * 10.0 ** torch.arange(-3, 1).view(
        -1, *[1] * len(shape)
    )
    values[0, 0] = 0.0
    whole = scales.of_blocks(form, values, axis)
    groups = ScaleGroups.of_output(form, shape, axis)
    flat = values.flatten(1)
    elements = torch.arange(flat.shape[1])
    for rows in (flat, form.rounded(values, whole).flatten(1)):  # fitted again to rounded values: the same scales
        found = groups.fitted(form, elements, lambda members, rows=rows: rows[:, members])
        assert found is not None
        assert whole is not None
        assert torch.equal(found.step, whole.step.expand(values.shape).flatten(1))


@pytest.mark.parametrize("name", BLOCKS)
def test_a_scale_stays_where_it_is_fitted_to_rounded_values(name: str) -> None:
    form = format_named(name)
    assert isinstance(form, Block)
    assert form.refits
    exponents = torch.linspace(-140, 120, 2000)[:, None]
    values = torch.randn(2000, 8, generator=torch.Generator().manual_seed(2)) * torch.exp2(exponents)
    values[:5, 0] = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -0.0])
    first = form.fit(*torch.aminmax(values, dim=1))
    assert first is not None
    rounded = form.rounded(values, type(first)(first.step[:, None]))
    again = form.fit(*torch.aminmax(rounded, dim=1))
    assert again is not None
    torch.testing.assert_close(again.step, first.step, rtol=0, atol=0, equal_nan=True)


def test_where_a_word_holds_a_whole_power_more_the_scale_cannot_be_told() -> None:
    form = format_named("mxint8")
    values = torch.tensor([-1.999, 0.5])
    first = form.fit(*torch.aminmax(values))
    assert first is not None
    again = form.fit(*torch.aminmax(form.rounded(values, first)))
    assert again is not None
    assert again.step == 2 * first.step  # -1.999 was rounded to -2
    assert isinstance(form, Block)
    assert not form.refits
