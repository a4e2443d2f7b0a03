"""What ``serve run geolrm.fleet.app:app`` and a RayService name.

Fields of :class:`geolrm.fleet.serving.settings.Settings` are its arguments::

    serve run geolrm.fleet.app:app model=/bundles/mine max_replicas=8
"""

from geolrm.fleet.serving.deployments import make_application as app

__all__ = ["app"]
