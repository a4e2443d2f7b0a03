"""Reconstruct a capture on a server, with the standard library alone, and watch its stages.

geolrm serve                                    # in another terminal
python examples/11_client.py examples/captures/shoe shoe.spz
"""

import argparse
import io
import json
import os
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

from geolrm.examples import capture_path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("capture", nargs="?", type=Path, default=capture_path("shoe"))
parser.add_argument("output", nargs="?", type=Path, default=Path("client.spz"))
parser.add_argument("--server", default="http://127.0.0.1:8000")
parser.add_argument("--quality", default="fast")


def zipped(folder: Path) -> bytes:
    """Pack a folder; images are compressed already."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def opened(url: str, body: bytes | None = None, accept: str = "*/*"):
    """Ask the server; where its queue is full, again when it says."""
    headers = {"Accept": accept, "Content-Type": "application/zip"}
    if token := os.environ.get("GEOLRM_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    while True:
        try:
            return urllib.request.urlopen(urllib.request.Request(url, body, headers))
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After")
            if wait is None:
                raise SystemExit(f"error: {sentence_of(error)}") from None
            time.sleep(int(wait))


def sentence_of(error: urllib.error.HTTPError) -> str:
    """Return what the server says is wrong; a proxy before it may say it in its own way."""
    try:
        return json.load(error)["error"]
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


def events(stream) -> Iterator[tuple[str, dict]]:
    """Read server-sent events: their names and data."""
    name = ""
    for line in stream:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


def main(arguments: list[str] | None = None) -> None:
    """Send a capture, print the stages as they begin, and fetch the splats."""
    options = parser.parse_args(arguments)
    kind = options.output.suffix.lstrip(".")
    url = f"{options.server}/v1/reconstructions?format={kind}&quality={options.quality}"
    with opened(url, zipped(options.capture), "text/event-stream") as stream:
        for name, data in events(stream):
            if name == "stage":
                print(f"{data['stage']} ...")
            elif name == "failed":
                raise SystemExit(f"error: {data['error']}")
            elif name == "done":
                with opened(options.server + data["link"]) as result:
                    options.output.write_bytes(result.read())
                print(f"{data['gaussians']:,} Gaussians in {data['seconds']['total']:.1f} s -> "
                      f"{options.output}")  # fmt: skip


if __name__ == "__main__":
    main()
