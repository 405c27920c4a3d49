"""Whether answers stand in their questions: what a policy earns that answers with strings of the prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gym_check.audit.cheats import MOSTLY
from gym_check.audit.finding import Finding, error, warning
from gym_check.audit.strings import EVERYTHING, is_choice, strings_of

MOST_STRINGS = 48
MOST_TASKS = 20
NEARLY_ALWAYS = 0.9
ENOUGH_TASKS = 5
_MEND = (
    "take the answer out of the prompt, or let `verify` ask for what cannot be copied: a tool's result, a changed state"
)


class LeakPlan:
    """Which strings of which prompts are tried. `places`: by task, one for each repeat; texts are tried once."""

    def __init__(self, prompts: Mapping[str, str], most: int = MOST_STRINGS) -> None:
        step = max(1, len(prompts) // MOST_TASKS)
        chosen = list(prompts)[::step][:MOST_TASKS]
        self.prompts = {task_id: prompts[task_id] for task_id in chosen}
        self.places: dict[str, list[str]] = {}
        self._tried: dict[str, dict[str, int]] = {}
        for task_id, prompt in self.prompts.items():
            strings = strings_of(prompt)
            places, tried = [EVERYTHING], {strings[EVERYTHING]: 0}
            for place, text in strings.items():
                if text not in tried and len(places) < most:
                    tried[text] = len(places)
                    places.append(place)
            self.places[task_id] = places
            self._tried[task_id] = tried

    @property
    def repeats(self) -> int:
        """How many rollouts per task it takes."""
        return max(map(len, self.places.values()), default=0)

    def is_try(self, task_id: str, repeat: int) -> bool:
        """Whether a rollout tried something; tasks with few strings have repeats to spare."""
        return repeat < len(self.places.get(task_id, ()))

    def judge(self, full: Mapping[str, Sequence[int]]) -> Finding | None:
        """What follows from the repeats of each task that earned a full reward."""
        number = len(self.prompts)
        won = [task_id for task_id in self.prompts if full.get(task_id)]
        if len(won) <= MOSTLY * number:
            return None
        place, share = self._best_place(full)
        texts = [self._text(task_id, full[task_id][0]) for task_id in won]
        few = number > 1 and len(set(texts)) <= len(texts) / 2
        offered = sum(is_choice(self.prompts[task_id], text) for task_id, text in zip(won, texts, strict=True))
        choices = few or offered > MOSTLY * len(won)
        always = share >= NEARLY_ALWAYS and number >= ENOUGH_TASKS
        example = won[0]
        shown = f"`{texts[0]:.60}`" if len(texts[0]) <= 60 and "\n" not in texts[0] else "a part of the prompt"
        if always or not choices or full[example][0] == 0:
            how = f", always its {place}" if share >= NEARLY_ALWAYS and number > 1 else ""
            problem = (
                f"cheatable by `leak`: a string that stands in the prompt earns a full reward on {len(won)} of "
                f"{number} tasks{how}; task `{example}` is answered by {shown}"
            )
            return error("cheatable", problem, _MEND, example, len(won))
        problem = f"on {len(won)} of {number} tasks the answer is one of the strings of the prompt, such as {shown}"
        fix = "fine where the prompt offers a choice; then look at the mean reward of guessing"
        return warning("answer-in-prompt", problem, fix, example, len(won))

    def _text(self, task_id: str, repeat: int) -> str:
        return next(text for text, number in self._tried[task_id].items() if number == repeat)

    def _best_place(self, full: Mapping[str, Sequence[int]]) -> tuple[str, float]:
        """The one place that a policy would do best to copy from, and the share of tasks that reward it."""
        wins: Counter[str] = Counter()
        for task_id, prompt in self.prompts.items():
            rewarded = set(full.get(task_id, ()))
            tried = self._tried[task_id]
            wins.update(place for place, text in strings_of(prompt).items() if tried.get(text, -1) in rewarded)
        place, count = max(wins.items(), key=lambda item: item[1])
        return place, count / len(self.prompts)
