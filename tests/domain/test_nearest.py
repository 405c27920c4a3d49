"""Names near a word: found whatever their capitals, and said."""

from __future__ import annotations

from gym_core.spi import did_you_mean, nearest, suggestion

KNOWN = ("FrozenLake-v1", "frozen_food", "Taxi")


def test_the_nearest_are_named_as_they_are_known_whatever_their_capitals() -> None:
    assert nearest("frozenlake-V1", KNOWN) == ["FrozenLake-v1"]
    assert nearest("frozen", KNOWN, most=3, cutoff=0.5) == ["frozen_food", "FrozenLake-v1"]
    assert nearest("chess", KNOWN) == []


def test_they_end_a_message() -> None:
    assert suggestion(["a", "b"]) == "; did you mean a or b?"
    assert suggestion([]) == ""
    assert did_you_mean("taxy", KNOWN) == "; did you mean 'Taxi'?"
    assert did_you_mean("taxy", KNOWN, shown="game:{}".format) == "; did you mean game:Taxi?"
    assert did_you_mean("chess", KNOWN) == ""
