// The backward pass as far as the back of each pixel: T there, and which record was the last to
// count. One camera, one slab of all ranks.
#include "rasterizer/last_splat.cuh"
#include "rasterizer/tile_walk.cuh"

// Bits before each word in the rows of the matrix [tiles, words]; in all of a row. Grid: (tiles).
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    count_records(const geolrm::Bits* __restrict__ matrix, int words,
                  geolrm::Bits* __restrict__ before, geolrm::Bits* __restrict__ records) {
  using namespace geolrm;
  const Index row = static_cast<Index>(blockIdx.x) * words;
  Bits sum = 0;
  for (int base = 0; base < words; base += 4 * kScanThreads) {
    const int at = base + 4 * static_cast<int>(threadIdx.x);
    Bits counts[4] = {0, 0, 0, 0}, mine = 0, total;
    if (at < words) {
#pragma unroll
      for (int k = 0; k < 4; ++k) counts[k] = __popc(matrix[row + at + k]);
    }
#pragma unroll
    for (int k = 0; k < 4; ++k) mine += counts[k];
    Bits number = sum + sum_before(mine, total);
    if (at < words) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        before[row + at + k] = number;
        number += counts[k];
      }
    }
    sum += total;
  }
  if (threadIdx.x == 0) records[blockIdx.x] = sum;
}

// behind [height, width] gets T behind the last record that counts, seen [height, width] the number
// of records up to it, needed [tiles] the most of a tile's pixels; list [height * width] and listed
// [1] the undecided ones. Grid: (tiles).
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 3)
    trace_tiles(const geolrm::Record* __restrict__ slab,
                const geolrm::SplatView* __restrict__ views, int width, int height, int tiles_x,
                int words, const geolrm::Bits* __restrict__ matrix,
                const geolrm::Bits* __restrict__ before, const geolrm::Bits* __restrict__ records,
                float* __restrict__ behind_all, geolrm::Bits* __restrict__ seen_of,
                geolrm::Bits* __restrict__ needed, geolrm::Undecided* __restrict__ list,
                geolrm::Bits* listed) {
  using namespace geolrm;
  GEOLRM_SHARED TileRecord batch[kBatch];
  GEOLRM_SHARED unsigned short masks[kBatch];
  GEOLRM_SHARED unsigned columns[kBatch];
  GEOLRM_SHARED Bits most;
  const int thread = threadIdx.x, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int tile_x = blockIdx.x % tiles_x, tile_y = blockIdx.x / tiles_x;
  const BlendLimits limits = limits_of(views[0]);
  const float least = -limits.log2_alpha_min;
  const LanePlace place = lane_place(tile_x, tile_y);
  const TileRow row = {matrix + static_cast<Index>(blockIdx.x) * words,
                       before + static_cast<Index>(blockIdx.x) * words, words};
  if (thread == 0) most = 0;
  float running[kCellsOfWarp][kPixels], last[kCellsOfWarp][kPixels];
  Bits seen[kCellsOfWarp][kPixels];
  bool open[kCellsOfWarp];
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const bool inside = place.x + c * kCell < width && place.y + k * kPixelStep < height;
      running[c][k] = last[c][k] = inside ? 1.0f : 0.0f;
      seen[c][k] = 0;
    }
    open[c] = __any_sync(kAllLanes, running[c][0] > 0.0f || running[c][1] > 0.0f);
  }
  const Bits all = records[blockIdx.x];
  for (Bits begin = 0; begin < all; begin += kBatch) {
    const Bits end = begin + kBatch < all ? begin + kBatch : all;
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
#pragma unroll
    for (int c = 0; c < kCellsOfWarp; ++c) {
      const int cell = kCellsOfWarp * warp + c;
      for (int part = 0; part < filled && open[c]; part += kWarp) {
        Bits hits = __ballot_sync(kAllLanes, masks[part + lane] >> cell & 1);
        if (hits == 0) continue;
        const float start[kPixels] = {running[c][0], running[c][1]};
        for (; hits != 0; hits &= hits - 1) {
          const int at = part + __ffs(static_cast<int>(hits)) - 1;
          float e[kPixels];
          log2_alphas(batch[at], place.from_x + static_cast<float>(c * kCell), place.from_y, e);
#pragma unroll
          for (int k = 0; k < kPixels; ++k) {
            running[c][k] = behind(running[c][k], e[k], limits);
            if (running[c][k] > limits.transmittance_min) {
              last[c][k] = running[c][k];
              if (e[k] >= limits.log2_alpha_min) seen[c][k] = begin + static_cast<Bits>(at) + 1;
            }
          }
        }
        const int end_here = part + kWarp < filled ? part + kWarp : filled;
#pragma unroll
        for (int k = 0; k < kPixels; ++k) {
          if (!may_be_undecided(start[k], running[c][k], last[c][k], limits)) continue;
          const int pixel = (place.y + k * kPixelStep) * width + place.x + c * kCell;
          list[atomicAdd(listed, 1u)] = {static_cast<Bits>(pixel), columns[part],
                                         columns[end_here - 1], start[k]};
        }
        open[c] = __any_sync(kAllLanes, running[c][0] > limits.transmittance_min ||
                                            running[c][1] > limits.transmittance_min);
      }
    }
    if (!__syncthreads_or(open[0] || open[1])) break;
  }
  __syncthreads();
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int x = place.x + c * kCell, y = place.y + k * kPixelStep;
      if (x >= width || y >= height) continue;
      const Index at = static_cast<Index>(y) * width + x;
      behind_all[at] = last[c][k];
      seen_of[at] = seen[c][k];
      atomicMax(&most, seen[c][k]);
    }
  }
  __syncthreads();
  if (thread == 0) needed[blockIdx.x] = most;
}

