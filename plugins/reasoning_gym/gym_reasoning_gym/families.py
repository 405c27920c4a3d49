"""The task families, written down so that listing them does not import reasoning-gym, which takes seconds."""

from __future__ import annotations

from gym_core.spi import did_you_mean

ALL = "all"
"""Stands for every family."""

_NAMES = """
ab acre advanced_geometry aiw arc_1d arc_agi base_conversion basic_arithmetic bf binary_alternation
binary_matrix bitwise_arithmetic boxnet caesar_cipher calendar_arithmetic chain_sum circuit_logic codeio
coin_flip color_cube_rotation complex_arithmetic count_bits count_primes countdown course_schedule cryptarithm
decimal_arithmetic decimal_chain_sum dice emoji_mystery family_relationships figlet_font fraction_simplification
futoshiki game_of_life game_of_life_halting gcd graph_color group_anagrams gsm_symbolic intermediate_integration
isomorphic_strings jugs kakurasu knight_swap knights_knaves largest_island lcm leg_counting letter_counting
letter_jumble list_functions mahjong_puzzle manipulate_matrix maze mini_sudoku modulo_grid n_queens
needle_haystack number_filtering number_format number_sequence number_sorting palindrome_generation
palindrome_partitioning path_star polynomial_equations polynomial_multiplication pool_matrix power_function
prime_factorization products propositional_logic puzzle24 quantum_lock ransom_note rearc rectangle_count
rotate_matrix rotten_oranges rubiks_cube rush_hour self_reference sentence_reordering shortest_path
simple_equations simple_geometry simple_integration sokoban spell_backward spiral_matrix string_insertion
string_manipulation string_splitting string_synthesis sudoku survo syllogism time_intervals tower_of_hanoi
tsumego word_ladder word_sequence_reversal word_sorting zebra_puzzles
"""
FAMILIES = tuple(_NAMES.split())
"""Every family of reasoning-gym but its `composite`, in whose place several families can be named."""


def parse_families(text: str) -> tuple[str, ...]:
    """The families of a comma-separated list, or of `all`. Raises `ValueError` for an unknown or a repeated one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == [ALL]:
        return FAMILIES
    for place, name in enumerate(names):
        if name not in FAMILIES:
            raise ValueError(f"there is no family {name!r}{did_you_mean(name, (*FAMILIES, ALL))}")
        if name in names[:place]:
            raise ValueError(f"the family {name!r} is named twice")
    return tuple(names)
