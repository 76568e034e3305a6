"""The parts of a data set: seeded, disjoint, and the same for every model."""

import pytest

from tgr_cli.errors import TgrError
from tgr_cli.protection.split import analysis


def test_the_parts_are_seeded_disjoint_and_independent_of_order():
    names = [f"image {n}" for n in range(50)]
    part = analysis(names, 0.8, 3)
    assert part.sum() == 40
    assert (analysis(names, 0.8, 3) == part).all()
    assert (analysis(names[::-1], 0.8, 3)[::-1] == part).all()
    assert (analysis(names, 0.8, 4) != part).any()


@pytest.mark.parametrize("share", [0.01, 0.04, 0.99])
def test_a_part_without_images_is_refused(share):
    with pytest.raises(TgrError, match=r"--split .* of 10 images leaves \d+ for analysis and \d+ for deployment"):
        analysis([str(n) for n in range(10)], share, 0)
