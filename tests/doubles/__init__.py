"""Doubles: what stands in for a GPU, its driver and other people's libraries where they are absent.

========================= ============================== ========================================
module                    stands in for                  what it cannot show
========================= ============================== ========================================
device                    a GPU, its memory and streams  speed; races between threads of a kernel;
                          and ONNX Runtime's CUDA        that NVIDIA's packages take our calls
                          provider
driver, kernels           ``libcuda.so.1``, under the    what a real driver refuses; timings
                          real ``cuda.core`` packages
tensorrt_runtime          ``tensorrt`` and               numbers of a real TensorRT engine, which
                          ``tensorrt_rtx`` at run time   fuses and rounds on its own
tensorrt_builder          ``tensorrt`` while TensorRT    that TensorRT accepts a graph
                          engines are built
tensorrt_plugin_builds    TensorRT's libraries, under    that a plugin's kernel runs inside
                          its real Python bindings       TensorRT
gsplat                    ``gsplat.rasterization``       that gsplat renders as we do
lpips                     torchmetrics' LPIPS network    LPIPS itself
========================= ============================== ========================================

A real GPU runs the tests marked ``gpu`` instead; ``geolrm bench gpu`` calls them.
"""
