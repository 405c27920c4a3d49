"""The open engine: rollouts and groups on demand, for trainers and servers."""
