"""`bertgen convert`: writes a checkpoint of any format as a model directory."""

import argparse

from bertgen_jax.pretrained import conversion
from bertgen_jax.pretrained.checkpoint import ARCHITECTURES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.description = "Writes a checkpoint of any format as a model directory."
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "checkpoint", help="the checkpoint: a directory, a file or an archive"
    )
    parser.add_argument(
        "directory", help="the model directory to write; must be new or empty"
    )
    parser.add_argument(
        "--to",
        default="huggingface",
        metavar="FORMAT",
        help=f"{' or '.join(conversion.TARGETS)} (default huggingface)",
    )
    parser.add_argument(
        "--architecture",
        help=f"{', '.join(ARCHITECTURES)} (default: as the checkpoint says)",
    )
    parser.add_argument(
        "--mlm-bias",
        action="store_true",
        help="keep the masked-LM bias when an encoder becomes a decoder",
    )
    parser.add_argument(
        "--quantization",
        metavar="TYPE",
        help="type of the weights, such as int8 or float16, only with "
        "--to=ctranslate2; the message about a wrong type lists all",
    )


_EXAMPLES = """\
examples:
  bertgen convert cased_L-12_H-768_A-12.zip bert
  bertgen convert bert-base-uncased decoder --architecture=decoder
  bertgen convert runs/papers papers-int8 --to=ctranslate2 --quantization=int8
"""


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    print(
        conversion.convert(
            options.checkpoint,
            options.directory,
            options.to,
            architecture=options.architecture,
            mlm_bias=options.mlm_bias,
            quantization=options.quantization,
        )
    )
    return 0
