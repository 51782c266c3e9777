"""A headless Chromium, driven over its own pipe: no driver, no package.

Chromium's DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) comes
as JSON messages that end in a zero byte, on file descriptors 3 (in) and 4 (out).
"""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

PROGRAM = next(filter(shutil.which, ("chromium", "chromium-browser", "chrome")), None)


class Chromium:
    """One page of one browser; a context manager, which ends the browser.

    Args:
        profile: an empty folder.
        flags: further command line flags.
    """

    def __init__(self, profile: Path, *flags: str):
        to_browser, self._out = os.pipe()
        back, from_browser = os.pipe()
        command = [
            *("sh", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "sh"),
            *(PROGRAM, "--headless", "--no-sandbox", "--remote-debugging-pipe"),
            *(f"--user-data-dir={profile}", "--disable-dev-shm-usage", *flags),
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        ends = (to_browser, from_browser)
        self._process = subprocess.Popen(command, pass_fds=ends, **quiet)
        for end in ends:
            os.close(end)
        self._in = os.fdopen(back, "rb")
        self._waiting, self._count, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *error) -> None:
        os.close(self._out)  # Chromium ends when nobody can tell it anything
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._in.close()

    def call(self, method: str, **parameters) -> dict:
        """One command of the protocol, and its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (reply := self._next()).get("id") != self._count:
            pass  # an event
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    def _next(self) -> dict:
        while b"\0" not in self._waiting:
            received = os.read(self._in.fileno(), 1 << 20)
            if not received:
                raise RuntimeError("Chromium has ended")
            self._waiting += received
        message, self._waiting = self._waiting.split(b"\0", 1)
        return json.loads(message)

    def run(self, script: str):
        """The value of JavaScript in the page; a promise is waited for."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self.call("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """What is to be seen, as a PNG file."""
        data = self.call("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(data))
