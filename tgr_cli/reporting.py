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
