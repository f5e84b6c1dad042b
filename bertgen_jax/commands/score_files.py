"""Files of predictions, references and sources in, `Outputs` to be scored out."""

from collections.abc import Sequence

from bertgen_jax import errors
from bertgen_jax.data import text_lists
from bertgen_jax.metrics.outputs import Outputs

# Columns that are looked for where none is named; the first that is there.
PREDICTIONS = ("prediction", "generated_text", "output", "hypothesis", "text")
REFERENCES = ("references", "reference", "target", "targets", "summary")
SOURCES = ("source", "document", "article", "text")


def read(
    predictions: str,
    references: Sequence[str] = (),
    sources: str | None = None,
    *,
    prediction_column: str | None = None,
    reference_column: str | None = None,
    source_column: str | None = None,
) -> Outputs:
    """Reads what is to be scored; row n of each file belongs to the same example.

    Formats and columns are those of `text_lists.read`.

    Args:
      predictions: file with a text a row.
      references: files; each gives every example a reference, or several, such as the
        columns of a .tsv file or the list in a .jsonl file. None: they stand beside the
        predictions, as in WORKDIR/predictions/SPLIT-STEP.jsonl.
      sources: file of the input texts; None: beside the predictions, if at all.
      prediction_column, reference_column, source_column: other columns than the first
        of `PREDICTIONS`, `REFERENCES` and `SOURCES` that is there; of references
        several: "a,b".

    Raises:
      DataError: a file that is missing or damaged; files of different lengths; a row
        with several predictions or without a reference.
      ConfigError: a column of a file that has none.
    """
    found = _singles(predictions, PREDICTIONS, prediction_column)
    if references:
        columns = [_references(name, reference_column) for name in references]
    elif text_lists.has_column(predictions, _named(reference_column, REFERENCES)):
        columns = [_references(predictions, reference_column)]
        references = (predictions,)
    else:
        raise errors.DataError(
            f"{predictions} has no references beside its predictions; expected a file "
            "of them (--references), or one of the columns "
            f"{', '.join(_named(reference_column, REFERENCES))}."
        )
    for name, column in zip(references, columns, strict=True):
        _check_length(predictions, len(found), name, len(column))
    texts = None
    # "text" of a file of predictions is the prediction.
    beside = _named(source_column, [one for one in SOURCES if one not in PREDICTIONS])
    if sources is None and text_lists.has_column(predictions, beside):
        sources = predictions
    if sources is not None:
        texts = _joined(sources, SOURCES, source_column)
        _check_length(predictions, len(found), sources, len(texts))
    rows = [sum(row, ()) for row in zip(*columns, strict=True)]
    for number, row in enumerate(rows, 1):
        if not row:
            raise errors.DataError(
                f"{', '.join(references)}, row {number}: there is no reference; "
                "expected one at least, if only an empty text."
            )
    return Outputs.of(found, rows, texts)


def read_predictions(name: str, column: str | None, outputs: Outputs) -> Outputs:
    """Another system's predictions of the same examples.

    Raises:
      DataError: as `read`; or they are not as many.
    """
    found = _singles(name, PREDICTIONS, column)
    if len(found) != len(outputs):
        raise errors.DataError(
            f"{name} has {len(found):,} predictions, and {len(outputs):,} are compared "
            "with them; expected the same examples in the same order."
        )
    return outputs.replace_predictions(found)


def _named(column: str | None, names: Sequence[str]) -> Sequence[str]:
    return names if column is None else column.split(",")


def _references(name: str, column: str | None) -> list[text_lists.Row]:
    """The references of each row, from one column or from several: "a,b"."""
    names = [None] if column is None else column.split(",")
    columns = [text_lists.read(name, REFERENCES, one) for one in names]
    return [sum(row, ()) for row in zip(*columns, strict=True)]


def _singles(name: str, names: Sequence[str], column: str | None) -> list[str]:
    rows = text_lists.read(name, names, column)
    for number, row in enumerate(rows, 1):
        if len(row) != 1:
            raise errors.DataError(
                f"{name}, row {number}: {len(row)} texts found, expected one "
                "prediction. In .tsv every column is a text where none is named."
            )
    return [text for (text,) in rows]


def _joined(name: str, names: Sequence[str], column: str | None) -> list[str]:
    """As in training, a list of texts is joined by blanks."""
    return [" ".join(row) for row in text_lists.read(name, names, column)]


def _check_length(first: str, count: int, second: str, other: int) -> None:
    if count != other:
        raise errors.DataError(
            f"{first} has {count:,} rows and {second} {other:,}; row n of one belongs "
            "to row n of the other, so as many are expected."
        )
