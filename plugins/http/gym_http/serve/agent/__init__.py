"""An agent over HTTP: rollouts on demand, and episodes of others."""
