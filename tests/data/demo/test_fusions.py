"""Fusions have the forms of their discourse types."""

import re

import pytest

from bertgen_jax.data.demo import corpora, fusions
from bertgen_jax.data.demo.draw import Draw, Fields


def test_fusions_are_two_sentences_in_one_text(all_examples, is_tokenized):
    for example in all_examples("fusions"):
        (target,) = example.references
        assert example.source.count(" .") == 2
        assert target.count(" .") in (1, 2)
        assert is_tokenized(example.source)
        assert is_tokenized(target)
        assert target != example.source


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("PAIR_ANAPHORA", r" \. In \d+ , s?he "),
        ("PAIR_CONN", r" \. As a result , "),
        ("PAIR_CONN_ANAPHORA", r" \. (However|For example) , s?he "),
        ("SINGLE_APPOSITION", r"^\w+ \w+ , a [a-z]+ from \w+ , "),
        ("SINGLE_CATAPHORA", r"^(While|Although) s?he .* , [A-Z]\w+ [A-Z]\w+ "),
        ("SINGLE_CONN_INNER", r"^[^.,]* because "),
        ("SINGLE_CONN_START", r"^When the "),
        ("SINGLE_RELATIVE", r" , (who|which) "),
        ("SINGLE_S_COORD", r" , (but|and|while) (the|[A-Z])"),
        ("SINGLE_S_COORD_ANAPHORA", r" , but it was "),
        ("SINGLE_VP_COORD", r"^[^.,]* in \d+ and [^.,]* \.$"),
    ],
)
def test_each_discourse_type_has_its_form(kind, pattern):
    assert kind in fusions.TYPES
    targets = [example.references[0] for example in corpora.corpus("fusions", "test")]
    assert sum(bool(re.search(pattern, target)) for target in targets) >= 5
    for _, _, fused in fusions.TYPES[kind]:
        fields = Fields(Draw(seed=1), fusions.TABLES)
        assert re.search(pattern, fields.sentence(fused))
