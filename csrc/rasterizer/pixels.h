// Between a tile's blocks and the images: initial state, state kept between passes, final values.
#pragma once

#include "blend.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// Starts (or, after the first pass, resumes) a tile. Pixels outside the image count as finished.
inline void load_tile(const TileTask& task, TileState& tile) {
  const View& view = *task.view;
  const int blocks = view.tile_blocks;
  for (int row = 0; row < kMaxTileBlocks; ++row) tile.alive.rows[row] = 0;
  for (int row = 0; row < blocks; ++row) {
    for (int column = 0; column < blocks; ++column) {
      BlockState& state = tile.blocks[row * kMaxTileBlocks + column];
      const int x0 = (task.tile_x * blocks + column) * kBlock;
      const int y0 = (task.tile_y * blocks + row) * kBlock;
      bool any_alive = false;
      if (task.first_pass && x0 + kBlock <= view.size.width && y0 + kBlock <= view.size.height) {
        store(state.transmittance, set16(1.0f));
        for (int k = 0; k < 3; ++k) store(state.color[k], set16(0.0f));
        store(state.depth, set16(0.0f));
        any_alive = true;
      } else {
        for (int i = 0; i < kLanes; ++i) {
          const int x = x0 + i % kBlock, y = y0 + i / kBlock;
          const bool inside = x < view.size.width && y < view.size.height;
          const int64_t pixel = static_cast<int64_t>(y) * view.size.width + x;
          const bool resume = inside && !task.first_pass;
          state.transmittance[i] = resume ? task.image.alpha[pixel] : inside ? 1.0f : -1.0f;
          for (int k = 0; k < 3; ++k)
            state.color[k][i] = resume ? task.image.rgb[3 * pixel + k] : 0;
          state.depth[i] = resume ? task.image.depth[pixel] : 0;
          any_alive |= state.transmittance[i] > 0;
        }
      }
      if (any_alive) {
        tile.alive.rows[row] = static_cast<uint16_t>(tile.alive.rows[row] | (1u << column));
      }
    }
  }
}

// Writes the tile's final values, or what the next pass resumes from.
inline void store_tile(const TileTask& task, const BlockState* states, bool final) {
  const View& view = *task.view;
  const int blocks = view.tile_blocks;
  const float* background = task.parameters->background;
  for (int row = 0; row < blocks; ++row) {
    for (int column = 0; column < blocks; ++column) {
      const BlockState& state = states[row * kMaxTileBlocks + column];
      const int x0 = (task.tile_x * blocks + column) * kBlock;
      const int y0 = (task.tile_y * blocks + row) * kBlock;
      alignas(64) float final_color[3][kLanes], final_alpha[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const float t =
            state.transmittance[i] < 0 ? -state.transmittance[i] : state.transmittance[i];
        for (int k = 0; k < 3; ++k) final_color[k][i] = state.color[k][i] + t * background[k];
        final_alpha[i] = 1.0f - t;
      }
      const float (*color)[kLanes] = final ? final_color : state.color;
      const float* alpha = final ? final_alpha : state.transmittance;
      const int rows = y0 + kBlock <= view.size.height ? kBlock : view.size.height - y0;
      const int columns = x0 + kBlock <= view.size.width ? kBlock : view.size.width - x0;
      for (int j = 0; j < rows; ++j) {
        const int64_t pixel = static_cast<int64_t>(y0 + j) * view.size.width + x0;
        float* rgb = task.image.rgb + 3 * pixel;
        if (columns == kBlock) {
          for (int i = 0; i < kBlock; ++i) {
            rgb[3 * i] = color[0][kBlock * j + i];
            rgb[3 * i + 1] = color[1][kBlock * j + i];
            rgb[3 * i + 2] = color[2][kBlock * j + i];
          }
          std::memcpy(task.image.alpha + pixel, alpha + kBlock * j, kBlock * sizeof(float));
          std::memcpy(task.image.depth + pixel, state.depth + kBlock * j, kBlock * sizeof(float));
        } else {
          for (int i = 0; i < columns; ++i) {
            for (int k = 0; k < 3; ++k) rgb[3 * i + k] = color[k][kBlock * j + i];
            task.image.alpha[pixel + i] = alpha[kBlock * j + i];
            task.image.depth[pixel + i] = state.depth[kBlock * j + i];
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
