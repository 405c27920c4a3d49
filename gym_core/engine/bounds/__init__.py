"""How long anything may take, and what ends the wait. The ground floor of the engine: it knows nothing of rollouts."""
