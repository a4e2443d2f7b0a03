"""What photographs do to a reconstruction that renders do not: cut frames, wrong poses."""

from geolrm.bench.photos.benchmark import main as main
