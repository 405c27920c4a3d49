"""`gym` as a command."""

from tests.support.exports import gym as gym
