"""The resource server and its session: the tool in front of `weather`, the tasks in front of `verifier`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files

from gym_core import ResourceServer, Session, SessionContext, Task, Trajectory, Verdict, tool
from gym_simple_weather.verifier import check_fields, verify
from gym_simple_weather.weather import weather_in


class WeatherSession(Session["SimpleWeather"]):
    """One conversation about the weather. It has no state: the weather of a city never changes."""

    judges_trajectory = True

    def __init__(self, task: Task, server: SimpleWeather, context: SessionContext) -> None:
        super().__init__(task, server, context)
        check_fields(task)

    @tool
    def get_weather(self, city: str) -> str:
        """Get the current weather of one city.

        Args:
            city: The city's name, for example "Paris".
        """
        return weather_in(city).to_json()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge the calls and the final answer."""
        return verify(self.task, trajectory)


class SimpleWeather(ResourceServer):
    """Questions about the weather, answered with one tool.

    Ships tasks about one city, several cities and comparisons, and some where no call is due. The reward is the product
    of `calls` (the right cities were asked, and nothing else) and `answer` (it says what the tool returned, and nothing
    else).
    """

    session_type = WeatherSession

    def tasks(self) -> Iterator[Task]:
        """The tasks of `tasks.jsonl` in this package."""
        with (files("gym_simple_weather") / "tasks.jsonl").open(encoding="utf-8") as lines:
            for index, line in enumerate(lines):
                yield Task(json.loads(line), index=index)
