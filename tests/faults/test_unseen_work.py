"""The work outside the sites, against multiply-accumulates computed by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization

from tgr_cli.errors import TgrError
from tgr_cli.faults import hooked
from tgr_cli.faults.unseen_work import UnseenWork, unseen_work

SIDE, ROW, HIDDEN = 8, 24, 16  # an image of 3×8×8 is read as 8 rows of 24 values


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **options: object) -> None:
        super().__init__()
        self.rnn = kind(ROW, HIDDEN, batch_first=True, **options)  # type: ignore[arg-type]
        self.fc = nn.LazyLinear(10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, HIDDEN, 4, 4)
        self.attention = nn.MultiheadAttention(HIDDEN, 2, batch_first=True)
        self.fc = nn.Linear(HIDDEN, 10)

    def forward(self, x: Tensor) -> Tensor:
        t = self.conv(x).flatten(2).transpose(1, 2)
        return self.fc(self.attention(t, t, t)[0].mean(1))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(ROW, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 1, 3).flatten(2)
        mixed = torch.einsum("brc,bsc->bsr", rows, rows) @ rows
        return self.fc(torch.fft.fft(mixed).real.mean(1))


def work(model: nn.Module, targets: tuple[str, ...] = ("conv", "linear")) -> UnseenWork:
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, SIDE, SIDE))
    network = hooked.capture(model, (3, SIDE, SIDE), batch_size=2, targets=targets)
    return unseen_work(model, (3, SIDE, SIDE), network.sites)


@pytest.mark.parametrize(
    ("kind", "gates", "options", "times"),
    [(nn.LSTM, 4, {}, 1), (nn.GRU, 3, {}, 1), (nn.RNN, 1, {}, 1), (nn.LSTM, 4, {"bidirectional": True}, 2)],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_recurrent_layers(kind: type[nn.RNNBase], gates: int, options: dict, times: int) -> None:
    found = work(Recurrent(kind, **options))
    expected = SIDE * gates * HIDDEN * (ROW + HIDDEN) * times
    assert found.places == ((f"{kind.__name__} rnn", expected),)
    assert found.macs == expected + times * HIDDEN * 10
    assert f"{kind.__name__} rnn ({expected:,})" in str(found.sentence("conv,linear"))


def test_attention_is_unseen_unless_its_products_are_struck() -> None:
    tokens = (SIDE // 4) ** 2
    found = work(Attention())
    assert found.places == (("MultiheadAttention attention", 2 * tokens * tokens * HIDDEN),)
    assert "add matmul to --targets" in str(found.sentence("conv,linear"))
    everything = work(Attention(), ("conv", "linear", "matmul"))
    assert everything.sentence("conv,linear,matmul") is None
    assert everything.facts == {}


def test_functions_and_what_cannot_be_counted() -> None:
    found = work(Functional())
    assert found.unseen == 2 * SIDE * SIDE * ROW
    assert found.uncounted == ("aten::_fft_r2c",)
    assert found.facts == {"unseen_work": {"macs": 3072, "of": 3312, "uncounted": ["aten::_fft_r2c"]}}
    assert str(found.sentence("conv,linear")) == (
        "92.7 % of the network's 3,312 multiply-accumulates an image are in operations that no fault strikes: "
        "functions in Functional (3,072); no fault strikes aten::_fft_r2c, whose work is not counted"
    )


def test_what_only_measures_is_no_work() -> None:
    # DataParallel adds profiler records around its forward pass
    model = nn.DataParallel(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 10)))
    assert work(model) == UnseenWork(3 * SIDE * SIDE * 10, (), ())


def test_ordinary_networks_have_none() -> None:
    grouped = nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2), nn.Flatten(), nn.Linear(196, 10)
    )
    found = work(grouped)
    assert found.sentence("conv,linear") is None
    assert found.macs == 36 * 6 * 9 + 36 * 6 * 4 * 4 + 196 * 10


def _static(*layers: nn.Module) -> nn.Module:
    """Return the layers quantised to 8 bits, between a quantisation and a dequantisation stub."""
    stubbed = nn.Sequential(quantization.QuantStub(), *layers, quantization.DeQuantStub()).eval()
    for part in stubbed:
        part.qconfig = quantization.get_default_qconfig("qnnpack")  # type: ignore[assignment]
    prepared = quantization.prepare(stubbed)
    prepared(torch.rand(2, 3, SIDE, SIDE))
    return quantization.convert(prepared)


def hooked_work(model: nn.Module) -> UnseenWork:
    """Return the unseen work of a model with packed weights; skips torch.export, which fails after seconds."""
    shape = (3, SIDE, SIDE)
    return unseen_work(model, shape, hooked.HookedNetwork(model.eval(), shape).sites)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_quantised_layers_are_unseen_and_told_by_their_share() -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 6 * 6, 10)).eval()
    conv = 4 * 6 * 6 * 3 * 9
    linear = 4 * 6 * 6 * 10
    with_engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    try:
        body = hooked_work(nn.Sequential(_static(nn.Conv2d(3, 4, 3)), head))
        assert body.places == (("Conv2d 0.1", conv),)
        assert (body.macs, body.uncounted) == (conv + linear, ())
        up = hooked_work(nn.Sequential(_static(nn.ConvTranspose2d(3, 2, 3)), nn.Flatten(), nn.Linear(2 * 10 * 10, 10)))
        assert up.places == (("ConvTranspose2d 0.1", 3 * SIDE * SIDE * 2 * 9),)
        dynamic = quantization.quantize_dynamic(nn.Sequential(nn.Conv2d(3, 4, 3), head).eval(), {nn.Linear})
        assert hooked_work(dynamic).places == (("Linear 1.1", linear),)
        rnn = quantization.quantize_dynamic(Recurrent(nn.LSTM).eval(), {nn.LSTM})
        assert any("lstm" in name for name in hooked_work(rnn).uncounted)
        with pytest.raises(TgrError, match=r"its quantised modules \(0, 1, 4, …\): .*before quantisation"):
            hooked_work(_static(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)))
    finally:
        torch.backends.quantized.engine = with_engine
