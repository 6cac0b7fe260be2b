"""Word sequences as numbers: which runs of words of some texts stand in another text, whatever its escapes.

Words are runs of letters and digits, lower-cased; what else stands between them does not count. (An underscore parts
words: eight words in a row stay eight or more, and names of files are read as the words that they are made of.) A
sequence of words is a 64-bit polynomial, so that millions of them are compared by numpy in one go. Two different
sequences have one number with a chance of about n·m / 2⁶⁴.
"""

from __future__ import annotations

import html
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

LENGTH = 8  # words in a row that are a quotation
_OF_CHARACTERS = 0x9E3779B97F4A7C15  # odd, hence with an inverse modulo 2⁶⁴
_OF_WORDS = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_WIDTHS = {"u": 4, "U": 8, "x": 2}  # hexadecimal digits behind the letter of an escape
_BATCH = 5000  # texts at once: the sums over their characters take 24 bytes each
_PART = b"\0"  # stands between texts


def unescaped(text: str) -> str:
    """Return a text without escapes of JSON, YAML, JavaScript and HTML, in any nesting of the one in the other.

    Characters that are no part of a word may become spaces.
    """
    if "\\" in text:
        head, *tails = text.replace("\\\\", " ").split("\\")
        text = "".join([head, *map(_unescaped_tail, tails)])
        if not text.isascii():  # halves of a pair are joined
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return html.unescape(text) if "&" in text else text


def _unescaped_tail(tail: str) -> str:
    """Return what a backslash and the text behind it stand for."""
    width = _WIDTHS.get(tail[:1])
    if width is None:  # one character, or the beginning of one in HTML
        return f" {tail if tail.startswith('&') else tail[1:]}"
    try:
        return chr(int(tail[1 : 1 + width], 16)) + tail[1 + width :]
    except (ValueError, OverflowError):
        return f" {tail[1:]}"


@cache
def _in_words() -> bytes:
    """Return for each byte 1 where it is part of a word, as those of letters beyond ASCII all are."""
    return bytes(code >= 0x80 or chr(code).isalnum() for code in range(256))


@cache
def _powers(exponent: int) -> tuple[Hashes, Hashes]:
    """Return the powers 0, 1, … 2^exponent - 1 of the base of characters, and of its inverse."""
    bases = (_OF_CHARACTERS, pow(_OF_CHARACTERS, -1, 2**64))
    first, second = (np.full(2**exponent, base, np.uint64) for base in bases)
    first[0] = second[0] = 1
    return np.cumprod(first, dtype=np.uint64), np.cumprod(second, dtype=np.uint64)


def _folded(text: str) -> bytes:
    """Return a text lower-cased in UTF-8, and a space for each character beyond ASCII that is no part of a word."""
    text = text.lower()
    if not text.isascii():
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        for character in map(chr, np.unique(codes[codes > 0x7F])):
            if not character.isalnum():
                text = text.replace(character, " ")
    return text.encode()


