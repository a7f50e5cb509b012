"""An S3 server of moto's on this machine, and buckets there."""

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from xferlearn.system import places

_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key-of-a-test",
    "AWS_SECRET_ACCESS_KEY": "secret-of-a-test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Starts an S3 server, and names it and an account in the environment.

    Returns:
        The address of a new, empty bucket, such as "s3://test-1f3a".

    Example:
        >>> with s3_server() as bucket:
        ...     place_of(f"{bucket}/photos").write("1.jpg", content)
    """
    from moto.server import ThreadedMotoServer
    from pyarrow.fs import S3FileSystem

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {**_SETTINGS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    with mock.patch.dict(os.environ, settings):
        places.file_system.cache_clear()
        try:
            name = f"test-{uuid.uuid4().hex[:8]}"
            S3FileSystem(
                endpoint_override=settings["AWS_ENDPOINT_URL"],
                region="us-east-1",
                allow_bucket_creation=True,
            ).create_dir(name)
            yield f"s3://{name}"
        finally:
            places.file_system.cache_clear()
            server.stop()


def put_folder(folder: Path, address: str) -> None:
    """Puts all files below a folder to an address."""
    place = places.place_of(address)
    for path in folder.rglob("*"):
        if path.is_file():
            place.write(path.relative_to(folder).as_posix(), path.read_bytes())
