"""Lists the results of the paper, arXiv 1907.12461, Tables 2 to 5.

A row is named by its setup, one of `recipes.RECIPES`, and has 12 layers; "SETUP/24" is
the row with 24 layers.
"""

import dataclasses
from collections.abc import Mapping

from bertgen_jax.errors import ConfigError, nearest

_FUSION = ("exact", "sari")
_SPLITTING = ("exact", "sari", "bleu")
_ROUGE = ("rouge1", "rouge2", "rougeL")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
      table: "Table 3".
      setup: a name in `recipes.RECIPES`.
      layers: 12 or 24.
      metrics: scores by the paper's names of the metrics.
    """

    table: str
    setup: str
    layers: int
    metrics: Mapping[str, float]


def find(dataset: str, setup: str, layers: int) -> Row | None:
    """Returns the row of a setup, or None if the paper has no such row.

    Args:
      dataset: a name in `DATASETS`.
      setup: a name in `recipes.RECIPES`.
      layers: layers of the model; any number but 24 selects the row of 12 layers.

    Raises:
      ConfigError: there is no such data set.
    """
    if dataset not in DATASETS:
        raise ConfigError(
            f"the paper has no results for {dataset!r}; it has them for "
            f"{', '.join(DATASETS)}.{nearest(dataset, DATASETS)}"
        )
    table, names, rows = DATASETS[dataset]
    size = 24 if layers == 24 and f"{setup}/24" in rows else 12
    scores = rows.get(f"{setup}/24" if size == 24 else setup)
    if scores is None:
        return None
    return Row(table, setup, size, dict(zip(names, scores, strict=True)))


# Table 2, balanced Wikipedia part. Columns: exact match with all training data; SARI
# with all training data, with a tenth and with a hundredth.
_DISCOFUSE = {
    "roberta2gpt": (65.6, 89.9, 87.1, 80.3),
    "robertashare": (65.3, 89.7, 86.9, 81.2),
    "bert2bert": (63.9, 89.3, 86.1, 81.2),
    "bert2rnd": (63.9, 89.3, 86.1, 80.3),
    "bertshare": (63.9, 89.2, 86.0, 80.8),
    "bert2gpt": (61.5, 88.4, 84.1, 70.2),
    "gpt": (60.4, 88.0, 82.9, 74.5),
    "rnd2bert": (60.0, 87.6, 82.1, 72.8),
    "rnd2rnd": (58.3, 86.9, 81.5, 69.3),
    "rnd2gpt": (57.6, 86.5, 81.4, 70.6),
    "robertashare/24": (66.6, 90.3, 87.7, 81.5),
    "bertshare/24": (65.3, 89.9, 86.6, 81.4),
}

# Table 3.
_WIKISPLIT = {
    "bertshare": (16.3, 63.5, 77.2),
    "robertashare": (16.1, 63.4, 77.1),
    "bert2bert": (15.6, 63.2, 77.0),
    "roberta2gpt": (15.1, 63.2, 76.8),
    "bert2rnd": (15.9, 63.1, 76.9),
    "bert2gpt": (14.6, 62.4, 76.5),
    "rnd2bert": (15.2, 61.8, 76.5),
    "rnd2rnd": (14.6, 61.7, 76.3),
    "rnd2gpt": (14.2, 61.3, 76.2),
    "gpt": (14.2, 61.1, 75.8),
    "robertashare/24": (16.4, 63.8, 77.4),
    "bertshare/24": (16.6, 63.7, 77.3),
}

# Table 4. Rows with 12 layers use public checkpoints and vocabularies, rows with 24
# layers the custom ones. Columns: newstest2014 from English to German, then from German
# to English; newstest2016 likewise.
_WMT14 = {
    "rnd2rnd": (26.0, 29.1, 32.4, 36.7),
    "bert2rnd": (30.1, 32.7, 34.4, 39.6),
    "rnd2bert": (27.2, 30.4, 33.2, 37.5),
    "bert2bert": (30.1, 32.7, 34.6, 39.3),
    "bertshare": (29.6, 32.6, 34.4, 39.6),
    "gpt": (16.4, 21.5, 22.4, 27.7),
    "rnd2gpt": (19.6, 23.2, 24.2, 28.5),
    "bert2gpt": (23.2, 31.4, 28.1, 37.0),
    "bert2rnd/24": (31.7, 34.2, 35.6, 41.1),
    "bertshare/24": (30.5, 33.8, 35.4, 40.9),
}

# Table 5.
_GIGAWORD = {
    "rnd2rnd": (36.94, 18.71, 34.45),
    "bert2rnd": (37.71, 19.26, 35.26),
    "rnd2bert": (37.01, 18.91, 34.51),
    "bert2bert": (38.01, 19.68, 35.58),
    "bertshare": (38.13, 19.81, 35.62),
    "robertashare": (38.21, 19.70, 35.44),
    "gpt": (36.04, 18.44, 33.67),
    "rnd2gpt": (36.21, 18.39, 33.83),
    "bert2gpt": (36.77, 18.23, 34.24),
    "roberta2gpt": (37.94, 19.21, 35.42),
    "bertshare/24": (38.35, 19.80, 35.66),
    "robertashare/24": (38.62, 19.78, 35.94),
}
_CNN_DAILYMAIL = {
    "rnd2rnd": (35.77, 14.00, 32.96),
    "bert2rnd": (38.74, 17.76, 35.95),
    "rnd2bert": (36.65, 15.55, 33.97),
    "bert2bert": (39.02, 17.84, 36.29),
    "bertshare": (39.09, 18.10, 36.33),
    "robertashare": (40.10, 18.95, 37.39),
    "gpt": (37.26, 15.83, 34.47),
    "rnd2gpt": (32.08, 8.81, 29.03),
    "bert2gpt": (25.20, 4.96, 22.99),
    "roberta2gpt": (36.35, 14.72, 33.79),
    "bertshare/24": (39.83, 17.69, 37.01),
    "robertashare/24": (40.31, 18.91, 37.62),
}
_BBC_XSUM = {
    "rnd2rnd": (30.90, 10.23, 24.24),
    "bert2rnd": (38.42, 15.83, 30.80),
    "rnd2bert": (32.44, 11.52, 25.65),
    "bert2bert": (37.53, 15.24, 30.05),
    "bertshare": (38.52, 16.12, 31.13),
    "robertashare": (39.87, 17.50, 32.37),
    "gpt": (22.21, 4.89, 16.69),
    "rnd2gpt": (28.48, 8.77, 22.30),
    "bert2gpt": (27.79, 8.37, 21.91),
    "roberta2gpt": (19.91, 5.20, 15.88),
    "bertshare/24": (38.93, 16.35, 31.52),
    "robertashare/24": (41.45, 18.79, 33.90),
}


def _columns(rows: Mapping[str, tuple], *numbers: int) -> dict[str, tuple]:
    return {name: tuple(row[i] for i in numbers) for name, row in rows.items()}


_Table = tuple[str, tuple[str, ...], Mapping[str, tuple[float, ...]]]

# The table of the paper, the names of its columns, and its rows.
DATASETS: Mapping[str, _Table] = {
    "discofuse": ("Table 2", _FUSION, _columns(_DISCOFUSE, 0, 1)),
    "discofuse-10%": ("Table 2", ("sari",), _columns(_DISCOFUSE, 2)),
    "discofuse-1%": ("Table 2", ("sari",), _columns(_DISCOFUSE, 3)),
    "wikisplit": ("Table 3", _SPLITTING, _WIKISPLIT),
    "newstest2014-en-de": ("Table 4", ("bleu",), _columns(_WMT14, 0)),
    "newstest2014-de-en": ("Table 4", ("bleu",), _columns(_WMT14, 1)),
    "newstest2016-en-de": ("Table 4", ("bleu",), _columns(_WMT14, 2)),
    "newstest2016-de-en": ("Table 4", ("bleu",), _columns(_WMT14, 3)),
    "gigaword": ("Table 5", _ROUGE, _GIGAWORD),
    "cnn_dailymail": ("Table 5", _ROUGE, _CNN_DAILYMAIL),
    "bbc_xsum": ("Table 5", _ROUGE, _BBC_XSUM),
}
