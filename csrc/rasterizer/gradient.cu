// From the back of each pixel to the front: dL/d(records), summed over a tile's pixels, then over a
// splat's tiles in their order. No sum depends on what runs first: there is no atomic addition.
#include "rasterizer/tile_walk.cuh"

namespace geolrm {

constexpr int kGradients = 10;  // h, hx, hy, hxx, hxy, hyy, red, green, blue, depth
constexpr int kSummed = 16;     // what a warp sums at once

// Halves what lanes hold: of 2 kHalf values, lanes with that bit keep the upper ones.
template <int kHalf>
GEOLRM_DEVICE void fold(float (&values)[kSummed]) {
  const bool upper = (threadIdx.x & 2 * kHalf) != 0;
#pragma unroll
  for (int k = 0; k < kHalf; ++k) {
    const float kept = upper ? values[k + kHalf] : values[k];
    const float given = upper ? values[k] : values[k + kHalf];
    values[k] = kept + __shfl_xor_sync(kAllLanes, given, 2 * kHalf);
  }
}

// Sums each of 16 values over a warp: lane i gets that of value i / 2. 16 exchanges, where sums one
// by one would take 80.
GEOLRM_DEVICE float sums_of_warp(float (&values)[kSummed]) {
  fold<8>(values);
  fold<4>(values);
  fold<2>(values);
  fold<1>(values);
  return values[0] + __shfl_xor_sync(kAllLanes, values[0], 1);
}

// dL/d(image) at a pixel, and its way back: T behind the record at hand, and of all that lies
// behind it the value g . (color, depth), weighted.
struct PixelGradient {
  float red, green, blue, depth;
  float t, behind;
  Bits seen;
};

// Adds what a pixel says to the record, of which e is log2 alpha and (dx, dy) the way from its
// mean. With s the record's own value g . (color, depth) and R that of all behind: dL/dalpha = T s
// - R / (1 - alpha).
GEOLRM_DEVICE void add_pixel(PixelGradient& p, const TileRecord& s, float e, float dx, float dy,
                             const BlendLimits& limits, float (&sums)[kSummed]) {
  if (!(e >= limits.log2_alpha_min)) return;
  const float raw = exp2_of(e), alpha = fminf(raw, limits.alpha_max);
  const float inverse = 1.0f / (1.0f - alpha);
  p.t *= inverse;
  const float weight = p.t * alpha;
  const float value =
      fmaf(s.red, p.red, fmaf(s.green, p.green, fmaf(s.depth, p.depth, s.blue * p.blue)));
  const float to_alpha = fmaf(-p.behind, inverse, p.t * value);
  p.behind = fmaf(weight, value, p.behind);
  const float h = raw <= limits.alpha_max ? to_alpha * alpha : 0.0f;
  const float hx = h * dx, hy = h * dy;
  sums[0] += h;
  sums[1] += hx;
  sums[2] += hy;
  sums[3] = fmaf(hx, dx, sums[3]);
  sums[4] = fmaf(hx, dy, sums[4]);
  sums[5] = fmaf(hy, dy, sums[5]);
  sums[6] = fmaf(weight, p.red, sums[6]);
  sums[7] = fmaf(weight, p.green, sums[7]);
  sums[8] = fmaf(weight, p.blue, sums[8]);
  sums[9] = fmaf(weight, p.depth, sums[9]);
}

}  // namespace geolrm

