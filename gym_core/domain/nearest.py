"""The known name that somebody may have meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def did_you_mean(
    word: str, known: Iterable[str], *, cutoff: float = 0.6, most: int = 1, shown: Callable[[str], str] = repr
) -> str:
    """`; did you mean 'NAME'?`, to end a message with, or nothing where no name is near. Capitals make no difference.

    `cutoff`: how like the word a name must be, from 0 to 1; `most`: how many are named; `shown`: how each is.
    """
    from difflib import get_close_matches

    names = {name.lower(): name for name in sorted(known, reverse=True)}
    near = [names[name] for name in get_close_matches(word.lower(), names, n=most, cutoff=cutoff)]
    return f"; did you mean {' or '.join(map(shown, near))}?" if near else ""
