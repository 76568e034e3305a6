"""How a step tells of its progress without knowing what a terminal is."""


class Reporter:
    """Hears what a running step has to tell; this one keeps it to itself.

    Steps call it, and `commands.console` answers on a terminal.
    """

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        """Hear that `done` of `total` units of the work called `what` are finished; `detail` is how it looks so far."""

    def note(self, text: str) -> None:
        """Hear one sentence the user should read: a choice that was made for them, a thing that was left out."""


SILENT = Reporter()


def plain_factor(value: float) -> str:
    """Return an improvement factor with two decimals, or with more where it would look as if it were 1, or nearly 0."""
    if 0 < value < 0.1:
        return f"{value:.2g}"
    shown = (f"{value:.{digits}f}" for digits in range(2, 8))
    return next((text for text in shown if float(text) != 1), "1.00")
