"""Addresses of files and folders: paths of this machine, and addresses of buckets.

An address is shown and recorded, so it holds no credentials; those of others are not repeated.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

from xferlearn.errors import UserError
from xferlearn.system.text import one_line, readable

# Amazon S3 and what speaks like it, Google Cloud Storage, Hadoop.
SCHEMES = ("s3", "gs", "hdfs")
# Whoever may read without an account puts it before the bucket's name.
ANYBODY = "anonymous"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# What a `Path` makes of an address.
_COLLAPSED = re.compile(rf"({'|'.join(SCHEMES)}):/(?=[^/])", re.IGNORECASE)
# Secrets may hold any sign. So what stands before an `@` in front of the first `/` is taken for a
# user, and before any later `@` where a `:` is in front of the first `/`: no bucket's name has one.
_USER = re.compile(
    rf"(?P<scheme>s3|gs)(?P<mark>:/{{1,2}})(?P<anybody>{ANYBODY}@)?(?:[^/]*:.*|[^/]*)@"
    r"|(?P<other>[a-z][a-z0-9+.-]+:/{1,2})(?:[^/]*:(?!\d+(?:[/?#]|\Z)).*|[^/]*)@",
    re.IGNORECASE | re.DOTALL,
)
# The names of objects may hold `?` too: options are what the last one begins, if it is a setting.
# With nothing behind it, it ends a name that would be taken for one.
_MARK = re.compile(r"\?(?:[^?/=]+=[^?]*)?\Z", re.DOTALL)
_QUERY = re.compile(r"\?")
_SETTING = re.compile(r"\?(?=[^?/=]+=)")
_BUCKET = re.compile(r"[\w.-]+", re.ASCII)
_HADOOP = re.compile(r"(?:[\w.-]*|\[[0-9a-f:.]+\])(?::\d+)?", re.ASCII | re.IGNORECASE)
# Pyarrow's: what it was about, then what the server said, then the number of the request.
_AWS = re.compile(r"AWS Error (\w+) during \w+ operation: (.*?)(?: \(Request ID.*)?\Z")
_GOOGLE = re.compile(r"google::cloud::Status\((\w+): (.*?)(?: error_info=.*)?\)?\Z")
# What may stand behind `?`, as in pyarrow's addresses.
_OPTIONS = {
    "s3": ("region", "endpoint_override", "scheme"),
    "hdfs": ("user", "replication", "buffer_size", "default_block_size"),
}


class Address(NamedTuple):
    """The parts of an address of a bucket.

    Attributes:
        scheme: one of `SCHEMES`.
        host: the bucket, or Hadoop's server, with `ANYBODY` and `@` before it where they are.
        path: the names in it, with the slash before them; "" without.
        options: what stands behind `?`.
    """

    scheme: str
    host: str
    path: str
    options: str

    @property
    def bucket(self) -> str:
        """The host alone."""
        return self.host.rpartition("@")[2]


def is_url(path: str | Path) -> bool:
    """Returns whether a path is the address of a web page or bucket, such as https:// or s3://."""
    return _URL.match(str(path)) is not None


def is_bucket(address: object) -> bool:
    """Returns whether an address is one of a bucket that can be read and written."""
    if not isinstance(address, str) or not is_url(address):
        return False
    return address.partition("://")[0].lower() in SCHEMES


def check_address(what: str, address: str | Path, *, bucket: bool = True) -> None:
    """Checks that an address is of a kind that can be read and written, connecting to nothing.

    Args:
        what: what it was given for, such as "`image_dir`".
        address: a path, or an address with a scheme.
        bucket: whether it may be one of a bucket.

    Raises:
        UserError: when its scheme is not supported, or it holds credentials.
    """
    text = str(address)
    if _COLLAPSED.match(text):
        whole = _COLLAPSED.sub(r"\1://", text)
        raise UserError(
            f"Received {shown_address(text)} for {what}, which is what a Path makes of an address."
            f" Give {shown_address(whole)} as text."
        )
    if not is_url(text):
        return
    if not bucket or not is_bucket(text):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise UserError(
            f"Expected {what} to be a path{f' or one of {known}' if bucket else ' on this machine'}"
            f". Received: {shown_address(text)}"
            + ("." if bucket else ": copy it here, or mount its bucket, and give the path.")
        )
    parts = address_parts(text)
    options = parse_qs(parts.options, keep_blank_values=True)
    if _hidden(text) != text or any("@" in value for one in options.values() for value in one):
        raise UserError(
            f"Expected {what} without credentials, because an address is shown and recorded."
            f" Received: {shown_address(text)}. Put them where the bucket's own tools look for"
            " them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials."
        )
    known_options = _OPTIONS.get(parts.scheme, ())
    for name in options:
        if name not in known_options:
            possible = ", ".join(known_options) or "none"
            raise UserError(
                f"There is no option {readable(name, 40)!r} in an address of {parts.scheme}://, as"
                f" in {what}. Possible: {possible}."
            )
    if not parts.bucket and parts.scheme != "hdfs":
        raise UserError(
            f"Expected {what} to name a bucket, as in s3://bucket/folder. Received:"
            f" {shown_address(text)}."
        )
    if not (_HADOOP if parts.scheme == "hdfs" else _BUCKET).fullmatch(parts.bucket):
        raise UserError(
            f"Expected {what} to be an address such as s3://bucket/folder. Received:"
            f" {shown_address(text)}."
        )


