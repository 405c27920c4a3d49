"""What a module imports, found out in a process of its own."""

PROBE = """
import importlib, json, sys
import gym_core
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
"""Its last line of output is the list of packages that importing the module of its argument brought."""
