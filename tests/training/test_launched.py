"""Environment variables of launchers other than torchrun: reported, or ignored in a single process."""

from pathlib import Path

import pytest
import torch
from toys import write_toy_dataset
from toys_artifacts import invoke

from tgr_cli.errors import TgrError
from tgr_cli.training import distributed

TRAIN = (
    *("train", "--model", "toys:build_toy", "--dataset", "parquet:toy", "--crop", "8", "--mean", "0.5", "--std", "0.5"),
    *("--epochs", "1", "--images", "8", "--out", "run", "-q"),
)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2.5"}, 'WORLD_SIZE is "2.5" in the environment, where a whole number of at least 1'),
        ({"WORLD_SIZE": ""}, 'WORLD_SIZE is "" in the environment'),
        ({"WORLD_SIZE": "0"}, 'WORLD_SIZE is "0" in the environment'),
        ({"WORLD_SIZE": "2"}, "RANK is not set in the environment"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, 'RANK is "2" in the environment, where .* at least 0 .* and at most 1;'),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "MASTER_PORT is not set in the environment"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "65536"}, 'MASTER_PORT is "65536" .* at most 65535'),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "1"}, "WORLD_SIZE is 2 and MASTER_ADDR is not set"),
        ({"TORCHELASTIC_RESTART_COUNT": "x"}, 'TORCHELASTIC_RESTART_COUNT is "x" in the environment'),
    ],
)
def test_what_no_group_can_be_made_of_is_told(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy_dataset(Path("toy"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TgrError, match=f"{words}.*torchrun"):
        invoke(*TRAIN)
    assert not Path("run").exists()


@pytest.mark.parametrize("rank", ["3", "x", ""])
def test_a_rank_means_nothing_to_one_process(rank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", rank)
    assert distributed.first()
    with distributed.group(torch.device("cpu")) as group:
        assert (group.rank, group.world, group.first) == (0, 1, True)
