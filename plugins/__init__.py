"""The CUDA kernels as TensorRT plugins.

They are quick-deployable and ahead of time: what a TensorRT engine stores is the PTX of kernels in
``csrc``, a grid as expressions of the shapes, and integers. So it needs no plugin
library and no Python where it runs. Nothing is computed here that
``engine/backends/cuda/kernels.py`` does not compute for the other backends.
"""
