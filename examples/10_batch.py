"""Many captures at once, as ``geolrm batch CAPTURES -o OUT``, and how to go on from its table.

Takes capture folders, folders of them, globs, zip files or lists, with the extra ``[fleet]``. Call
it twice: the second time nothing is left to do.

    python examples/10_batch.py [INPUT ...] [-o OUT] [--views 6] [--ray]
"""

import argparse
import json
from pathlib import Path

from geolrm.examples import CAPTURES
from geolrm.fleet.batch import run_batch
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.ray_pool import PoolSettings


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="*", default=[str(CAPTURES)])
    parser.add_argument("-o", "--output", type=Path, default=Path("out/batch"))
    parser.add_argument("--views", default="6")
    parser.add_argument("--ray", action="store_true", help="a worker a core, by Ray")
    args = parser.parse_args()

    summary = run_batch(
        args.inputs,
        args.output,
        options=CaptureOptions(views=args.views, max_tokens=1024, refine=0),
        local=not args.ray,
        pool=PoolSettings(cores=1),
        report=lambda record, progress: print(progress),
    )
    for failed in summary.failures:
        print(f"failed: {failed.id}: {failed.error}")

    lines = (args.output / "results.jsonl").read_text(encoding="utf-8").splitlines()
    done = [record for record in map(json.loads, lines) if record["status"] == "done"]
    worst = min(done, key=lambda record: record["psnr"] or 0.0)
    print(f"{summary.done} done, {summary.kept} before -> {args.output / 'index.html'}")
    print(
        f"the worst is {worst['id']}: {worst['psnr']:.1f} dB over its {len(worst['views'])} views"
    )


if __name__ == "__main__":
    main()
