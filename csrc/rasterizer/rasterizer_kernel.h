// What is compiled once per instruction set, and the plain data that crosses that border.
#pragma once

#include <atomic>
#include <cstdint>

#include "cpu_features.h"
#include "parameters.h"
#include "splat_model.h"

namespace geolrm::raster {

#include "arithmetic/last_splat.h"

constexpr int kBlock = 4;           // pixels along a block's side: one vector of 16 pixels
constexpr int kMaxTileBlocks = 16;  // blocks along a tile's side at most
constexpr int kCell = kBlock * kMaxTileBlocks;  // px: splats are rendered relative to its middle
constexpr int kMaxBatch = 64;                   // splats blended at a time

// A camera with what follows from it and the parameters.
struct View {
  Camera camera;
  ImageSize size;
  int blocks_x, blocks_y;
  int tile_blocks;  // 8 or 16
  int tiles_x, tiles_y;
  double clip_low[2], clip_high[2];  // limits of x/z, y/z in the Jacobian
  double centre[3];                  // camera position in the world
  float log2_inv_alpha_min;
  float transmittance_limit;  // transmittance_min, moved off what clamped splats can reach
  float clamped_run;          // T in front of the last of those; 0 where none reach it
};

// A splat that may touch the image: its depth key and a box of blocks that bounds its support.
struct Candidate {
  uint32_t key;  // bits of the positive float32 camera z: ordered like z
  uint32_t id;
  uint16_t block_x0, block_x1, block_y0, block_y1;
};

// Candidates nearer than a split key, and the others.
struct Found {
  int64_t near, far;
};

// Entries of a tile: (key << 32 | id), and the box within the tile, four bits a side.
struct TileEntries {
  const uint64_t* keys;
  const uint16_t* boxes;
  int64_t count;
};

// One view's output, and between passes its state: alpha then holds T, negative once finished.
struct Image {
  float* rgb;    // [H, W, 3]
  float* alpha;  // [H, W]
  float* depth;  // [H, W]
};

// T > 0: transmittance of an unfinished pixel; T < 0: minus that of a finished one.
struct alignas(64) BlockState {
  float transmittance[kBlock * kBlock];
  float color[3][kBlock * kBlock];
  float depth[kBlock * kBlock];
};

// Rows of a tile as bits: bit j of rows[i] is block (column j, row i).
struct alignas(32) BlockRows {
  uint16_t rows[kMaxTileBlocks];
};

// A tile on its way from front to back.
struct TileState {
  BlockState blocks[kMaxTileBlocks * kMaxTileBlocks];
  BlockRows alive;  // blocks with an unfinished pixel
};

struct StageClock {
  double sort = 0, project = 0, bin = 0, blend = 0, write = 0;  // seconds, summed over workers
  int64_t block_pairs = 0;  // splat-block evaluations, 16 pixels each
  int64_t splats = 0;       // splat-tile pairs that were projected
};

// Lets a long render stop: the caller's thread asks `check`, the others look at `stop`.
struct Interrupt {
  std::atomic<bool> stop{false};
  bool (*check)(void*) = nullptr;  // returns true to stop
  void* context = nullptr;
};

struct TileTask {
  const SplatModel* model;
  const View* view;
  const Parameters* parameters;
  int tile_x, tile_y;
  TileEntries entries;
  Image image;
  TileState* state = nullptr;  // holds the state between passes; null: the image does
  bool first_pass, last_pass;
  bool cull = true;  // false: the bench's comparison without occlusion culling
  bool timed = false;
  uint64_t* keys = nullptr;   // room for the entries of the largest tile
  uint16_t* boxes = nullptr;  // likewise
  int worker = 0;
  Interrupt* interrupt = nullptr;
};

// dL/d(image) of one view.
struct ImageGradients {
  const float* rgb;    // [H, W, 3]
  const float* alpha;  // [H, W]
  const float* depth;  // [H, W]
};

// The loss of a pixel: of each colour's error e slope times Huber's of e, plus square_share / 2
// e^2; of alpha's, alpha_share / 2 e^2; all times the pixel's weight and the factor.
struct Loss {
  float huber, slope;  // errors above `huber` count linearly, with this slope
  float square_share, alpha_share, factor;
};

// What one view is compared with, on the background that it is rendered on.
struct ImageTarget {
  const float* premultiplied;  // [H, W, 3]
  const float* alpha;          // [H, W]
  const float* weights;        // [H, W], or null: 1
  Loss loss;
};

struct Recording;
struct GradientRow;
struct SplatGradients;
struct CameraGradient;
struct TileScratch;  // opaque to the caller, one per worker

struct RasterizerKernel {
  // project: writes the candidates of splats [begin, end), begin a multiple of
  // SplatModel::kPadding: those with a key below the split from the front of `out`, the others from
  // the back of its end - begin places.
  Found (*project_splats)(const SplatModel&, const View&, const Parameters&, int64_t begin,
                          int64_t end, uint32_t split, Candidate* out);
  // sort, bin and blend of one tile; returns true when every pixel of it is finished, and written
  // to the image.
  bool (*blend_tile)(const TileTask&, TileScratch&, StageClock&);
  // Walks one tile to the back and again to the front; hands rows of gradients to the recording.
  void (*trace_tile)(const TileTask&, const ImageGradients&, TileScratch&, Recording&, StageClock&);
  // The same for the loss between the tile's pixels and a target, and returns that loss.
  double (*compare_tile)(const TileTask&, const ImageTarget&, TileScratch&, Recording&,
                         StageClock&);
  // Adds dL/d(splats) of `count` splats from `first` on, of those whose row says so (kHasGradient):
  // rows hold the sums over all tiles. What they say to the camera is added in the splats' order;
  // null: not asked for.
  void (*chain_splats)(const SplatModel&, const View&, const Parameters&, int64_t first,
                       int64_t count, const GradientRow* rows, const SplatGradients&,
                       CameraGradient*);
  TileScratch* (*new_scratch)();
  void (*delete_scratch)(TileScratch*);

  static const RasterizerKernel plain, avx2, avx512, neon;
};

}  // namespace geolrm::raster
