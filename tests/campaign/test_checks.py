"""`tgr inject` rejects impossible campaigns before any work, and options that would have no effect."""

from collections.abc import Callable
from pathlib import Path

import pytest
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.errors import TgrError

RUN = Path("runs/toy/toys-build_toy-baseline")
DATA = "--dataset parquet:toy --crop 8 --mean 0.5 --std 0.5 --weights none"
MODEL = f"--model toys:build_toy {DATA}"


@pytest.fixture(autouse=True)
def _toy() -> None:
    write_toy_dataset(Path("toy"))
    Path("faults.csv").write_text("site,index,bit,image_id\nfc,1,31,toy/0.png\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            "--replay 3 --shard 1/2",
            "--shard does nothing beside --replay, which runs one stored fault again and writes",
        ),
        ("--replay 3 --verify 4 --plan-only --limit none", "--plan-only draws the whole plan and runs nothing of it"),
        ("--replay 3 --plan p --out x.parquet", "--plan and --out do nothing beside --replay, .*; leave them out"),
        ("--replay 3 --target-ci sdc=0.1", "--target-ci does nothing beside --replay, .* nothing; leave it out"),
        # given explicitly, with the default value
        ("--replay 3 --injections 4096", "--injections does nothing beside --replay"),
        ("--replay 3 --max-sdc-rate 0.1", "--max-sdc-rate does nothing beside --replay"),
        ("--replay 3 --exhaustive last", "--exhaustive does nothing beside --replay"),
        ("--exhaustive last --injections 5 --engine full", "--injections and --engine do nothing beside --exhaustive"),
        (
            "--faults faults.csv --sampling uniform",
            "--sampling does nothing beside --faults, which lists what is struck",
        ),
        ("--faults faults.csv --seed 3", "--seed does nothing beside --faults, since nothing is drawn; leave it out"),
        (
            "--target-ci sdc=0.1 --injections 5",
            "--injections does nothing beside --target-ci, which chooses the number",
        ),
        ("--max-injections 9", "--max-injections does nothing without --target-ci; leave it out"),
        ("--pilot 9", "--pilot does nothing without --sampling stratified or --target-ci; leave it out"),
        ("--images-per-fault 9", "--images-per-fault does nothing where neurons are struck, each fault on one image"),
        (
            "--target weight --targets conv",
            "--targets does nothing where tensors are struck: it names operations whose",
        ),
        ("--limit none --ranges r.parquet", "--ranges does nothing beside --limit none; leave it out"),
        (
            "--plan-only --confidence 0.9",
            "--confidence does nothing beside --plan-only, which estimates nothing; leave",
        ),
    ],
)
def test_an_option_that_does_nothing_beside_another_is_refused(options: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        invoke("inject", *MODEL.split(), *options.split())
    assert not RUN.exists()


def test_what_tgr_toml_sets_may_be_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from tgr_cli.app import app, defaults

    Path("tgr.toml").write_text("[inject]\npilot = 64\nmax-injections = 100\ninjections = 2\n")
    options = f"inject {MODEL} --label golden --sampling uniform"
    done = CliRunner().invoke(app, options.split(), default_map=defaults())
    assert done.exit_code == 0, done.stderr


def _other_plan() -> None:
    drawn = ("--label", "golden", "--limit", "none", "--injections", 2)
    invoke("inject", *MODEL.split(), *drawn, "--plan-only", "--out", "p.parquet")


@pytest.mark.parametrize(
    ("options", "words", "before"),
    [
        ("--plan nowhere.parquet", r"nowhere.parquet does not exist; run \"tgr inject --plan-only\" first", None),
        ("--plan p.parquet", r"p.parquet was drawn with limit none, but clamp now; give the same model", _other_plan),
        ("--faults nowhere.parquet", "nowhere.parquet does not exist; name a CSV file of faults or an", None),
        ("--faults faults.csv --target weight", r'fault 0: the model has no site "fc"; "tgr sites" lists them', None),
        ("--sampling stratified --injections 63", "63 faults a site are too few for --sampling stratified", None),
        ("--sampling stratified --pilot 63", "--pilot is 63, too few for --sampling stratified, which needs 2", None),
    ],
)
def test_what_does_not_suit_is_told_before_any_range_is_profiled(
    options: str, words: str, before: Callable[[], None] | None
) -> None:
    if before:
        before()
    with pytest.raises(TgrError, match=words):
        invoke("inject", *MODEL.split(), "--label", "golden", *options.split())
    assert not (RUN / "ranges.parquet").exists()


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("toys_choosing:build", "", "importance sampling needs the model's graph, .*; use --sampling uniform"),
        (
            "toys_choosing:build",
            "--engine replay",
            "the engine replay needs the model's graph, and torch.export cannot",
        ),
        ("toys_choosing:build", "--exhaustive last", "--exhaustive needs the model's graph, and torch.export cannot"),
        (f"{__name__}:half", "--engine delta", "the engine delta is for float32 networks, the model is torch.float16"),
        (f"{__name__}:half", "--engine pytorchfi", "the engine pytorchfi flips bits of float32 only, the model is to"),
    ],
)
def test_a_model_that_does_not_suit_is_told_before_any_range_is_profiled(model: str, options: str, words: str) -> None:
    with pytest.raises(TgrError, match=words):
        invoke("inject", "--model", model, *DATA.split(), "--label", "golden", *options.split())
    assert not list(Path("runs").glob("**/ranges.parquet"))


def half(num_classes: int = 3) -> object:
    from toys import toy_net

    return toy_net(0, num_classes).half()


def test_a_replay_runs_a_fault_as_it_was() -> None:
    invoke("inject", *MODEL.split(), *["--label", "golden", "--injections", "2", "--sampling", "uniform"])
    replay = ("inject", *MODEL.split(), "--replay", "0")
    assert invoke(*replay, "--label", "golden").exit_code == 0
    with pytest.raises(
        TgrError, match=r"--limit is zero, but .*injections.parquet was run with clamp; leave --limit ou"
    ):
        invoke(*replay, "--limit", "zero")


def test_a_replay_of_an_image_outside_the_pool_says_what_hides_it() -> None:
    invoke("inject", *MODEL.split(), *["--label", "golden", "--injections", "30", "--sampling", "uniform"])
    replay = ("inject", *MODEL.split(), "--replay", "0")
    with pytest.raises(
        TgrError,
        match=r"row 0 of .*injections.parquet strikes the image \"toy/\d+.png\", none of the 1 that --images 1 takes; "
        "leave --images out$",
    ):
        invoke(*replay, "--images", "1")
