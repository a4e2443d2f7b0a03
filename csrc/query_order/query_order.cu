// Keys that sort positions along a Z-order curve, so that queries side by side read the same rows.
#include "cuda/device.cuh"

namespace geolrm {
#include "arithmetic/morton.h"

// Eight bits of x in [-half, half]; what lies outside or is no number goes to the nearest end.
GEOLRM_DEVICE Bits place_in_cube(float x, float half) {
  const float place = (x + half) * (128.0f / half);
  return place > 0.0f ? static_cast<Bits>(min(place, 255.0f)) : 0u;
}

}  // namespace geolrm

// positions [count, 3] -> keys [count], 24 bits, and ids [count] = 0, 1, ...; `half` is half the
// cube's side, as float32 bits.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 1)
    query_order(const float* __restrict__ positions, int count, int half,
                geolrm::Bits* __restrict__ keys, geolrm::Bits* __restrict__ ids) {
  using namespace geolrm;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float side = __uint_as_float(static_cast<unsigned>(half));
  Bits key = 0;
  for (int axis = 0; axis < 3; ++axis) {
    key |= spread_bits(place_in_cube(positions[3 * i + axis], side)) << (2 - axis);
  }
  keys[i] = key;
  ids[i] = static_cast<Bits>(i);
}
