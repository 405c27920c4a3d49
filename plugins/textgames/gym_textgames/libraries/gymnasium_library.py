"""Gymnasium: environments whose actions are discrete, or text."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Sequence
from typing import Any

from gym_core import UsageError
from gym_textgames.game import Game, Library, Seen, Settings

NAMES = {
    "FrozenLake": "left down right up",
    "FrozenLake8x8": "left down right up",
    "CliffWalking": "up right down left",
    "CliffWalkingSlippery": "up right down left",
    "Taxi": "south north east west pickup dropoff",
    "Blackjack": "stick hit",
    "CartPole": "left right",
    "MountainCar": "left none right",
    "Acrobot": "negative none positive",
    "LunarLander": "none left main right",
}
"""The actions of the environments that come with Gymnasium, which knows them as numbers."""
MOST_LISTED = 40
"""So many actions are listed, else the first and the last."""
_COLOUR = re.compile(r"\x1b\[([\d;]*)m(.*?)\x1b\[0?m", re.DOTALL)
_DROPPED = re.compile(r"^#+ *(Arguments|References|Version History|Information|Vectorized.*|Starting State)\b", re.I)


class GymnasiumGame(Game):
    """An environment of Gymnasium. Nothing happens by an answer that names no action: the model is told so."""

    def __init__(self, world: Any, settings: Settings) -> None:
        self._world = world
        self._drawn = world.render_mode == "ansi"
        self._space = world.action_space
        self._kind = type(self._space).__name__
        if self._kind not in ("Discrete", "MultiDiscrete", "MultiBinary", "Text"):
            raise UsageError(f"its actions are {self._space}: only text and discrete ones can be said by a model")
        self.names = self._action_names(settings.names) if self._kind == "Discrete" else []

    @property
    def instructions(self) -> str:
        """The environment's own description, and how to name an action."""
        return "\n\n".join(part for part in (self._description(), self.how_to_act()) if part)

    def how_to_act(self) -> str:
        """What counts as an action."""
        if self._kind == "Text":
            return "Answer each observation with your action, and nothing else."
        if self._kind != "Discrete":
            form = f"{self._size()} numbers, separated by spaces, {self._ranges()}"
            return f"Answer each observation with an action: {form}."
        listed = self.names
        if len(listed) > MOST_LISTED:
            return f"Answer each observation with one action: a number from {listed[0]} to {listed[-1]}."
        return f"Answer each observation with one of these actions: {', '.join(listed)}."

    def reset(self, seed: int) -> Seen:
        """Begin. The spaces are seeded, too."""
        self._space.seed(seed)
        observation, _ = self._world.reset(seed=seed)
        return Seen(self._show(observation))

    def step(self, answer: str) -> Seen:
        """Take the action that the answer names."""
        action = self.read(answer)
        if action is None:
            return Seen(f"That names no action. {self.how_to_act()}", valid=False)
        observation, reward, terminated, truncated, _ = self._world.step(action)
        ended = "terminated" if terminated else "truncated" if truncated else ""
        return Seen(self._show(observation), reward=float(reward), ended=ended)

    def close(self) -> None:
        """Close the environment."""
        self._world.close()

    def read(self, answer: str) -> Any:
        """The action that an answer names, None if none: the last one that stands in it as a word."""
        text = answer.rpartition("</think>")[2].strip()
        if self._kind == "Text":
            return text if self._space.contains(text) else None
        if self._kind != "Discrete":
            return self._numbers(text)
        bare = text.strip("`'\"*.!()[] ").lower()
        lowered = [name.lower() for name in self.names]
        if bare.isdecimal() and bare not in lowered and len(bare) < 10:  # its number in place of its name
            return self._with_start(int(bare))
        words = sorted(lowered, key=len, reverse=True)
        found = re.findall(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, words))})(?![\w-])", text.lower())
        return self._space.start + lowered.index(found[-1]) if found else None

    def _with_start(self, number: int) -> Any:
        return number if self._space.contains(number) else None

    def _numbers(self, text: str) -> Any:
        numbers = re.findall(r"-?\d+", text)
        if len(numbers) != self._size() or any(len(number) > 9 for number in numbers):
            return None
        numpy = importlib.import_module("numpy")
        action = numpy.array([int(number) for number in numbers], dtype=self._space.dtype).reshape(self._space.shape)
        return action if self._space.contains(action) else None

    def _size(self) -> int:
        size = 1
        for length in self._space.shape:
            size *= length
        return size

    def _ranges(self) -> str:
        if self._kind == "MultiBinary":
            return "each 0 or 1"
        most = [int(count) - 1 for count in self._space.nvec.flatten()]
        return f"each from 0 up to {', '.join(map(str, most))}"

    def _action_names(self, given: Sequence[str]) -> list[str]:
        count = int(self._space.n)
        if given:
            if len(given) != count or len({name.lower() for name in given}) != count:
                raise UsageError(
                    f"it has {count} actions, and `names` holds {len(given)}: {', '.join(given)}",
                    hint="give each action a name of its own, in the order of their numbers",
                )
            return list(given)
        actions = getattr(self._world.unwrapped, "actions", None)
        members = getattr(actions, "__members__", {})  # an enumeration, as MiniGrid has it
        if len(members) == count:
            return list(members)
        spec = self._world.spec
        known = NAMES.get(spec.name, "").split() if spec is not None and spec.namespace in (None, "tabular") else []
        start = int(self._space.start)
        return known if len(known) == count else [str(start + number) for number in range(count)]

    def _description(self) -> str:
        kept, keeps = [], True
        for line in inspect.cleandoc(type(self._world.unwrapped).__doc__ or "").splitlines():
            if line.startswith("#"):
                keeps = not _DROPPED.match(line)
            if keeps and "<img" not in line and not line.lstrip().startswith("```{"):
                kept.append(line)
        return "\n".join(kept).strip()

    def _show(self, observation: Any) -> str:
        if self._drawn:
            drawn = self._world.render()
            text = "".join(drawn) if isinstance(drawn, list) else str(drawn)
            return without_colours(text).strip("\n")
        return plain(observation)


