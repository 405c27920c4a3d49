"""What the page gets: every answer of the API as a type.

All requests are GET, to the page's own origin, with the cookie that the first request set. `RUN` is the `id` of a
`RunEntry`, `N` the `n` of a `RolloutEntry`; both go into a path as they are. An answer with a status other than 200 is
a `Problem`. Times of day are seconds since 1970 in UTC, durations seconds, costs US dollars; None (null) is what is not
known. A list that pages takes `offset` and `limit` and says how many there are.

=================================================  =================================================================
request                                            answer
=================================================  =================================================================
`/api/runs`                                        `Runs`
`/api/runs/RUN`                                    `RunView`
`/api/runs/RUN/rollouts?...`                       `Rollouts`; see `Rollouts` for the query
`/api/runs/RUN/tasks?text=&sort=&offset=&limit=`   `Tasks`; `sort`: `task`, `reward`, `rollouts`, `failed`, `spread`
`/api/runs/RUN/by?field=FIELD`                     `ByField`, of a name in `RunView.fields`
`/api/runs/RUN/health`                             `Health`
`/api/runs/RUN/events`                             server-sent events, see `Progress`, `Added`
`/api/runs/RUN/rollouts/N`                         `RolloutView`
`/api/runs/RUN/rollouts/N/items?branch=&offset=`   `Items` (also `limit=`)
`/api/runs/RUN/rollouts/N/items/PLACE`             `ItemView` with nothing cut
`/api/runs/RUN/rollouts/N/spans?offset=&limit=`    `Spans`
`/api/runs/RUN/rollouts/N/tokens?sequence=`        `TokensView` (also `offset=`, `limit=`)
`/api/runs/RUN/rollouts/N/raw`                     the row itself, as it stands in its file
`/api/compare?a=RUN&b=RUN`                         `Comparison` (also `sort=`, `offset=`, `limit=`)
`/api/compare/rollouts?a=RUN&n=N&b=RUN&m=N`        `RolloutPair`
=================================================  =================================================================

`sort` is a name, with `-` before it for the highest first. The events of `/events` are named `progress` (data:
`Progress`), `added` (data: `Added`) and `replaced` (the file is another one now: everything is to be asked anew).

An exported page has the same code and no server: the element `<script type="application/json" id="gym-data">` holds an
`Embedded`, and answers stand in it by the path of the request without its query. Modules of the page are put into one
script then, so they keep to a plain form: `import { a, b } from "./x.js";` on one line, `export` before a `function`,
`class` or `const` only, nothing exported that changes later, no circle, no `await` at the top level.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Problem(TypedDict):
    """Why there is no answer: one sentence, and what to do."""

    error: str
    hint: str


class Reward(TypedDict):
    """`interval_95`: lowest and highest; None where there are too few tasks for one."""

    mean: float
    standard_error: float | None
    interval_95: list[float] | None


class RunEntry(TypedDict):
    """A run in the list.

    `name`: its path within the folder, without `.jsonl`. `state`: `running`, `finished`, `stopped` (an error or a
    budget), `interrupted`, `cut` (it was killed) or `unreadable`, with a `problem`. `rollouts`: those with a verdict,
    of `planned` ones.
    """

    id: str
    name: str
    path: str
    state: Literal["running", "finished", "stopped", "interrupted", "cut", "unreadable"]
    problem: str
    started: float
    run_id: str | None
    model: str | None
    env: str | None
    agent: str | None
    planned: int | None
    rollouts: int | None
    failed: int | None
    reward: Reward | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None


class Runs(TypedDict):
    """The runs of a folder, the one that was started last first. `selected`: the id of the one that was asked for."""

    folder: str
    selected: str | None
    runs: list[RunEntry]


class Indexing(TypedDict):
    """How far the files of a run have been read: bytes. What is told is of these alone until `done` is `total`."""

    done: int
    total: int


class Histogram(TypedDict):
    """How often which value came: of `reward`, or of a component.

    `bins`: counts of equal stretches from `low` to `high`; where few different values came, `values` has them instead
    as `[value, count]`, and `bins` is empty. `mean`, `standard_error`: as in the summary.
    """

    name: str
    count: int
    low: float
    high: float
    bins: list[int]
    values: list[tuple[float, int]]
    mean: float | None
    standard_error: float | None


class Cause(TypedDict):
    """Failures with one cause. `example`: the message of the first; `remedy`: what to do, empty where nobody knows.

    `where` selects them in a list of rollouts, as its query `cause`.
    """

    status: str
    error_class: str
    phase: str
    count: int
    example: str
    remedy: str
    where: str


class Moment(TypedDict):
    """What finished within a stretch of time that begins at `at`.

    `rollouts`: with a verdict; `failed`: without. `reward`, `seconds`, `model_seconds`: means, None of nothing.
    """

    at: float
    rollouts: int
    failed: int
    reward: float | None
    seconds: float | None
    model_seconds: float | None
    input_tokens: int
    output_tokens: int


class OverTime(TypedDict):
    """`width`: seconds of each of the `moments`, which follow one another without gaps."""

    width: float
    moments: list[Moment]


class FieldEntry(TypedDict):
    """A field of the tasks, or of the info of verdicts, by which rewards can be broken down: its `name`, how many
    rollouts have it, and how many different values there are (`more`: at least so many).
    """

    name: str
    rollouts: int
    values: int
    more: bool


class Progress(TypedDict):
    """How a run is doing. `per_second`: rollouts of late; `seconds_left`: until all are done, where that is known.

    `indexing`: how far its files are read. `waiting`: who waits for what, as text for people, where the run can be
    asked: it has the extension `ctl`.
    """

    state: str
    planned: int | None
    rollouts: int
    failed: int
    reward: float | None
    per_second: float | None
    seconds_left: float | None
    indexing: Indexing
    waiting: list[str]


class RunView(TypedDict):
    """A run.

    `manifest`, `summary`: the files as they are, None without one; `account`: what the rollouts that are here come to,
    in the shape of a summary (`reward` with `components` and `pass@k`, `usage`, `cost`, `tools`, `errors`, `metrics`),
    None where there is none. `statuses`, `stop_reasons`: how many rollouts have each. `components`: the names of the
    reward's parts. `actors`: how many model calls each made. `files`: of the run, with their sizes in bytes.
    `has_tokens`: whether any rollout has exact tokens. `torn`: whether the last line is unfinished. `notes`: what is
    odd about the files, in sentences.
    """

    entry: RunEntry
    manifest: dict[str, Any] | None
    summary: dict[str, Any] | None
    account: dict[str, Any] | None
    progress: Progress
    histograms: list[Histogram]
    statuses: dict[str, int]
    stop_reasons: dict[str, int]
    components: list[str]
    actors: dict[str, int]
    causes: list[Cause]
    time: OverTime
    fields: list[FieldEntry]
    paths: Paths
    tasks: int
    repeats: int
    has_tokens: bool
    torn: bool
    notes: list[str]
    files: list[FileEntry]


class Paths(TypedDict):
    """Where in a row a field stands. `component`, `info`: what the path of a component of the reward begins with, and
    of what the verifier kept; `rollout`: the paths of what every rollout has.
    """

    component: str
    info: str
    rollout: list[str]


class FileEntry(TypedDict):
    """A file of a run."""

    name: str
    bytes: int


class HealthPlace(TypedDict):
    """A rollout to look at, and what is said of it."""

    n: str
    task_id: str
    repeat: int
    detail: str


class HealthFinding(TypedDict):
    """Something that looks wrong, as `gym health` says it: in `count` of `of`, some of which are `rollouts`."""

    check: str
    text: str
    count: int
    of: int
    rollouts: list[HealthPlace]


class Health(TypedDict):
    """What looks wrong with the rollouts that have a verdict. `looked_at`: how many; None where the rows are too many
    to be read while a page waits, and `command` finds them.
    """

    looked_at: int | None
    findings: list[HealthFinding]
    command: str


class RolloutError(TypedDict):
    """What failed, in short."""

    error_class: str
    phase: str
    message: str


class RolloutEntry(TypedDict):
    """A rollout in a list.

    `n`: a row by its place, from `1`, as `gym show RUN N` counts them; a failure as `f` and its line. `fields`: those
    fields of its task, and under `rollout.info.` of its verdict's info, that are short, by name. `values`: what stands
    in the columns that were asked for, by their paths; what is long is cut, and what is not there may be missing.
    `group_reward`: what the environment gave it beside the others of its task, None where it gave nothing. `seconds`:
    of the whole rollout, `model_seconds` of its model calls.
    """

    n: str
    task_id: str
    repeat: int
    attempt: int
    status: str
    stop_reason: str | None
    reward: float | None
    group_reward: float | None
    components: dict[str, float]
    error: RolloutError | None
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float
    model_seconds: float
    waited_seconds: float
    finished_at: float
    model_calls: int
    tool_calls: int
    tool_errors: int
    has_tokens: bool
    fields: dict[str, Any]
    values: dict[str, Any]


class UnknownField(TypedDict):
    """A field of a condition that no row has; `like`: the paths of those that may have been meant."""

    field: str
    like: list[str]


class Search(TypedDict):
    """How far a search has come that has to read the rows themselves, in rollouts; done when both are the same.

    Asked again, it goes on. `where`: the conditions with the whole paths of their fields; `unknown`: once it is done.
    """

    searched: int
    of: int
    where: list[str]
    unknown: list[UnknownField]


class Neighbours(TypedDict):
    """What stands before and after a rollout in a list; by what is found so far, where it is searched for."""

    previous: str | None
    next: str | None
    search: Search | None


class Rollouts(TypedDict):
    """The rollouts that are asked for. `total`: all of the run; `matched`: those that the query selects.

    Query, all optional and together: `status=` (repeatable; `failed` for all without a verdict), `min_reward=`,
    `max_reward=`, `task=` (its id, or a part of it), `repeat=`, `stop_reason=` (repeatable), `cause=` (of a `Cause`),
    `actor=`, `text=` (anywhere in the row), `where=` (repeatable: `FIELD=VALUE` with `=`, `!=`, `<`, `>`, `<=`, `>=` or
    `~`, as `gym show --where` takes them), `sort=`, `offset=`, `limit=` (100 at most 1000). `sort`: `n`, `reward`,
    `task`, `status`, `seconds`, `model_seconds`, `tokens`, `cost`, `finished`, `model_calls`, `tool_calls`, or
    `component:NAME` and `field:NAME` (of an entry's `fields`). `column=` (repeatable): the path of a field that is
    wanted in each entry's `values`, as in `where`. `search`: None unless `text` or `where` has to read rows.
    """

    total: int
    matched: int
    offset: int
    rollouts: list[RolloutEntry]
    search: Search | None


class TaskEntry(TypedDict):
    """The rollouts of a task. `reward`: their mean; `lowest`, `highest`; `repeats`: each rollout in short."""

    task_id: str
    reward: float | None
    lowest: float | None
    highest: float | None
    rollouts: int
    failed: int
    repeats: list[RepeatEntry]


class RepeatEntry(TypedDict):
    """One rollout of a task."""

    n: str
    repeat: int
    status: str
    reward: float | None


class Tasks(TypedDict):
    """Rewards by task."""

    total: int
    offset: int
    tasks: list[TaskEntry]


class FieldValue(TypedDict):
    """The rollouts whose tasks have a value. `left_out`: those that failed."""

    value: str
    mean: float | None
    standard_error: float | None
    rollouts: int
    left_out: int


class ByField(TypedDict):
    """Rewards by the values of a field; `others`: how many values are not among them."""

    field: str
    values: list[FieldValue]
    others: int


class Added(TypedDict):
    """Rollouts that have finished since the last event: how many, and the last ones."""

    added: int
    rollouts: list[RolloutEntry]


class Part(TypedDict):
    """A part of what was said.

    `kind`: `text`, `refusal`, `image`, `audio`, `file` or `json` (anything else). `text`: of a text, of a `json` its
    indented JSON, else what it is in words. `url`: a `data:` URL of an image that may be shown; other URLs are only
    ever text. `cut`: how many characters it has, where not all of them are here.
    """

    kind: str
    text: str
    url: NotRequired[str]
    cut: NotRequired[int]


class ItemView(TypedDict):
    """An item of a conversation.

    `place`: where it stands in the rollout. `kind`: `message`, `reasoning`, `function_call`, `function_call_output`, or
    what else the server called it. `role`: of a message. `turn`: which answer of the actor gave it, from 1; None for
    what it was shown. `call`: the number of that model call. `again`: it stood in an earlier branch already. Of a tool
    call: `name`, `call_id`, `arguments` (indented JSON, or what the model wrote instead; `json`: whether it is some;
    `cut`: how many characters they have, where not all of them are here), `output`: what answered it, an item without
    an output of its own, None where nothing did; `error`: what was wrong with the call; `seconds`: how long it took. An
    output that is beside its call stands nowhere else in the branch. `tokens`: whether this answer has exact tokens.
    """

    place: int
    kind: str
    role: str
    parts: list[Part]
    turn: int | None
    call: int | None
    again: bool
    name: NotRequired[str]
    call_id: NotRequired[str]
    arguments: NotRequired[str]
    json: NotRequired[bool]
    cut: NotRequired[int]
    output: NotRequired[ItemView | None]
    error: NotRequired[str]
    seconds: NotRequired[float]


class Branch(TypedDict):
    """A stretch of an actor's conversation that goes on without a break.

    The branches of an actor are a tree: `parent` is the branch that it goes on from, None for one that begins anew,
    `after` the turn there, and `kept` how many of the `had` items that its conversation had until then it was still
    shown. `items`: how many items are new in it (what `Items` pages through). `turns`: of its answers, first and last,
    None without any. `kind`: `start`, `rewritten` (something that stood before was left out or changed: compaction,
    elided outputs), `retry` (the same was asked again), `rest` (what no model call was shown). `given_up`: whether no
    answer of it was built on.
    """

    id: int
    parent: int | None
    after: int | None
    kept: int
    had: int
    kind: Literal["start", "rewritten", "retry", "rest"]
    items: int
    turns: tuple[int, int] | None
    given_up: bool
    verifies: bool


class Actor(TypedDict):
    """Who spoke with a model. `name`: `policy` is the agent itself; empty for items that nobody was shown."""

    name: str
    role: str
    model: str | None
    model_calls: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    branches: list[Branch]


class Items(TypedDict):
    """The items of a branch, in order."""

    branch: int
    total: int
    offset: int
    items: list[ItemView]


class Span(TypedDict):
    """Something that took time, from `at` seconds after the start of the rollout.

    `kind`: `model`, `tool` or `verify`. `waited`: for a slot and between attempts, before the `seconds`. `turn`,
    `place`: which answer, or which tool call, it was. `broken`: whether what was sampled before came back encoded
    otherwise.
    """

    kind: Literal["model", "tool", "verify"]
    actor: str
    label: str
    at: float
    seconds: float
    waited: float
    attempts: int
    turn: int | None
    place: int | None
    branch: int | None
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    error: str | None
    broken: bool


class Spans(TypedDict):
    """The spans of a rollout by their beginning. `seconds`: of the whole rollout."""

    total: int
    offset: int
    seconds: float
    spans: list[Span]


class VerdictView(TypedDict):
    """`info`: what the verifier kept, as indented JSON. `rewards`: by actor, where there are several. `before`: the
    reward before it was rescored. `group`: what the environment said of it beside the others of its task, if anything.
    """

    reward: float | None
    components: dict[str, float]
    info: str
    rewards: dict[str, float]
    metrics: dict[str, float]
    before: float | None
    group: GroupView | None


class GroupView(TypedDict):
    """What a rollout's group came to for it. `error`: why there is no `reward`, empty where there is one; `info` is
    indented JSON.
    """

    reward: float | None
    components: dict[str, float]
    info: str
    error: str


class ErrorView(TypedDict):
    """What failed. `causes`: what lay beneath, outermost first; `remedy`: what to do, empty where nobody knows."""

    error_class: str
    phase: str
    message: str
    retryable: bool
    http_status: int | None
    field: str | None
    causes: list[str]
    remedy: str


class TaskField(TypedDict):
    """A field of a task. `text`: of a text, else indented JSON; `json`: which of both."""

    name: str
    text: str
    json: bool
    cut: NotRequired[int]


class TaskView(TypedDict):
    """What was asked. `request`: the other fields of the request, and what the model's options set over them; `tools`:
    those that the policy was offered, each with `name`, `description` and its schema as indented JSON.
    """

    task_id: str
    index: int | None
    instructions: str
    fields: list[TaskField]
    request: list[TaskField]
    tools: list[ToolView]


class ToolView(TypedDict):
    """A tool that was offered."""

    name: str
    description: str
    schema: str


class TokensAbout(TypedDict):
    """What a rollout's exact tokens are: how many model calls have some, breaks, calls without, versions of weights."""

    calls: int
    breaks: int
    problems: int
    versions: list[str]


class RolloutView(TypedDict):
    """A rollout. `place`: its file and line. `others`: the other rollouts of the task. `items`: the first items of the
    first branch. `agent`, `model`, `env`: what ran. `command`: how to see it in a terminal.
    """

    run: RunEntry
    entry: RolloutEntry
    place: str
    command: str
    others: list[RepeatEntry]
    task: TaskView
    verdict: VerdictView
    stop_detail: str
    error: ErrorView | None
    actors: list[Actor]
    items: Items | None
    spans: Spans
    tokens: TokensAbout | None
    seed: int | None
    usage: dict[str, Any]
    about: list[TaskField]


class TokenCall(TypedDict):
    """The tokens of one model call: counts of those it read anew, kept and sampled; `problem`: why it has none."""

    call: int
    turn: int
    actor: str
    kept: int
    prompt: int
    sampled: int
    broken: bool
    version: str | None
    problem: str
    mean_logprob: float | None


class SequenceAbout(TypedDict):
    """What a trainer trains on: a branch as tokens, of which `trained` are trained."""

    actor: str
    length: int
    trained: int
    versions: list[str]
    reward: float | None
    turns: list[int]


class TokensView(TypedDict):
    """Exact tokens: those of one sequence, a stretch of them.

    `ids`, `mask` (1: sampled, and trained) and `logprobs` (0 where the mask is 0) are of one length; `total`: of the
    whole sequence. `starts`: where model calls begin to sample in it, as `[place, turn]`.
    """

    calls: list[TokenCall]
    sequences: list[SequenceAbout]
    sequence: int
    total: int
    offset: int
    ids: list[int]
    mask: list[int]
    logprobs: list[float]
    starts: list[tuple[int, int]]


class Difference(TypedDict):
    """How much higher the mean reward of the second run is, over the tasks that both have a verdict for.

    `better`, `worse`: in how many of them the second has a higher, a lower mean. `power`: what so many tasks can show,
    as `gym stats --json` says it; None for fewer than two tasks.
    """

    difference: float
    standard_error: float | None
    interval_95: list[float] | None
    correlation: float | None
    tasks: int
    only_first: int
    only_second: int
    better: int
    worse: int
    power: dict[str, Any] | None


class TaskPair(TypedDict):
    """A task in both runs: the mean rewards, and each rollout. `difference`: of the second over the first."""

    task_id: str
    first: float | None
    second: float | None
    difference: float | None
    first_rollouts: list[RepeatEntry]
    second_rollouts: list[RepeatEntry]


class Comparison(TypedDict):
    """Two runs, task by task.

    `same_tasks`: whether both say that they ran the same tasks. `sort`: `task`, `difference`, `first`, `second`.
    `total`: tasks of either.
    """

    first: RunEntry
    second: RunEntry
    same_tasks: bool
    difference: Difference | None
    total: int
    offset: int
    tasks: list[TaskPair]


class RolloutPair(TypedDict):
    """Two rollouts. `common`: how many items their main conversations begin with that are the same."""

    first: RolloutView
    second: RolloutView
    common: int


class Embedded(TypedDict):
    """What an exported page holds: answers by path. `start`: the page to show first, such as `#/runs/RUN`.

    Lists are whole there (`/api/runs/RUN/rollouts` holds all that were exported): the page selects, sorts and pages.
    Of a rollout `items` has all of branch 0 where its own answer has not, `items?branch=ID` all of each other branch;
    `spans` and `tokens` (of the first sequence, `tokens?sequence=ID` of the others) hold all; `items/PLACE` stands for
    what is cut. `by?field=FIELD` stands for each field.
    """

    start: str
    answers: dict[str, Any]
