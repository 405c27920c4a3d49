from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gym_core import UsageError
from gym_core.errors import PluginError
from gym_core.spi import Kind, PluginManager

if TYPE_CHECKING:
    from tests.wiring.conftest import Site

AGENT = """
from gym_core import Agent, Stop, StopReason, hookimpl


class It(Agent):
    async def run(self, episode):
        return Stop(StopReason.COMPLETED)
"""
GOOD = f"""{AGENT}
@hookimpl(contract=1)
def gym_agents():
    return {{"it": It}}
"""


def broken(
    site: Site, code: str, *, group: str = "gym.agents", kind: Kind = Kind.AGENT, value: str = ""
) -> PluginError:
    """What loading a plugin with this code raises; a healthy neighbour must load afterwards."""
    site.add("gym-bad", code, group=group, name="it", value=value, version="3.2")
    site.add("gym-good", GOOD.replace('"it"', '"good"'), name="good")
    manager = PluginManager()
    with pytest.raises(PluginError) as raised:
        manager.load_extension("it") if kind is Kind.EXTENSION else manager.load(kind, "it")
    assert manager.load(Kind.AGENT, "good").component.__name__ == "It"
    assert raised.value.distribution == "gym-bad"
    assert "gym-bad" in raised.value.message
    assert "3.2" in raised.value.message
    assert raised.value.hint
    return raised.value


def test_a_component_is_loaded_by_name(site: Site) -> None:
    module = site.add("gym-a", GOOD)
    loaded = PluginManager().load(Kind.AGENT, "it:selected")
    assert loaded.component is sys.modules[module].It
    assert (loaded.plugin.distribution, loaded.reference.selector) == ("gym-a", "selected")


def test_only_what_is_asked_for_is_imported(site: Site) -> None:
    other = site.add("gym-other", "raise RuntimeError", name="other")
    site.add("gym-a", GOOD)
    PluginManager().load(Kind.AGENT, "it")
    assert other not in sys.modules


def test_a_module_with_two_kinds_is_registered_once(site: Site) -> None:
    code = f"""{GOOD}
from gym_core import ModelBackend

class Model(ModelBackend):
    async def respond(self, request, context): ...

@hookimpl(contract=1)
def gym_model_backends():
    return {{"it": Model}}
"""
    module = site.add("gym-a", code)
    site.info("gym-b", f"[gym.models]\nit = {module}\n", "Name: gym-b")
    manager = PluginManager()
    assert manager.load(Kind.MODEL, "it").component.__name__ == "Model"
    assert manager.load(Kind.AGENT, "it").component.__name__ == "It"
    assert manager.load(Kind.AGENT, "it").component.__name__ == "It"
    assert len(manager.pluggy.get_plugins()) == 1


def test_an_entry_point_may_name_an_object_of_the_module(site: Site) -> None:
    code = f"""{AGENT}
class Plugin:
    @hookimpl(contract=1)
    def gym_agents(self):
        return {{"it": It}}

class holder:
    plugin = Plugin()
"""
    site.add("gym-a", code, value="{module}:holder.plugin")
    assert PluginManager().load(Kind.AGENT, "it").component.__name__ == "It"


# Names


def test_an_unknown_name_is_answered_with_the_nearest(site: Site) -> None:
    site.add("gym-a", GOOD, name="simple_agent")
    with pytest.raises(UsageError, match=r"no agent named 'simple_agnt'.*did you mean 'simple_agent'.*--kind agent"):
        PluginManager().load(Kind.AGENT, "simple_agnt")


def test_a_name_of_another_kind_is_said_to_be(site: Site) -> None:
    site.add("gym-a", GOOD)
    with pytest.raises(UsageError, match=r"'it' is no model backend but an agent.*--agent"):
        PluginManager().load(Kind.MODEL, "it")


def test_two_owners_are_refused_with_both(site: Site) -> None:
    site.add("gym-a", GOOD)
    site.add("gym-b", GOOD)
    manager = PluginManager()
    with pytest.raises(UsageError, match=r"2 distributions offer the agent 'it'.*gym-a/it or gym-b/it"):
        manager.load(Kind.AGENT, "it")
    assert manager.load(Kind.AGENT, "Gym_B/it").plugin.distribution == "gym-b"


def test_a_distribution_that_lacks_the_name_is_answered_with_the_owner(site: Site) -> None:
    site.add("gym-a", GOOD)
    with pytest.raises(UsageError, match=r"'gym-z' offers no agent 'it'.*gym-a/it"):
        PluginManager().load(Kind.AGENT, "gym-z/it")


def test_a_disabled_plugin_is_said_to_be_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    module = site.add("gym-a", GOOD)
    with pytest.raises(UsageError, match=r"switched off.*GYM_DISABLE_PLUGINS"):
        PluginManager(["gym-a"]).load(Kind.AGENT, "it")
    monkeypatch.setenv("GYM_DISABLE_PLUGINS", "it")
    with pytest.raises(UsageError, match="switched off"):
        PluginManager().load(Kind.AGENT, "it")
    assert module not in sys.modules


