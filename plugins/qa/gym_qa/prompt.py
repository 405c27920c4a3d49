"""What a model is asked: a template over the fields of a row, few shots before it, and words about the form."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import SandboxedEnvironment

from gym_core import UsageError
from gym_qa.columns import listed

SUFFIXES = (".j2", ".jinja", ".jinja2", ".txt", ".md")
OWN = frozenset({"question", "choices", "letters"})
"""What a template may name besides the columns."""

_CHOICES = "{% for choice in choices %}\n{{ choice.letter }}. {{ choice.text }}{% endfor %}"
_ASKED = "{{ question }}\n\n"
PROMPTS = {
    "exact": _ASKED + "End with a line `Answer: ...` that holds the answer and nothing else.",
    "number": _ASKED + "End with a line `Answer: ...` that holds the number and nothing else.",
    "math": _ASKED + "Put the final answer into \\boxed{}.",
    "choice": "{{ question }}\n"
    + _CHOICES
    + "\n\nEnd with a line `Answer: ...` that holds the letter and nothing else.",
    "json": _ASKED + "Answer with JSON.",
    "code": _ASKED + "Answer with one block of Python code.",
}
ALONE = "{{ question }}"


class Choice(NamedTuple):
    """One choice, as a template sees it."""

    letter: str
    text: str


def text_of(value: str, option: str, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """The text that an option gives, or that of the file which it names. Raises `ValueError`."""
    names_file = "\n" not in value and len(value) < 1024 and (value.endswith(suffixes) or Path(value).is_file())
    if not names_file:
        return value
    try:
        return Path(value).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{option}={value}: the file cannot be read: {error}") from None


@lru_cache(maxsize=8)
def _environment() -> SandboxedEnvironment:
    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)


def compile_template(text: str) -> Template:
    """A template. Raises `ValueError` for what is none."""
    try:
        template = _environment().from_string(text)
        if not _named(text):
            raise ValueError("the template of the prompt names no field: {{ question }} stands for the question")
    except TemplateSyntaxError as error:
        raise ValueError(f"the template of the prompt, line {error.lineno}: {error.message}") from None
    return template


def _named(text: str) -> set[str]:
    environment = _environment()
    return meta.find_undeclared_variables(environment.parse(text)) - set(environment.globals)


def check_fields(text: str, names: Collection[str]) -> None:
    """Raise `UsageError` where a template names a field that rows do not have."""
    unknown = sorted(_named(text) - OWN - set(names))
    if unknown:
        raise UsageError(
            f"the template of the prompt names `{unknown[0]}`, which is no column; there are {listed(names)}",
            hint="-E prompt=FILE; {{ question }} and {{ choices }} are always there",
        )


def render(template: Template, fields: Mapping[str, Any], question: str, choices: Sequence[Choice]) -> str:
    """The prompt of a row. Raises `ValueError`."""
    own = {"question": question, "choices": choices, "letters": [choice.letter for choice in choices]}
    if not choices and "choices" in fields:
        del own["choices"]
    try:
        return template.render({**fields, **own})
    except TemplateError as error:
        raise ValueError(f"the template of the prompt: {error.message}") from None
    except Exception as error:  # whatever an expression of the template does to the row
        raise ValueError(f"the template of the prompt: {type(error).__name__}: {error}") from None
