// One slab's splats, in order of depth: those that some unfinished cell may see are projected, and
// their bits set in the rows of the tiles they touch.
#include "rasterizer/splat_record.cuh"

// Ranks [first, stop) of `ids` [cameras, count]. sh [count, coefficients, 3] or null. matrix
// [cameras, tiles, words], records [cameras, 32 * words] by rank - first.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    bin_splats(const geolrm::PackedSplat* __restrict__ packed, const float* __restrict__ sh,
               int coefficients, int count, const geolrm::SplatView* __restrict__ views,
               const geolrm::Bits* __restrict__ ids, const geolrm::CellBox* __restrict__ boxes,
               const int* __restrict__ visible, int first, int stop, int tiles_x, int tiles_y,
               int words, const geolrm::Bits* __restrict__ alive, geolrm::Bits* __restrict__ matrix,
               geolrm::Record* __restrict__ records) {
  using namespace geolrm;
  const int column = blockIdx.x * blockDim.x + threadIdx.x, rank = first + column;
  const int camera = blockIdx.y;
  if (rank >= stop || rank >= visible[camera]) return;
  const Index of_camera = static_cast<Index>(camera) * count;
  const Bits id = ids[of_camera + rank];
  const CellBox box = boxes[of_camera + id];
  const int tile_x0 = box.x0 / kTileCells, tile_x1 = box.x1 / kTileCells;
  const int tile_y0 = box.y0 / kTileCells, tile_y1 = box.y1 / kTileCells;
  const Index of_tiles = static_cast<Index>(camera) * tiles_x * tiles_y;
  const Bits* const open = alive + of_tiles;
  bool seen = false;
  for (int y = tile_y0; y <= tile_y1 && !seen; ++y) {
    for (int x = tile_x0; x <= tile_x1 && !seen; ++x) {
      seen = (cells_in_box(box, x, y) & open[y * tiles_x + x]) != 0;
    }
  }
  if (!seen) return;
  const SplatView& view = views[camera];
  const PackedSplat s = packed[id];
  Record record;
  if (!project_splat(s, view, record)) return;
  const float least = static_cast<float>(view.log2_inv_alpha_min);
  bool touches = false;
  for (int y = tile_y0; y <= tile_y1; ++y) {
    for (int x = tile_x0; x <= tile_x1; ++x) {
      const int tile = y * tiles_x + x;
      const Bits cells = cells_in_box(box, x, y) & open[tile];
      if (cells == 0 || (cells_touched(record, least, x, y) & cells) == 0) continue;
      atomicOr(matrix + (of_tiles + tile) * words + column / 32, 1u << (column % 32));
      touches = true;
    }
  }
  if (!touches) return;
  float color[3] = {s.color[0], s.color[1], s.color[2]};
  if (sh)
    sh_color(sh + static_cast<Index>(id) * coefficients * 3, coefficients, s.mean, view, color);
  record.red = color[0];
  record.green = color[1];
  record.blue = color[2];
  record.pad[0] = record.pad[1] = 0.0f;
  records[static_cast<Index>(camera) * words * 32 + column] = record;
}
