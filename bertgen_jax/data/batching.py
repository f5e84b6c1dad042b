"""Plans which examples make up each batch, and pads them to arrays.

A batch is a function of its number: nothing is carried from one batch to the next. So
the position in the data is the training step itself, and a resumed run only asks for
the next number.
"""

import dataclasses
import hashlib
import itertools
import json
import threading
from collections.abc import Sequence

import numpy as np

from bertgen_jax import errors
from bertgen_jax.data import encoding

HostBatch = dict[str, np.ndarray]  # see `collate`

_ORDER = 1  # part of the fingerprint: raise it when a seed gives another order


@dataclasses.dataclass(frozen=True)
class Bucket:
    """The padded lengths of a batch; each bucket is one compiled shape.

    Attributes:
      source: S, tokens.
      target: T, tokens.
    """

    source: int
    target: int

    def __str__(self) -> str:
        return f"({self.source}, {self.target})"


def choose_buckets(
    source_lengths: np.ndarray,
    target_lengths: np.ndarray,
    *,
    num_buckets: int,
    multiple: int,
    max_source: int,
    max_target: int,
) -> tuple[Bucket, ...]:
    """Finds the buckets that pad a corpus to the fewest tokens.

    Each bucket is at least as large as the one before in both lengths, and an example
    goes to the first bucket that it fits. The best such sequence is found exactly, by
    dynamic programming over its last bucket: with fit(b) the number of examples that
    fit bucket b, and size(b) = S + T,

        cost[k](b) = min over a in b of cost[k-1](a) + (fit(b) - fit(a)) * size(b)

    Args:
      source_lengths: i32[N], each at most `max_source`.
      target_lengths: i32[N], each at most `max_target`.
      num_buckets: the largest number of buckets.
      multiple: lengths are rounded up to multiples of this many tokens.
      max_source: the largest S, which need not be such a multiple.
      max_target: the largest T, which need not be such a multiple.

    Returns:
      The buckets, the smallest first; the last one fits every example. There are fewer
      than `num_buckets` if more would save nothing.
    """

    def candidates(lengths: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
        rounded = -(-np.maximum(lengths, 1) // multiple) * multiple
        return np.unique(np.minimum(rounded, limit), return_inverse=True)

    sources, row = candidates(source_lengths, max_source)
    targets, column = candidates(target_lengths, max_target)
    size = sources[:, None] + targets.astype(np.int64)
    fit = np.zeros_like(size)
    np.add.at(fit, (row, column), 1)
    fit = fit.cumsum(axis=0).cumsum(axis=1)

    costs = [fit * size]  # of the best 1, 2, ... buckets of which this is the last
    previous = []  # flat index of the bucket before the last of 2, 3, ... buckets
    for _ in range(num_buckets - 1):
        cost, choice = np.zeros_like(fit), np.zeros_like(fit)
        for i, j in np.ndindex(fit.shape):
            inner = np.s_[: i + 1, : j + 1]
            change = costs[-1][inner] - fit[inner] * size[i, j]
            best = np.unravel_index(change.argmin(), change.shape)
            cost[i, j] = change[best] + fit[i, j] * size[i, j]
            choice[i, j] = np.ravel_multi_index(best, fit.shape)
        costs.append(cost)
        previous.append(choice)

    # The first minimum: the fewest buckets of equal cost.
    added = int(np.argmin([cost[-1, -1] for cost in costs]))
    chain = [(len(sources) - 1, len(targets) - 1)]
    for choice in reversed(previous[:added]):
        i, j = np.unravel_index(choice[chain[-1]], fit.shape)
        chain.append((int(i), int(j)))
    return tuple(Bucket(int(sources[i]), int(targets[j])) for i, j in reversed(chain))


def parse_buckets(pairs: Sequence[Sequence[int]]) -> tuple[Bucket, ...]:
    """Reads the buckets of a config.

    Args:
      pairs: (source tokens, target tokens) of each bucket, the smallest first.

    Raises:
      ConfigError: there is no pair, one is not a pair of lengths, or one is not larger
        than the one before.
    """
    if not pairs:
        raise errors.ConfigError(
            "The tuple of buckets is empty; expected at least one pair (source tokens, "
            "target tokens), as in ((512, 64),)."
        )
    for pair in pairs:
        is_pair = isinstance(pair, Sequence) and len(pair) == 2
        if not is_pair or not all(isinstance(n, int) and n > 0 for n in pair):
            raise errors.ConfigError(
                f"The bucket {pair!r} is invalid; expected a pair (source tokens, "
                "target tokens) of positive numbers, as in ((128, 32), (512, 64))."
            )
    buckets = tuple(Bucket(*pair) for pair in pairs)
    for small, large in itertools.pairwise(buckets):
        grows = small.source <= large.source and small.target <= large.target
        if not grows or small == large:
            raise errors.ConfigError(
                f"The bucket {small} is followed by {large}; each must be larger than "
                "the one before in one length and not smaller in the other, as in "
                "((128, 32), (256, 64), (512, 64))."
            )
    return buckets


def _assign(
    encoded: encoding.EncodedExamples, buckets: tuple[Bucket, ...]
) -> np.ndarray:
    """Returns the index of the first bucket that each example fits, i64[N]."""
    by_source = np.searchsorted([b.source for b in buckets], encoded.source_lengths)
    by_target = np.searchsorted([b.target for b in buckets], encoded.target_lengths)
    assigned = np.maximum(by_source, by_target)
    too_long = int((assigned == len(buckets)).sum())
    if too_long:
        longest = Bucket(encoded.source_lengths.max(), encoded.target_lengths.max())
        raise errors.ConfigError(
            f"{too_long:,} of {len(encoded):,} examples do not fit the largest bucket, "
            f"{buckets[-1]} (source tokens, target tokens): the longest source has "
            f"{longest.source} tokens and the longest target {longest.target}. Add the "
            f"bucket {longest}, or lower max_source_tokens or max_target_tokens."
        )
    return assigned


@dataclasses.dataclass(frozen=True, eq=False)
class _Epoch:
    """The batches of one epoch.

    Attributes:
      buckets: i64[batches], the index of each batch's bucket.
      indices: i64[batches, B], the examples of each batch.
    """

    buckets: np.ndarray
    indices: np.ndarray


class TrainPlan:
    """States which examples make up training batch n, as a pure function of (seed, n).

    An epoch is the shuffled corpus without its last N mod B examples, which differ from
    epoch to epoch. Batches are filled bucket by bucket. Examples of a bucket that are
    too few for another batch move to the front of the next larger bucket. Then the
    batches are shuffled.

    Attributes:
      buckets: the buckets, the smallest first.
      batch_size: B, over all hosts.
      batches_per_epoch: N // B.
      fingerprint: digest of everything that decides the batches; a run that is resumed
        under another fingerprint would continue with other data.
    """

    def __init__(
        self,
        encoded: encoding.EncodedExamples,
        buckets: tuple[Bucket, ...],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        """Checks that the corpus can make batches.

        Args:
          encoded: the corpus.
          buckets: the buckets, the smallest first.
          batch_size: B, over all hosts.
          seed: decides the order; not negative.

        Raises:
          ConfigError: a batch has more examples than the corpus, an example fits no
            bucket, or the seed is negative.
        """
        if not 1 <= batch_size <= len(encoded):
            raise errors.ConfigError(
                f"The global batch size is {batch_size:,} and the training data has "
                f"{len(encoded):,} examples; a batch takes at least one and at most "
                "all of them. Lower the batch size or add data."
            )
        if seed < 0:
            raise errors.ConfigError(f"The seed is {seed}; expected 0 or more.")
        self.buckets = buckets
        self.batch_size = batch_size
        self.batches_per_epoch = len(encoded) // batch_size
        self._seed = seed
        self._bucket_of = _assign(encoded, buckets)
        self._lengths = encoded.source_lengths + encoded.target_lengths
        self._epochs: dict[int, _Epoch] = {}
        self._lock = threading.Lock()
        shapes = [dataclasses.astuple(bucket) for bucket in buckets]
        decides = [_ORDER, encoded.fingerprint, shapes, batch_size, seed]
        text = json.dumps(decides).encode()
        self.fingerprint = hashlib.blake2b(text, digest_size=16).hexdigest()

    def __getitem__(self, number: int) -> tuple[Bucket, np.ndarray]:
        """Returns bucket and examples, i64[B], of batch 0, 1, ... without end."""
        epoch, position = divmod(number, self.batches_per_epoch)
        planned = self._planned(epoch)
        return self.buckets[planned.buckets[position]], planned.indices[position]

    def buckets_in_use(self, start: int, stop: int) -> list[Bucket]:
        """Returns the buckets of batches from `start` to `stop`, by their first use.

        What the first epoch of them does not use comes last, if there are more epochs.
        """
        used: dict[Bucket, None] = {}
        for number in range(start, min(stop, start + self.batches_per_epoch)):
            used.setdefault(self[number][0])
            if len(used) == len(self.buckets):
                break
        if stop - start > self.batches_per_epoch:
            used |= dict.fromkeys(self.buckets)
        return list(used)

    def padding_share(self, epoch: int = 0) -> float:
        """Returns the share of an epoch's source and target tokens that is padding."""
        planned = self._planned(epoch)
        sizes = np.array([bucket.source + bucket.target for bucket in self.buckets])
        computed = self.batch_size * int(sizes[planned.buckets].sum())
        return 1 - int(self._lengths[planned.indices].sum()) / computed

    def _planned(self, epoch: int) -> _Epoch:
        with self._lock:
            if epoch not in self._epochs:
                # Threads that read ahead need two epochs at a time, never three.
                for old in sorted(self._epochs)[:-1]:
                    del self._epochs[old]
                self._epochs[epoch] = self._plan(epoch)
            return self._epochs[epoch]

    def _plan(self, epoch: int) -> _Epoch:
        # Sort random bits instead of calling Generator.permutation: NumPy guarantees
        # only the stream of a bit generator, and a run may outlive a NumPy version.
        bits = np.random.Philox(np.random.SeedSequence([self._seed, epoch]))
        order = np.argsort(bits.random_raw(len(self._bucket_of)), kind="stable")
        batch_order = np.argsort(bits.random_raw(self.batches_per_epoch), kind="stable")
        order = order[: self.batches_per_epoch * self.batch_size]
        bucket_of = self._bucket_of[order]
        buckets, indices = [], []
        waiting = order[:0]
        for number in range(len(self.buckets)):
            waiting = np.concatenate([waiting, order[bucket_of == number]])
            batches = len(waiting) // self.batch_size
            taken, waiting = np.split(waiting, [batches * self.batch_size])
            buckets.append(np.full(batches, number))
            indices.append(taken.reshape(batches, self.batch_size))
        return _Epoch(
            np.concatenate(buckets)[batch_order], np.concatenate(indices)[batch_order]
        )


class EvalPlan:
    """Puts every example into one batch; all batches have the same number of rows.

    Large buckets and long examples come first, so that a lack of memory shows at once
    and the last batch, the only one with filler rows, is a small one.

    Attributes:
      buckets: the buckets, the smallest first.
      batch_size: B, over all hosts.
    """

    def __init__(
        self,
        encoded: encoding.EncodedExamples,
        buckets: tuple[Bucket, ...],
        *,
        batch_size: int,
    ) -> None:
        """Plans the batches.

        Args:
          encoded: the split.
          buckets: the buckets, the smallest first.
          batch_size: B, over all hosts.

        Raises:
          ConfigError: the batch size is below 1, or an example fits no bucket.
        """
        if batch_size < 1:
            raise errors.ConfigError(
                f"The evaluation batch size is {batch_size}; expected at least 1."
            )
        self.buckets = buckets
        self.batch_size = batch_size
        bucket_of = _assign(encoded, buckets)
        sort_keys = (encoded.target_lengths, encoded.source_lengths, bucket_of)
        order = np.lexsort(sort_keys)[::-1]
        filler = np.full(-len(order) % batch_size, -1)
        self._indices = np.concatenate([order, filler]).reshape(-1, batch_size)
        self._buckets = bucket_of[self._indices[:, 0]]  # the first needs the largest

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, number: int) -> tuple[Bucket, np.ndarray]:
        """Returns bucket and examples, i64[B], of a batch; -1 for a filler row."""
        return self.buckets[self._buckets[number]], self._indices[number]


@dataclasses.dataclass(frozen=True)
class FillIds:
    """The ids that a batch has where its sequences have none.

    Attributes:
      source: the padding id of sources.
      target: the padding id of targets, which may have another vocabulary.
      start: the id that the decoder reads before the first label.
    """

    source: int
    target: int
    start: int


def collate(
    encoded: encoding.EncodedExamples,
    bucket: Bucket,
    indices: np.ndarray,
    fill: FillIds,
) -> HostBatch:
    """Pads examples to the arrays of one batch.

    Masks and weights are made here, where lengths are known, and travel with the batch,
    because ids do not tell what is padding (RoBERTa pads with 1; GPT-2 has no pad id).

    With S = 4, T = 3, pad 0, start 2 and end 1; example 4 is [7 8 9] -> [6 1], example
    2 is [5] -> [3 4 1], and the third row is filler:

        indices            4         2         -1
        input_ids          7 8 9 0   5 0 0 0   0 0 0 0
        attention_mask     T T T F   T F F F   F F F F
        decoder_input_ids  2 6 0     2 3 4     2 0 0
        labels             6 1 0     3 4 1     0 0 0
        label_weights      1 1 0     1 1 1     0 0 0
        example_index      4         2         -1

    Args:
      encoded: the ids of the corpus.
      bucket: S and T; every example fits.
      indices: i64[B], the examples; -1 for a filler row.
      fill: the ids of padding and of the decoder's start.

    Returns:
      `input_ids` i32[B,S], `attention_mask` bool[B,S], `decoder_input_ids` i32[B,T],
      `labels` i32[B,T], `label_weights` f32[B,T], `example_index` i64[B].
    """
    rows, real = len(indices), indices >= 0
    source_lengths = np.where(real, encoded.source_lengths[indices], 0)
    target_lengths = np.where(real, encoded.target_lengths[indices], 0)
    input_ids = np.full((rows, bucket.source), fill.source, np.int32)
    decoder_input_ids = np.full((rows, bucket.target), fill.target, np.int32)
    labels = np.full((rows, bucket.target), fill.target, np.int32)
    decoder_input_ids[:, 0] = fill.start
    for row in np.flatnonzero(real):
        source = encoded.source(indices[row])
        target = encoded.target(indices[row])
        input_ids[row, : len(source)] = source
        decoder_input_ids[row, 1 : len(target)] = target[:-1]
        labels[row, : len(target)] = target
    has_source = np.arange(bucket.source) < source_lengths[:, None]
    has_label = np.arange(bucket.target) < target_lengths[:, None]
    return {
        "input_ids": input_ids,
        "attention_mask": has_source,
        "decoder_input_ids": decoder_input_ids,
        "labels": labels,
        "label_weights": has_label.astype(np.float32),
        "example_index": indices,
    }
