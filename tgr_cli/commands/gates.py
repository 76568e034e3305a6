"""Gates: options of a campaign, the exit code of one that does not pass, and verdicts as a file that CI shows."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tgr_cli.errors import TgrError, printable

if TYPE_CHECKING:
    from tgr_cli.metrics.summary import Gate

GATES = "Gates"  # panel in --help
GATE_FAILED = 3

MaxSdcRate = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Exit with 3 unless the network's rate of sdc + non_finite is below this with confidence.",
        rich_help_panel=GATES,
    ),
]
MaxDloss = Annotated[
    float | None,
    typer.Option(min=0, help="Exit with 3 unless the network's mean dLoss is below this.", rich_help_panel=GATES),
]
FailOnChange = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="A campaign that was run before, by name or path: exit with 3 if this one is worse, with its "
        "interval above that of the other, in its rate of sdc + non_finite or its mean dLoss.",
        rich_help_panel=GATES,
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the gates' verdicts to this file, too, as JUnit XML: a test a gate.",
        rich_help_panel=GATES,
    ),
]


def prepare_junit(path: Path | None, *gates: object) -> None:
    """Remove the verdicts of an earlier run; raises TgrError if there is no gate to write of, or no place to."""
    if path is None:
        return
    if all(gate is None for gate in gates):
        raise TgrError(f"--junit {path} is for the verdict of a gate, and none is set; set one, or leave --junit out")
    from tgr_cli.artifacts.outputs import prepare, refuse_loss

    refuse_loss(path, "junit")
    prepare(path).unlink(missing_ok=True)


def conclude(gate: "Gate | None", suite: str, junit: Path | None = None) -> None:
    """Write the gates' verdicts to `junit`, a test a gate; report one that did not pass, and exit with its code."""
    if gate is None:
        return
    if junit is not None:
        from tgr_cli.artifacts.outputs import replacing

        with replacing(junit) as temporary:
            temporary.write_text(_xml(gate, suite), encoding="utf-8")
    if gate.verdict != "passed":
        typer.echo(f"tgr: gate {gate.verdict}: {gate.sentence}", err=True)
        raise typer.Exit(GATE_FAILED)


def _xml(gate: "Gate", suite: str) -> str:
    """Return the verdicts as JUnit XML: what is undecided fails, as the exit code has it."""
    from xml.etree.ElementTree import Element, SubElement, indent, tostring

    parts = gate.alone
    failed = sum(part.verdict != "passed" for part in parts)
    counts = {"tests": str(len(parts)), "failures": str(failed), "errors": "0", "skipped": "0"}
    root = Element("testsuites", {"name": "tgr", **counts})
    tests = SubElement(root, "testsuite", {"name": printable(suite), **counts})
    for part in parts:
        name = re.split(" is | has ", part.sentence, maxsplit=1)[0]  # without the figures: CI systems follow it by name
        test = SubElement(tests, "testcase", classname=printable(suite), name=printable(name), time="0")
        if part.verdict == "passed":
            SubElement(test, "system-out").text = printable(part.sentence)
        else:
            failure = SubElement(test, "failure", type=part.verdict, message=printable(part.sentence))
            failure.text = printable(f"{part.verdict}: {part.sentence}")
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=True) + "\n"
