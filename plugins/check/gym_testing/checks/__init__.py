"""What is wrong with an environment, as data: `gym check` makes findings of it, the conformance suites assertions."""
