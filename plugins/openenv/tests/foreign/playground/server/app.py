"""The application of the package, as `openenv init` has it: it takes one session."""

from openenv.core.env_server.http_server import create_app

from playground.worlds import Guess, Numbers, Seen

app = create_app(Numbers, Guess, Seen, env_name="numbers", max_concurrent_envs=1)
