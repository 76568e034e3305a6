"""The fields of posits that faults struck: those of the word before the fault."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from report_pages import draw_only
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.artifacts import store
from tgr_cli.artifacts.schemas import INJECTIONS
from tgr_cli.campaign.struck_fields import struck_fields
from tgr_cli.faults.formats import format_named

RUN = Path("runs/toy/toys-build_toy-baseline")


def field(value: float, bit: int, width: int, es: int) -> str:
    """Return the field of a bit of a positive posit by its definition: a run of k + 1 ones or -k zeros, and its end."""
    k = math.floor(math.log2(value)) // 2**es
    regime = min((k + 2) if k >= 0 else (1 - k), width - 1)
    lowest = width - 1 - regime
    if bit >= lowest:
        return "sign" if bit == width - 1 else "regime"
    return "exponent" if bit >= lowest - es else "fraction"


@pytest.mark.parametrize(("name", "width", "es"), [("posit8", 8, 2), ("posit<8,1>", 8, 1), ("posit:n=6,es=0", 6, 0)])
def test_a_bit_is_in_the_field_that_it_had_before_the_fault(
    name: str, width: int, es: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_only(monkeypatch, "sdc_by_field")
    images = ["--dataset", f"parquet:{write_toy_dataset(tmp_path / 'toy')}", "--crop", "8", "--mean", "0.5"]
    model = ["--std", "0.5", "--model", "toys:build_toy", "--weights", "none", "--all-images"]
    invoke("inject", *images, *model, "--injections", "80", "--sampling", "uniform", "--encode", name)
    artifact = store.read(RUN / "injections.parquet", INJECTIONS)
    found = struck_fields(artifact, artifact.fact("struck_format"))
    assert found is not None
    words = format_named(name)
    seen = set()
    for row, said in zip(artifact.table.to_pylist(), found.tolist(), strict=True):
        [stored] = words.rounded(torch.tensor([row["value_before"]])).tolist()
        if row["bit"] == width - 1:
            assert said == "sign"
        elif stored > 0:
            assert said == field(stored, row["bit"], width, es)
        seen.add(said)
    assert seen == {"sign", "regime", "fraction"} | ({"exponent"} if es else set())
    page = Path("page.html")
    invoke("report", "--dataset", images[1], "toys-build_toy-baseline", "--out", page)
    assert ">regime<" in page.read_text()
    assert ">body<" not in page.read_text()


def test_fields_of_one_length_need_no_words() -> None:
    class Unread:
        table: dict[str, np.ndarray] = {}  # noqa: RUF012

    assert struck_fields(Unread(), {"name": "int8", "fields": {"sign": [7, 7], "value": [0, 6]}}) is None  # type: ignore[arg-type]
