#include "visibility.h"

#include <algorithm>
#include <cmath>

namespace geolrm::mesh {
namespace {

constexpr int kLanes = 8;  // samples handled together; a compiler makes vectors of them

// a x + b y + c >= 0 inside.
struct Edge {
  double a, b, c;
};

// The same numbers, up to the sign, whichever face asks: the end points are put in order first.
Edge edge(const ScreenPoint& p, const ScreenPoint& q, double sign, int rate) {
  const bool swap = q.y < p.y || (q.y == p.y && q.x < p.x);
  const ScreenPoint& s = swap ? q : p;
  const ScreenPoint& t = swap ? p : q;
  const double flip = swap ? -sign : sign;
  const double sx = rate * s.x, sy = rate * s.y, tx = rate * t.x, ty = rate * t.y;
  return {flip * (sy - ty), flip * (tx - sx), flip * (sx * ty - sy * tx)};
}

int first_sample(double low) { return static_cast<int>(std::ceil(low - 0.5)); }
int last_sample(double high) { return static_cast<int>(std::floor(high - 0.5)); }

}  // namespace

void Visibility::reset(int width, int height, int rate) {
  rate_ = rate;
  columns_ = width * rate;
  rows_ = height * rate;
  stride_ = (columns_ + kLanes - 1) / kLanes * kLanes;
  iz_.assign(int64_t{1} * stride_ * rows_, 0.0f);
  id_.resize(iz_.size());
}

void Visibility::draw(const ScreenPoint& p0, const ScreenPoint& p1, const ScreenPoint& p2,
                      int32_t id) {
  if (!(p0.iz > 0 && p1.iz > 0 && p2.iz > 0)) return;
  const double dx1 = p1.x - p0.x, dy1 = p1.y - p0.y, dx2 = p2.x - p0.x, dy2 = p2.y - p0.y;
  const double area = dx1 * dy2 - dx2 * dy1;
  if (!(std::abs(area) > 1e-14 && std::isfinite(area))) return;  // then all is finite
  const double rate = rate_;
  const double left = rate * std::min({p0.x, p1.x, p2.x});
  const double right = rate * std::max({p0.x, p1.x, p2.x});
  const double top = rate * std::min({p0.y, p1.y, p2.y});
  const double bottom = rate * std::max({p0.y, p1.y, p2.y});
  if (right < 0 || bottom < 0 || left > columns_ || top > rows_) return;
  const int x0 = first_sample(std::max(left, 0.5));
  const int x1 = last_sample(std::min(right, columns_ - 0.5));
  const int y0 = first_sample(std::max(top, 0.5));
  const int y1 = last_sample(std::min(bottom, rows_ - 0.5));
  if (x0 > x1 || y0 > y1) return;

  const double sign = area > 0 ? 1 : -1;
  const Edge e0 = edge(p0, p1, sign, rate_), e1 = edge(p1, p2, sign, rate_),
             e2 = edge(p2, p0, sign, rate_);
  const float a0 = static_cast<float>(e0.a), a1 = static_cast<float>(e1.a),
              a2 = static_cast<float>(e2.a);

  // 1 / z as a plane over the samples; clamped, since the edges are inclusive up to rounding.
  const double d1 = p1.iz - p0.iz, d2 = p2.iz - p0.iz;
  const double slope_x = (d1 * dy2 - d2 * dy1) / (area * rate);
  const double slope_y = (d2 * dx1 - d1 * dx2) / (area * rate);
  const float nearest = static_cast<float>(std::max({p0.iz, p1.iz, p2.iz}));
  const float farthest = static_cast<float>(std::min({p0.iz, p1.iz, p2.iz}));
  const float slope = static_cast<float>(slope_x);

  const int start = x0 / kLanes * kLanes;
  for (int y = y0; y <= y1; ++y) {
    const double centre = y + 0.5;
    const float r0 = static_cast<float>(e0.b * centre + e0.c);
    const float r1 = static_cast<float>(e1.b * centre + e1.c);
    const float r2 = static_cast<float>(e2.b * centre + e2.c);
    const float iz_start = static_cast<float>(p0.iz + slope_x * (start + 0.5 - rate * p0.x) +
                                              slope_y * (centre - rate * p0.y));
    float* iz_row = iz_.data() + index(0, y);
    int32_t* id_row = id_.data() + index(0, y);
    for (int x = start; x <= x1; x += kLanes) {
      float* old_iz = iz_row + x;
      int32_t* old_id = id_row + x;
      for (int lane = 0; lane < kLanes; ++lane) {
        const float column = static_cast<float>(x + lane) + 0.5f;
        const float iz = std::min(
            std::max(iz_start + slope * static_cast<float>(x - start + lane), farthest), nearest);
        const bool seen = (a0 * column + r0 >= 0) & (a1 * column + r1 >= 0) &
                          (a2 * column + r2 >= 0) & (iz > old_iz[lane]);
        old_iz[lane] = seen ? iz : old_iz[lane];
        old_id[lane] = seen ? id : old_id[lane];
      }
    }
  }
}

}  // namespace geolrm::mesh
