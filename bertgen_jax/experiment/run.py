"""Defines `Run`, which holds an experiment's config and the objects made from it.

Training, evaluation and notebooks use it:

    with Run.for_evaluation(config, workdir, ["test"]) as run:
        params = run.params(run.find_step("best"))
        generated = bg.generate(run.model, params, ..., config=run.generation_config)
"""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from bertgen_jax import processes, sharding
from bertgen_jax.checkpoints.store import CheckpointStore
from bertgen_jax.data import batching
from bertgen_jax.data import examples as examples_lib
from bertgen_jax.data.examples import Examples, Subset
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.errors import CheckpointError, DataError
from bertgen_jax.experiment import checks, new_run, settings, splits
from bertgen_jax.experiment import workdir as workdir_lib
from bertgen_jax.models import create
from bertgen_jax.models.config import Seq2SeqConfig
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.pretrained.opened_checkpoint import OpenedCheckpoint
from bertgen_jax.tokenizers.pair import TokenizerPair
from bertgen_jax.trees import Params

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
      config: the experiment's config; see configs/common.py.
      workdir: the folder that holds everything of the run.
      mesh: the devices.
      examples: the opened texts, by split.
      tokenizers: the tokenizers of source and target texts.
      model: the module, without parameters.
      store: the saved steps.
      checkpoints: the published checkpoints that a new run starts from, by side.
      is_new: whether the run has saved nothing yet.
    """

    config: ConfigDict
    workdir: pathlib.Path
    mesh: jax.sharding.Mesh
    examples: Mapping[str, Examples | Subset]
    tokenizers: TokenizerPair
    model: Seq2SeqModel
    store: CheckpointStore
    checkpoints: Mapping[str, OpenedCheckpoint]
    is_new: bool

    @classmethod
    def new(
        cls, config: ConfigDict, workdir: pathlib.Path, store: CheckpointStore
    ) -> Self:
        """Starts a run: opens data and checkpoints, makes the tokenizers and the model.

        Writes WORKDIR/tokenizer and WORKDIR/model_config.json.

        Raises:
          BertgenError: an invalid config, or a file that is missing or damaged.
        """
        mesh = _training_mesh(config)
        examples = _open_examples(config, _training_splits(config))
        # Before any text is tokenized, so that a missing checkpoint fails at once.
        checkpoints = new_run.open_checkpoints(config)
        tokenizers = new_run.write_tokenizers(
            config, workdir, checkpoints, examples["train"]
        )
        architecture = new_run.write_architecture(
            workdir, new_run.make_architecture(config, checkpoints, tokenizers)
        )
        return cls(
            config,
            workdir,
            mesh,
            examples,
            tokenizers,
            create_model(config, architecture, mesh),
            store,
            checkpoints,
            is_new=True,
        )

    @classmethod
    def resume(
        cls,
        config: ConfigDict,
        workdir: pathlib.Path,
        store: CheckpointStore,
        mesh: jax.sharding.Mesh,
        split_names: Iterable[str],
    ) -> Self:
        """Opens a run that has saved a step, from its work directory.

        Args:
          config: the experiment's config.
          workdir: the run's work directory.
          store: the saved steps of the run.
          mesh: the devices to use now.
          split_names: the splits to open; files of other splits may be missing.

        Raises:
          BertgenError: an invalid config, or a file that is missing or damaged.
        """
        examples = _open_examples(config, split_names)
        tokenizers = TokenizerPair.from_pretrained(workdir / new_run.TOKENIZER)
        model = create_model(config, new_run.read_architecture(workdir), mesh)
        return cls(
            config,
            workdir,
            mesh,
            examples,
            tokenizers,
            model,
            store,
            checkpoints={},
            is_new=False,
        )

    @classmethod
    @contextlib.contextmanager
    def for_training(cls, config: ConfigDict, workdir: pathlib.Path) -> Iterator[Self]:
        """Starts a run, or resumes the one in `workdir`, which is locked meanwhile.

        Raises:
          BertgenError: an invalid config, a work directory of another run, or a file
            that is missing or damaged.
        """
        workdir_lib.check_processes(config)
        checks.check(config)
        with (
            workdir_lib.locked(workdir),
            contextlib.closing(open_store(config, workdir)) as store,
        ):
            if store.latest_step() is None:
                # Until the first save, any config may use this work directory.
                yield cls.new(config, workdir, store)
            else:
                workdir_lib.check(workdir, config)
                mesh, names = _training_mesh(config), _training_splits(config)
                yield cls.resume(config, workdir, store, mesh, names)

    @classmethod
    @contextlib.contextmanager
    def for_evaluation(
        cls, config: ConfigDict, workdir: pathlib.Path, split_names: Iterable[str]
    ) -> Iterator[Self]:
        """Opens a trained run for reading, on all devices.

        Args:
          config: the experiment's config; it must describe the model in `workdir`.
          workdir: the run's work directory.
          split_names: the splits to open.

        Raises:
          BertgenError: an invalid config, another model, or a file that is missing or
            damaged.
        """
        workdir_lib.check_processes(config)
        checks.check(config)
        workdir_lib.check_model(workdir, config)
        mesh = sharding.create_mesh(data=-1, fsdp=1)
        sharding.check_batch(config.eval.batch_size, mesh, 1, "eval.batch_size")
        with contextlib.closing(open_store(config, workdir)) as store:
            yield cls.resume(config, workdir, store, mesh, split_names)

    def split(self, name: str, num_examples: int = 0) -> splits.Split:
        """Encodes an opened split, or its first `num_examples`; 0 for all.

        Raises:
          ConfigError: `data.buckets` is invalid.
          DataError: processes have other texts.
        """
        examples = examples_lib.first(self.examples[name], num_examples)
        texts = processes.gather(examples.fingerprint)
        if different := [n for n, each in enumerate(texts) if each != texts[0]]:
            raise DataError(
                f"data.{name}: process 0 has other texts than process "
                f"{', '.join(map(str, different))}. Expected the same files on every "
                "host."
            )
        return splits.encode(self.config, name, examples, self.tokenizers)

    def first_params(self) -> Params:
        """Returns the parameters of a new run before step 1; see `new_run`."""
        return new_run.first_params(
            self.config, self.workdir, self.model, self.checkpoints, self.tokenizers
        )

    def find_step(self, name: str) -> int:
        """Returns the saved step that "best", "latest" or a number names.

        Raises:
          CheckpointError: there is no such step; the message lists the saved steps.
        """
        saved = self.store.steps()
        if not saved:
            raise CheckpointError(
                f"{self.workdir}/checkpoints: no step is saved yet; expected the work "
                "directory of a run that has saved one."
            )
        if name == "latest":
            return saved[-1]
        if name == "best":
            best = self.store.best_step()
            if best is None:
                _log.warning("no checkpoint has a finite metric; taking the latest")
                return saved[-1]
            return best
        if not (name.isascii() and name.isdigit()) or int(name) not in saved:
            raise CheckpointError(
                f"step is {name!r}; expected 'best', 'latest' or a step in "
                f"{self.workdir}/checkpoints: {', '.join(map(str, saved))}."
            )
        return int(name)

    def params(
        self, step: int | None, sharding: jax.sharding.Sharding | None = None
    ) -> Params:
        """Reads the parameters to evaluate and to export: the average, if there is one.

        Every process must call this.

        Args:
          step: a saved step; None for the newest intact one.
          sharding: where each parameter goes, also across processes; None for the
            first device of this process.

        Raises:
          CheckpointError: there is no such step, or it is damaged.
        """
        subtree = "ema_params" if self.config.ema_decay else "params"
        _, params, _ = self.store.restore_params(step, subtree, sharding=sharding)
        return params

    @property
    def generation_config(self) -> GenerationConfig:
        """The settings for generating texts, with the target tokenizer's special ids.

        Raises:
          ConfigError: a field of `decode` is invalid.
        """
        return generation_config(self.config, self.tokenizers)

    @property
    def fill_ids(self) -> batching.FillIds:
        """The ids at positions of a batch that hold no token."""
        return batching.FillIds(
            source=self.tokenizers.source.special_ids.pad,
            target=self.tokenizers.target.special_ids.pad,
            start=self.model.config.start_token_id,
        )

    def write_config(self) -> None:
        """Writes WORKDIR/config.json: from now on the directory belongs to this run."""
        workdir_lib.claim(self.workdir, self.config)


def _training_mesh(config: ConfigDict) -> jax.sharding.Mesh:
    """Creates the config's mesh, and checks that batches can be divided over it."""
    mesh = sharding.create_mesh(config.mesh.data, config.mesh.fsdp)
    sharding.check_batch(config.batch_size, mesh, config.micro_batches, "batch_size")
    sharding.check_batch(config.eval.batch_size, mesh, 1, "eval.batch_size")
    return mesh


