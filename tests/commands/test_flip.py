"""`tgr flip` and `tgr formats`, through the entry point."""

import json
import sys
from pathlib import Path

import pytest
from processes import tgr

from tgr_cli.app import main


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Return a function that runs the command line in this process and returns exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tgr", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("arguments", "before", "after", "field"),
    [
        (("-1.5", "--bit", 31), "0xbfc00000", "0x3fc00000", "sign"),
        (("--bit", 30, "-inf"), "0xff800000", "0xbf800000", "exponent"),
        (("--bit", 0, "--", "-0.0"), "0x80000000", "0x80000001", "mantissa"),
        (("-3e8", "--bit", 0, "--format", "bfloat16"), "0xcd8f", "0xcd8e", "mantissa"),
        (("-1", "--bit", 6, "--format", "int8"), "0xff", "0xbf", "value"),
        (("255", "--bit", 7, "--format", "uint8"), "0xff", "0x7f", "value"),
        (("nan", "--bit", 0, "--format", "float64"), "0x7ff8000000000000", "0x7ff8000000000001", "mantissa"),
    ],
)
def test_a_flip_in_json(call, arguments, before, after, field) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = call("flip", "--json", *arguments)
    found = json.loads(out)
    assert (code, found["before"]["hex"], found["after"]["hex"], found["field"]) == (0, before, after, field)


def test_a_flip_as_a_table() -> None:
    ran = tgr("flip", "-1.5", "--bit", 22)
    assert ran.code == 0
    (before,) = (line for line in ran.out.splitlines() if "before" in line)
    (after,) = (line for line in ran.out.splitlines() if "after" in line)
    assert before.split() == [*("before", "-1.5", "0xbfc00000", "1", "01111111", "10000000000000000000000")]
    assert after.split() == [*("after", "-1.0", "0xbf800000", "1", "01111111", "00000000000000000000000")]


def test_every_flip_as_a_table() -> None:
    ran = tgr("flip", "1.5", "--format", "fp8_e5m2")
    assert ran.code == 0
    title, _, _, *rows, _ = ran.out.splitlines()
    assert title == "1.5 in fp8_e5m2 is 0x3e; after the flip of each bit"
    assert [row.split() for row in rows] == [  # by hand: sign, exponent with a bias of 15, mantissa
        ["-", "none", "1.5", "0x3e", "0", "01111", "10"],
        ["7", "sign", "-1.5", "-3", "0xbe", "1", "01111", "10"],
        ["6", "exponent", "nan", "-", "0x7e", "0", "11111", "10"],
        ["5", "exponent", "0.005859375", "-1.49414", "0x1e", "0", "00111", "10"],
        ["4", "exponent", "0.09375", "-1.40625", "0x2e", "0", "01011", "10"],
        ["3", "exponent", "0.375", "-1.125", "0x36", "0", "01101", "10"],
        ["2", "exponent", "0.75", "-0.75", "0x3a", "0", "01110", "10"],
        ["1", "mantissa", "1.0", "-0.5", "0x3c", "0", "01111", "00"],
        ["0", "mantissa", "1.75", "+0.25", "0x3f", "0", "01111", "11"],
    ]


def test_every_flip_in_json(call) -> None:  # type: ignore[no-untyped-def]
    code, out, told = call("flip", "0.3125", "--format", "posit8", "--json")
    found = json.loads(out)
    assert (code, told) == (0, "")
    assert found["before"]["fields"] == {"sign": "0", "regime": "01", "exponent": "10", "fraction": "010"}
    assert [each["bit"] for each in found["flips"]] == list(range(7, -1, -1))
    regime = found["flips"][1]  # of 0 01 10 010 the flip makes 0 1110 00..: 2^(4 · 2 + 1)
    assert (regime["field"], regime["after"]["value"], regime["change"]) == ("regime", 512, 511.6875)


