"""Addresses of files and folders: paths of this machine, and addresses of buckets.

An address is shown and recorded, so it holds no credentials; those of others are not repeated.
"""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from xferlearn.errors import UserError
from xferlearn.system.text import one_line, readable

# Amazon S3 and what speaks like it, Google Cloud Storage, Hadoop.
SCHEMES = ("s3", "gs", "hdfs")
# Whoever may read without an account puts it before the bucket's name.
ANYBODY = "anonymous"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# What a `Path` makes of an address.
_COLLAPSED = re.compile(rf"({'|'.join(SCHEMES)}):/(?=[^/])", re.IGNORECASE)
_USER = re.compile(r"://[^/?#]*@")
# Pyarrow's: what it was about, then what the server said, then the number of the request.
_AWS = re.compile(r"AWS Error (\w+) during \w+ operation: (.*?)(?: \(Request ID.*)?\Z")
_GOOGLE = re.compile(r"google::cloud::Status\((\w+): (.*?)(?: error_info=.*)?\)?\Z")
# What may stand behind `?`, as in pyarrow's addresses.
_OPTIONS = {
    "s3": ("region", "endpoint_override", "scheme"),
    "hdfs": ("user", "replication", "buffer_size", "default_block_size"),
}


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
    try:
        parts = urlsplit(text)
        options = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        raise UserError(
            f"Expected {what} to be an address such as s3://bucket/folder. Received:"
            f" {shown_address(text)}."
        ) from None
    user, _, host = parts.netloc.rpartition("@")
    endpoint = options.get("endpoint_override", [""])[-1]
    if user not in ("", ANYBODY) or "@" in endpoint:
        raise UserError(
            f"Expected {what} without credentials, because an address is shown and recorded."
            f" Received: {shown_address(text)}. Put them where the bucket's own tools look for"
            " them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials."
        )
    known_options = _OPTIONS.get(parts.scheme.lower(), ())
    for name in options:
        if name not in known_options:
            possible = ", ".join(known_options) or "none"
            raise UserError(
                f"There is no option {readable(name, 40)!r} in an address of {parts.scheme}://, as"
                f" in {what}. Possible: {possible}."
            )
    if not host and parts.scheme.lower() != "hdfs":
        raise UserError(
            f"Expected {what} to name a bucket, as in s3://bucket/folder. Received:"
            f" {shown_address(text)}."
        )


def shown_address(address: str | Path) -> str:
    """Returns an address as it may be shown: without user names, passwords and signatures.

    Example:
        >>> shown_address("https://ann:secret@example.org/a.jpg?signature=1234")
        'https://...@example.org/a.jpg?...'
    """
    text = readable(str(address), 400)
    if not is_url(text):
        return text
    head, mark, _ = _USER.sub(_hidden_user, text).partition("?")
    return readable(f"{head}{mark and '?...'}", 200)


def bucket_reason(error: Exception) -> str:
    """Returns what a library of buckets says, on one line, and of addresses no user names.

    Example:
        >>> bucket_reason(error)
        'The specified bucket does not exist (NO_SUCH_BUCKET)'
    """
    said = _USER.sub(_hidden_user, one_line(error, 1000))
    found = _AWS.search(said) or _GOOGLE.search(said)
    return readable(f"{found[2].rstrip('. ')} ({found[1]})" if found else said, 200)


def _hidden_user(found: re.Match[str]) -> str:
    return found[0] if found[0] == f"://{ANYBODY}@" else "://...@"


def last_name(address: str) -> str:
    """Returns the last name of an address: of "s3://flowers/photos?region=x" it is "photos"."""
    parts = urlsplit(address)
    return parts.path.rstrip("/").rpartition("/")[2] or parts.netloc.rpartition("@")[2] or "files"


def address_below(address: str, name: str) -> str:
    """Returns the address of a file or folder below another.

    Example:
        >>> address_below("s3://flowers/photos?region=x", "roses/1.jpg")
        's3://flowers/photos/roses/1.jpg?region=x'
    """
    head, mark, options = address.partition("?")
    return f"{head.rstrip('/')}/{name}{mark}{options}" if name else address


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
    parts = urlsplit(address)
    names = (name for name in parts.path.split("/") if name)
    return (parts.scheme.lower(), parts.netloc.rpartition("@")[2], *names)