def _training_splits(config: ConfigDict) -> tuple[str, ...]:
    """Returns the splits of a training run.

    "test" is among them, although it is only read at the end, so that a missing file
    fails at once.
    """
    return splits.SPLITS if config.data.test else ("train", "validation")


def _open_examples(
    config: ConfigDict, split_names: Iterable[str]
) -> dict[str, Examples | Subset]:
    return {name: splits.open_examples(config, name) for name in split_names}


def open_store(config: ConfigDict, workdir: pathlib.Path) -> CheckpointStore:
    """Opens the checkpoints of a work directory, with the config's retention rules."""
    checkpoint, metric = config.checkpoint, config.eval.metric
    return CheckpointStore(
        workdir / "checkpoints",
        best_metric=metric,
        best_mode=checks.best_mode(metric),
        keep_latest=checkpoint.keep_latest,
        keep_best=checkpoint.keep_best,
        keep_period=checkpoint.keep_every_steps or None,
    )


def create_model(
    config: ConfigDict,
    architecture: Seq2SeqConfig,
    mesh: jax.sharding.Mesh | None = None,
) -> Seq2SeqModel:
    """Creates the model with the config's dtype, `scan_layers` and `remat`."""
    return create.create_model(
        architecture,
        dtype=jnp.dtype(config.model.dtype),
        scan_layers=config.model.scan_layers,
        # What "auto" stands for is known when the training step is compiled.
        remat="none" if config.model.remat == "auto" else config.model.remat,
        mesh=mesh,
    )


def generation_config(
    config: ConfigDict, tokenizers: TokenizerPair
) -> GenerationConfig:
    """Returns the config's `decode` with the special ids of the target tokenizer.

    Raises:
      ConfigError: see `GenerationConfig`.
    """
    ids = tokenizers.target.special_ids
    return GenerationConfig(
        **settings.generation_settings(config),
        decoder_start_token_id=ids.bos,
        eos_token_id=ids.eos,
        pad_token_id=ids.pad,
    )
