import functools

import jax
import numpy as np
import pytest

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; expected an integer of at"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5"),
        ({"max_length": 1}, "max_length is 1; expected an integer of at least 2"),
        ({"num_beams": True}, "num_beams is True"),
        ({"num_beams": None}, "num_beams is None"),
        ({"num_return_sequences": 0}, "num_return_sequences is 0"),
        (
            {"num_beams": 4, "num_return_sequences": 5},
            "num_return_sequences is 5 and num_beams is 4; .* num_beams to 5 or more",
        ),
        ({"eos_token_id": ()}, r"eos_token_id is \(\)"),
        ({"eos_token_id": (1, -2)}, r"eos_token_id is \(1, -2\)"),
        ({"pad_token_id": -1}, "pad_token_id is -1"),
        ({"decoder_start_token_id": "2"}, "decoder_start_token_id is '2'"),
        ({"early_stopping": "nevr"}, "early_stopping is 'nevr'; .*'never'"),
        ({"early_stopping": 1}, "early_stopping is 1"),
        ({"length_penalty_form": "gmnt"}, "'gmnt'; .* Did you mean 'gnmt'"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
        ({"min_new_tokens": 9, "max_new_tokens": 8}, "min_new_tokens is 9 and at most"),
        ({"min_length": 9, "max_length": 8}, "min_length is 9 and max_length is 8"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"top_p": 1.5}, "top_p is 1.5; expected a number above 0, at most 1"),
        ({"top_k": -1}, "top_k is -1; expected an integer of at least 0"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0"),
        ({"do_sample": 1}, "do_sample is 1; expected True or False"),
        ({"bad_words_ids": [5]}, r"bad_words_ids is \(5,\); expected"),
        ({"bad_words_ids": [[]]}, r"bad_words_ids is \(\(\),\); expected"),
        ({"forced_eos_token_id": -1}, "forced_eos_token_id is -1"),
        ({"num_beams": 4, "num_beam_groups": 3}, "num_beam_groups is 3 and num_beams"),
        ({"diversity_penalty": 0.5}, "with one group of beams"),
        (
            {"num_beams": 4, "num_beam_groups": 2, "do_sample": True},
            "groups of beams are not sampled",
        ),
        ({"length_penalty": "0.6"}, "length_penalty is '0.6'"),
        (
            {"length_penalty": -20.0, "max_new_tokens": 64},
            "length_penalty is -20.0, .* 64 tokens",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says) as error:
        GenerationConfig(**settings)
    assert "\n" not in str(error.value)


def test_length_comes_from_new_tokens_then_total_length_then_the_peers_default():
    assert GenerationConfig().num_new_tokens == 20
    assert GenerationConfig(max_length=64).num_new_tokens == 63
    assert GenerationConfig(max_length=64, max_new_tokens=8).num_new_tokens == 8


def test_length_norms_of_both_forms():
    power = GenerationConfig(max_new_tokens=3, length_penalty=2.0)
    np.testing.assert_array_equal(power.length_norms(), np.float32([1, 4, 9]))
    gnmt = GenerationConfig(
        max_new_tokens=7, length_penalty=2.0, length_penalty_form="gnmt"
    )
    np.testing.assert_array_equal(gnmt.length_norms()[[0, 6]], np.float32([1, 4]))


def test_fill_is_pad_even_when_it_is_zero_then_the_first_eos():
    assert GenerationConfig(pad_token_id=0, eos_token_id=1).fill_id == 0
    assert GenerationConfig(eos_token_id=(7, 1)).fill_id == 7
    assert GenerationConfig().fill_id == 0


def test_a_dict_of_the_peers_is_read_and_written_back():
    values = {
        "max_length": 64,
        "num_beams": 4,
        "num_return_sequences": 2,
        "length_penalty": 0.6,
        "early_stopping": "never",
        "decoder_start_token_id": 2,
        "eos_token_id": [1, 7],
        "pad_token_id": 0,
    }
    foreign = {"transformers_version": "5.23.0", "max_new_tokens": None}
    config = GenerationConfig.from_dict({**values, **foreign})
    assert config.eos_token_id == (1, 7)
    assert config.to_dict() == values
    assert GenerationConfig.from_dict(config.to_dict()) == config


def test_it_is_a_static_argument():
    @functools.partial(jax.jit, static_argnums=0)
    def norms(config):
        return config.length_norms()

    assert norms(GenerationConfig(max_new_tokens=3, eos_token_id=[1])).shape == (3,)
    assert hash(GenerationConfig(num_beams=2)) == hash(GenerationConfig(num_beams=2))


def test_lengths_after_a_prompt():
    total = GenerationConfig(max_length=10, min_length=7).for_prompt(4)
    assert (total.num_new_tokens, total.min_new_tokens) == (6, 3)
    new = GenerationConfig(max_new_tokens=9, min_new_tokens=2, min_length=8)
    assert (new.for_prompt(4).num_new_tokens, new.for_prompt(4).min_new_tokens) == (
        9,
        2,
    )
    assert GenerationConfig(min_length=3).for_prompt(5).min_new_tokens == 0
    with pytest.raises(ConfigError, match="max_length is 4 and the prompt has 4"):
        GenerationConfig(max_length=4).for_prompt(4)
    with pytest.raises(ConfigError, match=r"at least 21 new tokens .* at most 20"):
        GenerationConfig(min_length=22).for_prompt(1)


def test_ids_are_of_the_vocabulary():
    config = GenerationConfig(num_beams=2, num_beam_groups=2, eos_token_id=(0, 1, 2))
    config.check_vocabulary(4)
    with pytest.raises(ConfigError, match="has 3 ids; expected fewer than the 3"):
        config.check_vocabulary(3)
    with pytest.raises(ConfigError, match=r"eos_token_id has the id 2; .* below 2"):
        config.check_vocabulary(2)


def test_the_first_token_is_forced_at_the_beginning_only():
    config = GenerationConfig(forced_bos_token_id=5)
    assert config.for_prompt(1).forced_bos_token_id == 5
    assert config.for_prompt(2).forced_bos_token_id is None
