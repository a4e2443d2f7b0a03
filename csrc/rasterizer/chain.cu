// From the sums over a splat's pixels through its projection to the arrays and the camera.
#include "rasterizer/splat.cuh"

namespace geolrm {

#include "arithmetic/spherical_harmonics_gradient.h"
#include "arithmetic/splat_gradient.h"

constexpr int kSums = 10;
constexpr int kOfCamera = 8;  // turn, shift, focal lengths
constexpr int kChainThreads = 128;

}  // namespace geolrm

// Adds to dL/d(means [count, 3], opacities [count], scales [count, 3], quats [count, 4], color:
// colors [count, 3], or with sh [count, coefficients, 3]), a thread a rank; splats whose sums are
// all zero get nothing. of_blocks [blocks, 8] float64, where it is not null: what they say to the
// camera.
GEOLRM_KERNEL GEOLRM_BOUNDS(128, 2)
    chain_splats(const float* __restrict__ means, const float* __restrict__ opacities,
                 const float* __restrict__ scales, const float* __restrict__ quats,
                 const float* __restrict__ sh, int coefficients,
                 const geolrm::SplatView* __restrict__ views, const geolrm::Bits* __restrict__ ids,
                 const int* __restrict__ visible, const float* __restrict__ sums,
                 float* __restrict__ to_means, float* __restrict__ to_opacities,
                 float* __restrict__ to_scales, float* __restrict__ to_quats,
                 float* __restrict__ to_color, double* __restrict__ of_blocks) {
  using namespace geolrm;
  const int rank = blockIdx.x * blockDim.x + threadIdx.x;
  const SplatView& view = views[0];
  double camera[kOfCamera] = {0, 0, 0, 0, 0, 0, 0, 0};
  float sum[kSums];
  bool any = false;
  if (rank < *visible) {
#pragma unroll
    for (int k = 0; k < kSums; ++k) {
      sum[k] = sums[static_cast<Index>(rank) * kSums + k];
      any |= sum[k] != 0.0f;
    }
  }
  if (any) {
    const Index i = ids[rank];
    const GradientView seen = {
        view.rotation,  view.translation, {view.focal[0], view.focal[1]}, view.clip_low,
        view.clip_high, view.eps2d,       view.antialiased != 0.0};
    ChainedSplat to;
    chain_splat(means + 3 * i, scales + 3 * i, quats + 4 * i, seen, sum, to);
#pragma unroll
    for (int k = 0; k < 3; ++k) to_scales[3 * i + k] += static_cast<float>(to.scale[k]);
#pragma unroll
    for (int k = 0; k < 4; ++k) to_quats[4 * i + k] += static_cast<float>(to.quat[k]);
    to_opacities[i] += static_cast<float>(static_cast<double>(sum[0]) / opacities[i]);
    if (sh) {
      const double color[3] = {sum[6], sum[7], sum[8]};
      const Index at = 3 * coefficients * i;
      add_sh_gradient<float>(means + 3 * i, view.centre, sh + at, coefficients, color, to.mean,
                             to_color + at);
    } else {
#pragma unroll
      for (int k = 0; k < 3; ++k) to_color[3 * i + k] += sum[6 + k];
    }
#pragma unroll
    for (int k = 0; k < 3; ++k) to_means[3 * i + k] += static_cast<float>(to.mean[k]);
    if (of_blocks) add_camera_gradient(seen, to, camera, camera + 3, camera + 6);
  }
  if (!of_blocks) return;
  GEOLRM_SHARED double of_warps[kChainThreads / kWarp][kOfCamera];
#pragma unroll
  for (int k = 0; k < kOfCamera; ++k) {
    double x = camera[k];
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
    if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp][k] = x;
  }
  __syncthreads();
  if (threadIdx.x >= kOfCamera) return;
  double x = 0;
#pragma unroll
  for (int w = 0; w < kChainThreads / kWarp; ++w) x += of_warps[w][threadIdx.x];
  of_blocks[static_cast<Index>(blockIdx.x) * kOfCamera + threadIdx.x] = x;
}

// to_camera [8] gets the sum of of_blocks [blocks, 8], in order: one warp a number.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    sum_camera(const double* __restrict__ of_blocks, int blocks, double* __restrict__ to_camera) {
  using namespace geolrm;
  const int lane = threadIdx.x % kWarp, number = threadIdx.x / kWarp;
  double x = 0;
  for (int block = lane; block < blocks; block += kWarp) {
    x += of_blocks[static_cast<Index>(block) * kOfCamera + number];
  }
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  if (lane == 0) to_camera[number] = x;
}
