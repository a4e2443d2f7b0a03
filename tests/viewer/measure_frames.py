"""Counts what a page of many splats costs: until it shows them, and for every frame of a turn.

WebGL is drawn in software here, so frames a second say nothing of a graphics card; the counts of
draw calls, splats sorted and bytes moved, and the time of the script, hold for any.

    python tests/viewer/measure_frames.py [--splats 524288] [--sh] [--side 160] [--whole]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.chromium import Tab, open_browser

from geolrm import Gaussians
from geolrm.viewer import Exhibit, parts, write_page

# Counts calls and bytes on their way to the graphics card, before the page's script runs.
COUNT = """(() => {
  const counts = window.counts = { draws: 0, instances: 0, uploaded: 0, read: 0, sorts: 0 };
  const context = WebGL2RenderingContext.prototype;
  const wrap = (name, note) => {
    const call = context[name];
    context[name] = function (...args) { note(args); return call.apply(this, args); };
  };
  const bytes = (args) => args.reduce((most, a) => Math.max(most, a?.byteLength ?? 0), 0);
  for (const name of ["drawArrays", "drawElements"]) wrap(name, () => counts.draws++);
  for (const name of ["drawArraysInstanced", "drawElementsInstanced"])
    wrap(name, (args) => { counts.draws++; counts.instances += args.at(-1); });
  for (const name of ["bufferData", "bufferSubData", "texImage2D", "texSubImage2D", "texImage3D",
                      "texSubImage3D"])
    wrap(name, (args) => { counts.uploaded += bytes(args); });
  wrap("readPixels", ([, , width, height]) => { counts.read += 4 * width * height; });
  const sorts = window.sorts = [];
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message?.name === "sortSplats32") {
      counts.sorts++;
      const start = performance.now();
      this.addEventListener("message", () => sorts.push(performance.now() - start), { once: true });
    }
    return post.call(this, message, ...rest);
  };
  // When the first splats are on the canvas: reading a pixel waits for the drawing.
  new MutationObserver(() => {
    if (window.firstDrawn || !document.documentElement.classList.contains("live")) return;
    const gl = geolrm.stage.renderer.getContext();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    window.firstDrawn = performance.now();
  }).observe(document, { attributes: true, subtree: true, attributeFilter: ["class"] });
  window.long = [];
  new PerformanceObserver((list) => window.long.push(...list.getEntries().map((e) => e.duration)))
    .observe({ type: "longtask", buffered: true });
})()"""
TURN = """async (frames) => {
  const { stage, layers } = geolrm;
  await geolrm.settle();
  const before = { ...counts };
  const times = [];
  const frame = stage.frame.bind(stage);
  stage.frame = (time) => {
    const start = performance.now();
    frame(time);
    times.push(performance.now() - start);
  };
  const started = performance.now();
  geolrm.setTurning(true);
  while (times.length < frames) await new Promise((resolve) => setTimeout(resolve, 5));
  const seconds = (performance.now() - started) / 1000;
  const detail = stage.renderer.getPixelRatio();
  geolrm.setTurning(false);
  const after = { ...counts };
  await geolrm.settle();
  const rested = { ...counts };
  const drawn = stage.frames;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  delete stage.frame;
  const per = (key) => (after[key] - before[key]) / frames;
  times.sort((a, b) => a - b);
  return {
    seconds, "pixel ratio while turning": detail,
    "draw calls a frame": per("draws"), "splats drawn a frame": per("instances"),
    "bytes uploaded a frame": per("uploaded"), "bytes read a frame": per("read"),
    "sorts a frame": per("sorts"),
    "worker ms a sort, median": sorts.sort((a, b) => a - b)[sorts.length >> 1],
    "script ms a frame, median": times[frames >> 1], "script ms a frame, most": times.at(-1),
    "frames in a second at rest": stage.frames - drawn,
    "sorts in a second at rest": counts.sorts - rested.sorts,
  };
}"""


def ball(count, harmonics):
    """A bumpy ball of random discs."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bumps = 1 + 0.1 * np.prod(np.sin([9, 7, 8] * directions), axis=1, keepdims=True)
    colors = 0.5 + 0.45 * np.sin(20 * directions + [0, 2, 4])
    sh = None
    if harmonics:
        sh = rng.normal(0, 0.1, (count, 16, 3))
        sh[:, 0] = (colors - 0.5) / 0.28209479177387814
    turns = rng.standard_normal((count, 4))
    return Gaussians(
        means=0.4 * bumps * directions,
        opacities=rng.uniform(0.3, 0.99, count),
        scales=np.exp(rng.normal(np.log(1.2 / np.sqrt(count)), 0.4, (count, 3))),
        quats=turns / np.linalg.norm(turns, axis=1, keepdims=True),
        colors=None if harmonics else colors,
        sh=sh,
    )


def measure(browser, page, side, frames):
    """What one page took, in the order of its life."""
    tab = Tab(browser, page, size=(side, side), ready=False, before=COUNT)
    tab.page.wait_for_function("() => document.documentElement.classList.contains('live')")
    tab.page.wait_for_selector("html.ready")
    found = tab.page.evaluate(
        """async () => {
          await geolrm.settle();
          const gl = geolrm.stage.renderer.getContext();
          gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
          const round = Math.round;
          return {
            "parts decoded: [splats, ms]": geolrm.loaded.map(([n, ms]) => [n, round(ms)]),
            "first splats drawn after ms": round(window.firstDrawn),
            "all splats drawn after ms": round(performance.now()),
            "frames drawn until then": geolrm.stage.frames,
            "splats drawn until then": counts.instances,
            "sorts until then": counts.sorts,
            "longest task of the script, ms": round(Math.max(0, ...window.long)),
          };
        }"""
    )
    found |= tab.page.evaluate(TURN, frames)
    assert tab.messages == [], tab.messages
    tab.context.close()
    return found


def main():
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splats", type=int, default=524_288)
    parser.add_argument("--sh", action="store_true", help="with harmonics of degree 3")
    parser.add_argument("--side", type=int, default=160, help="of the window, in pixels")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--whole", action="store_true", help="in one part, for comparison")
    args = parser.parse_args()
    splats = ball(args.splats, args.sh)
    if args.whole:
        parts.FIRST = args.splats
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        page = Path(folder) / "ball.html"
        written = write_page(Exhibit("ball", splats), page)
        found = {"page bytes": written} | measure(browser, page, args.side, args.frames)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
