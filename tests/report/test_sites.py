import pytest

from tgr_cli.report.sites import LAST, aligned, side_by_side


def test_the_last_layers_stand_in_one_row_and_the_backbone_by_its_own_names() -> None:
    order, labels = aligned([["conv1", "conv2", "fc"], ["backbone.conv1", "backbone.conv2", "backbone.fc", "head"]])
    assert order == ["conv1", "conv2", "fc", LAST]
    assert labels == ["conv1", "conv2", "fc", "fc / head"]


def test_a_site_that_one_model_lacks_stands_after_the_one_it_follows() -> None:
    order, _ = aligned([["a", "c", "out"], ["a", "b", "c", "d", "out"]])
    assert order == ["a", "b", "c", "d", LAST]


@pytest.mark.parametrize(
    ("sites", "groups"),
    [
        ({"x": ["a", "b", "c"], "y": ["a", "b", "fc"], "z": ["p", "q", "r"]}, [["x", "y"], ["z"]]),
        ({"x": ["only"]}, [["x"]]),
        ({}, []),
    ],
)
def test_models_are_shown_together_where_half_of_their_sites_correspond(sites, groups) -> None:
    assert list(side_by_side(sites)) == groups
