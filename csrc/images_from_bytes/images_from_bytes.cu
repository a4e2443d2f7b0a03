// Bytes to images in [0, 1], where the images are the bytes over 255: a quarter of them travels.
#include "cuda/device.cuh"

// bytes [values] -> images [values], four a thread; both aligned to 16 bytes.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 1) images_from_bytes(const unsigned char* __restrict__ bytes,
                                                      int values, float* __restrict__ images) {
  using namespace geolrm;
  const int first = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (first + 4 <= values) {
    const Bits four = *reinterpret_cast<const Bits*>(bytes + first);
    float pixels[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pixels[i] = static_cast<float>(four >> 8 * i & 0xFFu) / 255.0f;
    store(pixels, images + first);
    return;
  }
  for (int i = first; i < values; ++i) images[i] = static_cast<float>(bytes[i]) / 255.0f;
}
