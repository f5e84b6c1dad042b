"""One predicate decides what is due; progress is kept from checkpoint to checkpoint."""

from bertgen_jax.training.progress import due


def test_every_period_and_at_the_end():
    assert [step for step in range(1, 11) if due(step, 4, 10)] == [4, 8, 10]


def test_no_period_means_the_end_alone():
    assert [step for step in range(1, 11) if due(step, 0, 10)] == [10]
