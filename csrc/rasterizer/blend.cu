// Front-to-back compositing of a slab, float32: a block a tile of 32x32 pixels, a warp two cells of
// 8x8. Between slabs the images hold the state: alpha is then T, negative once finished.
#include "cuda/scan.cuh"
#include "rasterizer/compositing.cuh"

namespace geolrm {

constexpr int kBatch = kScanThreads;  // splats blended at a time
constexpr int kCellsOfWarp = 2;
constexpr int kQuad = 4;  // words read at once

// The same number, of which the compiler cannot know that it is: what follows from it is computed
// again, not kept in registers over the loop.
GEOLRM_DEVICE int again(int x) {
#ifdef __CUDACC__
  asm volatile("" : "+r"(x));
#endif
  return x;
}

struct Pixel {
  float running;  // the product of all 1 - alpha: at or below the limit once finished, for good
  float last;     // the transmittance that counts
  float red, green, blue, depth;
};

// e: log2 alpha at the pixel. The splat that ends the pixel is left out, so what counts is what
// `last` loses.
GEOLRM_DEVICE void blend(Pixel& p, const TileRecord& s, float e, const BlendLimits& limits) {
  p.running = behind(p.running, e, limits);
  const float last = p.running > limits.transmittance_min ? p.running : p.last;
  const float weight = p.last - last;
  p.last = last;
  p.red = fmaf(weight, s.red, p.red);
  p.green = fmaf(weight, s.green, p.green);
  p.blue = fmaf(weight, s.blue, p.blue);
  p.depth = fmaf(weight, s.depth, p.depth);
}

// Four words of a tile's row, which are left zero for the next slab.
GEOLRM_DEVICE void take_words(Bits* row, int at, int words, Bits (&to)[kQuad]) {
#pragma unroll
  for (int k = 0; k < kQuad; ++k) to[k] = 0;
  if (at >= words) return;
  int4* const from = reinterpret_cast<int4*>(row + at);
  const int4 bits = *from;
  to[0] = static_cast<Bits>(bits.x);
  to[1] = static_cast<Bits>(bits.y);
  to[2] = static_cast<Bits>(bits.z);
  to[3] = static_cast<Bits>(bits.w);
  if (to[0] | to[1] | to[2] | to[3]) *from = make_int4(0, 0, 0, 0);
}

}  // namespace geolrm

