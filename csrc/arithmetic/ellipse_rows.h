// Which square cells an ellipse touches: one interval of columns for each row of cells.
//
// Included inside a namespace that has root and abs of float, under a definition of
// GEOLRM_ARITHMETIC. What this leaves out is never rendered, so the margins cover the rounding here
// and in blending, and the image does not depend on where tiles begin: slightly more is allowed,
// less is not.

struct EllipseRows {
  float reach, inverse_a, slope, bound, extreme, left, right, mean_y;
  int first, steps;  // rows of cells
};

// Of (a dx + b dy)^2 + (c dy)^2 <= reach, in a tile of cells x cells, kSide pixels a side each.
template <int kSide>
GEOLRM_ARITHMETIC EllipseRows ellipse_rows(float mean_x, float splat_y, float a, float b, float c,
                                           float most, float tile_x, float tile_y, int cells) {
  constexpr float kLast = kSide - 0.5f, kInverse = 1.0f / kSide;
  const float last = static_cast<float>(cells);
  EllipseRows e;
  e.reach = (most > 0.0f ? most : 0.0f) * 1.00001f + 1e-5f;
  const float radius = root(e.reach);
  e.inverse_a = 1.0f / a;
  e.slope = b * e.inverse_a;
  const float half_height = radius / c;
  const float x = mean_x - tile_x, y = splat_y - tile_y;
  const float margin_x =
      0.01f + 4e-6f * (radius * e.inverse_a + abs(e.slope) * half_height + abs(mean_x) + abs(x));
  const float margin_y = 0.01f + 4e-6f * (half_height + abs(splat_y) + abs(y));
  e.bound = half_height + margin_y;
  // dy of the rightmost point; the leftmost is its mirror image.
  e.extreme = -half_height * b / root(b * b + c * c);
  e.right = x - 0.5f + margin_x;
  e.left = x - kLast - margin_x;
  e.mean_y = y;
  const float begin = (y - e.bound - kLast) * kInverse;
  const float end = (y + e.bound - 0.5f) * kInverse + 1.0f;
  const float begin_in = begin > 0.0f ? begin : 0.0f, end_in = end > 0.0f ? end : 0.0f;
  e.first = static_cast<int>(begin_in < last ? begin_in : last);
  const int stop = static_cast<int>(end_in < last ? end_in : last);
  e.steps = most >= 0.0f ? stop - e.first : 0;
  return e;
}

// Columns of the row `first + step` as bits, of cells up to `cells` <= 16.
template <int kSide>
GEOLRM_ARITHMETIC unsigned ellipse_columns(const EllipseRows& e, float c, int step, int cells) {
  constexpr float kInverse = 1.0f / kSide;
  const float last = static_cast<float>(cells);
  const float from = static_cast<float>(kSide * (e.first + step)) + 0.5f - e.mean_y;
  const float to = from + (kSide - 1.0f);
  const float low = from > -e.bound ? from : -e.bound, high = to < e.bound ? to : e.bound;
  const float dy_r0 = e.extreme > low ? e.extreme : low;
  const float dy_l0 = -e.extreme > low ? -e.extreme : low;
  const float dy_r = dy_r0 < high ? dy_r0 : high, dy_l = dy_l0 < high ? dy_l0 : high;
  const float left_r = e.reach - (c * dy_r) * (c * dy_r);
  const float left_l = e.reach - (c * dy_l) * (c * dy_l);
  const float h_r = root(left_r > 0.0f ? left_r : 0.0f);
  const float h_l = root(left_l > 0.0f ? left_l : 0.0f);
  const float end = (e.right + h_r * e.inverse_a - e.slope * dy_r) * kInverse + 1.0f;
  const float begin = last - (e.left - h_l * e.inverse_a - e.slope * dy_l) * kInverse;
  // Truncation is floor here, as both are clamped to be positive first.
  const float end_in = end > 0.0f ? end : 0.0f, begin_in = begin > 0.0f ? begin : 0.0f;
  const int stop = static_cast<int>(end_in < last ? end_in : last);
  const int start = cells - static_cast<int>(begin_in < last ? begin_in : last);
  const int hit = (low <= high) & (start < stop) & (step < e.steps);
  return ((1u << stop) - (1u << start)) & (0u - static_cast<unsigned>(hit));
}
