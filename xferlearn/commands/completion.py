"""`xferlearn completion`: scripts that complete commands, flags and values in a shell."""

import dataclasses
import functools
import re
import shlex
from collections.abc import Iterator

from xferlearn.backbones import BACKBONES
from xferlearn.commands.table import COMMANDS
from xferlearn.config import CompletionConfig
from xferlearn.config.base import Setting, settings_of, value_type
from xferlearn.config.wording import as_flags
from xferlearn.system.terminal import say

# What the shell itself completes, by what a setting's value is.
_FOLDER, _FILE = "folder", "file"
_PATHS = {"FOLDER": _FOLDER, "FILE": _FILE, "PATH": _FILE, "PHOTO": _FILE}


@dataclasses.dataclass(frozen=True)
class _Flag:
    """A flag of a command.

    Attributes:
        name: without dashes.
        summary: the first sentence of its help.
        switch: whether it stands without a value.
        words: the values that it takes; empty where they are others.
        path: `_FOLDER`, `_FILE` or "".
        positional: whether words without a flag are its values.
    """

    name: str
    summary: str
    switch: bool
    words: tuple[str, ...]
    path: str
    positional: bool


def run(config: CompletionConfig) -> int:
    """Prints the script for a shell."""
    scripts = {"bash": bash_script, "zsh": zsh_script, "fish": fish_script}
    say(scripts[config.shell or ""]())
    return 0


@functools.cache
def _flags(command: str) -> list[_Flag]:
    return [
        _Flag(
            name=name,
            summary=re.split(r"(?<=[^.]{3})[.:;](?= |$)", as_flags(rules.help), maxsplit=1)[0],
            switch=value_type(field) is bool,
            words=_words(name, rules),
            path=next((path for form, path in _PATHS.items() if form in rules.form), ""),
            positional=rules.positional,
        )
        for name, (field, rules) in settings_of(COMMANDS[command].settings).items()
    ]


def _words(name: str, rules: Setting) -> tuple[str, ...]:
    return tuple(BACKBONES) if name == "backbone" else rules.choices or ()


def bash_script() -> str:
    """Returns the script for bash, to be evaluated in ~/.bashrc."""
    flags: list[str] = []
    values: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for command in COMMANDS:
        found = _flags(command)
        names = " ".join(f"--{one.name}" + "=" * (not one.switch) for one in found)
        flags.append(f"        {command}) flags={shlex.quote(names)} ;;")
        for one in found:
            if not one.switch:
                values.setdefault(_bash_values(one), []).append(f"{command}:--{one.name}")
            if one.positional:
                words.setdefault(_bash_values(one), []).append(f"{command}:")
    return _BASH.format(
        commands=" ".join(COMMANDS),
        flags="\n".join(flags),
        values="\n".join(_bash_cases(values)),
        words="\n".join(_bash_cases(words)),
    ).rstrip()


def _bash_values(flag: _Flag) -> str:
    if flag.words:
        return f"words={shlex.quote(' '.join(flag.words))}"
    return f"path={flag.path}" if flag.path else "path=none"


def _bash_cases(cases: dict[str, list[str]]) -> Iterator[str]:
    for action, patterns in cases.items():
        yield f"        {'|'.join(patterns)}) {action} ;;"


