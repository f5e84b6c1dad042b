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

`:newstest2016` tests on the other year. Recipes with RoBERTa are of no use here,
because it knows no German.

Data: pairs of files with aligned lines; test sets also in .sgm, as published.

`:demo` learns to translate sentences of a small grammar in minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import wmt14_en_de


def get_config(variant: str = "") -> ConfigDict:
    """Returns the run of the other direction, with the same files."""
    return wmt14_en_de.get_config(variant, source="de", target="en")
