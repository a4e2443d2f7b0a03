// Softmax attention among all queries, on tensor cores: scores are never in memory, and a head's
// channels are not padded (48 and 24 would be 64 and 32).
//
// A warp keeps 32 queries of one head in registers, so that every fragment of keys and values that
// it loads serves two products; a block of four warps shares the keys, 64 at a time, of which the
// next are on their way while these are computed. The weights stay in the registers that their
// scores came in: the result of one product has the layout of the other's operand.
#include "cuda/device.cuh"

#ifndef GEOLRM_HEAD_DIM
#define GEOLRM_HEAD_DIM 48  // channels of a head
#endif

namespace geolrm {
#include "cuda/tensor_core.cuh"

constexpr int kChannels = GEOLRM_HEAD_DIM;
constexpr int kChunks = kChannels / 8;  // 16 bytes each
constexpr int kPairs = kChunks / 2;     // of chunks, which one product multiplies
constexpr float kNone = -3.0e38f;       // a score that weighs nothing
constexpr int kWarps = 4;
constexpr int kTiles = 2;  // of 16 queries, a warp's
constexpr int kKeys = 64;  // in shared memory at a time
constexpr int kGroups = kKeys / 8;
constexpr int kTogether = 12 / kChunks;  // groups of 8 keys whose chunks three loads bring
constexpr int kRow = kChannels % 16 ? kChannels : kChannels + 8;  // 48 or 112 bytes: no bank twice
static_assert(kChannels == 24 || kChannels == 48, "loads are of twelve chunks");

struct Keys {
  Half key[kKeys][kRow], value[kKeys][kRow];
};

// Bring the keys from `first` on, and their values: two threads a row, which take its chunks in
// turn.
GEOLRM_DEVICE void fetch(Keys& to, const Half* __restrict__ key, const Half* __restrict__ value,
                         int first, int count, int stride) {
  const int row = threadIdx.x >> 1, turn = threadIdx.x & 1;
  const bool exists = first + row < count;
  const Index from = exists ? static_cast<Index>(first + row) * stride : 0;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; chunk += 2) {
    if (kChunks % 2 && chunk + turn == kChunks) continue;
    const int channel = 8 * (chunk + turn);
    copy_16_bytes(&to.key[row][channel], key + from + channel, exists);
    copy_16_bytes(&to.value[row][channel], value + from + channel, exists);
  }
}

}  // namespace geolrm

