"""Defines the default of every config field, with its unit or its reason.

A config file starts from `get_config()` and sets only the fields that differ.
`make_small` shrinks an experiment, so that it learns one of the corpora in this package
within minutes. Config files are Python programs, so read one before you run it.
"""

from typing import NoReturn

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the defaults. Brackets name the section of the paper with the value."""
    config = ConfigDict()
    config.task = ""  # a name in experiment/tasks.py, or "" to compute only ROUGE
    config.seed = 0  # of weights, order and dropout; the same seed gives the same run
    config.total_steps = 200_000  # updates, and steps that bad_steps skips
    config.batch_size = 128  # examples an update, over all devices [section 4]
    config.micro_batches = 1  # parts of a batch, run one after the other to save memory
    config.label_smoothing = 0.0  # share of the target spread over the vocabulary
    config.ema_decay = 0.0  # of the moving average that is evaluated; 0: no average
    config.multihost = False  # True: several processes, connected by jax.distributed
    config.watchdog_s = 1800.0  # end a run that is stuck for so many seconds; 0: never

    config.model = model = ConfigDict()
    model.size = "base"  # or tiny, small, large, micro; of a side without checkpoint
    model.hidden_act = ""  # "": the checkpoint's, else "gelu" (erf); "gelu_new" is tanh
    model.hidden_dropout_prob = 0.1  # not in the paper; as google-research/bert
    model.attention_probs_dropout_prob = 0.1  # as above
    model.max_position_embeddings = 512  # tokens [section 2]
    model.initializer_range = 0.02  # standard deviation of new weights, as BERT
    model.layer_norm_eps = 0.0  # 0: the checkpoint's, else BERT's 1e-12
    model.lm_head_bias = False  # the parameter counts of Table 1 leave no room for one
    model.dtype = "float32"  # of the computation; "bfloat16" on TPUs and recent GPUs
    model.scan_layers = True  # compile one layer instead of all, which saves minutes
    model.remat = "auto"  # recompute what does not fit; or "none", "dots", "full"

    config.init = init = ConfigDict()
    init.recipe = "rnd2rnd"  # [Table 1]: bertgen_jax/warm_start/recipes.py
    init.encoder = ""  # checkpoint of any format, if the recipe starts from one
    init.decoder = ""  # as above
    init.parts = "all"  # "embeddings" or "layers": load only these [section 5]
    init.layers = ""  # "9,10,13-18": load only these layers, from 1 [section 5]
    init.mlm_bias = False  # initialise the softmax bias from the masked-LM head

    config.tokenizer = tokenizer = ConfigDict()
    tokenizer.path = ""  # file or directory; "": the checkpoint's; "learn": a new one
    tokenizer.decoder_path = ""  # as above, if targets need another tokenizer
    tokenizer.source_specials = False  # [CLS] source [SEP], or <s> source </s>
    tokenizer.vocab_size = 16_000  # most pieces of a learned vocabulary [section 5]
    tokenizer.normalization = "auto"  # ASCII for SentencePiece; or "nfc,quotes", ""

    config.data = data = ConfigDict()
    data.train = ""  # file, glob, "x.{en,de}", "hf:NAME#train" or "demo:NAME/train"
    data.validation = ""  # as above
    data.test = ""  # as above
    data.columns = columns = ConfigDict()
    columns.source = "source"  # column of the input text; "0": by position, no header
    columns.target = "target"  # column of the reference; "a,b": two; "a+b": joined
    columns.id = ""  # column of a unique id; "": the file and the row
    data.on_bad_row = "raise"  # or "skip": leave out, count and report
    data.fraction = 1.0  # share of the training data, drawn at random [section 4.1]
    data.max_source_tokens = 512  # tokens; longer sources are cut [section 4]
    data.max_target_tokens = 128  # tokens, end symbol included; longer targets are cut
    data.num_buckets = 8  # batch shapes to compile; more shapes need less padding
    data.bucket_multiple = 8  # tokens; each bucket length is a multiple of this
    data.buckets = ()  # ((source, target), ...) lengths, in place of num_buckets
    data.workers = 0  # processes that tokenize a large corpus; 0: one on each core
    data.threads = 2  # threads that make batches
    data.prefetch = 8  # batches made ahead

    config.optim = optim = ConfigDict()
    optim.name = "adam"  # [section 2]; "adamw", "adafactor"
    optim.schedule = "paper"  # [section 2]; "constant", "linear", "cosine"
    optim.learning_rate = 0.05  # [section 2] before the schedule's 1/sqrt(width * step)
    optim.warmup_steps = 40_000  # [section 2]
    optim.b1 = 0.9  # as google-research/bert
    optim.b2 = 0.999  # as above
    optim.eps = 1e-6  # as above
    optim.weight_decay = 0.0  # none in the paper; needs "adamw" or "adafactor"
    optim.decay_pattern = "(kernel|embedding)$"  # decay these: no biases, no norms
    optim.clip_norm = 0.0  # largest global gradient norm; 0: no limit, as in the paper
    optim.freeze = ()  # regular expressions of parameter paths that do not train
    optim.multipliers = ()  # ((regular expression, factor), ...) on the learning rate

    config.eval = evaluation = ConfigDict()
    evaluation.every_steps = 5_000  # updates; 0: only at the end
    evaluation.batch_size = 64  # examples over all devices
    evaluation.num_examples = 1_000  # validation examples to generate texts for; 0: all
    evaluation.metric = "rougeL"  # decides which checkpoint is best; or "loss"
    evaluation.patience = 0  # stop after so many without a new best; 0: never
    evaluation.stemming = True  # ROUGE compares the Porter stems of words
    evaluation.sentence_ends = "newline"  # for rougeLsum; "split": also within a line
    evaluation.normalization = ""  # of all texts before scoring: "nfc,quotes"

    config.decode = decode = ConfigDict()
    decode.num_beams = 4  # [section 4.3, for translation]
    decode.length_penalty = 0.6  # [section 4.3]
    decode.length_penalty_form = "gnmt"  # the paper's; "power" is Hugging Face's
    decode.early_stopping = "never"  # stop when no beam can still win
    decode.max_new_tokens = 128  # tokens, end symbol included
    decode.min_new_tokens = 0  # tokens before the end symbol
    decode.no_repeat_ngram_size = 0  # no n-gram of this size is repeated; 0: no limit

    config.checkpoint = checkpoint = ConfigDict()
    checkpoint.every_steps = 5_000  # updates; also after each new best
    checkpoint.keep_latest = 2  # newest steps; two, in case the newest is damaged
    checkpoint.keep_best = 1  # best steps, by eval.metric
    checkpoint.keep_every_steps = 0  # keep every multiple for good; 0: none

    config.bad_steps = bad_steps = ConfigDict()
    bad_steps.action = "stop"  # if the loss is not finite or spikes; "skip", "rewind"
    bad_steps.spike_factor = 0.0  # times the median is a spike; 0: nothing is a spike
    bad_steps.window = 128  # steps whose median loss and gradient norm are taken
    bad_steps.limit = 10  # steps to skip in a row; returns to the same checkpoint

    config.log = log = ConfigDict()
    log.every_steps = 100  # updates
    log.tensorboard = True  # event files beside metrics.jsonl

    config.mesh = mesh = ConfigDict()
    mesh.data = -1  # groups of mesh.fsdp devices that hold all weights; -1: all
    mesh.fsdp = 1  # devices over which weights and optimizer state are split
    return config.lock()


def make_small(config: ConfigDict, corpus: str) -> None:
    """Shrinks an experiment to two layers and minutes on two CPU cores, offline."""
    config.batch_size = 32
    config.label_smoothing = 0.0
    model = config.model
    model.size = "tiny"
    model.hidden_dropout_prob = 0.0  # so few epochs do not over-fit
    model.attention_probs_dropout_prob = 0.0
    model.initializer_range = 0.08  # about 1/sqrt(width); 0.02 suits wider models
    model.scan_layers = False  # two layers compile as fast without a scan

    config.init.recipe = "rnd2rnd"
    config.init.encoder = config.init.decoder = ""
    config.tokenizer.path = config.tokenizer.decoder_path = ""
    config.tokenizer.vocab_size = 2_000
    for split in ("train", "validation", "test"):
        config.data[split] = f"demo:{corpus}/{split}"
    config.data.columns.update(source="source", target="target", id="id")
    config.data.fraction = 1.0
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
    config.checkpoint.every_steps = 200
    config.log.every_steps = 50


def set_lengths(config: ConfigDict, source: int, target: int) -> None:
    """Sets the maximum lengths of texts in training and in decoding, in tokens."""
    config.data.max_source_tokens = source
    config.data.max_target_tokens = target
    config.decode.max_new_tokens = target


def refuse(file: str, variant: str, *valid: str) -> NoReturn:
    """Raises an error for an unknown variant of a config."""
    listed = " or ".join(f":{name}" for name in valid)
    raise ValueError(f"{file}.py:{variant}: expected no variant, or {listed}.")
