"""The demo: the whole method on embedded digits, as a list of commands."""

from dataclasses import dataclass

from tgr_cli.models.source import HEADS

MODEL = "digits_cnn"
RUNS = {"baseline": f"{MODEL}-baseline", "cosine": f"{MODEL}-cosine", "text": f"{MODEL}-text-descriptions"}
TRAINING = ("--epochs", "15", "--optimizer", "adamw", "--lr", "0.002", "--batch-size", "64")
EMBEDDING_DIM = "50"  # the size of tfidf's embeddings for 50 descriptions, so that cosine and text heads match


@dataclass(frozen=True)
class Stage:
    """One command of the demo: its purpose, and its arguments after `tgr`."""

    purpose: str
    arguments: tuple[str, ...]


def stages(injections: int) -> tuple[Stage, ...]:
    """Return the demo's commands in order; each reads the outputs of earlier ones."""
    return (
        Stage("Describe each class in words; these descriptions come with tgr.", ("describe",)),
        Stage(
            "Embed the descriptions; tfidf stands in for CLIP, which needs a download.", ("embed", "--encoder", "tfidf")
        ),
        *(
            stage
            for head in HEADS
            for stage in (
                Stage(_TRAIN[head], ("train", *_model(head), *TRAINING, *_extra(head))),
                Stage("Classify the test images without a fault.", ("evaluate", *_model(head))),
                Stage("See what values each site takes on the training images.", ("profile-ranges", *_model(head))),
                Stage(
                    "Flip single bits in the activations, and see what becomes of the predictions.",
                    ("inject", *_model(head), "--injections", str(injections)),
                ),
            )
        ),
        Stage("How confident is each model, and what would re-running doubtful images catch?", ("top2diff-sweep",)),
        Stage("Is the text-guided head more resilient than the baseline's?", ("compare", *RUNS.values())),
        Stage("Put all of it on one page.", ("report", *RUNS.values())),
    )


_TRAIN = {
    "baseline": "Train a small network with the usual head.",
    "cosine": "Train the same network with a head of random unit vectors: what normalisation alone does.",
    "text": "Train the same network with a head that starts from the class embeddings.",
}


def _model(head: str) -> tuple[str, ...]:
    return ("--model", MODEL, "--head", head)


def _extra(head: str) -> tuple[str, ...]:
    return ("--embedding-dim", EMBEDDING_DIM) if head == "cosine" else ()
