"""The CPU: NumPy arrays, ONNX Runtime and native kernels."""
