"""Many captures and many requests, on one machine or on a Ray cluster.

``from geolrm.fleet.batch import run_batch`` is ``geolrm batch``; nothing is imported before.
"""
