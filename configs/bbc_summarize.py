"""BBC XSum: one-sentence summaries of news articles (paper, section 4.4, Table 5).

    python train.py --config=configs/bbc_summarize.py:demo
    python train.py --config=configs/bbc_summarize.py --workdir=DIR \
        --config.data.train=xsum/train.jsonl --config.init.encoder=PATH

The paper trained 200k steps of 128 articles, cut to 512 and summaries to 64 tokens,
about 3 minutes per 1,000 steps on TPU v3 (section 5; the number of cores is not
stated). Expected ROUGE-1/2/L on the 11,334 test articles, 12 layers:

    rnd2rnd       30.90  10.23  24.24
    bert2bert     37.53  15.24  30.05
    bertshare     38.52  16.12  31.13
    robertashare  39.87  17.50  32.37      24 layers: 41.45  18.79  33.90

Data: hf:EdinburghNLP/xsum, or its files with columns document, summary and id.

`:demo` learns to summarize generated news in minutes on two CPU cores. Its lead
baseline is low by construction: the demo shows that everything works, not how good the
paper's models are.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """Returns the paper's run, or with "demo" a small one."""
    config = common.get_config()
    config.task = "bbc_xsum"
    config.init.recipe = "robertashare"
    config.init.encoder = "roberta-base"  # a directory with the published checkpoint
    config.tokenizer.path = "bertgen_50358.model"  # the paper's vocabulary

    config.data.train = "xsum/train*"
    config.data.validation = "xsum/validation*"
    config.data.test = "xsum/test*"
    config.data.columns.update(source="document", target="summary", id="id")
    common.set_lengths(config, source=512, target=64)

    if variant == "demo":
        common.make_small(config, corpus="news")
        config.total_steps = 600
        common.set_lengths(config, source=128, target=32)
    elif variant:
        common.refuse("bbc_summarize", variant, "demo")
    return config
