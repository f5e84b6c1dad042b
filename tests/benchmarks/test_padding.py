"""The share of padding by setting."""

import numpy as np
import pytest

from benchmarks import padding


def test_finer_and_more_buckets_need_less_padding():
    lengths = np.random.default_rng(0).integers(5, 60, 2_000)
    shares = padding.shares(lengths, lengths + 3, batch=16)
    assert shares["8 x 8"] < shares["4 x 8"] < shares["4 x 32"]
    assert shares["12 x 8"] < shares["8 x 8"] < shares["8 x 32"]


def test_texts_of_one_length_need_none():
    lengths = np.full(64, 32)
    shares = padding.shares(lengths, lengths, batch=16)
    assert list(shares.values()) == pytest.approx([0.0] * len(shares))
