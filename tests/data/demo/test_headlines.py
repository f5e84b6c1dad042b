"""Headlines are short, lower-case and no copies."""

import re

from bertgen_jax.data.demo import corpora


def test_headlines_are_short_and_lower_case(all_examples, is_tokenized):
    for example in all_examples("headlines"):
        (target,) = example.references
        assert 14 <= len(example.source.split()) <= 36
        assert 5 <= len(target.split()) <= 9
        assert example.source.endswith(" .")
        assert not target.endswith(".")
        for text in (example.source, target):
            assert text == text.lower()
            assert is_tokenized(text)
            assert not re.search(r"[0-9]|\ba [aeio]|\ban [^aeiouh]", text)


def test_copying_is_a_poor_headline(mean_rouge_l):
    test = corpora.corpus("headlines", "test")
    assert mean_rouge_l(test, lambda example: example.source) < 35
    # Eight words, the length of a headline.
    assert mean_rouge_l(test, lambda example: " ".join(example.source.split()[:8])) < 35
