"""gym: collect rollouts (agent + model + environment -> reward) from pip-installable plugins.

Everything public is a name of this package. Names are imported when they are first used, so that `gym --help` and the
listing of plugins stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core.lazy import lazy_names
from gym_core.version import __version__ as __version__

if TYPE_CHECKING:
    from gym_core import errors as errors
    from gym_core import responses as responses
    from gym_core.contract.agent import Actor as Actor
    from gym_core.contract.agent import Agent as Agent
    from gym_core.contract.agent import AgentInfo as AgentInfo
    from gym_core.contract.agent import Episode as Episode
    from gym_core.contract.agent import Stop as Stop
    from gym_core.contract.component import Component as Component
    from gym_core.contract.component import ComponentContext as ComponentContext
    from gym_core.contract.component import ComponentInfo as ComponentInfo
    from gym_core.contract.component import FromEnv as FromEnv
    from gym_core.contract.component import Operational as Operational
    from gym_core.contract.component import Options as Options
    from gym_core.contract.component import Selector as Selector
    from gym_core.contract.component import Venv as Venv
    from gym_core.contract.gateway import Endpoint as Endpoint
    from gym_core.contract.gateway import Gateway as Gateway
    from gym_core.contract.hookspecs import CONTRACT_VERSION as CONTRACT_VERSION
    from gym_core.contract.hookspecs import CallInfo as CallInfo
    from gym_core.contract.hookspecs import RunInfo as RunInfo
    from gym_core.contract.hookspecs import hookimpl as hookimpl
    from gym_core.contract.model import CallContext as CallContext
    from gym_core.contract.model import Model as Model
    from gym_core.contract.model import ModelBackend as ModelBackend
    from gym_core.contract.model import ModelInfo as ModelInfo
    from gym_core.contract.resource_server import Done as Done
    from gym_core.contract.resource_server import ResourceServer as ResourceServer
    from gym_core.contract.resource_server import ResourceServerInfo as ResourceServerInfo
    from gym_core.contract.resource_server import Session as Session
    from gym_core.contract.resource_server import SessionContext as SessionContext
    from gym_core.contract.resource_server import SessionHost as SessionHost
    from gym_core.contract.resource_server import SessionInfo as SessionInfo
    from gym_core.contract.resource_server import TaskFile as TaskFile
    from gym_core.contract.runner import CompletedTask as CompletedTask
    from gym_core.contract.runner import Runner as Runner
    from gym_core.contract.runner import RunnerContext as RunnerContext
    from gym_core.contract.runner import RunnerInfo as RunnerInfo
    from gym_core.contract.runner import TaskFailed as TaskFailed
    from gym_core.contract.sandbox import ExecResult as ExecResult
    from gym_core.contract.sandbox import Sandbox as Sandbox
    from gym_core.contract.sandbox import SandboxProvider as SandboxProvider
    from gym_core.contract.sandbox import SandboxSpec as SandboxSpec
    from gym_core.contract.tools import BoundTool as BoundTool
    from gym_core.contract.tools import ToolSpec as ToolSpec
    from gym_core.contract.tools import blocking as blocking
    from gym_core.contract.tools import isolated as isolated
    from gym_core.contract.tools import tool as tool
    from gym_core.domain.conversation import ModelCall as ModelCall
    from gym_core.domain.conversation import ToolRun as ToolRun
    from gym_core.domain.errors import GymError as GymError
    from gym_core.domain.errors import ModelError as ModelError
    from gym_core.domain.errors import UsageError as UsageError
    from gym_core.domain.group import Group as Group
    from gym_core.domain.json_text import JsonError as JsonError
    from gym_core.domain.json_text import encode_json as encode_json
    from gym_core.domain.json_text import parse_json as parse_json
    from gym_core.domain.parts import Content as Content
    from gym_core.domain.parts import Part as Part
    from gym_core.domain.parts import audio_part as audio_part
    from gym_core.domain.parts import file_part as file_part
    from gym_core.domain.parts import image_part as image_part
    from gym_core.domain.parts import text_part as text_part
    from gym_core.domain.responses import FunctionCall as FunctionCall
    from gym_core.domain.responses import FunctionCallOutput as FunctionCallOutput
    from gym_core.domain.responses import Item as Item
    from gym_core.domain.responses import Request as Request
    from gym_core.domain.responses import Response as Response
    from gym_core.domain.responses import Usage as Usage
    from gym_core.domain.responses import user_message as user_message
    from gym_core.domain.rollout import Rollout as Rollout
    from gym_core.domain.rollout import Status as Status
    from gym_core.domain.rollout import ToolCall as ToolCall
    from gym_core.domain.rollout import Trajectory as Trajectory
    from gym_core.domain.rollout import Verdict as Verdict
    from gym_core.domain.sampling import Sampling as Sampling
    from gym_core.domain.sequences import TokenSequence as TokenSequence
    from gym_core.domain.stop_reasons import StopReason as StopReason
    from gym_core.domain.task import Task as Task
    from gym_core.domain.tokens import CallTokens as CallTokens
    from gym_core.domain.tokens import Tokens as Tokens
    from gym_core.engine.api import collect as collect
    from gym_core.engine.api import collect_groups as collect_groups
    from gym_core.engine.api import open as open
    from gym_core.engine.api import run as run
    from gym_core.engine.api import run_sync as run_sync
    from gym_core.engine.bounds.deadlines import Deadlines as Deadlines
    from gym_core.engine.config import GymSettings as GymSettings
    from gym_core.engine.config import RunSettings as RunSettings
    from gym_core.engine.open_engine.gym import Gym as Gym
    from gym_core.engine.open_engine.gym import Spent as Spent
    from gym_core.engine.open_engine.mixing import mix as mix
    from gym_core.engine.run.result import RunResult as RunResult
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
    __all__ += ["__version__"]
