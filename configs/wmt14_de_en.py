"""WMT14, German to English (paper, section 4.3, Table 4).

    python train.py --config=configs/wmt14_de_en.py:demo
    python train.py --config=configs/wmt14_de_en.py --workdir=DIR \
        --config.init.encoder=PATH

The paper trained 30 epochs of about 4.5M pairs, which are some 527k steps of 256, up to
128 tokens, from multilingual BERT. Expected uncased BLEU on newstest2014 and newstest
2016, 12 layers:

    rnd2rnd    29.1  36.7
    bertshare  32.6  39.6
    bert2bert  32.7  39.3
    bert2rnd   32.7  39.6      BERT of both languages, 24 layers: 34.2  41.1

`:newstest2016` tests on the other year. No recipe with RoBERTa: it knows no German.

Data: lines of a pair of files; test sets also as they are published, in .sgm.

`:demo` learns to translate sentences of a small grammar in minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The paper's run, tested on either year, or with "demo" a small one."""
    config = common.get_config()
    config.total_steps = 527_000
    config.batch_size = 256
    config.label_smoothing = 0.1  # the paper does not say; as its lineage
    config.init.recipe = "bert2rnd"
    config.init.encoder = "bert-base-multilingual-cased"  # a directory
    config.tokenizer.normalization = "auto,quotes"  # the paper's data are ASCII there

    config.data.train = "wmt14/train.{en,de}"
    config.data.validation = "wmt14/newstest2013.{en,de}"
    config.data.columns.update(source="de", target="en")
    common.set_lengths(config, source=128, target=128)
    config.eval.metric = "bleu-tfmodels"
    config.eval.normalization = "quotes"

    if variant == "demo":
        year = "newstest2014"
        common.make_small(config, corpus="german_english")
        config.update(total_steps=800, batch_size=16)
        config.optim.learning_rate = 2e-3
        config.eval.every_steps = 400
        common.set_lengths(config, source=32, target=32)
    elif variant in ("", "newstest2014", "newstest2016"):
        year = variant or "newstest2014"
        config.data.test = f"wmt14/{year}.{{en,de}}"
    else:
        common.refuse("wmt14_de_en", variant, "demo", "newstest2016")
    config.task = f"{year}-de-en"
    return config
