import pytest

from hcml.config import BenchmarkConfig, ConfigError
from hcml.config.data import DECODERS
from hcml.data.video import READERS


def test_the_decoders_are_the_readers_there_are() -> None:
    assert DECODERS == tuple(READERS)


def test_an_unknown_decoder_lists_the_known() -> None:
    assert [BenchmarkConfig(decoder=name).decoder for name in DECODERS] == list(DECODERS)
    with pytest.raises(ConfigError, match=r"benchmark\.decoder='opencv' is not one of decord, pyav"):
        BenchmarkConfig(decoder="opencv")
