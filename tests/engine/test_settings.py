"""The settings of a run: flat for whoever gives them, in parts for whoever reads them."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

import gym_core
from gym_core import RunSettings, UsageError
from gym_core.spi import RunConfig, run_config
from tests.support.models import ScriptedModel

COMPONENTS: Any = {"models": {"policy": "openai"}, "env": "counter"}
NOT_SETTINGS = {"models", "env", "configured", "argv", "made_from"}


def test_every_setting_is_a_field_of_one_part_and_every_field_a_setting() -> None:
    parts = [kind for kind in get_type_hints(RunConfig).values() if isinstance(kind, type)]
    names = [each.name for part in parts for each in fields(part)]
    assert len(names) == len(set(names))
    assert set(names) - NOT_SETTINGS == set(RunSettings.__annotations__)


def test_a_setting_reaches_its_part() -> None:
    config = run_config(**COMPONENTS, repeats=2, workers=3, output="x.jsonl", task_id="line", seed=4)
    assert (config.limits.repeats, config.execution.workers, config.destination.output) == (2, 3, "x.jsonl")
    assert (config.selection.task_id, config.components.seed) == ("line", 4)


def test_options_of_models_are_the_policys_unless_they_say_whose() -> None:
    models = {"policy": "openai", "judge": "openai"}
    options = {"base_url": "http://here", "judge": {"temperature": 0}, "judge.top_p": 1, "extra": {"a": 1}}
    config = run_config(models=models, env="counter", model_options=options)
    assert config.components.model_options == {
        "policy": {"base_url": "http://here", "extra": {"a": 1}},
        "judge": {"temperature": 0, "top_p": 1},
    }
    assert run_config(**COMPONENTS, model_options={"policy": {"a": 1}}).components.model_options == {"policy": {"a": 1}}


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("repeat", "repeats"),
        ("worker", "workers"),
        ("max_costs", "max_cost"),
        ("models", "model"),
        ("outputs", "output"),
    ],
)
def test_a_misspelt_setting_is_refused_at_once_and_the_nearest_named(wrong: str, near: str) -> None:
    settings: Any = {wrong: 3}
    with pytest.raises(TypeError, match=f"a run has no setting `{wrong}`; did you mean `{near}`"):
        gym_core.collect(model=ScriptedModel(), env="counter", **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number of at least 1, not 0"),
        ({"repeats": None}, "repeats must be a whole number of at least 1, not None"),
        ({"workers": True}, "workers must be a whole number of at least 1, not True"),
        ({"limit": "3"}, "limit must be a whole number of at least 0, not '3'"),
        ({"max-tokens": 3}, "a run has no setting `max-tokens`; did you mean `max_tokens`?"),
        ({"max_cost": float("inf")}, "max-cost must be an amount of USD above 0, not inf"),
        ({"max_cost": "1"}, "max-cost must be an amount of USD above 0, not '1'"),
        ({"finish_at": 1.5}, "finish-at must be a share above 0 and at most 1, not 1.5"),
        ({"finish_at": "0.5"}, "finish-at must be a share above 0 and at most 1, not '0.5'"),
        ({"mode": "again"}, "mode must be `new`, `resume` or `overwrite`, not 'again'"),
        ({"by": "kind"}, "`by` must be a list, not 'kind'"),
        ({"extensions": "watch"}, "`extensions` must be a list, not 'watch'"),
        ({"model_options": "a=1"}, "`model_options` must be a mapping of options by name, not 'a=1'"),
        ({"tasks": 5}, "`tasks` must be something to go through, such as a list, not 5"),
        ({"output": 3}, "`output` must be a path, not 3"),
        ({"deadlines": 5}, "`deadlines` must be `Deadlines(...)`, not 5"),
        ({"skip_invalid": "yes"}, "`skip_invalid` must be True or False, not 'yes'"),
        ({"agent": 3}, "agent must be a reference or an instance of Agent or Runner, not 3"),
        ({"executor": 3}, "executor must be a reference or an instance of ExecutorProvider, not 3"),
        ({"input": "a.jsonl", "tasks": []}, "give `input` or `tasks`, not both"),
        ({"mode": "resume"}, "there is nothing to resume without an output"),
    ],
)
def test_a_value_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, TypeError), match=re.escape(said)):
        run_config(**COMPONENTS, **settings)
