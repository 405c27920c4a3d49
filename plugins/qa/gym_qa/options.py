"""The options of the environment."""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from gym_core import Options, Selector
from gym_qa.benchmarks import read_benchmark
from gym_qa.grading import check_name
from gym_qa.prompt import compile_template, text_of


class QAOptions(Options):
    """Options of the environment."""

    benchmark: Annotated[str, Selector()] = Field("", description="One that is ready; your options go over its own.")
    data: str = Field("", description="The file, where no --input names it: for `gym serve`, say.")
    question: str = Field("", description="The column of the questions; by default the first of the usual names.")
    answer: str = Field("", description="The column of the answers, likewise.")
    choices: str = Field(
        "", description="The column of the choices, or a column for each, separated by commas; likewise."
    )
    tests: str = Field("", description="The column of the tests that code has to pass; likewise.")
    match: str = Field(
        "",
        description="How a reply is graded: exact, contains, regex, number, choice, json, math, code, judge, "
        "instructions or python:FILE:FUNCTION. By default what fits the answers.",
    )
    separator: str = Field("", description="What stands between answers of which any is right, such as `|`.")
    case: bool = Field(False, description="Whether case counts, where texts are compared.")
    tolerance: float = Field(1e-6, ge=0, lt=1, description="How far a number may be off, relative to the answer.")
    first: int | None = Field(None, ge=0, le=1, description="The number of the first choice, where answers are such.")
    shuffle: bool = Field(False, description="Offer the choices in an order of their own for each question.")
    seed: int | None = Field(None, description="The seed of that order; by default that of the run.")
    json_schema: Any = Field(None, description="A JSON schema that the reply has to keep: a file, or the schema.")
    fields: list[str] = Field(
        default_factory=list,
        description="The fields of the JSON that have to be right; by default those of the answer.",
    )
    timeout: float = Field(10.0, ge=1, le=80, description="Seconds of processor time for a program and its tests.")
    memory_mb: PositiveInt = Field(1024, description="Memory for them, in MiB.")
    rubric: str = Field("", description="What a judge goes by, instead of the answer: a file, or the text.")
    show_prompt: bool = Field(False, description="Keep what a judge was asked in the rows, and show it once.")
    prompt: str = Field("", description="The template of the prompt, in Jinja: a file, or the text.")
    system: str = Field("", description="A system prompt: a file, or the text.")
    shots: str = Field("", description="A file of questions that are shown with their answers before each question.")
    n_shots: PositiveInt = Field(5, description="How many of them, from the first on.")

    @model_validator(mode="before")
    @classmethod
    def _add_benchmark(cls, given: Any) -> Any:
        name = given.get("benchmark") if isinstance(given, dict) else None
        return {**read_benchmark(name), **given} if name else given

    @field_validator("match")
    @classmethod
    def _check_match(cls, match: str) -> str:
        return check_name(match)

    @field_validator("prompt")
    @classmethod
    def _read_prompt(cls, value: str) -> str:
        text = text_of(value, "prompt") if value else ""
        if text:
            compile_template(text)
        return text

    @field_validator("system")
    @classmethod
    def _read_system(cls, value: str) -> str:
        return text_of(value, "system") if value else ""

    @field_validator("rubric")
    @classmethod
    def _read_rubric(cls, value: str) -> str:
        return text_of(value, "rubric") if value else ""

    @field_validator("json_schema", mode="before")
    @classmethod
    def _read_schema(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(text_of(value, "json_schema", (".json",)))
        except ValueError as error:
            raise ValueError(f"json_schema is no JSON: {error}") from None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.shuffle and self.match not in ("", "choice"):
            raise ValueError(f"`shuffle` is for choices, and match is `{self.match}`")
        return self
