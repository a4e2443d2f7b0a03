"""Benchmarks: kernels, engine, rasterizers and formats on this machine; quality on captures."""
