"""The file that a command writes its results to, on this machine or in a bucket."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from xferlearn.errors import UserError
from xferlearn.system.addresses import check_address, is_bucket, shown_address, split_name
from xferlearn.system.files import real_path, write_atomically
from xferlearn.system.folders import check_writable
from xferlearn.system.places import place_of


class Output(NamedTuple):
    """A file that is written as a whole.

    Attributes:
        folder: path or address of the folder that it is in.
        name: of the file.
        given: what a person called it.
    """

    folder: str
    name: str
    given: str

    def write(self, write: Callable[[BinaryIO], object]) -> None:
        """Writes the file, which is there when it is complete.

        Args:
            write: writes the content to an open file.

        Raises:
            OSError: when it can't be written; what was there before is untouched.
        """
        if not is_bucket(self.given):
            write_atomically(Path(self.folder) / self.name, write)
            return
        # Rows come as photos are labelled; an upload is one call.
        with tempfile.TemporaryFile() as file:
            write(file)
            file.seek(0)
            place_of(self.folder).write(self.name, file.read())


def check_output_anywhere(output: str | Path, name: str = "output") -> Output:
    """As `check_output`, for a file that may be in a bucket too.

    Raises:
        UserError: when it can't be written, or is a folder.
    """
    if not is_bucket(output):
        path = check_output(output, name)
        return Output(str(path.parent), path.name, str(output))
    folder, last = split_name(str(output))
    if not last:
        raise UserError(f"Expected `{name}` to be a file. Received: {shown_address(output)}.")
    check_writable(name, folder)
    return Output(folder, last, str(output))


def check_output(output: str | Path, name: str = "output") -> Path:
    """Returns the file that results go to; sees, before any work, that it can be written.

    Args:
        output: the file, on this machine.
        name: setting that names it.

    Raises:
        UserError: when it can't, or is a folder.
    """
    check_address(f"`{name}`", output, bucket=False)
    path = real_path(output)
    if path.is_dir():
        raise UserError(f"Expected `{name}` to be a file. Found a folder at {output}.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {os.path.dirname(output)} for `{name}`. Make it.")
    check_writable(name, path.parent)
    return path
