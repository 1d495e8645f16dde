"""Tests of sampler: known random numbers, each filter by its definition, frequencies of draws."""

import math
from typing import Any

import pytest
import torch

from python.model.sampler import (
    Sampling,
    SamplingError,
    draw,
    kept_probabilities,
    lowest_argmax,
    philox,
    top_of,
    uniform,
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers(counter: Any, key: Any, expected: Any) -> None:
    assert philox(counter, key) == expected  # from the Random123 library


def test_uniform_takes_the_first_two_words() -> None:
    assert uniform(0, 0) == (0x6627E8D5E169C58D >> 11) / 2**53


def test_uniform_numbers_fill_the_unit_interval() -> None:
    numbers = [uniform(1, position) for position in range(10_000)]
    assert 0.0 <= min(numbers) < 0.001
    assert 0.999 < max(numbers) < 1.0
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.01)
    assert len({uniform(7, 0), uniform(8, 0), uniform(7, 1), uniform(7, 1 << 32)}) == 4
    assert uniform(-1, 5) == uniform((1 << 64) - 1, 5)  # the seed's bits, as int64 carries them


def test_temperature_zero_is_the_lowest_of_the_largest() -> None:
    logits = torch.tensor([0.0, 3.0, torch.nan, 3.0, -torch.inf])
    assert draw(logits, Sampling(), seed=1, position=2) == 1
    assert lowest_argmax(torch.tensor([5.0])) == 0


def kept(logits: torch.Tensor, **parameters: Any) -> list[int]:
    probabilities = kept_probabilities(logits, Sampling(**({"temperature": 1.0} | parameters)))
    return torch.nonzero(probabilities)[:, 0].tolist()


LOGITS = torch.tensor([0.5, 0.25, 0.05, 0.1, 0.1]).log()


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top_k": 1}, [0]),
        ({"top_k": 3}, [0, 1, 3]),  # of the equal 3 and 4 the lower
        ({"top_k": 99}, [0, 1, 2, 3, 4]),
        ({"top_p": 0.4}, [0]),
        ({"top_p": 0.51}, [0, 1]),
        ({"top_p": 0.8}, [0, 1, 3]),
        ({"top_p": 1e-9}, [0]),
        ({"min_p": 0.3}, [0, 1]),
        ({"min_p": 1.0}, [0]),
        ({"top_k": 2, "top_p": 0.7}, [0, 1]),  # 0.5 is two thirds of what top_k kept
        ({"top_k": 2, "top_p": 0.66}, [0]),
        ({"top_p": 0.8, "min_p": 0.3}, [0, 1]),
    ],
)
def test_filters_keep_what_they_say(parameters: dict[str, Any], expected: list[int]) -> None:
    assert kept(LOGITS, **parameters) == expected


def test_the_temperature_comes_first() -> None:
    assert kept(LOGITS, temperature=0.1, min_p=0.01) == [0]
    assert kept(LOGITS, temperature=10.0, min_p=0.5) == [0, 1, 2, 3, 4]


def test_draws_have_the_filtered_frequencies() -> None:
    sampling = Sampling(temperature=0.7, top_k=4, top_p=0.98)
    weights = LOGITS[:4].double() / 0.7
    expected = torch.cat((torch.softmax(weights[[0, 1, 3]], dim=0), torch.zeros(1)))
    expected = expected[[0, 1, 3, 2]]  # id 2 is the fifth, dropped by top_k
    sampling = Sampling(temperature=0.7, top_k=3)
    count = 4000
    drawn = [draw(LOGITS, sampling, seed=11, position=i).item() for i in range(count)]
    for token in range(4):
        share = drawn.count(token) / count
        deviation = math.sqrt(expected[token] * (1 - expected[token]) / count)
        assert abs(share - expected[token]) <= 4 * deviation, token


def test_same_seed_and_position_give_the_same_token() -> None:
    logits = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    sampling = Sampling(temperature=1.0)
    first = [draw(logits, sampling, seed=3, position=i).item() for i in range(50)]
    assert first == [draw(logits, sampling, seed=3, position=i).item() for i in range(50)]
    assert first != [draw(logits, sampling, seed=4, position=i).item() for i in range(50)]


def test_unusable_logits_still_give_a_token() -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9)
    assert draw(torch.full((3,), torch.nan), sampling, 0, 0) == 0
    assert draw(torch.tensor([1.0, torch.inf, 2.0]), sampling, 0, 0) == 1
    lonely = torch.tensor([-torch.inf, 2.0, -torch.inf, torch.nan])
    assert draw(lonely, sampling, 0, 0) == 1


def test_top_of_orders_equals_by_index() -> None:
    values, indices = top_of(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 3)
    assert values.tolist() == [[3.0, 3.0, 2.0]]
    assert indices.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": math.nan}, "temperature nan"),
        ({"top_k": -1}, "top_k -1 is negative"),
        ({"top_p": 0.0}, "top_p 0.0 is outside"),
        ({"top_p": 1.5}, "top_p 1.5 is outside"),
        ({"min_p": -0.5}, "min_p -0.5 is outside"),
    ],
)
def test_meaningless_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        Sampling(**parameters)


def test_the_tensor_has_the_documented_order() -> None:
    sampling = Sampling(temperature=0.5, top_k=64, top_p=0.75, min_p=0.25)
    assert sampling.to_tensor().tolist() == [0.5, 64.0, 0.75, 0.25]