@pytest.mark.parametrize("kind", [Kind.MODEL, Kind.RESOURCE_SERVER, Kind.AGENT])
def test_a_url_means_the_plugin_of_our_own_that_goes_there(kind: Kind) -> None:
    loaded = PluginManager(environ={}).load(kind, "http://localhost:1/a:b")
    assert loaded.plugin.qualified_name == "gym-http/remote"
    assert loaded.reference.selector == "http://localhost:1/a:b"
    assert str(loaded.reference) == "http://localhost:1/a:b"


def test_an_extension_has_no_url(site: Site) -> None:
    with pytest.raises(UsageError, match="an extension runs in this process"):
        PluginManager().load_extension("http://localhost:1")


# Broken plugins


def test_an_import_that_raises_keeps_its_cause(site: Site) -> None:
    error = broken(site, "raise RuntimeError('the sensor\\nis on fire')")
    assert "cannot be imported: RuntimeError: the sensor" in error.message
    assert "\n" not in error.message
    assert isinstance(error.__cause__, RuntimeError)


def test_an_import_that_exits_is_contained(site: Site) -> None:
    assert "SystemExit: 7" in broken(site, "import sys; sys.exit(7)").message


def test_a_missing_attribute_is_an_import_that_fails(site: Site) -> None:
    assert "no attribute 'plugin'" in broken(site, GOOD, value="{module}:plugin").message


def test_a_forgotten_mark_is_guessed(site: Site) -> None:
    error = broken(site, GOOD.replace("@hookimpl(contract=1)", ""))
    assert "implements no gym_agents()" in error.message
    assert "@gym_core.hookimpl" in error.hint


def test_an_unknown_hook_is_named(site: Site) -> None:
    error = broken(site, f"{GOOD}\n@hookimpl(contract=1)\ndef gym_agnets(): ...\n")
    assert "gym calls no hook named gym_agnets" in error.message


def test_a_wrong_signature_is_named(site: Site) -> None:
    assert "surprise" in broken(site, GOOD.replace("gym_agents()", "gym_agents(surprise)")).message


def test_a_wrong_registration_leaves_nothing_behind(site: Site) -> None:
    site.add("gym-bad", f"{GOOD}\n@hookimpl(contract=1)\ndef gym_agnets(): ...\n")
    manager = PluginManager()
    for _ in range(2):
        with pytest.raises(PluginError, match="gym_agnets"):
            manager.load(Kind.AGENT, "it")
    assert not manager.pluggy.get_plugins()


def test_a_hook_that_raises_is_contained(site: Site) -> None:
    error = broken(site, GOOD.replace('return {"it": It}', "return 1 / 0"))
    assert "gym_agents() failed: ZeroDivisionError" in error.message
    assert isinstance(error.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("offer", "problem"),
    [
        ("[It]", "must return a mapping of names to classes, not list"),
        ("None", "must return a mapping"),
        ('{"other": It}', "offers 'other', but the entry point's name is 'it'"),
        ("{}", "offers nothing"),
        ('{"it": It()}', "must be a subclass of Agent, not It"),
        ('{"it": dict}', "must be a subclass of Agent, not the class dict"),
        ('{"it": Agent}', "Agent does not define `run`"),
    ],
)
def test_what_is_offered_is_checked(site: Site, offer: str, problem: str) -> None:
    assert problem in broken(site, GOOD.replace('{"it": It}', offer)).message


@pytest.mark.parametrize(
    ("session", "problem"),
    [
        ("", "neither `session_type` nor `open_session`"),
        ("session_type = dict", "must be a subclass of Session"),
        ("session_type = Session", "Session does not define `verify`"),
        ("session_type = Judged", "tool `look`: a docstring is missing"),
    ],
)
def test_an_environment_needs_a_whole_session(site: Site, session: str, problem: str) -> None:
    code = f"""
from gym_core import ResourceServer, Session, hookimpl, tool

class Judged(Session):
    @tool
    def look(self) -> str: ...

    def verify(self, trajectory):
        return 1.0

class Env(ResourceServer):
    '''An environment.'''
    {session}

@hookimpl(contract=1)
def gym_resource_servers():
    return {{"it": Env}}
"""
    error = broken(site, code, group="gym.resource_servers", kind=Kind.RESOURCE_SERVER)
    assert problem in error.message


@pytest.mark.parametrize(("version", "what"), [(99, "update gym-core"), (0, "update gym-bad")])
def test_another_version_of_the_contract_is_refused(site: Site, version: int, what: str) -> None:
    error = broken(site, GOOD.replace("contract=1", f"contract={version}"))
    assert f"made for version {version} of the plugin contract, this gym has version 1" in error.message
    assert error.hint == what


@pytest.mark.parametrize("problem", ["from gym_core import Nothing", "raise RuntimeError('no such thing')"])
def test_another_version_is_the_reason_why_a_plugin_cannot_be_imported(site: Site, problem: str) -> None:
    error = broken(site, f"{problem}\n{GOOD}".replace("contract=1", "contract=2"))
    assert "made for version 2 of the plugin contract, this gym has version 1" in error.message
    assert "cannot be imported" in broken(site, f"{problem}\n{GOOD}").message


