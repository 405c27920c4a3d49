"""What verifiers' own loop makes of faults: `faults_verifiers.py BASE_URL ROLLOUTS`; runs where verifiers is installed.

Groups of four, of which the fault befalls the later two; `benchmarks/false_zeros.py` has the endpoint. The last line is
JSON: by fault, how many rollouts it befell, how many of those have 0.0 for a reward, and how many no error.
"""

import asyncio
import json
import os
import sys
from importlib.metadata import version

import openai
import verifiers as vf
from datasets import Dataset

URL, ROLLOUTS = sys.argv[1], int(sys.argv[2])
WELL, SIZE, TRUE = 2, 4, (0.25, 0.75)
FAULTS = json.loads(sys.argv[3])
os.environ["FAULTS_KEY"] = "unused"


async def reward(completion, info, **others):
    """The member's reward for its whole answer."""
    hit = info["member"] >= WELL
    if hit and info["fault"] == "raising verifier":
        raise ZeroDivisionError("no tests were found")
    if hit and info["fault"] == "judge answers 429":
        asked = [{"role": "user", "content": f"Group 0 of {info['fault']}. Member {info['member']}."}]
        async with openai.AsyncOpenAI(base_url=URL, api_key="unused", max_retries=1) as judge:
            await judge.chat.completions.create(model="judge", messages=asked)
    whole = completion and completion[-1]["content"] == f"This is all that member {info['member']} has to say."
    return TRUE[info["member"] % 2] if whole else 0.0


async def look() -> str:
    """Look around, by a program."""
    program = await asyncio.create_subprocess_exec("/bin/sh", "-c", "kill -9 $$; echo seen")
    raise RuntimeError(f"the program that looks ended with {await program.wait()}")


async def befallen(fault: str) -> dict[str, int]:
    """Run the groups of a fault, and look at those that it befell."""
    rows = [
        {
            "example_id": group * SIZE + member,
            "prompt": [{"role": "user", "content": f"Group {group} of {fault}. Member {member}."}],
            "info": {"fault": fault, "group": group, "member": member},
        }
        for group in range(ROLLOUTS // (SIZE - WELL))
        for member in range(SIZE)
    ]
    data = Dataset.from_list([{**row, "info": json.dumps(row["info"])} for row in rows])
    rubric = vf.Rubric(funcs=[reward])
    if fault == "killed tool":
        env = vf.ToolEnv(dataset=data, rubric=rubric, tools=[look], max_turns=3)
    else:
        env = vf.SingleTurnEnv(dataset=data, rubric=rubric)
    client = vf.ClientConfig(
        client_type="openai_chat_completions", api_base_url=URL, api_key_var="FAULTS_KEY", timeout=2.0, max_retries=1
    )
    made = await env.generate(rows, client, "policy", max_concurrent=256)
    outputs = sorted(made["outputs"], key=lambda output: output["example_id"])
    assert [one["reward"] for one in outputs if one["example_id"] % SIZE < WELL] == [*TRUE] * (len(rows) // SIZE)
    hit = [one for one in outputs if one["example_id"] % SIZE >= WELL]
    return {
        "befell": len(hit),
        "rewards": sum(one["reward"] == 0.0 for one in hit),
        "unmarked": sum(one.get("error") is None for one in hit),
    }


found = {fault: asyncio.run(befallen(fault)) for fault in FAULTS}
print(json.dumps({"package": f"verifiers {version('verifiers')}", "found": found}))
