"""Batches: which examples are in them, and how these are padded."""

import functools
import itertools
import math
import time
from concurrent import futures

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from bertgen_jax import errors
from bertgen_jax.data import batching, encoding
from tests.fixtures import corpora

BUCKETS = batching.parse_buckets(((8, 4), (16, 4), (32, 8)))
fast = hypothesis.settings(deadline=None, max_examples=100)


def random_corpus(examples, seed=0):
    return corpora.random_corpus(
        examples, longest_source=32, longest_target=8, seed=seed
    )


def padded_tokens(chain, pairs):
    """The size of a corpus with its padding; infinite if an example fits no bucket."""
    return sum(
        next((s + t for s, t in chain if s >= source and t >= target), math.inf)
        for source, target in pairs
    )


def grows(chain):
    return all(
        small[0] <= large[0] and small[1] <= large[1]
        for small, large in itertools.pairwise(chain)
    )


# Choosing buckets


@fast
@hypothesis.given(
    pairs=st.lists(
        st.tuples(st.integers(0, 10), st.integers(1, 7)), min_size=1, max_size=12
    ),
    num_buckets=st.integers(1, 4),
)
def test_no_other_buckets_pad_a_corpus_to_fewer_tokens(pairs, num_buckets):
    source_lengths, target_lengths = np.array(pairs).T
    buckets = batching.choose_buckets(
        source_lengths,
        target_lengths,
        num_buckets=num_buckets,
        multiple=3,
        max_source=10,
        max_target=7,
    )
    chain = [(bucket.source, bucket.target) for bucket in buckets]
    grid = itertools.product((3, 6, 9, 10), (3, 6, 7))
    chains = itertools.combinations(grid, num_buckets)
    least = min(padded_tokens(other, pairs) for other in chains if grows(other))
    assert batching.parse_buckets(chain) == buckets
    assert len(chain) <= num_buckets
    assert padded_tokens(chain, pairs) == least


def test_the_length_limit_is_a_bucket_even_if_it_is_not_a_multiple():
    (bucket,) = batching.choose_buckets(
        np.array([97]),
        np.array([3]),
        num_buckets=3,
        multiple=64,
        max_source=100,
        max_target=60,
    )
    assert bucket == batching.Bucket(100, 60)


def test_buckets_that_save_nothing_are_not_chosen():
    buckets = batching.choose_buckets(
        np.array([8, 8, 16]),
        np.array([8, 8, 8]),
        num_buckets=5,
        multiple=8,
        max_source=64,
        max_target=64,
    )
    assert buckets == (batching.Bucket(8, 8), batching.Bucket(16, 8))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ((), "empty"),
        ((512, 64), "512"),
        (((512, 64, 3),), r"\(512, 64, 3\)"),
        (((0, 64),), r"\(0, 64\)"),
        (((512, 64), (256, 64)), r"\(512, 64\) is followed by \(256, 64\)"),
        (((512, 32), (256, 64)), r"\(512, 32\) is followed by \(256, 64\)"),
        (((512, 64), (512, 64)), r"\(512, 64\) is followed by \(512, 64\)"),
    ],
)
def test_invalid_buckets_are_errors(pairs, message):
    with pytest.raises(errors.ConfigError, match=message):
        batching.parse_buckets(pairs)


@pytest.mark.parametrize(
    "plan",
    [
        functools.partial(batching.TrainPlan, batch_size=1, seed=0),
        functools.partial(batching.EvalPlan, batch_size=1),
    ],
)
def test_an_example_that_fits_no_bucket_is_an_error_with_the_longest(plan):
    message = r"2 of 3 .* \(32, 8\) .* 40 tokens .* target 9\. .* \(40, 9\)"
    with pytest.raises(errors.ConfigError, match=message):
        plan(corpora.encoded_corpus([5, 40, 3], [9, 2, 3]), BUCKETS)


# Training


def epoch_of(plan, epoch):
    first = epoch * plan.batches_per_epoch
    return [plan[first + i] for i in range(plan.batches_per_epoch)]


def test_an_epoch_has_each_example_once_in_a_bucket_that_fits():
    encoded = random_corpus(107)
    plan = batching.TrainPlan(encoded, BUCKETS, batch_size=4, seed=3)
    assert plan.batches_per_epoch == 26
    for epoch in range(3):
        seen = []
        for bucket, indices in epoch_of(plan, epoch):
            assert indices.shape == (4,)
            assert indices.dtype == np.int64
            assert (encoded.source_lengths[indices] <= bucket.source).all()
            assert (encoded.target_lengths[indices] <= bucket.target).all()
            seen.extend(indices.tolist())
        assert len(seen) == len(set(seen)) == 104
        assert set(seen) <= set(range(107))


@fast
@hypothesis.given(
    examples=st.integers(1, 60),
    batch_size=st.integers(1, 60),
    seed=st.integers(0, 2**40),
)
def test_an_epoch_of_any_corpus_has_n_over_b_batches(examples, batch_size, seed):
    hypothesis.assume(batch_size <= examples)
    encoded = random_corpus(examples, seed)
    plan = batching.TrainPlan(encoded, BUCKETS, batch_size=batch_size, seed=seed)
    batches = epoch_of(plan, 0)
    assert len(batches) == examples // batch_size
    indices = np.concatenate([indices for _, indices in batches])
    assert len(np.unique(indices)) == len(batches) * batch_size