def test_flips_of_a_number_with_a_scale(call) -> None:  # type: ignore[no-untyped-def]
    code, out, told = call("flip", "0.3", "--format", "int8", "--max", 6.35, "--json")
    found = json.loads(out)
    assert code == 0
    assert told.startswith("0.3 is stored in int8 as 0.3")  # 6 · 0.05, as float32
    assert found["before"]["hex"] == "0x06"
    assert found["scale"]["step"] == pytest.approx(0.05)
    assert found["flips"][0]["after"]["value"] == pytest.approx((6 - 128) * 0.05)
    assert [each["field"] for each in found["scale"]["flips"]].count("exponent") == 8
    _, out, _ = call("flip", "3", "--format", "mxfp4_e2m1", "--max", 5, "--json")  # floor(log2 5) = 2, that of 6: 2^0
    scale = json.loads(out)["scale"]
    assert (scale["step"], scale["format"], scale["hex"]) == (1.0, "e8m0", "0x7f")
    assert [each["after"]["value"] for each in scale["flips"][-3:]] == [3 / 16, 0.75, 1.5]
    assert scale["flips"][0]["after"]["value"] is None  # 0xff is NaN
    _, out, _ = call("flip", "1", "--format", "uint8:affine", "--max", 3, "--min", -1, "--bit", 7, "--json")
    found = json.loads(out)
    assert (found["scale"]["zero"], found["before"]["hex"], found["after"]["hex"]) == (64, "0x80", "0x00")
    ran = tgr("flip", "0", "--format", "adaptivfloat", "--max", 1)
    assert "The shared step 0.0078125 in exponent_bias is 0xf9; after each flip in it" in ran.out


def test_a_number_that_the_format_does_not_hold_is_told(call) -> None:  # type: ignore[no-untyped-def]
    _, _, told = call("flip", "0.1", "--bit", 3, "--format", "float16")
    assert told == "0.1 is stored in float16 as 0.0999755859375\n"
    assert call("flip", "0.5", "--bit", 3, "--format", "float16")[2] == ""


@pytest.mark.parametrize("name", ["float64", "float32", "bf16"])
def test_a_number_beyond_what_python_reads_is_told(call, name: str) -> None:  # type: ignore[no-untyped-def]
    told = {text: call("flip", text, "--bit", 0, "--format", name)[2] for text in ("1e400", "-1e999", "1e-400")}
    assert [each.rsplit(" ", 1)[1] for each in told.values()] == ["inf\n", "-inf\n", "0.0\n"]
    assert all(each.startswith(f"{text} is stored in ") for text, each in told.items())
    for text in ("inf", "-Infinity", "nan", "0e5", "-0"):
        assert call("flip", text, "--bit", 0, "--format", name)[2] == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("1", "--bit", 32), 1, "tgr: --bit is 32; the bits of float32 are 0 to 31\n"),
        (("1", "--bit", -1), 1, "tgr: --bit is -1; the bits of float32 are 0 to 31\n"),
        (("one", "--bit", 3), 1, 'tgr: "one" is no number of the format float32; write it as -1.5, 3 or nan\n'),
        (("1.5", "--bit", 3, "--format", "int8"), 1, 'tgr: "1.5" is no number of the format int8; write it as -1'),
        (("128", "--bit", 3, "--format", "int8"), 1, "tgr: 128 does not fit int8, which holds -128 to 127\n"),
        (("1", "--bit", 3, "--format", "flaot32"), 1, 'tgr: --format is "flaot32"; use one of float64, '),
        (("1.5", "--format", "int8"), 1, "as -15 or 3; to store other numbers, give the range with --max\n"),
        (("1", "--max", 6), 1, "tgr: --max is for formats with a scale, as int8, and float32 has none; leave it out\n"),
        (("1", "--format", "int8", "--min", 0), 1, "tgr: --min is given without --max; give both ends of the range\n"),
        (
            ("1", "--format", "int8", "--max", "nan"),
            1,
            "tgr: --max is nan, where a finite number is expected; give one",
        ),
        (
            ("1", "--format", "int8", "--max", -3),
            1,
            "tgr: --max is -3.0 without --min; give the largest magnitude, or both ends of the range\n",
        ),
        (
            ("1", "--format", "int8", "--max", 1, "--min", 2),
            1,
            "tgr: --min is 2.0 and --max is 1.0; use a finite range",
        ),
        (
            ("-1", "--format", "uint8", "--max", 1, "--min", -1),
            1,
            "tgr: uint8 holds no negative numbers, and the values",
        ),
        (("1", "--bit", 3, "--bits", 4), 2, "unexpected extra argument"),
    ],
)
def test_mistakes_are_told_in_a_sentence(call, arguments, code, words) -> None:  # type: ignore[no-untyped-def]
    ended, out, told = call("flip", *arguments)
    assert (ended, out) == (code, "")
    assert words in told