_BASH = """\
_xferlearn() {{
    local IFS=$' \\t\\n'
    local cur=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}}
    local flag="" typed="" flags="" words="" path=""
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$cur"))
        return
    fi
    # Where = parts words, as it does unless somebody changed that, it is a word of its own.
    if [[ $cur == "=" ]]; then
        flag=${{COMP_WORDS[COMP_CWORD-1]}} cur=""
    elif [[ ${{COMP_WORDS[COMP_CWORD-1]}} == "=" ]]; then
        flag=${{COMP_WORDS[COMP_CWORD-2]}}
    elif [[ $cur == --*=* ]]; then
        flag=${{cur%%=*}} typed=${{cur%%=*}}= cur=${{cur#*=}}
    elif [[ $cur != -* && ${{COMP_WORDS[COMP_CWORD-1]}} == --* ]]; then
        flag=${{COMP_WORDS[COMP_CWORD-1]}}
    fi
    [[ $flag == --* ]] && flag=${{flag#--}} && flag=--${{flag//-/_}}
    case "$command" in
{flags}
    esac
    if [[ -z $flag && $cur == -* ]]; then
        cur=${{cur#-}} cur=--${{cur#-}}
        local name=${{cur#--}}
        COMPREPLY=($(compgen -W "$flags --help --help_all" -- "--${{name//-/_}}"))
        [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace 2>/dev/null
        return
    fi
    case "$command:$flag" in
{values}
    esac
    if [[ -z $words$path ]]; then
        case "$command:" in
{words}
        esac
    fi
    if [[ -n $words ]]; then
        COMPREPLY=($(compgen -P "$typed" -W "$words" -- "$cur"))
    elif [[ $path == folder || $path == file ]]; then
        IFS=$'\\n'
        local kind=-f
        [[ $path == folder ]] && kind=-d
        COMPREPLY=($(compgen -P "$typed" $kind -- "$cur"))
        compopt -o filenames 2>/dev/null
    fi
}}
complete -F _xferlearn xferlearn
"""


def zsh_script() -> str:
    """Returns the script for zsh, to be evaluated in ~/.zshrc after `compinit`."""
    commands, cases = [], []
    for command, row in COMMANDS.items():
        commands.append(f"        {_quoted(f'{command}:{row.summary}')}")
        lines = [f"            {_quoted(_zsh_flag(one))}" for one in _flags(command)]
        lines += [
            f"            {_quoted(f'*:{one.name}:{_zsh_values(one)}')}"
            for one in _flags(command)
            if one.positional
        ]
        specs = " \\\n".join(lines)
        cases.append(f"        {command}) " + (f"_arguments \\\n{specs} ;;" if lines else ";;"))
    return _ZSH.format(commands="\n".join(commands), cases="\n".join(cases)).rstrip()


def _zsh_flag(flag: _Flag) -> str:
    summary = re.sub(r"([\[\]\\:])", r"\\\1", flag.summary)
    if flag.switch:
        return f"--{flag.name}[{summary}]"
    return f"--{flag.name}=[{summary}]:{flag.name}:{_zsh_values(flag)}"


def _zsh_values(flag: _Flag) -> str:
    if flag.words:
        return f"({' '.join(flag.words)})"
    return {_FOLDER: "_files -/", _FILE: "_files", "": " "}[flag.path]


_ZSH = """\
#compdef xferlearn
_xferlearn() {{
    local -a commands
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{cases}
    esac
}}
compdef _xferlearn xferlearn
"""


def fish_script() -> str:
    """Returns the script for fish, to be sourced in ~/.config/fish/config.fish."""
    lines = ["complete -c xferlearn -f"]
    for command, row in COMMANDS.items():
        summary = _quoted(row.summary)
        lines.append(f"complete -c xferlearn -n __fish_use_subcommand -a {command} -d {summary}")
        seen = f"complete -c xferlearn -n '__fish_seen_subcommand_from {command}'"
        for one in _flags(command):
            value = "" if one.switch else f" -x{_fish_values(one)}"
            lines.append(f"{seen} -l {one.name}{value} -d {_quoted(one.summary)}")
            if one.positional:
                lines.append(f"{seen}{_fish_values(one)}")
    return "\n".join(lines)


def _fish_values(flag: _Flag) -> str:
    if flag.words:
        return f" -a {_quoted(' '.join(flag.words))}"
    paths = {_FOLDER: "(__fish_complete_directories)", _FILE: "(__fish_complete_path)"}
    return f" -a {_quoted(paths[flag.path])}" if flag.path else ""


def _quoted(text: str) -> str:
    """Returns text for zsh and fish in single quotes, without the quotes that it has."""
    return "'" + text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}") + "'"
