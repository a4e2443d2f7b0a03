"""Splats and their input cameras as one web page that opens without a network.

Takes a splat file and the capture it came from, or reconstructs the bundled shoe.

    python examples/08_view.py [SPLATS] [--capture CAPTURE] [-o OUT]
"""

import argparse
from pathlib import Path

from geolrm import load_capture
from geolrm.examples import capture_path, load_or_reconstruct
from geolrm.viewer import Exhibit, InputViews, write_page


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("splats", type=Path, nargs="?")
    parser.add_argument("--capture", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/view.html"))
    args = parser.parse_args()

    views = None
    if args.capture is not None or args.splats is None:
        capture = load_capture(args.capture or capture_path("shoe"))
        views = InputViews.from_capture(capture.subset(capture.cameras.spread(6)))
    title = "shoe" if args.splats is None else args.splats.stem
    exhibit = Exhibit(title, load_or_reconstruct(args.splats), views=views)
    size = write_page(exhibit, args.output)
    print(f"{size / 1e6:.1f} MB -> {args.output}; open it in a browser")


if __name__ == "__main__":
    main()
