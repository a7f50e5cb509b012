"""`xferlearn sweep`: prints what each combination of settings gave, and what to do next."""

from xferlearn.commands import board_command, print_result
from xferlearn.config import SweepConfig
from xferlearn.experiments import Sweep, sweep_with
from xferlearn.system.terminal import say


def run(config: SweepConfig) -> int:
    """Sweeps and prints the summary; returns 1 where there is nothing to choose from."""
    result = sweep_with(config)
    print_result(result)
    say(next_commands(result))
    return 0 if result.complete and result.candidates[0].validation.photos else 1


def next_commands(result: Sweep) -> str:
    """Returns the commands to run next, ready for the shell."""
    board = board_command(result.logs_dir)
    commands = [result.command, board] if result.command else [board]
    return "\n".join(["", "next:", *(f"  {command}" for command in commands)])
