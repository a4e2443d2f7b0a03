// Sums over a block of kScanThreads threads.
#pragma once

#include "cuda/device.cuh"

namespace geolrm {

constexpr int kScanThreads = 256;

// The sum of x over the threads before this one, in thread order; `total` gets that over all.
GEOLRM_DEVICE Bits sum_before(Bits x, Bits& total) {
  GEOLRM_SHARED Bits of_warps[kScanThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  Bits sum = x;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const Bits before = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += before;
  }
  if (lane == kWarp - 1) of_warps[warp] = sum;
  __syncthreads();
  Bits before = 0, all = 0;
#pragma unroll
  for (int i = 0; i < kScanThreads / kWarp; ++i) {
    if (i < warp) before += of_warps[i];
    all += of_warps[i];
  }
  __syncthreads();  // of_warps may be used again
  total = all;
  return before + sum - x;
}

}  // namespace geolrm