// What decide_pixels is to images, to what the trace has written; needed may stay larger than it
// must be. Grid: any.
GEOLRM_KERNEL GEOLRM_BOUNDS(128, 2)
    decide_traces(const geolrm::PackedSplat* __restrict__ packed, const float* __restrict__ means,
                  const float* __restrict__ opacities, const float* __restrict__ scales,
                  const float* __restrict__ quats, const geolrm::SplatView* __restrict__ views,
                  const geolrm::Bits* __restrict__ ids, const geolrm::CellBox* __restrict__ boxes,
                  const geolrm::Undecided* __restrict__ list,
                  const geolrm::Bits* __restrict__ listed, int width, int tiles_x, int words,
                  const geolrm::Bits* __restrict__ matrix, const geolrm::Bits* __restrict__ before,
                  float* __restrict__ behind_all, geolrm::Bits* __restrict__ seen_of,
                  geolrm::Bits* needed) {
  using namespace geolrm;
  const SplatView& view = views[0];
  const BlendLimits limits = limits_of(view);
  const SplatSource source = {means, opacities, scales, quats};
  const Bits warps = blockDim.x / kWarp * gridDim.x, end = *listed;
  for (Bits i = blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp; i < end; i += warps) {
    const Undecided pixel = list[i];
    const int x = static_cast<int>(pixel.pixel) % width, y = static_cast<int>(pixel.pixel) / width;
    LastSplat last;
    if (!find_last_splat(packed, view, ids, boxes, pixel, x, y, limits, last)) continue;
    const bool counts = last_splat_counts(source, view, ids, boxes, last, x, y);
    if (threadIdx.x % kWarp != 0 || counts == (last.next > limits.transmittance_min)) continue;
    const int tile = y / kTile * tiles_x + x / kTile;
    const Index word = static_cast<Index>(tile) * words + last.rank / 32;
    const Bits number = before[word] + __popc(matrix[word] & ((1u << last.rank % 32) - 1u));
    behind_all[pixel.pixel] = counts ? just_above_limit(limits) : last.before;
    seen_of[pixel.pixel] = counts ? number + 1 : number;
    atomicMax(needed + tile, number + 1);
  }
}
