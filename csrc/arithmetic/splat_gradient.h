// From the sums over a splat's pixels back through its projection, in double.
//
// Included inside a namespace that has root of Wide and rotation_of_quaternion, under a definition
// of GEOLRM_ARITHMETIC. Wide is double, or several at a time; Narrow is float, or as many doubles.

// What of a camera and the numbers of the mathematics the way back depends on.
struct GradientView {
  const double* rotation;  // world to camera, row-major
  const double* translation;
  double focal[2];                     // pixels
  const double *clip_low, *clip_high;  // limits of x/z, y/z in the Jacobian
  double eps2d;
  bool antialiased;
};

// dL/d(splats), and what the camera's share is made of.
template <class Wide>
struct Chained {
  Wide mean[3], scale[3], quat[4];
  Wide camera[3], to_camera[3];  // the mean in the camera's frame, dL/d(it)
  Wide jacobian[2][3], to_jw[2][3], to_focal[2];
};
using ChainedSplat = Chained<double>;

// dL/domega, of x turned to x + omega cross x, from dL/dx.
GEOLRM_ARITHMETIC void add_rotation_gradient(const double* x, const double* g, double* out) {
  out[0] += x[1] * g[2] - x[2] * g[1];
  out[1] += x[2] * g[0] - x[0] * g[2];
  out[2] += x[0] * g[1] - x[1] * g[0];
}

// x, moved to the next of low and high where it lies outside.
template <class Wide>
GEOLRM_ARITHMETIC Wide limited_to(const Wide& x, double low, double high) {
  const Wide least = Wide{} + low, most = Wide{} + high;
  return x < least ? least : x > most ? most : x;
}

// dL/dquat of any length from dL/dR.
template <class Narrow, class Wide>
GEOLRM_ARITHMETIC void quat_gradient(const Narrow* quat, const Wide (&g)[3][3], Wide* out) {
  Wide q[4], norm = Wide{};
  for (int k = 0; k < 4; ++k) norm += static_cast<Wide>(quat[k]) * quat[k];
  norm = root(norm);
  for (int k = 0; k < 4; ++k) q[k] = quat[k] / norm;
  const Wide w = q[0], x = q[1], y = q[2], z = q[3];
  const Wide d[4] = {
      2 * (-z * g[0][1] + y * g[0][2] + z * g[1][0] - x * g[1][2] - y * g[2][0] + x * g[2][1]),
      2 * (y * g[0][1] + z * g[0][2] + y * g[1][0] - 2 * x * g[1][1] - w * g[1][2] + z * g[2][0] +
           w * g[2][1] - 2 * x * g[2][2]),
      2 * (-2 * y * g[0][0] + x * g[0][1] + w * g[0][2] + x * g[1][0] + z * g[1][2] - w * g[2][0] +
           z * g[2][1] - 2 * y * g[2][2]),
      2 * (-2 * z * g[0][0] - w * g[0][1] + x * g[0][2] + w * g[1][0] - 2 * z * g[1][1] +
           y * g[1][2] + x * g[2][0] + y * g[2][1])};
  Wide along = Wide{};
  for (int k = 0; k < 4; ++k) along += d[k] * q[k];
  for (int k = 0; k < 4; ++k) out[k] = (d[k] - along * q[k]) / norm;
}

