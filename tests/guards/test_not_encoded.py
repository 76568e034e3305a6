"""Stored tensors that have no encoding."""

import torch
from torch import Tensor, nn

from tgr_cli.guards.tensors import tensors_read
from tgr_cli.protection.guarding import GUARDINGS, Making


def test_what_has_no_encoding_is_told() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phases = nn.Parameter(torch.ones(4, dtype=torch.complex64))
            self.scale = nn.Parameter(torch.ones(()))
            self.register_buffer("shift", torch.tensor([1.0]).expand(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.flatten(1)[:, :4] * self.phases.abs() + self.shift

    model, example_1CHW = Odd().eval(), torch.zeros(1, 1, 2, 2)
    made = Making((), tensors_read(model, example_1CHW), model.state_dict().keys(), None, None, None)
    assert GUARDINGS["parity"].make(made).to_json()["tensors"] == ["scale"]
    assert sorted(made.left_out) == [
        '"phases" is stored as torch.complex64, which has no encoding; leave it out',
        '"shift" is expanded from fewer values than it has, which have no words of their own',
    ]
