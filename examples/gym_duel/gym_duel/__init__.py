"""An environment for gym with two players: they take stones in turn, and whoever takes the last one wins."""

import re
from collections.abc import Iterator, Mapping, Sequence

from gym_core import Done, Item, ResourceServer, Response, Session, Task, Trajectory, Verdict, hookimpl, user_message

MOST = 3
RULES = f"Players take 1 to {MOST} stones in turn. Whoever takes the last one wins. Answer with a number alone."
OTHER = {"policy": "opponent", "opponent": "policy"}


class DuelSession(Session):
    """One game. The policy begins; its opponent is the model of the role `opponent`, or the policy's own."""

    optional_roles = ("opponent", "policy")

    def setup(self) -> None:
        self.stones = int(self.task["stones"])
        self.winner = ""
        self.seen: list[Item] = [user_message(RULES)]
        self.opponent = self.actor("opponent", "opponent" if "opponent" in self.models else "policy")

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        taken = self._take("policy", response)
        if self.winner:
            return Done(reason="game_over")
        self.seen.append(user_message(f"I take {taken}. {self.stones} are left."))
        answer = await self.opponent.respond(self.seen)
        self.seen += answer.output
        taken = self._take("opponent", answer)
        return Done(reason="game_over") if self.winner else [user_message(f"I take {taken}. {self.stones} are left.")]

    def _take(self, player: str, response: Response) -> int:
        """Take the stones that a player says; who says no number from 1 to 3, or more than there are, has lost."""
        said = response.output_text.strip()
        taken = int(said) if re.fullmatch("[1-9]", said) else 0
        if not 1 <= taken <= min(MOST, self.stones):
            self.winner = OTHER[player]
            return 0
        self.stones -= taken
        if not self.stones:
            self.winner = player
        return taken

    def verify(self, trajectory: Trajectory) -> Verdict:
        rewards = {player: float(player == self.winner) for player in OTHER}
        return Verdict(rewards["policy"], info={"left": self.stones}, rewards=rewards)


class Duel(ResourceServer):
    """Take the last stone; a game of two."""

    session_type = DuelSession

    def tasks(self) -> Iterator[Task]:
        for stones in range(5, 15):
            text = f"{RULES} There are {stones} stones, and you begin."
            yield Task.ask(text, task_id=f"{stones}-stones", stones=stones)


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    return {"duel": Duel}
