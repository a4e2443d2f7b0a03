"""The CUDA kernels: their sources, their compiler, and one launcher for each."""
