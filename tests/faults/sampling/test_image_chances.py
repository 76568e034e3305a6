import numpy as np
import pytest

from tgr_cli.faults.sampling.image_chances import chances, uniform_share


def test_doubtful_images_are_struck_more_often_and_none_less_than_the_floor() -> None:
    chance_I = chances(np.array([0.0, 0.1, 0.9]), logits=False)
    np.testing.assert_allclose(chance_I, 0.2 + 0.8 * np.array([0, 0.3, 2.7]))
    np.testing.assert_allclose(uniform_share(chance_I), 0.1 / chance_I)


@pytest.mark.parametrize(("doubt", "logits"), [([0.0, 0.2, 0.9], True), ([0.0, 0.0, 0.0], False), ([0.4] * 3, False)])
def test_images_are_equally_likely_at_the_logits_and_where_doubt_does_not_tell_them_apart(doubt, logits) -> None:
    np.testing.assert_allclose(chances(np.array(doubt), logits=logits), 1.0, rtol=1e-15)
