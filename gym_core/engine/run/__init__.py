"""A run: where its jobs come from, who carries them out, and where finished rollouts go."""
