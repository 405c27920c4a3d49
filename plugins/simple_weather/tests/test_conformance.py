"""The weather keeps the contract of environments, and pays those who ask and say what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gym_core import Task
from gym_simple_weather.weather import weather_in
from gym_testing import ResourceServerConformance, call

SENTENCES = {
    "condition": "in {city} it is {condition}",
    "temperature_c": "in {city} it is {temperature_c} °C",
    "humidity_percent": "in {city} the humidity is {humidity_percent} %",
    "wind_kmh": "in {city} the wind blows at {wind_kmh} km/h",
}


class TestSimpleWeather(ResourceServerConformance):
    reference = "simple_weather"

    def winning(self, task: Task) -> Sequence[Any] | None:
        cities = task["cities"]
        calls = [call("get_weather", call_id=f"call_{number}", city=city) for number, city in enumerate(cities)]
        told = [asdict(weather_in(city)) for city in cities]
        if task["kind"] == "comparison":
            best = (max if task["compare"] == "warmest" else min)(told, key=lambda weather: weather["temperature_c"])
            return [calls, f"It is {best['city']}, with {best['temperature_c']} °C."]
        if task["kind"] == "no_tool":
            return [task["expected"][0]]
        if task["kind"] == "no_city":
            return ["Which city do you mean?"]
        facts = task.get("facts", ("condition", "temperature_c"))
        return [
            calls,
            " ".join(SENTENCES[fact].format(**weather).capitalize() + "." for weather in told for fact in facts),
        ]

    def losing(self, task: Task) -> Sequence[Any]:
        return [call("get_weather", city="Nowhere"), "It is sunny."]
