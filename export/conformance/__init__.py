"""Torch model and engine against recorded arrays of the released model.

``python -m geolrm.export.conformance CASE_DIR [--variant VARIANT] [--json]``, where the variant is
``head``, ``token.scale1`` or ``token.scale05``. A case is a folder with ``config.json``,
``weights.safetensors`` (the checkpoint's key names) and ``io.npz`` (inputs and every intermediate
array).
"""
