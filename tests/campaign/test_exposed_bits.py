"""Failures in time on some of a campaign's images, where images are drawn with unequal chances."""

import numpy as np
import pyarrow as pa
import pytest

from tgr_cli.campaign.exposed_bits import on_images


@pytest.mark.parametrize(("kept", "rate"), [((0, 1), 0.5), ((2, 3), 1.0), ((0, 3), 1.0), ((0, 1, 2, 3), 0.75)])
def test_a_rate_on_some_images_does_not_depend_on_the_chances_of_images(kept: tuple[int, ...], rate: float) -> None:
    """The faults of image 1 are safe, those of the others dangerous; a rate is the mean over the images alike."""
    chance_I, dangerous_I = np.array([0.4, 1.6, 1.2, 0.8]), np.array([1.0, 0.0, 1.0, 1.0])
    image_N = np.tile(np.repeat(np.arange(4), (chance_I * 5).round().astype(int)), 2)
    site_N = np.repeat(["a", "b"], len(image_N) // 2)
    element_N = np.where(site_N == "a", 1.0, 3.0)  # the rest of the weight
    table = pa.table(
        {
            "site": site_N,
            "weight": element_N / chance_I[image_N],
            "image_weight": 1 / chance_I[image_N],
            "image_excess": (chance_I[image_N] - 1) / 4,
            "image": image_N,
        }
    )
    found = on_images(table, np.isin(image_N, kept)).to_pandas()
    for site, element in (("a", 1.0), ("b", 3.0)):
        own = found[found.site == site]
        assert (own.weight * dangerous_I[own.image]).mean() == pytest.approx(element * rate)
        assert own.image_weight.mean() == pytest.approx(1)
    assert set(found.image) == set(kept)
