"""Rollouts as trainers want them: formats of `gym export`, and the same as functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core.spi import lazy_names

if TYPE_CHECKING:
    from gym_training.statuses import TREATMENTS as TREATMENTS
    from gym_training.statuses import is_truncated as is_truncated
    from gym_training.statuses import mask_sample as mask_sample
    from gym_training.statuses import remove_sample as remove_sample
    from gym_training.supervised import best_and_worst as best_and_worst
    from gym_training.supervised import to_kto as to_kto
    from gym_training.supervised import to_preference as to_preference
    from gym_training.supervised import to_prompts as to_prompts
    from gym_training.supervised import to_sft as to_sft
    from gym_training.tokens import as_columns as as_columns
    from gym_training.tokens import to_openenv as to_openenv
    from gym_training.tokens import to_prime_rl as to_prime_rl
    from gym_training.tokens import to_tokens as to_tokens
    from gym_training.tokens import to_trl as to_trl
    from gym_training.tokens import to_verl as to_verl
    from gym_training.trl import TrlRollouts as TrlRollouts
    from gym_training.trl import trl_rollouts as trl_rollouts
    from gym_training.trl_environment import GymSpec as GymSpec
    from gym_training.verifiers import to_verifiers as to_verifiers
    from gym_training.verl import VerlPolicy as VerlPolicy
    from gym_training.verl import verl_outputs as verl_outputs
    from gym_training.verl import verl_sampling as verl_sampling
    from gym_training.verl import verl_task as verl_task
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
