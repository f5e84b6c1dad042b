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

`:demo` learns to summarize generated news in minutes on two CPU cores. Its lead
baseline is low by construction; it shows that everything works, not how well the paper
does.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(variant: str = "") -> ConfigDict:
    """The paper's run, or with "demo" a small one."""
    config = common.get_config()
    if variant == "demo":
        return demo(config)
    if variant:
        raise ValueError(f"bbc_summarize.py:{variant}: expected no variant, or :demo.")

    config.init.recipe = "robertashare"
    config.init.encoder = "roberta-base"  # a directory with the published checkpoint
    config.tokenizer.path = (
        "bertgen_50358.model"  # the paper's SentencePiece vocabulary
    )

    config.data.train = "xsum/train*"
    config.data.validation = "xsum/validation*"
    config.data.test = "xsum/test*"
    config.data.columns.update(source="document", target="summary", id="id")
    config.data.max_target_tokens = 64
    config.decode.max_new_tokens = 64
    return config


def demo(config: ConfigDict) -> ConfigDict:
    """Two layers, an embedded corpus, minutes."""
    config.total_steps = 600
    config.batch_size = 32
    config.model.size = "tiny"
    config.model.hidden_dropout_prob = 0.0  # less than one epoch: nothing to over-fit
    config.model.attention_probs_dropout_prob = 0.0
    config.model.initializer_range = (
        0.08  # about 1/sqrt(width): 0.02 suits wider models
    )
    config.model.scan_layers = False  # two layers compile as fast one by one

    config.tokenizer.vocab_size = 2_000
    config.data.train = "demo:news/train"
    config.data.validation = "demo:news/validation"
    config.data.test = "demo:news/test"
    config.data.columns.update(source="source", target="target", id="id")
    config.data.max_source_tokens = 128
    config.data.max_target_tokens = 32
    config.data.num_buckets = 2
    config.data.bucket_multiple = 8

    config.optim.schedule = "cosine"
    config.optim.learning_rate = 1e-3
    config.optim.warmup_steps = 100
    config.optim.b2 = 0.98
    config.optim.clip_norm = 1.0

    config.eval.every_steps = 200
    config.eval.batch_size = 40
    config.eval.num_examples = 80
    config.decode.max_new_tokens = 32
    config.checkpoint.every_steps = 200
    config.log.every_steps = 50
    return config
