"""`tgr compare`: runs that are not there, do not belong together, or cannot be compared."""

import pytest
from toys_artifacts import write_injections
from toys_comparison import BASELINE, CONFIG, FC, FOLDER, HEAD, TEXT, baseline, text

from tgr_cli.artifacts.layout import RunFolder
from tgr_cli.errors import TgrError
from tgr_cli.steps.compare import Config, run


def no_golden() -> None:
    text()
    BASELINE.mkdir(parents=True)


def no_injections() -> None:
    baseline()
    text()
    RunFolder(TEXT).injections.unlink()


def no_vulnerability() -> None:
    baseline()
    text()
    RunFolder(TEXT).vulnerability.unlink()


def other_model() -> None:
    text()
    baseline(model="other")


def other_campaign() -> None:
    text()
    baseline()
    kept = RunFolder(BASELINE).vulnerability.read_bytes()
    baseline(limit="zero")
    RunFolder(BASELINE).vulnerability.write_bytes(kept)


def other_images() -> None:
    text()
    baseline(top2diff={"a": 0.1, "b": 0.1, "c": 0.1})


def other_labels() -> None:
    text()
    baseline(label=1)


def other_preprocessing() -> None:
    text()
    baseline(preprocessing={"crop": 8})
    write_injections(
        BASELINE / "injections.parquet", [(FC, "s", "a", [6])], model="base", extra={"preprocessing": {"crop": 16}}
    )


def other_classes() -> None:
    text()
    baseline(classes="0" * 64)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (text, r"there is no run \"net-baseline\" in runs/digits; it holds net-text-descriptions"),
        (no_golden, r"net-baseline/golden.parquet does not exist; run \"tgr evaluate\" first"),
        (no_injections, r"net-text-descriptions/injections.parquet does not exist; run \"tgr inject\" first"),
        (no_vulnerability, r"net-text-descriptions/vulnerability.parquet does not exist; run \"tgr inject\" first"),
        (
            other_model,
            r"injections.parquet was made with the model other, .*golden.parquet with base; make both with one",
        ),
        (other_campaign, r"vulnerability.parquet was not made from .*injections.parquet; run \"tgr inject\" again"),
        (other_images, r"golden.parquet holds 3 images, .*golden.parquet 4, 3 of them the same, labels included; run"),
        (other_labels, r"golden.parquet holds 4 images, .*golden.parquet 4, 0 of them the same, labels included; run"),
        (
            other_preprocessing,
            r"injections.parquet was made on images prepared with crop 16, but 8 for .*golden.parquet; run \"tgr eval",
        ),
        (other_classes, r"are of other classes \(SHA-256 000000000000 and \w{12}\); compare models of one data set"),
    ],
)
def test_each_mistake_is_told_in_a_sentence(made, words):
    made()
    with pytest.raises(TgrError, match=words):
        run(CONFIG)
    assert not (FOLDER / "comparison.parquet").exists()


def test_a_run_is_named_once():
    baseline()
    with pytest.raises(TgrError, match='two of the runs are called "net-baseline"; name each once, or rename'):
        run(Config(baseline="net-baseline", candidates=[str(BASELINE)], dataset="digits"))


def test_faults_in_neurons_are_not_compared_with_faults_in_tensors():
    baseline()
    text()
    write_injections(TEXT / "injections.parquet", [(HEAD, "bsb", "bcd", [1, 2, 3])], model="text", target="weight")
    with pytest.raises(TgrError, match="net-text-descriptions was injected with --target weight, net-baseline with ne"):
        run(CONFIG)
    assert not (FOLDER / "comparison.parquet").exists()


def test_a_candidate_is_needed():
    with pytest.raises(TgrError, match="no candidate to compare with the baseline; name at least one run more"):
        Config(baseline="net-baseline", candidates=[])


def test_a_gate_that_nothing_could_pass_or_fail_is_refused():
    with pytest.raises(TgrError, match="--min-improvement is nan; it must be a factor of 0 or more"):
        Config(baseline="net-baseline", candidates=["other"], min_improvement=float("nan"))
