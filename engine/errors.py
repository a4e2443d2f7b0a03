"""Errors that a user can act on: each message names the value, the rule and the remedy."""


class GeoLRMError(Exception):
    """Base of what geolrm raises on purpose."""


class InputError(GeoLRMError, ValueError):
    """Images, cameras, options or files that the engine cannot work with."""


class BundleError(GeoLRMError):
    """A model bundle that is missing, damaged, or made for another version."""


class CheckpointError(GeoLRMError, ValueError):
    """A checkpoint that does not hold the expected tensors."""


class VerificationError(GeoLRMError):
    """An exported graph that differs from the model by more than its gate."""


class DeviceMemoryError(GeoLRMError):
    """A GPU without the memory that is asked of it; what ran there before goes on."""
