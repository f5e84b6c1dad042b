"""Keys depend on seed, stream and numbers, and on nothing else."""

import itertools

import jax
import numpy as np

from bertgen_jax import rng


def bits(*arguments):
    return tuple(np.asarray(jax.random.key_data(rng.key(*arguments))).tolist())


def test_the_same_arguments_give_the_same_key_in_every_release():
    # Another key would let old runs resume with other dropout.
    assert bits(0, "dropout", 7) == (2631462806, 2197055503)


def test_each_argument_changes_the_key():
    keys = [
        bits(seed, stream, *numbers)
        for seed, stream, numbers in itertools.product(
            (0, 1), ("dropout", "init", "order"), ((), (0,), (1,), (0, 1), (1, 0))
        )
    ]
    assert len(set(keys)) == len(keys)


def test_numbers_may_be_traced():
    traced = jax.jit(lambda step: jax.random.key_data(rng.key(3, "x", step, 1)))
    np.testing.assert_array_equal(traced(5), bits(3, "x", 5, 1))