def test_examples_too_few_for_a_batch_move_to_the_next_bucket():
    encoded = random_corpus(1000)
    plan = batching.TrainPlan(encoded, BUCKETS, batch_size=10, seed=0)
    moved = dict.fromkeys(BUCKETS, 0)
    for bucket, indices in epoch_of(plan, 0):
        for source, target in zip(
            encoded.source_lengths[indices],
            encoded.target_lengths[indices],
            strict=True,
        ):
            smallest = next(
                b for b in BUCKETS if b.source >= source and b.target >= target
            )
            moved[bucket] += bucket != smallest
    assert moved[BUCKETS[0]] == 0
    assert all(0 <= moved[bucket] < 10 for bucket in BUCKETS[1:])


def test_epochs_differ_and_leave_out_other_examples():
    plan = batching.TrainPlan(random_corpus(11), BUCKETS, batch_size=4, seed=0)
    epochs = [
        np.concatenate([indices for _, indices in epoch_of(plan, epoch)])
        for epoch in range(20)
    ]
    assert len({epoch.tobytes() for epoch in epochs}) == 20
    # Even the examples of the largest bucket, which is filled last, are used in time.
    assert all(any(example in epoch for epoch in epochs) for example in range(11))
    assert len({frozenset(epoch.tolist()) for epoch in epochs}) > 5


def test_a_batch_depends_on_seed_and_number_only():
    encoded = random_corpus(50)

    def plan(seed=1):
        return batching.TrainPlan(encoded, BUCKETS, batch_size=4, seed=seed)

    forward, jumping, other = plan(), plan(), plan(seed=2)
    in_order = [forward[number] for number in range(40)]
    for number in np.random.default_rng(0).permutation(40).tolist():
        bucket, indices = jumping[number]
        assert bucket == in_order[number][0]
        np.testing.assert_array_equal(indices, in_order[number][1])
    assert any((other[n][1] != in_order[n][1]).any() for n in range(40))


def test_the_order_of_a_seed_never_changes():
    # A run that is resumed under another version of NumPy or of this file must see the
    # same batches. To change these numbers on purpose, raise batching._ORDER.
    encoded = corpora.encoded_corpus(np.arange(1, 13), np.full(12, 2))
    plan = batching.TrainPlan(encoded, BUCKETS, batch_size=3, seed=5)
    batches = [
        (bucket.source, indices.tolist()) for bucket, indices in epoch_of(plan, 1)
    ]
    assert batches == [
        (8, [2, 0, 6]),
        (16, [11, 10, 8]),
        (16, [4, 3, 9]),
        (8, [1, 5, 7]),
    ]


def test_threads_that_share_a_plan_see_the_same_batches():
    encoded = random_corpus(40)
    shared = batching.TrainPlan(encoded, BUCKETS, batch_size=4, seed=0)
    alone = batching.TrainPlan(encoded, BUCKETS, batch_size=4, seed=0)
    with futures.ThreadPoolExecutor(4) as pool:
        for number, (_, indices) in enumerate(pool.map(shared.__getitem__, range(100))):
            np.testing.assert_array_equal(indices, alone[number][1])


def test_threads_that_share_a_plan_compute_an_epoch_once(monkeypatch):
    plan = batching.TrainPlan(random_corpus(40), BUCKETS, batch_size=4, seed=0)
    compute, computed = plan._plan, []

    def slowly(epoch):
        computed.append(epoch)
        time.sleep(0.05)
        return compute(epoch)

    monkeypatch.setattr(plan, "_plan", slowly)
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(plan.__getitem__, range(10)))
    assert computed == [0]


def test_the_padding_share_counts_tokens_that_batches_add():
    encoded = corpora.encoded_corpus([8, 6, 16, 16], [4, 2, 4, 4])
    plan = batching.TrainPlan(encoded, BUCKETS, batch_size=2, seed=0)
    assert plan.padding_share(epoch=3) == pytest.approx(4 / (2 * 12 + 2 * 20))


def test_buckets_are_listed_by_their_first_use():
    encoded = corpora.encoded_corpus([8, 6, 16, 16, 7, 5], [4, 2, 4, 4, 3, 2])
    plan = batching.TrainPlan(encoded, BUCKETS, batch_size=2, seed=0)
    used = list(dict.fromkeys(plan[number][0] for number in range(3)))
    assert len(used) == 2
    assert plan.buckets_in_use(0, 3) == used
    assert plan.buckets_in_use(0, 1) == used[:1]
    assert plan.buckets_in_use(2, 3) == [plan[2][0]]
    # A later epoch may have batches of a bucket that this one does not use.
    assert plan.buckets_in_use(0, 4) == [
        *used,
        *(bucket for bucket in BUCKETS if bucket not in used),
    ]
    assert plan.buckets_in_use(5, 5) == []


