"""Sources of the CUDA kernels, shipped to be compiled for the GPU at hand."""
