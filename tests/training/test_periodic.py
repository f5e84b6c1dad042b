"""One predicate decides what happens when."""

from bertgen_jax.training.periodic import due


def test_every_period_and_at_the_end():
    assert [step for step in range(1, 11) if due(step, 4, 10)] == [4, 8, 10]


def test_no_period_means_the_end_alone():
    assert [step for step in range(1, 11) if due(step, 0, 10)] == [10]