def shown_address(address: str | Path) -> str:
    """Returns an address as it may be shown: without user names, passwords and signatures.

    Example:
        >>> shown_address("https://ann:secret@example.org/a.jpg?signature=1234")
        'https://...@example.org/a.jpg?...'
    """
    text = str(address)
    if not is_url(text) and not _COLLAPSED.match(text):
        return readable(text, 400)
    # Of a web page all may be a signature.
    head, *rest = (_SETTING if is_bucket(text) else _QUERY).split(_hidden(text), 1)
    return readable(f"{head}{'?...' if rest else ''}", 200)


def bucket_reason(error: Exception) -> str:
    """Returns what a library of buckets says, on one line, and of addresses no user names.

    Example:
        >>> bucket_reason(error)
        'The specified bucket does not exist (NO_SUCH_BUCKET)'
    """
    said = re.sub(r"\S+", lambda word: _hidden(word[0]), one_line(error, 1000))
    found = _AWS.search(said) or _GOOGLE.search(said)
    return readable(f"{found[2].rstrip('. ')} ({found[1]})" if found else said, 200)


def _hidden(text: str) -> str:
    """Returns a text without what stands before an `@` in its addresses."""
    return _USER.sub(
        lambda found: (
            found[0]
            if found[0] == f"{found['scheme']}://{ANYBODY}@"
            else f"{found['other'] or found['scheme'] + found['mark']}...@"
        ),
        text,
    )


def split_options(address: str) -> tuple[str, str]:
    """Returns an address without its options, and these with the `?` before them; "" for none.

    Example:
        >>> split_options("s3://flowers/a?1.jpg?region=x")
        ('s3://flowers/a?1.jpg', '?region=x')
    """
    found = _MARK.search(address) if is_url(address) else None
    if found is None:
        return address, ""
    return address[: found.start()], found[0] if len(found[0]) > 1 else ""


def with_options(bare: str, options: str) -> str:
    """Returns what `split_options` splits into these."""
    # What ends like options is a name here.
    return bare + (options or ("?" if split_options(bare)[0] != bare else ""))


def split_name(address: str) -> tuple[str, str]:
    """Returns the address of the folder that something is in, and its name there.

    Returns:
        Two empty texts for a bucket itself.

    Example:
        >>> split_name("s3://flowers/photos/1.jpg?region=x")
        ('s3://flowers/photos?region=x', '1.jpg')
    """
    bare, options = split_options(address)
    folder, _, name = bare.rpartition("/")
    return ("", "") if folder.endswith(":/") else (with_options(folder, options), name)


def address_parts(address: str) -> Address:
    """Returns the parts of an address of a bucket."""
    bare, options = split_options(address)
    scheme, _, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return Address(scheme.lower(), host, slash + path, options[1:])


def last_name(address: str) -> str:
    """Returns the last name of an address: of "s3://flowers/photos?region=x" it is "photos"."""
    _, mark, rest = split_options(address)[0].rpartition("://")
    _, slash, last = rest.rstrip("/").rpartition("/")
    return (last if slash or not mark else last.rpartition("@")[2]) or "files"


def address_below(address: str, name: str) -> str:
    """Returns the address of a file or folder below another.

    Example:
        >>> address_below("s3://flowers/photos?region=x", "roses/1.jpg")
        's3://flowers/photos/roses/1.jpg?region=x'
    """
    bare, options = split_options(address)
    return with_options(f"{bare.rstrip('/')}/{name}", options) if name else address


def absolute_address(address: str | Path) -> str:
    """Returns an address that means the same in another folder and on another machine."""
    return str(address) if is_url(address) else os.path.abspath(address)


def local_name(address: str) -> str:
    """Returns a file name for what this machine keeps of an address: readable, and its own."""
    return f"{last_name(address)[-40:]}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


def names_below(outer: str | Path, inner: str | Path) -> tuple[str, ...] | None:
    """Returns the names that lead from a folder to what lies in it; none where it is the folder.

    Args:
        outer: the folder: a path, or an address of a bucket.
        inner: what may lie in it.

    Returns:
        None where it lies elsewhere.
    """
    if is_bucket(str(outer)) != is_bucket(str(inner)):
        return None
    if is_bucket(str(outer)):
        above, below = _whole(str(outer)), _whole(str(inner))
        return below[len(above) :] if below[: len(above)] == above else None
    root, path = Path(outer).resolve(), Path(inner).resolve()
    return path.relative_to(root).parts if path.is_relative_to(root) else None


def _whole(address: str) -> tuple[str, ...]:
    """Returns scheme, bucket and the names of an address, whatever its options."""
    parts = address_parts(address)
    names = (name for name in parts.path.split("/") if name)
    return (parts.scheme, parts.bucket, *names)
