"""Models and data in memory are measured as the commands measure those of files."""

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision.transforms import v2
from toys import CLASSES, toy_images, toy_net, toy_tensors, write_toy_dataset

from tgr_cli import api as tgr
from tgr_cli.api import options, sources
from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign.config import Config as Campaign
from tgr_cli.steps import compare, evaluate, fit, protect

QUICK: dict[str, Any] = {"progress": False}
AS_TENSORS = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.25])])


class Pictures(Dataset):
    """The toy images as torchvision's data sets give them: PIL images, `classes` and a transform."""

    classes = CLASSES

    def __init__(self, transform: Any = None) -> None:
        (self.images, self.labels), self.transform = toy_images(30, seed=2), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.images[index]
        return (image if self.transform is None else self.transform(image)), self.labels[index]


def outcomes(run: tgr.Run) -> list[Any]:
    assert run.injections is not None
    return [
        str([row[name] for name in ("fault", "site", "index", "bit", "weight", "outcome", "dloss")])
        for row in run.injections
    ]


@pytest.fixture(scope="module")
def campaign() -> tgr.Run:
    return tgr.inject(toy_net(), toy_tensors(), injections=16, **QUICK)


def test_a_campaign_on_a_module_is_that_of_the_command_on_the_same_images(campaign: tgr.Run, tmp_path: Path) -> None:
    """The order of images is drawn by position, so equal images in equal order get equal faults."""
    write_toy_dataset(tmp_path / "toy")
    by_name = tgr.inject(
        "toys:build_toy",
        f"parquet:{tmp_path / 'toy'}",
        train_data=str(tmp_path / "toy" / "test.parquet"),
        mean=(0.5,),
        std=(0.25,),
        resize=8,
        crop=8,
        injections=16,
        workdir=tmp_path / "runs",
        **QUICK,
    )
    assert outcomes(campaign) == outcomes(by_name)
    assert campaign.network == by_name.network
    assert by_name.folder == tmp_path / "runs" / "toy" / "toys-build_toy-baseline"


@pytest.mark.parametrize(
    "data",
    [
        lambda: TensorDataset(*toy_tensors()),
        lambda: DataLoader(TensorDataset(*toy_tensors()), batch_size=7),
        lambda: tuple(part.numpy() for part in toy_tensors()),
        lambda: [{"image": x, "label": y} for x, y in zip(*toy_tensors(), strict=True)],
        lambda: Pictures(
            v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.25])])
        ),
    ],
    ids=["data set", "loader", "arrays", "dicts", "transformed"],
)
def test_the_same_inputs_in_any_form_give_the_same_golden_run(data: Any) -> None:
    ours, theirs = (tgr.evaluate(toy_net(), each, **QUICK).golden for each in (toy_tensors(), data()))
    assert ours is not None
    assert theirs is not None
    assert ours.arrow.equals(theirs.arrow)


def test_pictures_are_prepared_as_files_are() -> None:
    seen = tgr.evaluate(toy_net(), Pictures(), mean=(0.5,), std=(0.25,), resize=8, crop=8, **QUICK)
    given = tgr.evaluate(toy_net(), toy_tensors(), **QUICK)
    assert seen.golden is not None
    assert given.golden is not None
    assert seen.golden["loss"] == pytest.approx(given.golden["loss"], abs=1e-6)
    assert seen.golden.facts["preprocessing"]["mean"] == [0.5]


def test_the_module_and_the_random_generator_stay_as_they_are() -> None:
    model = toy_net().train()
    model.conv2.eval()  # as frozen layers are
    before, drawn = pickle.dumps(model.state_dict()), torch.get_rng_state()
    tgr.inject(model, toy_tensors(), injections=2, images_per_fault=4, target="weight", **QUICK)
    assert (model.training, model.conv2.training, model.fc.training) == (True, False, True)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert pickle.dumps(model.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), drawn)


