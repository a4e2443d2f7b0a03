"""A plugin of pytest: geolrm._C is the one that GEOLRM_SANITIZED's folder holds."""

import importlib.util
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

folder = Path(os.environ["GEOLRM_SANITIZED"], "geolrm")
path = folder / f"_C{EXTENSION_SUFFIXES[0]}"
spec = importlib.util.spec_from_file_location("geolrm._C", path)
assert spec and spec.loader
sys.modules["geolrm._C"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
