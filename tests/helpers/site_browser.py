"""Open every page of a built site in headless Chromium, at several widths, without a network."""

import json
import shutil
import subprocess
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DESKTOP_PX, PHONE_PX = 1280, 390

# Loads one page after the other into a frame of each width, and posts what is wrong with each.
_HARNESS = """<!doctype html><meta charset="utf-8"><title>check</title><body><script>
const raw = [/\\*\\*\\S/, /\\|\\s*:?--/, /^#{1,6} \\S/m, /\\]\\((?:\\w|\\.|#)/, /```/];
const sleep = ms => new Promise(done => setTimeout(done, ms));
function proseOf(frame) {
  const copy = frame.querySelector("article, main, body").cloneNode(true);
  copy.querySelectorAll("pre, code, script, style, svg, .jp-Cell-inputWrapper")
    .forEach(one => one.remove());
  return copy.textContent;
}
function wider(document, width) {
  const found = [];
  for (const one of document.querySelectorAll("article *")) {
    const style = one.ownerDocument.defaultView.getComputedStyle(one);
    const box = one.getBoundingClientRect();
    if (box.right > width + 1 && box.width) {
      let inside = false;
      for (let up = one.parentElement; up && up.tagName !== "BODY"; up = up.parentElement) {
        const flow = up.ownerDocument.defaultView.getComputedStyle(up).overflowX;
        inside ||= ["auto", "scroll", "hidden", "clip"].includes(flow);
      }
      if (!inside && style.position !== "fixed") found.push(one.tagName + "." + one.className);
    }
  }
  return found.slice(0, 3);
}
async function check(page, width) {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  document.body.replaceChildren(frame);
  const problems = [], loaded = new Promise(done => frame.onload = done);
  frame.src = "/" + page;
  await loaded;
  const view = frame.contentWindow, inside = frame.contentDocument;
  inside.querySelectorAll("img").forEach(one => one.loading = "eager");
  await inside.fonts.ready;
  for (let n = 0; n < 40 && [...inside.images].some(one => !one.complete); n++) await sleep(50);
  await sleep(60);
  const root = inside.documentElement;
  if (!inside.title || !inside.querySelector("h1")) problems.push("no title or no heading");
  if (root.scrollWidth > width) problems.push(`is ${root.scrollWidth} px wide`);
  for (const one of wider(inside, width)) problems.push(`reaches over the edge: ${one}`);
  for (const one of inside.images)
    if (!one.naturalWidth) problems.push(`broken image ${one.getAttribute("src")}`);
  for (const one of view.performance.getEntriesByType("resource"))
    if (!one.name.startsWith(location.origin) && !one.name.startsWith("data:"))
      problems.push(`requests ${one.name}`);
  const prose = proseOf(inside);
  for (const one of raw) {
    const found = prose.match(one);
    if (found) {
      const near = prose.slice(Math.max(0, found.index - 30), found.index + 40);
      problems.push(`raw Markdown: ${JSON.stringify(near)}`);
    }
  }
  return problems.map(one => `${page} at ${width} px: ${one}`);
}
(async () => {
  const problems = [];
  for (const page of PAGES) for (const width of WIDTHS)
    problems.push(...await check(page, width).catch(error => [`${page}: ${error}`]));
  await fetch("/_report", {method: "POST", body: JSON.stringify(problems)});
})();
</script></body>"""


class _Site(SimpleHTTPRequestHandler):
    """Serve a folder and the page that checks it; receive the list of problems.

    Attributes:
        found: the problems of all pages; empty until the browser has posted them.
        harness: the page that checks the others.
        is_done: set when the problems have arrived.
        lost: paths that a page asked for and that are not there.
    """

    found: list[str]
    harness: str
    is_done: Event
    lost: list[str]

    def do_GET(self) -> None:
        if self.path != "/_check":
            super().do_GET()
            return
        content = self.harness.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.found += json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.is_done.set()

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.lost.append(f"{self.path}: {code}")
        super().send_error(code, message, explain)


def problems_of_site(
    site: Path,
    *,
    widths: tuple[int, ...] = (DESKTOP_PX, PHONE_PX),
    timeout_s: float = 400,
) -> list[str]:
    """Return what is wrong with the pages of a site as a browser shows them.

    A page must not be wider than the window, ask for anything outside its server, write an error
    into the console, show raw Markdown, or lack a picture, a title or a heading. The browser
    resolves no name, so that it reaches nothing but this server.

    Args:
        site: the folder of the built site.
        widths: widths of the window in pixels.
        timeout_s: the longest time for all pages in seconds.
    """
    assert CHROMIUM is not None
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    made: dict[str, Any] = {
        "found": [],
        "lost": [],
        "is_done": Event(),
        "harness": _HARNESS.replace("PAGES", json.dumps(pages)).replace(
            "WIDTHS", json.dumps(widths)
        ),
    }
    handler = type("_ThisSite", (_Site,), made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    # The browser's own processes may still write to the profile when it has ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "browser.log"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        options += [f"--user-data-dir={profile}/profile", "--window-size=1400,1000"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        address = f"http://127.0.0.1:{server.server_port}/_check"
        with (
            log.open("wb") as stream,
            subprocess.Popen(
                [CHROMIUM, *options, "--remote-debugging-port=0", address],
                stderr=stream,
                stdout=stream,
            ) as browser,
        ):
            try:
                is_done = made["is_done"].wait(timeout_s)
            finally:
                browser.terminate()
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    server.shutdown()
    server.server_close()
    assert is_done, f"the browser did not finish {len(pages)} pages in {timeout_s} s"
    console = [line for line in said if "CONSOLE" in line and "favicon" not in line]
    lost = [one for one in made["lost"] if "favicon.ico" not in one]
    return [*made["found"], *lost, *console]