@pytest.mark.parametrize("mark", ["@hookimpl", "@hookimpl()"])
def test_a_plugin_that_does_not_say_for_which_version_it_is_written_is_refused(site: Site, mark: str) -> None:
    error = broken(site, GOOD.replace("@hookimpl(contract=1)", mark))
    assert "says for which contract it is written: `@hookimpl(contract=1)`" in error.message


def test_a_mark_of_somebody_elses_says_no_version(site: Site) -> None:
    own = "import pluggy\nown = pluggy.HookimplMarker('gym')\n"
    error = broken(site, own + GOOD.replace("@hookimpl(contract=1)", "@own"))
    assert "does not say for which contract it is written" in error.message
    assert error.hint == "mark its hooks `@gym_core.hookimpl(contract=1)`"


def test_what_an_import_prints_is_kept_out_of_standard_output(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("gym-a", f"print('hello')\n{GOOD}")
    PluginManager().load(Kind.AGENT, "it")
    assert capsys.readouterr() == ("", "hello\n")


# Extensions


def test_an_extension_is_registered_whole(site: Site) -> None:
    code = """
from gym_core import hookimpl
seen = []

@hookimpl(contract=1)
def gym_run_finished(summary):
    seen.append(summary)
"""
    module = site.add("gym-watch", code, group="gym.extensions")
    manager = PluginManager()
    extension = manager.load_extension("it")
    manager.pluggy.hook.gym_run_finished(run=None, summary={"done": 1})
    assert extension is sys.modules[module]
    assert extension.seen == [{"done": 1}]


def test_an_extension_has_no_selector(site: Site) -> None:
    site.add("gym-watch", GOOD, group="gym.extensions")
    with pytest.raises(UsageError, match="an extension takes nothing after a colon"):
        PluginManager().load_extension("it:x")


def test_an_extension_that_observes_nothing_is_broken(site: Site) -> None:
    error = broken(site, GOOD, group="gym.extensions", kind=Kind.EXTENSION)
    assert "observes nothing" in error.message
    assert "@gym_core.hookimpl" in error.hint


# Checking


def test_checking_tells_the_broken_from_the_healthy(site: Site) -> None:
    site.add("gym-good", GOOD)
    site.add("gym-bad", "import nothing_of_this_name", name="bad")
    manager = PluginManager()
    problems = {plugin.name: manager.check(plugin) for plugin in manager.plugins}
    assert problems["it"] is None
    assert "nothing_of_this_name" in str(problems["bad"])


RUNNER = """
from gym_core import CompletedTask, Runner, hookimpl


class It(Runner):
    async def run(self, task, context): ...


@hookimpl(contract=1)
def gym_runners():
    return {"it": It}
"""


def test_a_runner_is_found_where_an_agent_is_asked_for(site: Site) -> None:
    site.add("gym-r", RUNNER, group="gym.runners")
    manager = PluginManager()
    assert manager.load(Kind.AGENT, "it").plugin.kind is Kind.RUNNER
    assert manager.load(Kind.RUNNER, "gym-r/it").plugin.kind is Kind.RUNNER
    with pytest.raises(UsageError, match="did you mean 'it'") as raised:
        manager.load(Kind.AGENT, "its")
    assert raised.value.hint == "`gym plugins list --kind agent` and `gym plugins list --kind runner` list them"


def test_an_agent_is_no_runner(site: Site) -> None:
    site.add("gym-a", GOOD)
    with pytest.raises(UsageError, match="no runner but an agent"):
        PluginManager().load(Kind.RUNNER, "it")


def test_an_agent_and_a_runner_of_one_name_are_told_apart_by_their_owner(site: Site) -> None:
    site.add("gym-a", GOOD)
    site.add("gym-r", RUNNER, group="gym.runners")
    manager = PluginManager()
    assert [plugin.state for plugin in manager.plugins] == ["conflict", "conflict"]
    with pytest.raises(UsageError, match="2 distributions offer") as raised:
        manager.load(Kind.AGENT, "it")
    assert raised.value.hint == "name one: gym-a/it or gym-r/it"
    assert manager.load(Kind.AGENT, "gym-r/it").plugin.kind is Kind.RUNNER


def test_one_owner_must_not_give_both_the_same_name(site: Site) -> None:
    site.info("gym-both", "[gym.agents]\nit = x\n[gym.runners]\nit = x\n", "Name: gym-both\nVersion: 1\n")
    with pytest.raises(UsageError, match="gym-both offers two of the name 'it': the agent and the runner") as raised:
        PluginManager().load(Kind.AGENT, "it")
    assert "another name" in raised.value.hint


def test_a_runner_that_is_none_names_its_owner(site: Site) -> None:
    code = GOOD.replace("gym_agents", "gym_runners")
    assert "must be a subclass of Runner" in broken(site, code, group="gym.runners", kind=Kind.RUNNER).message