class GymnasiumLibrary(Library):
    """The package gymnasium; `MODULE:ID` imports a module that registers more, as Gymnasium itself does."""

    package = "gymnasium"
    extra = "gymnasium"

    def ids(self) -> Sequence[str]:
        """The ids of its registry."""
        return list(importlib.import_module("gymnasium").registry)

    def make(self, name: str, settings: Settings) -> Game:
        """An environment by its id, drawn as text where it can be."""
        library = importlib.import_module("gymnasium")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module, _, bare = name.rpartition(":")
            try:
                if module:
                    importlib.import_module(module)
                spec = library.spec(bare)
            except ModuleNotFoundError as error:
                if error.name != module.partition(".")[0]:
                    raise
                hint = f"pip install {error.name}"
                raise UsageError(f"the module `{module}` is not installed", hint=hint) from None
            except library.error.Error:
                raise LookupError(name) from None
            arguments = dict(settings.arguments)
            if "render_mode" not in arguments and "ansi" in _render_modes(spec):
                arguments["render_mode"] = "ansi"
            return GymnasiumGame(library.make(spec, **arguments), settings)


def _render_modes(spec: Any) -> Sequence[str]:
    maker = spec.entry_point
    if isinstance(maker, str):
        module, _, attribute = maker.partition(":")
        maker = getattr(importlib.import_module(module), attribute, None)
    return list((getattr(maker, "metadata", None) or {}).get("render_modes", ()))


def without_colours(text: str) -> str:
    """A drawing for a terminal without escapes: what had a background stands in [], blue in (), other colours in <>."""

    def bracketed(found: re.Match[str]) -> str:
        codes = {int(code) for code in found[1].split(";") if code}
        opening, closing = "[]" if any(40 <= code < 50 for code in codes) else "()" if 34 in codes else "<>"
        return f"{opening}{found[2]}{closing}"

    return re.sub(r"\x1b\[[\d;]*m", "", _COLOUR.sub(bracketed, text))


def plain(observation: Any) -> str:
    """An observation of any space as text."""
    if isinstance(observation, str):
        return observation
    if isinstance(observation, dict):
        return "\n".join(f"{name}: {plain(value)}" for name, value in observation.items())
    if isinstance(observation, tuple):
        return ", ".join(plain(value) for value in observation)
    if hasattr(observation, "tolist"):
        observation = observation.tolist()
    if isinstance(observation, float):
        return f"{observation:.6g}"
    if isinstance(observation, list):
        within = "\n" if observation and isinstance(observation[0], list) else " "
        return f"[{within.join(plain(value) for value in observation)}]"
    return str(observation)
