"""A headless Chromium, driven over its own pipe, without a driver or a package.

This measures nothing itself: `benchmarks.browser` and the tests of web/ use it.
Chromium's DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)
consists of JSON messages that end in a zero byte, on file descriptors 3 (in), 4 (out).
"""

import base64
import json
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
        command = [
            *("sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh"),
            *(PROGRAM, "--headless", "--no-sandbox", "--remote-debugging-pipe"),
            *(f"--user-data-dir={profile}", "--disable-dev-shm-usage", *flags),
        ]
        self._browser = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._waiting, self._count, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *error) -> None:
        # Chromium ends if its input does.
        self._browser.stdin.close()
        try:
            self._browser.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._browser.kill()
            self._browser.wait()
        self._browser.stdout.close()

    def call(self, method: str, **parameters) -> dict:
        """One command of the protocol, and its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._browser.stdin.write(json.dumps(message).encode() + b"\0")
        reply = self._next()
        while reply.get("id") != self._count:  # an event
            reply = self._next()
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    def _next(self) -> dict:
        while b"\0" not in self._waiting:
            received = self._browser.stdout.read(1 << 20)
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
        """Writes what is to be seen as a PNG file."""
        data = self.call("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(data))
