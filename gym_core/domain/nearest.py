"""Names near a word that somebody typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6, most: int = 1) -> list[str]:
    """Of the names that are known those that are spelt much like a word, the nearest first, whatever their capitals.

    `cutoff`: how like the word a name must be, from 0 to 1; `most`: how many.
    """
    from difflib import get_close_matches

    names = {name.lower(): name for name in sorted(known, reverse=True)}
    return [names[name] for name in get_close_matches(word.lower(), names, n=most, cutoff=cutoff)]


def suggestion(names: Iterable[str]) -> str:
    """`; did you mean NAME or NAME?`, to end a message with; nothing where there are no names."""
    said = " or ".join(names)
    return f"; did you mean {said}?" if said else ""


def did_you_mean(
    word: str, known: Iterable[str], *, cutoff: float = 0.6, most: int = 1, shown: Callable[[str], str] = repr
) -> str:
    """The `suggestion` of those that are `nearest`; `shown`: how each is."""
    return suggestion(map(shown, nearest(word, known, cutoff=cutoff, most=most)))
