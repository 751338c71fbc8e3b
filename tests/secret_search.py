"""Finds secrets in texts: hundreds of thousands of the ones in hundreds of thousands of the others, in a second or two.

Texts are cut into words, which repeat. Of each secret a few characters in a row must be in one of these; only texts
with such a word are looked through.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LEAST = 12
"""What is shorter is no secret that anybody would use, and may stand anywhere by chance, in characters."""
ANCHOR = 8
"""So many letters and digits in a row must be in a word, for the texts with that word to be looked through."""
_WORD = re.compile(rf"[A-Za-z0-9]{{{ANCHOR},}}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]*)=*")
_SPACES = re.compile(r"\s+")
_PEM = "-----BEGIN"


@dataclass(frozen=True, slots=True)
class Leak:
    """A text that has a secret in it, or a piece of one, and what that is."""

    text: str
    piece: str
    what: str


def pieces(secret: str, what: str) -> Iterator[tuple[str, str]]:
    """Yield what of *secret*, which is *what*, must not be in a text, and what that is. Too short ones are left out."""
    token = _TOKEN.fullmatch(secret)
    if token:  # its header is the same in many, and no secret
        found = [(token[1], f"claims of {what}"), (token[2], f"signature of {what}")]
    elif secret.startswith(_PEM):
        found = [(part, f"part of {what}") for part in _SPACES.split(secret) if "-" not in part]
    else:
        found = [(secret, what), *((text, f"{what} in base64") for text in _base64(secret))]
    return ((piece, of) for piece, of in found if len(piece) >= LEAST)


def _base64(secret: str) -> Iterator[str]:
    """Yield *secret* as base64 has it, wherever in what was encoded it may begin: `user:password` in Basic, say."""
    if len(secret) < LEAST:
        return
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        begins = -(-before * 8 // 6)
        ends = (before + len(data)) * 8 // 6
        encoded = base64.b64encode(bytes(before) + data).decode()
        yield encoded[begins:ends]


def leaks(texts: Iterable[str], secrets: Iterable[tuple[str, str]]) -> list[Leak]:
    """Return every text of *texts* that has one of *secrets* in it, each of which comes with what it is."""
    texts = list(texts)
    anchored: dict[str, dict[str, str]] = {}
    phrases: dict[str, str] = {}
    for secret, kind in secrets:
        for piece, what in pieces(secret, kind):
            longest = max(_WORD.findall(piece), key=len, default="")
            # Tokens begin alike, so it is the end of a word that tells them apart.
            (anchored.setdefault(longest[-ANCHOR:], {}) if longest else phrases)[piece] = what
    return [*_anchored(texts, anchored), *_phrases(texts, phrases)]


def _anchored(texts: list[str], anchored: dict[str, dict[str, str]]) -> Iterator[Leak]:
    words = {word for text in texts for word in _WORD.findall(text)}
    hits = {word: found for word in words if (found := [part for part in _parts(word) if part in anchored])}
    for text in texts if hits else ():
        parts = {part for word in _WORD.findall(text) for part in hits.get(word, ())}
        there = [pair for part in parts for pair in anchored[part].items()]
        yield from (Leak(text, piece, what) for piece, what in there if piece in text)


def _parts(word: str) -> Iterator[str]:
    return (word[start : start + ANCHOR] for start in range(len(word) - ANCHOR + 1))


def _phrases(texts: list[str], phrases: dict[str, str]) -> Iterator[Leak]:
    """Yield the texts with one of *phrases*, which are few: their words are short ones."""
    whole = "\n".join(texts)
    for phrase, what in phrases.items():
        if phrase in whole:
            yield from (Leak(text, phrase, what) for text in texts if phrase in text)
