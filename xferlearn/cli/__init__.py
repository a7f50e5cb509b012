"""The command line: words to settings, flags and help made from `config`. No machine learning."""

from xferlearn.cli.parsing import parse_settings
from xferlearn.cli.running import main, run_and_exit
from xferlearn.commands.table import COMMANDS

__all__ = ["COMMANDS", "main", "parse_settings", "run_and_exit"]
