"""The interface by which a step reports progress, independent of the terminal."""


class Reporter:
    """Receives progress and notes of a running step; this base class discards them.

    `commands.console` has the implementation for terminals.
    """

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Receive the progress of the work `what`: `done` of `total` units, with a short status in `detail`."""

    def note(self, text: str) -> None:
        """Receive a sentence for the user: an automatic choice, or something left out."""


SILENT = Reporter()


SHARES = ("accuracy_baseline", "accuracy_candidate", "top2diff")  # of a comparison's figures; the others are factors


def plain_factor(value: float) -> str:
    """Return a factor with two decimals, or more if it would otherwise read as 1 or as nearly 0."""
    if 0 < value < 0.1:
        return f"{value:.2g}"
    shown = (f"{value:.{digits}f}" for digits in range(2, 8))
    return next((text for text in shown if float(text) != 1), "1.00")
