"""Terminal output while a campaign runs."""

import io

from rich.console import Console as RichConsole

from tgr_cli.commands.console import Console, duration, size


def test_progress_shows_how_far_it_is_and_how_it_looks_so_far() -> None:
    seen, console = io.StringIO(), Console()
    console._err = RichConsole(file=seen, force_terminal=True, width=160, _environ={"TERM": "xterm"})
    with console.running():
        console.progress("injecting", 40, 100)
        console.progress("injecting", 70, 100, "SDC rate 0.0123 [x]")
        assert console._bars is not None
        (task,) = console._bars.tasks
        assert task.completed == 70
        assert sum(sample.completed for sample in task._progress) == 30  # the initial count does not affect the speed
        console._bars.refresh()
    assert "70/100" in seen.getvalue()
    assert "SDC rate 0.0123 [x]" in seen.getvalue()


def test_times_and_sizes_are_told_in_their_largest_units() -> None:
    assert [duration(seconds) for seconds in (0.4, 99, 150, 7500)] == ["0 s", "99 s", "2 min", "2 h 05 min"]
    assert [size(amount) for amount in (9, 2048, 5 * 2**20, 3 * 2**40)] == ["9 B", "2.0 KiB", "5.0 MiB", "3.0 TiB"]
