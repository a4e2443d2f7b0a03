// Stable radix sort by depth, eight bits a pass: splats of equal float32 depth keep their order.
// The first pass leaves out what is not visible, and so counts what is.
#include "cuda/scan.cuh"
#include "rasterizer/splat.cuh"

namespace geolrm {

constexpr int kDigits = 256;
constexpr int kWarps = kScanThreads / kWarp;
constexpr int kRounds = 16;                        // keys of a thread
constexpr int kSortTile = kScanThreads * kRounds;  // keys a block orders at a time

// Where a block's part of a camera's keys ends; all keys in the first pass, then the visible ones.
GEOLRM_DEVICE int end_of_part(int count, int part, int shift, const int* visible) {
  const int keys = shift == 0 ? count : visible[blockIdx.y];
  const Index end = (static_cast<Index>(blockIdx.x) + 1) * part;
  return end < keys ? static_cast<int>(end) : keys;
}

}  // namespace geolrm

// counts [cameras, parts, 256]: keys of each digit at `shift` in each part.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    count_keys(const geolrm::Bits* __restrict__ keys, int count, int part, int shift,
               const int* __restrict__ visible, geolrm::Bits* __restrict__ counts) {
  using namespace geolrm;
  GEOLRM_SHARED Bits histogram[kDigits];
  histogram[threadIdx.x] = 0;
  __syncthreads();
  const int end = end_of_part(count, part, shift, visible);
  const Bits* const mine = keys + static_cast<Index>(blockIdx.y) * count;
  for (Index i = static_cast<Index>(blockIdx.x) * part + threadIdx.x; i < end; i += kScanThreads) {
    const Bits key = mine[i];
    if (key != kNotVisible) atomicAdd(&histogram[key >> shift & 255u], 1u);
  }
  __syncthreads();
  const Index row = static_cast<Index>(blockIdx.y) * gridDim.x + blockIdx.x;
  counts[row * kDigits + threadIdx.x] = histogram[threadIdx.x];
}

// Moves keys and ids [cameras, count] to their places by the digit at `shift`. Every block adds up
// the counts before its own: 256 rows at most, read by all, for one launch less a pass. 16 are
// under way at a time: with fewer, waiting for them would take longer than the sort.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    scatter_keys(const geolrm::Bits* __restrict__ keys, const geolrm::Bits* __restrict__ ids,
                 int count, int part, int shift, const geolrm::Bits* __restrict__ counts,
                 int* visible, geolrm::Bits* __restrict__ keys_out,
                 geolrm::Bits* __restrict__ ids_out) {
  using namespace geolrm;
  GEOLRM_SHARED Bits next[kDigits];            // where a digit's next key goes
  GEOLRM_SHARED Bits places[kWarps][kDigits];  // of a warp's keys: counts, then places
  const int digit_here = threadIdx.x, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int parts = static_cast<int>(gridDim.x);
  const int end = end_of_part(count, part, shift, visible);
  const Bits* const rows = counts + static_cast<Index>(blockIdx.y) * parts * kDigits + digit_here;
  Bits before = 0, of_digit = 0, total;
#pragma unroll 16
  for (int row = 0; row < parts; ++row) {
    const Bits here = rows[row * kDigits];
    if (row < static_cast<int>(blockIdx.x)) before += here;
    of_digit += here;
  }
  next[digit_here] = sum_before(of_digit, total) + before;
  // Later passes read it, and the slabs; nobody does in this one.
  if (shift == 0 && blockIdx.x == 0 && threadIdx.x == 0)
    visible[blockIdx.y] = static_cast<int>(total);
  const Index base = static_cast<Index>(blockIdx.y) * count;
  const Bits before_lane = (1u << lane) - 1u;
  for (Index tile = static_cast<Index>(blockIdx.x) * part; tile < end; tile += kSortTile) {
    for (int digit = lane; digit < kDigits; digit += kWarp) places[warp][digit] = 0;
    __syncwarp();
    const Index first = tile + warp * kRounds * kWarp + lane;
    Bits key[kRounds], place[kRounds];
    // All loads are under way before the first is needed: matching waits once, not sixteen times.
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const Index i = first + r * kWarp;
      key[r] = i < end ? keys[base + i] : kNotVisible;
    }
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const Index i = first + r * kWarp;
      place[r] = 0;
      if (i - lane >= end) continue;  // the whole warp is past the end
      const bool real = key[r] != kNotVisible;
      const Bits digit = real ? key[r] >> shift & 255u : static_cast<Bits>(kDigits);
      const Bits peers = __match_any_sync(kAllLanes, digit);
      if (real) place[r] = places[warp][digit] + __popc(peers & before_lane);
      __syncwarp();
      if (real && (peers & before_lane) == 0) places[warp][digit] += __popc(peers);
      __syncwarp();
    }
    __syncthreads();
    Bits run = next[digit_here];
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const Bits here = places[w][digit_here];
      places[w][digit_here] = run;
      run += here;
    }
    next[digit_here] = run;
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      if (key[r] == kNotVisible) continue;
      const Index to = base + places[warp][key[r] >> shift & 255u] + place[r];
      keys_out[to] = key[r];
      ids_out[to] = ids[base + first + r * kWarp];
    }
    __syncthreads();
  }
}