def test_labels_may_lack_classes_that_the_model_knows() -> None:
    """But for labels that have names: a network of other classes does not know these."""
    Unnamed = type("Unnamed", (Pictures,), {"classes": None})
    for data, prepared in ((toy_tensors(), {}), (Unnamed(), {"mean": (0.5,), "std": (0.25,), "crop": 8, "resize": 8})):
        run = tgr.evaluate(toy_net(num_classes=5), data, **prepared, **QUICK)
        assert run.golden is not None
        assert run.golden.facts["num_classes"] == 5
    with pytest.raises(tgr.TgrError, match=r"answers one image with \(1, 5\), where logits of shape \(1, 3\)"):
        tgr.evaluate(toy_net(num_classes=5), Pictures(AS_TENSORS), **QUICK)


def test_ranges_are_of_the_images_that_are_given_to_profile_on(campaign: tgr.Run) -> None:
    x, y = toy_tensors()
    own = tgr.profile_ranges(toy_net(), (x[:10], y[:10]), **QUICK)
    told = tgr.inject(toy_net(), (x, y), train=(x[:10], y[:10]), injections=2, **QUICK)
    assert own.ranges is not None
    assert told.ranges is not None
    assert own.ranges.arrow.equals(told.ranges.arrow)
    assert campaign.ranges is not None
    assert not own.ranges.arrow.equals(campaign.ranges.arrow)
    assert any("has no train split" in note and "train= names others" in note for note in campaign.notes)


def test_a_run_is_saved_whole_and_read_by_name_and_by_path(campaign: tgr.Run, tmp_path: Path) -> None:
    folder = campaign.save(tmp_path / "runs" / "toy" / "mine-baseline")
    for run in (tgr.open(folder), tgr.open("mine-baseline", dataset="toy", workdir=tmp_path / "runs")):
        assert outcomes(run) == outcomes(campaign)
        assert run.network == campaign.network
    assert store.read(folder / "injections.parquet", INJECTIONS).provenance.extra["origin"] == "a module in memory"
    with pytest.raises(tgr.TgrError, match="exists already"):
        campaign.save(folder)
    with pytest.raises(tgr.TgrError, match=r"s3://bucket/mine lies in a store, and folders are saved whole"):
        campaign.save("s3://bucket/mine")


def test_a_run_is_shown_as_a_table_a_figure_and_a_page(campaign: tgr.Run) -> None:
    assert campaign.sites is not None
    frame = campaign.sites.pandas()
    assert list(frame["site"]) == ["conv1", "conv2", "fc"]
    assert frame["sdc_rate"].tolist() == campaign.sites["sdc_rate"]
    page = campaign._repr_html_()
    assert "<td>conv2</td>" in page
    assert "SDC rate" in page
    figure = campaign.figure("mean_dloss")
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["conv1", "conv2", "fc"]
    with pytest.raises(tgr.TgrError, match='column is "sdc"; use one of sdc_rate'):
        campaign.figure("sdc")


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
def test_a_traced_module_is_refused() -> None:
    with pytest.raises(tgr.TgrError, match="the model is a scripted or traced module"):
        tgr.evaluate(torch.jit.trace(toy_net(), X), (X, Y), **QUICK)


class Changing(Pictures):
    def __getitem__(self, index: int) -> tuple[Any, int]:
        return torch.rand(1, 8, 8), 0


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no copies")


