"""Gigaword: headlines of the first sentence of articles (section 4.4, Table 5).

    python train.py --config=configs/gigaword_summarize.py:demo
    python train.py --config=configs/gigaword_summarize.py --workdir=DIR \
        --config.init.encoder=PATH

The paper trained 500k steps of 256 sentences, cut to 128 and headlines to 32 tokens;
all texts are lower-cased, as the public test set is. Expected ROUGE-1/2/L on the 1,951
test sentences, 12 layers:

    rnd2rnd       36.94  18.71  34.45
    bert2bert     38.01  19.68  35.58
    bertshare     38.13  19.81  35.62
    robertashare  38.21  19.70  35.44      24 layers: 38.62  19.78  35.94

Data: org_data of UniLM's archive, pairs of files with aligned lines; or
hf:Harvard/gigaword with the columns document and summary.

`:demo` learns the headlines of generated news in minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """Returns the paper's run, or with "demo" a small one."""
    config = common.get_config()
    config.task = "gigaword"
    config.total_steps = 500_000
    config.batch_size = 256
    config.init.recipe = "bertshare"
    config.init.encoder = "bert-base-uncased"  # a directory with the checkpoint
    config.tokenizer.normalization = "auto,lowercase"

    config.data.train = "gigaword/org_data/train.{src,tgt}.txt"
    config.data.validation = "gigaword/org_data/dev.{src,tgt}.txt"
    config.data.test = "gigaword/org_data/test.{src,tgt}.txt"
    config.data.columns.update(source="src", target="tgt")
    common.set_lengths(config, source=128, target=32)

    if variant == "demo":
        common.make_small(config, corpus="headlines")
        config.total_steps = 300
        common.set_lengths(config, source=40, target=16)
    elif variant:
        common.refuse("gigaword_summarize", variant, "demo")
    return config
