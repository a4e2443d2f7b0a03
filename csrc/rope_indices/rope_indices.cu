// Positions to the integers that 3D RoPE rotates by: engine/geometry/voxel_grid.py's rope_indices,
// in the same order of roundings, so that they truncate alike.
#include "cuda/device.cuh"

// positions [values], rows of (x, y, z) -> indices [values]; `scale` and `last` (G - 1) as float32
// bits.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 1)
    rope_indices(const float* __restrict__ positions, int values, int scale, int last,
                 long long* __restrict__ indices) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= values) return;
  const float unit = positions[i] / __uint_as_float(static_cast<unsigned>(scale)) + 1.0f;
  const float place = unit * __uint_as_float(static_cast<unsigned>(last)) / 2.0f;
  indices[i] = static_cast<long long>(place);  // towards zero
}
