"""A GPU: device arrays, TensorRT or ONNX Runtime, and CUDA kernels."""