// sums: of h, h dx, h dy, h dx^2, h dx dy, h dy^2 over the pixels, dL/d(color) and dL/dz, where h
// is dL/dalpha alpha. Harmonics, which depend on the mean, come in between.
template <class Narrow, class Wide>
GEOLRM_ARITHMETIC void chain_splat(const Narrow* mean, const Narrow* scale, const Narrow* quat,
                                   const GradientView& view, const Narrow* sums,
                                   Chained<Wide>& out) {
  const double* w = view.rotation;
  const double fx = view.focal[0], fy = view.focal[1];
  const Wide zero = Wide{};
  Wide rotation[9], m[3][3];
  Wide* const camera = out.camera;
  for (int i = 0; i < 3; ++i) {
    camera[i] =
        w[3 * i] * mean[0] + w[3 * i + 1] * mean[1] + w[3 * i + 2] * mean[2] + view.translation[i];
  }
  rotation_of_quaternion(quat, rotation);
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < 3; ++k) m[i][k] = rotation[3 * i + k] * scale[k];
  }
  const Wide iz = 1 / camera[2], u = camera[0] * iz, v = camera[1] * iz;
  const Wide tx = limited_to(u, view.clip_low[0], view.clip_high[0]);
  const Wide ty = limited_to(v, view.clip_low[1], view.clip_high[1]);
  Wide(&jacobian)[2][3] = out.jacobian;
  jacobian[0][0] = fx * iz;
  jacobian[0][1] = jacobian[1][0] = zero;
  jacobian[0][2] = -fx * iz * tx;
  jacobian[1][1] = fy * iz;
  jacobian[1][2] = -fy * iz * ty;
  Wide jw[2][3], p[2][3];
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
  Wide xx = zero, xy = zero, yy = zero;
  for (int k = 0; k < 3; ++k) {
    xx += p[0][k] * p[0][k];
    xy += p[0][k] * p[1][k];
    yy += p[1][k] * p[1][k];
  }
  const Wide c0 = p[0][1] * p[1][2] - p[0][2] * p[1][1];
  const Wide c1 = p[0][2] * p[1][0] - p[0][0] * p[1][2];
  const Wide c2 = p[0][0] * p[1][1] - p[0][1] * p[1][0];
  const double eps = view.eps2d;
  const Wide before = c0 * c0 + c1 * c1 + c2 * c2;
  const Wide after = before + eps * (xx + yy) + eps * eps;
  const Wide a = (yy + eps) / after, b = -xy / after, c = (xx + eps) / after;

  const Wide h = sums[0], hx = sums[1], hy = sums[2];
  const Wide to_mean2d[2] = {a * hx + b * hy, b * hx + c * hy};
  // To the covariance: -Q G Q, with G the gradient of the conic Q.
  const Wide g0 = -0.5 * sums[3], g1 = -0.5 * sums[4], g2 = -0.5 * sums[5];
  const Wide l00 = a * g0 + b * g1, l01 = a * g1 + b * g2;
  const Wide l10 = b * g0 + c * g1, l11 = b * g1 + c * g2;
  Wide s00 = -(l00 * a + l01 * b), s01 = -(l00 * b + l01 * c), s11 = -(l10 * b + l11 * c);
  if (view.antialiased) {
    const auto flat = before <= 0;
    s00 += flat ? zero : 0.5 * h * (yy / before - a);
    s01 += flat ? zero : 0.5 * h * (-xy / before - b);
    s11 += flat ? zero : 0.5 * h * (xx / before - c);
  }
  Wide to_p[2][3], to_m[3][3];
  Wide(&to_jw)[2][3] = out.to_jw;
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
  Wide(&to_camera)[3] = out.to_camera;
  Wide(&to_focal)[2] = out.to_focal;
  for (int k = 0; k < 3; ++k) to_camera[k] = zero;
  const double focal[2] = {fx, fy};
  const Wide limited[2] = {tx, ty}, plain[2] = {u, v};
  for (int row = 0; row < 2; ++row) {
    Wide diagonal = zero, last = zero;  // dL/dJ[row][row], dL/dJ[row][2]
    for (int k = 0; k < 3; ++k) {
      diagonal += to_jw[row][k] * w[3 * row + k];
      last += to_jw[row][k] * w[6 + k];
    }
    const auto inside = limited[row] == plain[row];
    const Wide f = focal[row] * iz;
    to_focal[row] = to_mean2d[row] * plain[row] + diagonal * iz;
    // Where the ratio is limited, the limit goes with 1 / focal: the product stays.
    to_focal[row] -= inside ? last * iz * limited[row] : zero;
    to_camera[2] += (-diagonal + last * limited[row]) * f * iz;
    Wide to_ratio = to_mean2d[row] * focal[row];
    to_ratio -= inside ? last * f : zero;
    to_camera[row] += to_ratio * iz;
    to_camera[2] -= to_ratio * plain[row] * iz;
  }
  to_camera[2] += sums[9];
  for (int k = 0; k < 3; ++k) {
    out.mean[k] = w[k] * to_camera[0] + w[3 + k] * to_camera[1] + w[6 + k] * to_camera[2];
  }
  Wide to_rotation[3][3];
  for (int k = 0; k < 3; ++k) {
    Wide to_scale = zero;
    for (int i = 0; i < 3; ++i) {
      to_scale += to_m[i][k] * rotation[3 * i + k];
      to_rotation[i][k] = to_m[i][k] * scale[k];
    }
    out.scale[k] = to_scale;
  }
  quat_gradient(quat, to_rotation, out.quat);
}

// What a splat says to its camera, added: a point x of the camera's frame goes to exp(rotation) x +
// translation.
GEOLRM_ARITHMETIC void add_camera_gradient(const GradientView& view, const ChainedSplat& splat,
                                           double* rotation, double* translation, double* focal) {
  const double* w = view.rotation;
  add_rotation_gradient(splat.camera, splat.to_camera, rotation);
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    // Of the covariance: J W turns with W.
    const double column[3] = {w[k], w[3 + k], w[6 + k]};
    const double to_column[3] = {
        splat.jacobian[0][0] * splat.to_jw[0][k], splat.jacobian[1][1] * splat.to_jw[1][k],
        splat.jacobian[0][2] * splat.to_jw[0][k] + splat.jacobian[1][2] * splat.to_jw[1][k]};
    add_rotation_gradient(column, to_column, rotation);
    // A camera that moves sees what it would see if every mean moved, harmonics included.
    for (int row = 0; row < 3; ++row) translation[row] += w[3 * row + k] * splat.mean[k];
  }
  for (int row = 0; row < 2; ++row) focal[row] += splat.to_focal[row];
}
