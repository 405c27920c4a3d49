"""The weather: the same for a city at any time, in any process."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

CONDITIONS = ("sunny", "cloudy", "foggy", "rainy", "stormy", "snowy")
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Weather:
    """The weather of one city: one of `CONDITIONS`, degrees Celsius, percent, kilometres per hour."""

    city: str
    condition: str
    temperature_c: int
    humidity_percent: int
    wind_kmh: int

    def to_json(self) -> str:
        """The weather as the tool returns it."""
        return _encode({name: getattr(self, name) for name in self.__slots__})


_CITIES = (
    Weather("Amsterdam", "rainy", 13, 82, 27),
    Weather("Athens", "sunny", 28, 40, 14),
    Weather("Bangkok", "stormy", 32, 85, 18),
    Weather("Berlin", "cloudy", 12, 66, 16),
    Weather("Bogotá", "rainy", 15, 79, 8),
    Weather("Cairo", "sunny", 33, 24, 13),
    Weather("Cape Town", "cloudy", 17, 61, 42),
    Weather("Dubai", "sunny", 38, 35, 17),
    Weather("Dublin", "rainy", 10, 87, 31),
    Weather("Helsinki", "snowy", -8, 74, 12),
    Weather("Istanbul", "cloudy", 19, 64, 21),
    Weather("Jakarta", "stormy", 30, 90, 9),
    Weather("Lima", "foggy", 18, 83, 11),
    Weather("Lisbon", "sunny", 23, 52, 20),
    Weather("London", "rainy", 14, 81, 22),
    Weather("Los Angeles", "sunny", 25, 45, 10),
    Weather("Madrid", "sunny", 27, 33, 9),
    Weather("Montreal", "snowy", -11, 70, 19),
    Weather("Moscow", "snowy", -6, 77, 15),
    Weather("Mumbai", "rainy", 29, 88, 24),
    Weather("Nairobi", "cloudy", 22, 57, 12),
    Weather("New York", "cloudy", 16, 55, 23),
    Weather("Oslo", "snowy", -3, 72, 7),
    Weather("Paris", "sunny", 21, 48, 11),
    Weather("Reykjavik", "snowy", -1, 76, 44),
    Weather("Rome", "sunny", 26, 41, 8),
    Weather("San Francisco", "foggy", 15, 84, 26),
    Weather("São Paulo", "stormy", 24, 80, 28),
    Weather("Seattle", "rainy", 11, 86, 14),
    Weather("Singapore", "stormy", 31, 89, 6),
    Weather("Sydney", "sunny", 20, 50, 25),
    Weather("Tokyo", "cloudy", 18, 62, 13),
    Weather("Toronto", "snowy", -4, 69, 29),
    Weather("Vienna", "cloudy", 9, 68, 10),
    Weather("Warsaw", "foggy", 7, 91, 5),
    Weather("Zürich", "foggy", 8, 93, 4),
)

ALIASES = {"la": "los angeles", "new york city": "new york", "nyc": "new york", "sf": "san francisco"}
"""Other names of cities, as keys to keys."""


_MARKS = re.compile(r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")


def plain(text: str) -> str:
    """Text for comparison: lower case, without accents, runs of white space as one blank."""
    if not text.isascii():
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return " ".join(text.casefold().split())


@lru_cache(maxsize=4096)
def city_key(name: str) -> str:
    """What identifies a city: its plain name up to the first comma, so that "Paris, France" is "paris"."""
    key = plain(name.partition(",")[0])
    return ALIASES.get(key, key)


_KNOWN = {city_key(weather.city): weather for weather in _CITIES}


def weather_in(city: str) -> Weather:
    """The weather of any city, made up from its name where it is not in the table. Raises `ValueError` for no name."""
    key = city_key(city)
    if not key:
        raise ValueError("no city given: pass a city's name")
    return _KNOWN.get(key) or _invented(city.strip(), key)


def _invented(city: str, key: str) -> Weather:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    temperature = digest[0] % 41 - 8
    possible = CONDITIONS[:3] + CONDITIONS[-1:] if temperature <= 2 else CONDITIONS[:-1]
    return Weather(city, possible[digest[1] % len(possible)], temperature, 20 + digest[2] % 76, digest[3] % 50)
