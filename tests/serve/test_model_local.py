"""The local model behind a port, through OpenAI's client."""

from __future__ import annotations

from gym_local_model.backend import LocalModel, LocalModelOptions
from tests.serve.serving import served_model
from tests.support.loop import asynchronous


@asynchronous
async def test_a_real_model_is_served_in_both_dialects() -> None:
    options = LocalModelOptions.model_validate({"temperature": 0, "max_output_tokens": 4, "context_size": 512})
    async with LocalModel(options) as backend, served_model(backend) as server:
        answered = await server.client.responses.create(model="any", input="Say yes.")
        assert answered.usage is not None
        assert 0 < answered.usage.output_tokens <= 4
        stream = await server.client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "Say yes."}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == answered.output_text != ""
