"""What a text claims about the weather: conditions, quantities and comparisons, and which cities it says them of.

English only and by patterns, not by understanding: a clause's claims belong to the cities it names, else to those
named last. Questions and hypotheses ("if it rains") claim nothing.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from gym_simple_weather.weather import ALIASES, plain

MAX_CHARS = 20_000
"""Of a longer text only the beginning is read."""


def _words(**groups: Iterable[str]) -> str:
    """A pattern of whole words, each group of them by its name. Each begins with a character that stands for itself."""
    # A pattern that begins with a set of characters is looked for many times faster than one that begins with `\b`.
    starts: dict[str, None] = {}
    alternatives = []
    for name, words in groups.items():
        split = [(word[:2], word[2:]) if word[0] == "\\" else (word[0], word[1:]) for word in words]
        starts |= dict.fromkeys(start for start, _ in split)
        alternatives.append(rf"(?P<{name}>{'|'.join(f'(?<={start}){rest}' for start, rest in split)})")
    return rf"[{''.join(starts)}](?<!\w.)(?:{'|'.join(alternatives)})(?!\w)"


_CONDITION = re.compile(
    _words(
        sunny=("sun", "sunny", "sunshine", "clear(?<!to be clear)(?! that)"),
        cloudy=("clouds?", "cloudy", "overcast"),
        foggy=("fog", "foggy", "mist", "misty"),
        rainy=("rain(?:s|y|ing|fall)?", "showers?", "drizzl(?:e|y|ing)"),
        stormy=("storms?", "stormy", r"thunder\w*"),
        snowy=("snow(?:s|y|ing|fall)?",),
    )
)
_QUANTITY = re.compile(
    r"(?P<number>[-\d](?<![\w.].)(?:(?<=-)\d{1,9}|(?<=\d)\d{0,8})(?:\.\d+)?)(?![\w.]*\d)"
    r"(?:[ -]?(?:(?P<temperature>° ?[cf]\b|[cf]\b|°)|(?P<humidity>%)|(?P<wind>(?:km/h|mph|m/s)\b)))?"
    r"(?P<below> (?:below|under) (?:zero|freezing|0)\b)?"
)
_COMPARISON = re.compile(
    _words(
        up=("warm(?:er|est)", "hott(?:er|est)", "high(?:er|est) temperature"),
        down=("cold(?:er|est)", "cool(?:er|est)", "chilli(?:er|est)", "low(?:er|est) temperature"),
    )
    + "(?! (?:cloth|layer|jacket|coat))"
)
_HYPOTHESIS = re.compile(_words(hypothesis=("if", "whether", "in case", "unless", "might", "chance of")))
_TOPIC = re.compile(r"(temperature|humidity|wind)\D{0,20}$")
_DENIED = re.compile(
    r"(?:\b(?:not|no|never|without|nor|cannot|isnt)|n['\u2019]t|\brather than|\binstead of)(?: \w+){0,2} $"
)
_BOUND_BEFORE = re.compile(r"(?:\b(?:below|above|under|over|than|by)|difference\D{0,15}) $")
_BOUND_AFTER = re.compile(r" (?:warmer|hotter|colder|cooler|higher|lower|difference|apart)\b")

_SENTENCES = re.compile(r"\s(?:(?<=[.!;?]\s)|(?<=\n))\s*")
_CLAUSES = re.compile(r", | (?:and|while|whereas|but|although|though) ")
_CITY_FIRST = re.compile("(?:cf+)+")
_CITY_LAST = re.compile("(?:f+c)+")
_PARENTHESES = re.compile(r"\([^()]*\)")
# The third of a line is in every text that holds one of its spellings, and cheaper to look for. It is looked for in the
# folded text, so it has no i: its dotted and dotless forms match the pattern, and fold to something else.
_SPELLINGS = (
    (r"(?m)^[ \t]*\d{1,3}[.)]\s", "", ""),
    (r"[º˚]", "°", ""),
    (r"[\u2212\u2013](?<!\w.)(?=\d)", "-", ""),
    (r"[*`#|_]", " ", ""),
    (r"\bminus (?=\d)", "-", "nus"),
    (r"\bnegative (?=\d)", "-", "negat"),
    (r"-?\bdeg(?:ree)?s?\b", "°", "deg"),
    (r"\bcelsius\b", "c", "cels"),
    (r"\bcentigrade\b", "c", "grade"),
    (r"\bfahrenheit\b", "f", "fahr"),
    (r"\bper ?cent\b", "%", "cent"),
    (r"\b(?:kmh|kph|km/hr|kilomet(?:er|re)s? (?:per|an) hour)\b", "km/h", "k"),
    (r"\bmiles (?:per|an) hour\b", "mph", "hour"),
    (r"\bmet(?:er|re)s per second\b", "m/s", "second"),
)
_SPELLED = [(re.compile(pattern, re.IGNORECASE), usual, part) for pattern, usual, part in _SPELLINGS]


class Claim(NamedTuple):
    """One statement of a text.

    `kind`: `condition`, `temperature_c`, `humidity_percent`, `wind_kmh`, `number` (one without unit) or `comparison`.
    `value`: the condition, the quantity in the unit of its kind, or "warmer" or "colder". `cities`: the keys of those
    it may be about, empty when the text named none; of a comparison the first one is compared with the rest.
    `tolerance`: how far the truth may be from a quantity, by its unit. `denied`: the text says that it is not so.
    """

    kind: str
    value: str | float
    cities: tuple[str, ...] = ()
    tolerance: float = 0.0
    denied: bool = False

    def about(self, cities: tuple[str, ...]) -> Claim:
        """The same of these cities."""
        return Claim(self.kind, self.value, cities, self.tolerance, self.denied)

    def __str__(self) -> str:
        return f"{'not ' if self.denied else ''}{self.kind} {self.value}"


def read_claims(text: str, cities: Iterable[str]) -> list[Claim]:
    """The claims of a text about the cities with these keys, in order."""
    names, pattern = _names(frozenset(cities))
    claims: list[Claim] = []
    subject: tuple[str, ...] = ()
    for sentence in _sentences(text):
        if sentence.endswith("?"):
            continue
        waiting: tuple[str, ...] = ()  # named, with nothing said of them yet: "Paris and Rome are ..."
        unnamed = True
        early: list[Claim] = []  # said before any name: "It is sunny and 21 °C in Paris"
        for clause in _CLAUSES.split(_PARENTHESES.sub(_without_commas, sentence)):
            mentions = [(match.start(), names[match[0]]) for match in pattern.finditer(clause)]
            found = list(_statements(clause))
            if mentions:
                named = _distinct((*waiting, *(key for _, key in mentions)))
                claims += [claim.about(_distinct((*subject, *named))) for claim in early]
                early, subject = [], named
                unnamed = False
            if subject and (match := _COMPARISON.search(clause)):
                claims.append(_comparison(clause, match, mentions, subject))
            if unnamed:
                early += [claim for _, claim in found]
            elif found:
                claims += _attributed(found, [(-1, key) for key in waiting] + mentions, subject)
            if found:
                waiting = ()
            elif mentions:
                waiting = subject
        claims += [claim.about(subject) for claim in early]
    return claims


def named_cities(text: str, cities: Iterable[str]) -> list[str]:
    """Which of the cities a text names, in order; a text that opens with a bare name counts as naming only that one."""
    names, pattern = _names(frozenset(cities))
    sentences = _sentences(text)
    opening = _CLAUSES.split(sentences[0])[0].strip(" .!:;") if sentences else ""
    if opening in names:
        return [names[opening]]
    return list(_distinct(names[match[0]] for sentence in sentences for match in pattern.finditer(sentence)))


def named_conditions(text: str) -> set[str]:
    """The conditions a text names in whatever way, questions included."""
    return {str(match.lastgroup) for line in _sentences(text) for match in _CONDITION.finditer(line)}


def _sentences(text: str) -> list[str]:
    text = text[:MAX_CHARS]
    folded = text.casefold()
    for pattern, usual, part in _SPELLED:
        if part in folded:
            text = pattern.sub(usual, text)
    return [line for line in map(plain, _SENTENCES.split(text)) if line]


def _without_commas(match: re.Match[str]) -> str:
    return match[0].replace(", ", " ")


@lru_cache(maxsize=256)
def _names(cities: frozenset[str]) -> tuple[Mapping[str, str], re.Pattern[str]]:
    """The names that stand for the cities, each with its key, and the pattern of any of them."""
    keys = {key: key for key in cities if key}
    names = keys | {alias: key for alias, key in ALIASES.items() if key in keys}
    longest_first = sorted(names, key=len, reverse=True)
    return names, re.compile(_words(city=map(re.escape, longest_first)) if longest_first else "(?!)")


def _distinct(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(keys))


def _statements(clause: str) -> Iterator[tuple[int, Claim]]:
    """The conditions and quantities of a clause, each with its position, about nobody yet."""
    hypothesis = _HYPOTHESIS.search(clause)
    end = hypothesis.start() if hypothesis else len(clause)
    for match in _CONDITION.finditer(clause, 0, end):
        denied = _DENIED.search(_before(clause, match)) is not None
        yield match.start(), Claim("condition", str(match.lastgroup), (), 0.0, denied)
    for match in _QUANTITY.finditer(clause, 0, end):
        claim = _quantity(clause, match)
        if claim is not None:
            yield match.start(), claim


def _quantity(clause: str, match: re.Match[str]) -> Claim | None:
    number, temperature, humidity, wind, below = match.groups()
    before = _before(clause, match)
    if _BOUND_BEFORE.search(before) or _BOUND_AFTER.match(clause, match.end()):
        return None  # "above 20 °C" and "3 degrees warmer" state no temperature
    value = float(number)
    denied = _DENIED.search(before) is not None
    topic = None if temperature or humidity or wind else _TOPIC.search(before)
    about = topic[1] if topic else None
    if wind or about == "wind":
        factor, tolerance = {"mph": (1.609344, 0.9), "m/s": (3.6, 1.9)}.get(wind or "", (1.0, 0.5))
        return Claim("wind_kmh", value * factor, (), tolerance, denied)
    if humidity or about == "humidity":
        return Claim("humidity_percent", value, (), 0.5, denied)
    if below:
        value = -abs(value)
    if temperature and temperature.endswith("f"):
        return Claim("temperature_c", (value - 32) / 1.8, (), 0.6, denied)
    if temperature or below or about:
        return Claim("temperature_c", value, (), 0.5, denied)
    return Claim("number", value, (), 0.0, denied)


def _before(clause: str, match: re.Match[str]) -> str:
    start = match.start()
    return clause[max(0, start - 60) : start]


def _attributed(
    found: list[tuple[int, Claim]], mentions: list[tuple[int, str]], subject: tuple[str, ...]
) -> Iterator[Claim]:
    """The claims with their cities. Where cities and statements take turns, each statement has the city next to it."""
    city_first = city_last = False
    if mentions:
        marks = sorted([*((at, "c") for at, _ in mentions), *((at, "f") for at, _ in found)])
        turns = "".join(mark for _, mark in marks)
        city_first, city_last = _CITY_FIRST.fullmatch(turns) is not None, _CITY_LAST.fullmatch(turns) is not None
    for at, claim in sorted(found, key=itemgetter(0)):
        cities = subject
        if city_first or city_last:
            following = bisect(mentions, (at,))
            cities = (mentions[following - city_first][1],)
        yield claim.about(cities)


def _comparison(clause: str, match: re.Match[str], mentions: list[tuple[int, str]], subject: tuple[str, ...]) -> Claim:
    """ "Rome is warmer than Oslo", "the warmest is Rome": the first city named is the one spoken of."""
    than = clause.find(" than ")
    spoken_of = mentions[0][1] if mentions else subject[-1]
    others = (key for at, key in mentions if 0 <= than < at and key != spoken_of)
    denied = _DENIED.search(_before(clause, match)) is not None
    return Claim("comparison", "warmer" if match["up"] else "colder", _distinct((spoken_of, *others)), 0.0, denied)
