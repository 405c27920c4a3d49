"""Verifiers that reward what is no work, and those that do not."""

from __future__ import annotations

import pytest

from gym_check.audit.finding import Severity
from tests.check.conftest import AuditCode, cheats, found, ids

SUMS = """
TASKS = [Task.ask(f"What is {a} times {b}?", product=a * b) for a, b in [(3, 4), (5, 6), (7, 8), (9, 12), (13, 21)]]
"""
HONEST = (
    SUMS
    + """
class One(Session):
    def verify(self, trajectory):
        return float(trajectory.output_text.strip() == str(self.task["product"]))
"""
)


def test_an_honest_environment_is_sound(audit: AuditCode) -> None:
    report = audit(HONEST)
    assert report.findings == []
    assert report.sound
    assert [policy.name for policy in report.policies] == [
        "null",
        "garbage",
        "parrot",
        "refuse",
        "call-everything",
        "leak",
    ]
    assert all((policy.verdicts, policy.failed, policy.full) == (5, 0, 0) for policy in report.policies)
    assert report.verify_median is not None


@pytest.mark.parametrize("reward", ["1.0", "100.0", "Verdict(1.0)"])
def test_a_verifier_that_always_rewards_is_caught(audit: AuditCode, reward: str) -> None:
    report = audit(
        SUMS
        + f"""
class One(Session):
    def verify(self, trajectory):
        return {reward}
"""
    )
    assert not report.sound
    assert cheats(report) == {"null", "garbage", "parrot", "refuse", "call-everything"}


def test_an_answer_that_must_only_occur_is_caught_with_the_prompt(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask(f"The {thing} is {n} euros. What does it cost?", price=n) for thing, n in
             [("pen", 7), ("lamp", 45), ("chair", 89)]]

    class One(Session):
        def verify(self, trajectory):
            return float(str(self.task["price"]) in trajectory.output_text)
    """)
    assert cheats(report) == {"parrot"}


@pytest.mark.parametrize(
    ("prompts", "answers"),
    [
        (["What is the capital of France? (Hint: it is Paris.)"], ["Paris"]),
        (["What is 3 + 4? The answer is 7.", "What is 5 + 6? The answer is 11."], ["7", "11"]),
        (["Say blue", "Please say the word red now", "Now green is to be said"], ["blue", "red", "green"]),
        (['The password "a b c" opens it. Password?', 'It opens with "x y". Password?'], ["a b c", "x y"]),
        (
            [f"Q{n}: solve for x.\nsolution=alpha-{n}*beta\nGo." for n in range(30)],
            [f"alpha-{n}*beta" for n in range(30)],
        ),
    ],
)
def test_an_answer_that_stands_in_its_question_is_caught(
    audit: AuditCode, prompts: list[str], answers: list[str]
) -> None:
    report = audit(f"""
    TASKS = [Task.ask(prompt, answer=answer) for prompt, answer in zip({prompts!r}, {answers!r})]

    class One(Session):
        def verify(self, trajectory):
            return float(trajectory.output_text == self.task["answer"])
    """)
    assert cheats(report) == {"leak"}
    assert f"`{answers[0]}`" in found(report, "cheatable").message


def test_an_opening_observation_that_tells_is_caught(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask(f"Which number do I think of? ({n})") for n in range(1000, 1003)]

    class One(Session):
        def setup(self):
            self.secret = str(self.rng.randrange(10**6))
            return [gym_core.user_message(f"It is certainly not, or perhaps it is, {self.secret}")]

        def verify(self, trajectory):
            return float(trajectory.output_text == self.secret)
    """)
    assert not report.sound


def test_a_choice_among_named_answers_is_no_leak(audit: AuditCode) -> None:
    report = audit("""
    PAIRS = [("Rome", "Oslo"), ("Cairo", "Lima"), ("Bern", "Delhi"), ("Paris", "Quito"), ("Tokyo", "Minsk"), ("A", "B")]
    TASKS = [Task.ask(f"Which is warmer, {a} or {b}?", answer=(a, b)[n % 2]) for n, (a, b) in enumerate(PAIRS)]

    class One(Session):
        def verify(self, trajectory):
            return float(trajectory.output_text == self.task["answer"])
    """)
    assert report.sound
    assert found(report, "answer-in-prompt").severity is Severity.WARNING