// query, key and value [N, heads * e] -> out [N, heads * e]; scale is that of the scores, times
// log2(e), as its bits.
GEOLRM_KERNEL GEOLRM_BOUNDS(128, 2)
    self_attention(const geolrm::Half* __restrict__ query, const geolrm::Half* __restrict__ key,
                   const geolrm::Half* __restrict__ value, int count, int heads, int scale_bits,
                   geolrm::Half* __restrict__ out) {
  using namespace geolrm;
  GEOLRM_DYNAMIC_SHARED(shared);
  Keys* const keys = reinterpret_cast<Keys*>(shared);  // [2]
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int stride = heads * kChannels, column = 2 * (lane & 3);
  const float scale = __uint_as_float(static_cast<Bits>(scale_bits));
  query += blockIdx.y * kChannels;
  key += blockIdx.y * kChannels;
  value += blockIdx.y * kChannels;
  out += blockIdx.y * kChannels;
  fetch(keys[0], key, value, 0, count, stride);

  // Rows of this lane: two of each tile, 8 apart.
  const int first_row = (blockIdx.x * kWarps + warp) * 16 * kTiles + (lane >> 2);
  Bits queries[kTiles][kChunks][2];
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + 16 * tile + 8 * half;
      const Half* const from = query + static_cast<Index>(row) * stride + column;
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        queries[tile][chunk][half] =
            row < count ? *reinterpret_cast<const Bits*>(from + 8 * chunk) : 0u;
      }
    }
  }

  // Where this lane reads its row of the chunks that three loads bring, in elements. Neighbours
  // are what one product multiplies: two chunks of keys, and one chunk of values of 16 keys.
  int of_keys[3], of_values[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int part = 4 * i + (lane >> 3), row = lane & 7;
    of_keys[i] = (part / kChunks * 8 + row) * kRow + part % kChunks * 8;
    const int pair = part / 2;
    of_values[i] = ((pair / kChunks * 2 + part % 2) * 8 + row) * kRow + pair % kChunks * 8;
  }

  float sums[kTiles][kChunks][4] = {}, largest[kTiles][2], weights[kTiles][2] = {};
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) largest[tile][0] = largest[tile][1] = kNone;

  for (int first = 0, buffer = 0; first < count; first += kKeys, buffer ^= 1) {
    await_copies();
    __syncthreads();  // these are there, and nobody reads those before any more
    if (first + kKeys < count) fetch(keys[buffer ^ 1], key, value, first + kKeys, count, stride);

    float scores[kTiles][kGroups][4] = {};
#pragma unroll
    for (int group = 0; group < kGroups; group += kTogether) {
      Bits parts[3][4];
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        load_matrices<false>(&keys[buffer].key[8 * group][0] + of_keys[i], parts[i]);
      }
#pragma unroll
      for (int one = 0; one < kTogether; ++one) {
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
          float (&score)[4] = scores[tile][group + one];
#pragma unroll
          for (int pair = 0; pair < kPairs; ++pair) {
            const int chunk = 2 * pair, place = one * kChunks + chunk;
            const Bits a[4] = {queries[tile][chunk][0], queries[tile][chunk][1],
                               queries[tile][chunk + 1][0], queries[tile][chunk + 1][1]};
            multiply_16(score, a, parts[place / 4][place % 4],
                        parts[(place + 1) / 4][(place + 1) % 4]);
          }
          if constexpr (kChunks % 2) {
            const int place = one * kChunks + kChunks - 1;
            multiply_8(score, queries[tile][kChunks - 1][0], queries[tile][kChunks - 1][1],
                       parts[place / 4][place % 4]);
          }
        }
      }
    }

    if (first + kKeys > count) {  // behind the last key there are zeros
      keep_branch();
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (first + 8 * group + column + (i & 1) < count) continue;
#pragma unroll
          for (int tile = 0; tile < kTiles; ++tile) scores[tile][group][i] = kNone;
        }
      }
    }

    Bits weighed[kTiles][kGroups][2];  // as stored: those of rows l / 4, then of 8 + l / 4
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float peak = largest[tile][half];
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
          peak =
              fmaxf(peak, fmaxf(scores[tile][group][2 * half], scores[tile][group][2 * half + 1]));
        }
        peak = fmaxf(peak, __shfl_xor_sync(kAllLanes, peak, 1));  // four lanes share a row
        peak = fmaxf(peak, __shfl_xor_sync(kAllLanes, peak, 2));
        const float shift = peak * scale;
        const float kept = power_of_two(fmaf(largest[tile][half], scale, -shift));
        largest[tile][half] = peak;
        float total = 0.0f;
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
          float (&score)[4] = scores[tile][group];
          const float low = power_of_two(fmaf(score[2 * half], scale, -shift));
          const float high = power_of_two(fmaf(score[2 * half + 1], scale, -shift));
          total += low + high;
          weighed[tile][group][half] = narrow_both(low, high);
        }
        weights[tile][half] = fmaf(weights[tile][half], kept, total);
#pragma unroll
        for (int chunk = 0; chunk < kChunks; ++chunk) {
          sums[tile][chunk][2 * half] *= kept;
          sums[tile][chunk][2 * half + 1] *= kept;
        }
      }
    }

    // Values of 16 keys at a time, so 2 groups: of them 12 chunks for 48 channels, 6 for 24.
#pragma unroll
    for (int group = 0; group < kGroups; group += kTogether) {
      Bits parts[3][4];
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        load_matrices<true>(&keys[buffer].value[8 * group][0] + of_values[i], parts[i]);
      }
#pragma unroll
      for (int two = 0; two < kTogether; two += 2) {
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
          const Bits(&low)[2] = weighed[tile][group + two];
          const Bits(&high)[2] = weighed[tile][group + two + 1];
          const Bits a[4] = {low[0], low[1], high[0], high[1]};
#pragma unroll
          for (int chunk = 0; chunk < kChunks; ++chunk) {
            const int place = two * kChunks + 2 * chunk;
            multiply_16(sums[tile][chunk], a, parts[place / 4][place % 4],
                        parts[place / 4][place % 4 + 1]);
          }
        }
      }
    }
  }

#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = weights[tile][half];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const float share = 1.0f / total;
      const int row = first_row + 16 * tile + 8 * half;
      if (row >= count) continue;
      Half* const to = out + static_cast<Index>(row) * stride + column;
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const float* const sum = &sums[tile][chunk][2 * half];
        *reinterpret_cast<Bits*>(to + 8 * chunk) = narrow_both(sum[0] * share, sum[1] * share);
      }
    }
  }
}