def test_formats_in_json(call) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = call("formats", "--json")
    formats = {row["format"]: row for row in json.loads(out)}
    assert code == 0
    bfloat16 = formats["bfloat16"]
    assert (bfloat16["format"], bfloat16["bits"]) == ("bfloat16", 16)
    assert bfloat16["fields"] == {"sign": [15, 15], "exponent": [7, 14], "mantissa": [0, 6]}
    assert (bfloat16["epsilon"], bfloat16["smallest_normal"], bfloat16["smallest"]) == (2**-7, 2**-126, 2**-133)
    assert formats["int8"]["fields"] == {"sign": [7, 7], "value": [0, 6]}
    assert (formats["mxfp4_e2m1"]["scale_per"], formats["mxfp4_e2m1"]["block"]) == ("block", 32)


def test_formats_by_name(call) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = call("formats", "fp8_e4m3", "float:e=3,m=4", "--json")
    first, second = json.loads(out)
    assert code == 0
    assert (first["format"], first["largest"], first["infinities"], first["nan"]) == ("float8_e4m3fn", 448, False, True)
    assert (second["format"], second["largest"], second["subnormals"]) == ("float:e=3,m=4", 15.5, True)
    table = tgr("formats", "bf16").out.splitlines()
    assert table[-2].split()[:6] == ["bfloat16", "16", "3.38953e+38", "1.17549e-38", "9.18355e-41", "0.0078125"]
    code, out, told = call("formats", "bf17")
    assert (code, out) == (1, "")
    assert told.startswith('tgr: a format is "bf17"; use one of float64, ')
    assert told.endswith('Did you mean "bf16"?\n')


def test_sites_in_json_and_as_a_table(call) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = call("sites", "--model", "digits_cnn", "--num-classes", 10, "--json")
    rows = json.loads(out)
    assert code == 0
    assert list(rows[-1]) == ["site", "op", "shape", "neurons", "feature_maps", "macs", "per_image"]
    assert rows[-1]["shape"] == [10]
    code, out, _ = call("sites", "--model", "digits_cnn", "--num-classes", 10)
    total = sum(row["macs"] for row in rows)
    assert f"{len(rows)} sites, " in out
    assert f"{total:,} MACs an image" in out


ANSWERS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.conv, self.after = nn.Conv2d(3, 4, 3), after

    def forward(self, x):
        return self.after(self.conv(x).mean((2, 3)))

def mapping(): return Net(lambda y: {"logits": y, "hidden": y})
def pair(): return Net(lambda y: (y, y[:, :2]))
def nothing(): return Net(lambda y: None)
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mapping", "a dict, where one tensor of logits (images, classes) is expected; let its forward return the "),
        ("pair", "a tuple, where one tensor of logits (images, classes) is expected; let its forward return the"),
        ("nothing", "a NoneType, where one tensor of logits (images, classes) is expected; let its forward return"),
    ],
)
def test_sites_of_what_answers_no_logits_say_what_it_answers(call, name: str, words: str) -> None:  # type: ignore[no-untyped-def]
    Path("answering.py").write_text(ANSWERS, encoding="utf-8")
    code, out, error = call("sites", "--model", f"answering:{name}", "--crop", 8)
    assert (code, out) == (1, "")
    assert f"--model answering:{name} answers an image with {words}" in " ".join(error.split())


def test_sites_say_how_many_faults_a_margin_takes(call) -> None:  # type: ignore[no-untyped-def]
    arguments = ("sites", "--model", "digits_cnn", "--num-classes", 10, "--margin", 0.01)
    code, out, _ = call(*arguments, "--json")
    assert code == 0
    last = json.loads(out)[-1]
    assert (last["population"], last["sample"]) == (320, 314)  # 10 neurons of 32 bits; Leveugle et al., equation 3
    code, out, _ = call(*arguments)
    assert "over many images a site takes up to 16,588" in out
    code, _, error = call("sites", "--model", "digits_cnn", "--margin", 1)
    assert code == 1
    assert "--margin is 1.0; use a share between 0 and 1, as 0.01" in error
    code, _, error = call("sites", "--model", "digits_cnn", "--margin", 0.01, "--confidence", 99)
    assert code == 1
    assert "--confidence is 99.0; use a probability between 0.5 and 0.999999" in error
