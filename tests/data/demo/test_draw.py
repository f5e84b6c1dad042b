"""Draws are the same everywhere; fields are drawn once."""

from bertgen_jax.data.demo.draw import Draw, Fields


def test_draws_are_the_numbers_that_python_promises():
    draw = Draw(seed=0)
    assert [draw.number(10, 90, 20) for _ in range(8)] == [
        90,
        70,
        50,
        30,
        50,
        50,
        70,
        30,
    ]
    assert sorted(draw.sample("abc", 3)) == ["a", "b", "c"]
    assert [Draw(seed=0).chance(p) for p in (0.84, 0.85)] == [False, True]


def test_fields_are_drawn_once_and_differ():
    tables = {"city": ("Oakham", "Kelso"), "road": (("from {city}", "to {city2}"),)}
    fields = Fields(Draw(seed=0), tables)
    assert fields.fill("{city} {city}, {city2}") == "Kelso Kelso, Oakham"
    assert fields.sentence("{road[0]} {road[1]}") == "From Kelso to Oakham"
