"""Name maps of GPT-2, as Hugging Face and as OpenAI name and lay out its tensors.

Both fuse what attention projects its input to, side by side along the outputs, and both
keep linear maps as [in, out]: nothing is transposed (openai/gpt-2, src/model.py).
"""

import dataclasses
import re
from collections.abc import Sequence

from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.pretrained.name_maps import Layout, Weight

# transformer.h.0.attn.c_attn.weight -> model/h0/attn/c_attn/w, by these in their order.
_OPENAI = (
    (r"^transformer\.", "model/"),
    (r"/h\.(\d+)\.", r"/h\1/"),
    (r"/(wte|wpe)\.weight$", r"/\1"),
    (r"/(ln_\w+)\.weight$", r"/\1/g"),
    (r"\.weight$", "/w"),
    (r"\.bias$", "/b"),
    (r"\.", "/"),
)

# Patterns of names outside of the map, and why they stay out.
_UNUSED = (
    # Buffers of old files: ones below a diagonal, and a large negative number.
    (r"\.(attn|crossattention)\.(masked_)?bias$", "causal mask, no weights"),
    (r"(^|\.)(score|classifier|multiple_choice_head)\.", "head of another task"),
)


def hugging_face(config: BertGenerationConfig) -> list[Weight]:
    """The peer's `GPT2LMHeadModel`, with or without cross-attention.

    Args:
      config: of a `BertGenerationDecoder` with `pre_layer_norm` and no output bias.
    """
    trunk, head = _trunk(config), "lm_head.weight"
    if config.tie_word_embeddings:
        return [*trunk, dataclasses.replace(trunk[0], name=head, written=False)]
    kernel = (config.hidden_size, config.vocab_size)
    return [*trunk, Weight("lm_head/kernel", kernel, head, inputs=1)]  # torch's Linear


def openai(config: BertGenerationConfig) -> list[Weight]:
    """The variables of openai/gpt-2; their softmax is the word table.

    ```
    model/wte [V, D]    model/h0/ln_1/{g,b} [D]    model/h0/attn/c_attn/w [1, D, 3D]
    ```
    """

    def name(theirs: str) -> str:
        for pattern, replacement in _OPENAI:
            theirs = re.sub(pattern, replacement, theirs)
        return theirs

    return [
        dataclasses.replace(weight, name=name(weight.name), layout=Layout.CONVOLUTION)
        for weight in _trunk(config)
    ]


def unused(name: str) -> str | None:
    """Why a tensor, named as by Hugging Face, is not in the map.

    Returns:
      A few words; None for a name that no GPT-2 should have.
    """
    for pattern, reason in _UNUSED:
        if re.search(pattern, name):
            return reason
    return None


def _trunk(config: BertGenerationConfig) -> list[Weight]:
    """All but the head; the word table is first."""
    width, inner = config.hidden_size, config.intermediate_size
    tables = (
        ("word", "wte", config.vocab_size),
        ("position", "wpe", config.max_position_embeddings),
    )
    weights = [
        Weight(
            f"embeddings/{kind}_embeddings/embedding", (rows, width), f"{name}.weight"
        )
        for kind, name, rows in tables
    ]
    for i in range(config.num_hidden_layers):
        layer = [
            *_layer_norm("attention/", "ln_1", width),
            *_attention(config),
            *(_cross_attention(config) if config.add_cross_attention else []),
            *_layer_norm("", "ln_2", width),
            *_linear(["intermediate"], "mlp.c_fc", (width,), (inner,)),
            *_linear(["output"], "mlp.c_proj", (inner,), (width,)),
        ]
        weights += [weight.within(f"layer_{i}", f"h.{i}.") for weight in layer]
    weights += _layer_norm("", "ln_f", width)
    return [weight.within("bert", "transformer.") for weight in weights]


def _attention(config: BertGenerationConfig) -> list[Weight]:
    width, heads = (config.hidden_size,), (config.num_attention_heads, config.head_dim)
    paths = [f"attention/{kind}" for kind in ("query", "key", "value")]
    return [
        *_linear(paths, "attn.c_attn", width, heads),
        *_linear(["attention/output"], "attn.c_proj", heads, width),
    ]


def _cross_attention(config: BertGenerationConfig) -> list[Weight]:
    width, heads = (config.hidden_size,), (config.num_attention_heads, config.head_dim)
    path, name = "crossattention/", "crossattention."
    paths = [f"{path}key", f"{path}value"]  # of the source
    return [
        *_layer_norm(path, "ln_cross_attn", config.hidden_size),
        *_linear([f"{path}query"], f"{name}q_attn", width, heads),
        *_linear(paths, f"{name}c_attn", width, heads),
        *_linear([f"{path}output"], f"{name}c_proj", heads, width),
    ]


def _layer_norm(path: str, name: str, width: int) -> list[Weight]:
    return [
        Weight(f"{path}LayerNorm/scale", (width,), f"{name}.weight"),
        Weight(f"{path}LayerNorm/bias", (width,), f"{name}.bias"),
    ]


def _linear(
    paths: Sequence[str], name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> list[Weight]:
    """A linear map of which each path has a part of the outputs."""
    weights = []
    for number, path in enumerate(paths):
        kernel = Weight(
            f"{path}/kernel",
            inputs + outputs,
            f"{name}.weight",
            len(inputs),
            Layout.INPUTS_FIRST,
            part=(number, len(paths)),
        )
        bias = Weight(f"{path}/bias", outputs, f"{name}.bias", part=kernel.part)
        weights += [kernel, bias]
    return weights
