"""Text normalisation in named steps: text in, text in plainer characters out.

The published 50,358-piece vocabulary rewrites nothing by itself. Curly quotes, long
dashes, the ellipsis, the no-break space and line ends become `<unk>` in it and are
lost; accents as separate characters fall apart. The steps below rewrite such text
before it is encoded. None is applied unless named, since Hugging Face applies none.
After `ALL` of these stand the conventions of single data sets.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from bertgen_jax import errors
from bertgen_jax.errors import nearest

_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛′ʼ´‹›", "'") | dict.fromkeys("“”„‟″«»", '"'))
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"))
_SPACES = str.maketrans(
    dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000", " ")
    | dict.fromkeys(map(chr, range(0x2000, 0x200B)), " ")  # en quad to hair space
    # Zero-width space, word joiner, byte order mark and soft hyphen go. The zero-width
    # joiners stay: Persian, Indic scripts and emoji are spelled with them.
    | dict.fromkeys("\u200b\u2060\ufeff\u00ad", "")
)
_NEWLINES = str.maketrans(dict.fromkeys("\n\r\t\v\f\x85\u2028\u2029", " "))
_SEPARATOR = re.compile(r" ?< ?: ?: ?: ?: ?> ?")


def nfc(text: str) -> str:
    """Composes accents.

    >>> len("cafe\\u0301"), len(nfc("cafe\\u0301"))
    (5, 4)
    """
    return unicodedata.normalize("NFC", text)


def quotes(text: str) -> str:
    """Makes quotation marks, apostrophes and primes straight.

    >>> print(quotes("“It’s «here»”"))
    "It's "here""
    """
    return text.translate(_QUOTES)


def dashes(text: str) -> str:
    """Replaces every dash, hyphen and minus sign by "-".

    >>> dashes("1990–95 — so")
    '1990-95 - so'
    """
    return text.translate(_DASHES)


def ellipsis(text: str) -> str:
    """Spells the ellipsis with three dots.

    >>> ellipsis("well…")
    'well...'
    """
    return text.replace("…", "...")


def spaces(text: str) -> str:
    """Replaces spaces of other widths by " " and removes invisible ones.

    >>> spaces("10\\u00a0km\\u200b")
    '10 km'
    """
    return text.translate(_SPACES)


def newlines(text: str) -> str:
    """Replaces each line end and tab by " ".

    >>> newlines("one\\ntwo\\tthree")
    'one two three'
    """
    return text.translate(_NEWLINES)


def lowercase(text: str) -> str:
    """Makes letters small, as Gigaword's public test set is (paper, section 4.4).

    >>> lowercase("Storm hits Yarrow")
    'storm hits yarrow'
    """
    return text.lower()


def backticks(text: str) -> str:
    """Replaces `"` by a back tick, as in the paper's DiscoFuse.

    The released model has never seen the other.

    >>> backticks('the "Duke" sank')
    'the `Duke` sank'
    """
    return text.replace('"', "`")


def separator(text: str) -> str:
    """Spells WikiSplit's border between sentences, which tokenizers take apart.

    >>> separator("It sank .<::::> Who cared ? < : : : : > All .")
    'It sank . <::::> Who cared ? <::::> All .'
    """
    return _SEPARATOR.sub(" <::::> ", text)


_CHARACTERS: dict[str, Callable[[str], str]] = {
    "nfc": nfc,
    "quotes": quotes,
    "dashes": dashes,
    "ellipsis": ellipsis,
    "spaces": spaces,
    "newlines": newlines,
}
_CONVENTIONS: dict[str, Callable[[str], str]] = {
    "lowercase": lowercase,
    "backticks": backticks,
    "separator": separator,
}
STEPS = _CHARACTERS | _CONVENTIONS
ALL = tuple(_CHARACTERS)


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """`steps` as a tuple.

    Raises:
      ConfigError: there is no such step, or a string stands where several are meant.
    """
    if isinstance(steps, str):
        raise errors.ConfigError(
            f"normalization is the string {steps!r}; expected a sequence of names "
            f"from: {', '.join(STEPS)}."
        )
    for step in steps:
        if not isinstance(step, str) or step not in STEPS:
            raise errors.ConfigError(
                f"There is no normalization step {step!r}.{nearest(step, STEPS)} "
                f"Expected names from: {', '.join(STEPS)}."
            )
    return tuple(steps)


def parse_steps(setting: str, default: Sequence[str] = ()) -> tuple[str, ...]:
    """Reads a config's "nfc,quotes", in which "all" and "auto" stand for several.

    Args:
      setting: names, joined by ",".
      default: what "auto" stands for.

    Raises:
      ConfigError: there is no such step.
    """
    several = {"all": ALL, "auto": tuple(default)}
    names = filter(None, setting.replace(" ", "").split(","))
    return check_steps([one for name in names for one in several.get(name, (name,))])


def normalize(text: str, steps: Sequence[str]) -> str:
    """Applies the named steps in their order.

    >>> normalize("“Quoted” –\\nok…", ALL)
    '"Quoted" - ok...'

    Halves of a surrogate pair, which JSON escapes may leave behind and no UTF-8 text
    can hold, are repaired whatever the steps: two are joined, one becomes U+FFFD.

    Raises:
      TokenizerError: `text` is not a string.
    """
    if not isinstance(text, str):
        raise errors.TokenizerError(
            f"Cannot encode {text!r}, a {type(text).__name__}; expected a string."
        )
    if not is_unicode(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for step in steps:
        text = STEPS[step](text)
    return text


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it: no half of a surrogate pair stands alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