def _words(folded: bytes) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the number of each word, and the byte where it starts; both of shape (words,)."""
    codes = np.frombuffer(folded, np.uint8)
    inside = np.frombuffer(folded.translate(_in_words()), np.bool_)
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return np.empty(0, np.uint64), starts
    powers, inverse = _powers((len(codes) - 1).bit_length())
    terms = codes * powers[: len(codes)]
    sums = np.cumsum(terms, dtype=np.uint64)
    # A word's sum is taken back to the start of the text, so that it does not depend on the place.
    return (sums[ends - 1] - sums[starts] + terms[starts]) * inverse[starts], starts


def words_of(text: str) -> Hashes:
    """Return the number of each word of a text, shape (words,)."""
    return _words(_folded(text))[0]


def runs_of_words(numbers: Hashes, lengths: Collection[int]) -> Iterator[tuple[int, Hashes]]:
    """Yield each length, short ones first, with the number of every run of so many words, shape (words - length + 1,).

    Args:
        numbers: those of the words.
        lengths: how many words make a run.
    """
    rolling = numbers
    for length in range(1, max(lengths, default=0) + 1):
        if length > len(numbers):
            return
        if length > 1:
            rolling = rolling[:-1] * _OF_WORDS + numbers[length - 1 :]
        if length in lengths:
            mixed = (rolling ^ (rolling >> np.uint64(32)) ^ np.uint64(length)) * _MIX
            yield length, mixed ^ (mixed >> np.uint64(29))


class Located(NamedTuple):
    """Runs of words: how many words each has, their numbers, and the owner of each."""

    length: int
    hashes: Hashes
    owners: NDArray[np.int64]


def quotations(texts: Iterable[str], least: int) -> Iterator[Located]:
    """Yield what would be a quotation of one of the texts; owners are places in `texts`.

    That is any eight words in a row; a text of fewer words counts whole, if it has `least` or more.

    Args:
        texts: the texts. Those with escapes in them count as they stand, and unescaped.
        least: the shortest text that counts, in words.
    """
    given = list(texts)
    for begin in range(0, len(given), _BATCH):
        for length, hashes, owners in _quotations(given[begin : begin + _BATCH], least):
            yield Located(length, hashes, owners + begin)


def _quotations(texts: Sequence[str], least: int) -> Iterator[Located]:
    numbers, part, origin = _words_of_texts(texts)
    size = np.bincount(part) if len(part) else np.empty(0, np.int64)
    first = np.cumsum(size) - size
    for length, hashes in runs_of_words(numbers, range(least, LENGTH + 1)):
        whole = first[size == length]
        starts = np.flatnonzero(part[: len(hashes)] == part[length - 1 :]) if length == LENGTH else whole
        if len(starts):
            yield Located(length, hashes[starts], origin[part[starts]])


def all_runs(texts: Iterable[str], lengths: Collection[int]) -> Hashes:
    """Return the numbers of all runs of words of these lengths in any of the texts, sorted."""
    given = list(texts)
    found = [np.empty(0, np.uint64)]
    for begin in range(0, len(given), _BATCH):
        numbers, part, _ = _words_of_texts(given[begin : begin + _BATCH])
        for length, hashes in runs_of_words(numbers, lengths):
            found.append(np.unique(hashes[part[: len(hashes)] == part[length - 1 :]]))
    return np.unique(np.concatenate(found))


def _words_of_texts(given: Sequence[str]) -> tuple[Hashes, NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each word, the number of the part that it stands in, and the text that each part is."""
    origin = [*range(len(given)), *(place for place, text in enumerate(given) if "\\" in text or "&" in text)]
    parts = [*given, *(unescaped(given[place]) for place in origin[len(given) :])]
    folded = _PART.join(_folded(text).replace(_PART, b" ") for text in parts)
    numbers, starts = _words(folded)
    ends = np.flatnonzero(np.frombuffer(folded, np.uint8) == _PART[0])
    return numbers, np.searchsorted(ends, starts), np.array(origin, np.int64)


class Known:
    """Numbers that are looked for, each with its owner; where several have a number, the first one is its owner.

    Args:
        parts: what is looked for.
    """

    def __init__(self, parts: Iterable[Located]) -> None:
        known = list(parts)
        self.lengths = tuple(sorted({part.length for part in known}))
        nothing = Located(0, np.empty(0, np.uint64), np.empty(0, np.int64))
        self._hashes, first = np.unique(np.concatenate([p.hashes for p in (*known, nothing)]), return_index=True)
        self._owners = np.concatenate([p.owners for p in (*known, nothing)])[first]
        self._sieve()

    def _sieve(self) -> None:
        """Mark the leading bits of all numbers: most others are then told apart by a single look."""
        bits = min(max(16, len(self._hashes).bit_length() + 4), 27)
        self._shift = np.uint64(64 - bits)
        self._marked = np.zeros(2**bits, np.bool_)
        self._marked[self._hashes >> self._shift] = True

    def __len__(self) -> int:
        return len(self._hashes)

    def without(self, public: Hashes) -> None:
        """Forget numbers of what is public anyway."""
        kept = ~np.isin(self._hashes, public)
        self._hashes, self._owners = self._hashes[kept], self._owners[kept]
        self._sieve()

    def find(self, numbers: Hashes) -> list[Located]:
        """Return what of it stands in a text whose words have these numbers, by length; nothing where nothing does."""
        found = []
        for length, hashes in runs_of_words(numbers, self.lengths):
            maybe = np.unique(hashes[self._marked[hashes >> self._shift]])
            place = np.searchsorted(self._hashes, maybe)
            hit = place < len(self._hashes)
            hit[hit] = self._hashes[place[hit]] == maybe[hit]
            if hit.any():
                found.append(Located(length, maybe[hit], self._owners[place[hit]]))
        return found
