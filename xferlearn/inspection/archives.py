"""Zip archives that hold a model and its labels, as Teachable Machine and Lobe hand them out.

An archive is a stranger's file: names that lead out of the folder, links, and sizes that no model
has are refused before anything is written.
"""

import contextlib
import errno
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from xferlearn.errors import UserError
from xferlearn.inspection.readers.wire import DAMAGE
from xferlearn.system.text import one_line, printable

_ZIP = b"PK\x03\x04"
_MOST_MEMBERS = 10_000
_MOST_BYTES = 4 * 2**30
# Weights hardly shrink, so what shrinks to less than a hundredth is no model.
_LARGEST_RATIO, _SMALL_BYTES = 100, 64 * 2**20
_MODEL_FILES = (".keras", ".h5", ".hdf5", ".tflite", ".onnx", ".pb", ".xml")
_SAVED_MODEL = "saved_model.pb"
_OWN_FOLDER = {"metadata.json", "model.keras"}
# Labels, and what makers state about their models.
_TEXTS = (".txt", ".json", ".yaml")
# What a Mac adds to an archive.
_JUNK = ("__MACOSX", "._", ".DS_Store")


def is_archive(path: Path) -> bool:
    """Returns whether a file is a zip archive, and not a `.keras` file, which is one too."""
    try:
        with path.open("rb") as file:
            if file.read(4) != _ZIP:
                return False
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, *DAMAGE):
        return False
    return "config.json" not in names and any(_is_model(PurePosixPath(name)) for name in names)


class Unpacked:
    """The model in an archive, in a temporary folder.

    Attributes:
        path: the model there, a file or a folder.
        member: its name in the archive.
    """

    def __init__(self, archive: Path) -> None:
        """Unpacks the only model of an archive, and the labels beside it.

        Args:
            archive: the zip file.

        Raises:
            UserError: there are several models in it, or something that is not to be unpacked.
        """
        self._archive = archive
        self._folder = tempfile.TemporaryDirectory(prefix="xferlearn-")
        try:
            with zipfile.ZipFile(archive) as held:
                members = _checked(archive, held)
                root = _only_model(archive, members)
                for name, member in members.items():
                    if _belongs(name, root):
                        self._write(held, member, name)
        except BaseException as error:
            self.close()
            # A member that is said to begin before the file does is an invalid place to seek.
            misplaced = isinstance(error, OSError) and error.errno == errno.EINVAL
            if misplaced or (isinstance(error, DAMAGE) and not isinstance(error, UserError)):
                raise UserError(f"{archive} can't be unpacked: {one_line(error)}.") from None
            raise
        self.member = str(root)
        self.path = Path(self._folder.name, *root.parts)

    def _write(self, held: zipfile.ZipFile, member: zipfile.ZipInfo, name: PurePosixPath) -> None:
        target = Path(self._folder.name, *name.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with held.open(member) as source, target.open("xb") as file:
            shutil.copyfileobj(source, file)

    def shown(self, text: str) -> str:
        """Returns a message with the archive in place of the temporary folder."""
        return text.replace(self._folder.name, str(self._archive))

    def close(self) -> None:
        """Removes the temporary folder."""
        self._folder.cleanup()


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Unpacked | None]:
    """Unpacks an archive for the time of the block; gives None for any other path."""
    if not is_archive(path):
        yield None
        return
    held = Unpacked(path)
    try:
        yield held
    except UserError as error:
        raise UserError(held.shown(str(error))) from error
    finally:
        held.close()


def _checked(archive: Path, held: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Returns the files of an archive by name; raises UserError on what is not to be unpacked."""
    members = [one for one in held.infolist() if not one.is_dir() and not _is_junk(one.filename)]
    if len(members) > _MOST_MEMBERS:
        raise UserError(f"{archive} holds {len(members):,} files, more than a model has.")
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in members:
        name, shown = PurePosixPath(member.filename), printable(member.filename, 80)
        parts = name.parts
        leads_out = name.is_absolute() or ".." in parts or "\\" in member.filename
        if leads_out or ":" in member.filename or not parts:
            raise UserError(
                f"{archive} holds a file named {shown!r}, which leads out of the folder that it"
                " would be unpacked to. It is not unpacked."
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{archive} holds a link, {shown!r}. It is not unpacked.")
        if member.flag_bits & 1:
            raise UserError(f"{archive} is encrypted. Unpack it, and give the model in it.")
        if name in found:
            raise UserError(f"{archive} holds {shown!r} twice. It is not unpacked.")
        found[name] = member
    size, packed = (
        sum(getattr(one, key) for one in members) for key in ("file_size", "compress_size")
    )
    if size > _MOST_BYTES or size > max(_SMALL_BYTES, _LARGEST_RATIO * packed):
        raise UserError(
            f"{archive} ({packed:,} bytes) would unpack to {size:,} bytes, which is no model. It is"
            " not unpacked."
        )
    return found


def _is_junk(name: str) -> bool:
    return any(part.startswith(_JUNK) for part in PurePosixPath(name).parts)


def _is_model(name: PurePosixPath) -> bool:
    return is_model_name(name.name) and not _is_junk(str(name))


def is_model_name(name: str) -> bool:
    """Returns whether a file's name ends as those of models do."""
    return name.lower().endswith(_MODEL_FILES)


def _only_model(archive: Path, members: dict[PurePosixPath, zipfile.ZipInfo]) -> PurePosixPath:
    """Returns the only model of an archive: a file, or the folder of a SavedModel or of ours."""
    folders = {name.parent for name in members if name.name == _SAVED_MODEL}
    names: dict[PurePosixPath, set[str]] = {name.parent: set() for name in members}
    for name in members:
        names[name.parent].add(name.name)
    folders |= {folder for folder, held in names.items() if held >= _OWN_FOLDER}
    roots = {folder for folder in folders if not any(other in folder.parents for other in folders)}
    roots |= {
        name
        for name in members
        if _is_model(name) and not any(folder in name.parents for folder in folders)
    }
    if len(roots) == 1:
        return roots.pop()
    listed = ", ".join(printable(str(name), 80) for name in sorted(roots)[:5])
    raise UserError(
        f"{archive} holds {len(roots)} models: {listed}. Unpack it, and give one of them."
    )


def _belongs(name: PurePosixPath, root: PurePosixPath) -> bool:
    """Returns whether a file is part of a model, or lies beside it and is of use."""
    if name == root or root in name.parents:
        return True
    beside = name.parent == root.parent
    companion = name.stem == root.stem or name.name.startswith(f"{root.name}.")
    return beside and (companion or name.suffix.lower() in _TEXTS)
