"""A dropout mask is a function of key and coordinates, and looks random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertgen_jax.models.dropout import dropout, keep_mask, row_words

KEY = jax.random.key(3)


def mask_of(shape, rate=0.1, key=KEY):
    return np.asarray(keep_mask(row_words(key, shape[:-1]), shape[-1], rate))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_dropped_elements_is_the_rate(rate):
    dropped = ~mask_of((8, 4, 64, 256), rate)
    spread = np.sqrt(rate * (1 - rate) / dropped.size)
    assert abs(dropped.mean() - rate) < 4 * spread
    for axis in range(4):  # and so in each slice
        others = tuple(i for i in range(4) if i != axis)
        means = dropped.mean(axis=others)
        assert np.abs(means - rate).max() < 5 * spread * np.sqrt(len(means))


def test_a_shorter_or_narrower_mask_is_a_part_of_a_larger_one():
    whole = mask_of((4, 3, 32, 48))
    np.testing.assert_array_equal(mask_of((4, 3, 32, 20)), whole[..., :20])
    np.testing.assert_array_equal(mask_of((4, 3, 9, 48)), whole[:, :, :9])
    np.testing.assert_array_equal(mask_of((2, 3, 32, 48)), whole[:2])


def test_neighbours_are_independent():
    dropped = 1.0 - mask_of((16, 4, 128, 128), 0.5)
    centred = dropped - dropped.mean()
    for axis in range(4):
        for distance in (1, 2, 3):
            pair = centred * np.roll(centred, distance, axis)
            assert abs(pair.mean()) * 4 < 5 / np.sqrt(centred.size), (axis, distance)


def test_bytes_of_eight_neighbours_are_uniform():
    bits = mask_of((64, 64, 64), 0.5).reshape(-1, 8)
    counts = np.bincount(np.packbits(bits, axis=1).ravel(), minlength=256)
    expected = counts.sum() / 256
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 255 - 5 * np.sqrt(510) < chi_square < 255 + 5 * np.sqrt(510)


def test_masks_of_other_keys_are_others():
    one, other = mask_of((64, 256), 0.5), mask_of((64, 256), 0.5, jax.random.key(4))
    assert abs((one == other).mean() - 0.5) < 0.02
    wide = mask_of((64, 256), 0.5, jax.random.key(3, impl="rbg"))
    assert abs(wide.mean() - 0.5) < 0.02


def test_kept_elements_are_scaled_and_gradients_have_the_same_mask():
    values = jnp.linspace(1.0, 2.0, 6 * 40).reshape(6, 40)
    dropped, transpose = jax.vjp(lambda values: dropout(values, KEY, 0.25), values)
    keep = mask_of((6, 40), 0.25)
    np.testing.assert_allclose(dropped, np.where(keep, values / 0.75, 0), rtol=1e-6)
    (slope,) = transpose(jnp.ones_like(values))
    np.testing.assert_allclose(slope, np.where(keep, 1 / 0.75, 0), rtol=1e-6)


def test_without_a_key_or_a_rate_nothing_is_dropped():
    values = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(dropout(values, None, 0.5), values)
    np.testing.assert_array_equal(dropout(values, KEY, 0.0), values)


def test_devices_draw_parts_of_one_mask():
    mesh = jax.make_mesh((8,), ("data",))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    split = jax.jit(lambda: keep_mask(row_words(KEY, (16, 2, 8)), 32, 0.3))
    on_devices = jax.jit(
        lambda: keep_mask(row_words(KEY, (16, 2, 8)), 32, 0.3), out_shardings=rows
    )
    np.testing.assert_array_equal(on_devices(), split())
