"""Operations have ATen's names, and each group of them is defined once."""

import re
from pathlib import Path

import torch
from toys import toy_net

import tgr_cli.faults
from tgr_cli.faults.graph import Network
from tgr_cli.faults.operation_names import POINTWISE, name_of


def test_operations_have_the_names_of_aten() -> None:
    nodes = list(Network.capture(toy_net().eval(), (1, 8, 8), batch_size=2).graph.nodes)
    names = [name_of(node) for node in nodes]
    assert {"conv2d", "relu", "linear"} <= set(names)
    assert {name_of(node) for node in nodes if node.op != "call_function"} == {""}
    assert name_of(3) == name_of(None) == ""
    normed = Network.capture(
        torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval(),
        (1, 2, 2),
        batch_size=2,
    )
    assert "getitem" in [name_of(node) for node in normed.graph.nodes]


def test_no_other_file_lists_the_pointwise_operations_or_names_a_node_itself() -> None:
    for path in Path(tgr_cli.faults.__path__[0]).rglob("*.py"):
        if path.name != "operation_names.py":
            text = path.read_text()
            assert not re.search(r'_opname|"hardswish"', text), path
    assert "hardswish" in POINTWISE
