#!/bin/bash
# In the root of a checkout, on a machine with a GPU and without network:
#   bash FOLDER/start.sh -o OUT [further options of geolrm bench gpu]
# Packages and compiled kernels are unpacked into a temporary folder, which is removed at the end;
# of this project only the compiled extension is among them, and the rest is linked from here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python=${PYTHON:-python3}
"$python" - "$here/packages.tar.xz" "$place" <<'PROGRAM'
import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], filter="data")
PROGRAM
for entry in python/geolrm/* engine export bench examples plugins training csrc; do
  ln -sfn "$PWD/$entry" "$place/site/geolrm/$(basename "$entry")"
done
export PYTHONPATH="$place/site${PYTHONPATH:+:$PYTHONPATH}" GEOLRM_CACHE="$place/cache"
"$python" -c 'import geolrm, geolrm._C; print(geolrm.__file__)'
"$python" -m geolrm.bench.gpu "$@"
