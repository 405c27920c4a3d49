"""NumPy's generator of the process, with a state that is read and put back in a microsecond.

NumPy's own property reads and writes the 624 words of a Mersenne Twister one by one as objects of Python, which costs
thirty times as much: half of what a call of a game does.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_WORDS = 624
_kinds: dict[Any, Any] = {}


def numpy_random() -> Any:
    """`numpy.random`, whose generator is one of those; None where NumPy has not been imported."""
    random = getattr(sys.modules.get("numpy"), "random", None)
    if random is None or not hasattr(random, "get_bit_generator"):  # NumPy before 1.24 stays as it is
        return random
    if type(random.get_bit_generator()) is random.MT19937:
        state = random.get_state()
        random.set_bit_generator(_kind(random)())
        random.set_state(state)
    return random


def _kind(random: Any) -> Any:
    if random.MT19937 in _kinds:
        return _kinds[random.MT19937]
    numpy = sys.modules["numpy"]

    class Twister(random.MT19937):  # type: ignore[misc]
        """A Mersenne Twister, by the memory of its state: the words, and the place among them as an int of C."""

        def __init__(self) -> None:
            super().__init__(0)
            memory = self.ctypes.state_address
            self._words = numpy.ctypeslib.as_array((ctypes.c_uint32 * _WORDS).from_address(memory))
            self._place = ctypes.c_int.from_address(memory + self._words.nbytes)

        @property
        def state(self) -> Any:
            """As NumPy's own has it."""
            return {"bit_generator": "MT19937", "state": {"key": self._words.copy(), "pos": self._place.value}}

        @state.setter
        def state(self, value: Any) -> None:
            if value["bit_generator"] != "MT19937" or len(value["state"]["key"]) != _WORDS:
                raise ValueError("that is no state of a MT19937")
            self._words[:] = value["state"]["key"]
            self._place.value = value["state"]["pos"]

    _kinds[random.MT19937] = Twister
    return Twister
