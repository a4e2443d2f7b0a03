#include "splat_gradient.h"

#include <cmath>

#define GEOLRM_ISA host
#include "harmonics.h"

namespace geolrm::raster {
namespace {

// A number with its derivatives along three axes: sh_basis then differentiates itself.
struct Dual {
  double v = 0, d[3] = {0, 0, 0};
  Dual() = default;
  explicit Dual(double value) : v(value) {}
  Dual(double value, int axis) : v(value) { d[axis] = 1; }
};
Dual operator-(const Dual& a, const Dual& b) {
  Dual r(a.v - b.v);
  for (int k = 0; k < 3; ++k) r.d[k] = a.d[k] - b.d[k];
  return r;
}
Dual operator*(const Dual& a, const Dual& b) {
  Dual r(a.v * b.v);
  for (int k = 0; k < 3; ++k) r.d[k] = a.d[k] * b.v + a.v * b.d[k];
  return r;
}
Dual operator*(int a, const Dual& b) { return Dual(a) * b; }

// Through max(0, SH + 0.5): to the coefficients, and to the mean by the direction.
void add_sh_gradient(const SplatModel& model, const View& view, int64_t splat, const double* color,
                     double* mean, float* sh_out) {
  const SplatArrays& arrays = model.arrays();
  double d[3], length = 0;
  for (int k = 0; k < 3; ++k) {
    d[k] = arrays.means[3 * splat + k] - view.centre[k];
    length += d[k] * d[k];
  }
  length = std::sqrt(length);
  const double scale = length > 0 ? 1 / length : 0;
  Dual basis[16];
  host::sh_basis<Dual>(Dual(d[0] * scale, 0), Dual(d[1] * scale, 1), Dual(d[2] * scale, 2),
                       arrays.sh_count, basis);
  const float* sh = arrays.sh + 3 * arrays.sh_count * splat;
  double to_direction[3] = {0, 0, 0};
  for (int j = 0; j < 3; ++j) {
    double value = 0.5;
    for (int k = 0; k < arrays.sh_count; ++k) value += basis[k].v * sh[3 * k + j];
    if (value <= 0) continue;
    for (int k = 0; k < arrays.sh_count; ++k) {
      sh_out[3 * k + j] += static_cast<float>(basis[k].v * color[j]);
      for (int axis = 0; axis < 3; ++axis) {
        to_direction[axis] += basis[k].d[axis] * sh[3 * k + j] * color[j];
      }
    }
  }
  double along = 0;
  for (int k = 0; k < 3; ++k) along += to_direction[k] * d[k] * scale;
  for (int k = 0; k < 3; ++k) mean[k] += (to_direction[k] - along * d[k] * scale) * scale;
}

// dL/domega, of x turned to x + omega cross x, from dL/dx.
void add_rotation_gradient(const double* x, const double* g, double* out) {
  out[0] += x[1] * g[2] - x[2] * g[1];
  out[1] += x[2] * g[0] - x[0] * g[2];
  out[2] += x[0] * g[1] - x[1] * g[0];
}

// dL/dquat of any length from dL/dR.
void add_quat_gradient(const float* quat, const double g[3][3], float* out) {
  double q[4], norm = 0;
  for (int k = 0; k < 4; ++k) norm += static_cast<double>(quat[k]) * quat[k];
  norm = std::sqrt(norm);
  for (int k = 0; k < 4; ++k) q[k] = quat[k] / norm;
  const double w = q[0], x = q[1], y = q[2], z = q[3];
  const double d[4] = {
      2 * (-z * g[0][1] + y * g[0][2] + z * g[1][0] - x * g[1][2] - y * g[2][0] + x * g[2][1]),
      2 * (y * g[0][1] + z * g[0][2] + y * g[1][0] - 2 * x * g[1][1] - w * g[1][2] + z * g[2][0] +
           w * g[2][1] - 2 * x * g[2][2]),
      2 * (-2 * y * g[0][0] + x * g[0][1] + w * g[0][2] + x * g[1][0] + z * g[1][2] - w * g[2][0] +
           z * g[2][1] - 2 * y * g[2][2]),
      2 * (-2 * z * g[0][0] - w * g[0][1] + x * g[0][2] + w * g[1][0] - 2 * z * g[1][1] +
           y * g[1][2] + x * g[2][0] + y * g[2][1])};
  double along = 0;
  for (int k = 0; k < 4; ++k) along += d[k] * q[k];
  for (int k = 0; k < 4; ++k) out[k] += static_cast<float>((d[k] - along * q[k]) / norm);
}

}  // namespace

void add_splat_gradient(const SplatModel& model, const View& view, const Parameters& parameters,
                        int64_t splat, const float* sums, const SplatGradients& out,
                        CameraGradient* to_view) {
  const SplatArrays& arrays = model.arrays();
  const double* w = view.camera.rotation;
  const double fx = view.camera.fx, fy = view.camera.fy;
  const float* mean = arrays.means + 3 * splat;
  const float* scale = arrays.scales + 3 * splat;
  double camera[3], rotation[9], m[3][3];
  for (int i = 0; i < 3; ++i) {
    camera[i] = w[3 * i] * mean[0] + w[3 * i + 1] * mean[1] + w[3 * i + 2] * mean[2] +
                view.camera.translation[i];
  }
  rotation_of(arrays.quats + 4 * splat, rotation);
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < 3; ++k) m[i][k] = rotation[3 * i + k] * scale[k];
  }
  const double iz = 1 / camera[2], u = camera[0] * iz, v = camera[1] * iz;
  const double tx = u < view.clip_low[0]    ? view.clip_low[0]
                    : u > view.clip_high[0] ? view.clip_high[0]
                                            : u;
  const double ty = v < view.clip_low[1]    ? view.clip_low[1]
                    : v > view.clip_high[1] ? view.clip_high[1]
                                            : v;
  const double jacobian[2][3] = {{fx * iz, 0, -fx * iz * tx}, {0, fy * iz, -fy * iz * ty}};
  double jw[2][3], p[2][3];
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; k < 3; ++k) {
      jw[i][k] = jacobian[i][i] * w[3 * i + k] + jacobian[i][2] * w[6 + k];
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; k < 3; ++k) {
      p[i][k] = jw[i][0] * m[0][k] + jw[i][1] * m[1][k] + jw[i][2] * m[2][k];
    }
  }
  double xx = 0, xy = 0, yy = 0;
  for (int k = 0; k < 3; ++k) {
    xx += p[0][k] * p[0][k];
    xy += p[0][k] * p[1][k];
    yy += p[1][k] * p[1][k];
  }
  const double c0 = p[0][1] * p[1][2] - p[0][2] * p[1][1];
  const double c1 = p[0][2] * p[1][0] - p[0][0] * p[1][2];
  const double c2 = p[0][0] * p[1][1] - p[0][1] * p[1][0];
  const double eps = parameters.eps2d;
  const double before = c0 * c0 + c1 * c1 + c2 * c2;
  const double after = before + eps * (xx + yy) + eps * eps;
  const double a = (yy + eps) / after, b = -xy / after, c = (xx + eps) / after;

  const double h = sums[0], hx = sums[1], hy = sums[2];
  const double to_mean2d[2] = {a * hx + b * hy, b * hx + c * hy};
  // To the covariance: -Q G Q, with G the gradient of the conic Q.
  const double g0 = -0.5 * sums[3], g1 = -0.5 * sums[4], g2 = -0.5 * sums[5];
  const double l00 = a * g0 + b * g1, l01 = a * g1 + b * g2;
  const double l10 = b * g0 + c * g1, l11 = b * g1 + c * g2;
  double s00 = -(l00 * a + l01 * b), s01 = -(l00 * b + l01 * c), s11 = -(l10 * b + l11 * c);
  if (parameters.antialiased && before > 0) {
    s00 += 0.5 * h * (yy / before - a);
    s01 += 0.5 * h * (-xy / before - b);
    s11 += 0.5 * h * (xx / before - c);
  }
  double to_p[2][3], to_m[3][3], to_jw[2][3];
  for (int k = 0; k < 3; ++k) {
    to_p[0][k] = 2 * (s00 * p[0][k] + s01 * p[1][k]);
    to_p[1][k] = 2 * (s01 * p[0][k] + s11 * p[1][k]);
  }
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < 3; ++k) to_m[i][k] = jw[0][i] * to_p[0][k] + jw[1][i] * to_p[1][k];
    for (int row = 0; row < 2; ++row) {
      to_jw[row][i] = to_p[row][0] * m[i][0] + to_p[row][1] * m[i][1] + to_p[row][2] * m[i][2];
    }
  }
  double to_camera[3] = {0, 0, 0}, to_focal[2];
  const double focal[2] = {fx, fy}, limited[2] = {tx, ty}, plain[2] = {u, v};
  for (int row = 0; row < 2; ++row) {
    double diagonal = 0, last = 0;  // dL/dJ[row][row], dL/dJ[row][2]
    for (int k = 0; k < 3; ++k) {
      diagonal += to_jw[row][k] * w[3 * row + k];
      last += to_jw[row][k] * w[6 + k];
    }
    const double f = focal[row] * iz;
    to_focal[row] = to_mean2d[row] * plain[row] + diagonal * iz;
    // Where the ratio is limited, the limit goes with 1 / focal: the product stays.
    if (limited[row] == plain[row]) to_focal[row] -= last * iz * limited[row];
    to_camera[2] += (-diagonal + last * limited[row]) * f * iz;
    double to_ratio = to_mean2d[row] * focal[row];
    if (limited[row] == plain[row]) to_ratio -= last * f;
    to_camera[row] += to_ratio * iz;
    to_camera[2] -= to_ratio * plain[row] * iz;
  }
  to_camera[2] += sums[9];
  double to_mean[3];
  for (int k = 0; k < 3; ++k) {
    to_mean[k] = w[k] * to_camera[0] + w[3 + k] * to_camera[1] + w[6 + k] * to_camera[2];
  }
  double to_rotation[3][3];
  for (int k = 0; k < 3; ++k) {
    double to_scale = 0;
    for (int i = 0; i < 3; ++i) {
      to_scale += to_m[i][k] * rotation[3 * i + k];
      to_rotation[i][k] = to_m[i][k] * scale[k];
    }
    out.scales[3 * splat + k] += static_cast<float>(to_scale);
  }
  add_quat_gradient(arrays.quats + 4 * splat, to_rotation, out.quats + 4 * splat);
  out.opacities[splat] += static_cast<float>(h / arrays.opacities[splat]);
  if (arrays.sh) {
    const double color[3] = {sums[6], sums[7], sums[8]};
    add_sh_gradient(model, view, splat, color, to_mean, out.sh + 3 * arrays.sh_count * splat);
  } else {
    for (int k = 0; k < 3; ++k) out.colors[3 * splat + k] += sums[6 + k];
  }
  for (int k = 0; k < 3; ++k) out.means[3 * splat + k] += static_cast<float>(to_mean[k]);
  if (!to_view) return;
  add_rotation_gradient(camera, to_camera, to_view->rotation);
  for (int k = 0; k < 3; ++k) {
    // Of the covariance: J W turns with W.
    const double column[3] = {w[k], w[3 + k], w[6 + k]};
    const double to_column[3] = {jacobian[0][0] * to_jw[0][k], jacobian[1][1] * to_jw[1][k],
                                 jacobian[0][2] * to_jw[0][k] + jacobian[1][2] * to_jw[1][k]};
    add_rotation_gradient(column, to_column, to_view->rotation);
    // A camera that moves sees what it would see if every mean moved, harmonics included.
    for (int row = 0; row < 3; ++row) to_view->translation[row] += w[3 * row + k] * to_mean[k];
  }
  for (int row = 0; row < 2; ++row) to_view->focal[row] += to_focal[row];
}

}  // namespace geolrm::raster
