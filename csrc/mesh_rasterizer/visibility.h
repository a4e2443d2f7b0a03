// Which face is seen at each sample of a view: a depth test over a regular grid of samples.
#pragma once

#include <cstdint>
#include <vector>

namespace geolrm::mesh {

// A projected vertex; iz = 1 / z is linear over the image, unlike z.
struct ScreenPoint {
  double x, y;  // px, pixel centres at (i + 0.5, j + 0.5)
  double iz;    // 0: in front of the near plane
};

// Samples are the centres of `rate` x `rate` cells a pixel.
class Visibility {
 public:
  void reset(int width, int height, int rate);  // size in pixels

  // Draws face `id`; the nearer face wins, the earlier one on a tie. Edges are inclusive and
  // evaluated alike from both sides, so that neighbours leave no gap. Faces of no area, and faces
  // with a vertex in front of the near plane, draw nothing.
  void draw(const ScreenPoint& p0, const ScreenPoint& p1, const ScreenPoint& p2, int32_t id);

  // Of sample (column, row): 1 / z of what is seen (0: nothing), and its face.
  float iz(int column, int row) const { return iz_[index(column, row)]; }
  int32_t id(int column, int row) const { return id_[index(column, row)]; }

 private:
  int64_t index(int column, int row) const { return int64_t{1} * row * stride_ + column; }

  int columns_ = 0, rows_ = 0, stride_ = 0, rate_ = 1;
  std::vector<float> iz_;
  std::vector<int32_t> id_;
};

}  // namespace geolrm::mesh
