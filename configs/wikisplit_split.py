"""WikiSplit: a long sentence becomes two (paper, section 4.2, Table 3).

    python train.py --config=configs/wikisplit_split.py:demo
    python train.py --config=configs/wikisplit_split.py --workdir=DIR \
        --config.init.encoder=PATH

The paper trained 300k steps of 256 pairs, up to 128 tokens; 24 layers over-fit slightly
after 100k steps and were stopped there. Expected exact match, SARI and BLEU on the
5,000 test sentences, 12 layers:

    rnd2rnd       14.6  61.7  76.3
    bert2bert     15.6  63.2  77.0
    robertashare  16.1  63.4  77.1
    bertshare     16.3  63.5  77.2      24 layers: 16.6  63.7  77.3

The two sentences are joined by " <::::> ", which stays in the texts. SARI and BLEU
ignore it; exact match does not.

Data: train, tune, validation and test.tsv of google-research-datasets/wiki-split.

`:demo` learns to split generated sentences in minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """Returns the paper's run, or with "demo" a small one."""
    config = common.get_config()
    config.task = "wikisplit"
    config.total_steps = 300_000
    config.batch_size = 256
    config.init.recipe = "bertshare"
    config.init.encoder = "bert-base-cased"  # a directory with the checkpoint

    config.data.train = "wikisplit/train.tsv*"
    config.data.validation = "wikisplit/validation.tsv*"
    config.data.test = "wikisplit/test.tsv*"
    config.data.columns.update(source="0", target="1")
    common.set_lengths(config, source=128, target=128)
    config.eval.metric = "sari"
    config.eval.normalization = "separator"

    if variant == "demo":
        common.make_small(config, corpus="splits")
        config.update(total_steps=400, batch_size=16)
        config.optim.learning_rate = 2e-3
        common.set_lengths(config, source=40, target=40)
    elif variant:
        common.refuse("wikisplit_split", variant, "demo")
    return config
