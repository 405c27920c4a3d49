"""The verifier: were the right cities asked, and does the answer say what the tool returned?

`calls` = right calls / (cities of the task + other calls). `answer` = right / (right + missing + wrong), counted in
statements: right and missing are what the task asks for, wrong is whatever the tool did not return. The reward is
`calls * answer`: neither a lucky guess nor a call without an answer earns anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_core import JsonError, ToolCall, Trajectory, Verdict, errors, parse_json, responses
from gym_simple_weather.claims import MAX_CHARS, Claim, named_cities, named_conditions, read_claims
from gym_simple_weather.weather import Weather, city_key, plain

COMPARED = ("warmest", "coldest")
FACTS = ("condition", "temperature_c", "humidity_percent", "wind_kmh")
LARGEST = 1_000_000
"""No number of a report is larger."""
STRAY_NUMBERS = 3
"""Numbers without a unit that an answer may hold beside the weather: a date, the numbers of a list."""

_COMPATIBLE = {"stormy": ("rainy", "cloudy"), "rainy": ("cloudy",), "snowy": ("cloudy",)}
_ASKS = re.compile(
    r"\b(?:which|what|where|city|location|place|town)\b[^.!]{0,200}\?"
    r"|\b(?:tell|let|provide|specify|give|share|need|name|enter)\b[^.!?]{0,200}\b(?:city|location|place|town|where)\b"
)


@dataclass(slots=True)
class _Tally:
    right: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, found: bool) -> None:
        if found:
            self.right += 1
        else:
            self.missing.append(what)

    @property
    def score(self) -> float:
        return self.right / max(1, self.right + len(self.missing) + len(self.wrong))


def check_fields(task: Mapping[str, Any]) -> None:
    """Raise `errors.FieldError` for a row that says something else than `verify` understands. Null is as absent."""
    for name in ("cities", "facts", "expected"):
        value = task.get(name)
        if value is not None and _strings(value) is None:
            raise errors.FieldError(name, "must be a list of strings")
    for fact in _strings(task.get("facts")) or ():
        if fact not in FACTS:
            raise errors.FieldError("facts", f"holds {fact!r:.80}; what can be stated is {', '.join(FACTS)}")
    if task.get("compare") not in (None, "", *COMPARED):
        raise errors.FieldError("compare", f"must be {' or '.join(COMPARED)}")


def verify(task: Mapping[str, Any], trajectory: Trajectory) -> Verdict:
    """Judge a trajectory by its task's fields; it never fails, whatever either holds.

    `cities`: the cities to ask, in no order; empty when no call is due. Without that field only `answer` is scored.
    `facts`: what to state of each city, out of `FACTS`; without it, any of them will do. `compare`: `warmest` or
    `coldest`, when the answer is to name one of the cities. `expected`: words of which the answer must hold one, for a
    task without cities; without it, the answer must ask for the city.
    """
    cities = _strings(task.get("cities"))
    returned = [_report(call) for call in trajectory.tool_calls]
    reports = {city_key(report.city): report for report in returned if report}
    wanted = None if cities is None else list(dict.fromkeys(map(city_key, cities)))
    tally = _answer(task, wanted, reports, trajectory)
    components = {"answer": tally.score}
    if wanted is None and not reports:
        components["answer"] /= 2
    if wanted is not None:
        components = {"calls": _calls(wanted, returned), **components}
    reward = components["answer"] * components.get("calls", 1.0)
    asked = [report.city for report in reports.values()]
    return Verdict(reward, components, {"asked": asked, "missing": tally.missing, "wrong": tally.wrong[:20]})


def _calls(wanted: Collection[str], returned: list[Weather | None]) -> float:
    open_cities = set(wanted)
    others = 0
    for report in returned:
        if report and city_key(report.city) in open_cities:
            open_cities.remove(city_key(report.city))
        else:
            others += 1
    right = len(wanted) - len(open_cities) if wanted else 1
    return right / (max(1, len(wanted)) + others)


def _answer(
    task: Mapping[str, Any], wanted: list[str] | None, reports: Mapping[str, Weather], trajectory: Trajectory
) -> _Tally:
    tally = _Tally()
    text = trajectory.output_text[:MAX_CHARS]
    said = plain(text)
    question = "\n".join(responses.item_text(item) for item in trajectory.input)
    about = wanted or list(reports)
    if not said or said in plain(question):
        tally.missing.append("an answer")
        return tally
    expected = _strings(task.get("expected"))
    if wanted == [] and expected:
        tally.expect("the expected answer", any(_says(said, word) for word in expected))
        return tally
    claims = read_claims(text, {*about, *reports})
    _find_wrong(tally, claims, about, reports)
    if not about or wanted == []:
        tally.expect("a question for the city", bool(_ASKS.search(said)))
        return tally
    asked_about = named_conditions(question) if any(claim.denied for claim in claims) else ()
    for city in about:
        _find_facts(tally, task, city, claims, reports.get(city), asked_about)
    if task.get("compare") in COMPARED:
        _find_winner(tally, "warmer" if task["compare"] == "warmest" else "colder", about, claims, reports, text)
    return tally


def _find_facts(
    tally: _Tally,
    task: Mapping[str, Any],
    city: str,
    claims: list[Claim],
    report: Weather | None,
    asked_about: Collection[str],
) -> None:
    stated: set[str] = set()
    for claim in claims:
        if report and (not claim.cities or city in claim.cities) and claim.kind != "comparison":
            stated |= set(_states(claim, report, asked_about))
    facts = _strings(task.get("facts"))
    if facts is not None:
        for fact in facts:
            tally.expect(f"{fact} of {city}", fact in stated)
    elif not task.get("compare"):
        tally.expect(f"the weather of {city}", bool(stated))


def _states(claim: Claim, report: Weather, asked_about: Collection[str]) -> Iterator[str]:
    """The facts of a report that a claim states."""
    if claim.denied:
        # "No, it is not raining" answers "Is it raining?"
        if claim.kind == "condition" and claim.value in asked_about and claim.value != report.condition:
            yield "condition"
        return
    for fact in FACTS if claim.kind == "number" else (claim.kind,):
        if _equal(claim, getattr(report, fact)):
            yield fact


def _equal(claim: Claim, truth: str | int) -> bool:
    if isinstance(claim.value, str) or isinstance(truth, str):
        return claim.value == truth
    return abs(claim.value - truth) <= claim.tolerance + 1e-9


def _find_wrong(tally: _Tally, claims: list[Claim], about: list[str], reports: Mapping[str, Weather]) -> None:
    stray: list[str] = []
    for claim in dict.fromkeys(claims):
        known = [reports[city] for city in claim.cities or about if city in reports]
        if claim.kind == "comparison":
            if _comparison_holds(claim, about, reports) is not True:
                tally.wrong.append(str(claim))
        elif claim.kind == "number":
            if not any(_equal(claim, getattr(report, fact)) for report in known for fact in FACTS):
                stray.append(str(claim))
        elif not any(_fits(claim, report) for report in known):
            tally.wrong.append(str(claim))
    tally.wrong += stray[STRAY_NUMBERS:]


def _fits(claim: Claim, report: Weather) -> bool:
    truth = getattr(report, claim.kind)
    if claim.denied:
        return not _equal(claim, truth)
    return _equal(claim, truth) or claim.value in _COMPATIBLE.get(report.condition, ())


def _comparison_holds(claim: Claim, about: list[str], reports: Mapping[str, Weather]) -> bool | None:
    """Whether a comparison is true; None when the tool was not asked about one of its cities.

    "It is getting warmer", with no city to compare with, passes.
    """
    first, *rest = claim.cities
    others = rest or [city for city in about if city != first]
    if not others:
        return True
    if any(city not in reports for city in (first, *others)):
        return None
    sign = 1 if claim.value == "warmer" else -1
    gaps = [sign * (reports[first].temperature_c - reports[other].temperature_c) for other in others]
    return min(gaps) <= 0 if claim.denied else min(gaps) > 0


def _find_winner(
    tally: _Tally, asked: str, about: list[str], claims: list[Claim], reports: Mapping[str, Weather], text: str
) -> None:
    """Whether the answer names the extreme of all cities, by a comparison or by naming nothing else."""
    comparisons = [claim for claim in claims if claim.kind == "comparison"]
    if not comparisons and len(named := named_cities(text, about)) == 1:
        comparisons = [Claim("comparison", asked, (named[0],))]
        _find_wrong(tally, comparisons, about, reports)
    found = False
    for claim in comparisons:
        settles = claim.value == asked or len(about) == 2
        extreme = Claim("comparison", claim.value, claim.cities[:1])
        found |= settles and not claim.denied and _comparison_holds(extreme, about, reports) is True
    tally.expect("which is the " + asked, found)


def _says(said: str, word: str) -> bool:
    return bool(plain(word)) and bool(re.search(rf"(?<![\w.-]){re.escape(plain(word))}(?!\w|\.\d)", said))


def _report(call: ToolCall) -> Weather | None:
    """The weather that a call returned; None when it returned anything else."""
    if call.name != "get_weather" or not call.output:
        return None
    try:
        found: Any = parse_json(call.output)
        texts: list[Any] = [found[name] for name in ("city", "condition")]
        numbers: list[Any] = [found[name] for name in FACTS[1:]]
    except (JsonError, KeyError, TypeError):
        return None
    right = all(isinstance(text, str) for text in texts) and all(
        type(number) is int and abs(number) <= LARGEST for number in numbers
    )
    return Weather(*texts, *numbers) if right and city_key(texts[0]) else None


def _strings(value: Any) -> list[str] | None:
    """A list of strings as it should be; one string counts as a list of one, and anything else as absent."""
    values: list[Any] = value if isinstance(value, list) else [value]
    return values if all(isinstance(item, str) for item in values) else None
