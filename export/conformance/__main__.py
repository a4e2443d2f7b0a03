"""The command of the conformance check."""

import argparse
import json
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError

from geolrm.engine.errors import CheckpointError, GeoLRMError, InputError
from geolrm.engine.system.extras import require

# What NumPy, torch, zipfile, json and safetensors raise for a damaged or incomplete case.
MALFORMED = (
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def main(arguments: list[str] | None = None) -> int:
    """Print every comparison; return 0 only when all are within tolerance."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.export.conformance")
    parser.add_argument("case", type=Path, help="folder with config.json, weights and io.npz")
    parser.add_argument("--variant", help="default: every variant recorded")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args(arguments)
    try:
        for package in ("torch", "onnx", "onnxscript"):
            require(package, "the conformance check")
        from geolrm.export.conformance.case import VARIANTS, Case
        from geolrm.export.conformance.comparison import compare

        if options.variant not in (None, *VARIANTS):
            raise InputError(
                f"--variant is {options.variant!r}; it must be one of {', '.join(VARIANTS)}"
            )
        case = Case.load(options.case)
        present = [v for v in VARIANTS if any(n.startswith(f"gen.{v}.") for n in case.arrays)]
        variants = [options.variant] if options.variant else present
        if not variants or not set(variants) <= set(present):
            wanted = options.variant or "any variant"
            raise InputError(f"{str(options.case)!r} records no gen.* array of {wanted}")
        results = [result for variant in variants for result in compare(case, variant)]
    except MALFORMED as error:
        if isinstance(error, InputError | CheckpointError):
            print(f"error: {error}", file=sys.stderr)
            return 2
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(f"error: {str(options.case)!r} is a malformed case: {reason}", file=sys.stderr)
        return 2
    except GeoLRMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    failed = [result for result in results if not result.passed]
    if options.json:
        rows = [{**asdict(result), "passed": result.passed} for result in results]
        print(json.dumps({"passed": not failed, "comparisons": rows}, indent=1))
    else:
        for r in results:
            verdict = "ok" if r.passed else "FAILED"
            print(
                f"{r.side:6} {r.variant:13} {r.array:38} {r.error:9.2e} "
                f"<= {r.tolerance:7.0e} {verdict}"
            )
        print(f"{len(results)} arrays, {len(failed)} outside their tolerance")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