X, Y = toy_tensors(6)
REFUSED: list[tuple[Any, Any, dict[str, Any], str]] = [
    (toy_net(), (X, Y[:4]), {}, "data has 6 inputs and 4 labels"),
    (toy_net(), (X.byte(), Y), {}, "item 0 of data holds torch.uint8, where floating-point values are expected"),
    (toy_net(), (X[0], Y), {}, "give as many of both"),
    (toy_net(), (X[:, :, :, :5], Y), {}, r"inputs have shape \(1, 8, 5\)"),
    (toy_net(), (X, Y.float() + 0.5), {}, "item 0 of data has the label .*, where the number of a class"),
    (toy_net(), X, {}, "item 0 of data is no pair of an image and its label"),
    (toy_net(), iter([]), {}, "data is a list_iterator, where a data set with a length"),
    (toy_net(), [], {}, "data holds no image"),
    (toy_net(), Changing(), {}, "item 0 of data is another one each time it is read"),
    (toy_net(), [("image", 0)], {}, "item 0 of data is a str, where a PIL image or a tensor is expected"),
    (toy_net(), (X, Y), {"injection": 3}, 'no argument "injection". Did you mean "injections"'),
    (toy_net(), (X, Y), {"max_injections": 0}, "max_injections= is 0; use at least 1"),
    (toy_net(), (X, Y), {"mean": (0.5,)}, "mean says how to prepare pictures"),
    (toy_net(), (X, Y), {"checkpoint": "a.pt"}, "checkpoint says where a named model comes from"),
    (toy_net(), (X, Y), {"classes": ("a", "b")}, "has label 2, where 0 to 1 are expected"),
    (toy_net().forward, (X, Y), {}, "the model is a method, where an nn.Module or the name of one is expected"),
    (Uncopied(2, 2), (X, Y), {}, "the module Uncopied cannot be copied .*no copies"),
    ("toys:build_toy", "digits", {"name": "mine"}, "leave out name"),
    ("toys:build_toy", "digits", {"classes": CLASSES}, "leave out train and classes"),
]


@pytest.mark.parametrize(("model", "data", "options", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_cannot_be_measured_is_told_in_the_words_of_python(
    model: Any, data: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(tgr.TgrError, match=words) as raised:
        tgr.inject(model, data, **{**QUICK, **options})
    assert "--" not in str(raised.value)


def test_another_data_set_in_a_kept_folder_is_another_campaign(tmp_path: Path) -> None:
    """Images in memory have no names: their values tell them apart."""
    x, y = toy_tensors()
    kept: dict[str, Any] = {"workdir": tmp_path, "injections": 2, **QUICK}
    pools = []
    for inputs in (x, x, x + 0.01):
        run = tgr.inject(toy_net(), (inputs, y), **kept)
        assert run.injections is not None
        pools.append(run.injections.facts["pool"])
    assert pools[0] == pools[1] != pools[2]


def test_a_run_does_not_show_what_another_measurement_wrote_in_its_place(tmp_path: Path) -> None:
    x, y = toy_tensors()
    first = tgr.evaluate(toy_net(), (x, y), workdir=tmp_path, **QUICK)
    assert first.injections is None
    tgr.evaluate(toy_net(), (x[:9], y[:9]), workdir=tmp_path, **QUICK)
    with pytest.raises(tgr.TgrError, match=r"golden.parquet was written anew by another measurement since"):
        _ = first.golden


APART = {"data", "preprocessing", "source", "workdir", "out", "runs", "baseline", "candidates", "dataset", "name"}
ELSEWHERE = {  # what has a parameter of its own, or is another kind of campaign
    Campaign: {"exhaustive", "surface", "shard", "plan_only"},
    protect.Config: {"rerun_with"},
    fit.Config: {"raw_fit", "csv"},
}


@pytest.mark.parametrize(
    ("config", "typed"),
    [
        (evaluate.Config, options.RunOptions),
        (Campaign, options.InjectOptions),
        (compare.Config, options.CompareOptions),
        (protect.Config, options.ProtectOptions),
        (fit.Config, options.FitOptions),
    ],
)
def test_the_arguments_are_the_options_of_the_commands(config: Any, typed: Any) -> None:
    of_sources = set(get_type_hints(options.SourceOptions))
    arguments = set(get_type_hints(typed))
    own = arguments - of_sources if of_sources <= arguments else arguments
    assert own == {field.name for field in fields(config)} - APART - ELSEWHERE.get(config, set())


def test_the_arguments_for_models_and_data_are_their_options() -> None:
    theirs = {field.name for part in sources.PARTS.values() for field in fields(part)}
    assert set(get_type_hints(options.SourceOptions)) == theirs - {"model", "dataset", "name", "given"}