// rows [needed records of tiles [first, first + grid), 10] from dL/d(image): rgb [height, width,
// 3], alpha and depth [height, width]. offsets [tiles + 1]: a tile's first row, counted over all
// tiles.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    tile_gradients(const geolrm::Record* __restrict__ slab,
                   const geolrm::SplatView* __restrict__ views, int width, int height, int tiles_x,
                   int words, const geolrm::Bits* __restrict__ matrix,
                   const geolrm::Bits* __restrict__ before, const float* __restrict__ behind_all,
                   const geolrm::Bits* __restrict__ seen_of,
                   const geolrm::Index* __restrict__ offsets, int first,
                   const float* __restrict__ to_rgb, const float* __restrict__ to_alpha,
                   const float* __restrict__ to_depth, float* __restrict__ rows) {
  using namespace geolrm;
  constexpr int kWarps = kScanThreads / kWarp;
  GEOLRM_SHARED TileRecord batch[kBatch];
  GEOLRM_SHARED unsigned short masks[kBatch];
  GEOLRM_SHARED unsigned columns[kBatch];
  GEOLRM_SHARED float partial[kWarps][kWarp][kGradients];  // of each warp's pixels
  const int thread = threadIdx.x, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int tile = first + static_cast<int>(blockIdx.x);
  const int tile_x = tile % tiles_x, tile_y = tile / tiles_x;
  const SplatView& view = views[0];
  const BlendLimits limits = limits_of(view);
  const float least = -limits.log2_alpha_min;
  const LanePlace place = lane_place(tile_x, tile_y);
  const TileRow row = {matrix + static_cast<Index>(tile) * words,
                       before + static_cast<Index>(tile) * words, words};
  const float background[3] = {static_cast<float>(view.background[0]),
                               static_cast<float>(view.background[1]),
                               static_cast<float>(view.background[2])};
  PixelGradient pixels[kCellsOfWarp][kPixels];
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int x = place.x + c * kCell, y = place.y + k * kPixelStep;
      PixelGradient& p = pixels[c][k];
      p = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0};
      if (x >= width || y >= height) continue;
      const Index at = static_cast<Index>(y) * width + x;
      p.red = to_rgb[3 * at];
      p.green = to_rgb[3 * at + 1];
      p.blue = to_rgb[3 * at + 2];
      p.depth = to_depth[at];
      p.t = behind_all[at];
      p.behind = p.t * (background[0] * p.red + background[1] * p.green + background[2] * p.blue -
                        to_alpha[at]);
      p.seen = seen_of[at];
    }
  }
  const Index row_here = offsets[tile] - offsets[first];
  const Bits all = static_cast<Bits>(offsets[tile + 1] - offsets[tile]);
  const Bits batches = (all + kBatch - 1) / kBatch;
  for (Bits left = batches; left > 0; --left) {
    const Bits begin = (left - 1) * kBatch, end = left * kBatch < all ? left * kBatch : all;
    const int filled = static_cast<int>(end - begin);
    take_columns(row, begin, end, columns);
    Bits mask = 0;
    if (thread < filled) {
      const Record s = slab[columns[thread]];
      batch[thread] = in_tile(s, tile_x, tile_y);
      mask = cells_touched(s, least, tile_x, tile_y);
    }
    masks[thread] = static_cast<unsigned short>(mask);
    __syncthreads();
    for (int part = (filled - 1) / kWarp * kWarp; part >= 0; part -= kWarp) {
      for (int i = lane; i < kWarp * kGradients; i += kWarp) {
        partial[warp][i / kGradients][i % kGradients] = 0.0f;
      }
      __syncwarp();
      const Bits cells = masks[part + lane] >> kCellsOfWarp * warp;
      const Bits of_first = __ballot_sync(kAllLanes, cells & 1);
      const Bits of_second = __ballot_sync(kAllLanes, cells & 2);
      for (Bits hits = of_first | of_second; hits != 0;) {
        const int highest = highest_bit(hits);
        hits ^= 1u << highest;
        const TileRecord& s = batch[part + highest];
        const Bits number = begin + static_cast<Bits>(part + highest);
        float sums[kSummed];
#pragma unroll
        for (int k = 0; k < kSummed; ++k) sums[k] = 0.0f;
        bool counted = false;
#pragma unroll
        for (int c = 0; c < kCellsOfWarp; ++c) {
          if ((c == 0 ? of_first : of_second) >> highest & 1u) {
            const float x = place.from_x + static_cast<float>(c * kCell);
            float e[kPixels];
            log2_alphas(s, x, place.from_y, e);
#pragma unroll
            for (int k = 0; k < kPixels; ++k) {
              if (number >= pixels[c][k].seen) continue;
              counted = true;
              add_pixel(pixels[c][k], s, e[k], x - s.mean_x,
                        place.from_y + static_cast<float>(k * kPixelStep) - s.mean_y, limits, sums);
            }
          }
        }
        if (!__any_sync(kAllLanes, counted)) continue;
        const float sum = sums_of_warp(sums);
        if (lane % 2 == 0 && lane / 2 < kGradients) partial[warp][highest][lane / 2] = sum;
      }
      __syncthreads();
      const int here = filled - part < kWarp ? filled - part : kWarp;
      for (int i = thread; i < here * kGradients; i += kScanThreads) {
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < kWarps; ++w) sum += partial[w][i / kGradients][i % kGradients];
        rows[(row_here + begin + part) * kGradients + i] = sum;
      }
      __syncthreads();
    }
  }
}

// sums [ranks, 10] get the rows of tiles [first, stop), in the order of tiles, added, or for
// `first` = 0 as they are. A thread a rank.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    splat_sums(const geolrm::Bits* __restrict__ ids, const geolrm::CellBox* __restrict__ boxes,
               const int* __restrict__ visible, int tiles_x, int words,
               const geolrm::Bits* __restrict__ matrix, const geolrm::Bits* __restrict__ before,
               const geolrm::Index* __restrict__ offsets, int first, int stop,
               const float* __restrict__ rows, float* __restrict__ sums) {
  using namespace geolrm;
  const int rank = blockIdx.x * blockDim.x + threadIdx.x;
  if (rank >= *visible) return;
  const CellBox box = boxes[ids[rank]];
  float* const out = sums + static_cast<Index>(rank) * kGradients;
  float sum[kGradients];
#pragma unroll
  for (int k = 0; k < kGradients; ++k) sum[k] = first > 0 ? out[k] : 0.0f;
  for (int y = box.y0 / kTileCells; y <= box.y1 / kTileCells; ++y) {
    for (int x = box.x0 / kTileCells; x <= box.x1 / kTileCells; ++x) {
      const int tile = y * tiles_x + x;
      if (tile < first || tile >= stop) continue;
      const Index word = static_cast<Index>(tile) * words + rank / 32;
      const Bits bits = matrix[word];
      if ((bits >> rank % 32 & 1u) == 0) continue;
      const Index at = offsets[tile] + before[word] + __popc(bits & ((1u << rank % 32) - 1u));
      if (at >= offsets[tile + 1]) continue;  // behind all that counts
      const float* const row = rows + (at - offsets[first]) * kGradients;
#pragma unroll
      for (int k = 0; k < kGradients; ++k) sum[k] += row[k];
    }
  }
#pragma unroll
  for (int k = 0; k < kGradients; ++k) out[k] = sum[k];
}
