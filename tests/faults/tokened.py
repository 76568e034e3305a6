"""Small networks with values that depend on no image, with a batch axis or shared by all images."""

import torch
from torch import Tensor, nn


class Patches(nn.Module):
    """Takes 1×8×8 images as 4 tokens of 6 channels; `read` reduces the tokens to 6 values for a head of 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.layer, self.head = nn.Conv2d(1, 6, 4, stride=4), nn.Linear(6, 6), nn.Linear(6, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 6))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(self.read(self.patch(x_BCHW).flatten(2).transpose(1, 2)))

    def read(self, x_BTE: Tensor) -> Tensor:
        raise NotImplementedError


def attended(query_BQE: Tensor, x_BTE: Tensor) -> Tensor:
    return (query_BQE @ x_BTE.mT).softmax(dim=-1) @ x_BTE


class Expanded(Patches):
    """Class attention: the query is a learned token, expanded over the batch before its layer."""

    def read(self, x_BTE: Tensor) -> Tensor:
        return attended(self.layer(self.token.expand(len(x_BTE), -1, -1)), x_BTE)[:, 0]


class Joined(Patches):
    """The token is concatenated with the images' tokens and split off again before its layer."""

    def read(self, x_BTE: Tensor) -> Tensor:
        x_BTE = torch.cat([self.token.expand(len(x_BTE), -1, -1), x_BTE], dim=1)
        return attended(self.layer(x_BTE[:, 0])[:, None], x_BTE)[:, 0]


class TokensFirst(Patches):
    """Learned queries, stored tokens-first, attend to one another and then to the images."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Embedding(2, 6)
        self.own = nn.MultiheadAttention(6, 2)

    def read(self, x_BTE: Tensor) -> Tensor:
        query_QBE = self.queries.weight.unsqueeze(1).repeat(1, len(x_BTE), 1)
        query_QBE = self.layer(query_QBE + self.own(query_QBE, query_QBE, query_QBE)[0])
        return attended(query_QBE.transpose(0, 1), x_BTE).mean(dim=1)


class Windows(Patches):
    """A token for each of two windows per image: one axis holds images × windows."""

    def read(self, x_BTE: Tensor) -> Tensor:
        window_E = x_BTE.reshape(-1, 2, 6)
        query_E = self.layer(self.token.expand(2 * len(x_BTE), -1, -1))
        return attended(query_E, window_E).reshape(len(x_BTE), 2, 6).mean(dim=1)


class ImagesInside(Patches):
    """Two queries repeated for every image: one axis holds queries × images."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(2, 6))

    def read(self, x_BTE: Tensor) -> Tensor:
        query_QBE = self.layer(self.queries.repeat_interleave(len(x_BTE), 0)).reshape(2, len(x_BTE), 6)
        return attended(query_QBE.transpose(0, 1), x_BTE).sum(dim=1)


class Spikes(Patches):
    """A value that depends on the images only through a comparison, in one axis with the tokens."""

    def read(self, x_BTE: Tensor) -> Tensor:
        spike_E = (x_BTE.transpose(0, 1).reshape(-1, 6) > 0).float()
        return self.layer(spike_E).reshape(4, -1, 6).mean(dim=0)


class Shared(Patches):
    """The layer runs on a token before it is expanded, so all images share its output."""

    def read(self, x_BTE: Tensor) -> Tensor:
        return attended(self.layer(self.token), x_BTE)[:, 0]


class Recurrent(Patches):
    """An LSTM over the tokens; its initial state is zeros with a batch axis, independent of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 6, batch_first=True, bidirectional=True)

    def read(self, x_BTE: Tensor) -> Tensor:
        return self.layer(self.lstm(x_BTE)[0][:, -1, :6])


class StatesFirst(Patches):
    """A GRU over learned tokens only, batch in the second axis; its output is combined with the images' tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.steps = nn.GRU(6, 6), nn.Parameter(torch.randn(3, 1, 6))

    def read(self, x_BTE: Tensor) -> Tensor:
        state_TBE = self.layer(self.gru(self.steps.expand(-1, len(x_BTE), -1))[0])
        return attended(state_TBE.transpose(0, 1), x_BTE)[:, -1]


TOKENED = (Expanded, Joined, TokensFirst, Windows, ImagesInside, Spikes, Shared, Recurrent, StatesFirst)


def tokened(kind: type[Patches]) -> nn.Module:
    """Return a network in evaluation mode with fixed weights."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return kind().eval()
