"""The second public tier, for those who extend gym itself: what executors, servers and further doors are built from.

Authors of models, environments and agents need nothing of it. It is versioned with the contract. Names are imported
when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core.lazy import lazy_names as lazy_names

if TYPE_CHECKING:
    from gym_core.cli.boundary import run_command as run_command
    from gym_core.cli.component_options import component_config_options as component_config_options
    from gym_core.cli.component_options import read_components as read_components
    from gym_core.cli.export_file import csv_lines as csv_lines
    from gym_core.cli.install import DECLINED as DECLINED
    from gym_core.cli.install import agreed as agreed
    from gym_core.cli.install import show_plan as show_plan
    from gym_core.cli.install import show_plugins as show_plugins
    from gym_core.cli.installer import Change as Change
    from gym_core.cli.installer import find_installer as find_installer
    from gym_core.cli.interrupts import Interrupts as Interrupts
    from gym_core.cli.lazy import LazyGroup as LazyGroup
    from gym_core.cli.parameters import SECONDS as SECONDS
    from gym_core.cli.parameters import component_options as component_options
    from gym_core.cli.parameters import component_settings as component_settings
    from gym_core.cli.parameters import concurrency_option as concurrency_option
    from gym_core.cli.parameters import debug_option as debug_option
    from gym_core.cli.parameters import disable_option as disable_option
    from gym_core.cli.parameters import given_deadlines as given_deadlines
    from gym_core.cli.parameters import given_options as given_options
    from gym_core.cli.parameters import json_option as json_option
    from gym_core.cli.parameters import parse_models as parse_models
    from gym_core.cli.parameters import parse_settings as parse_settings
    from gym_core.cli.parameters import sandbox_option as sandbox_option
    from gym_core.cli.parameters import sandbox_settings as sandbox_settings
    from gym_core.cli.parameters import setting_option as setting_option
    from gym_core.cli.parameters import task_id_option as task_id_option
    from gym_core.cli.parameters import timeout_options as timeout_options
    from gym_core.cli.reward_lines import breakdown_lines as breakdown_lines
    from gym_core.cli.reward_lines import mean_text as mean_text
    from gym_core.cli.running import logged as logged
    from gym_core.cli.terminal import Terminal as Terminal
    from gym_core.cli.terminal import open_console as open_console
    from gym_core.cli.terminal import pass_shared_terminal as pass_shared_terminal
    from gym_core.cli.terminal import pass_terminal as pass_terminal
    from gym_core.cli.terminal import styled as styled
    from gym_core.cli.terminal import written as written
    from gym_core.cli.where import Condition as Condition
    from gym_core.contract.agent import checked_stop as checked_stop
    from gym_core.contract.executor import ExecutorProvider as ExecutorProvider
    from gym_core.contract.executor import Finished as Finished
    from gym_core.contract.executor import RolloutExecutor as RolloutExecutor
    from gym_core.contract.formats import Column as Column
    from gym_core.contract.formats import Exporter as Exporter
    from gym_core.contract.formats import ExportRequest as ExportRequest
    from gym_core.contract.formats import ImportedRun as ImportedRun
    from gym_core.contract.formats import Importer as Importer
    from gym_core.contract.formats import ImportRequest as ImportRequest
    from gym_core.contract.formats import Json as Json
    from gym_core.contract.gateway import no_gateway as no_gateway
    from gym_core.contract.hookspecs import RunControl as RunControl
    from gym_core.contract.resource_server import OpenSession as OpenSession
    from gym_core.contract.resource_server import ServerT as ServerT
    from gym_core.contract.resource_server import session_info as session_info
    from gym_core.contract.runner import checked_completion as checked_completion
    from gym_core.contract.strict_schemas import can_be_strict as can_be_strict
    from gym_core.contract.tools import NAME_PATTERN as NAME_PATTERN
    from gym_core.contract.tools import BoundTool as BoundTool
    from gym_core.contract.tools import class_tools as class_tools
    from gym_core.domain.abandoned import GRACE as GRACE
    from gym_core.domain.abandoned import within as within
    from gym_core.domain.arguments import ArgumentError as ArgumentError
    from gym_core.domain.arguments import arguments_text as arguments_text
    from gym_core.domain.arguments import is_whole as is_whole
    from gym_core.domain.arguments import parse_arguments as parse_arguments
    from gym_core.domain.blame import as_exception as as_exception
    from gym_core.domain.blame import asked_to_end as asked_to_end
    from gym_core.domain.blame import described as described
    from gym_core.domain.blame import message_of as message_of
    from gym_core.domain.blame import unwrapped as unwrapped
    from gym_core.domain.chat.tools import with_flat_tools as with_flat_tools
    from gym_core.domain.conversation import MAIN as MAIN
    from gym_core.domain.conversation import ModelCall as ModelCall
    from gym_core.domain.conversation import ToolRun as ToolRun
    from gym_core.domain.conversation import answers_that_stand as answers_that_stand
    from gym_core.domain.conversation import path_length as path_length
    from gym_core.domain.conversation import places_of as places_of
    from gym_core.domain.conversation import read_model_calls as read_model_calls
    from gym_core.domain.conversation import shown_to as shown_to
    from gym_core.domain.error_json import error_json as error_json
    from gym_core.domain.errors import writable as writable
    from gym_core.domain.finish import ending as ending
    from gym_core.domain.foreign_verdict import NotMeasured as NotMeasured
    from gym_core.domain.foreign_verdict import check_measured as check_measured
    from gym_core.domain.foreign_verdict import is_number as is_number
    from gym_core.domain.foreign_verdict import read_verdict as read_verdict
    from gym_core.domain.foreign_verdict import without_failure as without_failure
    from gym_core.domain.json_text import PackedIntegers as PackedIntegers
    from gym_core.domain.json_text import plain_json as plain_json
    from gym_core.domain.json_text import what_it_is as what_it_is
    from gym_core.domain.nearest import did_you_mean as did_you_mean
    from gym_core.domain.nearest import nearest as nearest
    from gym_core.domain.nearest import suggestion as suggestion
    from gym_core.domain.parts import describe_part as describe_part
    from gym_core.domain.parts import shorten_data as shorten_data
    from gym_core.domain.proxies import ProxyError as ProxyError
    from gym_core.domain.proxies import environment_proxy as environment_proxy
    from gym_core.domain.quoting import one_line as one_line
    from gym_core.domain.quoting import quote as quote
    from gym_core.domain.responses import call_id_of as call_id_of
    from gym_core.domain.responses import content_parts as content_parts
    from gym_core.domain.responses import id_text as id_text
    from gym_core.domain.sampling import BACKEND_FIELDS as BACKEND_FIELDS
    from gym_core.domain.sampling import read_sampling as read_sampling
    from gym_core.domain.sampling import sampling_fields as sampling_fields
    from gym_core.domain.sequences import token_sequences as token_sequences
    from gym_core.domain.sequences import with_tokens_on_items as with_tokens_on_items
    from gym_core.domain.task import REQUEST_FIELD as REQUEST_FIELD
    from gym_core.domain.task import RESULT_FIELDS as RESULT_FIELDS
    from gym_core.domain.task import check_row as check_row
    from gym_core.domain.task import own_task_id as own_task_id
    from gym_core.domain.task import without_result as without_result
    from gym_core.domain.tokens import TOKEN_FIELDS as TOKEN_FIELDS
    from gym_core.domain.tokens import tokens_on as tokens_on
    from gym_core.domain.tool_calls import sent_request as sent_request
    from gym_core.domain.tool_calls import whole_call as whole_call
    from gym_core.engine.assembly import Assembler as Assembler
    from gym_core.engine.bounds.alarms import NEVER as NEVER
    from gym_core.engine.bounds.alarms import Alarm as Alarm
    from gym_core.engine.bounds.alarms import Scope as Scope
    from gym_core.engine.bounds.alarms import Watch as Watch
    from gym_core.engine.bounds.deadlines import DeadlineExceeded as DeadlineExceeded
    from gym_core.engine.bounds.deadlines import Deadlines as Deadlines
    from gym_core.engine.child_processes.child import read_message as read_message
    from gym_core.engine.child_processes.child import when_let_go as when_let_go
    from gym_core.engine.child_processes.child import write_message as write_message
    from gym_core.engine.child_processes.parent import ChildProcess as ChildProcess
    from gym_core.engine.child_processes.parent import ErrorLines as ErrorLines
    from gym_core.engine.child_processes.parent import NoAnswer as NoAnswer
    from gym_core.engine.child_processes.parent import how_ended as how_ended
    from gym_core.engine.config import RunConfig as RunConfig
    from gym_core.engine.config import run_config as run_config
    from gym_core.engine.events.logs import log_rollout as log_rollout
    from gym_core.engine.executors.inline import InlineExecutor as InlineExecutor
    from gym_core.engine.executors.results import Results as Results
    from gym_core.engine.exit import leave as leave
    from gym_core.engine.functions.executor import Executor as Executor
    from gym_core.engine.functions.loading import load_in_thread as load_in_thread
    from gym_core.engine.functions.loading import too_slow as too_slow
    from gym_core.engine.loops import run_loop as run_loop
    from gym_core.engine.loops import seldom_collected as seldom_collected
    from gym_core.engine.metrics.breakdown import field_value as field_value
    from gym_core.engine.metrics.columns import FLAT_COLUMNS as FLAT_COLUMNS
    from gym_core.engine.metrics.columns import FLAT_FAMILIES as FLAT_FAMILIES
    from gym_core.engine.metrics.columns import flat_row as flat_row
    from gym_core.engine.metrics.intervals import student_t as student_t
    from gym_core.engine.metrics.rewards import RewardTally as RewardTally
    from gym_core.engine.metrics.statistics import SUCCESS as SUCCESS
    from gym_core.engine.metrics.statistics import ClusteredMean as ClusteredMean
    from gym_core.engine.metrics.statistics import pass_at_k as pass_at_k
    from gym_core.engine.metrics.statistics import powers_of_two as powers_of_two
    from gym_core.engine.metrics.statistics import rounded as rounded
    from gym_core.engine.model_calls.budget import Budget as Budget
    from gym_core.engine.model_calls.budget import make_meters as make_meters
    from gym_core.engine.model_calls.gate import BoundModel as BoundModel
    from gym_core.engine.model_calls.gate import Clock as Clock
    from gym_core.engine.model_calls.gate import ModelGate as ModelGate
    from gym_core.engine.model_calls.gate import Models as Models
    from gym_core.engine.model_calls.rate_limits import Limiter as Limiter
    from gym_core.engine.model_calls.rate_limits import Limiters as Limiters
    from gym_core.engine.observers.watchdog import LoopHealth as LoopHealth
    from gym_core.engine.open_engine.opening import open_rollouts as open_rollouts
    from gym_core.engine.open_engine.rollouts import Rollouts as Rollouts
    from gym_core.engine.open_files import allow_open_files as allow_open_files
    from gym_core.engine.preflight import check_models as check_models
    from gym_core.engine.rollout.agent_rollout import conversation as conversation
    from gym_core.engine.rollout.agent_rollout import run_rollout as run_rollout
    from gym_core.engine.rollout.failure import Failure as Failure
    from gym_core.engine.rollout.failure import blame_row as blame_row
    from gym_core.engine.rollout.group import group_verdicts as group_verdicts
    from gym_core.engine.rollout.group import score_group as score_group
    from gym_core.engine.rollout.live_session import LiveSession as LiveSession
    from gym_core.engine.rollout.rollout_run import RolloutRun as RolloutRun
    from gym_core.engine.rollout.rollout_run import carry_out as carry_out
    from gym_core.engine.rollout.rollout_run import derive_seed as derive_seed
    from gym_core.engine.rollout.row import unwritable as unwritable
    from gym_core.engine.rollout.runner_rollout import NoEnvironment as NoEnvironment
    from gym_core.engine.rollout.stage import LazyGateway as LazyGateway
    from gym_core.engine.rollout.stage import Stage as Stage
    from gym_core.engine.rollout.verify import checked_verdict as checked_verdict
    from gym_core.engine.run.opening import Opened as Opened
    from gym_core.engine.run.opening import open_run as open_run
    from gym_core.engine.run.run import Run as Run
    from gym_core.engine.staging import beginning as beginning
    from gym_core.engine.staging import make_gates as make_gates
    from gym_core.engine.staging import open_stage as open_stage
    from gym_core.engine.standard_streams import print_plainly as print_plainly
    from gym_core.engine.storage.collisions import refuse_writes_to_runs as refuse_writes_to_runs
    from gym_core.engine.storage.collisions import rows_beside as rows_beside
    from gym_core.engine.storage.encoded import EncodedRollout as EncodedRollout
    from gym_core.engine.storage.groups import GroupLines as GroupLines
    from gym_core.engine.storage.manifest import Manifest as Manifest
    from gym_core.engine.storage.reading import ResultsFile as ResultsFile
    from gym_core.engine.storage.reading import StoredRow as StoredRow
    from gym_core.engine.storage.reading import StoredRows as StoredRows
    from gym_core.engine.storage.reading import files_of_results as files_of_results
    from gym_core.engine.storage.requests import SharedRequest as SharedRequest
    from gym_core.engine.storage.requests import StoredRequests as StoredRequests
    from gym_core.engine.storage.store import Outputs as Outputs
    from gym_core.engine.storage.summary import recounted as recounted
    from gym_core.engine.storage.summary import remedy as remedy
    from gym_core.engine.tasks.input_file import open_input as open_input
    from gym_core.engine.tasks.job import Job as Job
    from gym_core.engine.tasks.keys import content_id as content_id
    from gym_core.engine.tasks.keys import named_by as named_by
    from gym_core.engine.tasks.read_source import input_source as input_source
    from gym_core.engine.tasks.source import server_source as server_source
    from gym_core.wiring.config_file import Configured as Configured
    from gym_core.wiring.config_file import split_roles as split_roles
    from gym_core.wiring.data_folder import HOME_VARIABLE as HOME_VARIABLE
    from gym_core.wiring.data_folder import data_folder as data_folder
    from gym_core.wiring.description import RECORDED as RECORDED
    from gym_core.wiring.description import describe_component as describe_component
    from gym_core.wiring.discovery import DISABLE_VARIABLE as DISABLE_VARIABLE
    from gym_core.wiring.discovery import find_plugins as find_plugins
    from gym_core.wiring.dotenv import load_dotenv as load_dotenv
    from gym_core.wiring.fields import is_secret_field as is_secret_field
    from gym_core.wiring.fields import option_fields as option_fields
    from gym_core.wiring.foreign_code import LoadFailure as LoadFailure
    from gym_core.wiring.foreign_code import changed_variables as changed_variables
    from gym_core.wiring.foreign_code import loading as loading
    from gym_core.wiring.foreign_code import model_keys as model_keys
    from gym_core.wiring.kinds import MAY_BE_ELSEWHERE as MAY_BE_ELSEWHERE
    from gym_core.wiring.kinds import Kind as Kind
    from gym_core.wiring.known import is_known as is_known
    from gym_core.wiring.known import known_owner as known_owner
    from gym_core.wiring.making import Maker as Maker
    from gym_core.wiring.making import construct as construct
    from gym_core.wiring.making import enter as enter
    from gym_core.wiring.making import place_of as place_of
    from gym_core.wiring.manager import Loaded as Loaded
    from gym_core.wiring.manager import PluginManager as PluginManager
    from gym_core.wiring.metadata import TEST_INSTALLER as TEST_INSTALLER
    from gym_core.wiring.metadata import Damage as Damage
    from gym_core.wiring.metadata import canonical as canonical
    from gym_core.wiring.metadata import requested_name as requested_name
    from gym_core.wiring.options import Resolved as Resolved
    from gym_core.wiring.options import resolve_options as resolve_options
    from gym_core.wiring.options import texts_within as texts_within
    from gym_core.wiring.plugin import Plugin as Plugin
    from gym_core.wiring.plugin_source import Installation as Installation
    from gym_core.wiring.plugin_source import PluginSource as PluginSource
    from gym_core.wiring.plugin_source import VenvMissing as VenvMissing
    from gym_core.wiring.reference import Reference as Reference
    from gym_core.wiring.reference import located as located
    from gym_core.wiring.secrets import MASK as MASK
    from gym_core.wiring.secrets import Redactor as Redactor
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "gym_core.cli.boundary": "run_command",
            "gym_core.cli.component_options": "component_config_options read_components",
            "gym_core.cli.export_file": "csv_lines",
            "gym_core.cli.install": "DECLINED agreed show_plan show_plugins",
            "gym_core.cli.installer": "Change find_installer",
            "gym_core.cli.interrupts": "Interrupts",
            "gym_core.cli.lazy": "LazyGroup",
            "gym_core.cli.parameters": "SECONDS component_options component_settings concurrency_option debug_option "
            "disable_option given_deadlines given_options json_option parse_models parse_settings sandbox_option "
            "sandbox_settings setting_option task_id_option timeout_options",
            "gym_core.cli.reward_lines": "breakdown_lines mean_text",
            "gym_core.cli.running": "logged",
            "gym_core.cli.terminal": "Terminal open_console pass_shared_terminal pass_terminal styled written",
            "gym_core.cli.where": "Condition",
            "gym_core.contract.agent": "checked_stop",
            "gym_core.contract.executor": "ExecutorProvider Finished RolloutExecutor",
            "gym_core.contract.formats": "Column ExportRequest Exporter ImportRequest ImportedRun Importer Json",
            "gym_core.contract.gateway": "no_gateway",
            "gym_core.contract.hookspecs": "RunControl",
            "gym_core.contract.resource_server": "OpenSession ServerT session_info",
            "gym_core.contract.runner": "checked_completion",
            "gym_core.contract.strict_schemas": "can_be_strict",
            "gym_core.contract.tools": "BoundTool NAME_PATTERN class_tools",
            "gym_core.domain.abandoned": "GRACE within",
            "gym_core.domain.arguments": "ArgumentError arguments_text is_whole parse_arguments",
            "gym_core.domain.blame": "as_exception asked_to_end described message_of unwrapped",
            "gym_core.domain.chat.tools": "with_flat_tools",
            "gym_core.domain.conversation": "MAIN ModelCall ToolRun answers_that_stand path_length places_of "
            "read_model_calls shown_to",
            "gym_core.domain.error_json": "error_json",
            "gym_core.domain.errors": "writable",
            "gym_core.domain.finish": "ending",
            "gym_core.domain.foreign_verdict": "NotMeasured check_measured is_number read_verdict without_failure",
            "gym_core.domain.json_text": "PackedIntegers plain_json what_it_is",
            "gym_core.domain.nearest": "did_you_mean nearest suggestion",
            "gym_core.domain.parts": "describe_part shorten_data",
            "gym_core.domain.proxies": "ProxyError environment_proxy",
            "gym_core.domain.quoting": "one_line quote",
            "gym_core.domain.responses": "call_id_of content_parts id_text",
            "gym_core.domain.sampling": "BACKEND_FIELDS read_sampling sampling_fields",
            "gym_core.domain.sequences": "token_sequences with_tokens_on_items",
            "gym_core.domain.task": "REQUEST_FIELD RESULT_FIELDS check_row own_task_id without_result",
            "gym_core.domain.tokens": "TOKEN_FIELDS tokens_on",
            "gym_core.domain.tool_calls": "sent_request whole_call",
            "gym_core.engine.assembly": "Assembler",
            "gym_core.engine.bounds.alarms": "Alarm NEVER Scope Watch",
            "gym_core.engine.bounds.deadlines": "DeadlineExceeded Deadlines",
            "gym_core.engine.child_processes.child": "read_message when_let_go write_message",
            "gym_core.engine.child_processes.parent": "ChildProcess ErrorLines NoAnswer how_ended",
            "gym_core.engine.config": " RunConfig run_config",
            "gym_core.engine.events.logs": "log_rollout",
            "gym_core.engine.executors.inline": "InlineExecutor",
            "gym_core.engine.executors.results": "Results",
            "gym_core.engine.exit": "leave",
            "gym_core.engine.functions.executor": "Executor",
            "gym_core.engine.functions.loading": "load_in_thread too_slow",
            "gym_core.engine.loops": "run_loop seldom_collected",
            "gym_core.engine.metrics.breakdown": "field_value",
            "gym_core.engine.metrics.columns": "FLAT_COLUMNS FLAT_FAMILIES flat_row",
            "gym_core.engine.metrics.intervals": "student_t",
            "gym_core.engine.metrics.rewards": "RewardTally",
            "gym_core.engine.metrics.statistics": "ClusteredMean SUCCESS pass_at_k powers_of_two rounded",
            "gym_core.engine.model_calls.budget": "Budget make_meters",
            "gym_core.engine.model_calls.gate": "BoundModel Clock ModelGate Models",
            "gym_core.engine.model_calls.rate_limits": "Limiter Limiters",
            "gym_core.engine.observers.watchdog": "LoopHealth",
            "gym_core.engine.open_files": "allow_open_files",
            "gym_core.engine.preflight": "check_models",
            "gym_core.engine.open_engine.opening": " open_rollouts",
            "gym_core.engine.open_engine.rollouts": "Rollouts",
            "gym_core.engine.rollout.agent_rollout": "conversation run_rollout",
            "gym_core.engine.rollout.failure": "Failure blame_row",
            "gym_core.engine.rollout.group": "group_verdicts score_group",
            "gym_core.engine.rollout.live_session": "LiveSession",
            "gym_core.engine.rollout.rollout_run": "RolloutRun carry_out derive_seed",
            "gym_core.engine.rollout.row": "unwritable",
            "gym_core.engine.rollout.runner_rollout": "NoEnvironment",
            "gym_core.engine.rollout.stage": "LazyGateway Stage",
            "gym_core.engine.rollout.verify": "checked_verdict",
            "gym_core.engine.run.opening": "Opened open_run",
            "gym_core.engine.run.run": "Run",
            "gym_core.engine.staging": "beginning make_gates open_stage",
            "gym_core.engine.standard_streams": "print_plainly",
            "gym_core.engine.storage.collisions": "refuse_writes_to_runs rows_beside",
            "gym_core.engine.storage.encoded": "EncodedRollout",
            "gym_core.engine.storage.groups": "GroupLines",
            "gym_core.engine.storage.manifest": "Manifest",
            "gym_core.engine.storage.reading": "ResultsFile StoredRow StoredRows files_of_results",
            "gym_core.engine.storage.requests": "SharedRequest StoredRequests",
            "gym_core.engine.storage.store": "Outputs",
            "gym_core.engine.storage.summary": "recounted remedy",
            "gym_core.engine.tasks.input_file": "open_input",
            "gym_core.engine.tasks.job": "Job",
            "gym_core.engine.tasks.keys": "content_id named_by",
            "gym_core.engine.tasks.read_source": "input_source",
            "gym_core.engine.tasks.source": "server_source",
            "gym_core.wiring.config_file": "Configured split_roles",
            "gym_core.wiring.description": "RECORDED describe_component",
            "gym_core.wiring.discovery": "DISABLE_VARIABLE find_plugins",
            "gym_core.wiring.dotenv": "load_dotenv",
            "gym_core.wiring.fields": "is_secret_field option_fields",
            "gym_core.wiring.foreign_code": "LoadFailure changed_variables loading model_keys",
            "gym_core.wiring.data_folder": "HOME_VARIABLE data_folder",
            "gym_core.wiring.kinds": "Kind MAY_BE_ELSEWHERE",
            "gym_core.wiring.known": "is_known known_owner",
            "gym_core.wiring.making": "Maker construct enter place_of",
            "gym_core.wiring.manager": "Loaded PluginManager",
            "gym_core.wiring.metadata": "Damage TEST_INSTALLER canonical requested_name",
            "gym_core.wiring.options": "Resolved resolve_options texts_within",
            "gym_core.wiring.plugin": "Plugin",
            "gym_core.wiring.plugin_source": "VenvMissing Installation PluginSource",
            "gym_core.wiring.reference": "Reference located",
            "gym_core.wiring.secrets": "MASK Redactor",
        },
    )