// Blends ranks [first, stop) into rgb [cameras, height, width, 3], alpha and depth [cameras,
// height, width]. `last`: no slab follows. list [cameras, height * width] and listed [cameras] get
// the pixels whose last splat is undecided. Grid: (tiles, cameras). words is a multiple of 4.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 3)
    blend_tiles(const geolrm::Record* __restrict__ records,
                const geolrm::SplatView* __restrict__ views, const int* __restrict__ visible,
                int first, int stop, int last, int width, int height, int tiles_x, int words,
                geolrm::Bits* __restrict__ matrix, geolrm::Bits* alive, float* __restrict__ rgb,
                float* __restrict__ alpha, float* __restrict__ depth,
                geolrm::Undecided* __restrict__ list, geolrm::Bits* listed) {
  using namespace geolrm;
  GEOLRM_SHARED TileRecord batch[kBatch];
  GEOLRM_SHARED unsigned short masks[kBatch];    // cells that a splat touches
  GEOLRM_SHARED unsigned queue[kBatch];          // columns of the matrix
  GEOLRM_SHARED Bits held[kQuad][kScanThreads];  // bits that wait while a batch is blended
  GEOLRM_SHARED Bits open_cells;
  const Index tile = static_cast<Index>(blockIdx.y) * gridDim.x + blockIdx.x;
  const Bits open_before = alive[tile];
  if (open_before == 0) return;  // finished and written in an earlier slab
  const int thread = threadIdx.x, lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int tile_x = blockIdx.x % tiles_x, tile_y = blockIdx.x / tiles_x;
  const int count = visible[blockIdx.y];
  const bool finish = last != 0 || stop >= count;
  const SplatView& view = views[blockIdx.y];
  const float least = static_cast<float>(view.log2_inv_alpha_min);
  const BlendLimits limits = limits_of(view);

  const int pixel_x = tile_x * kTile + warp % 2 * kCellsOfWarp * kCell + lane % kCell;
  const int pixel_y = tile_y * kTile + warp / 2 * kCell + lane / kCell;
  const Index image = static_cast<Index>(blockIdx.y) * height * width;
  Pixel pixels[kCellsOfWarp][kPixels];
  bool open[kCellsOfWarp];
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
    open[c] = open_before >> (kCellsOfWarp * warp + c) & 1u;
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int x = pixel_x + c * kCell, y = pixel_y + k * kPixelStep;
      const bool inside = x < width && y < height;
      Pixel& p = pixels[c][k];
      if (first == 0 || !inside) {
        p = {inside ? 1.0f : 0.0f, inside ? 1.0f : -1.0f, 0.0f, 0.0f, 0.0f, 0.0f};
        continue;
      }
      const Index at = image + static_cast<Index>(y) * width + x;
      const float stored = alpha[at];
      p = {stored > 0.0f ? stored : 0.0f,
           stored,
           rgb[3 * at],
           rgb[3 * at + 1],
           rgb[3 * at + 2],
           depth[at]};
    }
  }

  const int ranks = (stop < count ? stop : count) - first;
  const int words_here = ranks > 0 ? (ranks + 31) / 32 : 0;
  Bits* const row = matrix + tile * words;
  const Record* const of_camera = records + static_cast<Index>(blockIdx.y) * words * 32;
  int chunk = 0;  // the first of the words that the block holds
  bool touched = false;
  {
    Bits bits[kQuad];
    take_words(row, kQuad * thread, words_here, bits);
#pragma unroll
    for (int k = 0; k < kQuad; ++k) held[k][thread] = bits[k];
  }
  for (;;) {
    int filled = 0;
    Bits bits[kQuad];
#pragma unroll
    for (int k = 0; k < kQuad; ++k) bits[k] = held[k][thread];
    while (chunk < words_here) {
      Bits mine = 0, total;
#pragma unroll
      for (int k = 0; k < kQuad; ++k) mine += __popc(bits[k]);
      int at = filled + static_cast<int>(sum_before(mine, total));
#pragma unroll
      for (int k = 0; k < kQuad; ++k) {
        while (bits[k] != 0 && at < kBatch) {
          const int bit = __ffs(static_cast<int>(bits[k])) - 1;
          queue[at++] = static_cast<unsigned>(32 * (chunk + kQuad * thread + k) + bit);
          bits[k] &= bits[k] - 1;
        }
      }
      filled += static_cast<int>(total);
      if (filled > kBatch) {
        filled = kBatch;
        break;
      }
      chunk += kQuad * kScanThreads;
      take_words(row, chunk + kQuad * thread, words_here, bits);
      if (filled == kBatch) break;
    }
    if (filled == 0) break;
#pragma unroll
    for (int k = 0; k < kQuad; ++k) held[k][thread] = bits[k];
    touched = true;
    __syncthreads();
    // Backwards in each part of 32: the nearest is a ballot's highest bit, found in one
    // instruction.
    const int slot = thread ^ (kWarp - 1);
    Bits mask = 0;
    if (thread < filled) {
      const Record s = of_camera[queue[thread]];
      batch[slot] = in_tile(s, tile_x, tile_y);
      mask = cells_touched(s, least, tile_x, tile_y);
    }
    masks[slot] = static_cast<unsigned short>(mask);
    __syncthreads();
#pragma unroll
    for (int c = 0; c < kCellsOfWarp; ++c) {
      const int cell = kCellsOfWarp * warp + c;
      constexpr float kToMiddle = 0.5f - kTile / 2;
      const float x = static_cast<float>(pixel_x + c * kCell - tile_x * kTile) + kToMiddle;
      const float y = static_cast<float>(pixel_y - tile_y * kTile) + kToMiddle;
      for (int begin = 0; begin < filled && open[c]; begin += kWarp) {
        const Bits all = __ballot_sync(kAllLanes, masks[begin + lane] >> cell & 1);
        if (all == 0) continue;
        const float start[kPixels] = {pixels[c][0].running, pixels[c][1].running};
        const TileRecord* const part = batch + begin;
        Bits hits = all;
        do {
          const int highest = highest_bit(hits);
          const TileRecord& s = part[highest];
          hits ^= 1u << highest;
          float e[kPixels];
          log2_alphas(s, x, y, e);
          blend(pixels[c][0], s, e[0], limits);
          blend(pixels[c][1], s, e[1], limits);
        } while (hits != 0);
#pragma unroll
        for (int k = 0; k < kPixels; ++k) {
          if (!may_be_undecided(start[k], pixels[c][k].running, pixels[c][k].last, limits))
            continue;
          const int at = (pixel_y + k * kPixelStep) * width + pixel_x + c * kCell;
          const int end = begin + kWarp < filled ? begin + kWarp : filled;
          list[image + atomicAdd(listed + blockIdx.y, 1u)] = {
              static_cast<Bits>(at), first + queue[begin], first + queue[end - 1], start[k]};
        }
        open[c] = __any_sync(kAllLanes, pixels[c][0].running > limits.transmittance_min ||
                                            pixels[c][1].running > limits.transmittance_min);
      }
    }
    if (!__syncthreads_or(open[0] || open[1])) break;
    if (chunk >= words_here) break;
  }

  if (thread == 0) open_cells = 0;
  __syncthreads();
  if (lane == 0) {
    const Bits mine = (open[0] ? 1u : 0u) | (open[1] ? 2u : 0u);
    atomicOr(&open_cells, mine << (kCellsOfWarp * warp));
  }
  __syncthreads();
  const bool finished = finish || open_cells == 0;
  if (thread == 0) alive[tile] = finished ? 0u : open_cells;
  if (!finished && !touched && first > 0) return;
  const float background[3] = {static_cast<float>(view.background[0]),
                               static_cast<float>(view.background[1]),
                               static_cast<float>(view.background[2])};
  const int last_x = again(pixel_x), last_y = again(pixel_y);
#pragma unroll
  for (int c = 0; c < kCellsOfWarp; ++c) {
#pragma unroll
    for (int k = 0; k < kPixels; ++k) {
      const int x = last_x + c * kCell, y = last_y + k * kPixelStep;
      if (x >= width || y >= height) continue;
      const Pixel& p = pixels[c][k];
      const Index at = image + static_cast<Index>(y) * width + x;
      const float t = fabsf(p.last);
      const float behind = finished ? t : 0.0f;
      rgb[3 * at] = p.red + behind * background[0];
      rgb[3 * at + 1] = p.green + behind * background[1];
      rgb[3 * at + 2] = p.blue + behind * background[2];
      const bool running = p.running > limits.transmittance_min;
      alpha[at] = finished ? 1.0f - t : running ? t : -t;
      depth[at] = p.depth;
    }
  }
}
