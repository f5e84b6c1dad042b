"""Writes group_beam_goldens.json: what the last transformers with groups finds.

Version 5 of transformers dropped diverse beam search, so its answers are kept. The
peer's own `generate` searches; the model is `HistoryModel` of conftest.py in torch. It
needs an environment of its own, with Python 3.11:

    pip install torch==2.13.0 transformers==4.44.2
    python tests/decoding/make_group_beam_goldens.py

Sequences end with their EOS and have neither start token nor padding. The peer does not
keep which EOS ended a sequence: it always writes the first of `eos_token_id`.
"""

import json
import pathlib

import numpy as np
import torch
import transformers
from transformers.modeling_outputs import CausalLMOutput

VERSION = "4.44.2"
START = 2
SOURCES = [3, 100, 1500, 4000]

# As in conftest.py, which needs jax.
STATES = 4099
WEIGHTS = torch.tensor([pow(31, n, STATES) for n in range(64)])

ONE, TWO = [1], [1, 3]  # EOS ids
COLUMNS = (
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "length_penalty",
    "early_stopping",
    "max_new_tokens",
    "eos_token_id",
    "pad_token_id",  # None: Hugging Face pads with EOS
    "num_return_sequences",
    "vocab_size",
    "eos_bias",
)
CASES = (
    (4, 2, 0.3, 1.0, False, 8, ONE, 0, 4, 11, 0.0),
    (4, 2, 1.0, 1.0, True, 8, ONE, 0, 2, 40, 3.0),
    (4, 2, 1.0, 0.6, "never", 10, ONE, 7, 4, 11, 1.0),
    (4, 2, 5.0, 2.0, False, 10, TWO, 7, 3, 40, 2.0),
    (4, 2, 0.5, 0.0, "never", 10, ONE, 7, 4, 40, 3.0),
    (4, 4, 0.3, 1.0, True, 6, ONE, 7, 4, 11, 1.0),
    (4, 4, 1.0, 2.0, "never", 8, ONE, 0, 1, 40, 4.0),
    (4, 4, 5.0, 0.6, False, 10, TWO, 7, 4, 11, -2.0),
    (4, 4, 1.5, 0.0, False, 5, ONE, 0, 4, 11, 2.0),
    (6, 2, 0.3, 2.0, "never", 9, ONE, 0, 6, 11, 0.0),
    (6, 2, 1.0, 0.0, True, 4, TWO, 7, 6, 11, 0.0),
    (6, 2, 2.0, 1.0, False, 10, ONE, 7, 5, 40, 4.0),
    (6, 3, 0.3, 0.6, False, 7, ONE, 7, 6, 40, -1.0),
    (6, 3, 1.0, 1.0, "never", 8, TWO, 0, 3, 11, 0.5),
    (6, 3, 5.0, 1.0, True, 6, ONE, 7, 6, 11, 1.0),
    (6, 3, 0.7, 2.0, True, 10, ONE, 0, 6, 40, 3.0),
    (6, 6, 1.0, 1.0, False, 8, ONE, 7, 6, 11, 0.0),
    (6, 6, 0.3, 2.0, "never", 10, TWO, 0, 6, 40, 2.0),
    (6, 3, 1.0, 1.0, False, 8, ONE, None, 6, 11, 1.0),
    (4, 4, 2.0, 1.0, False, 8, ONE, None, 4, 40, 3.0),
)
# Processors before, behind and beside the penalty: their order shows.
PROCESSED = (
    (4, 2, 1.0, 1.0, False, 10, ONE, 0, 4, 11, 0.0),
    (6, 3, 0.3, 0.6, True, 10, ONE, 7, 6, 11, -2.0),
    (6, 6, 5.0, 1.0, "never", 10, TWO, 7, 6, 11, 0.0),
    (4, 4, 1.0, 2.0, False, 8, ONE, 0, 4, 40, 3.0),
)
PROCESSORS = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2}


class TorchHistoryModel(transformers.PreTrainedModel):
    """`HistoryModel` behind Hugging Face's interface, without a cache."""

    config_class = transformers.PretrainedConfig

    def __init__(self, table):
        super().__init__(transformers.PretrainedConfig(vocab_size=table.shape[1]))
        self.table = torch.nn.Parameter(torch.tensor(table), requires_grad=False)

    def forward(self, input_ids, sources, **unused):
        terms = (input_ids + 1) * WEIGHTS[: input_ids.shape[1]]  # [B * R, T]
        states = (sources + terms.sum(dim=1)) % STATES
        return CausalLMOutput(logits=self.table[states][:, None])

    def prepare_inputs_for_generation(
        self, input_ids, sources, attention_mask, **unused
    ):
        return {"input_ids": input_ids, "sources": sources}


def draw_table(seed, vocab_size, eos_ids, eos_bias):
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 2, (STATES, vocab_size)).astype(np.float32)
    table[:, eos_ids] += eos_bias
    return table


def until_eos(tokens, eos_id):
    """The tokens without start token and padding."""
    tokens = tokens[1:]
    return tokens[: tokens.index(eos_id) + 1] if eos_id in tokens else tokens


def golden(seed, settings, vocab_size, eos_bias):
    """One case with Hugging Face's answers, best first."""
    eos_ids = settings["eos_token_id"]
    model = TorchHistoryModel(draw_table(seed, vocab_size, eos_ids, eos_bias))
    prompt = torch.full((len(SOURCES), 1), START)
    found = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        sources=torch.tensor(SOURCES),
        generation_config=transformers.GenerationConfig(**settings),
        output_scores=True,
        return_dict_in_generate=True,
    )
    returned = settings["num_return_sequences"]
    sequences = [until_eos(row, eos_ids[0]) for row in found.sequences.tolist()]
    scores = [round(score, 5) for score in found.sequences_scores.tolist()]
    starts = range(0, len(sequences), returned)
    return {
        "seed": seed,
        "vocab_size": vocab_size,
        "eos_bias": eos_bias,
        "sources": SOURCES,
        "settings": settings,
        "sequences": [sequences[n : n + returned] for n in starts],
        "scores": [scores[n : n + returned] for n in starts],
    }


def main():
    if transformers.__version__ != VERSION:
        raise SystemExit(
            f"transformers is {transformers.__version__}; the goldens are of {VERSION}."
        )
    rows = [(row, {}) for row in CASES] + [(row, PROCESSORS) for row in PROCESSED]
    goldens = []
    for seed, (row, processors) in enumerate(rows):
        settings = dict(zip(COLUMNS, row, strict=True)) | processors
        vocab_size, eos_bias = settings.pop("vocab_size"), settings.pop("eos_bias")
        goldens.append(golden(seed, settings, vocab_size, eos_bias))

    head = f'"transformers": "{VERSION}", "decoder_start_token_id": {START}'
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in goldens)
    path = pathlib.Path(__file__).with_name("group_beam_goldens.json")
    path.write_text(f'{{{head}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
