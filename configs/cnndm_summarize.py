"""CNN/DailyMail: highlights of news articles (paper, section 4.4, Table 5).

    python train.py --config=configs/cnndm_summarize.py:demo
    python train.py --config=configs/cnndm_summarize.py --workdir=DIR \
        --config.data.train=cnndm/train.jsonl --config.init.encoder=PATH

The paper trained 300k steps of 128 articles, cut to 512 and highlights to 128 tokens:
the original case, not anonymised. Expected ROUGE-1/2/L on the 11,490 test articles, 12
layers:

    rnd2rnd       35.77  14.00  32.96
    bert2bert     39.02  17.84  36.29
    bertshare     39.09  18.10  36.33
    robertashare  40.10  18.95  37.39      24 layers: 40.31  18.91  37.62

The paper's ROUGE-L is so close to its ROUGE-1 that it must be at summary level:
rougeLsum here, with line ends in the references and sentences found in the generated
texts.

Data: hf:abisee/cnn_dailymail:3.0.0, or its files with columns article, highlights, id.

`:demo` learns the highlights of generated news items in minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """Returns the paper's run, or with "demo" a small one."""
    config = common.get_config()
    config.task = "cnn_dailymail"
    config.total_steps = 300_000
    config.init.recipe = "robertashare"
    config.init.encoder = "roberta-base"  # a directory with the published checkpoint
    config.tokenizer.path = "bertgen_50358.model"  # the paper's vocabulary

    config.data.train = "cnndm/train*"
    config.data.validation = "cnndm/validation*"
    config.data.test = "cnndm/test*"
    config.data.columns.update(source="article", target="highlights", id="id")
    common.set_lengths(config, source=512, target=128)
    config.eval.metric = "rougeLsum"
    config.eval.sentence_ends = "split"

    if variant == "demo":
        common.make_small(config, corpus="highlights")
        config.update(total_steps=1_000, batch_size=8)
        config.optim.learning_rate = 2e-3
        config.eval.every_steps = 500
        common.set_lengths(config, source=160, target=64)
    elif variant:
        common.refuse("cnndm_summarize", variant, "demo")
    return config
