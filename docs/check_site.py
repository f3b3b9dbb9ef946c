"""Open every page of the built site in headless Chromium, on a screen and on a phone.

    python docs/check_site.py docs/_build/html
    python docs/check_site.py docs/_build/html --only index start --screenshots pictures

A page fails if

* its body is wider than the window, or on the screen its header higher than one line;
* a title, a signature, or a name in the navigation is cut off at the right;
* text outside of code still holds ``\\(`` or ``\\[``, or a formula shows an error;
* an image did not load;
* the console shows an error, or the page asks another host for anything.

Pages are read from the disk, so nothing may need a network. Needs Chromium or Chrome, and nothing
else: they speak the DevTools protocol over a pair of pipes. Ends with status 3 where there is no
browser.
"""

import argparse
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEADLINE = 120  # seconds for one page
SIZES = {"screen": (1280, 900), "phone": (390, 844)}
BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
FLAGS = [
    "--remote-debugging-pipe",
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

# Resolves when formulas are typeset and images are there, or have failed.
READY = """(async () => {
    if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
    await document.fonts.ready;
})()"""

# What is wrong with the page, as a list of sentences.
FAULTS = r"""(() => {
    const faults = [], width = window.innerWidth, root = document.documentElement;
    const name = e => e.tagName.toLowerCase() + (e.className ? "." + e.className : "");
    if (Math.max(root.scrollWidth, document.body.scrollWidth) > width) {
        const clipped = e => {
            for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
                if (getComputedStyle(p).overflowX !== "visible") return true;
            return false;
        };
        const wide = [...document.body.querySelectorAll("*")].filter(
            e => e.getBoundingClientRect().right > width + 0.5 && !clipped(e));
        const worst = wide.length ? name(wide[wide.length - 1]) : "an element";
        faults.push(`is ${root.scrollWidth} px wide (${worst})`);
    }
    const header = document.querySelector("#pst-header");
    if (width > 1000 && header && header.offsetHeight > 90)
        faults.push(`has a header of ${header.offsetHeight} px`);
    const names = "article :is(h1, h2, h3, .sig, dl dt), .prev-next-title, .page-toc code";
    for (const e of document.querySelectorAll(names)) {
        let box = e, text = document.createRange();
        while (box && getComputedStyle(box).overflowX === "visible") box = box.parentElement;
        text.selectNodeContents(e);
        const edge = Math.min(width, box ? box.getBoundingClientRect().right : width);
        if (e.offsetParent && text.getBoundingClientRect().right > edge + 1)
            faults.push(`cuts off ${e.textContent.trim().slice(0, 60)}`);
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode, code = "pre, code, script, style, textarea";
        if (/\\[(\[]/.test(text.data) && !text.parentElement.closest(code))
            faults.push(`shows raw LaTeX: ${text.data.trim().slice(0, 60)}`);
    }
    for (const error of document.querySelectorAll("mjx-merror, .mjx-error, [data-mjx-error]"))
        faults.push(`has a broken formula: ${error.textContent.slice(0, 60)}`);
    for (const image of document.images)
        if (!image.complete || image.naturalWidth === 0)
            faults.push(`lacks the image ${image.getAttribute("src")}`);
    return faults;
})()"""


class Browser:
    """One tab of a headless browser, and what its console said since it was last asked."""

    def __init__(self, program, folder):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def as_3_and_4():  # where the browser looks for the pipes
            there, back = os.dup(to_browser), os.dup(from_browser)
            os.dup2(there, 3)
            os.dup2(back, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=as_3_and_4,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._count, self._session = b"", 0, None
        self._end = time.monotonic() + DEADLINE
        self.messages, self.loaded = [], False
        tabs = self.call("Target.getTargets")["targetInfos"]
        tab = next(t["targetId"] for t in tabs if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=tab, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The result of a method of the DevTools protocol; events on the way are looked at."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self):
        while b"\0" not in self._buffer:
            left = max(self._end - time.monotonic(), 0)
            if not select.select([self._in], [], [], left)[0]:
                raise TimeoutError(f"no answer in {DEADLINE} s")
            more = os.read(self._in, 1 << 20)
            if not more:
                raise RuntimeError("the browser has ended")
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event):
        method, what = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.messages.append(f"throws {text.splitlines()[0]}")
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            text = " ".join(str(a.get("value", a.get("description"))) for a in what["args"])
            self.messages.append(f"console: {text[:200]}")
        elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
            entry = what["entry"]
            self.messages.append(f"console: {entry['text'][:200]} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            url = what["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:", "about:")):
                self.messages.append(f"asks for {url}")

    def open(self, url):
        self.messages, self.loaded = [], False
        self._end = time.monotonic() + DEADLINE
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self._note(self._read())
        self.evaluate(READY)

    def resize(self, width, height):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def evaluate(self, expression):
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return result["result"].get("value")

    def picture(self, path):
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call(
            "Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1}
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()


def check(site, pages, program, pictures):
    """Print what is wrong on which page at which size; the number of faults."""
    n_faults = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        try:
            for page in pages:
                name = page.relative_to(site).with_suffix("").as_posix()
                try:
                    faults = faults_of(browser, page, name, pictures)
                except TimeoutError as error:  # the tab hangs: the rest needs another
                    faults = [str(error)]
                    browser.close()
                    browser = Browser(program, folder)
                for fault in dict.fromkeys(faults):
                    print(f"{name}  {fault}")
                n_faults += len(set(faults))
        finally:
            browser.close()
    return n_faults


def faults_of(browser, page, name, pictures):
    """What is wrong with one page, at all sizes."""
    browser.resize(*SIZES["screen"])
    browser.open(page.as_uri())
    faults = []
    for size, shape in SIZES.items():
        browser.resize(*shape)
        faults += [f"{size}: {fault}" for fault in browser.evaluate(FAULTS)]
        if pictures:
            browser.picture(pictures / f"{name.replace('/', '.')}.{size}.png")
    return faults + browser.messages


def main():
    """Check the pages that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="the folder of the built pages")
    parser.add_argument(
        "--only", nargs="*", default=[], help="pages, such as index theory/spectral"
    )
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of each page")
    arguments = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"no browser: looked for {', '.join(BROWSERS)}")
        return 3
    site = arguments.site.resolve()
    pages = [site / f"{name}.html" for name in arguments.only] or sorted(site.rglob("*.html"))
    pages = [page for page in pages if "_static" not in page.parts]
    if not pages:
        print(f"no pages in {site}")
        return 2
    if missing := [str(page) for page in pages if not page.is_file()]:
        print(f"no such page: {', '.join(missing)}")
        return 2
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    n_faults = check(site, pages, program, arguments.screenshots)
    print(f"{len(pages)} pages at {len(SIZES)} sizes: {n_faults} faults")
    return int(n_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