def test_everything_that_decides_the_batches_changes_the_fingerprint():
    def fingerprint(data="a", buckets=BUCKETS, batch_size=2, seed=0):
        encoded = corpora.encoded_corpus([1, 2, 3, 4], [1, 1, 1, 1], fingerprint=data)
        return batching.TrainPlan(
            encoded, buckets, batch_size=batch_size, seed=seed
        ).fingerprint

    others = [
        fingerprint(data="b"),
        fingerprint(buckets=BUCKETS[1:]),
        fingerprint(batch_size=4),
        fingerprint(seed=1),
    ]
    assert fingerprint() == fingerprint()
    assert len({fingerprint(), *others}) == 5


def test_a_batch_larger_than_the_corpus_is_an_error_with_both_numbers():
    with pytest.raises(errors.ConfigError, match=r"128 .* 5 examples"):
        batching.TrainPlan(random_corpus(5), BUCKETS, batch_size=128, seed=0)
    with pytest.raises(errors.ConfigError, match="size is 0"):
        batching.TrainPlan(random_corpus(5), BUCKETS, batch_size=0, seed=0)


def test_a_negative_seed_is_an_error():
    with pytest.raises(errors.ConfigError, match="seed is -1"):
        batching.TrainPlan(random_corpus(5), BUCKETS, batch_size=1, seed=-1)


# Evaluation


@fast
@hypothesis.given(
    examples=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 1000),
)
def test_an_evaluation_has_every_example_once(examples, batch_size, seed):
    encoded = random_corpus(examples, seed)
    plan = batching.EvalPlan(encoded, BUCKETS, batch_size=batch_size)
    batches = [plan[n] for n in range(len(plan))]
    assert len(batches) == -(-examples // batch_size)
    for bucket, indices in batches:
        assert bucket in BUCKETS
        real = indices[indices >= 0]
        assert len(real)
        assert (encoded.source_lengths[real] <= bucket.source).all()
        assert (encoded.target_lengths[real] <= bucket.target).all()
    everything = np.concatenate([indices for _, indices in batches])
    assert sorted(everything[everything >= 0].tolist()) == list(range(examples))
    assert (everything[examples:] == -1).all()


def test_an_evaluation_starts_with_its_largest_batches():
    encoded = random_corpus(100)
    plan = batching.EvalPlan(encoded, BUCKETS, batch_size=8)
    sources = [plan[n][0].source for n in range(len(plan))]
    assert sources == sorted(sources, reverse=True)
    assert set(sources) == {8, 16, 32}


def test_an_evaluation_batch_size_of_0_is_an_error():
    with pytest.raises(errors.ConfigError, match="batch size is 0"):
        batching.EvalPlan(random_corpus(5), BUCKETS, batch_size=0)


# Collating


def corpus_of_the_docstring():
    """Example 4 is [7 8 9] -> [6 1] and example 2 is [5] -> [3 4 1]."""
    pairs = [([9], [1]), ([9], [1]), ([5], [3, 4, 1]), ([9], [1]), ([7, 8, 9], [6, 1])]
    encoded = corpora.encoded_corpus(
        [len(s) for s, _ in pairs], [len(t) for _, t in pairs]
    )
    tokens = np.array([token for pair in pairs for ids in pair for token in ids])
    return encoding.EncodedExamples(
        tokens.astype(np.uint16), encoded.offsets, encoded.report, "docstring"
    )


def test_collate_makes_the_arrays_of_its_docstring():
    batch = batching.collate(
        corpus_of_the_docstring(),
        batching.Bucket(source=4, target=3),
        np.array([4, 2, -1]),
        batching.FillIds(source=0, target=0, start=2),
    )
    expected = {
        "input_ids": np.array([[7, 8, 9, 0], [5, 0, 0, 0], [0, 0, 0, 0]], np.int32),
        "attention_mask": np.array(
            [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.bool_
        ),
        "decoder_input_ids": np.array([[2, 6, 0], [2, 3, 4], [2, 0, 0]], np.int32),
        "labels": np.array([[6, 1, 0], [3, 4, 1], [0, 0, 0]], np.int32),
        "label_weights": np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], np.float32),
        "example_index": np.array([4, 2, -1], np.int64),
    }
    assert batch.keys() == expected.keys()
    for name, array in expected.items():
        assert batch[name].dtype == array.dtype, name
        np.testing.assert_array_equal(batch[name], array, err_msg=name)


def test_masks_come_from_lengths_even_if_the_padding_id_is_a_token():
    batch = batching.collate(
        corpus_of_the_docstring(),
        batching.Bucket(source=4, target=3),
        np.array([4, 2]),
        # The end symbol here, as it may be for GPT-2.
        batching.FillIds(source=3, target=1, start=1),
    )
    np.testing.assert_array_equal(batch["attention_mask"].sum(1), [3, 1])
    np.testing.assert_array_equal(batch["label_weights"].sum(1), [2, 3])
    np.testing.assert_array_equal(batch["input_ids"], [[7, 8, 9, 3], [5, 3, 3, 3]])
    np.testing.assert_array_equal(batch["labels"], [[6, 1, 1], [3, 4, 1]])
