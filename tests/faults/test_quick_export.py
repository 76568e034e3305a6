"""The faster capture gives the same graph as torch alone, and leaves torch unchanged."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import _ops, nn
from torch._export import utils
from toys import toy_net

from tgr_cli.faults import export, quick_export


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(1, 2).contiguous()
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.head(nn.functional.dropout(tokens.mean(1), training=self.training))


@contextmanager
def as_torch_does() -> Iterator[None]:
    yield


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("kind", [toy_net, Attention])
def test_the_graph_is_that_of_torch_alone(kind: type[nn.Module], apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = kind().eval(), torch.rand(2, 1, 8, 8)
    graphs = []
    for within in (quick_export.quick, as_torch_does):
        monkeypatch.setattr(export, "quick", within)
        program = export.export(model, x, decompose_attention=apart)
        graphs.append((str(program.graph), program.graph_signature))
    assert graphs[0] == graphs[1]


def test_torch_is_left_as_it_was_also_by_an_exception() -> None:
    before = utils._materialize_cpp_cia_ops, _ops.OperatorBase.py_impl
    with quick_export.quick():
        assert utils._materialize_cpp_cia_ops is not before[0]
        assert _ops.OperatorBase.py_impl is not before[1]
    with pytest.raises(ValueError, match="stop"), quick_export.quick():
        raise ValueError("stop")
    assert (utils._materialize_cpp_cia_ops, _ops.OperatorBase.py_impl) == before


def test_a_torch_that_has_these_places_elsewhere_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(utils, "_materialize_cpp_cia_ops")
    monkeypatch.delattr(_ops.OperatorBase, "py_impl")
    with quick_export.quick():
        assert not hasattr(utils, "_materialize_cpp_cia_ops")
