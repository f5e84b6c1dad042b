"""`bertgen convert`: a checkpoint of any format becomes a model directory."""

import argparse

from bertgen_jax.pretrained import conversion
from bertgen_jax.pretrained.checkpoint import ARCHITECTURES


def define(parser: argparse.ArgumentParser) -> None:
    """Says what the command takes."""
    parser.description = "Writes a checkpoint of any format as a model directory."
    parser.add_argument("source", help="directory, file or archive of a checkpoint")
    parser.add_argument("directory", help="where to; must not be there, or be empty")
    parser.add_argument(
        "--to", default="huggingface", help=" or ".join(conversion.TARGETS)
    )
    parser.add_argument(
        "--architecture",
        help=f"{', '.join(ARCHITECTURES)}; by default the checkpoint's",
    )
    parser.add_argument(
        "--mlm-bias", action="store_true", help="an encoder's, kept by a decoder"
    )
    parser.add_argument("--quantization", help="int8, float16, ...: for ctranslate2")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    print(
        conversion.convert(
            options.source,
            options.directory,
            options.to,
            architecture=options.architecture,
            mlm_bias=options.mlm_bias,
            quantization=options.quantization,
        )
    )
    return 0
