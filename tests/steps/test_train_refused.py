"""`tgr train`: options without a meaning, and embeddings and places it cannot use."""

from pathlib import Path

import pytest
from toys import write_toy_dataset
from toys_trained import QUICK, train, write_embeddings

from tgr_cli.errors import TgrError


@pytest.fixture(autouse=True)
def _toy_data() -> None:
    write_toy_dataset(Path("toy"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--head", "txt"), '--head is "txt"; use one of baseline, cosine, text. Did you mean "text"?'),
        (("--augment", "all"), '--augment is "all"; use one of none, flip, crop, imagenet, trivial.'),
        (
            ("--head", "text", "--init", "random"),
            '--init is "random"; use one of template, descriptions',
        ),
        (("--init", "template"), '--init template has no meaning for --head baseline; use "--head text"'),
        (("--head", "text", "--embedding-dim", 8), "--embedding-dim has no meaning for --head text"),
        (("--label-smoothing", 1), r"--label-smoothing is 1; it must be in \[0, 1\)"),
        (("--epochs", 2, "--warmup-epochs", 2), "--warmup-epochs is 2 of 2 epochs; it must be below --epochs"),
        (("--device", "tpu"), '--device "tpu" cannot be used on this machine'),
        (
            ("--head", "text"),
            'runs/toy/embeddings-descriptions.parquet does not exist; run "tgr describe --dataset parquet:toy" and '
            'then "tgr embed --dataset parquet:toy --init descriptions" first',
        ),
        (
            ("--lr", 1000, "--weight-decay", 1000, "--batch-size", 2, "--epochs", 3),
            "no finite number any more in epoch 1; lower --lr",
        ),
        (
            ("--lr", 1000, "--weight-decay", 1000),
            r"logits for image toy/0.png are not finite; lower --lr \(now 1000\) or add --warmup-epochs",
        ),
        (("--std", "0.2,0.2,0.2", "--mean", "0,0,0"), "--model toys:build_toy fails on an input of 3×8×8"),
    ],
)
def test_a_mistake_ends_in_a_sentence(options: tuple[object, ...], message: str) -> None:
    result = train(*options)
    assert result.exit_code == 1
    with pytest.raises(TgrError, match=message):
        raise result.exception  # type: ignore[misc]
    assert not list(Path("runs").rglob("*.safetensors")) if Path("runs").exists() else True


def test_embeddings_of_other_classes_are_refused() -> None:
    write_embeddings(("dot", "bar", "star"))
    wanted = (
        r"embeddings-descriptions.parquet embeds 3 classes \(dot, bar, star\), the data set has 3 classes "
        r'\(dot, bar, ring\); run "tgr embed --dataset parquet:toy --init descriptions" again'
    )
    with pytest.raises(TgrError, match=wanted):
        raise train("--head", "text").exception  # type: ignore[misc]


def test_an_output_that_cannot_be_written_is_told_before_the_work() -> None:
    Path("runs").write_text("a file in the way")
    with pytest.raises(TgrError, match="cannot be written"):
        raise train(*QUICK).exception  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dropout", 1), r"--dropout is 1; it must be in \(0, 1\)"),
        (("--dropout-sites", "conv1"), "--dropout-sites has no meaning without --dropout"),
        (("--stimulated-bits", "3"), "--stimulated-sites and --stimulated-bits have no meaning without --stimulated"),
        (("--stimulated", 2), r"--stimulated is 2; it must be in \(0, 1\]"),
        (("--stimulated", 0.2, "--stimulated-sites", "conv9"), '--stimulated-sites names "conv9", which is no convolu'),
        (
            ("--stimulated", 0.2, "--freeze-backbone"),
            "--stimulated has no effect on conv1, which --freeze-backbone keeps as it is without faults; leave out one",
        ),
        (("--dropout", 0.2, "--dropout-sites", "fc,conv2", "--freeze-backbone"), "--dropout has no effect on conv2"),
        (("--freeze-head", "--freeze-backbone"), "leave nothing to train; leave out one of them"),
        (("--recipe", "resnets"), '--recipe is "resnets"; use one of auto, none,'),
    ],
)
def test_mistakes_in_how_it_trains_end_in_a_sentence(options: tuple[object, ...], message: str) -> None:
    with pytest.raises(TgrError, match=message):
        raise train(*options).exception  # type: ignore[misc]
