"""Drives a headless Chromium over its debugging pipe, with the standard library and pytest."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-pipe",
)
# Chromium reads commands from descriptor 3 and answers on 4.
_START = (
    "import os, sys\n"
    "read, write = map(int, sys.argv[1:3])\n"
    "a, b = os.dup(read), os.dup(write)\n"
    "[os.dup2(old, new) for old, new in ((a, 13), (b, 14), (13, 3), (14, 4))]\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)
# querySelectorAll that also looks into shadow roots and frames, of which TensorBoard is full.
_HELPERS = """
function inside(element) { return element.shadowRoot || element.contentDocument?.body; }
function all(selector, root = document) {
  const found = [...root.querySelectorAll(selector)];
  for (const element of root.querySelectorAll('*'))
    if (inside(element)) found.push(...all(selector, inside(element)));
  return found;
}
function text(root = document.body ?? document) {
  let out = '';
  for (const node of root.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) out += node.data;
    else if (node.nodeType === Node.ELEMENT_NODE && !/^(STYLE|SCRIPT)$/.test(node.tagName))
      out += ' ' + (inside(node) ? text(inside(node)) : '') + text(node) + ' ';
  }
  return out.replace(/\\s+/g, ' ');
}
"""


def find_chromium() -> str | None:
    """Returns the path of a Chromium or Chrome, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page.

    Example:
        >>> with Chromium() as page:
        ...     page.open("http://localhost:6006")
        ...     page.wait_for("all('text').length > 3")
    """

    def __init__(self, width: int = 1400, height: int = 900) -> None:
        program = find_chromium()
        if program is None:
            raise FileNotFoundError("no Chromium on PATH")
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _START, str(commands), str(answers), program, *_FLAGS),
                f"--user-data-dir={self._profile.name}",
                f"--window-size={width},{height}",
                "about:blank",
            ],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self.show(width, height)

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._write)
        os.close(self._read)
        self._profile.cleanup()

    def show(self, width: int, height: int, *, fineness: float = 1.0, dark: bool = False) -> None:
        """Gives the window a size, pixels of the screen per px, and a preference for dark pages."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": fineness, "mobile": False},
        )
        preferred = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[preferred])

    def open(self, address: str) -> None:
        """Goes to an address; returns before the page has loaded."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)

    def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression, in which `all(selector)` finds elements
        in any shadow root or frame and `text()` is all the text of the page."""
        answer = self._call(
            "Runtime.evaluate",
            expression=f"(async () => {{{_HELPERS}\nreturn ({expression}); }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", str(details)))
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 30.0) -> Any:
        """Returns the value of an expression as soon as it is true.

        Raises:
            TimeoutError: when it never is; with the text of the page.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        shown = self.evaluate("text()")[:2000]
        raise TimeoutError(f"{expression} is still {value!r} after {seconds} s; page: {shown}")

    def click(self, element: str, wheel: int = 0) -> None:
        """Clicks with the mouse on the middle of the element that an expression gives."""
        x, y = self.wait_for(
            f"(e => {{ if (!e) return null; e.scrollIntoView({{block: 'center'}});"
            f" const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})({element})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Presses and releases a key: a character, or a name such as Enter."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, text=text)

    def problems(self, frame: str = "") -> list[str]:
        """Returns what axe-core finds serious or critical, in words.

        Skips the test where the package axe-core-python is not installed.

        Args:
            frame: what the address of a frame of the page contains; "" for the page itself.
        """
        package = pytest.importorskip("axe_core_python", reason="needs axe-core-python")
        script = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
        frames = [self._call("Page.getFrameTree")["frameTree"]]
        for tree in frames:
            frames += tree.get("childFrames", ())
        found = next(one["frame"]["id"] for one in frames if frame in one["frame"]["url"])
        # A world of its own: the page's rules on scripts hold for the page, and stay.
        world = self._call("Page.createIsolatedWorld", frameId=found)["executionContextId"]
        self._call("Runtime.evaluate", contextId=world, expression=f"{script}; 0")
        answer = self._call(
            "Runtime.evaluate",
            contextId=world,
            expression="axe.run(document, {resultTypes: ['violations']}).then(all => all.violations"
            ".filter(one => ['serious', 'critical'].includes(one.impact))"
            ".map(one => one.id + ': ' + one.nodes[0].html.slice(0, 200)))",
            awaitPromise=True,
            returnByValue=True,
        )
        return answer["result"]["value"]

    def screenshot(self, path: str | Path) -> None:
        """Writes what the window shows to a PNG file."""
        data = self._call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            received = os.read(self._read, 1 << 16)
            if not received:
                raise RuntimeError("Chromium ended")
            self._buffer += received
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