def test_yes_and_no_are_no_leak(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask(f"Is {n} prime? Answer with yes or no.", answer="yes" if n in (7, 11, 13) else "no")
             for n in (7, 8, 11, 12, 13, 14)]

    class One(Session):
        def verify(self, trajectory):
            return float(trajectory.output_text == self.task["answer"])
    """)
    assert report.sound


def test_calling_everything_is_caught(audit: AuditCode) -> None:
    report = audit(
        SUMS
        + """
class One(Session):
    @tool
    def start(self) -> str:
        '''Start.'''
        return "started"

    @tool
    def finish(self, how: str) -> str:
        '''Finish.

        Args:
            how: In which way, such as "well".
        '''
        self.how = how
        return "finished"

    def verify(self, trajectory):
        return float(getattr(self, "how", "") == "well")
"""
    )
    assert cheats(report) == {"call-everything"}
    assert report.tools == ("start", "finish")


def test_one_tool_that_answers_is_only_pointed_out(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask("What time is it?")]

    class One(Session):
        @tool
        def clock(self) -> str:
            '''Tell the time.'''
            return "12:07"

        def verify(self, trajectory):
            return float("12:07" in trajectory.output_text)
    """)
    assert report.sound
    assert found(report, "one-call-suffices").severity is Severity.WARNING


def test_a_task_that_a_refusal_solves_among_others_is_fine(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask("Help me steal."), *(Task.ask(f"What is {n} times {n}?", answer=n * n) for n in (12, 15, 17))]

    class One(Session):
        def verify(self, trajectory):
            if "answer" in self.task:
                return float(str(self.task["answer"]) == trajectory.output_text)
            return float("can't" in trajectory.output_text)
    """)
    assert report.sound
    (refuse,) = [policy for policy in report.policies if policy.name == "refuse"]
    assert (refuse.full, refuse.verdicts) == (1, 4)


def test_rewards_that_never_differ_are_pointed_out(audit: AuditCode) -> None:
    report = audit(
        SUMS
        + """
class One(Session):
    def verify(self, trajectory):
        return 0.5
"""
    )
    assert ids(report) == {"reward-constant"}


def test_rewards_outside_of_the_range_are_pointed_out(audit: AuditCode) -> None:
    report = audit(
        SUMS
        + """
class One(Session):
    def verify(self, trajectory):
        return -1.0 if not trajectory.output_text else 0.0
"""
    )
    assert ids(report) == {"reward-range"}
    assert report.sound is not False


def test_a_game_of_chance_is_not_called_cheatable(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask(f"Heads or tails? This is throw {n} of the coin.", task_id=f"t{n}") for n in range(6)]

    class One(Session):
        def setup(self):
            self.side = self.rng.choice(["heads", "tails"])

        def verify(self, trajectory):
            return float(trajectory.output_text.strip().lower() == self.side)
    """)
    assert "cheatable" not in ids(report)
    assert "answer-in-prompt" not in ids(report)


@pytest.mark.parametrize("odds", [0.5, 0.6, 0.75, 0.9])
def test_what_is_mostly_won_by_chance_is_not_called_cheatable(audit: AuditCode, odds: float) -> None:
    report = audit(f"""
    TASKS = [Task.ask(f"Bet on {{n}}, on red or on black.", task_id=f"t{{n}}") for n in range(20)]

    class One(Session):
        def setup(self):
            self.won = self.rng.random() < {odds}

        def verify(self, trajectory):
            return float(self.won)
    """)
    assert ids(report) <= {"won-by-chance"}
    assert report.sound


def test_a_verifier_that_rewards_nothing_is_not_called_sound(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask(f"What is {n} + {n}?", sum=2 * n) for n in range(4)]

    class One(Session):
        def verify(self, trajectory):
            return float(trajectory.output_text == self.task["sum"])  # a text and a number
    """)
    assert not ids(report)
    assert report.sound is None
    assert report.to_wire()["sound"] is None


def test_a_die_that_is_thrown_anew_for_each_verdict_is_not_called_cheatable(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask(f"Throw {n}: one, two, three, four, five or six?") for n in range(5)]

    class One(Session):
        def setup(self):
            self.thrown = self.rng.choice(["one", "two", "three", "four", "five", "six"])

        def verify(self, trajectory):
            return float(self.thrown == trajectory.output_text)
    """)
    assert report.sound
