"""What ``serve run geolrm.fleet.app:app`` and a RayService name.

Fields of :class:`geolrm.fleet.serving.settings.Settings` are its arguments::

    serve run geolrm.fleet.app:app model=/bundles/mine max_replicas=8
"""

import os

from ray.serve import Application

from geolrm.engine.bundle.bundle import Bundle
from geolrm.fleet.serving.deployments import make_application
from geolrm.fleet.serving.settings import Settings
from geolrm.fleet.serving.tokens import read_token


def app(settings: Settings) -> Application:
    """Make the application, after the token and the model were looked at.

    Raises:
        InputError: The token cannot be read.
        BundleError: The model is missing or damaged.
    """
    read_token(settings.token_file, os.environ)
    Bundle.open(settings.model)
    return make_application(settings)
