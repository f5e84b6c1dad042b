"""WMT14, English to German (paper, section 4.3, Table 4).

    python train.py --config=configs/wmt14_en_de.py:demo
    python train.py --config=configs/wmt14_en_de.py --workdir=DIR \
        --config.init.encoder=PATH

The paper trained 30 epochs of about 4.5M pairs, which are some 527k steps of 256, up to
128 tokens, from multilingual BERT. Expected uncased BLEU on newstest2014 and newstest
2016, 12 layers:

    rnd2rnd    26.0  32.4
    bertshare  29.6  34.4
    bert2bert  30.1  34.6
    bert2rnd   30.1  34.4      BERT of both languages, 24 layers: 31.7  35.6

`:newstest2016` tests on the other year. Recipes with RoBERTa are of no use here,
because it knows no German.

Data: pairs of files with aligned lines; test sets also in .sgm, as published.

`:demo` learns to translate sentences of a small grammar in minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common

_CORPORA = {"en": "english_german", "de": "german_english"}  # by language of the source


def get_config(variant: str = "", source: str = "en", target: str = "de") -> ConfigDict:
    """Returns the paper's run, or with "demo" a small one."""
    config = common.get_config()
    config.total_steps = 527_000
    config.batch_size = 256
    config.label_smoothing = 0.1  # not in the paper; as in the code it builds on
    config.init.recipe = "bert2rnd"
    config.init.encoder = "bert-base-multilingual-cased"  # a directory
    config.tokenizer.normalization = "auto,quotes"  # the paper's data have ASCII quotes

    config.data.train = "wmt14/train.{en,de}"
    config.data.validation = "wmt14/newstest2013.{en,de}"
    config.data.columns.update(source=source, target=target)
    common.set_lengths(config, source=128, target=128)
    config.eval.metric = "bleu-tfmodels"
    config.eval.normalization = "quotes"

    if variant == "demo":
        year = "newstest2014"
        common.make_small(config, corpus=_CORPORA[source])
        config.update(total_steps=800, batch_size=16)
        config.optim.learning_rate = 2e-3
        config.eval.every_steps = 400
        common.set_lengths(config, source=32, target=32)
    elif variant in ("", "newstest2014", "newstest2016"):
        year = variant or "newstest2014"
        config.data.test = f"wmt14/{year}.{{en,de}}"
    else:
        common.refuse(f"wmt14_{source}_{target}", variant, "demo", "newstest2016")
    config.task = f"{year}-{source}-{target}"
    return config
