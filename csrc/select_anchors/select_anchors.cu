// From occupancy logits to anchors: engine/anchors.py's select_anchors without the host. Ranks
// are selected digit by digit (four histograms of 256), then the chosen voxels are compacted in
// raster order. What is too large for one block passes through global memory between launches, so
// the whole is a fixed sequence that a CUDA graph can hold.
#include "cuda/scan.cuh"

#ifndef GEOLRM_LOGITS
#define GEOLRM_LOGITS float
#endif

namespace geolrm {
#include "select_anchors/voxel_hash.cuh"

using Logit = GEOLRM_LOGITS;

constexpr int kPerThread = 4;  // voxels, neighbours
constexpr int kPerBlock = kPerThread * kScanThreads;
constexpr int kDigits = 256;

// Lives in global memory between the launches; zero before the first.
struct Selection {
  int kept, occupied;  // the result
  Bits threshold;      // rank of the last voxel that is kept: its high digits while they are sought
  int left;            // voxels still to be kept among those of the threshold's digits
  int whole;           // 1: all occupied voxels are kept
  Bits histogram[kDigits];
};

// What comes first is kept: the smallest hash, or the largest logit (positive floats are ordered as
// their bits are).
GEOLRM_DEVICE Bits rank_of(int voxel, float logit, int confident, Bits key) {
  return confident ? ~__float_as_uint(logit) : mix(static_cast<Bits>(voxel) ^ key);
}

// Voxels ahead of the threshold in the upper half of a word, those right on it in the lower half.
GEOLRM_DEVICE Bits classify(int voxel, const Logit* logits, int voxels, int confident, Bits key,
                            const Selection& s) {
  if (voxel >= voxels) return 0;
  const float logit = widen(logits[voxel]);
  if (!(logit > 0.0f)) return 0;
  if (s.whole) return 0x10000u;
  const Bits rank = rank_of(voxel, logit, confident, key);
  return rank < s.threshold ? 0x10000u : rank == s.threshold ? 1u : 0u;
}

}  // namespace geolrm

// Counts the digit at `shift` of the occupied voxels' ranks, among those whose higher digits are
// the threshold's. logits [voxels].
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    count_digits(const geolrm::Logit* __restrict__ logits, int voxels, int confident, int key,
                 int shift, geolrm::Selection* state) {
  using namespace geolrm;
  GEOLRM_SHARED Bits counts[kDigits];
  counts[threadIdx.x] = 0;
  __syncthreads();
  const int step = gridDim.x * blockDim.x;
  if (!state->whole) {
    const Bits sought = state->threshold;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < voxels; i += step) {
      const float logit = widen(logits[i]);
      if (!(logit > 0.0f)) continue;
      const Bits rank = rank_of(i, logit, confident, static_cast<Bits>(key));
      if (shift == 24 || (rank ^ sought) >> (shift + 8) == 0) {
        atomicAdd(&counts[rank >> shift & 255u], 1u);
      }
    }
  }
  __syncthreads();
  const Bits count = counts[threadIdx.x];
  if (count) atomicAdd(&state->histogram[threadIdx.x], count);
}

// Fixes the threshold's digit at `shift`; one block. Leaves the histogram zero.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2) choose_digit(int limit, int shift, geolrm::Selection* state) {
  using namespace geolrm;
  const Bits digit = threadIdx.x, count = state->histogram[digit];
  Bits total;
  const Bits before = sum_before(count, total);
  const bool first = shift == 24;
  const Bits left = static_cast<Bits>(first ? limit : state->left);
  const bool whole = first ? total <= left : state->whole != 0;
  __syncthreads();  // everyone has read the state
  state->histogram[digit] = 0;
  if (first && digit == 0) {
    state->occupied = static_cast<int>(total);
    state->whole = whole;
  }
  if (!whole && before < left && left <= before + count) {
    state->threshold |= digit << shift;
    state->left = static_cast<int>(left - before);
  }
}

// counts[block] = voxels of a block ahead of the threshold, counts[blocks + block] those on it.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    count_kept(const geolrm::Logit* __restrict__ logits, int voxels, int confident, int key,
               const geolrm::Selection* state, int* counts) {
  using namespace geolrm;
  const int first = blockIdx.x * kPerBlock + threadIdx.x * kPerThread;
  Bits mine = 0, total;
  for (int i = 0; i < kPerThread; ++i) {
    mine += classify(first + i, logits, voxels, confident, static_cast<Bits>(key), *state);
  }
  sum_before(mine, total);
  if (threadIdx.x == 0) {
    counts[blockIdx.x] = static_cast<int>(total >> 16);
    counts[gridDim.x + blockIdx.x] = static_cast<int>(total & 0xFFFFu);
  }
}

// Turns the counts into sums over the blocks before; one block. Also the number that is kept.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2) sum_counts(int blocks, int* counts, geolrm::Selection* state) {
  using namespace geolrm;
  Bits ahead = 0, on = 0;
  for (int first = 0; first < blocks; first += kScanThreads) {
    const int i = first + threadIdx.x;
    const Bits a = i < blocks ? static_cast<Bits>(counts[i]) : 0;
    const Bits b = i < blocks ? static_cast<Bits>(counts[blocks + i]) : 0;
    Bits total_a, total_b;
    const Bits before_a = sum_before(a, total_a), before_b = sum_before(b, total_b);
    if (i < blocks) {
      counts[i] = static_cast<int>(ahead + before_a);
      counts[blocks + i] = static_cast<int>(on + before_b);
    }
    ahead += total_a;
    on += total_b;
  }
  if (threadIdx.x == 0) {
    const Bits left = state->whole ? 0u : static_cast<Bits>(state->left);
    state->kept = static_cast<int>(ahead + (on < left ? on : left));
  }
}

// chosen [limit] gets flat voxel indices in raster order, positions [limit, 3] their centres; what
// is left of both is -1 and 0. axis [side] holds the centres along one axis.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    write_anchors(const geolrm::Logit* __restrict__ logits, const float* __restrict__ axis,
                  int voxels, int side, int confident, int key, int limit,
                  const geolrm::Selection* state, const int* __restrict__ counts,
                  int* __restrict__ chosen, float* __restrict__ positions) {
  using namespace geolrm;
  const int first = blockIdx.x * kPerBlock + threadIdx.x * kPerThread;
  Bits classes[kPerThread], mine = 0, total;
  for (int i = 0; i < kPerThread; ++i) {
    classes[i] = classify(first + i, logits, voxels, confident, static_cast<Bits>(key), *state);
    mine += classes[i];
  }
  const Bits before = sum_before(mine, total);
  int ahead = counts[blockIdx.x] + static_cast<int>(before >> 16);
  int on = counts[gridDim.x + blockIdx.x] + static_cast<int>(before & 0xFFFFu);
  const int ties = state->whole ? 0 : state->left;
  for (int i = 0; i < kPerThread; ++i) {
    const int voxel = first + i;
    const bool tie = classes[i] == 1u;
    if (classes[i] >> 16 || (tie && on < ties)) {
      const int at = ahead + (on < ties ? on : ties);
      chosen[at] = voxel;
      const int z = voxel % side, y = voxel / side % side, x = voxel / side / side;
      positions[3 * at] = axis[x];
      positions[3 * at + 1] = axis[y];
      positions[3 * at + 2] = axis[z];
    }
    ahead += static_cast<int>(classes[i] >> 16);
    on += tie;
    if (voxel >= state->kept && voxel < limit) {
      chosen[voxel] = -1;
      for (int k = 0; k < 3; ++k) positions[3 * voxel + k] = 0.0f;
    }
  }
}
