"""The GPU as a backend: device memory, plans, engines of TensorRT and CUDA kernels, without torch.

The kernels' sources are compiled where they run, and each has one launcher.
"""
