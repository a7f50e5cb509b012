"""Turns WordNet's data.noun into the package's compact table of synset names.

Usage:
    python tools/build_synset_names.py /usr/share/wordnet/data.noun

Debian's package wordnet-base has that file. The output is the same for the same input.
"""

import argparse
import gzip
import re
from collections.abc import Iterator
from pathlib import Path

# Offset, lexicographer file, part of speech, number of words, then the first word.
_SYNSET = re.compile(r"(\d{8}) \d\d n [0-9a-f]{2} (\S+) ")
_OUTPUT = (
    Path(__file__).resolve().parent.parent
    / "xferlearn"
    / "backbones"
    / "synsets"
    / "synset_names.txt.gz"
)


def read_nouns(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the offset and the first lemma of every synset, in the file's order.

    Args:
        path: a data.noun file as wndb(5WN) describes it.

    Raises:
        SystemExit: a line is no synset.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            # The licence stands at the top, indented.
            if line.startswith("  "):
                continue
            match = _SYNSET.match(line)
            if match is None:
                raise SystemExit(
                    f"{path}:{number}: expected a noun synset. Received: {line[:60]!r}"
                )
            yield int(match[1]), match[2]


def write_names(nouns: Iterator[tuple[int, str]], path: Path) -> int:
    """Writes lines of "difference to the offset before, space, lemma", gzip-compressed.

    Args:
        nouns: offsets, ascending, and lemmas.
        path: the file to write.

    Returns:
        How many synsets were written.
    """
    lines = []
    previous = 0
    for offset, lemma in nouns:
        lines.append(f"{offset - previous} {lemma}\n")
        previous = offset
    # No time stamp in the header, so that the bytes depend on the input alone.
    path.write_bytes(gzip.compress("".join(lines).encode(), compresslevel=9, mtime=0))
    return len(lines)


def main() -> None:
    """Parses the command line and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data_noun", type=Path, help="WordNet 3.0's data.noun")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="file to write")
    arguments = parser.parse_args()
    count = write_names(read_nouns(arguments.data_noun), arguments.output)
    print(f"{count} synsets, {arguments.output.stat().st_size} bytes: {arguments.output}")


if __name__ == "__main__":
    main()
